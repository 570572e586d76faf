"""A recording outlives its writer: killed, cut anywhere, on a full disk, or with bytes changed."""

import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from leaky import LeakySimulator
from writers import Writers, assert_as_it_happened

from inmateria.recording import (
    Exchange,
    Note,
    RecordingError,
    RecordingWriter,
    open_recording,
    recover,
)
from inmateria.substrate import Stimulus

TOGETHER = 10  # writers at a time; they mostly rest


def acknowledged(lines: list[str]) -> int:
    """How many exchanges had been answered a second before the last line, which a kill may have cut."""
    told = [line.split() for line in lines if line.endswith("\n") and not line.startswith("failed")]
    last = float(told[-1][1])
    return max((int(count) for count, at in told if float(at) < last - 1.0), default=0)


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_writers_killed_at_random_moments_leave_all_that_is_older_than_a_second(tmp_path: Path, kills: int) -> None:
    chance = random.Random(2)
    due = []
    with Writers() as writers:
        for first in range(0, kills, TOGETHER):
            begun = [writers.begin(tmp_path / f"{first + k}.h5", pause=0.02) for k in range(TOGETHER)]
            told = {writer: [writer.told.readline()] for writer in begun}
            left, now = sorted((chance.uniform(0.0, 1.8), number) for number in range(TOGETHER)), 0.0
            for moment, number in left:
                time.sleep(moment - now)
                now = moment
                begun[number].kill()
            for writer in begun:
                with writer.told:
                    told[writer] += writer.told.readlines()
                due.append(acknowledged(told[writer]))
                found = recover(writer.path)
                assert not found.finished
                assert not found.closed
                assert found.damaged == ()
                assert found.whole >= due[-1]
                with open_recording(writer.path) as recording:
                    assert len(recording) == found.whole
                    assert_as_it_happened(recording)
    assert len(due) == kills
    assert sum(count > 0 for count in due) > kills / 5


@pytest.mark.parametrize("closed", [True, False])
def test_a_file_cut_anywhere_gives_all_that_was_there_when_it_was_so_long(tmp_path: Path, closed: bool) -> None:
    path, cut = tmp_path / "r.h5", tmp_path / "cut.h5"
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    recorder = RecordingWriter(path, simulator.info)
    head = path.stat().st_size
    grown, written = [], 0
    for number in range(100):
        given = [Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01) for _ in range(1 + number % 5)]
        recorder.append(
            [Note("marker", f"batch {number}")]
            + [Exchange(each, simulator.advance(each), 0, 1e9 + number, 0.001) for each in given]
        )
        written += len(given)
        grown.append((path.stat().st_size, written))
    if closed:
        recorder.end()
    data = path.read_bytes()
    whole = grown[-1][1]
    some = random.Random(4)
    places = [some.randrange(len(data)) for _ in range(90)] + [some.randrange(head) for _ in range(10)]
    counts = []
    for place in places:
        cut.write_bytes(data[:place])
        due = max((count for size, count in grown if size <= place), default=0)
        if place < head:
            with pytest.raises(RecordingError, match=r"cut\.h5 cannot be read.*within its header"):
                recover(cut)
            continue
        found = recover(cut)
        assert found.whole >= due
        assert found.damaged == ()
        assert not found.closed
        counts.append(found.whole)
    cut.write_bytes(data)
    assert recover(cut).whole == whole
    assert recover(cut).finished is closed
    assert len(set(counts)) > 10
    if not closed:
        recorder.close()


def test_what_a_cut_leaves_is_as_it_happened_and_can_be_written_as_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    recorder = RecordingWriter(path, simulator.info, {"note": "cut"})
    for number in range(500):
        stimulus = Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)
        recorder.append([Exchange(stimulus, simulator.advance(stimulus), 0, float(number), 0.001)])
    recorder.append([Note("marker", "late")])
    recorder.end()
    os.truncate(path, path.stat().st_size * 2 // 3)
    found = recover(path, tmp_path / "saved.h5")
    assert 0 < found.whole < 500
    with open_recording(path) as recording:
        assert_as_it_happened(recording)
    with open_recording(tmp_path / "saved.h5") as saved:
        assert len(saved) == found.whole
        assert saved.annotations == {"note": "cut"}
        assert not saved.finished
        assert_as_it_happened(saved)
    assert recover(tmp_path / "saved.h5").closed


def test_a_disk_that_fills_ends_in_one_error_and_what_was_written_stays(tmp_path: Path) -> None:
    limits = [200_000, 1_000_000, 3_333_333]
    with Writers() as writers:
        begun = [writers.begin(tmp_path / f"{limit}.h5", pause=0.001, limit=limit) for limit in limits]
        for writer, limit in zip(begun, limits, strict=True):
            with writer.told:
                *lines, failure = writer.told.readlines()
            assert failure.startswith(f"failed RecordingError: {writer.path} cannot be written")
            assert "is the disk full?" in failure
            found = recover(writer.path)
            assert found.whole >= acknowledged(lines)
            assert limit // 2 < writer.path.stat().st_size <= limit
            with open_recording(writer.path) as recording:
                assert_as_it_happened(recording)


def test_a_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    recorder = RecordingWriter(path, simulator.info)
    given = [Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01) for _ in range(100)]
    recorder.append([Exchange(each, simulator.advance(each), 0, 0.0, 0.001) for each in given])
    recorder.end()
    data = bytearray(path.read_bytes())
    at = bytes(data).index(given[50].drive.tobytes())
    data[at + 3] ^= 1
    other = tmp_path / "changed.h5"
    other.write_bytes(data)
    assert recover(other).damaged == (50,)
    assert recover(other, tmp_path / "saved.h5").whole == 99
    with open_recording(other) as recording:
        assert np.array_equal(recording.exchange(49).stimulus.drive, given[49].drive)
        with pytest.raises(RecordingError, match="is damaged: exchange 50; 99 of its 100 exchanges are whole"):
            recording.exchange(50)
    shutil.copy(path, tmp_path / "copy.h5")
    assert recover(tmp_path / "copy.h5").whole == 100
