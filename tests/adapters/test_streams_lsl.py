"""LSL in: pylsl's own outlets read as outputs of a substrate and as recordings."""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import neo
import numpy as np
import pylsl
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate, connect, record_stream
from inmateria.adapters.streams.lsl_source import LslSource
from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.adapters.streams.stimulators import OtherSubstrate
from inmateria.adapters.streams.substrate import StreamSubstrate
from inmateria.recording import RecordedSubstrate, open_recording, read_block
from inmateria.recording.formats.export import export
from inmateria.substrate import StimulusRejected, SubstrateDisconnected, SubstrateTimeout
from inmateria.testing import check_entered_substrate

RATE = 200.0


def outlet(
    name: str,
    channels: int = 3,
    rate: float = RATE,
    source_id: str = "",
    labels: bool = True,
    form: int = pylsl.cf_double64,
) -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo(name, "EEG", channels, rate, form, source_id or f"id-{name}")
    if labels:
        listed = info.desc().append_child("channels")
        for k in range(channels):
            each = listed.append_child("channel")
            each.append_child_value("label", f"E{k}")
            each.append_child_value("unit", "microvolts" if k else "mV")
    return pylsl.StreamOutlet(info)


def samples(first: int, count: int, channels: int = 3) -> np.ndarray:
    """Sample k of channel c is 1000 c + k, so that every value says where it belongs."""
    return np.ascontiguousarray(1000.0 * np.arange(channels) + np.arange(first, first + count)[:, np.newaxis])


class Sender:
    """Sends samples with timestamps that tell their number, on LSL's clock."""

    def __init__(self, out: pylsl.StreamOutlet, rate: float = RATE, channels: int = 3) -> None:
        self.out, self.rate, self.channels = out, rate, channels
        self.begun, self.sent = pylsl.local_clock(), 0

    def send(self, count: int, *, skip: int = 0, jitter: np.ndarray | None = None) -> None:
        self.sent += skip
        stamps = self.begun + (self.sent + np.arange(count)) / self.rate
        if jitter is not None:
            stamps = stamps + jitter
        self.out.push_chunk(samples(self.sent, count, self.channels), stamps.tolist())
        self.sent += count

    async def play(self) -> None:
        """Send in real time."""
        while True:
            due = int((pylsl.local_clock() - self.begun) * self.rate) - self.sent
            if due > 0:
                self.send(due)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def entered(name: str, sender: Sender, count: int = 100, **options: Any) -> AsyncIterator[StreamSubstrate]:
    """Enter a stream, with so many samples sent once it listens."""
    substrate = StreamSubstrate(LslSource(name, clock_every=0.2, **options), step=10 / RATE, timeout=20.0)
    async with substrate:
        assert await asyncio.to_thread(sender.out.wait_for_consumers, 20.0)
        sender.send(count)
        yield substrate


async def take_on(substrate: StreamSubstrate) -> None:
    for _ in range(100):
        await take(substrate, 1)


async def take(substrate: StreamSubstrate, steps: int) -> Any:
    return await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(steps)))


async def test_samples_names_and_units_come_as_they_were_sent() -> None:
    out = outlet("plain")
    async with entered("plain", Sender(out)) as substrate:
        info = substrate.info
        assert [channel.name for channel in info.outputs] == ["E0", "E1", "E2"]
        assert [channel.unit for channel in info.outputs] == ["mV", "uV", "uV"]
        assert (info.sampling_rate, info.step, info.id, info.identity) == (RATE, 0.05, "id-plain", "serial")
        first, second = await take(substrate, 4), await take(substrate, 5)
        assert np.array_equal(first.signal.reshape(-1, 3), samples(0, 40))
        assert np.array_equal(second.signal.reshape(-1, 3), samples(40, 50))
        assert (first.start, second.start, second.sequence) == (0.0, 40 / RATE, 1)
        with pytest.raises(StimulusRejected, match="whole number"):
            await substrate.stimulate(info.stimulus(info.rest_drive(), step=0.052))
        with pytest.raises(StimulusRejected, match="several stimuli"):
            await substrate.stimulate(info.stimulus(info.rest_drive(2), step=100.0))
        with pytest.raises(StimulusRejected, match="levels"):
            await substrate.stimulate(info.stimulus([[1.0]]))


