"""Choose the settings of tasks and benchmarks anew, on data that no reported figure tests on.

    python benchmarks/choose_settings.py [--only NAME ...] [--trials N] [--workers N] [--folder FOLDER] [--list]

Every choice is of two steps. First settings are tried: by a search (`inmateria.desk.search`), or all of a grid. Then
the best of them stands beside the present settings on further seeds of validation, since the best of many reads too
good: it is worth taking if it is better there by more than twice the standard error of the difference. Both run on
part="validation" of the task's data: of digits and flowers the items that no split tests on, of series and sequences
those of seeds from 2**31 on, of Mackey-Glass another beginning. Networks have seeds from 101 on, those of the reports
other ones.

`local-training` is the grids of the trainings of benchmarks/local_training.py, `--methods` names some of them;
`published-iris` that of the sign rule in published_learning.py. --list prints the plan. What is tried is kept in the
folder as it comes, so that Ctrl-C loses only the trial that runs: the same command goes on. At the end of each choice
stand what it took, and the command that scores the settings on what is reported.
"""

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import local_training
import numpy as np
import published_learning
from nanowire_tasks import ROWS, UNSTEADY

from inmateria.adapters import connect
from inmateria.desk.processes import Progress
from inmateria.desk.search_space import shown_value, with_parameter
from inmateria.desk.search_trials import objective_of
from inmateria.desk.searching import search
from inmateria.protocols.data_parts import data_of
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import read_run
from inmateria.protocols.series import MIXING_NETWORK
from inmateria.protocols.task import find_task
from inmateria.reservoir import training_named

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A search: of which task, over which settings, with which held.

    `meant` is held where the best is reported, too, and `smaller` in the search only, which it makes cheaper. `row` is
    that of nanowire_tasks.py whose settings the best stands beside, if they are not the defaults.
    """

    task: str
    over: dict[str, str]
    on: str | None = None
    meant: dict[str, Any] = field(default_factory=dict)
    smaller: dict[str, Any] = field(default_factory=dict)
    trials: int = 40
    seeds: int = 2
    further: int = 4
    row: str | None = None

    @property
    def now(self) -> dict[str, Any]:
        """Settings beside the defaults with which it is reported now."""
        return next((dict(row.settings) for row in ROWS if row.name == self.row), {})

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that are the same in all trials."""
        return {"round_trips": 1, **self.meant, **self.smaller}


