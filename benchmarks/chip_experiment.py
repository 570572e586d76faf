"""Digits through a simulated nanowire network, read and named by an emulated ATmega328P.

Each digit of scikit-learn's is sixteen steps of four pixels (D3, D5, pot0, pot1). The chip reads six voltages of the
network twice a step, keeps these 192 levels of its converter as features, and names the digit with a ternary readout in
integers that is built into its firmware. The readout is trained on readings of 1,347 digits that went through the same
chip and network; its regularisation is chosen by cross-validation on them. Named are the other 450. The host sends
digits and receives classes; the readings that come with them are used to check each class, and for a readout in floats.

    python benchmarks/chip_experiment.py [--learned 1347] [--named 450] [--planes 2] [--seed 0] [--json]
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from inmateria.adapters.boards.emulated import EmulatedBoardSubstrate
from inmateria.adapters.boards.emulator import built_elf
from inmateria.reservoir import RidgeClassifierReadout, TernaryClassifierReadout
from inmateria.reservoir.readouts.integer import integer_readout
from inmateria.substrate import Response, Stimulus

MATTER = "nanowire://?voltage_limit=0.2"
SAMPLE, SAMPLES = 1e-3, 2
BITS = 11
Array = np.ndarray[Any, Any]


def board(readout: str = "") -> EmulatedBoardSubstrate:
    """Return the emulated board with the network wired to it."""
    return EmulatedBoardSubstrate(MATTER, step=SAMPLE, watchdog=30.0, drive="D3,D5,pot0,pot1", readout=readout)


def stimulus(substrate: EmulatedBoardSubstrate, image: Array) -> Stimulus:
    """Return one digit, a column after another in two halves, over the whole range of four outputs."""
    low = np.array([channel.low for channel in substrate.info.inputs])
    high = np.array([channel.high for channel in substrate.info.inputs])
    rows = image.reshape(8, 8).T.reshape(16, 4) / 16.0
    return substrate.info.stimulus(low + (high - low) * rows, step=SAMPLE * SAMPLES)


def levels(substrate: EmulatedBoardSubstrate, response: Response) -> Array:
    """Return the levels of the six converter inputs, in the order in which the chip keeps them."""
    assert response.signal is not None
    resolution = np.array(substrate.info.parameters["reading_resolution"][:6])
    found: Array = np.round(response.signal[:, :, :6] / resolution).reshape(-1)
    return found


async def read(images: Array) -> tuple[Array, int]:
    """Return the readings of digits (digits, features), and how many exchanges had a late step."""
    async with board() as substrate:
        found = [levels(substrate, await substrate.stimulate(stimulus(substrate, image))) for image in images]
        return np.array(found), substrate.late_exchanges


async def named(images: Array, readout: Path) -> tuple[Array, Array, int]:
    """Return the classes that the chip names, the readings, and how many exchanges had a late step."""
    async with board(str(readout)) as substrate:
        classes, found = [], []
        for image in images:
            index, response = await substrate.classify(stimulus(substrate, image))
            classes.append(index)
            found.append(levels(substrate, response))
        return np.array(classes), np.array(found), substrate.late_exchanges


def main() -> None:
    """Print what was reached, or with --json a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learned", type=int, default=1347)
    parser.add_argument("--named", type=int, default=450)
    parser.add_argument("--planes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(asked.seed).permutation(len(images))
    learned, held = order[: asked.learned], order[1347 : 1347 + asked.named]
    X, late = asyncio.run(read(images[learned]))
    y = labels[learned]
    readout = TernaryClassifierReadout(asked.planes, method="obq")
    grid = {"alpha": [1.0, 0.1, 1e-2, 1e-3, 1e-4]}
    alpha = GridSearchCV(clone(readout), grid, cv=5, refit=False).fit(X, y).best_params_["alpha"]
    readout = readout.set_params(alpha=alpha).fit(X, y)
    exact = RidgeClassifierReadout().fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "digits.c"
        readout.to_c(source, X, bits=BITS)
        classes, readings, late_named = asyncio.run(named(images[held], source))
        elf = built_elf("atmega328p", source)
        told = subprocess.run(["avr-size", "-A", elf], capture_output=True, text=True, check=True).stdout
    size = {line.split()[0]: int(line.split()[1]) for line in told.splitlines() if line.startswith(".")}
    expected, integers = labels[held], integer_readout(readout, X, bits=BITS)
    row = {
        "benchmark": "chip_experiment", "matter": MATTER, "learned": len(learned), "named": len(held),
        "seed": asked.seed, "planes": asked.planes, "alpha": alpha, "features": X.shape[1],
        "accuracy_chip": float(np.mean(readout.classes_[classes] == expected)),
        "accuracy_float_on_the_same_readings": float(exact.score(readings, expected)),
        "equal_to_python": int(np.sum(classes == integers.indices(readings))),
        "late_exchanges": [late, late_named],
        "flash": size[".text"] + size[".data"],
        "ram": sum(size.get(section, 0) for section in (".data", ".bss", ".noinit")),
    }  # fmt: skip
    if asked.json:
        print(json.dumps(row))
        return
    for name, value in row.items():
        print(f"{name:<40} {value}")


if __name__ == "__main__":
    main()
