"""Full MNIST on a simulated nanowire network: 60,000 digits streamed once, a readout trained online.

The published device reached 93.4 % online and 91.4 % in batch with 3,920 features (Zhu et al., Nat. Commun.
14, 6697 (2023)). Here a window moves over each image; what every electrode is driven with is linear in the pixels of
the window, its weights a difference of two training digits of different classes at the same place. Junctions are
those of the rate-balance model with the values fitted to a device (`RateBalance`). Beside the network stand the same
readouts of controls. Three are linear: raw pixels, randomly masked pixels of the same dimension, and the same network
frozen, so that nothing switches. Three are not, and have no memory: the two halves of what drives the network (the
rectifier of the same masks, at the same places of the window), as many rectified mixtures of it as the network has
outputs, and the magnitude of as many masks, drawn in the same way, as the network has outputs. Encoding, drive,
electrodes and alpha were chosen on 10,000 training digits, scored on 8,000 others of the training part.

INMATERIA_DATA names the folder with mnist.npz. One seed takes about three minutes on one core, of which one is the
network and the online readout.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from inmateria.reservoir import RecursiveLeastSquares
from inmateria.simulators import NanowireEnsemble, NanowireNetwork, RateBalance

FloatArray = npt.NDArray[np.float64]

PATCH, STRIDE, AMPLITUDE, LIMIT, STEP = 12, 2, 2.0, 10.0, 0.005  # pixels, pixels, V (root mean square), V, s
NETWORK: dict[str, Any] = {
    "wires": 100, "electrodes": 32, "inputs": 16, "integration_step": STEP,
}  # fmt: skip
FROZEN = RateBalance(potentiation_slope=0.0, depression_slope=0.0)  # states stay where they rest at 0 V
TOGETHER, CLIP, ALPHA, TO_STANDARDISE, FOR_MASKS = 16, 8.0, 1.0, 1000, 4000
COUNTS = (128, 256, 512, 1024, 2048)


def load() -> tuple[FloatArray, npt.NDArray[np.intp], FloatArray, npt.NDArray[np.intp]]:
    """Read images (digits, 28, 28) from 0 to 1 and labels, training part first."""
    folder = os.environ.get("INMATERIA_DATA")
    path = Path(folder or ".") / "mnist.npz"
    if not path.is_file():
        sys.exit(f"{path} is not there; let INMATERIA_DATA name the folder that holds mnist.npz")
    with np.load(path) as data:
        parts = [data[f"{part}_{what}"] for part in ("train", "test") for what in ("images", "labels")]
    images = [part.reshape(-1, 28, 28) / 255.0 for part in parts[::2]]
    return images[0], parts[1].astype(np.intp), images[1], parts[3].astype(np.intp)


def windows(images: FloatArray) -> FloatArray:
    """Move a window over each image, to and fro: (digits, steps, pixels)."""
    found = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))[:, ::STRIDE, ::STRIDE].copy()
    found[:, 1::2] = found[:, 1::2, ::-1]
    return found.reshape(len(images), -1, PATCH * PATCH)


def masks(images: FloatArray, labels: npt.NDArray[np.intp], inputs: int, seed: int) -> FloatArray:
    """Draw the weights (pixels, inputs), V: differences of windows of two training digits of different classes."""
    rng = np.random.default_rng([seed, 1])
    drawn: list[FloatArray] = []
    while len(drawn) < inputs:
        a, b = rng.integers(0, min(FOR_MASKS, len(images)), 2)
        row, column = rng.integers(0, 29 - PATCH, 2)
        place = np.s_[row : row + PATCH, column : column + PATCH]
        difference = images[a][place] - images[b][place]
        if labels[a] != labels[b] and abs(difference).sum() > 5:  # not two empty corners
            drawn.append(difference.ravel())
    weights = np.column_stack(drawn)
    driven = windows(images[:TO_STANDARDISE]).reshape(-1, PATCH * PATCH) @ weights
    scaled: FloatArray = weights * (AMPLITUDE / np.sqrt((driven**2).mean(axis=0)))
    return scaled


def through_network(images: FloatArray, mask: FloatArray, seed: int, frozen: bool) -> npt.NDArray[np.float32]:
    """Drive a network with every image, at rest before each, and give all outputs of all steps.

    At rest, replicas are one network that rests between digits.
    """
    network = NanowireNetwork(seed=seed, model=FROZEN if frozen else RateBalance(), **NETWORK)
    ensemble = NanowireEnsemble([network.copy() for _ in range(TOGETHER)])
    # Currents in uA: in float32, A would be too small beside V.
    scale = [1e6 if channel.unit == "A" else 1.0 for channel in network.info.outputs]
    rows: list[npt.NDArray[np.float32]] = []
    for begin in range(0, len(images), TOGETHER):
        drive = np.clip(windows(images[begin : begin + TOGETHER]) @ mask, -LIMIT, LIMIT)
        padded = np.concatenate([drive, np.repeat(drive[-1:], TOGETHER - len(drive), axis=0)])
        ensemble.reset()
        signal = ensemble.advance(padded, STEP)[: len(drive), :, -1]
        rows.append((signal * scale).reshape(len(drive), -1).astype(np.float32))
    return np.concatenate(rows)


def masked_pixels(images: FloatArray, seed: int, dimension: int) -> npt.NDArray[np.float32]:
    """Mix all pixels at random into as many features, without any physics."""
    mask = np.random.default_rng(seed).standard_normal((784, dimension)) / 28.0
    return (images.reshape(len(images), -1) @ mask).astype(np.float32)


def rectified_drive(images: FloatArray, mask: FloatArray) -> npt.NDArray[np.float32]:
    """Give the positive and the negative part of what drives the network, without any physics or memory."""
    return _of_windows(images, mask, lambda drive: np.concatenate([np.maximum(drive, 0), np.maximum(-drive, 0)], -1))


def rectified_mixtures(
    images: FloatArray, training: FloatArray, mask: FloatArray, seed: int, width: int
) -> npt.NDArray[np.float32]:
    """Give rectified random mixtures of what drives the network, as many as it has outputs, at every step.

    Each is zero below a threshold, its value at a window of a training digit drawn at random.
    """
    generator = np.random.default_rng([seed, 2])
    count = width // windows(training[:1]).shape[1]
    mixture = mask @ generator.standard_normal((mask.shape[1], count))
    driven = (windows(training[:TO_STANDARDISE]) @ mixture).reshape(-1, count)
    thresholds = driven[generator.integers(len(driven), size=count), np.arange(count)]
    return _of_windows(images, mixture, lambda drive: np.maximum(drive - thresholds, 0))


def magnitudes(images: FloatArray, mask: FloatArray) -> npt.NDArray[np.float32]:
    """Give the magnitude of the weighted sum of every window, for each mask."""
    return _of_windows(images, mask, np.abs)


def _of_windows(
    images: FloatArray, mask: FloatArray, of: Callable[[FloatArray], FloatArray]
) -> npt.NDArray[np.float32]:
    rows = [images[begin : begin + 500] for begin in range(0, len(images), 500)]
    return np.concatenate([of(windows(some) @ mask).reshape(len(some), -1).astype(np.float32) for some in rows])


def raw_pixels(images: FloatArray) -> npt.NDArray[np.float32]:
    """Give the pixels as they are."""
    return images.reshape(len(images), -1).astype(np.float32)


class Standardised:
    """Features less the mean, over the spread, of the first thousand training digits; clipped."""

    def __init__(self, first: npt.NDArray[np.float32]) -> None:
        self.mean, spread = first.mean(axis=0, dtype=np.float64), first.std(axis=0, dtype=np.float64)
        self.scale = np.where(spread > 1e-9, spread, np.inf)

    def __call__(self, X: npt.NDArray[np.float32]) -> FloatArray:
        """Standardise rows."""
        standardised: FloatArray = np.clip((X - self.mean) / self.scale, -CLIP, CLIP)
        return standardised


def online(X: npt.NDArray[np.float32], y: npt.NDArray[np.intp], T: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Learn each row once, in order; give the names of the test rows."""
    standardise = Standardised(X[:TO_STANDARDISE])
    readout = RecursiveLeastSquares(alpha=ALPHA)
    for begin in range(0, len(X), 1024):
        targets = np.where(y[begin : begin + 1024, None] == np.arange(10), 1.0, -1.0)
        readout.partial_fit(standardise(X[begin : begin + 1024]), targets)
    return tuple(readout.predict(standardise(T)).argmax(axis=1).tolist())


