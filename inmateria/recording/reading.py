"""Reading recordings: finished, still growing, or truncated."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.recording.format import (
    DROPPED,
    END,
    FORMAT,
    NOTE,
    VERSION,
    Exchange,
    Note,
    RecordingError,
    is_whole,
    note_of,
)
from inmateria.recording.unclosed import UnclosedFile, is_closed, is_hdf5
from inmateria.substrate import FloatArray, Response, SpikeArray, Stimulus, SubstrateInfo

_KNOWN = (1, VERSION)
_BATCH_BYTES = 8_000_000
_ATTEMPTS, _PAUSE = 5, 0.02


class Recording:
    """A recording opened for reading, finished or not; see `open_recording`.

    Exchanges that are added later are seen once it is opened again.

    Attributes
    ----------
    info : SubstrateInfo
        Info of the recorded substrate.
    annotations, software, script : dict
        Annotations by the user; versions of software; the script, its commit and whether it was changed.
    created : str
        ISO 8601.
    exchanges : ndarray of `EXCHANGE`
        One row for each complete exchange, up to the first incomplete one.
    notes : list of Note
        Markers and other events.
    finished : bool
        Whether the recording was ended properly.
    announced : int
        Number of exchanges in the table of exchanges, incomplete ones included.
    scale : ndarray of float, shape (outputs,), or None
        Size of one count of each output, if the signal is stored as int16 counts.
    """

    def __init__(self, file: h5py.File, path: Path, there: int | None = None) -> None:
        self._file = file
        self.path = path
        told = {name: _text(file.attrs[name]) for name in file.attrs if name != "version"}
        self.version = int(file.attrs["version"])
        self.info = msgspec.json.decode(told["info"], type=SubstrateInfo)
        self.annotations: dict[str, Any] = msgspec.json.decode(told["annotations"])
        self.created = told["created"]
        made_by = {"inmateria": told.get("inmateria", "unknown")}  # version 1 has nothing else
        self.software: dict[str, str] = msgspec.json.decode(told["software"]) if "software" in told else made_by
        self.script: dict[str, Any] = msgspec.json.decode(told.get("script", "{}"))
        self._tables: dict[str, h5py.Dataset] = {name: file[name] for name in file}
        scale = self._tables["signal"].attrs.get("scale")
        self.scale: FloatArray | None = None if scale is None else np.asarray(scale, dtype=np.float64)
        rows = {
            name: len(table) if there is None else _rows_there(table, there) for name, table in self._tables.items()
        }
        self.announced = len(self._tables["exchanges"])
        self.exchanges: npt.NDArray[np.void] = _whole(self._tables["exchanges"][: rows["exchanges"]], rows)
        self._ends: npt.NDArray[np.uint64] | None = None
        self.notes = self._read_notes(rows)
        self.finished = self.version == 1 or any(note.kind == END for note in self.notes)

    def __len__(self) -> int:
        return len(self.exchanges)

    @property
    def dropped(self) -> int:
        """Number of exchanges that were not recorded because the disk was too slow."""
        return sum(int(note.details["exchanges"]) for note in self.notes if note.kind == DROPPED)

    def exchange(self, index: int) -> Exchange:
        """Read one exchange, bit-identical to the one recorded.

        Raises
        ------
        RecordingError
            If its checksum does not match.
        """
        index = range(len(self))[index]
        return self.between(index, index + 1)[0]

    def __iter__(self) -> Iterator[Exchange]:
        for first, last in self.batches():
            yield from self.between(first, last)

    def batches(self, first: int = 0) -> Iterator[tuple[int, int]]:
        """Yield ranges of exchanges of about 8 MB, at least one exchange each, from `first` on."""
        width, height = len(self.info.inputs), len(self.info.outputs)
        if self._ends is None:
            rows = self.exchanges
            self._ends = np.cumsum(8 * width * rows["steps"] + 8 * height * rows["samples"] + 12 * rows["spikes"] + 500)
        while first < len(self):
            before = int(self._ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(self._ends, before + _BATCH_BYTES, side="right")))
            yield first, last
            first = last

    def between(self, first: int, last: int) -> list[Exchange]:
        """Read the exchanges from `first` up to but excluding `last`, checked as `exchange` does."""
        rows = self.exchanges[first:last]
        drive, stored, spikes = self.drive(first, last), self._stored(first, last), self.spikes(first, last)
        signal = self._in_units(stored)
        found = []
        at = sample = spike = 0
        for index, row in enumerate(rows, first):
            steps, samples, count = int(row["steps"]), int(row["samples"]), int(row["spikes"])
            mine = drive[at : at + steps], stored[sample : sample + samples], spikes[spike : spike + count]
            if self.version > 1 and not is_whole(row, *mine):
                raise RecordingError(
                    f"exchange {index} of {self.path} is damaged: its checksum does not match; "
                    "`inmateria recover` reports which exchanges are intact"
                )
            values = signal[sample : sample + samples].reshape(steps, -1, len(self.info.outputs))
            response = Response(
                values if self.info.sampling_rate is not None else None,
                mine[2] if self.info.spiking else None,
                float(row["start"]),
                int(row["sequence"]),
            )
            stimulus = Stimulus(mine[0], float(row["step"]), self.info.floats)
            found.append(
                Exchange(stimulus, response, int(row["session"]), float(row["sent"]), float(row["round_trip"]))
            )
            at, sample, spike = at + steps, sample + samples, spike + count
        return found

    def drive(self, first: int = 0, last: int | None = None) -> FloatArray:
        """Read the drives of some exchanges, shape (steps, inputs)."""
        return self._rows("drive", "first_step", "steps", first, last)

    def signal(self, first: int = 0, last: int | None = None) -> FloatArray:
        """Read the signal of some exchanges, shape (samples, outputs), in the outputs' units."""
        return self._in_units(self._stored(first, last))

    def counts(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int16] | None:
        """Read the signal as int16 counts of size `scale`; None if it is not stored as counts."""
        return None if self.scale is None else self._stored(first, last)

    def spikes(self, first: int = 0, last: int | None = None) -> SpikeArray:
        """Read the spikes of some exchanges."""
        return self._rows("spikes", "first_spike", "spikes", first, last)

    def rows(self, table: str, first: int, last: int) -> npt.NDArray[Any]:
        """Read rows of a table as they are stored; see `inmateria.recording.format`."""
        data: npt.NDArray[Any] = self._tables[table][first:last]
        return data

    def _stored(self, first: int, last: int | None) -> npt.NDArray[Any]:
        return self._rows("signal", "first_sample", "samples", first, last)

    def _in_units(self, stored: npt.NDArray[Any]) -> FloatArray:
        values: FloatArray = stored if self.scale is None else stored * self.scale
        return values

    def _rows(self, table: str, begin: str, count: str, first: int, last: int | None) -> npt.NDArray[Any]:
        """Read the rows of consecutive exchanges, which are consecutive too."""
        rows = self.exchanges[first:last]
        if not len(rows):
            return self.rows(table, 0, 0)
        return self.rows(table, int(rows[begin][0]), int(rows[begin][-1] + rows[count][-1]))

    def _read_notes(self, there: dict[str, int]) -> list[Note]:
        if "notes" not in self._tables:  # version 1 has none
            return []
        rows = self._tables["notes"][: there["notes"]]
        text = self._tables["text"][: there["text"]].tobytes()
        notes = []
        for row in rows:
            words = text[int(row["first_byte"]) : int(row["first_byte"] + row["bytes"])]
            if rows.dtype == NOTE and is_whole(row, np.frombuffer(words, np.uint8)):
                notes.append(note_of(row, words))
        return notes


