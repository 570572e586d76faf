"""Published results of networks that learn, on starts that no page counts: modes, damage, Iris, error floors."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

pytestmark = pytest.mark.slow  # kernels to compile, and a minute of training

STARTS = range(200, 206)


@pytest.fixture(scope="module")
def published() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield import_module("published_learning")


def test_the_error_falls_in_its_mean_then_its_slope_then_its_curvature(published: Any) -> None:
    marks = [0, *np.unique(np.round(np.geomspace(1, 6000, 60)).astype(int)).tolist()]
    courses = [published.mode_course(seed, marks) for seed in STARTS]
    times = np.array([published.half_times(course, marks) for course in courses])
    mean, slope, curvature = np.median(times, axis=0)
    assert mean < slope < curvature
    assert np.sum((times[:, 0] < times[:, 1]) & (times[:, 1] < times[:, 2])) > len(STARTS) / 2  # one in six by chance


def test_the_three_modes_and_the_rest_add_up_to_the_squared_error(published: Any) -> None:
    """A function that is a parabola has no other modes."""
    X, Y = published.REGRESSION
    network = published.regression_network(200)
    (found,) = published.mode_course(200, [0])
    error = network.predict(X)[:, 0] - Y
    residual = error - np.polynomial.Polynomial.fit(X, error, 2)(X)
    assert np.sum(found**2) + np.mean(residual**2) == pytest.approx(np.mean(error**2), rel=1e-9)
    assert abs(found[0]) == pytest.approx(abs(error.mean()), rel=1e-9)


def test_a_damaged_network_learns_again(published: Any) -> None:
    rows = np.array(
        [
            published.damage_course(published.regression_network, published.REGRESSION, seed, (2, 4), 3000, (3.0, 0.3))
            for seed in STARTS
        ]
    )
    before, damaged, retrained, anew = np.median(rows, axis=0).T
    assert (before < published.straight_line_error()).all()
    assert (before < damaged).all()
    assert (retrained < damaged).all()
    assert (anew < damaged).all()
    assert (rows[:, 0, 0] == rows[:, 1, 0]).all()  # cut after the same training


def test_iris_is_learned_beyond_the_untrained_network_and_the_nearest_mean(published: Any) -> None:
    found = [published.iris_start(seed) for seed in STARTS]
    scores = {name: np.mean([each[name] for each in found]) for name in found[0]}
    assert scores["trained"] > scores["untrained"]
    assert scores["trained"] > scores["nearest_mean"]


def test_no_training_flower_is_tested(published: Any) -> None:
    for seed in STARTS:
        training, test = published.iris_split(seed)
        assert not set(training) & set(test)
        assert len(test) == 75  # the other 45 are kept for choices
        assert np.bincount(load_iris().target[training]).tolist() == [10, 10, 10]


@pytest.mark.parametrize("changes", [{"bias": 1e-5}, {"bias": 1e-5, "eta": 1.0}, {"bias": 1e-4, "eta": 4.0}], ids=str)
def test_floors_by_bias_are_those_of_first_order_theory(published: Any, changes: dict[str, float]) -> None:
    """Found by training, predicted from finite differences of the free and clamped states alone."""
    floor = import_module("error_floor")
    setting = replace(floor.USUAL["linear"], **changes)
    ratios = []
    for seed in STARTS:
        network, found, _ = floor.trained(setting, seed)
        rule = floor.CoupledLearning(eta=setting.eta, alpha=network.info.parameters["rule"]["alpha"])
        ratios.append(found / floor.steady_error(network, floor.make(setting, seed)[1], rule))
    assert np.median(ratios) == pytest.approx(1, rel=0.1)


def test_labels_of_allostery_that_can_be_reached_are_found_to_be(published: Any) -> None:
    for seed in STARTS:
        network = published.resistor_machine(seed, published.CoupledLearning(), 1, 2, None)
        reached = network.predict([[published.SOURCE]])
        assert published.reachable_error(network, reached) < 1e-4
        assert published.reachable_error(network, np.full((1, 2), 2 * published.SOURCE)) > 0.5 * published.SOURCE
