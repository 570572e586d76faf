"""Tasks on short series that are read after their last step only, so that the matter has to hold what came before.

A task of this kind gives a `TrialProblem` and its settings, and `run_last_steps` does the rest: beside the controls of
every task stands the same substrate with its memory erased before the last step.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Outcome
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import Folds, Labels, score_classification
from inmateria.protocols.series import ALPHAS, DriveSettings, mask_of
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import PhysicalReservoir, SignalOrCounts
from inmateria.substrate import FloatArray, Substrate

__all__ = ["ERASED", "LastStepSettings", "TrialProblem", "run_last_steps"]

ERASED = "memory erased before the last step"


class LastStepSettings(DriveSettings, frozen=True, kw_only=True):
    """Settings of every task that is read after the last step of short series, beside those of every drive.

    Parameters
    ----------
    rest : float
        Time at rest after each of them, s, for the substrate to forget it.
    """

    rest: Annotated[float, Meta(ge=0.0)] = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class TrialProblem:
    """Short series, and the class of each.

    Parameters
    ----------
    title, sentence : str
        The problem in a few words, and in one sentence.
    trials : ndarray of float, shape (trials, steps, features)
        From -1 to 1.
    labels : ndarray of int, shape (trials,)
        Class of each.
    readout : str
        Name of what the classes are.
    folds : sequence of (rows to learn from, rows held out), optional
        Stratified folds drawn with the seed by default.
    splitting : str
        Description of the given folds.
    """

    title: str
    sentence: str
    trials: FloatArray
    labels: Labels
    readout: str
    folds: Folds | None = None
    splitting: str = ""


async def run_last_steps(
    problem: TrialProblem, substrate: Substrate, settings: LastStepSettings, on_progress: ProgressCallback
) -> Outcome:
    """Drive the substrate with each series, read it after the last step, and score that beside the controls.

    Parameters
    ----------
    problem : TrialProblem
        What goes in, and what is to be named.
    substrate : Substrate
        Entered and left here. If it is resettable, every last step is presented once more on its own after a reset.
    settings : LastStepSettings
        Of the task.
    on_progress : ProgressCallback
        Called with the progress.
    """
    mask = mask_of(settings, problem.trials.shape[2])
    reservoir = PhysicalReservoir(
        substrate, mask, SignalOrCounts(settings.samples), step=settings.step, rest=settings.rest
    )
    async with reservoir:
        targets = Targets.of_classes(problem.labels, problem.readout, row="last step")
        presented = await present_trials(
            reservoir, list(problem.trials), settings.round_trips, on_progress, reset=True, targets=targets
        )
        exchanges = presented.exchanges
        erased: FloatArray | None = None
        if reservoir.info.resettable:
            begun = time.perf_counter()
            erased = await _last_steps_alone(reservoir, problem.trials[:, -1], on_progress)
            exchanges = msgspec.structs.replace(
                exchanges,
                count=exchanges.count + len(erased),
                steps=exchanges.steps + len(erased),
                seconds=exchanges.seconds + time.perf_counter() - begun,
            )
    score = partial(
        score_classification,
        folds=problem.folds,
        readout=problem.readout,
        splitting=problem.splitting,
        alphas=ALPHAS,
        seed=settings.seed,
        on_progress=on_progress,
    )
    feature_sets = presented.by_trial(read="last step", seed=settings.seed)
    if erased is not None:
        feature_sets[ERASED] = erased
    compared = await asyncio.to_thread(score, feature_sets, problem.labels)
    return compared.outcome(problem.title, exchanges, presented.outputs, sentence=problem.sentence)


async def _last_steps_alone(
    reservoir: PhysicalReservoir, steps: Sequence[FloatArray] | FloatArray, on_progress: ProgressCallback
) -> FloatArray:
    """Present each step from rest; shape (steps, features)."""
    features = []
    for number, u in enumerate(steps, start=1):
        await reservoir.reset()
        features.append(await reservoir.step(u))
        on_progress("memory erased", number, len(steps), number)
    return np.array(features)
