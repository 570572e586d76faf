"""Generate a periodic signal: a readout learns online while its output is fed back as the only input.

FORCE learning of D. Sussillo and L. F. Abbott, Neuron 63, 544 (2009): recursive least squares keeps the error small
from the first step on, so that what is fed back is nearly the target while it learns. Then learning stops, and the loop
has to go on by itself. The output goes back through a random mask, or, where matter gives spikes only, as the place of
a pulse. The same loop is closed through what is sent alone, through the responses shuffled in time (the same rates),
through leaky integrators, which are linear and have memory but cannot oscillate by themselves, and through an
echo-state network.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import ECHO_STATE
from inmateria.protocols.outcome import Curves, ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.presenting import measure_round_trips
from inmateria.protocols.run_progress import note_no_targets, note_score
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.reservoir import FORCEReadout, InputMask, PhysicalReservoir, PulsePlace, SignalOrCounts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_WINDOWS = 5
"""Parts of the time without learning that are scored."""
_ECHO = "echo state of radius "
_MOST = 2.0
"""Largest output of the readout; targets are from -1 to 1, and so is what is fed back."""
_ECHOES = ((0.9, 0.3, 0.3), (1.2, 0.3, 0.3), (0.9, 1.0, 0.1), (0.9, 0.3, 1.0))
"""Spectral radii, largest weights of the input and leaks of echo-state networks; the best of them on what is scored is
the control, in its favour."""
_ECHO = "echo state "
_MOST = 2.0
"""Largest output of the readout; targets are from -1 to 1, and so is what is fed back."""
_RADII = (0.8, 0.95, 1.2)
"""Spectral radii of the echo-state networks; the best of them on what is scored is the control, in its favour."""

Answer = Callable[[float], Awaitable[FloatArray]]
"""From the value that is fed back to the features of the next step."""


class PeriodicSignalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `periodic-signal`.

    Parameters
    ----------
    signal : {"sine", "triangle", "four sines"}
        The last one has the amplitudes of the publication.
    period : int
        Steps.
    train, test : int
        Periods in which it learns, and in which the loop goes on by itself.
    washout : int
        Periods before, in which the target is sent in place of the output; features are scaled by their spread there.
    alpha : float
        Regularisation of the recursive least squares.
    amplitude : float
        Largest drive for a value of 1 without bias, as a fraction of each input's range around its rest.
    bias : float
        Constant drive beside it, of random sign for each input, in units of the amplitude.
    strength : float
        Of every pulse, where matter gives spikes only: a fraction of the way from rest to the inputs' upper limit.
    width : int
        Neighbouring electrodes that are stimulated together.
    memory : float
        Steps after which a count of spikes has faded to 1/e in the features.
    step : float, optional
        Duration of a step, s; the substrate's own by default.
    round_trips : int
        Number of exchanges of a single step that are made first, to measure the round trip.
    seed : int
        Of the mask, the phase and the controls.
    """

    signal: Literal["sine", "triangle", "four sines"] = "sine"
    period: Annotated[int, Meta(ge=4)] = 40
    train: Annotated[int, Meta(ge=1)] = 30
    test: Annotated[int, Meta(ge=5)] = 10
    washout: Annotated[int, Meta(ge=1)] = 3
    alpha: Annotated[float, Meta(gt=0.0)] = 1.0
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.2
    bias: Annotated[float, Meta(ge=0.0)] = 0.5
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    width: Annotated[int, Meta(ge=1)] = 3
    memory: Annotated[float, Meta(gt=0.0)] = 5.0
    step: Annotated[float, Meta(gt=0.0)] | None = None
    round_trips: Annotated[int, Meta(ge=1)] = 50
    seed: Annotated[int, Meta(ge=0)] = 0


