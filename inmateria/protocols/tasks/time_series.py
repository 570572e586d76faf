"""Three tasks on time series: waveform transformation, memory capacity, and forecasting a chaotic series.

One series drives every input, each in a strength of its own; a ridge readout of all outputs is trained
on four fifths of the time and scored on the rest, each fifth in turn. Beside it stand the same readout
on the masked input, which has no memory, and on the bare series.
"""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.runs import Curves, ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.protocols.tasks.digits import round_trips_of
from inmateria.reservoir import InputMask, PhysicalReservoir, RidgeReadout, VirtualNodes
from inmateria.reservoir.series import mackey_glass as mackey_glass_series
from inmateria.substrate import FloatArray, Substrate

_BLOCKS = 5
_CHUNK = 100
_SHOWN = 200
_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-8, 5))


class SeriesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of a task on time series.

    How defaults were chosen is said in docs/tasks.md.

    Parameters
    ----------
    seed : int
        Of the input mask, and of the series where it is random.
    amplitude : float
        Drive for a value of 1, as a fraction of the inputs' upper limit; each input has a strength of its own.
    bias : float
        Constant drive beside it, in units of that. It keeps a network about to switch, and lets it tell up from down.
    step : float
        Duration of a step on the device, s.
    samples : int
        Samples of every step that the readout sees.
    steps : int
        Length of the series, washout included.
    washout : int
        Steps at the beginning that are left out.
    frequency : float
        Of the wave that goes in, Hz (waveform only).
    delays : int
        How far back memory is asked for, in steps (memory only).
    horizon : int
        How far ahead is forecast, in steps (mackey-glass only).
    round_trips : int
        Single-step exchanges made before the run to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.15
    bias: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    step: Annotated[float, Meta(gt=0.0)] = 0.05
    samples: Annotated[int, Meta(ge=1)] = 10
    steps: Annotated[int, Meta(ge=500)] = 4000
    washout: Annotated[int, Meta(ge=0)] = 200
    frequency: Annotated[float, Meta(gt=0.0)] = 0.5
    delays: Annotated[int, Meta(ge=1, le=200)] = 20
    horizon: Annotated[int, Meta(ge=1, le=200)] = 84
    round_trips: Annotated[int, Meta(ge=1)] = 200


class WaveformSettings(SeriesSettings, frozen=True, kw_only=True):
    """What can be set of the waveform transformation: the sine rides on a constant of its own height."""

    bias: Annotated[float, Meta(ge=0.0, le=10.0)] = 1.0


class ForecastSettings(SeriesSettings, frozen=True, kw_only=True):
    """What can be set of the forecast: as of other series, weakly driven about a constant."""

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.0095
    bias: Annotated[float, Meta(ge=0.0, le=10.0)] = 2.0
    step: Annotated[float, Meta(gt=0.0)] = 0.1


@dataclass(frozen=True, eq=False)
class Problem:
    """A series and what is wanted of it.

    Parameters
    ----------
    u : ndarray of float, shape (steps,)
        From -1 to 1.
    targets : dict of str to ndarray of float, shape (steps,)
        NaN where a target does not exist.
    metric : str
        ``"1 - RNMSE"`` (one is perfect, zero is naming the mean) or ``"r²"`` (squared correlation).
    title, sentence : str
        What is asked.
    """

    u: FloatArray
    targets: dict[str, FloatArray]
    metric: str
    title: str
    sentence: str


def waveform(settings: SeriesSettings) -> Problem:
    """Ask for other waves out of a sine: square, triangle, shifted by a quarter, doubled in frequency.

    The benchmark of Sillin et al., Nanotechnology 24, 384004 (2013), and Fu et al., IJCNN (2020).
    """
    phase = 2 * np.pi * settings.frequency * settings.step * np.arange(settings.steps)
    targets = {
        "square": np.sign(np.sin(phase)),
        "triangle": 2 / np.pi * np.arcsin(np.sin(phase)),
        "shifted": np.cos(phase),
        "doubled": np.sin(2 * phase),
    }
    return Problem(
        np.sin(phase),
        targets,
        "1 - RNMSE",
        "Waveform transformation",
        f"A sine of {settings.frequency:g} Hz was to become a square wave, a triangle, a sine a quarter later and one "
        "of twice the frequency.",
    )


def memory(settings: SeriesSettings) -> Problem:
    """Ask for the input of k steps ago, for every k: memory capacity (Jaeger, GMD report 152 (2002))."""
    u = np.random.default_rng(settings.seed).uniform(-1, 1, settings.steps)
    targets = {f"{delay} back": _shifted(u, delay) for delay in range(1, settings.delays + 1)}
    return Problem(
        u,
        targets,
        "r²",
        "Memory capacity",
        f"A random series was to be recalled 1 to {settings.delays} steps later; the sum of the squared correlations "
        "is the memory capacity.",
    )


