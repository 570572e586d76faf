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
from nwbinspector import Importance, InspectorMessage, inspect_nwbfile, load_config

from inmateria.adapters import connect
from inmateria.recording import (
    Exchange,
    Note,
    RecordingError,
    RecordingWriter,
    open_recording,
    read_block,
)
from inmateria.recording.formats.export import export
from inmateria.recording.formats.nwb import _leaves, from_leaves
from inmateria.substrate import SPIKE, Channel, Layout, Response, Stimulus

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CULTURE = {"culture_id": "org 1/a", "culture_type": "organoid", "sample_label": "line A", "species": "Homo sapiens"}
EXPERIMENT = {"experiment_id": "e1", "age_at_recording": "P90D", "recording_platform": "simulated"}
LIFELESS = {"subject": {"species": "none"}, "spike_resolution": 1e-3}
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


def assert_valid(path: Path) -> None:
    """pynwb's validator and nwbinspector, as DANDI configures it, find nothing."""
    assert pynwb.validate(path=str(path)) == []
    assert [(m.check_function_name, m.message) for m in dandi_messages(path)] == []


def dandi_messages(path: Path) -> list[InspectorMessage]:
    found = inspect_nwbfile(nwbfile_path=str(path), config=load_config("dandi"))
    return [m for m in found if m.importance.value >= Importance.BEST_PRACTICE_VIOLATION.value]


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
    annotations = {"culture": CULTURE, "experiment": EXPERIMENT, "spike_resolution": 1e-3, "list": [1, "two", {}]}
    write(tmp_path / "r.h5", spiking=spiking, scale=scale, annotations=annotations)
    told = export(tmp_path / "r.h5", tmp_path / "r.nwb")
    assert (told.paths, told.missing) == ((tmp_path / "r.nwb",), ())
    assert_valid(tmp_path / "r.nwb")
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


