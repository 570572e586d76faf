"""Results of a culture: its activity during a run, and a state that it can return to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.culture.wiring import Traits
from inmateria.substrate import SpikeArray

FloatArray = npt.NDArray[np.float64]


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
