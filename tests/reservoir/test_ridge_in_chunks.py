"""Ridge readouts fed in chunks, added, in single precision and with offsets, against everything at once in double."""

import os
import pickle
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from inmateria.reservoir import RidgeClassifierReadout, RidgeReadout
from inmateria.reservoir.readouts.moments import Moments


def problem(samples: int, features: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(samples, features)) + generator.normal(size=features)
    return X, X @ generator.normal(size=(features, outputs)) + 0.3 * generator.normal(size=(samples, outputs)) + 5.0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 3000), st.integers(1, 12), st.lists(st.integers(0, 3000), max_size=5), st.booleans())
def test_moments_of_chunks_are_those_of_the_whole(samples: int, features: int, cuts: list[int], centred: bool) -> None:
    X, Y = problem(samples, features, 2)
    bounds = [0, *sorted(min(cut, samples) for cut in cuts), samples]
    parts = [Moments(features, 2, centred).add(X[a:b], Y[a:b]) for a, b in pairwise(bounds)]
    joined = Moments(features, 2, centred)
    streamed = Moments(features, 2, centred)
    for part, (a, b) in zip(parts, pairwise(bounds), strict=True):
        joined = joined + part
        streamed.add(X[a:b], Y[a:b])
    x_mean, y_mean = (X.mean(axis=0), Y.mean(axis=0)) if centred else (np.zeros(features), np.zeros(2))
    for moments in (joined, streamed):
        assert moments.samples == samples
        assert moments.x_mean == pytest.approx(x_mean, abs=1e-12)
        assert moments.gram == pytest.approx((X - x_mean).T @ (X - x_mean), rel=1e-10, abs=1e-8)
        assert moments.cross == pytest.approx((X - x_mean).T @ (Y - y_mean), rel=1e-10, abs=1e-8)
        assert moments.total == pytest.approx(((Y - y_mean) ** 2).sum(axis=0), rel=1e-10)


@pytest.mark.parametrize("samples", [30, 500, 5000])  # fewer than features, one block, several
@pytest.mark.parametrize("intercept", [True, False])
def test_chunks_and_sums_are_the_ridge_of_the_whole(samples: int, intercept: bool) -> None:
    X, Y = problem(samples, 40, 3)
    whole = Ridge(0.7, fit_intercept=intercept).fit(X, Y)
    chunked = RidgeReadout(0.7, validation=None, fit_intercept=intercept)
    for begin in range(0, samples, 17):
        chunked.partial_fit(X[begin : begin + 17], Y[begin : begin + 17])
    third = samples // 3
    added = RidgeReadout(0.7, validation=None, fit_intercept=intercept).fit(X[:third], Y[:third]) + RidgeReadout(
        0.7, validation=None, fit_intercept=intercept
    ).fit(X[third:], Y[third:])
    for readout in (chunked, added):
        assert readout.coef_ == pytest.approx(whole.coef_, abs=1e-9)
        assert readout.intercept_ == pytest.approx(whole.intercept_, abs=1e-9)


def test_parts_with_other_settings_are_not_added() -> None:
    X, Y = problem(30, 4, 1)
    with pytest.raises(ValueError, match="same parameters"):
        RidgeReadout(1.0).fit(X, Y) + RidgeReadout(2.0).fit(X, Y)
    with pytest.raises(ValueError, match="4 features"):
        RidgeReadout(1.0).fit(X, Y) + RidgeReadout(1.0).fit(X[:, :3], Y)


def test_generalised_cross_validation_of_chunks_is_the_formula() -> None:
    X, Y = problem(200, 12, 2)
    alphas = (0.1, 10.0, 1000.0)
    readout = RidgeReadout(alphas, validation="gcv").partial_fit(X[:50], Y[:50]).partial_fit(X[50:], Y[50:])
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    for alpha, score in zip(alphas, readout.loo_scores_, strict=True):
        hat = Xc @ np.linalg.solve(Xc.T @ Xc + alpha * np.eye(12), Xc.T) + 1 / 200
        assert score == pytest.approx(-np.mean((Yc - hat @ Yc) ** 2) / (1 - np.trace(hat) / 200) ** 2, rel=1e-9)


def test_leaving_out_of_many_blocks_is_exact() -> None:
    X, Y = problem(2500, 6, 2)
    readout = RidgeReadout((0.3, 30.0)).fit(X, Y)
    Xc = np.hstack([X, np.ones((2500, 1))])
    for alpha, score in zip((0.3, 30.0), readout.loo_scores_, strict=True):
        hat = Xc @ np.linalg.solve(Xc.T @ Xc + alpha * np.diag([1.0] * 6 + [0.0]), Xc.T)
        left_out = (Y - hat @ Y) / (1 - np.diag(hat))[:, np.newaxis]
        assert score == pytest.approx(-np.mean(left_out**2), rel=1e-9)


def test_raw_counts_with_an_offset_of_1e8_in_chunks() -> None:
    X, Y = problem(3000, 5, 1)
    counts = np.round(X * 1000)
    plain = RidgeReadout(1e-3, validation=None).fit(counts, Y)
    offset = RidgeReadout(1e-3, validation=None)
    for begin in range(0, 3000, 100):
        offset.partial_fit(counts[begin : begin + 100] + 1e8, Y[begin : begin + 100])
    assert offset.coef_ == pytest.approx(plain.coef_, rel=1e-9)
    assert offset.predict(counts + 1e8) == pytest.approx(plain.predict(counts), abs=1e-6)


def test_memory_does_not_grow_with_the_samples() -> None:
    X, Y = problem(5000, 40, 2)
    readout = RidgeReadout().partial_fit(X, Y)
    kept = len(pickle.dumps(readout))
    tracemalloc.start()
    try:
        peaks = []
        for _ in range(20):
            tracemalloc.reset_peak()
            readout.partial_fit(X, Y)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[-1] < X.nbytes  # twenty times as many were seen, and not even these are kept twice
    assert peaks[-1] - peaks[4] < 10_000
    assert len(pickle.dumps(readout)) - kept < 100


def test_single_precision_is_added_up_in_double() -> None:
    X, Y = problem(200_000, 6, 1)
    single = X.astype(np.float32)
    exact = RidgeReadout(1.0, validation=None).fit(single.astype(np.float64), Y)
    mine = RidgeReadout(1.0, validation=None).fit(single, Y)
    assert mine.coef_ == pytest.approx(exact.coef_, abs=1e-7)
    assert mine.coef_.dtype == np.float64


def test_a_sequence_is_named_by_the_output_largest_on_average() -> None:
    path = Path(os.environ.get("INMATERIA_DATA", "/nowhere")) / "japanese_vowels.npz"
    if not path.is_file():
        pytest.skip("needs japanese_vowels.npz; set INMATERIA_DATA to the folder that holds it")
    data = np.load(path)
    train, test = ({k: data[f"{part}_{k}"] for k in ("frames", "lengths", "speaker")} for part in ("train", "test"))
    readout = RidgeClassifierReadout().fit(train["frames"], np.repeat(train["speaker"], train["lengths"]))
    spoken = np.split(test["frames"], np.cumsum(test["lengths"])[:-1])
    named = readout.predict_sequences(spoken)
    by_frame = readout.score(test["frames"], np.repeat(test["speaker"], test["lengths"]))
    by_hand = [readout.classes_[readout.decision_function(word).sum(axis=0).argmax()] for word in spoken]
    assert named.tolist() == by_hand
    assert np.mean(named == test["speaker"]) > by_frame  # a frame alone is ambiguous
