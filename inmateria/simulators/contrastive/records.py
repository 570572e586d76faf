"""Results of a network that learns: what a training took and gave, and a state that it can return to."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.contrastive.warm_starts import WarmStarts

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ContrastiveTraining:
    """Course of a training: error, energy and time.

    Parameters
    ----------
    error : ndarray, shape (epochs,)
        Root of the mean squared error of the outputs in the free state, before each sample's update, V.
    energy : float
        Energy that the edges turned into heat, in both states, J.
    time : float
        Duration on the network's clock, s.
    """

    error: FloatArray
    energy: float
    time: float

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class ContrastiveState:
    """State of a network, for `ContrastiveNetwork.restore`."""

    weights: FloatArray
    factor: FloatArray
    warm: WarmStarts
    random: npt.NDArray[np.uint64]
    energy: float
    clock: float
    sequence: int

    __repr__ = one_line