async def test_a_gap_is_nan_and_marked_and_a_whole_stretch_is_left_out(tmp_path: Path) -> None:
    out = outlet("gappy")
    sender = Sender(out)
    async with entered("gappy", sender) as substrate:
        sender.send(30, skip=7)  # 100 to 106 are missing
        sender.send(100, skip=200)  # 137 to 336 are
        found = [await take(substrate, 5) for _ in range(2)]
        assert np.array_equal(found[0].signal.reshape(-1, 3), samples(0, 50))
        third = (await take(substrate, 3)).signal.reshape(-1, 3)
        assert np.isnan(third[:7]).all()
        assert np.array_equal(third[7:], samples(107, 23))
        rest = await take(substrate, 2)  # 130 to 149
        assert np.array_equal(rest.signal.reshape(-1, 3)[:7], samples(130, 7))
        later = await take(substrate, 2)
        assert later.start == 330 / RATE  # whole steps after 150
        assert np.isnan(later.signal.reshape(-1, 3)[:7]).all()
        assert np.array_equal(later.signal.reshape(-1, 3)[7:], samples(337, 13))
        gaps = [note for note in substrate.take_notes() if note.label == "gap"]
        found_gaps = [(note.device, note.duration, note.details["samples"]) for note in gaps]
        assert found_gaps == [(100 / RATE, 7 / RATE, 7), (137 / RATE, 13 / RATE, 13), (150 / RATE, 187 / RATE, 187)]


async def test_17_ms_that_are_lost_are_nan_and_marked_in_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "gap.h5"
    out = outlet("lossy", rate=1000.0)
    sender = Sender(out, rate=1000.0)
    substrate = RecordedSubstrate(StreamSubstrate(LslSource("lossy"), step=0.05, timeout=20.0), path)
    async with substrate:
        assert await asyncio.to_thread(out.wait_for_consumers, 20.0)
        sender.send(400)
        sender.send(400, skip=17)
        for _ in range(3):
            await take(substrate, 4)
    with open_recording(path) as recording:
        signal = recording.signal()
        (gap,) = [note for note in recording.notes if note.label == "gap"]
    assert np.flatnonzero(np.isnan(signal).any(axis=1)).tolist() == list(range(400, 417))
    assert np.array_equal(signal[417:], samples(417, len(signal) - 417))
    assert (gap.device, gap.duration, gap.details["samples"]) == (0.4, 0.017, 17)


async def test_time_that_goes_back_is_an_error() -> None:
    out = outlet("backwards")
    sender = Sender(out)
    async with entered("backwards", sender, count=200) as substrate:
        await take(substrate, 10)
        sender.begun -= 30.0
        sender.send(150)  # a hundred in a row that are late by 30 s and by less
        with pytest.raises(SubstrateDisconnected, match=r"the time of the LSL stream 'backwards' went back by 29\.5"):
            await take_on(substrate)


async def test_jittered_timestamps_are_no_gaps_and_pyxdf_agrees() -> None:
    """Where pyxdf's dejittering sees one unbroken segment, so do we; where it breaks, so do we, at the same sample."""
    pyxdf = pytest.importorskip("pyxdf")
    generator = np.random.default_rng(3)
    jitter = generator.normal(0, 0.004, 600)  # 0.8 of a sample
    out = outlet("jittery")
    sender = Sender(out)
    async with entered("jittery", sender, count=0) as substrate:
        sender.send(300, jitter=jitter[:300])
        sender.send(300, skip=500, jitter=jitter[300:])
        found = [await take(substrate, 5) for _ in range(6)]
        assert np.array_equal(np.concatenate([each.signal.reshape(-1, 3) for each in found]), samples(0, 300))
        after = await take(substrate, 5)
        flat = after.signal.reshape(-1, 3)
        missing = int(np.isnan(flat[:, 0]).sum())
        assert abs(after.start * RATE + missing - 800) <= 3  # as sure as the jitter lets be
        assert np.array_equal(flat[missing:], samples(800, 50 - missing))
    from pyxdf.pyxdf import StreamData, _jitter_removal

    stamps = np.concatenate([np.arange(300), np.arange(800, 1100)]) / RATE + jitter
    xml = {"info": {"channel_count": ["3"], "nominal_srate": [str(RATE)], "channel_format": ["double64"]}}
    xml["info"] |= {"stream_id": 1, "name": ["x"], "type": ["EEG"]}
    stream = StreamData(xml)
    stream.time_stamps = stamps.copy()
    stream.time_series = np.zeros((600, 3))
    judged = _jitter_removal({1: stream}, 1.0, 0)
    segments = judged[1].segments
    assert [tuple(map(int, each)) for each in segments] == [(0, 299), (300, 599)]
    assert pyxdf


