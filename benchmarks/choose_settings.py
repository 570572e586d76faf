"""Choose the settings of tasks and benchmarks anew, on data that no reported figure tests on.

    python benchmarks/choose_settings.py [--only NAME ...] [--trials N] [--workers N] [--folder FOLDER] [--list]

Each entry is one search (`inmateria.desk.search`), which runs part="validation" of the task's data: of digits and
flowers the items that no split tests on, of series and sequences those of seeds from 2**31 on, of Mackey-Glass another
beginning. Networks have seeds from 101 on, those of the reports other ones. A folder that holds an unfinished search is
gone on with. At the end stands the command that scores the best settings on what is reported; the score of the search
itself is one of many, and too good. `local-training` is the grid of benchmarks/local_training.py --part choose, on the
same digits, for the methods named by --methods; `published-iris` that of the sign rule in published_learning.py.
"""

import argparse
import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import local_training
import published_learning

from inmateria.desk.searching import search


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A search: of which task, over which settings, with which held."""

    task: str
    over: dict[str, str]
    on: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    trials: int = 40
    seeds: int = 2


CHOICES: dict[str, Choice] = {
    "digits": Choice(
        task="digits",
        on="nanowire://?seed=101",
        settings={"splits": 1, "round_trips": 1},
        over={"amplitude": "log:.01..0.2", "positions": "1..3", "step": "log:.004..0.025", "window": "4..6"},
        trials=12,
        seeds=1,
    ),
    "sequence-memory": Choice(
        task="sequence-memory",
        on="nanowire://?seed=101",
        settings={"digits": 1500, "back": 1, "round_trips": 1},
        over={"amplitude": "log:.02..0.6", "step": "log:.002..0.05", "positions": "1..3"},
        trials=12,
        seeds=1,
    ),
    "mackey-glass": Choice(
        task="mackey-glass",
        on="nanowire://?seed=101..103",
        settings={"round_trips": 1},
        over={"amplitude": "log:.003..0.5", "bias": "0..4", "step": "log:.005..0.2"},
    ),
    "waveform": Choice(
        task="waveform",
        on="nanowire://?seed=101..103",
        settings={"round_trips": 1},
        over={"amplitude": "log:.02..1", "bias": "0..4"},
    ),
    "stack": Choice(
        task="stack",
        settings={
            "layers": "nanowire://?seed=101,nanowire://?seed=102,nanowire://?seed=103",
            "round_trips": 1, "compare": False, "held_out": 224,
        },
        over={"amplitude": ".2..1", "gain": "log:.05..1", "hold": "2..6"},
        trials=20,
        seeds=1,
    ),
    "digits-learned": Choice(
        task="digits",
        on="clln://?seed=101",
        settings={"round_trips": 1},
        over={"first": "log:.1..1", "last": "log:.01..0.5", "label": "log:.003..0.1"},
        trials=20,
        seeds=1,
    ),
    "iris": Choice(
        task="iris",
        on="clln://?seed=101",
        settings={"round_trips": 1},
        over={"first": "log:.05..1", "last": "log:.01..0.5"},
        trials=30,
        seeds=5,
    ),
}  # fmt: skip
GRIDS = ("local-training", "published-iris")


def choose(name: str, folder: Path, trials: int | None, workers: int | None) -> None:
    """Run one search, or what is left of it, and print what it found."""
    choice = CHOICES[name]
    found = search(
        choice.task, choice.on, choice.settings, over=choice.over, trials=trials or choice.trials, seeds=choice.seeds,
        objective="score", folder=folder / name, workers=workers,
    )  # fmt: skip
    best = found.best
    score = best.ending.value if best.ending is not None else None
    print(f"{name}: {best.parameters}, {score:.4f} on validation, best of {len(found.trials)} trials")
    print("  importance: " + ", ".join(f"{each} {part:.2f}" for each, part in found.importances.items()))
    print(f"  reported with: {found.command()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*CHOICES, *GRIDS], default=[*CHOICES, *GRIDS], metavar="NAME")
    parser.add_argument("--trials", type=int, help="of each search, in place of its own number")
    parser.add_argument("--workers", type=int, help="processes; one for each processor by default")
    parser.add_argument("--folder", type=Path, default=Path("choices"), help="of the searches")
    parser.add_argument("--list", action="store_true", help="print what would be searched")
    parser.add_argument("--methods", nargs="+", default=[], help="of local-training: these only")
    asked = parser.parse_args()

    def tell(text: str) -> None:
        print(text, flush=True)

    for name in asked.only:
        if asked.list:
            print(f"{name}: {CHOICES.get(name, 'a grid of the benchmark')}")
        elif name in CHOICES:
            choose(name, asked.folder, asked.trials, asked.workers)
        elif name == "published-iris":
            published_learning.choose_iris(tell)
        else:
            asyncio.run(local_training.choose(asked.methods, tell))


if __name__ == "__main__":
    main()
