"""Online readouts on features of any size, against their batch problem and their filter in exact fractions."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.reservoir import FORCEReadout, KalmanReadout, LMSReadout, OnlineBottleneck, RecursiveLeastSquares

Exact = list[list[Fraction]]


def features(kind: str, samples: int = 30) -> np.ndarray:
    generator = np.random.default_rng(0)
    Z = generator.normal(size=(samples, 4))
    made: dict[str, Callable[[], np.ndarray]] = {
        "of the order of one": lambda: Z,
        "1e7": lambda: 1e7 * Z,
        "offset of 1e6": lambda: Z + 1e6 * generator.normal(size=4),
        "offset and size": lambda: 1e7 * Z + 3e8,
        "counts of 24 bits": lambda: np.round(2.0**23 + 100 * Z),
        "all counts of 24 bits": lambda: generator.integers(0, 2**24, size=Z.shape).astype(float),
        "nanovolts": lambda: 1e-9 * Z + 1e-7,
        "ohms": lambda: 10 ** generator.uniform(6, 9, size=Z.shape),
        "ohms with an offset": lambda: 1e9 + 1e3 * Z,
        "mixed": lambda: Z * [1e-9, 1, 1e6, 1e9] + [0, 5, 1e7, 1e9],
        "constant": lambda: np.where(np.arange(4) == 2, 3e6, Z),
        "dead": lambda: np.where(np.arange(4) == 1, 0.0, Z),
        "twice the same": lambda: Z[:, [0, 1, 0, 3]],
        "collinear": lambda: np.round(1e6 * Z) @ np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]),
    }
    return made[kind]()


KINDS = [
    "of the order of one", "1e7", "offset of 1e6", "offset and size", "counts of 24 bits", "all counts of 24 bits",
    "nanovolts", "ohms", "ohms with an offset", "mixed", "constant", "dead", "twice the same", "collinear",
]  # fmt: skip
DETERMINED = {kind for kind in KINDS if kind not in ("mixed", "twice the same", "collinear", "constant", "dead")}


def targets(X: np.ndarray) -> np.ndarray:
    """Return targets that depend on the features with noise, and targets with an offset that do not."""
    deviation = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    noise = np.random.default_rng(1).normal(size=(len(X), 2))
    return np.stack(
        [(X - X.mean(axis=0)) / deviation @ np.arange(1.0, 5.0) + 0.1 * noise[:, 0], 1e3 + noise[:, 1]], axis=1
    )


def exactly(values: np.ndarray) -> Exact:
    return [[Fraction(float(value)) for value in row] for row in values]


def solved(A: Exact, B: Exact) -> Exact:
    """Solve A W = B by elimination."""
    rows = [left + right for left, right in zip(A, B, strict=True)]
    for k in range(len(A)):
        pivot = max(range(k, len(A)), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(len(A)):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[len(A) :] for row in rows]


def batch(X: np.ndarray, Y: np.ndarray, alpha: float, forgetting: float, intercept: bool) -> Exact:
    """Solve the problem that recursive least squares documents: weights (outputs, features and constant)."""
    rows = [row + [Fraction(1)] * intercept for row in exactly(X)]
    size, wanted = len(rows[0]), exactly(Y)
    weight = [Fraction(forgetting) ** (len(X) - 1 - t) for t in range(len(X))]
    A = [[sum(w * x[i] * x[j] for w, x in zip(weight, rows, strict=True)) for j in range(size)] for i in range(size)]
    for i in range(X.shape[1]):
        A[i][i] += Fraction(alpha) * Fraction(forgetting) ** len(X)
    B = [
        [sum(w * x[i] * y[o] for w, x, y in zip(weight, rows, wanted, strict=True)) for o in range(Y.shape[1])]
        for i in range(size)
    ]
    return [list(column) for column in zip(*solved(A, B), strict=True)]


def predictions(weights: Exact, X: np.ndarray, intercept: bool) -> np.ndarray:
    rows = [row + [Fraction(1)] * intercept for row in exactly(X)]
    return np.array([[float(sum(w * x for w, x in zip(each, row, strict=True))) for each in weights] for row in rows])


def filtered(X: np.ndarray, Y: np.ndarray, alpha: float, walk: float, intercept: bool) -> Exact:
    """Return the weights of the textbook Kalman filter; of the intercept nothing is known at first: variance of
    1e80."""
    size, bits = X.shape[1] + intercept, 400

    def rounded(value: Fraction) -> Fraction:  # or fractions grow without bound
        shift = bits - value.numerator.bit_length() + value.denominator.bit_length()
        return Fraction(round(value * Fraction(2) ** shift)) / Fraction(2) ** shift

    P = [[Fraction(0)] * size for _ in range(size)]
    for i in range(size):
        P[i][i] = 1 / Fraction(alpha) if i < X.shape[1] else Fraction(10) ** 80
    weights = [[Fraction(0)] * size for _ in range(Y.shape[1])]
    for given_row, wanted in zip(exactly(X), exactly(Y), strict=True):
        x = given_row + [Fraction(1)] * intercept
        seen = [sum(p * v for p, v in zip(row, x, strict=True)) for row in P]
        spread = 1 + sum(s * v for s, v in zip(seen, x, strict=True))
        for o, y in enumerate(wanted):
            error = (y - sum(w * v for w, v in zip(weights[o], x, strict=True))) / spread
            weights[o] = [rounded(w + error * s) for w, s in zip(weights[o], seen, strict=True)]
        P = [
            [rounded(P[i][j] - seen[i] * seen[j] / spread + (Fraction(walk) if i == j else 0)) for j in range(size)]
            for i in range(size)
        ]
    return weights


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("forgetting", [1.0, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_recursive_least_squares_is_its_batch_problem_whatever_the_features(
    kind: str, forgetting: float, intercept: bool
) -> None:
    X = features(kind)
    Y, alpha = targets(X), 1e-24 if kind == "nanovolts" else 1e-3
    online = RecursiveLeastSquares(forgetting, alpha=alpha, fit_intercept=intercept)
    told = online.learn(X, Y)
    for seen in (1, 2, 3, 6, 30):
        weights = batch(X[:seen], Y[:seen], alpha, forgetting, intercept)
        prefix = RecursiveLeastSquares(forgetting, alpha=alpha, fit_intercept=intercept).fit(X[:seen], Y[:seen])
        wanted = predictions(weights, X[:seen], intercept)
        assert prefix.predict(X[:seen]) == pytest.approx(wanted, abs=1e-8)
        if seen >= 6 and seen < len(X) and kind not in ("mixed", "twice the same", "collinear"):
            # The next sample is predicted before it is learned.
            ahead = predictions(weights, X[seen : seen + 1], intercept)[0]
            assert told[seen] == pytest.approx(ahead, rel=1e-8, abs=1e-8)
    if kind in DETERMINED:
        exact = np.array([[float(w) for w in row[:4]] for row in weights])
        assert online.coef_ == pytest.approx(exact, abs=1e-9 * np.abs(exact).max())


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("walk", [1e-5, 1e-19, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kalman_readout_is_the_textbook_filter_whatever_the_features(
    kind: str, walk: float, intercept: bool
) -> None:
    X = features(kind, 20)
    Y, alpha = targets(X), 1e-24 if kind == "nanovolts" else 1e-3
    weights = filtered(X, Y, alpha, walk, intercept)
    readout = KalmanReadout(walk, alpha=alpha, fit_intercept=intercept).fit(X, Y)
    exact = np.array([[float(w) for w in row[:4]] for row in weights])
    assert readout.coef_ == pytest.approx(exact, abs=1e-8 * np.abs(exact).max())
    assert readout.predict(X) == pytest.approx(predictions(weights, X, intercept), abs=1e-8)


def test_what_pairs_of_numbers_cannot_hold_is_refused_and_nothing_of_the_call_is_learned() -> None:
    generator = np.random.default_rng(0)
    readout = KalmanReadout(1e-12, alpha=1e-24).fit(1e-9 * generator.normal(size=(20, 3)), generator.normal(size=20))
    before = readout.coef_.copy(), readout.intercept_.copy(), readout.samples_learned_
    rows = generator.normal(size=(5, 3)) * np.array([1e-9, 1e-9, 1e-9])
    rows[3] = [1e-9, 1e12, 0.0]
    for learn in (
        lambda: readout.partial_fit(rows, np.ones(5)),
        lambda: readout.step(rows[3], 1.0),
    ):
        with pytest.raises(ValueError, match=r"as large as 1e\+12 .* standardise"):
            learn()
        for then, now in zip(before, (readout.coef_, readout.intercept_, readout.samples_learned_), strict=True):
            assert np.array_equal(then, now)
    readout.partial_fit(rows[:3], np.ones(3))
    assert readout.samples_learned_ == [23]


@pytest.mark.parametrize("kind", ["1e7", "offset of 1e6", "counts of 24 bits", "ohms", "nanovolts"])
def test_least_mean_squares_is_its_loop_in_long_double(kind: str) -> None:
    X = features(kind, 200)
    Y = targets(X)
    floor = 1e-20 if kind == "nanovolts" else 1e-6
    rows = np.hstack([X, np.ones((200, 1))]).astype(np.longdouble)
    weights = np.zeros((5, 2), dtype=np.longdouble)
    for x, y in zip(rows, Y, strict=True):
        weights += np.outer(x, y - x @ weights) / (2 * (np.longdouble(floor) + x @ x))
    readout = LMSReadout(0.5, floor=floor).fit(X, Y)
    assert readout.predict(X) == pytest.approx((rows @ weights).astype(float), rel=1e-9, abs=1e-8)


def test_forgetting_over_a_million_samples_of_large_counts() -> None:
    generator, forgetting = np.random.default_rng(0), 0.999
    X = np.round(2.0**23 + 200.0 * generator.normal(size=(1_000_000, 4)))
    X[:, 3] = X[:, 0]  # twice the same, and below one that never changes
    X = np.hstack([X, np.full((len(X), 1), 5e6)])
    y = (X[:, :3] - 2.0**23) @ [1e-2, -2e-2, 3e-2] + generator.normal(size=len(X)) + 1e5
    y[500_000:] += 1e-2 * (X[500_000:, 1] - 2.0**23)
    readout = RecursiveLeastSquares(forgetting).fit(X, y)
    recent = slice(-60_000, None)  # 0.999 ** 60000 is 1e-26
    weight = np.sqrt(forgetting ** np.arange(59_999, -1, -1, dtype=np.longdouble))
    apart = (X[recent].astype(np.longdouble) - 2.0**23)[:, :3]
    rows = np.hstack([apart / 200, np.ones((60_000, 1))]) * weight[:, np.newaxis]
    wanted = np.linalg.lstsq(rows.astype(float), (y[recent] * weight).astype(float))[0]
    expected = (apart[-1000:] / 200) @ wanted[:3] + wanted[3]
    assert readout.predict(X[-1000:]) == pytest.approx(expected.astype(float), abs=1e-7)
    assert readout.coef_[0, 1:3] * 200 == pytest.approx(wanted[1:3], abs=1e-8)
    assert readout.coef_[0, 0] + readout.coef_[0, 3] == pytest.approx(wanted[0] / 200, abs=1e-10)


@pytest.mark.parametrize("idle", ["dead", "twice the same"])
def test_an_idle_feature_does_not_stop_the_others_from_being_forgotten(idle: str) -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(30_000, 3))
    X[:, 2] = 0.0 if idle == "dead" else X[:, 0]
    y = X[:, 0] + np.where(np.arange(len(X)) < 29_000, 1.0, -1.0) * X[:, 1]
    readout = RecursiveLeastSquares(0.98).fit(X, y)
    assert readout.predict(X[-100:]) == pytest.approx(y[-100:], abs=1e-6)
    assert np.abs(readout.coef_).max() < 10


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["rls", "forgetting", "force", "kalman"]),
    st.integers(-60, 60),
    st.integers(1, 9),
    st.integers(0, 999),
)
def test_other_units_of_the_features_give_the_same_bits(kind: str, power: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    X, y = generator.normal(size=(40, width)) + generator.normal(size=width), generator.normal(size=40)
    unit = 2.0**power

    def readout(unit: float) -> RecursiveLeastSquares | FORCEReadout | KalmanReadout:
        alpha = 1e-2 * unit**2
        if kind == "kalman":
            return KalmanReadout(1e-4 / unit**2, alpha=alpha, fit_intercept=False)
        if kind == "force":
            return FORCEReadout(alpha)
        return RecursiveLeastSquares(0.95 if kind == "forgetting" else 1.0, alpha=alpha)

    plain, scaled = readout(1.0), readout(unit)
    assert np.array_equal(plain.learn(X, y), scaled.learn(X * unit, y))
    assert np.array_equal(plain.coef_, scaled.coef_ * unit)


@pytest.mark.parametrize("forgetting", [1.0, 0.7])
@pytest.mark.parametrize(
    "kind", ["1e7", "offset of 1e6", "counts of 24 bits", "nanovolts", "ohms", "dead", "twice the same"]
)
def test_the_rows_of_the_online_bottleneck_are_those_of_ridge_regression_whatever_the_inputs(
    kind: str, forgetting: float
) -> None:
    X = features(kind, 40)
    Y = targets(X)
    online = OnlineBottleneck(forgetting=forgetting)
    for begin in range(0, 40, 10):
        online.partial_fit(X[begin : begin + 10], Y[begin : begin + 10])
    weight = [Fraction(forgetting) ** (3 - t // 10) for t in range(40)]
    rows = [x + y for x, y in zip(exactly(X), exactly(Y), strict=True)]
    mean = [sum(w * row[i] for w, row in zip(weight, rows, strict=True)) / sum(weight) for i in range(6)]
    apart = [[value - middle for value, middle in zip(row, mean, strict=True)] for row in rows]
    C = [[sum(w * row[i] * row[j] for w, row in zip(weight, apart, strict=True)) for j in range(6)] for i in range(6)]
    ridge = Fraction(online.ridge) * sum(C[i][i] for i in range(4)) / 4
    A = [[C[i][j] + (ridge if i == j else 0) for j in range(4)] for i in range(4)]
    exact = np.array(
        [[float(w) for w in column] for column in zip(*solved(A, [C[i][4:] for i in range(4)]), strict=True)]
    )
    size = np.linalg.norm(exact, axis=1, keepdims=True)
    assert online.components_ / np.linalg.norm(online.components_, axis=1, keepdims=True) == pytest.approx(
        exact / size, abs=1e-8
    )
    assert online.mean_ == pytest.approx([float(m) for m in mean[:4]], rel=1e-14)


@pytest.mark.parametrize("size", [5, 13, 31, 60])  # parts of vectors, several blocks of rows
@pytest.mark.parametrize("forgetting", [1.0, 0.97])
@pytest.mark.parametrize("delay", [0, 3])
def test_samples_in_calls_of_any_length_are_answered_in_order_by_the_least_squares_so_far(
    size: int, forgetting: float, delay: int
) -> None:
    generator, samples, alpha = np.random.default_rng(size), 90, 1e-2
    X, Y = generator.normal(size=(samples, size)), generator.normal(size=(samples, 3))
    Y[generator.random(samples) < 0.2] = np.nan
    readout = RecursiveLeastSquares(forgetting, alpha=alpha, fit_intercept=False, delay=delay).begin(size, 3)
    told = []
    for length in (1, 2, 3, 4, 5, 7, 23, 1, 26, 18):
        begin = len(told)
        told.extend(readout.learn(X[begin : begin + length], Y[begin : begin + length]))
    assert len(told) == samples
    A, B = alpha * np.eye(size), np.zeros((size, 3))
    for t in range(samples):
        assert told[t] == pytest.approx(X[t] @ np.linalg.solve(A, B), rel=1e-8, abs=1e-8), t
        if t >= delay and not np.isnan(Y[t]).any():
            x = X[t - delay]
            A, B = forgetting * A + np.outer(x, x), forgetting * B + np.outer(x, Y[t])
    assert readout.coef_ == pytest.approx(np.linalg.solve(A, B).T, rel=1e-8, abs=1e-8)
