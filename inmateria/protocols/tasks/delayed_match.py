"""Delayed match: whether two symbols with others between them were alike, named some symbols later.

Trials follow one another without rest. In each, a first symbol is shown, then distractors, then a second symbol, which
is the first one in half of the trials, then more distractors; the answer is read at the end. Either symbol alone says
nothing of the answer, so that a readout without memory is right half of the time, and no sum over symbols correlates
with it: a linear readout of all of them is right half of the time over draws, and at most three quarters if there are
two symbols. A delayed match-to-sample test: Blough, J. Exp. Anal. Behav. 2, 151 (1959).
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Outcome
from inmateria.protocols.scoring import Labels
from inmateria.protocols.series import (
    MIXING_NETWORK,
    LabelledSeries,
    SeriesSettings,
    run_labelled_series,
    unused_in_series,
)
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class MatchSettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `delayed-match`, beside those of every series.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples, steps
        As of every series; by default driven about constants of random sign. docs/tasks.md says how they were chosen.
    symbols : int
        Number of different symbols, each with a mask of its own.
    gap : int
        Number of distractors, any of the symbols, between the first symbol and the second.
    after : int
        Number of distractors between the second symbol and the answer.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.031
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 4.1
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.47
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.014
    samples: Annotated[int, Meta(ge=1)] = 1
    steps: Annotated[int, Meta(ge=500)] = 8000
    symbols: Annotated[int, Meta(ge=2, le=50)] = 3
    gap: Annotated[int, Meta(ge=0, le=50)] = 1
    after: Annotated[int, Meta(ge=0, le=50)] = 0


async def name_matches(substrate: Substrate, settings: MatchSettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with one symbol a step, and name whether the two of each trial were alike."""
    shown, labels = draw_trials(settings)
    problem = LabelledSeries(
        title="Delayed match",
        sentence=f"Whether two of {settings.symbols} symbols, with {settings.gap} others between them, were alike was "
        f"to be named {settings.after} symbols after the second.",
        u=np.eye(settings.symbols)[shown],
        labels=labels,
        readout="match",
    )
    return await run_labelled_series(problem, substrate, settings, on_progress)


def draw_trials(settings: MatchSettings) -> tuple[Labels, Labels]:
    """Draw the symbol of each step and, at the last step of each trial, whether its two are alike; -1 elsewhere."""
    generator = np.random.default_rng(settings.seed)
    length = 2 + settings.gap + settings.after
    trials = settings.steps // length
    shown = generator.integers(settings.symbols, size=settings.steps)
    alike = generator.integers(2, size=trials)
    first = np.arange(trials) * length
    other = generator.integers(1, settings.symbols, size=trials)
    shown[first + settings.gap + 1] = (shown[first] + np.where(alike == 1, 0, other)) % settings.symbols
    labels = np.full(settings.steps, -1)
    labels[first + length - 1] = alike
    return shown, labels


TASK = Task(
    "delayed-match",
    MatchSettings,
    name_matches,
    needs="signal",
    unused=unused_in_series,
    reads=samples_read,
    validation="data",
    on=MIXING_NETWORK,
)
