"""Stops and the device's status: no flood delays them, no old message acts, no late will counts."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from brokers import TESTS, BrokerProcess, EmbeddedApart, Mosquitto
from fault_proxy import FaultProxy
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate, emergency_stop, release
from inmateria.adapters.mqtt.device.own_status import OwnStatus
from inmateria.adapters.mqtt.device.stop_topics import StopTopics
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.announcements import Status
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import Link, open_link
from inmateria.adapters.mqtt.wire.link_protocol import Message
from inmateria.substrate import Response, Stimulus, Substrate, SubstrateDisconnected, SubstrateError

ONE = Stimulus(np.ones((1, 3)), 0.01)
TOPIC = "inmateria/1/lab/leaky"
PROBE = encode(Header(kind=Kind.PROBE, session="flood"))


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    """Run a real Mosquitto, or the embedded broker, in a process of its own."""
    started = Mosquitto(tmp_path) if request.param == "mosquitto" else EmbeddedApart()
    yield started
    started.kill()


class Endless(Substrate):
    """A substrate that applies a stimulus until it is interrupted."""

    def __init__(self) -> None:
        self.info = LeakySimulator().info
        self.applying, self.at_rest = asyncio.Event(), asyncio.Event()

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.applying.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def reset(self) -> None:
        self.at_rest.set()


@asynccontextmanager
async def flood(port: int, topic: str, payload: bytes) -> AsyncIterator[None]:
    """Publish as fast as the broker takes it, from when 50,000 messages are on their way."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(TESTS / "flooder.py"), str(port), topic, payload.hex(), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        for _ in range(10):
            assert await process.stdout.readline()
        yield
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("stimulus/eve/flood", b"x"),
        ("stimulus/eve/flood", encode(Header(kind=Kind.OPEN, session="flood"))),
        ("status", b"x"),
        ("stop", PROBE),
        ("release", b""),
        ("events", b"x"),
    ],
)
async def test_an_emergency_stop_acts_during_a_flood(where: str, what: bytes, mosquitto: Mosquitto) -> None:
    substrate = Endless()
    async with (
        DeviceServer(substrate, mosquitto.uri, lease=600) as server,
        RemoteSubstrate(server.uri) as remote,
    ):
        asking = asyncio.create_task(remote.stimulate(ONE))
        await substrate.applying.wait()
        async with flood(mosquitto.port, f"{TOPIC}/{where}", what):
            stopping = asyncio.create_task(emergency_stop(server.uri, timeout=120))
            await asyncio.wait_for(substrate.at_rest.wait(), 120)
            if where != "status":  # where the confirmation would have to come through the flood
                await stopping
        await asyncio.wait({stopping}, timeout=60)
        with pytest.raises(SubstrateError):
            await asyncio.wait_for(asking, 60)
        stopping.cancel()


async def test_a_flood_of_releases_releases_nothing(mosquitto: Mosquitto) -> None:
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server:
        await emergency_stop(server.uri)
        stops = StopTopics("stop", "release", AccessProbe())
        asked = [stops.asks(Message("release", b"")) for _ in range(200)]
        assert asked[:50] == ["release"] * 50
        assert set(asked[50:]) == {"stop"}


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("word", ["stop", "release"])
async def test_a_retained_command_does_not_act_when_a_device_connects_again(
    word: str, version: str, broker: BrokerProcess
) -> None:
    if version == "5" and isinstance(broker, EmbeddedApart):
        version = "3.1.1"  # the only one it speaks
    async with (
        FaultProxy(broker.port) as proxy,
        open_link(Broker.from_uri(broker.uri), timeout=5) as operator,
    ):
        await operator.publish(f"{TOPIC}/{word}", b"from long ago", qos=1, retain=True)
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), f"{proxy.uri}?mqtt={version}"):
            uri = f"{broker.uri}/lab/leaky"
            if word == "release":
                await emergency_stop(uri)
            state = "online" if word == "stop" else "stopped"
            await operator.subscribe(f"{TOPIC}/status")
            await next_state(operator, state)
            proxy.lose_near_side()
            proxy.lose_far_side()
            assert await next_state(operator, "offline") == "offline"
            assert await next_state(operator, state) == state
            # One that is published now counts, retained or not.
            other = "release" if word == "release" else "stop"
            await operator.publish(f"{TOPIC}/{other}", b"", qos=1, retain=True)
            await next_state(operator, "online" if other == "release" else "stopped")


async def next_state(link: Link, *wanted: str) -> str:
    """Wait for one of some states on the device's status topic."""
    async with asyncio.timeout(60):
        async for message in link.messages():
            if message.topic == f"{TOPIC}/status":
                state = msgspec.json.decode(message.payload, type=Status).state
                if state in wanted:
                    return state
    raise AssertionError


