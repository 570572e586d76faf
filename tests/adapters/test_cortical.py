"""The CL1 through the vendor's own SDK, its simulator playing a culture of ours; nothing of the SDK is replaced."""

import asyncio
import gc
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.adapters.tissue.guard import PulseLimits, TissueGuard
from inmateria.adapters.tissue.pulse_log import PulseLog, log_name
from inmateria.devices.errors import PassportError
from inmateria.devices.identity import require_identity
from inmateria.substrate import (
    ResponseMismatch,
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

import cl  # noqa: E402

from inmateria.adapters.cortical.loop import Exchange, Opened, TickLoop  # noqa: E402
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


async def test_what_the_device_says_it_gave_is_told_apart_from_what_was_asked_for(
    cl1: CorticalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SubstrateError, match="no stimulus yet"):
        _ = cl1.confirmed
    asked = drive(6, (0, 10, 1.0), (0, 11, 1.0), (3, 20, 2.5), (5, 30, 0.5))
    await cl1.stimulate(Stimulus(asked, 0.01))
    assert np.array_equal(cl1.confirmed, asked > 0)
    stim = cl.Neurons.stim

    def deaf(self: cl.Neurons, channels: cl.ChannelSet, design: cl.StimDesign) -> None:
        if 20 not in list(channels):
            stim(self, channels, design)

    monkeypatch.setattr(cl.Neurons, "stim", deaf)
    await cl1.stimulate(Stimulus(asked, 0.01))
    expected = asked > 0
    expected[3] = False
    assert np.array_equal(cl1.confirmed, expected)


async def test_lost_frames_are_nan_and_a_time_that_goes_back_ends_the_session(
    cl1: CorticalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cl1.stimulate(Stimulus(drive(2), 0.01))
    thread = cl1._thread
    follow, ticks = TickLoop._follow, []

    def shifted(self: TickLoop, begin: int, end: int) -> None:
        ticks.append(begin)
        missing = 425 if len(ticks) >= 3 else 0  # 17 ms
        follow(self, begin + missing, end + missing)

    monkeypatch.setattr(TickLoop, "_follow", shifted)
    with pytest.warns(RuntimeWarning, match=r"425 frames \(17 ms\) were lost"):
        response = await cl1.stimulate(Stimulus(drive(5), 0.01))
    assert response.signal is not None
    assert np.isnan(response.signal).all(axis=(1, 2)).sum() == 1
    monkeypatch.setattr(TickLoop, "_follow", lambda self, begin, end: follow(self, begin - 5000, end - 5000))
    with pytest.raises(ResponseMismatch, match="time went back"):
        await cl1.stimulate(Stimulus(drive(5), 0.01))
    with pytest.raises(ResponseMismatch, match="time went back"):
        await cl1.stimulate(Stimulus(drive(1), 0.01))
    await asyncio.to_thread(thread.join, 10.0)  # it answers before it ends
    assert not thread.is_alive()


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
    turns, running = 0, True

    async def watch() -> None:
        nonlocal turns
        while running:
            await asyncio.sleep(0)
            turns += 1

    watching = asyncio.create_task(watch())
    await cl1.stimulate(Stimulus(drive(300), 0.01))
    running = False
    await watching
    assert turns > 300  # one a tick at least, where one that is blocked has two or three
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
        ("cortical://?id=my dish", "id is 'my dish'"),
    ],
)
def test_uris_that_name_no_cl1_are_told(uri: str, said: str) -> None:
    with pytest.raises(UnknownSubstrate, match=said):
        connect(uri)


def test_limits_may_only_be_lower_than_the_devices() -> None:
    with pytest.raises(ValueError, match="limits may only be lower"):
        opened(limits=PulseLimits(amplitude=4e-6))
    assert CORTICAL_LIMITS.amplitude == 3e-6


SYSTEM = {"system_id": "cl1-0123-456", "chip_id": "chip 9", "hostname": "cl1-lab", "cell_batch_id": "b7"}


