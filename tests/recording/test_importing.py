"""Files of signals become recordings to replay: neo's blocks, exports of our own, NWB, Axon binary."""

import struct
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import neo
import numpy as np
import pynwb
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import ReplaySubstrate
from inmateria.recording import (
    Exchange,
    Note,
    Recording,
    RecordingError,
    RecordingWriter,
    open_recording,
    read_block,
)
from inmateria.recording.formats.export import export
from inmateria.recording.formats.importing import Imported, import_block, import_file
from inmateria.substrate import Stimulus
from inmateria.units import read_unit


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
    assert told.left_out == ()
    drive, membrane, bath = theirs.segments[0].analogsignals
    signal, _ = await replayed(tmp_path / "r.h5", drive.magnitude, 0.001)
    assert np.array_equal(signal[:, :3], membrane.magnitude)
    assert np.array_equal(signal[::100, 3:], bath.magnitude)  # at 40 Hz, between samples of 4 kHz
    assert np.isnan(np.delete(signal[:, 3], np.s_[::100])).all()
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
        assert (info.id, info.kind, info.step, info.sampling_rate) == ("slice-3", "brain-slice", 0.001, 4000.0)
        assert [channel.unit for channel in (*info.inputs, *info.outputs)] == ["nA"] * 2 + ["mV"] * 3 + ["Cel"]
        assert [channel.name for channel in info.outputs] == ["a", "b", "b'", "bath"]
        notes = [(note.label, note.device, note.duration) for note in recording.notes[:-1]]
    assert notes == [("on", 0.01, 0.0), ("off", 0.02, 0.0), ("drug", 0.1, 0.05)]


async def test_spikes_come_with_the_output_of_their_name_or_as_outputs(tmp_path: Path) -> None:
    theirs = block(stimulus=False, trains=3)
    theirs.segments[0].spiketrains[1].name = "b"
    import_block(theirs, tmp_path / "r.h5")
    signal, spikes = await replayed(tmp_path / "r.h5", np.zeros((25, 1)), 0.01, at_once=25)
    with open_recording(tmp_path / "r.h5") as recording:
        names = [channel.name for channel in recording.info.outputs]
    assert names == ["a", "b", "b'", "bath", "unit 0", "unit 2"]
    assert np.array_equal(signal[:, :3], theirs.segments[0].analogsignals[0].magnitude)
    assert np.isnan(signal[:, 4:]).all()
    for train in theirs.segments[0].spiketrains:
        assert np.array_equal(spikes["time"][spikes["channel"] == names.index(train.name)], train.magnitude)


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


def test_a_file_is_read_by_the_reader_of_its_content(tmp_path: Path) -> None:
    theirs = block(segments=2, trains=1)
    with neo.NixIO(str(tmp_path / "theirs.nix"), mode="ow") as file:
        file.write_block(theirs)
    (tmp_path / "theirs.nix").rename(tmp_path / "theirs.dat")
    import_file(tmp_path / "theirs.dat", tmp_path / "r.h5")
    found = read_block(tmp_path / "r.h5")
    assert [segment.name for segment in found.segments] == ["session 0", "session 1"]
    for mine, its in zip(found.segments, theirs.segments, strict=True):
        assert np.array_equal(mine.analogsignals[0].magnitude, its.analogsignals[0].magnitude)
        assert np.array_equal(mine.analogsignals[1].magnitude, its.analogsignals[1].magnitude)
        assert mine.analogsignals[1].sampling_rate == its.analogsignals[1].sampling_rate
        assert np.array_equal(mine.spiketrains[4].magnitude, its.spiketrains[0].magnitude)
        assert mine.epochs[0].labels.tolist() == ["drug"]