async def test_late_and_repeated_samples_take_their_places_once() -> None:
    out = outlet("late")
    sender = Sender(out)
    async with entered("late", sender, count=60) as substrate:
        at = sender.begun + np.arange(300) / RATE
        out.push_chunk(samples(70, 5), at[70:75].tolist())
        out.push_chunk(samples(60, 10), at[60:70].tolist())  # late, and there in time
        out.push_chunk(-samples(72, 3), at[72:75].tolist())  # repeated: the first ones count
        out.push_chunk(samples(75, 100), at[75:175].tolist())
        first = await take(substrate, 16)
        assert np.array_equal(first.signal.reshape(-1, 3), samples(0, 160))
        out.push_chunk(samples(5, 3), at[5:8].tolist())  # much too late
        out.push_chunk(samples(175, 60), at[175:235].tolist())
        await take(substrate, 5)
        ended = [note for note in substrate.take_notes(ending=True) if note.label == "stream ends"]
        assert ended[0].details["samples"] == {"late": 3, "repeated": 3, "overflowed": 0}


async def test_a_stream_that_vanishes_comes_back_by_lsl_itself_with_its_break_marked(tmp_path: Path) -> None:
    """The outlet is closed, and another one of the same source opened: on one clock, with the right sample numbers."""
    out = outlet("phoenix")
    sender = Sender(out)
    async with entered("phoenix", sender) as substrate:
        found = await take(substrate, 10)
        assert np.array_equal(found.signal.reshape(-1, 3), samples(0, 100))
        del out
        sender.out = None  # type: ignore[assignment]
        gc.collect()
        await until_silent(substrate)
        sender.out = outlet("phoenix")
        assert await asyncio.to_thread(sender.out.wait_for_consumers, 20.0)
        sender.send(100, skip=1000)
        found = await take(substrate, 5)
        assert found.start == 1100 / RATE
        assert np.array_equal(found.signal.reshape(-1, 3), samples(1100, 50))
        labels = [note.label for note in substrate.take_notes(ending=True)]
        assert [each for each in labels if each != "clock"] == [
            "shortest gap that is seen", "stream silent", "another outlet", "stream back", "gap", "stream ends",
        ]  # fmt: skip


async def until_noted(path: Path, label: str, sender: Sender) -> None:
    """Send until a note is in a recording that is being made, which has at least four exchanges."""
    async with asyncio.timeout(60):
        while True:
            sender.send(50)
            await asyncio.sleep(0.1)
            if path.exists():  # noqa: ASYNC240
                with open_recording(path) as read:
                    if len(read) >= 4 and any(note.label == label for note in read.notes):
                        return


async def until_silent(substrate: StreamSubstrate) -> None:
    async with asyncio.timeout(60):
        while not any(note.label == "stream silent" for note in substrate._marks):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_stream_that_comes_back_at_another_rate_is_refused() -> None:
    out = outlet("changed")
    sender = Sender(out)
    async with entered("changed", sender) as substrate:
        await take(substrate, 10)
        del out
        sender.out = None  # type: ignore[assignment]
        gc.collect()
        await until_silent(substrate)
        other = outlet("changed", rate=2 * RATE)
        assert await asyncio.to_thread(other.wait_for_consumers, 20.0)
        other.push_chunk(samples(0, 100))
        with pytest.raises(SubstrateDisconnected, match=r"rate 400\.0.*rate 200\.0"):
            await take(substrate, 5)


async def test_the_clock_is_measured_again_and_again_with_its_uncertainty() -> None:
    """Both ends have one clock here, so that the host's time of a sample is known: its timestamp, in other words."""
    out = outlet("clocked")
    sender = Sender(out)
    async with entered("clocked", sender) as substrate:
        playing = asyncio.create_task(sender.play())
        async with asyncio.timeout(60):
            while substrate._source.clock.count < 4:
                await take(substrate, 2)
        playing.cancel()
        to_unix = time.time() - pylsl.local_clock()
        fit = substrate._source.clock.fit
        assert fit is not None
        for k in (0, 100):  # of the measured times
            off = fit.host(k / RATE) - (sender.begun + k / RATE + to_unix)
            assert abs(off) < 5e-3 + 5 * fit.error(k / RATE)
        assert 0 < fit.offset_error < 0.1
        (note,) = [each for each in substrate.take_notes(ending=True) if each.label == "clock"][-1:]
        assert len(note.details["measurements"]) >= 4
        assert all(uncertainty > 0 for _, _, uncertainty in note.details["measurements"])
        assert note.details["drift_error"] > 0


