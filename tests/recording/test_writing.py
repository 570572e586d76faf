"""What is written comes back bit for bit, whatever it is; and what could not be written is told."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from leaky import LeakySimulator

from inmateria import __version__
from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import (
    Exchange,
    Note,
    RecordedSubstrate,
    RecordingError,
    RecordingWriter,
    open_recording,
    read_block,
    recover,
)
from inmateria.recording.background import BackgroundWriter
from inmateria.recording.format import DATA, EXCHANGE, NOTE
from inmateria.substrate import (
    SPIKE,
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateDisconnected,
)

FLOATS = st.floats(width=64, allow_nan=True, allow_infinity=True)
FINITE = st.floats(width=64, allow_nan=False, allow_infinity=False)
DRIVES = st.floats(min_value=-1, max_value=1)
INFO = LeakySimulator(spiking=True).info


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    steps, samples = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    count = draw(st.integers(0, 5))
    spikes = np.zeros(count, dtype=SPIKE)
    spikes["time"] = draw(hnp.arrays(np.float64, count, elements=FINITE))
    spikes["channel"] = draw(hnp.arrays(np.uint32, count, elements=st.integers(0, 3)))
    return Exchange(
        Stimulus(draw(hnp.arrays(np.float64, (steps, 3), elements=DRIVES)), draw(st.floats(1e-3, 1.0))),
        Response(
            draw(hnp.arrays(np.float64, (steps, samples, 4), elements=FLOATS)),
            spikes,
            draw(FLOATS),
            draw(st.integers(0, 2**63 - 1)),
        ),
        draw(st.integers(0, 2**32 - 1)),
        draw(FLOATS),
        draw(FLOATS),
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def same_bits(one: object, other: object) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(exchanges(), max_size=4), max_size=4), annotations=st.dictionaries(TEXT, JSON))
def test_whatever_is_written_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Exchange]], annotations: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("round") / "r.h5"
    writer = RecordingWriter(path, INFO, annotations, provenance={})
    for batch in batches:
        writer.append(batch)
    writer.end()
    with open_recording(path) as recording:
        assert recording.info == INFO
        assert repr(recording.annotations) == repr(annotations)  # NaN is not equal to itself
        assert recording.finished
        written = [each for batch in batches for each in batch]
        for mine, its in zip(recording, written, strict=True):
            assert same_bits(mine.stimulus.drive, its.stimulus.drive)
            assert same_bits(mine.response.signal, its.response.signal)
            assert same_bits(mine.response.spikes, its.response.spikes)
            for field in ("session", "sent", "round_trip"):
                assert same_bits(getattr(mine, field), getattr(its, field))
            assert same_bits(mine.response.start, its.response.start)
            assert (mine.response.sequence, mine.stimulus.step) == (its.response.sequence, its.stimulus.step)


@settings(max_examples=40, deadline=None)
@given(
    label=TEXT,
    details=st.dictionaries(TEXT, JSON),
    numbers=st.tuples(FLOATS, FLOATS, st.floats(0, 1e9)),
    session=st.integers(0, 2**32 - 1),
)
def test_a_note_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    label: str,
    details: dict[str, object],
    numbers: tuple[float, float, float],
    session: int,
) -> None:
    path = tmp_path_factory.mktemp("note") / "r.h5"
    writer = RecordingWriter(path, INFO, provenance={})
    writer.append([Note("marker", label, details, *numbers, session)])
    writer.end()
    with open_recording(path) as recording:
        note, end = recording.notes
        assert (note.label, repr(note.details), note.session) == (label, repr(details), session)
        assert same_bits([note.host, note.device, note.duration], list(numbers))
        assert end.kind == "end"


@given(counts=hnp.arrays(np.int16, (20, 4)), scale=st.floats(1e-6, 1e3))
@settings(max_examples=25, deadline=None)
def test_int16_counts_come_back_as_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, counts: np.ndarray, scale: float
) -> None:
    path = tmp_path_factory.mktemp("counts") / "r.h5"
    values = counts * np.full(4, scale)
    spikes = np.zeros(0, dtype=SPIKE)
    writer = RecordingWriter(path, INFO, scale=scale, provenance={})
    stimulus = Stimulus(np.zeros((10, 3)), 0.01)
    writer.append([Exchange(stimulus, Response(values.reshape(10, 2, 4), spikes, 0.0, 0), 0, 0.0, 0.0)])
    writer.append([Exchange(stimulus, Response(counts.reshape(10, 2, 4), spikes, 0.1, 1), 0, 0.0, 0.0)])
    writer.end()
    with h5py.File(path) as file:
        assert file["signal"].dtype == np.int16
    with open_recording(path) as recording:
        for exchange in recording:
            assert exchange.response.signal is not None
            assert np.array_equal(exchange.response.signal.reshape(20, 4), values)
        assert np.array_equal(recording.counts(0, 1), counts)
    raw = read_block(path, lazy=True).segments[0].analogsignals[1].load(magnitude_mode="raw")
    assert raw.dtype == np.int16
    assert np.array_equal(raw.magnitude[:20], counts[:, [0, 2]])


@pytest.mark.parametrize("value", [0.1951, np.nan, np.inf, 0.195 * 40_000, -1e300])
def test_what_is_no_count_is_refused(tmp_path: Path, value: float) -> None:
    writer = RecordingWriter(tmp_path / "r.h5", INFO, scale=0.195)
    signal = np.zeros((1, 2, 4))
    signal[0, 1, 2] = value
    exchange = Exchange(Stimulus(np.zeros((1, 3)), 0.01), Response(signal, None, 0.0, 0), 0, 0.0, 0.0)
    with pytest.raises(RecordingError, match="on output 2; it must be an int16 count times"):
        writer.append([exchange])
    writer.end()
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == 0


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, [1.0, 2.0]])
def test_a_wrong_scale_is_refused_and_makes_no_file(tmp_path: Path, scale: float) -> None:
    with pytest.raises(ValueError, match=r"scale|broadcast"):
        RecordingWriter(tmp_path / "r.h5", INFO, scale=scale)
    assert not (tmp_path / "r.h5").exists()


async def test_markers_parameters_and_what_was_refused_are_written_down(tmp_path: Path) -> None:
    good, bad = Stimulus(np.full((2, 3), 0.5), 0.01), Stimulus(np.full((2, 3), 5.0), 0.01)
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
        substrate.mark("before")
        await substrate.stimulate(good)
        substrate.mark("medium changed", duration=0.5, litres=1e-3)
        with pytest.raises(StimulusRejected):
            await substrate.stimulate(bad)
        async with aclosing(substrate.stream([good, bad])) as responses:
            await anext(responses)
            with pytest.raises(StimulusRejected):
                await anext(responses)
        await substrate.reset()
        substrate.note_parameters(temperature=36.5, gain=np.float64(2.0))
        await substrate.stimulate(good)
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == 3
        before, medium, one, two, parameters, end = recording.notes
    assert (before.label, before.exchange) == ("before", 0)
    assert np.isnan(before.device)
    assert (medium.label, medium.duration, medium.device, medium.details) == (
        "medium changed", 0.5, 0.02, {"litres": 1e-3},
    )  # fmt: skip
    for note in (one, two):
        assert (note.kind, note.label, note.details["drive"]) == ("unanswered", "StimulusRejected", [[5.0] * 3] * 2)
        assert "drives i0 with 5 V" in note.details["error"]
    assert (parameters.details, parameters.session) == ({"temperature": 36.5, "gain": 2.0}, 1)
    assert end.kind == "end"
    first, second = read_block(tmp_path / "r.h5").segments
    assert [event.name for event in first.events] == ["exchange", "marker", "unanswered"]
    assert [epoch.name for epoch in first.epochs] == ["marker"]
    assert float(first.epochs[0].durations[0]) == 0.5
    assert [event.name for event in second.events] == ["exchange", "parameters"]


async def test_what_was_in_flight_when_a_stream_was_left_is_written_down(tmp_path: Path) -> None:
    class Ahead(SimulatedSubstrate):
        """Takes three stimuli before it gives a response."""

        async def _stream(self, stimuli):  # type: ignore[no-untyped-def]
            taken = [each async for each in stimuli]
            for each in taken:
                yield await self.stimulate(each)

    given = [Stimulus(np.full((1, 3), 0.1 * k), 0.01) for k in range(3)]
    async with (
        RecordedSubstrate(Ahead(LeakySimulator()), tmp_path / "r.h5") as substrate,
        aclosing(substrate.stream(given)) as responses,
    ):
        await anext(responses)
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == 1
        unanswered = [note for note in recording.notes if note.kind == "unanswered"]
    assert [note.details["drive"] for note in unanswered] == [each.drive.tolist() for each in given[1:]]
    assert {note.label for note in unanswered} == {"the stream was left"}


class SlowDisk:
    """Holds a writer up until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.reached = threading.Event()
        append = RecordingWriter.append

        def slow(writer: RecordingWriter, items: object) -> None:
            self.reached.set()
            assert self.free.wait(30)
            append(writer, items)  # type: ignore[arg-type]

        monkeypatch.setattr(RecordingWriter, "append", slow)


