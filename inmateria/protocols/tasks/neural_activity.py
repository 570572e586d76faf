"""What a living network does: by itself, after a pulse on each electrode, and after strong stimulation of a pair.

- ``spontaneous``: rates, intervals and network bursts without stimulation.
- ``response-map``: spikes evoked from every electrode at several amplitudes, over time and distance.
- ``centre-of-activity``: where on the array the response to probes lies, before and after a pair of electrodes was
  stimulated at high frequency; after Chao, Bakkum and Potter, J. Neural Eng. 4, 294 (2007).

The figures of each stand beside the same analysis of spikes that mean nothing: put at random times, or counted where
nothing was given.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.runs import Curves, Outcome, Score
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.protocols.tasks.pulsed import places_of
from inmateria.protocols.trials import present_trials
from inmateria.reservoir import OneToOne, PhysicalReservoir
from inmateria.reservoir.pulse_encoding import pulse_amplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_PARTS = 5
_BURST = 4.0
"""A bin of the whole network's spikes is in a burst where it holds so many standard deviations above the mean."""


class SpontaneousSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of ``spontaneous``.

    Parameters
    ----------
    seconds : float
        How long it is listened to.
    bin : float, optional
        Resolution, s; intervals shorter than this count as this. The substrate's own step by default.
    seed : int
        Of the spikes put at random.
    round_trips : int
        Single-step exchanges made before the run to measure the round trip.
    """

    seconds: Annotated[float, Meta(ge=10.0)] = 60.0
    bin: Annotated[float, Meta(gt=0.0)] | None = None
    seed: Annotated[int, Meta(ge=0)] = 0
    round_trips: Annotated[int, Meta(ge=1)] = 50


class ResponseMapSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of ``response-map``.

    Parameters
    ----------
    electrodes : int
        How many are stimulated, spread over all.
    amplitudes : tuple of float
        As fractions of the inputs' upper limit.
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
        Single-step exchanges made before the run to measure the round trip.
    """

    electrodes: Annotated[int, Meta(ge=2)] = 16
    amplitudes: tuple[Annotated[float, Meta(gt=0.0, le=1.0)], ...] = (0.1, 0.3, 0.6, 1.0)
    repeats: Annotated[int, Meta(ge=2)] = 5
    after: Annotated[float, Meta(gt=0.0)] = 0.2
    step: Annotated[float, Meta(gt=0.0)] | None = None
    rest: Annotated[float, Meta(ge=0.0)] = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0
    round_trips: Annotated[int, Meta(ge=1)] = 50


class CentreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of ``centre-of-activity``.

    Parameters
    ----------
    probes : int
        Pulses on a probing electrode before, and as many after.
    strength : float
        Of every pulse, as a fraction of the inputs' upper limit.
    pair : tuple of int
        Inputs that are stimulated together at high frequency.
    frequency : float
        Hz.
    seconds : float
        How long.
    after : float
        Seconds after a probe that are counted.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    rest : float
        Seconds without pulses after each probe.
    round_trips : int
        Single-step exchanges made before the run to measure the round trip.
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


