"""Writes to a TCP client that arrive whole or not yet, so that a client that reads once gets whole blocks of data.

A client that reads a second of data at once, as the vendor's demos do, gets what its system has received by then, and
that may end within a block. Here a write waits until the client's system has room for all of it. Where a system does
not tell (other than Linux), it is written at once.
"""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress

__all__ = ["WholeWrites"]

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_WINDOW = 228  # place of tcpi_snd_wnd in Linux's struct tcp_info (since 5.4)
_UNSENT = 0x5411  # SIOCOUTQ: bytes that the client's system has not acknowledged
_BETWEEN = 0.002  # s between two looks at a client that has no room
_LARGEST = 60_000  # bytes: a write that no window may ever hold is not held back


class WholeWrites:
    """Writes to one client.

    Parameters
    ----------
    writer : asyncio.StreamWriter
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: deque[bytes] = deque()
        self._again: asyncio.TimerHandle | None = None
        self.unread = 0
        """Bytes that wait for room."""

    def put(self, data: bytes) -> None:
        """Write now, or when there is room; in order."""
        self._waiting.append(data)
        self.unread += len(data)
        if self._again is None:
            self._write()

    def close(self) -> None:
        """Forget what waits."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._waiting.clear()
        self.unread = 0

    def _write(self) -> None:
        self._again = None
        while self._waiting and self._has_room(len(self._waiting[0])):
            data = self._waiting.popleft()
            self.unread -= len(data)
            with suppress(ConnectionError):
                self._writer.write(data)
        if self._waiting:
            self._again = asyncio.get_running_loop().call_later(_BETWEEN, self._write)

    def _has_room(self, size: int) -> bool:
        if self._writer.transport.get_write_buffer_size():
            return False
        sock = self._writer.get_extra_info("socket")
        if _TCP_INFO is None or sock is None or sock.fileno() < 0:
            return True
        with suppress(OSError):
            told = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 512)
            if len(told) >= _WINDOW + 4:
                (window,) = struct.unpack_from("=I", told, _WINDOW)
                room = window - _bytes_unsent(sock.fileno())
                # A write larger than any window is not held back for ever.
                return size <= room or (size > _LARGEST and room > 0)
        return True


def _bytes_unsent(descriptor: int) -> int:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return 0
    answer = fcntl.ioctl(descriptor, _UNSENT, bytes(4))
    return int(struct.unpack("=i", answer)[0])
