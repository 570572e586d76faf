"""A recording outlives its writer: killed, cut anywhere, on a full disk, or with bytes changed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.recording import (
    Exchange,
    Note,
    Recording,
    RecordingError,
    RecordingWriter,
    open_recording,
    recover,
)
from inmateria.substrate import Stimulus

WRITER = """
import asyncio, resource, sys, time
from contextlib import aclosing
import numpy as np
from leaky import LeakySimulator
from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import RecordedSubstrate
from inmateria.substrate import Stimulus

def stimuli():
    generator = np.random.default_rng(3)
    while True:
        yield Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)

async def main(path, limit):
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), path) as substrate:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        async with aclosing(substrate.stream(stimuli())) as responses:
            async for response in responses:
                if response.sequence % 20 == 19:
                    print(response.sequence + 1, time.monotonic(), flush=True)
                    await asyncio.sleep(0.002)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def writer(path: Path, limit: int = 0) -> subprocess.Popen[str]:
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def assert_as_it_happened(recording: Recording) -> None:
    """Every exchange that is there is what the simulator gives, bit for bit."""
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    for exchange in recording:
        stimulus = Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)
        expected = simulator.advance(stimulus)
        assert np.array_equal(exchange.stimulus.drive, stimulus.drive)
        assert np.array_equal(exchange.response.signal, expected.signal)
        assert np.array_equal(exchange.response.spikes, expected.spikes)
        assert (exchange.response.start, exchange.response.sequence) == (expected.start, expected.sequence)


def kill_at_random(path: Path, chance: random.Random) -> None:
    with writer(path) as process:
        assert process.stdout is not None
        told = [process.stdout.readline()]
        time.sleep(chance.uniform(0.0, 2.5))
        killed = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.readlines()
    acknowledged = [(int(line.split()[0]), float(line.split()[1])) for line in told if line.endswith("\n")]
    due = max((count for count, at in acknowledged if at < killed - 1.0), default=0)
    found = recover(path)
    assert not found.finished
    assert not found.closed
    assert found.damaged == ()
    assert found.whole >= due
    with open_recording(path) as recording:
        assert len(recording) == found.whole
        assert_as_it_happened(recording)


def test_a_writer_killed_at_random_moments_leaves_all_that_is_older_than_a_second(tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(3):
        kill_at_random(tmp_path / f"{number}.h5", chance)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_writer_killed_at_fifty_random_moments(tmp_path: Path) -> None:
    chance = random.Random(2)
    for number in range(50):
        kill_at_random(tmp_path / f"{number}.h5", chance)


@pytest.mark.parametrize("closed", [True, False])
def test_a_file_cut_anywhere_gives_all_that_was_there_when_it_was_so_long(tmp_path: Path, closed: bool) -> None:
    path, cut = tmp_path / "r.h5", tmp_path / "cut.h5"
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    recorder = RecordingWriter(path, simulator.info)
    head = path.stat().st_size
    grown, written = [], 0
    for number in range(100):
        given = [Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01) for _ in range(1 + number % 10)]
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
            with pytest.raises(RecordingError, match=r"cut\.h5 cannot be read.*within its head"):
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


@pytest.mark.parametrize("limit", [200_000, 1_000_000, 3_333_333])
def test_a_disk_that_fills_ends_in_one_error_and_what_was_written_stays(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "r.h5"
    with writer(path, limit) as process:
        told, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "is the disk full?" in errors.strip().splitlines()[-1]
    assert errors.strip().splitlines()[-1].startswith("inmateria.recording.format.RecordingError")
    acknowledged = [(int(line.split()[0]), float(line.split()[1])) for line in told.splitlines()]
    due = max((count for count, at in acknowledged if at < acknowledged[-1][1] - 1.0), default=0)
    found = recover(path)
    assert found.whole >= due
    assert path.stat().st_size <= limit
    with open_recording(path) as recording:
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
    assert recover(other, tmp_path / "saved.h5").whole == 50
    with open_recording(other) as recording:
        assert np.array_equal(recording.exchange(49).stimulus.drive, given[49].drive)
        with pytest.raises(RecordingError, match=r"exchange 50 of .* is damaged"):
            recording.exchange(50)
    shutil.copy(path, tmp_path / "copy.h5")
    assert recover(tmp_path / "copy.h5").whole == 100
