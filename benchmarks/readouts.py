"""Readouts beside reservoirpy, rclib and scikit-learn: the same answer first, then processor time on one thread.

Five claims: recursive least squares at 100 and 500 features; exact leave-one-out over 50 regularisations;
one ridge fit in double and in single precision; a ridge fit streamed in memory that does not grow; few samples of many
features, whose memory grows with their product.
Peers that are not installed are left out and said to be (`pip install reservoirpy rclib`).
"""

import argparse
import json
import resource
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_limits

from inmateria.reservoir import RecursiveLeastSquares, RidgeReadout

Row = dict[str, Any]
SAMPLES, FEATURES = 100_000, 500


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Time the fastest of some rounds, in seconds of this thread's processor time."""
    spent = []
    for _ in range(rounds):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return min(spent)


def series(samples: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Make features that are alike, as a reservoir's are, and a target that they hold with some noise."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(samples, features))
    X += 0.5 * X[:, :1]
    return X, X @ generator.normal(size=(features, 1)) + 0.1 * generator.normal(size=(samples, 1))


def recursive(features: int, samples: int) -> list[Row]:
    """Learn one sample after another, in turn with the peers: steps a second."""
    X, y = series(samples, features)
    alpha = 1e-3
    ours = RecursiveLeastSquares(alpha=alpha, fit_intercept=False)
    ours.fit(X, y)  # compiled before it is timed
    fits: dict[str, Callable[[], Any]] = {"inmateria": lambda: ours.fit(X, y)}
    try:
        from reservoirpy.nodes import RLS

        def theirs() -> Any:
            node = RLS(alpha=alpha, fit_bias=False)
            node.partial_fit(X, y)
            return node

        answer = np.asarray(theirs().Wout).ravel()
        assert np.allclose(answer, ours.coef_.ravel(), atol=1e-6), "reservoirpy's RLS gave another answer"
        fits["reservoirpy"] = theirs
    except ModuleNotFoundError:
        print("reservoirpy is not installed and was left out")
    try:
        from rclib._rclib import RlsReadout

        def compiled() -> Any:
            readout = RlsReadout(1.0, alpha, False)
            readout.partialFit(X, y)
            return readout

        assert np.allclose(compiled().predict(X[:100]), X[:100] @ ours.coef_.T, atol=1e-5), "rclib gave another answer"
        fits["rclib (C++)"] = compiled
    except ModuleNotFoundError:
        print("rclib is not installed and was left out")
    spent: dict[str, float] = {}
    for turn in range(10):
        for who, fit in fits.items():
            if who != "reservoirpy" or not turn:  # so much slower that one round is enough
                spent[who] = min(spent.get(who, np.inf), seconds(fit, 1))
    claim = f"RLS, {features} features"
    return [
        {"claim": claim, "who": who, "seconds": least, "per second": samples / least} for who, least in spent.items()
    ]


def leave_one_out() -> list[Row]:
    """Choose between 50 regularisations by exact leave-one-out; scikit-learn gets 11."""
    X, y = series(SAMPLES, FEATURES)
    few, many = np.logspace(-4, 6, 11), np.logspace(-4, 6, 50)
    claim = "exact leave-one-out"
    theirs = RidgeCV(few, store_cv_results=True, gcv_mode="eigen").fit(X, y)
    ours = RidgeReadout(few).fit(X, y)
    errors = np.asarray(theirs.cv_results_).reshape(SAMPLES, len(few)).mean(axis=0)
    assert np.allclose(-ours.loo_scores_, errors, rtol=1e-6), "RidgeCV predicted other errors"
    return [
        {"claim": claim, "who": "inmateria, 50 alphas", "seconds": seconds(lambda: RidgeReadout(many).fit(X, y))},
        {
            "claim": claim,
            "who": "inmateria, one plain fit",
            "seconds": seconds(lambda: RidgeReadout(1.0, validation=None).fit(X, y)),
        },
        {"claim": claim, "who": "RidgeCV, 11 alphas", "seconds": seconds(lambda: RidgeCV(few).fit(X, y), 1)},
    ]


def one_fit() -> list[Row]:
    """Fit once with one regularisation."""
    X, y = series(SAMPLES, FEATURES)
    single = X.astype(np.float32)
    claim = "one ridge fit"
    ours, theirs = RidgeReadout(1.0, validation=None), Ridge(1.0)
    ours.fit(X, y)
    assert np.allclose(ours.coef_, theirs.fit(X, y).coef_, atol=1e-8), "scikit-learn gave another answer"
    in_single = RidgeReadout(1.0, validation=None).fit(single, y)
    assert np.allclose(in_single.coef_, ours.coef_, atol=1e-4), "single precision gave another answer"
    rows = [
        {"claim": claim, "who": "inmateria", "seconds": seconds(lambda: ours.fit(X, y))},
        {"claim": claim, "who": "inmateria, float32 data", "seconds": seconds(lambda: in_single.fit(single, y))},
        {"claim": claim, "who": "scikit-learn", "seconds": seconds(lambda: theirs.fit(X, y), 2)},
        {"claim": claim, "who": "scikit-learn, float32 data", "seconds": seconds(lambda: theirs.fit(single, y), 2)},
    ]
    try:
        from reservoirpy.nodes import Ridge as Node

        node = Node(ridge=1.0).fit(X, y)
        assert np.allclose(np.asarray(node.Wout).ravel(), ours.coef_.ravel(), atol=1e-6), "reservoirpy: another answer"
        rows.append({"claim": claim, "who": "reservoirpy", "seconds": seconds(lambda: Node(ridge=1.0).fit(X, y), 2)})
    except ModuleNotFoundError:
        print("reservoirpy is not installed and was left out")
    return rows


def streamed(samples: int) -> list[Row]:
    """Fit on chunks made as they are learned; the memory taken beyond the first two chunks must not grow."""
    chunk, readout = 10_000, RidgeReadout(1.0, validation=None)
    generator, weights = np.random.default_rng(0), np.random.default_rng(1).normal(size=FEATURES)
    spent = at_first = 0.0
    for begin in range(0, samples, chunk):
        X = generator.normal(size=(chunk, FEATURES))
        y = X @ weights + generator.normal(size=chunk)
        begun = time.thread_time()
        readout.partial_fit(X, y)
        spent += time.thread_time() - begun
        if begin == chunk:
            at_first = _most_memory()
    off = float(np.abs(readout.coef_ - weights).max())
    assert off < 6 / np.sqrt(samples), f"weights are {off} from those that made the data"
    grown = _most_memory() - at_first
    who = f"inmateria, {samples:,} samples"
    return [{"claim": "ridge fit, streamed", "who": who, "seconds": spent, "memory grown, MB": grown}]


def wide(samples: int = 100, features: int = 16_000) -> list[Row]:
    """Choose between 13 regularisations for few samples of many features, in turn with RidgeCV; time and memory."""
    X, y = series(samples, features)
    alphas = np.logspace(-3, 9, 13)
    fits: dict[str, Callable[[], Any]] = {
        "inmateria": lambda: RidgeReadout(alphas).fit(X, y[:, 0]),
        "RidgeCV": lambda: RidgeCV(alphas, store_cv_results=True).fit(X, y[:, 0]),
    }
    ours, theirs = (fit() for fit in fits.values())
    assert np.allclose(-ours.loo_scores_, np.asarray(theirs.cv_results_).mean(axis=0), rtol=1e-6), "other errors"
    assert ours.alpha_ == theirs.alpha_, "another regularisation"
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9), "other weights"
    spent: dict[str, float] = {}
    for _ in range(5):
        for who, fit in fits.items():
            spent[who] = min(spent.get(who, np.inf), seconds(fit, 1))
    rows: list[Row] = []
    for who, fit in fits.items():
        tracemalloc.start()
        fit()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        claim = f"ridge, {samples} x {features:,}"
        rows.append({"claim": claim, "who": who, "seconds": spent[who], "memory, MB": peak})
    return rows


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, Callable[[int], list[Row]]] = {
    # First: memory is that of the process at its largest.
    "streamed": streamed,
    "recursive": lambda _: recursive(100, 20_000) + recursive(500, 2_000),
    "leave-one-out": lambda _: leave_one_out(),
    "one fit": lambda _: one_fit(),
    "wide": lambda _: wide(),
}

