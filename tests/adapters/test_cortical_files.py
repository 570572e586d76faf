"""Stims of any phases in the simulated culture, the source's samples, and recordings of the CL1's SDK."""

import pickle
import sys
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inmateria.adapters.cortical.files import is_recording, read_recording
from inmateria.adapters.cortical.phases import RECOVERY, balanced_pulses
from inmateria.cli import main
from inmateria.recording import RecordingError, open_recording


def current_at(pieces: list[tuple[float, float, float, float, float]], t: np.ndarray) -> np.ndarray:
    """Return the sum of what all pulses give at each time."""
    total = np.zeros_like(t)
    for start, first, length, second, second_length in pieces:
        turn = start + length
        total += first * ((t >= start) & (t < turn)) + second * ((t >= turn) & (t < turn + second_length))
    return total


PHASES = st.lists(
    st.tuples(st.integers(1, 150), st.integers(-150, 150)).filter(lambda each: abs(each[0] * each[1]) <= 7500),
    min_size=1,
    max_size=3,
)


@given(PHASES)
def test_pulses_are_the_stim_at_every_time_and_each_is_balanced(phases: list[tuple[int, int]]) -> None:
    durations, currents = [20e-6 * d for d, _ in phases], [20e-9 * c for _, c in phases]
    pieces = balanced_pulses(durations, currents)
    ends = np.cumsum(durations)
    for start, first, length, second, second_length in pieces:
        assert length > 0
        assert second_length > 0
        assert first * length == pytest.approx(-second * second_length, rel=1e-9)
        assert -1e-12 <= start < ends[-1]
    # In the middle of each 20 us of the stim; a recovery that goes on meanwhile is weak, and is all that may differ.
    t = np.arange(10e-6, ends[-1], 20e-6)
    wanted = np.array(currents)[np.searchsorted(ends, t, side="right")]
    recovery = [(s + d, 0.0, 0.0, c, e) for s, _, d, c, e in pieces if e == RECOVERY]
    spare = np.abs(current_at(recovery, t)).max(initial=0.0)
    assert np.abs(current_at(pieces, t) - wanted)[1:-1] == pytest.approx(0.0, abs=spare + 1e-15) or len(t) < 3


def test_three_phases_that_balance_are_two_pulses_and_what_is_left_is_taken_back_slowly() -> None:
    assert balanced_pulses([2e-4, 2e-4], [-1e-6, 1e-6]) == [(0.0, -1e-6, 2e-4, 1e-6, 2e-4)]
    two = balanced_pulses([1e-4, 1e-4, 1e-4], [-1e-6, 2e-6, -1e-6])
    assert np.allclose(two, [(0, -1e-6, 1e-4, 2e-6, 5e-5), (1.5e-4, 2e-6, 5e-5, -1e-6, 1e-4)], rtol=1e-9, atol=0)
    guide = balanced_pulses([160e-6, 320e-6, 160e-6], [-2e-6, 1e-6, -2e-6])  # leaves 320 pC behind
    assert len(guide) == 2
    assert guide[1] == pytest.approx((480e-6, -2e-6, 160e-6, 2e-6 * 160e-6 / RECOVERY, RECOVERY))
    assert len(balanced_pulses([2e-4], [-1e-6])) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="cl-sdk 1.0 needs Python 3.12")
def test_frames_are_the_cultures_samples_that_are_nearest_in_time() -> None:
    pytest.importorskip("cl")
    from cl.sim import DataSourceStim

    from inmateria.adapters.cortical.loop import make_culture
    from inmateria.adapters.cortical.source import culture_source

    place = "inmateria.simulators.culture.network:NeuralCulture"
    settings = {"electrodes": 64, "seed": 3, "neurons": 150}
    whole = make_culture(place, settings).run(0.5, voltage=True)
    source = culture_source(parameters={"seed": 3, "neurons": 150})
    source.open()
    batches, at = [], 1000
    for count in [5] * 100 + [250, 1000, 3, 2, 5000, 5, 1, 4, 735, 5000]:
        batches.append(source.read(at, count))
        assert batches[-1].frames.shape == (count, 64)
        at += count
    frames = np.concatenate([batch.frames for batch in batches])
    nearest = np.round(np.arange(len(frames)) * 1.2).astype(int)
    assert whole.voltage is not None
    assert np.abs(0.195e-6 * frames - whole.voltage[nearest]).max() <= 0.0976e-6
    spikes = [spike for batch in batches for spike in batch.spikes]
    assert [spike.channel for spike in spikes] == whole.spikes["channel"].tolist()
    for spike in spikes:
        first = spike.timestamp - 1000
        known = frames[max(0, first - 25) : first + 1, spike.channel]
        assert spike.samples.shape == (75,)
        assert spike.samples[26 - len(known) : 26] == pytest.approx(0.195 * known, abs=1e-3)
    source.on_stims([DataSourceStim(at + 10, 9, None, (160, 320, 160), (-2.0, 1.0, -2.0))])
    stimulated = source.read(at, 250).frames
    # The first phase is seen at its electrode, 1 mV for each uA, and its artefact is gone before it begins.
    assert np.abs(0.195 * stimulated[:9, 9]).max() < 500
    assert (0.195 * stimulated[11:14, 9]).mean() == pytest.approx(-2000, abs=300)


