"""A hostile peer: a hundred thousand frames, damaged or forged, crash nobody, fill no memory and move no stimulus."""

import asyncio
import random
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import psutil
import pytest
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.device.own_status import OwnStatus
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import LinkLost, Message, open_link
from inmateria.substrate import SPIKE, FrameError, Stimulus, SubstrateError

FRAMES = 100_000
WATCHED = 5_000  # so many of them with an eye on memory, which is slow
ONE = Stimulus(np.ones((1, 3)), 0.01)
WORDS: list[Any] = [
    -1, 0, 1, 3, 255,
    2**31, 2**63, -(2**63), 1e308, float("nan"), float("-inf"), "", "<f8", "<i2", ">f8", "|O", "x" * 300,
    [], [1], [-1, 3], [1 << 62, 1 << 62], [1] * 40, [0.0], [1e308, 2], None, True, b"\x00", {}, {"a": [1]},
]  # fmt: skip


def forged(chance: random.Random, session: str, grant: str, *, kinds: list[Kind]) -> bytes:
    """Make a frame whose checksum holds and whose header does not make sense, or hardly."""
    head: dict[str, Any] = {
        "kind": chance.choice(kinds),
        "session": session,
        "grant": grant,
        "sequence": 0,
        "step": 0.01,
    }
    body = np.ones((1, 3)).tobytes()
    head |= {"dtype": "<f8", "shape": [1, 3]}
    for _ in range(chance.randrange(4)):
        head[chance.choice([*head, *Header.__struct_fields__])] = chance.choice(WORDS)
    if chance.random() < 0.3:
        body = chance.randbytes(chance.randrange(200))
    packed = msgspec.msgpack.encode(head)
    covers = chance.randrange(2)
    prefix = struct.pack("<2sBBI", b"IM", 1, covers, len(packed))
    check = crc32(prefix + packed + (body if covers else b""))
    return prefix + struct.pack("<I", check) + packed + body


def damaged(chance: random.Random, whole: bytes) -> bytes:
    """Flip bits of a frame, cut it, lengthen it, or announce another length."""
    data = bytearray(whole)
    how = chance.randrange(4)
    if how == 0:
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == 1:
        del data[chance.randrange(len(data)) :]
    elif how == 2:
        data += chance.randbytes(chance.randrange(1, 50))
    else:
        data[4:8] = struct.pack("<I", chance.getrandbits(32))
    return bytes(data)


class FromList:
    """A link over which given messages come, and which takes whatever is said."""

    def __init__(self, messages: Iterator[tuple[str, bytes]]) -> None:
        self._messages = messages
        self.said = 0

    async def messages(self) -> AsyncIterator[Message]:
        for number, each in enumerate(self._messages):
            if number % 100 == 0:
                await asyncio.sleep(0)  # whoever else has something to do
            yield Message(*each)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.said += 1


async def test_a_device_applies_nothing_of_a_hundred_thousand_hostile_frames() -> None:
    chance = random.Random(0)
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        await substrate.stimulate(ONE)
        session, grant = substrate._session, substrate._grant
        right = Header(kind=Kind.STIMULUS, session=session, grant=grant, sequence=1, step=0.01)
        whole = encode(right, ONE.drive)

        def hostile() -> Iterator[tuple[str, bytes]]:
            topic = "inmateria/1/lab/leaky/stimulus/anyone/"
            for number in range(FRAMES):
                if number == WATCHED:
                    most.append(tracemalloc.get_traced_memory()[1])
                    tracemalloc.stop()
                    resident.append(psutil.Process().memory_info().rss)
                if number % 3 == 0:  # damaged on its way: the right session and grant
                    payload = damaged(chance, whole)
                    if payload != whole:
                        yield topic + session, payload
                elif number % 3 == 1:  # by somebody who knows the session, and cannot know the grant
                    yield topic + session, forged(chance, session, "0" * 32, kinds=list(Kind))
                else:
                    yield (
                        topic + "other",
                        forged(chance, "other", grant, kinds=[each for each in Kind if each != "open"]),
                    )

        most: list[int] = []
        resident: list[int] = []
        tracemalloc.start()
        await server._receive_frames(FromList(hostile()), AccessProbe(), OwnStatus("status"))  # type: ignore[arg-type]
        assert most[0] < 2_000_000
        assert psutil.Process().memory_info().rss - resident[0] < 20_000_000  # over the other 95,000
        assert len(simulator.applied) == 1
        assert (await substrate.stimulate(ONE)).sequence == 1


