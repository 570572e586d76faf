"""A compressed recording reads as before; whatever stops the compression leaves the recording as it was."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.recording import (
    CompressionStopped,
    Exchange,
    Note,
    RecordingError,
    RecordingWriter,
    compress,
    open_recording,
    recover,
)
from inmateria.recording import compression as module
from inmateria.substrate import Response, Stimulus


def write(path: Path, exchanges: int = 300, *, scale: float | None = None, end: bool = True) -> None:
    simulator = LeakySimulator(spiking=True)
    writer = RecordingWriter(path, simulator.info, {"x": [1, float("nan")]}, scale=scale)
    generator = np.random.default_rng(0)
    for number in range(exchanges):
        stimulus = Stimulus(generator.uniform(-1, 1, (40, 3)), 0.01)
        response = simulator.advance(stimulus)
        if scale is not None:
            counts = np.rint(np.asarray(response.signal) / 0.01)
            response = Response(counts * scale, response.spikes, response.start, response.sequence)
        writer.append([Exchange(stimulus, response, number // 100, 1.0 + number, 1e-3)])
        if number % 50 == 0:
            writer.append([Note("marker", f"m{number}", {"a": number}, 1.0)])
    if end:
        writer.end()
    else:
        writer.close()


def content(path: Path) -> dict[str, bytes]:
    """Every row and every attribute of a file."""
    with h5py.File(path, "r") as file:
        found = {name: table[:].tobytes() for name, table in file.items()}
        for owner in (file, *file.values()):
            found |= {f"{owner.name}@{name}": np.asarray(value).tobytes() for name, value in owner.attrs.items()}
    return found


@pytest.mark.parametrize("scale", [None, 0.25])
def test_a_compressed_recording_is_the_same_and_smaller(tmp_path: Path, scale: float | None) -> None:
    path = tmp_path / "r.h5"
    write(path, scale=scale)
    before, told = content(path), []
    with open_recording(path) as recording:
        exchanges = list(recording)
    done = compress(path, on_progress=lambda *each: told.append(each))
    assert content(path) == before
    assert done.after == path.stat().st_size < done.before
    assert told[-1][0] == told[-1][1]
    assert [each.name for each in tmp_path.iterdir()] == ["r.h5"]
    with open_recording(path) as recording:
        assert recording.finished
        for one, two in zip(recording, exchanges, strict=True):
            assert np.array_equal(one.stimulus.drive, two.stimulus.drive)
            assert np.array_equal(one.response.signal, two.response.signal)
            assert np.array_equal(one.response.spikes, two.response.spikes)
    assert recover(path).whole == len(exchanges)
    assert compress(path).after == done.after  # nothing is done twice


def test_a_flipped_bit_of_a_compressed_recording_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write(path, 20)
    compress(path)
    with open_recording(path) as recording:
        true = recording.signal()
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    wrong = 0
    for place in generator.integers(0, 8 * len(whole), 40):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            with open_recording(path) as recording:
                assert np.array_equal(recording.signal(), true)
                recording.drive()
                recording.spikes()
        except RecordingError:
            wrong += 1
    assert wrong > 20


def test_what_is_damaged_or_unfinished_is_not_compressed(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write(path, 20, end=False)
    with pytest.raises(RecordingError, match="not ended properly"):
        compress(path)
    path.unlink()
    write(path)
    with h5py.File(path, "r") as file:
        place = file["signal"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place + 100)
        raw.write(b"\xff" * 8)
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="damaged"):
        compress(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["r.h5"]


def test_a_copy_that_reads_differently_never_replaces_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.h5"
    write(path)
    before = path.read_bytes()

    def spoilt(draft: Path) -> None:
        if draft.name.endswith(".compressing"):
            with h5py.File(draft, "r+") as file:
                file["drive"][7] = 0.125

    monkeypatch.setattr(module, "_sync", spoilt)
    with pytest.raises(RecordingError, match="not read as they were written"):
        compress(path)
    assert path.read_bytes() == before


def test_a_request_and_a_full_disk_leave_the_recording_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.h5"
    write(path)
    before = path.read_bytes()
    stop = threading.Event()
    stop.set()
    with pytest.raises(CompressionStopped):
        compress(path, stop=stop)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_sync", full)
    with pytest.raises(RecordingError, match="it is as before"):
        compress(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["r.h5"]


def test_kill_at_any_moment_leaves_a_whole_recording(tmp_path: Path) -> None:
    original = tmp_path / "original.h5"
    write(original, 600)
    expected = content(original)
    path = tmp_path / "r.h5"
    script = (
        "import sys\nfrom inmateria.recording import compress\n"
        "for line in sys.stdin:\n print('begin', flush=True)\n compress(sys.argv[1])\n print('end', flush=True)\n"
    )
    killed_within = 0
    lasting = 0.5
    for attempt in range(8):
        path.write_bytes(original.read_bytes())
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begin\n"
        begun = time.monotonic()
        if attempt == 0:
            assert process.stdout.readline() == "end\n"  # how long it takes
            lasting = time.monotonic() - begun
        else:
            time.sleep(lasting * attempt / 8)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert content(path) == expected
        with open_recording(path) as recording:
            assert recording.finished
        killed_within += (tmp_path / ".r.h5.compressing").exists()
        compress(path)  # a copy that was left behind is no hindrance
        assert content(path) == expected
        assert not (tmp_path / ".r.h5.compressing").exists()
    assert killed_within > 0
