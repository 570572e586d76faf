"""Protocols on living neurons: encodings and features by hand, the pole beside gymnasium's, every task run."""

import asyncio
import os
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator
from pulsed import PulsedCulture

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.protocols import Run, data_sets, find_task, read_run, run_task
from inmateria.protocols.activity import activity_figures
from inmateria.protocols.data_sets import japanese_vowels
from inmateria.protocols.pole import pushed
from inmateria.protocols.pulses import EncodedValueSettings, bin_spikes, encoding_of, features_of
from inmateria.reservoir import (
    FilteredRates,
    FirstSpikeLatency,
    PhysicalReservoir,
    PulseAmplitude,
    PulseLatency,
    PulsePlace,
    PulseRate,
)
from inmateria.substrate import SPIKE, Channel, FloatArray, Response, Stimulus, Substrate, SubstrateInfo


def tissue(inputs: tuple[Channel, ...]) -> SubstrateInfo:
    outputs = (Channel(name="o", unit="1", low=0, high=1),)
    return SubstrateInfo(id="t", kind="t", inputs=inputs, outputs=outputs, step=0.01, sampling_rate=None, spiking=True)


INFO = tissue(tuple(Channel(name=f"e{k}", unit="A", low=0, high=2e-6) for k in range(8)))


def test_a_value_is_the_strength_the_number_the_place_or_the_time_of_pulses() -> None:
    u = np.array([[0.0, 1.0], [0.5, 0.25]])
    strength = PulseAmplitude(2, 0.5).drive(u, INFO).reshape(2, 2, 8)
    assert strength[0].tolist() == [[0] * 7 + [1e-6], [0] * 8]
    assert strength[1, 0] == pytest.approx([5e-7, 0, 0, 0, 0, 0, 0, 2.5e-7])
    number = PulseRate(4, 0.5, most=4).drive(u, INFO).reshape(2, 4, 8)
    assert np.count_nonzero(number, axis=1)[:, [0, 7]].tolist() == [[0, 4], [2, 1]]
    assert np.flatnonzero(number[1, :, 0]).tolist() == [0, 2]  # evenly spaced
    place = PulsePlace(1, 0.5).drive(u, INFO).reshape(2, 8)
    assert [np.flatnonzero(row).tolist() for row in place] == [[0, 7], [2, 5]]
    when = PulseLatency(5, 0.5).drive(u, INFO).reshape(2, 5, 8)
    assert [[int(np.flatnonzero(step[:, e])[0]) for e in (0, 7)] for step in when] == [[4, 0], [2, 3]]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([PulseAmplitude(3), PulseRate(6, most=4), PulsePlace(2), PulseLatency(4)]),
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=9),
)
def test_no_pulse_is_beyond_the_limit_or_on_more_electrodes_than_features(encoding, rows) -> None:  # type: ignore[no-untyped-def]
    drive = encoding.drive(np.array(rows), INFO)
    assert drive.shape == (len(rows) * encoding.positions, 8)
    assert drive.min() >= 0
    assert drive.max() <= 1e-6
    assert (np.count_nonzero(drive, axis=1) <= 2).all()


def test_neighbours_of_a_place_are_stimulated_with_it_within_the_features_share() -> None:
    drive = PulsePlace(1, 1.0, width=3).drive(np.array([[0.0, 0.6]]), INFO)
    assert np.flatnonzero(drive[0]).tolist() == [0, 1, 5, 6, 7]


def test_inputs_with_levels_are_given_the_nearest_of_them() -> None:
    on_or_off = tissue(tuple(Channel(name=f"t{k}", unit="1", low=0, high=1, levels=(0.0, 1.0)) for k in range(8)))
    drive = PulseAmplitude(1, 0.7).drive(np.array([[0.2, 0.9]]), on_or_off)
    assert np.flatnonzero(drive[0]).tolist() == [7]
    for encoding in (PulseAmplitude(1, 0.7), PulsePlace(2, 0.3), PulseRate(2, 0.3), PulseLatency(2, 0.3)):
        assert set(encoding.drive(np.random.default_rng(0).random((9, 2)), on_or_off).ravel()) <= {0.0, 1.0}


