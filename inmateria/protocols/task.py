"""The tasks that `inmateria run` knows: the type `Task`, and how a task is found by its name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from inmateria.plugins import load_plugin, plugin_names, plugin_summaries
from inmateria.protocols.outcome import Outcome
from inmateria.substrate import SubstrateInfo

__all__ = [
    "ProgressCallback",
    "SamplesRead",
    "Task",
    "UnknownTask",
    "UnsuitableSetting",
    "UnsuitableSubstrate",
    "find_task",
    "samples_read",
    "task_names",
    "task_summaries",
]

_BUILT_IN = {
    "capacity": "memory and information processing capacity",
    "cart-pole": "balance a pole with neurons in the loop",
    "centre-of-activity": "where a response lies, and how far stimulation at high frequency moves it",
    "digits": "read scikit-learn's 1,797 handwritten digits, online and batch",
    "henon": "forecast the Henon map from spikes",
    "japanese-vowels": "tell nine speakers apart from spikes",
    "mackey-glass": "forecast a chaotic series 84 steps ahead",
    "memory": "recall a random series: memory capacity by delay",
    "patterns": "tell bars or places of stimulation apart from spikes",
    "response-map": "spikes evoked by single pulses, by place and amplitude",
    "sequence-memory": "name the digits that were shown before",
    "spontaneous": "activity of neurons without stimulation",
    "stack": "read the digits in several physical layers, trained by local bottlenecks",
    "timer": "tell from spikes which place was stimulated, and how long ago",
    "waveform": "turn a sine into other waves",
}
"""Name to summary. The module of each has the same name in `inmateria.protocols.tasks`, and a `TASK`."""

_GROUP = "inmateria.tasks"


class UnknownTask(LookupError):
    """There is no task of that name, or it does not accept the settings."""


class UnsuitableSubstrate(ValueError):
    """The substrate does not meet the requirement of the task; nothing was sent to it."""


class UnsuitableSetting(ValueError):
    """A setting was given that has no effect together with the others, on this substrate; nothing was sent to it."""


class ProgressCallback(Protocol):
    """Called by a task with its progress, at least a few times a second."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Report that `done` of `of` items of a phase are done, with so many substrate steps applied in all."""


class SamplesRead(NamedTuple):
    """Samples of the signal that a task reads.

    Parameters
    ----------
    samples : int
        Number of samples of each step, evenly spaced and ending with its last; 0 for all.
    step : float
        Duration of a step, s; 0 for the substrate's own.
    """

    samples: int
    step: float


def samples_read(settings: Any) -> SamplesRead:
    """Return the samples that a task reads which has the usual settings ``samples``, by default 1, and ``step``."""
    return SamplesRead(getattr(settings, "samples", 1), getattr(settings, "step", None) or 0.0)