def test_a_broker_that_marks_new_messages_as_retained_too_does_not_hide_a_stop() -> None:
    probe = AccessProbe()
    probe.unheard.update(("stop", "release"))
    stops = StopTopics("stop", "release", probe)
    assert stops.asks(Message("stop", b"", retained=True)) is None
    assert stops.asks(Message("stop", b"")) == "stop"
    assert stops.asks(Message("stop", probe.frame, retained=True)) is None
    assert stops.asks(Message("release", b"", retained=True)) is None  # its own probe is still out
    assert stops.asks(Message("stop", probe.frame)) is None
    assert stops.asks(Message("stop", b"", retained=True)) == "stop"
    assert stops.asks(Message("other", b"")) is None


async def test_the_late_will_of_an_old_connection_is_corrected_and_the_controller_goes_on(
    broker: BrokerProcess,
) -> None:
    async with (
        FaultProxy(broker.port) as proxy,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), proxy.uri, lease=1.0),
        RemoteSubstrate(f"{broker.uri}/lab/leaky") as remote,
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
    ):
        await remote.stimulate(ONE)
        await tap.subscribe(f"{TOPIC}/events", f"{TOPIC}/status", f"{TOPIC}/stimulus/+/+")
        proxy.lose_near_side()  # the device connects again, while the broker believes the old connection alive
        await event(tap, "birth")
        proxy.lose_far_side()  # and now publishes its will
        assert await next_state(tap, "offline") == "offline"
        assert await next_state(tap, "online", "offline") == "online"
        renewed = 0
        async for message in tap.messages():  # for longer than a lease
            renewed += "/stimulus/" in message.topic and decode(message.payload).header.kind is Kind.RENEW
            if renewed == 5:
                break
        assert (await remote.stimulate(ONE)).sequence == 1


async def event(link: Link, name: str) -> None:
    async for message in link.messages():
        if message.topic == f"{TOPIC}/events" and name.encode() in message.payload:
            return


@pytest.mark.parametrize(
    "forged", [b'{"state":"offline","epoch":"of an earlier life"}', b'{"state":"online","epoch":"x"}', b"garbage", b""]
)
async def test_another_status_on_the_devices_topic_is_corrected(forged: bytes, broker: BrokerProcess) -> None:
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri),
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        await hostile.subscribe(f"{TOPIC}/status")
        await next_state(hostile, "online")
        await hostile.publish(f"{TOPIC}/status", forged, qos=1, retain=True)
        seen = False
        async for message in hostile.messages():
            if message.topic == f"{TOPIC}/status":
                if seen:
                    assert msgspec.json.decode(message.payload, type=Status).state == "online"
                    break
                seen = message.payload == forged


async def test_a_controller_that_is_answered_believes_the_answers_and_not_the_status(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnStatus, "received", lambda self, payload: None)  # a device that does not correct it
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri, lease=0.7) as server,
        RemoteSubstrate(server.uri) as remote,
        open_link(Broker.from_uri(mosquitto.uri), timeout=5) as hostile,
    ):
        await hostile.subscribe(f"{TOPIC}/response/+/+")
        await hostile.publish(f"{TOPIC}/status", b'{"state":"offline","epoch":""}', qos=1, retain=True)
        opened = 0
        async for message in hostile.messages():  # it asks whether the device is there, for more than two leases
            opened += decode(message.payload).header.kind is Kind.OPENED
            if opened == 4:
                break
        assert (await remote.stimulate(ONE)).sequence == 0


async def test_a_device_that_loses_either_connection_makes_both_again_and_can_be_stopped(mosquitto: Mosquitto) -> None:
    for lost in (0, 1):
        async with (
            FaultProxy(mosquitto.port) as proxy,
            DeviceServer(SimulatedSubstrate(LeakySimulator()), proxy.uri) as server,
            RemoteSubstrate(f"{mosquitto.uri}/lab/leaky") as remote,
            open_link(Broker.from_uri(mosquitto.uri), timeout=5) as tap,
        ):
            await remote.stimulate(ONE)
            await tap.subscribe(f"{TOPIC}/events")
            proxy.lose_near_side(only=lost)
            await event(tap, "birth")
            assert (await remote.stimulate(ONE)).sequence == 1
            await emergency_stop(f"{mosquitto.uri}/lab/leaky")
            with pytest.raises(SubstrateDisconnected, match="stopped"):
                await stimulate_until_refused(remote)
            await release(f"{mosquitto.uri}/lab/leaky")
            assert server.uri


async def stimulate_until_refused(remote: RemoteSubstrate) -> None:
    while True:
        await remote.stimulate(ONE)
