"""Spatial patterns of pulses, told apart from spikes: which bar or which place was stimulated, through noise.

No readout of spikes does better than the best one of the pulses that evoked them, which needs no memory: pulses are
missing and stray independently, so that a linear function of the pulses for each class finds the most likely pattern.
"""

import asyncio
from functools import partial
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from inmateria.protocols.controls import RECTIFIER, Control, controls_by_step
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.pulses import (
    FeaturesName,
    PulseSettings,
    bin_spikes,
    features_of,
    places_of,
    steps_within,
    unused_with_values,
)
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import score_classification
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude
from inmateria.substrate import Substrate, SubstrateInfo


class PatternSettings(PulseSettings, frozen=True, kw_only=True):
    """Settings of `patterns`, beside those of every task of pulses.

    Parameters
    ----------
    seed : int
        Of the order, the noise and the folds.
    kind : {"bars", "positions"}
        Rows and columns of electrodes, or single ones.
    classes : int
        Number of different patterns.
    trials : int
        In all.
    missing, stray : float
        Probability that a pulse of the pattern is left out, and that another electrode is stimulated.
    duration : float
        Seconds after the pulses in which spikes are counted.
    bins : int
        Equal parts of that, as many as there are steps at most.
    features : {"counts", "rates", "latency"}
        What is read: numbers of spikes, rates that fade, or the time of each output's first spike.
    time_constant : float
        Of the rates that fade, s.
    rest : float
        Seconds without pulses after each trial.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    kind: Literal["bars", "positions"] = "bars"
    classes: Annotated[int, Meta(ge=2, le=32)] = 8
    trials: Annotated[int, Meta(ge=50)] = 400
    missing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.3
    stray: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.1
    duration: Annotated[float, Meta(gt=0.0)] = 0.05
    bins: Annotated[int, Meta(ge=1)] = 5
    features: FeaturesName = "counts"
    time_constant: Annotated[float, Meta(gt=0.0)] = 0.05
    rest: Annotated[float, Meta(ge=0.0)] = 0.5


async def recognise_patterns(substrate: Substrate, settings: PatternSettings, on_progress: ProgressCallback) -> Outcome:
    """Stimulate bars or places, some pulses missing and others stray, and name the pattern."""
    generator = np.random.default_rng(settings.seed)
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        positions = steps_within(reservoir, settings.duration)
        reservoir.features = features_of(settings.features, settings.time_constant, reservoir.info)
        reservoir.encoding = PulseAmplitude(positions, settings.strength)
        labels = generator.permutation(np.arange(settings.trials) % settings.classes)
        clean = _patterns(reservoir.info, settings.kind, settings.classes)[labels]
        kept = clean & (generator.random(clean.shape) >= settings.missing)
        pulses = (kept | (~clean & (generator.random(clean.shape) < settings.stray))).astype(np.float64)
        trials = [each[np.newaxis] for each in pulses]
        targets = Targets.of_classes(labels, settings.kind.removesuffix("s"))
        presented = await present_trials(reservoir, trials, settings.round_trips, on_progress, targets=targets)
    responses = np.concatenate(presented.responses)
    counted = bin_spikes(responses, settings.features, positions, settings.bins)
    feature_sets = {
        "substrate": counted,
        "pulses alone": Control(lambda: [pulses], "linear"),
        RECTIFIER: controls_by_step(pulses, pulses, counted.shape[1], seed=settings.seed)[RECTIFIER],
    }
    score = partial(
        score_classification, readout=settings.kind.removesuffix("s"), seed=settings.seed, on_progress=on_progress
    )
    compared = await asyncio.to_thread(score, feature_sets, labels)
    return compared.outcome(
        f"Spatial patterns: {settings.kind}",
        presented.exchanges,
        presented.outputs,
        sentence=f"{settings.classes} {settings.kind} of electrodes were to be told apart by the spikes they evoke, "
        f"with {settings.missing:.0%} of the pulses missing and {settings.stray:.0%} stray.",
    )


def _patterns(info: SubstrateInfo, kind: str, classes: int) -> npt.NDArray[np.bool_]:
    """Choose the electrodes of each class (classes, inputs): by place, or by order if places are not known."""
    inputs = len(info.inputs)
    if classes > inputs:
        raise ValueError(f"{classes} classes were asked for; {info.id} has {inputs} inputs; give classes={inputs}")
    chosen = np.zeros((classes, inputs), dtype=bool)
    if kind == "positions":
        chosen[np.arange(classes), np.linspace(0, inputs - 1, classes).round().astype(int)] = True
        return chosen
    xy = places_of(info, info.inputs)
    lines = [xy[:, axis] == value for axis in (0, 1) for value in np.unique(xy[:, axis])]
    if len(lines) < classes:
        raise ValueError(
            f"{classes} classes were asked for; the electrodes of {info.id} make {len(lines)} rows and columns; "
            f"give classes={len(lines)}"
        )
    for row, line in enumerate(np.linspace(0, len(lines) - 1, classes).round().astype(int)):
        chosen[row] = lines[line]
    return chosen


TASK = Task(
    "patterns", PatternSettings, recognise_patterns, needs="spikes", unused=unused_with_values, validation="data"
)
