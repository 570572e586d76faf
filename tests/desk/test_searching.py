"""Searches: on data that no report tests on, the same again, whatever dies; spaces read; what is found can be run."""

import json
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inmateria.cli.commands import app
from inmateria.desk import SearchFolder, read_catalogue, search
from inmateria.desk.configuration import read_experiment
from inmateria.desk.point_folder import SweepFolderError
from inmateria.desk.search_space import (
    Dimension,
    SpaceError,
    make_dimension,
    read_reservoirpy_space,
    shown_value,
    with_parameter,
)
from inmateria.desk.search_trials import distribution_of, objective_of
from inmateria.desk.search_worker import work_on_search
from inmateria.desk.searching import prepare_search, result_of
from inmateria.protocols.data_parts import CHOOSING_SEEDS
from inmateria.protocols.outcome import Score
from inmateria.protocols.task import UnknownTask, UnsuitableSetting, find_task
from inmateria.substrate import UnknownSubstrate

ON = "scattering://?ports=2&observables=2"
WORKER = [sys.executable, "-m", "inmateria.desk.search_worker"]
MEMORY = {"steps": 500, "delays": 5, "round_trips": 2}


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def made(folder: str, log: Path | None = None, **how: Any) -> SearchFolder:
    how = {"over": {"x": "0..1"}, "trials": 12, "seeds": 2, "objective": "score", **how}
    settings = {"milliseconds": 0, **({} if log is None else {"log": str(log)}), **how.pop("settings", {})}
    return prepare_search("small", ON, settings, folder=folder, **how)


def test_a_search_finds_the_best_and_scores_the_part_for_choosing_only(small: Path) -> None:
    log = small / "log"
    folder = made("s", log, trials=30, prune=False)
    assert work_on_search(folder) == 30
    result = result_of(folder)
    assert len(result.trials) == 30
    assert result.best.parameters["x"] > 0.95  # the score is x + .1
    assert result.best.ending is not None
    assert result.best.ending.value == pytest.approx(result.best.parameters["x"] + 0.1)
    assert max(trial.parameters["x"] for trial in result.trials) == result.best.parameters["x"]
    runs = read_catalogue(folder.runs)
    assert {run.part for run in runs} == {"validation"}
    assert {run.settings["seed"] for run in runs} == {0, 1}
    # Every run drew with a seed for choosing, and none was made twice.
    assert {int(line[1]) for line in lines(log)} == {CHOOSING_SEEDS, CHOOSING_SEEDS + 1}
    assert Counter((line[1], line[2]) for line in lines(log) if line[0] == "end").most_common(1)[0][1] == 1
    for name in ("claims", "devices", "working"):
        assert list((folder.path / name).iterdir()) == []
    assert work_on_search(SearchFolder(folder.path)) == 0


def test_a_search_for_the_score_with_noise_of_reading_takes_it_and_says_where_there_is_none(small: Path) -> None:
    def score(on: str, splits: tuple[float, ...], noisy: tuple[float, ...]) -> Score:
        return Score(readout="r", on=on, features=1, score=splits[0], splits=splits, noisy=noisy)

    scores = (score("substrate", (0.9, 0.7), (0.5, 0.3)), score("input alone", (0.2, 0.2), ()))
    values = [objective_of(name, scores) for name in ("gain", "score", "noisy")]
    assert values == pytest.approx([0.6, 0.8, 0.4])
    folder = made("s", objective="noisy", trials=2)
    work_on_search(folder)
    endings = [trial.ending for trial in result_of(folder).trials]
    assert all(ending is not None and ending.state == "failed" for ending in endings)
    assert "no score with noise of reading; search for the score" in str(endings[0])


