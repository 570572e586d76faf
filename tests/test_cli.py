"""The command line as a person meets it: its answers, its one-line errors, its exit codes, and Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import neo
import numpy as np
import pytest

from inmateria import __version__, read_block
from inmateria.protocols.runs import read_run
from inmateria.recording import open_recording

INMATERIA = [sys.executable, "-m", "inmateria"]
HANGS = 500  # s after which a command is taken to hang; a busy machine is slow


def inmateria(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*INMATERIA, *arguments], capture_output=True, text=True, timeout=HANGS, cwd=cwd)


def test_help_names_every_command() -> None:
    told = inmateria("--help")
    assert told.returncode == 0
    for command in ("run", "serve", "list", "report", "--version", "--install-completion"):
        assert command in told.stdout


def test_version() -> None:
    assert inmateria("--version").stdout == f"inmateria {__version__}\n"


def test_list_in_words_and_for_machines() -> None:
    assert "nanowire://" in inmateria("list").stdout
    listed = json.loads(inmateria("list", "--json").stdout)
    assert {"nanowire", "mqtt"} <= set(listed["adapters"])
    assert "digits" in listed["tasks"]


def test_the_shell_completes_tasks() -> None:
    environment = {
        **os.environ,
        "_INMATERIA_COMPLETE": "complete_bash",
        "COMP_WORDS": "inmateria run dig",
        "COMP_CWORD": "2",
    }
    script = Path(sys.executable).parent / "inmateria"
    command = [str(script)] if script.exists() else [sys.executable, "-c", "from inmateria.cli.commands import app; app(prog_name='inmateria')"]  # fmt: skip  # noqa: E501
    told = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANGS)
    assert "digits" in told.stdout


def nobody_listens() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "digts"], 2, "did you mean digits"),
        (["run", "digits", "--on", "nanowires"], 2, "did you mean nanowire"),
        (["run", "digits", "--on", "nanowire://?wires=few"], 2, "wires is a whole number"),
        (["run", "digits", "--on", "nanowire://?wires=3", "--over", "mqtt"], 2, "at least as many wires"),
        (["run", "digits", "--on", "mqtt://nohost"], 2, "does not name a device"),
        (["run", "digits", "--on", f"mqtt://127.0.0.1:{nobody_listens()}/lab/x"], 3, "no broker at"),
        (["run", "digits", "--set", "colour=blue"], 2, "has no setting 'colour'"),
        (["run", "digits", "--set", "splits=none"], 2, "splits"),
        (["run", "digits", "--set", "held_out=2"], 2, "held_out"),
        (["run", "digits", "--set", "amplitude=1"], 1, "scale or clip the drive"),
        (["run", "digits", "--set", "step=1e-9"], 1, "takes 1e-06 to"),
        (["run", "digits", "--colour", "blue"], 2, "has no setting 'colour'"),
        (["run", "stack", "--train", "magic"], 2, "give one of augmented-dfa, bottleneck"),
        (["run", "stack", "--layers", "scattering,,scattering"], 2, "name substrates"),
        (["run", "stack", "--layers", "scattering,nanowires"], 2, "did you mean nanowire"),
        (["serve", "nanowires://"], 2, "did you mean nanowire"),
        (["serve", "nanowire", "--broker", f"mqtt://127.0.0.1:{nobody_listens()}"], 3, "no broker at"),
        (["serve", "nanowire", "--broker", "http://host"], 2, "does not name a broker"),
        (["report", "nowhere"], 2, "is not a run folder"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    told = inmateria(*arguments, cwd=tmp_path)
    assert told.returncode == code
    assert says in told.stderr
    # Above the line there may be a progress bar, never a traceback.
    assert "Traceback" not in told.stderr
    assert told.stderr.rstrip().splitlines()[-1].startswith("inmateria: ")
    assert told.stdout == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "digits", "--over", "pigeon"],
        ["run", "digits", "--set", "x"],
        ["run", "digits", "--splits"],
        ["run", "digits", "x"],
        ["fly"],
    ],
)
def test_a_wrong_command_line_is_said_with_exit_code_2(arguments: list[str]) -> None:
    told = inmateria(*arguments)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert told.stderr.strip()


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = inmateria("serve", "nanowire://?wires=40", "--port", str(port))
    assert told.returncode == 1
    assert f"cannot listen on port {port}" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_damaged_run_folder_is_one_clear_line(tmp_path: Path) -> None:
    for text in ("", "{", '{"task": "digits"}'):
        (tmp_path / "run.json").write_text(text)
        told = inmateria("report", str(tmp_path))
        assert told.returncode == 2
        assert "not a run that can be read" in told.stderr
        assert not (tmp_path / "report.html").exists()


def test_run_folders_that_cannot_be_made_are_said(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file stands here")
    told = inmateria("run", "digits", cwd=tmp_path)
    assert told.returncode == 2
    assert "give another place with --out" in told.stderr


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """The main job, as the demo runs it."""
    folder = tmp_path_factory.mktemp("main-job")
    told = inmateria("run", "digits", "--on", "nanowire", "--over", "mqtt", "--json", "--set", "splits=2", cwd=folder)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout), folder


def test_the_main_job_reads_digits_better_than_without_the_physics(finished_run: tuple[dict, Path]) -> None:
    told, _ = finished_run
    accuracy = {(score["on"], score["readout"]): score["score"] for score in told["scores"]}
    assert len(accuracy) == 6
    for readout in ("RLS, online", "ridge, batch"):
        assert accuracy["substrate", readout] > accuracy["raw pixels", readout]
        assert accuracy["substrate", readout] > accuracy["masked input", readout]
        # Linear readouts of the raw pixels: .93 to .95 is what scikit-learn's own give.
        assert 0.92 < accuracy["raw pixels", readout] < 0.97
    assert told["chance"] == pytest.approx(0.1, abs=0.01)
    assert told["exchanges_per_second"] > 0
    assert 0 < told["round_trip_p50"] <= told["round_trip_p99"]


def test_the_main_job_leaves_everything_it_says(finished_run: tuple[dict, Path]) -> None:
    told, folder = finished_run
    paths = {name: folder / path for name, path in told["paths"].items()}
    assert re.search(r"runs/\d{8}T\d{6}-digits/run\.json$", str(paths["run.json"]))
    run = read_run(paths["run.json"].parent)
    assert run.settings["splits"] == 2
    assert run.substrate.parameters["seed"] == 42
    assert {"python", "numpy", "numba", "paho-mqtt", "inmateria"} <= set(run.versions)
    with open_recording(paths["recording.h5"]) as recording:
        streamed = recording.exchanges[recording.exchanges["steps"] > 1]
        assert len(streamed) == 1797
        # One pass, in order, nothing twice: the device's own count goes up by one each time.
        assert np.array_equal(np.diff(recording.exchanges["sequence"].astype(int)), np.ones(len(recording) - 1))
    page = paths["report.html"].read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page), "the report is not self-contained"
    for heading in ("controls", "Confusion", "online", "substrate", "Stimulus and response", "Weights"):
        assert heading in page


def test_the_recording_of_the_main_job_is_a_neo_block(finished_run: tuple[dict, Path]) -> None:
    told, folder = finished_run
    block = read_block(folder / told["paths"]["recording.h5"])
    assert isinstance(block, neo.Block)
    (*_, segment) = block.segments
    assert {str(signal.units.dimensionality) for signal in segment.analogsignals} == {"V", "A"}


def test_the_report_is_made_again_from_the_folder_alone(finished_run: tuple[dict, Path]) -> None:
    told, folder = finished_run
    page = folder / told["paths"]["report.html"]
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert inmateria("report", str(page.parent)).returncode == 0
    assert page.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("over", ["local", "mqtt"])
def test_ctrl_c_ends_a_run_cleanly_and_keeps_what_was_exchanged(over: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*INMATERIA, "run", "digits", "--over", over], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, env={**os.environ, "COLUMNS": "100"},
    ) as running:  # fmt: skip
        while True:  # until the first exchanges are on disk
            found = list(tmp_path.rglob("recording.h5"))
            if found and found[0].stat().st_size > 200_000:
                break
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=HANGS)
    assert running.returncode == 130
    assert "Traceback" not in told
    assert told.rstrip().splitlines()[-1] == "inmateria: interrupted"
    with open_recording(found[0]) as recording:
        assert len(recording) > 0
    assert not (found[0].parent / "run.json").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_cleanly(ending: signal.Signals) -> None:
    with subprocess.Popen(
        [*INMATERIA, "serve", "nanowire://?wires=40", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        assert re.search(r"at mqtt://127\.0\.0\.1:\d+/lab/nanowire-40-s42-[0-9a-f]{12}", serving.stdout.readline())
        serving.send_signal(ending)
        _, told = serving.communicate(timeout=HANGS)
    assert serving.returncode == 0
    assert all("compil" in line for line in told.splitlines()), told  # which is said where it takes long


HEAVY = {
    "numpy",
    "numba",
    "scipy",
    "sklearn",
    "h5py",
    "neo",
    "matplotlib",
    "aiomqtt",
    "paho",
    "amqtt",
    "rich",
    "asyncio",
}


@pytest.mark.parametrize(
    "what", ["import inmateria", "import inmateria.adapters, inmateria.simulators, inmateria.reservoir"]
)
def test_importing_imports_nothing_heavy(what: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"{what}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_asking_for_help_imports_nothing_heavy() -> None:
    script = "import sys, inmateria.cli\ntry: inmateria.cli.app(['--help'])\nexcept SystemExit: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert (HEAVY - {"rich", "asyncio"}).isdisjoint(loaded)
