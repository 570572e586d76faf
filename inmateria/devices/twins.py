"""Digital twins: models fitted to the responses of a device, to plan experiments with, with their measured error.

The model does not use the device's physics. Random leaky units with time constants from one step to many remember the
drive; other units move while the drive is above a threshold, saturate, and otherwise keep their state, as in
hysteresis. Products of these with the drive represent a memristive device, whose response depends on earlier drives.
One ridge regression maps all of them to the signal. The error is valid for drives of the amplitude and speed of the
recording only.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from typing import Self

import msgspec
import numpy as np
from scipy.linalg import eigh

from inmateria.one_line import one_line
from inmateria.recording import open_recording
from inmateria.substrate import FloatArray, Limits, Response, Stimulus, SubstrateInfo

__all__ = ["Twin", "TwinAccuracy", "fit_twin", "fit_twin_to_recording"]

_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 5, 1.0))
_SLOWEST = (10.0, 100.0)
_GAINS = (None, 1.0, 5.0)


class TwinAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Error of a twin on held-out data.

    Parameters
    ----------
    held_out : float
        Root mean square error in units of each output's standard deviation, over all outputs: 0 is perfect, 1 is
        predicting the mean.
    by_output : dict of str to float
        The same for each output.
    fitted : float
        The same on the data it was fitted to.
    memoryless : float
        The same for the control: linear regression on the drive of the same step.
    steps, held_out_steps : int
        Number of steps for fitting and held out.
    """

    held_out: float
    by_output: dict[str, float]
    fitted: float
    memoryless: float
    steps: int
    held_out_steps: int

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class _Memory:
    """Random units with memory of the drive, and their features."""

    leaky: FloatArray  # (units, inputs)
    bias: FloatArray
    leak: FloatArray  # (units,), fraction forgotten in a step
    pushing: FloatArray  # (units, inputs)
    threshold: FloatArray  # of the force
    gain: FloatArray  # displacement per unit of force
    decay: FloatArray  # fraction forgotten in a step below the threshold
    opening: FloatArray  # displacement at which a unit conducts
    through: FloatArray  # (units, inputs), weights of the conducted drive
    hysteresis: bool  # whether there are saturating units

    @classmethod
    def random(cls, inputs: int, units: int, slowest: float, gain: float | None, rng: np.random.Generator) -> Self:
        """Return random units; without a gain there are no saturating ones."""

        def decades(low: float, high: float) -> FloatArray:
            return np.exp(rng.uniform(math.log(low), math.log(high), units))

        return cls(
            leaky=rng.normal(size=(units, inputs)),
            bias=rng.normal(size=units),
            leak=1 / decades(1.0, slowest),
            pushing=rng.normal(size=(units, inputs)),
            threshold=rng.uniform(0, 0.2, units),
            gain=(gain or 0.0) / decades(1.0, slowest),
            decay=np.array([0.0, 0.01, 0.1, 0.5])[rng.integers(4, size=units)],
            opening=rng.uniform(0.2, 1.0, units),
            through=rng.normal(size=(units, inputs)),
            hysteresis=gain is not None,
        )

    @property
    def rest(self) -> FloatArray:
        """State at rest, shape (2, units): leaky units, then saturating ones."""
        return np.zeros((2, len(self.leak)))

    def features(self, drive: FloatArray, state: FloatArray) -> FloatArray:
        """Return features (steps, ...) of a scaled drive; `state` is updated in place."""
        pushed = np.tanh(drive @ self.leaky.T + self.bias) - np.tanh(self.bias)
        force = drive @ self.pushing.T
        idle = np.abs(force) < self.threshold
        force -= np.clip(force, -self.threshold, self.threshold)
        force *= self.gain
        kept = 1 - self.decay * idle
        leaky, before, after = (np.empty_like(pushed) for _ in range(3))
        slow, moved = state
        for step in range(len(drive)):
            before[step] = moved
            slow += self.leak * (pushed[step] - slow)
            moved *= kept[step]
            moved += force[step]
            np.clip(moved, -1.0, 1.0, out=moved)
            leaky[step], after[step] = slow, moved
        let = drive @ self.through.T
        parts = [drive, pushed, leaky, let * leaky]
        if self.hysteresis:
            parts += [after, *self._open(before, let), *self._open(after, let)]
        return np.concatenate(parts, axis=1)

    def _open(self, moved: FloatArray, let: FloatArray) -> tuple[FloatArray, FloatArray]:
        gate = 1 / (1 + np.exp((self.opening - np.abs(moved)) / 0.05))
        return gate, gate * let


