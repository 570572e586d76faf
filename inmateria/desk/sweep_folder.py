"""The folder of a sweep: its points, written once, and all that a folder of points has."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from inmateria.desk.point_folder import (
    Failure,
    PointFolder,
    SweepFolderError,
    make_places,
    read_document,
    refuse_secrets,
    write_once,
)
from inmateria.desk.points import Point

__all__ = ["Failure", "SweepFolder", "SweepFolderError"]

SWEEP_FILE = "sweep.json"
_FORMAT = 1


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


class SweepFolder(PointFolder):
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
        self.sweep = read_document(path / SWEEP_FILE, Sweep, "sweep")
        super().__init__(path, self.sweep.points, self.sweep.keep, self.sweep.reports)

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
        refuse_secrets({point.on for point in points})
        if not points:
            raise SweepFolderError("the sweep has no points")
        make_places(path)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sweep = Sweep(points=tuple(points), keep=keep, reports=reports, created=now)
        write_once(path / SWEEP_FILE, msgspec.json.encode(sweep))
        folder = cls(path)
        given = Sweep(points=tuple(points), keep=keep, reports=reports, created=folder.sweep.created)
        if folder.sweep != given:
            raise SweepFolderError(
                f"{path} is the folder of another sweep, of {len(folder.points):,} points; give another folder, or "
                "`--resume` to go on with that one"
            )
        return folder
