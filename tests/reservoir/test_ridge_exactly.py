"""Ridge readouts against the same arithmetic in exact rational numbers, where floating point is at its limits."""

from fractions import Fraction

import numpy as np
import pytest
from exact_ridge import exact, exact_left_out_error, exact_ridge
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.linalg import LinAlgError
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from inmateria.reservoir import RidgeReadout
from inmateria.reservoir.measures.many_targets import ManyTargetsReadout

KINDS = ["normal", "integers", "equal rows", "constant", "dependent", "own feature", "offset", "scales"]
ALPHAS = (0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e6)


def features_of(kind: str, samples: int, features: int, generator: np.random.Generator) -> np.ndarray:
    X = generator.normal(size=(samples, features))
    if kind == "integers":
        X = generator.integers(-2, 3, size=X.shape).astype(np.float64)
    elif kind == "equal rows":
        X = X[generator.integers(0, samples, size=samples)]
    elif kind == "constant":
        X[:, 0] = 0.1
    elif kind == "dependent":  # in eighths, so that the sums are exact
        X = np.round(8 * X) / 8
        X[:, -1] = X[:, :-1] @ generator.integers(-2, 3, size=features - 1)
    elif kind == "own feature":  # of a sample, which alone determines its weight
        X = np.eye(samples, features) * generator.normal() + np.eye(samples, features, 1) * generator.integers(0, 2)
    elif kind == "offset":
        X += 1e6
    elif kind == "scales":
        X *= 10.0 ** generator.choice([-9, -3, 0, 7], size=features)
    return X


@st.composite
def problems(draw: st.DrawFn) -> tuple[str, np.ndarray, np.ndarray, bool, np.ndarray | None]:
    samples, features, outputs = draw(st.integers(2, 8)), draw(st.integers(1, 6)), draw(st.integers(1, 2))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(KINDS))
    X = features_of(kind, samples, features, generator)
    weights = generator.choice([0.0, 0.3, 1.0, 2.0, 3.0], size=samples) if draw(st.booleans()) else None
    return kind, X, generator.normal(size=(samples, outputs)), draw(st.booleans()), weights


@settings(max_examples=120, deadline=None)
@given(problems(), st.sampled_from(ALPHAS), st.booleans())
def test_leave_one_out_is_leaving_out_and_fitting_anew(problem, alpha: float, several: bool) -> None:  # type: ignore[no-untyped-def]
    kind, X, Y, intercept, weights = problem
    assume(weights is None or (weights > 0).sum() > 1)
    # With several, one factorisation serves them all, and the least decides how exact it must be.
    alphas = ALPHAS if several else (alpha,)
    readout = RidgeReadout(alphas, fit_intercept=intercept).fit(X, Y, sample_weight=weights)
    wanted = exact_left_out_error(X, Y, alpha, intercept, weights)
    found = -readout.loo_scores_[alphas.index(alpha)]
    # Features in steps of 1e-10 (an offset of 1e6 in double precision) cannot be read to more than that.
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-9), kind


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(ALPHAS), st.booleans())
def test_weights_are_the_exact_ones(problem, alpha: float, in_chunks: bool) -> None:  # type: ignore[no-untyped-def]
    kind, X, Y, intercept, weights = problem
    assume(weights is None or (weights > 0).any())
    # Second moments alone hold half the digits: of chunks that are not kept, directions below those are left out.
    assume(not in_chunks or kind in ("normal", "constant", "integers") or alpha >= 1e-3)
    assume(not (kind == "scales" and in_chunks))
    readout = RidgeReadout(alpha, validation=None, fit_intercept=intercept)
    if in_chunks:
        assume(weights is None or ((weights[:1] > 0).any() and (weights[1:] > 0).any()))
        for chunk in (slice(None, 1), slice(1, None)):
            readout.partial_fit(X[chunk], Y[chunk], None if weights is None else weights[chunk])
    else:
        readout.fit(X, Y, sample_weight=weights)
    of_samples = [Fraction(float(weight)) for weight in (np.ones(len(X)) if weights is None else weights)]
    coef, constant = exact_ridge(exact(X), exact(Y), of_samples, Fraction(alpha), intercept)
    # In units of each feature: a weight of a feature of 1e7 is as large as one of a feature of 1e-9 divided by 1e16.
    size = np.abs(X).max(axis=0)
    wanted = np.array(coef, dtype=np.float64).T * size
    assert readout.coef_ * size == pytest.approx(wanted, rel=1e-5, abs=1e-5 * np.abs(wanted).max() + 1e-15), kind
    read = X @ readout.coef_.T + readout.intercept_
    exactly = X @ np.array(coef, dtype=np.float64) + np.array(constant, dtype=np.float64)
    assert read == pytest.approx(exactly, abs=1e-5 * (1 + np.abs(wanted).max())), kind


