"""What every adapter promises, run over all of them: in process, over MQTT through two brokers, from a recording."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from aiomqtt_application import application_links
from brokers import Mosquitto
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, ReplaySubstrate, SimulatedSubstrate
from inmateria.recording import RecordedSubstrate
from inmateria.simulators import EchoStateNetwork
from inmateria.substrate import Response, Simulator, Stimulus, StimulusRejected, Substrate, SubstrateBusy

WINDOW = 4


@asynccontextmanager
async def reached(
    way: str, simulator: Simulator, folder: Path, given: Sequence[Stimulus | None] = ()
) -> AsyncIterator[Substrate]:
    """Enter a simulator as a substrate, in one of the ways there are.

    `given` is what will be given to it, None being a return to rest: a replay answers only what was recorded.
    """
    async with AsyncExitStack() as exits:
        if way == "replay":
            async with RecordedSubstrate(SimulatedSubstrate(deepcopy(simulator)), folder / "r.h5") as recorded:
                for stimulus in given:
                    await (recorded.reset() if stimulus is None else recorded.stimulate(stimulus))
            yield await exits.enter_async_context(Applying(folder / "r.h5", simulator))
            return
        if way == "in process":
            yield await exits.enter_async_context(SimulatedSubstrate(simulator))
            return
        if way == "embedded":
            uri = (await exits.enter_async_context(EmbeddedBroker())).uri
        elif way in ("unix", "tcp"):
            uri = f"unix://{folder}/d.sock" if way == "unix" else "tcp://127.0.0.1:0"
        else:
            broker = Mosquitto(folder)
            exits.callback(broker.kill)
            uri = broker.uri
        if way == "aiomqtt":  # one client of the application for both
            links = await exits.enter_async_context(application_links(broker.port))
            server = await exits.enter_async_context(
                DeviceServer(SimulatedSubstrate(simulator), uri, open_data_link=links)
            )
            yield await exits.enter_async_context(RemoteSubstrate(server.uri, window=WINDOW, open_link=links))
            return
        server = await exits.enter_async_context(DeviceServer(SimulatedSubstrate(simulator), uri))
        yield await exits.enter_async_context(RemoteSubstrate(server.uri, window=WINDOW))


class Applying(ReplaySubstrate):
    """A replay that tells a simulator what it has answered, where tests look for what was applied."""

    def __init__(self, path: Path, simulator: Simulator) -> None:
        super().__init__(path)
        self._simulator = simulator

    async def _apply(self, stimulus: Stimulus) -> Response:
        response = await super()._apply(stimulus)
        if isinstance(self._simulator, LeakySimulator):
            self._simulator.applied.append(stimulus.drive)
        return response


@pytest.fixture(params=["in process", "embedded", "mosquitto", "aiomqtt", "unix", "tcp", "replay"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_echo() -> EchoStateNetwork:
    return EchoStateNetwork(units=20, inputs=3, step=0.005)


@pytest.fixture(params=[LeakySimulator, make_echo], ids=["leaky", "echo"])
def make(request: pytest.FixtureRequest) -> Callable[[], Simulator]:
    """Give what makes the same simulator again and again."""
    return request.param  # type: ignore[no-any-return]


def stimuli(count: int, seed: int = 0) -> list[Stimulus]:
    generator = np.random.default_rng(seed)
    return [Stimulus(generator.uniform(-1, 1, (1 + k % 4, 3)), 0.01) for k in range(count)]


async def gather_into(got: list[Response], responses: AsyncIterator[Response]) -> None:
    """Collect responses one by one, so that those before a failure are kept."""
    async for response in responses:
        got.append(response)  # noqa: PERF401


def equal(one: Response, other: Response) -> bool:
    return (
        np.array_equal(one.signal, other.signal)
        and (one.spikes is None) == (other.spikes is None)
        and (one.spikes is None or np.array_equal(one.spikes, other.spikes))
        and (one.start, one.sequence) == (other.start, other.sequence)
    )


async def test_the_info_is_the_simulators_own(way: str, make: Callable[[], Simulator], tmp_path: Path) -> None:
    async with reached(way, make(), tmp_path) as substrate:
        assert substrate.info == make().info


@pytest.mark.parametrize(
    "make_any", [LeakySimulator, partial(LeakySimulator, spiking=True), make_echo], ids=["leaky", "spiking", "echo"]
)
async def test_a_stream_gives_the_simulators_answers_bit_for_bit_in_order(
    way: str, make_any: Callable[[], Simulator], tmp_path: Path
) -> None:
    alone, given = make_any(), stimuli(40)
    async with reached(way, make_any(), tmp_path, given * 2) as substrate:
        for _ in range(2):  # a second stream goes on where the first ended
            async with aclosing(substrate.stream(given)) as responses:
                got = [response async for response in responses]
            assert len(got) == 40
            assert all(equal(mine, alone.advance(stimulus)) for mine, stimulus in zip(got, given, strict=True))


async def test_one_exchange_at_a_time_gives_the_same(way: str, make: Callable[[], Simulator], tmp_path: Path) -> None:
    alone = make()
    async with reached(way, make(), tmp_path, stimuli(10)) as substrate:
        for stimulus in stimuli(10):
            assert equal(await substrate.stimulate(stimulus), alone.advance(stimulus))


async def test_what_is_outside_limits_is_refused_and_nothing_of_it_is_applied(way: str, tmp_path: Path) -> None:
    simulator = LeakySimulator()
    good, bad = stimuli(1)[0], Stimulus(np.array([[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]), 0.01)
    async with reached(way, simulator, tmp_path, [good, good]) as substrate:
        with pytest.raises(StimulusRejected, match="step 1 drives i1 with 5 V"):
            await substrate.stimulate(bad)
        assert simulator.applied == []
        got: list[Response] = []
        with pytest.raises(StimulusRejected):
            await gather_into(got, substrate.stream([good, bad, good]))
        assert len(got) == len(simulator.applied) == 1
        assert (await substrate.stimulate(good)).sequence == 1


async def test_a_slow_consumer_slows_the_producer(way: str, tmp_path: Path) -> None:
    taken = 0

    def source() -> Iterator[Stimulus]:
        nonlocal taken
        for stimulus in stimuli(50):
            taken += 1
            yield stimulus

    async with reached(way, LeakySimulator(), tmp_path, stimuli(50)) as substrate:
        seen = 0
        async with aclosing(substrate.stream(source())) as responses:
            async for _ in responses:
                seen += 1
                for _ in range(20):  # give a producer that does not wait every chance to run ahead
                    await asyncio.sleep(0)
                assert taken <= seen + WINDOW + 1
        assert seen == taken == 50


async def test_a_source_may_depend_on_the_responses(way: str, tmp_path: Path) -> None:
    answered: asyncio.Queue[Response] = asyncio.Queue()

    async def source() -> AsyncIterator[Stimulus]:
        yield Stimulus(np.zeros((1, 3)) + 0.1, 0.01)
        for _ in range(5):
            response = await answered.get()
            assert response.signal is not None
            yield Stimulus(np.clip(response.signal[-1, -1:, :3], -1, 1), 0.01)

    alone, fed = LeakySimulator(), [Stimulus(np.zeros((1, 3)) + 0.1, 0.01)]
    for _ in range(5):
        last = alone.advance(fed[-1]).signal
        assert last is not None
        fed.append(Stimulus(np.clip(last[-1, -1:, :3], -1, 1), 0.01))
    async with (
        reached(way, LeakySimulator(), tmp_path, fed) as substrate,
        aclosing(substrate.stream(source())) as responses,
    ):
        count = 0
        async for response in responses:
            answered.put_nowait(response)
            count += 1
    assert count == 6


async def test_whoever_leaves_a_stream_early_can_go_on(way: str, tmp_path: Path) -> None:
    simulator, given = LeakySimulator(), stimuli(30)
    async with reached(way, simulator, tmp_path, [*given[:3], given[0]]) as substrate:
        async with aclosing(substrate.stream(given)) as responses:
            async for response in responses:
                if response.sequence == 2:
                    break
        following = await substrate.stimulate(given[0])
        applied = len(simulator.applied)
        assert 4 <= applied <= 3 + WINDOW + 1
        assert following.sequence == applied - 1
        assert all(np.array_equal(mine, each.drive) for mine, each in zip(simulator.applied[:-1], given, strict=False))


async def test_a_source_that_fails_is_told_after_what_came_before(way: str, tmp_path: Path) -> None:
    def source() -> Iterator[Stimulus]:
        yield from stimuli(3)
        raise RuntimeError("the camera was unplugged")

    async with reached(way, LeakySimulator(), tmp_path, stimuli(3)) as substrate:
        got: list[Response] = []
        with pytest.raises(RuntimeError, match="unplugged"):
            await gather_into(got, substrate.stream(source()))
        assert [response.sequence for response in got] == [0, 1, 2]


async def test_reset_returns_to_rest_and_to_the_beginning_of_the_clock(
    way: str, make: Callable[[], Simulator], tmp_path: Path
) -> None:
    one = stimuli(1)[0]
    async with reached(way, make(), tmp_path, [one, one, None, one]) as substrate:
        first = await substrate.stimulate(stimuli(1)[0])
        await substrate.stimulate(stimuli(1)[0])
        await substrate.reset()
        assert equal(await substrate.stimulate(stimuli(1)[0]), first)


async def test_cancelling_in_the_middle_of_a_stream_ends_cleanly(way: str, tmp_path: Path) -> None:
    running = asyncio.Event()

    def endless() -> Iterator[Stimulus]:
        while True:
            yield stimuli(1)[0]

    async def work() -> None:
        async with (
            reached(way, LeakySimulator(), tmp_path, stimuli(1) * 5000) as substrate,
            aclosing(substrate.stream(endless())) as responses,
        ):
            async for response in responses:
                if response.sequence == 5:
                    running.set()
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_exchanges_asked_for_at_once_are_each_applied_once(way: str, tmp_path: Path) -> None:
    simulator = LeakySimulator()
    async with reached(way, simulator, tmp_path, stimuli(20)) as substrate:
        got = await asyncio.gather(*(substrate.stimulate(stimulus) for stimulus in stimuli(20)))
    assert sorted(response.sequence for response in got) == list(range(20))
    assert len(simulator.applied) == 20


async def test_a_second_controller_is_told_who_holds_the_device() -> None:
    async with EmbeddedBroker() as broker, DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server:
        async with RemoteSubstrate(server.uri) as first:
            with pytest.raises(
                SubstrateBusy, match=r"lab/leaky is held by session anyone/[0-9a-f]+; for another \d+ s"
            ):
                async with RemoteSubstrate(server.uri):
                    pass
            assert (await first.stimulate(stimuli(1)[0])).sequence == 0  # and the first is not disturbed
        async with RemoteSubstrate(server.uri) as second:  # released on close
            assert (await second.stimulate(stimuli(1)[0])).sequence == 1