async def listen(substrate: Substrate, settings: SpontaneousSettings, on_progress: ProgressCallback) -> Outcome:
    """Give nothing and count: rates, regularity of intervals, network bursts."""
    reservoir = PhysicalReservoir(substrate, OneToOne(), step=settings.bin)
    async with reservoir:
        bin_ = reservoir.duration_of_step
        each = max(1, round(1.0 / bin_))
        reservoir.features = spike_counts(reservoir.info)
        quiet = [np.zeros((each, len(reservoir.info.inputs)))] * round(settings.seconds)
        rows, exchanges = await present_trials(reservoir, quiet, settings.round_trips, on_progress, "listening")
    counts = np.concatenate(rows)
    generator = np.random.default_rng(settings.seed)
    by_chance = np.array([generator.permutation(column) for column in counts.T]).T
    scores: list[Score] = []
    for on, spikes in (("substrate", counts), ("spikes at random times", by_chance)):
        parts = [_figures(part, bin_) for part in np.array_split(spikes, _PARTS)]
        whole = _figures(spikes, bin_)
        scores += [
            _figure(name, on, counts.shape[1], value, [part[name] for part in parts]) for name, value in whole.items()
        ]
    scores.sort(key=lambda score: score.control)
    rates = np.sort(counts.sum(axis=0) / (len(counts) * bin_))[::-1]
    every = max(1, round(0.1 / bin_))
    whole_rate = counts[: len(counts) // every * every].sum(axis=1).reshape(-1, every).sum(axis=1) / (every * bin_)
    return Outcome(
        title="Spontaneous activity",
        sentence=f"The network was left alone for {settings.seconds:g} s.",
        metric="value",
        chance=0.0,
        chance_description="nothing",
        trained=0,
        held_out=len(counts),
        splitting=f"The value of the whole, then mean and spread of {_PARTS} parts of the time.",
        scores=tuple(scores),
        exchanges=exchanges,
        classes=(),
        weights=(),
        curves=(
            Curves(
                heading="Rates",
                text="Mean rate of each output, the busiest first.",
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


async def map_responses(substrate: Substrate, settings: ResponseMapSettings, on_progress: ProgressCallback) -> Outcome:
    """Give one pulse at a time, on each electrode at each amplitude, in random order, and count what follows."""
    generator = np.random.default_rng(settings.seed)
    reservoir = PhysicalReservoir(substrate, OneToOne(), step=settings.step, rest=settings.rest)
    async with reservoir:
        info, step = reservoir.info, reservoir.duration_of_step
        length = max(2, round(settings.after / step))
        reservoir.features = spike_counts(info)
        inputs = len(info.inputs)
        chosen = np.unique(np.linspace(0, inputs - 1, settings.electrodes).round().astype(int))
        # Inputs that know only on and off have one amplitude.
        amplitudes = tuple(
            sorted({pulse_amplitude(info.inputs[0], a) / info.inputs[0].high for a in settings.amplitudes})
        )
        kinds = [(e, a) for e in chosen for a in (0.0, *amplitudes) for _ in range(settings.repeats)]
        order = generator.permutation(len(kinds))
        trials = []
        for k in order:
            electrode, fraction = kinds[k]
            drive = np.zeros((length, inputs))
            if fraction:
                drive[0, electrode] = pulse_amplitude(info.inputs[electrode], fraction)
            trials.append(drive)
        rows, exchanges = await present_trials(reservoir, trials, settings.round_trips, on_progress, "pulses")
    counts = np.empty((len(kinds), length, len(info.outputs)))
    counts[order] = np.array(rows)
    # electrode, amplitude (0 first), repeat, step, output
    counts = counts.reshape(len(chosen), 1 + len(amplitudes), settings.repeats, length, -1)
    total = counts.sum(axis=(3, 4)).mean(axis=0)  # amplitude, repeat: spikes on all outputs, mean over electrodes
    names = ["nothing given", *(f"pulse of {a:g} of the limit" for a in amplitudes)]
    scores = [
        _figure("spikes after it", names[k], counts.shape[-1], float(total[k].mean()), total[k].tolist(), k == 0)
        for k in (*range(len(names) - 1, 0, -1), 0)
    ]
    at = (np.arange(length) + 0.5) * step
    course = counts.mean(axis=(0, 2)).sum(axis=-1) / step
    curves = [
        Curves(
            heading="How long a response lasts",
            text="Spikes on all outputs, mean over the electrodes stimulated.",
            x_label="time since the pulse (s)",
            y_label="rate (Hz)",
            x=tuple(at.tolist()),
            lines={name: tuple(course[k].tolist()) for k, name in enumerate(names)},
        )
    ]
    distances = _distances(info, chosen)
    if distances is not None:
        evoked = counts.sum(axis=3).mean(axis=2)
        evoked = evoked[:, 1:] - evoked[:, :1]  # beyond what comes by itself
        edges = np.quantile(distances, np.linspace(0, 1, 9))
        edges[-1] += 1e-9
        ring = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, 7)
        middle = np.array([distances[ring == k].mean() for k in range(8) if (ring == k).any()])
        curves.append(
            Curves(
                heading="How far a response reaches",
                text="Spikes on each output beyond those that come by themselves, by its distance from the pulse.",
                x_label=f"distance ({info.layout.unit if info.layout else ''})",
                y_label="spikes a pulse",
                x=tuple(middle.tolist()),
                lines={
                    name: tuple(float(evoked[:, k][ring == r].mean()) for r in range(8) if (ring == r).any())
                    for k, name in enumerate(names[1:])
                },
            )
        )
    return Outcome(
        title="Response to single pulses",
        sentence=f"Single pulses were given on {len(chosen)} electrodes at {len(amplitudes)} amplitudes, "
        f"{settings.repeats} times each, in random order.",
        metric="spikes",
        chance=float(total[0].mean()),
        chance_description="nothing given",
        trained=0,
        held_out=len(trials),
        splitting=f"The mean over electrodes, and its spread over {settings.repeats} repeats.",
        scores=tuple(scores),
        exchanges=exchanges,
        classes=(),
        weights=(),
        curves=tuple(curves),
    )


async def shift_centre(substrate: Substrate, settings: CentreSettings, on_progress: ProgressCallback) -> Outcome:
    """Probe, stimulate a pair at high frequency, probe again; and once more with a pause in its place, before."""
    reservoir = PhysicalReservoir(substrate, OneToOne(), step=settings.step, rest=settings.rest)
    async with reservoir:
        info, step = reservoir.info, reservoir.duration_of_step
        length = max(1, round(settings.after / step))
        reservoir.features = spike_counts(info)
        inputs = len(info.inputs)
        if max(settings.pair) >= inputs or settings.pair[0] == settings.pair[1]:
            raise ValueError(f"the pair is {settings.pair}; give two different ones of the inputs 0 to {inputs - 1}")
        probing = next(k for k in range(inputs // 2, 2 * inputs) if k % inputs not in settings.pair) % inputs
        if settings.frequency > 1.001 / step:
            raise ValueError(
                f"{settings.frequency:g} Hz were asked for; {info.id} gives at most {1 / step:g} pulses a second, one "
                f"a step: give frequency={1 / step:g} or less, or a shorter step where it has one"
            )
        every = max(1, round(1.0 / (settings.frequency * step)))
        train = np.zeros((every, inputs))
        train[0, list(settings.pair)] = [pulse_amplitude(info.inputs[k], settings.strength) for k in settings.pair]
        seconds_of = [np.tile(train, (max(1, round(1.0 / (every * step))), 1))] * round(settings.seconds)
        probe = np.zeros((length, inputs))
        probe[0, probing] = pulse_amplitude(info.inputs[probing], settings.strength)
        probes, pause = [probe] * settings.probes, [np.zeros_like(seconds_of[0])] * len(seconds_of)
        rows, exchanges = await present_trials(
            reservoir, [*probes, *pause, *probes, *seconds_of, *probes], settings.round_trips, on_progress, "probes"
        )
    parts = [rows[begin : begin + settings.probes] for begin in _begins(settings.probes, len(pause))]
    places = places_of(info, info.outputs)
    before, paused, after = (_centres(np.array(part).sum(axis=1), places) for part in parts)
    shifts = {"after high frequency": _shift(paused, after), "after a pause": _shift(before, paused)}
    scores = tuple(
        _figure("shift of the centre", name, len(info.outputs), value, [value], name == "after a pause")
        for name, value in shifts.items()
    )
    everything = np.concatenate([before, paused, after])
    return Outcome(
        title="Centre of activity",
        sentence=f"Probes on {info.inputs[probing].name} before and after {settings.frequency:g} Hz on "
        f"{' and '.join(info.inputs[k].name for k in settings.pair)} for {settings.seconds:g} s.",
        metric="standard errors",
        chance=1.25,
        chance_description="mean of two means of the same",
        trained=0,
        held_out=3 * settings.probes,
        splitting="Distance of the mean centres of two sets of probes, in standard errors of that distance.",
        scores=scores,
        exchanges=exchanges,
        classes=(),
        weights=(),
        curves=(
            Curves(
                heading="Centre of activity, probe by probe",
                text="Place of the mean spike after each probe: before, after a pause, after high frequency.",
                x_label="probe",
                y_label=info.layout.unit if info.layout else "output",
                x=tuple(float(k) for k in range(len(everything))),
                lines={axis: tuple(everything[:, k].tolist()) for k, axis in enumerate(("x", "y"))},
            ),
        ),
    )


def _begins(probes: int, pause: int) -> tuple[int, int, int]:
    return 0, probes + pause, 2 * probes + 2 * pause


def _figures(counts: FloatArray, bin_: float) -> dict[str, float]:
    """Sum spike counts (bins, outputs) up as published reports do."""
    rates = counts.sum(axis=0) / (len(counts) * bin_)
    active = rates > 0.1
    cvs = []
    for column in counts[:, active].T:
        intervals = np.diff(np.repeat(np.arange(len(column)), column.astype(int))) * bin_
        if len(intervals) > 10 and intervals.mean() > 0:
            cvs.append(intervals.std() / intervals.mean())
    whole = counts.sum(axis=1)
    width = max(1, round(0.05 / bin_))
    smooth = whole[: len(whole) // width * width].reshape(-1, width).sum(axis=1)
    high = smooth > smooth.mean() + _BURST * np.sqrt(max(smooth.mean(), 1e-12))
    bursts = int(np.count_nonzero(np.diff(high.astype(int), prepend=0) == 1))
    return {
        "mean rate of active outputs (Hz)": float(rates[active].mean()) if active.any() else 0.0,
        "active outputs (fraction above 0.1 Hz)": float(active.mean()),
        "variation of intervals (sd / mean)": float(np.mean(cvs)) if cvs else 0.0,
        "network bursts a minute": bursts / (len(counts) * bin_) * 60,
        "spikes in bursts (fraction)": float(smooth[high].sum() / smooth.sum()) if smooth.sum() else 0.0,
    }


def _distances(info: SubstrateInfo, stimulated: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray | None:
    """Give the distance of every output from each stimulated input; nothing where places are not known."""
    places = info.layout.electrodes if info.layout else {}
    if not all(channel.name in places for channel in (*info.inputs, *info.outputs)):
        return None
    there = np.array([places[channel.name] for channel in info.outputs], dtype=np.float64)
    here = np.array([places[info.inputs[k].name] for k in stimulated], dtype=np.float64)
    apart: FloatArray = np.linalg.norm(here[:, np.newaxis] - there, axis=-1)
    return apart


def _centres(counts: FloatArray, places: FloatArray) -> FloatArray:
    """Give the mean place of the spikes of each probe that evoked any (probes, 2)."""
    some = counts.sum(axis=1) > 0
    centres: FloatArray = counts[some] @ places / counts[some].sum(axis=1, keepdims=True)
    return centres


def _shift(one: FloatArray, other: FloatArray) -> float:
    """Measure how far apart two means are, in standard errors."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    error = np.sqrt(one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(other))
    apart = (other.mean(axis=0) - one.mean(axis=0)) / np.where(error > 0, error, np.inf)
    return float(np.linalg.norm(apart))


def _figure(
    readout: str, on: str, features: int, value: float, splits: list[float], control: bool | None = None
) -> Score:
    return Score(
        readout=readout,
        on=on,
        features=features,
        score=value,
        splits=tuple(splits),
        control=on != "substrate" if control is None else control,
    )


SPONTANEOUS = Task("spontaneous", SpontaneousSettings, listen)
RESPONSE_MAP = Task("response-map", ResponseMapSettings, map_responses)
CENTRE_OF_ACTIVITY = Task("centre-of-activity", CentreSettings, shift_centre)