async def test_a_client_is_not_troubled_by_a_hundred_thousand_hostile_frames() -> None:
    chance = random.Random(1)
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        session = substrate._session
        answer = encode(
            Header(kind=Kind.RESPONSE, session=session, sequence=0), np.ones((1, 2, 4)), np.zeros(3, dtype=SPIKE)
        )
        kinds = [each for each in Kind if each not in ("opened", "refused")]

        def hostile() -> Iterator[tuple[str, bytes]]:
            base = "inmateria/1/lab/leaky/"
            for number in range(FRAMES):
                if number == WATCHED:
                    most.append(tracemalloc.get_traced_memory()[1])
                    tracemalloc.stop()
                    resident.append(psutil.Process().memory_info().rss)
                if number % 4 == 0:
                    payload = damaged(chance, answer)
                    if payload != answer:
                        yield f"{base}response/anyone/{session}", payload
                elif number % 4 == 1:
                    yield f"{base}response/anyone/{session}", forged(chance, session, "", kinds=kinds)
                elif number % 4 == 2:
                    yield f"{base}response/anyone/{session}", forged(chance, "other", "", kinds=list(Kind))
                else:
                    yield base + chance.choice(["info", "status"]), chance.randbytes(chance.randrange(60))

        link = FromList(hostile())
        most: list[int] = []
        resident: list[int] = []
        tracemalloc.start()
        await substrate._receive(link, asyncio.get_running_loop().create_future())  # type: ignore[arg-type]
        assert most[0] < 2_000_000
        assert psutil.Process().memory_info().rss - resident[0] < 20_000_000  # over the other 95,000
        assert (await substrate.stimulate(ONE)).sequence == 0


@pytest.mark.parametrize("kind", [Kind.OPENED, Kind.REFUSED, Kind.MISSING])
async def test_a_forged_word_of_the_device_ends_a_session_at_most_and_with_a_clear_error(kind: Kind) -> None:
    chance = random.Random(4)
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        session, grant = substrate._session, substrate._grant
        topic = f"inmateria/1/lab/leaky/response/anyone/{session}"
        ended = 0
        for _ in range(2_000):
            forgery = forged(chance, session, chance.choice([grant, "0" * 32]), kinds=[kind])
            try:
                opened = asyncio.get_running_loop().create_future()
                await substrate._receive(FromList(iter([(topic, forgery)])), opened)  # type: ignore[arg-type]
            except SubstrateError as error:
                ended += bool(str(error))
        assert (ended > 0) == (kind is not Kind.MISSING)
        assert simulator.applied == []


def test_forged_frames_are_read_or_refused_and_nothing_else() -> None:
    chance = random.Random(2)
    read = 0
    for _ in range(20_000):
        try:
            decode(forged(chance, "s", "g", kinds=list(Kind)))
            read += 1
        except FrameError:
            pass
    assert read > 1000  # so the forger is not one whom the first check keeps out


async def test_whoever_holds_the_lease_can_send_nonsense_and_gets_refusals() -> None:
    chance = random.Random(3)
    simulator = LeakySimulator()
    refused = 0
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        for dtype, shape, body in (
            ("<f8", (1, 3), np.full((1, 3), 50.0)), ("<f8", (1, 3), np.full((1, 3), np.nan)), ("<f4", (3,), np.ones(3)),
            ("<f8", (1, 2), np.ones((1, 2))),
            ("<i2", (1, 3), np.ones((1, 3))), ("<f8", (20_000, 3), np.zeros((20_000, 3))),
        ):  # fmt: skip
            number = substrate._commands.next
            header = Header(kind=Kind.STIMULUS, session=substrate._session, grant=substrate._grant, sequence=number)
            header.step = 0.01 if chance.random() < 0.9 else float("nan")
            sent = await substrate._send(Kind.RENEW)  # takes a number, and waits for its answer
            assert substrate._link is not None
            await substrate._link.publish(substrate._stimuli, encode(header, body.astype(dtype)))
            assert body.shape == shape
            with pytest.raises(SubstrateError):
                await sent.answer
            refused += 1
            await substrate._resume()
        assert refused == 6
        assert simulator.applied == []
        assert (await substrate.stimulate(ONE)).sequence == 0


async def test_a_message_that_is_too_large_ends_the_connection_and_is_never_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.wire.link.MOST_MESSAGE", 100_000)
    async with (
        EmbeddedBroker() as broker,
        open_link(Broker.from_uri(broker.uri), timeout=5) as victim,
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        await victim.subscribe("here")
        await hostile.publish("here", bytes(50_000))
        async for _, payload, _ in victim.messages():
            assert len(payload) == 50_000
            break
        await hostile.publish("here", bytes(20_000_000))
        with pytest.raises(LinkLost, match=r"a message of \d+ bytes came; 100000 are allowed"):
            async for _ in victim.messages():
                pass


async def test_who_does_not_look_is_sent_no_more_than_the_queue_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.wire.received_messages._MOST_QUEUED", 16)
    async with (
        EmbeddedBroker() as broker,
        open_link(Broker.from_uri(broker.uri), timeout=5) as slow,
        open_link(Broker.from_uri(broker.uri), timeout=5) as fast,
    ):
        await slow.subscribe("here", "end")
        for number in range(500):
            await fast.publish("here", b"%d" % number)
        await fast.publish("end", b"")
        got = []
        async for topic, payload, _ in slow.messages():
            assert len(slow._queue) <= 16
            if topic == "end":
                break
            got.append(int(payload))
            await asyncio.sleep(0)
        assert got == list(range(500))  # the rest waited in the broker: nothing was dropped here
