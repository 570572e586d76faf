"""Plans of imports: what will be written, known and shown before it is written; and the writing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from inmateria.recording.format import Exchange, Note, RecordingError
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import SubstrateInfo

_TOGETHER = 100  # exchanges and notes written at a time


@dataclass(frozen=True, slots=True)
class Row:
    """One column or channel of a file, and what it becomes.

    Parameters
    ----------
    name, unit : str
    role : str
        ``"time"``, ``"driven"``, ``"ground"``, ``"read"``, ``"spikes"``, ``"empty"`` or ``"left out"``.
    detail : str
        Rate, times, or a reason.
    """

    name: str
    unit: str
    role: str
    detail: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """All that an import will write.

    Parameters
    ----------
    source : str
        How the file was understood.
    rows : tuple of Row
        Columns or channels of the file.
    info : SubstrateInfo
        Info of the recording; its step and sampling rate are those of the recording.
    steps : int
        Number of steps in the recording.
    items : callable
        Returns the exchanges and notes, in order.
    roles : str
        Where the roles of the columns are from.
    left_out : tuple of str
        Parts of the file that are not in the recording, or changed.
    unasked : tuple of str
        Those of them that the user did not ask to leave out.
    annotations, provenance : dict
        See `RecordingWriter`.
    finished : bool
        Whether the recording came to its proper end.
    notices : tuple of str
        Findings about the data that a user of the recording should know.
    """

    source: str
    rows: tuple[Row, ...]
    info: SubstrateInfo
    steps: int
    items: Callable[[], Iterator[Exchange | Note]]
    roles: str = ""
    left_out: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = True
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import.

    Parameters
    ----------
    path : Path
        The new recording.
    exchanges : int
        Number of exchanges in it.
    left_out : tuple of str
        Parts of the file that are not in it.
    """

    path: Path
    exchanges: int
    left_out: tuple[str, ...]


def check_free(out: str | PathLike[str]) -> None:
    """Raise `RecordingError` if a recording cannot be created there, before a long import."""
    path = Path(out)
    if path.exists():
        raise RecordingError(f"{path} exists; a recording is never overwritten; give another name")
    if not path.parent.is_dir():
        raise RecordingError(f"{path} cannot be created: {path.parent} is no folder; make it first")


def write_plan(plan: Plan, out: str | PathLike[str]) -> Imported:
    """Write a recording; until it is whole it has another name, ending in ``.partial``.

    Raises
    ------
    RecordingError
        If the file exists or cannot be created.
    """
    path = Path(out)
    check_free(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    count = 0
    try:
        writer = RecordingWriter(partial, plan.info, plan.annotations, provenance=plan.provenance)
        try:
            coming = plan.items()
            while some := list(islice(coming, _TOGETHER)):  # batched, which Python 3.11 does not have
                writer.append(some)
                count += sum(isinstance(item, Exchange) for item in some)
            if plan.finished:
                writer.end()
        finally:
            writer.close()
        check_free(path)
        partial.rename(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return Imported(path, count, plan.left_out)
