"""The compiled step of sixteen networks of one graph at once, each in one lane of the processor's vectors.

The arithmetic is that of `kernel`: voltages (`solution_lanes`), then each junction evolves; one that changed in none of
the networks keeps its conductance.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.nanowire.compiled_calls import call_evolve_lanes
from inmateria.simulators.nanowire.kernel import CONDUCTANCE, FEELS, WALK
from inmateria.simulators.nanowire.lane_plan import LanePlan
from inmateria.simulators.nanowire.solution import unpack
from inmateria.simulators.nanowire.solution_lanes import solve_lanes
from inmateria.simulators.vector_lanes import LANES, choose, load, signed, splat, store

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", nogil=True)


@numba.njit(error_model="numpy", nogil=True, cache=True)
def advance_lanes(
    plan: Indices,
    lane: LanePlan,
    refinements: int,
    scale: Floats,
    evolve: int,
    constants: Floats,
    step: float,
    samples: int,
    drive: Floats,
    inputs: int,
    alike: bool,
    junctions: Floats,
    nodes: Floats,
    work: npt.NDArray[Any],
    room: Indices,
    signal: Floats,
    substeps: int,
    limit: float,
    exceeded: Floats,
) -> None:
    """Run all steps of sixteen drives on sixteen networks of one model that share a graph.

    Arrays should be aligned to a line of the cache (64 bytes), or every access crosses one.

    Parameters
    ----------
    plan, step, samples
        As in `kernel.advance`.
    lane : LanePlan
        Of the same plan.
    refinements, scale : int, ndarray of shape (16,)
        See `solution_lanes.solve_lanes`.
    evolve : int
        Address of the model's function in lanes.
    constants : ndarray, shape (constants * 16,)
    drive : ndarray, shape (steps * inputs * 16,)
    alike : bool
        Whether the factors of all junctions are 1.
    junctions : ndarray, shape (6, (junctions + 1) * 16)
        The table; the conductance of the last one is 0.
    nodes : ndarray
        Voltage of every place, and load of every free one, in lanes.
    work : ndarray of float64 or float32
        Scratch, whose type is the precision of the elimination.
    room : ndarray of uint32, shape (junctions + 1,)
        Scratch.
    signal : ndarray, shape (steps * samples * outputs * 16,)
    substeps : int
        As in `kernel.advance`.
    limit : float
        Factor by which a conductance may change in a part, 0 to allow any. Needs the row of noise as scratch.
    exceeded : ndarray, shape (16,)
        In return, the largest voltage felt by a junction that changed more, in one part of every five, V.
    """
    place, first, second, _, border, contact, start, rows, target, _, _, _, _, _, _, read, _, _ = unpack(plan)
    free = len(start) - 1
    voltage = nodes[: len(place) * LANES]
    load_of = nodes[len(place) * LANES : (len(place) + free) * LANES]
    conductance = junctions[CONDUCTANCE]
    # numba makes a float of the sum of a signed and an unsigned integer, so that all of these are unsigned.
    n, fixed = numba.uint64(free), numba.uint64(len(place) - free)
    zero = splat(0.0)
    before = junctions[WALK]
    if limit > 0.0:
        _copy(conductance, before)
    turn: Any = numba.uint64(0)
    at: Any = numba.uint64(0)
    for t in range(len(drive) // (inputs * LANES)):
        for i in range(inputs):
            store(voltage, n + numba.uint64(i), load(drive, numba.uint64(t * inputs + i)))
        for i in range(numba.uint64(inputs), fixed):
            store(voltage, n + i, zero)
        for part in range(numba.uint64(samples * substeps)):
            solve_lanes(lane, border, start, rows, target, refinements, scale, load_of, conductance, voltage, work)
            if part % numba.uint64(substeps) == 0:
                for i in range(len(read)):
                    store(signal, at, load(voltage, read[i]))
                    at += numba.uint64(1)
                for i in range(fixed):
                    store(signal, at + i, zero)
                for i in range(contact.shape[0]):
                    j = contact[i, 0]
                    flow = load(conductance, j) * (load(voltage, first[j]) - load(voltage, second[j]))
                    into = at + numba.uint64(contact[i, 1])
                    total = load(signal, into)
                    store(signal, into, total - flow if contact[i, 2] else total + flow)
                at += fixed
            call_evolve_lanes(evolve, constants, step / substeps, first, second, voltage, alike, junctions, room)
            if limit > 0.0:
                if turn == 0:
                    _compare(limit, first, second, voltage, junctions, exceeded)
                elif turn == 4:
                    _copy(conductance, before)
                turn = numba.uint64(0) if turn == 4 else turn + numba.uint64(1)


@_inner
def _copy(values: Floats, to: Floats) -> None:
    for i in range(len(values)):  # a slice assigned as a whole takes seconds to compile
        to[i] = values[i]


@_inner
def _compare(
    limit: float, first: Indices, second: Indices, voltage: Floats, junctions: Floats, exceeded: Floats
) -> None:
    """Note, in each lane, the largest voltage felt by a junction whose conductance changed by more than a factor."""
    conductance, before, feels = junctions[CONDUCTANCE], junctions[WALK], junctions[FEELS]
    most, zero, one = splat(limit), splat(0.0), splat(1.0)
    worst = load(exceeded, numba.uint64(0))
    for j in range(numba.uint64(len(first))):
        now, then = load(conductance, j), load(before, j)
        v = signed((load(voltage, first[j]) - load(voltage, second[j])) * load(feels, j), one)
        v = choose(now, most * then, v, choose(then, most * now, v, zero))
        worst = choose(v, worst, v, worst)
    store(exceeded, numba.uint64(0), worst)


recompile_with(
    advance_lanes,
    "inmateria.simulators.nanowire.junction_table",
    "inmateria.simulators.nanowire.lane_plan",
    "inmateria.simulators.nanowire.solution",
    "inmateria.simulators.nanowire.solution_lanes",
    "inmateria.simulators.vector_lanes",
    "inmateria.simulators.nanowire.compiled_calls",
)
