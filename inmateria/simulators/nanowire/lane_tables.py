"""The tables of sixteen networks' junctions copied into lanes and back, in another order of the junctions."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.nanowire.junction_table import CONDUCTANCE, CONDUCTS, FEELS, STATE
from inmateria.simulators.vector_lanes import LANES

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_BLOCK = 32  # junctions that are copied for all lanes before the next ones, so that each line of the cache is read once


@numba.njit(error_model="numpy", nogil=True, cache=True)
def into_lanes(tables: Any, order: Indices, table: Floats, were_alike: bool) -> bool:
    """Copy the tables of sixteen networks into lanes.

    Parameters
    ----------
    tables : tuple of 16 ndarrays
        Their tables of junctions.
    order : ndarray
        Number in those tables of each junction in lanes.
    table : ndarray
        Table in lanes.
    were_alike : bool
        What the last call returned for this table, False before the first: factors that were 1 and are 1 stay.

    Returns
    -------
    bool
        Whether all factors are 1.
    """
    alike = True
    for own in tables:
        for j in range(len(order)):
            alike = alike and own[FEELS, j] == 1.0 and own[CONDUCTS, j] == 1.0
    for row in (STATE, CONDUCTANCE, FEELS, CONDUCTS):
        if alike and were_alike and row in (FEELS, CONDUCTS):
            continue
        for low in range(0, len(order), _BLOCK):
            for lane in range(LANES):
                own = tables[lane]
                for j in range(low, min(low + _BLOCK, len(order))):
                    table[row, j * LANES + lane] = own[row, order[j]]
    return alike


@numba.njit(error_model="numpy", nogil=True, cache=True)
def out_of_lanes(table: Floats, order: Indices, tables: Any) -> None:
    """Copy states and conductances back; see `into_lanes`."""
    for row in (STATE, CONDUCTANCE):
        for low in range(0, len(order), _BLOCK):
            for lane in range(len(tables)):
                own = tables[lane]
                for j in range(low, min(low + _BLOCK, len(order))):
                    own[row, order[j]] = table[row, j * LANES + lane]


for _kernel in (into_lanes, out_of_lanes):
    recompile_with(_kernel, "inmateria.simulators.nanowire.junction_table", "inmateria.simulators.vector_lanes")