def mackey_glass(settings: SeriesSettings) -> Problem:
    """Ask for a chaotic series some steps ahead (Mackey and Glass, Science 197, 287 (1977); tau 17)."""
    series = mackey_glass_series(settings.steps + settings.horizon)
    scaled = 2 * (series - series.min()) / np.ptp(series) - 1
    return Problem(
        scaled[: settings.steps],
        {f"{settings.horizon} ahead": scaled[settings.horizon :]},
        "1 - RNMSE",
        "Mackey-Glass forecast",
        f"The Mackey-Glass series with a delay of 17 was to be forecast {settings.horizon} steps ahead.",
    )


@dataclass(frozen=True, eq=False)
class Driven:
    """What a series made of a substrate.

    Parameters
    ----------
    X : ndarray of float, shape (steps, features)
        Features of every step.
    masked : ndarray of float, shape (steps, inputs)
        What was driven: the control without the physics.
    outputs : list of str
        Output channel of each feature.
    exchanges : ExchangeStatistics
        What the streaming cost.
    """

    X: FloatArray
    masked: FloatArray
    outputs: list[str]
    exchanges: ExchangeStatistics


async def drive_with(
    series: FloatArray,
    substrate: Substrate,
    mask: InputMask,
    amplitude: float,
    step: float | None,
    samples: int,
    round_trips: int,
    on_progress: ProgressCallback,
) -> Driven:
    """Drive a substrate from rest with a series from -1 to 1, each value held for one step.

    Parameters
    ----------
    series : ndarray of float, shape (steps,)
    substrate : Substrate
        Entered and left here.
    mask : InputMask
        How the series is shared out to the inputs; its scale and offset are in units of the largest drive.
    amplitude : float
        The largest drive, as a fraction of the inputs' upper limit.
    step : float, optional
        Duration of a step, s; the device's own by default.
    samples : int
        Of every step and output.
    round_trips : int
        Single exchanges made first to measure the round trip.
    on_progress : ProgressCallback
    """
    u = series[:, np.newaxis]
    reservoir = PhysicalReservoir(substrate, step=step)
    async with reservoir:
        reservoir.features = VirtualNodes(samples)
        largest = amplitude * min(channel.high for channel in reservoir.info.inputs)
        reservoir.encoding = replace(mask, scale=mask.scale * largest, offset=mask.offset * largest)
        masked = reservoir.encode(u)
        pieces = [u[begin : begin + _CHUNK] for begin in range(0, len(u), _CHUNK)]
        for piece in pieces:
            reservoir.check(piece)
        if reservoir.info.resettable:
            await reservoir.reset()
        seconds_each = await round_trips_of(reservoir, round_trips, on_progress)
        rows: list[FloatArray] = []
        begun = time.perf_counter()
        async with aclosing(reservoir.stream(pieces)) as features:
            async for X in features:
                rows.append(X)
                on_progress("streaming", sum(map(len, rows)), len(u), sum(map(len, rows)))
        seconds = time.perf_counter() - begun
        outputs = [name.partition("@")[0] for name in reservoir.feature_names]
    p50, p99 = np.percentile(seconds_each, [50, 99])
    exchanges = ExchangeStatistics(
        count=len(pieces),
        steps=len(u),
        seconds=seconds,
        round_trip_p50=float(p50),
        round_trip_p99=float(p99),
        round_trips=len(seconds_each),
    )
    return Driven(np.concatenate(rows), masked, outputs, exchanges)


