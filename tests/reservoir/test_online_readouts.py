"""Readouts that learn one sample at a time, against their textbook recursions, batch solutions and drifting devices."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from inmateria.reservoir import (
    FORCEReadout,
    KalmanReadout,
    LMSReadout,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    ShiftLMSReadout,
)
from inmateria.reservoir.readouts.least_squares_factor import learn_rows

ONLINE = [RecursiveLeastSquares, KalmanReadout, LMSReadout, FORCEReadout]


def problem(samples: int, features: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(samples, features)) + generator.normal(size=features)
    return X, X @ generator.normal(size=(features, outputs)) + 0.3 * generator.normal(size=(samples, outputs)) + 5.0


@pytest.mark.parametrize("kind", ONLINE)
def test_samples_without_targets_are_skipped(kind) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(80, 5, 2)
    walk = {"walk": 0.0} if kind is KalmanReadout else {}
    missing = np.random.default_rng(1).random(80) < 0.4
    given = np.where(missing[:, np.newaxis], np.nan, Y)
    some, known = kind(**walk).fit(X, given), kind(**walk).fit(X[~missing], Y[~missing])
    assert np.array_equal(some.coef_, known.coef_)
    assert np.array_equal(some.intercept_, known.intercept_)
    with pytest.raises(ValueError, match="every target is NaN"):
        kind().fit(X, np.full_like(Y, np.nan))


@pytest.mark.parametrize("kind", ONLINE)
def test_an_output_without_target_does_not_learn_while_the_others_do(kind) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(60, 4, 2)
    readout = kind().fit(X[:30], Y[:30])
    before = readout.coef_.copy()
    half = Y[30:].copy()
    half[:, 1] = np.nan
    readout.partial_fit(X[30:], half)
    assert np.array_equal(readout.coef_[1], before[1])
    assert readout.coef_[0] == pytest.approx(kind().fit(X, Y).coef_[0], rel=1e-12)


@pytest.mark.parametrize("kind", ONLINE)
@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_targets_that_come_late_belong_to_the_row_they_are_late_for(kind, chunk: int) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(60, 5, 2)
    delay = 9
    late = np.concatenate([np.full((delay, 2), 1e6), Y[:-delay]])  # the first targets belong to rows never seen
    walk = {"walk": 0.0} if kind is KalmanReadout else {}  # or weights walk while the first targets are awaited
    readout = kind(delay=delay, **walk)
    if chunk < delay:  # a readout begins with a known target
        readout.begin(5, 2)
    read = [readout.learn(X[begin : begin + chunk], late[begin : begin + chunk]) for begin in range(0, 60, chunk)]
    on_time = kind(**walk).fit(X[:-delay], Y[:-delay])
    assert readout.coef_ == pytest.approx(on_time.coef_, rel=1e-9)
    # What was read of a row stands on targets that had come by then, and on no later one.
    known = kind(**walk).fit(X[:20], Y[:20])
    assert np.concatenate(read)[20 + delay] == pytest.approx(known.predict(X[20 + delay][np.newaxis])[0], rel=1e-6)


def test_what_is_read_was_read_before_it_was_learned() -> None:
    X, Y = problem(40, 4, 2)
    read = RecursiveLeastSquares(alpha=0.5).learn(X, Y)
    for row in range(5, 40):
        before = Ridge(0.5).fit(X[:row], Y[:row]).predict(X[row : row + 1])[0]
        assert read[row] == pytest.approx(before, abs=1e-5)
    assert RecursiveLeastSquares().learn(X, Y[:, 0]).shape == (40,)


@pytest.mark.parametrize("kind", ["constant", "collinear", "silent"])
@pytest.mark.parametrize("make", [lambda: RecursiveLeastSquares(0.99), lambda: KalmanReadout(1e-4)])
def test_a_million_samples_that_teach_nothing_new_do_no_harm(kind: str, make) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(0)
    X = np.tile(generator.normal(size=(1, 5)), (1_000_000, 1))
    if kind == "collinear":
        X *= generator.normal(size=(1_000_000, 1))
    elif kind == "silent":
        X[1000:] = 0.0
    y = X @ np.arange(5.0) + 2.0
    online = make().fit(X, y)
    assert np.isfinite(online.coef_).all()
    assert online.predict(X[-5:]) == pytest.approx(y[-5:], abs=1e-5)
    # And it still learns what is new.
    fresh = generator.normal(size=(2000, 5))
    online.partial_fit(fresh, fresh @ np.ones(5) - 1.0)
    assert online.predict(fresh) == pytest.approx(fresh @ np.ones(5) - 1.0, abs=1e-3)


def test_the_kalman_readout_is_the_textbook_filter() -> None:
    X, Y = problem(150, 4, 2)
    walk, alpha = 1e-3, 0.1
    rows = np.hstack([X, np.ones((150, 1))])
    covariance = np.diag([1 / alpha] * 4 + [1 / (1e-8 * alpha)])
    weights = np.zeros((5, 2))
    for x, y in zip(rows, Y, strict=True):
        gain = covariance @ x / (1.0 + x @ covariance @ x)
        weights = weights + np.outer(gain, y - x @ weights)
        covariance = (np.eye(5) - np.outer(gain, x)) @ covariance + walk * np.eye(5)
    readout = KalmanReadout(walk, alpha=alpha).fit(X, Y)
    assert readout.coef_ == pytest.approx(weights[:4].T, rel=1e-6)
    assert readout.intercept_ == pytest.approx(weights[4], rel=1e-6)
    without = KalmanReadout(0.0, alpha=alpha).fit(X, Y)
    assert without.coef_ == pytest.approx(RecursiveLeastSquares(alpha=alpha).fit(X, Y).coef_, rel=1e-12)


def test_after_a_gap_the_weights_have_walked_on() -> None:
    X, Y = problem(51, 3, 1)
    gap = np.full((400, 1), np.nan)
    waited = KalmanReadout(1e-2).fit(X[:50], Y[:50])
    waited.partial_fit(np.zeros((400, 3)), gap)
    at_once = KalmanReadout(1e-2).fit(X[:50], Y[:50])
    target = Y[50:] + 3.0
    for readout in (waited, at_once):
        readout.partial_fit(X[50:], target)
    off = [abs(readout.predict(X[50:]) - target)[0, 0] for readout in (waited, at_once)]
    assert off[0] < off[1]  # the longer nobody looked, the more the first look counts


def test_a_drifting_device_is_followed() -> None:
    generator = np.random.default_rng(3)
    X = generator.normal(size=(4000, 20))
    weights = np.cumsum(generator.normal(size=(4000, 20)) * 0.02, axis=0) + generator.normal(size=20)
    y = np.einsum("ij,ij->i", X, weights) + 0.1 * generator.normal(size=4000)
    errors = {}
    for name, readout in {
        "static": RecursiveLeastSquares(),
        "forgetting": RecursiveLeastSquares(0.95),
        "walking": KalmanReadout(0.02**2 / 0.1**2),
        "descending": LMSReadout(0.5),
    }.items():
        errors[name] = float(np.sqrt(np.mean((readout.learn(X, y) - y)[1000:] ** 2)) / y[1000:].std())
    assert errors["walking"] < errors["forgetting"] < errors["static"]
    assert errors["descending"] < errors["static"]
    # With the walk and the noise known the filter is the best there is: little is left but what cannot be known.
    assert errors["walking"] < 0.5 * errors["static"]


def test_normalised_least_mean_squares_is_its_textbook_loop_and_converges() -> None:
    X, Y = problem(3000, 4, 2)
    rows, weights = np.hstack([X, np.ones((3000, 1))]), np.zeros((5, 2))
    for x, y in zip(rows, Y, strict=True):
        weights += 0.5 * np.outer(x, y - x @ weights) / (1e-6 + x @ x)
    assert LMSReadout(0.5).fit(X, Y).coef_ == pytest.approx(weights[:4].T, rel=1e-9)
    clean = X @ weights[:4] + weights[4]
    exact = LMSReadout(0.5).fit(X, clean)
    assert exact.coef_ == pytest.approx(LinearRegression().fit(X, clean).coef_, abs=1e-6)


class Network:
    """Rate neurons, chaotic by themselves, with an output fed back (Sussillo and Abbott 2009, figure 2)."""

    def __init__(self, size: int = 300, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.links = 1.5 * generator.normal(size=(size, size)) / np.sqrt(0.1 * size)
        self.links *= generator.random((size, size)) < 0.1
        self.feedback = generator.uniform(-1, 1, size)
        self.x = 0.5 * generator.normal(size=size)

    def step(self, output: float) -> np.ndarray:
        self.x += 0.1 * (-self.x + self.links @ np.tanh(self.x) + self.feedback * output)
        return np.tanh(self.x)


@pytest.mark.parametrize("every", [1, 2])
def test_force_makes_a_chaotic_network_go_on_with_a_pattern_by_itself(every: int) -> None:
    steps = np.arange(8000)
    pattern = 0.8 * np.sin(2 * np.pi * steps / 120) + 0.4 * np.sin(4 * np.pi * steps / 120)
    network, readout = Network(), FORCEReadout(alpha=1.0, every=every).begin(features=300)
    output, read = 0.0, np.empty(len(steps))
    for step, target in enumerate(pattern):
        taught = step < 6000
        output = float(readout.step(network.step(output), target if taught else np.nan)[0])
        read[step] = output
    assert np.sqrt(np.mean((read[3000:6000] - pattern[3000:6000]) ** 2)) < 0.05
    free, wanted = read[6000:7200], pattern[6000:7200]
    assert np.sqrt(np.mean((free - wanted) ** 2)) < 0.15 * wanted.std()  # ten periods with nobody teaching
    silent = Network()
    alone = np.array([silent.step(0.0).mean() for _ in range(3000)])
    assert alone[1000:].std() > 0.01  # without feedback it is not at rest either


@pytest.mark.parametrize(
    ("readout", "says"),
    [
        (KalmanReadout(walk=-1.0), "at least 0"),
        (LMSReadout(rate=2.0), "below 2"),
        (LMSReadout(floor=0.0), "more than 0"),
        (FORCEReadout(every=0), "1 to learn at every step"),
        (RecursiveLeastSquares(delay=-1), "at least 0"),
    ],
)
def test_settings_that_make_no_readout_are_refused(readout, says: str) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(20, 3, 1)
    with pytest.raises(ValueError, match=says):
        readout.fit(X, Y)


def test_a_step_takes_one_sample_of_the_right_size() -> None:
    with pytest.raises(AttributeError, match="is not fitted"):
        FORCEReadout().step(np.ones(3), 1.0)
    readout = FORCEReadout().begin(3, 2)
    assert readout.step(np.ones(3), [1.0, 2.0]) == pytest.approx([0.0, 0.0])
    assert readout.step(np.ones(3)) == pytest.approx([0.75, 1.5])
    with pytest.raises(ValueError, match=r"\(3,\)"):
        readout.step(np.ones(4))


def test_many_rows_at_once_are_learned_as_one_by_one() -> None:
    X, Y = problem(2500, 5, 2)
    at_once, one_by_one = (RecursiveLeastSquares(0.999, delay=9).begin(5, 2) for _ in range(2))
    read = at_once.learn(X, Y)
    singly = np.array([one_by_one.step(x, y) for x, y in zip(X, Y, strict=True)])
    assert np.array_equal(read, singly)
    assert np.array_equal(at_once.coef_, one_by_one.coef_)


def test_many_rows_of_many_features_are_learned_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 200))
    X[:, 5] = X[:, 4] + 1e-2 * X[:, 5]  # nearly the same
    Y = 2 * X[:, :3] + rng.standard_normal((300, 3)) + 1
    whole, singly = RecursiveLeastSquares(alpha=0.5), RecursiveLeastSquares(alpha=0.5)
    parts = [slice(0, 130), slice(130, 133), slice(133, 300)]
    together = np.concatenate([whole.learn(X[part], Y[part]) for part in parts])
    one_by_one = np.concatenate([singly.learn(X[t : t + 1], Y[t : t + 1]) for t in range(len(X))])
    assert np.array_equal(together, one_by_one)
    assert np.array_equal(whole.coef_, singly.coef_)
    assert whole.coef_ == pytest.approx(Ridge(0.5).fit(X, Y).coef_, abs=1e-11)


MAKERS = [
    RecursiveLeastSquares,
    lambda **more: RecursiveLeastSquares(0.97, **more),
    lambda **more: RecursiveLeastSquares(fit_intercept=False, **more),
    KalmanReadout,
    LMSReadout,
    lambda **more: ShiftLMSReadout(feature_range=8.0, target_range=8.0, **more),
    lambda **more: FORCEReadout(every=2, **more),
]


@settings(max_examples=40, deadline=None)
@example(MAKERS[5], 2, 0, 0.5, 1, 1)
@given(
    st.sampled_from(MAKERS),
    st.integers(1, 4),
    st.integers(0, 3),
    st.floats(0, 1),
    st.integers(1, 30),
    st.integers(0, 999),
)
def test_each_of_several_outputs_is_learned_as_if_it_were_alone(  # type: ignore[no-untyped-def]
    make, outputs: int, delay: int, missing: float, chunk: int, seed: int
) -> None:
    X, Y = problem(30, 3, outputs, seed)
    Y[np.random.default_rng(seed + 1).random(Y.shape) < missing] = np.nan
    together = make(delay=delay)
    told = np.concatenate([together.learn(X[i : i + chunk], Y[i : i + chunk]) for i in range(0, 30, chunk)])
    for output in range(outputs):
        alone = make(delay=delay)
        told_alone = np.concatenate(
            [alone.learn(X[i : i + chunk], Y[i : i + chunk, output : output + 1]) for i in range(0, 30, chunk)]
        )
        assert told[:, output] == pytest.approx(told_alone[:, 0], rel=1e-12, abs=1e-12)
        assert together.coef_[output] == pytest.approx(alone.coef_[0], rel=1e-12, abs=1e-12)
        assert together.intercept_[output] == pytest.approx(alone.intercept_[0], rel=1e-12, abs=1e-12)
        assert together.samples_learned_[output] == alone.samples_learned_[0]
    if not isinstance(together, ShiftLMSReadout):  # which rounds features to sums of powers of two
        assert together.predict(X) == pytest.approx(X @ together.coef_.T + together.intercept_, abs=1e-9)


def test_outputs_that_miss_different_samples_are_ridge_on_their_own_samples() -> None:
    X, Y = problem(200, 6, 3)
    Y[50:120, 0], Y[100:, 2] = np.nan, np.nan
    online = RecursiveLeastSquares(alpha=0.1).fit(X, Y)
    for output in range(3):
        known = ~np.isnan(Y[:, output])
        batch = Ridge(0.1).fit(X[known], Y[known, output])
        assert online.coef_[output] == pytest.approx(batch.coef_, abs=1e-11)
        assert online.intercept_[output] == pytest.approx(batch.intercept_, abs=1e-11)
    assert online.samples_learned_.tolist() == [130, 200, 100]


@pytest.mark.parametrize("make", MAKERS)
def test_a_first_chunk_without_targets_teaches_nothing(make) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(40, 3, 2)
    readout = make().partial_fit(X[:10], np.full((10, 2), np.nan))
    assert np.array_equal(readout.predict(X), np.zeros((40, 2)))
    assert readout.samples_learned_.tolist() == [0, 0]
    walked = {"walk": 0.0} if isinstance(readout, KalmanReadout) else {}
    later, at_once = (make(**walked) for _ in range(2))
    later.partial_fit(X[:10], np.full((10, 2), np.nan)).partial_fit(X[10:], Y[10:])
    assert np.array_equal(later.coef_, at_once.partial_fit(X[10:], Y[10:]).coef_)


def state(readout) -> bytes:  # type: ignore[no-untyped-def]
    return pickle.dumps(readout.__dict__)


@pytest.mark.parametrize("make", MAKERS)
def test_a_call_that_is_refused_leaves_everything_as_it_was(make) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(30, 3, 2)
    readout, before = make(delay=1), make(delay=1)
    for each in (readout, before):
        each.fit(X, Y)
    then = state(readout)
    for bad in (np.nan, np.inf, -np.inf, 1e31):
        wrong = X.copy()
        wrong[20, 1] = bad
        for learn in (readout.fit, readout.partial_fit, readout.learn):
            with pytest.raises(ValueError, match=r"NaN|infinity|at most 1e\+30"):
                learn(wrong, Y)
        with pytest.raises(ValueError, match=r"feature 1 of sample 0 is .*nothing was learned"):
            readout.step(wrong[20], Y[20])
    for bad in (np.inf, 1e31):
        wrong = Y.copy()
        wrong[20, 1] = bad
        with pytest.raises(ValueError, match=r"infinity|at most 1e\+30"):
            readout.partial_fit(X, wrong)
        with pytest.raises(ValueError, match="target 1 of sample 0"):
            readout.step(X[20], wrong[20])
    with pytest.raises(ValueError, match="features"):
        readout.partial_fit(X[:, :2], Y)
    with pytest.raises(ValueError, match="targets have 1 outputs; this readout was fitted with 2"):
        readout.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="one for each of the 2 outputs"):
        readout.step(X[0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="every target is NaN"):
        readout.fit(X[:, :2], np.full_like(Y, np.nan))
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        readout.begin(0)
    assert state(readout) == then
    assert np.array_equal(readout.learn(X, Y), before.learn(X, Y))


@pytest.mark.parametrize(
    ("readout", "changes"),
    [
        (RecursiveLeastSquares(), {"alpha": 1.0, "fit_intercept": False, "delay": 2}),
        (KalmanReadout(), {"alpha": 1.0, "fit_intercept": False, "delay": 2}),
        (LMSReadout(), {"fit_intercept": False, "delay": 2}),
        (ShiftLMSReadout(), {"digits": 3, "feature_range": 3.0, "delay": 2}),
        (FORCEReadout(), {"alpha": 2.0, "fit_intercept": True, "delay": 2}),
    ],
)
def test_what_holds_from_the_beginning_cannot_be_changed_while_learning(readout, changes) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(20, 3, 1)
    readout.fit(X, Y)
    for name, value in changes.items():
        begun = getattr(readout, name)
        readout.set_params(**{name: value})
        for learn in (lambda: readout.partial_fit(X, Y), lambda: readout.step(X[0], 1.0)):
            with pytest.raises(ValueError, match=f"{name} is .* set it back"):
                learn()
        readout.predict(X)
        readout.set_params(**{name: begun}).partial_fit(X, Y)
        readout.set_params(**{name: value}).fit(X, Y)  # a new beginning


def test_what_may_be_changed_while_learning_is_honoured_and_checked() -> None:
    X, Y = problem(60, 3, 1)
    readout = RecursiveLeastSquares(1.0, alpha=1e-9).fit(X[:30], Y[:30])
    readout.set_params(forgetting=0.9).partial_fit(X[30:], Y[30:])
    weight = 0.9 ** np.concatenate([np.full(30, 30), np.arange(29, -1, -1)])
    assert readout.coef_ == pytest.approx(LinearRegression().fit(X, Y, sample_weight=weight).coef_, abs=1e-8)
    for online, wrong in (
        (readout, {"forgetting": 1.5}),
        (LMSReadout(), {"rate": 3.0}),
        (KalmanReadout(), {"walk": -1.0}),
    ):
        online.fit(X, Y)
        before = online.coef_.copy()
        online.set_params(**wrong)
        with pytest.raises(ValueError, match=r"it must be|it converges"):
            online.partial_fit(X, Y)
        assert np.array_equal(online.coef_, before)
    rows, weights = np.hstack([X, np.ones((60, 1))]), np.zeros(4)
    for t, (x, y) in enumerate(zip(rows, Y[:, 0], strict=True)):
        weights += (0.5 if t < 30 else 0.1) * x * (y - x @ weights) / (1e-6 + x @ x)
    descending = LMSReadout(0.5).fit(X[:30], Y[:30, 0])
    descending.set_params(rate=0.1).partial_fit(X[30:], Y[30:, 0])
    assert descending.coef_[0] == pytest.approx(weights[:3], rel=1e-9)


@pytest.mark.parametrize("of", [np.int8, np.uint16, np.int64])
def test_integers_of_numpy_are_integers(of) -> None:  # type: ignore[no-untyped-def]
    X, Y = problem(40, 3, 2)
    plain = FORCEReadout(every=2, delay=1).begin(3, 2)
    given_by_numpy = FORCEReadout(every=of(2), delay=of(1)).begin(of(3), of(2))
    assert np.array_equal(given_by_numpy.learn(X, Y), plain.learn(X, Y))
    counts = (100 + 20 * X).astype(of)
    assert np.array_equal(
        RecursiveLeastSquares(alpha=of(1)).fit(counts, counts[:, 0]).coef_,
        RecursiveLeastSquares(alpha=1.0).fit(counts.astype(float), counts[:, 0].astype(float)).coef_,
    )
    labels = (X[:, 0] > X[:, 0].mean()).astype(of)
    classifier = RecursiveLeastSquaresClassifier().partial_fit(X[:1], labels[:1], classes=of([0, 1]))
    classifier.partial_fit(X[1:], labels[1:])
    wanted = RecursiveLeastSquaresClassifier().fit(X, labels.astype(int))
    assert np.array_equal(classifier.predict(X), wanted.predict(X))
    assert classifier.classes_.dtype == of
    for wrong in (True, 2.0, "2"):
        with pytest.raises(ValueError, match="must be an integer"):
            FORCEReadout(every=wrong).begin(3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must be an integer"):
            FORCEReadout().begin(3, wrong)  # type: ignore[arg-type]


def test_a_refused_call_of_the_classifier_leaves_everything_as_it_was() -> None:
    X, _ = problem(30, 3, 1)
    labels = np.arange(30) % 3
    readout = RecursiveLeastSquaresClassifier().fit(X, labels)
    then = state(readout)
    wrong = X.copy()
    wrong[3, 1] = np.nan
    for learn, says in (
        (lambda: readout.partial_fit(wrong, labels), "NaN"),
        (lambda: readout.fit(wrong[:, :2], labels), "NaN"),
        (lambda: readout.partial_fit(X, labels + 1), r"unknown classes \[3\]"),
        (lambda: readout.partial_fit(X, labels, classes=[0, 1, 2, 3]), "classes are .* cannot be changed"),
        (lambda: readout.partial_fit(X[:, :2], labels), "features"),
        (lambda: readout.fit(X * 1e31, labels), "1e\\+30"),
        (lambda: readout.fit(X, np.linspace(0, 1, 30)), "continuous"),
    ):
        with pytest.raises(ValueError, match=says):
            learn()
        assert state(readout) == then
    readout.set_params(alpha=7.0)
    with pytest.raises(ValueError, match="alpha is 7"):
        readout.partial_fit(X, labels)


def test_read_only_samples_are_learned_with_the_same_bits_and_without_another_compilation() -> None:
    generator = np.random.default_rng(5)
    X, Y = generator.normal(size=(5000, 3)), generator.normal(size=(5000, 2))
    plain = RecursiveLeastSquares().fit(X, Y)
    compiled = len(learn_rows.overloads)
    X.flags.writeable = Y.flags.writeable = False
    read_only = RecursiveLeastSquares().fit(X, Y)
    assert np.array_equal(plain.coef_, read_only.coef_)
    assert np.array_equal(plain.intercept_, read_only.intercept_)
    assert len(learn_rows.overloads) == compiled
