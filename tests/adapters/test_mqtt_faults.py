"""The wire under fire: whatever happens, a stimulus is applied once and in order, or an error says so."""

import asyncio
import os
import random
import signal
import socket
import sys
import time

import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator
from test_contract import gather_into

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate, SubprocessDevice
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link import Link, open_link
from inmateria.substrate import (
    Channel,
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    SubstrateTimeout,
    UnknownSubstrate,
)


def stimuli(count: int, seed: int = 0) -> list[Stimulus]:
    generator = np.random.default_rng(seed)
    return [Stimulus(generator.uniform(-1, 1, (2, 3)), 0.01) for _ in range(count)]


def applied_once_in_order(simulator: LeakySimulator, given: list[Stimulus]) -> bool:
    return len(simulator.applied) == len(given) and all(
        np.array_equal(mine, each.drive) for mine, each in zip(simulator.applied, given, strict=True)
    )


def equal_to_a_run_without_faults(got: list[Response], given: list[Stimulus]) -> bool:
    alone = LeakySimulator()
    return all(np.array_equal(mine.signal, alone.advance(each).signal) for mine, each in zip(got, given, strict=True))


async def stimulate_forever(substrate: RemoteSubstrate, stimulus: Stimulus) -> None:
    while True:
        await substrate.stimulate(stimulus)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    uri = f"mqtt://127.0.0.1:{free_port()}/lab/x"
    begun = time.monotonic()
    with pytest.raises(SubstrateDisconnected, match=r"no broker at mqtt://127\.0\.0\.1:\d+"):
        async with RemoteSubstrate(uri):
            pass
    with pytest.raises(SubstrateDisconnected, match="no broker"):
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), uri.removesuffix("/lab/x")):
            pass
    assert time.monotonic() - begun < 10


async def test_a_device_that_is_not_there_is_said_with_what_was_waited_for() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(SubstrateTimeout, match=r"waited 0\.5 s for lab/absent.*no device of that name"):
            async with RemoteSubstrate(f"{broker.uri}/lab/absent", connect_timeout=0.5):
                pass


async def test_a_device_that_went_offline_is_said() -> None:
    async with EmbeddedBroker() as broker:
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server:
            uri = server.uri
        with pytest.raises(SubstrateDisconnected, match=r"lab/leaky on .* is offline"):
            async with RemoteSubstrate(uri, connect_timeout=0.5):
                pass


async def test_a_port_in_use_is_said() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(SubstrateError, match=f"cannot listen on port {broker.port}"):
            async with EmbeddedBroker(broker.port):
                pass


async def test_the_embedded_broker_listens_on_the_loopback_interface_only() -> None:
    async with EmbeddedBroker() as broker:
        assert broker.uri.startswith("mqtt://127.0.0.1:")
        with socket.socket() as other:  # any other address of this machine would be taken otherwise
            other.bind(("127.0.0.2", broker.port))


@pytest.mark.parametrize("seed", [1, 2])
async def test_frames_dropped_doubled_and_delayed_change_nothing(
    seed: int, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    held: list[tuple[Link, str, bytes]] = []
    honest = Link.send_at_once  # of all at QoS 0, those that are published too

    def hostile(link: Link, topic: str, payload: bytes) -> bool:
        fate = chance.random()
        if "/stimulus/" in topic or "/response/" in topic:
            if fate < 0.02:
                return True
            if fate < 0.04:
                honest(link, topic, payload)
            elif fate < 0.06:  # overtaken by whatever comes next
                held.append((link, topic, payload))
                return True
        sent = honest(link, topic, payload)
        while held:
            honest(*held.pop())
        return sent

    monkeypatch.setattr(Link, "send_at_once", hostile)
    simulator, given = LeakySimulator(), stimuli(300)
    async with (
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri) as server,
        RemoteSubstrate(server.uri, connect_timeout=10) as substrate,
    ):
        got = [response async for response in substrate.stream(given)]
        assert applied_once_in_order(simulator, given)
        assert equal_to_a_run_without_faults(got, given)


