"""The readouts against scikit-learn's own checks and solvers, and against leaving samples out for real."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from inmateria.reservoir import (
    FORCEReadout,
    KalmanReadout,
    LMSReadout,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    RidgeReadout,
    ShiftLMSReadout,
    TernaryClassifierReadout,
    TernaryReadout,
)

READOUTS = [
    RidgeReadout(),
    RidgeClassifierReadout(),
    RecursiveLeastSquares(),
    RecursiveLeastSquaresClassifier(),
    KalmanReadout(),
    LMSReadout(),
    ShiftLMSReadout(),
    FORCEReadout(),
    TernaryReadout(),
    TernaryClassifierReadout(),
]


TERNARY = [TernaryReadout(2, method="ste"), TernaryClassifierReadout(2, method="obq")]


@pytest.mark.slow
@parametrize_with_checks(TERNARY)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_estimator_checks_of_ternary_methods(estimator, check) -> None:  # type: ignore[no-untyped-def]
    assert check(estimator) is None


@parametrize_with_checks(READOUTS)
@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks provoke warnings on purpose
def test_scikit_learns_estimator_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]
    assert check(estimator) is None  # a check that fails raises


def problem(samples: int, features: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(samples, features)) + generator.normal(size=features)
    return X, X @ generator.normal(size=(features, outputs)) + 0.3 * generator.normal(size=(samples, outputs)) + 5.0


@pytest.mark.parametrize(("samples", "features"), [(60, 10), (15, 40)])
@pytest.mark.parametrize("intercept", [True, False])
def test_ridge_equals_scikit_learns(samples: int, features: int, intercept: bool) -> None:
    X, Y = problem(samples, features, 3)
    mine = RidgeReadout(0.7, validation=None, fit_intercept=intercept).fit(X, Y)
    theirs = Ridge(0.7, fit_intercept=intercept).fit(X, Y)
    assert mine.coef_ == pytest.approx(theirs.coef_, abs=1e-9)
    assert mine.intercept_ == pytest.approx(theirs.intercept_, abs=1e-9)
    assert mine.predict(X) == pytest.approx(theirs.predict(X), abs=1e-9)


@pytest.mark.parametrize(("samples", "features"), [(40, 8), (15, 40)])
@pytest.mark.parametrize("intercept", [True, False])
def test_leave_one_out_equals_leaving_one_out(samples: int, features: int, intercept: bool) -> None:
    X, Y = problem(samples, features, 2)
    alphas = (0.01, 1.0, 100.0)
    readout = RidgeReadout(alphas, fit_intercept=intercept).fit(X, Y)
    for alpha, score in zip(alphas, readout.loo_scores_, strict=True):
        left_out = cross_val_predict(Ridge(alpha, fit_intercept=intercept), X, Y, cv=LeaveOneOut())
        assert score == pytest.approx(-np.mean((Y - left_out) ** 2), rel=1e-8)
    assert readout.alpha_ == alphas[int(np.argmax(readout.loo_scores_))]


def test_an_offset_of_1e8_does_not_eat_the_signal() -> None:
    X, Y = problem(200, 5, 1)
    here, there = RidgeReadout(1e-6, validation=None).fit(X, Y), RidgeReadout(1e-6, validation=None).fit(X + 1e8, Y)
    # Adding 1e8 rounds the features themselves to 1e-8; the readout may not lose more than that.
    assert there.coef_ == pytest.approx(here.coef_, abs=1e-6)


def test_without_regularisation_it_is_the_minimum_norm_solution() -> None:
    X, Y = problem(10, 30, 1)
    mine = RidgeReadout(0.0, validation=None, fit_intercept=False).fit(X, Y)
    assert mine.coef_ == pytest.approx((np.linalg.pinv(X) @ Y).T, abs=1e-8)


def test_the_ridge_classifier_equals_scikit_learns_on_digits() -> None:
    X, y = load_digits(return_X_y=True)
    mine = RidgeClassifierReadout(1.0, validation=None).fit(X[:1000], y[:1000])
    theirs = RidgeClassifier(1.0).fit(X[:1000], y[:1000])
    assert mine.coef_ == pytest.approx(theirs.coef_, abs=1e-9)
    assert np.array_equal(mine.predict(X[1000:]), theirs.predict(X[1000:]))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(13, 60), st.floats(1e-3, 1e2), st.integers(0, 1000))
def test_recursive_least_squares_is_ridge_after_every_sample(
    features: int, outputs: int, samples: int, alpha: float, seed: int
) -> None:
    X, Y = problem(samples, features, outputs, seed)
    online = RecursiveLeastSquares(alpha=alpha)
    for row in range(samples):
        online.partial_fit(X[row : row + 1], Y[row : row + 1])
    batch = Ridge(alpha).fit(X, Y)
    scale = np.abs(batch.coef_).max() + np.abs(batch.intercept_).max()
    assert online.coef_.ravel() == pytest.approx(batch.coef_.ravel(), abs=1e-9 * scale)
    assert online.intercept_ == pytest.approx(batch.intercept_, abs=1e-9 * scale)


def test_samples_together_or_one_by_one_are_the_same_bits() -> None:
    X, Y = problem(50, 6, 2)
    together, one_by_one = RecursiveLeastSquares().fit(X, Y), RecursiveLeastSquares()
    for row in range(50):
        one_by_one.partial_fit(X[row : row + 1], Y[row : row + 1])
    assert np.array_equal(together.coef_, one_by_one.coef_)


def test_forgetting_is_least_squares_weighted_by_age() -> None:
    X, Y = problem(200, 4, 1)
    online = RecursiveLeastSquares(0.95, alpha=1e-6).fit(X, Y)
    weighted = LinearRegression().fit(X, Y, sample_weight=0.95 ** np.arange(199, -1, -1))
    assert online.coef_ == pytest.approx(weighted.coef_, abs=1e-4)


@pytest.mark.parametrize(
    ("readout", "says"),
    [
        (RidgeReadout(alphas=-1.0), "at least 0"),
        (RidgeReadout(alphas=(1.0, float("nan"))), "at least 0"),
        (RidgeReadout(validation="magic"), "allowed are 'loo', 'gcv' and None"),  # type: ignore[arg-type]
        (RidgeReadout(validation=None), "give a single alpha"),
        (RecursiveLeastSquares(forgetting=0.0), "at most 1"),
        (RecursiveLeastSquares(alpha=0.0), "more than 0"),
    ],
)
def test_settings_that_make_no_readout_are_refused(readout: RidgeReadout, says: str) -> None:
    X, Y = problem(20, 3, 1)
    with pytest.raises(ValueError, match=says):
        readout.fit(X, Y)


def test_an_online_classifier_must_know_its_classes_from_the_start() -> None:
    with pytest.raises(ValueError, match="needs the list of all classes"):
        RecursiveLeastSquaresClassifier().partial_fit([[1.0]], [0])
    readout = RecursiveLeastSquaresClassifier().partial_fit([[1.0], [-1.0]], ["a", "b"], classes=["a", "b", "c"])
    assert readout.predict([[1.0]]).tolist() == ["a"]
    with pytest.raises(ValueError, match=r"unknown classes \['z'\]"):
        readout.partial_fit([[1.0]], ["z"])


GRIDS = {
    RidgeReadout: {"validation": ["loo", "gcv"]},
    RidgeClassifierReadout: {"validation": ["loo", "gcv"]},
    RecursiveLeastSquares: {"alpha": [1.0, 100.0]},
    RecursiveLeastSquaresClassifier: {"alpha": [1.0, 100.0]},
    KalmanReadout: {"walk": [0.0, 1e-6]},
    ShiftLMSReadout: {"slowness": [1, 2, 4]},
    LMSReadout: {"rate": [0.1, 0.5]},
    FORCEReadout: {"alpha": [1.0, 100.0], "fit_intercept": [True]},
    TernaryReadout: {"planes": [1, 2]},
    TernaryClassifierReadout: {"planes": [1, 2]},
}


@pytest.mark.parametrize("readout", READOUTS, ids=lambda readout: type(readout).__name__)
def test_they_work_in_a_pipeline_and_a_grid_search(readout) -> None:  # type: ignore[no-untyped-def]
    X, y = load_digits(return_X_y=True)
    wanted = y if is_classifier(readout) else np.eye(10)[y]
    grid = {f"readout__{name}": values for name, values in GRIDS[type(readout)].items()}
    search = GridSearchCV(Pipeline([("scaler", StandardScaler()), ("readout", readout)]), grid, cv=2)
    search.fit(X[:400], wanted[:400])
    found = search.predict(X[400:600])
    named = found if is_classifier(readout) else found.argmax(axis=1)
    assert np.mean(named == y[400:600]) > 0.65  # chance is 0.1
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert np.array_equal(again.predict(X[400:600]), found)
    assert clone(search.best_estimator_).get_params()["readout"].get_params() == again["readout"].get_params()
