"""Sweeps and searches watched from their folders alone: what is done, by whom, what is left, and the scores so far."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inmateria.desk import sweep
from inmateria.desk.claims import claim_point, held_claims, this_process
from inmateria.desk.points import make_points
from inmateria.desk.searching import search
from inmateria.desk.sweep_folder import SweepFolder
from inmateria.desk.worker import run_point, work
from inmateria.live.messages import Progress, SweepState
from inmateria.live.sweep_source import SweepSource
from inmateria.live.sweep_view import SweepView, is_sweep
from inmateria.protocols.task import find_task

ON = "scattering://?ports=2&observables=2"
WORKER = [sys.executable, "-m", "inmateria.desk.worker"]


def made(folder: Path, seeds: int = 2, **settings: Any) -> SweepFolder:
    values = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    return SweepFolder.make(folder, make_points(find_task("small"), [ON], values, seeds))


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def until(view: SweepView, is_so: Any) -> SweepState:
    for _ in range(2400):  # two minutes, on a machine that is not busy
        state = view.look()
        if is_so(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def test_a_sweep_is_watched_while_two_processes_work_on_it(small: Path) -> None:
    folder = made(small / "s", seeds=4, x=[0.1, 0.9], milliseconds=1500)
    view = SweepView(small / "s")
    before = view.look()
    assert (before.of, before.done, before.left, before.running) == (8, 0, 8, 0)
    assert before.columns == ("seed", "x")
    workers = [subprocess.Popen([*WORKER, str(small / "s")]) for _ in range(2)]
    try:
        state = until(view, lambda seen: seen.running == 2 and any(each.folder for each in seen.workers))
        assert state.state == "running"
        assert state.left == 6 - state.done
        assert {each.name.rpartition(" ")[2] for each in state.workers} == {str(each.pid) for each in workers}
        assert all(each.lives for each in state.workers)
        assert all("x=" in each.label and "seed=" in each.label for each in state.workers)
        again = until(view, lambda seen: 2 <= seen.done < 8 and seen.running > 0)
        assert again.remaining is not None
        assert again.remaining > 0
        finished = until(view, lambda seen: seen.state == "finished")
    finally:
        for each in workers:
            each.wait(60)
    assert (finished.done, finished.failed, finished.left, finished.running) == (8, 0, 0, 0)
    assert [row.score for row in finished.rows] == pytest.approx([1.0] * 4 + [0.2] * 4)  # the mean of two splits
    assert finished.rows[0].gain == pytest.approx(0.55)
    assert {row.values[1] for row in finished.rows[:4]} == {"0.9"}
    assert [(each.setting, each.value, each.count) for each in finished.by_setting] == [
        ("x", "0.1", 4),
        ("x", "0.9", 4),
    ]
    assert finished.by_setting[1].mean == pytest.approx(1.0)
    assert finished.metric == "score"
    assert folder.finished() == set(folder.points)


def test_the_time_that_is_left_is_expected_where_all_runs_ended_at_once(small: Path) -> None:
    folder = made(small / "s", seeds=4, x=[0.1, 0.9])
    for _ in range(2):
        run_point(folder, next(each for each in folder.points if each not in folder.finished()))
    took = []
    for each in folder.finished():
        run = folder.runs / each / "run.json"
        os.utime(run, (1e9, 1e9))
        took.append(msgspec.json.decode(run.read_bytes())["seconds"])
    with ExitStack() as exits:
        for each in sorted(set(folder.points) - folder.finished())[:2]:
            claim = claim_point(folder.claims, each, this_process())
            assert claim is not None
            exits.callback(claim.give_back)
        assert SweepView(small / "s").look().remaining == pytest.approx(6 * (sum(took) / 2) / 2)


def test_nothing_is_written_to_the_folder_that_is_watched(small: Path) -> None:
    made(small / "s", x=[0.1, 0.9])
    work(SweepFolder(small / "s"))
    before = contents(small / "s")
    assert SweepView(small / "s").look().state == "finished"
    assert contents(small / "s") == before


def test_a_worker_that_is_killed_is_gone_and_its_sweep_stopped(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inmateria.live.sweep_view._QUIET", 0.0)
    made(small / "s", seeds=1, x=0.5, milliseconds=60_000)
    worker = subprocess.Popen([*WORKER, str(small / "s")])
    view = SweepView(small / "s")
    try:
        until(view, lambda seen: any(each.folder for each in seen.workers))
        worker.send_signal(signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    state = until(view, lambda seen: seen.state == "stopped")
    assert (state.running, state.left) == (0, 1)
    assert [each.lives for each in state.workers] == [False]
    assert state.remaining is None


def test_points_that_failed_are_shown_with_their_error(small: Path) -> None:
    made(small / "s", seeds=1, x=[0.1, 0.2], fails=True)
    work(SweepFolder(small / "s"))
    state = SweepView(small / "s").look()
    assert (state.failed, state.done, state.state) == (2, 0, "finished")
    assert all(row.state == "failed" and "it was told to" in row.error for row in state.rows)


def test_half_written_and_strange_files_are_left_out(small: Path) -> None:
    folder = made(small / "s", seeds=1, x=[0.1, 0.2])
    digests = list(folder.points)
    (folder.runs / digests[0]).mkdir()
    (folder.runs / digests[0] / "run.json").write_bytes(b'{"task": "small"')
    (folder.runs / digests[1]).mkdir()  # no run.json yet
    (folder.runs / "0123").mkdir()
    (folder.claims / f"{digests[1]}.0").write_bytes(b"{")
    (folder.claims / f".{digests[1]}.0-1-2").touch()
    view = SweepView(small / "s")
    state = view.look()
    assert (state.done, state.running, state.left) == (0, 1, 1)  # a claim that cannot be read, touched just now
    assert view.look().done == 0


def test_claims_are_told_apart_by_process_and_machine(tmp_path: Path) -> None:
    owner = this_process()
    claim = claim_point(tmp_path, "aa", owner)
    assert claim is not None
    (tmp_path / "bb.0").write_bytes(msgspec.json.encode(msgspec.structs.replace(owner, pid=2**22 + 1)))
    elsewhere = msgspec.json.encode(msgspec.structs.replace(owner, host="elsewhere"))
    (tmp_path / "cc.0").write_bytes(elsewhere)
    (tmp_path / "cc.1").write_bytes(elsewhere)
    (tmp_path / "dd.0").write_bytes(elsewhere)
    os.utime(tmp_path / "dd.0", (1, 1))
    held = {each.digest: each for each in held_claims(tmp_path)}
    assert {digest: each.lives for digest, each in held.items()} == {"aa": True, "bb": False, "cc": True, "dd": False}
    assert held["cc"].attempt == 1


def test_a_search_is_watched_by_trials(small: Path) -> None:
    found = search("small", ON, over={"x": "0..1"}, trials=6, folder=small / "f", workers=1, sampler="random")
    state = SweepView(small / "f").look()
    assert is_sweep(small / "f")
    assert (state.what, state.of, state.done + state.failed, state.state) == ("search", 6, 6, "finished")
    assert state.columns == ("x",)
    assert state.metric == "gain over the best control"
    assert state.rows[0].score == pytest.approx(max(trial.ending.value for trial in found.trials))


async def test_a_sweep_as_a_source_ends_with_its_last_state(small: Path) -> None:
    sweep("small", ON, {"x": [0.1, 0.9]}, folder="s", workers=1)
    async with SweepSource(small / "s") as source:
        seen = [message async for message in source.messages()]
    assert isinstance(seen[0], SweepState)
    assert any(isinstance(each, Progress) and each.done == each.of == 2 for each in seen)
