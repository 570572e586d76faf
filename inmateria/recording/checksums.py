"""Checksums of a recording: rows that carry their own, and running checksums of the tables of data."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_CHECK = struct.Struct("<I")
_SEAL = 0x2144DF1C
"""CRC-32 of any bytes followed by their own CRC-32; as a start value it makes every sealed row leave it unchanged."""


def checksum(*parts: npt.NDArray[Any] | bytes, start: int = 0) -> int:
    """Return the CRC-32 of arrays and bytes, one after the other, continued from `start`."""
    value = start
    for part in parts:
        value = zlib.crc32(part if isinstance(part, bytes) else np.ascontiguousarray(part).data, value)
    return value


def sealed(row: bytes) -> bytes:
    """Return a row with its checksum at the end; see `sealed_rows`."""
    return row + _CHECK.pack(zlib.crc32(row, _SEAL))


def sealed_rows(rows: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Return which rows match the checksum at their end.

    A row that matches leaves the start value of the checksum as it was, so that one pass over all rows does if none is
    damaged.
    """
    data = np.ascontiguousarray(rows).tobytes()
    if zlib.crc32(data, _SEAL) == _SEAL:
        return np.ones(len(rows), dtype=bool)
    size = rows.dtype.itemsize
    return np.array([zlib.crc32(data[at : at + size], _SEAL) == _SEAL for at in range(0, len(data), size)])


@dataclass(frozen=True, eq=False)
class RunningChecksum:
    """Values of the CRC-32 over the rows of a table, from the first on, after some numbers of rows.

    Parameters
    ----------
    after : ndarray of int
        Numbers of rows, ascending.
    values : ndarray of int
        CRC-32 of so many rows.
    """

    after: npt.NDArray[np.int64]
    values: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, parts: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> "RunningChecksum":
        """Join parts in any order, and the value of no rows."""
        some = list(parts)
        after = np.concatenate([np.zeros(1, np.int64), *(after.astype(np.int64) for after, _ in some)])
        values = np.concatenate([np.zeros(1, np.uint32), *(values.astype(np.uint32) for _, values in some)])
        order = np.argsort(after, kind="stable")
        return cls(after[order], values[order])

    def around(self, first: int, last: int) -> tuple[int, int, int, int] | None:
        """Return the nearest numbers of rows at or outside a range and their values; None if there are none.

        Returns
        -------
        begin, end, before, then : int
            ``begin <= first``, ``last <= end``, and the values after `begin` and after `end` rows.
        """
        low = int(np.searchsorted(self.after, first, side="right")) - 1
        high = int(np.searchsorted(self.after, last, side="left"))
        if high >= len(self.after):
            return None
        return int(self.after[low]), int(self.after[high]), int(self.values[low]), int(self.values[high])
