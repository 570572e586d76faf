"""Pickles in files of pandas and PyTables, which both load without asking: looked at first, so that none runs code."""

import io
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from inmateria.recording import RecordingError

__all__ = ["refuse_code_in_pickles"]

_HARMLESS = {
    ("datetime", "timezone"), ("datetime", "timedelta"), ("datetime", "datetime"),
    ("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"), ("numpy", "dtype"),
}  # fmt: skip
"""What the pickles of an export name: times with their zone, and columns of text."""


class _Refused(Exception):
    """A pickle names something that is not harmless."""


class _Harmless(pickle.Unpickler):
    """An unpickler that makes numbers, texts, lists, dictionaries, and what is named in `_HARMLESS`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise _Refused(f"{module}.{name}")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused(f"persistent object {pid!r}"[:60])


def refuse_code_in_pickles(path: Path) -> None:
    """Look at each text and each row of bytes in an HDF5 file that may be loaded as a pickle.

    Raises
    ------
    RecordingError
        If one of them would call anything but what dates and columns of text need.
    """

    def see(name: str, item: Any) -> None:
        for attribute in item.attrs:
            _check(path, f"{name}.{attribute}", item.attrs[attribute])
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and h5py.check_vlen_dtype(item.dtype):
            for row in item[()].reshape(-1):
                _check(path, name, np.asarray(row).tobytes())

    try:
        with h5py.File(path, "r") as file:
            see("/", file)
            file.visititems(see)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RecordingError(f"{path} cannot be read as an export of the Neuroplatform ({error})") from None


def _check(path: Path, name: str, value: Any) -> None:
    for each in value.reshape(-1).tolist() if isinstance(value, np.ndarray) else [value]:
        data = each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each
        if not isinstance(data, bytes) or not data.rstrip(b"\0").endswith(b"."):
            continue
        try:
            _Harmless(io.BytesIO(data), encoding="latin-1").load()
        except _Refused as refused:
            raise RecordingError(
                f"{path}: {name} holds a pickle that names {refused}, which could run code; it is not read"
            ) from None
        except Exception:
            continue
