"""Benchmarks that split data by themselves test on nothing that a choice of settings sees; the table of choices."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from inmateria.desk.search_space import dimensions
from inmateria.protocols import data_sets
from inmateria.protocols.data_parts import data_of
from inmateria.protocols.task import find_task

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def rows(X: np.ndarray[Any, Any]) -> set[bytes]:
    return {row.tobytes() for row in np.ascontiguousarray(X)}


def test_no_digit_that_a_choice_sees_is_tested_on_by_any_split(benchmark: Any) -> None:
    local_training, choose_settings = benchmark("local_training"), benchmark("choose_settings")
    seen: set[bytes] = set()
    for seed in choose_settings.TRIED_ON:
        problem = choose_settings.validation_problem(seed, noise=0.02)
        seen |= rows(problem.X) | rows(problem.T)
        assert not {*problem.uris, problem.wide} & {*local_training.digits(0).uris, local_training.digits(1).wide}
    assert len(seen) > 880
    for seed in range(5):
        X, y, T, t = local_training.split_digits(seed)
        assert (len(X), len(y), len(T), len(t)) == (1347, 1347, 450, 450)
        assert not rows(T) & seen
        assert not rows(T) & rows(X)


def test_no_flower_that_a_choice_sees_is_tested_on_by_any_split(benchmark: Any) -> None:
    published = benchmark("published_learning")
    whole = data_sets.iris_flowers()
    with data_of("validation"):
        seen = set(data_sets.iris_flowers().numbers)
    for seed in range(5):
        training, test = published.iris_split(seed)
        assert np.bincount(whole.y[training]).tolist() == [10, 10, 10]
        assert len(test) == 75
        assert not set(whole.numbers[test]) & seen


def test_every_choice_is_a_search_that_the_task_accepts(benchmark: Any) -> None:
    for name, choice in benchmark("choose_settings").CHOICES.items():
        task = find_task(choice.task)
        assert task.validation, name
        task.settings_from(choice.settings)
        assert {each.name for each in dimensions(task, choice.over)} == set(choice.over)


def test_a_grid_is_gone_on_with_and_tries_the_defaults_first(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_settings, local_training = benchmark("choose_settings"), benchmark("local_training")
    ran: list[tuple[str, dict[str, Any]]] = []

    async def run_strategy(problem: Any, name: str, **settings: Any) -> dict[str, Any]:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append((name, settings))
        right = 0.9 if settings else 0.8
        return {"last": right, "all": right}

    monkeypatch.setattr(local_training, "run_strategy", run_strategy)
    grid = choose_settings.Grid(
        training="local-ce", tried=({"learning_rate": 0.01}, {"learning_rate": 0.03}), further=2
    )
    monkeypatch.setitem(choose_settings.GRIDS, "local-ce", grid)
    assert choose_settings.settings_tried(grid) == [{}, {"learning_rate": 0.03}]  # .01 is the default
    told: list[str] = []
    path = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        choose_settings.choose_training("local-ce", local_training.KeptResults(path), told.append)
    assert ran == [("local-ce", {})] * 2 + [("local-ce", {"learning_rate": 0.03})]
    ran[:] = ran[:0]
    with path.open("a") as file:
        file.write('\n{"a line that was cut')  # as if the process had been killed while it wrote
    ran.extend([("", {})] * 4)  # past the interruption
    choose_settings.choose_training("local-ce", local_training.KeptResults(path), told.append)
    assert ran[4:] == [("local-ce", {"learning_rate": 0.03})] * 3 + [("local-ce", {})] * 2
    assert any("difference +0.1000, standard error 0.0000: worth taking" in line for line in told)


def test_settings_are_worth_taking_beyond_twice_the_standard_error_of_the_paired_difference(benchmark: Any) -> None:
    difference = benchmark("choose_settings").difference
    defaults = np.array([0.90, 0.95, 0.85, 0.92])
    told: list[str] = []
    # Differences of mean .01 whose standard error is .006455 / 2, and .0258 / 2.
    narrow, wide = np.array([0.0025, 0.0175, 0.0075, 0.0125]), np.array([-0.02, 0.04, 0.0, 0.02])
    assert difference(("best", "defaults"), np.array([defaults + narrow, defaults]), told.append)
    assert not difference(("best", "defaults"), np.array([defaults + wide, defaults]), told.append)
    assert "difference +0.0100, standard error 0.0032" in told[0]
    assert "difference +0.0100, standard error 0.0129" in told[1]
