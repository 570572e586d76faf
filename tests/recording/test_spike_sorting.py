"""What goes to SpikeInterface is what was recorded, and what comes back is what was sorted."""

from pathlib import Path

import numpy as np
import pytest

core = pytest.importorskip("spikeinterface.core")

from inmateria.recording import (  # noqa: E402
    Exchange,
    Note,
    RecordingError,
    RecordingWriter,
    open_recording,
    record_sorting,
    spikeinterface_recording,
)
from inmateria.recording.format import MARKER  # noqa: E402
from inmateria.substrate import Channel, Response, Stimulus, SubstrateInfo  # noqa: E402

RATE, SAMPLES = 1000.0, 10


def written(
    path: Path,
    values: np.ndarray,
    *,
    unit: str = "V",
    scale: float | None = None,
    breaks: dict[int, float] | None = None,
) -> Path:
    """Write a signal in exchanges of 5 steps of 10 samples; before some of them the device's clock makes a jump."""
    outputs = values.shape[1]
    info = SubstrateInfo(
        id="sorted-device",
        kind="culture",
        inputs=(Channel(name="in", unit="A", low=0.0, high=1.0),),
        outputs=tuple(Channel(name=f"e{k}", unit=unit, low=-1.0, high=1.0) for k in range(outputs)),
        step=SAMPLES / RATE,
        sampling_rate=RATE,
        spiking=False,
    )
    writer, start = RecordingWriter(path, info, {"operator": "me"}, scale=scale), 3.0
    for k, part in enumerate(values.reshape(-1, 5, SAMPLES, outputs)):
        start += (breaks or {}).get(k, 0.0)
        drive = np.full((5, 1), 0.1 * (k % 7))
        writer.append([Exchange(Stimulus(drive, info.step), Response(part, None, start, k), 0, 100.0 + k, 0.01)])
        if k == 1:
            writer.append([Note(MARKER, "light", {}, 101.0, start, exchange=2)])
        start += 5 * info.step
    writer.end()
    writer.close()
    return path


def noise(samples: int = 1000, outputs: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-5, (samples, outputs))


@pytest.mark.parametrize(("unit", "gain"), [("V", 1e6), ("mV", 1e3), ("uV", 1.0)])
def test_samples_gain_names_and_segments_are_those_of_the_recording(unit: str, gain: float, tmp_path: Path) -> None:
    values = noise()
    positions = np.array([[0.0, 0.0], [0.0, 20.0], [20.0, 0.0]])
    with open_recording(written(tmp_path / "a.h5", values, unit=unit, breaks={4: 0.5, 12: 1.0})) as recording:
        found = spikeinterface_recording(recording, positions=positions)
        assert found.channel_ids.tolist() == ["e0", "e1", "e2"]
        assert found.get_num_segments() == 3
        assert [found.get_num_samples(k) for k in range(3)] == [200, 400, 400]
        assert [found.get_start_time(k) for k in range(3)] == pytest.approx([3.0, 3.7, 5.1])
        assert np.array_equal(found.get_channel_locations(), positions)
        for segment, (low, high) in enumerate([(0, 200), (200, 600), (600, 1000)]):
            assert np.array_equal(found.get_traces(segment), values[low:high])
        part = found.get_traces(1, start_frame=7, end_frame=31, channel_ids=["e2", "e0"])
        assert np.array_equal(part, values[207:231][:, [2, 0]])
        assert found.get_traces(0, return_in_uV=True) == pytest.approx(gain * values[:200], rel=1e-6)


def test_counts_stay_counts(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).integers(-3000, 3000, (500, 2)).astype(np.int16)
    path = written(tmp_path / "a.h5", counts * 0.195e-6, scale=0.195e-6)
    with open_recording(path) as recording:
        found = spikeinterface_recording(recording)
        assert found.get_dtype() == np.int16
        assert np.array_equal(found.get_traces(), counts)
        assert found.get_channel_gains() == pytest.approx([0.195, 0.195])


def test_missing_samples_are_an_error_or_what_was_asked_for(tmp_path: Path) -> None:
    values = noise()
    values[300:317] = np.nan
    with open_recording(written(tmp_path / "a.h5", values)) as recording:
        found = spikeinterface_recording(recording)
        assert np.array_equal(found.get_traces(end_frame=300), values[:300])
        with pytest.raises(RecordingError, match=r"17 samples of .* are missing"):
            found.get_traces()
        filled = spikeinterface_recording(recording, fill=0.0).get_traces()
        assert np.array_equal(filled, np.nan_to_num(values, nan=0.0))


