"""How far a culture with steps of 0.5 ms is from the same culture with 0.1 ms, and how much faster.

The same cultures (seeds 0 on) with both steps, the longer one with and without ``continuity_correction``: rates,
variation of intervals, bursts and responses to pulses, as the mean over the cultures, its relative difference to 0.1
ms, and the standard error of that difference. Spike trains diverge within tenths of a second, so that only statistics
can be compared.

    python benchmarks/culture_coarse_steps.py [--json] [--seeds 6]
"""

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from inmateria.protocols.activity import activity_figures
from inmateria.simulators import NeuralCulture, Pulses

MODES: dict[str, dict[str, Any]] = {
    "0.1 ms": {"dt": 1e-4},
    "0.5 ms": {"dt": 5e-4},
    "0.5 ms, corrected": {"dt": 5e-4, "continuity_correction": True},
}
VOLLEY = np.arange(8, 24)


def figures(seed: int, regime: str, mode: dict[str, Any]) -> dict[str, float]:
    """Measure one culture."""
    culture = NeuralCulture(seed=seed, regime=regime, **mode)
    culture.run(8.0)
    duration = 20.0 if regime == "asynchronous" else 60.0
    begun = time.thread_time()
    activity = culture.run(duration, neuron_spikes=True)
    spent = (time.thread_time() - begun) / duration
    assert activity.neuron_spikes is not None
    times, which = activity.neuron_spikes["time"], activity.neuron_spikes["channel"]
    rates = np.bincount(which, minlength=1000) / duration
    order = np.lexsort((times, which))
    parts = np.split(times[order], np.searchsorted(which[order], np.arange(1, 1000)))
    intervals = [np.diff(part) for part in parts if len(part) > 20]
    found: dict[str, Any] = {
        "excitatory rate, Hz": rates[:800].mean(),
        "inhibitory rate, Hz": rates[800:].mean(),
        "interval CV": np.mean([each.std() / each.mean() for each in intervals]),
    }
    if regime == "bursting":
        counts = np.zeros((round(duration / 0.002), 32))
        np.add.at(counts, ((activity.spikes["time"] / 0.002).astype(int), activity.spikes["channel"]), 1)
        summary = activity_figures(counts, 0.002)
        for name in (
            "spikes in bursts (fraction)",
            "network bursts a minute",
            "duration of a burst (s, median)",
            "exponent of avalanche sizes",
        ):
            found[name] = summary[name]
        volleys = []
        for _ in range(6):
            later = culture.run(10.0, Pulses(np.full(len(VOLLEY), 8.0), VOLLEY, 3e-6)).spikes["time"] - 8.0
            volleys.append(np.histogram(later, [0.0, 0.02, 0.1, 0.2, 0.3])[0])
        names = ("0 to 20", "20 to 100", "100 to 200", "200 to 300")
        found |= {
            f"spikes {name} ms after a volley": n for name, n in zip(names, np.mean(volleys, axis=0), strict=True)
        }
    else:
        evoked = []
        for electrode in range(32):
            run = culture.run(2.0, Pulses(1.0, electrode, 2e-6), neuron_spikes=True)
            assert run.neuron_spikes is not None
            later = run.neuron_spikes["time"] - 1.0
            usual = np.count_nonzero((later > -0.9) & (later < 0)) / 0.9
            evoked.append(np.count_nonzero((later >= 0) & (later < 0.02)) - 0.02 * usual)
        found["neurons' spikes evoked in 20 ms by 2 uA"] = np.mean(evoked)
    return {name: float(value) for name, value in found.items()} | {"ms a simulated s": 1e3 * spent}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--seeds", type=int, default=6, help="how many cultures of each regime")
    chosen = parser.parse_args()
    rows = []
    for regime in ("asynchronous", "bursting"):
        # Each seed with all steps in turn, so that the machine's other work falls on all alike.
        found = [[figures(seed, regime, mode) for mode in MODES.values()] for seed in range(chosen.seeds)]
        for name in found[0][0]:
            usual, *others = (np.array([each[k][name] for each in found]) for k in range(len(MODES)))
            row: dict[str, Any] = {"regime": regime, "figure": name, "mean": usual.mean(), "spread": usual.std(ddof=1)}
            for mode, other in zip(list(MODES)[1:], others, strict=True):
                row[mode] = {
                    "mean": other.mean(),
                    "error": other.mean() / usual.mean() - 1,
                    "standard error": (other - usual).std(ddof=1) / len(usual) ** 0.5 / usual.mean(),
                }
            rows.append(row)
        print(f"{regime}: done", file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps({"benchmark": "culture, coarse steps", "seeds": chosen.seeds, "rows": rows}))
        return
    print(f"| {chosen.seeds} cultures | 0.1 ms, spread over seeds | " + " | ".join(list(MODES)[1:]) + " |")
    print("|" + " --- |" * (1 + len(MODES)))
    for row in rows:
        cells = [
            f"{row[mode]['mean']:.3g} ({row[mode]['error']:+.1%} ± {row[mode]['standard error']:.1%})"
            for mode in list(MODES)[1:]
        ]
        print(f"| {row['regime']}: {row['figure']} | {row['mean']:.3g} ± {row['spread']:.2g} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
