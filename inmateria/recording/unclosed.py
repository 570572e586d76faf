"""HDF5 files as a writer left them: still growing, killed, or cut short.

Such a file's superblock says that it is open for writing, and may announce more bytes than there are.
HDF5 reads it only in a mode that waits long for what a cut file will never have. Here the library is
given the bytes through a file object instead, with the superblock as of a file that was closed and zeros
for what is missing. What is missing is then noticed by the library's own checksums, at once.
"""

import io
import os
import struct
from pathlib import Path
from typing import Any

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZE = 48
"""Of a superblock of version 2 or 3 with addresses of 8 bytes (HDF5 file format specification, II.A)."""
_BEYOND = 1 << 40
_MASK = 0xFFFFFFFF


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 does, or is too short to tell."""
    with path.open("rb") as file:
        head = file.read(len(_SIGNATURE))
    return _SIGNATURE.startswith(head)


def is_closed(path: Path) -> bool:
    """Say whether an HDF5 file was closed properly and has all its bytes; False where it cannot be told."""
    with path.open("rb") as file:
        head = file.read(_SIZE)
        size = os.fstat(file.fileno()).st_size
    if not _is_known(head):
        return head[:8] == _SIGNATURE and len(head) == _SIZE  # another version: left to the library
    return head[11] == 0 and announced_size(head) <= size


def announced_size(head: bytes) -> int:
    """Read from a superblock how long the file is meant to be."""
    return int(struct.unpack_from("<Q", head, 28)[0])


def _is_known(head: bytes) -> bool:
    return len(head) == _SIZE and head[:8] == _SIGNATURE and head[8] in (2, 3) and head[9] == head[10] == 8


class UnclosedFile(io.RawIOBase):
    """The bytes of an HDF5 file as if it had been closed; what is missing reads as zeros.

    Attributes
    ----------
    there, announced : int
        How many bytes the file had when it was opened, and how many it is meant to have.

    Raises
    ------
    ValueError
        Where the file ends within its superblock, or has none that is known.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        head = self._file.read(_SIZE)
        if not _is_known(head):
            self._file.close()
            raise ValueError(f"it has {len(head)} bytes of a head" if len(head) < _SIZE else "its head is not HDF5's")
        self.there = os.fstat(self._file.fileno()).st_size
        self.announced = max(announced_size(head), self.there)
        # Space may have been given to rows that are not written yet, without the superblock knowing of it.
        self._end = self.announced + _BEYOND
        clear = head[:11] + b"\0" + head[12:28] + struct.pack("<Q", self._end) + head[36:44]
        self._head = clear + struct.pack("<I", lookup3(clear))
        self._at = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place can be read."""
        return True

    def tell(self) -> int:
        """Give the place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as fit."""
        view = memoryview(buffer).cast("B")
        data = self.at(self._at, len(view))
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        if self._at < _SIZE:
            head = self._head[self._at : self._at + len(view)]
            view[: len(head)] = head
        self._at += len(view)
        return len(view)

    def at(self, offset: int, size: int) -> bytes:
        """Read bytes from a place; fewer where the file ends."""
        parts = []
        while size > 0 and (part := os.pread(self._file.fileno(), size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def lookup3(data: bytes) -> int:
    """Give Jenkins' lookup3 hash, with which HDF5 checks its metadata (burtleburtle.net/bob/hash/doobs.html)."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(data) > 12:
        x, y, z = (int(word) for word in struct.unpack_from("<3I", data))
        a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
        a = ((a - c) & _MASK) ^ _turned(c, 4)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ _turned(a, 6)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ _turned(b, 8)
        b = (b + a) & _MASK
        a = ((a - c) & _MASK) ^ _turned(c, 16)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ _turned(a, 19)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ _turned(b, 4)
        b = (b + a) & _MASK
        data = data[12:]
    if not data:
        return c
    x, y, z = (int(word) for word in struct.unpack("<3I", data.ljust(12, b"\0")))
    a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
    c = ((c ^ b) - _turned(b, 14)) & _MASK
    a = ((a ^ c) - _turned(c, 11)) & _MASK
    b = ((b ^ a) - _turned(a, 25)) & _MASK
    c = ((c ^ b) - _turned(b, 16)) & _MASK
    a = ((a ^ c) - _turned(c, 4)) & _MASK
    b = ((b ^ a) - _turned(a, 14)) & _MASK
    return ((c ^ b) - _turned(b, 24)) & _MASK


def _turned(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _MASK