@dataclass
class Device:
    """The SDK in real time, taken for a device: it is logged, and states what a device states of itself."""

    folder: Path
    attributes: dict[str, str]
    stims: list[tuple[int, int, float]]  # frame of the device, channel, current of the first phase (uA)

    @property
    def log(self) -> PulseLog:
        return PulseLog(self.folder / f"{log_name('cl1', self.attributes['system_id'])}.csv")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path, dict(SYSTEM), [])
    stim = cl.Neurons.stim

    def noted(self: cl.Neurons, channels: cl.ChannelSet, design: cl.StimDesign) -> None:
        made.stims.extend((self.timestamp(), channel, design._get_padded()[1][0]) for channel in channels)
        stim(self, channels, design)

    monkeypatch.setenv("INMATERIA_STATE", str(tmp_path))
    monkeypatch.setattr(cl, "is_simulator", lambda: False)
    monkeypatch.setattr(cl, "get_system_attributes", lambda: made.attributes)
    monkeypatch.setattr(cl.Neurons, "stim", noted)
    yield made
    cl.sim.clear_simulator_data_source()  # which ends the SDK's processes and threads


async def test_the_log_of_a_device_goes_on_where_its_frames_begin_anew(device: Device) -> None:
    starts, begun = [], time.time()
    for _ in range(2):
        async with opened(accelerated=False) as cl1:
            response = await cl1.stimulate(Stimulus(drive(3, (0, 10, 1.0), (2, 20, 2.0)), 0.01))
            starts.append(response.start)
            assert cl1.info.id == "cl1-0123-456-chip-9"
            assert cl1.info.parameters["cell_batch_id"] == "b7"
            assert cl1.info.identity == "serial"
        cl.sim.clear_simulator_data_source()  # the next begins at frame 0 again
    logged = device.log.read()
    assert logged["electrode"].tolist() == [10, 20, 10, 20]
    assert logged["amplitude"] == pytest.approx([-1e-6, -2e-6, -1e-6, -2e-6])
    assert (np.diff(logged["time"]) >= 0).all()
    assert logged["time"].min() > begun - 1
    assert logged["time"].max() < time.time() + 1
    assert max(starts) < begun / 2  # a response has the device's own time


