"""PUBLISH packets of MQTT at QoS 0, packed and read here because nearly all messages are such; the rest is paho's.

paho reads a packet with three calls to the system and sends one through four locks. Here it is one call each way.
References: MQTT 3.1.1, section 3.3; MQTT 5, section 3.3.
"""

import struct

__all__ = ["PacketReader", "publish_header", "published"]

_PUBLISH, _KIND, _RETAIN = 0x30, 0xFE, 0x01
_TOPIC = struct.Struct(">H")
_LENGTH_BYTES = 4
_MOST_TWO_BYTES = 1 << 14


def publish_header(topic: str, version_5: bool) -> bytes:
    """Return what stands between the length of a packet and its payload: the topic, and in MQTT 5 no properties."""
    name = topic.encode()
    return _TOPIC.pack(len(name)) + name + (b"\0" if version_5 else b"")


def published(header: bytes, payload: bytes) -> bytes:
    """Return a packet."""
    size = len(header) + len(payload)
    if 127 < size < _MOST_TWO_BYTES:  # as nearly always
        return bytes((_PUBLISH, size & 127 | 128, size >> 7)) + header + payload
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return b"".join((b"\x30", length, header, payload))


class PacketReader:
    """Takes in bytes as they come and gives the whole packets in them.

    Parameters
    ----------
    most : int
        Bytes of a packet at most.
    version_5 : bool
    """

    def __init__(self, most: int, version_5: bool) -> None:
        self._most, self._version_5 = most, version_5
        self._held = bytearray()

    def take(self, data: bytes) -> list[tuple[str, bytes, bool] | bytes]:
        """Return topic, payload and the retain flag of each message at QoS 0, and every other packet as it is.

        Raises
        ------
        ValueError
            If the bytes are no packets, or one is too long.
        """
        if not self._held and len(data) > 3 and data[0] & _KIND == _PUBLISH and data[1] > 127 > data[2]:
            length = data[1] & 127 | data[2] << 7
            if length + 3 == len(data) and length <= self._most:  # nearly always: one message, its length in two bytes
                return [self._message(data, 0, 3, len(data))]
        if self._held:
            self._held += data
            whole: bytes | bytearray = self._held
        else:
            whole = data
        found: list[tuple[str, bytes, bool] | bytes] = []
        begin = 0
        while (span := self._span(whole, begin)) is not None:
            at, end = span
            if end > len(whole):
                break
            if whole[begin] & _KIND == _PUBLISH:
                found.append(self._message(whole, begin, at, end))
            else:
                found.append(bytes(whole[begin:end]))
            begin = end
        if whole is self._held:
            del self._held[:begin]
        elif begin < len(data):
            self._held += data[begin:]
        return found

    def _span(self, whole: bytes | bytearray, begin: int) -> tuple[int, int] | None:
        """Return where the body of a packet begins and ends; None where its length has not come yet."""
        length, at = 0, begin + 1
        for shift in range(0, 7 * _LENGTH_BYTES, 7):
            if at >= len(whole):
                return None
            byte = whole[at]
            length |= (byte & 127) << shift
            at += 1
            if byte < 128:
                if length > self._most:
                    raise ValueError(f"a message of {length} bytes came; {self._most} are allowed")
                return at, at + length
        raise ValueError("the length of a packet has more than four bytes")

    def _message(self, whole: bytes | bytearray, begin: int, at: int, end: int) -> tuple[str, bytes, bool]:
        topic_at = at + _TOPIC.size
        body = topic_at + ((whole[at] << 8 | whole[at + 1]) if topic_at <= end else 0)
        after = body
        if self._version_5 and body < end:
            properties = self._span(whole, body - 1)  # their length is written as that of a packet
            after = end + 1 if properties is None else properties[1]
        if topic_at > end or body > end or after > end:
            raise ValueError("a packet ends within its topic or its properties")
        return str(whole[topic_at:body], "utf-8"), bytes(whole[after:end]), bool(whole[begin] & _RETAIN)
