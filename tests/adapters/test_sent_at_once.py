"""Small messages are sent within the call while a connection takes them; answers are kept for those that ask again."""

from pathlib import Path

import pytest
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, SimulatedSubstrate
from inmateria.adapters.mqtt.device import session as session_module
from inmateria.adapters.mqtt.device.session import Session
from inmateria.adapters.mqtt.wire.device_link import open_device_link
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, place_of
from inmateria.adapters.mqtt.wire.link_protocol import HandsOver, LinkLost
from inmateria.adapters.mqtt.wire.publish_packets import PacketReader, publish_header, published


async def test_a_connection_sends_at_once_until_it_takes_no_more_or_is_gone(tmp_path: Path) -> None:
    place = place_of(f"unix://{tmp_path}/device")
    assert isinstance(place, DeviceSocket)
    topic = place.address.topic("stimulus", "anyone", "0123456789ab")
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), str(place)):
        async with open_device_link(place, timeout=5) as link:
            assert isinstance(link, HandsOver)
            assert link.send_at_once(topic, b"no frame, which the device drops")
            link.pause_writing()  # as asyncio does where the other end does not read
            assert not link.send_at_once(topic, b"")
            link.resume_writing()
            assert link.send_at_once(topic, b"")
        assert not link.send_at_once(topic, b"")
        with pytest.raises(LinkLost, match="closed"):
            await link.publish(topic, b"")


def numbered(session: Session, answers: list[bytes]) -> None:
    """Keep answers as `Commands` does."""
    for answer in answers:
        session.next += 1
        session.keep(answer)


def test_the_last_256_answers_are_kept_by_their_numbers() -> None:
    session = Session("anyone/0123456789ab")
    numbered(session, [b"%d" % number for number in range(300)])
    assert [session.answer(number) for number in (44, 299)] == [b"44", b"299"]
    assert [session.answer(number) for number in (0, 43)] == [None, None]
    session.next += 1  # it is being applied, and has no answer yet
    session.keep(b"300")
    assert (session.answer(44), session.answer(45)) == (None, b"45")


def test_answers_are_kept_while_they_take_no_more_than_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_RING_BYTES", 1000)
    session = Session("anyone/0123456789ab")
    numbered(session, [b"x" * 400] * 5)
    assert [session.answer(number) is None for number in range(5)] == [True, True, True, False, False]
    numbered(session, [b"x" * 4000])  # the last one is kept whatever it takes
    assert session.answer(4) is None
    assert session.answer(5) == b"x" * 4000


@pytest.mark.parametrize("size", [0, 100, 120, 130, 16_300, 16_400, 70_000])
@pytest.mark.parametrize("version_5", [False, True])
def test_a_packet_of_any_length_is_read_whole_in_pieces_and_beside_others(size: int, version_5: bool) -> None:
    packet = bytes(published(publish_header("a/b", version_5), b"x" * size))
    reader = PacketReader(1 << 20, version_5)
    message = ("a/b", b"x" * size, False)
    assert reader.take(packet) == [message]
    assert reader.take(packet * 2) == [message, message]
    assert reader.take(packet[:2]) == []
    assert reader.take(packet[2:] + packet) == [message, message]
    with pytest.raises(ValueError, match="allowed"):
        PacketReader(3, version_5).take(packet)
