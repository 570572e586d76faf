"""Records of a culture: a run that is planned, its activity during the run, and a state that it can return to."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.pulses import PulseArray
from inmateria.simulators.culture.wiring import Traits
from inmateria.substrate import SpikeArray

FloatArray = npt.NDArray[np.float64]


class Planned(NamedTuple):
    """A run that is checked, in steps of a culture.

    Parameters
    ----------
    duration, clock, end_clock : float
        s; the culture's clock before and after.
    begin, end : int
        Steps.
    pulses : ndarray of `PULSE`
        In order of time.
    due, electrode, strength, blanking : ndarray, shape (pulses,)
        As `kernel.advance` takes them.
    """

    duration: float
    clock: float
    end_clock: float
    begin: int
    end: int
    pulses: PulseArray
    due: npt.NDArray[np.int64]
    electrode: npt.NDArray[np.int64]
    strength: FloatArray
    blanking: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Activity:
    """Activity of a culture during a run; times in s after its beginning.

    Parameters
    ----------
    duration : float
        s.
    spikes : ndarray of `SPIKE`, shape (spikes,)
        Detected spikes: time, and electrode as the channel.
    amplitudes : ndarray, shape (spikes,)
        Peak of each detected spike, V, negative as the spike is.
    neuron_spikes : ndarray of `SPIKE`, or None
        Spikes of the neurons: time, and neuron as the channel.
    voltage : ndarray of float32, shape (samples, electrodes), or None
        V.
    """

    duration: float
    spikes: SpikeArray
    amplitudes: FloatArray
    neuron_spikes: SpikeArray | None = None
    voltage: npt.NDArray[np.float32] | None = None

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class CultureState:
    """State of a culture, for `NeuralCulture.restore`."""

    arrays: dict[str, npt.NDArray[Any]]
    traits: Traits
    seen_spikes: npt.NDArray[np.int64]
    seen_pulses: npt.NDArray[np.void]
    noise: Any
    clock: float
    steps: int
    sequence: int
    agings: int

    __repr__ = one_line
