"""The Gaussian bottleneck against the log-determinants of what it does, and against processes solved by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from inmateria.reservoir import GaussianBottleneck, OnlineBottleneck, past_and_future
from inmateria.reservoir.bottleneck.covariance import StreamingCovariance
from inmateria.reservoir.bottleneck.gaussian import gaussian_information, information


@parametrize_with_checks([GaussianBottleneck(), GaussianBottleneck(n_components=2, fill="pca"), OnlineBottleneck()])
@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks provoke warnings on purpose
def test_scikit_learns_estimator_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]
    assert check(estimator) is None  # a check that fails raises


def covariances(inputs: int, targets: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    A = generator.standard_normal((inputs + targets, inputs + targets + 2))
    C = A @ A.T
    return C[:inputs, :inputs], C[:inputs, inputs:], C[inputs:, inputs:]


def bits_by_determinants(A: np.ndarray, Cx: np.ndarray, Cxy: np.ndarray, Cy: np.ndarray) -> tuple[float, float]:
    """Information of T = A X + unit noise about X and about Y, from the determinants of their covariances."""
    noise = np.eye(len(A))
    given_y = Cx - Cxy @ np.linalg.solve(Cy, Cxy.T)
    of_t, of_t_given_y = (np.linalg.slogdet(A @ C @ A.T + noise)[1] for C in (Cx, given_y))
    return 0.5 * of_t / np.log(2), 0.5 * (of_t - of_t_given_y) / np.log(2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 5), st.floats(1.05, 500.0), st.integers(0, 1000))
def test_the_map_has_the_information_of_the_analytic_curve(inputs: int, targets: int, beta: float, seed: int) -> None:
    C = covariances(inputs, targets, seed)
    bottleneck = GaussianBottleneck(beta, ridge=0.0).fit_covariances(*C)
    found = bits_by_determinants(bottleneck.components_, *C)
    assert found == pytest.approx(bottleneck.information_curve_.at(beta), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 4), st.floats(1.2, 50.0), st.integers(0, 1000))
def test_no_map_near_it_is_better(inputs: int, targets: int, beta: float, seed: int) -> None:
    C = covariances(inputs, targets, seed)
    A = GaussianBottleneck(beta, ridge=0.0).fit_covariances(*C).components_

    def loss(some: np.ndarray) -> float:
        about_input, about_target = bits_by_determinants(some, *C)
        return about_input - beta * about_target

    generator = np.random.default_rng(seed)
    best = loss(A)
    for size in (1e-3, 1e-1, 1.0):
        for _ in range(5):
            assert loss(A + size * generator.standard_normal(A.shape)) >= best - 1e-9


def test_directions_appear_at_their_critical_beta() -> None:
    C = covariances(5, 3, 1)
    critical = GaussianBottleneck(ridge=0.0).fit_covariances(*C).beta_critical_
    for count, beta in enumerate(critical):
        assert GaussianBottleneck(beta * (1 - 1e-6), ridge=0.0).fit_covariances(*C).active_ == count
        assert GaussianBottleneck(beta * (1 + 1e-6), ridge=0.0).fit_covariances(*C).active_ == count + 1


def test_the_slope_of_the_curve_is_one_over_beta_and_its_end_is_all_there_is() -> None:
    C = covariances(4, 3, 2)
    bottleneck = GaussianBottleneck(ridge=0.0).fit_covariances(*C)
    curve = bottleneck.information_curve_
    for beta in (1.5 * bottleneck.beta_critical_[0], 40.0, 900.0):
        (x0, y0), (x1, y1) = curve.at(beta * (1 - 1e-5)), curve.at(beta * (1 + 1e-5))
        assert (y1 - y0) / (x1 - x0) == pytest.approx(1 / beta, rel=1e-4)
    assert (np.diff(curve.about_input) >= -1e-12).all()
    whole = -0.5 * np.sum(np.log2(1 - bottleneck.correlations_**2))
    assert curve.at(1e12)[1] == pytest.approx(whole, rel=1e-6)


def test_correlations_are_those_of_scikit_learns_cca() -> None:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((400, 5))
    Y = X[:, :3] @ generator.standard_normal((3, 3)) + generator.standard_normal((400, 3))
    mine = GaussianBottleneck(ridge=0.0).fit(X, Y).correlations_
    a, b = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(X, Y).transform(X, Y)
    theirs = [abs(np.corrcoef(a[:, k], b[:, k])[0, 1]) for k in range(3)]
    assert mine == pytest.approx(theirs, abs=1e-6)


def test_a_scalar_target_is_the_ridge_direction() -> None:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((100, 6)) @ generator.standard_normal((6, 6))
    y = X @ generator.standard_normal(6) + generator.standard_normal(100)
    bottleneck = GaussianBottleneck(ridge=1e-3).fit(X, y)
    assert bottleneck.components_.shape == (1, 6)
    alpha = 1e-3 * np.trace(np.cov(X.T, bias=True)) / 6 * 100
    ridge = Ridge(alpha).fit(X, y).coef_
    cosine = bottleneck.components_[0] @ ridge / np.linalg.norm(bottleneck.components_) / np.linalg.norm(ridge)
    assert abs(cosine) == pytest.approx(1.0, abs=1e-12)


def test_filled_rows_are_uncorrelated_with_the_directions_and_one_another() -> None:
    X, y = load_digits(return_X_y=True)
    bottleneck = GaussianBottleneck(n_components=30, fill="pca").fit(X, np.eye(10)[y])
    assert bottleneck.active_ == 9
    C = np.cov(bottleneck.transform(X).T, bias=True)
    assert C[9:, 9:] == pytest.approx(np.eye(21), abs=1e-3)
    assert C[:9, 9:] == pytest.approx(np.zeros((9, 21)), abs=1e-3)
    unfilled = GaussianBottleneck(n_components=30).fit(X, np.eye(10)[y])
    assert not unfilled.components_[9:].any()
    assert np.array_equal(unfilled.components_[:9], bottleneck.components_[:9])


def test_the_past_and_future_of_an_ar1_process_share_what_theory_says() -> None:
    a = 0.9
    # Stationary covariance of x_t = a x_{t-1} + e_t with unit variance: a^|s - t|.
    C = a ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    bottleneck = GaussianBottleneck(1000.0, ridge=0.0).fit_covariances(C[:5, :5], C[:5, 5:], C[5:, 5:])
    assert bottleneck.active_ == 1
    assert bottleneck.beta_critical_[0] == pytest.approx(1 / a**2, rel=1e-9)
    # A Markov process knows its future by its last value alone.
    assert bottleneck.components_[0, :4] == pytest.approx(np.zeros(4), abs=1e-9)
    assert information(bottleneck.correlations_, 1e12)[1] == pytest.approx(-0.5 * np.log2(1 - a**2), abs=1e-6)
    generator = np.random.default_rng(0)
    x = np.zeros(60_000)
    for t in range(1, len(x)):
        x[t] = a * x[t - 1] + np.sqrt(1 - a**2) * generator.standard_normal()
    sampled = GaussianBottleneck(1000.0, ridge=0.0).fit(*past_and_future(x, 5, 3))
    assert sampled.correlations_[0] == pytest.approx(a, abs=0.01)


def test_an_oscillation_needs_two_directions_of_its_past() -> None:
    t = np.arange(4000)
    generator = np.random.default_rng(0)
    x = np.sin(0.3 * t) + 0.1 * generator.standard_normal(len(t))
    bottleneck = GaussianBottleneck(10.0).fit(*past_and_future(x, 10, 10))
    assert bottleneck.active_ == 2


def test_windows_are_what_was_and_what_came_next() -> None:
    series = np.arange(12).reshape(6, 2)
    X, Y = past_and_future(series, 2, 1)
    assert X.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert Y.tolist() == [[4, 5], [6, 7], [8, 9], [10, 11]]
    with pytest.raises(ValueError, match="at least as long as both"):
        past_and_future(series, 6, 1)


def test_streamed_covariances_are_those_of_all_samples_at_once() -> None:
    generator = np.random.default_rng(0)
    X, Y = generator.standard_normal((100, 3)) + 1e6, generator.standard_normal((100, 2))
    gathered = StreamingCovariance(3, 2)
    for begin, end in ((0, 7), (7, 8), (8, 60), (60, 100)):
        gathered.add(X[begin:end], Y[begin:end])
    whole = np.cov(np.hstack([X, Y]).T, bias=True)
    for found, expected in zip(gathered.blocks, (whole[:3, :3], whole[:3, 3:], whole[3:, 3:]), strict=True):
        assert found == pytest.approx(expected, abs=1e-8)
    # Forgetting is a weighted covariance.
    weighted = StreamingCovariance(3, 2, 0.5)
    weighted.add(X[:50], Y[:50])
    weighted.add(X[50:], Y[50:])
    weights = np.repeat([0.5, 1.0], 50)
    assert weighted.blocks[0] == pytest.approx(np.cov(X.T, aweights=weights, bias=True), abs=1e-8)


def test_information_of_independent_samples_is_about_nothing() -> None:
    generator = np.random.default_rng(0)
    X, Y = generator.standard_normal((1000, 20)), generator.standard_normal((1000, 5))
    assert gaussian_information(X, Y) < 0.1
    rho = 0.8
    Z = rho * Y + np.sqrt(1 - rho**2) * generator.standard_normal(Y.shape)
    assert gaussian_information(Z, Y) == pytest.approx(-2.5 * np.log2(1 - rho**2), rel=0.05)


def test_the_online_form_spans_the_directions_of_the_closed_form() -> None:
    X, y = load_digits(return_X_y=True)
    Y = np.eye(10)[y]
    online = OnlineBottleneck(ridge=1e-6)
    for begin in range(0, len(X), 100):
        online.partial_fit(X[begin : begin + 100], Y[begin : begin + 100])
    assert online.samples_seen_ == len(X)
    closed = GaussianBottleneck(1e6, n_components=9).fit(X, Y)
    a = np.linalg.qr(online.transform(X))[0][:, :9]
    T = closed.transform(X)
    unexplained = T - a @ (a.T @ T)
    assert np.linalg.norm(unexplained) < 1e-2 * np.linalg.norm(T)


def test_the_online_form_keeps_its_signs() -> None:
    X, y = load_digits(return_X_y=True)
    Y = np.eye(10)[y]
    online, before = OnlineBottleneck(12, seed=3), None
    for begin in range(0, len(X), 100):
        online.partial_fit(X[begin : begin + 100], Y[begin : begin + 100])
        now = online.transform(X)[:, :10]
        if before is not None and begin > 300:
            likeness = [np.corrcoef(now[:, k], before[:, k])[0, 1] for k in range(10)]
            assert min(likeness) > 0.5
        before = now
    C = np.cov(online.transform(X).T, bias=True)
    assert np.diag(C) == pytest.approx(np.ones(12), abs=1e-6)
    assert C[10:, :10] == pytest.approx(np.zeros((2, 10)), abs=1e-6)


@pytest.mark.parametrize(
    ("bottleneck", "says"),
    [
        (GaussianBottleneck(beta=1.0), "more than 1"),
        (GaussianBottleneck(fill="noise"), "allowed are 'pca' and None"),  # type: ignore[arg-type]
        (GaussianBottleneck(ridge=-1.0), "at least 0"),
        (GaussianBottleneck(n_components=0), "at least 1"),
        (OnlineBottleneck(forgetting=0.0), "at most 1"),
        (OnlineBottleneck(n_components=0), "at least 1"),
    ],
)
def test_settings_that_make_no_bottleneck_are_refused(bottleneck: GaussianBottleneck, says: str) -> None:
    X = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(ValueError, match=says):
        bottleneck.fit(X, X[:, :2])
