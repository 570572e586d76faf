"""A replay gives what was recorded, bit for bit, however the stimuli are parted, and nothing else unasked."""

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import ReplaySubstrate, SimulatedSubstrate, connect
from inmateria.protocols.task import find_task
from inmateria.recording import Exchange, RecordedSubstrate, RecordingError, RecordingWriter, open_recording
from inmateria.reservoir import PhysicalLayer, PhysicalStack
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)


def write(path: Path, drives: list[np.ndarray], spiking: bool = True) -> list[Response]:
    """Record some drives, and give the responses."""
    simulator = LeakySimulator(spiking=spiking)
    writer = RecordingWriter(path, simulator.info)
    responses = []
    for drive in drives:
        stimulus = Stimulus(drive, 0.01)
        responses.append(simulator.advance(stimulus))
        writer.append([Exchange(stimulus, responses[-1], 0, 0.0, 0.001)])
    writer.end()
    return responses


def some(count: int, steps: int = 4, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).uniform(-1, 1, (count, steps, 3)))


@pytest.mark.parametrize("name", ["waveform", "memory"])
async def test_a_task_on_a_recording_has_the_scores_it_had_on_the_device(tmp_path: Path, name: str) -> None:
    task = find_task(name)
    settings = task.settings_from({"steps": "600", "samples": "2"})

    def watch(phase: str, done: int, of: int, steps: int) -> None:
        pass

    device = RecordedSubstrate(connect("nanowire://?wires=60&seed=3"), tmp_path / "r.h5")
    outcomes = [await task.run(each, settings, watch) for each in (device, ReplaySubstrate(tmp_path / "r.h5"))]
    there, here = (msgspec.to_builtins(outcome) for outcome in outcomes)
    assert there.pop("exchanges")["count"] == here.pop("exchanges")["count"]
    assert here == there


async def test_layers_on_several_recordings_give_the_features_they_gave(tmp_path: Path) -> None:
    X = np.random.default_rng(0).uniform(size=(60, 12))
    y = np.arange(60) % 3
    uris = [f"scattering://?ports=8&observables=24&seed={seed}" for seed in range(2)]
    paths = [tmp_path / f"{number}.h5" for number in range(2)]
    recorded = [RecordedSubstrate(connect(uri), path) for uri, path in zip(uris, paths, strict=True)]
    found = []
    for layers in (recorded, [ReplaySubstrate(path) for path in paths]):
        async with PhysicalStack([PhysicalLayer(substrate=each) for each in layers], seed=3) as stack:
            await stack.fit(X, y)
            found.append(stack.features_)
    for there, here in zip(*found, strict=True):
        assert np.array_equal(there, here)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=st.lists(st.integers(1, 6), min_size=1, max_size=12), cuts=st.data())
