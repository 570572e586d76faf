"""Other people's files become recordings to replay: neo's formats, and tables of measurements."""

from contextlib import aclosing
from pathlib import Path

import neo
import numpy as np
import pytest
import quantities as pq

from inmateria.adapters import ReplaySubstrate
from inmateria.recording import RecordingError, open_recording, read_block
from inmateria.recording.formats.importing import import_block, import_file
from inmateria.recording.formats.measurements import import_measurement
from inmateria.substrate import Stimulus


def block(segments: int = 1, stimulus: bool = True, trains: int = 0) -> neo.Block:
    generator = np.random.default_rng(0)
    made = neo.Block(name="slice 3", description="a slice")
    for index in range(segments):
        segment = neo.Segment(index=index)
        if stimulus:
            segment.analogsignals.append(
                neo.AnalogSignal(generator.normal(size=(250, 2)), units="nA", sampling_rate=1 * pq.kHz, name="stimulus")
            )
        segment.analogsignals.append(
            neo.AnalogSignal(
                generator.normal(size=(1000, 3)), units="mV", sampling_rate=4 * pq.kHz, name="membrane",
                t_start=0 * pq.ms, array_annotations={"channel_names": ["a", "b", "b"]},
            )
        )  # fmt: skip
        segment.analogsignals.append(
            neo.AnalogSignal(generator.normal(size=(10, 1)), units="degC", sampling_rate=40 * pq.Hz, name="bath")
        )
        for unit in range(trains):
            times = np.sort(generator.uniform(0, 0.25, 7))
            segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=0.25 * pq.s, name=f"unit {unit}"))
        segment.events.append(neo.Event([10.0, 20.0] * pq.ms, labels=["on", "off"], name="light"))
        segment.epochs.append(neo.Epoch([0.1] * pq.s, durations=[50.0] * pq.ms, labels=["drug"], name="bath"))
        made.segments.append(segment)
    return made


async def replayed(path: Path, drive: np.ndarray, step: float, at_once: int = 37) -> tuple[np.ndarray, np.ndarray]:
    parts = [Stimulus(drive[first : first + at_once], step) for first in range(0, len(drive), at_once)]
    async with ReplaySubstrate(path) as substrate, aclosing(substrate.stream(parts)) as responses:
        got = [response async for response in responses]
    signal = np.concatenate([np.reshape(each.signal, (-1, len(substrate.info.outputs))) for each in got])
    return signal, np.concatenate([each.spikes for each in got if each.spikes is not None] or [np.empty(0)])


async def test_a_block_is_replayed_as_it_was_recorded(tmp_path: Path) -> None:
    theirs = block()
    told = import_block(theirs, tmp_path / "r.h5", kind="brain-slice")
    assert told.exchanges == 3
    assert told.left_out == ("signal 'bath' at 40.0 Hz from 0.0 s",)
    drive, membrane, _ = theirs.segments[0].analogsignals
    signal, _ = await replayed(tmp_path / "r.h5", drive.magnitude, 0.001)
    assert np.array_equal(signal, membrane.magnitude)
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
        assert (info.id, info.kind, info.step, info.sampling_rate) == ("slice-3", "brain-slice", 0.001, 4000.0)
        assert [channel.unit for channel in (*info.inputs, *info.outputs)] == ["nA"] * 2 + ["mV"] * 3
        assert [channel.name for channel in info.outputs] == ["a", "b", "b'"]
        notes = [(note.label, note.device, note.duration) for note in recording.notes[:-1]]
    assert notes == [("on", 0.01, 0.0), ("off", 0.02, 0.0), ("drug", 0.1, 0.05)]


@pytest.mark.parametrize("trains", [2, 3])
async def test_spikes_come_with_the_outputs_or_as_outputs(tmp_path: Path, trains: int) -> None:
    theirs = block(stimulus=False, trains=trains)
    import_block(theirs, tmp_path / "r.h5")
    signal, spikes = await replayed(tmp_path / "r.h5", np.zeros((25, 1)), 0.01, at_once=25)
    outputs = 3 if trains == 3 else 5
    assert signal.shape == (1000, outputs)
    assert np.array_equal(signal[:, :3], theirs.segments[0].analogsignals[0].magnitude)
    assert np.isnan(signal[:, 3:]).all()
    for index, train in enumerate(theirs.segments[0].spiketrains):
        assert np.array_equal(spikes["time"][spikes["channel"] == outputs - trains + index], train.magnitude)


def test_spikes_of_months_take_no_more_than_a_million_steps(tmp_path: Path) -> None:
    days = 90 * 86400.0
    theirs = neo.Block()
    theirs.segments.append(neo.Segment())
    times = np.sort(np.random.default_rng(0).uniform(0, days, 1000))
    theirs.segments[0].spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=days * pq.s))
    import_block(theirs, tmp_path / "r.h5")
    with open_recording(tmp_path / "r.h5") as recording:
        assert np.array_equal(recording.spikes()["time"], times)
        assert recording.exchanges["steps"].sum() == pytest.approx(days / 10.0)


async def test_any_reader_of_neos_will_do(tmp_path: Path) -> None:
    theirs = block(segments=2, trains=1)
    neo.PickleIO(str(tmp_path / "theirs.pkl")).write_block(theirs)
    with neo.NixIO(str(tmp_path / "theirs.nix"), mode="ow") as file:
        file.write_block(theirs)
    for name in ("theirs.pkl", "theirs.nix"):
        import_file(tmp_path / name, tmp_path / f"{name}.h5")
        found = read_block(tmp_path / f"{name}.h5")
        assert [segment.name for segment in found.segments] == ["session 0", "session 1"]
        for mine, its in zip(found.segments, theirs.segments, strict=True):
            assert np.array_equal(mine.analogsignals[0].magnitude, its.analogsignals[0].magnitude)
            assert np.array_equal(mine.analogsignals[1].magnitude, its.analogsignals[1].magnitude)
            assert mine.analogsignals[1].sampling_rate == its.analogsignals[1].sampling_rate
            assert np.array_equal(mine.spiketrains[3].magnitude, its.spiketrains[0].magnitude)
            assert mine.epochs[0].labels.tolist() == ["drug"]