async def test_stimuli_go_out_on_lsl_and_are_held_for_their_steps() -> None:
    out = outlet("closed")
    sender = Sender(out)
    uri = "lsl://closed?stimuli=closed-stim&inputs=a,b&low=-2&high=2&unit=V&step=0.05&clock_every=0.2&timeout=20"
    async with connect(uri) as substrate:
        playing = asyncio.create_task(sender.play())
        (found,) = await asyncio.to_thread(pylsl.resolve_byprop, "name", "closed-stim", 1, 20.0)
        heard = pylsl.StreamInlet(found)
        await asyncio.to_thread(heard.open_stream, 20.0)
        assert [(each.name, each.unit) for each in substrate.info.inputs] == [("a", "V"), ("b", "V")]
        drive = np.array([[1.0, -1.0], [2.0, 0.5], [0.0, 0.25]])
        before = pylsl.local_clock()
        response = await substrate.stimulate(substrate.info.stimulus(drive))
        after = pylsl.local_clock()
        rows, stamps = await asyncio.to_thread(heard.pull_chunk, 20.0, 4)
        assert np.array_equal(rows, [*drive, [0.0, 0.0]])
        assert before <= stamps[0] <= after
        assert (np.array(stamps) >= before + 0.05 * np.arange(4) - 1e-3).all()
        # The answer begins with the stimulus: the value of a sample says when it was taken.
        taken = sender.begun + response.signal[0, 0, 0] / RATE
        assert taken >= before - 1 / RATE - 5e-3
        assert response.start == response.signal[0, 0, 0] / RATE
        playing.cancel()


async def test_stimuli_go_to_another_substrate() -> None:
    out = outlet("composed")
    sender = Sender(out)
    given: list[np.ndarray] = []

    class Noting(SimulatedSubstrate):
        async def _apply(self, stimulus: Any) -> Any:
            given.append(stimulus.drive)
            return await super()._apply(stimulus)

    other = Noting(LeakySimulator())
    async with StreamSubstrate(
        LslSource("composed", clock_every=0.2), OtherSubstrate(other), timeout=20.0
    ) as substrate:
        playing = asyncio.create_task(sender.play())
        assert substrate.info.inputs == other.info.inputs
        assert substrate.info.id == f"{other.info.id}-id-composed"
        drive = substrate.info.rest_drive(2)
        drive[0, 0] = substrate.info.inputs[0].high
        response = await substrate.stimulate(substrate.info.stimulus(drive))
        assert np.array_equal(given[-1], drive)
        flat = response.signal.reshape(-1, 3)
        assert np.array_equal(flat, samples(int(flat[0, 0]), len(flat)))
        playing.cancel()


@pytest.mark.parametrize("way", ["read only", "stimuli", "composed"])
async def test_the_contract(way: str) -> None:
    """The shipped checks of a substrate, over a stream in real time."""
    out = outlet(f"contract {way}", rate=1000.0)
    sender = Sender(out, 1000.0)
    more = {"stimuli": "&stimuli=contract-out&inputs=a,b", "composed": "&drive=echo%3A%2F%2F%3Funits%3D5"}.get(way, "")
    async with connect(f"lsl://contract {way}?step=0.002&late=0.002&timeout=30{more}") as substrate:
        playing = asyncio.create_task(sender.play())
        await check_entered_substrate(substrate, window=1)
        playing.cancel()


