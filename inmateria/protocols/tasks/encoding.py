"""Information that responses carry about a stimulus, by the encoding of the stimulus as pulses.

One of some values, equally frequent, is given in each trial: as the place, the rate, the latency or the amplitude of
pulses. A readout names it from the spikes, and the score is the information in what it names, in bits. Beside it,
trial by trial in turn, the same number of pulses is given at places, times and amplitudes that say nothing: what is
known there is known from the number of pulses alone. The measure is that of R. Quian Quiroga and S. Panzeri, Nat. Rev.
Neurosci. 10, 173 (2009), corrected for chance.
"""

import asyncio
from functools import partial
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import RECTIFIER, Control, controls_by_step
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.presenting import PULSE_CONTROLS, present_trials
from inmateria.protocols.pulses import PulseSettings, bin_spikes, steps_within, unused_by_levels
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import score_classification
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import OneToOne, PhysicalReservoir, PulseAmplitude, PulseLatency, PulsePlace, PulseRate
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_MOVED = "as many pulses, moved"


class EncodingSettings(PulseSettings, frozen=True, kw_only=True):
    """Settings of `encoding`, beside those of every task of pulses.

    Parameters
    ----------
    encoding : {"place", "rate", "latency", "amplitude"}
        What of the pulses says the value: the electrode, the number, the time of the first, or the strength.
    values : int
        Number of values, in the middle of as many equal parts of the range from 0 to 1.
    electrodes : int
        Stimulated together: neighbours if the place says the value, else spread over all inputs.
    pulses : int
        On each of these electrodes: evenly spaced over `duration`; if the latency says the value, one a step from
        then on; if the rate does, this number is for the value 1.
    duration : float
        Seconds within which the pulses lie.
    after : float
        Seconds after these that are read.
    read : {"whole", "after"}
        Whether spikes are also read while the pulses are given, or only after `duration`: where the places of pulses
        differ, what they evoke directly says all.
    bins : int
        Equal parts of the time read, in which spikes are counted separately, as many as there are steps at most.
    trials : int
        With the encoding, and as many with pulses that were moved.
    rest : float
        Seconds without pulses after each trial.
    seed : int
        Of the order, the moves and the folds.
    """

    encoding: Literal["place", "rate", "latency", "amplitude"] = "place"
    values: Annotated[int, Meta(ge=2, le=32)] = 8
    electrodes: Annotated[int, Meta(ge=1)] = 2
    pulses: Annotated[int, Meta(ge=1)] = 1
    duration: Annotated[float, Meta(gt=0.0)] = 0.1
    after: Annotated[float, Meta(gt=0.0)] = 0.1
    read: Literal["whole", "after"] = "whole"
    bins: Annotated[int, Meta(ge=1)] = 5
    trials: Annotated[int, Meta(ge=50)] = 240
    rest: Annotated[float, Meta(ge=0.0)] = 0.5
    seed: Annotated[int, Meta(ge=0)] = 0


async def measure_information(
    substrate: Substrate, settings: EncodingSettings, on_progress: ProgressCallback
) -> Outcome:
    """Give values in an encoding, in turn with as many pulses that were moved, and name them from the spikes."""
    generator = np.random.default_rng(settings.seed)
    labels = generator.permutation(np.arange(settings.trials) % settings.values)
    reservoir = PhysicalReservoir(substrate, OneToOne(), step=settings.step, rest=settings.rest)
    async with reservoir:
        info = reservoir.info
        given, after = (steps_within(reservoir, each) for each in (settings.duration, settings.after))
        _check(settings, info, given, reservoir.duration_of_step)
        reservoir.features = spike_counts(info)
        coded = _encoded((labels + 0.5) / settings.values, settings, info, given)
        both = np.zeros((2 * len(coded), given + after, len(info.inputs)))  # beyond rest
        both[0::2, :given], both[1::2, :given] = coded, _moved(coded, generator)
        targets = Targets.of_classes(np.column_stack([labels, np.full(len(labels), -1)]).ravel(), "value")
        presented = await present_trials(reservoir, list(both), settings.round_trips, on_progress, targets=targets)
    unread = given if settings.read == "after" else 0
    counts = np.array([X[unread:].ravel() for X in presented.responses])
    counted = bin_spikes(counts, "counts", given + after - unread, settings.bins)
    pulses = coded.reshape(len(coded), -1)
    pulses = pulses[:, pulses.any(axis=0)]
    feature_sets: dict[str, FloatArray | Control] = {
        "substrate": counted[0::2],
        _MOVED: counted[1::2],
        PULSE_CONTROLS[0]: Control(lambda: [pulses], "linear"),
        RECTIFIER: controls_by_step(pulses, labels[:, np.newaxis], counted.shape[1], seed=settings.seed)[RECTIFIER],
    }
    score = partial(score_classification, feature_sets, labels, readout="value", seed=settings.seed)
    compared = await asyncio.to_thread(score, metric="bits", on_progress=on_progress)
    total = {"substrate": counted[0::2].sum(axis=1, keepdims=True)}
    alone = await asyncio.to_thread(score_classification, total, labels, metric="bits", seed=settings.seed)
    number = np.count_nonzero(pulses, axis=1)
    return compared.outcome(
        f"Information about a stimulus: {settings.encoding}",
        presented.exchanges,
        presented.outputs,
        sentence=f"One of {settings.values} values was given as the {settings.encoding} of pulses on "
        f"{settings.electrodes} electrodes, and named from the spikes: bits of information in the name, of "
        f"{np.log2(settings.values):.2f}. In every other trial as many pulses were given at places, times and "
        "amplitudes that say nothing.",
        facts=(
            ("bits in the total number of spikes alone", f"{np.mean(alone.scores[0].splits):.3f}"),
            ("pulses a trial, mean", f"{number.mean():.2f}"),
            ("pulses a trial, least and most", f"{number.min()}, {number.max()}"),
        ),
    )


