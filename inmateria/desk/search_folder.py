"""The folder of a search: what is searched, the settings of each trial, and how each ended.

Each file is written once and never changed, so that a process may die at any moment. A trial is claimed as a point is;
one whose process died is taken up with the same settings, and what had been run of it is not run again.
"""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from inmateria import __version__
from inmateria.desk.point_folder import (
    PointFolder,
    SweepFolderError,
    make_places,
    read_document,
    refuse_secrets,
    write_once,
)
from inmateria.desk.points import Point
from inmateria.desk.search_space import Dimension, with_parameter
from inmateria.one_line import one_line
from inmateria.protocols.task import find_task

__all__ = ["SEARCH_FILE", "Ending", "Search", "SearchFolder", "Trial"]

SEARCH_FILE = "search.json"
_FORMAT = 1


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search as its folder holds it.

    Parameters
    ----------
    task : str
        Name of the task.
    on : tuple of str
        URIs of the substrate; repeat k of a trial is on the k-th, and from the first one again. Empty for that of the
        task.
    settings : dict
        Settings that are the same in all trials.
    over : tuple of Dimension
        What is searched.
    trials : int
        Number of trials.
    repeats : int
        Runs of a trial, one after another: with the task's seed and those after it.
    objective : {"gain", "score", "noisy"}
        What is to be as large as possible: the mean over repeats of the gain over the best control, of the score, or of
        the score with noise of reading.
    sampler : {"tpe", "random"}
        How settings are proposed.
    seed : int
        Of the sampler.
    prune : bool
        Whether a trial ends after a repeat whose mean so far is below the median of those of finished trials.
    keep : str
        What the recordings of its runs keep.
    reports : bool
        Whether each run writes a report.
    version : str
        Version of inmateria.
    created : str
        ISO 8601, UTC.
    format : int
        Version of this format.
    """

    task: str
    on: tuple[str, ...]
    settings: dict[str, Any]
    over: tuple[Dimension, ...]
    trials: int
    repeats: int = 1
    objective: Literal["gain", "score", "noisy"] = "gain"
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = 0
    prune: bool = True
    keep: str = "nothing"
    reports: bool = False
    version: str = __version__
    created: str = ""
    format: int = _FORMAT


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a trial ended.

    Parameters
    ----------
    state : {"complete", "pruned", "failed"}
    values : tuple of float
        The objective of each repeat that was run.
    error : str
        Of a failed one, in one line.
    """

    state: Literal["complete", "pruned", "failed"]
    values: tuple[float, ...] = ()
    error: str = ""

    @property
    def value(self) -> float | None:
        """Mean of the objective over the repeats; None if there is none."""
        return sum(self.values) / len(self.values) if self.values else None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of a search.

    Parameters
    ----------
    number : int
    parameters : dict
        Value of each dimension.
    ending : Ending, optional
        None while it is not over.
    """

    number: int
    parameters: dict[str, Any]
    ending: Ending | None = None

    __repr__ = one_line


class SearchFolder(PointFolder):
    """An open folder of a search.

    Parameters
    ----------
    path : Path
        The folder, with its ``search.json``.

    Raises
    ------
    SweepFolderError
        If it is not the folder of a search.
    """

    def __init__(self, path: Path) -> None:
        self.search = read_document(path / SEARCH_FILE, Search, "search")
        super().__init__(path, (), self.search.keep, self.search.reports)
        self.task = find_task(self.search.task)
        self._trials, self._ended = path / "trials", path / "ended"
        self._known: dict[int, Trial] = {}

    @classmethod
    def make(cls, path: Path, search: Search) -> "SearchFolder":
        """Make the folder of a search, or open it if it is there and is of the same; more trials may be asked for.

        Any number of processes may do this at once.

        Raises
        ------
        SweepFolderError
            If the folder is one of another search, or a URI holds a password.
        """
        refuse_secrets(search.on)
        make_places(path, "trials", "ended")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        search = msgspec.structs.replace(search, created=now)
        write_once(path / SEARCH_FILE, msgspec.json.format(msgspec.json.encode(search)))
        folder = cls(path)
        if msgspec.structs.replace(search, created=folder.search.created) != folder.search:
            raise SweepFolderError(
                f"{path} is the folder of another search, {folder.search.trials:,} trials of {folder.search.task}; "
                "give another folder, or `--resume` to go on with that one"
            )
        return folder

    def require_this_version(self) -> None:
        """Refuse to go on with a search of another version of inmateria, whose results may differ.

        Raises
        ------
        SweepFolderError
        """
        if self.search.version != __version__:
            raise SweepFolderError(
                f"{self.path} is a search of inmateria {self.search.version}; this is {__version__}, whose results may "
                "differ: install that version, or begin another search"
            )

    def claim_name(self, number: int) -> str:
        """Return the name under which a trial is claimed."""
        return f"trial-{number:06d}"

    def ended(self) -> set[int]:
        """Return the numbers of the trials that are over."""
        return _numbers(self._ended)

    def finished(self) -> set[str]:
        """Return the digests of all runs that are finished, of any process."""
        with os.scandir(self.runs) as found:
            return {each.name for each in found if not each.name.startswith(".")}

    def tidy_all(self) -> None:
        """Remove what processes left that died, once all trials are over: claims also of runs that no trial needed."""
        names = [each.name for place in (self.claims, self._working) for each in place.iterdir()]
        self.tidy({name.lstrip(".").partition(".")[0] for name in names})

    def counts(self) -> tuple[int, int]:
        """Return how many trials have a value, pruned ones included, and how many failed."""
        over = [trial for trial in self.trials() if trial.ending is not None]
        failed = sum(trial.ending is not None and trial.ending.state == "failed" for trial in over)
        return len(over) - failed, failed

    def parameters_of(self, number: int) -> dict[str, Any] | None:
        """Return the values of a trial; None if it has not begun."""
        known = self._known.get(number)
        if known is not None:
            return known.parameters
        try:
            found: dict[str, Any] = msgspec.json.decode(self._file(self._trials, number).read_bytes())
        except FileNotFoundError:
            return None
        return found

    def begin(self, number: int, parameters: dict[str, Any]) -> dict[str, Any]:
        """Note the values of a trial, and return them; those that another process noted before, if one did."""
        write_once(self._file(self._trials, number), msgspec.json.encode(parameters))
        there = self.parameters_of(number)
        assert there is not None
        return there

    def end(self, number: int, ending: Ending) -> None:
        """Note how a trial ended, unless another process did."""
        write_once(self._file(self._ended, number), msgspec.json.encode(ending))

    def trials(self) -> list[Trial]:
        """Return the trials that have begun, by number; what is over is read once."""
        over = self.ended()
        found = []
        for number in sorted(_numbers(self._trials) | over):
            trial = self._known.get(number)
            if trial is None:
                ending = None
                if number in over:
                    ending = msgspec.json.decode(self._file(self._ended, number).read_bytes(), type=Ending)
                trial = Trial(number=number, parameters=self.parameters_of(number) or {}, ending=ending)
                if ending is not None:
                    self._known[number] = trial
            found.append(trial)
        return found

    def forget_failures(self) -> int:
        """Let failed trials be tried again, and return how many there are."""
        super().forget_failures()
        failed = [trial for trial in self.trials() if trial.ending is not None and trial.ending.state == "failed"]
        for trial in failed:
            self._known.pop(trial.number, None)
            for place in (self._ended, self._trials):
                self._file(place, trial.number).unlink(missing_ok=True)
        return len(failed)

    def uri_of(self, parameters: dict[str, Any], repeat: int = 0) -> str:
        """Return the URI of a repeat of a trial; empty for that of the task."""
        on = self.search.on
        own = {name: value for name, value in parameters.items() if name.startswith("on.")}
        uri = on[repeat % len(on)] if on else ""
        for name, value in own.items():
            uri = with_parameter(uri, name.removeprefix("on."), value)
        return uri

    def settings_of(self, parameters: dict[str, Any], repeat: int = 0) -> dict[str, Any]:
        """Return all settings of a repeat of a trial.

        Raises
        ------
        UnknownTask
            If the task does not take a value.
        """
        own = {name: value for name, value in parameters.items() if not name.startswith("on.")}
        settings = self.task.settings_from({**self.search.settings, **own})
        if hasattr(settings, "seed"):
            settings = msgspec.structs.replace(settings, seed=settings.seed + repeat)
        made: dict[str, Any] = msgspec.to_builtins(settings)
        return made

    def add_point(self, parameters: dict[str, Any], repeat: int) -> str:
        """Add the point of a repeat of a trial, and return its digest.

        Raises
        ------
        UnknownTask
            If the task does not take a value.
        """
        point = Point(
            task=self.search.task,
            on=self.uri_of(parameters, repeat),
            settings=self.settings_of(parameters, repeat),
            part="validation",
        )
        digest = point.digest
        self.points.setdefault(digest, point)
        return digest

    @staticmethod
    def _file(place: Path, number: int) -> Path:
        return place / f"{number:06d}.json"


def _numbers(place: Path) -> set[int]:
    with os.scandir(place) as found:
        names = [each.name for each in found]
    numbers = set()
    for name in names:
        with contextlib.suppress(ValueError):  # a draft
            numbers.add(int(name.removesuffix(".json")))
    return numbers
