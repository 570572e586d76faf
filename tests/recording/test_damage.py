"""A recording of which a bit has changed is refused or gives what it gave before; what is whole of it is kept."""

import hashlib
import random
import zlib
from pathlib import Path
from typing import Any

import h5py
import neo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.recording import Exchange, Note, RecordingError, RecordingWriter, open_recording, read_block, recover
from inmateria.recording.checksums import RunningChecksum, checksum, sealed, sealed_rows
from inmateria.recording.format import CHECK, CHECKED_BYTES, DATA
from inmateria.recording.formats.export import export
from inmateria.recording.verified_tables import VerifiedTables
from inmateria.substrate import SPIKE, Response, Stimulus

INFO = LeakySimulator(spiking=True).info
COUNT, LONG, LONG_STEPS = 200, 90, 12000


def write(path: Path, *, end: bool = True, annotations: dict[str, Any] | None = None) -> RecordingWriter:
    """Record many short exchanges and a long one, two sessions and some notes."""
    simulator, generator = LeakySimulator(spiking=True), np.random.default_rng(1)
    writer = RecordingWriter(path, INFO, annotations or {"dish": "7", "temperature": float("nan")})
    for number in range(COUNT):
        steps = LONG_STEPS if number == LONG else 5
        stimulus = Stimulus(generator.uniform(-1, 1, (steps, 3)), 0.01)
        exchange = Exchange(stimulus, simulator.advance(stimulus), number // 100, 1e9 + number, 1e-3)
        notes = [Note("marker", f"m{number}", {"size": number / 3})] if number % 10 == 0 else []
        writer.append([*notes, exchange])
    if end:
        writer.end()
    return writer


def digest(path: Path) -> str:
    """Return a hash of all that a recording gives."""
    with open_recording(path) as recording:
        told = (
            recording.info, recording.annotations, recording.software, recording.script, recording.created,
            recording.notes, recording.finished, recording.announced, recording.version, recording.scale,
        )  # fmt: skip
        found = hashlib.sha256(repr(told).encode())
        for rows in (recording.exchanges, recording.drive(), recording.signal(), recording.spikes()):
            found.update(rows.tobytes())
    return found.hexdigest()


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def assert_one_line(error: RecordingError, path: Path) -> None:
    assert str(path) in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("kind", ["finished", "unfinished", "long annotations"])
def test_a_flipped_bit_is_an_error_or_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("inmateria.recording.reading._PAUSE", 0.0)
    path, other = tmp_path / "r.h5", tmp_path / "other.h5"
    # HDF5 has no checksum for attributes of more than 64 KiB.
    annotations = {"text": "x" * 200_000} if kind == "long annotations" else None
    writer = write(path, end=kind != "unfinished", annotations=annotations)
    data, expected, chance = path.read_bytes(), digest(path), random.Random(kind)
    header = data.index(b"EAHD")  # where the first index begins
    refused = 0
    for number in range(80):
        at = chance.randrange(header if number % 4 == 0 else len(data))
        other.write_bytes(flipped(data, at, chance.randrange(8)))
        try:
            found = digest(other)
        except RecordingError as error:
            assert_one_line(error, other)
            refused += 1
        else:
            assert found == expected, f"byte {at}"
    assert refused > 60
    writer.close()


def signals(block: neo.Block) -> list[Any]:
    """Return the values of a block: all but names that are made anew for each file."""
    found: list[Any] = [block.name, block.annotations.get("info"), block.annotations.get("annotations_json")]
    for segment in block.segments:
        for each in (*segment.analogsignals, *segment.irregularlysampledsignals):
            found += [each.magnitude.tobytes(), str(each.units), float(each.t_start)]
        found += [train.magnitude.tobytes() for train in segment.spiketrains]
        for each in (*segment.events, *segment.epochs):
            found += [each.times.magnitude.tobytes(), each.labels.tolist()]
            found += [repr(each.array_annotations[name].tolist()) for name in sorted(each.array_annotations)]
    return found


def nwb_values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def see(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and "specifications" not in name and name != "file_create_date":
            data = item[()]
            if item.dtype.kind == "O" and item.ndim:
                data = [repr(each) if isinstance(each, bytes | str) else "" for each in data]  # references
            found[name] = data.tobytes() if isinstance(data, np.ndarray) else repr(data)

    with h5py.File(path) as file:
        file.visititems(see)
    return found


def exported(path: Path, folder: Path) -> list[Any]:
    folder.mkdir()
    export(path, folder / "r.nix")
    with neo.NixIO(str(folder / "r.nix"), mode="ro") as file:
        values = signals(file.read_block())
    paths = export(path, folder / "r.nwb").paths
    return [values, *(nwb_values(each) for each in paths)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_flipped_bit_passes_into_nix_or_nwb(tmp_path: Path) -> None:
    path, other = tmp_path / "r.h5", tmp_path / "other.h5"
    write(path)
    data, expected, chance = path.read_bytes(), exported(path, tmp_path / "undamaged"), random.Random(5)
    assert exported(path, tmp_path / "again") == expected
    refused = 0
    for number in range(400):
        other.write_bytes(flipped(data, chance.randrange(len(data)), chance.randrange(8)))
        folder = tmp_path / str(number)
        try:
            assert exported(other, folder) == expected
        except RecordingError:
            refused += 1
            assert list(folder.iterdir()) == []
    assert refused > 300


PLACES = ["drive", "signal", "spikes", "exchanges", "notes", "text", "info"]


def place_of(path: Path, table: str) -> int:
    """Return the position in the file of a byte in use."""
    if table == "info":
        return path.read_bytes().index(INFO.kind.encode())
    with h5py.File(path) as file:
        return int(file[table].id.get_chunk_info(0).byte_offset) + 333


@pytest.mark.parametrize("table", PLACES)
@pytest.mark.parametrize("suffix", [".nix", ".nwb"])
def test_what_is_damaged_is_not_exported(tmp_path: Path, table: str, suffix: str) -> None:
    path = tmp_path / "r.h5"
    write(path)
    path.write_bytes(flipped(path.read_bytes(), place_of(path, table)))
    with pytest.raises(RecordingError, match="damaged"):
        export(path, tmp_path / f"out{suffix}")
    assert [each.name for each in tmp_path.iterdir()] == ["r.h5"]
    with pytest.raises(RecordingError, match="damaged"):
        read_block(path)
    if table in ("drive", "signal", "spikes"):
        with pytest.raises(RecordingError, match=r"is damaged: exchange \d+; 199 of its 200 exchanges are whole"):
            read_block(path)


def test_recovery_keeps_what_is_before_and_behind_the_damage_and_says_what_is_missing(tmp_path: Path) -> None:
    path, saved = tmp_path / "r.h5", tmp_path / "saved.h5"
    write(path)
    with open_recording(path) as recording:
        given = list(recording)
        first_note = recording.notes[0]
    data = path.read_bytes()
    row = data.index(given[150].response.sequence.to_bytes(8, "little") + (1).to_bytes(4, "little"))
    places = [
        data.index(given[10].stimulus.drive.tobytes()) + 8,
        data.index(np.asarray(given[50].response.signal)[0].tobytes()) + 9,
        data.index(np.asarray(given[51].response.signal)[0].tobytes()) + 9,
        row + 70,  # among the fields of its row
        data.index(b'"label":"m120"'),
    ]
    for at in places:
        data = flipped(data, at)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"exchanges 10, 50 to 51, 150 and note 12; 196 of its 200"):
        digest(path)
    found = recover(path, saved)
    assert found.damaged == (10, 50, 51, 150)
    assert (found.whole, found.announced, found.damaged_notes) == (196, 200, (12,))
    kept = [each for number, each in enumerate(given) if number not in found.damaged]
    with open_recording(saved) as recording:
        assert not recording.finished
        for mine, its in zip(recording, kept, strict=True):
            assert np.array_equal(mine.stimulus.drive, its.stimulus.drive)
            assert np.array_equal(mine.response.signal, its.response.signal)
            assert np.array_equal(mine.response.spikes, its.response.spikes)
            assert (mine.session, mine.sent, mine.round_trip) == (its.session, its.sent, its.round_trip)
            assert (mine.response.start, mine.response.sequence) == (its.response.start, its.response.sequence)
        missing = [note for note in recording.notes if note.kind == "damaged"]
        assert [note.details for note in missing] == [
            {"notes": [12], "metadata": []},
            {"exchanges": 1, "first": 10, "last": 10},
            {"exchanges": 2, "first": 50, "last": 51},
            {"exchanges": 1, "first": 150, "last": 150},
        ]
        assert [note.exchange for note in missing[1:]] == [10, 49, 147]
        assert "exchanges 50 to 51" in missing[2].label
        markers = [note for note in recording.notes if note.kind == "marker"]
        assert [note.label for note in markers] == [f"m{k}" for k in range(0, 200, 10) if k != 120]
        assert (markers[0].label, markers[0].details) == (first_note.label, first_note.details)
    assert recover(saved).damaged == ()


def test_a_copy_has_the_tables_that_writing_each_exchange_gives(tmp_path: Path) -> None:
    path, saved = tmp_path / "r.h5", tmp_path / "saved.h5"
    writer = write(path, end=False)
    writer.append([Note("marker", "after the last"), Note("marker", "and another")])
    writer.close()
    assert recover(path, saved).whole == COUNT
    with h5py.File(path) as one, h5py.File(saved) as other:
        assert len(one["checks"]) > 0
        assert len(one["notes"]) == 22
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert one[name][:].tobytes() == other[name][:].tobytes(), name


def test_the_annotations_alone_may_be_lost(tmp_path: Path) -> None:
    path, saved = tmp_path / "r.h5", tmp_path / "saved.h5"
    write(path, annotations={"text": "x" * 200_000})
    data = path.read_bytes()
    path.write_bytes(flipped(data, data.index(b"x" * 1000) + 500))
    with pytest.raises(RecordingError, match="its annotations cannot be trusted"):
        digest(path)
    assert recover(path, saved).damaged_metadata == ("annotations",)
    with open_recording(saved) as recording:
        assert (len(recording), recording.annotations) == (COUNT, {})


def test_a_lazy_slice_reads_little_and_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.h5"
    write(path)
    with open_recording(path) as recording:
        signal = recording.signal(LONG, LONG + 1)
    read = []
    plain = VerifiedTables._read

    def counted(tables: VerifiedTables, table: str, first: int, last: int) -> Any:
        if table in DATA:
            read.append((last - first) * 32)
        return plain(tables, table, first, last)

    monkeypatch.setattr(VerifiedTables, "_read", counted)
    lazy = read_block(path, lazy=True).segments[0].analogsignals[1]
    read.clear()
    begin = 0.05 * LONG
    part = lazy.load(
        time_slice=(lazy.t_start + begin * lazy.t_start.units, lazy.t_start + (begin + 0.1) * lazy.t_start.units)
    )
    assert np.array_equal(part.magnitude, signal[: len(part), [0, 2]])
    assert 0 < sum(read) <= CHECKED_BYTES
    assert signal.nbytes > 2 * CHECKED_BYTES
    data = path.read_bytes()
    path.write_bytes(flipped(data, data.index(signal[-1].tobytes())))
    again = lazy.load(time_slice=(part.t_start, part.t_stop))
    assert np.array_equal(again.magnitude, part.magnitude)
    with pytest.raises(RecordingError, match="is damaged: exchange 90; 199 of its 200"):
        lazy.load()


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.sampled_from([1, 2, 5, 4500, 9000]), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_running_checksums_are_those_of_zlib(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    path = tmp_path_factory.mktemp("running") / "r.h5"
    generator, simulator = np.random.default_rng(seed), LeakySimulator(spiking=True)
    writer = RecordingWriter(path, INFO, provenance={})
    for steps in lengths:
        stimulus = Stimulus(generator.uniform(-1, 1, (steps, 3)), 0.01)
        writer.append([Exchange(stimulus, simulator.advance(stimulus), 0, 0.0, 0.0)])
    writer.end()
    with h5py.File(path) as file:
        rows, checks = file["exchanges"][:], file["checks"][:]
        for number, (table, (first, count, check)) in enumerate(DATA.items()):
            data = file[table][:]
            for row in rows:
                assert row[check] == zlib.crc32(data[: row[first] + row[count]].tobytes())
            mine = checks[checks["table"] == number]
            for row in mine:
                assert row["value"] == zlib.crc32(data[: row["rows"]].tobytes())
            known = np.unique(np.concatenate([[0], (rows[first] + rows[count]).astype(int), mine["rows"].astype(int)]))
            assert max(np.diff(known), default=0) * data[:1].nbytes <= CHECKED_BYTES
    digest(path)


@given(
    fields=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**63), st.integers(0, 2**32 - 1)), max_size=8)
)
def test_rows_with_their_own_checksum_are_told_from_damaged_ones(fields: list[tuple[int, int, int]]) -> None:
    plain = [np.array([(*each, 0)], dtype=CHECK).tobytes()[:-4] for each in fields]
    data = b"".join(sealed(each) for each in plain)
    assert sealed_rows(np.frombuffer(data, dtype=CHECK)).all()
    for number in range(len(fields)):
        for at in range(number * CHECK.itemsize, (number + 1) * CHECK.itemsize):
            intact = sealed_rows(np.frombuffer(flipped(data, at, at % 8), dtype=CHECK))
            assert np.flatnonzero(~intact).tolist() == [number]