def test_what_cannot_be_imported_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    empty = neo.Block()
    empty.segments.append(neo.Segment())
    with pytest.raises(RecordingError, match="at least one is needed to replay"):
        import_block(empty, tmp_path / "r.h5")
    with pytest.raises(RecordingError, match="no signal has that name; there are: bath, membrane"):
        import_block(block(stimulus=False), tmp_path / "r.h5", stimulus="current")
    with pytest.raises(RecordingError, match="does not exist"):
        import_file(tmp_path / "none.nix", tmp_path / "r.h5")
    (tmp_path / "text.txt").write_text("no format of neo's\n")
    with pytest.raises(RecordingError, match="line 1: there are no numbers after the heading"):
        import_file(tmp_path / "text.txt", tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()


def signal_of(samples: int, rate: float, start: float = 0.0, name: str = "m", **more: object) -> neo.AnalogSignal:
    data = np.random.default_rng(samples).normal(size=(samples, 1))
    return neo.AnalogSignal(data, units="mV", sampling_rate=rate * pq.Hz, t_start=start * pq.s, name=name, **more)


def block_of(*segments: list[neo.AnalogSignal]) -> neo.Block:
    made = neo.Block()
    for signals in segments:
        made.segments.append(neo.Segment())
        made.segments[-1].analogsignals.extend(signals)
    return made


def read_signals(path: Path, side: str = "response") -> list[neo.AnalogSignal]:
    return [
        signal for segment in read_block(path).segments for signal in segment.analogsignals if signal.name == side
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 1500), min_size=1, max_size=3),
    rate=st.sampled_from([24414.0625, 30000.0, 1000.0, 20833.333, 7.3]),
    start=st.floats(0, 100),
)
def test_every_sample_of_every_segment_is_kept_at_its_rate(lengths: list[int], rate: float, start: float) -> None:
    theirs = block_of(*([signal_of(length, rate, start)] for length in lengths))
    with TemporaryDirectory() as folder:
        told = import_block(theirs, Path(folder) / "r.h5")
        assert told.left_out == ()
        found = read_signals(Path(folder) / "r.h5")
    assert len(found) == len(lengths)
    for mine, its in zip(found, (segment.analogsignals[0] for segment in theirs.segments), strict=True):
        assert np.array_equal(mine.magnitude, its.magnitude)
        assert float(mine.sampling_rate) == pytest.approx(rate, rel=1e-12)
        assert float(mine.t_start) == start


@settings(max_examples=40, deadline=None)
@given(
    rates=st.lists(st.sampled_from([1, 2, 5, 10, 20]), min_size=1, max_size=3),
    starts=st.lists(st.integers(0, 40), min_size=3, max_size=3),
    lengths=st.lists(st.integers(1, 300), min_size=3, max_size=3),
    drive=st.none() | st.tuples(st.sampled_from([1, 2, 5, 10, 20]), st.integers(0, 40), st.integers(1, 50)),
)
def test_each_value_has_its_own_time(
    rates: list[int], starts: list[int], lengths: list[int], drive: tuple[int, int, int] | None
) -> None:
    """Signals of many rates and starts, each in multiples of the fastest one's period; every value is found again."""
    whole = 20.0
    signals = [
        signal_of(length, whole / every, start / whole, f"m{k}")
        for k, (every, start, length) in enumerate(zip(rates, starts, lengths, strict=False))
    ]
    signals.append(signal_of(100, whole, 0.0, "fast"))
    if drive is not None:
        signals.append(signal_of(drive[2], whole / drive[0], drive[1] / whole, "stimulus"))
    with TemporaryDirectory() as folder, open_imported(block_of(signals), Path(folder) / "r.h5") as (told, recording):
        info, exchanges = recording.info, list(recording)
        assert all("which was not recorded" in words for words in told.left_out)
        for column, signal in enumerate(each for each in signals if each.name != "stimulus"):
            assert info.outputs[column].name == signal.name
            got = [
                (each.response.start + step * each.stimulus.step + sample / info.sampling_rate, value)
                for each in exchanges
                for step in range(len(each.stimulus.drive))
                for sample, value in enumerate(each.response.signal[step, :, column])
                if np.isfinite(value)
            ]
            assert [value for _, value in got] == signal.magnitude[:, 0].tolist()
            assert [at for at, _ in got] == pytest.approx(signal.times.rescale("s").magnitude.tolist(), abs=1e-9)
        if drive is not None:
            held = [
                (each.response.start + step * each.stimulus.step, each.stimulus.drive[step, 0])
                for each in exchanges
                for step in range(len(each.stimulus.drive))
            ]
            times = signals[-1].times.rescale("s").magnitude
            inside = [(at, value) for at, value in held if times[0] - 1e-9 <= at < times[-1] + drive[0] / whole - 1e-9]
            index = [int((at - times[0]) * whole / drive[0] + 1e-6) for at, _ in inside]
            assert [value for _, value in inside] == signals[-1].magnitude[index, 0].tolist()
            assert set(index) == set(range(drive[2]))
            silent = sum(note.duration for note in recording.notes if note.label == "stimulus not recorded")
            assert silent == pytest.approx((len(held) - len(inside)) * info.step)


