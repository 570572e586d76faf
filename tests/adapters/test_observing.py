"""An observer writes down what passes between a controller and a device, and disturbs neither."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, RemoteSubstrate, ReplaySubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.operator.recording import record_device, record_rest
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.concurrency import cancel_and_wait
from inmateria.recording import RecordingError, open_recording
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateDisconnected,
    SubstrateTimeout,
)


def stimuli(count: int) -> list[Stimulus]:
    generator = np.random.default_rng(0)
    return [Stimulus(generator.uniform(-1, 1, (1 + k % 4, 3)), 0.01) for k in range(count)]


@asynccontextmanager
async def observed(uri: str, path: Path, expected: int) -> AsyncIterator[Callable[[], int]]:
    """Record a device around a block, and stop when so many exchanges were heard."""
    stop, enough = asyncio.Event(), asyncio.Event()
    seen = 0

    def watch(count: int, seconds: float) -> None:
        nonlocal seen
        seen = count
        if count >= expected:
            enough.set()

    observing = asyncio.create_task(record_device(uri, path, {"by": "test"}, stop=stop, on_progress=watch))
    try:
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(path.exists):
                assert not observing.done(), observing.result()
            yield lambda: seen
            await enough.wait()
            stop.set()
            assert await observing >= expected
    finally:
        await cancel_and_wait(observing)


async def test_what_passes_is_written_down_and_can_be_replayed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    given, path = stimuli(40), tmp_path / "r.h5"
    alone = LeakySimulator(spiking=True)
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator(spiking=True)), mosquitto.uri) as server,
        observed(server.uri, path, 51),
    ):
        async with RemoteSubstrate(server.uri) as substrate:
            async with aclosing(substrate.stream(given)) as responses:
                got: list[Response] = [response async for response in responses]
            with pytest.raises(StimulusRejected):
                await substrate.stimulate(Stimulus(np.full((1, 2), 0.1), 0.01))  # never leaves the client
            await substrate.reset()
            got += [await substrate.stimulate(stimulus) for stimulus in given[:10]]
        async with RemoteSubstrate(server.uri) as another:  # heard after the first has given the lease back
            got.append(await another.stimulate(given[10]))
    with open_recording(path) as recording:
        assert recording.finished
        assert recording.dropped == 0
        assert recording.info == alone.info
        assert recording.annotations == {"by": "test"}
        assert recording.exchanges["session"].tolist() == [0] * 40 + [1] * 11
        for exchange, stimulus, response in zip(recording, [*given, *given[:11]], got, strict=True):
            assert np.array_equal(exchange.stimulus.drive, stimulus.drive)
            assert np.array_equal(exchange.response.signal, response.signal)
            assert np.array_equal(exchange.response.spikes, response.spikes)
            assert (exchange.response.start, exchange.response.sequence) == (response.start, response.sequence)
            assert 0 < exchange.round_trip < 10
        labels = [note.label for note in recording.notes]
    assert labels[0] == "online"
    assert any(label.endswith("took the lease") for label in labels)
    assert any(label.endswith("gave the lease back") for label in labels)
    async with ReplaySubstrate(path) as replay:
        for stimulus, response in zip(given, got, strict=False):
            assert np.array_equal((await replay.stimulate(stimulus)).signal, response.signal)


async def test_one_who_comes_later_counts_nothing_as_missed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        for stimulus in stimuli(5):
            await substrate.stimulate(stimulus)
        async with observed(server.uri, tmp_path / "r.h5", 3):
            for stimulus in stimuli(3):
                await substrate.stimulate(stimulus)
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.exchanges["sequence"].tolist() == [5, 6, 7]
        assert recording.dropped == 0


async def test_frames_that_were_not_heard_are_counted_and_strange_ones_do_no_harm(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """A device and a controller are played by hand, so that frames can be left out, doubled and spoilt."""
    simulator = LeakySimulator()
    topic = "inmateria/1/lab/leaky"
    given = stimuli(8)
    async with open_link(Broker.from_uri(mosquitto.uri), timeout=5.0) as link:
        import msgspec

        await link.publish(f"{topic}/info", msgspec.json.encode(simulator.info), retain=True)
        async with observed(f"{mosquitto.uri}/lab/leaky", tmp_path / "r.h5", 5):

            async def ask(number: int) -> None:
                header = Header(kind=Kind.STIMULUS, session="s", sequence=number, step=0.01)
                await link.publish(f"{topic}/stimulus/anyone/s", encode(header, given[number].drive))

            async def answer(number: int, response: Response, count: int | None = None) -> None:
                header = Header(kind=Kind.RESPONSE, session="s", sequence=number, start=response.start)
                header.exchange = response.sequence if count is None else count
                await link.publish(f"{topic}/response/anyone/s", encode(header, response.signal))

            for number in range(8):
                response = simulator.advance(given[number])
                if number == 2:  # neither is heard
                    continue
                if number != 3:  # of the third only the answer is
                    await ask(number)
                if number == 4:
                    await ask(number)  # sent again
                    await link.publish(f"{topic}/stimulus/anyone/s", b"no frame")
                    await link.publish(
                        f"{topic}/response/anyone/s", encode(Header(kind=Kind.RESPONSE, session="s", sequence=4))
                    )
                if number == 5:  # refused
                    refusal = Header(kind=Kind.REFUSED, session="s", sequence=5, error=("StimulusRejected", "too much"))
                    await link.publish(f"{topic}/response/anyone/s", encode(refusal))
                    simulator._sequence -= 1
                    continue
                await answer(number, response)
                if number == 6:
                    await answer(number, response)  # answered again
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.exchanges["sequence"].tolist() == [0, 1, 4, 5, 6]
        assert recording.dropped == 2
        refused = [note for note in recording.notes if note.kind == "unanswered"]
        assert [note.label for note in refused] == ["StimulusRejected"]
        assert refused[0].details["drive"] == given[5].drive.tolist()


async def test_the_broker_may_go_and_come_back(tmp_path: Path, mosquitto: Mosquitto) -> None:
    path = tmp_path / "r.h5"
    given = stimuli(1)[0]
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server,
        observed(server.uri, path, 6) as seen,
        RemoteSubstrate(server.uri) as substrate,
    ):
        for _ in range(3):
            await substrate.stimulate(given)
        mosquitto.kill()
        mosquitto.start()
        while seen() < 6:  # until the observer is back too
            await substrate.stimulate(given)
            await asyncio.sleep(0.05)
    with open_recording(path) as recording:
        assert any("the broker was lost" in note.label for note in recording.notes)
        assert recording.finished


async def test_who_is_not_there_is_said_and_no_file_is_made(tmp_path: Path, mosquitto: Mosquitto) -> None:
    stop = asyncio.Event()
    with pytest.raises(SubstrateTimeout, match="no device of that name"):
        await record_device(f"{mosquitto.uri}/lab/none", tmp_path / "r.h5", stop=stop, timeout=1.0)
    mosquitto.kill()
    with pytest.raises(SubstrateDisconnected, match="no broker at"):
        await record_device(f"{mosquitto.uri}/lab/none", tmp_path / "r.h5", stop=stop, timeout=0.3)
    assert not (tmp_path / "r.h5").exists()


async def test_a_substrate_at_rest_is_driven_with_nothing(tmp_path: Path) -> None:
    count = await record_rest("nanowire://?wires=40", tmp_path / "r.h5", stop=asyncio.Event(), seconds=0.1)
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == count == 10
        assert not recording.drive().any()
    with pytest.raises(RecordingError, match="never overwritten"):
        await record_rest("nanowire://?wires=40", tmp_path / "r.h5", stop=asyncio.Event(), seconds=0.1)
