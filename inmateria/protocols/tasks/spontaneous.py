"""Spontaneous activity of a living network: rates, intervals and network bursts without stimulation.

Beside the network's figures stand those of the same spikes put at random times.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.activity import activity_figures
from inmateria.protocols.outcome import Curves, Outcome, Score
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.run_progress import note_no_targets
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import Substrate

_PARTS = 5


class SpontaneousSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `spontaneous`.

    Parameters
    ----------
    seconds : float
        Duration of the recording.
    bin : float, optional
        Resolution, s; shorter intervals count as this. The substrate's own step by default.
    seed : int
        Of the random times.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    seconds: Annotated[float, Meta(ge=10.0)] = 60.0
    bin: Annotated[float, Meta(gt=0.0)] | None = None
    seed: Annotated[int, Meta(ge=0)] = 0
    round_trips: Annotated[int, Meta(ge=1)] = 50


async def listen(substrate: Substrate, settings: SpontaneousSettings, on_progress: ProgressCallback) -> Outcome:
    """Leave the inputs at rest and count spikes."""
    reservoir = PhysicalReservoir(substrate, step=settings.bin)
    note_no_targets("this task listens, and reads out no target")
    async with reservoir:
        bin_, inputs = reservoir.duration_of_step, len(reservoir.info.inputs)
        reservoir.features = spike_counts(reservoir.info)
        quiet = [np.zeros((max(1, round(1.0 / bin_)), inputs))] * round(settings.seconds)  # nothing beyond rest
        presented = await present_trials(reservoir, quiet, settings.round_trips, on_progress, phase="listening")
    counts = np.concatenate(presented.responses)
    generator = np.random.default_rng(settings.seed)
    shuffled = np.array([generator.permutation(column) for column in counts.T]).T
    scores: list[Score] = []
    for on, spikes in (("substrate", counts), ("spikes at random times", shuffled)):
        parts = [activity_figures(part, bin_) for part in np.array_split(spikes, _PARTS)]
        scores += [
            Score(
                readout=name,
                on=on,
                features=counts.shape[1],
                score=value,
                splits=tuple(part[name] for part in parts if name in part),
            )
            for name, value in activity_figures(spikes, bin_).items()
        ]
    rates = np.sort(counts.sum(axis=0) / (len(counts) * bin_))[::-1]
    every = max(1, round(0.1 / bin_))
    whole_rate = counts[: len(counts) // every * every].sum(axis=1).reshape(-1, every).sum(axis=1) / (every * bin_)
    return Outcome(
        title="Spontaneous activity",
        sentence=f"The network was left alone for {settings.seconds:g} s.",
        metric="value",
        repeated="parts",
        held_out=len(counts),
        splitting=f"The value of the whole recording, then mean and spread of {_PARTS} parts of it.",
        scores=tuple(scores),
        exchanges=presented.exchanges,
        curves=(
            Curves(
                heading="Rates",
                text="Mean rate of each output, the most active first.",
                x_label="output",
                y_label="rate (Hz)",
                x=tuple(float(k) for k in range(len(rates))),
                lines={"substrate": tuple(rates.tolist())},
            ),
            Curves(
                heading="The whole network",
                text="Spikes of all outputs together, in bins of 0.1 s.",
                x_label="time (s)",
                y_label="rate (Hz)",
                x=tuple((np.arange(len(whole_rate)) * every * bin_).tolist()),
                lines={"substrate": tuple(whole_rate.tolist())},
            ),
        ),
    )


TASK = Task("spontaneous", SpontaneousSettings, listen, needs="spikes")