@dataclass(frozen=True)
class Task:
    """An experiment that can be run on any substrate with the responses that it needs.

    Parameters
    ----------
    name : str
        Name for `inmateria run`.
    settings : type
        A `msgspec.Struct` whose fields, with their defaults, are the settings.
    run : async callable
        ``(substrate, settings, on_progress) -> Outcome``; it enters and leaves the substrate. If `substrates` is given,
        the first argument is a sequence of substrates.
    needs : {"signal", "spikes"}, optional
        Requirement on the substrate. With ``"signal"``, inputs without discrete levels; the task reads the signal, or
        counts spikes if there is no signal. With ``"spikes"``, spikes evoked by pulses. None by default.
    substrates : callable, optional
        ``settings -> URIs``, for a task whose settings name the substrates that it runs on.
    unused : callable, optional
        ``(settings, info) -> names``: the settings that have no effect together with the others, on a substrate of that
        info, each with the reason. Such a setting is refused if it differs from its default.
    reads : callable, optional
        ``settings -> SamplesRead``: the samples that the readouts read, which a recording keeps exactly; all by
        default.
    """

    name: str
    settings: type[msgspec.Struct]
    run: Callable[[Any, Any, ProgressCallback], Awaitable[Outcome]]
    needs: Literal["signal", "spikes"] | None = None
    substrates: Callable[[Any], list[str]] | None = None
    unused: Callable[[Any, SubstrateInfo], Mapping[str, str]] | None = None
    reads: Callable[[Any], SamplesRead] | None = None

    def settings_from(self, given: Mapping[str, str]) -> msgspec.Struct:
        """Make the settings from strings, as given on a command line.

        Raises
        ------
        UnknownTask
            If the task has no such setting, or the value is not allowed.
        """
        names = [field.name for field in msgspec.structs.fields(self.settings)]
        for name in given:
            if name not in names:
                raise UnknownTask(f"{self.name} has no setting {name!r}; it has {', '.join(names)}")
        try:
            return msgspec.convert(dict(given), type=self.settings, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise UnknownTask(f"{self.name} does not take these settings: {_in_words(error, given)}") from None

    def check_settings(self, settings: msgspec.Struct, info: SubstrateInfo) -> None:
        """Check that every setting that was changed has an effect on a substrate.

        Raises
        ------
        UnsuitableSetting
            If one has none; the message says why.
        """
        if self.unused is None:
            return
        defaults = {field.name: field.default for field in msgspec.structs.fields(self.settings)}
        for name, reason in self.unused(settings, info).items():
            given = getattr(settings, name)
            if given != defaults[name]:
                raise UnsuitableSetting(
                    f"{self.name} was given {name}={given}, which has no effect here: {reason}; leave it out"
                )

    def check(self, info: SubstrateInfo) -> None:
        """Check that a substrate meets the requirement of the task.

        Raises
        ------
        UnsuitableSubstrate
            If it does not; the message says what the substrate gives, and what to use instead.
        """
        of_neurons = info.kind == "neural-culture"
        if self.needs == "spikes":
            counted = of_neurons and all(channel.unit == "1" for channel in info.outputs)
            if not (info.spiking or counted):
                raise UnsuitableSubstrate(
                    f"{info.id} ({info.kind}) gives no spikes; {self.name} counts the spikes that pulses evoke; "
                    "give a culture, such as --on culture://, or run a task that reads a signal, such as memory"
                )
        if self.needs == "signal" and any(channel.levels is not None for channel in info.inputs):
            raise UnsuitableSubstrate(
                f"{info.id} ({info.kind}) has inputs that take only certain levels; {self.name} drives its inputs with "
                "any value of their range; give such a substrate, for instance --on nanowire://, or run a task of "
                "pulses, such as henon"
            )


def task_names() -> list[str]:
    """Return the names of all tasks that were found."""
    return sorted({*_BUILT_IN, *plugin_names(_GROUP)})


def task_summaries() -> list[tuple[str, str]]:
    """List the tasks that were found, each with a summary in one line, importing none of them."""
    return sorted([*_BUILT_IN.items(), *plugin_summaries(_GROUP)])


def _in_words(error: Exception, given: Mapping[str, str]) -> str:
    """Describe an error of msgspec: which setting it is about, and what was given."""
    expected, _, path = str(error).partition(" - at `$.")
    name = path.rstrip("`")
    if name not in given:
        return str(error)
    return f"{name} is {given[name]!r}; {expected[0].lower()}{expected[1:]}"


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises
    ------
    UnknownTask
        If there is no such task; the message lists the known ones.
    BrokenPlugin
        If the task is of another package and cannot be loaded.
    """
    if name in _BUILT_IN:
        task = import_module(f"inmateria.protocols.tasks.{name.replace('-', '_')}").TASK
    else:
        names = task_names()
        if name not in names:
            close = get_close_matches(name, names, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}"
            raise UnknownTask(f"there is no task {name!r}; {meant}")
        task = load_plugin(_GROUP, name)
    if not isinstance(task, Task):
        raise UnknownTask(f"the entry point {name!r} in {_GROUP} is a {type(task).__name__}; it must name a Task")
    return task
