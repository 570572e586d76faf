"""Kernel dependence against its definition, its gradients against finite differences, and the bottleneck on data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from inmateria.reservoir import HSICBottleneck, RidgeClassifierReadout
from inmateria.reservoir.bottleneck.dependence import (
    Dependence,
    RandomFeatures,
    gaussian_kernel,
    hsic,
    nhsic_objective,
    nhsic_objective_by_features,
    phsic_objective,
)


@parametrize_with_checks([HSICBottleneck(3, epochs=2), HSICBottleneck(3, epochs=2, objective="phsic")])
@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks provoke warnings on purpose
def test_scikit_learns_estimator_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]
    assert check(estimator) is None  # a check that fails raises


def samples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=count)
    labels[:3] = [0, 1, 2]
    return generator.standard_normal((count, 4)), generator.standard_normal((count, 5)), np.eye(3)[labels]


def normalised(K: np.ndarray, L: np.ndarray, c: float) -> float:
    """nHSIC from its definition, with every matrix written out."""
    m = len(K)
    H = np.eye(m) - 1 / m
    K, L = H @ K @ H, H @ L @ H
    return float(np.trace(K @ np.linalg.inv(K + c * np.eye(m)) @ L @ np.linalg.inv(L + c * np.eye(m))))


def test_the_kernel_is_scikit_learns() -> None:
    Z, _, _ = samples(20, 0)
    assert gaussian_kernel(Z, 0.7) == pytest.approx(rbf_kernel(Z, gamma=1 / (2 * 0.7**2 * 4)), abs=1e-12)


def test_hsic_is_zero_for_a_constant_and_its_definition_otherwise() -> None:
    Z, X, _ = samples(20, 0)
    K, L = gaussian_kernel(Z, 1.0), gaussian_kernel(X, 1.0)
    H = np.eye(20) - 1 / 20
    assert hsic(K, L) == pytest.approx(np.trace(K @ H @ L @ H) / 400, rel=1e-10)
    assert hsic(K, np.ones((20, 20))) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 40), st.floats(0.3, 2.0), st.integers(0, 1000))
def test_nhsic_is_its_definition(count: int, sigma: float, seed: int) -> None:
    Z, X, Y = samples(count, seed)
    found = nhsic_objective(Z, X, Y, lambda_y=7.0, sigma=sigma, sigma_input=0.8, regularisation=1e-3)
    K, L, c = gaussian_kernel(Z, sigma), gaussian_kernel(X, 0.8), 1e-3 * count
    assert found.on_input == pytest.approx(normalised(K, L, c), rel=1e-6)
    assert found.on_target == pytest.approx(normalised(K, Y @ Y.T, c), rel=1e-6, abs=1e-9)
    assert found.value == pytest.approx(found.on_input - 7.0 * found.on_target)


def test_a_gaussian_kernel_of_classes_is_the_plain_one_but_for_a_factor() -> None:
    _, _, Y = samples(30, 1)
    K = rbf_kernel(Y, gamma=0.5)
    H = np.eye(30) - 1 / 30
    factor = 1 - np.exp(-1.0)
    centred = H @ K @ H
    assert centred == pytest.approx(factor * H @ Y @ Y.T @ H, abs=1e-12)


def test_phsic_is_its_definition() -> None:
    Z, _, Y = samples(12, 2)
    found = phsic_objective(Z, Y, lambda_y=3.0, floor=0.2)
    K = gaussian_kernel(np.array([row / np.sqrt(np.mean(row**2) + 0.2) for row in Z]), 1.0)
    T = Y - Y.mean(axis=0)
    L = T @ T.T / np.mean((T**2).sum(axis=1))
    for kernel, value in ((K, found.on_input), (L, found.on_target)):
        pairs = [(K[i, j], kernel[i, j]) for i in range(12) for j in range(12) if i != j]
        a, b = np.array(pairs).T
        assert value == pytest.approx(np.mean(a * b) - a.mean() * b.mean(), rel=1e-9, abs=1e-12)
    assert found.value == pytest.approx(found.on_input - 3.0 * found.on_target)


def test_phsic_without_floor_does_not_mind_the_size_of_a_sample() -> None:
    Z, _, Y = samples(12, 2)
    grown = Z * np.linspace(0.5, 3.0, 12)[:, np.newaxis]
    assert phsic_objective(grown, Y, floor=0.0).value == pytest.approx(phsic_objective(Z, Y, floor=0.0).value)


def objective(name: str, Z: np.ndarray, X: np.ndarray, Y: np.ndarray) -> Dependence:
    if name == "nhsic":
        return nhsic_objective(Z, X, Y, lambda_y=5.0, sigma=0.8, regularisation=1e-2)
    if name == "phsic":
        return phsic_objective(Z, Y, lambda_y=5.0, sigma=0.8)
    return nhsic_objective_by_features(
        Z, X, Y, RandomFeatures(4, 30, 0.8, 0), RandomFeatures(5, 30, 1.0, 1), lambda_y=5.0, regularisation=1e-2
    )


@pytest.mark.parametrize("name", ["nhsic", "phsic", "features"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    Z, X, Y = samples(16, 3)
    gradient = objective(name, Z, X, Y).gradient
    for row, column in np.ndindex(*Z.shape):
        step = np.zeros_like(Z)
        step[row, column] = 1e-5
        difference = (objective(name, Z + step, X, Y).value - objective(name, Z - step, X, Y).value) / 2e-5
        assert gradient[row, column] == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_random_features_approach_the_kernels() -> None:
    Z, X, Y = samples(60, 4)
    exact = nhsic_objective(Z, X, Y, regularisation=1e-2)
    errors = []
    for count in (30, 1500):
        found = nhsic_objective_by_features(
            Z, X, Y, RandomFeatures(4, count, 1.0, 0), RandomFeatures(5, count, 1.0, 1), regularisation=1e-2
        )
        errors.append(abs(found.on_target - exact.on_target) + abs(found.on_input - exact.on_input))
    assert errors[1] < 0.5 * errors[0]
    assert found.on_target == pytest.approx(exact.on_target, rel=0.1)


def test_dependence_is_the_rank_of_the_classes_where_features_tell_them_all() -> None:
    Y = block_diag(*[np.ones((20, 1))] * 4)
    found = nhsic_objective(Y * 3.0, Y, Y, sigma=0.2, regularisation=1e-5)
    assert found.on_target == pytest.approx(3.0, abs=0.01)  # four classes, less the constant


@pytest.mark.parametrize("settings", [{}, {"objective": "phsic", "batch_size": 64}, {"random_features": 128}])
def test_trained_features_tell_digits_apart_better_than_random_ones(settings: dict[str, object]) -> None:
    X, y = load_digits(return_X_y=True)
    Y = np.eye(10)[y]
    scores = {}
    for epochs, rate in ((1, 1e-12), (15, 0.01)):
        trained = HSICBottleneck(10, epochs=epochs, learning_rate=rate, **settings)  # type: ignore[arg-type]
        Z = trained.fit(X[:1000], Y[:1000]).transform(X)
        readout = RidgeClassifierReadout().fit(Z[:1000], y[:1000])
        scores[epochs] = float(np.mean(readout.predict(Z[1000:]) == y[1000:]))
    assert scores[15] > scores[1] + 0.1
    assert trained.objective_curve_[-1] < trained.objective_curve_[0]


@pytest.mark.parametrize(
    ("bottleneck", "says"),
    [
        (HSICBottleneck(objective="cka"), "allowed are 'nhsic' and 'phsic'"),  # type: ignore[arg-type]
        (HSICBottleneck(sigma=0.0), "more than 0"),
        (HSICBottleneck(objective="phsic", random_features=10), "with 'nhsic' only"),
        (HSICBottleneck(n_components=0), "at least 1"),
    ],
)
def test_settings_that_make_no_bottleneck_are_refused(bottleneck: HSICBottleneck, says: str) -> None:
    X = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(ValueError, match=says):
        bottleneck.fit(X, X[:, :2])
