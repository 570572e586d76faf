"""Ternary readouts against trying every weight there is, and against float weights on digits and a chaotic series."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from inmateria.reservoir import RidgeClassifierReadout, TernaryClassifierReadout, TernaryReadout


def squares_left(X: np.ndarray, y: np.ndarray, planes: np.ndarray) -> float:
    """Squared error with the best scales and intercept, by scipy's least squares."""
    read = np.hstack([X @ planes.T, np.ones((len(X), 1))])
    return float(np.sum((y - read @ np.linalg.lstsq(read, y, rcond=None)[0]) ** 2))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 2))
def test_no_single_weight_could_be_better(seed: int, planes: int) -> None:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(60, 7)) @ generator.normal(size=(7, 7))
    y = X @ generator.normal(size=7) + generator.normal(size=60)
    readout = TernaryReadout(planes, alpha=0.0).fit(X, y)
    found = readout.planes_[:, 0].astype(float)
    assert set(np.unique(found)) <= {-1.0, 0.0, 1.0}
    reached = float(np.sum((y - readout.predict(X)) ** 2))
    assert reached == pytest.approx(squares_left(X, y, found), rel=1e-6)
    for plane in range(planes):
        for weight in range(7):
            for value in (-1.0, 0.0, 1.0):
                changed = found.copy()
                changed[plane, weight] = value
                assert squares_left(X, y, changed) > reached * (1 - 1e-6)


def test_it_is_near_the_best_of_all_there_are() -> None:
    every = np.array(list(product([-1.0, 0.0, 1.0], repeat=6)))[:, np.newaxis, :]
    shares = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        X = generator.normal(size=(80, 6))
        y = X @ generator.normal(size=6) + 0.5 * generator.normal(size=80)
        readout = TernaryReadout(alpha=0.0).fit(X, y)
        best = min(squares_left(X, y, planes) for planes in every)
        shares.append(best / float(np.sum((y - readout.predict(X)) ** 2)))
    assert np.mean(np.array(shares) > 1 - 1e-6) >= 0.8
    assert min(shares) > 0.8


def test_two_planes_hold_what_two_planes_made() -> None:
    generator = np.random.default_rng(0)
    X, first, second = generator.normal(size=(300, 12)), *generator.integers(-1, 2, (2, 12))
    y = X @ (3.0 * first + 0.5 * second) + 2.0
    readout = TernaryReadout(2, alpha=0.0).fit(X, y)
    assert readout.score(X, y) > 0.999
    assert (readout.scales_ >= 0).all()
    assert readout.coef_ == pytest.approx(readout.scales_[:, 0] @ readout.planes_[:, 0])


def test_digits_are_read_nearly_as_well_as_with_float_weights() -> None:
    X, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    features = np.tanh(X / 16 @ generator.normal(size=(64, 500)) / 4 + 0.5 * generator.normal(size=500))
    order = generator.permutation(len(X))
    train, test = order[:1347], order[1347:]
    scores = {
        name: readout.fit(features[train], labels[train]).score(features[test], labels[test])
        for name, readout in {
            "float": RidgeClassifierReadout(),
            "ternary": TernaryClassifierReadout(),
            "two planes": TernaryClassifierReadout(2),
        }.items()
    }
    weights = RidgeClassifierReadout().fit(features[train], labels[train]).coef_
    rounded = np.sign(weights) * (np.abs(weights) > 0.5 * np.abs(weights).mean(axis=1, keepdims=True))
    by_rounding = np.mean((features[test] @ rounded.T).argmax(axis=1) == labels[test])
    assert scores["float"] - scores["ternary"] < 0.03
    assert scores["two planes"] > by_rounding + 0.05
    assert scores["ternary"] > by_rounding + 0.05


def test_features_that_never_change_get_no_weight() -> None:
    readout = TernaryReadout().fit(np.ones((10, 3)), np.arange(10.0))
    assert not readout.planes_.any()
    assert readout.predict(np.ones((2, 3))) == pytest.approx([4.5, 4.5])


@pytest.mark.parametrize(("settings_", "says"), [({"planes": 3}, "must be 1 or 2"), ({"alpha": -1.0}, "at least 0"), ({"sweeps": 0}, "at least 1")])  # fmt: skip  # noqa: E501
def test_settings_that_make_no_readout_are_refused(settings_: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TernaryReadout(**settings_).fit(np.eye(3), np.ones(3))  # type: ignore[arg-type]