async def test_a_slow_disk_slows_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    taken = 0

    def endless() -> Iterator[Stimulus]:
        nonlocal taken
        while True:
            taken += 1
            yield Stimulus(np.full((1, 3), 0.1), 0.01)

    async def work() -> int:
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
            async with aclosing(substrate.stream(endless())) as responses:
                async for response in responses:
                    await asyncio.sleep(0)
                    if disk.free.is_set() and response.sequence > stalled:
                        break
            return substrate.exchanges

    stalled = 1 << 60
    task = asyncio.create_task(work())
    await asyncio.to_thread(disk.reached.wait, 30)
    before = -1
    while taken != before:  # until it stands still
        before = taken
        await asyncio.sleep(0.7)
    assert taken < 20_000
    stalled = taken
    disk.free.set()
    exchanges = await task
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == exchanges > stalled
        assert recording.dropped == 0


async def test_on_request_exchanges_are_dropped_and_counted_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inmateria.recording.background._MOST_ITEMS", 50)
    disk = SlowDisk(monkeypatch)
    substrate = RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5", when_full="drop")
    stimulus = Stimulus(np.full((2, 3), 0.1), 0.01)
    async with substrate:
        for _ in range(2000):  # the device is never held up
            await substrate.stimulate(stimulus)
        assert substrate.dropped > 1000
        disk.free.set()
        while substrate.exchanges < 200:
            await substrate.stimulate(stimulus)
            await asyncio.sleep(0)
        sent = (await substrate.stimulate(stimulus)).sequence + 1
        dropped, kept = substrate.dropped, substrate.exchanges
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.dropped == dropped
        assert len(recording) == kept
        assert kept + dropped == sent
        gone = [note.details for note in recording.notes if note.kind == "dropped"]
        assert all(each["steps"] == 2 * each["exchanges"] for each in gone)
        there = set(recording.exchanges["sequence"].tolist())
        missing = set(range(sent)) - there
        assert {each["first_sequence"] for each in gone} <= missing
        assert {each["last_sequence"] for each in gone} <= missing
    assert recover(tmp_path / "r.h5").dropped == dropped


