"""Handwritten digits of 8 x 8 pixels shown row by row, and read after the last row only.

A readout without memory has the last row: linear .46, nonlinear about .56 (measured). One with all rows, which are a
memory on a computer, .93 if it is linear. Beside the substrate stands the same with its memory erased before the last
row.
"""

import asyncio
from typing import Annotated, Literal

from msgspec import Meta

from inmateria.protocols.data_sets import digits
from inmateria.protocols.last_steps import LastStepSettings, TrialProblem, run_last_steps
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import unused_in_drive
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class RowDigitSettings(LastStepSettings, frozen=True, kw_only=True):
    """Settings of `row-digits`, beside those of every task that is read after the last step.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples, rest
        As of every drive through a mask; by default driven about constants of random sign. docs/tasks.md says how they
        were chosen.
    splits : int
        Number of splits of the digits.
    held_out : int
        Number of digits that each tests on.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.04
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 2.2
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.25
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.025
    samples: Annotated[int, Meta(ge=1)] = 3
    rest: Annotated[float, Meta(ge=0.0)] = 0.05
    splits: Annotated[int, Meta(ge=1, le=50)] = 5
    held_out: Annotated[int, Meta(ge=10, le=898)] = 450


async def read_rows(substrate: Substrate, settings: RowDigitSettings, on_progress: ProgressCallback) -> Outcome:
    """Show each digit from its upper row to its lower one, and name it."""
    items = await asyncio.to_thread(digits)
    seeds = range(settings.seed, settings.seed + settings.splits)
    problem = TrialProblem(
        title="Digits row by row",
        sentence=f"{len(items.y):,} handwritten digits were shown row by row, and named after the last row.",
        trials=2.0 * items.X.reshape(-1, 8, 8) - 1.0,
        labels=items.y,
        readout="digit",
        folds=[items.split(settings.held_out, seed) for seed in seeds],
        splitting=f"{settings.splits} stratified splits, drawn with the seed, of the same responses.",
    )
    return await run_last_steps(problem, substrate, settings, on_progress)


TASK = Task(
    "row-digits",
    RowDigitSettings,
    read_rows,
    needs="signal",
    unused=unused_in_drive,
    reads=samples_read,
    validation="data",
    on="nanowire://?model=rate-balance&wires=115&inputs=20&electrodes=86",
)
