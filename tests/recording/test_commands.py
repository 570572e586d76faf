"""Recordings from the command line: made, told of, drawn, converted and saved."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import neo
import numpy as np
import pytest
from brokers import Mosquitto
from commands_here import RunCommand
from leaky import LeakySimulator

from inmateria.adapters import connect
from inmateria.recording import Exchange, Note, RecordingWriter, open_recording
from inmateria.substrate import Stimulus

INMATERIA = [sys.executable, "-m", "inmateria"]


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


def test_what_is_in_a_recording_is_told_in_words_and_for_machines(inmateria_here: RunCommand, recording: Path) -> None:
    words = inmateria_here("info", str(recording)).stdout
    for part in ("leaky-integrator", "i0 (V)", "light on", "dish 7"):
        assert part in words
    told = json.loads(inmateria_here("info", str(recording), "--json").stdout)
    assert (told["exchanges"], told["steps"], told["finished"]) == (50, 250, True)
    assert told["seconds"] == pytest.approx(2.5)


def test_a_picture_is_drawn(inmateria_here: RunCommand, recording: Path, tmp_path: Path) -> None:
    told = inmateria_here("plot", str(recording), "--out", str(tmp_path / "p.png"), "--start", "0.5", "--seconds", "1")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    none = inmateria_here("plot", str(recording), "--session", "3")
    assert none.returncode == 2
    assert "it has sessions 0 to 0" in none.stderr


def test_an_export_says_what_it_left_out_and_comes_back_as_a_recording(
    inmateria_here: RunCommand, recording: Path, tmp_path: Path
) -> None:
    told = json.loads(inmateria_here("export", str(recording), str(tmp_path / "r.nix"), "--json").stdout)
    assert told["paths"] == [str(tmp_path / "r.nix")]
    assert (told["left_out"], told["missing"]) == (["the checksum of each exchange"], [])
    with neo.NixIO(str(tmp_path / "r.nix"), mode="ro") as file:
        assert file.read_block().name == "leaky"
    back = inmateria_here("import", str(tmp_path / "r.nix"), str(tmp_path / "back.h5"), "--json")
    assert json.loads(back.stdout)["exchanges"] == 50
    with open_recording(recording) as mine, open_recording(tmp_path / "back.h5") as its:
        assert np.array_equal(mine.drive(), its.drive())
    again = inmateria_here("export", str(recording), str(tmp_path / "r.nix"))
    assert again.returncode == 2
    assert "never overwrites" in again.stderr


def test_what_a_cut_left_is_told_and_saved(inmateria_here: RunCommand, recording: Path, tmp_path: Path) -> None:
    os.truncate(recording, recording.stat().st_size * 3 // 4)
    told = inmateria_here("recover", str(recording), "--out", str(tmp_path / "saved.h5"))
    assert told.returncode == 0, told.stderr
    assert "exchanges are whole" in told.stdout
    assert "it did not come to its proper end" in told.stdout
    assert json.loads(inmateria_here("recover", str(tmp_path / "saved.h5"), "--json").stdout)["closed"] is True


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
            measured, drive = asyncio.run(_experiment(uri))
            recording.send_signal(signal.SIGINT)
            out, err = recording.communicate(timeout=30)
        assert recording.returncode == 0, err
        assert serving.stdin is not None
        serving.stdin.close()
    with open_recording(tmp_path / "r.h5") as heard:
        assert json.loads(out)["exchanges"] == len(heard) == 20
        assert heard.annotations == {"by": "me"}
        assert heard.dropped == 0
        assert np.array_equal(heard.signal(), measured)
        assert np.array_equal(heard.drive(), drive)


async def _experiment(uri: str) -> tuple[np.ndarray, np.ndarray]:
    """Give a device some stimuli; give what came back and what was driven."""
    drives = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3, 8))
    async with connect(uri) as device:
        responses = [await device.stimulate(device.info.stimulus(drive)) for drive in drives]
    signals = [np.asarray(response.signal) for response in responses]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in signals]), drives.reshape(-1, 8)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["info", "none.h5"], 2, "does not exist"),
        (["info", __file__], 2, "is not an HDF5 file"),
        (["plot", "none.h5"], 2, "does not exist"),
        (["import", __file__, "r.h5"], 2, "is not a number"),
        (["import", __file__], 2, "give the recording to make"),
        (["import", __file__, "none/r.h5"], 2, "none is no folder"),
        (["import", __file__, "r.h5", "--units", "s"], 2, "'s' is not COLUMN=UNIT"),
        (["recover", "none.h5"], 2, "does not exist"),
        (["export", "none.h5", "r.csv"], 2, "unknown suffix"),
        (["import", "none.nix", "r.h5"], 2, "does not exist"),
        (["record", "mqtt://127.0.0.1:1/lab/x"], 3, "no broker at"),
        (["record", "nanowires://"], 2, "did you mean nanowire"),
        (["run", "waveform", "--on", "replay:///none.h5"], 2, "does not exist"),
    ],
)
def test_bad_input_is_one_clear_line(inmateria_here: RunCommand, arguments: list[str], code: int, says: str) -> None:
    told = inmateria_here(*arguments)
    assert told.returncode == code
    assert says in told.stderr
    assert "Traceback" not in told.stderr


def test_a_recording_is_compressed_and_keeps_what_was_asked(inmateria_here: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    (tmp_path / "m.toml").write_text('lab = "A"\nexperimenter = ["Volta, Alessandro"]\n[subject]\nspecies = "none"\n')
    words = ("--seconds", "0.2", "--keep", "features", "--metadata", str(tmp_path / "m.toml"), "--meta", "lab=B")
    told = inmateria_here("record", "nanowire://?wires=40&seed=1&step=0.01", "--out", str(path), *words)
    assert told.returncode == 0, told.stderr
    with open_recording(path) as recording:
        assert recording.annotations == {
            "lab": "B", "experimenter": ["Volta, Alessandro"], "subject": {"species": "none"}
        }  # fmt: skip
        assert (recording.exchanges["samples"] == recording.exchanges["steps"]).all()
        assert recording.kept == {"samples": 1, "others": "left out"}
    size = path.stat().st_size
    assert json.loads(inmateria_here("compress", str(path), "--json").stdout)["before"] == size
    assert "any others left out" in " ".join(inmateria_here("info", str(path)).stdout.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--keep", "nothing"), "allowed are all and features"),
        (("--meta", "subject.species=rat"), "genus and species"),
        (("--meta", "subject.colour=red"), "there is no subject.colour; there are species"),
        (("--meta", "subject.age=3 months"), "ISO 8601"),
        (("--meta", "session_start_time=2026-11-26T10:30:00"), "time zone"),
        (("--meta", "lab"), "NAME=VALUE"),
        (("--metadata", "there-is-none.toml"), "cannot be read"),
        (("--metadata", "m.yaml"), "neither .toml nor .json"),
    ],
)
def test_metadata_that_nwb_would_refuse_are_refused_before_anything_is_made(
    inmateria_here: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text("lab: A")
    done = inmateria_here("record", "nanowire://?wires=40", "--out", "r.h5", "--seconds", "0.1", *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert not Path("r.h5").exists()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text("t;u [V];y [mV]\n" + "".join(f"{k};{k},5;{2 * k}\n" for k in range(10)))
    return tmp_path / "t.csv"


def test_the_mapping_of_a_table_is_asked_for_and_shown_before_anything_is_written(
    inmateria_here: RunCommand, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5"
    asked = inmateria_here("import", str(table), str(out))
    assert (asked.returncode, out.exists()) == (2, False)
    assert "--units t=s" in asked.stderr
    asked = inmateria_here("import", str(table), str(out), "--units", "t=ms")
    assert (asked.returncode, out.exists()) == (2, False)
    assert "--driven COLUMN, one of u, y" in asked.stderr
    given = ["--units", "t=ms", "--driven", "u"]
    dry = inmateria_here("import", str(table), *given, "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "nothing was written\n")
    for words in ("separated by semicolon, decimal comma", "every 0.001 s (1000 Hz)", "10 steps of 0.001 s"):
        assert words in " ".join(dry.stderr.split())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.csv"]
    told = json.loads(inmateria_here("import", str(table), str(out), *given, "--json").stdout)
    assert [(each["name"], each["unit"], each["role"]) for each in told["columns"]] == [
        ("t", "ms", "time"), ("u", "V", "driven"), ("y", "mV", "read"),
    ]  # fmt: skip
    assert (told["steps"], told["left_out"]) == (10, [])
    with open_recording(out) as recording:
        assert recording.drive()[:, 0].tolist() == [k + 0.5 for k in range(10)]
    again = inmateria_here("import", str(table), str(out), *given)
    assert (again.returncode, "never overwritten" in again.stderr) == (2, True)


def test_what_would_be_lost_is_listed_and_needs_a_yes(
    inmateria_here: RunCommand, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.write_text(table.read_text().replace("3;3,5;", "3;;"))
    given = ["import", str(table), str(tmp_path / "r.h5"), "--units", "t=ms", "--driven", "u"]
    lost = "1 rows in which a driven column has no value"
    told = inmateria_here(*given)
    assert (told.returncode, (tmp_path / "r.h5").exists()) == (2, False)
    assert f"not in the recording would be: {lost}; add --yes" in " ".join(told.stderr.split())
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    assert inmateria_here(*given).returncode != 0
    assert not (tmp_path / "r.h5").exists()
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    told = inmateria_here(*given)
    assert (told.returncode, f"not in it: {lost}" in told.stdout) == (0, True)
    (tmp_path / "r.h5").unlink()
    assert inmateria_here(*given, "--yes").returncode == 0


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ctrl_c_during_an_import_leaves_no_file(tmp_path: Path) -> None:
    rows = "".join(f"{k / 3!r},{k % 11},{k % 7}\n" for k in range(100_000))
    (tmp_path / "t.csv").write_text("t [s],u,y\n" + rows)
    out = tmp_path / "r.h5"
    for _ in range(5):  # on a busy machine an import may be over before this process sees it
        running = subprocess.Popen(
            [*INMATERIA, "import", str(tmp_path / "t.csv"), str(out), "--driven", "u"], stderr=subprocess.PIPE,
            text=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        with running:
            while not (tmp_path / ".r.h5.partial").exists() and running.poll() is None:
                time.sleep(0.001)  # what looks without a pause takes the command its core
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
        if running.returncode != 0:
            break
        with open_recording(out) as whole:
            assert len(whole) > 0
        out.unlink()
    assert running.returncode == 130
    assert "Traceback" not in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.csv"]
