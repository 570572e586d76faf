"""Recovery of truncated or damaged recordings: a report of what is intact, and a copy of it."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from inmateria.recording.format import END, Exchange, Note, RecordingError
from inmateria.recording.reading import Recording, open_recording
from inmateria.recording.unclosed import UnclosedFile, is_closed
from inmateria.recording.writing import RecordingWriter


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
    bytes_there, bytes_announced : int
        Length of the file, and its length according to its header.
    announced : int
        Number of exchanges in the table of exchanges.
    whole : int
        Number of intact exchanges before the first damaged or missing one.
    damaged : tuple of int
        Exchanges whose checksum does not match, at most the first hundred.
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
    bytes_there: int
    bytes_announced: int
    announced: int
    whole: int
    damaged: tuple[int, ...]
    seconds: float
    last_sent: float | None
    notes: int
    dropped: int


def recover(path: str | PathLike[str], out: str | PathLike[str] | None = None) -> Recovery:
    """Check a recording from beginning to end; with `out`, copy what is intact to a new recording.

    Raises
    ------
    RecordingError
        If the file is not a recording, or is truncated so early that nothing can be read; if `out` exists.
    """
    path = Path(path)
    with open_recording(path) as recording:
        damaged = _damaged(recording)
        whole = damaged[0] if damaged else len(recording)
        rows = recording.exchanges[:whole]
        if out is not None:
            _copy(recording, whole, Path(out))
        closed = is_closed(path)
        announced = path.stat().st_size
        if not closed:
            with UnclosedFile(path) as raw:
                announced = raw.announced
        return Recovery(
            path=path,
            closed=closed,
            finished=recording.finished,
            bytes_there=path.stat().st_size,
            bytes_announced=announced,
            announced=recording.announced,
            whole=whole,
            damaged=damaged,
            seconds=float((rows["step"] * rows["steps"]).sum()),
            last_sent=float(rows["sent"][-1]) if whole else None,
            notes=len(recording.notes),
            dropped=recording.dropped,
        )


def _damaged(recording: Recording) -> tuple[int, ...]:
    """Return the exchanges whose checksum does not match."""
    found: list[int] = []
    for first, last in recording.batches():
        try:
            recording.between(first, last)
        except (RecordingError, OSError):
            for index in range(first, last):
                try:
                    recording.exchange(index)
                except (RecordingError, OSError):
                    found.append(index)
                    if len(found) == 100:
                        return tuple(found)
    return tuple(found)


def _copy(recording: Recording, whole: int, out: Path) -> None:
    """Copy the first exchanges of a recording, and the notes among them, to a new one."""
    provenance = {"software": recording.software, "script": recording.script, "created": recording.created}
    scale = None if recording.scale is None else recording.scale.tolist()
    writer = RecordingWriter(out, recording.info, recording.annotations, scale=scale, provenance=provenance)
    try:
        notes = [note for note in recording.notes if note.kind != END and note.exchange <= whole]
        for first, last in recording.batches():
            if first >= whole:
                break
            items: list[Exchange | Note] = []
            for index, exchange in enumerate(recording.between(first, min(last, whole)), first):
                while notes and notes[0].exchange <= index:
                    items.append(notes.pop(0))
                items.append(exchange)
            writer.append(items)
        writer.append(notes)
        writer.sync()
    except BaseException:
        writer.close()
        out.unlink()
        raise
    if recording.finished and whole == recording.announced:
        writer.end()
    else:
        writer.close()
