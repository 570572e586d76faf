"""The runs below a folder, read once each: an index beside them holds the summaries of those that did not change."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from inmateria import __version__
from inmateria.desk.summaries import RunSummary, summary_of
from inmateria.protocols.costs import Cost
from inmateria.protocols.gains import Gain
from inmateria.protocols.runs import RUN_FILE, RunFolderError

__all__ = ["NewRuns", "find_run", "read_catalogue"]

_INDEX = ".catalogue"
_VERSION = " ".join((__version__, *RunSummary.__struct_fields__, *Gain.__struct_fields__, *Cost.__struct_fields__))
"""The version of an index; one of another version is made anew."""


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """The summary of a run.json of a certain size and time of change."""

    changed: int
    size: int
    summary: RunSummary


class _Index(msgspec.Struct, frozen=True, array_like=True):
    """The index: entries by the name of the folder; those of another version are read anew."""

    version: str
    entries: dict[str, _Entry]


_DECODER = msgspec.msgpack.Decoder(_Index)


def read_catalogue(folder: Path | str = "runs") -> list[RunSummary]:
    """Summarise every run directly below a folder, the oldest first.

    The index (``.catalogue`` in that folder) is made anew where it is missing, damaged or of another version; a folder
    that cannot be written is read without one. Runs that cannot be read are left out; `read_with_failures` names them.

    Parameters
    ----------
    folder : Path or str
        Where run folders are made: that of ``inmateria run --out``.

    Returns
    -------
    list of RunSummary

    Raises
    ------
    RunFolderError
        If there is no such folder.
    """
    return read_with_failures(folder)[0]


def read_with_failures(folder: Path | str) -> tuple[list[RunSummary], dict[str, str]]:
    """Summarise every run below a folder, and say of each run.json that cannot be read why.

    Raises
    ------
    RunFolderError
        If there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise RunFolderError(f"{place} is not a folder; give one that holds runs")
    known = _read_index(place)
    entries: dict[str, _Entry] = {}
    failures: dict[str, str] = {}
    changed = False
    for name, status in _run_files(place):
        entry = known.get(name)
        if entry is None or (entry.changed, entry.size) != (status.st_mtime_ns, status.st_size):
            try:
                summary = summary_of(name, (place / name / RUN_FILE).read_bytes())
            except (msgspec.DecodeError, ValueError, OSError) as error:
                failures[name] = str(error)
                continue
            entry, changed = _Entry(status.st_mtime_ns, status.st_size, summary), True
        entries[name] = entry
    if changed or len(entries) != len(known):
        _write_index(place, entries)
    return sorted((entry.summary for entry in entries.values()), key=lambda run: (run.created, run.name)), failures


class NewRuns:
    """The runs below a folder that came since the last look, each read once; for a table of a sweep that runs.

    Parameters
    ----------
    folder : Path
        Folder in which every run is whole as soon as it is there, as in that of a sweep.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()

    def read(self, seconds: float) -> list[RunSummary]:
        """Summarise runs that are new, for some seconds at most; those that are left come at the next look."""
        until = time.monotonic() + seconds
        found = []
        with os.scandir(self._folder) as entries:
            new = [each.name for each in entries if each.name not in self._seen and not each.name.startswith(".")]
        for name in new:
            self._seen.add(name)
            with suppress(msgspec.DecodeError, ValueError, OSError):
                found.append(summary_of(name, (self._folder / name / RUN_FILE).read_bytes()))
            if time.monotonic() > until:
                break
        return found


def find_run(name: str, folder: Path | str = "runs") -> Path:
    """Find a run's folder: by its path, its name, a part of its name that no other has, or ``last``.

    Raises
    ------
    RunFolderError
        If there is none, or several have that part.
    """
    path = Path(name)
    if (path / RUN_FILE).is_file():
        return path
    place = Path(folder)
    if (place / name / RUN_FILE).is_file():
        return place / name
    names = sorted(each for each, _ in _run_files(place)) if place.is_dir() else []
    if name == "last" and names:
        return place / read_catalogue(place)[-1].name
    fitting = [each for each in names if name in each]
    if len(fitting) == 1:
        return place / fitting[0]
    if fitting:
        raise RunFolderError(
            f"{len(fitting)} runs in {place} have {name!r} in their names: {', '.join(fitting[:5])}"
            f"{', ...' if len(fitting) > 5 else ''}; give more of the name"
        )
    raise RunFolderError(
        f"there is no run {name!r}, neither as a path nor in {place}; `inmateria runs` lists those there are"
    )


def _run_files(place: Path) -> Iterator[tuple[str, os.stat_result]]:
    """List the names of the run folders, each with the status of its run.json."""
    with os.scandir(place) as found:
        for each in found:
            if not each.name.startswith("."):
                with suppress(OSError):
                    yield each.name, Path(each.path, RUN_FILE).stat()


def _read_index(place: Path) -> dict[str, _Entry]:
    try:
        index = _DECODER.decode((place / _INDEX).read_bytes())
    except (OSError, msgspec.DecodeError, ValueError):
        return {}
    return index.entries if index.version == _VERSION else {}


def _write_index(place: Path, entries: dict[str, _Entry]) -> None:
    draft = place / f"{_INDEX}-{uuid4().hex}"
    try:
        draft.write_bytes(msgspec.msgpack.encode(_Index(_VERSION, entries)))
        draft.replace(place / _INDEX)
    except OSError:  # a folder of others, or a full disk: the next one reads all again
        with suppress(OSError):
            draft.unlink()
