"""A simulator wired to the pins of an emulated board: their levels drive it, and its outputs are voltages there."""

import copy
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from inmateria.substrate import FloatArray, Simulator, Stimulus, SubstrateError

__all__ = ["Pins", "WiredSimulator", "Wiring", "wired"]


class Pins(NamedTuple):
    """The pins of a chip.

    Parameters
    ----------
    full : tuple of int
        Highest level of each output.
    order : tuple of int
        Outputs in the order in which a simulator is wired to them: what has many levels first.
    converters : int
        Number of converter inputs.
    """

    full: tuple[int, ...]
    order: tuple[int, ...]
    converters: int


class Wiring(NamedTuple):
    """Which pins of the chip are wired to which channels of a simulator, in order of the pins.

    The outputs of an Uno's chip are taken in the order D3, D5 (PWM), pot0, pot1 (as dividers), D4, D8 (digital), those
    of a Cortex-M3 in the order DAC0, DAC1, D6, D7 (PWM), pot0, pot1, D3, D5, and the inputs from A0 on. Each output of
    the chip is scaled to the range of its input of the simulator, and each output of the simulator to the range of the
    converter. Inputs that are not wired stay at rest.

    Parameters
    ----------
    inputs, outputs : tuple of int
        Channels of the simulator, by index.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class WiredSimulator:
    """A simulator whose time goes on with that of a chip, apart from pauses of more than 0.1 s.

    Parameters
    ----------
    simulator : Simulator
    pins : Pins
    wiring : Wiring
    """

    def __init__(self, simulator: Simulator, pins: Pins, wiring: Wiring) -> None:
        self._simulator, self._pins, self._wiring = simulator, pins, wiring
        self._full = np.array(pins.full)
        self._levels = np.zeros(len(pins.full))
        self._seconds, self._answered = 0.0, False
        self._shares = np.zeros(pins.converters)
        self._rehearse()

    def _rehearse(self) -> None:
        """Let a copy answer at rest and driven, so that kernels are compiled before the chip's clock runs.

        The chip's host would wait for its answer meanwhile. A simulator that cannot be copied compiles later, and one
        that fails says so when it is asked.
        """
        info = self._simulator.info
        driven = info.rest_drive()
        for channel in self._wiring.inputs:
            driven[0, channel] = info.inputs[channel].high
        with suppress(Exception):
            rehearsal = copy.deepcopy(self._simulator)
            for drive in (info.rest_drive(), driven):
                rehearsal.advance(Stimulus(drive, max(info.step, info.limits.shortest_step)))

    def advance(self, seconds: float) -> None:
        """Let its time go on to that of the chip, with the levels as they are."""
        info, elapsed = self._simulator.info, min(seconds - self._seconds, 0.1)
        if elapsed < info.limits.shortest_step:
            if self._answered:
                return
            elapsed = info.limits.shortest_step  # nothing is read before its first answer
        self._seconds = seconds
        drive = info.rest_drive()
        for pin, channel in zip(self._pins.order, self._wiring.inputs, strict=False):
            channel_wired = info.inputs[channel]
            low, high = channel_wired.low, channel_wired.high
            drive[0, channel] = low + (high - low) * float(self._levels[pin] / self._full[pin])
            if channel_wired.levels is not None:
                drive[0, channel] = min(channel_wired.levels, key=lambda level: abs(level - drive[0, channel]))
        signal = self._simulator.advance(Stimulus(drive, elapsed)).signal
        if signal is None:
            raise SubstrateError(f"{info.id} gave no signal", "what is read by a board's converter is a voltage")
        self._answered = True
        for pin, channel in enumerate(self._wiring.outputs):
            read = info.outputs[channel]
            self._shares[pin] = (signal[-1, -1, channel] - read.low) / (read.high - read.low)

    def apply(self, levels: FloatArray) -> None:
        """Take the levels that the outputs of the chip have from now on."""
        self._levels[:] = levels

    def shares(self) -> FloatArray:
        """Return what is at each converter input, as a part of its range; 0 if nothing is wired to it."""
        return self._shares.copy()


def wired(
    simulator: Simulator | None, inputs: tuple[int, ...] | None, outputs: tuple[int, ...] | None, pins: Pins
) -> Wiring:
    """Return the wiring: as given, or from the first channel on.

    Raises
    ------
    ValueError
        If it names channels that there are not, or the simulator gives no signal to be read.
    """
    if simulator is None:
        return Wiring((), ())
    if simulator.info.sampling_rate is None:
        raise ValueError(f"{simulator.info.id} gives no signal; a board's converter needs one to read")
    given = []
    for asked, there, most, side in (
        (inputs, len(simulator.info.inputs), len(pins.full), "inputs"),
        (outputs, len(simulator.info.outputs), pins.converters, "outputs"),
    ):
        chosen = tuple(range(min(there, most))) if asked is None else asked
        if len(chosen) > most or len(set(chosen)) < len(chosen) or not all(0 <= k < there for k in chosen):
            raise ValueError(f"{side} is {chosen}; allowed are at most {most} different ones of 0 to {there - 1}")
        given.append(chosen)
    return Wiring(*given)