def recording(path: Path, **changed: object) -> Path:
    """Write a small recording as the SDK's PyTables does."""
    spike = np.dtype([("timestamp", "<i8"), ("channel", "u1"), ("samples", "<f4", (75,))])
    array = {b"nd": True, b"type": "<f8", b"shape": [2], b"data": np.array([1.5, 2]).tobytes()}
    entries = [msgspec.msgpack.encode(each) for each in ({"x": 1}, "text", array)]
    ends = np.cumsum([len(each) for each in entries])
    with h5py.File(path, "w") as file:
        attributes = {
            "frames_per_second": 25_000, "uV_per_sample_unit": 0.195, "channel_count": 64, "start_timestamp": 700,
            "duration_frames": 400, "system_id": np.bytes_("cl1-7"), "created_utc": np.bytes_("2026-01-02T03:04:05Z"),
            "application": np.bytes_(pickle.dumps({"a": [1, 2]}, protocol=0)),
            "file_format": np.bytes_(pickle.dumps({"stim_and_spike_timestamps_relative_to_start": True}, protocol=0)),
            **changed,
        }  # fmt: skip
        for name, value in attributes.items():
            file.attrs[name] = value
        rows = np.zeros(3, dtype=spike)
        rows["timestamp"], rows["channel"], rows["samples"][:, 30] = [10, 20, 399], [5, 6, 5], -40.0
        file["spikes"] = rows
        file["stims"] = np.array([(25, 9), (50, 10)], dtype=[("timestamp", "<i8"), ("channel", "u1")])
        file["samples"] = np.arange(300 * 64, dtype="<i2").reshape(300, 64)
        group = file.create_group("data_stream/ours")
        group.attrs["application"] = np.bytes_(pickle.dumps({"score": 3}, protocol=0))
        group["data"] = np.frombuffer(b"".join(entries), dtype="u1")
        index = [(700 + 10 * k, end - len(each), end) for k, (each, end) in enumerate(zip(entries, ends, strict=True))]
        group["index"] = np.array(index, dtype=[("timestamp", "<i8"), ("start_index", "<u8"), ("end_index", "<u8")])
    return path


def test_a_recording_is_read_with_all_that_it_holds(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5")
    assert is_recording(path)
    block = read_recording(path)
    segment = block.segments[0]
    samples = segment.analogsignals[0]
    assert samples.shape == (400, 64)  # as long as it states to be
    assert np.isnan(samples.magnitude[300:]).all()
    assert samples.magnitude[2, 3] == pytest.approx(0.195 * 131)
    trains = {each.name: each for each in segment.spiketrains}
    assert trains["e05"].magnitude == pytest.approx([10 / 25_000, 399 / 25_000])
    assert trains["e06"].waveforms.magnitude[0, 0, 30] == -40.0
    stimulation, ours = segment.events
    assert stimulation.labels.tolist() == ["e09", "e10"]
    assert stimulation.magnitude == pytest.approx([1e-3, 2e-3])
    assert ours.labels.tolist() == ['{"x": 1}', '"text"', "[1.5, 2.0]"]
    assert ours.magnitude == pytest.approx([0.0, 4e-4, 8e-4])
    assert (ours.annotations["application"], block.annotations["application"]) == ('{"score": 3}', '{"a": [1, 2]}')
    assert (block.name, str(block.rec_datetime)) == ("cl1-7", "2026-01-02 03:04:05")


def test_timestamps_of_the_device_count_from_the_start_of_the_recording(tmp_path: Path) -> None:
    absolute = np.bytes_(pickle.dumps({"version": 1}, protocol=0))
    block = read_recording(recording(tmp_path / "r.h5", file_format=absolute, start_timestamp=10))
    assert block.segments[0].spiketrains[0].magnitude[0] == 0.0


def test_code_in_a_recording_and_a_time_that_goes_back_are_refused(tmp_path: Path) -> None:
    evil = recording(tmp_path / "evil.h5", application=np.bytes_(b"cos\nsystem\n(S'true'\ntR."))
    assert read_recording(evil).annotations["application"].startswith('"cos')  # it is a text, never run
    named = pickle.dumps({"a": Path("x")}, protocol=0)
    with pytest.raises(RecordingError, match="could run code"):
        read_recording(recording(tmp_path / "named.h5", application=np.bytes_(named)))
    back = recording(tmp_path / "back.h5")
    with h5py.File(back, "r+") as file:
        file["stims"][...] = file["stims"][()][::-1]
    with pytest.raises(RecordingError, match="time of its stims goes back"):
        read_recording(back)
    with pytest.raises(RecordingError, match="does not exist"):
        read_recording(tmp_path / "none.h5")
    other = tmp_path / "other.h5"
    h5py.File(other, "w").close()
    with pytest.raises(RecordingError, match="no recording of the CL1"):
        read_recording(other)


def test_a_recording_is_imported_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = recording(tmp_path / "r.h5"), tmp_path / "imported.h5"
    monkeypatch.setattr(sys, "argv", ["inmateria", "import", str(path), str(made), "--yes"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    with open_recording(made) as ours:
        assert (ours.info.id, ours.info.sampling_rate) == ("cl1-7", 25_000)
        notes = [note.label for note in ours.notes]
        assert {"e09", "e10", '{"x": 1}'} <= set(notes)
        (exchange,) = list(ours)
        signal = exchange.response.signal
        assert np.isnan(signal.reshape(-1, signal.shape[-1])[300:, :64]).all()
        assert len(exchange.response.spikes) == 3
