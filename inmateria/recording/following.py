"""A recording that another process is writing, read as it grows; all that is read is verified."""

from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from inmateria.recording.checksums import checksum, sealed_rows
from inmateria.recording.format import DATA, END, VERSION, Note, RecordingError, is_whole, note_of
from inmateria.recording.reading import open_recording
from inmateria.substrate import FloatArray, SpikeArray, SubstrateInfo

__all__ = ["FollowedRecording", "WrittenExchange"]

_MOST_BYTES = 1 << 25
_LOOKS = 8
_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError)


@dataclass(frozen=True, eq=False)
class WrittenExchange:
    """An exchange as it is stored.

    Parameters
    ----------
    start, step : float
        Device clock at its beginning, and duration of a step, s.
    session : int
        Number of returns to rest before it.
    sent, round_trip : float
        Host clock when the stimulus left, s since 1970, and seconds until the response was received.
    drive : ndarray of float, shape (steps, inputs)
    signal : ndarray of float64, or of int16 counts, shape (samples, outputs), or None
    spikes : ndarray of `SPIKE` or None
    """

    start: float
    step: float
    session: int
    sent: float
    round_trip: float
    drive: FloatArray
    signal: npt.NDArray[Any] | None
    spikes: SpikeArray | None


class FollowedRecording:
    """Reader of a recording while it is written, and a context manager.

    Only what is new is read, so that it costs the same however long the recording has become.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    info : SubstrateInfo
    scale : ndarray of float, shape (outputs,), or None
        Size of one count of each output, if the signal is stored as int16 counts.
    read, missed : int
        Exchanges that were read, and those that were passed over because more than 32 MiB had been written since the
        last reading.
    ended : bool
        Whether the recording was ended, and all of it has been read.

    Raises
    ------
    RecordingError
        If there is no such file, it is no recording, or one of an earlier version that no writer of now adds to.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        with open_recording(self.path) as recording:
            self.info: SubstrateInfo = recording.info
            self.scale = recording.scale
            if recording.version != VERSION:
                raise RecordingError(
                    f"{path} is a recording of version {recording.version}, which is not written any more; replay it"
                )
        try:
            # Without a cache of chunks, of which the last would be read anew each time.
            self._file = h5py.File(self.path, "r", libver="latest", swmr=True, rdcc_nbytes=0)
        except OSError as error:
            raise RecordingError(f"{path} cannot be followed ({' '.join(str(error).split())})") from None
        self._tables: dict[str, h5py.Dataset] = {name: self._file[name] for name in self._file}
        self._state = self.path.stat()
        self._next = self._notes = 0
        self._checks = dict.fromkeys(DATA, 0)
        self._end, self._idle, self._looks = False, True, 0
        self.read = self.missed = 0
        self.ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def skip(self, seconds: float) -> int:
        """Pass over what is there, up to so many seconds of the device's clock before its end; return how many."""
        rows = self._rows("exchanges", 0)
        durations = np.cumsum((rows["steps"] * rows["step"])[::-1])
        kept = int(np.searchsorted(durations, seconds)) + 1 if len(rows) else 0
        self._pass_over(rows[: max(0, len(rows) - kept)])
        return self._next

    def new(self) -> tuple[list[WrittenExchange], list[Note]]:
        """Read what was written since the last time.

        Raises
        ------
        RecordingError
            If something is damaged, or the file was removed or replaced.
        """
        self._check_place()
        try:
            # Notes first: the last one is written after all exchanges. They are few, and looking for them costs time.
            self._looks += 1
            notes = self._new_notes() if self._idle or self._looks % _LOOKS == 0 else []
            rows = self._rows("exchanges", self._next)
            sizes = np.zeros(len(rows), dtype=np.int64)
            for table, (_, count, _) in DATA.items():
                data = self._tables[table]
                sizes += rows[count].astype(np.int64) * int(data.dtype.itemsize * np.prod(data.shape[1:], dtype=int))
            late = int(np.searchsorted(-np.cumsum(sizes[::-1])[::-1], -_MOST_BYTES)) if len(rows) else 0
            late = min(late, max(0, len(rows) - 1))
            if late:
                self.missed += late
                self._pass_over(rows[:late])
            found = self._read(rows[late:])
        except _UNREADABLE as error:
            raise RecordingError(f"{self.path} cannot be read further ({' '.join(str(error).split())})") from None
        self._idle = not found
        self.read += len(found)
        self.ended = self._end
        return found, notes

    def _rows(self, table: str, first: int) -> npt.NDArray[Any]:
        """Return the rows of a table from one on, up to the first that is not whole yet."""
        data = self._tables[table]
        data.refresh()
        rows: npt.NDArray[Any] = data[first:]
        if table == "exchanges" and not (whole := sealed_rows(rows)).all():
            rows = rows[: int(np.argmin(whole))]
        return rows

    def _pass_over(self, rows: npt.NDArray[Any]) -> None:
        if len(rows):
            self._checks = {table: int(rows[-1][check]) for table, (_, _, check) in DATA.items()}
            self._next += len(rows)

    def _read(self, rows: npt.NDArray[Any]) -> list[WrittenExchange]:
        """Read the data of the next exchanges, and compare them with their checksums."""
        if not len(rows):
            return []
        data: dict[str, npt.NDArray[Any]] = {}
        begins = {table: int(rows[0][first]) for table, (first, _, _) in DATA.items()}
        for table, (first, count, _) in DATA.items():
            end = int(rows[-1][first]) + int(rows[-1][count])
            if end > begins[table]:
                self._tables[table].refresh()
            data[table] = self._tables[table][begins[table] : end]
        found = []
        for row in rows:
            parts: dict[str, Any] = {}
            for table, (first, count, check) in DATA.items():
                at = int(row[first]) - begins[table]
                parts[table] = data[table][at : at + int(row[count])]
                if checksum(parts[table], start=self._checks[table]) != int(row[check]):
                    raise RecordingError(f"{self.path} is damaged: /{table} of exchange {self._next} is not as written")
                self._checks[table] = int(row[check])
            self._next += 1
            found.append(
                WrittenExchange(
                    float(row["start"]), float(row["step"]), int(row["session"]), float(row["sent"]),
                    float(row["round_trip"]), parts["drive"],
                    parts["signal"] if self.info.sampling_rate is not None else None,
                    parts["spikes"] if self.info.spiking else None,
                )
            )  # fmt: skip
        return found

    def _new_notes(self) -> list[Note]:
        rows = self._rows("notes", self._notes)
        found: list[Note] = []
        if len(rows):
            self._tables["text"].refresh()
        for row in rows:
            text = self._tables["text"][int(row["first_byte"]) : int(row["first_byte"]) + int(row["bytes"])]
            if not is_whole(row, text):
                break
            found.append(note_of(row, text.tobytes()))
        self._notes += len(found)
        self._end |= any(note.kind == END for note in found)
        return found

    def _check_place(self) -> None:
        """Raise if the file is not the one that was opened any more; one that was ended may have been compressed."""
        with suppress(FileNotFoundError):
            state = self.path.stat()
            if (state.st_dev, state.st_ino) == (self._state.st_dev, self._state.st_ino) or self._end:
                return
        if not self._end:
            raise RecordingError(f"{self.path} was removed or replaced while it was followed")
