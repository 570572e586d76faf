"""A network that is late, lossy and reset at will; brokers, devices and controllers that are killed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto, free_port
from fault_proxy import FaultProxy
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.substrate import Response, Stimulus, SubstrateBusy, SubstrateDisconnected

TESTS = Path(__file__).parents[1]
FAULTS = {
    "late": {"delay": 0.02, "jitter": 0.01},
    "reset": {"reset_every": 200},
    "lossy": {"drop": 0.01, "double": 0.01, "overtaken": 0.01},
}
FEW_AND_MANY = [
    pytest.param(400, id="400"),
    pytest.param(6000, id="6000", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
]


def numbered(count: int, since: int = 0) -> list[Stimulus]:
    """Make stimuli that carry their number, in millionths, in their first value."""
    chance = np.random.default_rng(0)
    return [Stimulus([[n / 1e6, *chance.uniform(-1, 1, 2)]], 0.01) for n in range(since, since + count)]


def exact(simulator: LeakySimulator, given: list[Stimulus], got: list[Response]) -> bool:
    """Tell whether the device applied 0..n-1, and the responses are those of a run without faults, bit for bit."""
    applied = [round(drive[0, 0] * 1e6) for drive in simulator.applied]
    alone = LeakySimulator()
    return applied == list(range(len(given))) and [
        each.signal.tobytes() for each in got if each.signal is not None
    ] == [response.signal.tobytes() for response in map(alone.advance, given) if response.signal is not None]


class Embedded:
    """The embedded broker on a port of its own, which may be ended and started again as Mosquitto may."""

    def __init__(self) -> None:
        self.port = free_port()

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._broker = await EmbeddedBroker(self.port).__aenter__()

    async def kill(self) -> None:
        await self._broker.__aexit__(None, None, None)


class Apart:
    """Mosquitto, killed with -9."""

    def __init__(self, folder: Path) -> None:
        self._broker = Mosquitto(folder)
        self.port, self.uri = self._broker.port, self._broker.uri

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self._broker.kill)


@asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[Embedded | Apart]:
    broker: Embedded | Apart
    if kind == "embedded":
        broker = Embedded()
        await broker.start()
    else:
        broker = Apart(folder)
    try:
        yield broker
    finally:
        await broker.kill()


@pytest.mark.parametrize("count", FEW_AND_MANY)
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_over_a_bad_network_each_stimulus_is_applied_once_and_in_order(
    fault: str, kind: str, count: int, tmp_path: Path
) -> None:
    simulator, given = LeakySimulator(), numbered(count)
    async with AsyncExitStack() as exits:
        broker = await exits.enter_async_context(running(kind, tmp_path))
        device_side = await exits.enter_async_context(FaultProxy(broker.port, seed=1, **FAULTS[fault]))
        client_side = await exits.enter_async_context(FaultProxy(broker.port, seed=2, **FAULTS[fault]))
        await exits.enter_async_context(DeviceServer(SimulatedSubstrate(simulator), device_side.uri))
        substrate = RemoteSubstrate(f"{client_side.uri}/lab/leaky", window=64, connect_timeout=10)
        await exits.enter_async_context(substrate)
        got = [response async for response in substrate.stream(given)]
        assert exact(simulator, given, got)
        assert fault == "late" or device_side.faults + client_side.faults > count / 100


@pytest.mark.parametrize("count", FEW_AND_MANY)
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_a_broker_killed_and_restarted_twice_loses_nothing_and_repeats_nothing(
    kind: str, count: int, tmp_path: Path
) -> None:
    simulator, given = LeakySimulator(), numbered(count)
    async with (
        running(kind, tmp_path) as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        got = []
        async with aclosing(substrate.stream(given)) as responses:
            async for response in responses:
                got.append(response)
                if len(got) in (count // 4, 2 * count // 3):
                    await broker.kill()
                    await broker.start()
        assert exact(simulator, given, got)


@asynccontextmanager
async def process(script: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a script of the tests; it is killed with -9, here or before."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    started = await asyncio.create_subprocess_exec(
        sys.executable, str(TESTS / script), *map(str, arguments), stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        if started.stdout is not None:
            await started.stdout.read()
        await started.wait()


async def test_a_controller_is_killed_and_another_takes_over(mosquitto: Mosquitto, tmp_path: Path) -> None:
    log = tmp_path / "applied"
    async with process("served_leaky.py", mosquitto.uri, log, 1.0) as device:
        assert device.stdout is not None
        uri = (await device.stdout.readline()).decode().strip()
        async with process("streaming_client.py", uri) as first:
            assert first.stdout is not None
            for _ in range(50):
                await first.stdout.readline()
            with pytest.raises(SubstrateBusy, match=r"held by session anyone/\w+; for another \d+ s"):
                async with RemoteSubstrate(uri):
                    pass
            first.kill()
            answered = 49 + len((await first.stdout.read()).splitlines())
        given = numbered(300, since=500_000)
        while True:
            try:
                async with RemoteSubstrate(uri) as second:
                    got = [response async for response in second.stream(given)]
                break
            except SubstrateBusy:
                await asyncio.sleep(0.2)  # until the lease of the first has run out
    before, rest, after = log.read_text("utf-8").partition("rest\n")
    applied = [int(line) for line in before.split()]
    assert applied == list(range(len(applied)))
    assert answered <= applied[-1]
    assert rest
    assert [int(line) for line in after.split()] == list(range(500_000, 500_300))
    alone = LeakySimulator()
    assert all(np.array_equal(mine.signal, alone.advance(each).signal) for mine, each in zip(got, given, strict=True))


async def test_a_device_is_killed_and_what_it_applied_is_what_the_error_says(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    log, got = tmp_path / "applied", []
    async with process("served_leaky.py", mosquitto.uri, log, 15.0) as device:
        assert device.stdout is not None
        uri = (await device.stdout.readline()).decode().strip()
        async with RemoteSubstrate(uri, connect_timeout=1) as substrate:

            async def stream() -> None:
                async with aclosing(substrate.stream(numbered(100_000))) as responses:
                    async for response in responses:
                        got.append(response)
                        if len(got) == 200:
                            device.kill()

            with pytest.raises(
                SubstrateDisconnected, match=r"gone offline; everything before number (\d+) was"
            ) as caught:
                await stream()
    applied = [int(line) for line in log.read_text("utf-8").split()]
    assert applied == list(range(len(applied)))
    assert f"before number {len(got)} was applied" in str(caught.value)
    assert len(got) <= len(applied) <= len(got) + 8  # no more than a window beyond what was answered
