"""Recordings from the command line: made, told of, drawn, converted and saved."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import neo
import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator

from inmateria.recording import Exchange, Note, RecordingWriter, open_recording
from inmateria.substrate import Stimulus

INMATERIA = [sys.executable, "-m", "inmateria"]


def inmateria(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*INMATERIA, *arguments], capture_output=True, text=True, timeout=100)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    simulator = LeakySimulator(spiking=True)
    writer = RecordingWriter(tmp_path / "r.h5", simulator.info, {"dish": "7"})
    generator = np.random.default_rng(0)
    for number in range(50):
        stimulus = Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)
        writer.append([Exchange(stimulus, simulator.advance(stimulus), 0, 1e9 + number, 1e-3)])
    writer.append([Note("marker", "light on", device=0.5)])
    writer.end()
    return tmp_path / "r.h5"


def test_what_is_in_a_recording_is_told_in_words_and_for_machines(recording: Path) -> None:
    words = inmateria("info", str(recording)).stdout
    for part in ("leaky-integrator", "i0 (V)", "light on", "dish 7"):
        assert part in words
    told = json.loads(inmateria("info", str(recording), "--json").stdout)
    assert (told["exchanges"], told["steps"], told["finished"]) == (50, 250, True)
    assert told["seconds"] == pytest.approx(2.5)


def test_a_picture_is_drawn(recording: Path, tmp_path: Path) -> None:
    told = inmateria("plot", str(recording), "--out", str(tmp_path / "p.png"), "--start", "0.5", "--seconds", "1")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    none = inmateria("plot", str(recording), "--session", "3")
    assert none.returncode == 2
    assert "it has sessions 0 to 0" in none.stderr


def test_an_export_says_what_it_left_out_and_comes_back_as_a_recording(recording: Path, tmp_path: Path) -> None:
    told = json.loads(inmateria("export", str(recording), str(tmp_path / "r.nix"), "--json").stdout)
    assert told == {"paths": [str(tmp_path / "r.nix")], "left_out": ["the checksum of each exchange"]}
    with neo.NixIO(str(tmp_path / "r.nix"), mode="ro") as file:
        assert file.read_block().name == "leaky"
    back = inmateria("import", str(tmp_path / "r.nix"), str(tmp_path / "back.h5"), "--json")
    assert json.loads(back.stdout)["exchanges"] == 3  # of a hundred steps, the last of fifty
    with open_recording(recording) as mine, open_recording(tmp_path / "back.h5") as its:
        assert np.array_equal(mine.drive(), its.drive())
    again = inmateria("export", str(recording), str(tmp_path / "r.nix"))
    assert again.returncode == 2
    assert "never overwrites" in again.stderr


def test_what_a_cut_left_is_told_and_saved(recording: Path, tmp_path: Path) -> None:
    os.truncate(recording, recording.stat().st_size * 3 // 4)
    told = inmateria("recover", str(recording), "--out", str(tmp_path / "saved.h5"))
    assert told.returncode == 0, told.stderr
    assert "exchanges are whole" in told.stdout
    assert "it did not come to its proper end" in told.stdout
    assert json.loads(inmateria("recover", str(tmp_path / "saved.h5"), "--json").stdout)["closed"] is True


def test_a_device_is_recorded_until_ctrl_c(tmp_path: Path, mosquitto: Mosquitto) -> None:
    serving = subprocess.Popen(
        [*INMATERIA, "serve", "nanowire://?wires=40", "--broker", mosquitto.uri, "--until-eof", "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with serving:
        assert serving.stdout is not None
        uri = json.loads(serving.stdout.readline())["uri"]
        recording = subprocess.Popen(
            [*INMATERIA, "record", uri, "--out", str(tmp_path / "r.h5"), "--note", "by=me", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with recording:
            while not (tmp_path / "r.h5").exists():
                assert recording.poll() is None
            run = inmateria("run", "waveform", "--on", uri, "--out", str(tmp_path), "-s", "steps=600", "--json")
            assert run.returncode == 0, run.stderr
            recording.send_signal(signal.SIGINT)
            out, err = recording.communicate(timeout=30)
        assert recording.returncode == 0, err
        assert serving.stdin is not None
        serving.stdin.close()
    (folder,) = [path for path in tmp_path.iterdir() if path.name.endswith("-waveform")]
    with open_recording(tmp_path / "r.h5") as heard, open_recording(folder / "recording.h5") as made:
        assert json.loads(out)["exchanges"] == len(heard) == len(made) > 0
        assert heard.annotations == {"by": "me"}
        assert heard.dropped == 0
        assert np.array_equal(heard.signal(), made.signal())
        assert np.array_equal(heard.drive(), made.drive())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["info", "none.h5"], 2, "is not there"),
        (["recover", "none.h5"], 2, "is not there"),
        (["export", "none.h5", "r.csv"], 2, "no format that is known"),
        (["import", "none.nix", "r.h5"], 2, "is not there"),
        (["record", "mqtt://127.0.0.1:1/lab/x"], 3, "no broker at"),
        (["record", "nanowires://"], 2, "did you mean nanowire"),
        (["run", "waveform", "--on", "replay:///none.h5"], 2, "is not there"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], code: int, says: str) -> None:
    told = inmateria(*arguments)
    assert told.returncode == code
    assert says in told.stderr
    assert "Traceback" not in told.stderr
