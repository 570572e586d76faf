"""The tasks that `inmateria run` knows: what a task is, and how one is found by its name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec

from inmateria.protocols.runs import Outcome
from inmateria.substrate import Substrate

_BUILT_IN = {
    "digits": "inmateria.protocols.digits:TASK",
    "mackey-glass": "inmateria.protocols.time_series:MACKEY_GLASS",
    "memory": "inmateria.protocols.time_series:MEMORY",
    "waveform": "inmateria.protocols.time_series:WAVEFORM",
}
_GROUP = "inmateria.tasks"


class UnknownTask(LookupError):
    """No task of that name is known here, or it does not take such a setting."""


class Watch(Protocol):
    """What a task tells of its progress, at least a few times a second."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Say that `done` of `of` items of a phase are done, with so many substrate steps applied in all."""


@dataclass(frozen=True)
class Task:
    """Something that can be run on any substrate.

    Parameters
    ----------
    name, summary : str
        What it is called, and one line of what it does.
    settings : type
        A `msgspec.Struct` whose fields, with their defaults, are what can be set.
    run : async callable
        ``(substrate, settings, watch) -> Outcome``; the substrate is not entered yet.
    """

    name: str
    summary: str
    settings: type[msgspec.Struct]
    run: Callable[[Substrate, Any, Watch], Awaitable[Outcome]]

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


def find_task(name: str) -> Task:
    """Find a task by its name.

    Raises
    ------
    UnknownTask
        Where there is none; the message names those there are.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        task = getattr(import_module(module), attribute)
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
