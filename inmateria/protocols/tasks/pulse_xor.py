"""Exclusive or of two volleys of pulses on the same electrodes, read from the spikes after the second.

Each trial has two bits, each a volley of pulses or none, `gap` seconds apart; the readout sees the spikes from the
second on, and tells whether exactly one of the two volleys was given. By least squares no linear readout of the pulses
does better than chance, .5, however much of them it sees, since neither bit alone is correlated with the label (a plane
placed by hand would separate three of the four cases, .75). No memoryless readout of what is applied while spikes are
read does better than .5 either: that is the second bit only. Both memory and nonlinearity are needed; a computer that
has both (rectified lags of the two bits) reaches 1, so a gain here is one over controls that lack one of them.
"""

import asyncio
from functools import partial
from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import Control, controls_by_trial
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.pulses import PulseSettings, bin_spikes, steps_within, unused_by_levels
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import score_classification
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate


class PulseXorSettings(PulseSettings, frozen=True, kw_only=True):
    """Settings of `pulse-xor`, beside those of every task of pulses.

    Parameters
    ----------
    seed : int
        Of the order of the trials and the folds.
    trials : int
        In all, a quarter for each pair of bits.
    electrodes : int
        That every volley stimulates, at the same time: the middle ones of the substrate's inputs.
    gap : float
        Seconds from the first volley to the second, whole steps.
    duration : float
        Seconds from the second volley in which spikes are counted.
    bins : int
        Equal parts of that in which spikes are counted separately, as many as there are steps at most.
    rest : float
        Seconds without pulses after each trial.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    trials: Annotated[int, Meta(ge=50)] = 400
    electrodes: Annotated[int, Meta(ge=1)] = 16
    gap: Annotated[float, Meta(gt=0.0)] = 0.1
    duration: Annotated[float, Meta(gt=0.0)] = 0.2
    bins: Annotated[int, Meta(ge=1)] = 10
    rest: Annotated[float, Meta(ge=0.0)] = 2.0


async def tell_apart(substrate: Substrate, settings: PulseXorSettings, on_progress: ProgressCallback) -> Outcome:
    """Give two volleys or none, a gap apart, and read whether it was exactly one."""
    cases = np.random.default_rng(settings.seed).permutation(np.arange(settings.trials) % 4)
    bits = np.column_stack([cases // 2, cases % 2])
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        inputs = len(reservoir.info.inputs)
        if settings.electrodes > inputs:
            raise ValueError(
                f"electrodes is {settings.electrodes}; {reservoir.info.id} has {inputs} inputs; give at most as many"
            )
        begin = (inputs - settings.electrodes) // 2
        before, after = steps_within(reservoir, settings.gap), steps_within(reservoir, settings.duration)
        trials = np.zeros((settings.trials, before + after, inputs))
        for at, bit in zip((0, before), bits.T, strict=True):
            trials[:, at, begin : begin + settings.electrodes] = bit[:, np.newaxis]
        reservoir.features = spike_counts(reservoir.info)
        reservoir.encoding = PulseAmplitude(strength=settings.strength)
        targets = Targets.of_classes(bits[:, 0] ^ bits[:, 1], "exactly one volley", classes=("no", "yes"))
        presented = await present_trials(reservoir, list(trials), settings.round_trips, on_progress, targets=targets)
    seen = np.array([X[before:].ravel() for X in presented.responses])
    counted = bin_spikes(seen, "counts", after, settings.bins)
    # What is given is two volleys; a control without memory sees what is given while it is read, the second one.
    volleys = np.array(presented.drives)[:, [0, before]]
    values = bits[:, :, np.newaxis].astype(np.float64)
    feature_sets: dict[str, FloatArray | Control] = {
        "substrate": counted,
        "pulses alone": Control(lambda: [volleys.reshape(len(volleys), -1)], "linear"),
        **controls_by_trial(volleys, values, counted.shape[1], read="last step", seed=settings.seed),
    }
    score = partial(score_classification, readout="exclusive or", seed=settings.seed, on_progress=on_progress)
    compared = await asyncio.to_thread(score, feature_sets, (bits[:, 0] ^ bits[:, 1]).astype(np.intp))
    return compared.outcome(
        "Exclusive or of two volleys of pulses",
        presented.exchanges,
        presented.outputs,
        sentence=f"Two volleys on {settings.electrodes} electrodes, {before * reservoir.duration_of_step:g} s apart, "
        "were each given or not; spikes from the second on were to tell whether exactly one was given. Best possible "
        "without the matter: .5 by least squares from the pulses, .5 without memory.",
        classes=("exactly one",),
    )


TASK = Task("pulse-xor", PulseXorSettings, tell_apart, needs="spikes", unused=unused_by_levels, validation="data")