@dataclass(frozen=True, eq=False)
class _Reach:
    """Region of the features that a regression was fitted to."""

    centre: FloatArray
    whitening: FloatArray
    most: float

    @classmethod
    def of(cls, X: FloatArray, alpha: float) -> Self:
        spread = X.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        scaled = (X - X.mean(axis=0)) / spread
        values, basis = eigh(scaled.T @ scaled)
        found = cls(X.mean(axis=0), basis / np.sqrt(np.maximum(values, 0.0) + alpha) / spread[:, np.newaxis], 0.0)
        own = np.minimum(found.leverage(X), 1 - 1e-9)
        return replace(found, most=float((own / (1 - own)).max()))  # leverage in the regression without the step

    def leverage(self, X: FloatArray) -> FloatArray:
        """Return the leverage of each step (its diagonal element of the hat matrix)."""
        leverage: FloatArray = (((X - self.centre) @ self.whitening) ** 2).sum(axis=1)
        return leverage


class Twin:
    """A simulator fitted to a recorded device; see `fit_twin`.

    Attributes
    ----------
    error : TwinAccuracy
        Error on held-out data.
    outside : float
        Fraction of the steps of the last stimulus that extrapolate: their leverage in the regression is larger than
        that of any recorded step. The error is valid if this is about zero.
    """

    def __init__(
        self, info: SubstrateInfo, memory: _Memory, scale: FloatArray, coef: FloatArray, intercept: FloatArray,
        reach: "_Reach", samples: int, error: TwinAccuracy,
    ) -> None:  # fmt: skip
        self._info, self.error = info, error
        self._memory, self._scale = memory, scale
        self._coef, self._intercept, self._reach, self._samples = coef, intercept, reach, samples
        self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """Info of the device, with the id of the twin; it allows only the recorded duration of a step."""
        return self._info

    def reset(self) -> None:
        """Return to rest, and set the clock to zero."""
        self._state = self._memory.rest
        self._clock, self._sequence, self.outside = 0.0, 0, 0.0

    def advance(self, stimulus: Stimulus) -> Response:
        """Return the response to a stimulus that is within the limits."""
        features = self._memory.features(stimulus.drive / self._scale, self._state)
        signal = features @ self._coef + self._intercept
        self.outside = float(np.mean(self._reach.leverage(features) > self._reach.most))
        response = Response(signal.reshape(len(signal), self._samples, -1), None, self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response


def fit_twin(
    info: SubstrateInfo,
    exchanges: Iterable[tuple[Stimulus, Response, int]],
    *,
    units: int = 100,
    held_out: float = 0.2,
    seed: int = 0,
) -> Twin:
    """Fit a twin to the responses of a device.

    Parameters
    ----------
    info : SubstrateInfo
        Info of the device.
    exchanges : iterable of (Stimulus, Response, int)
        In order of time; the number changes when the device was returned to rest.
    units : int
        Number of units of each of the two kinds.
    held_out : float
        Fraction of the steps, at the end, for measuring the error; it is used for nothing else.
    seed : int
        Seed of the random units.

    Returns
    -------
    Twin
        A simulator; `SimulatedSubstrate(twin)` makes it a substrate.

    Raises
    ------
    ValueError
        If there is no signal, too little of it, or steps of several durations.
    """
    if not 0 < held_out < 1 or units < 1:
        raise ValueError(
            f"held_out is {held_out} and units {units}; held_out must be between 0 and 1, units at least 1"
        )
    drives, signal, step = _joined(info, exchanges)
    limit = np.array([max(abs(channel.low), abs(channel.high)) for channel in info.inputs])
    driven = np.concatenate(drives)
    # In units of the recorded drive, so that units are not all in their linear range for weak drives.
    scale = np.abs(driven).max(axis=0)
    scale = np.where(scale > 0, scale, limit)
    steps, samples = signal.shape[:2]
    Y = signal.reshape(steps, -1)
    read = np.isfinite(Y).all(axis=1)
    first_held = round(steps * (1 - held_out))
    first_checked = round(first_held * 0.8)
    fit, check, rest = (np.zeros(steps, dtype=np.bool_) for _ in range(3))
    fit[:first_checked], check[first_checked:first_held], rest[first_held:] = True, True, True
    fit, check, rest = fit & read, check & read, rest & read
    if min(fit.sum(), check.sum(), rest.sum()) < 10:
        raise ValueError(
            f"there are {read.sum()} steps with a signal; a twin needs at least 10 to fit, 10 to choose with "
            "and 10 held out"
        )
    spread = Y[fit | check].std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    tried = []
    for slowest in _SLOWEST:
        for gain in _GAINS:
            memory = _Memory.random(len(scale), units, slowest, gain, np.random.default_rng(seed))
            X = np.concatenate([memory.features(drive / scale, memory.rest) for drive in drives])
            errors = [_rms((_predict(X[check], *way) - Y[check]) / spread) for way in _ridge(X[fit], Y[fit])]
            # The strongest regularisation of nearly the least error: large weights that cancel in the recording do not
            # cancel for other stimuli.
            enough = max(index for index, error in enumerate(errors) if error <= 1.02 * min(errors) + 1e-3)
            tried.append((errors[enough], _ALPHAS[enough], memory, X))
    _, alpha, memory, X = min(tried, key=lambda each: each[0])
    known = fit | check
    ((coef, intercept),) = _ridge(X[known], Y[known], (alpha,))
    relative = (_predict(X[rest], coef, intercept) - Y[rest]) / spread
    by_output = np.sqrt(np.mean(relative.reshape(len(relative), samples, -1) ** 2, axis=(0, 1)))
    ((plain, offset),) = _ridge(driven[known] / scale, Y[known], (1e-6,))
    error = TwinAccuracy(
        held_out=_rms(relative),
        by_output={channel.name: float(value) for channel, value in zip(info.outputs, by_output, strict=True)},
        fitted=_rms((_predict(X[known], coef, intercept) - Y[known]) / spread),
        memoryless=_rms((_predict(driven[rest] / scale, plain, offset) - Y[rest]) / spread),
        steps=int(known.sum()),
        held_out_steps=int(rest.sum()),
    )
    described = msgspec.structs.replace(
        info,
        id=f"twin-of-{info.id}-{zlib.crc32(coef.tobytes() + intercept.tobytes()):08x}",  # one id for each fit
        identity="parameters",
        step=step,
        sampling_rate=samples / step,
        spiking=False,
        resettable=True,
        limits=Limits(steps=info.limits.steps, shortest_step=step, longest_step=step, values=info.limits.values),
        parameters={
            "twin_of": info.id,
            "error": msgspec.to_builtins(error),
            "units": units,
            "seed": seed,
        },
    )
    return Twin(described, memory, scale, coef, intercept, _Reach.of(X[known], alpha), samples, error)


def fit_twin_to_recording(path: str | PathLike[str], *, units: int = 100, held_out: float = 0.2, seed: int = 0) -> Twin:
    """Fit a twin to a recording; see `fit_twin`."""
    with open_recording(path) as recording:
        exchanges = [(each.stimulus, each.response, each.session) for each in recording]
        return fit_twin(recording.info, exchanges, units=units, held_out=held_out, seed=seed)


def _joined(
    info: SubstrateInfo, exchanges: Iterable[tuple[Stimulus, Response, int]]
) -> tuple[list[FloatArray], FloatArray, float]:
    """Return the drive of each session, the signal of all steps, and the duration of a step."""
    drives: list[list[FloatArray]] = []
    signals: list[FloatArray] = []
    durations = set()
    before: int | None = None
    for stimulus, response, session in exchanges:
        if response.signal is None:
            raise ValueError(f"{info.id} has responses without a signal; a twin is fitted to signals, not to spikes")
        if session != before:
            drives.append([])
            before = session
        drives[-1].append(stimulus.drive)
        signals.append(response.signal)
        durations.add(stimulus.step)
    if len(durations) != 1:
        raise ValueError(
            f"the stimuli have steps of {', '.join(f'{each:g}' for each in sorted(durations)) or 'no'} s; "
            "a twin needs one duration for all steps"
        )
    return [np.concatenate(parts) for parts in drives], np.concatenate(signals), durations.pop()


def _ridge(X: FloatArray, Y: FloatArray, alphas: tuple[float, ...] = _ALPHAS) -> list[tuple[FloatArray, FloatArray]]:
    """Return ridge weights (features, targets) and intercepts for each regularisation of standardised features."""
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    spread = X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (X - x_mean) / spread
    values, basis = eigh(scaled.T @ scaled)
    loads = basis.T @ (scaled.T @ (Y - y_mean))
    ways = []
    for alpha in alphas:
        coef = basis @ (loads / (np.maximum(values, 0.0) + alpha)[:, np.newaxis]) / spread[:, np.newaxis]
        ways.append((coef, y_mean - x_mean @ coef))
    return ways


def _predict(X: FloatArray, coef: FloatArray, intercept: FloatArray) -> FloatArray:
    predicted: FloatArray = X @ coef + intercept
    return predicted


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
