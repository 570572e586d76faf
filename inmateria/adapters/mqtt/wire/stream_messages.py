"""Messages on a stream of bytes, as they go over the socket of a device (docs/wire.md, Without a broker).

4 bytes   length of what follows, unsigned little-endian
1 byte    kind, see `StreamKind`
1 byte    length of the topic
topic     ASCII, below the device: ``stimulus/anyone/0123456789ab``
payload   the rest
"""

import struct
from enum import IntEnum

__all__ = ["MessageReader", "StreamKind", "beginning", "packed", "packed_after"]

_HEAD, _LENGTH = struct.Struct("<IBB"), struct.Struct("<I")
_read_head, _pack_length = _HEAD.unpack_from, _LENGTH.pack
_BEGIN = _HEAD.size
_PREFIX = 4
_UNCOUNTED = _BEGIN - _PREFIX
_MOST_TOPIC = 255


class StreamKind(IntEnum):
    """Kind of a message on the stream."""

    HELLO = 0  # the first one each way; the payload is JSON: version, group and device
    MESSAGE = 1
    RETAINED = 2  # a message that was published before the subscription
    SUBSCRIBE = 3  # the payload holds topics, one a line
    UNSUBSCRIBE = 4
    PING = 5  # each side sends them all the time, so that the other knows that it is there
    REFUSED = 6  # the payload says why; the connection ends with it


def packed(kind: int, topic: bytes = b"", payload: bytes = b"") -> bytes:
    """Return the bytes of a message."""
    return _HEAD.pack(len(topic) + len(payload) + _UNCOUNTED, kind, len(topic)) + topic + payload


def beginning(kind: int, topic: bytes) -> bytes:
    """Return what stands between the length of a message and its payload, the same for all on one topic."""
    return bytes((kind, len(topic))) + topic


def packed_after(begins: bytes, payload: bytes) -> bytes:
    """Return the bytes of a message whose `beginning` is known."""
    return _pack_length(len(begins) + len(payload)) + begins + payload


class MessageReader:
    """Takes in bytes as they come and gives the whole messages in them.

    Parameters
    ----------
    most : int
        Bytes of a message at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most + _UNCOUNTED + _MOST_TOPIC
        self._held = bytearray()

    def take(self, data: bytes) -> list[tuple[int, bytes, bytes]]:
        """Return kind, topic and payload of each message that is complete now.

        Raises
        ------
        ValueError
            If the bytes are no messages, or one is too long: nothing after it can be read.
        """
        held, came = self._held, len(data)
        if not held and came >= _BEGIN:
            length, kind, size = _read_head(data)
            at = _BEGIN + size
            if length + _PREFIX == came >= at and length <= self._most:  # nearly always
                return [(kind, data[_BEGIN:at], data[at:])]
        held += data
        found: list[tuple[int, bytes, bytes]] = []
        begin = 0
        with memoryview(held) as view:
            while len(held) - begin >= _BEGIN:
                length, kind, size = _read_head(held, begin)
                if not size + _UNCOUNTED <= length <= self._most:
                    raise ValueError(
                        f"a message of {length} bytes with a topic of {size} was announced; allowed are {self._most}"
                    )
                end = begin + _PREFIX + length
                if end > len(held):
                    break
                at = begin + _BEGIN + size
                found.append((kind, bytes(view[begin + _BEGIN : at]), bytes(view[at:end])))
                begin = end
        del held[:begin]
        return found
