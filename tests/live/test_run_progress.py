"""The progress of a run in a file: whole lines in order, whatever is cut; nothing waits for it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import watched_runs
from hypothesis import given
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters.simulated import SimulatedSubstrate
from inmateria.live.progress_reading import ProgressReader
from inmateria.protocols import run_progress, runner
from inmateria.protocols.run_progress import (
    Begun,
    Ended,
    Line,
    NoTargets,
    ProgressFile,
    Reading,
    RunningScore,
    Stage,
    Targets,
    Values,
    note_score,
    progress_file,
)
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import read_run
from inmateria.protocols.task import find_task

BEGUN = {"task": "t", "on": "leaky://", "over": "local", "keep": "all", "part": "test", "created": "2026-01-01"}


def lines_of(path: Path) -> list[Line]:
    return [msgspec.json.decode(text, type=Line) for text in path.read_bytes().splitlines()]


def only_folder_in(runs: Path) -> Path:
    (folder,) = runs.iterdir()
    return folder


async def ran(runs: Path, task: str = "memory", keep: str = "all", **settings: Any) -> Path:
    found = find_task(task)
    return await run_task(
        found, found.settings_from(settings), SimulatedSubstrate(LeakySimulator(outputs=8)), runs, lambda *_: None,
        on="leaky://", over="local", keep=keep, report=False, passport=False,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_a_run_says_its_stages_targets_and_end_in_order(tmp_path: Path) -> None:
    folder = await ran(tmp_path, steps=500, washout=50, round_trips=5)
    lines = lines_of(folder / "progress.jsonl")
    assert isinstance(lines[0], Begun)
    assert lines[0].task == "memory"
    assert lines[0].pid == os.getpid()
    assert isinstance(lines[-1], Ended)
    assert lines[-1].how == "finished"
    (reading,) = (line for line in lines if isinstance(line, Reading))
    assert (reading.recording, reading.first, reading.exchanges) == ("recording.h5", 6, 5)  # rest, 5 round trips
    assert reading.row == "step"
    assert reading.washout == 50
    assert reading.metric == "r²"
    assert reading.targets > len(reading.names) == 8
    values = np.concatenate([np.frombuffer(each.values, "<f4") for each in lines if isinstance(each, Values)])
    found = values.reshape(-1, 8)
    assert len(found) == reading.rows == 500
    # The series is recalled: a target k back is the first one, k - 1 steps later.
    back = [int(name.split()[0]) for name in reading.names]
    assert back[0] == 1
    for column, k in enumerate(back):
        np.testing.assert_array_equal(found[k:, column], found[1 : 501 - k, 0])
        assert np.isnan(found[:k, column]).all()
    stages = [line for line in lines if isinstance(line, Stage)]
    last = {stage.name: (stage.done, stage.of) for stage in stages}
    assert last["streaming"] == (5, 5)
    assert last["scoring"][0] == last["scoring"][1]
    assert list(last)[-1] == "compressing"


async def test_no_score_depends_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = read_run(await ran(tmp_path / "a", steps=500, washout=50))

    class Nothing:
        def stage(self, *_: object) -> None:
            pass

    @contextmanager
    def without(*_: object) -> Iterator[Nothing]:
        yield Nothing()

    monkeypatch.setattr(runner, "progress_file", without)
    folder = await ran(tmp_path / "b", steps=500, washout=50)
    assert not (folder / "progress.jsonl").exists()
    assert read_run(folder).outcome.scores == with_it.outcome.scores


async def test_a_run_without_a_recording_removes_it_and_says_why_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Line] = []
    monkeypatch.setattr(ProgressFile, "add", lambda self, *lines: said.extend(lines))
    folder = await ran(tmp_path, keep="nothing", steps=500, washout=50)
    assert not (folder / "progress.jsonl").exists()
    assert (folder / "run.json").exists()
    assert any(isinstance(line, NoTargets) and "keeps no recording" in line.reason for line in said)


@pytest.mark.parametrize(
    ("task", "settings", "row", "classes"),
    [
        ("parity", {"steps": 500, "washout": 50}, "step", 2),
        ("delayed-match", {"steps": 500, "washout": 50}, "step", 2),
        ("narma", {"steps": 500, "washout": 50, "feedback": 0.1, "fed_back": 2}, "step", 0),
        ("capacity", {"steps": 2000, "degree": 1, "delays": 10}, "step", 0),
    ],
)
async def test_tasks_say_what_a_row_is(
    tmp_path: Path, task: str, settings: dict[str, Any], row: str, classes: int
) -> None:
    lines = lines_of(await ran(tmp_path, task, **settings) / "progress.jsonl")
    (reading,) = (line for line in lines if isinstance(line, Reading))
    assert reading.row == row
    assert len(reading.classes) == classes
    assert reading.rows == settings["steps"]
    assert reading.exchanges == (settings["steps"] if "feedback" in settings else settings["steps"] // 100)


@pytest.mark.parametrize("task", ["memory", "parity"])
async def test_a_run_that_fails_says_so_and_keeps_its_recording(tmp_path: Path, task: str) -> None:
    class Failing(LeakySimulator):
        def advance(self, stimulus: Any) -> Any:
            if len(self.applied) > 203:
                raise RuntimeError("the matter\nbroke")
            return super().advance(stimulus)

    found = find_task(task)
    with pytest.raises(RuntimeError):
        await run_task(
            found, found.settings_from({"steps": 500, "washout": 50}), SimulatedSubstrate(Failing()), tmp_path,
            lambda *_: None, on="x", over="local", report=False, passport=False,
        )  # fmt: skip
    last = lines_of(only_folder_in(tmp_path) / "progress.jsonl")[-1]
    assert isinstance(last, Ended)
    assert (last.how, last.error) == ("failed", "RuntimeError: the matter broke")


async def test_a_cancelled_run_says_so(tmp_path: Path) -> None:
    def begin() -> None:
        with progress_file(tmp_path, BEGUN) as file:
            file.stage("streaming", 1, 2, 3)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        begin()
    lines = lines_of(tmp_path / "progress.jsonl")
    assert isinstance(lines[1], Stage)
    assert isinstance(lines[-1], Ended)
    assert lines[-1].how == "cancelled"


def test_a_full_disk_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = os.write
    with progress_file(tmp_path, BEGUN) as file:
        handle = file._handle

        def full(to: int, data: Any) -> int:
            if to == handle:
                raise OSError(28, "No space left on device")
            return write(to, data)

        monkeypatch.setattr(run_progress.os, "write", full)
        file.stage("streaming", 1, 2, 3)
        file.score("s", 0.5, 1)
    assert "cannot be written (No space left on device); the run goes on" in caplog.text
    assert len(lines_of(tmp_path / "progress.jsonl")) == 1


def test_a_disk_that_hangs_holds_up_neither_notes_nor_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ProgressFile(tmp_path / "progress.jsonl", Begun(**BEGUN, at=0.0, host="h", pid=1, locked=False))
    hangs, write, handle = threading.Event(), os.write, file._handle

    def slow(to: int, data: Any) -> int:
        if to == handle:
            hangs.wait()
        return write(to, data)

    monkeypatch.setattr(run_progress.os, "write", slow)
    monkeypatch.setattr(run_progress, "_LAST", 0.05)
    for number in range(10_000):
        file.stage("streaming", number, 10_000, number)
        file.score("accuracy", 0.5, number)
    assert len(file._latest) <= 2
    file.end("finished")
    hangs.set()
    file._thread.join()
    lines = lines_of(tmp_path / "progress.jsonl")
    assert [line.done for line in lines if isinstance(line, Stage)][-1] == 9_999
    assert isinstance(lines[-1], Ended)


def test_a_score_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    with progress_file(tmp_path, BEGUN):
        for value in (float("nan"), 0.5, float("inf")):
            note_score("s", value, 1)
    (score,) = (line for line in lines_of(tmp_path / "progress.jsonl") if isinstance(line, RunningScore))
    assert score.value == 0.5


def test_targets_are_bounded_and_classes_are_named() -> None:
    many = Targets.of_numbers({f"{k} back": np.zeros(10) for k in range(60)})
    assert many.values.shape == (10, 60)
    classes = Targets.of_classes([0, 2, -1, 1], "digit")
    assert classes.classes == ("0", "1", "2")
    np.testing.assert_array_equal(classes.values[:, 0], [0, 2, np.nan, 1])


LINES: tuple[Line, ...] = (
    Begun(**BEGUN, at=1.0, host="h", pid=1, locked=False),
    Stage(name="round trips", done=1, of=2, steps=3, at=2.0),
    Reading(stage="s", recording="r.h5", first=3, exchanges=2, names=("ä\n",), targets=1, rows=2, row="step"),
    Values(first=0, values=np.array([0.5, np.nan], "<f4").tobytes()),
    RunningScore(name="accuracy, last 100", value=0.25, done=3, at=3.0),
    NoTargets(reason="none"),
    Ended(how="failed", error='E: "x"', at=4.0),
)


@given(st.lists(st.sampled_from(LINES[1:]), max_size=6), st.data())
def test_whole_lines_are_read_wherever_the_writer_was_cut_off(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Line], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "progress.jsonl"
    encoded = [msgspec.json.encode(line) for line in (LINES[0], *lines)]
    text = b"".join(each + b"\n" for each in encoded)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    reader = ProgressReader(path)
    assert reader.read() == ([], False)
    found: list[Line] = []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        with path.open("ab") as file:
            file.write(text[begin:end])
        new, anew = reader.read()
        assert not anew
        found += new
        assert len(found) == text[:end].count(b"\n")  # every whole line, and no other
    assert [msgspec.json.encode(each) for each in found] == encoded
    assert reader.damaged == 0


@given(st.binary(max_size=200).filter(lambda each: b"\n" not in each and each.strip()))
def test_what_is_no_line_is_counted_and_left_out(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    path = tmp_path_factory.mktemp("bad") / "progress.jsonl"
    good = [msgspec.json.encode(line) + b"\n" for line in LINES]
    path.write_bytes(good[0] + rubbish + b"\n" + bytes(7) + b"\n" + b'{"line":"of later"}\n' + good[1] + good[-1])
    reader = ProgressReader(path)
    lines, _ = reader.read()
    assert [type(line) for line in lines] == [Begun, Stage, Ended]
    assert reader.damaged == 3


@pytest.mark.parametrize("how", ["replaced", "truncated"])
def test_a_run_that_begins_anew_in_the_same_place_is_read_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "progress.jsonl"
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in LINES)
    path.write_bytes(text)
    reader = ProgressReader(path)
    assert len(reader.read()[0]) == len(LINES)
    assert reader.lives() is False
    if how == "replaced":
        (tmp_path / "new").write_bytes(text[: text.index(b"\n") + 5])
        (tmp_path / "new").rename(path)
    else:
        path.write_bytes(text[: text.index(b"\n") + 5])
    lines, anew = reader.read()
    assert anew
    assert [type(line) for line in lines] == [Begun]


def test_a_run_that_is_killed_is_known_to_be_dead(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    process = watched_runs.start(tmp_path / "runs", "memory", held, steps=4000)
    try:
        reader = ProgressReader(watched_runs.folder_in(tmp_path / "runs") / "progress.jsonl")
        lines = watched_runs.until(lambda: reader.read()[0] or None)
        assert isinstance(lines[0], Begun)
        assert lines[0].locked
        assert lines[0].pid == process.pid
        assert reader.lives() is True
        process.send_signal(signal.SIGKILL)
        process.wait()
        watched_runs.until(lambda: reader.lives() is False or None)
    finally:
        process.kill()
        process.wait()


def test_without_locks_signs_of_life_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_progress, "_locked", lambda handle: False)
    path = tmp_path / "progress.jsonl"
    with progress_file(tmp_path, BEGUN):
        reader = ProgressReader(path)
        reader.read()
        assert reader.lives() is True
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    late = ProgressReader(path)
    late.read()
    assert late.lives() is False
