"""Writing recordings: rows are appended, flushed in order, and synced to the disk."""

import os
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from inmateria.errors import is_disk_full
from inmateria.recording.checksums import checksum, sealed
from inmateria.recording.documents import to_json
from inmateria.recording.format import (
    CHECK,
    CHECKED_BYTES,
    DATA,
    END,
    EXCHANGE,
    FORMAT,
    NOTE,
    VERSION,
    Exchange,
    Note,
    RecordingError,
    StoredExchanges,
    check_row,
    exchange_row,
    note_row,
    spike_of_no_channel,
    text_of,
)
from inmateria.recording.kept import KeptSamples
from inmateria.recording.live_file import LiveFile
from inmateria.recording.provenance import script, software
from inmateria.substrate import SPIKE, SubstrateInfo

_LEAST_CHUNK, _MOST_CHUNK = 1 << 14, 1 << 20
_HEADER = 1 << 16
"""More bytes than the headers of a new file take, apart from its documents."""
_READ_BYTES = 8_000_000
_SEAL_BYTES = 4


class RecordingWriter:
    """Writes the file of a recording; used by one thread at a time. `RecordedSubstrate` has a queue and a thread.

    Once `append` has returned, its items can be read by other processes, and survive the death of this one; items
    appended before `sync` survive a power failure.

    Parameters
    ----------
    path : path-like
        File to create; it must not exist.
    info : SubstrateInfo
        Info of the recorded substrate.
    annotations : dict, optional
        Anything that JSON can represent.
    scale : float or sequence of float, optional
        Size of one count, for all outputs or for each. The signal is then stored as int16 counts; values given as
        floats must be exactly a count times the scale.
    keep : KeptSamples, optional
        Samples that are kept exactly, for the attribute `kept`; the signals are written as they are given.
    provenance : dict, optional
        ``software`` and ``script``, if they are not those of this process, and ``created`` (ISO 8601).

    Raises
    ------
    RecordingError
        If the file exists or cannot be created.
    ValueError
        If the annotations cannot be represented in JSON.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        info: SubstrateInfo,
        annotations: Mapping[str, Any] | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        keep: KeptSamples | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self._scale = _scale_of(scale, info)
        if self._scale is not None:
            from inmateria.recording.counts import get_ready  # numba is loaded only for counts

            get_ready()
        made: Mapping[str, Any] = {"software": software(), "script": script()} if provenance is None else provenance
        documents = {
            "created": (made.get("created") or datetime.now(UTC).isoformat()).encode(),
            "info": to_json(info),
            "annotations": to_json(dict(annotations or {})),
            "software": to_json(made.get("software", {})),
            "script": to_json(made.get("script", {})),
        }
        if keep is not None:
            documents["kept"] = to_json(keep.document())
        checks = {name: checksum(document) for name, document in documents.items()}
        if self._scale is not None:
            checks["scale"] = checksum(self._scale)
        documents |= {"format": FORMAT.encode(), "checks": to_json(checks)}
        try:
            _check_space(self.path.parent, _HEADER + 2 * sum(map(len, documents.values())))
            # Without a cache every row is written directly, and nothing is written twice.
            self._file = h5py.File(self.path, "x", libver="latest", rdcc_nbytes=0)
        except OSError as error:
            if self.path.exists():  # HDF5 says so in several ways
                raise RecordingError(f"{path} exists; a recording is never overwritten; give another name") from None
            full = "; is the disk full?" if is_disk_full(error) else ""
            raise RecordingError(f"{path} cannot be created ({error.strerror or error}){full}") from None
        # Strings of fixed length: others are stored in a heap that has no checksum in HDF5.
        self._file.attrs.update({name: np.bytes_(document) for name, document in documents.items()}, version=VERSION)
        counts = np.dtype("<f8") if self._scale is None else np.dtype("<i2")
        rate, width = info.sampling_rate or 0.0, len(info.outputs)
        self._outputs = width
        self._tables = {
            "drive": self._table("drive", np.dtype("<f8"), (len(info.inputs),), 1 / info.step),
            "signal": self._table("signal", counts, (width,), rate),
            "spikes": self._table("spikes", SPIKE, (), 100.0 * width if info.spiking else 0.0),
            "text": self._table("text", np.dtype("u1"), (), 0.0),
            "checks": self._table("checks", CHECK, (), 0.0),
            "exchanges": self._table("exchanges", EXCHANGE, (), 100.0),
            "notes": self._table("notes", NOTE, (), 0.0),
        }
        if self._scale is not None:
            self._tables["signal"].attrs["scale"] = self._scale
        self._rows = dict.fromkeys(self._tables, 0)
        self._running = dict.fromkeys(DATA, 0)
        self._strides = {name: max(1, CHECKED_BYTES // self._row_bytes(name)) for name in DATA}
        self._types = {name: table.id.get_type() for name, table in self._tables.items()}
        self._others = {name: 0 for name in self._tables if name not in DATA}  # checksums of all their rows
        self._handle: int = self._file.id.get_vfd_handle()
        self._file.swmr_mode = True
        self._live = LiveFile(self.path, self._handle, self._rows_are_intact)

    def _table(self, name: str, dtype: np.dtype[Any], width: tuple[int, ...], rate: float) -> h5py.Dataset:
        """Create a table of rows that come at a rate (1/s); space is allocated for about a second at a time."""
        size = dtype.itemsize * int(np.prod(width, dtype=int))
        rows = max(1, int(np.clip(rate * size, _LEAST_CHUNK, _MOST_CHUNK)) // size)
        return self._file.create_dataset(
            name, (0, *width), maxshape=(None, *width), dtype=dtype, chunks=(rows, *width), fill_time="never"
        )

    def _row_bytes(self, name: str) -> int:
        table = self._tables[name]
        return int(table.dtype.itemsize * np.prod(table.shape[1:], dtype=int))

    def append(self, items: Sequence[Exchange | StoredExchanges | Note]) -> None:
        """Append exchanges and notes, in order.

        Raises
        ------
        RecordingError
            If a value of a signal is not a count times the scale, a spike is of no output, or another program has
            changed the file.
        OSError
            If the file cannot be written; it cannot be used afterwards.
        """
        self.check_file()
        names = ("drive", "signal", "spikes", "text", "checks", "exchanges", "notes")
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
        at, running = dict(self._rows), dict(self._running)
        rows: list[bytes] = []
        checks: list[bytes] = []
        noted: list[bytes] = []
        for item in items:
            if isinstance(item, Note):
                text = text_of(item)
                values = (item.host, item.device, item.duration, item.session, at["exchanges"], at["text"], len(text))
                noted.append(note_row(values, text))
                parts["text"].append(np.frombuffer(text, np.uint8))
                at["text"] += len(text)
                continue
            if isinstance(item, StoredExchanges):
                rows.append(self._stored_rows(item, at, running, checks))
                for name, some in item.data.items():
                    parts[name].append(some)
                    at[name] += len(some)
                at["exchanges"] += len(item.rows)
                continue
            stimulus, response = item.stimulus, item.response
            spikes = np.empty(0, dtype=SPIKE) if response.spikes is None else response.spikes
            if len(spikes) and (wrong := spike_of_no_channel(spikes, self._outputs)):
                raise RecordingError(f"exchange {response.sequence} cannot be recorded in {self.path}: {wrong}")
            data = {"drive": stimulus.drive, "signal": self._stored(response.signal), "spikes": spikes}
            first = dict(at)
            for name, some in data.items():
                if len(some):
                    parts[name].append(some)
                    checks += self._run_on(name, some, at[name], running)
                    at[name] += len(some)
            fields = (
                response.sequence, item.session, response.start, stimulus.step, first["drive"], len(stimulus.drive),
                first["signal"], len(data["signal"]), first["spikes"], len(spikes), item.sent, item.round_trip,
                running["drive"], running["signal"], running["spikes"],
            )  # fmt: skip
            rows.append(exchange_row(fields))
            at["exchanges"] += 1
        parts["checks"] = [np.frombuffer(b"".join(checks), CHECK)]
        parts["exchanges"] = [np.frombuffer(b"".join(rows), EXCHANGE)]
        parts["notes"] = [np.frombuffer(b"".join(noted), NOTE)]
        try:
            for name in names:  # rows that refer to others are written after those
                self._extend(name, parts[name])
        except RuntimeError as error:  # raised by HDF5 if it cannot extend the file
            raise OSError(str(error)) from None
        self._running = running
        self._live.note()

    def _stored_rows(
        self, item: StoredExchanges, at: dict[str, int], running: dict[str, int], checks: list[bytes]
    ) -> bytes:
        """Return rows of /exchanges for where they will stand, and continue the running checksums over their data."""
        rows = np.zeros(len(item.rows), dtype=EXCHANGE)
        for name in item.rows.dtype.names or ():
            rows[name] = item.rows[name]
        for table, (first, count, check) in DATA.items():
            ends = np.cumsum(rows[count], dtype=np.int64)
            rows[first] = at[table] + ends - rows[count].astype(np.int64)
            data, size, stride = np.ascontiguousarray(item.data[table]), self._row_bytes(table), self._strides[table]
            view, value, begin = data.view(np.uint8).reshape(-1).data, running[table], 0
            values = []
            for end in ends.tolist():
                if end - begin <= stride:
                    value = zlib.crc32(view[begin * size : end * size], value)
                else:
                    running[table] = value
                    checks += self._run_on(table, data[begin:end], at[table] + begin, running)
                    value = running[table]
                values.append(value)
                begin = end
            running[table], rows[check] = value, values
        bare, size = rows.view(np.uint8).reshape(-1).data, rows.itemsize
        return b"".join(
            [sealed(bytes(bare[end - size : end - _SEAL_BYTES])) for end in range(size, len(bare) + 1, size)]
        )

    def check_file(self) -> None:
        """Raise `RecordingError` if another program has changed, replaced or removed the file since it was written."""
        self._live.check()

    def _run_on(self, table: str, data: npt.NDArray[Any], at: int, running: dict[str, int]) -> list[bytes]:
        """Continue the running checksum of a table over rows, and return the rows of /checks within them."""
        stride = self._strides[table]
        if len(data) <= stride:
            running[table] = checksum(data, start=running[table])
            return []
        checks = []
        for first in range(0, len(data), stride):
            if first:
                checks.append(check_row(table, at + first, running[table]))
            running[table] = checksum(data[first : first + stride], start=running[table])
        return checks

    def _stored(self, signal: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        """Return a signal as rows of /signal."""
        table = self._tables["signal"]
        if signal is None:
            return np.empty((0, self._outputs), table.dtype)
        flat = signal.reshape(-1, self._outputs)
        if self._scale is None:
            return flat.astype("<f8", copy=False)
        if flat.dtype == np.int16:
            return flat.astype("<i2", copy=False)
        from inmateria.recording.counts import counts_of

        return counts_of(flat, self._scale)

    def _extend(self, name: str, parts: list[npt.NDArray[Any]]) -> None:
        table, first = self._tables[name], self._rows[name]
        count = sum(len(part) for part in parts)
        if not count:
            return
        # Low-level calls: h5py's indexing takes longer than the writing itself.
        table.id.set_extent((first + count, *table.shape[1:]))
        # Long parts are written without a copy; many short ones are faster when joined.
        if len(parts) > 1 and count < 1000 * len(parts):
            parts = [np.concatenate(parts)]
        place = table.id.get_space()
        for part in parts:
            place.select_hyperslab((first, *(0,) * (part.ndim - 1)), part.shape)
            rows = np.ascontiguousarray(part)
            if name in self._others:
                self._others[name] = checksum(rows, start=self._others[name])
            table.id.write(h5py.h5s.create_simple(part.shape), place, rows, mtype=self._types[name])
            first += len(part)
        table.id.flush()
        self._rows[name] = first

    def _rows_are_intact(self) -> bool:
        """Read all rows that were written, and return whether they are those that were written."""
        for name, expected in {**self._running, **self._others}.items():
            table, found = self._tables[name], 0
            rows = max(1, _READ_BYTES // self._row_bytes(name))
            try:
                for first in range(0, self._rows[name], rows):
                    found = checksum(table[first : min(first + rows, self._rows[name])], start=found)
            except (OSError, RuntimeError):
                return False
            if found != expected:
                return False
        return True

    def sync(self) -> None:
        """Sync all appended items to the disk."""
        os.fsync(self._handle)

    def end(self) -> None:
        """End the recording properly, and close the file."""
        self.append([Note(END, "end", host=time.time())])
        self.close()

    def close(self) -> None:
        """Close the file; without `end` the recording counts as truncated."""
        if not self._file:
            return
        self._live.release()
        with suppress(OSError, RuntimeError) if self._live.lost else nullcontext():
            self._file.close()


def _scale_of(scale: float | Sequence[float] | None, info: SubstrateInfo) -> npt.NDArray[np.float64] | None:
    if scale is None:
        return None
    each = np.broadcast_to(np.asarray(scale, dtype=np.float64), len(info.outputs)).copy()
    if not (np.isfinite(each).all() and (each > 0).all()):
        raise ValueError(f"scale is {scale}; it must be finite and more than 0, one for all outputs or one for each")
    return each


def _check_space(folder: Path, size: int) -> None:
    """Raise `OSError` if a new file of some bytes cannot be written; HDF5, which fails on closing too, is not tried."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