async def test_stimuli_may_be_parted_and_joined_otherwise(
    tmp_path_factory: pytest.TempPathFactory, recorded: list[int], cuts: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("replay") / "r.h5"
    drive = np.random.default_rng(1).uniform(-1, 1, (sum(recorded), 3))
    edges = np.cumsum(recorded)[:-1]
    responses = write(path, np.split(drive, edges))
    others = sorted(cuts.draw(st.sets(st.integers(1, max(1, len(drive) - 1)), max_size=8)))
    parts = [part for part in np.split(drive, others) if len(part)]
    async with ReplaySubstrate(path) as substrate:
        got = [await substrate.stimulate(Stimulus(part, 0.01)) for part in parts]
    for field in ("signal", "spikes"):
        mine = np.concatenate([getattr(response, field) for response in got])
        assert np.array_equal(mine, np.concatenate([getattr(response, field) for response in responses]))
    starts = 0.01 * np.cumsum([0, *(len(part) for part in parts)])[:-1]
    assert np.allclose([response.start for response in got], starts, rtol=0, atol=1e-9)
    assert [response.sequence for response in got] == list(range(len(parts)))


async def test_what_was_not_recorded_is_refused_and_what_was_goes_on(tmp_path: Path) -> None:
    drives = some(5)
    responses = write(tmp_path / "r.h5", drives)
    other = drives[1].copy()
    other[2, 1] = 0.123
    async with ReplaySubstrate(tmp_path / "r.h5") as substrate:
        await substrate.stimulate(Stimulus(drives[0], 0.01))
        with pytest.raises(StimulusRejected, match=r"step 2 drives i1 with .*0\.123.* V; step 2 of exchange 1"):
            await substrate.stimulate(Stimulus(other, 0.01))
        with pytest.raises(StimulusRejected, match=r"the step is 0\.02 s; exchange 1 of"):
            await substrate.stimulate(Stimulus(drives[1], 0.02))
        for index in range(1, 5):
            response = await substrate.stimulate(Stimulus(drives[index], 0.01))
            assert np.array_equal(response.signal, responses[index].signal)
            assert response.sequence == index
        with pytest.raises(StimulusRejected, match="replayed to its end"):
            await substrate.stimulate(Stimulus(drives[0], 0.01))
        assert set(substrate.distances) == {0.0}
    async with substrate:  # entered again, it begins anew
        assert np.array_equal((await substrate.stimulate(Stimulus(drives[0], 0.01))).signal, responses[0].signal)


async def test_the_nearest_is_given_with_its_distance(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drives = some(6)
    responses = write(tmp_path / "r.h5", drives)
    near = np.clip(drives[3] + 0.02, -1, 1)
    expected = np.sqrt(np.mean(((near - drives[3]) / 2) ** 2))  # each input ranges from -1 to 1 V
    with caplog.at_level(logging.WARNING, "inmateria"):
        async with connect(f"replay://{tmp_path}/r.h5?match=nearest") as substrate:
            assert isinstance(substrate, ReplaySubstrate)
            await substrate.stimulate(Stimulus(drives[0], 0.01))
            response = await substrate.stimulate(Stimulus(near, 0.01))
            assert np.array_equal(response.signal, responses[3].signal)
            following = await substrate.stimulate(Stimulus(drives[4], 0.01))
            assert np.array_equal(following.signal, responses[4].signal)
            assert list(substrate.distances) == pytest.approx([0.0, expected, 0.0])
            with pytest.raises(StimulusRejected, match="no stimulus of 2 steps"):
                await substrate.stimulate(Stimulus(drives[0][:2], 0.01))
    assert f"is {expected:.3g} away" in caplog.text
    assert "1 of the last 3 stimuli were not recorded" in caplog.text


async def test_sessions_are_gone_through_with_returns_to_rest(tmp_path: Path) -> None:
    drives = some(3)
    stimuli = [Stimulus(drive, 0.01) for drive in drives]
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
        await substrate.reset()
        one = await substrate.stimulate(stimuli[0])
        await substrate.reset()
        await substrate.reset()
        two = await substrate.stimulate(stimuli[1])
        three = await substrate.stimulate(stimuli[2])
    async with ReplaySubstrate(tmp_path / "r.h5") as substrate:
        await substrate.reset()
        assert np.array_equal((await substrate.stimulate(stimuli[0])).signal, one.signal)
        with pytest.raises(StimulusRejected, match=r"session 1 of .* was replayed to its end"):
            await substrate.stimulate(stimuli[1])
        await substrate.reset()
        await substrate.reset()
        for stimulus, response in ((stimuli[1], two), (stimuli[2], three)):
            assert np.array_equal((await substrate.stimulate(stimulus)).signal, response.signal)


@pytest.mark.parametrize(("speed", "seconds"), [("real", 4.0), ("4", 1.0)])
async def test_real_time_waits_for_the_devices_clock(
    tmp_path: Path, speed: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    drives = some(10, steps=400)  # of 4 s each, so that a busy machine is not late either
    write(tmp_path / "r.h5", drives)
    waits = []

    async def sleep(delay: float) -> None:
        waits.append(delay)

    monkeypatch.setattr("inmateria.adapters.replay.asyncio.sleep", sleep)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with (
        connect(f"replay://{tmp_path}/r.h5?speed={speed}") as substrate,
        aclosing(substrate.stream([Stimulus(drive, 0.01) for drive in drives])) as responses,
    ):
        assert len([response async for response in responses]) == 10
    # Nothing slept, so the last one was due after all ten durations, counted from the first question.
    elapsed = loop.time() - begun
    assert 10 * seconds - elapsed <= waits[-1] <= 10 * seconds
    assert waits[0] <= seconds


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("replay://", "names no recording"),
        ("replay:///r.h5?match=some", "allowed are 'exact' and 'nearest'"),
        ("replay:///r.h5?speed=slow", "could not convert"),
        ("replay:///r.h5?speed=-1", "more than 0"),
        ("replay:///r.h5?color=red", "takes match and speed"),
    ],
)
def test_a_wrong_uri_is_said(uri: str, says: str) -> None:
    with pytest.raises(UnknownSubstrate, match=says):
        connect(uri)


async def test_what_cannot_be_replayed_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist"):
        async with ReplaySubstrate(tmp_path / "none.h5"):
            pass
    write(tmp_path / "r.h5", some(1))
    substrate = ReplaySubstrate(tmp_path / "r.h5")
    with pytest.raises(SubstrateDisconnected, match="before it was entered"):
        _ = substrate.info
    async with substrate:
        pass
    with pytest.raises(SubstrateDisconnected, match="not open"):
        await substrate.stimulate(Stimulus(some(1)[0], 0.01))
    with open_recording(tmp_path / "r.h5") as recording:
        fixed = recording.info
    fixed = type(fixed)(**{**{name: getattr(fixed, name) for name in fixed.__struct_fields__}, "resettable": False})
    RecordingWriter(tmp_path / "fixed.h5", fixed).end()
    async with ReplaySubstrate(tmp_path / "fixed.h5") as substrate:
        with pytest.raises(SubstrateError, match="does not do so on command"):
            await substrate.reset()


async def test_a_run_that_was_cut_short_is_replayed_to_where_it_ends(tmp_path: Path) -> None:
    drives = some(300)
    responses = write(tmp_path / "r.h5", drives)
    data = (tmp_path / "r.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) * 3 // 4])
    with open_recording(tmp_path / "cut.h5") as recording:
        count = len(recording)
    assert 10 < count < 300
    async with ReplaySubstrate(tmp_path / "cut.h5") as substrate:
        for drive, response in zip(drives[:count], responses, strict=False):
            assert np.array_equal((await substrate.stimulate(Stimulus(drive, 0.01))).signal, response.signal)
        with pytest.raises(StimulusRejected, match="replayed to its end"):
            await substrate.stimulate(Stimulus(drives[count], 0.01))