class Wider(RemoteSubstrate):
    """A client that believes more is allowed than the device does."""

    @property
    def info(self) -> SubstrateInfo:
        info = super().info
        wide = tuple(Channel(name=each.name, unit=each.unit, low=-100, high=100) for each in info.inputs)
        return SubstrateInfo(id=info.id, kind=info.kind, inputs=wide, outputs=info.outputs, step=info.step,
                             sampling_rate=info.sampling_rate, resettable=True, limits=info.limits)  # fmt: skip


async def test_the_device_refuses_on_its_own_and_applies_nothing_after_until_told() -> None:
    simulator = LeakySimulator()
    good, bad = stimuli(1)[0], Stimulus(np.full((1, 3), 50.0), 0.01)
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        Wider(server.uri) as substrate,
    ):
        got: list[Response] = []
        with pytest.raises(StimulusRejected, match="drives i0 with 50 V; leaky allows -1 to 1 V"):
            await gather_into(got, substrate.stream([good, bad, good, good, good]))
        assert len(got) == len(simulator.applied) == 1
        assert (await substrate.stimulate(good)).sequence == 1  # the next call says that it knows
        assert len(simulator.applied) == 2


async def test_garbage_on_its_topics_does_not_trouble_a_device() -> None:
    chance = random.Random(0)
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        topic = "inmateria/1/lab/leaky/stimulus/anyone/"
        session = substrate._session
        for _ in range(200):
            await hostile.publish(topic + session, chance.randbytes(chance.randrange(60)))
        await hostile.publish(topic + "other", encode(Header(kind=Kind.STIMULUS, session="other"), np.ones((1, 3))))
        await hostile.publish(topic + session, encode(Header(kind=Kind.STIMULUS, session="other"), np.ones((1, 3))))
        await hostile.publish(topic + session, encode(Header(kind=Kind.CLOSE, session="other")))
        assert (await substrate.stimulate(stimuli(1)[0])).sequence == 0
        assert len(simulator.applied) == 1


async def answer(link: Link) -> bytes:
    async for topic, payload, _ in link.messages():
        if "/response/" in topic:
            return payload
    raise AssertionError


async def test_a_lease_that_is_not_renewed_is_taken_over_and_its_late_stimuli_are_not_applied() -> None:
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri, lease=0.3) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as silent,
    ):
        topic = "inmateria/1/lab/leaky/stimulus/anyone/silent"
        await silent.subscribe("inmateria/1/lab/leaky/response/anyone/silent")
        await silent.publish(topic, encode(Header(kind=Kind.OPEN, session="silent")))
        assert b"opened" in await answer(silent)  # it holds the lease now, and never renews it
        refused = 0
        while True:
            try:
                async with RemoteSubstrate(server.uri) as substrate:
                    late = Header(kind=Kind.STIMULUS, session="silent", sequence=0, step=0.01)
                    await silent.publish(topic, encode(late, np.ones((1, 3))))
                    assert b"refused" in await answer(silent)
                    await substrate.stimulate(stimuli(1)[0])
                    break
            except SubstrateError:
                refused += 1
        assert refused >= 1
        assert len(simulator.applied) == 1


async def test_a_device_that_is_killed_is_noticed_and_what_is_known_is_said(mosquitto: Mosquitto) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inmateria", "serve", "nanowire://?wires=40", "--broker", mosquitto.uri,
        "--name", "nwn-1", "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert b"mqtt://" in await process.stdout.readline()
    async with RemoteSubstrate(f"{mosquitto.uri}/lab/nwn-1", connect_timeout=2) as substrate:
        quiet = substrate.info.stimulus(np.zeros((1, 8)))
        await substrate.stimulate(quiet)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(SubstrateDisconnected, match="gone offline; everything before number"):
            await stimulate_forever(substrate, quiet)
    await process.wait()


