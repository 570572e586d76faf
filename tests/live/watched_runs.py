"""Runs in processes of their own, to be watched: ``python watched_runs.py FOLDER TASK SETTINGS(JSON) HELD KEEP``.

A run stands still in the middle of its series for as long as the file HELD is there.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
Found = TypeVar("Found")


def start(runs: Path, task: str, held: Path, keep: str = "all", **settings: object) -> subprocess.Popen[bytes]:
    """Start a run."""
    return subprocess.Popen([sys.executable, __file__, str(runs), task, json.dumps(settings), str(held), keep])


def folder_in(runs: Path) -> Path:
    """Wait for the folder of the run that was started."""
    return until(lambda: next(iter(runs.glob("*/progress.jsonl")), None)).parent


def until(look: Callable[[], Found | None], seconds: float = 60.0) -> Found:
    """Look until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came in {seconds:g} s")


def _main(runs: str, task: str, settings: str, held: str, keep: str) -> None:
    sys.path.insert(0, str(HERE.parent))
    from leaky import LeakySimulator

    from inmateria.adapters.simulated import SimulatedSubstrate
    from inmateria.protocols.runner import run_task
    from inmateria.protocols.task import find_task
    from inmateria.substrate import Response, Stimulus

    class Held(LeakySimulator):
        pieces = 0

        def advance(self, stimulus: Stimulus) -> Response:
            self.pieces += len(stimulus.drive) > 1
            while self.pieces > 4 and Path(held).exists():
                time.sleep(0.02)
            return super().advance(stimulus)

    found = find_task(task)
    chosen = found.settings_from(json.loads(settings))
    asyncio.run(
        run_task(
            found, chosen, SimulatedSubstrate(Held(inputs=3, outputs=8)), Path(runs), lambda *_: None,
            on="leaky://", over="local", keep=keep, report=False, passport=False,  # type: ignore[arg-type]
        )
    )  # fmt: skip


if __name__ == "__main__":
    _main(*sys.argv[1:])
