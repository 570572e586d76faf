"""The tasks that `inmateria run` knows: the type `Task`, and how a task is found by its name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

import msgspec

from inmateria.protocols.outcome import Outcome
from inmateria.substrate import SubstrateInfo

__all__ = [
    "ProgressCallback",
    "Task",
    "UnknownTask",
    "UnsuitableSubstrate",
    "find_task",
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
    """There is no task of that name, or it does not take such a setting."""


class UnsuitableSubstrate(ValueError):
    """The substrate does not give what the task reads; nothing was sent to it."""


class ProgressCallback(Protocol):
    """Called by a task with its progress, at least a few times a second."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Report that `done` of `of` items of a phase are done, with so many substrate steps applied in all."""


@dataclass(frozen=True)
class Task:
    """An experiment that can be run on any substrate that gives what it reads.

    Parameters
    ----------
    name : str
        Name for `inmateria run`.
    settings : type
        A `msgspec.Struct` whose fields, with their defaults, are the settings.
    run : async callable
        ``(substrate, settings, on_progress) -> Outcome``; it enters and leaves the substrate. A task that names
        its substrates is given a sequence of them.
    needs : {"signal", "spikes"}, optional
        What the task needs: inputs that can be driven with any value of their range, whose signal is read, or spikes
        counted where there is no signal; or spikes evoked by pulses. Any substrate will do by default.
    substrates : callable, optional
        ``settings -> URIs``, for a task whose settings name the substrates that it runs on.
    """

    name: str
    settings: type[msgspec.Struct]
    run: Callable[[Any, Any, ProgressCallback], Awaitable[Outcome]]
    needs: Literal["signal", "spikes"] | None = None
    substrates: Callable[[Any], list[str]] | None = None

    def settings_from(self, given: Mapping[str, str]) -> msgspec.Struct:
        """Make the settings from words, as given on a command line.

        Raises
        ------
        UnknownTask
            Where the task has no such setting, or the setting may not have that value.
        """
        names = [field.name for field in msgspec.structs.fields(self.settings)]
        for name in given:
            if name not in names:
                raise UnknownTask(f"{self.name} has no setting {name!r}; it has {', '.join(names)}")
        try:
            return msgspec.convert(dict(given), type=self.settings, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise UnknownTask(f"{self.name} does not take these settings: {error}") from None

    def check(self, info: SubstrateInfo) -> None:
        """Refuse a substrate that does not give what the task needs.

        Raises
        ------
        UnsuitableSubstrate
            With what the substrate gives, and what to use instead.
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
    """List the names of the tasks that were found."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def task_summaries() -> list[tuple[str, str]]:
    """List the tasks that were found, each with a summary in one line, importing none of them."""
    others = [
        (point.name, f"from {point.dist.name} {point.dist.version}" if point.dist else point.value)
        for point in entry_points(group=_GROUP)
    ]
    return sorted([*_BUILT_IN.items(), *others])


def find_task(name: str) -> Task:
    """Find a task by its name.

    Raises
    ------
    UnknownTask
        Where there is none; the message names those there are.
    """
    if name in _BUILT_IN:
        task = import_module(f"inmateria.protocols.tasks.{name.replace('-', '_')}").TASK
    else:
        found = entry_points(group=_GROUP, name=name)
        if not found:
            names = task_names()
            close = get_close_matches(name, names, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}"
            raise UnknownTask(f"there is no task {name!r}; {meant}")
        task = found[name].load()
    if not isinstance(task, Task):
        raise UnknownTask(f"the entry point {name!r} in {_GROUP} is a {type(task).__name__}; it must name a Task")
    return task
