"""PUBLISH packets at QoS 0, held to the ones of paho-mqtt, and read however the stream is cut."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from inmateria.adapters.mqtt.wire.publish_packets import PacketReader, publish_header, published

TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1, max_size=40)
PAYLOADS = st.one_of(st.binary(max_size=300), st.sampled_from([127, 128, 16_383, 16_384, 40_000]).map(bytes))
PINGRESP, PUBACK = b"\xd0\x00", b"\x40\x02\x00\x01"


class Sent:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def of_paho(topic: str, payload: bytes, version_5: bool, retain: bool = False, kept: float | None = None) -> bytes:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5 if version_5 else MQTTv311)
    client._sock = sent = Sent()
    properties = None
    if kept is not None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("from", "x" * int(kept))
    client.publish(topic, payload, 0, retain, properties)
    client._sock = None
    return sent.data


@given(topic=TOPICS, payload=PAYLOADS, version_5=st.booleans())
@settings(max_examples=150)
def test_a_packet_is_the_one_of_paho(topic: str, payload: bytes, version_5: bool) -> None:
    assert published(publish_header(topic, version_5), payload) == of_paho(topic, payload, version_5)


@given(
    messages=st.lists(st.tuples(TOPICS, PAYLOADS, st.booleans()), max_size=4),
    version_5=st.booleans(), cut=st.integers(1, 5000), properties=st.integers(0, 200),
)  # fmt: skip
@settings(max_examples=150)
def test_what_paho_sends_is_read_however_the_stream_is_cut(
    messages: list[tuple[str, bytes, bool]], version_5: bool, cut: int, properties: int
) -> None:
    kept = properties if version_5 else None
    whole = PINGRESP + b"".join(of_paho(*each[:2], version_5, each[2], kept) + PUBACK for each in messages)
    reader, found = PacketReader(1 << 20, version_5), []
    for at in range(0, len(whole), cut):
        found += reader.take(whole[at : at + cut])
    assert found == [PINGRESP, *(part for each in messages for part in (each, PUBACK))]


@given(garbage=st.binary(max_size=100), version_5=st.booleans())
@settings(max_examples=300)
def test_garbage_is_read_waited_for_or_refused(garbage: bytes, version_5: bool) -> None:
    try:
        PacketReader(1000, version_5).take(garbage)
    except ValueError:
        return


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30" + bytes([0x80 | 1000 & 127, 1000 >> 7]),  # longer than allowed
        b"\x30\x01\x00",  # ends within the length of the topic
        b"\x30\x04" + struct.pack(">H", 9) + b"ab",  # ends within the topic
        b"\x30\x03" + struct.pack(">H", 1) + b"\xff",  # no UTF-8
    ],
)
def test_a_packet_that_is_none_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"four bytes|allowed|ends within|codec"):
        PacketReader(999, False).take(wrong)


def test_properties_that_go_beyond_the_packet_are_refused() -> None:
    with pytest.raises(ValueError, match="ends within"):
        PacketReader(999, True).take(b"\x30\x05" + struct.pack(">H", 1) + b"t" + b"\x09x")