@contextmanager
def open_imported(theirs: neo.Block, path: Path) -> Iterator[tuple[Imported, Recording]]:
    told = import_block(theirs, path)
    with open_recording(path) as recording:
        yield told, recording


def test_a_rate_that_is_no_multiple_of_the_stimulus_is_kept(tmp_path: Path) -> None:
    stimulus, response = signal_of(3600, 1000.0, name="stimulus"), signal_of(87_890, 24414.0625)
    told = import_block(block_of([stimulus, response]), tmp_path / "r.h5")
    assert told.left_out == (
        "the times of the stimulus at 1000 Hz between the samples of the outputs at 24414.1 Hz (each value begins with "
        "the next sample)",
    )
    (drive,), (signal,) = (read_signals(tmp_path / "r.h5", side) for side in ("stimulus", "response"))
    assert float(signal.sampling_rate) == pytest.approx(24414.0625, rel=1e-12)
    assert np.array_equal(signal.magnitude[: len(response)], response.magnitude)
    assert len(signal) - len(response) <= 1  # the last value of the stimulus ends within a sample
    at = np.floor(drive.times.rescale("s").magnitude * 1000 + 1e-6).astype(int)
    assert np.array_equal(drive.magnitude[:, 0], stimulus.magnitude[np.minimum(at, 3599), 0])
    assert abs(float(drive.t_stop) - 3.6) < 1 / 24414


def test_what_has_no_place_on_the_samples_is_listed(tmp_path: Path) -> None:
    odd, late = signal_of(30, 33.0, name="odd"), signal_of(30, 100.0, 0.0037, name="late")
    told = import_block(block_of([signal_of(100, 100.0), odd, late]), tmp_path / "r.h5")
    assert told.left_out == (
        "signal 'odd' at 33 Hz from 0 s, whose rate does not divide 100 Hz",
        "signal 'late' at 100 Hz from 0.0037 s, which starts between samples of 100 Hz from 0 s",
    )


def test_channels_are_those_of_their_name_whatever_their_column(tmp_path: Path) -> None:
    a, b, c = (signal_of(100, 1000.0, name=name) for name in "abc")
    import_block(block_of([a, b], [b, a], [c]), tmp_path / "r.h5")
    with open_recording(tmp_path / "r.h5") as recording:
        assert [channel.name for channel in recording.info.outputs] == ["a", "b", "c"]
    first, second, third = (signal.magnitude for signal in read_signals(tmp_path / "r.h5"))
    assert np.array_equal(first[:, :2], np.column_stack([a.magnitude, b.magnitude]))
    assert np.array_equal(second[:, :2], first[:, :2])
    assert np.isnan(third[:, :2]).all()
    assert np.array_equal(third[:, 2], c.magnitude[:, 0])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (pq.degC, "Cel"), (pq.mV, "mV"), (pq.ohm, "ohm"), (pq.V / pq.s, "V/s"), (pq.uA / pq.cm**2, "uA/cm2"),
        (pq.percent, "%"), (pq.dimensionless, "1"), (pq.V * pq.s / (pq.m**2 * pq.A), "V.s/m2/A"),
    ],
)  # fmt: skip
def test_units_are_kept(tmp_path: Path, theirs: pq.Quantity, ours: str) -> None:
    signal = neo.AnalogSignal(np.ones((10, 1)), units=theirs, sampling_rate=1 * pq.Hz, name="m")
    assert import_block(block_of([signal]), tmp_path / "r.h5").left_out == ()
    with open_recording(tmp_path / "r.h5") as recording:
        unit = recording.info.outputs[0].unit
    one, other = read_unit(unit), read_unit(ours)
    assert (one.base, one.power) == (other.base, other.power)


def test_a_unit_that_is_not_known_is_listed_and_may_be_stated(tmp_path: Path) -> None:
    signal = neo.AnalogSignal(np.ones((10, 1)), units=pq.mmHg, sampling_rate=1 * pq.Hz, name="pressure")
    told = import_block(block_of([signal]), tmp_path / "r.h5")
    assert told.left_out == ("the unit 'mmHg' of signal 'pressure', which is not in UCUM (it is written as 1)",)
    assert import_block(block_of([signal]), tmp_path / "s.h5", units={"pressure": "kPa"}).left_out == ()
    with pytest.raises(RecordingError, match="no signal or channel of the file has that name"):
        import_block(block_of([signal]), tmp_path / "t.h5", units={"blood": "kPa"})