async def test_a_stream_is_recorded_with_its_markers_gaps_and_clock(tmp_path: Path) -> None:
    out = outlet("recorded")
    events = pylsl.StreamOutlet(pylsl.StreamInfo("events", "Markers", 1, 0, pylsl.cf_string, "events-id"))
    sender = Sender(out)
    stop = asyncio.Event()
    path = tmp_path / "stream.h5"
    uri = "lsl://recorded?markers=events&clock_every=0.2&timeout=20"
    recording = asyncio.create_task(record_stream(uri, path, {"subject": "none"}, stop=stop))
    for each in (out, events):
        assert await asyncio.to_thread(each.wait_for_consumers, 20.0)
    sender.send(150)
    await asyncio.sleep(0.3)
    events.push_sample(["go"], sender.begun + 0.6)
    sender.send(200, skip=50)
    await until_noted(path, "go", sender)
    stop.set()
    assert await recording >= 4
    with open_recording(path) as read:
        whole = read.signal()[:400]
        assert np.array_equal(np.isnan(whole).all(axis=1), (np.arange(400) >= 150) & (np.arange(400) < 200))
        known = ~np.isnan(whole[:, 0])
        assert np.array_equal(whole[known], samples(0, 400)[known])
        notes = {note.label: note for note in read.notes}
        assert (notes["gap"].device, notes["gap"].duration) == (150 / RATE, 50 / RATE)
        assert notes["go"].device == pytest.approx(0.6, abs=1.5 / RATE)
        assert notes["clock"].details["measurements"]
        assert notes["go"].host == pytest.approx(time.time(), abs=600)
        assert read.finished
    block = read_block(path)
    signals = {each.name: each for each in block.segments[0].analogsignals}
    assert "response" in signals
    assert float(block.segments[0].analogsignals[-1].sampling_rate) == RATE
    assert [str(each.units.dimensionality) for each in block.segments[0].analogsignals[1:]] == ["mV", "uV"]
    names = [each.array_annotations["channel_names"].tolist() for each in block.segments[0].analogsignals[1:]]
    assert names == [["E0"], ["E1", "E2"]]
    exported = export(path, tmp_path / "stream.nix")
    with neo.NixIO(str(exported.paths[0]), "ro") as nix:  # neo's own reader finds the same
        (again,) = nix.read_block().segments
    for ours, theirs in zip(block.segments[0].analogsignals, again.analogsignals, strict=True):
        assert np.array_equal(ours.magnitude, theirs.magnitude, equal_nan=True)
        assert ours.units == theirs.units
    assert [each.labels.tolist() for each in again.epochs] == [["gap"]]
    (epoch,) = block.segments[0].epochs
    assert (epoch.labels.tolist(), float(epoch.durations[0])) == (["gap"], 50 / RATE)


async def test_what_is_not_there_or_not_one_is_said() -> None:
    with pytest.raises(SubstrateTimeout, match="no LSL stream with name='nowhere'"):
        async with connect("lsl://nowhere?timeout=0.5"):
            pass
    both = [outlet("twice", source_id="a"), outlet("twice", source_id="b")]
    with pytest.raises(SubstrateDisconnected, match="2 LSL streams"):
        async with connect("lsl://twice?timeout=5"):
            pass
    async with connect("lsl://twice?timeout=5&source_id=b") as chosen:
        assert chosen.info.id == "b"
    text = pylsl.StreamOutlet(pylsl.StreamInfo("text", "Markers", 1, 0, pylsl.cf_string, "text-id"))
    with pytest.raises(SubstrateDisconnected, match="markers=text"):
        async with connect("lsl://text?timeout=5"):
            pass
    del both, text


async def test_a_stream_that_falls_silent_is_an_error_after_the_timeout() -> None:
    out = outlet("quiet")
    sender = Sender(out)
    async with connect("lsl://quiet?timeout=0.5&step=0.05&jitter=0") as substrate:
        await asyncio.to_thread(out.wait_for_consumers, 20.0)
        sender.send(30)
        await take(substrate, 3)  # type: ignore[arg-type]
        with pytest.raises(SubstrateTimeout, match=r"its last sample is of 0\.150 s"):
            await take(substrate, 3)  # type: ignore[arg-type]
        sender.send(30)
        assert (await take(substrate, 3)).start == 30 / RATE  # type: ignore[arg-type]


async def test_a_stream_without_a_source_id_is_found_again_by_its_name() -> None:
    """LSL itself gives such a stream up; it is looked for, and goes on with its break marked."""
    info = pylsl.StreamInfo("nameless", "EEG", 3, RATE, pylsl.cf_double64, "")
    sender = Sender(pylsl.StreamOutlet(info))
    del info
    async with entered("nameless", sender) as substrate:
        assert substrate.info.identity == "host"
        await take(substrate, 10)
        sender.out = None  # type: ignore[assignment]
        gc.collect()
        async with asyncio.timeout(60):
            while not any(note.label == "stream lost" for note in substrate._marks):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        sender.out = pylsl.StreamOutlet(pylsl.StreamInfo("nameless", "EEG", 3, RATE, pylsl.cf_double64, ""))
        assert await asyncio.to_thread(sender.out.wait_for_consumers, 20.0)
        sender.send(100, skip=300)
        found = await take(substrate, 5)
        assert found.start == 400 / RATE
        assert np.array_equal(found.signal.reshape(-1, 3), samples(400, 50))


