"""Response map of a living network: spikes evoked from every electrode at several amplitudes, over time and distance.

Beside the response to each amplitude stands the same count where no pulse was given.
"""

from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from inmateria.protocols.outcome import Curves, Outcome, Score
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.pulses import unused_by_levels
from inmateria.protocols.run_progress import note_no_targets
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude
from inmateria.reservoir.pulse_encoding import pulse_amplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_RINGS = 8


class ResponseMapSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `response-map`.

    Parameters
    ----------
    electrodes : int
        Number that are stimulated, spread over all.
    amplitudes : tuple of float
        As fractions of the way from rest to the inputs' upper limit.
    repeats : int
        Of each pulse.
    after : float
        Seconds after the pulse that are counted.
    step : float, optional
        Duration of a substrate step, s: the resolution in time. The substrate's own by default.
    rest : float
        Seconds without pulses after each.
    seed : int
        Of the order.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    electrodes: Annotated[int, Meta(ge=2)] = 16
    amplitudes: tuple[Annotated[float, Meta(gt=0.0, le=1.0)], ...] = (0.1, 0.3, 0.6, 1.0)
    repeats: Annotated[int, Meta(ge=2)] = 5
    after: Annotated[float, Meta(gt=0.0)] = 0.2
    step: Annotated[float, Meta(gt=0.0)] | None = None
    rest: Annotated[float, Meta(ge=0.0)] = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0
    round_trips: Annotated[int, Meta(ge=1)] = 50


async def map_responses(substrate: Substrate, settings: ResponseMapSettings, on_progress: ProgressCallback) -> Outcome:
    """Apply one pulse at a time, on each electrode at each amplitude, in random order, and count spikes after it."""
    reservoir = PhysicalReservoir(substrate, PulseAmplitude(strength=1.0), step=settings.step, rest=settings.rest)
    note_no_targets("this task measures responses, and reads out no target")
    async with reservoir:
        info, step = reservoir.info, reservoir.duration_of_step
        length = max(2, round(settings.after / step))
        reservoir.features = spike_counts(info)
        inputs = len(info.inputs)
        chosen = np.unique(np.linspace(0, inputs - 1, settings.electrodes).round().astype(int))
        amplitudes = _amplitudes(info, settings.amplitudes)
        kinds = [(e, a) for e in chosen for a in (0.0, *amplitudes) for _ in range(settings.repeats)]
        order = np.random.default_rng(settings.seed).permutation(len(kinds))
        trials = []
        for electrode, fraction in (kinds[k] for k in order):
            trial = np.zeros((length, inputs))
            trial[0, electrode] = fraction
            trials.append(trial)
        presented = await present_trials(reservoir, trials, settings.round_trips, on_progress, phase="pulses")
    counts = np.empty((len(kinds), length, len(info.outputs)))
    counts[order] = np.array(presented.responses)
    # electrode, amplitude (0 first), repeat, step, output
    counts = counts.reshape(len(chosen), 1 + len(amplitudes), settings.repeats, length, -1)
    total = counts.sum(axis=(3, 4)).mean(axis=0)  # amplitude, repeat: spikes on all outputs, mean over electrodes
    names = ["no pulse", *(f"pulse of {a:g} of the limit" for a in amplitudes)]
    scores = tuple(
        Score(
            readout="spikes after it",
            on=names[k],
            features=counts.shape[-1],
            score=float(total[k].mean()),
            splits=tuple(total[k].tolist()),
            control=k == 0,
        )
        for k in (*range(len(names) - 1, 0, -1), 0)
    )
    return Outcome(
        title="Response to single pulses",
        sentence=f"Single pulses were given on {len(chosen)} electrodes at {len(amplitudes)} amplitudes, "
        f"{settings.repeats} times each, in random order.",
        metric="spikes",
        repeated="repeats",
        chance=float(total[0].mean()),
        chance_description="no pulse",
        held_out=len(trials),
        splitting=f"The mean over electrodes, and its spread over {settings.repeats} repeats.",
        scores=scores,
        exchanges=presented.exchanges,
        curves=_curves(counts, names, info, chosen, step),
    )


def _amplitudes(info: SubstrateInfo, wanted: tuple[float, ...]) -> tuple[float, ...]:
    """Return the fractions that an input can be driven with: one for inputs that are only on or off."""
    channel, rest = info.inputs[0], info.rest[0]
    room = channel.high - rest
    return tuple(sorted({(pulse_amplitude(channel, each, rest) - rest) / room for each in wanted}))


def _curves(
    counts: FloatArray, names: list[str], info: SubstrateInfo, stimulated: npt.NDArray[np.intp], step: float
) -> tuple[Curves, ...]:
    """Draw the response over time, and over distance if places are known."""
    course = counts.mean(axis=(0, 2)).sum(axis=-1) / step
    curves = [
        Curves(
            heading="How long a response lasts",
            text="Spikes on all outputs, mean over the electrodes stimulated.",
            x_label="time since the pulse (s)",
            y_label="rate (Hz)",
            x=tuple(((np.arange(counts.shape[3]) + 0.5) * step).tolist()),
            lines={name: tuple(course[k].tolist()) for k, name in enumerate(names)},
        )
    ]
    distances = _distances(info, stimulated)
    if distances is not None:
        evoked = counts.sum(axis=3).mean(axis=2)
        evoked = evoked[:, 1:] - evoked[:, :1]  # beyond spontaneous spikes
        edges = np.quantile(distances, np.linspace(0, 1, _RINGS + 1))
        edges[-1] += 1e-9
        ring = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, _RINGS - 1)
        rings = [ring == k for k in range(_RINGS) if (ring == k).any()]
        curves.append(
            Curves(
                heading="How far a response reaches",
                text="Spikes on each output beyond the spontaneous ones, by its distance from the pulse.",
                x_label=f"distance ({info.layout.unit if info.layout else ''})",
                y_label="spikes a pulse",
                x=tuple(float(distances[each].mean()) for each in rings),
                lines={
                    name: tuple(float(evoked[:, k][each].mean()) for each in rings) for k, name in enumerate(names[1:])
                },
            )
        )
    return tuple(curves)


def _distances(info: SubstrateInfo, stimulated: npt.NDArray[np.intp]) -> FloatArray | None:
    """Return the distance of every output from each stimulated input; None if places are not known."""
    places = info.layout.electrodes if info.layout else {}
    if not all(channel.name in places for channel in (*info.inputs, *info.outputs)):
        return None
    there = np.array([places[channel.name] for channel in info.outputs], dtype=np.float64)
    here = np.array([places[info.inputs[k].name] for k in stimulated], dtype=np.float64)
    apart: FloatArray = np.linalg.norm(here[:, np.newaxis] - there, axis=-1)
    return apart


TASK = Task("response-map", ResponseMapSettings, map_responses, needs="spikes", unused=unused_by_levels)
