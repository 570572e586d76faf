"""Reading recordings: finished, still growing, or truncated."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import finalize

import h5py
import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.recording.checksums import checksum
from inmateria.recording.documents import from_json
from inmateria.recording.format import (
    DATA,
    DROPPED,
    END,
    FORMAT,
    VERSION,
    Exchange,
    RecordingError,
    spike_of_no_channel,
)
from inmateria.recording.notebook_summary import recording_html
from inmateria.recording.unclosed import UnclosedFile, is_closed, is_hdf5
from inmateria.recording.verified_tables import VerifiedTables
from inmateria.substrate import FloatArray, Response, SpikeArray, Stimulus, SubstrateInfo

_KNOWN = (1, 2, VERSION)
_ATTEMPTS, _PAUSE = 5, 0.02
_DOCUMENTS = ("annotations", "software", "script", "kept")
_UNREADABLE = (OSError, RuntimeError, KeyError, TypeError, ValueError, msgspec.DecodeError)

_logger = logging.getLogger("inmateria")


class Recording:
    """A recording opened for reading, finished or not, and a context manager that closes it; see `open_recording`.

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
    kept : dict
        Samples of each step that are kept exactly, and the precision of the others; empty if all are. See
        `inmateria.recording.KeptSamples`.
    damaged_metadata : tuple of str
        Attributes of the file that do not match their checksum; empty unless opened to recover it.
    """

    def __init__(
        self, file: h5py.File, path: Path, raw: UnclosedFile | None = None, exits: ExitStack | None = None
    ) -> None:
        self.path = path
        # Also if it is forgotten: the files are closed when it is collected, or at the end of the program.
        self._close = finalize(self, (exits or ExitStack()).close)
        self.version = int(file.attrs["version"])
        self._tables = VerifiedTables(file, path, self.version, raw)
        self.scale: FloatArray | None = self._tables.scale()
        told = {name: _bytes(file.attrs[name]) for name in file.attrs if name not in ("format", "version")}
        self.damaged_metadata = _damaged_metadata(told, self.scale) if self.version > 2 else ()
        self.info = msgspec.convert(from_json(told["info"]), SubstrateInfo)
        self.created = told["created"].decode()
        read = {name: from_json(told.get(name, b"{}")) for name in _DOCUMENTS if name not in self.damaged_metadata}
        self.annotations: dict[str, Any] = read.get("annotations", {})
        self.software: dict[str, str] = read.get("software", {})
        self.script: dict[str, Any] = read.get("script", {})
        self.kept: dict[str, Any] = read.get("kept", {})
        if self.version == 1:
            self.software = {"inmateria": told["inmateria"].decode()}
        self.exchanges = self._tables.exchanges
        self.announced = self._tables.announced
        self.notes = self._tables.notes
        self.finished = self.version == 1 or any(note.kind == END for note in self.notes)

    def __len__(self) -> int:
        return len(self.exchanges)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was read on opening (exchanges, notes, info) is still there, and data are not."""
        self._close()

    @property
    def closed(self) -> bool:
        """Whether the file has been closed."""
        return not self._close.alive

    def __repr__(self) -> str:
        name, most = self.path.name, 60
        name = name if len(name) <= most else f"...{name[-most:]}"
        state = "closed" if self.closed else "finished" if self.finished else "not finished"
        return f"<Recording {name!r} of {self.info.id[:40]}, {len(self):,} exchange{'s' * (len(self) != 1)}, {state}>"

    def _repr_html_(self) -> str:
        return recording_html(self)

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
        return self._tables.batches(first)

    def between(self, first: int, last: int) -> list[Exchange]:
        """Read the exchanges from `first` up to but excluding `last`, verified as by `exchange`."""
        drive, stored, spikes = self.drive(first, last), self._stored(first, last), self.spikes(first, last)
        signal = self._in_units(stored)
        found = []
        at = sample = spike = 0
        for row in self.exchanges[first:last]:
            steps, samples, count = int(row["steps"]), int(row["samples"]), int(row["spikes"])
            values = signal[sample : sample + samples].reshape(steps, -1, len(self.info.outputs))
            response = Response(
                values if self.info.sampling_rate is not None else None,
                spikes[spike : spike + count] if self.info.spiking else None,
                float(row["start"]),
                int(row["sequence"]),
            )
            stimulus = Stimulus(drive[at : at + steps], float(row["step"]), self.info.floats)
            found.append(
                Exchange(stimulus, response, int(row["session"]), float(row["sent"]), float(row["round_trip"]))
            )
            at, sample, spike = at + steps, sample + samples, spike + count
        return found

    def drive(self, first: int = 0, last: int | None = None) -> FloatArray:
        """Read the drives of some exchanges, shape (steps, inputs)."""
        return self._of_exchanges("drive", first, last)

    def signal(self, first: int = 0, last: int | None = None) -> FloatArray:
        """Read the signal of some exchanges, shape (samples, outputs), in the outputs' units."""
        return self._in_units(self._stored(first, last))

    def counts(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int16] | None:
        """Read the signal as int16 counts of size `scale`; None if it is not stored as counts."""
        return None if self.scale is None else self._stored(first, last)

    def spikes(self, first: int = 0, last: int | None = None) -> SpikeArray:
        """Read the spikes of some exchanges."""
        return self._of_exchanges("spikes", first, last)

    def rows(self, table: str, first: int, last: int) -> npt.NDArray[Any]:
        """Read rows of a table of data as they are stored; see `inmateria.recording.format`.

        All data of a recording are read by this method.

        Parameters
        ----------
        table : {"drive", "signal", "spikes"}
        first, last : int
            First row, and the one after the last.

        Raises
        ------
        RecordingError
            If a row does not match its checksum, a spike is of no output, or the recording has been closed.
        """
        if self.closed:
            raise RecordingError(f"{self.path} has been closed; open it again with open_recording to read its data")
        data = self._tables.rows(table, first, last)
        if table == "spikes" and (wrong := spike_of_no_channel(data, len(self.info.outputs))):
            raise RecordingError(f"{self.path} cannot be read: {wrong}")
        return data

    def stored_dtype(self, table: str) -> np.dtype[Any]:
        """Return the data type of the rows of a table."""
        return self._tables.dtype(table)

    def damaged_exchanges(self) -> list[int]:
        """Read all data, and return the exchanges that are damaged; see `inmateria.recording.recover`."""
        return self._tables.damaged_exchanges()

    @property
    def damaged_notes(self) -> tuple[int, ...]:
        """Numbers of damaged notes; empty unless opened to recover them."""
        return tuple(self._tables.damaged_notes)

    def check(self, *, in_detail: bool = True) -> None:
        """Raise `RecordingError` if attributes, rows of /exchanges or notes are damaged, which are read on opening.

        With `in_detail`, all data are read, and the error says which exchanges are whole.
        """
        if self.damaged_metadata:
            raise RecordingError(
                f"{self.path} is damaged: its {', '.join(self.damaged_metadata)} cannot be trusted; "
                "`inmateria recover FILE -o NEW` copies what is whole to a new recording"
            )
        self._tables.check(in_detail=in_detail)

    def _stored(self, first: int, last: int | None) -> npt.NDArray[Any]:
        return self._of_exchanges("signal", first, last)

    def _in_units(self, stored: npt.NDArray[Any]) -> FloatArray:
        values: FloatArray = stored if self.scale is None else stored * self.scale
        return values

    def _of_exchanges(self, table: str, first: int, last: int | None) -> npt.NDArray[Any]:
        """Read the rows of consecutive exchanges, which are consecutive too."""
        begin, count, _ = DATA[table]
        rows = self.exchanges[first:last]
        if not len(rows):
            return self.rows(table, 0, 0)
        return self.rows(table, int(rows[begin][0]), int(rows[begin][-1]) + int(rows[count][-1]))