async def test_a_client_whose_event_loop_was_held_looks_at_what_came_before_it_gives_up(mosquitto: Mosquitto) -> None:
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server,
        RemoteSubstrate(server.uri, timeout=1.0) as substrate,
    ):
        asking = asyncio.create_task(substrate.stimulate(stimuli(1)[0]))
        await asyncio.sleep(0)
        assert not asking.done()
        time.sleep(3.0)  # noqa: ASYNC251  # as when a caller computes on the loop, or the machine stands still
        assert (await asking).sequence == 0


async def test_a_broker_that_stays_away_is_given_up_with_what_is_known(mosquitto: Mosquitto) -> None:
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri, lease=1.0) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        await substrate.stimulate(stimuli(1)[0])
        await asyncio.to_thread(mosquitto.kill)
        with pytest.raises(SubstrateDisconnected, match=r"gone for \d+ s; everything before number 1 was applied"):
            await substrate.stimulate(stimuli(1)[0])


async def test_a_device_that_restarted_is_never_sent_old_stimuli_again(mosquitto: Mosquitto) -> None:
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server:
        client = RemoteSubstrate(server.uri)
        await client.__aenter__()
        await client.stimulate(stimuli(1)[0])
    another = LeakySimulator()
    async with DeviceServer(SimulatedSubstrate(another), mosquitto.uri):
        with pytest.raises(SubstrateDisconnected, match="restarted; everything before number 1 was applied"):
            await stimulate_forever(client, stimuli(1)[0])
        assert another.applied == []
        await client.__aexit__(None, None, None)


async def test_a_simulator_served_by_another_process_gives_the_same_bits() -> None:
    from inmateria.simulators import NanowireNetwork

    alone = NanowireNetwork(40)
    drive = np.random.default_rng(0).uniform(-1, 1, (20, 8))
    async with SubprocessDevice("nanowire://?wires=40") as substrate:
        assert substrate.info == alone.info
        response = await substrate.stimulate(substrate.info.stimulus(drive))
    assert np.array_equal(response.signal, alone.advance(alone.info.stimulus(drive)).signal)


@pytest.mark.parametrize(
    "uri",
    ["mqtt://host", "mqtt://host/only", "mqtt://host/a/b/c", "mqtt://:1883/a/b", "mqtt://host:port/a/b", "mqtt://h/a/+",
     "mqtt://host/a/b?colour=blue", "mqtt://host/a/b?window=many", "mqtt://host/a/b?window=0"],
)  # fmt: skip
def test_a_wrong_address_is_refused_before_anything_is_opened(uri: str) -> None:
    from inmateria import connect

    with pytest.raises(UnknownSubstrate):
        connect(uri)


def test_a_password_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "ada")
    monkeypatch.setenv("INMATERIA_MQTT_PASSWORD", "hunter2")
    broker = Broker.from_uri("mqtt://host")
    assert (broker.username, broker.password) == ("ada", "hunter2")
    assert "hunter2" not in f"{broker} {broker!r}"
    with pytest.raises(UnknownSubstrate) as caught:
        RemoteSubstrate("mqtt://eve:opensesame@host/lab/leaky")
    assert "opensesame" not in str(caught.value)
    assert "eve" not in str(caught.value)


async def test_clients_that_connect_while_others_subscribe_stay_connected() -> None:
    async with EmbeddedBroker() as broker, open_link(Broker.from_uri(broker.uri), timeout=30) as busy:
        for number in range(40):  # the broker goes through the subscriptions to send each newcomer what is retained
            await busy.subscribe(f"inmateria/1/lab/{number}/status")
            await busy.publish(f"inmateria/1/lab/{number}/status", b"online", retain=True)

        async def subscribe() -> None:
            for number in range(300):
                await busy.subscribe(f"inmateria/1/lab/more-{number}/status")

        async def connect() -> None:
            for _ in range(20):
                async with open_link(Broker.from_uri(broker.uri), timeout=30) as link:
                    await link.subscribe("inmateria/1/#")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(subscribe())
            tasks.create_task(connect())