def test_values_and_electrodes_that_cannot_be_given_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        PulseAmplitude().drive(np.array([[1.5]]), INFO)
    with pytest.raises(ValueError, match="give fewer features"):
        PulseAmplitude().drive(np.ones((1, 9)), INFO)
    with pytest.raises(ValueError, match="one for each feature"):
        PulseAmplitude(electrodes=(0, 99)).drive(np.ones((1, 2)), INFO)
    with pytest.raises(ValueError, match="two or more"):
        PulsePlace().drive(np.ones((1, 5)), INFO)
    with pytest.raises(ValueError, match="1 to 2"):
        PulseRate(2, most=3)


def test_rates_fade_and_first_spikes_are_found() -> None:
    info = LeakySimulator(outputs=3, spiking=True).info
    spikes = np.array([(10.05, 0), (10.12, 0), (10.31, 2)], dtype=SPIKE)
    stimulus, response = Stimulus(np.zeros((4, 3)), 0.1), Response(None, spikes, 10.0, 0)
    rates = FilteredRates(0.2).extract(response, stimulus, info, 1)
    for step in range(4):
        end = 10.0 + 0.1 * (step + 1)
        for output in range(3):
            past = [t for t, c in spikes if c == output and t < end]
            assert rates[step, output] == pytest.approx(sum(np.exp(-(end - t) / 0.2) / 0.2 for t in past))
    latencies = FirstSpikeLatency().extract(response, stimulus, info, 2)
    assert latencies == pytest.approx(np.array([[0.05, 0.2, 0.2], [0.2, 0.2, 0.11]]))
    with pytest.raises(ValueError, match="no spikes"):
        FilteredRates().extract(Response(np.zeros((4, 1, 3)), None, 0.0, 0), stimulus, info, 1)


def test_the_pole_falls_as_gymnasiums_does() -> None:
    there = gymnasium.make("CartPole-v1").unwrapped
    state = np.asarray(there.reset(seed=3)[0], dtype=np.float64)
    there.state = state.copy()
    generator = np.random.default_rng(0)
    for _ in range(30):
        right = bool(generator.integers(2))
        fallen = there.step(int(right))[2]
        if fallen:
            there.reset()
            there.state = state = generator.uniform(-0.1, 0.1, 4)
            continue
        state = pushed(state, 1.0 if right else -1.0)
        assert state == pytest.approx(np.asarray(there.state), rel=1e-9)
    there.close()


def test_spikes_at_random_times_have_the_figures_of_chance() -> None:
    counts = (np.random.default_rng(0).random((40_000, 20)) < 0.01).astype(float)  # 2 Hz in bins of 5 ms
    figures = activity_figures(counts, 0.005)
    assert figures["mean rate of active outputs (Hz)"] == pytest.approx(2.0, rel=0.05)
    assert figures["active outputs (fraction above 0.1 Hz)"] == 1.0
    assert figures["variation of intervals (sd / mean)"] == pytest.approx(1.0, abs=0.05)
    bursting = counts.copy()
    bursting[1000::4000, :] = 5
    assert activity_figures(bursting, 0.005)["network bursts a minute"] > figures["network bursts a minute"] + 2


def test_the_vowels_are_those_of_the_paper() -> None:
    utterances, speakers, learned = japanese_vowels()
    assert (len(utterances), learned) == (640, 270)
    assert {len(np.unique(part)) for part in (speakers[:270], speakers[270:])} == {9}
    assert np.bincount(speakers[:270] - speakers.min()).tolist() == [30] * 9
    assert {u.shape[1] for u in utterances} == {12}
    # Of ae.train and ae.test in the repository's description: 7 to 29 frames, and these numbers of test utterances.
    lengths = [len(u) for u in utterances]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert np.bincount(speakers[270:] - 1).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert utterances[0][0, :3].tolist() == [1.860936, -0.207383, 0.261557]  # the file's first line, as printed


