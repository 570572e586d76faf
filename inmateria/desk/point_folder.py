"""A folder in which points are run: claims, finished runs, points that failed, and the places where they are run."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec

from inmateria import __version__
from inmateria.adapters.uri import is_simulated, shown
from inmateria.desk.points import Point
from inmateria.one_line import one_line

__all__ = [
    "Failure",
    "PointFolder",
    "SweepFolderError",
    "make_places",
    "read_document",
    "refuse_secrets",
    "write_once",
]

Document = TypeVar("Document")


class SweepFolderError(ValueError):
    """A folder is not a sweep's, or is one of another sweep."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A point that failed.

    Parameters
    ----------
    point : Point
    error : str
        The error in one line.
    details : str
        The traceback.
    failed : str
        When, ISO 8601, UTC.
    """

    point: Point
    error: str
    details: str = ""
    failed: str = ""

    __repr__ = one_line


class PointFolder:
    """A folder in which any number of processes run points.

    Parameters
    ----------
    path : Path
        The folder.
    points : iterable of Point
        Points that are known at the beginning.
    keep : str
        What the recordings of its runs keep.
    reports : bool
        Whether each run writes a report.

    Attributes
    ----------
    points : dict of str to Point
        By digest, in the order in which they are run.
    """

    def __init__(self, path: Path, points: Iterable[Point], keep: str, reports: bool) -> None:
        self.path, self.keep, self.reports = path, keep, reports
        self.points = {point.digest: point for point in points}
        self.claims, self.devices, self.runs = path / "claims", path / "devices", path / "runs"
        self._working, self._failed = path / "working", path / "failed"

    def require_this_version(self) -> None:
        """Refuse to run points of another version of inmateria, whose results may differ.

        Raises
        ------
        SweepFolderError
            If the points are of another version.
        """
        others = {point.version for point in self.points.values()} - {__version__}
        if others:
            raise SweepFolderError(
                f"{self.path} is a sweep of inmateria {', '.join(sorted(others))}; this is {__version__}, whose "
                "results may differ: install that version, or begin another sweep"
            )

    def is_done(self, digest: str) -> bool:
        """Return whether a point's run is finished."""
        return (self.runs / digest / "run.json").exists()

    def finished(self) -> set[str]:
        """Return the digests of the finished points."""
        with os.scandir(self.runs) as found:
            return {each.name for each in found if each.name in self.points}

    def failed(self) -> set[str]:
        """Return the digests of the points that failed."""
        with os.scandir(self._failed) as found:
            return {each.name.removesuffix(".json") for each in found if each.name.endswith(".json")}

    def failures(self) -> Iterator[Failure]:
        """Read the failures, by digest."""
        for digest in sorted(self.failed()):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                yield msgspec.json.decode((self._failed / f"{digest}.json").read_bytes(), type=Failure)

    def has_failed(self, digest: str) -> bool:
        """Return whether a point failed."""
        return (self._failed / f"{digest}.json").exists()

    def was_claimed(self, digest: str) -> bool:
        """Return whether a point that is not finished has been claimed, by a process that lives or has died."""
        return (self.claims / f"{digest}.0").exists()

    def working_folder(self, digest: str, attempt: int) -> Path:
        """Make an empty folder in which a point is run."""
        folder = self._working / f"{digest}.{attempt}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def run_at_work(self, digest: str, attempt: int) -> Path | None:
        """Return the folder of the run that is being made of a point; None if it has not begun."""
        try:
            with os.scandir(self._working / f"{digest}.{attempt}") as found:
                names = sorted(each.name for each in found if not each.name.startswith("."))
        except OSError:
            return None
        return self._working / f"{digest}.{attempt}" / names[-1] if names else None

    def forget_working(self, digest: str, attempts: int) -> None:
        """Remove the folders in which a point was run, also those of processes that died."""
        for attempt in range(attempts + 1):
            shutil.rmtree(self._working / f"{digest}.{attempt}", ignore_errors=True)

    def finish(self, digest: str, folder: Path) -> bool:
        """Put the run of a point, made in a folder of its own, in its place; return False if there is one already."""
        try:
            folder.rename(self.runs / digest)
        except OSError:
            if not self.is_done(digest):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            return False
        return True

    def tidy(self, over: set[str]) -> None:
        """Remove claims and folders of points that are over, which processes left that died before they could."""
        for place in (self.claims, self._working):
            with os.scandir(place) as found:
                names = [each.name for each in found if each.name.lstrip(".").partition(".")[0] in over]
            for name in names:
                if place == self._working:
                    shutil.rmtree(place / name, ignore_errors=True)
                else:
                    (place / name).unlink(missing_ok=True)

    def fail(self, digest: str, error: str, details: str = "") -> None:
        """Note that a point failed, unless its run is there: made by a process that took the point over."""
        if self.is_done(digest):
            return
        failure = Failure(
            point=self.points[digest], error=error, details=details,
            failed=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        draft = self._failed / f".{digest}-{uuid4().hex}"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(failure)))
        draft.replace(self._failed / f"{digest}.json")

    def forget_failures(self) -> int:
        """Let failed points be tried again, and return how many there are."""
        digests = self.failed()
        self.tidy(digests)  # a process that died between its note and its claim's end counts no more
        for digest in digests:
            (self._failed / f"{digest}.json").unlink(missing_ok=True)
        return len(digests)

    def device_of(self, digest: str) -> str | None:
        """Return a name of the device that a point needs for itself; None for a simulator in the process."""
        uri = self.points[digest].on
        if not uri or is_simulated(uri):
            return None
        return blake2b(uri.partition("?")[0].encode(), digest_size=10).hexdigest()


def make_places(path: Path, *further: str) -> None:
    """Make a folder, and those in it for points.

    Raises
    ------
    SweepFolderError
        If they cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in ("claims", "devices", "runs", "working", "failed", "logs", *further):
            (path / name).mkdir(exist_ok=True)
    except OSError as error:
        raise SweepFolderError(f"{path} cannot be made ({error.strerror}); give another folder") from None


def refuse_secrets(uris: Iterable[str]) -> None:
    """Refuse URIs that hold a user, a password or a token.

    Raises
    ------
    SweepFolderError
    """
    for uri in uris:
        if shown(uri) != uri:
            raise SweepFolderError(
                f"{shown(uri)} has a user, a password or a token, which would be written into the sweep's folder; "
                "leave it out, and give INMATERIA_MQTT_CREDENTIALS"
            )


def read_document(file: Path, kind: type[Document], of: str) -> Document:
    """Read the document that says what a folder is of: a ``"sweep"`` or a ``"search"``.

    Raises
    ------
    SweepFolderError
        If it is not there, or cannot be read.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        raise SweepFolderError(f"{file.parent} is not the folder of a {of}: it has no {file.name}") from None
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise SweepFolderError(f"{file} cannot be read ({error})") from None


def write_once(path: Path, text: bytes) -> bool:
    """Write a file, whole, unless it is there; return whether this call wrote it. Any number of processes may try."""
    draft = path.parent / f".{path.name}-{uuid4().hex}"
    draft.write_bytes(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("xb") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        draft.unlink()
    return True
