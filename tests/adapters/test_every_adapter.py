"""The contract, one suite over all adapters: in process, MQTT, replay, and platforms whose matter goes on by itself.

`test_contract.py` asks more of those behind which a simulator with a known answer can stand.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator
from pulsed import PulsedCulture

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, ReplaySubstrate, SimulatedSubstrate
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.substrate import IntanSubstrate
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.adapters.tissue import PulseLimits
from inmateria.recording import RecordedSubstrate
from inmateria.substrate import Response, Stimulus, StimulusRejected, Substrate, SubstrateError

WINDOW = 4
ROOMY = PulseLimits(interval=0.0, rate=1000, dose=1.0)
WAYS = (
    *("in process", "embedded broker", "mosquitto", "replay"),
    *("intan", "cortical", "neuroplatform 1", "neuroplatform 2"),
)

resource_tracker.ensure_running()  # Python's own, of shared memory: it stays until the process ends


@asynccontextmanager
async def reached(way: str, folder: Path) -> AsyncIterator[Substrate]:
    async with AsyncExitStack() as exits:
        if way == "in process":
            yield await exits.enter_async_context(SimulatedSubstrate(LeakySimulator(spiking=True)))
        elif way in ("embedded broker", "mosquitto"):
            if way == "mosquitto":
                broker = Mosquitto(folder)
                exits.callback(broker.kill)
                uri = broker.uri
            else:
                uri = (await exits.enter_async_context(EmbeddedBroker())).uri
            device = SimulatedSubstrate(LeakySimulator(spiking=True))
            server = await exits.enter_async_context(DeviceServer(device, uri))
            yield await exits.enter_async_context(RemoteSubstrate(server.uri, window=WINDOW))
        elif way == "replay":
            # A replay answers what was recorded, in order: so it is given the same once more.
            device = SimulatedSubstrate(LeakySimulator(spiking=True))
            async with RecordedSubstrate(device, folder / "recording.h5") as recorded:
                await keeps_all_promises(recorded)
                for _ in range(50):  # whoever cancels does not know how far it came
                    await recorded.stimulate(stimuli(recorded, 1)[0])
            yield await exits.enter_async_context(ReplaySubstrate(folder / "recording.h5"))
        elif way == "intan":
            twin = await exits.enter_async_context(IntanEmulator(PulsedCulture(8), speed=5))
            ports = dict(zip(("commands", "waveforms", "spikes"), twin._ports, strict=True))
            yield await exits.enter_async_context(IntanSubstrate(channels=8, limits=ROOMY, log="none", **ports))
        elif way == "cortical":
            if sys.version_info < (3, 12):
                pytest.skip("cl-sdk 1.0 needs Python 3.12")
            pytest.importorskip("cl")
            from inmateria.adapters.cortical.substrate import CorticalSubstrate

            made = CorticalSubstrate(accelerated=True, culture="pulsed:PulsedSixtyFour", limits=ROOMY)
            yield await exits.enter_async_context(made)
        else:
            version = int(way[-1])
            platform = Neuroplatform(PulsedCulture(32))
            limits = PulseLimits(amplitude=1e-5, interval=0.0, rate=1000, dose=1.0)
            made_ = NeuroplatformSubstrate(version=version, platform=platform, triggers=8, limits=limits)
            yield await exits.enter_async_context(made_)


@pytest.mark.parametrize("way", WAYS)
async def test_the_contract_holds(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent.parent)  # for the process in which the SDK makes the culture
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    async with reached(way, tmp_path) as substrate:
        await keeps_all_promises(substrate)


async def keeps_all_promises(substrate: Substrate) -> None:
    for promise in (
        responses_are_as_the_info_says,
        a_stream_is_in_order_and_a_slow_consumer_slows_it,
        what_is_outside_limits_is_refused_and_the_stream_can_go_on,
        whoever_leaves_early_can_go_on,
        a_source_that_fails_is_told_after_what_came_before,
        exchanges_asked_for_at_once_are_each_applied_once,
        it_returns_to_rest_or_says_that_it_cannot,
        cancelling_ends_cleanly,
    ):
        await promise(substrate)


async def it_returns_to_rest_or_says_that_it_cannot(substrate: Substrate) -> None:
    if substrate.info.resettable:
        await substrate.reset()
        again = await substrate.stimulate(stimuli(substrate, 1)[0])
        assert (again.start, again.sequence) == (0.0, 0)
    else:
        with pytest.raises(SubstrateError, match="let it rest"):
            await substrate.reset()


def stimuli(substrate: Substrate, count: int) -> list[Stimulus]:
    generator, info = np.random.default_rng(0), substrate.info
    top = info.inputs[0].high
    return [
        info.stimulus(top * (generator.random((1 + k % 3, len(info.inputs))) < 0.1).astype(float)) for k in range(count)
    ]


async def next_sequence(substrate: Substrate) -> int:
    return (await substrate.stimulate(stimuli(substrate, 1)[0])).sequence + 1


async def responses_are_as_the_info_says(substrate: Substrate) -> None:
    info = substrate.info
    for stimulus in stimuli(substrate, 3):
        response = await substrate.stimulate(stimulus)
        if info.sampling_rate is None:
            assert response.signal is None
        else:
            assert response.signal is not None
            shape = (len(stimulus.drive), info.samples(stimulus.step), len(info.outputs))
            assert response.signal.shape == shape
            assert (response.signal <= [channel.high for channel in info.outputs]).all()
        if info.spiking:
            assert response.spikes is not None
            assert (response.spikes["channel"] < len(info.outputs)).all()
            assert (response.spikes["time"] >= response.start - 1e-9).all()
            assert (response.spikes["time"] < response.start + stimulus.duration + 1e-9).all()
            assert (np.diff(response.spikes["time"]) >= 0).all()
        else:
            assert response.spikes is None


async def a_stream_is_in_order_and_a_slow_consumer_slows_it(substrate: Substrate) -> None:
    taken = seen = 0

    def source() -> Iterator[Stimulus]:
        nonlocal taken
        for stimulus in stimuli(substrate, 8):
            taken += 1
            yield stimulus

    first, end = await next_sequence(substrate), 0.0
    async with aclosing(substrate.stream(source())) as responses:
        async for response in responses:
            assert response.sequence == first + seen
            assert response.start >= end - 1e-6  # steps never overlap
            end = response.start + stimuli(substrate, 8)[seen].duration
            seen += 1
            for _ in range(20):  # give a producer that does not wait every chance to run ahead
                await asyncio.sleep(0)
            assert taken <= seen + WINDOW + 1
    assert seen == taken == 8


async def what_is_outside_limits_is_refused_and_the_stream_can_go_on(substrate: Substrate) -> None:
    good, first = stimuli(substrate, 1)[0], await next_sequence(substrate)
    wrong = Stimulus(2 * substrate.info.inputs[0].high * np.ones((1, len(substrate.info.inputs))), substrate.info.step)
    got: list[Response] = []

    async def gather() -> None:
        async with aclosing(substrate.stream([good, wrong, good])) as responses:
            async for response in responses:
                got.append(response)  # noqa: PERF401

    with pytest.raises(StimulusRejected, match="drives"):
        await gather()
    assert [response.sequence for response in got] == [first]
    assert (await substrate.stimulate(good)).sequence == first + 1


async def whoever_leaves_early_can_go_on(substrate: Substrate) -> None:
    first = await next_sequence(substrate)
    async with aclosing(substrate.stream(stimuli(substrate, 20))) as responses:
        async for response in responses:
            if response.sequence == first + 1:
                break
    following = (await substrate.stimulate(stimuli(substrate, 1)[0])).sequence
    assert first + 2 <= following <= first + 2 + WINDOW


async def a_source_that_fails_is_told_after_what_came_before(substrate: Substrate) -> None:
    def source() -> Iterator[Stimulus]:
        yield from stimuli(substrate, 2)
        raise RuntimeError("the camera was unplugged")

    got: list[Response] = []

    async def gather() -> None:
        async with aclosing(substrate.stream(source())) as responses:
            async for response in responses:
                got.append(response)  # noqa: PERF401

    with pytest.raises(RuntimeError, match="unplugged"):
        await gather()
    assert len(got) == 2


async def exchanges_asked_for_at_once_are_each_applied_once(substrate: Substrate) -> None:
    first = await next_sequence(substrate)
    got = await asyncio.gather(*(substrate.stimulate(stimulus) for stimulus in stimuli(substrate, 5)))
    assert sorted(response.sequence for response in got) == list(range(first, first + 5))


async def cancelling_ends_cleanly(substrate: Substrate) -> None:
    first, running = await next_sequence(substrate), asyncio.Event()

    async def work() -> None:
        async with aclosing(substrate.stream(stimuli(substrate, 1)[0] for _ in range(10_000))) as responses:
            async for response in responses:
                if response.sequence == first + 2:
                    running.set()
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await substrate.stimulate(stimuli(substrate, 1)[0])).sequence >= first + 3