async def generate(substrate: Substrate, settings: PeriodicSignalSettings, on_progress: ProgressCallback) -> Outcome:
    """Learn in the loop, then let it go on, through the substrate and through each control."""
    note_no_targets("what is right at a step depends on the phase, which is free")
    target = _target(settings)
    mask = InputMask(
        amplitude=settings.amplitude, offset=settings.bias, offset_sign="random", kind="uniform", clip=True,
        seed=settings.seed,
    )  # fmt: skip
    place, keep = PulsePlace(1, settings.strength, width=settings.width), float(np.exp(-1.0 / settings.memory))
    reservoir = PhysicalReservoir(substrate, mask, SignalOrCounts(1), step=settings.step)
    async with reservoir:
        info, spikes = reservoir.info, reservoir.info.sampling_rate is None
        if spikes:
            reservoir.encoding = place

        def sent(value: float) -> FloatArray:
            """Return what the encoding takes."""
            return np.array([0.5 + 0.5 * value if spikes else value])

        reservoir.check(np.array([sent(-1.0), sent(1.0)]))
        if info.resettable:
            await reservoir.reset()
        trips = await measure_round_trips(reservoir, settings.round_trips, on_progress)
        seen: list[FloatArray] = []
        faded: FloatArray = np.zeros(len(info.outputs))

        async def respond(value: float) -> FloatArray:
            nonlocal faded
            faded = (keep * faded if spikes else 0.0) + await reservoir.step(sent(value))
            seen.append(faded)
            on_progress("streaming", len(seen), len(target), len(seen))
            return faded

        begun = asyncio.get_running_loop().time()
        outputs = {"substrate": await _force(respond, target, settings)}
        seconds = asyncio.get_running_loop().time() - begun
    on_progress("scoring", 0, 1, len(seen))

    async def stimuli(value: float) -> FloatArray:
        drive: FloatArray = reservoir.encoding.drive(sent(value)[np.newaxis], info).ravel() - info.rest
        return drive

    features = len(info.outputs)
    shuffled = np.random.default_rng([settings.seed, 2]).permuted(np.array(seen), axis=0)
    answers = {
        "stimuli alone": stimuli,
        "responses shuffled in time": _in_turn(iter(shuffled)),
        "leaky integrators": _integrators(features),
        **{f"{_ECHO}{number}": _echo_state(features, *each, settings) for number, each in enumerate(_ECHOES)},
    }
    for name, answer in answers.items():
        outputs[name] = await asyncio.to_thread(asyncio.run, _force(answer, target, settings))
    scores = _scores(outputs, target, settings, {"stimuli alone": len(info.inputs)}, features)
    note_score("shape of the signal, 1 - NRMSE", scores[0].score, _WINDOWS)
    on_progress("scoring", 1, 1, len(seen))
    shown = min(4 * settings.period, settings.test * settings.period)
    return Outcome(
        title=f"A periodic signal: {settings.signal}",
        sentence=f"A readout learned for {settings.train} periods of {settings.period} steps while its output was fed "
        f"back, and then the loop went on by itself for {settings.test}.",
        metric="1 - NRMSE",
        chance=0.0,
        chance_description="mean of the target",
        items="steps",
        repeated="parts",
        trained=settings.train * settings.period,
        held_out=settings.test * settings.period,
        splitting=f"{_WINDOWS} parts of the time without learning, each compared with the target at the shift that "
        "fits it best, and without a shift.",
        scores=scores,
        exchanges=ExchangeStatistics.measured(count=len(seen), steps=len(seen), seconds=seconds, round_trips=trips),
        classes=(settings.signal,),
        weights=weights_by_output(outputs["substrate"][1], [channel.name for channel in info.outputs]),
        curves=(
            Curves(
                heading="The loop by itself",
                text="The signal after learning has stopped.",
                x_label="step",
                y_label="output",
                x=tuple(float(k) for k in range(shown)),
                lines={
                    "target": tuple(target[-settings.test * settings.period :][:shown].tolist()),
                    **{name: tuple(outputs[name][0][:shown].tolist()) for name in ("substrate", "leaky integrators")},
                },
                dashed=("target",),
            ),
        ),
    )


def _target(settings: PeriodicSignalSettings) -> FloatArray:
    """Return the signal over washout, training and test, from -1 to 1."""
    steps = (settings.washout + settings.train + settings.test) * settings.period
    turns = np.arange(steps) / settings.period + np.random.default_rng(settings.seed).random()
    if settings.signal == "sine":
        return np.sin(2 * np.pi * turns)
    if settings.signal == "triangle":
        return 2 / np.pi * np.arcsin(np.sin(2 * np.pi * turns))
    parts = ((1.0, 1), (0.5, 2), (1 / 6, 3), (1 / 3, 4))
    wave = sum(size * np.sin(2 * np.pi * order * turns) for size, order in parts)
    whole: FloatArray = wave / np.abs(wave).max()
    return whole


