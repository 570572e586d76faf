"""What a step of a nanowire network costs from 100 to 200,000 wires, beside what its arithmetic alone would take.

The bound counts the multiply-adds of eliminating the graph in its order, of both substitutions, and 46 operations a
junction, at the rate of this core in registers (`machine_peak.py`). Answers are checked by Kirchhoff's law: the
currents into each wire that nothing drives must add up to zero.

    python benchmarks/nanowire_sizes.py [--json] [--quick]
"""

import argparse
import json
import platform
import resource
import time
import warnings
from typing import Any

import numpy as np
from machine_peak import measured_peak
from rich.console import Console
from rich.progress import track

from inmateria.simulators import NanowireEnsemble, NanowireNetwork
from inmateria.simulators.nanowire.coarse_steps import CoarseStepWarning
from inmateria.simulators.sparse_ldl import order_of
from inmateria.simulators.vector_lanes import LANES

SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 200_000)
TOGETHER = 10_000
"""Wires up to which an ensemble is measured, too."""
BY_JUNCTION = 46
"""Operations on a junction whose filament moves: its conductance, its current and its state."""


def operations(network: NanowireNetwork) -> float:
    """Count the operations of one step in the order that this network is eliminated in; a multiply-add is two."""
    fixed = np.concatenate((network.input_nodes, network.ground_nodes))
    free = np.setdiff1d(np.arange(network.wire_count), fixed)
    number = np.full(network.wire_count, -1)
    number[free] = np.arange(len(free))
    edges = number[network.junctions]
    count = order_of(len(free), edges[(edges >= 0).all(axis=1)]).column_counts.astype(float)
    return float((count * (count + 1)).sum() + 4 * count.sum() + BY_JUNCTION * len(network.junctions))


def check_currents(network: NanowireNetwork, drive: Any) -> float:
    """Return the largest sum of currents into a free wire, as a fraction of the largest current; stop if above 1e-9."""
    made = network.copy().simulate(drive, 1e-3, record=("voltages", "conductances"))
    assert made.voltages is not None
    assert made.conductances is not None
    a, b = network.junctions.T
    worst = 0.0
    for voltage, conductance in zip(made.voltages, made.conductances, strict=True):
        current = conductance * (voltage[a] - voltage[b])
        into = np.bincount(b, current, network.wire_count) - np.bincount(a, current, network.wire_count)
        into[np.concatenate((network.input_nodes, network.ground_nodes))] = 0.0
        worst = max(worst, float(abs(into).max() / abs(current).max()))
    if worst > 1e-9:
        raise SystemExit(f"{network.wire_count} wires: Kirchhoff's law is missed by {worst:.2g}; times mean nothing")
    return worst


def measure(wires: int, gflops: float, quick: bool) -> dict[str, Any]:
    """Measure one size, in processor time; the fastest of some repeats."""
    begin = time.thread_time()
    network = NanowireNetwork(wires=wires, seed=42, electrodes=9, inputs=8)
    setup = time.thread_time() - begin
    steps = max(2, min(2_000, 200_000 // wires))
    drive = 1.5 * np.sin(2 * np.pi * 1e-4 * np.arange(steps)[:, None] + np.arange(8)) + 1.0
    error = check_currents(network, drive[:2])
    stimulus, best = network.info.stimulus(drive, 1e-3), float("inf")
    together = None
    if wires <= TOGETHER:
        together = NanowireEnsemble([network.copy() for _ in range(LANES)])
    each = float("inf")
    for _ in range(2 if quick else 6):
        begin = time.thread_time()
        network.advance(stimulus)
        best = min(best, time.thread_time() - begin)
        if together is not None:
            begin = time.thread_time()
            together.advance(np.broadcast_to(drive, (LANES, *drive.shape)).copy(), 1e-3)
            each = min(each, time.thread_time() - begin)
    count = operations(network)
    return {
        "what": "nanowires",
        "size": wires,
        "junctions": len(network.junctions),
        "setup_s": setup,
        "seconds": best / steps,
        "ensemble_seconds": each / steps / LANES if together is not None else None,
        "bound": count / gflops * 1e-9,
        "operations": count,
        "kirchhoff": error,
        "memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    """Measure all sizes and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="up to 10,000 wires, fewer repeats")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", CoarseStepWarning)  # how long a step takes is measured, not what it leads to
    peak = measured_peak()
    NanowireNetwork(wires=10_000, seed=1).simulate(np.ones((2, 8)), 1e-3)  # compiled before anything is timed
    sizes = [wires for wires in SIZES if wires <= 10_000 or not chosen.quick]
    shown = track(sizes, "sizes", console=Console(stderr=True), transient=True)
    rows = [measure(wires, peak["gflops"], chosen.quick) for wires in shown]
    if chosen.json:
        print(json.dumps({"benchmark": "nanowire_sizes", "machine": platform.processor(), "peak": peak, "rows": rows}))
        return
    print("| wires | junctions | set-up, s | a step, us | in an ensemble of 16 | bound by arithmetic | Kirchhoff |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        together = "" if row["ensemble_seconds"] is None else f"{row['ensemble_seconds'] * 1e6:,.1f}"
        print(
            f"| {row['size']:,} | {row['junctions']:,} | {row['setup_s']:.2f} | {row['seconds'] * 1e6:,.1f} "
            f"| {together} | {row['bound'] * 1e6:,.2f} | {row['kirchhoff']:.0e} |"
        )
    print(f"\nThis core in registers: {peak['gflops']:.0f} Gflop/s; most memory: {rows[-1]['memory_GB']:.1f} GB")


if __name__ == "__main__":
    main()