def abf_of(path: Path, sweeps: np.ndarray, interval: float) -> None:
    """Write an Axon binary file of version 1.83 with 16-bit samples, by Axon's published table of its header.

    `sweeps` has the shape (sweeps, samples, channels); `interval` is in us between samples of one channel.
    """
    count, samples, channels = sweeps.shape
    head = bytearray(6144)

    def put(at: int, form: str, *values: object) -> None:
        struct.pack_into(f"<{form}", head, at, *values)

    put(0, "4sfh", b"ABF ", 1.83, 5)  # signature, version, mode: episodic stimulation
    put(10, "i", sweeps.size)  # samples in all
    put(16, "i", count)  # episodes
    put(20, "ii", 20240101, 3600)  # date and time of the start
    put(36, "f", 1.83)
    put(40, "i", 12)  # block of 512 bytes where data begins
    put(92, "ii", 12 + -(-2 * sweeps.size // 512), count)  # block of the synch array, and its entries
    put(100, "h", 0)  # integers
    put(120, "h", channels)
    put(122, "f", interval / channels)  # between samples of any channel
    put(130, "f", 1.0)  # us per unit of the synch array
    put(138, "i", samples * channels)  # in an episode
    put(244, "f", 10.0)  # range of the converter, V
    put(252, "i", 32768)  # its resolution
    for channel in range(16):
        put(378 + 2 * channel, "h", channel)
        put(410 + 2 * channel, "h", channel if channel < channels else -1)
        put(442 + 10 * channel, "10s", f"IN {channel}".encode().ljust(10))
        put(602 + 8 * channel, "8s", b"mV".ljust(8))
        put(730 + 4 * channel, "f", 1.0)  # programmable gain
        put(922 + 4 * channel, "f", 0.01)  # V per mV
        put(1050 + 4 * channel, "f", 1.0)  # gain of the signal conditioner
    data = sweeps.astype("<i2").tobytes()
    data += bytes(-len(data) % 512)
    synch = b"".join(struct.pack("<ii", int(k * 1.5 * samples * interval), samples * channels) for k in range(count))
    path.write_bytes(bytes(head) + data + synch)


@pytest.mark.parametrize("samples", [206, 10_322, 1])
def test_axon_files_lose_no_tail(tmp_path: Path, samples: int) -> None:
    sweeps = np.random.default_rng(1).integers(-3000, 3000, (3, samples, 2))
    abf_of(tmp_path / "cell.abf", sweeps, 50.0)
    its = neo.AxonIO(str(tmp_path / "cell.abf")).read_block()  # neo's own reader is the other answer
    told = import_file(tmp_path / "cell.abf", tmp_path / "r.h5")
    assert told.left_out == ()
    found = read_signals(tmp_path / "r.h5")
    assert len(found) == len(its.segments) == 3
    for k, (mine, segment) in enumerate(zip(found, its.segments, strict=True)):
        assert mine.magnitude.astype(np.float32) == pytest.approx(segment.analogsignals[0].magnitude, rel=2e-7)
        assert mine.magnitude == pytest.approx(
            sweeps[k] * (10 / 32768 / float(np.float32(0.01))), rel=1e-12
        )  # not rounded
        assert float(mine.sampling_rate) == pytest.approx(20_000.0)
        assert float(mine.t_start) == pytest.approx(float(segment.analogsignals[0].t_start.rescale("s")))
        assert str(mine.dimensionality) == "mV"


@pytest.mark.parametrize("to", ["nix", "nwb"])
@pytest.mark.parametrize("spiking", [False, True])
def test_our_own_export_comes_back_exchange_by_exchange(tmp_path: Path, to: str, spiking: bool) -> None:
    simulator = LeakySimulator(spiking=spiking)
    generator = np.random.default_rng(0)
    writer = RecordingWriter(tmp_path / "r.h5", simulator.info, {"dish": "7", "gain": [1.5, None]})
    for number in range(42):
        stimulus = Stimulus(generator.uniform(-1, 1, (100, 3)), 0.02 if number in (10, 11, 30) else 0.01)
        writer.append([Exchange(stimulus, simulator.advance(stimulus), 0, 1e9 + number, 1e-3)])
        if number == 20:
            writer.append([Note("marker", "light on", {"colour": ["blue"]}, host=1e9 + 20.5, device=0.5, duration=0.1)])
    writer.end()
    (exported,) = export(tmp_path / "r.h5", tmp_path / f"r.{to}").paths
    told = import_file(exported, tmp_path / "back.h5")
    assert (told.exchanges, told.left_out) == (42, ())
    with open_recording(tmp_path / "r.h5") as wrote, open_recording(tmp_path / "back.h5") as back:
        assert back.info == wrote.info
        assert (back.annotations, back.created, back.software) == (wrote.annotations, wrote.created, wrote.software)
        assert back.notes[:-1] == wrote.notes[:-1]
        assert back.exchanges["steps"].sum() == 4200
        for mine, its in zip(back, wrote, strict=True):
            assert np.array_equal(mine.stimulus.drive, its.stimulus.drive)
            assert mine.stimulus.step == its.stimulus.step
            assert np.array_equal(mine.response.signal, its.response.signal)
            assert (mine.response.start, mine.response.sequence) == (its.response.start, its.response.sequence)
            assert (mine.sent, mine.round_trip, mine.session) == (its.sent, its.round_trip, its.session)
            if spiking:
                order = ["time", "channel"]
                assert np.array_equal(
                    np.sort(mine.response.spikes, order=order), np.sort(its.response.spikes, order=order)
                )


def test_nwb_of_others_is_read_with_its_starts_units_and_names(tmp_path: Path) -> None:
    file = pynwb.NWBFile(
        session_description="a slice", identifier="x1", session_start_time=datetime(2024, 1, 2, tzinfo=UTC)
    )
    device = file.create_device(name="rig")
    group = file.create_electrode_group(name="g", description="d", location="l", device=device)
    for _ in range(2):
        file.add_electrode(location="CA1", group=group)
    generator = np.random.default_rng(2)
    lfp, light = generator.normal(size=(1000, 2)), generator.normal(size=500)
    region = file.create_electrode_table_region(region=[1, 0], description="both")
    file.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="lfp", data=lfp, electrodes=region, rate=2000.0, starting_time=0.25, conversion=1e-3
        )
    )
    file.add_acquisition(pynwb.TimeSeries(name="bath", data=np.arange(10.0), unit="degC", rate=20.0, starting_time=0.0))
    file.add_acquisition(pynwb.TimeSeries(name="pupil", data=[1.0, 2.0, 4.0], unit="m", timestamps=[0.0, 0.1, 0.5]))
    file.add_stimulus(pynwb.TimeSeries(name="light", data=light, unit="A", rate=1000.0, starting_time=0.25))
    file.add_trial(start_time=0.3, stop_time=0.4)
    file.add_unit(spike_times=[0.3, 0.5], id=7)
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as writer:
        writer.write(file)
    told = import_file(tmp_path / "x.nwb", tmp_path / "r.h5")
    assert told.left_out == (
        "irregularly sampled signal 'pupil'",
        "the stimulus of 250 steps, which was not recorded (0 A and a marker are written)",
    )  # fmt: skip
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
        assert [(channel.name, channel.unit) for channel in info.outputs] == [
            ("electrode 1", "V"), ("electrode 0", "V"), ("bath", "Cel"), ("unit 7", "1"),
        ]  # fmt: skip
        signal, drive = recording.signal(), recording.drive()[:, 0]
        assert recording.spikes()["time"].tolist() == [0.3, 0.5]
        assert [note.label for note in recording.notes[:-1]] == ["stimulus not recorded", "trials 0"]
    (stretch,) = read_block(tmp_path / "r.h5").segments
    times = stretch.analogsignals[1].times.rescale("s").magnitude
    there = np.isfinite(signal[:, 0])
    assert np.array_equal(signal[there, :2], lfp * 1e-3)
    assert times[there][[0, -1]] == pytest.approx([0.25, 0.25 + 999 / 2000])
    assert signal[np.isfinite(signal[:, 2]), 2].tolist() == list(range(10))
    assert np.array_equal(drive[250:], light)


def test_an_import_that_is_interrupted_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: RecordingWriter, items: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RecordingWriter, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_block(block(), tmp_path / "r.h5")
    assert list(tmp_path.iterdir()) == []