async def _force(answer: Answer, target: FloatArray, settings: PeriodicSignalSettings) -> tuple[FloatArray, FloatArray]:
    """Learn in the loop and let it go on.

    Returns
    -------
    output : ndarray of float, shape (test steps,)
        From the step on at which learning stopped.
    coef : ndarray of float, shape (1, features)
        Weights of the standardised features.
    """
    washout, learned = (each * settings.period for each in (settings.washout, settings.washout + settings.train))
    before = np.array([await answer(float(target[t - 1])) for t in range(washout)])
    mean, spread = before.mean(axis=0), before.std(axis=0)
    spread = np.where(spread > 1e-12 * np.abs(before).max(axis=0, initial=1e-300), spread, 1.0)
    readout = FORCEReadout(settings.alpha, fit_intercept=True).begin(before.shape[1])
    output, value = np.zeros(len(target)), float(target[washout - 1])
    for t in range(washout, len(target)):
        features = (await answer(float(np.clip(value, -1.0, 1.0))) - mean) / spread
        value = float(readout.step(features, target[t] if t < learned else np.nan)[0])
        output[t] = value = float(np.clip(value, -_MOST, _MOST))
    return output[learned:], readout.coef_


def _in_turn(rows: Iterator[FloatArray]) -> Answer:
    """Answer by rows that are there already, whatever is fed back."""

    async def answer(value: float) -> FloatArray:
        return next(rows)

    return answer


def _integrators(count: int) -> Answer:
    """Answer by leaky integrators of what is fed back, with time constants from 1 to 100 steps."""
    keep = np.exp(-1.0 / np.geomspace(1.0, 100.0, count))
    state = np.zeros(count)

    async def answer(value: float) -> FloatArray:
        nonlocal state
        state = keep * state + (1.0 - keep) * value
        return state

    return answer


def _echo_state(units: int, radius: float, scale: float, leak: float, settings: PeriodicSignalSettings) -> Answer:
    """Answer by an echo-state network that what is fed back drives."""
    generator = np.random.default_rng([settings.seed, 3])
    W = generator.standard_normal((units, units))
    W *= radius / max(np.abs(np.linalg.eigvals(W)).max(), 1e-12)
    W_in, bias = scale * generator.uniform(-1.0, 1.0, (2, units))
    state = np.zeros(units)

    async def answer(value: float) -> FloatArray:
        nonlocal state
        state = np.asarray((1.0 - leak) * state + leak * np.tanh(W @ state + W_in * value + bias), dtype=np.float64)
        return state

    return answer


def _scores(
    outputs: dict[str, tuple[FloatArray, FloatArray]],
    target: FloatArray,
    settings: PeriodicSignalSettings,
    widths: dict[str, int],
    features: int,
) -> tuple[Score, ...]:
    """Score the shape of each output, and whether it is in phase, in parts of the time without learning.

    Of the echo-state networks only the best is kept.
    """
    tested = target[-settings.test * settings.period :]
    kinds = {"stimuli alone": "linear", "leaky integrators": "memory"}
    scores: list[Score] = []
    for readout, shifts in (("shape", range(settings.period)), ("in phase", range(1))):
        of_echoes: list[Score] = []
        for on, (output, _) in outputs.items():
            parts = np.array_split(np.arange(len(tested)), _WINDOWS)
            splits = tuple(
                max(_fit(np.take(tested, rows + shift, mode="wrap"), output[rows]) for shift in shifts)
                for rows in parts
            )
            echo = on.startswith(_ECHO)
            score = Score(
                readout=readout,
                on=ECHO_STATE if echo else on,
                features=widths.get(on, features),
                score=splits[0],
                splits=splits,
                kind="digital" if echo else kinds.get(on, ""),
            )
            (of_echoes if echo else scores).append(score)
        scores.append(max(of_echoes, key=lambda each: float(np.mean(each.splits))))
    return tuple(scores)


def _fit(target: FloatArray, output: FloatArray) -> float:
    """Return 1 - NRMSE."""
    return 1.0 - float(np.sqrt(np.mean((target - output) ** 2)) / target.std())


def _unused(settings: PeriodicSignalSettings, info: SubstrateInfo) -> dict[str, str]:
    if info.sampling_rate is None:
        return dict.fromkeys(("amplitude", "bias"), f"{info.id} gives spikes only, and is sent pulses by place")
    return dict.fromkeys(("strength", "width", "memory"), f"{info.id} gives a signal, and is driven through a mask")


TASK = Task(
    "periodic-signal",
    PeriodicSignalSettings,
    generate,
    needs="signal",
    unused=_unused,
    reads=samples_read,
    validation="data",
    own_controls="the loop is closed: the same one through the stimuli alone, shuffled responses and computers",
)