class Batch:
    """Ridge on normal equations gathered in chunks; alpha chosen on the last sixth of the training part."""

    def __init__(self, X: npt.NDArray[np.float32], y: npt.NDArray[np.intp]) -> None:
        self._standardise = Standardised(X[:TO_STANDARDISE])
        early = len(X) * 5 // 6
        self._X, self._y, self._early = X, y, early
        self._gram_early, self._load_early = self._gather(0, early)
        gram, load = self._gather(early, len(X))
        self._gram, self._load = self._gram_early + gram, self._load_early + load

    def _gather(self, begin: int, end: int) -> tuple[FloatArray, FloatArray]:
        size = self._X.shape[1] + 1
        gram, load = np.zeros((size, size)), np.zeros((size, 10))
        for at in range(begin, end, 2000):
            Z = self._rows(self._X[at : min(at + 2000, end)]).astype(np.float32)  # twice as fast; sums are float64
            gram += Z.T @ Z
            load += Z.T @ np.where(self._y[at : min(at + 2000, end), None] == np.arange(10), 1.0, -1.0)
        return gram, load

    def _rows(self, X: npt.NDArray[np.float32]) -> FloatArray:
        return np.hstack([self._standardise(X), np.ones((len(X), 1))])

    def as_online(self, T: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
        """Name the test rows by the ridge solution which recursive least squares has after its last sample."""
        weights = np.linalg.solve(self._gram + ALPHA * np.eye(len(self._gram)), self._load)
        return np.asarray((self._rows(T) @ weights).argmax(axis=1))

    def named(self, T: npt.NDArray[np.float32], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Name the test rows from some of the features."""
        kept = np.append(columns, self._X.shape[1])
        square = np.ix_(kept, kept)
        held = self._rows(self._X[self._early :])[:, kept]
        best, weights = -1.0, np.empty(0)
        for alpha in 10.0 ** np.arange(-2, 4):
            shift = alpha * np.eye(len(kept))
            early = np.linalg.solve(self._gram_early[square] + shift, self._load_early[kept])
            right = float(np.mean((held @ early).argmax(axis=1) == self._y[self._early :]))
            if right > best:
                best, weights = right, np.linalg.solve(self._gram[square] + shift, self._load[kept])
        return np.asarray((self._rows(T)[:, kept] @ weights).argmax(axis=1))


def mutual_information(X: npt.NDArray[np.float32], y: npt.NDArray[np.intp], bins: int = 8) -> list[float]:
    """Estimate, per class, the mean information (bits) of a feature about being of that class.

    Features in equally filled bins; the Miller-Madow bias is taken off.
    """
    total = np.zeros(10)
    for column in X.T:
        edges = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]))
        of = np.searchsorted(edges, column, side="right")
        for digit in range(10):
            joint = np.histogram2d(of, y == digit, [np.arange(len(edges) + 2), 2])[0] / len(y)
            apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
            there = joint > 0
            bits = float((joint[there] * np.log2(joint[there] / apart[there])).sum())
            total[digit] += bits - len(edges) / (2 * np.log(2) * len(y))
    return [float(bits) for bits in total / X.shape[1]]


def shuffled(seed: int, most: int) -> tuple[FloatArray, npt.NDArray[np.intp], FloatArray, npt.NDArray[np.intp]]:
    """Read MNIST, at most so many training digits in an order of the seed's."""
    images, y, test_images, test_y = load()
    order = np.random.default_rng(seed).permutation(len(images))[:most]
    return images[order], y[order], test_images, test_y


def controls_of(
    images: FloatArray, y: npt.NDArray[np.intp], mask: FloatArray, seed: int, width: int
) -> dict[str, Callable[[FloatArray], npt.NDArray[np.float32]]]:
    """Return what the readouts read without the network, by name."""
    more = masks(images, y, width // windows(images[:1]).shape[1], seed + 1_000)  # as many as outputs
    return {
        "network": lambda some: through_network(some, mask, seed, frozen=False),
        "rectifier, same masks": lambda some: rectified_drive(some, mask),
        "rectifier, mixed masks": lambda some: rectified_mixtures(some, images, mask, seed, width),
        "magnitude, more masks": lambda some: magnitudes(some, more),
        "raw pixels": raw_pixels,
        "masked pixels": lambda some: masked_pixels(some, seed, width),
        "frozen network": lambda some: through_network(some, mask, seed, frozen=True),
    }


def measure(seed: int, most: int, only: Sequence[str], tell: Callable[[str], None]) -> dict[str, Any]:
    """Run everything for one seed, or some controls alone, on at most so many training digits."""
    images, y, test_images, test_y = shuffled(seed, most)
    if only:
        mask = masks(images, y, NETWORK["inputs"], seed)
        every = controls_of(images, y, mask, seed, NETWORK["electrodes"] * windows(images[:1]).shape[1])
        wanted = {name: every[name] for name in only}
        accuracy = scored(wanted, images, y, test_images, test_y, seed, tell, batch=False)
        return {"seed": seed, "features": NETWORK["electrodes"] * windows(images[:1]).shape[1], "accuracy": accuracy}
    begun = time.process_time()
    mask = masks(images, y, NETWORK["inputs"], seed)
    X, T = (through_network(some, mask, seed, frozen=False) for some in (images, test_images))
    physics = time.process_time() - begun
    tell(f"seed {seed}: {len(X) + len(T)} digits through the network in {physics:.0f} s, {X.shape[1]} features")
    named = np.array(online(X, y, T))
    seconds = time.process_time() - begun
    accuracy = {"network, online": float(np.mean(named == test_y))}
    tell(f"seed {seed}: online {accuracy['network, online']:.4f} after {seconds:.0f} s in all")
    batch = Batch(X, y)
    everything = np.arange(X.shape[1])
    accuracy["network, batch"] = float(np.mean(batch.named(T, everything) == test_y))
    chosen = np.random.default_rng(seed).permutation(everything)
    by_count = {
        str(count): float(np.mean(batch.named(T, np.sort(chosen[:count])) == test_y))
        for count in COUNTS
        if count < X.shape[1]
    }
    by_count[str(X.shape[1])] = accuracy["network, batch"]
    tell(f"seed {seed}: batch {accuracy['network, batch']:.4f}")
    per_class = [float(np.mean(named[test_y == digit] == digit)) for digit in range(10)]
    information = mutual_information(T[:, ::8], test_y)
    width = X.shape[1]
    del batch, X, T
    controls = controls_of(images, y, mask, seed, width)
    del controls["network"]
    accuracy |= scored(controls, images, y, test_images, test_y, seed, tell)
    return {
        "seed": seed,
        "features": width,
        "accuracy": accuracy,
        "by_count": by_count,
        "per_class": per_class,
        "information": information,
        "correlation": float(np.corrcoef(per_class, information)[0, 1]),
        "seconds_physics": physics,
        "seconds_online": seconds,
    }


def scored(
    controls: dict[str, Callable[[FloatArray], npt.NDArray[np.float32]]],
    images: FloatArray,
    y: npt.NDArray[np.intp],
    test_images: FloatArray,
    test_y: npt.NDArray[np.intp],
    seed: int,
    tell: Callable[[str], None],
    batch: bool = True,
) -> dict[str, float]:
    """Score the readouts on every control; in batch too, with alphas tried, if that is asked for."""
    accuracy: dict[str, float] = {}
    for name, features in controls.items():
        C, D = features(images), features(test_images)
        control = Batch(C, y)
        accuracy[f"{name}, online"] = float(np.mean(control.as_online(D) == test_y))
        tell(f"seed {seed}: {name}, {C.shape[1]} features, {accuracy[f'{name}, online']:.4f} online")
        if batch:
            accuracy[f"{name}, batch"] = float(np.mean(control.named(D, np.arange(C.shape[1])) == test_y))
            tell(f"seed {seed}: {name} {accuracy[f'{name}, batch']:.4f} batch")
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of network, masks and order")
    parser.add_argument("--most", type=int, default=60_000, help="training digits at most")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="CONTROL",
        help="these alone, as learned online: network, or one of the controls, by name",
    )
    parser.add_argument("--electrodes", type=int, default=NETWORK["electrodes"], help="81 features of each")
    asked = parser.parse_args()
    NETWORK["electrodes"] = asked.electrodes
    rows = [
        measure(seed, asked.most, asked.only, lambda text: print(text, file=sys.stderr, flush=True))
        for seed in asked.seeds
    ]
    if asked.json:
        print(json.dumps({"claim": "online accuracy >= 0.934", "device": [0.934, 0.914], "seeds": rows}))
        return
    report(rows)


def report(rows: list[dict[str, Any]]) -> None:
    """Print the tables."""
    print(f"{'':28} {'mean':>7} {'sd':>7}   of {len(rows)} seeds, {rows[0]['features']} features")
    for name in rows[0]["accuracy"]:
        values = [row["accuracy"][name] for row in rows]
        print(f"{name:28} {np.mean(values):7.4f} {np.std(values):7.4f}")
    if "by_count" not in rows[0]:
        return
    for name, value in (("published device, online", 0.934), ("published device, batch", 0.914), ("chance", 0.1135)):
        print(f"{name:28} {value:7.4f}")
    print("\nfeatures  accuracy, batch")
    for count in rows[0]["by_count"]:
        print(f"{count:>8}  {np.mean([row['by_count'][count] for row in rows]):.4f}")
    print("\ndigit  accuracy, online  information of a feature (bits)")
    for digit in range(10):
        right = np.mean([row["per_class"][digit] for row in rows])
        bits = np.mean([row["information"][digit] for row in rows])
        print(f"{digit:>5}  {right:16.4f}  {bits:31.5f}")
    print(f"correlation of the two: {np.mean([row['correlation'] for row in rows]):.2f}")
    seconds = np.mean([row["seconds_online"] for row in rows])
    print(f"network and online readout: {seconds:.0f} s of one core's time a seed")


if __name__ == "__main__":
    main()
