"""The CL1 through the vendor's own SDK, its simulator playing a culture of ours; nothing of the SDK is replaced."""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.adapters.tissue import PulseLimits
from inmateria.substrate import (
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)

pytest.importorskip("cl", reason="cl-sdk needs Python 3.12")
if sys.version_info < (3, 12):
    pytest.skip("cl-sdk 1.0 needs Python 3.12; below, pip finds an old one of another API", allow_module_level=True)

# Python's own helper for shared memory, which the SDK uses, stays until the process ends.
resource_tracker.ensure_running()

from inmateria.adapters.cortical.substrate import CORTICAL_LIMITS, STIMMABLE, CorticalSubstrate  # noqa: E402

LIMITS = PulseLimits(amplitude=3e-6, charge=3e-9, interval=0.005, rate=100, dose=1.0)


def opened(**changed: object) -> CorticalSubstrate:
    made = {"accelerated": True, "culture": "pulsed:PulsedSixtyFour", "limits": LIMITS, **changed}
    return CorticalSubstrate(**made)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK builds the culture in a process of its own."""
    here = str(Path(__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
async def cl1() -> AsyncIterator[CorticalSubstrate]:
    async with opened() as device:
        yield device


def drive(ticks: int, *pulses: tuple[int, int, float]) -> np.ndarray:
    given = np.zeros((ticks, len(STIMMABLE)))
    for tick, electrode, current in pulses:
        given[tick, STIMMABLE.index(electrode)] = 1e-6 * current
    return given


async def test_pulses_reach_their_electrodes_in_their_tick_and_are_answered(cl1: CorticalSubstrate) -> None:
    # This culture answers each pulse 5 ms later there and 8 ms later next to it, and fires by itself once in 10 s.
    given = drive(6, (0, 10, 1.0), (3, 20, 2.5), (3, 30, 0.5))
    first = await cl1.stimulate(Stimulus(drive(20), 0.01))
    response = await cl1.stimulate(Stimulus(given, 0.01))
    assert response.signal is not None
    assert response.spikes is not None
    expected = np.zeros((6, 1, 64))
    for tick, electrode in ((0, 10), (0, 11), (3, 20), (3, 21), (3, 30), (3, 31)):
        expected[tick, 0, electrode] = 1
    assert np.array_equal(response.signal, expected)
    late = [
        (0.0, 10, 0.005),
        (0.0, 11, 0.008),
        (0.03, 20, 0.005),
        (0.03, 30, 0.005),
        (0.03, 21, 0.008),
        (0.03, 31, 0.008),
    ]
    assert response.spikes["channel"].tolist() == [electrode for _, electrode, _ in late]
    # The SDK gives a pulse 80 us after it was asked for.
    wanted = [response.start + begin + after + 80e-6 for begin, _, after in late]
    assert response.spikes["time"] == pytest.approx(wanted, abs=2.01 / 25_000)
    assert response.start == pytest.approx(first.start + 0.2)


async def test_in_accelerated_time_exchanges_follow_without_a_gap_and_take_turns(cl1: CorticalSubstrate) -> None:
    responses = [await cl1.stimulate(Stimulus(drive(ticks), 0.01)) for ticks in (3, 1, 5, 1)]
    assert [response.sequence for response in responses] == [0, 1, 2, 3]
    assert np.diff([response.start for response in responses]) == pytest.approx([0.03, 0.01, 0.05])
    got = await asyncio.gather(*(cl1.stimulate(Stimulus(drive(1), 0.01)) for _ in range(10)))
    assert [response.sequence for response in got] == list(range(4, 14))


async def test_the_same_questions_get_the_same_answers() -> None:
    answers = []
    for _ in range(2):
        async with (
            opened() as device,
            aclosing(device.stream(Stimulus(drive(2, (0, 10 + k, 1.0)), 0.01) for k in range(10))) as responses,
        ):
            answers.append(np.concatenate([response.signal async for response in responses]))
    assert np.array_equal(*answers)


async def test_what_tissue_may_not_have_is_refused_and_nothing_is_given() -> None:
    async with opened(limits=PulseLimits(interval=0.02)) as device:
        for wrong, said in (
            (drive(1, (0, 10, 3.1)), "drives e10 with 3.1e-06 A"),
            (drive(2, (0, 10, 1.0), (1, 10, 1.0)), "electrode 10 gets a pulse 10 ms after the one before; at least 20"),
            (-drive(1, (0, 10, 1.0)), "drives e10 with -1e-06 A"),
        ):
            with pytest.raises(StimulusRejected, match=said):
                await device.stimulate(Stimulus(wrong, 0.01))
        response = await device.stimulate(Stimulus(drive(3), 0.01))
        assert response.signal is not None
        assert response.signal.sum() <= 64  # its own, before the electrodes' turn comes round again
        assert response.signal[:, 0, 11].sum() <= 1
        assert response.sequence == 0


async def test_it_is_one_device_with_inputs_only_where_one_may_stimulate(cl1: CorticalSubstrate) -> None:
    names = {channel.name for channel in cl1.info.inputs}
    assert len(names) == 59
    assert names.isdisjoint({"e00", "e04", "e07", "e56", "e63"})
    assert len(cl1.info.outputs) == 64
    with pytest.raises(StimulusRejected, match="takes"):
        await cl1.stimulate(Stimulus(drive(1), 0.02))
    assert gc.isenabled()  # the SDK switches it off
    with pytest.raises(SubstrateBusy, match="has a CL1 open already"):
        async with opened():
            pass
    with pytest.raises(SubstrateError, match="does not do so on command"):
        await cl1.reset()


async def test_the_event_loop_is_never_blocked_and_cancelling_ends_at_once(cl1: CorticalSubstrate) -> None:
    longest, last, running = 0.0, time.perf_counter(), True

    async def watch() -> None:
        nonlocal longest, last
        while running:
            await asyncio.sleep(0)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

    watching = asyncio.create_task(watch())
    begun = time.perf_counter()
    await cl1.stimulate(Stimulus(drive(300), 0.01))
    took = time.perf_counter() - begun
    running = False
    await watching
    assert longest < 0.5 * took
    # And what is cancelled ends at once: 20,000 ticks are not waited for.
    long = asyncio.create_task(cl1.stimulate(Stimulus(drive(20_000, (19_999, 10, 1.0)), 0.01)))
    await asyncio.sleep(0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    response = await cl1.stimulate(Stimulus(drive(2, (0, 20, 1.0)), 0.01))
    assert response.start < 100  # not after 20,000 ticks


async def test_in_real_time_it_goes_on_by_itself() -> None:
    async with opened(accelerated=False) as device:
        first = following = await device.stimulate(Stimulus(drive(2, (0, 10, 1.0)), 0.01))
        async with asyncio.timeout(60):
            while following.start <= first.start + 0.02 * following.sequence + 0.01:
                await asyncio.sleep(0.02)
                following = await device.stimulate(Stimulus(drive(2), 0.01))
        # Each of them lasts 0.02 s: its clock went on between them.
        assert following.start > first.start + 0.02 * following.sequence


async def test_a_culture_that_cannot_be_made_is_told() -> None:
    with pytest.raises(SubstrateDisconnected):
        async with opened(culture="pulsed:NoSuchThing", timeout=30.0):
            pass
    async with opened() as device:  # and the next one can
        await device.stimulate(Stimulus(drive(1), 0.01))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("cortical://host", "names a place"),
        ("cortical://?ticks_per_second=333", "a divisor of 25000"),
        ("cortical://?phase=1.7e-4", "multiples of 20e-6 s"),
        ("cortical://?tick=3", "it takes ticks_per_second"),
    ],
)
def test_uris_that_name_no_cl1_are_told(uri: str, said: str) -> None:
    with pytest.raises(UnknownSubstrate, match=said):
        connect(uri)


def test_limits_may_only_be_lower_than_the_devices() -> None:
    with pytest.raises(ValueError, match="limits may only be lower"):
        opened(limits=PulseLimits(amplitude=4e-6))
    assert CORTICAL_LIMITS.amplitude == 3e-6
