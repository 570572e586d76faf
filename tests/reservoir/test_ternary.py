"""Ternary readouts against trying every weight there is, and against float weights on digits and a chaotic series."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from inmateria.reservoir import (
    RidgeClassifierReadout,
    RidgeReadout,
    TernaryClassifierReadout,
    TernaryReadout,
    mackey_glass,
)
from inmateria.reservoir.readouts.integer import integer_readout
from inmateria.simulators import IntegerEchoStateNetwork


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


def explained_by_all(X: np.ndarray, y: np.ndarray) -> float:
    """Squared error of the best two planes of all there are, by the normal equations of every pair."""
    centred, target = X - X.mean(axis=0), y - y.mean()
    every = np.array(list(product([-1.0, 0.0, 1.0], repeat=X.shape[1])))
    loads, products = every @ centred.T @ target, every @ centred.T @ centred @ every.T
    squares = np.diag(products)
    with np.errstate(all="ignore"):
        of_one = np.where(squares > 0, loads**2 / squares, 0.0)
        determinant = np.outer(squares, squares) - products**2
        of_two = (
            np.outer(loads**2, squares) - 2 * np.outer(loads, loads) * products + np.outer(squares, loads**2)
        ) / determinant
    of_two = np.where(determinant > 1e-10 * np.outer(squares, squares), of_two, 0.0)
    return float(target @ target - max(of_one.max(), of_two.max()))


def problem(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that are independent, correlated or saturated, and weights with a normal or a heavy tail."""
    generator, n = np.random.default_rng(seed), 80
    X = generator.normal(size=(n, size))
    if seed % 4 in (1, 3):
        X = X @ generator.normal(size=(size, size))
    if seed % 4 == 2:
        X = np.tanh(0.5 * X @ generator.normal(size=(size, size)) + generator.normal(size=(n, 1)))
    clean = X @ (generator.standard_t(2, size=size) if seed % 4 == 3 else generator.normal(size=size))
    return X, clean + generator.uniform(0.05, 0.5) * clean.std() * generator.normal(size=n)


@pytest.mark.parametrize(("size", "mean", "exact"), [(4, 1e-6, 1.0), (6, 0.01, 0.8)])
def test_two_planes_are_near_the_best_two_of_all_there_are(size: int, mean: float, exact: float) -> None:
    """Each plane moved by itself is 5 % and 8 % above it on average."""
    excess = []
    for seed in range(100):
        X, y = problem(seed, size)
        readout = TernaryReadout(2, alpha=0.0).fit(X, y)
        excess.append(float(np.sum((y - readout.predict(X)) ** 2)) / explained_by_all(X, y) - 1.0)
    assert min(excess) > -1e-9
    assert np.mean(excess) <= mean
    assert np.mean(np.array(excess) < 1e-6) >= exact


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_no_change_at_two_features_in_both_planes_could_be_better(seed: int) -> None:
    X, y = problem(seed, 5)
    readout = TernaryReadout(2, alpha=0.0).fit(X, y)
    planes = readout.planes_[:, 0].astype(float)
    reached = float(np.sum((y - readout.predict(X)) ** 2))
    for j in range(5):
        for k in range(j):
            for values in product([-1.0, 0.0, 1.0], repeat=4):
                changed = planes.copy()
                changed[:, [j, k]] = np.reshape(values, (2, 2))
                assert squares_left(X, y, changed) > reached * (1 - 1e-6)


def test_a_sequence_is_named_by_the_largest_output_on_average() -> None:
    X, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    for named in (labels[:300], labels[:300] > 4):
        readout = TernaryClassifierReadout().fit(X[:300] / 16, named)
        sequences = [X[begin : begin + length] / 16 for begin, length in generator.integers(1, 9, size=(20, 2))]
        means = np.array([readout.decision_function(each).mean(axis=0) for each in sequences])
        chosen = means.argmax(axis=1) if means.ndim == 2 else (means > 0).astype(int)
        found = readout.predict_sequences(sequences)
        assert np.array_equal(found, readout.classes_[chosen])
        assert np.array_equal(readout.predict_sequences(X[:5, np.newaxis] / 16), readout.predict(X[:5] / 16))


def test_two_planes_hold_what_two_planes_made() -> None:
    generator = np.random.default_rng(0)
    X, first, second = generator.normal(size=(300, 12)), *generator.integers(-1, 2, (2, 12))
    y = X @ (3.0 * first + 0.5 * second) + 2.0
    readout = TernaryReadout(2, alpha=0.0).fit(X, y)
    assert readout.score(X, y) > 0.999
    assert (readout.scales_ >= 0).all()
    assert readout.coef_ == pytest.approx(readout.scales_[:, 0] @ readout.planes_[:, 0])