async def _run(
    make: Callable[[SeriesSettings], Problem],
    substrate: Substrate,
    settings: SeriesSettings,
    on_progress: ProgressCallback,
) -> Outcome:
    """Drive the substrate with a problem's series, read the targets out, score them and the controls."""
    if settings.washout > settings.steps // 2:
        raise ValueError(f"washout is {settings.washout} of {settings.steps} steps; leave at least half")
    problem = make(settings)
    driven = await drive_with(
        problem.u,
        substrate,
        InputMask(kind="uniform", offset=settings.bias, seed=settings.seed),
        settings.amplitude,
        settings.step,
        settings.samples,
        settings.round_trips,
        on_progress,
    )
    X, masked, u, outputs = driven.X, driven.masked, problem.u[:, np.newaxis], driven.outputs
    names = list(problem.targets)
    Y = np.column_stack([problem.targets[name] for name in names])
    kept = np.arange(settings.washout, len(u))
    kept = kept[np.isfinite(Y[kept]).all(axis=1)]
    blocks = np.array_split(kept, _BLOCKS)
    feature_sets = {"substrate": X, "masked input": masked, "input alone": u}
    scores: list[Score] = []
    named: dict[str, FloatArray] = {}
    measured: dict[str, FloatArray] = {}
    coef = np.empty(0)
    for on, features_ in feature_sets.items():
        by_block = []
        for block in reversed(blocks):  # the last one first: learned from the past, scored on the future
            train = np.setdiff1d(kept, block)
            scaler = StandardScaler().fit(features_[train])
            readout = RidgeReadout(_ALPHAS).fit(scaler.transform(features_[train]), Y[train])
            predicted = readout.predict(scaler.transform(features_[block]))
            by_block.append(_measure(problem.metric, Y[block], predicted))
            if block is blocks[-1]:
                named[on] = predicted
                coef = readout.coef_ if on == "substrate" else coef
        measured[on] = np.array(by_block)
        if problem.metric == "r²":
            scores.append(_score(on, "sum over delays", X_of=features_, values=measured[on].sum(axis=1)))
        else:
            scores += [_score(on, f"ridge, {name}", features_, measured[on][:, k]) for k, name in enumerate(names)]
    return Outcome(
        title=problem.title,
        sentence=problem.sentence,
        metric="memory capacity" if problem.metric == "r²" else problem.metric,
        chance=len(names) / len(blocks[-1]) if problem.metric == "r²" else 0.0,
        chance_description="delays / held-out steps" if problem.metric == "r²" else "always the mean",
        trained=len(kept) - len(blocks[-1]),
        held_out=len(blocks[-1]),
        splitting=f"{_BLOCKS} blocks of time, each held out in turn, the last one first.",
        scores=tuple(scores),
        exchanges=driven.exchanges,
        classes=tuple(names),
        weights=weights_by_output(np.atleast_2d(coef), outputs),
        curves=_curves(problem, settings, blocks[-1], Y, named, measured),
    )


def _curves(
    problem: Problem,
    settings: SeriesSettings,
    block: np.ndarray[tuple[int], np.dtype[np.intp]],
    Y: FloatArray,
    named: dict[str, FloatArray],
    measured: dict[str, FloatArray],
) -> tuple[Curves, ...]:
    """Draw r² by delay, or a stretch of every target beside what was read out."""
    if problem.metric == "r²":
        return (
            Curves(
                heading="How far back it remembers",
                text="Squared correlation of what was read out with the input so many steps ago, mean of the blocks.",
                x_label="delay (steps)",
                y_label="squared correlation",
                x=tuple(float(delay) for delay in range(1, Y.shape[1] + 1)),
                lines={on: tuple(values.mean(axis=0).tolist()) for on, values in measured.items()},
            ),
        )
    shown = block[:_SHOWN]
    return tuple(
        Curves(
            heading=f"Wanted and read out: {name}",
            text="The beginning of the last block, which the readout has not seen.",
            x_label="time on the device's clock (s)",
            y_label="value (no unit)",
            x=tuple((settings.step * shown).tolist()),
            lines={
                "wanted": tuple(Y[shown, k].tolist()),
                "substrate": tuple(named["substrate"][: len(shown), k].tolist()),
                "input alone": tuple(named["input alone"][: len(shown), k].tolist()),
            },
        )
        for k, name in enumerate(problem.targets)
    )


def _score(on: str, readout: str, X_of: FloatArray, values: FloatArray) -> Score:
    return Score(
        readout=readout,
        on=on,
        features=X_of.shape[1],
        score=float(values[0]),
        splits=tuple(values.tolist()),
        control=on != "substrate",
    )


def _measure(metric: str, Y: FloatArray, predicted: FloatArray) -> FloatArray:
    """Score each target (columns)."""
    predicted = predicted.reshape(Y.shape)
    if metric == "r²":
        centred, guessed = Y - Y.mean(axis=0), predicted - predicted.mean(axis=0)
        spread = (centred**2).sum(axis=0) * (guessed**2).sum(axis=0)
        together: FloatArray = (centred * guessed).sum(axis=0) ** 2
        squared: FloatArray = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0)
        return squared
    rnmse: FloatArray = np.sqrt(((Y - predicted) ** 2).sum(axis=0) / ((Y - Y.mean(axis=0)) ** 2).sum(axis=0))
    return 1.0 - rnmse


def _shifted(u: FloatArray, delay: int) -> FloatArray:
    return np.concatenate([np.full(delay, np.nan), u[:-delay]])


async def _run_waveform(substrate: Substrate, settings: SeriesSettings, on_progress: ProgressCallback) -> Outcome:
    return await _run(waveform, substrate, settings, on_progress)


async def _run_memory(substrate: Substrate, settings: SeriesSettings, on_progress: ProgressCallback) -> Outcome:
    return await _run(memory, substrate, settings, on_progress)


async def _run_mackey_glass(substrate: Substrate, settings: SeriesSettings, on_progress: ProgressCallback) -> Outcome:
    return await _run(mackey_glass, substrate, settings, on_progress)


WAVEFORM = Task("waveform", WaveformSettings, _run_waveform)
MEMORY = Task("memory", SeriesSettings, _run_memory)
MACKEY_GLASS = Task("mackey-glass", ForecastSettings, _run_mackey_glass)