def test_the_vowels_in_the_package_are_those_of_the_source_to_the_printed_digits() -> None:
    path = Path(os.environ.get("INMATERIA_DATA", "/nowhere")) / "japanese_vowels.npz"
    if not path.exists():
        pytest.skip("needs japanese_vowels.npz; set INMATERIA_DATA to the folder that holds it")
    utterances, speakers, learned = japanese_vowels()
    with np.load(path) as source:
        frames = np.concatenate([source["train_frames"], source["test_frames"]])
        lengths = np.concatenate([source["train_lengths"], source["test_lengths"]])
        assert np.array_equal(speakers, np.concatenate([source["train_speaker"], source["test_speaker"]]))
        assert learned == len(source["train_lengths"])
    assert [len(u) for u in utterances] == lengths.tolist()
    ours = np.concatenate(utterances)
    assert np.array_equal(ours.astype(np.float32), frames)  # the source has them in single precision
    assert np.array_equal(ours, np.array([float(f"{value:.6f}") for value in ours.ravel()]).reshape(ours.shape))


def test_no_data_set_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a data set was looked for on the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.delenv("INMATERIA_DATA", raising=False)
    assert len(japanese_vowels()[0]) == 640
    assert len(data_sets.digits().X) == 1797
    assert len(data_sets.iris_flowers().X) == 150


async def run(name: str, given_: dict[str, str], folder: Path, substrate: str | LeakySimulator | Substrate) -> Run:
    task = find_task(name)
    opened = (
        connect(substrate)
        if isinstance(substrate, str)
        else substrate
        if isinstance(substrate, Substrate)
        else SimulatedSubstrate(substrate)
    )
    left = await run_task(task, task.settings_from(given_), opened, folder, _silent, on="test", over="local")
    assert (left / "report.html").stat().st_size > 10_000
    return read_run(left)


def _silent(phase: str, done: int, of: int, steps: int) -> None:
    assert 0 <= done <= of
    assert steps >= 0


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def score(made: Run, on: str, readout: str) -> float:
    return next(s.score for s in made.outcome.scores if s.on == on and s.readout == readout)


def neurons() -> LeakySimulator:
    return LeakySimulator(inputs=16, outputs=24, spiking=True)


async def test_patterns_are_told_apart_by_what_answers_them(tmp_path: Path) -> None:
    made = await run("patterns", {"trials": "100", "missing": "0", "stray": "0", "strength": "1"}, tmp_path, neurons())
    assert made.outcome.chance < 0.2
    assert score(made, "pulses alone", "bar") == 1.0
    assert score(made, "substrate", "bar") > 0.5


async def test_the_place_is_told_while_something_is_left_of_it(tmp_path: Path) -> None:
    made = await run("timer", {"trials": "60", "duration": "0.5", "strength": "1"}, tmp_path, neurons())
    curve = made.outcome.curves[0]
    assert curve.lines["substrate"][0] == 1.0  # the integrators pass their threshold in the first window
    assert curve.lines["substrate"][-1] == pytest.approx(0.5, abs=0.1)  # and are at rest in the last
    assert curve.lines["pulses alone"][1:] == pytest.approx([0.5] * (len(curve.x) - 1), abs=0.1)


async def test_the_henon_map_is_forecast_beside_its_control(tmp_path: Path) -> None:
    made = await run("henon", {"values": "300", "strength": "1"}, tmp_path, neurons())
    # A line through the map's parabola explains little: 1 - sqrt(1 - r^2) of the value itself.
    assert 0.0 < score(made, "values alone", "next value") < 0.2
    # One electrode for each value is a table of the parabola, whose spread about it comes from the value before.
    assert 0.5 < score(made, "pulses alone", "next value") < 0.8
    assert np.isfinite([s.score for s in made.outcome.scores]).all()


