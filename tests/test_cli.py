"""The command line as a person meets it: its answers, its one-line errors, its exit codes, and Ctrl-C."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import neo
import numpy as np
import pytest
from commands_here import RunCommand

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


@pytest.mark.parametrize("command", [["run", "henon", "--help"], ["list", "henon"]])
def test_the_settings_of_a_task_are_listed_with_meaning_and_default(command: list[str]) -> None:
    told = subprocess.run(
        [*INMATERIA, *command], capture_output=True, text=True, timeout=HANGS, env={**os.environ, "COLUMNS": "200"}
    )
    assert told.returncode == 0, told.stderr
    row = next(line for line in told.stdout.splitlines() if line.startswith("time_constant"))
    assert row.split()[:2] == ["time_constant", "0.05"]
    assert "number, more than 0" in row
    assert "Of the rates that fade, s." in row
    assert "values" in told.stdout  # its own, beside those of every task that encodes values


def test_every_task_and_every_scheme_lists_what_can_be_given() -> None:
    from inmateria.adapters.uri import adapters_found, described_by
    from inmateria.cli.parameters import parameters_of, settings_of
    from inmateria.protocols import find_task, task_names

    for task in task_names():
        settings = find_task(task).settings
        for each in settings_of(settings):
            assert each.meaning, (task, each.name)
            assert each.allowed, (task, each.name)
            if each.default:  # it is written as it would be given
                find_task(task).settings_from({each.name: each.default}) if "," not in each.default else None
    for scheme, _ in adapters_found():
        parameters = parameters_of(*described_by(scheme))
        assert parameters, scheme
        assert all(each.meaning and each.allowed for each in parameters), (scheme, parameters)


def test_the_parameters_of_a_simulator_are_those_it_takes() -> None:
    listed = json.loads(inmateria("list", "nanowire", "--json").stdout)["scheme"]
    assert {"wires", "model", "model.set_voltage", "geometry.density", "variability.noise"} <= {
        each["name"] for each in listed
    }
    (wires,) = (each for each in listed if each["name"] == "wires")
    assert wires["default"] == "100"


def plugin(folder: Path, group: str, target: str) -> dict[str, str]:
    """Install a package with one entry point, called broken, and return the environment that finds it."""
    information = folder / "brittle-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: brittle\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(f"[{group}]\nbroken = {target}\n")
    (folder / "brittle.py").write_text("def opened(uri):\n    return {}['nothing']\n")
    (folder / "brittle_syntax.py").write_text("def opened(uri:\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (["run", "memory", "--on", "broken"], "brittle:nothing"),
        (["list", "broken"], "brittle_syntax:opened"),
        (["run", "broken"], "absent_module:opened"),
    ],
)
def test_a_broken_adapter_or_task_is_one_clear_line_that_names_its_package(
    command: list[str], target: str, tmp_path: Path
) -> None:
    env = plugin(tmp_path, "inmateria.tasks" if command == ["run", "broken"] else "inmateria.adapters", target)
    told = subprocess.run([*INMATERIA, *command], capture_output=True, text=True, timeout=HANGS, env=env, cwd=tmp_path)
    assert told.returncode == 2
    assert "'broken' of brittle 1.2 cannot be loaded" in told.stderr.splitlines()[-1]
    assert "Traceback" not in told.stderr
    listed = subprocess.run([*INMATERIA, "list"], capture_output=True, text=True, timeout=HANGS, env=env)
    assert "from brittle 1.2" in listed.stdout


def test_a_name_that_two_packages_register_is_refused(tmp_path: Path) -> None:
    env = plugin(tmp_path, "inmateria.adapters", "brittle:opened")
    other = tmp_path / "other-3.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 3.0\n")
    (other / "entry_points.txt").write_text("[inmateria.adapters]\nbroken = other:opened\n")
    command = [*INMATERIA, "run", "memory", "--on", "broken"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, env=env, cwd=tmp_path)
    assert told.returncode == 2
    assert "'broken' is registered by brittle 1.2 and other 3.0" in told.stderr.splitlines()[-1]


def test_a_mistake_in_an_adapter_is_one_line_and_its_traceback_is_there_when_asked_for(tmp_path: Path) -> None:
    env = plugin(tmp_path, "inmateria.adapters", "brittle:opened")
    command = ["run", "memory", "--on", "broken"]
    told = subprocess.run([*INMATERIA, *command], capture_output=True, text=True, timeout=HANGS, env=env, cwd=tmp_path)
    assert told.returncode == 1
    assert "KeyError at" in told.stderr.splitlines()[-1]
    assert "brittle.py:2" in told.stderr.splitlines()[-1]
    assert "Traceback" not in told.stderr
    asked = subprocess.run(
        [*INMATERIA, "--verbose", *command], capture_output=True, text=True, timeout=HANGS, env=env, cwd=tmp_path
    )
    assert "Traceback" in asked.stderr


def test_an_ascii_terminal_gets_ascii_and_what_is_true(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "120"}
    command = [*INMATERIA, "run", "waveform", "--steps", "600", "--round-trips", "2"]
    told = subprocess.run(command, capture_output=True, timeout=HANGS, env=env, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    words = told.stdout.decode("ascii")
    assert "mean +/- sd," in words
    told.stderr.decode("ascii")
    # Sentences below a table are true of it: these readouts are ridge.
    assert "RLS" not in words
    (folder,) = (tmp_path / "runs").glob("*-waveform")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "batch readout" not in page
    assert "in the same process" in page


INTERRUPTED_AT = """
import sys
from importlib.abc import MetaPathFinder

