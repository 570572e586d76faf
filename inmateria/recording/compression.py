"""Compression of finished recordings: the file is written anew with filters of HDF5, verified, and put in its place."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.recording.format import DATA, RecordingError
from inmateria.recording.reading import Recording, open_recording
from inmateria.recording.unclosed import is_closed

_CHUNK_BYTES = 1 << 20
"""Uncompressed size of a chunk: it fits into HDF5's cache of chunks, so that neighbours are decompressed once."""

_LEVEL = 4
_BLOCK_BYTES = 8 << 20

CompressionProgress = Callable[[int, int], None]
"""Called with the number of bytes that are compressed and verified, and their number in all."""


class CompressionStopped(Exception):
    """Compression was stopped on request; the recording is as before."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Result of a compression.

    Parameters
    ----------
    path : Path
    before, after : int
        Size of the file, bytes.
    """

    path: Path
    before: int
    after: int

    __repr__ = one_line


def compress(
    path: str | PathLike[str],
    *,
    on_progress: CompressionProgress | None = None,
    stop: threading.Event | None = None,
) -> Compression:
    """Compress a finished recording, which then reads as before.

    A compressed copy with the same rows and checksums is written beside the recording, synced, and compared with it row
    by row; only then it takes the recording's name, in one operation of the file system. Whatever ends the process
    before leaves the recording as it was, and at most the unfinished copy, ``.NAME.compressing``, which the next
    compression replaces.

    Parameters
    ----------
    path : path-like
    on_progress : callable, optional
        Called from time to time with bytes done and bytes in all.
    stop : threading.Event, optional
        Compression stops soon after it is set.

    Raises
    ------
    RecordingError
        If the file is not a recording, is damaged, was not ended properly, or the copy cannot be written.
    CompressionStopped
        If `stop` was set.
    """
    path = Path(path)
    before = path.stat().st_size if path.is_file() else 0
    draft = path.with_name(f".{path.name}.compressing")
    try:
        with open_recording(path) as recording:
            if not (recording.finished and is_closed(path)):
                raise RecordingError(
                    f"{path} was not ended properly, or is still being written; "
                    "`inmateria recover FILE -o NEW` copies what is whole"
                )
            with h5py.File(path, "r") as old:
                if all(table.compression is not None for table in old.values()):
                    return Compression(path, before, before)
                size = 2 * sum(table.size * table.dtype.itemsize for table in old.values())
                work = _Work(on_progress, stop, size)
                with h5py.File(draft, "w", libver="latest") as new:
                    _copy(recording, old, new, work)
                _sync(draft)
                with h5py.File(draft, "r") as new:
                    _compare(recording, old, new, work)
        shutil.copymode(path, draft)
        draft.replace(path)
        _sync(path.parent)
    except RecordingError:
        _remove(draft)
        raise
    except (OSError, RuntimeError) as error:  # raised by HDF5 if it cannot extend the file
        _remove(draft)
        why = " ".join(str(error).split())
        raise RecordingError(f"{path} cannot be compressed ({why}); it is as before; is the disk full?") from None
    except BaseException:
        _remove(draft)
        raise
    return Compression(path, before, path.stat().st_size)


class _Work:
    """Progress of a compression, and the request to stop it."""

    def __init__(self, on_progress: CompressionProgress | None, stop: threading.Event | None, size: int) -> None:
        self._on_progress, self._stop, self._size = on_progress, stop, size
        self._done = 0

    def add(self, size: int) -> None:
        self._done += size
        if self._on_progress is not None:
            self._on_progress(self._done, self._size)
        if self._stop is not None and self._stop.is_set():
            raise CompressionStopped


def _copy(recording: Recording, old: h5py.File, new: h5py.File, work: _Work) -> None:
    _copy_attributes(old, new)
    for name, table in old.items():
        row = _row_bytes(table)
        rows = max(1, min(len(table), _CHUNK_BYTES // row))
        made = new.create_dataset(
            name, table.shape, table.dtype, maxshape=table.maxshape, chunks=(rows, *table.shape[1:]),
            compression="gzip", compression_opts=_LEVEL, shuffle=True,
        )  # fmt: skip
        _copy_attributes(table, made)
        for first, last in _blocks(table, rows):
            made[first:last] = _verified(recording, table, name, first, last)
            work.add((last - first) * row)


def _copy_attributes(old: Any, new: Any) -> None:
    for name in old.attrs:
        new.attrs.create(name, old.attrs[name], dtype=old.attrs.get_id(name).dtype)


def _compare(recording: Recording, old: h5py.File, new: h5py.File, work: _Work) -> None:
    """Raise if the copy is not equal to the recording, bit for bit."""
    for name, table in old.items():
        other = new[name]
        for first, last in _blocks(table, other.chunks[0]):
            if _verified(recording, table, name, first, last).tobytes() != other[first:last].tobytes():
                raise RecordingError(
                    f"rows {first} to {last - 1} of /{name} of {recording.path} are not read as they were written; "
                    "it is as before; check the disk"
                )
            work.add((last - first) * _row_bytes(table))


def _verified(recording: Recording, table: h5py.Dataset, name: str, first: int, last: int) -> npt.NDArray[Any]:
    """Read rows, those of data with their checksums; the others were verified when the recording was opened."""
    rows: npt.NDArray[Any] = recording.rows(name, first, last) if name in DATA else table[first:last]
    return np.ascontiguousarray(rows)


def _blocks(table: h5py.Dataset, chunk: int) -> list[tuple[int, int]]:
    """Return ranges of rows of whole chunks, of about 8 MB."""
    rows = chunk * max(1, _BLOCK_BYTES // (chunk * _row_bytes(table)))
    return [(first, min(len(table), first + rows)) for first in range(0, len(table), rows)]


def _row_bytes(table: h5py.Dataset) -> int:
    return max(1, int(table.dtype.itemsize * np.prod(table.shape[1:], dtype=int)))


def _sync(path: Path) -> None:
    """Sync a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink(missing_ok=True)
