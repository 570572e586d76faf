"""Mutation tests of the promises that must not break: each mutant of `mutants/*.json` must make a test fail.

Run by ``make mutants`` and not in continuous integration. A mutant is one replacement in one file; it is killed where
one of its tests fails, and survives where all pass. Each runs on a copy of the tree, two at a time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).parent.parent
PARTS = (
    "inmateria",
    "firmware",
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "pyproject.toml",
    "README.md",
    "CONTRIBUTING.md",
)
PATIENCE = 300  # s; tests that hang have noticed the mutant, too


class Mutant(TypedDict):
    """One replacement: `old`, which stands once in `file`, becomes `new`; `tests` are pytest's arguments."""

    file: str
    old: str
    new: str
    tests: list[str]


def mutants_in(paths: list[Path]) -> list[Mutant]:
    """Read all mutants, each with a replacement that is found exactly once."""
    read: list[Mutant] = [mutant for path in paths for mutant in json.loads(path.read_text(encoding="utf-8"))]
    for mutant in read:
        found = (ROOT / mutant["file"]).read_text(encoding="utf-8").count(mutant["old"])
        if found != 1:
            raise SystemExit(f"{mutant['file']} has {found} of {mutant['old']!r}; a mutant needs exactly one")
    return read


def survives(mutant: Mutant | None, tests: list[str]) -> bool:
    """Run tests on a copy of the tree with a mutant in it; True where all pass."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for part in PARTS:
            place = ROOT / part
            if place.is_dir():
                shutil.copytree(place, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(place, copy / part)
        if mutant is not None:
            file = copy / mutant["file"]
            text = file.read_text(encoding="utf-8").replace(mutant["old"], mutant["new"])
            file.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": name, "CI": "", "NUMBA_CACHE_DIR": str(ROOT / ".numba_mutants")}
        try:
            told = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        if told.returncode not in (0, 1):  # neither passed nor failed: no test ran
            raise SystemExit(f"pytest {' '.join(tests)} ended with {told.returncode}: {told.stdout.decode()[-500:]}")
        return told.returncode == 0


def main() -> None:
    """Run every mutant and list those that survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=sorted((ROOT / "tests" / "mutants").glob("*.json")))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    mutants, console = mutants_in(asked.files), Console(stderr=True)
    groups = sorted({tuple(mutant["tests"]) for mutant in mutants})
    with Progress(console=console) as bar, ThreadPoolExecutor(asked.jobs) as pool:
        sound = bar.add_task("tests without a mutant", total=len(groups))
        for group, passed in zip(groups, pool.map(lambda tests: survives(None, list(tests)), groups), strict=True):
            if not passed:
                raise SystemExit(f"pytest {' '.join(group)} fails without a mutant, so it can kill none")
            bar.advance(sound)
        done = bar.add_task("mutants", total=len(mutants))
        left = []
        for mutant, survived in zip(
            mutants, pool.map(lambda each: survives(each, each["tests"]), mutants), strict=True
        ):
            bar.advance(done)
            if survived:
                left.append(mutant)
                console.print(f"survives: {mutant['file']}: {mutant['old']!r} -> {mutant['new']!r}", markup=False)
    console.print(f"{len(mutants)} mutants, {len(left)} survive")
    raise SystemExit(1 if left else 0)


if __name__ == "__main__":
    main()
