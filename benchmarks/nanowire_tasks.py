"""Tasks in time on simulated nanowire networks, beside controls that could win: the table of docs/tasks.md.

    python benchmarks/nanowire_tasks.py [--json] [--seeds N] [--only TEXT]

Each row is a task with its default settings, or with those named here, on its network with rate-balance junctions, and
is run on N networks, masks and draws of the data (seeds 1 to N, five by default; no settings were chosen on any of
them). A run's score is the mean over its held-out blocks or splits; the table gives mean and standard deviation over
seeds.
`simple` is the best control that lacks memory or nonlinearity, `best` the best of all, a computer's memory among them;
their gains are differences seed by seed. Five seeds take half an hour of one core.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, pstdev
from types import MappingProxyType
from typing import Any, NamedTuple

from inmateria.adapters import connect
from inmateria.protocols import find_task, read_run, run_task
from inmateria.protocols.last_steps import ERASED
from inmateria.protocols.outcome import Score
from inmateria.protocols.series import MIXING_NETWORK

MANY = "nanowire://?model=rate-balance&wires=430&inputs=20&electrodes=400"
UNSTEADY = "nanowire://?model=rate-balance&wires=115&inputs=20&electrodes=100&variability.noise=0.01"


class Row(NamedTuple):
    """A row of the table: its name, the task, settings beside the defaults, and a URI if it is not the task's own."""

    name: str
    task: str
    settings: Mapping[str, Any] = MappingProxyType({})
    on: str | None = None


FED_BACK = {"amplitude": 0.0037, "bias": 39.0, "bias_spread": 0.95, "step": 0.017, "feedback": 1.06}
ROWS = [
    Row("Mackey-Glass, 84 ahead", "mackey-glass"),
    Row(
        "Mackey-Glass with feedback",
        "mackey-glass",
        {"amplitude": 0.0575, "bias": 0.84, "bias_spread": 0.4, "step": 0.0044, "feedback": 1.2},
    ),
    Row("Mackey-Glass, 400 features", "mackey-glass", {}, MANY),
    Row("NARMA-2", "narma"),
    Row(
        "NARMA-2, noise of junctions",
        "narma",
        {"amplitude": 0.036, "bias": 1.4, "bias_spread": 0.98, "step": 0.022},
        UNSTEADY,
    ),
    Row("NARMA-5", "narma", {"order": 5}),
    Row("NARMA-5 with feedback", "narma", {"order": 5, **FED_BACK}),
    Row("NARMA-10 with feedback", "narma", {"order": 10, **FED_BACK}),
    Row("exclusive or of bits 1 and 2 back", "parity", {"bits": 2}),
    Row("parity of bits 1 to 3 back", "parity"),
    Row(
        "parity with feedback",
        "parity",
        {"amplitude": 0.076, "bias": 0.81, "bias_spread": 0.74, "step": 0.018, "samples": 1, "feedback": 1.6},
        MIXING_NETWORK,
    ),
    Row("delayed match", "delayed-match"),
    Row("digits row by row", "row-digits"),
    Row("speakers of vowels", "spoken-vowels"),
    Row(
        "memory, sum of r²",
        "memory",
        {"amplitude": 0.0015, "bias": 100.0, "bias_spread": 0.95, "bias_sign": "random", "step": 0.017, "samples": 1},
        MIXING_NETWORK,
    ),
]


def run(row: Row, seed: int) -> tuple[Score, ...]:
    """Return the scores of one run."""
    task = find_task(row.task)
    settings = task.settings(**{"seed": seed, "round_trips": 1, **row.settings})
    uri = f"{row.on or task.on}&seed={seed}"
    with tempfile.TemporaryDirectory() as scratch:
        running = run_task(
            task, settings, connect(uri), Path(scratch), lambda *_: None,
            on=uri, over="local", keep="nothing", report=False, passport=False,
        )  # fmt: skip
        return read_run(asyncio.run(running)).outcome.scores


def summary(row: Row, seeds: int) -> dict[str, Any]:
    """Return mean and standard deviation over seeds of the substrate, of each control and of the gains."""
    by_seed = [run(row, seed) for seed in range(1, seeds + 1)]
    found: dict[str, list[float]] = {}
    simple, best, above = [], [], []
    for scores in by_seed:
        own = next(score for score in scores if not score.control)
        controls = [score for score in scores if score.control and score.readout == own.readout and score.on != ERASED]
        for score in scores:
            found.setdefault(score.on, []).append(fmean(score.splits))
            above += [fmean(own.splits) - fmean(score.splits)] if score.on == ERASED else []
        found.setdefault("1 % noise", []).append(fmean(own.noisy))
        simple.append(fmean(own.splits) - max(fmean(each.splits) for each in controls if each.kind != "digital"))
        best.append(fmean(own.splits) - max(fmean(each.splits) for each in controls))
    gains = {"gain over simple": simple, "gain over best": best} | ({"above erased memory": above} if above else {})
    features = next(score.features for score in by_seed[0] if not score.control)
    stated = {on: (fmean(values), pstdev(values)) for on, values in (found | gains).items()}
    return {
        "row": row.name,
        "task": row.task,
        "settings": dict(row.settings),
        "features": features,
        "seeds": seeds,
        **stated,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row")
    parser.add_argument("--seeds", type=int, default=5, help="networks, masks and draws of the data")
    parser.add_argument("--only", default="", help="rows whose name has this text")
    given = parser.parse_args()
    for row in ROWS:
        if given.only not in row.name:
            continue
        made = summary(row, given.seeds)
        if given.json:
            print(json.dumps(made), flush=True)
        else:
            stated = (f"{on} {each[0]:.3f} ± {each[1]:.3f}" for on, each in made.items() if isinstance(each, tuple))
            print(f"{row.name} ({made['features']} features): " + ", ".join(stated), flush=True)


if __name__ == "__main__":
    main()
