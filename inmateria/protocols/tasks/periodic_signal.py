"""Generate or follow a periodic signal: a readout learns online, by recursive least squares, and then is left alone.

To generate, its output is fed back as only input. This is FORCE learning of D. Sussillo and L. F. Abbott, Neuron 63,
544 (2009): recursive least squares keeps the error small from the first step on, so that what is fed back is nearly the
target while it learns. Then learning stops, and the loop has to go on by itself. The output goes back through a random
mask, or, in a culture, as the place of a pulse. The same loop is closed through what is sent alone, through pulses that
fade as the counts of spikes do, through the responses shuffled in time (the same rates), through leaky integrators,
which are linear and have memory but cannot oscillate by themselves, and through an echo-state network.

To follow, a sine drives matter, and the target is a signal of the same period that lags behind it, which takes memory,
or has another shape, which takes nonlinearity. The controls are the same, driven by the same sine; leaky integrators
answer a sine by sines, and follow nothing else.
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
from inmateria.protocols.pulses import unused_by_levels
from inmateria.protocols.run_progress import note_no_targets, note_score
from inmateria.protocols.task import ProgressCallback, Task, UnsuitableSetting, counts_spikes, samples_read
from inmateria.reservoir import FORCEReadout, InputMask, PhysicalReservoir, PulsePlace, SpikeCounts, VirtualNodes
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_WINDOWS = 5
"""Parts of the time without learning that are scored."""
_ECHO = "echo state "
_FADING = "stimuli that fade alike"
_MOST = 2.0
"""Largest output of the readout; targets are from -1 to 1, and so is what is fed back."""
_ECHOES = ((0.9, 0.3, 0.3), (1.2, 0.3, 0.3), (0.9, 1.0, 0.1), (0.9, 0.3, 1.0))
"""Spectral radii, largest weights of the input and leaks of echo-state networks; the best of them on what is scored is
the control, in its favour."""

_LONGER = 0.5 * (5**0.5 - 1)
"""Steps by which the period of a sine that is followed is longer than the settings', so that no value comes back: a
table of as many values as steps would tell the phase without any memory."""

Answer = Callable[[float], Awaitable[FloatArray]]
"""From the value that drives a step to its features."""


class PeriodicSignalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `periodic-signal`.

    Parameters
    ----------
    kind : {"generation", "tracking"}
        Whether the output is fed back as the only input, or a sine drives matter and the output follows it.
    signal : {"sine", "triangle", "four sines"}
        The target; the last one has the amplitudes of the publication.
    shift : float
        Periods by which a target that follows is behind the sine.
    period : int
        Steps; that of a sine which is followed is .618 steps longer, so that its values never repeat.
    train, test : int
        Periods in which it learns, and in which it has stopped to learn; the loop goes on by itself then.
    washout : int
        Periods before, in which the target is sent in place of an output that is fed back; features are scaled by
        their spread there.
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
        Duration of a step, s; the substrate's own by default, or the shortest after which its limits allow another
        pulse on the same electrode.
    round_trips : int
        Number of exchanges of a single step that are made first, to measure the round trip.
    seed : int
        Of the mask, the phase and the controls.
    """

    kind: Literal["generation", "tracking"] = "generation"
    signal: Literal["sine", "triangle", "four sines"] = "sine"
    shift: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.25
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