def test_what_cannot_be_imported_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    empty = neo.Block()
    empty.segments.append(neo.Segment())
    with pytest.raises(RecordingError, match="at least one is needed to replay"):
        import_block(empty, tmp_path / "r.h5")
    with pytest.raises(RecordingError, match="no signal has that name; there are: bath, membrane"):
        import_block(block(stimulus=False), tmp_path / "r.h5", stimulus="current")
    two = block(segments=2)
    two.segments[1].analogsignals[1] = two.segments[1].analogsignals[1][:, :2]
    with pytest.raises(RecordingError, match="different channels or rates"):
        import_block(two, tmp_path / "r.h5")
    with pytest.raises(RecordingError, match="does not exist"):
        import_file(tmp_path / "none.nix", tmp_path / "r.h5")
    (tmp_path / "text.txt").write_text("no format of neo's\n")
    with pytest.raises(RecordingError, match="cannot be read by neo"):
        import_file(tmp_path / "text.txt", tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()


def table(path: Path, rows: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write a table such as rcbench's: electrode 8 driven, 17 the ground, 3 and 5 floating; a jittered clock."""
    generator = np.random.default_rng(5)
    time = np.cumsum(generator.uniform(0.172, 0.219, rows))
    drive = generator.uniform(-2, 2, rows)
    floating = np.stack([0.6 * drive, 0.3 * drive], axis=1) + generator.normal(0, 0.01, (rows, 2))
    ground = generator.normal(0, 1e-4, rows)
    current = drive * 1e-5
    current[::7] = np.nan
    with path.open("w") as file:
        file.write("Time[s] 8_V[V] 8_I[A] 3_V[V] 3_I[A] 5_V[V] 5_I[A] 17_V[V] 17_I[A]\n")
        for row in range(rows):
            values = [
                time[row], drive[row], current[row], floating[row, 0], np.nan, floating[row, 1], np.nan, ground[row],
                -drive[row] * 1e-5,
            ]  # fmt: skip
            file.write(" ".join(repr(float(value)) for value in values) + "\n")
    return time, drive, floating


async def test_a_measured_network_is_replayed(tmp_path: Path) -> None:
    time, drive, floating = table(tmp_path / "Pad1.txt")
    told = import_measurement(tmp_path / "Pad1.txt", tmp_path / "r.h5")
    assert (told.exchanges, told.left_out) == (200, ())
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
    assert info.step == np.median(np.diff(time))
    assert info.parameters["ground"] == "17"
    assert [channel.name for channel in info.outputs] == ["3_V", "5_V", "17_V", "8_I", "17_I"]
    signal, _ = await replayed(tmp_path / "r.h5", drive[:, np.newaxis], info.step)
    assert np.array_equal(signal[:, :2], floating)
    assert np.isnan(signal[::7, 3]).all()
    assert np.isfinite(np.delete(signal[:, 3], np.s_[::7])).all()
    (segment,) = read_block(tmp_path / "r.h5").segments
    assert len(segment.analogsignals) == 0
    stimulus, volts, amperes = segment.irregularlysampledsignals
    assert np.array_equal(volts.times.magnitude, time)
    assert np.array_equal(stimulus.magnitude[:, 0], drive)
    assert (volts.shape[1], amperes.shape[1]) == (3, 2)


async def test_rows_without_a_stimulus_are_left_out_and_counted(tmp_path: Path) -> None:
    table(tmp_path / "Pad1.txt", 50)
    lines = (tmp_path / "Pad1.txt").read_text().splitlines()
    words = lines[10].split()
    words[1] = "nan"
    lines[10] = " ".join(words)
    (tmp_path / "Pad1.txt").write_text("\n".join(lines))
    told = import_measurement(tmp_path / "Pad1.txt", tmp_path / "r.h5")
    assert told.exchanges == 49
    assert told.left_out == ("1 rows in which a driven electrode's voltage was not read",)


def test_columns_that_are_no_electrodes_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Time[s],1_V[V],2_V[V],3_T[K],4_I[A]\n0,5,1,290,1\n1,-5,2,291,1\n")
    told = import_measurement(tmp_path / "m.csv", tmp_path / "r.h5")
    assert told.left_out == ("column 3_T[K]", "column 4_I[A]")
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.drive().tolist() == [[5.0], [-5.0]]  # no current was read: what spreads most was driven


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a table of measurements"),
        ("Time[s] 8_V[V]\n0 x\n", r"m\.txt, line 2: 'x' is not a number"),
        ("Time[s] 8_V[V] 9_V[V]\n0 1 nan\n1 1 nan\n", "electrode 9 was never read"),
        ("Time[s] 8_V[V]\n0 1\n1 2\n", "has no output left"),
    ],
)
def test_what_is_no_measurement_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(RecordingError, match=says):
        import_measurement(tmp_path / "m.txt", tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()


def test_electrodes_that_are_not_there_are_named(tmp_path: Path) -> None:
    table(tmp_path / "Pad1.txt", 20)
    with pytest.raises(RecordingError, match="has no electrode 9; it has 8, 3, 5, 17"):
        import_measurement(tmp_path / "Pad1.txt", tmp_path / "r.h5", driven=["9"])
