"""Cost of weights of -1, 0 and 1: digits and a chaotic series, read with float, ternary and rounded weights.

Digits: scikit-learn's, 1,347 learned and 450 held out, through 1,000 random tanh features. Series: Mackey-Glass
17 steps ahead from 1,000 leaky tanh units, 4,000 steps learned and 2,000 held out. Five seeds; every
regularisation is chosen on training data.
"""

import argparse
import json
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from inmateria.reservoir import RidgeClassifierReadout, RidgeReadout, TernaryClassifierReadout, TernaryReadout
from inmateria.reservoir.series import mackey_glass

SEEDS = 5
ALPHAS = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2]}


def digits(seed: int) -> dict[str, float]:
    """Accuracy on held-out digits."""
    generator = np.random.default_rng(seed)
    X, labels = load_digits(return_X_y=True)
    features = np.tanh(X / 16 @ generator.normal(size=(64, 1000)) / 4 + 0.5 * generator.normal(size=1000))
    order = generator.permutation(len(X))
    train, test = order[:1347], order[1347:]
    exact = RidgeClassifierReadout().fit(features[train], labels[train])
    rounded = np.argmax(features[test] @ _rounded(exact.coef_).T + exact.intercept_, axis=1)
    scores = {
        "float": exact.score(features[test], labels[test]),
        "float, rounded": float(np.mean(rounded == labels[test])),
    }
    for planes in (1, 2):
        search = GridSearchCV(TernaryClassifierReadout(planes), ALPHAS, cv=3).fit(features[train], labels[train])
        scores[f"ternary, planes: {planes}"] = search.score(features[test], labels[test])
    return scores


def series(seed: int) -> dict[str, float]:
    """Normalised root mean squared error of held-out forecasts."""
    u = mackey_glass(6217)
    target = u[17:6217]
    features = StandardScaler().fit_transform(_states(u[:6200], seed)[200:])
    target = target[200:]
    train, test = slice(0, 4000), slice(4000, 6000)
    exact = RidgeReadout().fit(features[train], target[train])

    def error(predicted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((predicted - target[test]) ** 2)) / target[test].std())

    coarse = features @ _rounded(exact.coef_[np.newaxis])[0]
    fitted = RidgeReadout(0.0, validation=None).fit(coarse[train, np.newaxis], target[train])
    scores = {
        "float": error(exact.predict(features[test])),
        "float, rounded": error(fitted.predict(coarse[test, np.newaxis])),
    }
    for planes in (1, 2):
        search = GridSearchCV(TernaryReadout(planes), ALPHAS, cv=3).fit(features[train], target[train])
        scores[f"ternary, planes: {planes}"] = error(search.predict(features[test]))
    return scores


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for task, run in (("digits, accuracy", digits), ("Mackey-Glass, NRMSE", series)):
        scores = [run(seed) for seed in range(SEEDS)]
        for name in scores[0]:
            reached = [score[name] for score in scores]
            rows.append({"task": task, "weights": name, "mean": np.mean(reached), "sd": np.std(reached)})
    if asked.json:
        print(json.dumps({"benchmark": "ternary", "seeds": SEEDS, "rows": rows}))
        return
    for row in rows:
        print(f"{row['task']:<22} {row['weights']:<20} {row['mean']:.4f} ± {row['sd']:.4f}")


if __name__ == "__main__":
    main()
