"""Weights of samples and classes, sums of readouts, and fits that fail, against scikit-learn and all data at once."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge, RidgeClassifier

from inmateria.reservoir import RidgeClassifierReadout, RidgeReadout
from inmateria.reservoir.readouts.moments import Moments


def labelled(samples: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, size=samples)
    return generator.normal(size=(samples, features)) + generator.normal(size=(classes, features))[y] + 3.0, y


@pytest.mark.parametrize(("samples", "features"), [(60, 10), (15, 40), (3000, 12)])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_weighted_ridge_equals_scikit_learns(samples: int, features: int, intercept: bool, precision: type) -> None:
    generator = np.random.default_rng(0)
    X = (generator.normal(size=(samples, features)) + 5.0).astype(precision)
    Y, weights = generator.normal(size=(samples, 2)), generator.exponential(size=samples)
    weights[::4] = 0.0
    theirs = Ridge(0.7, fit_intercept=intercept, solver="svd").fit(X.astype(np.float64), Y, sample_weight=weights)
    whole = RidgeReadout(0.7, validation=None, fit_intercept=intercept)
    chunked, sums = clone(whole), []
    for begin in range(0, samples, 13):
        now = slice(begin, begin + 13)
        chunked.partial_fit(X[now], Y[now], weights[now])
        sums.append(clone(whole).fit(X[now], Y[now], weights[now]))
    added = sums[0]
    for part in sums[1:]:
        added = added + part
    close = 1e-9 if precision is np.float64 else 1e-5
    for readout in (whole.fit(X, Y, sample_weight=weights), chunked, added):
        assert readout.coef_ == pytest.approx(theirs.coef_, abs=close)
        assert readout.intercept_ == pytest.approx(theirs.intercept_, abs=20 * close)
    assert whole.score(X, Y, weights) == pytest.approx(theirs.score(X, Y, weights), abs=close)


@pytest.mark.parametrize("validation", ["loo", "gcv"])
@pytest.mark.parametrize(("samples", "features"), [(60, 10), (12, 40)])
def test_a_weight_of_three_is_three_samples_for_every_score(validation: str, samples: int, features: int) -> None:
    generator = np.random.default_rng(1)
    X, Y = generator.normal(size=(samples, features)), generator.normal(size=(samples, 2))
    weights = generator.integers(0, 4, size=samples)
    readout = RidgeReadout(validation=validation).fit(X, Y, sample_weight=weights)  # type: ignore[arg-type]
    repeated = RidgeReadout(validation=validation).fit(X.repeat(weights, axis=0), Y.repeat(weights, axis=0))  # type: ignore[arg-type]
    assert readout.loo_scores_ == pytest.approx(repeated.loo_scores_, rel=1e-6)
    assert readout.coef_ == pytest.approx(repeated.coef_, abs=1e-8)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 4.0, 2: 0.25}])
@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_classes_equal_scikit_learns(class_weight: object, classes: int) -> None:
    X, y = labelled(200, 6, classes)
    X, y = X[(y != 1) | (np.arange(200) < 60)], y[(y != 1) | (np.arange(200) < 60)]  # few of one class
    if isinstance(class_weight, dict):
        class_weight = {label: weight for label, weight in class_weight.items() if label < classes}
    weights = np.random.default_rng(2).exponential(size=len(X))
    for given_weights in (None, weights):
        mine = RidgeClassifierReadout(0.5, validation=None, class_weight=class_weight)  # type: ignore[arg-type]
        factors = class_weight
        if class_weight == "balanced":  # the weights of each class add up to the same
            each = np.bincount(y, weights=given_weights)
            factors = {label: each.sum() / (classes * each[label]) for label in range(classes)}
        theirs = RidgeClassifier(0.5, class_weight=factors, solver="svd").fit(X, y, sample_weight=given_weights)
        assert mine.fit(X, y, given_weights).coef_ == pytest.approx(np.atleast_2d(theirs.coef_), abs=1e-9)
        assert mine.decision_function(X) == pytest.approx(theirs.decision_function(X), abs=1e-8)
    if class_weight != "balanced":
        chunked = clone(mine)
        for begin in range(0, len(X), 7):
            now = slice(begin, begin + 7)
            chunked.partial_fit(X[now], y[now], range(classes), weights[now])
        assert chunked.coef_ == pytest.approx(mine.coef_, abs=1e-9)


def test_a_class_weight_changes_what_an_error_costs_and_not_how_many_samples_there_are() -> None:
    X, y = labelled(40, 8, 2)
    readout = RidgeClassifierReadout((0.1, 10.0), class_weight={1: 9.0}).fit(X, y)
    of_sample = np.where(y == 1, 9.0, 1.0)
    for alpha, score in zip((0.1, 10.0), readout.loo_scores_, strict=True):
        squares = []
        for left in range(40):
            others = np.arange(40) != left
            fitted = Ridge(alpha).fit(X[others], 2.0 * y[others] - 1.0, sample_weight=of_sample[others])
            squares.append((fitted.predict(X[left : left + 1])[0] - (2.0 * y[left] - 1.0)) ** 2)
        assert score == pytest.approx(-np.average(squares, weights=of_sample), rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
    st.sampled_from([(20, 30), (40, 30), (300, 30)]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_readouts_that_know_other_classes_add_up_to_one_that_knows_all(
    first: list[int], second: list[int], size: tuple[int, int], intercept: bool, named: bool, weighted: bool
) -> None:
    samples, features = size
    names = np.array(["ant", "bee", "cow", "dog", "eel"]) if named else np.arange(5) * 10 - 20
    X, _ = labelled(samples, features, 5)
    generator = np.random.default_rng(3)
    # Each class that a part knows occurs in it.
    half = samples // 2
    y = np.concatenate([np.resize(first, half), np.resize(second, samples - half)])
    weights = generator.exponential(size=samples) if weighted else None
    readout = RidgeClassifierReadout(1.0, validation=None, fit_intercept=intercept)
    parts = [
        clone(readout).fit(X[now], names[y[now]], None if weights is None else weights[now])
        for now in (slice(None, half), slice(half, None))
    ]
    whole = clone(readout).fit(X, names[y], weights)
    for joined in (parts[0] + parts[1], parts[1] + parts[0]):
        assert joined.classes_.tolist() == whole.classes_.tolist()
        assert joined.coef_ == pytest.approx(whole.coef_, abs=1e-9)
        assert joined.intercept_ == pytest.approx(whole.intercept_, abs=1e-8)
        assert np.array_equal(joined.predict(X), whole.predict(X))


def test_digits_learned_in_two_places_that_have_seen_other_digits() -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    low, high = y < 6, y >= 4
    joined = RidgeClassifierReadout(1.0, validation=None).fit(X[low], y[low]) + RidgeClassifierReadout(
        1.0, validation=None
    ).fit(X[high], y[high])
    both = RidgeClassifier(1.0).fit(np.concatenate([X[low], X[high]]), np.concatenate([y[low], y[high]]))
    assert np.array_equal(joined.predict(X), both.predict(X))
    assert joined.coef_ == pytest.approx(both.coef_, abs=1e-9)


@pytest.mark.parametrize("samples", [8, 300])
@pytest.mark.parametrize("intercept", [True, False])
def test_features_of_data_frames_are_matched_by_name(samples: int, intercept: bool) -> None:
    generator = np.random.default_rng(4)
    names = [f"node {place}" for place in range(12)]
    frame = pd.DataFrame(generator.normal(size=(2 * samples, 12)) + np.arange(12), columns=names)
    y = frame.to_numpy() @ generator.normal(size=12)
    readout = RidgeReadout(0.5, validation=None, fit_intercept=intercept)
    other = frame[names[::-1]]
    joined = clone(readout).fit(frame[:samples], y[:samples]) + clone(readout).fit(other[samples:], y[samples:])
    whole = clone(readout).fit(frame, y)
    assert joined.feature_names_in_.tolist() == names
    assert joined.coef_ == pytest.approx(whole.coef_, abs=1e-9)
    assert joined.predict(frame) == pytest.approx(whole.predict(frame), abs=1e-8)
    for stranger in (frame.rename(columns={"node 3": "node 99"}), frame.to_numpy(), frame[names[:11]]):
        with pytest.raises(ValueError, match="fitted with the features"):
            joined + clone(readout).fit(stranger, y)
    with pytest.raises(ValueError, match="feature names should match"):
        clone(readout).partial_fit(frame, y).partial_fit(other, y)


def test_sums_that_would_not_be_the_readout_of_all_data_are_refused() -> None:
    X, y = labelled(50, 4, 2)
    words = np.array(["a", "b"])[y]
    plain = RidgeClassifierReadout().fit(X, y)
    with pytest.raises(ValueError, match="labels of one kind"):
        plain + RidgeClassifierReadout().fit(X, words)
    balanced = RidgeClassifierReadout(class_weight="balanced")
    with pytest.raises(ValueError, match="needs all samples at once"):
        clone(balanced).fit(X, y) + clone(balanced).fit(X, y)
    with pytest.raises(ValueError, match="needs all samples at once"):
        balanced.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="of_weights"):
        plain + RidgeClassifierReadout.of_weights(plain.coef_, plain.intercept_, [0, 1])
    long = np.logspace(-6, 6, 2000)
    with pytest.raises(ValueError, match="same parameters"):  # printed, the two sequences look the same
        RidgeReadout(long).fit(X, y) + RidgeReadout(np.where(np.arange(2000) == 1000, 7.0, long)).fit(X, y)
    assert (RidgeReadout([1.0, 2.0]).fit(X, y) + RidgeReadout((1.0, 2.0)).fit(X, y)).alpha_ in (1.0, 2.0)
    with pytest.raises(ValueError, match="one axis"):
        RidgeReadout().fit(X, y) + RidgeReadout().fit(X, y[:, np.newaxis])


@pytest.mark.parametrize("readout", [RidgeReadout(), RidgeClassifierReadout()], ids=["regressor", "classifier"])
@pytest.mark.parametrize("samples", [10, 60])
def test_a_fit_that_fails_leaves_the_readout_as_it_was(readout, samples: int) -> None:  # type: ignore[no-untyped-def]
    X, y = labelled(samples, 20, 3)
    fitted = clone(readout).fit(X, y)
    streamed = clone(readout).partial_fit(X, y, **({"classes": [0, 1, 2]} if hasattr(fitted, "classes_") else {}))
    for each in (fitted, streamed):
        before, state = each.predict(X), pickle.dumps(each)
        wrong = [
            (X[:, :5], np.full(samples, np.nan), None),
            (X[:, :5], y, -np.ones(samples)),
            (X[:, :5], y, np.zeros(samples)),
            (X[:, :5], y, np.ones(samples - 1)),
        ]
        if hasattr(each, "classes_"):
            wrong.append((X, y + 0.5, None))  # real numbers are no classes
        for features, targets, weights in wrong:
            for fit in (each.fit, each.partial_fit):
                with pytest.raises(ValueError, match=r"NaN|weight|Unknown label type|features"):
                    fit(features, targets, sample_weight=weights)
                assert np.array_equal(each.predict(X), before)
                assert pickle.dumps(each) == state
        with pytest.raises(ValueError, match="at least 0"):
            each.set_params(alphas=-1.0).fit(X[:, :5], y[::-1])
        assert np.array_equal(each.predict(X), before)


def test_an_interrupted_chunk_leaves_nothing_half_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = labelled(3000, 5, 3)
    readout = RidgeReadout().partial_fit(X, y)
    add = Moments._add_block
    calls = iter(range(10))

    def interrupted(self: Moments, *given: object) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        add(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Moments, "_add_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        readout.partial_fit(X, y)
    monkeypatch.undo()
    with pytest.raises(NotFittedError):
        readout.predict(X)
    assert readout.partial_fit(X, y).coef_ == pytest.approx(RidgeReadout(validation="gcv").fit(X, y).coef_, rel=1e-9)


def test_parameters_take_effect_with_the_next_samples() -> None:
    X, y = labelled(200, 5, 3)
    streamed = RidgeReadout(1.0, validation=None).partial_fit(X, y)
    streamed.set_params(alphas=1000.0)
    assert streamed.coef_ == pytest.approx(Ridge(1.0).fit(X, y).coef_, rel=1e-9)
    assert streamed.partial_fit(X, y).alpha_ == 1000.0
    with pytest.raises(ValueError, match="set it before the first call"):
        streamed.set_params(fit_intercept=False).partial_fit(X, y)
    classifier = RidgeClassifierReadout().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="fitted with"):
        classifier.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert classifier.partial_fit(X, y, classes=[2, 1, 0]).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="class_weight is"):
        RidgeClassifierReadout(class_weight={7: 2.0}).fit(X, y)


def test_calibrated_probabilities_are_scikit_learns_to_add() -> None:
    X, y = load_digits(return_X_y=True)
    readout = RidgeClassifierReadout()
    assert not hasattr(readout, "predict_proba")  # as in scikit-learn's RidgeClassifier
    weights = np.random.default_rng(0).exponential(size=1000)
    calibrated = CalibratedClassifierCV(readout, cv=3).fit(X[:1000], y[:1000], sample_weight=weights)
    probabilities = calibrated.predict_proba(X[1000:])
    named = probabilities[np.arange(len(probabilities)), y[1000:]]
    assert probabilities.sum(axis=1) == pytest.approx(1.0)
    assert np.mean(-np.log(named)) < 0.5 * np.log(10)  # half the surprise of a guess


def test_few_samples_of_many_features_never_take_a_matrix_of_features_by_features() -> None:
    generator = np.random.default_rng(5)
    X = generator.normal(size=(100, 16_000))
    y = X[:, :50].sum(axis=1)
    half = RidgeReadout().fit(X[:50], y[:50])
    uses = {
        "fit": lambda: RidgeReadout().fit(X, y).coef_,
        "exactly": lambda: RidgeReadout(1e-30, validation="loo").fit(X[:, :] + X[:, :1], y).coef_,
        "partial_fit": lambda: RidgeReadout().partial_fit(X[:50], y[:50]).partial_fit(X[50:], y[50:]).coef_,
        "a sum": lambda: (half + half).coef_,
        "weights from elsewhere": lambda: RidgeReadout.of_weights(X[0], 0.0).predict(X),
        "classes": lambda: RidgeClassifierReadout().fit(X, y > 0, np.full(100, 0.5)).coef_,
    }
    for name, use in uses.items():
        tracemalloc.start()
        try:
            use()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * X.nbytes, name  # features by features are 160 times as many


def test_wide_chunks_are_the_fit_of_the_whole_leave_one_out_included() -> None:
    generator = np.random.default_rng(6)
    X = generator.normal(size=(90, 60)) + 4.0
    y = X @ generator.normal(size=60) + generator.normal(size=90)
    for precision in (np.float64, np.float32):
        chunked = RidgeReadout()
        for end in range(1, 91):
            chunked.partial_fit(X[end - 1 : end].astype(precision), y[end - 1 : end])
            if end in (2, 30, 61):
                whole = RidgeReadout().fit(X[:end].astype(precision), y[:end])
                assert chunked.alpha_ == whole.alpha_
                assert chunked.loo_scores_ == pytest.approx(whole.loo_scores_, rel=1e-6)
                assert chunked.coef_ == pytest.approx(whole.coef_, abs=1e-8)
        by_trace = RidgeReadout(validation="gcv").fit(X.astype(precision), y)  # the samples are gone by now
        assert chunked.coef_ == pytest.approx(by_trace.coef_, abs=1e-8 if precision is np.float64 else 1e-4)


def test_samples_that_are_kept_are_copies() -> None:
    X, y = labelled(10, 30, 3)
    readout = RidgeReadout(1.0, validation=None).partial_fit(X, y)
    wanted = Ridge(1.0).fit(X, y).coef_
    X[:] = 0.0
    assert readout.coef_ == pytest.approx(wanted, abs=1e-9)
    kept = pickle.loads(pickle.dumps(readout)).partial_fit(*labelled(10, 30, 3, seed=1))
    both = [np.concatenate(pair) for pair in zip(labelled(10, 30, 3), labelled(10, 30, 3, seed=1), strict=True)]
    assert kept.coef_ == pytest.approx(Ridge(1.0).fit(*both).coef_, abs=1e-9)