def open_recording(path: str | PathLike[str], *, damaged: bool = False) -> Recording:
    """Open a recording for reading, also one that is still being written or is truncated.

    Parameters
    ----------
    path : path-like
    damaged : bool
        Open it also if its annotations, rows of /exchanges or notes are damaged, as `recover` does.

    Returns
    -------
    Recording
        To be closed by ``with`` or `Recording.close`; one that is forgotten, as in a notebook, is closed when it is
        collected.

    Raises
    ------
    RecordingError
        If there is no such file, it is not a recording of a known version, or it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordingError(f"{path} does not exist; give the path of a recording (.h5)")
    if not is_hdf5(path):
        raise RecordingError(f"{path} is not an HDF5 file; a recording is one; read other formats with import_file")
    # A writer may be changing a file that was not closed, so that opening it is tried several times.
    for attempt in range(1, _ATTEMPTS + 1):
        closed = is_closed(path)
        with ExitStack() as exits:
            kept = ExitStack()  # takes the files over once all is well
            try:
                raw = None if closed else exits.enter_context(UnclosedFile(path))
                file = exits.enter_context(h5py.File(path if raw is None else raw, "r"))
                _check_version(file, path)
                recording = Recording(file, path, raw, kept)
                if not damaged:
                    recording.check(in_detail=closed or attempt == _ATTEMPTS)
            except (RecordingError, *_UNREADABLE) as error:
                if closed or attempt == _ATTEMPTS:
                    raise _unreadable(path, error, closed) from None
            else:
                kept.push(exits.pop_all())
                return recording
        time.sleep(_PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _unreadable(path: Path, error: Exception, closed: bool) -> RecordingError:
    if isinstance(error, RecordingError):
        return error
    why = " ".join(str(error).split())
    what = "damaged" if closed else "truncated or damaged"
    return RecordingError(
        f"{path} cannot be read as HDF5 ({why}); it is {what} within its header, without which nothing in it is found"
    )


def _check_version(file: h5py.File, path: Path) -> None:
    if _bytes(file.attrs.get("format", "")) != FORMAT.encode():
        raise RecordingError(f"{path} is an HDF5 file, but not a recording of inmateria")
    version = file.attrs["version"]
    if version not in _KNOWN:
        raise RecordingError(
            f"{path} is a recording of version {version}; this inmateria reads versions up to {VERSION}; "
            "use a newer inmateria"
        )
    if version == 1:
        _logger.warning("%s is of version 1, which has no checksums: it cannot be seen whether it is damaged", path)


def _damaged_metadata(told: dict[str, bytes], scale: FloatArray | None) -> tuple[str, ...]:
    """Return the names of attributes that do not match their checksum."""
    checks = from_json(told.pop("checks"))
    found = {name: checksum(document) for name, document in told.items()}
    if scale is not None:
        found["scale"] = checksum(scale)
    return tuple(name for name in {**checks, **found} if checks.get(name) != found.get(name))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
