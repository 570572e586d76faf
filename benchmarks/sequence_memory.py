"""Sequence memory on MNIST: the digit shown before, recalled online from what a nanowire network still holds of it.

After the second task of Zhu et al., Nat. Commun. 14, 6697 (2023). Digits come in an order of eight that repeats itself,
half of them replaced by any digit; images move through a window as in `mnist_online.py`, and masks are made as there.
While a digit is shown, recursive least squares names the digit before it and the one before that, and then learns
them. Beside it: the same network with its memory erased (reset) before every digit, the pixels shown, and the most
frequent digit. The first two and the pixels all know the order's habits; only the network can know the past.

Images are those of the test part and masks are made of the training part. Step and amplitude were chosen on
sequences of training images with other seeds (``--choose``).

    INMATERIA_DATA=<folder with mnist.npz> python benchmarks/sequence_memory.py [--json] [--seeds N ...] [--choose]
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from mnist_online import AMPLITUDE, LIMIT, Standardised, load, masks, windows

from inmateria.protocols.tasks.sequence_memory import SequenceSettings, order_of
from inmateria.reservoir import RecursiveLeastSquares
from inmateria.simulators import NanowireNetwork

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

DIGITS, BACK, ALPHA, READ_EVERY = 4000, 2, 10.0, 6
CHOSEN: dict[str, Any] = {"model": "filament", "step": 0.003, "amplitude": 2.0}
CHOICES: list[dict[str, Any]] = [
    {"model": "filament", "step": step, "amplitude": amplitude}
    for step, amplitudes in ((0.001, (0.5, 1.0, 2.0)), (0.003, (0.5, 1.0, 2.0, 4.0)), (0.01, (2.0,)))
    for amplitude in amplitudes
]


def sequence(images: FloatArray, labels: Labels, seed: int) -> tuple[Labels, FloatArray]:
    """Draw which digits are shown, and an image of each."""
    shown = order_of(SequenceSettings(seed=seed, digits=DIGITS))
    rng = np.random.default_rng([seed, 5])
    of_class = [np.flatnonzero(labels == digit) for digit in range(10)]
    return shown, images[[rng.choice(of_class[digit]) for digit in shown]]


def through_network(images: FloatArray, mask: FloatArray, seed: int, erase: bool, how: dict[str, Any]) -> FloatArray:
    """Show the digits one after another; give the outputs of every few steps."""
    network = NanowireNetwork(
        wires=100, seed=seed, electrodes=32, inputs=16, model=how["model"], integration_step=how["step"]
    )
    scale = np.array([1e6 if channel.unit == "A" else 1.0 for channel in network.info.outputs])
    rows = []
    for begin in range(0, len(images), 500):
        for each in windows(images[begin : begin + 500]):
            drive = np.clip(each @ mask * (how["amplitude"] / AMPLITUDE), -LIMIT, LIMIT)
            if erase:
                network.reset()
            signal = network.advance(network.info.stimulus(drive, how["step"])).signal
            assert signal is not None
            rows.append((signal[::READ_EVERY, -1] * scale).ravel())
    return np.array(rows)


def recalled(X: FloatArray, shown: Labels, back: int) -> float:
    """Name the digit so many back, then learn it; give the fraction right of the second half."""
    standardised = Standardised(X[:200].astype(np.float32))(X.astype(np.float32))[back:]
    wanted = shown[: len(shown) - back]
    readout = RecursiveLeastSquares(alpha=ALPHA)
    named = readout.learn(standardised, np.where(wanted[:, None] == np.arange(10), 1.0, -1.0)).argmax(axis=1)
    half = len(wanted) // 2
    return float(np.mean(named[half:] == wanted[half:]))


def measure(
    seed: int, images: FloatArray, labels: Labels, of_masks: tuple[FloatArray, Labels], how: dict[str, Any]
) -> dict[str, Any]:
    """Score one seed of network, masks, order and images."""
    shown, seen = sequence(images, labels, seed)
    mask = masks(*of_masks, 16, seed)
    sorts = {
        "network": through_network(seen, mask, seed, False, how),
        "memory erased": through_network(seen, mask, seed, True, how),
        "pixels shown": seen.reshape(len(seen), -1),
    }
    scores = {f"{on}, {back} back": recalled(X, shown, back) for back in range(1, BACK + 1) for on, X in sorts.items()}
    scores["most frequent digit"] = float(np.bincount(shown).max() / len(shown))
    return {"seed": seed, "features": sorts["network"].shape[1], "accuracy": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--choose", action="store_true", help="score all choices on sequences of training images")
    asked = parser.parse_args()
    images, labels, test_images, test_labels = load()
    if asked.choose:
        for how in CHOICES:
            found = measure(100, images, labels, (images, labels), how)["accuracy"]
            print(how, {name: round(value, 3) for name, value in found.items()}, flush=True)
        return
    rows = []
    for seed in asked.seeds:
        rows.append(measure(seed, test_images, test_labels, (images, labels), CHOSEN))
        print(f"seed {seed}: {rows[-1]['accuracy']['network, 1 back']:.3f}", file=sys.stderr)
    if asked.json:
        print(json.dumps({"claim": "a network recalls what is no longer shown", "how": CHOSEN, "seeds": rows}))
        return
    print(f"{DIGITS} digits, {rows[0]['features']} features, {len(rows)} seeds: accuracy of the second half\n")
    for name in rows[0]["accuracy"]:
        values = [row["accuracy"][name] for row in rows]
        print(f"{name:24} {np.mean(values):.3f} ± {np.std(values):.3f}")


if __name__ == "__main__":
    main()
