"""Cost of weights of -1, 0 and 1: classes and a chaotic series, read with float, ternary and rounded weights.

Digits: scikit-learn's, 1,347 learned and 450 held out, through 1,000 random tanh features. MNIST: 10,000 learned, all
10,000 of its test set held out, 500 features. Vowels: the data set's own split, means over three parts of each
utterance, 500 features. Series: Mackey-Glass 17 steps ahead from 1,000 leaky tanh units, 4,000 steps learned and 2,000
held out. Every regularisation is chosen on training data. MNIST and vowels need INMATERIA_DATA, a folder with mnist.npz
and japanese_vowels.npz. Descent changes one
weight at a time here: changes of two take ten times longer on so many features. Rows named integers are answers in
integers of eight bits, as they are exported.

    python benchmarks/ternary.py [--seeds 5] [--only digits] [--methods obq,ste] [--json]
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from inmateria.reservoir import RidgeClassifierReadout, RidgeReadout, TernaryClassifierReadout, TernaryReadout
from inmateria.reservoir.readouts.integer import integer_readout
from inmateria.reservoir.series import mackey_glass

ALPHAS = [1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6]
"""Of equally good ones on training data the first, which is the largest, is taken."""
SMALL = [1e-4, 1e-6, 1e-8, 1e-10]
KINDS: list[tuple[Literal["descent", "obq", "ste"], int]] = [
    ("obq", 1), ("obq", 2), ("obq", 3), ("ste", 1), ("ste", 2), ("descent", 1), ("descent", 2),
]  # fmt: skip
Array = np.ndarray[Any, Any]


def digits(seed: int) -> dict[str, float]:
    """Accuracy on held-out digits."""
    generator = np.random.default_rng(seed)
    X, labels = load_digits(return_X_y=True)
    features = np.tanh(X / 16 @ generator.normal(size=(64, 1000)) / 4 + 0.5 * generator.normal(size=1000))
    order = generator.permutation(len(X))
    train, test = order[:1347], order[1347:]
    return accuracies(features[train], labels[train], features[test], labels[test])


def mnist(seed: int) -> dict[str, float]:
    """Accuracy on the test set of MNIST."""
    generator = np.random.default_rng(seed)
    with np.load(data("mnist.npz")) as stored:
        X, labels, held, expected = (stored[f"{p}_{w}"] for p in ("train", "test") for w in ("images", "labels"))
    some = generator.permutation(len(X))[:10_000]
    mask, offset = generator.normal(size=(784, 500)) / 8, 0.5 * generator.normal(size=500)
    read = [np.tanh(part.reshape(-1, 784) / 255.0 @ mask + offset) for part in (X[some], held)]
    return accuracies(read[0], labels[some].astype(int), read[1], expected.astype(int))


def vowels(seed: int) -> dict[str, float]:
    """Share of utterances whose speaker is named."""
    generator = np.random.default_rng(seed)
    parts = []
    with np.load(data("japanese_vowels.npz")) as stored:
        for part in ("train", "test"):
            ends = np.cumsum(stored[f"{part}_lengths"].astype(int))
            utterances = np.split(stored[f"{part}_frames"].astype(float), ends[:-1])
            means = [np.concatenate([p.mean(axis=0) for p in np.array_split(u, 3)]) for u in utterances]
            parts.append((np.array(means), stored[f"{part}_speaker"]))
    scaler = StandardScaler().fit(parts[0][0])
    mask, offset = generator.normal(size=(36, 500)) / 6, 0.5 * generator.normal(size=500)
    read = [np.tanh(scaler.transform(X) @ mask + offset) for X, _ in parts]
    return accuracies(read[0], parts[0][1], read[1], parts[1][1])


def accuracies(X: Array, labels: Array, held: Array, expected: Array) -> dict[str, float]:
    """Accuracy of every kind of weights on held-out samples."""
    exact = RidgeClassifierReadout().fit(X, labels)
    rounded = exact.classes_[np.argmax(held @ _rounded(exact.coef_).T + exact.intercept_, axis=1)]
    scores = {"float": exact.score(held, expected), "float, rounded": float(np.mean(rounded == expected))}
    for method, planes in KINDS:
        readout = chosen(TernaryClassifierReadout(planes, method=method, pairs=False), X, labels)
        scores[f"{method}, planes: {planes}"] = readout.score(held, expected)
        integers = integer_readout(readout, X)
        scores[f"{method}, planes: {planes}, integers"] = float(np.mean(integers.predict(held) == expected))
    return scores


def chosen(readout: Any, X: Array, y: Array, alphas: list[float] = ALPHAS) -> Any:
    """Fit with the regularisation that cross-validation on these samples chooses."""
    if readout.method == "ste":
        alphas = ALPHAS[2:5]
    search = GridSearchCV(clone(readout), {"alpha": alphas}, cv=3, refit=False).fit(X, y)
    return readout.set_params(**search.best_params_).fit(X, y)


def series(seed: int) -> dict[str, float]:
    """Normalised root mean squared error of held-out forecasts."""
    u = mackey_glass(6217)
    target = u[17:6217]
    features = StandardScaler().fit_transform(_states(u[:6200], seed)[200:])
    target = target[200:]
    train, test = slice(0, 4000), slice(4000, 6000)
    exact = RidgeReadout().fit(features[train], target[train])

    def error(predicted: Array) -> float:
        return float(np.sqrt(np.mean((predicted - target[test]) ** 2)) / target[test].std())

    coarse = features @ _rounded(exact.coef_[np.newaxis])[0]
    fitted = RidgeReadout(0.0, validation=None).fit(coarse[train, np.newaxis], target[train])
    scores = {
        "float": error(exact.predict(features[test])),
        "float, rounded": error(fitted.predict(coarse[test, np.newaxis])),
    }
    for method, planes in KINDS:
        readout = chosen(TernaryReadout(planes, method=method, pairs=False), features[train], target[train], SMALL)
        scores[f"{method}, planes: {planes}"] = error(readout.predict(features[test]))
    return scores


TASKS = {
    "digits": ("accuracy", digits), "mnist": ("accuracy", mnist), "vowels": ("accuracy", vowels),
    "series": ("NRMSE", series),
}  # fmt: skip


def data(name: str) -> Path:
    """Return the path of a file of data, which may not be there."""
    return Path(os.environ.get("INMATERIA_DATA", ".")) / name


def _states(u: np.ndarray, seed: int, units: int = 1000) -> np.ndarray:
    """Drive leaky tanh units, linked at random with spectral radius .9, with a series."""
    generator = np.random.default_rng(seed)
    links = generator.normal(size=(units, units)) * (generator.random((units, units)) < 0.05)
    links *= 0.9 / np.abs(np.linalg.eigvals(links)).max()
    mask = generator.uniform(-1, 1, units)
    states, x = np.empty((len(u), units)), np.zeros(units)
    for step, value in enumerate(u - u.mean()):
        x = 0.7 * x + 0.3 * np.tanh(links @ x + mask * value)
        states[step] = x
    return states


def _rounded(weights: np.ndarray) -> np.ndarray:
    """Round weights by their mean size, as networks of many layers are made ternary."""
    scale = np.abs(weights).mean(axis=1, keepdims=True)
    ternary: np.ndarray = scale * np.clip(np.round(weights / scale), -1, 1)
    return ternary


def main() -> None:
    """Print a table, or with --json a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(TASKS))
    parser.add_argument("--methods", default="obq,ste,descent", help="of the ternary weights, with commas between them")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    asked = parser.parse_args()
    KINDS[:] = [kind for kind in KINDS if kind[0] in asked.methods.split(",")]
    rows: list[dict[str, Any]] = []
    for task, (metric, run) in TASKS.items():
        needs = {"mnist": "mnist.npz", "vowels": "japanese_vowels.npz"}.get(task)
        if asked.only not in (None, task) or (needs is not None and not data(needs).is_file()):
            continue
        scores = [run(seed) for seed in range(asked.seeds)]
        for name in scores[0]:
            reached = [score[name] for score in scores]
            mean, sd = float(np.mean(reached)), float(np.std(reached))
            rows.append({"task": task, "metric": metric, "weights": name, "mean": mean, "sd": sd})
    if asked.json:
        print(json.dumps({"benchmark": "ternary", "seeds": asked.seeds, "rows": rows}))
        return
    for row in rows:
        print(f"{row['task']:<8} {row['metric']:<10} {row['weights']:<30} {row['mean']:.4f} ± {row['sd']:.4f}")


if __name__ == "__main__":
    main()