def _check(settings: EncodingSettings, info: SubstrateInfo, positions: int, step: float) -> None:
    """Refuse an encoding that does not fit into the substrate's steps or inputs."""
    name, inputs = settings.encoding, len(info.inputs)
    if settings.electrodes > inputs:
        raise ValueError(
            f"electrodes is {settings.electrodes}; {info.id} has {inputs} inputs; give at most as many electrodes"
        )
    needed = settings.pulses + (1 if name == "latency" else 0)
    if positions < needed:
        raise ValueError(
            f"encoding={name} with pulses={settings.pulses} needs {needed} steps within duration={settings.duration:g} "
            f"s; a step of {info.id} takes {step:g} s; give a longer duration, or fewer pulses"
        )
    if name == "amplitude" and unused_by_levels(settings, info):
        raise ValueError(f"encoding=amplitude needs inputs of several levels; those of {info.id} are only on or off")


def _encoded(values: FloatArray, settings: EncodingSettings, info: SubstrateInfo, positions: int) -> FloatArray:
    """Return the pulses of each value beyond rest, shape (trials, positions, inputs)."""
    strength, count, inputs = settings.strength, settings.pulses, len(info.inputs)
    alike = np.repeat(values[:, np.newaxis], settings.electrodes, axis=1)
    beyond: FloatArray = np.zeros((len(values), positions, inputs))
    rest = np.array(info.rest)
    if settings.encoding == "rate":
        drive = PulseRate(positions, strength, most=count).drive(alike, info)
        beyond[:] = drive.reshape(beyond.shape) - rest
    elif settings.encoding == "latency":
        first = PulseLatency(positions - count + 1, strength).drive(alike, info)
        one = first.reshape(len(values), -1, inputs) - rest
        for k in range(count):
            beyond[:, k : k + one.shape[1]] += one
    else:
        volley = (
            PulsePlace(1, strength, width=settings.electrodes).drive(values[:, np.newaxis], info)
            if settings.encoding == "place"
            else PulseAmplitude(1, strength).drive(alike, info)
        )
        beyond[:, np.arange(count) * positions // count] = (volley - rest)[:, np.newaxis]
    return beyond


def _moved(coded: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return as many pulses for each trial, at places and times that any trial has, with amplitudes that any has there.

    Parameters
    ----------
    coded : ndarray of float, shape (trials, positions, inputs)
    generator : numpy Generator
    """
    flat = coded.reshape(len(coded), -1)
    used = np.flatnonzero(flat.any(axis=0))
    found = [column[column != 0] for column in flat[:, used].T]
    moved = np.zeros_like(flat)
    for trial, number in enumerate(np.count_nonzero(flat, axis=1)):
        for at in generator.permutation(len(used))[:number]:
            moved[trial, used[at]] = generator.choice(found[at])
    result: FloatArray = moved.reshape(coded.shape)
    return result


TASK = Task(
    "encoding", EncodingSettings, measure_information, needs="spikes", unused=unused_by_levels, validation="data"
)
