"""Centre of activity: the mean place of the response to probes, before and after stimulation at high frequency.

After Chao, Bakkum and Potter, J. Neural Eng. 4, 294 (2007). Beside the shift after stimulation stands the shift after a
pause of the same length.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Curves, Outcome, Score
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.pulses import places_of, unused_by_levels
from inmateria.protocols.run_progress import note_no_targets
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo


class CentreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `centre-of-activity`.

    Parameters
    ----------
    probes : int
        Pulses on a probing electrode before, and as many after.
    strength : float
        Of every pulse, as a fraction of the way from rest to the inputs' upper limit.
    pair : tuple of int
        Inputs that are stimulated together at high frequency.
    frequency : float
        Hz.
    seconds : float
        Duration of the stimulation at high frequency.
    after : float
        Seconds after a probe that are counted.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    rest : float
        Seconds without pulses after each probe.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    probes: Annotated[int, Meta(ge=10)] = 40
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7
    pair: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]] = (0, 1)
    frequency: Annotated[float, Meta(gt=0.0)] = 20.0
    seconds: Annotated[float, Meta(gt=0.0)] = 20.0
    after: Annotated[float, Meta(gt=0.0)] = 0.1
    step: Annotated[float, Meta(gt=0.0)] | None = None
    rest: Annotated[float, Meta(ge=0.0)] = 1.0
    round_trips: Annotated[int, Meta(ge=1)] = 50


async def shift_centre(substrate: Substrate, settings: CentreSettings, on_progress: ProgressCallback) -> Outcome:
    """Probe, pause, probe, stimulate a pair at high frequency, and probe again."""
    encoding = PulseAmplitude(strength=settings.strength)
    reservoir = PhysicalReservoir(substrate, encoding, step=settings.step, rest=settings.rest)
    note_no_targets("this task measures where responses lie, and reads out no target")
    async with reservoir:
        info, step = reservoir.info, reservoir.duration_of_step
        _check(settings, info, step)
        reservoir.features = spike_counts(info)
        inputs = len(info.inputs)
        probing = next(k for k in range(inputs // 2, 2 * inputs) if k % inputs not in settings.pair) % inputs
        probe = np.zeros((max(1, round(settings.after / step)), inputs))
        probe[0, probing] = 1.0
        every = max(1, round(1.0 / (settings.frequency * step)))
        train = np.zeros((every, inputs))
        train[0, list(settings.pair)] = 1.0
        second = np.tile(train, (max(1, round(1.0 / (every * step))), 1))
        probes, stimulation = [probe] * settings.probes, [second] * round(settings.seconds)
        pause = [np.zeros_like(second)] * len(stimulation)
        trials = [*probes, *pause, *probes, *stimulation, *probes]
        presented = await present_trials(reservoir, trials, settings.round_trips, on_progress, phase="probes")
    between = len(probes) + len(pause)
    places = places_of(info, info.outputs)
    before, paused, after = (
        _centres(np.array(presented.responses[begin : begin + len(probes)]).sum(axis=1), places)
        for begin in (0, between, 2 * between)
    )
    shifts = {"after high frequency": _shift(paused, after), "after a pause": _shift(before, paused)}
    everything = np.concatenate([before, paused, after])
    return Outcome(
        title="Centre of activity",
        sentence=f"Probes on {info.inputs[probing].name} before and after {settings.frequency:g} Hz on "
        f"{' and '.join(info.inputs[k].name for k in settings.pair)} for {settings.seconds:g} s.",
        metric="standard errors",
        chance=1.25,
        chance_description="expected without any shift",
        held_out=3 * settings.probes,
        splitting="Distance of the mean centres of two sets of probes, in standard errors of that distance.",
        scores=tuple(
            Score(
                readout="shift of the centre",
                on=name,
                features=len(info.outputs),
                score=value,
                control=name == "after a pause",
            )
            for name, value in shifts.items()
        ),
        exchanges=presented.exchanges,
        curves=(
            Curves(
                heading="Centre of activity, probe by probe",
                text="Mean place of the spikes after each probe: before, after a pause, after high frequency.",
                x_label="probe",
                y_label=info.layout.unit if info.layout else "output",
                x=tuple(float(k) for k in range(len(everything))),
                lines={axis: tuple(everything[:, k].tolist()) for k, axis in enumerate(("x", "y"))},
            ),
        ),
    )


def _check(settings: CentreSettings, info: SubstrateInfo, step: float) -> None:
    """Refuse settings that the substrate cannot follow."""
    inputs = len(info.inputs)
    if max(settings.pair) >= inputs or settings.pair[0] == settings.pair[1]:
        raise ValueError(f"the pair is {settings.pair}; give two different ones of the inputs 0 to {inputs - 1}")
    if settings.frequency > 1.001 / step:
        raise ValueError(
            f"{settings.frequency:g} Hz were asked for; {info.id} gives at most {1 / step:g} pulses a second, one "
            f"a step; give frequency={1 / step:g} or less, or a shorter step if it has one"
        )


def _centres(counts: FloatArray, places: FloatArray) -> FloatArray:
    """Return the mean place of the spikes of each probe that evoked any (probes, 2)."""
    some = counts.sum(axis=1) > 0
    centres: FloatArray = counts[some] @ places / counts[some].sum(axis=1, keepdims=True)
    return centres


def _shift(one: FloatArray, other: FloatArray) -> float:
    """Measure the distance of two means, in standard errors."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    error = np.sqrt(one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(other))
    apart = (other.mean(axis=0) - one.mean(axis=0)) / np.where(error > 0, error, np.inf)
    return float(np.linalg.norm(apart))


TASK = Task("centre-of-activity", CentreSettings, shift_centre, needs="spikes", unused=unused_by_levels)