@pytest.mark.parametrize(
    ("offset", "scale"), [(1e6, 1.0), (1e6, 1e-3), (0.0, 1e7), (1e9, 1e7), (0.0, 1e-9), (1e-3, 1e-9)]
)
@pytest.mark.parametrize("chunk", [None, 100])
def test_any_offset_and_unit_gives_the_readout_of_standard_ones(offset: float, scale: float, chunk: int | None) -> None:
    generator = np.random.default_rng(0)
    # On a grid of steps, so that offset and unit are applied exactly: rounding of the data is not the readout's.
    steps = np.round(generator.normal(size=(2000, 8)) @ generator.normal(size=(8, 8)) * 256)
    unit = 2.0 ** np.round(np.log2(scale / 256))
    X = steps * unit + np.round(offset / unit) * unit
    y = steps @ generator.normal(size=8) / 256 + 0.1 * generator.normal(size=2000)
    alpha = 3.0
    readout = RidgeReadout(alpha * (256 * unit) ** 2, validation="gcv")
    if chunk is None:
        readout.fit(X, y)
    else:
        for begin in range(0, 2000, chunk):
            readout.partial_fit(X[begin : begin + chunk], y[begin : begin + chunk])
    wanted = Ridge(alpha, solver="svd").fit(steps / 256, y)
    assert readout.coef_ * 256 * unit == pytest.approx(wanted.coef_, rel=1e-8)
    assert readout.predict(X) == pytest.approx(wanted.predict(steps / 256), abs=1e-6)


def test_counts_beside_volts_in_chunks() -> None:
    generator = np.random.default_rng(1)
    X = generator.normal(size=(500, 6))
    y = X @ generator.normal(size=6) + 0.1 * generator.normal(size=500)
    units = np.array([2.0**24, 1.0, 2.0**-10, 2.0**-30, 2.0**24, 1.0])
    for readout in (RidgeReadout((1e-30, 1e-28)), RidgeReadout(1e-30, validation=None)):
        for begin in range(0, 500, 100):
            readout.partial_fit(X[begin : begin + 100] * units, y[begin : begin + 100])
        assert readout.coef_ * units == pytest.approx(Ridge(0.0, solver="svd").fit(X, y).coef_, rel=1e-7)


def test_many_samples_of_leverage_one_are_left_out_exactly() -> None:
    generator = np.random.default_rng(2)
    X = np.hstack([generator.normal(size=(200, 3)), np.eye(200, 5)])  # five samples with a feature of their own
    y = generator.normal(size=200)
    alphas = (1e-12, 1e-6, 1.0)
    readout = RidgeReadout(alphas).fit(X, y)
    for alpha, score in zip(alphas, readout.loo_scores_, strict=True):
        left_out = cross_val_predict(Ridge(alpha, solver="svd"), X, y, cv=LeaveOneOut())
        assert score == pytest.approx(-np.mean((y - left_out) ** 2), rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(1, 40), st.booleans(), st.integers(0, 1000))
