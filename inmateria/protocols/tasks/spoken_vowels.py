"""Speakers of Japanese vowels, told apart from the signal at the end of each utterance.

Nine men say two vowels in a row; 12 cepstrum coefficients a frame: Kudo, Toyama and Shimbo, Pattern Recognit. Lett. 20,
1103 (1999). Each utterance is averaged in equal parts, shown one after another and read after the last one. A readout
without memory has the last part; a linear one of all parts, which are a memory on a computer, names .98 of them
(measured). Beside the substrate stands the same with its memory erased before the last part.
"""

import asyncio
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.data_sets import averaged_parts, japanese_vowels
from inmateria.protocols.last_steps import LastStepSettings, TrialProblem, run_last_steps
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import MIXING_NETWORK, unused_in_drive
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class SpokenVowelSettings(LastStepSettings, frozen=True, kw_only=True):
    """Settings of `spoken-vowels`, beside those of every task that is read after the last step.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples, rest
        As of every drive through a mask; by default driven about constants of random sign. docs/tasks.md says how they
        were chosen.
    parts : int
        Equal parts of each utterance, whose means are shown one after another.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.069
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.6
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.16
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.016
    samples: Annotated[int, Meta(ge=1)] = 1
    rest: Annotated[float, Meta(ge=0.0)] = 0.0
    parts: Annotated[int, Meta(ge=1, le=7)] = 7


async def name_speakers(substrate: Substrate, settings: SpokenVowelSettings, on_progress: ProgressCallback) -> Outcome:
    """Show every utterance part by part and name its speaker."""
    utterances, speakers, learned = await asyncio.to_thread(japanese_vowels)
    frames = np.concatenate(utterances[:learned])
    low, high = frames.min(axis=0), frames.max(axis=0)
    parts = np.array([averaged_parts(u, settings.parts) for u in utterances])
    order = np.arange(len(speakers))
    problem = TrialProblem(
        title="Speakers of Japanese vowels, read at the end",
        sentence=f"Nine speakers were to be told apart by how they say two vowels, shown in {settings.parts} parts and "
        "read after the last one.",
        trials=np.clip(2.0 * (parts - low) / (high - low) - 1.0, -1.0, 1.0),
        labels=speakers,
        readout="speaker",
        folds=[(order[:learned], order[learned:])],
        splitting=f"The data's own: {learned} utterances learned, {len(order) - learned} held out.",
    )
    return await run_last_steps(problem, substrate, settings, on_progress)


TASK = Task(
    "spoken-vowels",
    SpokenVowelSettings,
    name_speakers,
    needs="signal",
    unused=unused_in_drive,
    reads=samples_read,
    validation="data",
    on=MIXING_NETWORK,
)
