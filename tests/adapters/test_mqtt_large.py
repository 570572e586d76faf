"""Large stimuli and responses over slow lines, and through brokers that limit the size of a message."""

import asyncio
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto
from by_the_page_device import Doubler
from fault_proxy import FaultProxy, SlowLine
from leaky import LeakySimulator
from paho.mqtt.enums import MQTTProtocolVersion

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire import link
from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.link import LinkLost, open_link
from inmateria.adapters.mqtt.wire.message_size import largest_message
from inmateria.recording import open_recording
from inmateria.substrate import Limits, Response, Stimulus, StimulusRejected, SubstrateInfo

OPEN = "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"


class Wide(LeakySimulator):
    """Many inputs, and as many values out as in, at once: each output is the sum of two inputs."""

    def __init__(self, inputs: int, outputs: int, steps: int) -> None:
        super().__init__(inputs=inputs, outputs=outputs, samples=1)
        import msgspec

        self.info: SubstrateInfo = msgspec.structs.replace(self.info, limits=Limits(steps=steps, shortest_step=1e-6))

    def advance(self, stimulus: Stimulus) -> Response:
        self.applied.append(stimulus.drive)
        width = len(self.info.outputs)
        signal = (stimulus.drive[:, :width] + stimulus.drive[:, -width:])[:, np.newaxis]
        response = Response(signal, None, self._clock, self._sequence)
        self._clock, self._sequence = self._clock + stimulus.duration, self._sequence + 1
        return response


def drive(steps: int, inputs: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, inputs))


@pytest.mark.slow
async def test_a_large_stimulus_arrives_over_a_slow_line_and_the_lease_is_kept(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As 12.8 MB at 10 Mbit/s: it takes longer than a lease, two keepalives and the time that is waited for the broker.
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    simulator = Wide(16, 4, 100_000)
    given = Stimulus(drive(12_500, 16), 1e-4)  # 1.6 MB
    async with (
        SlowLine(mosquitto.port, 300_000) as line,
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri, lease=3.0),
        RemoteSubstrate(f"{line.uri}/lab/leaky?connect_timeout=1.5", connect_timeout=1.5) as substrate,
    ):
        began = time.monotonic()
        response = await substrate.stimulate(given)
        assert time.monotonic() - began > 4.5  # it was as slow as that: more than the lease
        assert line.passed < 1.5 * given.drive.nbytes  # it was sent once
        assert np.array_equal(response.signal[:, 0], given.drive[:, :4] + given.drive[:, -4:])  # type: ignore[index]
        assert (await substrate.stimulate(Stimulus(given.drive[:1], 1e-4))).sequence == 1
    assert len(simulator.applied) == 2
    assert np.array_equal(simulator.applied[0], given.drive)


