"""Sweeps: every point once, whatever dies; failures kept; folders shared; devices used by one process at a time."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from inmateria.cli.commands import app
from inmateria.desk import Progress, SweepFolder, read_catalogue, sweep
from inmateria.desk.points import make_points
from inmateria.desk.sweep_folder import SweepFolderError
from inmateria.desk.worker import run_point, work
from inmateria.protocols.task import UnsuitableSetting, UnsuitableSubstrate, find_task
from inmateria.substrate import UnknownSubstrate

ON = "scattering://?ports=2&observables=2"
WORKER = [sys.executable, "-m", "inmateria.desk.worker"]


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def test_points_are_run_once_and_found_again(small: Path) -> None:
    log = small / "log"
    given = {"x": [0.1, 0.9], "log": str(log), "milliseconds": 1}
    seen: list[Progress] = []
    first = sweep("small", ON, given, seeds=3, folder="s", workers=2, on_progress=seen.append)
    assert len(first.runs) == 6
    assert not first.failures
    assert Counter(line[0] for line in lines(log)) == {"begin": 6, "end": 6}
    assert seen[-1].done == seen[-1].of == 6
    assert {(row["settings.x"], row["settings.seed"]) for row in first.rows()} == {
        (x, seed) for x in (0.1, 0.9) for seed in range(3)
    }
    best = max(first.runs, key=lambda run: run.gain.score)
    assert best.settings["x"] == 0.9
    assert best.gain.gain == pytest.approx(0.55)  # .9 and 1.1 beside .4 and .5, split by split
    assert best.gain.gain_sd == pytest.approx(0.05)
    again = sweep("small", ON, given, seeds=3, folder="s", workers=2)
    assert len(again.runs) == 6
    assert len(lines(log)) == 12
    assert len(again.to_pandas()) == 6
    for name in ("claims", "devices", "working"):
        assert list((small / "s" / name).iterdir()) == []


def test_a_folder_of_another_sweep_is_refused(small: Path) -> None:
    points = make_points(find_task("small"), [ON], {"x": [1, 2]})
    SweepFolder.make(small / "s", points)
    assert len(SweepFolder.make(small / "s", points).points) == 2
    with pytest.raises(SweepFolderError, match="another sweep, of 2 points"):
        SweepFolder.make(small / "s", points[:1])
    with pytest.raises(SweepFolderError, match="another sweep"):
        SweepFolder.make(small / "s", points, keep="all")
    with pytest.raises(SweepFolderError, match="not the folder of a sweep"):
        SweepFolder(small)
    with pytest.raises(SweepFolderError, match="INMATERIA_MQTT_CREDENTIALS"):
        SweepFolder.make(small / "t", make_points(find_task("small"), ["mqtt://me:secret@host/g/d"], {}))
    assert not (small / "t").exists()


def test_a_uri_that_makes_no_substrate_is_refused_before_anything_runs(small: Path) -> None:
    with pytest.raises(UnknownSubstrate, match="outputs"):
        sweep("small", "scattering://?ports=2,3&outputs=2", folder="s")
    with pytest.raises(UnsuitableSubstrate, match="gives no spikes"):
        sweep("henon", ["culture://", "echo://?units=5"], folder="s")
    assert not (small / "s").exists()


def test_all_points_are_of_the_part_that_is_asked_for(small: Path) -> None:
    few = {"steps": 500, "delays": 3, "round_trips": 2}
    test, validation = (
        sweep("memory", "echo://?units=5", few, folder=part, workers=1, part=part) for part in ("test", "validation")
    )
    assert ([run.part for run in test.runs], [run.part for run in validation.runs]) == (["test"], ["validation"])
    assert test.runs[0].settings["seed"] == validation.runs[0].settings["seed"]
    assert test.runs[0].gain.score != validation.runs[0].gain.score  # of other data
    with pytest.raises(SweepFolderError, match="another sweep"):
        sweep("memory", "echo://?units=5", few, folder="test", part="validation")
    for on in ("culture://", None):
        with pytest.raises(UnsuitableSetting, match="no part for validation"):
            sweep("spontaneous", on, folder="s", part="validation")
    assert not (small / "s").exists()


def test_the_part_stands_in_the_file_of_a_sweep_and_an_option_goes_before_it(small: Path) -> None:
    Path("s.toml").write_text(f'task = "small"\non = "{ON}"\npart = "validation"\nworkers = 1\n')
    for folder, options, part in (("a", [], "validation"), ("b", ["--part", "test"], "test")):
        done = CliRunner().invoke(app, ["sweep", "--config", "s.toml", "--out", folder, "--workers", "1", *options])
        assert done.exit_code == 0, done.output
        assert [point.part for point in SweepFolder(Path(folder)).points.values()] == [part]
        assert [run.part for run in read_catalogue(small / folder / "runs")] == [part]


def test_failed_points_keep_their_error_and_the_others_run(small: Path) -> None:
    result = sweep("small", ON, {"x": [1, 2], "fails": ["false", "true"]}, folder="s", workers=1)
    assert len(result.runs) == 2
    assert [each.error for each in result.failures] == 2 * ["ValueError: it was told to"]
    assert all("raise ValueError" in each.details for each in result.failures)
    assert {each.point.settings["x"] for each in result.failures} == {1.0, 2.0}
    folder = SweepFolder(small / "s")
    assert work(folder) == 0  # they are not tried again by themselves
    assert folder.forget_failures() == 2
    assert work(folder) == 2


@pytest.mark.slow
def test_a_point_that_kills_its_process_fails_at_last(small: Path) -> None:
    log = small / "log"
    result = sweep("small", ON, {"x": 1, "kills": True, "log": str(log)}, folder="s", workers=1)
    assert [each.error for each in result.failures] == ["the process that ran it died, 5 times one after another"]
    assert len(lines(log)) == 5


def test_a_sweep_of_another_version_is_not_gone_on_with(small: Path) -> None:
    points = make_points(find_task("small"), [ON], {})
    folder = SweepFolder.make(small / "s", [msgspec.structs.replace(each, version="0.0.1") for each in points])
    with pytest.raises(SweepFolderError, match=r"sweep of inmateria 0\.0\.1; this is"):
        work(folder)


@pytest.mark.slow
def test_one_device_is_used_by_one_process_at_a_time(small: Path) -> None:
    log = small / "log"
    result = sweep("small", "one://bench", {"milliseconds": 30, "log": str(log)}, seeds=8, folder="s", workers=3)
    assert len(result.runs) == 8
    ordered = sorted(lines(log), key=lambda line: int(line[4]))
    assert [line[0] for line in ordered] == 8 * ["begin", "end"]


def test_an_interrupted_worker_gives_its_point_back(small: Path) -> None:
    log = small / "log"
    points = make_points(find_task("small"), [ON], {"milliseconds": [60_000], "log": [str(log)]})
    folder = SweepFolder.make(small / "s", points)
    worker = subprocess.Popen([*WORKER, str(small / "s")])
    try:
        while not log.exists():
            assert worker.poll() is None
            time.sleep(0.02)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 130
    finally:
        worker.kill()
        worker.wait()
    assert list((small / "s" / "claims").iterdir()) == []
    assert list((small / "s" / "working").iterdir()) == []
    assert not folder.finished()


def test_a_run_that_comes_too_late_is_thrown_away(small: Path) -> None:
    """A machine that was frozen for long comes back after its point was taken over and finished."""
    points = make_points(find_task("small"), [ON], {"x": [7]})
    folder = SweepFolder.make(small / "s", points)
    (digest,) = folder.points
    late = folder.working_folder(digest, 0)
    (late / "run.json").write_text("late")
    assert run_point(folder, digest)
    before = (folder.runs / digest / "run.json").read_bytes()
    assert folder.finish(digest, late) is False
    assert (folder.runs / digest / "run.json").read_bytes() == before
    assert not late.exists()
    assert run_point(folder, digest) is False


def kill_again_and_again(small: Path, points: int, kills: int) -> None:
    """Kill workers of two parents that share a folder; then nothing is lost, and at most one run a kill is repeated."""
    log, drawn = small / "log", random.Random(0)
    made = make_points(find_task("small"), [ON], {"milliseconds": [120], "log": [str(log)], "x": list(range(points))})
    folder, killed = SweepFolder.make(small / "s", made), 0
    workers: list[subprocess.Popen[bytes]] = []
    try:
        while len(folder.finished()) + len(folder.failed()) < points:
            workers = [each for each in workers if each.poll() is None]
            while len(workers) < 2:
                workers.append(subprocess.Popen([*WORKER, str(small / "s")]))
            ran_before = len(log.read_text().splitlines()) if log.exists() else 0
            time.sleep(0.01)
            running = {int(line[3]) for line in lines(log)} if log.exists() else set()
            busy = [each for each in workers if each.pid in running]
            if busy and killed < kills and ran_before:
                time.sleep(drawn.uniform(0, 0.2))
                victim = drawn.choice(busy)
                victim.kill()
                victim.wait()
                killed += 1
    finally:
        for each in workers:
            each.terminate()
            each.wait()
    assert killed == kills
    assert not folder.failed()
    assert {run.settings["x"] for run in read_catalogue(folder.runs)} == set(range(points))
    begun = Counter(line[2] for line in lines(log) if line[0] == "begin")
    ended = Counter(line[2] for line in lines(log) if line[0] == "end")
    assert set(ended) == {str(float(x)) for x in range(points)}
    assert sum(begun.values()) - points <= killed
    work(SweepFolder(small / "s"))  # the last worker may have died between its run and the end of its claim
    assert list((small / "s" / "claims").iterdir()) == []
    assert list((small / "s" / "working").iterdir()) == []


def test_workers_that_are_killed_lose_one_run_at_most(small: Path) -> None:
    kill_again_and_again(small, points=30, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_kills(small: Path) -> None:
    kill_again_and_again(small, points=300, kills=100)


@pytest.mark.slow
def test_the_parent_replaces_what_is_killed_and_ends_its_workers_when_interrupted(small: Path) -> None:
    script = (
        "from inmateria.desk import sweep; "
        f"sweep('small', {ON!r}, {{'milliseconds': 200, 'log': 'log'}}, seeds=400, folder='s', workers=2)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    try:
        pids: set[str] = set()
        while len(pids) < 3:
            time.sleep(0.05)
            assert parent.poll() is None
            found = {line[3] for line in lines(small / "log")} if (small / "log").exists() else set()
            if len(found) == 2 and len(pids) < 2:
                os.kill(int(max(found)), signal.SIGKILL)
            pids = found
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) != 0
    finally:
        parent.kill()
        parent.wait()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert len(list((small / "s" / "working").iterdir())) <= 1  # that of the one which was killed


ON_DASK = """
import os
import signal
from pathlib import Path