def rounded_by_curvature(gram: np.ndarray, ridge: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Round weights in the order of their size; each time solve for those that are left, by the normal equations."""
    cross = gram @ ridge
    order, fixed = np.argsort(-np.abs(ridge), kind="stable"), np.full(len(ridge), np.nan)
    for j in order:
        left = np.isnan(fixed)
        known = np.where(left, 0.0, fixed)
        best = np.linalg.solve(gram[np.ix_(left, left)], cross[left] - gram[left] @ known)
        fixed[j] = levels[np.abs(best[np.flatnonzero(left) == j] - levels).argmin()]
    return fixed


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_rounding_by_curvature_leaves_the_best_weights_for_those_not_rounded_yet(seed: int, features: int) -> None:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(60, features)) @ generator.normal(size=(features, features))
    y = X @ generator.normal(size=features) + generator.normal(size=60)
    centred = X - X.mean(axis=0)
    gram = centred.T @ centred
    gram += (1e-3 + 1e-6) * np.trace(gram) / features * np.eye(features)
    ridge = np.linalg.solve(gram, centred.T @ y)
    readout = TernaryReadout(method="obq").fit(X, y)
    size, tried = np.abs(ridge).mean(), []
    for share in (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 2.5):
        plane = np.sign(rounded_by_curvature(gram, ridge, share * size * np.array([-1.0, 0.0, 1.0])))
        image = plane @ gram @ plane
        tried.append((0.0 if image == 0 else (plane @ (centred.T @ y)) ** 2 / image, plane))
    found = readout.planes_[0, 0].astype(float)
    explained = (found @ (centred.T @ y)) ** 2 / (found @ gram @ found)
    assert explained == pytest.approx(max(each for each, _ in tried), rel=1e-4)  # equal up to ties


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_training_through_the_rounding_finds_ternary_weights_that_made_the_data(
    planes: int, fit_intercept: bool
) -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(600, 12)) + (3.0 if fit_intercept else 0.0)
    weights = generator.integers(-1, 2, (2, 12)).astype(float)
    y = X @ weights.T * [0.7, 2.0] + (5.0 if fit_intercept else 0.0)
    readout = TernaryReadout(planes, method="ste", alpha=0.0, fit_intercept=fit_intercept).fit(X, y)
    assert readout.score(X, y) > 0.999
    if planes == 1:
        assert np.array_equal(readout.planes_[0], weights)
        assert readout.scales_[0] == pytest.approx([0.7, 2.0], rel=0.05)
    again = TernaryReadout(planes, method="ste", alpha=0.0, fit_intercept=fit_intercept).fit(X, y)
    assert np.array_equal(again.coef_, readout.coef_)
    assert fit_intercept or not np.any(readout.intercept_)


def test_two_classes_by_cross_entropy() -> None:
    generator = np.random.default_rng(1)
    X = generator.normal(size=(400, 6))
    labels = np.where(X @ [1, 0, -1, 0, 1, 0] > 0.2, "up", "down")
    readout = TernaryClassifierReadout(method="ste").fit(X, labels)
    assert readout.score(X, labels) > 0.97
    assert readout.planes_.shape == (1, 1, 6)
    assert np.array_equal(readout.planes_[0, 0], [1, 0, -1, 0, 1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["obq", "ste"])
def test_digits_are_read_as_well_as_with_float_weights_by_other_methods(method: str) -> None:
    X, labels = load_digits(return_X_y=True)
    lost = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        features = np.tanh(X / 16 @ generator.normal(size=(64, 500)) / 4 + 0.5 * generator.normal(size=500))
        order = generator.permutation(len(X))
        train, test = order[:1347], order[1347:]
        exact = RidgeClassifierReadout().fit(features[train], labels[train])
        ternary = TernaryClassifierReadout(method=method, alpha=1e-2 if method == "obq" else 1e-3)  # type: ignore[arg-type]
        ternary.fit(features[train], labels[train])
        lost.append(exact.score(features[test], labels[test]) - ternary.score(features[test], labels[test]))
    assert np.mean(lost) < (0.006 if method == "obq" else 0.015)


@pytest.mark.slow
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


@pytest.mark.parametrize(("settings_", "says"), [({"planes": 3}, "allowed are 1 and 2"), ({"planes": 5, "method": "obq"}, "allowed are 1 and 2"), ({"alpha": -1.0}, "at least 0"), ({"sweeps": 0}, "at least 1"), ({"method": "absmean"}, "allowed are 'descent', 'obq', 'ste'")])  # fmt: skip  # noqa: E501
def test_settings_that_make_no_readout_are_refused(settings_: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TernaryReadout(**settings_).fit(np.eye(3), np.ones(3))  # type: ignore[arg-type]


def test_four_planes_forecast_in_integers_about_as_well_as_float_weights() -> None:
    """Mackey-Glass 17 ahead by an integer network: ridge weights, and 81 equally spaced levels of each weight."""
    u = mackey_glass(3217)
    drive, target = (u - u.mean()) / np.abs(u - u.mean()).max(), u[17:]
    network = IntegerEchoStateNetwork(units=150)
    signal = network.advance(network.info.stimulus(drive[:3200, np.newaxis])).signal
    assert signal is not None
    counts, train, test = np.round(signal[:, 0] * 32767), slice(200, 2200), slice(2200, 3200)

    def error(predicted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((predicted - target[test]) ** 2)) / target[test].std())

    exact = error(RidgeReadout().fit(counts[train], target[train]).predict(counts[test]))
    errors = []
    for planes in (1, 2, 4):
        readout = TernaryReadout(planes, method="obq", alpha=1e-7).fit(counts[train], target[train])
        errors.append(error(integer_readout(readout, counts, bits=16).predict(counts[test])[:, 0]))
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 2 * exact
