"""Two terminals of a simulator: a voltage or a current is held there, within a limit of the other.

One input of the simulator is the first terminal, its common ground the second; the current is that of one output. All
other inputs are at rest. Time passes for the simulator only while something is held.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq

from inmateria.exchange import FloatArray
from inmateria.substrate import Channel, Simulator, Stimulus, SubstrateError, SubstrateInfo
from inmateria.units import power_between

__all__ = ["Held", "Terminals"]

_CLOSE = 1e-9
"""Part of a limit or a set current by which the solved current may differ from it."""


class Held(NamedTuple):
    """Mean voltage (V) and current (A) while a level was held, and whether the limit was reached."""

    volts: float
    amperes: float
    limited: bool


class Terminals:
    """Two terminals of a simulator, at which a source holds a voltage or a current.

    Where a limit is reached, the voltage is solved for at every sample on copies of the simulator; the simulator itself
    never sees more than the limit.

    Parameters
    ----------
    simulator : Simulator
        It must have a signal, and a copy of it must behave as itself.
    source : str, optional
        Name of the input that is driven; by default the first.
    sense : str, optional
        Name of the output that is the current; by default the output in amperes whose name ends as that of the input.
    scale : (float, float), optional
        Volts for one unit of the input and amperes for one unit of the output, if these are not in V and A.

    Raises
    ------
    SubstrateError
        If there are no such channels, or they are not in volts and amperes and no scale is given.
    """

    def __init__(
        self, simulator: Simulator, source: str = "", sense: str = "", scale: tuple[float, float] | None = None
    ) -> None:
        info = simulator.info
        self._simulator = simulator
        if info.sampling_rate is None:
            raise SubstrateError(
                f"{info.id} was to be put between two terminals",
                f"a {info.kind} has spikes and no signal that is a current",
                "take a simulator with an input in V and an output in A, such as nanowire://",
            )
        self._input = _index(info, "input", info.inputs, source)
        chosen = info.inputs[self._input]
        self._output = _sense(info, chosen, sense)
        self._volts, self._amperes = scale or _scale(info, chosen, info.outputs[self._output])
        if not (0 < self._volts < float("inf") and 0 < self._amperes < float("inf")):
            raise SubstrateError(f"the scale is {scale}", "volts and amperes for one unit are finite and more than 0")
        self.low, self.high = chosen.low * self._volts, chosen.high * self._volts
        if not self.low <= 0 <= self.high:
            raise SubstrateError(
                f"input {chosen.name} of {info.id} takes {self.low:g} to {self.high:g} V", "0 V has to be among them"
            )
        self._levels = chosen.levels
        if self._levels is not None:
            raise SubstrateError(f"input {chosen.name} of {info.id} has levels", "a source needs a range without them")
        self.clock = 0.0

    @property
    def info(self) -> SubstrateInfo:
        """Description of the simulator."""
        return self._simulator.info

    @property
    def names(self) -> tuple[str, str]:
        """Names of the input and the output."""
        return self.info.inputs[self._input].name, self.info.outputs[self._output].name

    def hold(self, source: Literal["VOLT", "CURR"], level: float, limit: float, seconds: float) -> Held:
        """Hold a voltage or a current for some time.

        Parameters
        ----------
        source : {"VOLT", "CURR"}
            Quantity that is held.
        level : float
            Its value, V or A.
        limit : float
            Largest absolute value of the other quantity, A or V.
        seconds : float
            Duration, s; 0 does nothing.
        """
        if seconds <= 0:
            return Held(level if source == "VOLT" else 0.0, level if source == "CURR" else 0.0, False)
        self.clock += seconds
        if source == "VOLT":
            ahead = copy.deepcopy(self._simulator)
            amperes = self._advance(ahead, level, seconds)
            if abs(amperes).max() <= limit:
                self._simulator = ahead
                return Held(level, float(amperes.mean()), False)
        samples = self.info.samples(seconds)
        step = self._voltage_step if source == "VOLT" else self._current_step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of trials at voltages that are never applied
            held = [step(level, limit, seconds / samples) for _ in range(samples)]
        volts, currents, limited = zip(*held, strict=True)
        return Held(float(np.mean(volts)), float(np.mean(currents)), any(limited))

    def _voltage_step(self, level: float, limit: float, seconds: float) -> Held:
        """Hold a voltage for one sample, or the one at which the current is the limit."""
        trial = self._trial(seconds)
        amperes = trial(level)
        if abs(amperes) <= limit:
            return self._kept(trial, level, False)
        sign = 1.0 if amperes > 0 else -1.0
        return self._kept(trial, _root(lambda volts: sign * trial(volts) - limit, level, limit), True)

    def _current_step(self, level: float, limit: float, seconds: float) -> Held:
        """Hold a current for one sample, or the voltage that is the limit."""
        trial = self._trial(seconds)
        sign = -1.0 if level < 0 else 1.0
        most = sign * min(limit, self.high if sign > 0 else -self.low)
        if sign * trial(most) <= sign * level:
            return self._kept(trial, most, sign * trial(most) < sign * level)
        return self._kept(trial, _root(lambda volts: sign * (trial(volts) - level), most, abs(level)), False)

    def _trial(self, seconds: float) -> "_Trial":
        return _Trial(self._simulator, lambda simulator, volts: float(self._advance(simulator, volts, seconds).mean()))

    def _kept(self, trial: "_Trial", volts: float, limited: bool) -> Held:
        amperes = trial(volts)
        self._simulator = trial.simulator
        return Held(volts, amperes, limited)

    def _advance(self, simulator: Simulator, volts: float, seconds: float) -> FloatArray:
        """Hold a voltage at a simulator and return the samples of the current, A."""
        drive = np.array([self.info.rest])
        drive[0, self._input] = min(max(volts, self.low), self.high) / self._volts
        response = simulator.advance(Stimulus(drive, seconds, self.info.floats))
        assert response.signal is not None  # of a simulator with a sampling rate
        signal: FloatArray = response.signal[0, :, self._output] * self._amperes
        return signal


class _Trial:
    """The current at a voltage for one sample, each tried on a copy of the simulator; the last copy is kept."""

    def __init__(self, simulator: Simulator, advance: Callable[[Simulator, float], float]) -> None:
        self._origin, self._advance = simulator, advance
        self._last: tuple[float, float] | None = None
        self.simulator = simulator

    def __call__(self, volts: float) -> float:
        if self._last is None or self._last[0] != volts:
            self.simulator = copy.deepcopy(self._origin)
            self._last = volts, self._advance(self.simulator, volts)
        return self._last[1]


def _root(excess: Callable[[float], float], level: float, wanted: float) -> float:
    """Return the voltage between 0 and a level at which a function that is above 0 at the level is 0."""
    above = excess(level)
    guess = level * (wanted / (above + wanted))  # exact if the current is proportional to the voltage
    if abs(excess(guess)) <= _CLOSE * wanted:
        return guess
    if excess(0.0) >= 0:
        return 0.0
    found: float = brentq(excess, 0.0, level, xtol=1e-15 + 1e-12 * abs(level), rtol=1e-12)
    return found


def _index(info: SubstrateInfo, side: str, channels: tuple[Channel, ...], name: str) -> int:
    names = [channel.name for channel in channels]
    if name and name not in names:
        raise SubstrateError(f"{info.id} has no {side} {name!r}", f"it has {', '.join(names[:16])}")
    return names.index(name) if name else 0


def _sense(info: SubstrateInfo, driven: Channel, name: str) -> int:
    """Return the index of the output that is the current."""
    if name:
        return _index(info, "output", info.outputs, name)
    digits = driven.name.lstrip("abcdefghijklmnopqrstuvwxyz")
    for index, channel in enumerate(info.outputs):
        if _factor(channel.unit, "A") is not None and channel.name.endswith(digits):
            return index
    raise SubstrateError(
        f"{info.id} was to be put between two terminals",
        f"a {info.kind} has no output in amperes that belongs to its input {driven.name}",
        "name an output and a scale (volts and amperes for one unit of them), or take nanowire://",
    )


def _scale(info: SubstrateInfo, driven: Channel, read: Channel) -> tuple[float, float]:
    factors = _factor(driven.unit, "V"), _factor(read.unit, "A")
    if factors[0] is None or factors[1] is None:
        raise SubstrateError(
            f"input {driven.name} of {info.id} is in {driven.unit!r} and output {read.name} in {read.unit!r}",
            "a source meter has volts and amperes",
            "give a scale: volts and amperes for one unit of them",
        )
    return factors[0], factors[1]


def _factor(unit: str, wanted: str) -> float | None:
    try:
        return float(f"1e{power_between(unit, wanted)}")
    except ValueError:
        return None