MIXED = {"amplitude": "log:.003..0.2", "bias": "log:.3..10", "bias_spread": "0..1", "step": "log:.003..0.05"}
BURSTING = "culture://?dt=5e-4&seed=101"
MIXING = f"{MIXING_NETWORK}&seed=101..102"
CHOICES: dict[str, Choice] = {
    "digits": Choice(
        task="digits",
        on="nanowire://?seed=101",
        smaller={"splits": 1},
        over={"amplitude": "log:.01..0.2", "positions": "1..3", "step": "log:.004..0.025", "window": "4..6"},
        trials=12,
        seeds=1,
    ),
    "sequence-memory": Choice(
        task="sequence-memory",
        on="nanowire://?seed=101",
        meant={"back": 1},
        smaller={"digits": 1500},
        over={"amplitude": "log:.02..0.6", "step": "log:.002..0.05", "positions": "1..3"},
        trials=12,
        seeds=1,
    ),
    "waveform": Choice(
        task="waveform",
        on="nanowire://?seed=101",
        over={"amplitude": "log:.02..1", "bias": "0..4"},
        trials=20,
        seeds=1,
    ),
    "stack": Choice(
        task="stack",
        smaller={
            "layers": "nanowire://?seed=101,nanowire://?seed=102,nanowire://?seed=103",
            "compare": False, "held_out": 224,
        },
        over={"amplitude": ".2..1", "gain": "log:.05..1", "hold": "2..6"},
        trials=20,
        seeds=1,
    ),
    "digits-learned": Choice(
        task="digits",
        on="clln://?seed=101",
        over={"first": "log:.1..1", "last": "log:.01..0.5", "label": "log:.003..0.1"},
        trials=20,
        seeds=1,
    ),
    "iris": Choice(
        task="iris",
        on="clln://?seed=101",
        over={"first": "log:.05..1", "last": "log:.01..0.5"},
        trials=30,
        seeds=5,
    ),
    "mackey-glass": Choice(task="mackey-glass", on=MIXING, over=MIXED, trials=20),
    "mackey-glass-feedback": Choice(
        row="Mackey-Glass with feedback",
        task="mackey-glass", on=MIXING, over={**MIXED, "feedback": ".5..2"},
    ),
    "narma": Choice(task="narma", on=MIXING, over=MIXED),
    "narma-feedback": Choice(
        row="NARMA-5 with feedback",
        task="narma", on=MIXING, meant={"order": 5},
        over={**MIXED, "bias": "log:.3..100", "feedback": ".5..2"},
    ),
    "narma-noise": Choice(
        row="NARMA-2, noise of junctions",
        task="narma", on=f"{UNSTEADY}&seed=101..102", over=MIXED,
    ),
    "parity": Choice(
        task="parity", on=f"{find_task('parity').on}&seed=101..102", over=MIXED,
    ),
    "parity-feedback": Choice(
        row="parity with feedback",
        task="parity", on=MIXING, meant={"samples": 1}, over={**MIXED, "feedback": ".5..2"},
    ),
    "delayed-match": Choice(task="delayed-match", on=MIXING, over=MIXED),
    "row-digits": Choice(
        task="row-digits", on=f"{MIXING_NETWORK}&seed=101", smaller={"splits": 1}, over=MIXED,
        trials=20, seeds=1,
    ),
    "spoken-vowels": Choice(
        task="spoken-vowels", on=MIXING, over=MIXED, trials=20,
    ),
    "memory": Choice(
        row="memory, sum of r²",
        task="memory", on=MIXING, meant={"bias_sign": "random", "samples": 1},
        over={**MIXED, "amplitude": "log:.001..0.2", "bias": "log:.3..100"},
    ),
    "pulse-xor": Choice(
        task="pulse-xor", on=BURSTING,
        over={"rest": "1..4", "duration": ".1..0.5"}, trials=8, seeds=1,
    ),
    "timer": Choice(
        task="timer", on=BURSTING, meant={"trials": 60, "duration": 0.5},
        over={"rest": "1..4", "bin": ".025,.05,.1"}, trials=8, seeds=1,
    ),
    "henon": Choice(
        task="henon", on=BURSTING, over={"features": "counts,rates", "width": "1..3"},
        trials=8, seeds=1,
    ),
    "patterns": Choice(
        task="patterns", on=BURSTING, meant={"trials": 200},
        over={"features": "counts,rates", "rest": ".5..3"}, trials=8, seeds=1,
    ),
    "japanese-vowels": Choice(
        task="japanese-vowels", on=f"{BURSTING}&electrodes=64",
        over={"features": "counts,rates", "width": "1..3", "bins": "2..5"}, trials=8, seeds=1,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Settings of a training of stacks that are tried beside its defaults."""

    training: str
    tried: tuple[dict[str, Any], ...]
    noise: float = 0.02
    further: int = 6


def every(**values: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Return all combinations of values of some settings."""
    return tuple(dict(zip(values, each, strict=True)) for each in product(*values.values()))


RATES = (0.003, 0.01, 0.03)
GRIDS: dict[str, Grid] = {
    "bottleneck-in-turn": Grid(
        training="bottleneck-in-turn", tried=every(ridge=(1e-4, 1e-3)) + every(gain=(0.15, 0.6))
    ),
    "bottleneck-online": Grid(
        training="bottleneck-online", tried=every(forgetting=(0.8, 0.9, 0.95), ridge=(1e-2, 1e-1))
    ),
    "hsic": Grid(training="hsic", tried=every(learning_rate=(0.01, 0.03), regularisation=(1e-3, 1e-2, 1e-1))),
    "phsic": Grid(
        training="phsic",
        tried=every(learning_rate=(0.003, 0.005, 0.01), lambda_y=(1.0, 2.0, 4.0)) + every(sigma=(0.5, 1.5, 2.0)),
    ),
    "local-ce": Grid(training="local-ce", tried=every(learning_rate=RATES)),
    "forward-forward": Grid(
        training="forward-forward", tried=every(learning_rate=(0.003, 0.01, 0.03), sharpness=(1.0, 4.0))
    ),
    "augmented-dfa": Grid(training="augmented-dfa", tried=every(learning_rate=(0.001, *RATES))),
    "dfa": Grid(training="dfa", tried=every(learning_rate=(0.001, 0.003, 0.01))),
    "physics-aware": Grid(training="physics-aware", tried=every(learning_rate=RATES)),
    "oracle": Grid(training="oracle", tried=every(learning_rate=RATES)),
    "in-silico": Grid(
        training="in-silico",
        tried=every(learning_rate=RATES, explore=(0.1, 0.3, 1.0)) + every(twin_passes=(1, 4)),
    ),
    "spsa": Grid(training="spsa", tried=every(learning_rate=(0.003, 0.01), nudge=(0.02, 0.1))),
    "local-spsa": Grid(
        training="local-spsa", tried=every(learning_rate=(0.003, 0.01), nudge=(0.02, 0.1), batch_size=(32, 128))
    ),
    "node-perturbation": Grid(
        training="node-perturbation", tried=every(learning_rate=(0.01, 0.03), nudge=(0.1, 0.3), batch_size=(64, 128))
    ),
    "evolution-strategies": Grid(
        training="evolution-strategies",
        tried=every(learning_rate=(0.01, 0.03), nudge=(0.05, 0.2)) + every(pairs=(4,)),
        further=4,
    ),
    # The gain of the closed forms was chosen at 2 % noise of reading: here it is at 30 %.
    "bottleneck-in-turn-noisy": Grid(training="bottleneck-in-turn", tried=every(gain=(0.15, 0.6, 0.8, 1.2)), noise=0.3),
}
TRIED_ON = (101, 102)


def difference(names: tuple[str, str], scores: np.ndarray[Any, Any], tell: Tell) -> bool:
    """Compare settings with the defaults, scores (2, seeds), on further seeds; return whether they are worth taking."""
    apart = scores[0] - scores[1]
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    taken = bool(apart.mean() > 2 * error)
    tell(
        f"  on {len(apart)} further seeds: {names[0]} {scores[0].mean():.4f}, {names[1]} {scores[1].mean():.4f}; "
        f"difference {apart.mean():+.4f}, standard error {error:.4f}: "
        f"{'worth taking' if taken else 'the present settings stay'}"
    )
    return taken


def validation_problem(seed: int, noise: float) -> local_training.Problem:
    """Return digits that no reported split tests on, a quarter of them held back, and media of another seed."""
    with data_of("validation"):
        X, y, T, t = local_training.split_digits(seed, held_out=224)
    uris, wide = local_training.media(3, 20, 100, noise, seed)
    return local_training.Problem(uris=uris, wide=wide, X=X, y=y, T=T, t=t, seed=seed)


def settings_tried(grid: Grid) -> list[dict[str, Any]]:
    """Return the defaults (none), and all of a grid that differ from them."""
    name = "physics-aware" if grid.training == "oracle" else grid.training
    return [{}, *(each for each in grid.tried if training_named(name, **each) != training_named(name))]


def choose_training(name: str, kept: local_training.KeptResults, tell: Tell) -> None:
    """Try a grid, then the best of it beside the defaults on further seeds; mean of last and all layers."""
    grid, begun, ran = GRIDS[name], time.perf_counter(), 0

    def score(settings: dict[str, Any], seed: int) -> tuple[float, float]:
        nonlocal ran
        training = training_named("physics-aware" if grid.training == "oracle" else grid.training, **settings)
        key = f"{grid.training}, {training}, noise {grid.noise}, seed {seed}"
        ran += key not in kept.results

        async def run() -> dict[str, Any]:
            problem = validation_problem(seed, grid.noise)
            return await local_training.run_strategy(problem, grid.training, **settings)

        found = asyncio.run(kept.result(key, run))
        return found["last"], found["all"]

    tried = settings_tried(grid)
    tell(f"{name}: {len(tried)} settings on {len(TRIED_ON)} seeds, the best and the defaults on {grid.further} more")
    means = []
    for number, settings in enumerate(tried, start=1):
        last, every_layer = np.mean([score(settings, seed) for seed in TRIED_ON], axis=0).tolist()
        means.append((last + every_layer) / 2)
        seconds = time.perf_counter() - begun
        tell(f"  {number} of {len(tried)}, {seconds:.0f} s: {settings or 'defaults'}: {last:.4f} {every_layer:.4f}")
    best = tried[int(np.argmax(means))]
    words = ""
    if best:
        seeds = range(TRIED_ON[-1] + 1, TRIED_ON[-1] + 1 + grid.further)
        scores = np.array([[np.mean(score(each, seed)) for seed in seeds] for each in (best, {})])
        if difference((str(best), "defaults"), scores, tell):
            words = " --set " + " ".join(f"{name}={value}" for name, value in best.items())
    else:
        tell("  the defaults are the best of those tried, and stay")
    tell(f"  {ran} runs took {time.perf_counter() - begun:.0f} s")
    part = "digits" if grid.noise == 0.02 else f"'noise {grid.noise}'"
    tell(f"  reported with: python benchmarks/local_training.py --part {part} --only {grid.training}{words}")


async def score_of(choice: Choice, parameters: Mapping[str, Any], seed: int) -> float:
    """Return the score on validation of some settings, with a seed of the task that goes with one of the network."""
    task = find_task(choice.task)
    own = {name: value for name, value in parameters.items() if not name.startswith("on.")}
    seeded = {"seed": seed} if hasattr(task.settings, "seed") else {}  # else the network alone has one
    settings = task.settings_from({**choice.settings, **own, **seeded})
    uri = None
    if choice.on is not None:
        uri = with_parameter(choice.on, "seed", 100 + seed)
    uris = task.uris(settings, uri, "validation")
    substrates = [connect(each) for each in uris]
    with tempfile.TemporaryDirectory() as runs:
        folder = await run_task(
            task, settings, substrates if task.several else substrates[0], Path(runs), lambda *told: None,
            on=", ".join(uris), over="local", keep="nothing", report=False, passport=False, part="validation",
        )  # fmt: skip
        found = objective_of("score", read_run(folder).outcome.scores)
    assert found is not None
    return found


def reported(choice: Choice, parameters: Mapping[str, Any]) -> str:
    """Return the command that scores settings on the reported data, with five seeds and networks of those."""
    words = ["inmateria", "sweep", choice.task]
    if choice.on is None:
        words += ["--seeds", "5"]
    else:
        words += ["--on", with_parameter(choice.on, "seed", "1..5")]
    for setting, value in {**choice.meant, **parameters}.items():
        words += ["-s", f"{setting}={shown_value(value)}"]
    return shlex.join(words)


def choose(
    name: str, folder: Path, trials: int | None, workers: int | None, kept: local_training.KeptResults, tell: Tell
) -> None:
    """Run one search, or what is left of it, and print what it found."""
    choice, told = CHOICES[name], -1
    tell(f"{name}: {trials or choice.trials} trials on {choice.seeds} seeds, then the best and the defaults on more")

    def on_progress(now: Progress) -> None:
        nonlocal told
        if now.done > told:
            left = "" if now.left is None else f", about {now.left:.0f} s left"
            tell(f"  {now.done} of {now.of} trials, {now.failed} failed, {now.seconds:.0f} s{left}")
            told = now.done

    begun = time.perf_counter()
    found = search(
        choice.task, choice.on, choice.settings, over=choice.over, trials=trials or choice.trials, seeds=choice.seeds,
        objective="score", folder=folder / name, workers=workers, on_progress=on_progress,
    )  # fmt: skip
    best = found.best
    score = best.ending.value if best.ending is not None else None
    tell(f"  {best.parameters}: {score:.4f} on validation, best of {len(found.trials)} trials")
    tell("  importance: " + ", ".join(f"{each} {part:.2f}" for each, part in found.importances.items()))

    def further(parameters: Mapping[str, Any], seed: int) -> float:
        async def run() -> dict[str, Any]:
            return {"score": await score_of(choice, parameters, seed)}

        return float(asyncio.run(kept.result(f"{name}, {dict(parameters)}, seed {seed}", run))["score"])

    seeds = range(11, 11 + choice.further)
    scores = np.array([[further(each, seed) for seed in seeds] for each in (best.parameters, choice.now)])
    taken = difference(("they", "present ones"), scores, tell)
    tell(f"  took {time.perf_counter() - begun:.0f} s")
    tell(f"  reported with: {reported(choice, best.parameters if taken else choice.now)}")


BENCHMARKS = ("local-training", "published-iris")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*CHOICES, *BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--trials", type=int, help="of each search, in place of its own number")
    parser.add_argument("--workers", type=int, help="processes; one for each processor by default")
    parser.add_argument("--folder", type=Path, default=Path("choices"), help="of the searches")
    parser.add_argument("--list", action="store_true", help="print what would be tried")
    parser.add_argument(
        "--methods", nargs="+", choices=GRIDS, default=list(GRIDS), help="of local-training: these only"
    )
    asked = parser.parse_args()

    def tell(text: str) -> None:
        print(text, flush=True)

    kept = local_training.KeptResults(asked.folder / "results.jsonl")
    try:
        for name in asked.only:
            if asked.list:
                tried = {each: settings_tried(GRIDS[each]) for each in asked.methods}
                print(f"{name}: {CHOICES.get(name, tried if name == 'local-training' else 'a grid of the benchmark')}")
            elif name in CHOICES:
                choose(name, asked.folder, asked.trials, asked.workers, kept, tell)
            elif name == "published-iris":
                published_learning.choose_iris(tell)
            else:
                for method in asked.methods:
                    choose_training(method, kept, tell)
    except KeyboardInterrupt:
        print(f"stopped; what was tried is in {asked.folder}, and the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
