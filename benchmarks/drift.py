"""Has it drifted, and is it the same device: error rates on simulated nanowire networks.

Claim: where nothing changed, at most a part alpha of the calibrations says that something has; drift is seen within
days; another device is taken for the known one in at most a part alpha of the cases. Each network has a noise of
5 % on every conductance and parameters that walk by 2 % a day.
"""

import argparse
import asyncio
import json
import warnings

import numpy as np
from scipy.stats import kstest

from inmateria.adapters import SimulatedSubstrate
from inmateria.devices import Fingerprint, Probe, calibrate, compare, recognise
from inmateria.simulators import CoarseStepWarning, NanowireNetwork, Variability

ALPHAS = (0.01, 0.05)
DAYS = (1, 3, 10, 30)
PROBE = Probe(steps=20, repeats=8, step=0.02, rest=0.5)

Row = dict[str, float | int | str]


async def life_of(seed: int) -> list[Fingerprint]:
    """Calibrate one network twice, and then after each of the days."""
    network = NanowireNetwork(seed=seed, variability=Variability(noise=0.05, aging=0.02), integration_step=5e-3)
    substrate = SimulatedSubstrate(network)
    taken = [await calibrate(substrate, PROBE), await calibrate(substrate, PROBE)]
    for before, day in zip((0, *DAYS), DAYS, strict=False):
        network.age(86400.0 * (day - before))
        taken.append(await calibrate(substrate, PROBE))
    return taken


def measure(devices: int) -> tuple[list[Row], float]:
    lives = [asyncio.run(life_of(seed)) for seed in range(devices)]
    rows: list[Row] = []
    unchanged = 1.0
    first = [life[0] for life in lives]
    for index, age in enumerate(("at once", *(f"{day} days later" for day in DAYS))):
        found = [compare(life[0], life[index + 1], seed=seed) for seed, life in enumerate(lives)]
        p_values = np.array([each.p_value for each in found])
        if not index:
            unchanged = float(kstest(p_values, "uniform").pvalue)
        known = [
            recognise(life[index + 1], life[0], [each for other, each in enumerate(first) if other != number])
            for number, life in enumerate(lives)
        ]
        row: Row = {"calibrated again": age, "distance": float(np.mean([each.distance for each in found]))}
        row |= {f"said to have drifted, alpha {alpha:g}": float(np.mean(p_values <= alpha)) for alpha in ALPHAS}
        row["recognised, alpha 0.05"] = float(np.mean([each.same(0.05) for each in known]))
        rows.append(row)
    strangers = []
    for number, life in enumerate(lives):
        rest = [each for other, each in enumerate(first) if other not in (number, (number + 1) % devices)]
        strangers.append(recognise(lives[(number + 1) % devices][1], life[0], rest))
    rows.append(
        {
            "calibrated again": "another device",
            "distance": float(np.mean([each.distance for each in strangers])),
            "recognised, alpha 0.05": float(np.mean([each.same(0.05) for each in strangers])),
        }
    )
    return rows, unchanged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--devices", type=int, default=60)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", CoarseStepWarning)  # of all sixty: their junctions switch within a step
    rows, unchanged = measure(asked.devices)
    if asked.json:
        print(
            json.dumps({"claim": "false alarms <= alpha", "devices": asked.devices, "uniform": unchanged, "rows": rows})
        )
        return
    headings = list(rows[0])
    print(f"{asked.devices} networks; p-values at once against the uniform distribution: KS p = {unchanged:.2f}")
    print(" | ".join(headings))
    for row in rows:
        cells = [row.get(heading, "") for heading in headings]
        print(" | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells))


if __name__ == "__main__":
    main()
