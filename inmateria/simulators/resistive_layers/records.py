"""Results of a network in layers that learns: what a training took and gave, and a state that it can return to."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line

FloatArray = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayersTraining:
    """Course of a training, or of the part of one that is done.

    Parameters
    ----------
    error : ndarray, shape (epochs,)
        Root of the mean squared error of the outputs in the free state, before each sample's update, V.
    wrong : ndarray, shape (epochs,)
        Fraction of the samples whose largest output was not that of the largest label, before each sample's update.
    energy : float
        Energy that the resistors turned into heat, in all states, J.
    time : float
        Duration on the network's clock, s.
    sweeps : float
        Mean number of sweeps of coordinate descent in each equilibrium.
    """

    error: FloatArray
    wrong: FloatArray
    energy: float
    time: float
    sweeps: float

    __repr__ = one_line


Progress = Callable[[int, int, LayersTraining], object]
"""Called with the samples presented, those to present in all, and the course of the whole epochs so far."""


@dataclass(frozen=True, eq=False)
class LayersState:
    """State of a network, for `ResistiveLayers.restore`."""

    weights: tuple[AnyFloats, ...]
    currents: AnyFloats
    random: npt.NDArray[np.uint64]
    energy: float
    clock: float
    sequence: int

    __repr__ = one_line
