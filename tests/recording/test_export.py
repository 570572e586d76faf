"""What is exported reads back equal, with the readers of those formats; validators find nothing amiss."""

import builtins
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import neo
import numpy as np
import pynwb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator
from nwbinspector import Importance, inspect_nwbfile

from inmateria.recording import Exchange, Note, RecordingError, RecordingWriter, open_recording, read_block
from inmateria.recording.formats.export import export
from inmateria.recording.formats.nwb import _leaves, from_leaves
from inmateria.substrate import Channel, Layout, Response, Stimulus

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CULTURE = {"culture_id": "org 1/a", "culture_type": "organoid", "sample_label": "line A", "species": "Homo sapiens"}
EXPERIMENT = {"experiment_id": "e1", "age_at_recording": "P90D", "recording_platform": "simulated"}
SENT = 1.7e9


def write(
    path: Path, sessions: int = 1, spiking: bool = True, scale: Any = None, annotations: dict[str, Any] | None = None
) -> None:
    """Record some exchanges with markers, a change of step and a gap in each session."""
    simulator = LeakySimulator(spiking=spiking)
    layout = Layout(unit="mm", electrodes={"o0": (0.1, 0.2)})
    info = msgspec.structs.replace(simulator.info, layout=layout)
    writer = RecordingWriter(path, info, annotations, scale=scale)
    generator = np.random.default_rng(0)
    sent = SENT
    for session in range(sessions):
        simulator.reset()
        for number in range(30):
            stimulus = Stimulus(generator.uniform(-1, 1, (4, 3)), 0.01 if number < 20 else 0.02)
            response = simulator.advance(stimulus)
            if scale is not None:
                counts = np.rint(np.asarray(response.signal) * 100).astype(np.int16)
                response = Response(
                    counts * np.broadcast_to(scale, 4), response.spikes, response.start, response.sequence
                )
            sent += 0.1
            writer.append([Exchange(stimulus, response, session, sent, 1e-3)])
            if number % 10 == 3:
                late = response.start + stimulus.duration
                writer.append([
                    Note("marker", f"m{number}", {"by": [1, {"x": None}]}, sent, late, 0.5 * (number == 13), session)
                ])  # fmt: skip
    writer.append([Note("parameters", "gain", {"gain": 2.0}, sent, float("nan"), 0.0, sessions - 1)])
    writer.end()


def assert_same_annotations(mine: Any, its: Any) -> None:
    for key, value in mine.items():
        assert np.array_equal(np.asarray(value), np.asarray(its[key])), key


