"""How fast sixteen nanowire networks run in lanes, in each precision, beside one network, and how close they come.

All run in turn in one process, on the same networks and drives; a voltage that is further off than is documented ends
the program.

    python benchmarks/nanowire_ensembles.py [--json] [--quick]
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators import CoarseStepWarning, NanowireEnsemble, NanowireNetwork
from inmateria.simulators.vector_lanes import LANES

Floats = npt.NDArray[np.float64]

ALLOWED = {"double": 1e-10, "mixed": 1e-9, "single": 1e-5}
"""Largest error of a voltage that is documented, as a part of the largest input voltage."""


def driven(wires: int, steps: int) -> tuple[NanowireNetwork, Floats]:
    """Return a network, and a slow drive of all inputs for each of sixteen, V: it stays in the ordered regime."""
    network = NanowireNetwork(wires=wires, seed=42, electrodes=9, inputs=8)
    time_of = np.arange(steps) * 1e-3
    drive = 1.5 * np.sin(2 * np.pi * 0.1 * time_of[:, None] + np.arange(8)) + 1.0
    return network, np.stack([drive * scale for scale in np.linspace(0.5, 1, LANES)])


def largest_errors(network: NanowireNetwork, drives: Floats) -> dict[str, float]:
    """Compare every step with the networks on their own, from equal states; each as a part of the largest input."""
    worst = dict.fromkeys(ALLOWED, 0.0)
    alone = [network.copy() for _ in range(LANES)]
    for t in range(drives.shape[1]):
        states = [each.state for each in alone]
        expected = [
            n.simulate(d[t : t + 1], 1e-3, record="voltages").voltages for n, d in zip(alone, drives, strict=True)
        ]
        for precision in worst:
            members = [network.copy() for _ in range(LANES)]
            for member, state in zip(members, states, strict=True):
                member.restore(state)
            ensemble = NanowireEnsemble(members, precision=precision)  # type: ignore[arg-type]
            ensemble.advance(drives[:, t : t + 1], 1e-3)
            group: Any = ensemble._groups[0][1]
            place = group._plan[18 : 18 + network.wire_count]
            voltages = group._nodes[: network.wire_count * LANES].reshape(-1, LANES)[place]
            difference = abs(voltages - np.stack([v[0] for v in expected if v is not None], axis=1)).max()
            worst[precision] = max(worst[precision], float(difference / abs(drives).max()))
    return worst


def processor_time(work: Callable[[], object]) -> float:
    """Return the processor time of one run, s."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def measure(wires: int, quick: bool) -> dict[str, Any]:
    """Compare precisions on one size of network, in turn."""
    network, drives = driven(wires, max(20, 50_000 // wires))
    errors = largest_errors(network, drives[:, :5] if quick else drives[:, :20])
    for precision, error in errors.items():
        if error > ALLOWED[precision]:
            raise SystemExit(f"{wires} wires: {precision} is off by {error:.2g} of the input; times mean nothing")
    steps = drives.shape[1]
    stimulus = network.info.stimulus(drives[-1], 1e-3)
    ensembles = {
        precision: NanowireEnsemble([network.copy() for _ in range(LANES)], precision=precision)  # type: ignore[arg-type]
        for precision in ALLOWED
    }
    times: dict[str, list[float]] = {name: [] for name in ("alone", *ensembles)}
    for _ in range(5 if quick else 15):
        times["alone"].append(processor_time(lambda: network.advance(stimulus)) / steps)
        for precision, ensemble in ensembles.items():
            times[precision].append(processor_time(lambda e=ensemble: e.advance(drives, 1e-3)) / steps / LANES)  # type: ignore[misc]
    row: dict[str, Any] = {"wires": wires, "junctions": len(network.junctions), "steps": steps, "errors": errors}
    row["us"] = {name: min(each) * 1e6 for name, each in times.items()}
    row["ratios"] = {name: float(np.median(np.array(times["alone"]) / times[name])) for name in ensembles}
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", CoarseStepWarning)  # how long a step takes is measured, not what it leads to
    rows = [measure(wires, chosen.quick) for wires in (100, 500, 2000, 10_000)]
    if chosen.json:
        print(json.dumps({"benchmark": "nanowire_ensembles", "machine": platform.processor(), "rows": rows}))
        return
    print(
        f"{LANES} networks in lanes, processor time of a network step, us (least), and median ratio to one network:\n"
    )
    print("| wires | junctions | one | double | mixed | single | error of mixed, of single, of the input |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [f"{row['us'][name]:.3g}: {row['ratios'][name]:.1f} x" for name in ALLOWED]
        print(
            f"| {row['wires']} | {row['junctions']} | {row['us']['alone']:.3g} | {' | '.join(cells)} "
            f"| {row['errors']['mixed']:.1e}, {row['errors']['single']:.1e} |"
        )


if __name__ == "__main__":
    main()
