"""Exported readouts on two chips: answers, cycles or instructions, flash, RAM and energy; beside m2cgen's code.

Digits of scikit-learn's: 1,347 learned, the rest held out; 64 pixels as they are (counts of 0 to 16), and 512 features
of eight bits. An ATmega328P is emulated cycle by cycle (libsimavr, 16 MHz); a Cortex-M3 in QEMU, which counts
instructions and not cycles: a chip takes at least one cycle for each, so that its time and energy are lower bounds.

Energy is estimated from supply currents of data sheets, the core running all the time: ATmega328P 5.2 mA at 8 MHz and
5 V (typical, active; Atmel 8271, DC characteristics): 3.25 nJ a cycle, which is taken for 16 MHz too. STM32F103x8, a
Cortex-M3, 27 mA at 72 MHz and 3.3 V (typical, run from flash, peripherals off; ST DS5319): 1.24 nJ a cycle.

The peer is m2cgen, with the float readout of the pixels as it is; emlearn (0.23) converts no linear models. It is in
`pip install 'inmateria[bench]'`, and its row is left out without.

    python benchmarks/exported_readouts.py [--samples 20] [--json]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from inmateria.reservoir import RidgeClassifierReadout, TernaryClassifierReadout
from inmateria.reservoir.readouts.integer import integer_readout

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "firmware"))
from exported_programs import on_a_cortex_m3, on_an_atmega  # type: ignore[import-not-found]

NANOJOULE = {"atmega328p": 5.2e-3 * 5.0 / 8e6 * 1e9, "cortex-m3": 27e-3 * 3.3 / 72e6 * 1e9}
CLOCK = {"atmega328p": 16e6, "cortex-m3": 72e6}
RUN = {"atmega328p": on_an_atmega, "cortex-m3": on_a_cortex_m3}
Array = np.ndarray[Any, Any]


def rows(samples: int) -> list[dict[str, Any]]:
    """Return a row for each readout and chip."""
    images, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    wide = np.tanh(images / 16 @ generator.normal(size=(64, 512)) / 4 + 0.5 * generator.normal(size=512))
    order = generator.permutation(len(images))
    train, test = order[:1347], order[1347:]
    found = []
    for name, X, planes in (("512 features", wide, 1), ("512 features", wide, 2), ("64 pixels", images, 2)):
        readout = TernaryClassifierReadout(planes, method="obq", alpha=1e-2).fit(X[train], labels[train])
        integers = integer_readout(readout, X[train])
        counts = integers.counts(X[test])
        accuracy = float(np.mean(readout.classes_[integers.indices(counts)] == labels[test]))
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "digits.c"
            readout.to_c(source, X[train], vector=1)
            given, expected = counts[:samples], integers.indices(counts[:samples])
            found += measured(f"{name}, ternary, planes: {planes}", accuracy, source, given, "int8_t", expected)
    exact = RidgeClassifierReadout().fit(images[train], labels[train])
    accuracy, given = exact.score(images[test], labels[test]), images[test][:samples].astype(np.float32)
    expected = exact.predict(given)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "digits.c"
        exact.to_c(source, images[train], vector=1)
        found += measured("64 pixels, float", accuracy, source, given, "float", expected)
        if write_peers(exact, source):
            found += measured("64 pixels, float, by m2cgen", accuracy, source, given, "float", expected)
    return found


def measured(
    name: str, accuracy: float, source: Path, given: Array, kind: str, expected: Array
) -> list[dict[str, Any]]:
    """Run one readout on both chips."""
    found = []
    for chip, run in RUN.items():
        answers, costs, flash, ram = run(source, given, kind)
        cost = float(np.mean(costs))
        found.append({
            "readout": name, "chip": chip, "accuracy": accuracy, "samples": len(given),
            "equal": int(np.sum(np.array(answers) == expected)), "cycles_or_instructions": cost,
            "microseconds": cost / CLOCK[chip] * 1e6, "microjoule": cost * NANOJOULE[chip] / 1e3,
            "flash": flash, "ram": ram,
        })  # fmt: skip
    return found


def write_peers(exact: RidgeClassifierReadout, source: Path) -> bool:
    """Write m2cgen's code of the same weights in place of ours, with a function that looks for the largest output."""
    try:
        import m2cgen  # type: ignore[import-not-found]
    except ImportError:
        print("m2cgen is not installed: its row is left out", file=sys.stderr)
        return False
    same = RidgeClassifier().fit(np.eye(64)[:10], np.arange(10))
    same.coef_, same.intercept_ = exact.coef_, exact.intercept_
    sys.setrecursionlimit(100_000)
    code = m2cgen.export_to_c(same)
    source.write_text(f"""{code}
#include "digits.h"
int digits_class(const float *features)
{{
    static double input[64];
    double output[10];
    int k, best = 0;
    for (k = 0; k < 64; k++)
        input[k] = features[k];
    score(input, output);
    for (k = 1; k < 10; k++)
        if (output[k] > output[best])
            best = k;
    return best;
}}
""")
    return True


def main() -> None:
    """Print a table, or with --json a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    asked = parser.parse_args()
    found = rows(asked.samples)
    if asked.json:
        print(json.dumps({"benchmark": "exported_readouts", "rows": found}))
        return
    for row in found:
        print(
            f"{row['readout']:<32} {row['chip']:<11} {row['accuracy']:.3f}  {row['equal']}/{row['samples']}"
            f"  {row['cycles_or_instructions']:>9.0f}  {row['microseconds']:>7.0f} us  {row['microjoule']:>6.2f} uJ"
            f"  flash {row['flash']:>6}  RAM {row['ram']:>5}"
        )


if __name__ == "__main__":
    main()