@contextmanager
def open_recording(path: str | PathLike[str]) -> Iterator[Recording]:
    """Open a recording for reading, also one that is still being written or is truncated.

    Raises
    ------
    RecordingError
        If there is no such file, or it is not a recording of a known version.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordingError(f"{path} does not exist; give the path of a recording (.h5)")
    if not is_hdf5(path):
        raise RecordingError(f"{path} is not an HDF5 file; a recording is one; read other formats with import_file")
    if is_closed(path):
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise RecordingError(f"{path} cannot be read as HDF5 ({error})") from None
        with file:
            yield _recording(file, path, None)
        return
    with _opened_unclosed(path) as recording:
        yield recording


@contextmanager
def _opened_unclosed(path: Path) -> Iterator[Recording]:
    """Open a file that was not closed; a writer may be changing it, so opening is tried several times."""
    for attempt in range(_ATTEMPTS):
        with ExitStack() as exits:
            try:
                raw = exits.enter_context(UnclosedFile(path))
                recording = _recording(exits.enter_context(h5py.File(raw, "r")), path, raw.there)
            except (OSError, RuntimeError, KeyError, ValueError, msgspec.DecodeError) as error:
                reason = error
            else:
                yield recording
                return
        if attempt + 1 < _ATTEMPTS:
            time.sleep(_PAUSE)
    raise RecordingError(f"{path} cannot be read as HDF5 ({reason}); it is truncated within its header")


def _recording(file: h5py.File, path: Path, there: int | None) -> Recording:
    if _text(file.attrs.get("format", "")) != FORMAT:
        raise RecordingError(f"{path} is an HDF5 file, but not a recording of inmateria")
    if file.attrs["version"] not in _KNOWN:
        raise RecordingError(
            f"{path} is a recording of version {file.attrs['version']}; this inmateria reads versions up to {VERSION}; "
            "use a newer inmateria"
        )
    return Recording(file, path, there)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _rows_there(table: h5py.Dataset, size: int) -> int:
    """Return the number of rows of a table, from the first on, that lie within the file's `size` bytes."""
    places: dict[int, tuple[int, int]] = {}

    def see(chunk: Any) -> None:
        places[chunk.chunk_offset[0]] = (chunk.byte_offset, chunk.size)

    with suppress(OSError, RuntimeError):  # the rest of the index is missing or being written
        table.id.chunk_iter(see)
    row = table.dtype.itemsize * int(np.prod(table.shape[1:], dtype=int))
    count = 0
    while count < len(table) and count in places:
        begin, length = places[count]
        if table.compression is None:
            fit = max(0, size - begin) // row
        else:
            fit = table.chunks[0] if begin + length <= size else 0
        fit = min(fit, table.chunks[0], len(table) - count)
        count += fit
        if fit < table.chunks[0]:
            break
    return count


def _whole(rows: npt.NDArray[np.void], there: dict[str, int]) -> npt.NDArray[np.void]:
    """Return the rows of /exchanges up to the first one that refers to missing rows."""
    good = rows["steps"] > 0
    for table, first, count in (
        ("drive", "first_step", "steps"),
        ("signal", "first_sample", "samples"),
        ("spikes", "first_spike", "spikes"),
    ):
        good &= rows[first] + rows[count] <= there[table]
    return rows if good.all() else rows[: int(np.argmin(good))]