def test_many_sessions_are_in_one_file_on_one_clock(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", sessions=3, annotations=LIFELESS)
    (path,) = export(tmp_path / "r.h5", tmp_path / "r.nwb").paths
    assert list(tmp_path.glob("*.nwb")) == [path]
    assert_valid(path)
    with open_recording(tmp_path / "r.h5") as recording, pynwb.NWBHDF5IO(str(path), "r") as reader:
        file, rows = reader.read(), recording.exchanges
        sessions, exchanges = file.intervals["sessions"], file.intervals["exchanges"]
        shift = sessions["shift"][:]
        # The host sent the first exchange of each session 3 s after that of the session before.
        assert shift == pytest.approx([0.0, 3.0, 6.0], abs=1e-4)
        assert np.array_equal(exchanges["device_start"][:], rows["start"])
        assert np.array_equal(exchanges["session"][:], rows["session"])
        assert np.array_equal(exchanges["start_time"][:], rows["start"] + shift[rows["session"]])
        assert (np.diff(exchanges["start_time"][:]) > 0).all()
        for part in range(6):
            session, second = divmod(part, 2)
            first, last = 30 * session + 20 * second, 30 * session + 20 + 10 * second
            series = file.stimulus[f"stimulus_V_{part}"]
            assert np.array_equal(series.data[:], recording.drive(first, last))
            assert series.starting_time == rows["start"][first] + shift[session]
        spikes = recording.spikes()
        of = np.repeat(rows["session"], rows["spikes"].astype(int))
        for column in range(4):
            mine = spikes["channel"] == column
            assert np.array_equal(file.units["spike_times"][column], np.sort(spikes["time"][mine] + shift[of[mine]]))
        notes = [note for note in recording.notes if note.kind == "marker"]
        table = file.events["notes"]
        columns = (table[name][:] for name in ("session", "label", "timestamp"))
        at = {(session, label): time for session, label, time in zip(*columns, strict=True)}
        for note in notes:
            assert at[note.session, note.label] == note.device + shift[note.session]


def test_sessions_that_the_host_saw_at_once_do_not_overlap(tmp_path: Path) -> None:
    simulator = LeakySimulator(spiking=True)
    writer = RecordingWriter(tmp_path / "r.h5", simulator.info, LIFELESS)
    for session in range(8):
        simulator.reset()
        stimulus = Stimulus(np.full((100, 3), 0.4), 0.01)
        writer.append([Exchange(stimulus, simulator.advance(stimulus), session, SENT + 1e-3 * session, 1e-3)])
    writer.end()
    export(tmp_path / "r.h5", tmp_path / "r.nwb")
    assert_valid(tmp_path / "r.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as reader:
        sessions = reader.read().intervals["sessions"]
        assert sessions["start_time"][:] == pytest.approx(np.arange(8.0))
        assert (sessions["start_time"][1:] >= sessions["stop_time"][:-1]).all()


def test_spikes_are_sorted_whatever_their_order(tmp_path: Path) -> None:
    info = LeakySimulator(spiking=True).info
    writer = RecordingWriter(tmp_path / "r.h5", info, LIFELESS)
    times = np.random.default_rng(0).permutation(np.arange(50) * 1e-3)
    spikes = np.array([(time, number % 2) for number, time in enumerate(times)], SPIKE)
    stimulus = Stimulus(np.zeros((5, 3)), 0.01)
    writer.append([Exchange(stimulus, Response(np.zeros((5, 2, 4)), spikes, 0.0, 0), 0, SENT, 1e-3)])
    writer.end()
    export(tmp_path / "r.h5", tmp_path / "r.nwb")
    assert_valid(tmp_path / "r.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as reader:
        units = reader.read().units
        for column in range(2):
            assert np.array_equal(units["spike_times"][column], np.sort(times[column::2]))


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


SUBJECT = {"subject": {"species": "Rattus norvegicus", "sex": "F", "age": "P90D", "description": "adult, wild type"}}
SOURCES = {
    "nanowire": ("nanowire://?wires=40&seed=1", {}, {}),
    "real nanowire": ("nanowire://?wires=40&seed=1", {"id": "nwn-7", "identity": "user"}, {}),
    "echo": ("echo://?units=10", {}, {}),
    "culture": ("culture://?neurons=100", {}, {"spike_resolution": 1e-4}),
    "real culture": (
        "culture://?neurons=100", {"id": "dish-7", "identity": "user"}, SUBJECT | {"spike_resolution": 1e-4}
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
async def test_dandi_takes_a_recording_of_whatever_matter(tmp_path: Path, source: str) -> None:
    uri, changed, metadata = SOURCES[source]
    async with connect(uri) as substrate:
        info = msgspec.structs.replace(substrate.info, **changed)
        writer = RecordingWriter(tmp_path / "r.h5", info)
        stimulus = info.stimulus(info.rest_drive(80))
        for session in range(2):
            writer.append([Exchange(stimulus, await substrate.stimulate(stimulus), session, SENT + session, 1e-3)])
            await substrate.reset()
        writer.end()
    told = export(tmp_path / "r.h5", tmp_path / "r.nwb", metadata=metadata)
    assert told.missing == ()
    assert_valid(tmp_path / "r.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as reader:
        subject = reader.read().subject
        assert ("Not a living being" in subject.description) == ("subject" not in metadata)
        assert subject.species == metadata.get("subject", {}).get("species", subject.species)


def test_what_dandi_lacks_is_said_with_the_way_to_give_it(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", spiking=False)
    told = export(tmp_path / "r.h5", tmp_path / "r.nwb")
    lacks = ("a subject's species, such as --meta", "a subject's sex: --meta", "a subject's age: --meta")
    assert len(told.missing) == len(lacks)
    assert all(lack in each for lack, each in zip(lacks, told.missing, strict=True))
    found = {message.check_function_name for message in dandi_messages(tmp_path / "r.nwb")}
    assert found == {"check_subject_exists"}
    given = {"subject": {"species": "Rattus norvegicus", "sex": "U", "date_of_birth": "2023-01-01T00:00:00+00:00"}}
    assert export(tmp_path / "r.h5", tmp_path / "s.nwb", metadata=given).missing == ()
    assert_valid(tmp_path / "s.nwb")


def test_metadata_go_where_nwb_has_them(tmp_path: Path) -> None:
    write(tmp_path / "r.h5", annotations={"lab": "other", "subject": {"species": "Rattus rattus", "sex": "F"}})
    metadata = {
        "session_description": "evening", "experiment_description": "slow waves", "experimenter": ["Volta, Alessandro"],
        "institution": "Pavia", "lab": "battery", "keywords": ["frogs"], "session_id": "s-1",
        "session_start_time": "2023-11-14T23:00:00+01:00", "notes": "rain", "related_publications": ["doi:10.1/x"],
        "subject": {"age": "P1D/P3D", "subject_id": "m7", "strain": "x", "weight": "0.02 kg", "genotype": "wt",
                    "age_reference": "gestational"},
        "spike_resolution": 5e-5,
    }  # fmt: skip
    export(tmp_path / "r.h5", tmp_path / "r.nwb", metadata=metadata)
    assert_valid(tmp_path / "r.nwb")
    suggestions = inspect_nwbfile(nwbfile_path=str(tmp_path / "r.nwb"), config=load_config("dandi"))
    names = {each.check_function_name for each in suggestions}
    assert not names & {"check_experimenter_exists", "check_experimenter_form", "check_institution", "check_keywords"}
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as reader:
        file = reader.read()
        for name in ("session_description", "experiment_description", "institution", "lab", "session_id", "notes"):
            assert getattr(file, name) == metadata[name]
        assert list(file.experimenter) == ["Volta, Alessandro"]
        assert list(file.keywords[:]) == ["frogs"]
        assert file.session_start_time == datetime.fromisoformat("2023-11-14T22:00:00+00:00")
        subject = file.subject
        assert (subject.species, subject.sex, subject.age, subject.age__reference) == (
            "Rattus rattus", "F", "P1D/P3D", "gestational"
        )  # fmt: skip
        assert (subject.subject_id, subject.strain, subject.weight, subject.genotype) == ("m7", "x", "0.02 kg", "wt")
        assert file.units.resolution == 5e-5
