"""A recording that is being made belongs to its writer; another program that changes it is noticed and said."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import Exchange, RecordedSubstrate, RecordingError, RecordingWriter, recover
from inmateria.recording.live_file import LiveFile
from inmateria.substrate import Stimulus

STIMULUS = Stimulus(np.full((5, 3), 0.5), 0.01)


def write(writer: RecordingWriter, count: int = 200) -> None:
    simulator = LeakySimulator()
    writer.append([Exchange(STIMULUS, simulator.advance(STIMULUS), 0, 0.0, 0.0) for _ in range(count)])


def with_h5py(path: Path, call: str) -> str:
    """Run something with h5py in another process, and return what it says."""
    script = f"import h5py\n{call.format(path=repr(str(path)))}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr


def change_a_row(path: Path) -> None:
    with path.open("r+b") as file:
        at = path.read_bytes().index(STIMULUS.drive.tobytes())
        file.seek(at)
        file.write(b"\1")


def change_the_header(path: Path) -> None:
    with path.open("r+b") as file:  # as h5clear does
        file.seek(11)
        file.write(b"\0")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.h5"))
    path.with_name("copy.h5").replace(path)


HURT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a row": (change_a_row, "was written to or truncated by another program"),
    "the header": (change_the_header, "was written to or truncated by another program"),
    "more": (append, "was written to or truncated by another program"),
    "cut": (lambda path: os.truncate(path, 2000), "was written to or truncated by another program"),
    "overwritten": (
        lambda path: with_h5py(path, "h5py.File({path}, 'w', locking=False)"),
        "was written to or truncated",
    ),
    "removed": (lambda path: path.unlink(), "was removed by another program .* what was written is lost"),
    "moved": (lambda path: path.rename(path.with_name("moved.h5")), "was moved by another program"),
    "replaced": (replace, "was replaced by another program"),
}


@pytest.mark.parametrize("kind", HURT)
def test_what_another_program_did_to_the_file_is_said_and_not_written_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.h5"
    change, says = HURT[kind]
    writer = RecordingWriter(path, LeakySimulator().info)
    write(writer)
    path.chmod(0o644)  # as if the other program was root, or had opened the file before
    change(path)
    after = path.read_bytes() if path.exists() else None
    with pytest.raises(RecordingError, match=says):
        write(writer)
    writer.close()
    assert (path.read_bytes() if path.exists() else None) == after
    if kind == "moved":
        assert recover(tmp_path / "moved.h5").whole == 200


@pytest.mark.parametrize("mode", ["r+", "a"])
def test_other_hdf5_software_cannot_open_it_for_writing(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "r.h5"
    writer = RecordingWriter(path, LeakySimulator().info)
    write(writer)
    assert "unable to lock file" in with_h5py(path, f"h5py.File({{path}}, {mode!r})")
    assert "already open for write" in with_h5py(path, f"h5py.File({{path}}, {mode!r}, locking=False)")
    assert with_h5py(path, "h5py.File({path}, 'r', swmr=True)") == ""
    assert path.stat().st_mode & 0o777 == 0o444
    write(writer)
    writer.end()
    assert path.stat().st_mode & 0o200
    assert recover(path).whole == 400
    with h5py.File(path, "r+") as file:  # it is no longer live
        assert len(file["exchanges"]) == 400


def test_a_second_writer_of_ours_is_refused(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "r.h5", LeakySimulator().info)
    write(writer)
    with pytest.raises(RecordingError, match="never overwritten"):
        RecordingWriter(tmp_path / "r.h5", LeakySimulator().info)
    writer.end()
    assert recover(tmp_path / "r.h5").whole == 200


def test_a_touched_file_is_verified_and_the_recording_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.h5"
    writer = RecordingWriter(path, LeakySimulator().info)
    for number in range(5):
        write(writer)
        os.utime(path, (number, number))
    writer.end()
    said = [record.getMessage() for record in caplog.records if "another program" in record.getMessage()]
    assert len(said) == 3  # its times are then not looked at any more
    assert "all rows until now were verified and are intact" in said[0]
    assert recover(path).whole == 1000


async def test_it_is_noticed_although_nothing_is_being_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, noticed, loop = tmp_path / "r.h5", asyncio.Event(), asyncio.get_running_loop()
    plain = LiveFile.check

    def check(live: LiveFile) -> None:
        try:
            plain(live)
        except RecordingError:
            loop.call_soon_threadsafe(noticed.set)
            raise

    async def record() -> None:
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), path) as substrate:
            await substrate.stimulate(STIMULUS)
            path.unlink()
            await noticed.wait()
            for _ in range(2):  # the writer's thread may be about to say it
                await substrate.stimulate(STIMULUS)

    monkeypatch.setattr(LiveFile, "check", check)
    with pytest.raises(RecordingError, match="was removed by another program"):
        await record()
