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
    local_training = benchmark("local_training")
    seen: set[bytes] = set()
    for seed in local_training.CHOOSING_SEEDS:
        with data_of("validation"):
            X, _, T, _ = local_training.split_digits(seed, held_out=224)
        seen |= rows(X) | rows(T)
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