GOALS = {
    ("RLS, 100 features", "reservoirpy"): 15.0,
    ("RLS, 100 features", "rclib (C++)"): 3.5,
    ("RLS, 500 features", "reservoirpy"): 15.0,
    ("RLS, 500 features", "rclib (C++)"): 4.8,
    ("exact leave-one-out", "inmateria, one plain fit"): 1 / 3.5,
    ("exact leave-one-out", "RidgeCV, 11 alphas"): 10.0,
    ("ridge, 100 x 16,000", "RidgeCV"): 1.0,
    ("one ridge fit", "inmateria, float32 data"): 1 / 1.5,
    ("one ridge fit", "scikit-learn"): 1.0,
    ("one ridge fit", "reservoirpy"): 1.0,
}
"""How many times our own time a peer's should be, at least; of our single precision, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--only", choices=PARTS, help="one part and not all")
    parser.add_argument("--streamed", type=int, default=1_000_000, help="samples of the streamed fit")
    asked = parser.parse_args()
    with threadpool_limits(1):
        rows = [row for part in PARTS if asked.only in (None, part) for row in PARTS[part](asked.streamed)]
    first: dict[str, float] = {}
    for row in rows:
        row["times ours"] = row["seconds"] / first.setdefault(row["claim"], row["seconds"])
        row["goal"] = GOALS.get((row["claim"], row["who"]))
    if asked.json:
        print(json.dumps({"benchmark": "readouts", "rows": rows}))
        return
    print(f"{'claim':<22} {'who':<32} {'seconds':>9} {'times ours':>11} {'goal':>6}")
    for row in rows:
        more = "".join(
            f"   {name} {row[name]:,.1f}" for name in ("per second", "memory, MB", "memory grown, MB") if name in row
        )
        goal = "" if row["goal"] is None else f"{row['goal']:.2f}"
        print(f"{row['claim']:<22} {row['who']:<32} {row['seconds']:9.3f} {row['times ours']:11.2f} {goal:>6}{more}")


if __name__ == "__main__":
    main()
