"""Layers of resistors and ideal diodes: how fast they learn, what they learn, and what imperfections cost.

Equilibria beside another solver of quadratic programmes (bounded-variable least squares of scipy) and training beside
the same training in plain numpy, each in one process, with results compared first; the 8 x 8 digits of scikit-learn;
MNIST, if INMATERIA_DATA names the folder that holds mnist.npz; and, with --map, digits and MNIST with 128 levels, sign
updates, spread and bias. Controls: nearest mean, logistic regression, the untrained network with its last layer
trained by logistic regression, and backpropagation through the same sizes (scikit-learn's MLPClassifier). Times are of
the processor, one thread. Settings were chosen on training digits that were held out.

    python benchmarks/resistive_layers.py [--json] [--quick] [--map] [--large]
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import lsq_linear
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from inmateria.simulators import ResistiveLayers

Floats = npt.NDArray[np.float64]
Split = tuple[Any, Any, Any, Any]

GOALS = {
    "digits": "accuracy .97 within 10 s",
    "MNIST, 100 hidden": "test error .035 after ten epochs, 5 s an epoch",
    "MNIST, 1,024 hidden": "test error .016, 40 s an epoch",
}
REAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # What the network is made with, and what its training takes.
    "ideal": ({}, {}),
    "spread .05": ({"imperfections": {"spread": 0.05}}, {}),
    "spread .5": ({"imperfections": {"spread": 0.5}}, {}),
    "128 levels, remainders kept": ({"imperfections": {"levels": 128}}, {}),
    "128 levels, remainders lost": ({"imperfections": {"levels": 128, "remainder": "lost"}}, {}),
    "128 levels, rounded at random": ({"imperfections": {"levels": 128, "remainder": "stochastic"}}, {}),
    "sign, one step of 1/127": ({"update": "sign"}, {"rate": 1.0}),
    "sign, falling from .1 of it to .001, batches of 32": ({"update": "sign"}, {"rate": (0.1, 0.001), "batch": 32}),
    "bias .1 V^2": ({"imperfections": {"bias": 0.1}}, {}),
    "bias .1 V^2, nudge 4": ({"imperfections": {"bias": 0.1}, "nudge": 4.0}, {}),
    "bias .1 V^2, one-sided, nudge 16": ({"imperfections": {"bias": 0.1}, "nudge": 16.0, "centred": False}, {}),
    "128 levels, spread .05, bias .01 V^2": ({"imperfections": {"levels": 128, "spread": 0.05, "bias": 0.01}}, {}),
}


def cpu_seconds(work: Callable[[], object]) -> float:
    """Measure the time of the processor that a call takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def digits() -> Split:
    """Split the 8 x 8 digits, inputs from 0 to 1 V: 1,437 to learn from, 360 to test on.

    Settings were chosen by training on the first 1,137 and scoring the next 300.
    """
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    return images[:1437], labels[:1437], images[1437:], labels[1437:]


def mnist() -> Split | None:
    """Read MNIST, inputs from 0 to 1 V, if it is there."""
    path = Path(os.environ.get("INMATERIA_DATA", ".")) / "mnist.npz"
    if not path.is_file():
        return None
    with np.load(path) as data:
        parts = [data[f"{part}_{what}"] for part in ("train", "test") for what in ("images", "labels")]
    images = [(part.reshape(-1, 784) / 255).astype(np.float32) for part in parts[::2]]
    return images[0], parts[1].astype(np.int64), images[1], parts[3].astype(np.int64)


def learned(split: Split, sizes: str, seed: int, training: dict[str, Any], **options: Any) -> dict[str, float]:
    """Train a network; return its test error, seconds and energy."""
    X, y, held, expected = split
    network = ResistiveLayers(sizes, seed, **options)
    begun = time.process_time()
    course = network.fit(X, y, **training)
    seconds = time.process_time() - begun
    return {
        "test_error": float((network.predict(held).argmax(axis=1) != expected).mean()),
        "seconds": seconds,
        "energy_J": course.energy,
        "sweeps": course.sweeps,
    }