async def test_a_clock_that_is_another_one_after_a_break_is_related_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender's machine started again: its clock is 5000 s earlier, which LSL's measurement of offsets says."""
    from inmateria.adapters.streams import lsl_source

    moved = 0.0
    measured = lsl_source.time_correction

    def shifted(inlet: Any, timeout: float) -> Any:
        found = measured(inlet, timeout)
        if found is None or not moved:
            return found
        return lsl_source.TimeCorrection(found.remote - moved, found.offset + moved, found.uncertainty)

    monkeypatch.setattr(lsl_source, "time_correction", shifted)
    sender = Sender(outlet("rebooted"))
    async with entered("rebooted", sender) as substrate:
        await take(substrate, 10)
        sender.out = None  # type: ignore[assignment]
        gc.collect()
        await until_silent(substrate)
        moved = 5000.0
        sender.out = outlet("rebooted")
        assert await asyncio.to_thread(sender.out.wait_for_consumers, 20.0)
        sender.begun -= moved  # stamps on the new clock, of the samples that are due by the old one
        sender.send(100, skip=1000)
        found = (await take(substrate, 5)).signal.reshape(-1, 3)
        assert np.nanmax(np.abs(substrate._next - 50 - 1100)) <= 20
        missing = int(np.isnan(found[:, 0]).sum())
        assert np.array_equal(found[missing:], samples(1100, 50 - missing))
        (note,) = [each for each in substrate.take_notes() if each.label == "another outlet"]
        assert note.details["clock_moved"] == pytest.approx(5000.0, abs=0.05)


def test_the_command_records_a_stream(tmp_path: Path) -> None:
    """`inmateria record lsl://NAME --seconds N`, with an outlet of another process's own making: this one."""
    out = outlet("command", rate=100.0)
    path = tmp_path / "command.h5"
    command = [sys.executable, "-m", "inmateria", "record", "lsl://command?jitter=0", "--seconds", "1", "-o", str(path)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as recording:
        assert out.wait_for_consumers(60.0)
        Sender(out, 100.0).send(200)
        told, _ = recording.communicate(timeout=60)
    assert recording.returncode == 0
    assert json.loads(told) == {"path": str(path), "exchanges": 2}
    with open_recording(path) as read:
        assert np.array_equal(read.signal(), samples(0, 100))


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("lsl://any", "pylsl", "lsl"),
        ("openephys://localhost", "zmq", "openephys"),
        ("brainflow://synthetic", "brainflow", "brainflow"),
    ],
)
async def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, uri: str, package: str, extra: str
) -> None:
    for name in [package, *(each for each in sys.modules if each.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingStreamPackage, match=rf"inmateria\[{extra}\]"):
        async with connect(uri):
            pass


async def test_a_few_samples_and_then_none_are_not_held_back() -> None:
    """Too few to measure the jitter on: they come once the stream is silent."""
    sender = Sender(outlet("short"))
    async with entered("short", sender, count=20) as substrate:
        found = await take(substrate, 2)
        assert np.array_equal(found.signal.reshape(-1, 3), samples(0, 20))


async def test_a_recording_of_a_recording_notes_its_gaps_once(tmp_path: Path) -> None:
    sender = Sender(outlet("nested"))
    source = StreamSubstrate(LslSource("nested", jitter=0.0), step=10 / RATE, timeout=20.0)
    paths = tmp_path / "inner.h5", tmp_path / "outer.h5"
    async with RecordedSubstrate(RecordedSubstrate(source, paths[0]), paths[1]) as recorded:
        assert await asyncio.to_thread(sender.out.wait_for_consumers, 20.0)
        sender.send(10)
        sender.send(50, skip=5)
        await recorded.stimulate(recorded.info.stimulus(recorded.info.rest_drive(3)))
    labels = []
    for path in paths:
        with open_recording(path) as read:
            labels.append([note.label for note in read.notes].count("gap"))
    assert labels == [1, 0]