async def test_the_log_of_a_device_is_what_it_gave_however_long_its_loop_is_held(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = TickLoop._collect

    def held(self: TickLoop, exchange: Exchange, tick: cl.LoopTick, guard: TissueGuard) -> Exchange | None:
        if exchange.row in (10, 50):
            time.sleep(0.6)
        return collect(self, exchange, tick, guard)

    monkeypatch.setattr(TickLoop, "_collect", held)
    ticks = 120
    async with opened(accelerated=False, limits=PulseLimits(interval=0.005, rate=100)) as cl1:
        with pytest.warns(RuntimeWarning, match="of 121 pulses came too late") as warned:
            await cl1.stimulate(
                Stimulus(drive(ticks, (12, 20, 1.0), *((tick, 10, 1.0) for tick in range(ticks))), 0.01)
            )
        assert cl1.info.kind == "neural-culture"
    dropped = int(str(warned[0].message).split()[0])
    logged = device.log.read()
    assert len(logged) == len(device.stims) == ticks + 1 - dropped
    assert logged["electrode"].tolist().count(20) == 1  # of a tick with a pulse that was dropped
    assert dropped >= 60
    assert np.diff(logged["time"][logged["electrode"] == 10]).min() >= 0.005 - 2e-6
    # Each is logged at the time when it was given, 80 us after the call to the SDK, which follows the line in the log.
    called = np.array([frame for frame, _, _ in device.stims]) / 25_000
    assert (logged["time"] <= cl1._thread._origin + called + 81e-6).all()
    # Those of one tick are logged together before the first of them is given.
    of_later_ticks = np.diff(logged["time"]) > 1e-3
    assert (logged["time"][1:] >= cl1._thread._origin + called[:-1])[of_later_ticks].all()
    assert of_later_ticks.sum() >= len(logged) - 2


async def test_cancelled_on_a_device_the_log_holds_what_was_given_and_no_more(device: Device) -> None:
    async with opened(accelerated=False) as cl1:
        many = [(tick, 10, 1.0) for tick in range(0, 2000)]
        long = asyncio.create_task(cl1.stimulate(Stimulus(drive(2000, *many), 0.01)))
        async with asyncio.timeout(60):
            while len(device.stims) < 20:  # noqa: ASYNC110  (of the SDK's thread)
                await asyncio.sleep(0.01)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        await cl1.stimulate(Stimulus(drive(2, (1, 20, 1.0)), 0.01))
    assert 20 <= len(device.stims) < 2000
    assert device.log.read()["electrode"].tolist() == [channel for _, channel, _ in device.stims]


@pytest.mark.filterwarnings("ignore:.*came too late:RuntimeWarning")  # a busy machine may hold up the loop itself
async def test_a_stimulus_of_many_pulses_begins_once_they_have_been_checked(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, planned = TickLoop._begin, []

    def noted(self: TickLoop, exchange: Exchange, frame: int, guard: TissueGuard) -> Exchange | None:
        begun = begin(self, exchange, frame, guard)
        planned.append((frame, exchange.wait))
        return begun

    monkeypatch.setattr(TickLoop, "_begin", noted)
    async with opened(accelerated=False) as cl1:
        many = await cl1.stimulate(Stimulus(np.full((20, len(STIMMABLE)), 1e-6), 0.01))
        few = await cl1.stimulate(Stimulus(drive(1, (0, 10, 1.0)), 0.01))
    assert planned[0][1] >= 6  # 50 us each for 1180 pulses, in ticks of 10 ms; more where the loop is behind
    assert [many.start, few.start] == pytest.approx([(frame + 250 * wait) / 25_000 for frame, wait in planned])
    assert (device.log.read()["time"] >= cl1._thread._origin + many.start).all()


async def test_an_exchange_after_late_pulses_begins_in_the_present_of_the_device(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = TickLoop._collect

    def held(self: TickLoop, exchange: Exchange, tick: cl.LoopTick, guard: TissueGuard) -> Exchange | None:
        if exchange.row == 2:
            time.sleep(0.3)
        return collect(self, exchange, tick, guard)

    monkeypatch.setattr(TickLoop, "_collect", held)
    async with opened(accelerated=False) as cl1:
        for _ in range(3):  # the pulse of row 4 is late, and would lie after the first of the next exchange
            with warnings.catch_warnings(action="ignore"):
                await cl1.stimulate(Stimulus(drive(5, (0, 10, 1.0), (4, 10, 1.0)), 0.01))
    times = device.log.read()["time"]
    assert len(times) == len(device.stims) >= 4
    assert np.diff(times).min() >= 0.005 - 2e-6


async def test_a_log_that_goes_away_ends_the_device(device: Device) -> None:
    async with opened(accelerated=False) as cl1:
        await cl1.stimulate(Stimulus(drive(1, (0, 10, 1.0)), 0.01))
        given = len(device.stims)
        device.log.path.unlink()
        with pytest.raises(SubstrateError, match="is gone"):
            await cl1.stimulate(Stimulus(drive(1, (0, 10, 1.0)), 0.01))
        assert len(device.stims) == given


@pytest.mark.parametrize(
    ("stated", "given", "expected", "source"),
    [
        (SYSTEM, "", "cl1-0123-456-chip-9", "serial"),
        ({**SYSTEM, "chip_id": None}, "", "cl1-0123-456", "serial"),
        ({"system_id": "", "hostname": "cl1-lab"}, "", "cl1-cl1-lab", "host"),
        ({"system_id": "", "hostname": "localhost"}, "", "cl1", "none"),
        ({"system_id": ""}, "", "cl1", "none"),
        ({"system_id": ""}, "dish7", "dish7", "user"),
    ],
)
def test_a_device_is_named_by_what_it_states_or_has_no_identity(
    stated: dict[str, str], given: str, expected: str, source: str
) -> None:
    info = opened(accelerated=False, id=given)._described(Opened(False, stated), None)
    assert info.id == expected
    assert info.identity == source
    if source == "none":
        with pytest.raises(PassportError, match=r"cl1 is a placeholder .*\?id="):
            require_identity(info)
    else:
        require_identity(info)


def test_the_id_of_a_simulator_holds_all_that_makes_it_different() -> None:
    changes = ({}, {"seed": 1}, {"neurons": 10}, {"phase": 200e-6}, {"ticks_per_second": 50}, {"culture": "other:One"})
    ids = {opened(**changed)._described(Opened(True), None).id for changed in changes}
    assert len(ids) == len(changes)
    usual = connect("cortical://?seed=3")
    assert isinstance(usual, CorticalSubstrate)
    info = usual._described(Opened(True), None)
    assert info.id.startswith("cl1-simulator-1000-s3-")
    assert info.identity == "parameters"