@pytest.mark.parametrize("encoding", ["amplitude", "rate", "place", "latency"])
@pytest.mark.parametrize("features", ["counts", "rates", "latency"])
def test_every_encoding_goes_with_all_features(encoding: str, features: str) -> None:
    async def one() -> tuple[FloatArray, FloatArray]:
        chosen = EncodedValueSettings(encoding=encoding, features=features)  # type: ignore[arg-type]
        async with PhysicalReservoir(SimulatedSubstrate(neurons())) as reservoir:
            reservoir.encoding = encoding_of(chosen, reservoir, 0.05)
            reservoir.features = features_of(chosen.features, chosen.time_constant, reservoir.info)
            u = np.array([[0.1], [0.9]])
            X = bin_spikes(await reservoir.run(u), chosen.features, reservoir.encoding.positions, 5)
            return X, reservoir.encode(u).reshape(len(u), -1)

    read_from, pulses = asyncio.run(one())
    assert read_from.shape == (2, 24 if features == "latency" else 5 * 24)
    assert pulses.shape == (2, 5 * 16)
    assert not np.array_equal(pulses[0], pulses[1])


@pytest.mark.slow
async def test_tasks_run_on_a_platform_of_triggers_or_say_what_it_cannot_do(tmp_path: Path) -> None:
    def platform() -> NeuroplatformSubstrate:
        return NeuroplatformSubstrate(platform=Neuroplatform(PulsedCulture(32, delay=0.02)))  # it counts from 10 ms on

    made = await run("patterns", {"trials": "50", "missing": "0", "stray": "0", "classes": "4"}, tmp_path, platform())
    assert score(made, "substrate", "bar") == 1.0  # each pulse makes its electrode spike
    made = await run("cart-pole", {"rounds": "2", "episodes": "2"}, tmp_path, platform())
    assert score(made, "substrate", "trained") > made.outcome.chance
    for name, given_, said in (
        ("centre-of-activity", {}, r"20 Hz were asked for.*at most 4"),
        ("henon", {"encoding": "latency"}, "a step of .* takes 0.25 s"),
        ("henon", {"features": "rates"}, "does not say when they came"),
    ):
        with pytest.raises(ValueError, match=said):
            await run(name, given_, tmp_path, platform())


async def test_activity_is_reported_from_a_culture(tmp_path: Path) -> None:
    culture = "culture://?regime=bursting&neurons=300"
    by_itself = await run("spontaneous", {"seconds": "10"}, tmp_path, culture)
    name = "mean rate of active outputs (Hz)"
    assert score(by_itself, "substrate", name) == pytest.approx(score(by_itself, "spikes at random times", name))
    mapped = await run("response-map", {"electrodes": "2", "repeats": "2", "rest": "0.3"}, tmp_path, culture)
    assert score(mapped, "pulse of 1 of the limit", "spikes after it") > 2 * mapped.outcome.chance
    centred = await run("centre-of-activity", {"probes": "10", "seconds": "1", "rest": "0.2"}, tmp_path, culture)
    assert [s.on for s in centred.outcome.scores] == ["after high frequency", "after a pause"]


async def test_a_pole_is_balanced_through_a_substrate_that_says_what_it_is_given(tmp_path: Path) -> None:
    made = await run("cart-pole", {"rounds": "3", "episodes": "4", "electrodes": "4"}, tmp_path, neurons())
    assert score(made, "pulses alone", "trained") > made.outcome.chance + 0.3
    assert made.outcome.chance < 0.4
    assert made.outcome.exchanges.round_trips > 100


async def test_a_substrate_without_spikes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("spontaneous", "henon", "patterns", "timer", "cart-pole"):
        with pytest.raises(ValueError, match=r"gives no spikes.*culture://"):
            await run(name, {}, tmp_path, LeakySimulator(inputs=16))
    assert not list_of(tmp_path)
