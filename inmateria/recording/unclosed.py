"""HDF5 files that were not closed: still being written, left by a killed process, or truncated.

The superblock of such a file marks it as open for writing, and may announce more bytes than there are. HDF5 reads it
only in a mode that waits long for bytes that a truncated file does not have. Here, the library reads through a file
object that presents the superblock of a closed file and zeros for missing bytes, which the library's checksums detect
at once.
"""

import io
import os
import struct
from pathlib import Path
from typing import Any

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZE = 48
"""Bytes of a superblock of version 2 or 3 with addresses of 8 bytes (HDF5 file format specification, II.A)."""
_BEYOND = 1 << 40
_MASK = 0xFFFFFFFF


def is_hdf5(path: Path) -> bool:
    """Return whether a file begins with the signature of HDF5, or with as much of it as it has bytes."""
    with path.open("rb") as file:
        head = file.read(len(_SIGNATURE))
    return _SIGNATURE.startswith(head)


def is_closed(path: Path) -> bool:
    """Return whether an HDF5 file was closed properly and has all its bytes; False if this is not known."""
    with path.open("rb") as file:
        head = file.read(_SIZE)
        size = os.fstat(file.fileno()).st_size
    if not _is_known(head):
        return head[:8] == _SIGNATURE and len(head) == _SIZE  # another version: left to the library
    return head[11] == 0 and announced_size(head) <= size


def announced_size(head: bytes) -> int:
    """Return the length of the file according to its superblock."""
    return int(struct.unpack_from("<Q", head, 28)[0])


def _is_known(head: bytes) -> bool:
    return len(head) == _SIZE and head[:8] == _SIGNATURE and head[8] in (2, 3) and head[9] == head[10] == 8


class UnclosedFile(io.RawIOBase):
    """The bytes of an HDF5 file as if it had been closed; missing bytes are read as zeros.

    Attributes
    ----------
    there, announced : int
        Number of bytes of the file when it was opened, and according to its superblock.
    missed : bool
        Whether bytes beyond the end of the file were read; set it to False before reading what matters.

    Raises
    ------
    ValueError
        If the file ends within its superblock, has none of a known version, or it does not match its checksum.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        head = self._file.read(_SIZE)
        if not _is_known(head):
            self._file.close()
            raise ValueError(
                f"its header has only {len(head)} bytes" if len(head) < _SIZE else "its header is not one of HDF5"
            )
        if struct.unpack_from("<I", head, 44)[0] != lookup3(head[:44]):
            self._file.close()
            raise ValueError("its header does not match its checksum")
        self.there = os.fstat(self._file.fileno()).st_size
        self.announced = max(announced_size(head), self.there)
        # Space may have been allocated for rows that are not written yet, beyond the end in the superblock.
        self._end = self.announced + _BEYOND
        clear = head[:11] + b"\0" + head[12:28] + struct.pack("<Q", self._end) + head[36:44]
        self._head = clear + struct.pack("<I", lookup3(clear))
        self._at = 0
        self.missed = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the position on."""
        view = memoryview(buffer).cast("B")
        data = self.at(self._at, len(view))
        self.missed |= len(data) < len(view)
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        if self._at < _SIZE:
            head = self._head[self._at : self._at + len(view)]
            view[: len(head)] = head
        self._at += len(view)
        return len(view)

    def at(self, offset: int, size: int) -> bytes:
        """Read bytes of the file at an offset; fewer at its end."""
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
    """Return Jenkins' lookup3 hash, the checksum of HDF5's metadata (burtleburtle.net/bob/hash/doobs.html)."""
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
