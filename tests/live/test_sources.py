"""Sources of the live page: devices that come and go, recordings that grow, and replays at their pace."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.errors import SubstrateDisconnected, UnknownSubstrate
from inmateria.live.growing_recording import GrowingRecording
from inmateria.live.messages import Columns, Event, Hello, Status
from inmateria.live.opening import open_source
from inmateria.live.replayed_recording import ReplayedRecording
from inmateria.live.watched_device import WatchedDevice
from inmateria.recording import Exchange, Note, RecordingError, RecordingWriter
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, SubstrateInfo

INFO = SubstrateInfo(
    id="x", kind="test", inputs=(Channel(name="a", unit="V", low=-1, high=1),), step=0.01, sampling_rate=1000.0,
    outputs=tuple(Channel(name=f"e{k}", unit="uV", low=-3277, high=3277) for k in range(3)), spiking=True,
)  # fmt: skip


def exchange(number: int, *, start: float | None = None, session: int = 0) -> Exchange:
    """Make an exchange of two steps of ten samples, and one spike."""
    generator = np.random.default_rng(number)
    start = number * 0.02 if start is None else start
    counts = generator.integers(-20_000, 20_000, (2, 10, 3)).astype(np.int16)
    spikes = np.array([(start + 0.005, number % 3)], dtype=SPIKE)
    stimulus = Stimulus(np.full((2, 1), 0.1 * (number % 10)), 0.01)
    return Exchange(stimulus, Response(counts, spikes, start, number), session, time.time(), 0.001)


async def gathered(source: Any, *, seconds: float = 60, enough: Any = None) -> list[Any]:
    """Return the messages of a source until it ends, or there are enough."""
    found: list[Any] = []
    async with asyncio.timeout(seconds), aclosing(source.messages()) as messages:
        async for message in messages:
            found.append(message)
            if enough is not None and enough(found):
                break
    return found


def of(kind: type, messages: list[Any]) -> list[Any]:
    return [each for each in messages if isinstance(each, kind)]


def joined(messages: list[Any], name: str) -> np.ndarray:
    return np.concatenate([getattr(each, name) for each in of(Columns, messages)])


def extremes(exchanges: list[Exchange]) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([each.response.signal.reshape(-1, 3) for each in exchanges]) * 0.1
    return values.min(axis=0).astype(np.float32), values.max(axis=0).astype(np.float32)


@asynccontextmanager
async def written(path: Path, exchanges: list[Exchange]) -> AsyncIterator[RecordingWriter]:
    writer = RecordingWriter(path, INFO, scale=0.1)
    writer.append(exchanges)
    yield writer
    writer.close()


async def test_a_growing_recording_is_followed_to_its_end(tmp_path: Path) -> None:
    all_of_it = [exchange(k) for k in range(300)]
    async with written(tmp_path / "r.h5", all_of_it[:100]) as writer:
        source = open_source(str(tmp_path / "r.h5"))
        assert isinstance(source, GrowingRecording)
        async with source:
            assert [each.name for each in source.hello.outputs] == ["e0", "e1", "e2"]
            assert source.hello.kind == "recording"
            following = asyncio.create_task(gathered(source))
            for k in range(100, 300, 20):
                await asyncio.sleep(0.03)
                writer.append([*all_of_it[k : k + 20], Note("marker", f"at {k}", device=k * 0.02)])
            writer.end()
            found = await following
    assert joined(found, "starts")[0] == 0  # all of it: the 2 s before are less than 5 s
    assert joined(found, "ends")[-1] == pytest.approx(6.0)
    low, high = extremes(all_of_it)
    assert np.array_equal(joined(found, "low").min(axis=0), low)
    assert np.array_equal(joined(found, "high").max(axis=0), high)
    assert len(joined(found, "times")) == 300
    assert np.allclose(np.sort(joined(found, "times")), np.arange(300) * 0.02 + 0.005)
    assert [each.label for each in of(Event, found)] == [f"at {k}" for k in range(100, 300, 20)]
    last = of(Status, found)[-1]
    assert (last.state, last.exchanges, last.spikes, last.missed) == ("ended", 300, 300, 0)


async def test_of_a_long_recording_the_last_seconds_are_shown_first(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    async with written(path, [exchange(k) for k in range(1000)]) as writer, GrowingRecording(path) as source:
        writer.end()
        found = await gathered(source)
    assert joined(found, "starts")[0] == pytest.approx(15.0, abs=0.05)
    assert of(Status, found)[-1].exchanges == 1000


async def test_damage_and_loss_of_a_followed_file_are_said(tmp_path: Path) -> None:
    for harm in ("flip", "remove"):
        path = tmp_path / f"{harm}.h5"
        async with written(path, [exchange(k) for k in range(10)]) as writer, GrowingRecording(path) as source:
            if harm == "remove":
                path.unlink()
            else:
                data = bytearray(path.read_bytes())
                at = data.find(exchange(3).response.signal.tobytes())
                with path.open("r+b") as file:
                    path.chmod(0o644)
                    file.seek(at)
                    file.write(bytes(8))
            found = await gathered(source)
            last = of(Status, found)[-1]
            assert last.state == "failed"
            assert ("damaged" if harm == "flip" else "was removed") in last.error
            del writer


async def test_what_is_written_by_another_process_is_seen_within_moments(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_sources import INFO, exchange\n"
        "from inmateria.recording import RecordingWriter\n"
        "writer = RecordingWriter(sys.argv[1], INFO, scale=0.1); print(flush=True)\n"
        "for k in range(100):\n"
        "    writer.append([exchange(k)])\n"
        "    if k % 25 == 24: sys.stdin.readline()\n"  # until some of it was seen
        "writer.end()"
    )
    folder = Path(__file__).parent
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), str(folder), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join([str(folder), str(folder.parent), *sys.path]), "PATH": ""},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    found: list[Any] = []
    try:
        async with GrowingRecording(path) as source, asyncio.timeout(60), aclosing(source.messages()) as messages:
            async for message in messages:
                found.append(message)
                if isinstance(message, Columns):
                    process.stdin.write(b"\n")
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)
    assert len(of(Columns, found)) > 3  # as it grew, not at the end
    assert len(joined(found, "times")) == 100
    assert of(Status, found)[-1].state == "ended"


@pytest.mark.parametrize("speed", [1.0, 4.0])
async def test_a_replay_has_its_own_pace(tmp_path: Path, speed: float) -> None:
    exchanges = [exchange(k) for k in range(50)]
    exchanges += [exchange(50 + k, start=k * 0.02, session=1) for k in range(50)]  # back to rest
    async with written(tmp_path / "r.h5", exchanges) as writer:
        writer.append([Note("marker", "here", device=0.1, session=0)])
        writer.end()
    source = open_source(str(tmp_path / "r.h5"), speed=speed)
    assert isinstance(source, ReplayedRecording)
    async with source:
        began = time.monotonic()
        found: list[Any] = []
        async with asyncio.timeout(60), aclosing(source.messages()) as messages:
            async for message in messages:
                found.append(message)
                if isinstance(message, Columns):  # never before it is due
                    assert message.ends[-1] <= (time.monotonic() - began) * speed + 0.1 * speed
        assert time.monotonic() - began >= 2.0 / speed - 0.1
    low, high = extremes(exchanges)
    assert np.array_equal(joined(found, "low").min(axis=0), low)
    assert np.array_equal(joined(found, "high").max(axis=0), high)
    assert joined(found, "ends")[-1] == pytest.approx(2.0)
    assert len(joined(found, "times")) == 100
    last = of(Status, found)[-1]
    assert (last.state, last.exchanges, last.steps, last.spikes) == ("ended", 100, 200, 100)
    assert [each.label for each in of(Event, found)] == ["here"]


async def test_long_steps_are_replayed_in_pieces(tmp_path: Path) -> None:
    """One exchange of one step of two seconds is not shown at once."""
    rows = np.arange(2000, dtype=np.int16).reshape(1, 2000, 1).repeat(3, axis=2)
    long = Exchange(Stimulus(np.ones((1, 1)), 2.0), Response(rows, np.empty(0, SPIKE), 0.0, 0), 0, 0.0, 0.0)
    async with written(tmp_path / "r.h5", [long]) as writer:
        writer.end()
    async with ReplayedRecording(tmp_path / "r.h5", 4.0) as source:
        found = await gathered(source)
    assert len(of(Columns, found)) > 5
    assert np.allclose(joined(found, "low")[:, 0], joined(found, "starts") * 100, atol=0.11)


async def test_a_device_that_goes_and_comes_back_is_watched_again(tmp_path: Path, mosquitto: Mosquitto) -> None:
    uri = f"{mosquitto.uri}/lab/leaky"
    async with WatchedDevice(uri) as source:
        assert source.hello.outputs == ()
        messages, seen = source.messages(), []

        async def wait_for(wanted: Any) -> Any:
            """Return the first message of a kind that comes, or came before."""
            async with asyncio.timeout(60):
                while not (found := [each for each in seen if wanted(each)]):
                    seen.append(await anext(messages))
            return found[0]

        assert await wait_for(lambda each: isinstance(each, Status) and each.state == "not announced")
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri):
            announced = await wait_for(lambda each: isinstance(each, Hello) and each.outputs)
            assert (announced.id, announced.stops, announced.signal) == (LeakySimulator().info.id, True, True)
            async with RemoteSubstrate(uri) as remote:
                await remote.stimulate(Stimulus(np.ones((2, 3)), 0.01))
                lease = await wait_for(lambda each: isinstance(each, Event) and each.label != "online")
                assert lease.label.startswith("lease of anyone/")
                assert len((await wait_for(lambda each: isinstance(each, Columns))).starts) > 0
            seen.clear()
            assert await wait_for(lambda each: isinstance(each, Status) and not each.holder)  # the session is over
            mosquitto.kill()
            seen.clear()
            gone = await wait_for(lambda each: isinstance(each, Status) and each.state == "not reached")
            assert "lost" in gone.error
            mosquitto.start()
            seen.clear()
            assert await wait_for(lambda each: isinstance(each, Status) and each.state == "online")
            async with RemoteSubstrate(uri) as remote:
                await remote.stimulate(Stimulus(np.ones((2, 3)), 0.01))
                assert await wait_for(lambda each: isinstance(each, Columns))
        await messages.aclose()


async def test_integers_and_other_units_are_shown_in_the_units_of_the_info() -> None:
    async with EmbeddedBroker() as broker:
        for dtype in ("int16", "float32", "float64"):
            simulator = LeakySimulator(id=dtype)
            async with (
                DeviceServer(SimulatedSubstrate(simulator), broker.uri, dtype=dtype) as server,
                WatchedDevice(server.uri) as source,
                RemoteSubstrate(server.uri) as remote,
            ):
                watching = asyncio.create_task(gathered(source, enough=lambda found: of(Columns, found)))
                await asyncio.sleep(0.1)
                got = await remote.stimulate(Stimulus(np.ones((5, 3)), 0.01))
                found = await watching
                assert np.allclose(joined(found, "low").min(axis=0), got.signal.reshape(-1, 4).min(axis=0), rtol=1e-6)
                assert np.array_equal(joined(found, "drive_low"), np.ones_like(joined(found, "drive_low")))


async def test_garbage_on_the_topics_of_a_device_is_passed_over() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
        WatchedDevice(server.uri) as source,
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
        RemoteSubstrate(server.uri) as remote,
    ):
        watching = asyncio.create_task(gathered(source, enough=lambda found: of(Columns, found)))
        for topic in ("info", "status", "stimulus/a/b", "response/a/b"):
            await hostile.publish(f"inmateria/1/lab/leaky/{topic}", b"\x00garbage")
        await asyncio.sleep(0.1)
        await remote.stimulate(Stimulus(np.ones((2, 3)), 0.01))
        assert of(Columns, await watching)


async def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(SubstrateDisconnected):
        async with WatchedDevice("mqtt://127.0.0.1:1/lab/x"):
            pass


def test_what_is_named_decides_the_source(tmp_path: Path) -> None:
    assert isinstance(open_source("mqtt://host/lab/x"), WatchedDevice)
    with pytest.raises(RecordingError, match="does not exist"):
        open_source(str(tmp_path / "none.h5"))
    with pytest.raises(UnknownSubstrate, match="inmateria serve"):
        open_source("nanowire://?wires=10")
    for speed in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="speed"):
            open_source(str(tmp_path / "none.h5"), speed=speed)