module = sys.argv.pop(1)

class Interrupt(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from inmateria.cli import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "inmateria.cli.running", "rich.progress", "numpy", "numba", "h5py"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED_AT, module, "run", "memory"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, cwd=tmp_path)
    # Death by the signal is 130 to a shell, too; Python chooses it if a C library was interrupted.
    assert told.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in told.stderr
    assert told.stderr.rstrip().splitlines()[-1] == "inmateria: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kilobytes", [8, 200])
def test_a_full_disk_is_one_clear_line(kilobytes: int, tmp_path: Path) -> None:
    limited = f"ulimit -f {kilobytes}; exec {shlex.join(INMATERIA)} run digits --splits 1 --out {tmp_path}"
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # writes, too
    told = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=HANGS, env=unmeasured)
    assert told.returncode in (1, 2)
    assert "Traceback" not in told.stderr
    assert "is the disk full?" in told.stderr.splitlines()[-1]
    if kilobytes == 8:  # nothing was recorded, and nothing is left
        assert list(tmp_path.iterdir()) == []


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
        (["run", "digits", "--set", "samples=99"], 1, "samples is 99"),
        (["run", "henon", "--on", "culture", "--electrodes", "4"], 2, "electrodes=4, which has no effect here"),
        (["run", "henon"], 2, "gives no spikes; henon counts the spikes that pulses evoke; give a culture"),
        (["run", "memory", "--on", "nanowire://?wires=1e9"], 2, "give at most 400,000"),
        (["run", "memory", "--on", "culture://?neurons=1e9"], 2, "give at most 200,000"),
        (["list", "nanowir"], 2, "did you mean nanowire?"),
        (["list", "mqtt://127.0.0.1/lab/x/y"], 2, "mqtt://host/group those of one group"),
        (
            ["passport", "--passports", "sqlite:///no/such/place.sqlite"],
            2,
            "there is no database of passports at no/such",
        ),
        (["passport", "nanowire-100"], 2, "there is no database of passports at runs/passports.sqlite"),
        (["run", "stack", "--train", "magic"], 2, "give one of augmented-dfa, bottleneck"),
        (["run", "stack", "--train", "in-silico", "--passes", "2"], 2, "more than twin_passes"),
        (["run", "stack", "--layers", "scattering,,scattering"], 2, "name substrates"),
        (["run", "stack", "--layers", "scattering,nanowires"], 2, "did you mean nanowire"),
        (["serve", "nanowires://"], 2, "did you mean nanowire"),
        (["serve", "nanowire", "--broker", f"mqtt://127.0.0.1:{nobody_listens()}"], 3, "no broker at"),
        (["serve", "nanowire", "--broker", "http://host"], 2, "does not name a broker"),
        (["report", "nowhere"], 2, "is not a run folder"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    arguments: list[str], code: int, says: str, tmp_path: Path, inmateria_here: RunCommand
) -> None:
    told = inmateria_here(*arguments)
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
        ["run", "memory", "--on", "nanowire", "--on", "echo"],
        ["run", "memory", "--seed", "1", "--seed", "2"],
        ["run", "memory", "--set", "seed=1", "--seed", "2"],
        ["run", "memory", "--on", "mqtt://127.0.0.1/lab/x", "--over", "mqtt"],
        ["run", "stack", "--on", "echo"],
        ["serve", "nanowire", "--port", "99999"],
        ["serve", "nanowire", "--port", "1", "--port", "2"],
        ["calibrate", "nanowire", "--steps", "0"],
        ["calibrate", "nanowire", "--repeats", "1"],
        ["calibrate", "nanowire", "--amplitude", "nan"],
        ["calibrate", "nanowire", "--rest", "-1"],
        ["watch", "mqtt://127.0.0.1/lab/x", "--every", "0"],
        ["fly"],
    ],
)
def test_a_wrong_command_line_is_said_with_exit_code_2(
    arguments: list[str], tmp_path: Path, inmateria_here: RunCommand
) -> None:
    told = inmateria_here(*arguments)
    assert list(tmp_path.iterdir()) == []
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert told.stderr.strip()


