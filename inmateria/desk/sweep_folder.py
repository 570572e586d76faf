"""The folder of a sweep: its points, the claims, the finished runs, and the points that failed."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import msgspec

from inmateria import __version__
from inmateria.adapters.uri import is_simulated, shown
from inmateria.desk.points import Point

__all__ = ["Failure", "SweepFolder", "SweepFolderError"]

SWEEP_FILE = "sweep.json"
_FORMAT = 1


class SweepFolderError(ValueError):
    """A folder is not a sweep's, or is one of another sweep."""


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep as its folder holds it.

    Parameters
    ----------
    points : tuple of Point
        In the order in which they are run.
    keep : str
        What the recordings of its runs keep.
    reports : bool
        Whether each run writes a report.
    created : str
        ISO 8601, UTC.
    format : int
        Version of this format.
    """

    points: tuple[Point, ...]
    keep: str = "nothing"
    reports: bool = False
    created: str = ""
    format: int = _FORMAT


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


class SweepFolder:
    """An open folder of a sweep.

    Parameters
    ----------
    path : Path
        The folder, with its ``sweep.json``.

    Attributes
    ----------
    path : Path
    sweep : Sweep
    points : dict of str to Point
        By digest, in the order in which they are run.

    Raises
    ------
    SweepFolderError
        If it is not the folder of a sweep.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = path / SWEEP_FILE
        try:
            self.sweep = msgspec.json.decode(file.read_bytes(), type=Sweep)
        except FileNotFoundError:
            raise SweepFolderError(f"{path} is not the folder of a sweep: it has no {SWEEP_FILE}") from None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise SweepFolderError(f"{file} cannot be read ({error})") from None
        self.points = {point.digest: point for point in self.sweep.points}
        self.claims, self.devices, self.runs = path / "claims", path / "devices", path / "runs"
        self._working, self._failed = path / "working", path / "failed"

    @classmethod
    def make(
        cls, path: Path, points: Sequence[Point], *, keep: str = "nothing", reports: bool = False
    ) -> "SweepFolder":
        """Make the folder of a sweep, or open it if it is there and has the same points.

        Any number of processes may do this at once.

        Raises
        ------
        SweepFolderError
            If the folder is one of other points, or has anything else in it, or a URI holds a password.
        """
        for uri in {point.on for point in points}:
            if shown(uri) != uri:
                raise SweepFolderError(
                    f"{shown(uri)} has a user, a password or a token, which would be written into the sweep's folder; "
                    "leave it out, and give INMATERIA_MQTT_CREDENTIALS"
                )
        if not points:
            raise SweepFolderError("the sweep has no points")
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in ("claims", "devices", "runs", "working", "failed", "logs"):
                (path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise SweepFolderError(f"{path} cannot be made ({error.strerror}); give another folder") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sweep = Sweep(points=tuple(points), keep=keep, reports=reports, created=now)
        draft = path / f".{SWEEP_FILE}-{uuid4().hex}"
        draft.write_bytes(msgspec.json.encode(sweep))
        try:
            os.link(draft, path / SWEEP_FILE)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with contextlib.suppress(FileExistsError), (path / SWEEP_FILE).open("xb") as file:
                file.write(draft.read_bytes())
        finally:
            draft.unlink()
        folder = cls(path)
        given = Sweep(points=tuple(points), keep=keep, reports=reports, created=folder.sweep.created)
        if folder.sweep != given:
            raise SweepFolderError(
                f"{path} is the folder of another sweep, of {len(folder.points):,} points; give another folder, or "
                "`--resume` to go on with that one"
            )
        return folder

    def require_this_version(self) -> None:
        """Refuse to run points of another version of inmateria, whose results may differ.

        Raises
        ------
        SweepFolderError
            If the points are of another version.
        """
        others = {point.version for point in self.sweep.points} - {__version__}
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