def test_one_worker_searches_the_same_again_and_another_seed_otherwise(small: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = made(name, seed=seed, over={"x": "0..1", "milliseconds": "lin:0..1"}, settings={})
        work_on_search(folder)
        found.append([(trial.parameters, trial.ending) for trial in folder.trials()])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_poor_trials_are_given_up_after_their_first_seeds(small: Path) -> None:
    folder = made("s", trials=25, seeds=3, sampler="random")
    work_on_search(folder)
    trials = [(trial, trial.ending) for trial in folder.trials()]
    values: dict[str, list[float]] = {"complete": [], "pruned": []}
    for trial, ending in trials:
        assert ending is not None
        values[ending.state].append(trial.parameters["x"])
        assert len(ending.values) == (3 if ending.state == "complete" else 1)  # a score of x alone is known at once
    assert len(values["pruned"]) > 3
    # Trials are run one after another here: each pruned one is below the median of the finished ones before it.
    for k, (trial, ending) in enumerate(trials):
        before = [each.parameters["x"] for each, end in trials[:k] if end and end.state == "complete"]
        if ending and ending.state == "pruned":
            assert len(before) >= 5
            assert trial.parameters["x"] < sorted(before)[len(before) // 2] + 1e-9
    assert result_of(folder).best.parameters["x"] == max(values["complete"])


def test_what_matters_is_told_from_what_does_not(small: Path) -> None:
    folder = made("s", trials=30, seeds=1, over={"x": "0..1", "on.seed": "0..1000"}, sampler="random")
    work_on_search(folder)
    result = result_of(folder)
    assert list(result.importances) == ["x", "on.seed"]
    assert result.importances["x"] > 0.9  # the score is x, whatever the seed
    assert sum(result.importances.values()) == pytest.approx(1.0)
    study = result.study()
    assert study.best_params == result.best.parameters
    frame = result.to_pandas()
    assert frame.loc[frame["value"].idxmax(), "x"] == result.best.parameters["x"]
    page = result.write_page("page.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    for words in ("Importance", "Slices", "Course of the search", "The best, on the reported splits", "on.seed"):
        assert words in page


def test_killed_workers_lose_nothing_and_repeat_nothing_that_was_finished(small: Path) -> None:
    log = small / "log"
    folder = made("s", log, trials=14, seeds=3, settings={"milliseconds": 60})
    generator = random.Random(1)
    parameters: dict[int, Any] = {}
    kills = 0

    def ended_so_far() -> int:
        return sum(line[0] == "end" for line in lines(log)) if log.exists() else 0

    for _ in range(4):  # a trial whose process dies five times would count as failed
        workers = [subprocess.Popen([*WORKER, str(folder.path)]) for _ in range(2)]
        before = ended_so_far()
        while ended_so_far() < before + 3 and any(worker.poll() is None for worker in workers):
            time.sleep(0.01)
        time.sleep(generator.uniform(0.0, 0.2))
        for worker in workers:
            kills += worker.poll() is None
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        for trial in SearchFolder(folder.path).trials():  # settings of a trial never change
            assert parameters.setdefault(trial.number, trial.parameters) == trial.parameters
    assert kills >= 2
    work_on_search(SearchFolder(folder.path))
    result = result_of(SearchFolder(folder.path))
    assert [trial.number for trial in result.trials] == list(range(14))
    assert all(trial.ending is not None and trial.ending.state != "failed" for trial in result.trials)
    ended = Counter((line[1], line[2]) for line in lines(log) if line[0] == "end")
    # A run that was finished but not yet in its place when its process died is the one that a kill may cost.
    assert sum(count - 1 for count in ended.values()) <= kills
    runs = len(read_catalogue(folder.runs))
    assert runs <= len(ended) <= runs + kills
    assert sum(len(trial.ending.values) for trial in result.trials if trial.ending) == runs
    assert list((folder.path / "claims").iterdir()) == []


def test_failed_trials_keep_their_error_and_can_be_tried_again(small: Path) -> None:
    folder = made("s", trials=8, seeds=1, over={"x": "0..1", "fails": [False, True]}, sampler="random")
    work_on_search(folder)
    failed = [trial for trial in folder.trials() if trial.ending and trial.ending.state == "failed"]
    assert 0 < len(failed) < 8
    assert all(trial.parameters["fails"] for trial in failed)
    assert failed[0].ending is not None
    assert failed[0].ending.error == "ValueError: it was told to"
    assert result_of(folder).best.parameters["fails"] is False
    assert folder.counts() == (8 - len(failed), len(failed))
    assert folder.forget_failures() == len(failed)
    assert len(folder.ended()) == 8 - len(failed)
    broken = made("t", trials=2, seeds=1, settings={"fails": True})
    work_on_search(broken)
    with pytest.raises(ValueError, match=r"no trial of t is finished; the last error: ValueError: it was told to"):
        _ = result_of(broken).best


@pytest.mark.slow
def test_a_trial_whose_process_dies_again_and_again_is_a_failure(small: Path) -> None:
    folder = made("s", trials=1, seeds=1, settings={"kills": True})
    for _ in range(5):
        assert subprocess.run([*WORKER, str(folder.path)], check=False).returncode == -signal.SIGKILL
    work_on_search(folder)
    (trial,) = folder.trials()
    assert trial.ending is not None
    assert trial.ending.error == "the process that ran it died, 5 times"


def test_the_command_line_prints_a_command_that_runs_the_best_on_reported_splits(small: Path) -> None:
    command = ["search", "small", "--on", ON, "--over", "x=.2...8", "-s", "milliseconds=0", "--trials", "6"]
    command += ["--seeds", "2", "--objective", "score", "--out", "s", "--workers", "1"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    printed = told.stdout.splitlines()
    best = SearchFolder(small / "s")
    expected = result_of(best).best.parameters["x"]
    assert (small / "s" / "search.html").exists()
    words = shlex.split(printed[-1])
    assert words[:2] == ["inmateria", "sweep"]
    again = CliRunner().invoke(app, [*words[1:], "--out", "r", "--workers", "1"])
    assert again.exit_code == 0, again.output
    runs = read_catalogue(small / "r" / "runs")
    assert sorted((run.part, run.settings["x"], run.settings["seed"]) for run in runs) == [
        ("test", expected, 0),
        ("test", expected, 1),
    ]
    written = read_experiment(small / "s" / "best.json")
    assert (written.task, written.on, written.settings["x"]) == ("small", ON, expected)
    listed = CliRunner().invoke(app, ["runs", "s", "--json"])
    assert {row["part"] for row in json.loads(listed.stdout)} == {"validation"}
    resumed = CliRunner().invoke(app, ["search", "--resume", "s", "--json", "--workers", "1"])
    answer = json.loads(resumed.stdout)
    assert answer["best"]["settings"]["x"] == expected
    assert len(answer["trials"]) == 6
    assert shlex.split(answer["command"]) == words
    other = CliRunner().invoke(app, [*command, "--seed", "3"])
    assert other.exit_code != 0
    assert "another search" in other.output + str(other.exception)


@pytest.mark.slow
def test_a_search_over_the_substrate_on_several_seeds_of_it(small: Path) -> None:
    over = {"amplitude": "log:.01..1", "on.units": "10..30"}
    result = search("memory", "echo://?seed=1,2", MEMORY, over=over, trials=3, folder="s", workers=1, prune=False)
    assert result.search.repeats == 2
    runs = read_catalogue(result.folder / "runs")
    assert len(runs) == 6
    for trial in result.trials:
        of = [run for run in runs if f"units={trial.parameters['on.units']}" in run.on]
        assert {(run.on.partition("?")[2].split("&")[0], run.settings["seed"]) for run in of} >= {
            ("seed=1", 0),
            ("seed=2", 1),
        }
        assert trial.ending is not None
        assert trial.ending.value == pytest.approx(
            sum(run.gain.gain or 0.0 for run in of if run.settings["amplitude"] == trial.parameters["amplitude"]) / 2
        )
    units = result.best.parameters["on.units"]
    assert result.experiment()["on"] == [f"echo://?seed={k}&units={units}" for k in (1, 2)]
    assert "--seeds" not in result.command()


def test_what_cannot_be_searched_is_refused_before_anything_runs(small: Path) -> None:
    refused: list[tuple[Any, str, dict[str, Any]]] = [
        (SpaceError, "no setting 'amplitud'.*written on.amplitud", {"over": {"amplitud": "0..1"}}),
        (SpaceError, "nothing is searched", {"over": {}}),
        (SpaceError, "is not over seeds", {"over": {"seed": "0..5"}}),
        (SpaceError, "ends must be above 0", {"over": {"x": "log:0..1"}}),
        (SpaceError, "the lower first", {"over": {"x": "2..1"}}),
        (UnknownTask, "milliseconds", {"over": {"x": "0..1"}, "settings": {"milliseconds": "long"}}),
        (UnknownSubstrate, "wires", {"over": {"on.wires": "1..2"}}),
        (ValueError, "objective is 'loss'", {"objective": "loss"}),
        (ValueError, "0 trials", {"trials": 0}),
    ]
    for kind, words, how in refused:
        with pytest.raises(kind, match=words):
            made("s", **how)
    for task, on, kind, words in (
        ("spontaneous", "culture://", UnsuitableSetting, "no part for validation"),
        ("memory", "echo://?units=5,6", SpaceError, "several values of more than its seed"),
    ):
        with pytest.raises(kind, match=words):
            prepare_search(task, on, over={"round_trips": "1..2"}, folder="s")
    with pytest.raises(ValueError, match="would be the same; give as many seeds"):
        prepare_search("henon", "culture://", over={"bins": "1..2"}, seeds=2, folder="s")
    assert not (small / "s").exists()
    made("s")
    with pytest.raises(SweepFolderError, match="another search"):
        made("s", trials=13)
    with pytest.raises(SweepFolderError, match="not the folder of a search"):
        SearchFolder(small)


def test_ranges_are_read_as_they_are_written(small: Path) -> None:
    task = find_task("memory")
    for name, text, expected in (
        ("amplitude", "log:.001..1", Dimension(name="amplitude", kind="number", low=0.001, high=1, log=True)),
        ("amplitude", "0..1", Dimension(name="amplitude", kind="number", low=0, high=1)),
        ("samples", "log:1..20", Dimension(name="samples", kind="whole", low=1, high=20, log=True)),
        ("samples", (1, 20), Dimension(name="samples", kind="whole", low=1, high=20)),
        ("on.wires", "50..400", Dimension(name="on.wires", kind="whole", low=50, high=400)),
        ("on.gain", "lin:0..1", Dimension(name="on.gain", kind="number", low=0, high=1)),
        ("on.gain", "-1.5..1", Dimension(name="on.gain", kind="number", low=-1.5, high=1)),
        ("on.model", "a,b", Dimension(name="on.model", kind="choice", choices=("a", "b"))),
        ("on.model", [1, 2.5], Dimension(name="on.model", kind="choice", choices=(1, 2.5))),
    ):
        assert make_dimension(task, name, text) == expected
    for name, text in (("samples", "1.5..3"), ("amplitude", "0.1"), ("amplitude", "a..b"), ("on.x", "")):
        with pytest.raises(SpaceError):
            make_dimension(task, name, text)
    assert with_parameter("nanowire://", "wires", 5) == "nanowire://?wires=5"
    assert with_parameter("nanowire://?wires=3&seed=1", "wires", 0.25) == "nanowire://?seed=1&wires=0.25"


@given(
    low=st.floats(1e-12, 1e12),
    factor=st.floats(1.0, 1e9),
    place=st.floats(0.0, 1.0),
    log=st.booleans(),
)
def test_a_value_is_within_its_range_and_is_the_same_when_it_is_written(
    low: float, factor: float, place: float, log: bool
) -> None:
    dimension = Dimension(name="x", kind="number", low=low, high=low * factor, log=log)
    value = dimension.value(low * factor**place)
    assert dimension.low <= value <= dimension.high
    assert distribution_of(dimension)._contains(value)
    if dimension.low < value < dimension.high:
        assert float(shown_value(value)) == value
    assert dimension.value(value) == value


@pytest.mark.slow
def test_a_space_in_the_form_of_reservoirpy_is_read(small: Path) -> None:
    file = small / "space.json"
    space = {
        "N": ["choice", 500],
        "sr": ["loguniform", 1e-2, 10],
        "amplitude": ["uniform", 0.1, 1],
        "samples": ["randint", 1, 10],
        "delays": ["quniform", 5, 20, 5],
        "on.density": ["choice", 0.1, 0.2],
        "seed": ["choice", 7],
    }
    content = {"exp": "e", "hp_max_evals": 200, "hp_method": "random", "seed": 42, "instances_per_trial": 5}
    file.write_text(json.dumps({**content, "hp_space": space}))
    read = read_reservoirpy_space(file, find_task("memory"))
    assert (read.trials, read.seed, read.seeds, read.sampler) == (200, 42, 5, "random")
    assert read.fixed == {"on.N": 500, "seed": 7}
    assert read.over["on.sr"] == Dimension(name="on.sr", kind="number", low=0.01, high=10, log=True)
    assert read.over["amplitude"] == Dimension(name="amplitude", kind="number", low=0.1, high=1)
    assert read.over["samples"] == Dimension(name="samples", kind="whole", low=1, high=9)
    assert read.over["delays"] == Dimension(name="delays", kind="number", low=5, high=20, step=5)
    assert read.over["on.density"].choices == (0.1, 0.2)
    for words, wrong in (
        ("no hp_space", {}),
        ("method 'anneal'", {"hp_method": "anneal", "hp_space": {}}),
        ("read here are choice", {"hp_space": {"amplitude": ["normal", 0, 1]}}),
        ("read here are choice", {"hp_space": {"amplitude": ["uniform", 0]}}),
        ("not over seeds", {"hp_space": {"seed": ["randint", 0, 5]}}),
    ):
        file.write_text(json.dumps(wrong))
        with pytest.raises(SpaceError, match=words):
            read_reservoirpy_space(file, find_task("memory"))
    space = {"units": ["randint", 10, 20], "amplitude": ["loguniform", 0.1, 1], "delays": ["quniform", 5, 10, 5]}
    file.write_text(json.dumps({"hp_max_evals": 2, "instances_per_trial": 1, "hp_space": space}))
    command = ["search", "memory", "--on", "echo://?seed=1", "--space", str(file), "--out", "s", "--workers", "1"]
    told = CliRunner().invoke(app, [*command, "-s", "steps=500", "-s", "round_trips=2", "--json"])
    assert told.exit_code == 0, told.output + str(told.exception)
    trials = json.loads(told.stdout)["trials"]
    assert len(trials) == 2
    assert all(trial["delays"] in {5, 10} and 10 <= trial["on.units"] < 20 for trial in trials)
    assert {trial["state"] for trial in trials} == {"complete"}


ON_DASK = """
import os
import signal
from pathlib import Path

from inmateria.desk import SearchFolder
from inmateria.desk.dask_sweeping import run_search_on_dask

log, killed = Path("log"), []


def kill_one(progress):
    running = {int(line.split()[3]) for line in log.read_text().splitlines()} if log.exists() else set()
    if len(running) == 2 and not killed:
        killed.append(min(running))
        os.kill(killed[0], signal.SIGKILL)


if __name__ == "__main__":
    result = run_search_on_dask(SearchFolder(Path("s")), "local", 2, kill_one)
    print(len(killed), len(result.trials), result.best.number >= 0)
"""


@pytest.mark.slow
def test_two_workers_of_a_dask_cluster_of_which_one_is_killed(small: Path) -> None:
    folder = made("s", small / "log", trials=16, seeds=2, settings={"milliseconds": 150})
    (small / "on_dask.py").write_text(ON_DASK)
    done = subprocess.run([sys.executable, "on_dask.py"], capture_output=True, text=True, timeout=300)
    assert done.stdout == "1 16 True\n", done.stderr
    assert all(trial.ending is not None and trial.ending.state != "failed" for trial in folder.trials())
    ended = Counter((line[1], line[2]) for line in lines(small / "log") if line[0] == "end")
    assert sum(ended.values()) <= len(ended) + 1