def test_a_port_in_use_is_one_clear_line(inmateria_here: RunCommand) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = inmateria_here("serve", "nanowire://?wires=40", "--port", str(port))
    assert told.returncode == 1
    assert f"cannot listen on port {port}" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_damaged_run_folder_is_one_clear_line(tmp_path: Path, inmateria_here: RunCommand) -> None:
    for text in ("", "{", '{"task": "digits"}'):
        (tmp_path / "run.json").write_text(text)
        told = inmateria_here("report", str(tmp_path))
        assert told.returncode == 2
        assert "not a run that can be read" in told.stderr
        assert not (tmp_path / "report.html").exists()


def test_run_folders_that_cannot_be_made_are_said(tmp_path: Path, inmateria_here: RunCommand) -> None:
    (tmp_path / "runs").write_text("a file stands here")
    told = inmateria_here("run", "digits")
    assert told.returncode == 2
    assert "give another place with --out" in told.stderr


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """The main job, as the demo runs it."""
    folder = tmp_path_factory.mktemp("main-job")
    told = inmateria("run", "digits", "--on", "nanowire", "--over", "mqtt", "--json", "--set", "splits=1", cwd=folder)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout), folder


def test_the_main_job_reads_digits_better_than_linear_readouts(finished_run: tuple[dict, Path]) -> None:
    told, _ = finished_run
    accuracy = {(score["on"], score["readout"]): score["score"] for score in told["scores"]}
    controls = ("masked input", "raw pixels", "rectifier", "rectified lags", "echo state")
    assert set(accuracy) == {
        (on, readout) for on in ("substrate", *controls) for readout in ("RLS, online", "ridge, batch")
    }
    for readout in ("RLS, online", "ridge, batch"):
        assert accuracy["substrate", readout] > accuracy["raw pixels", readout]
        assert accuracy["substrate", readout] > accuracy["masked input", readout]
        # Linear readouts of the raw pixels: .93 to .95 is what scikit-learn's own give.
        assert 0.92 < accuracy["raw pixels", readout] < 0.97
        # scikit-learn's nearest neighbours, and its kernels, read 0.98 and more: what is not linear is not rare.
        assert accuracy["rectified lags", readout] > 0.97
    assert "the matter did not help" in told["verdict"]
    assert told["chance"] == pytest.approx(0.1, abs=0.01)
    assert told["exchanges_per_second"] > 0
    assert 0 < told["round_trip_p50"] <= told["round_trip_p99"]


def test_the_main_job_leaves_everything_it_says(finished_run: tuple[dict, Path]) -> None:
    told, folder = finished_run
    paths = {name: folder / path for name, path in told["paths"].items()}
    assert re.search(r"runs/\d{8}T\d{6}-digits/run\.json$", str(paths["run.json"]))
    run = read_run(paths["run.json"].parent)
    assert run.settings["splits"] == 1
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


def test_the_report_is_made_again_from_the_folder_alone(
    finished_run: tuple[dict, Path], inmateria_here: RunCommand
) -> None:
    told, folder = finished_run
    page = folder / told["paths"]["report.html"]
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert inmateria_here("report", str(page.parent)).returncode == 0
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
            time.sleep(0.05)  # what looks without a pause takes the run its core
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
    script = "import sys, inmateria.cli.commands as c\ntry: c.app(['--help'])\nexcept SystemExit: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert (HEAVY - {"rich", "asyncio"}).isdisjoint(loaded)
