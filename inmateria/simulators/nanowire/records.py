"""Results of a nanowire network: the trace of a simulation, and a state that it can return to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NanowireTrace:
    """Trace of a simulation; each row is the network at the start of a step. Quantities not recorded are None.

    Parameters
    ----------
    time : ndarray, shape (steps,)
        On the network's clock, s.
    voltages : ndarray, shape (steps, wires), or None
        V.
    currents : ndarray, shape (steps, inputs + grounds), or None
        Into the network at each driven and then each grounded electrode, A.
    conductances, filaments : ndarray, shape (steps, junctions), or None
        S; state of each junction, V s in the filament models.
    sources : ndarray, shape (steps, inputs), or None
        Voltage at the source of each input, V: what drives it, or what its limited current leaves of it; if it floats,
        what the network gives it.
    """

    time: FloatArray
    voltages: FloatArray | None = None
    currents: FloatArray | None = None
    conductances: FloatArray | None = None
    filaments: FloatArray | None = None
    sources: FloatArray | None = None

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class NanowireState:
    """State of a network, for `NanowireNetwork.restore`; it can be pickled.

    Parameters
    ----------
    junctions : ndarray, shape (rows, junctions)
        Table of the junctions, see `rows`.
    random : ndarray of uint64, shape (1,)
        State of the noise.
    clock : float
        s.
    sequence, agings : int
        Number of exchanges since the last reset, and of calls of `NanowireNetwork.age`.
    rows : tuple of str
        Quantity in each row of the table. A network refuses a state with other rows than its own.
    origin : str
        Digest of the junctions and of their model: a network of another graph or model refuses the state.
    readings : mapping, optional
        State of the random numbers that are added to readings.
    """

    junctions: FloatArray
    random: npt.NDArray[np.uint64]
    clock: float
    sequence: int
    agings: int
    rows: tuple[str, ...]
    origin: str
    readings: Mapping[str, Any] | None = None

    __repr__ = one_line