@example(20, 19, True, 0)
@example(20, 20, True, 0)
@example(21, 20, True, 0)
@example(22, 20, True, 0)
def test_generalised_cross_validation_is_its_formula(samples: int, features: int, intercept: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    X, y = generator.normal(size=(samples, features)), generator.normal(size=samples)
    readout = RidgeReadout((0.1, 10.0), validation="gcv", fit_intercept=intercept).fit(X, y)
    Xc, yc = (X - X.mean(axis=0), y - y.mean()) if intercept else (X, y)
    for alpha, score in zip((0.1, 10.0), readout.loo_scores_, strict=True):
        hat = Xc @ np.linalg.solve(Xc.T @ Xc + alpha * np.eye(features), Xc.T) + intercept / samples
        assert score == pytest.approx(-np.mean((yc - hat @ yc) ** 2) / (1 - np.trace(hat) / samples) ** 2, rel=1e-8)


def test_single_precision_is_not_trusted_beyond_its_digits() -> None:
    generator = np.random.default_rng(3)
    X = generator.normal(size=(3000, 6)).astype(np.float32)
    X = np.hstack([X, X[:, :2] + X[:, 2:4]])  # rounded to single precision: almost dependent
    y = generator.normal(size=3000) + X[:, 0]
    alphas = (1e-6, 1e-3)
    single, double = RidgeReadout(alphas).fit(X, y), RidgeReadout(alphas).fit(X.astype(np.float64), y)
    assert single.loo_scores_ == pytest.approx(double.loo_scores_, rel=1e-9)
    assert single.coef_ == pytest.approx(double.coef_, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e15, 1e25])
def test_single_precision_of_any_unit(scale: float) -> None:
    generator = np.random.default_rng(4)
    X = generator.normal(size=(2000, 4))
    y = X @ generator.normal(size=4)
    X = (X * scale).astype(np.float32)
    readout = RidgeReadout(1e-3 * scale**2, validation=None).fit(X, y)
    assert readout.predict(X) == pytest.approx(y, abs=1e-4)


def test_values_whose_squares_overflow_are_refused_and_change_nothing() -> None:
    generator = np.random.default_rng(5)
    X, y = generator.normal(size=(50, 4)), generator.normal(size=50)
    readout = RidgeReadout().fit(X, y)
    before = readout.predict(X)
    for fit in (readout.fit, readout.partial_fit):
        with pytest.raises(ValueError, match="in a unit that makes it smaller"):
            fit(X * 1e200, y)
        with pytest.raises(ValueError, match="in a unit that makes it smaller"):
            fit(X, y * 1e200)
    assert np.array_equal(readout.predict(X), before)


@pytest.mark.parametrize("constant", [0.1, 1e6 / 7])
def test_a_constant_state_adds_no_rank_however_long_it_is_measured(constant: float) -> None:
    generator = np.random.default_rng(6)
    states = np.column_stack([generator.normal(size=200_000), np.full(200_000, constant)])
    assert ManyTargetsReadout(states, 0.0, 0.0, 1e-10).rank == 1


def test_an_offset_of_states_changes_no_capacity() -> None:
    generator = np.random.default_rng(7)
    states = generator.normal(size=(100_000, 3))
    targets = states[:, :2].T + generator.normal(size=(2, 100_000)) + 1000.0
    plain, offset = (ManyTargetsReadout(X, 0.0, 0.0, 1e-10) for X in (states, states + 2.0**20))
    assert offset.squared_correlations(targets) == pytest.approx(plain.squared_correlations(targets), rel=1e-8)


def test_singular_vectors_are_found_where_gesdd_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # LAPACK's gesdd gives up on some finite matrices of low rank, such as rectified sines.
    phase = np.arange(300)[:, np.newaxis]
    X = np.maximum(np.sin(0.157 * phase) - np.linspace(-0.9, 0.9, 40), 0.0)
    y = np.cos(0.157 * phase[:, 0])
    usual = RidgeReadout(1e-4, validation=None).fit(X, y)

    def gives_up(*_: object, **__: object) -> None:
        raise LinAlgError("SVD did not converge for slice = 0.")

    monkeypatch.setattr("inmateria.reservoir.readouts.ridge_path.svd", gives_up)
    otherwise = RidgeReadout(1e-4, validation=None).fit(X, y)
    Z, centred = X - X.mean(axis=0), y - y.mean()
    closed = np.linalg.lstsq(np.vstack([Z, 1e-2 * np.eye(40)]), np.r_[centred, np.zeros(40)], rcond=None)[0]
    for fitted in (usual, otherwise):
        np.testing.assert_allclose(Z @ fitted.coef_, Z @ closed, atol=1e-8)
