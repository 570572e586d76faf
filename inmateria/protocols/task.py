"""The tasks that `inmateria run` knows: the type `Task`, and how a task is found by its name."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import inspect as types

from inmateria.adapters.uri import is_simulated, shown
from inmateria.one_line import one_line
from inmateria.plugins import load_plugin, plugin_names, plugin_summaries
from inmateria.protocols.circuits import (
    Circuit,
    completed_uri,
    learning_channels,
    mismatch,
    uri_for_choosing,
    uris_of_starts,
)
from inmateria.protocols.data_parts import CHOOSING_SEEDS, Part
from inmateria.protocols.outcome import Outcome
from inmateria.substrate import SubstrateInfo

__all__ = [
    "ProgressCallback",
    "SamplesRead",
    "Task",
    "UnknownTask",
    "UnsuitableSetting",
    "UnsuitableSubstrate",
    "counts_spikes",
    "find_task",
    "samples_read",
    "task_names",
    "task_summaries",
]

_BUILT_IN = {
    "allostery": "train a network that learns to answer a strain of its sources at its targets",
    "capacity": "memory and information processing capacity",
    "cart-pole": "balance a pole with neurons in the loop",
    "centre-of-activity": "where a response lies, and how far stimulation at high frequency moves it",
    "coached-cart-pole": "balance a pole with neurons that are coached by trains of pulses",
    "delayed-match": "tell whether two symbols with others between them were alike",
    "digits": "read scikit-learn's 1,797 handwritten digits, online and batch, or by training a network that learns",
    "encoding": "information that responses carry about a stimulus, by how it is encoded as pulses",
    "henon": "forecast the Henon map from spikes",
    "iris": "train a network that learns to tell three kinds of iris apart from 30 flowers",
    "japanese-vowels": "tell nine speakers apart from spikes",
    "mackey-glass": "forecast a chaotic series 84 steps ahead",
    "memory": "recall a random series: memory capacity by delay",
    "narma": "imitate a nonlinear filter with memory: NARMA of order 2, 5 or 10",
    "parity": "name the parity of past bits: exclusive or in time",
    "patterns": "tell bars or places of stimulation apart from spikes",
    "periodic-signal": "generate or follow a periodic signal by learning online",
    "pong": "play pong with neurons, with a predictable stimulus for a hit and an unpredictable one for a miss",
    "pulse-xor": "tell from spikes whether exactly one of two volleys of pulses was given",
    "regression": "train a network that learns on a curve of eight points",
    "response-map": "spikes evoked by single pulses, by place and amplitude",
    "row-digits": "read handwritten digits that are shown row by row, after the last row",
    "sequence-memory": "name the digits that were shown before",
    "spoken-vowels": "tell nine speakers apart from the signal at the end of each utterance",
    "spontaneous": "activity of neurons without stimulation",
    "stack": "read the digits in several physical layers, trained by local bottlenecks",
    "timer": "tell from spikes which place was stimulated, and how long ago",
    "waveform": "turn a sine into other waves",
    "xor": "train a network that learns on exclusive or",
}
"""Name to summary. The module of each has the same name in `inmateria.protocols.tasks`, and a `TASK`."""

_GROUP = "inmateria.tasks"
_SEED = re.compile(r"[?&]seed=(\d+)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


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
        ``(substrate, settings, on_progress) -> Outcome``; it enters and leaves the substrate. If `substrates` is given
        or `needs` is ``"learning"``, the first argument is a sequence of substrates.
    needs : {"signal", "spikes", "learning"}, optional
        Requirement on the substrate. With ``"signal"``, inputs without discrete levels; the task reads the signal, or
        counts spikes if there is no signal. With ``"spikes"``, spikes evoked by pulses. With ``"learning"``, matter
        that is trained itself, by inputs, labels and ``learn``; each of the substrates is one start. None by default.
    pulses_to_neurons : bool
        Whether a task that needs a signal sends neurons pulses by place, for which inputs with levels will do.
    substrates : callable, optional
        ``settings -> URIs``, for a task whose settings name the substrates that it runs on.
    unused : callable, optional
        ``(settings, info) -> names``: the settings that have no effect together with the others, on a substrate of that
        info, each with the reason. Such a setting is refused if it differs from its default.
    reads : callable, optional
        ``settings -> SamplesRead``: the samples that the readouts read, which a recording keeps exactly; all by
        default.
    circuit : callable, optional
        ``settings -> Circuit``, for a task that trains matter, or can: how many inputs and outputs it must have, and
        URIs that have them.
    validation : {"data", "devices"}, optional
        How a run for choosing settings differs from one that is reported. ``"data"``: in all that its seed draws, and
        in the part that it sees of the data sets of `inmateria.protocols.data_sets`; a task that takes data from
        elsewhere must not say so. ``"devices"``: in the device, for a task that scores the points that it learned; its
        simulators have seeds that no reported run has. By default there is no such run.
    on : str
        URI of the substrate that it runs on if none is given: the one for which its default settings were chosen.
    own_controls : str
        Why its controls are not those of every task that scores a readout; such a task says nothing here, and lacks
        none of them.
    """

    name: str
    settings: type[msgspec.Struct]
    run: Callable[[Any, Any, ProgressCallback], Awaitable[Outcome]]
    needs: Literal["signal", "spikes", "learning"] | None = None
    pulses_to_neurons: bool = False
    substrates: Callable[[Any], list[str]] | None = None
    unused: Callable[[Any, SubstrateInfo], Mapping[str, str]] | None = None
    reads: Callable[[Any], SamplesRead] | None = None
    circuit: Callable[[Any], Circuit] | None = None
    validation: Literal["data", "devices"] | None = None
    on: str = "nanowire://"
    own_controls: str = ""

    __repr__ = one_line

    @property
    def several(self) -> bool:
        """Whether the task is run on a sequence of substrates."""
        return self.substrates is not None or self.needs == "learning"

    def uris(self, settings: msgspec.Struct, given: str | None, part: Part = "test") -> list[str]:
        """Return the URIs of the substrates that the task runs on.

        Parameters
        ----------
        settings
            Settings of the task.
        given : str or None
            URI that was given. A task that trains matter has one of its own, which also completes a URI that gives
            no circuit; for several starts there are that many simulators, of seeds that follow one another.
        part : {"test", "validation"}
            The part that the run is of; for validation, simulators of a task whose `validation` is ``"devices"`` have
            other seeds.

        Raises
        ------
        UnsuitableSetting
            If several starts are asked for, and the URI is not a simulator's; or if the device cannot be another one.
        """
        uris = self._uris(settings, given)
        if part == "test" or self.validation != "devices":
            return uris
        uris = [uri_for_choosing(uri, CHOOSING_SEEDS) if is_simulated(uri) else uri for uri in uris]
        self.check_part(part, uris)
        return uris

    def check_part(self, part: Part, uris: Sequence[str]) -> None:
        """Check that the task can be run on a part of its data.

        Parameters
        ----------
        part : {"test", "validation"}
        uris : sequence of str
            URIs of the substrates.

        Raises
        ------
        UnsuitableSetting
            If there is no such part, or nothing in which the run would differ from a reported one.
        """
        if part == "test":
            return
        if self.validation is None:
            raise UnsuitableSetting(
                f"{self.name} has no part for validation: it scores no readout, or does not say where its data come "
                'from; a task that does is made with Task(..., validation="data")'
            )
        reported = [uri for uri in uris if _seed_of(uri) < CHOOSING_SEEDS]
        if self.validation == "devices" and reported:
            raise UnsuitableSetting(
                f"{self.name} scores the points that it learned, so settings are chosen on other simulators, of seeds "
                f"from {CHOOSING_SEEDS} on; {shown(reported[0])} is none"
            )

    def _uris(self, settings: msgspec.Struct, given: str | None) -> list[str]:
        if self.substrates is not None:
            return self.substrates(settings)
        if self.circuit is None or (given is None and self.needs != "learning"):
            return [given or self.on]
        circuit = self.circuit(settings)
        uri = completed_uri(given or circuit.uri, circuit)
        starts: int = getattr(settings, "starts", 1) if self.needs == "learning" else 1
        if starts > 1 and not is_simulated(uri):
            raise UnsuitableSetting(
                f"{self.name} was given starts={starts}; only simulators begin again with other weights, and "
                f"{shown(uri)} keeps what it has learned; leave starts out, and run {self.name} again on another device"
            )
        return uris_of_starts(uri, starts)

    def settings_from(self, given: Mapping[str, Any]) -> msgspec.Struct:
        """Make the settings from strings, as given on a command line, or from values, as in a file.

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
            return msgspec.convert(_with_plain_numbers(given, self.settings), type=self.settings, strict=False)
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

    def check(self, info: SubstrateInfo, settings: msgspec.Struct | None = None) -> None:
        """Check that a substrate meets the requirement of the task.

        Parameters
        ----------
        info : SubstrateInfo
        settings
            Settings of the task; the defaults if they are left out.

        Raises
        ------
        UnsuitableSubstrate
            If it does not; the message says what the substrate gives, and what to use instead.
        """
        learns = learning_channels(info) is not None
        if self.needs == "learning" or (learns and self.circuit is not None):
            assert self.circuit is not None
            circuit = self.circuit(self.settings() if settings is None else settings)
            if wrong := mismatch(info, circuit):
                raise UnsuitableSubstrate(
                    f"{info.id} ({info.kind}) {wrong}; {self.name} trains the matter itself: give --on "
                    f"'{circuit.uri}', or serve that"
                )
            return
        if learns and self.needs is not None:
            raise UnsuitableSubstrate(
                f"{info.id} ({info.kind}) learns by itself, from labels; {self.name} reads matter as it is; give "
                f"--on {'culture' if self.needs == 'spikes' else 'nanowire'}://, or run a task that trains matter, "
                "such as xor"
            )
        if self.needs == "spikes" and not (info.spiking or counts_spikes(info)):
            raise UnsuitableSubstrate(
                f"{info.id} ({info.kind}) gives no spikes; {self.name} counts the spikes that pulses evoke; "
                "give a culture, such as --on culture://, or run a task that reads a signal, such as memory"
            )
        levels = any(channel.levels is not None for channel in info.inputs)
        if self.needs == "signal" and levels and not (self.pulses_to_neurons and counts_spikes(info)):
            raise UnsuitableSubstrate(
                f"{info.id} ({info.kind}) has inputs that take only certain levels; {self.name} drives its inputs with "
                "any value of their range; give such a substrate, for instance --on nanowire://, or run a task of "
                "pulses, such as henon"
            )


def counts_spikes(info: SubstrateInfo) -> bool:
    """Return whether the outputs of a substrate are counts of neurons' spikes."""
    return info.kind == "neural-culture" and all(channel.unit == "1" for channel in info.outputs)