def over_seeds(results: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each figure, and the spread of the error."""
    mean = {name: float(np.mean([each[name] for each in results])) for name in results[0]}
    return mean | {"test_error_std": float(np.std([each["test_error"] for each in results])), "seeds": len(results)}


def controls(split: Split, sizes: str, seed: int, epochs: int) -> dict[str, float]:
    """Test errors of what the network has to be better than, and of backpropagation through the same sizes."""
    X, y, held, expected = split
    network = ResistiveLayers(sizes, seed)
    hidden = slice(0, network.sizes[1])
    first, then = network.operating_points(X[:10_000])[:, hidden], network.operating_points(held)[:, hidden]
    scale, means = first.std(), np.array([X[y == k].mean(axis=0) for k in range(10)])
    backpropagation = MLPClassifier((network.sizes[1],), max_iter=epochs, random_state=seed)
    found = {
        "nearest mean": float((((held @ means.T) - 0.5 * (means**2).sum(axis=1)).argmax(axis=1) == expected).mean()),
        "logistic regression on pixels": LogisticRegression(max_iter=300)
        .fit(X[:10_000], y[:10_000])
        .score(held, expected),
        "untrained network, last layer by logistic regression": LogisticRegression(max_iter=300)
        .fit(first / scale, y[:10_000])
        .score(then / scale, expected),
    }
    seconds = cpu_seconds(lambda: backpropagation.fit(X, y))
    found["backpropagation, same sizes (MLPClassifier)"] = backpropagation.score(held, expected)
    return {name: 1 - float(score) for name, score in found.items()} | {"seconds of backpropagation": seconds}


def beside_another_solver(count: int) -> dict[str, float]:
    """Solve equilibria of 16-40-10, and the same quadratic programmes by scipy's active-set method."""
    network = ResistiveLayers("16-40-10", precision="double")
    X = np.random.default_rng(0).uniform(0, 1, (count, 16))
    network.operating_points(X)
    many = np.tile(X, (max(1, 2000 // count), 1))
    seconds = min(cpu_seconds(lambda: network.operating_points(many)) for _ in range(3)) / len(many)
    first, last = network.conductances
    driven = network.info.parameters["gain"] * np.concatenate((X, -X), axis=1)
    matrix = np.zeros((50, 50))
    matrix[:40, 40:] = -last
    matrix[40:, :40] = -last.T
    matrix[np.diag_indices(50)] = np.concatenate((first.sum(axis=0) + last.sum(axis=1), last.sum(axis=0)))
    low, high = np.full(50, -np.inf), np.full(50, np.inf)
    low[:40:2], high[1:40:2] = 0, 0
    factor, theirs = cholesky(matrix), []

    def solve() -> None:
        for each in driven:
            right = np.concatenate((each @ first, np.zeros(10)))
            solution = lsq_linear(
                factor, solve_triangular(factor, right, trans="T"), (low, high), method="bvls", tol=1e-15
            )
            theirs.append(solution.x)

    other = cpu_seconds(solve) / count
    return {
        "microseconds": 1e6 * seconds,
        "microseconds_bvls": 1e6 * other,
        "times_as_fast": other / seconds,
        "largest_difference_V": float(np.abs(np.array(theirs) - network.operating_points(X)).max()),
    }


def numpy_epoch(network: ResistiveLayers, X: Any, labels: Any, batch: int, sweeps: int) -> tuple[Any, Any]:
    """Train a network with one hidden layer for an epoch in plain numpy; inputs times conductances once a batch."""
    (first, last), (one, two) = network.weights, network.currents
    gain, beta, rate = network.info.parameters["gain"], network.info.parameters["nudge"], X.dtype.type(0.006)
    even = np.arange(len(one)) % 2 == 0
    for begin in range(0, len(X), batch):
        u = gain * np.concatenate((X[begin : begin + batch], -X[begin : begin + batch]), axis=1)
        y = labels[begin : begin + batch]
        drive, at_hidden, at_output = u @ first + one, first.sum(axis=0) + last.sum(axis=1), last.sum(axis=0)
        o = np.zeros_like(y)
        states: list[Any] = []
        for nudge in (0.0, beta, -beta):
            start = o if nudge == 0 else states[0][1]
            if nudge < 0:
                start = 2 * states[0][1] - states[1][1]
            for _ in range(sweeps):
                h = (drive + start @ last.T) / at_hidden
                h = np.where(even, np.maximum(h, 0), np.minimum(h, 0))
                start = (h @ last + two + nudge * y) / (at_output + nudge)
            states.append((h, start))
        (_, _), (h, o), (g, p) = states
        scale = rate / X.dtype.type(2 * beta * len(y))
        first += scale * (u.T @ (h - g) - 0.5 * (h**2 - g**2).sum(axis=0))
        last += scale * (
            h.T @ o - g.T @ p - 0.5 * ((h**2 - g**2).sum(axis=0)[:, np.newaxis] + (o**2 - p**2).sum(axis=0))
        )
        np.maximum(first, 0, out=first)
        np.maximum(last, 0, out=last)
        one += scale * (h - g).sum(axis=0)
        two += scale * (o - p).sum(axis=0)
    return first, last


def beside_numpy(X: Any, y: Any, sizes: str) -> dict[str, float]:
    """Train an epoch with four sweeps here and in plain numpy, alternately, in single precision.

    Conductances are compared after 10 updates in double precision: the training is chaotic at first and multiplies a
    difference by about ten thousand in 500 updates.
    """
    labels = np.eye(10)[y]
    network = ResistiveLayers(sizes, sweeps=4, precision="double")
    weights = numpy_epoch(network, X[:40].astype(np.float64), labels[:40], 4, 4)
    network.fit(X[:40], y[:40], epochs=1, shuffle=False)
    difference = max(float(np.abs(a - b).max()) for a, b in zip(network.weights, weights, strict=True))
    ours, theirs = [], []
    plain, plain_labels = X.astype(np.float32), labels.astype(np.float32)
    network = ResistiveLayers(sizes, sweeps=4)
    for _ in range(3):
        ours.append(cpu_seconds(lambda: network.fit(plain, y, epochs=1, shuffle=False)))
        theirs.append(cpu_seconds(lambda: numpy_epoch(network, plain, plain_labels, 4, 4)))
    return {
        "seconds": min(ours), "seconds_numpy": min(theirs), "times_as_fast": min(theirs) / min(ours),
        "largest_difference_of_conductances_uS": difference,
    }  # fmt: skip


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("json", "quick", "map", "large"):
        parser.add_argument(f"--{name}", action="store_true")
    arguments = parser.parse_args()
    quick, images = arguments.quick, mnist()
    small = digits()
    ResistiveLayers().fit(small[0][:8], small[1][:8], epochs=1)
    figures: dict[str, Any] = {}
    with threadpool_limits(1):
        figures["equilibria of 16-40-10 beside bounded least squares"] = beside_another_solver(20 if quick else 100)
        figures["training of 64-300-10 beside plain numpy"] = beside_numpy(small[0], small[1], "64-300-10")
        usual: dict[str, Any] = {"epochs": 100, "rate": (1.0, 0.1)}
        seeds = range(1, 2 if quick else 6)
        figures["digits, 300 hidden, 100 epochs"] = over_seeds(
            [learned(small, "64-300-10", seed, usual, gain=100.0) for seed in seeds]
        )
        figures["digits, controls"] = controls(small, "64-300-10", 1, 400)
        if arguments.map:
            for name, (options, training) in REAL.items():
                figures[f"digits, 30 epochs, {name}"] = over_seeds(
                    [
                        learned(
                            small, "64-300-10", seed, usual | {"epochs": 30} | training, **{"gain": 100.0} | options
                        )
                        for seed in seeds
                    ]
                )
        if images is not None:
            part = images if not quick else (images[0][:5000], images[1][:5000], *images[2:])
            published: dict[str, Any] = {"epochs": 1 if quick else 10, "rate": (1.0, 0.914)}
            figures["MNIST, 100 hidden"] = over_seeds(
                [learned(part, "784-100-10", seed, published, gain=100.0) for seed in range(1, 2 if quick else 4)]
            )
            figures["MNIST, part, beside plain numpy"] = beside_numpy(images[0][:2000], images[1][:2000], "784-100-10")
            if arguments.map:
                for name, (options, training) in REAL.items():
                    figures[f"MNIST, 100 hidden, {name}"] = learned(
                        part, "784-100-10", 1, published | training, **{"gain": 100.0} | options
                    )
            if arguments.large:
                falling = {"epochs": 1 if quick else 15, "rate": (1.0, 0.1)}
                figures["MNIST, 1,024 hidden"] = learned(part, "784-1024-10", 1, falling)
    if arguments.json:
        print(json.dumps({"machine": platform.processor(), "goals": GOALS, **figures}, indent=2))
        return
    for name, goal in GOALS.items():
        print(f"goal for {name}: {goal}")
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"  {key.replace('_', ' '):56} {value:.4g}")


if __name__ == "__main__":
    main()
