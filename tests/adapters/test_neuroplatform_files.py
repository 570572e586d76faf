"""Exports of the platform, as pandas writes them, come back as neo's objects with nothing lost."""

from pathlib import Path

import numpy as np
import pytest

from inmateria.adapters.neuroplatform.files import is_export, read_export
from inmateria.recording import RecordingError, open_recording
from inmateria.recording.formats.importing import import_block

pd = pytest.importorskip("pandas")
pytest.importorskip("tables")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Write an export as the platform does: whole lives, times in UTC, rows in no particular order."""
    path = tmp_path / "fs300.hdf5"
    times = pd.to_datetime(
        ["2024-04-05T00:00:01.5Z", "2024-04-05T00:00:00.25Z", "2024-04-05T00:00:02.000033Z", "2024-04-05T00:10:00Z"],
        format="ISO8601",
    )
    events = pd.DataFrame(
        {"time_of_event": times, "electrode": [3, 3, 17, 3], "max_voltage_uv": [-60.0, -45.5, -80.25, -51.0]}
    )
    stimulations = pd.DataFrame(
        {
            "time_of_stim": pd.to_datetime(["2024-04-05T00:00:01Z", "2024-04-05T00:00:00Z"]),
            "electrode": [3, 17],
            "phase_amplitude1": [4.0, 2.0],
            "polarity": ["NegativeFirst", "PositiveFirst"],
        }
    )
    events.to_hdf(path, key="fs300_wholelife_events", format="table")
    stimulations.to_hdf(path, key="fs300_wholelife_stimulations", format="table")
    return path


def test_spikes_and_stimulations_are_all_there(export: Path) -> None:
    block = read_export(export)
    assert block.name == "fs300"
    assert block.rec_datetime.isoformat() == "2024-04-05T00:00:00"
    (segment,) = block.segments
    trains = {train.name: train for train in segment.spiketrains}
    assert list(trains) == ["e003", "e017"]
    assert trains["e003"].times.rescale("s").magnitude == pytest.approx([0.25, 1.5, 600.0], abs=1e-6)
    assert trains["e003"].array_annotations["max_voltage"].tolist() == [-45.5, -60.0, -51.0]
    assert trains["e017"].times.rescale("s").magnitude == pytest.approx([2.000033], abs=1e-6)
    (stimulations,) = segment.events
    assert stimulations.times.rescale("s").magnitude == pytest.approx([0.0, 1.0])
    assert stimulations.labels.tolist() == ["e017", "e003"]
    assert stimulations.array_annotations["phase_amplitude1"].tolist() == [2.0, 4.0]
    assert stimulations.array_annotations["polarity"].tolist() == ["PositiveFirst", "NegativeFirst"]


def test_an_export_in_two_files_is_one(export: Path, tmp_path: Path) -> None:
    parts = []
    for kind in ("events", "stimulations"):
        parts.append(tmp_path / f"{kind}.h5")
        pd.read_hdf(export, f"fs300_wholelife_{kind}").to_hdf(parts[-1], key=f"fs300_wholelife_{kind}")
    both, one = read_export(*parts), read_export(parts[0])
    assert len(both.segments[0].spiketrains) == len(one.segments[0].spiketrains) == 2
    assert len(both.segments[0].events) == 1
    assert not one.segments[0].events


def test_what_is_no_export_is_told(export: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist"):
        read_export(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("time,electrode\n")
    with pytest.raises(RecordingError, match="cannot be read as an export"):
        read_export(tmp_path / "text.h5")
    (tmp_path / "cut.h5").write_bytes(export.read_bytes()[:3000])
    with pytest.raises(RecordingError, match="cannot be read"):
        read_export(tmp_path / "cut.h5")
    other = pd.read_hdf(export, "fs300_wholelife_events")
    other.to_hdf(tmp_path / "other.h5", key="fs301_wholelife_events")
    with pytest.raises(RecordingError, match="hold tables of fs300, fs301"):
        read_export(export, tmp_path / "other.h5")
    other.drop(columns="max_voltage_uv").to_hdf(tmp_path / "less.h5", key="fs300_wholelife_events")
    with pytest.raises(RecordingError, match="events without max_voltage_uv"):
        read_export(tmp_path / "less.h5")
    np.testing.assert_equal(len(pd.read_hdf(export, "fs300_wholelife_events")), 4)


def test_an_export_becomes_a_recording_to_replay(export: Path, tmp_path: Path) -> None:
    assert is_export(export)
    told = import_block(read_export(export), tmp_path / "r.h5", kind="neural-culture")
    assert told.left_out == ("annotation 'max_voltage' of each spike",)
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.spikes()["time"].tolist() == pytest.approx([0.25, 1.5, 2.000033, 600.0], abs=1e-6)
        assert [recording.info.outputs[k].name for k in recording.spikes()["channel"]] == [
            "e003",
            "e003",
            "e017",
            "e003",
        ]
        first, second = recording.notes[:2]
    assert (first.label, first.details["phase_amplitude1"], first.details["polarity"]) == ("e017", 2.0, "PositiveFirst")
    assert (second.label, second.device) == ("e003", 1.0)
    assert not is_export(tmp_path / "r.h5")
    assert not is_export(tmp_path / "none.h5")