def _seed_of(uri: str) -> int:
    found = _SEED.search(uri)
    return int(found[1]) if found else 0


def task_names() -> list[str]:
    """Return the names of all tasks that were found."""
    return sorted({*_BUILT_IN, *plugin_names(_GROUP)})


def task_summaries() -> list[tuple[str, str]]:
    """List the tasks that were found, each with a summary in one line, importing none of them."""
    return sorted([*_BUILT_IN.items(), *plugin_summaries(_GROUP)])


def _in_words(error: Exception, given: Mapping[str, Any]) -> str:
    """Describe an error of msgspec: which setting it is about, and what was given."""
    expected, _, path = str(error).partition(" - at `$.")
    name = path.rstrip("`")
    if name not in given:
        return str(error)
    return f"{name} is {given[name]!r}; {expected[0].lower()}{expected[1:]}"


def _with_plain_numbers(given: Mapping[str, Any], settings: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the settings with numbers as msgspec reads them: 0.5 for ``.5``, 1.0 for ``1.`` and ``+1``."""
    kinds = {field.name: types.type_info(field.type) for field in msgspec.structs.fields(settings)}
    plain = dict(given)
    for name, value in given.items():
        kind = kinds[name]
        of_number = isinstance(kind, types.FloatType) or (
            isinstance(kind, types.UnionType)
            and any(isinstance(each, types.FloatType) for each in kind.types)
            and not any(isinstance(each, types.StrType) for each in kind.types)
        )
        if of_number and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            plain[name] = repr(float(value))
    return plain


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
