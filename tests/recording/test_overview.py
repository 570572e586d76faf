"""Recordings drawn: no sample and no spike is lost, however many there are, and the figure says what it draws."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import RecordedSubstrate, open_recording, read_block
from inmateria.recording.envelopes import EnvelopeBuilder
from inmateria.recording.format import Exchange
from inmateria.recording.overview import overview
from inmateria.recording.panels import decimation_note, panels_of, short_names
from inmateria.recording.pictures import draw, plot
from inmateria.recording.spike_marks import SpikeCountsBuilder
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, SubstrateInfo


@st.composite
def parts(draw):
    """Samples in several parts, evenly spaced with gaps, some not read."""
    seed = draw(st.integers(0, 10_000))
    generator = np.random.default_rng(seed)
    time, found = 0.0, []
    for _ in range(draw(st.integers(1, 5))):
        count, period = draw(st.integers(0, 60)), draw(st.sampled_from([0.001, 0.01, 0.5]))
        values = generator.normal(size=(count, 2)) * draw(st.sampled_from([1e-12, 1.0, 1e9]))
        values[generator.random(values.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
        found.append((time + period * np.arange(count), values, np.full(count, period)))
        time += period * count + draw(st.sampled_from([0.0, 2.0]))
    return time, found


@given(parts(), st.integers(1, 40), st.sampled_from([0, 20, 1000]), st.booleans())
def test_an_envelope_holds_every_sample_and_nothing_beyond(recorded, bins, most, held):
    end, found = recorded
    builder = EnvelopeBuilder(0.0, end, 2, held=held, bins=bins, most=most)
    for times, values, lasting in found:
        builder.add(times, values, lasting)
    envelope = builder.envelope()
    times, values = np.concatenate([t for t, *_ in found]), np.concatenate([v for _, v, _ in found])
    assert envelope.samples == len(times)
    assert envelope.exact == (len(times) <= most)
    if envelope.exact:
        assert np.array_equal(envelope.times, times)
        assert np.array_equal(envelope.least, values, equal_nan=True)
        return
    for time, row in zip(times, values, strict=True):
        k = min(int(np.searchsorted(envelope.times, time + 1e-9, side="right")) - 1, bins - 1)
        near = slice(max(0, k - 1), k + 2)  # a sample on an edge is in the one bin or the other
        for column in np.flatnonzero(np.isfinite(row)):
            assert np.nanmin(envelope.least[near, column]) <= row[column] <= np.nanmax(envelope.greatest[near, column])
    for column in range(2):
        there = values[:, column][np.isfinite(values[:, column])]
        drawn = np.concatenate((envelope.least[:, column], envelope.greatest[:, column]))
        drawn = drawn[np.isfinite(drawn)]
        assert set(drawn) <= set(there)
        if len(there):
            assert (drawn.min(), drawn.max()) == (there.min(), there.max())


def test_a_held_value_is_in_every_bin_that_it_touches():
    builder = EnvelopeBuilder(0.0, 10.0, 1, held=True, bins=10, most=0)
    builder.add(np.array([0.0, 4.5]), np.array([[1.0], [2.0]]), np.array([4.5, 5.5]))
    envelope = builder.envelope()
    assert envelope.least[:, 0].tolist() == [1.0] * 5 + [2.0] * 5
    assert envelope.greatest[:, 0].tolist() == [1.0] * 4 + [2.0] * 6


@given(
    st.lists(st.tuples(st.floats(-1.0, 11.0), st.integers(0, 6)), max_size=200), st.integers(1, 30), st.integers(0, 100)
)
def test_no_spike_is_lost_in_a_raster(spikes, bins, most):
    builder = SpikeCountsBuilder(0.0, 10.0, 7, bins=bins, most=most)
    for begin in range(0, len(spikes), 50):
        part = spikes[begin : begin + 50]
        builder.add(np.array([t for t, _ in part]), np.array([c for _, c in part], dtype=np.uint32))
    counts = builder.counts()
    assert counts.total == len(spikes)
    assert counts.counts.sum(axis=0).tolist() == [sum(c == k for _, c in spikes) for k in range(7)]
    assert (counts.times is None) == (len(spikes) > most)
    # The marks of all levels cover every bin that has a spike, and no other.
    marked = np.zeros_like(counts.counts, dtype=bool)
    for least, greatest in ((1, 1), (2, 3), (4, np.inf)):
        for channel, begin, end in counts.runs(least, greatest):
            marked[round(begin / counts.period) : round(end / counts.period), int(channel)] = True
    assert np.array_equal(marked, counts.counts > 0)


def info_of(outputs: int, name: str = "{}", rate: float = 1000.0) -> SubstrateInfo:
    return SubstrateInfo(
        id="dish", kind="culture", step=0.01, sampling_rate=rate, spiking=True,
        inputs=tuple(Channel(name=name.format(f"i{k}"), unit="A", low=-1, high=1) for k in range(3)),
        outputs=tuple(Channel(name=name.format(f"o{k}"), unit="V", low=-9, high=9) for k in range(outputs)),
    )  # fmt: skip


def write(path: Path, info: SubstrateInfo, exchanges: int, steps: int, spikes: int) -> tuple[np.ndarray, np.ndarray]:
    """Write a recording of noise with one high sample and some spikes, and return signal and spikes."""
    generator = np.random.default_rng(1)
    each, outputs = round(info.step * (info.sampling_rate or 0)), len(info.outputs)
    signals, trains, items = [], [], []
    for k in range(exchanges):
        signal = generator.normal(size=(steps, each, outputs))
        if k == exchanges // 2:
            signal[steps // 2, each // 2, 0] = 77.0
        start = k * steps * info.step
        train = np.zeros(spikes, dtype=SPIKE)
        train["time"] = np.sort(generator.uniform(start, start + steps * info.step, spikes))
        train["channel"] = generator.integers(0, outputs, spikes)
        drive = generator.uniform(-1, 1, (steps, 3))
        items.append(Exchange(Stimulus(drive, info.step), Response(signal, train, start, k), 0, 0.0, 0.001))
        signals.append(signal.reshape(-1, outputs))
        trains.append(train)
    writer = RecordingWriter(path, info)
    writer.append(items)
    writer.end()
    writer.close()
    return np.concatenate(signals), np.concatenate(trains)


def test_a_lone_sample_and_every_spike_of_200_seconds_are_drawn(tmp_path):
    signal, spikes = write(tmp_path / "r.h5", info_of(4), 40, 500, 1000)
    with open_recording(tmp_path / "r.h5") as recording:
        of = overview(recording)
        assert of.signal is not None
        assert of.spikes is not None
        assert (of.end - of.begin, of.steps, of.signal.samples) == (pytest.approx(200.0), 20_000, 200_000)
        assert np.nanmax(of.signal.greatest) == 77.0
        assert of.spikes.total == len(spikes) == 40_000
        assert np.array_equal(of.spikes.counts.sum(axis=0), np.bincount(spikes["channel"], minlength=4))
        assert of.deviation == pytest.approx(signal.std(axis=0))
        assert "200,000 samples of the response, the least and the greatest value in each 667 ms" in decimation_note(of)
        panels = panels_of(recording.info, of)
        assert "to 77 V" in panels[1].text()
        assert "40,000 spikes of 4 outputs, 4 of which had some; 200 a second" in panels[2].text()
        figure = draw(recording)
    lines = [line for ax in figure.axes for line in ax.lines]
    assert max(len(line.get_xdata()) for line in lines) <= 4000
    assert figure.axes[-1].get_xlim() == pytest.approx((0.0, 200.0))
    assert "the least and the greatest" in figure.get_supxlabel()


def test_traces_are_those_that_neo_reads(tmp_path):
    write(tmp_path / "r.h5", info_of(3), 2, 20, 30)
    (segment,) = read_block(tmp_path / "r.h5").segments
    with open_recording(tmp_path / "r.h5") as recording:
        stimulus, response, spikes = panels_of(recording.info, overview(recording))
    for panel, signal in zip((stimulus, response), segment.analogsignals, strict=True):
        _, rows = panel.rows()
        assert np.array_equal(np.array(rows)[:, 1:], signal.magnitude)
        assert np.array(rows)[:, 0] == pytest.approx(signal.times.rescale("s").magnitude)
    _, rows = spikes.rows()
    for train, channel in zip(segment.spiketrains, recording.info.outputs, strict=True):
        assert [time for time, name in rows if name == channel.name] == train.magnitude.tolist()


def test_500_channels_with_long_names_are_drawn_without_a_warning(tmp_path):
    long = "array-2026-11-27_plate-03_well-B2_{:_<24}_electrode_after_amplification"
    write(tmp_path / "r.h5", info_of(500, long, 100.0), 2, 50, 5000)
    with warnings.catch_warnings(), open_recording(tmp_path / "r.h5") as recording:
        warnings.simplefilter("error")
        plot(recording, tmp_path / "p.svg")
        figure = draw(recording)
        note = figure.get_supxlabel().replace("\n", " ")
    assert "Of 500 outputs in V, 8 are drawn, evenly chosen." in note
    assert "Each mark is a spike." in note
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert len(set(labels)) == 8
    assert max(map(len, labels)) <= 18
    assert figure.get_size_inches()[1] < 12


def test_a_section_of_a_long_exchange_is_drawn_in_its_own_bins(tmp_path):
    signal, spikes = write(tmp_path / "r.h5", info_of(2), 1, 10_000, 5000)
    with open_recording(tmp_path / "r.h5") as recording:
        of = overview(recording, window=(50.0, 50.1))
    assert of.signal is not None
    assert of.spikes is not None
    assert of.signal.exact
    assert np.array_equal(of.signal.least, signal[50_000:50_100])
    inside = (spikes["time"] >= 50.0) & (spikes["time"] < 50.1)
    assert of.spikes.total == inside.sum()
    assert of.seconds == pytest.approx(0.1)


async def test_sessions_follow_one_another_and_inputs_at_rest_are_told(tmp_path):
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), tmp_path / "r.h5") as substrate:
        for value in (0.0, 0.5):
            drive = np.zeros((5, 3))
            drive[:, 1] = value
            await substrate.stimulate(Stimulus(drive, 0.01))
            await substrate.reset()
    with open_recording(tmp_path / "r.h5") as recording:
        of = overview(recording, in_turn=True)
        panel = panels_of(recording.info, of)[0]
    assert (of.sessions, of.begin, of.end) == (2, 0.0, pytest.approx(0.1))
    assert np.all(np.diff(of.drive.times) > 0)
    assert of.pulses.tolist() == [0, 5, 0]
    assert of.driven == pytest.approx([0.0, 0.5 / np.sqrt(2), 0.0])
    assert panel.note() == "Of 3 inputs in V, only the one that changes is drawn."


def test_names_are_cut_in_the_middle_and_stay_different():
    names = [f"{'a' * 40}{k}{'b' * 40}" for k in range(3)]
    assert len(set(short_names(names))) == 3
    assert short_names(["e1", "e2"]) == ["e1", "e2"]
    assert short_names(["begin-" + "x" * 60 + "-end7"]) == ["begin-xx…xxxx-end7"]
