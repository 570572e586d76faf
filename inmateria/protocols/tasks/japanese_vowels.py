"""Speakers of Japanese vowels, told apart from spikes: a task of Cai et al., Nature Electronics 6, 1032 (2023).

All parts of an utterance are read, so that no memory is needed. The best possible readout of nine speakers is not
known; the linear one of the bare values names .98 of the utterances rightly, which leaves little to gain.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.data_sets import averaged_parts, japanese_vowels
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.presenting import PULSE_CONTROLS, present_trials
from inmateria.protocols.pulses import EncodedValueSettings, bin_spikes, encoding_of, features_of, unused_with_values
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import score_classification
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir
from inmateria.substrate import Substrate


class VowelSettings(EncodedValueSettings, frozen=True, kw_only=True):
    """Settings of `japanese-vowels`, beside those of every task that encodes values as pulses.

    Parameters
    ----------
    width : int
        As of those, but 2 by default.
    interval : float
        Seconds from one part of an utterance to the next.
    coefficients : int
        Number of the 12 coefficients of each frame that are encoded, the first ones.
    segments : int
        Equal parts of each utterance, whose means are presented one after another and read separately.
    bins : int
        Equal parts of each interval in which spikes are counted separately.
    rest : float
        Seconds without pulses after each utterance.
    """

    width: Annotated[int, Meta(ge=1)] = 2
    interval: Annotated[float, Meta(gt=0.0)] = 0.1
    coefficients: Annotated[int, Meta(ge=1, le=12)] = 12
    segments: Annotated[int, Meta(ge=1, le=7)] = 3
    bins: Annotated[int, Meta(ge=1)] = 2
    rest: Annotated[float, Meta(ge=0.0)] = 0.5


async def recognise_speakers(substrate: Substrate, settings: VowelSettings, on_progress: ProgressCallback) -> Outcome:
    """Encode every utterance as pulses and name its speaker."""
    utterances, speakers, learned = await asyncio.to_thread(japanese_vowels)
    frames = np.concatenate(utterances[:learned])
    low, high = frames.min(axis=0), frames.max(axis=0)
    trials = [
        averaged_parts(np.clip((u - low) / (high - low), 0.0, 1.0)[:, : settings.coefficients], settings.segments)
        for u in utterances
    ]
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        reservoir.encoding = encoding_of(settings, reservoir, settings.interval)
        reservoir.features = features_of(settings.features, settings.time_constant, reservoir.info)
        targets = Targets.of_classes(speakers, "speaker")
        presented = await present_trials(reservoir, trials, settings.round_trips, on_progress, targets=targets)
    positions = reservoir.encoding.positions
    binned = [bin_spikes(X, settings.features, positions, settings.bins) for X in presented.responses]
    feature_sets = replace(presented, responses=binned).by_trial(PULSE_CONTROLS)
    order = np.arange(len(speakers))
    score = partial(
        score_classification,
        folds=[(order[:learned], order[learned:])],
        readout="speaker",
        splitting=f"The data's own: {learned} utterances learned, {len(order) - learned} held out.",
        on_progress=on_progress,
    )
    compared = await asyncio.to_thread(score, feature_sets, speakers)
    return compared.outcome(
        "Speakers of Japanese vowels",
        presented.exchanges,
        presented.outputs,
        sentence="Nine speakers were to be told apart by how they say two vowels, in "
        f"{settings.segments} parts encoded as pulses.",
    )


TASK = Task(
    "japanese-vowels", VowelSettings, recognise_speakers, needs="spikes", unused=unused_with_values, validation="data"
)
