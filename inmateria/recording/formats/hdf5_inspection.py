"""Inspection of an HDF5 file of another program, before any reader opens it.

HDF5 can make a reader open other files (external links, external storage, virtual datasets), go in circles, or claim
any amount of memory. Nothing of that is needed in a file of measurements.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from inmateria.recording.format import RecordingError
from inmateria.recording.formats.memory import check_fits

_MOST_OBJECTS = 1_000_000
_MOST_DEPTH = 64


def inspect_hdf5(path: Path) -> None:
    """Look at all objects of an HDF5 file, and at none of their data.

    Raises
    ------
    RecordingError
        If it refers to another file, contains itself, is damaged, or declares more data than fits into memory.
    """
    with _readable(path), h5py.File(path, "r") as file:
        seen: set[int] = set()
        size = _group(path, file.id, (_address(file.id),), seen)
    check_fits(path, size)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise RecordingError(f"{path} cannot be read as HDF5 ({error}); it is damaged or truncated") from None


def _group(path: Path, group: Any, above: tuple[int, ...], seen: set[int]) -> float:
    """Inspect a group below those with the addresses `above`; return the bytes that its data would take."""
    if len(above) > _MOST_DEPTH:
        raise RecordingError(f"{path} nests groups more than {_MOST_DEPTH} deep; no format of measurements does")
    size = 0.0
    for name in group:
        kind = group.links.get_info(name).type
        if kind == h5py.h5l.TYPE_SOFT:
            _soft_link(path, group, name, above)
            continue
        if kind != h5py.h5l.TYPE_HARD:
            raise RecordingError(
                f"{path} has a link {_shown(name)} to another file; only the file named is read; "
                "copy the data into one file"
            )
        inner = h5py.h5o.open(group, name)
        address = _address(inner)
        if address in above:
            raise RecordingError(f"{path} has a group {_shown(name)} that contains itself; it is damaged")
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > _MOST_OBJECTS:
            raise RecordingError(f"{path} has more than {_MOST_OBJECTS:,} objects")
        if isinstance(inner, h5py.h5g.GroupID):
            size += _group(path, inner, (*above, address), seen)
        elif isinstance(inner, h5py.h5d.DatasetID):
            size += _dataset(path, inner, name)
    return size


def _soft_link(path: Path, group: Any, name: bytes, above: tuple[int, ...]) -> None:
    """Raise if a link within the file leads to a group that it is in; one that leads nowhere is for the reader."""
    try:
        target = h5py.h5o.open(group, name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return
    if _address(target) in above:
        raise RecordingError(f"{path} has a link {_shown(name)} to a group that contains it; it is damaged")


def _dataset(path: Path, dataset: Any, name: bytes) -> float:
    made = dataset.get_create_plist()
    if made.get_external_count():
        raise RecordingError(
            f"{path} keeps the data of {_shown(name)} in another file; only the file named is read; "
            "copy the data into one file"
        )
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise RecordingError(
            f"{path} has a virtual dataset {_shown(name)}, whose data may be in other files; only the file named is "
            "read; copy the data into one file"
        )
    size: float = math.prod(float(each) for each in dataset.shape) * max(1, dataset.get_type().get_size())
    return size


def _address(identifier: Any) -> int:
    return hash(h5py.h5o.get_info(identifier).addr)


def _shown(name: bytes) -> str:
    return repr(name.decode(errors="replace")[:60])