async def test_notes_do_not_pile_up_without_end_before_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inmateria.recording.background._MOST_ITEMS", 10)
    disk = SlowDisk(monkeypatch)
    writer = BackgroundWriter(RecordingWriter(tmp_path / "r.h5", INFO))
    note = Note("marker", "m")
    for _ in range(20):
        assert writer.put(note, even_if_full=True)
    with pytest.raises(RecordingError, match="its disk does not respond"):
        writer.put(note, even_if_full=True)
    disk.free.set()
    await writer.close()
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording.notes) == 21


async def test_a_device_that_is_lost_leaves_the_stimulus_and_why(tmp_path: Path) -> None:
    class Lost(SimulatedSubstrate):
        async def _apply(self, stimulus: Stimulus) -> Response:
            raise SubstrateDisconnected("the cable was pulled")

    with pytest.raises(SubstrateDisconnected):
        async with RecordedSubstrate(Lost(LeakySimulator()), tmp_path / "r.h5") as substrate:
            await substrate.stimulate(Stimulus(np.full((1, 3), 0.1), 0.01))
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.finished
        assert recording.notes[0].label == "SubstrateDisconnected"
        assert recording.notes[0].details["error"] == "the cable was pulled"


def test_the_software_and_the_state_of_the_script_are_kept_and_no_secrets(tmp_path: Path) -> None:
    script = tmp_path / "experiment.py"
    script.write_text(
        "from leaky import LeakySimulator\nfrom inmateria.recording import RecordingWriter\nimport sys\n"
        "password = 's3cret-text'\n"
        "RecordingWriter(sys.argv[1], LeakySimulator().info).end()\n"
    )
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for words in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    places = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    told = []
    for name in ("clean.h5", "changed.h5"):
        subprocess.run(
            [sys.executable, str(script), str(tmp_path / name), "--token", "s3cret-argument"],
            check=True, env={**os.environ, "PYTHONPATH": places, "INMATERIA_MQTT_PASSWORD": "s3cret-variable"},
        )  # fmt: skip
        assert b"s3cret" not in (tmp_path / name).read_bytes()
        with open_recording(tmp_path / name) as recording:
            told.append(recording.script)
            assert recording.software["inmateria"] == __version__
            assert {"python", "numpy", "h5py"} <= set(recording.software)
        script.write_text(script.read_text() + "# changed\n")
    clean, changed = told
    assert (clean["name"], clean["commit"], clean["branch"]) == ("experiment.py", commit.strip(), "trunk")
    assert (clean["changed"], changed["changed"]) == (False, True)
    assert clean["sha256"] != changed["sha256"]
    assert str(tmp_path) not in json.dumps(told)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_recordings_of_older_versions_are_still_read(tmp_path: Path, version: int, killed: bool) -> None:
    path = tmp_path / "old.h5"
    left = [*(check for *_, check in DATA.values()), *(["check"] if version == 1 else [])]
    old = np.dtype([(name, EXCHANGE[name].str) for name in EXCHANGE.names or () if name not in left])
    simulator = LeakySimulator(spiking=True)
    given = [Stimulus(np.random.default_rng(k).uniform(-1, 1, (5, 3)), 0.01) for k in range(30)]
    responses = [simulator.advance(each) for each in given]
    file = h5py.File(path, "x", libver="latest")
    file.attrs.update(
        format="inmateria recording", version=version, created="2026-01-01T00:00:00+00:00",
        info=msgspec.json.encode(simulator.info).decode(), annotations="{}",
        **({"inmateria": "0.1.0"} if version == 1 else {"software": '{"inmateria": "0.1.0"}', "script": "{}"}),
    )  # fmt: skip
    rows, spikes = np.zeros(30, dtype=old), np.concatenate([each.spikes for each in responses])
    first = 0
    for k, (row, stimulus, response) in enumerate(zip(rows, given, responses, strict=True)):
        assert response.spikes is not None
        row["sequence"], row["start"], row["step"], row["steps"], row["samples"] = k, response.start, 0.01, 5, 10
        row["first_step"], row["first_sample"], row["first_spike"] = 5 * k, 10 * k, first
        row["spikes"] = len(response.spikes)
        first += len(response.spikes)
        if version == 2:
            told = [stimulus.drive.tobytes(), np.asarray(response.signal).tobytes(), response.spikes.tobytes()]
            row["check"] = zlib.crc32(b"".join([*told, row.tobytes()[:-4]]))
    tables = {
        "drive": np.concatenate([each.drive for each in given]),
        "signal": np.concatenate([np.reshape(each.signal, (-1, 4)) for each in responses]),
        "spikes": spikes,
        "exchanges": rows,
    }
    if version == 2:
        tables |= {"notes": np.zeros(0, dtype=NOTE), "text": np.zeros(0, dtype=np.uint8)}
    for name, data in tables.items():
        packed = {"compression": "lzf", "shuffle": True} if version == 1 else {"chunks": True}
        file.create_dataset(name, data=data, maxshape=(None, *data.shape[1:]), **packed)
    file.flush()
    if killed:
        file.swmr_mode = True
        copy = path.read_bytes()
        file.close()
        path.write_bytes(copy)
    else:
        file.close()
    with open_recording(path) as recording:
        assert recording.version == version
        assert recording.software == {"inmateria": "0.1.0"}
        assert recording.notes == []
        for exchange, response in zip(recording, responses, strict=True):
            assert np.array_equal(exchange.response.signal, response.signal)
            assert np.array_equal(exchange.response.spikes, response.spikes)
    assert recover(path).whole == 30
    if version == 1:
        return
    data = bytearray(path.read_bytes())
    data[bytes(data).index(given[20].drive.tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="is damaged: exchange 20; 29 of its 30"), open_recording(path):
        pass
    assert recover(path, tmp_path / "saved.h5").damaged == (20,)
    with open_recording(tmp_path / "saved.h5") as saved:
        assert [each.response.sequence for each in saved] == [k for k in range(30) if k != 20]


def test_parameters_that_are_not_finite_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    numbers = {
        "gain": float("nan"),
        "limits": [float("-inf"), {"high": np.float64("inf")}],
        "map": np.array([1.0, np.nan]),
    }

    async def record() -> None:
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), path, numbers) as substrate:
            await substrate.stimulate(Stimulus(np.full((5, 3), 0.5), 0.01))
            substrate.note_parameters(**numbers)
            substrate.mark("event", value=float("inf"))
            with pytest.raises(ValueError, match="cannot be represented in JSON"):
                substrate.mark("event", value=object())

    asyncio.run(record())
    expected = "{'gain': nan, 'limits': [-inf, {'high': inf}], 'map': [1.0, nan]}"
    with open_recording(path) as recording:
        assert repr(recording.annotations) == expected
        parameters, event, _ = recording.notes
        assert repr(parameters.details) == expected
        assert event.details == {"value": float("inf")}
    block = read_block(path)
    assert '"gain":{"$numberDouble":"NaN"}' in block.annotations["annotations_json"]
    with pytest.raises(ValueError, match="only key"):
        RecordingWriter(tmp_path / "other.h5", LeakySimulator().info, {"a": {"$numberDouble": "NaN"}})
    assert not (tmp_path / "other.h5").exists()
