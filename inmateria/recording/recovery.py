"""Recovery of truncated or damaged recordings: a report of what is intact, and a copy of it."""

import time
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.recording.format import DAMAGED, DATA, END, Note, RecordingError, StoredExchanges
from inmateria.recording.kept import KeptSamples
from inmateria.recording.reading import Recording, open_recording
from inmateria.recording.unclosed import UnclosedFile, is_closed
from inmateria.recording.verified_tables import ranges
from inmateria.recording.writing import RecordingWriter

_NEEDED = ("info", "scale")


@dataclass(frozen=True, slots=True)
class Recovery:
    """State of a recording.

    Parameters
    ----------
    path : Path
    closed : bool
        Whether the file was closed properly and has all its bytes.
    finished : bool
        Whether the recording was ended properly.
    verified : bool
        Whether the recording has checksums; those of version 1 have none.
    bytes_there, bytes_announced : int
        Length of the file, and its length according to its header.
    announced : int
        Number of exchanges in the table of exchanges.
    whole : int
        Number of intact exchanges, before and after damaged ones.
    damaged : tuple of int
        Exchanges that do not match their checksums, counted from 0.
    damaged_notes : tuple of int
        Notes that do not match their checksums, counted from 0.
    damaged_metadata : tuple of str
        Which of ``annotations``, ``software``, ``script`` and ``created`` do not match their checksums.
    seconds : float
        Duration of the intact exchanges on the device's clock.
    last_sent : float or None
        Host clock of the last intact exchange, s since 1970.
    notes, dropped : int
        Number of intact notes, and of exchanges that were not recorded because the disk was too slow.
    """

    path: Path
    closed: bool
    finished: bool
    verified: bool
    bytes_there: int
    bytes_announced: int
    announced: int
    whole: int
    damaged: tuple[int, ...]
    damaged_notes: tuple[int, ...]
    damaged_metadata: tuple[str, ...]
    seconds: float
    last_sent: float | None
    notes: int
    dropped: int

    __repr__ = one_line


def recover(path: str | PathLike[str], out: str | PathLike[str] | None = None) -> Recovery:
    """Verify a recording from beginning to end; with `out`, copy what is intact to a new recording.

    In the copy, a note "damaged" stands where exchanges are missing, with their numbers.

    Raises
    ------
    RecordingError
        If the file is not a recording, or is truncated or damaged so that nothing can be read; if `out` exists.
    """
    path = Path(path)
    with open_recording(path, damaged=True) as recording:
        if lost := [name for name in recording.damaged_metadata if name in _NEEDED]:
            raise RecordingError(f"{path} is damaged: without its {' and '.join(lost)}, nothing in it has a meaning")
        damaged = recording.damaged_exchanges()
        good = np.ones(len(recording), dtype=bool)
        good[damaged] = False
        if out is not None:
            _copy(recording, good, Path(out))
        closed = is_closed(path)
        announced = path.stat().st_size
        if not closed:
            with UnclosedFile(path) as raw:
                announced = raw.announced
        rows = recording.exchanges[good]
        return Recovery(
            path=path,
            closed=closed,
            finished=recording.finished,
            verified=recording.version > 1,
            bytes_there=path.stat().st_size,
            bytes_announced=announced,
            announced=recording.announced,
            whole=len(rows),
            damaged=tuple(damaged),
            damaged_notes=recording.damaged_notes,
            damaged_metadata=recording.damaged_metadata,
            seconds=float((rows["step"] * rows["steps"]).sum()),
            last_sent=float(rows["sent"][-1]) if len(rows) else None,
            notes=len(recording.notes),
            dropped=recording.dropped,
        )


def _copy(recording: Recording, good: np.ndarray[tuple[int], np.dtype[np.bool_]], out: Path) -> None:
    """Copy intact exchanges and the notes among them to a new recording, and note there which ones are missing."""
    kept = {name: getattr(recording, name) for name in ("software", "script", "created")}
    provenance = {name: value for name, value in kept.items() if name not in recording.damaged_metadata}
    scale = None if recording.scale is None else recording.scale.tolist()
    writer = RecordingWriter(
        out,
        recording.info,
        recording.annotations,
        scale=scale,
        keep=KeptSamples.of(recording.kept),
        provenance=provenance,
    )
    try:
        if recording.damaged_metadata or recording.damaged_notes:
            writer.append([_note_of_lost(recording)])
        notes = [note for note in recording.notes if note.kind != END]
        session = 0
        for first, last in _runs(recording, good):
            if not good[first]:
                while notes and notes[0].exchange <= first:
                    writer.append([notes.pop(0)])
                writer.append([_note_of_missing(recording, first, last, session)])
                continue
            stored, at = _stored(recording, first, last), first
            items: list[StoredExchanges | Note] = []
            while notes and notes[0].exchange < last:
                if notes[0].exchange > at:
                    items.append(_part(stored, at - first, notes[0].exchange - first))
                    at = notes[0].exchange
                items.append(notes.pop(0))
            writer.append([*items, _part(stored, at - first, last - first)])
            session = int(recording.exchanges["session"][last - 1])
        writer.append(notes)
        writer.sync()
    except BaseException:
        writer.close()
        out.unlink()
        raise
    complete = good.all() and len(good) == recording.announced
    if recording.finished and complete and not (recording.damaged_metadata or recording.damaged_notes):
        writer.end()
    else:
        writer.close()


def _stored(recording: Recording, first: int, last: int) -> StoredExchanges:
    """Read consecutive exchanges, verified."""
    rows = recording.exchanges[first:last]
    places = {table: _place(rows, table) for table in DATA}
    return StoredExchanges(rows, {table: recording.rows(table, *place) for table, place in places.items()})


def _part(stored: StoredExchanges, first: int, last: int) -> StoredExchanges:
    """Return some of the exchanges; at least one."""
    rows = stored.rows[first:last]
    data = {}
    for table, some in stored.data.items():
        begin, end = _place(rows, table)
        before = int(stored.rows[DATA[table][0]][0])
        data[table] = some[begin - before : end - before]
    return StoredExchanges(rows, data)


def _place(rows: npt.NDArray[np.void], table: str) -> tuple[int, int]:
    """Return the first row of a table that exchanges refer to, and the one after the last."""
    first, count, _ = DATA[table]
    return int(rows[first][0]), int(rows[first][-1]) + int(rows[count][-1])


def _runs(recording: Recording, good: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Return ranges of consecutive exchanges that are all intact, of about 8 MB, or all damaged."""
    ends = np.flatnonzero(good[1:] != good[:-1]) + 1
    borders = np.unique(np.concatenate([[0, len(good)], ends, [last for _, last in recording.batches()]]))
    return list(pairwise(borders.astype(int).tolist()))


def _note_of_missing(recording: Recording, first: int, last: int, session: int) -> Note:
    name, numbers = recording.path.name, ranges(list(range(first, last)))
    label = f"{last - first} damaged in {name}: {'exchange' if last - first == 1 else 'exchanges'} {numbers}"
    details = {"exchanges": last - first, "first": first, "last": last - 1}
    return Note(DAMAGED, label, details, host=time.time(), session=session)


def _note_of_lost(recording: Recording) -> Note:
    details = {"notes": list(recording.damaged_notes), "metadata": list(recording.damaged_metadata)}
    return Note(DAMAGED, f"notes or metadata damaged in {recording.path.name}", details, host=time.time())