from inmateria.desk import SweepFolder
from inmateria.desk.dask_sweeping import run_sweep_on_dask

log, killed = Path("log"), []


def kill_one(progress):
    running = {int(line.split()[3]) for line in log.read_text().splitlines()} if log.exists() else set()
    if len(running) == 2 and not killed:
        killed.append(min(running))
        os.kill(killed[0], signal.SIGKILL)


if __name__ == "__main__":
    result = run_sweep_on_dask(SweepFolder(Path("s")), "local", 2, kill_one)
    print(len(killed), len(result.runs), len(result.failures))
"""


@pytest.mark.slow
def test_two_workers_of_a_dask_cluster_of_which_one_is_killed(small: Path) -> None:
    log = small / "log"
    given: dict[str, list[Any]] = {"milliseconds": [150], "log": [str(log)], "x": list(range(40))}
    folder = SweepFolder.make(small / "s", make_points(find_task("small"), [ON], given))
    (small / "on_dask.py").write_text(ON_DASK)
    done = subprocess.run([sys.executable, "on_dask.py"], capture_output=True, text=True, timeout=300)
    assert done.stdout == "1 40 0\n", done.stderr
    assert {run.settings["x"] for run in read_catalogue(folder.runs)} == set(range(40))
    begun = Counter(line[2] for line in lines(log) if line[0] == "begin")
    assert sum(begun.values()) <= 41
