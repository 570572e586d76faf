"""Reading a stream into memory that is kept, where asyncio takes 256 KiB for each message and gives them back.

In some processes each such read took two page faults, 20 us, likely by the chance of how their memory lies.
"""

import asyncio
from abc import ABC, abstractmethod

__all__ = ["BytesProtocol"]

_CHUNK = 1 << 16


class BytesProtocol(asyncio.BufferedProtocol, ABC):
    """An `asyncio.BufferedProtocol` that is given what came as bytes, by `data_received`."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(_CHUNK))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on a copy of what was read."""
        self.data_received(self._memory[:nbytes].tobytes())

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take what came."""