def test_a_range_is_verified_from_the_nearest_values_on_both_sides() -> None:
    running = RunningChecksum.of([(np.array([5, 9]), np.array([50, 90])), (np.array([7]), np.array([70]))])
    assert running.around(5, 7) == (5, 7, 50, 70)
    assert running.around(6, 8) == (5, 9, 50, 90)
    assert running.around(0, 1) == (0, 5, 0, 50)
    assert running.around(8, 10) is None
    assert checksum(b"ab", b"c") == zlib.crc32(b"abc") == checksum(b"c", start=zlib.crc32(b"ab"))


BAD = [(0.5, 4), (0.5, 2**32 - 1), (float("nan"), 0), (float("inf"), 0)]


@pytest.mark.parametrize("spike", BAD)
def test_a_spike_of_no_channel_is_refused_when_written_and_when_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spike: tuple[float, int]
) -> None:
    response = Response(np.zeros((1, 2, 4)), np.array([(0.1, 1), spike], dtype=SPIKE), 0.0, 7)
    exchange = Exchange(Stimulus(np.zeros((1, 3)), 0.01), response, 0, 0.0, 0.0)
    writer = RecordingWriter(tmp_path / "r.h5", INFO)
    with pytest.raises(RecordingError, match=r"exchange 7 cannot be recorded in .*: a spike at .* channels 0 to 3"):
        writer.append([exchange])
    monkeypatch.setattr("inmateria.recording.writing.spike_of_no_channel", lambda *_: None)
    writer.append([exchange])
    writer.end()
    for read in (lambda: digest(tmp_path / "r.h5"), lambda: read_block(tmp_path / "r.h5")):
        with pytest.raises(RecordingError, match=r"a spike at .* channels 0 to 3"):
            read()