def test_nix_gives_the_whole_block_back(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", sessions=2, annotations={"note": "é"})
    told = export(tmp_path / "r.h5", tmp_path / "r.nix")
    assert told.paths == (tmp_path / "r.nix",)
    assert told.left_out == ("the checksum of each exchange",)
    mine = read_block(tmp_path / "r.h5")
    with neo.NixIO(str(tmp_path / "r.nix"), mode="ro") as file:
        its = file.read_block()
    assert (its.name, its.rec_datetime.replace(tzinfo=UTC)) == (mine.name, mine.rec_datetime.replace(microsecond=0))
    assert_same_annotations(mine.annotations, its.annotations)
    assert len(mine.segments) == len(its.segments) == 4
    for segment, other in zip(mine.segments, its.segments, strict=True):
        assert segment.name == other.name
        for kind in ("analogsignals", "spiketrains", "events", "epochs"):
            ours, theirs = getattr(segment, kind), getattr(other, kind)
            assert len(ours) == len(theirs)
            for one, two in zip(ours, theirs, strict=True):
                assert one.name == two.name
                assert one.units == two.units
                assert np.array_equal(one.magnitude, two.magnitude)
                assert_same_annotations(one.array_annotations, two.array_annotations)
                for field in ("sampling_rate", "t_start", "t_stop"):
                    if hasattr(one, field) and getattr(one, field) is not None:
                        assert getattr(one, field) == getattr(two, field)
                for field in ("labels", "durations"):
                    if hasattr(one, field):
                        assert np.array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize(("spiking", "scale"), [(False, None), (True, 0.25), (True, [0.25, 0.5, 0.125, 0.5])])
def test_nwb_is_valid_and_reads_back_equal(tmp_path: Path, spiking: bool, scale: Any) -> None:
    annotations = {"culture": CULTURE, "experiment": EXPERIMENT, "list": [1, "two", {}]}
    write(tmp_path / "r.h5", spiking=spiking, scale=scale, annotations=annotations)
    told = export(tmp_path / "r.h5", tmp_path / "r.nwb")
    assert told.paths == (tmp_path / "r.nwb",)
    assert pynwb.validate(path=str(tmp_path / "r.nwb")) == []
    worst = [m for m in inspect_nwbfile(nwbfile_path=str(tmp_path / "r.nwb")) if m.importance == Importance.CRITICAL]
    assert worst == []
    with open_recording(tmp_path / "r.h5") as recording, pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as reader:
        file = reader.read()
        rows = recording.exchanges
        signal, drive = recording.signal(), recording.drive()
        for part, (first, last) in enumerate(((0, 20), (20, 30))):
            stimulus = file.stimulus[f"stimulus_V_{part}"]
            assert np.array_equal(stimulus.data[:], drive[4 * first : 4 * last])
            assert (stimulus.starting_time, stimulus.rate) == (rows["start"][first], [100.0, 50.0][part])
            assert (stimulus.unit, stimulus.conversion) == ("volts", 1.0)
            begin, end = (
                int(rows["first_sample"][first]),
                int(rows["first_sample"][last - 1] + rows["samples"][last - 1]),
            )
            for unit, columns, base in (("V", [0, 2], 1.0), ("uA", [1, 3], 1e-6)):
                series = file.acquisition[f"response_{unit}_{part}"]
                assert series.rate == 200.0
                values = series.data[:] * (series.conversion / base)
                assert np.array_equal(values, signal[begin:end, columns])
                alike = scale is not None and len({np.broadcast_to(scale, 4)[column] for column in columns}) == 1
                assert series.data.dtype == (np.int16 if alike else np.float64)
        assert isinstance(file.acquisition["response_V_0"], pynwb.ecephys.ElectricalSeries) == spiking
        if spiking:
            spikes = recording.spikes()
            for column in range(4):
                times = spikes["time"][spikes["channel"] == column]
                assert np.array_equal(file.units["spike_times"][column], times)
            assert list(file.units["channel_name"]) == ["o0", "o1", "o2", "o3"]
            assert file.electrodes["rel_x"][0] == pytest.approx(100.0)
        exchanges = file.intervals["exchanges"]
        for name, field in (("start_time", "start"), ("sequence",) * 2, ("sent",) * 2, ("round_trip",) * 2):
            assert np.array_equal(exchanges[name][:], rows[field])
        notes = [note for note in recording.notes if note.kind != "end"]
        table = file.events["notes"]
        assert list(table["label"][:]) == [note.label for note in notes]
        assert np.array_equal(table["duration"][:], [note.duration for note in notes])
        assert np.array_equal(table["timestamp"][:3], [note.device for note in notes[:3]])
        told_of = file.processing["recording"]["note_details"]
        for row, note in enumerate(notes):
            mine = np.flatnonzero(told_of["note"][:] == row)
            assert from_leaves([(told_of["place"][at], told_of["json"][at]) for at in mine]) == note.details
        leaves = file.processing["recording"]["recording"]
        document = from_leaves(zip(leaves["place"][:], leaves["json"][:], strict=True))
        assert document["annotations"] == annotations
        assert msgspec.convert(document["info"], type(recording.info)) == recording.info
        assert document["software"] == recording.software
        assert file.subject.culture.culture_type == "organoid"
        assert file.subject.culture.culture_id == "org 1/a"
        assert file.lab_meta_data["experiment"].recording_platform == "simulated"
        began = datetime.fromtimestamp(rows["sent"][0] - rows["start"][0], UTC)
        assert file.session_start_time == began


def test_nwb_takes_a_file_for_each_return_to_rest(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", sessions=2)
    told = export(tmp_path / "r.h5", tmp_path / "r.nwb")
    assert [path.name for path in told.paths] == ["r-0000.nwb", "r-0001.nwb"]
    names = set()
    for path in told.paths:
        assert pynwb.validate(path=str(path)) == []
        with pynwb.NWBHDF5IO(str(path), "r") as reader:
            file = reader.read()
            names.add(file.identifier)
            assert file.stimulus["stimulus_V_0"].starting_time == 0.0
    assert len(names) == 2


def test_neo_reads_the_nwb_of_what_is_no_tissue(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", spiking=False)
    export(tmp_path / "r.h5", tmp_path / "r.nwb")
    (block,) = neo.io.NWBIO(str(tmp_path / "r.nwb"), "r").read_all_blocks()
    signals = {signal.name: signal for segment in block.segments for signal in segment.analogsignals}
    with open_recording(tmp_path / "r.h5") as recording:
        assert np.array_equal(signals["stimulus_V_0"].magnitude, recording.drive(0, 20))


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "r.h5", annotations={"culture": {"culture_id": "c", "age": "P1D"}})
    with pytest.raises(RecordingError, match=r"use \.nix or \.nwb"):
        export(tmp_path / "r.h5", tmp_path / "r.csv")
    (tmp_path / "there.nix").write_bytes(b"precious")
    with pytest.raises(RecordingError, match="never overwrites"):
        export(tmp_path / "r.h5", tmp_path / "there.nix")
    with pytest.raises(RecordingError, match="culture or the experiment cannot be written"):
        export(tmp_path / "r.h5", tmp_path / "r.nwb")
    RecordingWriter(tmp_path / "empty.h5", LeakySimulator().info).end()
    with pytest.raises(RecordingError, match="no exchanges"):
        export(tmp_path / "empty.h5", tmp_path / "e.nwb")
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "inmateria.recording.formats.nwb":
            raise ImportError("No module named 'pynwb'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(RecordingError, match=r"pip install \"inmateria\[nwb\]\""):
        export(tmp_path / "r.h5", tmp_path / "r.nwb")


KEYS = st.text("ab~/-0.", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@settings(deadline=None)
@given(JSON)
def test_a_json_document_comes_together_again(document: Any) -> None:
    assert from_leaves(_leaves(document)) == document


@pytest.mark.parametrize("unit", ["1", "uV", "kohm", "mA", "daV", "m", "cd", "mol", "Gy", "nS", "s"])
def test_lazy_and_eager_are_the_same_in_any_unit(tmp_path: Path, unit: str) -> None:
    info = LeakySimulator().info
    outputs = tuple(Channel(name=f"o{k}", unit=unit, low=-100, high=100) for k in range(4))
    simulator = LeakySimulator()
    writer = RecordingWriter(tmp_path / "r.h5", msgspec.structs.replace(info, outputs=outputs), provenance={})
    for _ in range(5):
        stimulus = Stimulus(np.full((3, 3), 0.4), 0.01)
        writer.append([Exchange(stimulus, simulator.advance(stimulus), 0, 0.0, 0.0)])
    writer.end()
    eager = read_block(tmp_path / "r.h5").segments[0].analogsignals[1]
    lazy = read_block(tmp_path / "r.h5", lazy=True).segments[0].analogsignals[1]
    assert lazy.shape == eager.shape
    assert np.array_equal(lazy.load().magnitude, eager.magnitude)
    assert lazy.load().units == eager.units
    part = lazy.load(time_slice=(eager.t_start + eager.duration / 3, None), channel_indexes=[2])
    assert np.array_equal(part.magnitude, eager.magnitude[10:, [2]])
