"""Runs that are watched from another process: traces, stages, outputs beside targets, and how they end."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import watched_runs
from leaky import LeakySimulator
from sklearn.linear_model import Ridge

from inmateria.adapters import connect
from inmateria.adapters.simulated import SimulatedSubstrate
from inmateria.errors import SubstrateError, UnknownSubstrate
from inmateria.exchange import evenly_spaced
from inmateria.live.folders import folder_named, folder_source
from inmateria.live.messages import Columns, Hello, Message, Outputs, RunState, Status, encode_text
from inmateria.live.online_reading import features_of
from inmateria.live.opening import open_source
from inmateria.live.run_source import RunSource
from inmateria.protocols import Task
from inmateria.protocols.run_progress import described
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import RunFolderError, read_run
from inmateria.protocols.task import find_task
from inmateria.recording import open_recording
from inmateria.reservoir import FilteredRates, FirstSpikeLatency, SpikeCounts, VirtualNodes
from inmateria.reservoir.features import SignalOrCounts
from inmateria.substrate import Substrate

Seen = list[Message | Columns]


async def watched(folder: Path, while_it_is: Callable[[Message | Columns], None] = lambda _: None) -> Seen:
    found: Seen = []
    async with RunSource(folder) as source:
        async for message in source.messages():
            if not isinstance(message, Columns):
                encode_text(message)
            found.append(message)
            while_it_is(message)
    return found


def outputs_of(seen: Seen) -> tuple[Any, Any, Any, Any]:
    fresh = [each for each in seen if isinstance(each, Outputs) and not each.again]
    times = np.concatenate([each.times for each in fresh])
    target, output = (
        np.array([row for each in fresh for row in getattr(each, name)], dtype=float) for name in ("target", "output")
    )
    return times, target, output, [score for each in fresh for score in each.score]


async def ran(runs: Path, task: str | Task, substrate: Substrate | None = None, **settings: Any) -> Path:
    found = find_task(task) if isinstance(task, str) else task
    one = substrate or SimulatedSubstrate(LeakySimulator(outputs=8))
    return await run_task(
        found, found.settings_from(settings), [one] if found.several else one, runs, lambda *_: None,
        on="leaky://", over="local", report=False, passport=False,
    )  # fmt: skip


async def test_a_run_in_another_process_is_watched_as_it_goes_on(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    process = watched_runs.start(tmp_path / "runs", "memory", held, steps=1000, washout=50, round_trips=5)
    try:
        folder = await asyncio.to_thread(watched_runs.folder_in, tmp_path / "runs")
        early = {"columns": 0, "rows": 0, "running": 0}

        def note(message: Message | Columns) -> None:
            if held.exists():
                early["columns"] += isinstance(message, Columns)
                early["rows"] += len(message.times) if isinstance(message, Outputs) and not message.again else 0
                early["running"] += isinstance(message, RunState) and message.state == "running"
                if early["rows"] >= 400 and early["running"]:
                    held.unlink()

        seen = await watched(folder, note)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
    assert early["rows"] == 400  # as far as it had come
    assert early["columns"] > 0
    assert early["running"] > 0
    run = read_run(folder)
    hellos = [each for each in seen if isinstance(each, Hello)]
    assert [trace.name for trace in hellos[-1].outputs] == [channel.name for channel in run.substrate.outputs]
    assert hellos[-1].readout is not None
    assert hellos[-1].map is not None
    times, target, output, score = outputs_of(seen)
    assert len(times) == 1000
    assert (np.diff(times) > 0).all()
    # The matter holds the sum of c^k u(t - 1 - k) of the past, where c is the part that a step of ten samples keeps.
    # The best readout of u(t - 1) from that misses c of its standard deviation.
    late = slice(-500, None)
    error = np.sqrt(np.nanmean((target[late, 0] - output[late, 0]) ** 2) / np.nanvar(target[late, 0]))
    assert error == pytest.approx(0.9**10, rel=0.1)
    assert score[-1] is not None
    columns = [each for each in seen if isinstance(each, Columns)]
    assert columns[-1].ends[-1] == pytest.approx(times[-1])  # outputs are on the axis of the traces
    state = [each for each in seen if isinstance(each, RunState)][-1]
    assert state.state == "finished"
    assert state.verdict == run.outcome.verdict
    assert [each.on for each in state.scores] == [each.on for each in run.outcome.scores]
    assert state.scores[0].score == pytest.approx(np.mean(run.outcome.scores[0].splits))
    status = [each for each in seen if isinstance(each, Status)][-1]
    with open_recording(folder / "recording.h5") as recording:
        assert status.exchanges == len(recording)
    assert status.state == "ended"


async def test_a_run_that_is_killed_ends_what_is_shown(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    process = watched_runs.start(tmp_path / "runs", "memory", held, steps=1000, washout=50, round_trips=5)
    try:
        folder = await asyncio.to_thread(watched_runs.folder_in, tmp_path / "runs")

        def kill(message: Message | Columns) -> None:
            if isinstance(message, Outputs) and len(message.times):
                process.send_signal(signal.SIGKILL)
                process.wait()

        seen = await watched(folder, kill)
    finally:
        process.kill()
        process.wait()
    state = [each for each in seen if isinstance(each, RunState)][-1]
    assert state.state == "died"
    assert "its process is gone" in state.error
    status = [each for each in seen if isinstance(each, Status)][-1]
    assert status.state == "failed"
    with open_recording(folder / "recording.h5") as recording:
        assert status.exchanges == len(recording)
        assert not recording.finished


async def test_outputs_are_those_of_a_ridge_regression_on_all_rows_before(tmp_path: Path) -> None:
    folder = await ran(tmp_path, "narma", steps=500, washout=100, round_trips=5, samples=2)
    seen = await watched(folder)
    _, target, output, _ = outputs_of(seen)
    with open_recording(folder / "recording.h5") as recording:
        found = [each.response.signal for each in recording.between(6, 11)]
    taken = evenly_spaced(2, found[0].shape[1])
    rows = [signal[:, taken].reshape(len(signal), -1) for signal in found]
    X = np.concatenate(rows)
    first = X[:100]  # the first piece, by which features are standardised
    X = (X - first.mean(axis=0)) / first.std(axis=0)
    for row in (160, 250, 499):
        known = [k for k in range(100, row) if np.isfinite(target[k]).all()]
        expected = Ridge(alpha=1e-3).fit(X[known], target[known]).predict(X[row : row + 1])
        np.testing.assert_allclose(output[row], np.ravel(expected), rtol=2e-4, atol=1e-5)
    assert np.isnan(output[100]).all()  # nothing is learned in the washout


async def test_classes_are_named_and_their_score_is_the_fraction_that_was_right(tmp_path: Path) -> None:
    folder = await ran(tmp_path, "parity", steps=600, washout=50, round_trips=5)
    seen = await watched(folder)
    readout = [each for each in seen if isinstance(each, Hello)][-1].readout
    assert readout is not None
    assert readout.classes == ("0", "1")
    assert readout.metric == "accuracy of the last 100"
    times, target, output, _ = outputs_of(seen)
    fresh = [each for each in seen if isinstance(each, Outputs) and not each.again]
    scored = [pair for each in fresh for pair in zip(each.scored, each.score, strict=True)]
    both = np.isfinite(target[:, 0]) & np.isfinite(output[:, 0])
    for time, score in scored[-5:]:
        rows = np.flatnonzero(both & (times <= time + 1e-9))[-100:]
        assert score == pytest.approx(np.mean(target[rows, 0] == output[rows, 0]))


async def test_matter_that_learns_shows_its_own_outputs_and_error(tmp_path: Path) -> None:
    folder = await ran(tmp_path, "xor", connect("clln://?grid=4x4&rule=coupled-learning"), epochs=50, round_trips=5)
    seen = await watched(folder)
    _, target, output, score = outputs_of(seen)
    assert len(target) == 50 * 4
    curve = next(each for each in read_run(folder).outcome.curves if each.heading == "Learning curve")
    errors = np.array(next(iter(curve.lines.values()))) / 1e3  # of each epoch
    by_epoch = np.sqrt(((target - output) ** 2).reshape(50, -1).mean(axis=1))
    np.testing.assert_allclose(by_epoch, errors, rtol=1e-4)
    assert score[-1] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    readout = [each for each in seen if isinstance(each, Hello)][-1].readout
    assert readout is not None
    assert not readout.higher_is_better


async def test_a_run_without_a_recording_shows_its_stages(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    process = watched_runs.start(
        tmp_path / "runs", "narma", held, keep="nothing", steps=1000, washout=50, round_trips=5
    )
    try:
        folder = await asyncio.to_thread(watched_runs.folder_in, tmp_path / "runs")

        def go_on(message: Message | Columns) -> None:
            if isinstance(message, RunState) and message.stages and message.stages[-1].name == "streaming":
                held.unlink(missing_ok=True)

        seen = await watched(folder, go_on)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
    states = [each for each in seen if isinstance(each, RunState)]
    assert any("keeps no recording" in each.reading for each in states)
    assert {stage.name for each in states for stage in each.stages} >= {"streaming", "scoring"}
    assert states[-1].state == "finished"
    assert states[-1].scores
    assert not [each for each in seen if isinstance(each, Columns)]


async def test_a_run_of_an_older_version_says_that_it_has_no_notes(tmp_path: Path) -> None:
    folder = await ran(tmp_path, "memory", steps=500, washout=50, round_trips=5)
    (folder / "progress.jsonl").unlink()
    seen = await watched(folder)
    state = [each for each in seen if isinstance(each, RunState)][-1]
    assert state.state == "finished"
    assert "made without notes" in state.reading
    assert [each for each in seen if isinstance(each, Columns)]


async def test_a_run_cannot_be_stopped_from_its_files(tmp_path: Path) -> None:
    source = RunSource(tmp_path)
    assert not source.hello.stops
    with pytest.raises(SubstrateError, match="watched from its files"):
        await source.stop()
    with pytest.raises(RunFolderError, match="does not exist"):
        await RunSource(tmp_path / "none").__aenter__()


def test_folders_are_found_by_path_task_and_as_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("20260101T000000-memory", "20260102T000000-xor", "20260103T000000-memory", "20260104T000000-empty"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        if "empty" not in name:
            (tmp_path / "runs" / name / "run.json").touch()
    assert folder_named("memory") == Path("runs/20260103T000000-memory")
    assert folder_named("xor") == Path("runs/20260102T000000-xor")
    assert folder_named("latest") == folder_named("memory")
    assert folder_named("runs") == folder_named("memory")
    assert folder_named("runs/20260101T000000-memory") == Path("runs/20260101T000000-memory")
    assert folder_named("narma") is None
    assert isinstance(open_source("latest"), RunSource)
    with pytest.raises(UnknownSubstrate, match="folder of no run and of no sweep"):
        folder_source(tmp_path)


@pytest.mark.parametrize(
    "features",
    [VirtualNodes(3, ("o1",)), SignalOrCounts(2), SpikeCounts(4), FilteredRates(0.2), FirstSpikeLatency()],
)
def test_features_are_made_again_from_their_description(features: Any) -> None:
    assert features_of(described(features)) == features


def test_features_of_others_are_not_guessed() -> None:
    assert features_of({"type": "Of a package", "x": 1}) is None
    assert features_of({"type": "SpikeCounts", "bins": 1, "later": 2}) is None
