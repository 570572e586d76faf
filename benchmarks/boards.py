"""A board in the emulated chip: steps a second, one exchange beside a bare question, and many steps over a bad line.

The chip is emulated on this machine: its clock is slow where the machine is busy, and times of the chip are its own.

    python benchmarks/boards.py
    python benchmarks/boards.py --only-bad-line --bad-line 1000000 --boards 8
"""

import argparse
import asyncio
import json
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from inmateria.adapters.boards.emulator import EmulatedBoard
from inmateria.adapters.boards.protocol import FrameType
from inmateria.adapters.boards.substrate import serial_from_uri
from inmateria.substrate import Stimulus


async def pipelined(step: float, steps: int = 4000) -> dict[str, float]:
    """Return how long steps took on the chip's clock and on this machine's, and how many were late."""
    with EmulatedBoard() as board:
        async with serial_from_uri(f"{board.uri}?step={step}") as substrate:
            stimulus = Stimulus(substrate.info.rest_drive(steps), step)
            chip, here = board.seconds, time.perf_counter()
            await substrate.stimulate(stimulus)
            chip, here = board.seconds - chip, time.perf_counter() - here
    status = substrate.status  # as the board told it at the end
    assert status is not None
    return {
        "asked": 1 / step,
        "steps a second of the chip": steps / chip,
        "steps a second": steps / here,
        "late": status.late,
        "bytes lost by the chip": status.overruns,
        "sent again": substrate.resent,
    }


async def single(count: int = 300) -> dict[str, float]:
    """Return the median times of an exchange of one step, less the step, and of a question that is answered at once."""
    exchanges, questions = [], []
    with EmulatedBoard() as board:
        async with serial_from_uri(f"{board.uri}?step=0.0002") as substrate:
            stimulus = substrate.info.stimulus(substrate.info.rest_drive())
            for _ in range(count):  # alternately, so that both have the same load beside them
                begun = time.perf_counter()
                await substrate.stimulate(stimulus)
                between = time.perf_counter()
                await substrate._link._ask(FrameType.DESCRIBE, 255)
                exchanges.append(between - begun - stimulus.step)
                questions.append(time.perf_counter() - between)
    exchange, question = float(np.median(exchanges)), float(np.median(questions))
    return {"exchange, ms": 1e3 * exchange, "question, ms": 1e3 * question, "ratio": exchange / question}


async def bad_line(steps: int, boards: int) -> dict[str, float]:
    """Return what became of numbered steps with 1 % of bytes damaged, cuts, unplugged boards and resets.

    The steps are shared by several boards, each with its own chip and line.
    """
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "firmware"))
    run_over_bad_line = import_module("bad_line").run_over_bad_line

    each = steps // boards
    many = max(1, each // 2000)
    begun = time.perf_counter()
    accounts = await asyncio.gather(
        *(run_over_bad_line(each, seed=seed, cuts=many, resets=many, unplugs=many) for seed in range(boards))
    )
    return {
        "boards": boards,
        "steps": each * boards,
        "applied": sum(len(account.applied) for account in accounts),
        "accounted for": sum(len(account.expected) for account in accounts),
        "boards with lost or doubled": sum(account.applied != account.expected for account in accounts),
        "cuts": sum(account.cuts for account in accounts),
        "unplugged": sum(account.unplugs for account in accounts),
        "resets": sum(account.resets for account in accounts),
        "sent again": sum(account.resent for account in accounts),
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bad-line", type=int, default=1000, metavar="STEPS")
    parser.add_argument("--boards", type=int, default=4, help="boards that share the steps over a bad line")
    parser.add_argument("--only-bad-line", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = {}
    if not given.only_bad_line:
        for step in (200e-6, 400e-6, 1e-3):
            results[f"pipelined, {1e6 * step:.0f} us"] = asyncio.run(pipelined(step))
        results["single"] = asyncio.run(single())
    results["bad line"] = asyncio.run(bad_line(given.bad_line, given.boards))
    if given.json:
        print(json.dumps(results))
        return
    for name, figures in results.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:28} {value:.6g}")


if __name__ == "__main__":
    main()