async def learn_signal(
    substrate: Substrate, settings: PeriodicSignalSettings, on_progress: ProgressCallback
) -> Outcome:
    """Learn online and then stop, through the substrate and through each control."""
    following = settings.kind == "tracking"
    note_no_targets(
        "the output is learned from features that fade, which the task itself keeps"
        if following
        else "what is right at a step depends on the phase, which is free"
    )
    target = _target(settings)
    driver = np.sin(2 * np.pi * _turns(settings)) if following else None
    place, keep = PulsePlace(1, settings.strength, width=settings.width), float(np.exp(-1.0 / settings.memory))
    mask = InputMask(
        amplitude=settings.amplitude, offset=settings.bias, offset_sign="random", kind="uniform", clip=True,
        seed=settings.seed,
    )  # fmt: skip
    async with substrate:
        info, pulses = substrate.info, _takes_pulses(substrate.info)
        reservoir = PhysicalReservoir(
            substrate,
            place if pulses else mask,
            SpikeCounts() if pulses and info.spiking else VirtualNodes(1),
            step=_step(settings, info) if pulses else settings.step,
        )

        def sent(value: float) -> FloatArray:
            """Return what the encoding takes."""
            return np.array([0.5 + 0.5 * value if pulses else value])

        reservoir.check(np.array([sent(-1.0), sent(1.0)]))
        if info.resettable:
            await reservoir.reset()
        trips = await measure_round_trips(reservoir, settings.round_trips, on_progress)
        seen: list[FloatArray] = []
        faded: FloatArray = np.zeros(len(info.outputs))

        async def respond(value: float) -> FloatArray:
            nonlocal faded
            faded = (keep * faded if pulses else 0.0) + await reservoir.step(sent(value))
            seen.append(faded)
            on_progress("streaming", len(seen), len(target), len(seen))
            return faded

        begun = asyncio.get_running_loop().time()
        outputs = {"substrate": await _force(respond, target, driver, settings)}
        seconds = asyncio.get_running_loop().time() - begun
    on_progress("scoring", 0, 1, len(seen))

    async def stimuli(value: float) -> FloatArray:
        drive: FloatArray = reservoir.encoding.drive(sent(value)[np.newaxis], info).ravel() - info.rest
        return drive

    shown_before: FloatArray = np.zeros(len(info.inputs))

    async def fading_stimuli(value: float) -> FloatArray:
        nonlocal shown_before
        shown_before = keep * shown_before + await stimuli(value)
        return shown_before

    features = len(info.outputs)
    shuffled = np.random.default_rng([settings.seed, 2]).permuted(np.array(seen), axis=0)
    answers = {
        "stimuli alone": stimuli,
        **({_FADING: fading_stimuli} if pulses else {}),
        "responses shuffled in time": _in_turn(iter(shuffled)),
        "leaky integrators": _integrators(features),
        **{f"{_ECHO}{number}": _echo_state(features, *each, settings) for number, each in enumerate(_ECHOES)},
    }
    for name, answer in answers.items():
        outputs[name] = await asyncio.to_thread(asyncio.run, _force(answer, target, driver, settings))
    scores = _scores(outputs, target, settings, dict.fromkeys(("stimuli alone", _FADING), len(info.inputs)), features)
    note_score(f"{'signal' if following else 'shape of the signal'}, 1 - NRMSE", scores[0].score, _WINDOWS)
    on_progress("scoring", 1, 1, len(seen))
    shown = min(4 * settings.period, settings.test * settings.period)
    return Outcome(
        title=f"A periodic signal{' followed' if following else ''}: {settings.signal}",
        sentence=f"A sine drove the matter, and a readout learned for {settings.train} periods of {settings.period} "
        f"steps to follow {settings.shift:g} periods behind it as a {settings.signal}; then it stopped to learn, for "
        f"{settings.test}."
        if following
        else f"A readout learned for {settings.train} periods of {settings.period} steps while its output was fed "
        f"back, and then the loop went on by itself for {settings.test}.",
        metric="1 - NRMSE",
        chance=0.0,
        chance_description="mean of the target",
        items="steps",
        repeated="parts",
        trained=settings.train * settings.period,
        held_out=settings.test * settings.period,
        splitting=f"{_WINDOWS} parts of the time without learning, each compared with the target"
        + ("." if following else " at the shift that fits it best, and without a shift."),
        scores=scores,
        exchanges=ExchangeStatistics.measured(count=len(seen), steps=len(seen), seconds=seconds, round_trips=trips),
        classes=(settings.signal,),
        weights=weights_by_output(outputs["substrate"][1], [channel.name for channel in info.outputs]),
        curves=(
            Curves(
                heading="Without learning" if following else "The loop by itself",
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


def _turns(settings: PeriodicSignalSettings) -> FloatArray:
    """Return the phase of each step of washout, training and test, in periods."""
    steps = (settings.washout + settings.train + settings.test) * settings.period
    period = settings.period + (_LONGER if settings.kind == "tracking" else 0.0)
    turns: FloatArray = np.arange(steps) / period + np.random.default_rng(settings.seed).random()
    return turns


def _target(settings: PeriodicSignalSettings) -> FloatArray:
    """Return the signal over washout, training and test, from -1 to 1."""
    turns = _turns(settings) - (settings.shift if settings.kind == "tracking" else 0.0)
    if settings.signal == "sine":
        return np.sin(2 * np.pi * turns)
    if settings.signal == "triangle":
        return 2 / np.pi * np.arcsin(np.sin(2 * np.pi * turns))
    parts = ((1.0, 1), (0.5, 2), (1 / 6, 3), (1 / 3, 4))
    wave = sum(size * np.sin(2 * np.pi * order * turns) for size, order in parts)
    whole: FloatArray = wave / np.abs(wave).max()
    return whole


def _takes_pulses(info: SubstrateInfo) -> bool:
    """Return whether a substrate is sent pulses by place; counts of a culture's spikes may come as a signal too."""
    return info.sampling_rate is None or (info.spiking and info.kind == "neural-culture") or counts_spikes(info)


def _step(settings: PeriodicSignalSettings, info: SubstrateInfo) -> float:
    """Return the duration of a step, of which each may stimulate the same electrode, s.

    Raises
    ------
    UnsuitableSetting
        If the substrate's limits do not allow that.
    """
    limits = info.parameters.get("pulse_limits", {})
    shortest = max(float(limits.get("interval", 0.0)), 1.0 / float(limits.get("rate", np.inf)))
    step = max(info.step, shortest) if settings.step is None else settings.step
    if step < shortest * (1 - 1e-9):
        what = f"periodic-signal was given step={step:g}"
    elif settings.step is None and step > info.limits.longest_step:
        what = f"a step of {info.id} takes at most {info.limits.longest_step:g} s"
    else:
        return step
    raise UnsuitableSetting(
        f"{what}; two steps may stimulate the same electrode, on which {info.id} allows a pulse in {shortest:g} s; "
        f"make steps of {shortest:g} s or longer"
    )


async def _force(
    answer: Answer, target: FloatArray, driver: FloatArray | None, settings: PeriodicSignalSettings
) -> tuple[FloatArray, FloatArray]:
    """Learn, and stop to learn.

    Parameters
    ----------
    answer : callable
    target : ndarray of float, shape (steps,)
    driver : ndarray of float, shape (steps,), or None
        Values that drive the steps; the output of the step before each if there are none.
    settings : PeriodicSignalSettings

    Returns
    -------
    output : ndarray of float, shape (test steps,)
        From the step on at which learning stopped.
    coef : ndarray of float, shape (1, features)
        Weights of the standardised features.
    """
    washout, learned = (each * settings.period for each in (settings.washout, settings.washout + settings.train))
    given = np.roll(target, 1) if driver is None else driver
    before = np.array([await answer(float(value)) for value in given[:washout]])
    mean, spread = before.mean(axis=0), before.std(axis=0)
    spread = np.where(spread > 1e-12 * np.abs(before).max(axis=0, initial=1e-300), spread, 1.0)
    readout = FORCEReadout(settings.alpha, fit_intercept=True).begin(before.shape[1])
    output, value = np.zeros(len(target)), float(target[washout - 1])
    for t in range(washout, len(target)):
        value = value if driver is None else float(driver[t])
        features = (await answer(float(np.clip(value, -1.0, 1.0))) - mean) / spread
        value = float(readout.step(features, target[t] if t < learned else np.nan)[0])
        output[t] = value = float(np.clip(value, -_MOST, _MOST))
    return output[learned:], readout.coef_


def _in_turn(rows: Iterator[FloatArray]) -> Answer:
    """Answer by rows that are there already, whatever drives them."""

    async def answer(value: float) -> FloatArray:
        return next(rows)

    return answer


def _integrators(count: int) -> Answer:
    """Answer by leaky integrators of what drives them, with time constants from 1 to 100 steps."""
    keep = np.exp(-1.0 / np.geomspace(1.0, 100.0, count))
    state = np.zeros(count)

    async def answer(value: float) -> FloatArray:
        nonlocal state
        state = keep * state + (1.0 - keep) * value
        return state

    return answer


def _echo_state(units: int, radius: float, scale: float, leak: float, settings: PeriodicSignalSettings) -> Answer:
    """Answer by an echo-state network."""
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
    """Score each output in parts of the time without learning: one that follows in phase, others by shape as well.

    Of the echo-state networks only the best is kept.
    """
    tested = target[-settings.test * settings.period :]
    kinds = {"stimuli alone": "linear", _FADING: "memory", "leaky integrators": "memory"}
    scores: list[Score] = []
    shifted = {"shape": range(settings.period)} if settings.kind == "generation" else {}
    for readout, shifts in {**shifted, "in phase": range(1)}.items():
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
    unused = {"shift": "only kind=tracking uses it"} if settings.kind == "generation" else {}
    if _takes_pulses(info):
        reason = f"{info.id} gives spikes, and is sent pulses by place"
        return unused | dict.fromkeys(("amplitude", "bias"), reason) | unused_by_levels(settings, info)
    return unused | dict.fromkeys(
        ("strength", "width", "memory"), f"{info.id} gives a signal, and is driven through a mask"
    )


TASK = Task(
    "periodic-signal",
    PeriodicSignalSettings,
    learn_signal,
    needs="signal",
    pulses_to_neurons=True,
    unused=_unused,
    reads=samples_read,
    validation="data",
    own_controls="it learns online: the same learning through the stimuli alone, shuffled responses and computers",
)