def test_units_come_back_at_their_samples_with_all_else_of_the_source(tmp_path: Path) -> None:
    source = written(tmp_path / "a.h5", noise(), breaks={4: 0.5})
    first = {"7": np.array([0, 49, 50, 199]), "b": np.array([50])}
    second = {"7": np.array([], dtype=int), "b": np.array([0, 799])}
    sorting = core.NumpySorting.from_unit_dict([first, second], RATE)
    with open_recording(source) as recording:
        record_sorting(sorting, recording, tmp_path / "units.h5", sorter="by hand")
        with open_recording(tmp_path / "units.h5") as units:
            assert [output.name for output in units.info.outputs] == ["unit-7", "unit-b"]
            assert (units.info.id, units.info.spiking, units.info.sampling_rate) == ("sorted-device", True, None)
            assert units.annotations == {"operator": "me", "sorting": {"sorter": "by hand", "units": ["7", "b"]}}
            assert units.finished
            assert [note.label for note in units.notes if note.kind == MARKER] == ["light"]
            assert np.array_equal(units.drive(), recording.drive())
            for one, other in zip(units, recording, strict=True):
                assert (one.response.start, one.sent, one.session) == (other.response.start, other.sent, other.session)
                assert one.response.spikes is not None
                inside = one.response.spikes["time"] - one.response.start
                assert ((inside >= 0) & (inside < one.stimulus.duration)).all()
            spikes = units.spikes()
    assert spikes["channel"].tolist() == [0, 0, 0, 1, 0, 1, 1]
    assert spikes["time"] == pytest.approx([3.0, 3.049, 3.05, 3.05, 3.199, 3.7, 4.499])


def test_what_cannot_be_handed_over_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", noise(100))
    amperes = written(tmp_path / "amperes.h5", noise(100), unit="A")
    with open_recording(amperes) as recording, pytest.raises(RecordingError, match="outputs that are no voltages"):
        spikeinterface_recording(recording)
    with open_recording(path) as recording:
        for units, rate, said in (
            ([{"a": np.array([5])}], 2 * RATE, "1 segments at 2000 Hz"),
            ([{"a": np.array([5])}] * 2, RATE, "2 segments at 1000 Hz"),
            ([{"a": np.array([5, 100])}], RATE, "unit a has a spike at sample 100 of segment 0"),
            ([{}], RATE, "has no unit"),
        ):
            with pytest.raises(RecordingError, match=said):
                record_sorting(core.NumpySorting.from_unit_dict(units, rate), recording, tmp_path / "b.h5")
        assert not (tmp_path / "b.h5").exists()
        sorting = core.NumpySorting.from_unit_dict([{"a": np.array([5])}], RATE)
        record_sorting(sorting, recording, tmp_path / "b.h5")
    with open_recording(tmp_path / "b.h5") as units, pytest.raises(RecordingError, match="has no signal to sort"):
        spikeinterface_recording(units)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_units_that_a_sorter_finds_come_back_to_the_sample(tmp_path: Path) -> None:
    from multiprocessing import resource_tracker

    from spikeinterface.preprocessing import bandpass_filter, common_reference
    from spikeinterface.sorters import run_sorter

    known, _ = core.generate_ground_truth_recording(
        durations=[4.0], num_channels=8, num_units=2, seed=0, sampling_frequency=RATE * 30
    )
    info = SubstrateInfo(
        id="truth",
        kind="culture",
        inputs=(Channel(name="in", unit="A", low=0.0, high=1.0),),
        outputs=tuple(Channel(name=f"e{k}", unit="uV", low=-1e3, high=1e3) for k in range(8)),
        step=0.01,
        sampling_rate=30 * RATE,
        spiking=False,
    )
    writer = RecordingWriter(tmp_path / "a.h5", info)
    for k, part in enumerate(known.get_traces().reshape(40, 10, 300, 8)):
        writer.append([Exchange(Stimulus(np.zeros((10, 1)), 0.01), Response(part, None, 0.1 * k, k), 0, 0.0, 0.0)])
    writer.end()
    writer.close()
    with open_recording(tmp_path / "a.h5") as recording:
        raw = spikeinterface_recording(recording, positions=known.get_channel_locations())
        clean = common_reference(bandpass_filter(raw, 300, 6000))
        saved = clean.save(folder=tmp_path / "clean", verbose=False, progress_bar=False)
        kmeans = {"n_clusters": 2, "random_state": 0}
        jobs = {"n_jobs": 1, "progress_bar": False}
        sorting = run_sorter(
            "simple", saved, folder=tmp_path / "sorted", clusterer="kmeans", clusterer_kwargs=kmeans, job_kwargs=jobs
        )
        record_sorting(sorting, recording, tmp_path / "units.h5", sorter="simple")
    with open_recording(tmp_path / "units.h5") as units:
        spikes = units.spikes()
        names = [output.name for output in units.info.outputs]
    samples = np.round(spikes["time"] * 30 * RATE).astype(int)
    back = {name: samples[spikes["channel"] == k] for k, name in enumerate(names)}
    resource_tracker._resource_tracker._stop()  # a process that the sorter started  # type: ignore[attr-defined]
    assert len(names) == 2
    assert len(spikes) > 50
    for unit in sorting.unit_ids:
        assert np.array_equal(back[f"unit-{unit}"], sorting.get_unit_spike_train(unit))
