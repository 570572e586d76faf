"""Frames that are larger than one message should be are sent in parts, and joined at the other end.

A part is a frame of kind ``part`` whose body is a piece of the whole frame. Between two parts there is room for other
messages, each part shows that its sender is alive, and a broker with a limit on the size of messages passes them on.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator

import numpy as np

from inmateria.adapters.mqtt.wire.frames import Frame, Header, Kind, decode, encode, header_of
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE
from inmateria.adapters.mqtt.wire.message_size import AROUND
from inmateria.substrate import FrameError

__all__ = ["LARGEST_PART", "PartAssembler", "in_parts"]

LARGEST_PART = 1 << 18
"""Bytes of a message that carries a part at most, 256 KiB: a fifth of a second at 10 Mbit/s."""
_MOST_PARTS = 1 << 16


def in_parts(data: bytes, largest: int) -> Iterator[bytes]:
    """Yield the messages that carry a frame: itself, or parts of it where it is larger than `largest` bytes."""
    if len(data) <= largest:
        yield data
        return
    size = largest - AROUND
    whole, count = header_of(data), -(-len(data) // size)
    for index in range(count):
        header = Header(
            kind=Kind.PART, session=whole.session, epoch=whole.epoch, grant=whole.grant, sequence=whole.sequence,
            part=(index, count),
        )  # fmt: skip
        piece = data[index * size : (index + 1) * size]
        yield encode(header, np.frombuffer(piece, np.uint8), whole=False)


class PartAssembler:
    """Joins parts to frames; it holds at most 64 MiB of them, and forgets the oldest beyond that."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[Hashable, dict[int, bytes]] = OrderedDict()
        self._counts: dict[Hashable, int] = {}
        self._size = 0

    def add(self, part: Frame, key: Hashable = None) -> Frame | None:
        """Take a part in; give the whole frame when it was the last one missing.

        Parameters
        ----------
        part : Frame
            Of kind ``part``.
        key : hashable
            Tells senders apart; the sequence number is a part of the key in any case.

        Raises
        ------
        FrameError
            If it is no part, or the parts make no frame of the same session, grant and number.
        """
        header, array = part.header, part.array
        if len(header.part) != 2 or not 0 <= header.part[0] < header.part[1] <= _MOST_PARTS:
            raise FrameError(f"a part has the number {header.part[:4]}", f"index and count, at most {_MOST_PARTS}")
        if array is None or array.dtype != np.uint8 or array.ndim != 1:
            raise FrameError(f"a part has shape {header.shape} of {header.dtype!r}", "bytes, in one axis")
        index, count = header.part
        key = (key, header.sequence)
        if self._counts.get(key) != count:
            self._forget(key)
            self._pieces[key], self._counts[key] = {}, count
        pieces = self._pieces[key]
        self._size += array.nbytes - len(pieces.get(index, b""))
        pieces[index] = array.tobytes()
        while self._size > MOST_MESSAGE:
            self._forget(next(iter(self._pieces)))
        if len(pieces) < count or key not in self._pieces:
            return None
        whole = b"".join(pieces[each] for each in range(count))
        self._forget(key)
        frame = decode(whole)
        told = frame.header
        if (told.session, told.grant, told.sequence) != (header.session, header.grant, header.sequence):
            raise FrameError("parts make a frame of another session, grant or number", "those of the parts")
        return frame

    def _forget(self, key: Hashable) -> None:
        self._size -= sum(len(piece) for piece in self._pieces.pop(key, {}).values())
        self._counts.pop(key, None)