@pytest.mark.slow
async def test_a_large_response_arrives_over_a_slow_line(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    simulator = Wide(4, 4, 100_000)
    given = Stimulus(drive(50_000, 4), 1e-6)  # 1.6 MB each way
    async with (
        SlowLine(mosquitto.port, 400_000) as line,
        DeviceServer(SimulatedSubstrate(simulator), line.uri, lease=3.0, timeout=1.5),
        RemoteSubstrate(f"{mosquitto.uri}/lab/leaky", timeout=3.0) as substrate,
    ):
        response = await substrate.stimulate(given)
        assert np.array_equal(response.signal[:, 0], 2 * given.drive)  # type: ignore[index]
    assert len(simulator.applied) == 1


async def test_a_broker_that_hangs_is_given_up_though_much_waits_to_be_sent(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    async with (
        SlowLine(mosquitto.port, 300_000) as line,
        open_link(Broker.from_uri(line.uri), timeout=1.0) as slow,
        asyncio.timeout(60),
    ):
        sending = asyncio.create_task(slow.publish("here", bytes(40_000_000)))
        while line.passed < 400_000:
            await asyncio.sleep(0.05)
            assert not sending.done()
        mosquitto.send(signal.SIGSTOP)  # its system still takes what its buffers hold
        line.rate = 1e9
        try:
            with pytest.raises(LinkLost, match=r"took nothing|was silent"):
                await sending
        finally:
            mosquitto.send(signal.SIGCONT)


@pytest.mark.parametrize(
    ("config", "version"),
    [("message_size_limit 50000\n", "3.1.1"), ("message_size_limit 50000\n", "5"), ("max_packet_size 50000\n", "5")],
)
async def test_what_a_broker_s_limit_forbids_in_one_message_goes_in_parts(
    config: str, version: str, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path, config + OPEN)
    simulator = Wide(4, 4, 100_000)
    given = [Stimulus(drive(steps, 4), 1e-4) for steps in (10, 20_000, 1, 5_000)]
    try:
        address, query = Address("lab", "leaky"), f"?mqtt={version}"
        measured = await largest_message(Broker.from_uri(broker.uri + query), address, 1 << 18, 5)
        assert 12_500 <= measured <= 50_000
        async with (
            DeviceServer(SimulatedSubstrate(simulator), broker.uri + query),
            RemoteSubstrate(f"{broker.uri}/lab/leaky{query}") as substrate,
        ):
            got = [response async for response in substrate.stream(given)]
    finally:
        broker.kill()
    for stimulus, response in zip(given, got, strict=True):
        assert np.array_equal(response.signal[:, 0], 2 * stimulus.drive)  # type: ignore[index]
    assert [len(each) for each in simulator.applied] == [10, 20_000, 1, 5_000]


async def test_what_cannot_go_in_parts_and_is_too_large_for_the_broker_is_refused_before_it_is_sent(
    tmp_path: Path,
) -> None:
    broker = Mosquitto(tmp_path, "message_size_limit 50000\n" + OPEN)
    device = await asyncio.to_thread(lambda: Doubler("127.0.0.1", broker.port, MQTTProtocolVersion.MQTTv311))
    try:
        async with RemoteSubstrate(f"{broker.uri}/bench/doubler") as substrate:
            with pytest.raises(StimulusRejected, match=r"320000 bytes; bench/doubler can be sent \d+ .*fewer steps"):
                await substrate.stimulate(Stimulus(drive(20_000, 2), 0.01))
            assert device.applied == []
            for steps in (1_000, 2_000):
                assert (await substrate.stimulate(Stimulus(drive(steps, 2), 0.01))).signal.shape == (steps, 1, 2)  # type: ignore[union-attr]
    finally:
        await asyncio.to_thread(device.close)
        broker.kill()


async def test_a_stimulus_that_no_message_holds_is_refused_before_it_is_sent(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.client.remote.MOST_MESSAGE", 100_000)
    simulator = Wide(4, 4, 100_000)
    async with (
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri),
        RemoteSubstrate(f"{mosquitto.uri}/lab/leaky") as substrate,
    ):
        with pytest.raises(StimulusRejected, match="takes 320000 bytes"):
            await substrate.stimulate(Stimulus(drive(10_000, 4), 1e-4))
        assert (await substrate.stimulate(Stimulus(drive(1, 4), 1e-4))).sequence == 0
    assert len(simulator.applied) == 1


async def test_parts_that_are_lost_doubled_or_overtaken_are_applied_once_and_in_order(mosquitto: Mosquitto) -> None:
    simulator = Wide(4, 4, 100_000)
    given = [Stimulus(drive(20_000 + number, 4), 1e-6) for number in range(12)]  # three parts each
    async with (
        FaultProxy(mosquitto.port, seed=3, drop=0.05, double=0.1, overtaken=0.1) as proxy,
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri),
        RemoteSubstrate(f"{proxy.uri}/lab/leaky") as substrate,
    ):
        got = [response async for response in substrate.stream(given)]
        assert proxy.faults > 5
    assert [len(each) for each in simulator.applied] == [len(each.drive) for each in given]
    assert all(np.array_equal(a.signal[:, 0], 2 * b.drive) for a, b in zip(got, given, strict=True))  # type: ignore[index]


async def test_an_observer_records_what_is_sent_in_parts(mosquitto: Mosquitto, tmp_path: Path) -> None:
    from inmateria.adapters.mqtt.operator.recording import record_device

    simulator, stop, path = Wide(4, 4, 100_000), asyncio.Event(), tmp_path / "seen.h5"
    given = Stimulus(drive(20_000, 4), 1e-6)
    recorded = asyncio.Event()
    async with DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri) as server:
        recording = asyncio.create_task(
            record_device(server.uri, path, stop=stop, on_progress=lambda *_: recorded.set())
        )
        while not path.exists():  # noqa: ASYNC110  # it is made by a thread
            await asyncio.sleep(0.01)
        async with RemoteSubstrate(server.uri) as substrate:
            response = await substrate.stimulate(given)
            await recorded.wait()
        stop.set()
        assert await recording == 1
    with open_recording(path) as read:
        (exchange,) = list(read)
        assert np.array_equal(exchange.stimulus.drive, given.drive)
        assert np.array_equal(exchange.response.signal, response.signal)


async def test_a_message_that_is_still_being_sent_keeps_the_connection(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As to a peer that knows no parts: for over 5 s nothing can come back, though the broker lives.
    monkeypatch.setattr(link, "KEEPALIVE", 1)
    async with (
        SlowLine(mosquitto.port, 300_000) as line,
        open_link(Broker.from_uri(line.uri), timeout=1.5) as slow,
        open_link(Broker.from_uri(mosquitto.uri), timeout=5) as reader,
    ):
        await reader.subscribe("here")
        await slow.publish("here", bytes(1_600_000))
        async for message in reader.messages():
            assert len(message[1]) == 1_600_000
            break
        await slow.publish("here", b"it is still the same connection")
