"""The tasks that `inmateria run` knows: what a task is, and how one is found by its name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec

from inmateria.protocols.runs import Outcome

_BUILT_IN = {
    "capacity": ("capacity:TASK", "what it remembers and computes: memory and information processing capacity"),
    "cart-pole": ("cart_pole:TASK", "balance a pole with neurons in the loop"),
    "centre-of-activity": ("neural_activity:CENTRE_OF_ACTIVITY", "where a response lies, and what moves it"),
    "digits": ("digits:TASK", "read scikit-learn's 1,797 handwritten digits, online and batch"),
    "henon": ("neural_reservoir:HENON", "forecast the Henon map from spikes"),
    "japanese-vowels": ("neural_reservoir:JAPANESE_VOWELS", "tell nine speakers apart from spikes"),
    "mackey-glass": ("time_series:MACKEY_GLASS", "forecast a chaotic series 84 steps ahead"),
    "memory": ("time_series:MEMORY", "recall a random series: memory capacity by delay"),
    "patterns": ("neural_reservoir:PATTERNS", "tell bars or places of stimulation apart from spikes"),
    "response-map": ("neural_activity:RESPONSE_MAP", "spikes evoked by single pulses, by place and amplitude"),
    "sequence-memory": ("sequence_memory:TASK", "name the digits that were shown before"),
    "spontaneous": ("neural_activity:SPONTANEOUS", "what neurons do by themselves"),
    "stack": ("layered_digits:TASK", "read the digits in several physical layers, trained by local bottlenecks"),
    "timer": ("neural_reservoir:TIMER", "say from spikes which place was stimulated, and how long ago"),
    "waveform": ("time_series:WAVEFORM", "turn a sine into other waves"),
}
_GROUP = "inmateria.tasks"


class UnknownTask(LookupError):
    """No task of that name is known here, or it does not take such a setting."""


class ProgressCallback(Protocol):
    """What a task tells of its progress, at least a few times a second."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Say that `done` of `of` items of a phase are done, with so many substrate steps applied in all."""


@dataclass(frozen=True)
class Task:
    """Something that can be run on any substrate.

    Parameters
    ----------
    name : str
        What it is called.
    settings : type
        A `msgspec.Struct` whose fields, with their defaults, are what can be set.
    run : async callable
        ``(substrate, settings, on_progress) -> Outcome``; the substrate is not entered yet. Where a task names
        substrates, it is a sequence of them.
    substrates : callable, optional
        ``settings -> URIs``, for a task that runs on the substrates which its settings name.
    """

    name: str
    settings: type[msgspec.Struct]
    run: Callable[[Any, Any, ProgressCallback], Awaitable[Outcome]]
    substrates: Callable[[Any], list[str]] | None = None

    def settings_from(self, given: Mapping[str, str]) -> msgspec.Struct:
        """Make the settings from words, as given on a command line.

        Raises
        ------
        UnknownTask
            Where a name or a value is not one that the task takes.
        """
        fields = {field.name: field for field in msgspec.structs.fields(self.settings)}
        for name in given:
            if name not in fields:
                raise UnknownTask(f"{self.name} has no setting {name!r}; it has {', '.join(fields)}")
        try:
            return msgspec.convert(dict(given), type=self.settings, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise UnknownTask(f"{self.name} does not take these settings: {error}") from None


def task_names() -> list[str]:
    """List the names of the tasks that were found."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def task_summaries() -> list[tuple[str, str]]:
    """List the tasks that were found, each with a line on what it does, importing none of them."""
    own = [(name, summary) for name, (_, summary) in _BUILT_IN.items()]
    others = [
        (point.name, f"from {point.dist.name} {point.dist.version}" if point.dist else point.value)
        for point in entry_points(group=_GROUP)
    ]
    return sorted(own + others)


def find_task(name: str) -> Task:
    """Find a task by its name.

    Raises
    ------
    UnknownTask
        Where there is none; the message names those there are.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name][0].partition(":")
        task = getattr(import_module(f"inmateria.protocols.tasks.{module}"), attribute)
    else:
        found = entry_points(group=_GROUP, name=name)
        if not found:
            names = task_names()
            close = get_close_matches(name, names, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}"
            raise UnknownTask(f"there is no task {name!r}; {meant}")
        task = found[name].load()
    if not isinstance(task, Task):
        raise UnknownTask(f"the entry point {name!r} in {_GROUP} is not a Task; it must name one")
    return task
