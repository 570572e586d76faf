"""Memory capacity of real nanowire networks, where their recordings are at hand, and of simulated ones beside them.

One electrode is driven with a random voltage for 3,000 samples, one is ground, 14 are read; ridge with alpha 0.1,
30 delays, as in package rcbench, whose own code is asked too where it is installed. Its repository holds recordings
of real networks (INRiM, folder tests/test_files; neither its wheel nor its source distribution does):

    python benchmarks/memory_capacity.py [--json] [--seeds N] [RECORDING ...]

If electrodes of a recording follow the previous input better than the present one, as those read too early do, a
second row has the capacity with these moved one step earlier.

A recording's own measured input drives the simulated networks too; without one it is uniform between 2.2 and 2.8 V,
0.2 s a sample, which is how the recording Pad129M begins.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.recording import reading_order, realigned
from inmateria.recording.formats.measured_tables import read_measured_table
from inmateria.reservoir.measures.memory_by_delay import memory_by_delay
from inmateria.simulators import NanowireNetwork, Variability

FloatArray = npt.NDArray[np.float64]

SAMPLES, DELAYS, ALPHA, READINGS = 3000, 30, 0.1, 14
NOISE = 3e-4  # V: what the recording of a grounded electrode scatters by


def simulated() -> dict[str, Callable[[int], NanowireNetwork]]:
    """Networks with one input, one ground and 14 readings, by what they are."""
    electrodes: dict[str, Any] = {"electrodes": READINGS + 2, "inputs": 1, "grounds": 1}

    def filament(wires: int, **more: Any) -> Callable[[int], NanowireNetwork]:
        return lambda seed: NanowireNetwork(wires, seed, integration_step=0.01, **electrodes, **more)

    def balance(nodes: int, **more: Any) -> Callable[[int], NanowireNetwork]:
        # Its step is exact however long it is, and published fits are of a grid of 29 x 29.
        return lambda seed: NanowireNetwork(
            nodes, seed, "rate-balance", geometry="grid", integration_step=0.2, **electrodes, **more
        )

    return {
        "filament, 100 wires": filament(100),
        "filament, 500 wires": filament(500),
        "rate balance, 12 x 12 grid": balance(144),
        "rate balance, 29 x 29 grid": balance(841),
        "rate balance, 29 x 29 grid, junction noise": balance(
            841, variability=Variability(noise=0.01, noise_time=10.0)
        ),
    }


def by_rcbench(drive: FloatArray, readings: FloatArray) -> float | None:
    """Ask rcbench's own code; None where it is not installed."""
    try:
        from rcbench.tasks.memorycapacity import (  # type: ignore[import-untyped,unused-ignore,import-not-found]
            MemoryCapacityEvaluator,
        )
    except ImportError:
        return None
    evaluator = MemoryCapacityEvaluator(drive, readings, max_delay=DELAYS)
    result = evaluator.calculate_total_memory_capacity(num_features="all", regression_alpha=ALPHA)
    return float(result["total_memory_capacity"])


def measure(name: str, drive: FloatArray, readings: FloatArray) -> dict[str, Any]:
    """Score readings, by our code and by rcbench's, which must agree."""
    by_delay = memory_by_delay(drive, readings, DELAYS, ALPHA, check_reading_order=False)  # a row of its own says it
    ours, theirs = float(by_delay.sum()), by_rcbench(drive, readings)
    if theirs is not None and abs(ours - theirs) > 1e-4 * max(1.0, ours):
        raise SystemExit(f"{name}: ours is {ours} and rcbench's {theirs}; they should be the same")
    return {"network": name, "capacity": ours, "rcbench": theirs, "first": by_delay[:3].tolist()}


def driven(network: NanowireNetwork, drive: FloatArray, step: float, seed: int) -> FloatArray:
    """Read a simulated network at the end of every step, with a voltmeter's scatter."""
    signal = network.advance(network.info.stimulus(drive[:, np.newaxis], step)).signal
    assert signal is not None
    readings: FloatArray = signal[:, -1, :READINGS]
    return readings + NOISE * np.random.default_rng([seed, 1]).standard_normal(readings.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, metavar="RECORDING", help="of real networks")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--seeds", type=int, default=5, help="of simulated networks")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    drives: list[tuple[str, FloatArray, float]] = []
    for path in asked.recordings:
        table = read_measured_table(path)
        drive, readings = table.voltages_of(table.inputs[0])[:SAMPLES, 0], table.voltages_of(*table.outputs)[:SAMPLES]
        rows.append(measure(f"real: {path.stem}", drive, readings))
        behind = reading_order(readings, drive).behind
        if behind:
            names = ", ".join(table.outputs[k] for k in behind)
            aligned, present = realigned(readings, drive, behind)
            rows.append(measure(f"the same, electrodes {names} one step earlier", present, aligned))
        drives.append((f", driven as {path.stem}", drive, table.step))
    if not drives:
        drives.append(("", np.random.default_rng(0).uniform(2.2, 2.8, SAMPLES), 0.2))
    for what, drive, step in drives:
        scatter = NOISE * np.random.default_rng(1).standard_normal((SAMPLES, READINGS))
        rows.append(measure(f"no network, the input read {READINGS} times{what}", drive, drive[:, None] + scatter))
        for name, make in simulated().items():
            every = [measure(name, drive, driven(make(s), drive, step, s)) for s in range(asked.seeds)]
            capacity = [row["capacity"] for row in every]
            row = {**every[0], "network": f"simulated: {name}{what}"}
            row |= {"capacity": float(np.mean(capacity)), "spread": float(np.std(capacity))}
            row["rcbench"] = None if row["rcbench"] is None else float(np.mean([each["rcbench"] for each in every]))
            row["first"] = np.mean([each["first"] for each in every], axis=0).tolist()
            rows.append(row)
    if asked.json:
        print(json.dumps({"benchmark": "memory_capacity", "rows": rows}))
        return
    print(f"{DELAYS} delays, ridge with alpha {ALPHA}, {SAMPLES} samples, {READINGS} readings, {asked.seeds} seeds\n")
    print("| network | memory capacity | by rcbench's code | r² 1, 2, 3 samples ago |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        spread = f" ± {row['spread']:.2f}" if "spread" in row else ""
        theirs = "" if row["rcbench"] is None else f"{row['rcbench']:.2f}"
        first = ", ".join(f"{value:.2f}" for value in row["first"])
        print(f"| {row['network']} | {row['capacity']:.2f}{spread} | {theirs} | {first} |")


if __name__ == "__main__":
    main()
