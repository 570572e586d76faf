"""How fast memory and information processing capacity are measured, beside rcbench and reservoirpy.

An echo-state network of 100 units is driven for 10,000 steps once; all get its states. Both peers learn from four
fifths and score on the rest, and so do ours where answers are compared; they are compared before anything is timed.

    python benchmarks/measures.py [--json] [--quick]
"""

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rcbench.tasks.ipc import IPCEvaluator
from rcbench.tasks.memorycapacity import MemoryCapacityEvaluator
from reservoirpy.node import Node
from reservoirpy.nodes import Reservoir, Ridge
from reservoirpy.observables import memory_capacity as memory_capacity_of_reservoirpy
from threadpoolctl import threadpool_limits

from inmateria.reservoir import information_processing_capacity, memory_capacity

Floats = npt.NDArray[np.float64]

STEPS, UNITS, LAGS = 10_000, 100, 200
ALMOST_NONE = 1e-9
"""Ridge regularisation of the peers: next to none, but it lets rcbench take its quicker way."""


class Recorded(Node):  # type: ignore[misc]
    """Gives recorded states again, so that reservoirpy's measure is timed and not its network."""

    def __init__(self, states: Floats) -> None:
        self.states, self.output_dim, self.name, self._row = states, states.shape[1], None, 0

    def initialize(self, x: Any, y: Any = None) -> None:
        """Take whatever input comes."""
        self._set_input_dim(x)
        self.state = {"out": np.zeros(self.output_dim)}
        self.initialized = True

    def _step(self, state: Any, x: Any) -> Any:
        raise NotImplementedError

    def _run(self, state: Any, x: Floats) -> tuple[Any, Floats]:
        rows = self.states[self._row : self._row + len(x)]
        self._row += len(x)
        return {"out": rows[-1]}, rows


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Time of the quickest of a few runs, s."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def compared(what: str, ours: Floats, theirs: Floats, within: float) -> float:
    """Give the largest difference, or end where the answers are not the same."""
    difference = float(np.abs(ours - theirs).max())
    if not difference < within:
        raise SystemExit(f"{what}: the answers differ by {difference:.2g}; times mean nothing")
    return difference


def measure(quick: bool) -> list[dict[str, Any]]:
    """Compare everything, slowest last."""
    u = np.random.default_rng(0).uniform(-1, 1, STEPS)
    states: Floats = Reservoir(UNITS, sr=0.95, input_scaling=0.5, seed=1).run(u[:, np.newaxis])
    repeats = 3 if quick else 10
    rows: list[dict[str, Any]] = []

    def recalled(**more: Any) -> Floats:  # the peers do not look at the order of reading
        return memory_capacity(states, u, LAGS, check_reading_order=False, **more).capacities

    def of_reservoirpy() -> Any:
        model = Recorded(states[LAGS:]) >> Ridge(ALMOST_NONE)
        return memory_capacity_of_reservoirpy(model, LAGS, as_list=True, series=u[:, np.newaxis])

    def ours_as_reservoirpy() -> Floats:  # it learns after twice the lags, and scores on a fifth of all steps
        held_out = 0.2 * STEPS / (STEPS - 2 * LAGS)
        return recalled(washout=2 * LAGS, held_out=held_out)

    difference = compared("memory capacity", ours_as_reservoirpy(), of_reservoirpy(), 1e-4)
    row: dict[str, Any] = {"what": f"memory capacity, {LAGS} lags, held out", "peer": "reservoirpy"}
    row["difference"] = difference
    row |= {"peer_s": fastest(of_reservoirpy, repeats), "s": fastest(ours_as_reservoirpy, repeats), "goal": 1.5}
    rows.append(row)
    in_sample = fastest(recalled, repeats)
    rows.append(row | {"what": f"memory capacity, {LAGS} lags, in sample", "s": in_sample, "difference": None})

    evaluator = MemoryCapacityEvaluator(u, states, max_delay=LAGS)

    def of_rcbench() -> Floats:
        found = evaluator.calculate_total_memory_capacity(
            feature_selection_method="kbest", num_features="all", regression_alpha=ALMOST_NONE
        )
        return np.array([found["delay_results"][lag] for lag in range(1, LAGS + 1)])

    def ours() -> Floats:
        return recalled(held_out=0.2)

    difference = compared("memory capacity", ours(), of_rcbench(), 1e-4)
    row = {"what": f"memory capacity, {LAGS} lags, held out", "peer": "rcbench", "difference": difference}
    rows.append(row | {"peer_s": fastest(of_rcbench, 2), "s": fastest(ours, repeats), "goal": None})

    products = IPCEvaluator(u, states, max_delay=20, max_degree=3)
    bounds = {1: 20, 2: 20, 3: 20}

    def products_of_rcbench() -> Floats:
        found = products.calculate_total_capacity(feature_selection_method="kbest", regression_alpha=ALMOST_NONE)
        by_key = {key: result["capacity"] for key, result in found["all_results"].items()}
        keys = [tuple((factor.delay, factor.degree) for factor in target) for target in reference.targets]
        return np.array([by_key[key] for key in keys])

    def ours_of_products(held_out: float) -> Any:
        return information_processing_capacity(
            states, u, bounds, earliest=1, factors=2, held_out=held_out, check_reading_order=False
        )

    reference = ours_of_products(0.2)
    begin = time.perf_counter()
    theirs = products_of_rcbench()
    peer_s = time.perf_counter() - begin
    if not quick:
        peer_s = min(peer_s, fastest(products_of_rcbench, 1))
    difference = compared("information processing capacity", reference.capacities, theirs, 1e-4)
    count = len(reference.targets)
    row = {"what": f"IPC, {count} targets, held out", "peer": "rcbench", "difference": difference, "peer_s": peer_s}
    row |= {"goal": 50}
    rows.append(row | {"s": fastest(lambda: ours_of_products(0.2), repeats)})
    in_sample = fastest(lambda: ours_of_products(0.0), repeats)
    rows.append(row | {"what": f"IPC, {count} targets, in sample", "s": in_sample, "difference": None})
    for row in rows:
        row["ratio"] = row["peer_s"] / row["s"]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    chosen = parser.parse_args()
    logging.disable(logging.ERROR)  # rcbench tells every tenth target
    with threadpool_limits(1):
        rows = measure(chosen.quick)
    if chosen.json:
        print(json.dumps({"benchmark": "measures", "machine": platform.processor(), "rows": rows}))
        return
    print(f"{UNITS} states, {STEPS} steps, one thread, quickest of some runs:\n")
    print("| what | peer | peer s | ours s | ratio | goal | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        goal = f"{row['goal']} x" if row["goal"] else ""
        difference = f"{row['difference']:.1e}" if row["difference"] is not None else "scored otherwise"
        print(
            f"| {row['what']} | {row['peer']} | {row['peer_s']:.3f} | {row['s']:.3f} | {row['ratio']:.1f} x | {goal} "
            f"| {difference} |"
        )


if __name__ == "__main__":
    main()
