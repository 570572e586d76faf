"""One solution of a network with what lies around it: contact and series resistances, floating inputs, current limits.

The free wires are eliminated by `sparse_ldl`. What the electrodes then see of the network is a star of conductances
between them (its Schur complement), found by one solution for each electrode whose voltage is not given; sources,
contacts, limits and inputs that float are solved for in that small network, exactly, and the wires follow.
Large networks without any of these are solved here, too.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.elimination import IndexArray, Places
from inmateria.simulators.sparse_ldl import factor_into, factor_places, solve_into

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_TOLERANCE = 1e-12
"""Part of a limit or a voltage by which rounding may exceed it."""
_TURNS = 2000
"""Changes of the set of limited sources at most; a few are usual."""

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)


class Circuit(NamedTuple):
    """Arrays for `solve_circuit`.

    Parameters
    ----------
    column, begin, rows, value
        Of the `Symbolic` of the free wires.
    slot : shape (inner, 2)
        For each junction between free wires: its number, and its place among the values.
    grounded : shape (free,)
        Place among the values of each free wire's conductance to fixed ones.
    sizes : shape (4,)
        Numbers of float64: values, scratch of `sparse_ldl`, and its marks; 1 if junctions have series resistances.
    """

    column: IndexArray
    begin: IndexArray
    rows: IndexArray
    value: IndexArray
    slot: IndexArray
    grounded: IndexArray
    sizes: IndexArray


def circuit_of(places: Places, series: bool) -> Circuit:
    """Plan the solution of a network whose free wires are in order."""
    free = len(places.order.place)
    ends = np.column_stack((places.first, places.second))[places.inner]
    symbolic = factor_places(places.order._replace(place=np.arange(free)), ends)
    slot = np.column_stack((places.inner.astype(np.uint32), symbolic.slot))
    sizes = np.array([symbolic.values, symbolic.room, (symbolic.marks + 1) // 2, series], dtype=np.uint32)
    return Circuit(
        symbolic.column, symbolic.begin, symbolic.rows, symbolic.value, slot,
        symbolic.grounded.astype(np.uint32), sizes,
    )  # fmt: skip


def scratch_of(circuit: Circuit, free: int, fixed: int, junctions: int) -> int:
    """Return the number of float64 of scratch that `solve_circuit` needs."""
    values, room, marks, series = (int(size) for size in circuit.sizes)
    return values + free + room + marks + junctions * series + fixed * (fixed + 4)


@_inner
def solve_circuit(
    column: Indices,
    begin: Indices,
    rows: Indices,
    value: Indices,
    slot: Indices,
    grounded: Indices,
    sizes: Indices,
    first: Indices,
    second: Indices,
    border: Indices,
    load: Floats,
    ports: Floats,
    conductance: Floats,
    work: Floats,
    voltage: Floats,
    drop: Floats,
) -> None:
    """Find the voltage of every place, and across every junction.

    Parameters
    ----------
    column, begin, rows, value, slot, grounded, sizes
        A `Circuit`.
    first, second, border, load, conductance, voltage
        As in `kernel.advance`.
    ports : ndarray
        For each fixed place: voltage of its source, NaN if it floats; resistance between source and wire, ohm; limit of
        its current, A, or inf; and its voltage at the source, which is found. Then the resistance in series with each
        junction, ohm, if there are any.
    work : ndarray
        Scratch, `scratch_of`.
    drop : ndarray
        Voltage across each junction without its series resistance.
    """
    n, count = len(grounded), len(first)
    fixed = len(voltage) - n
    at = np.int64(sizes[0])
    values, inverse = work[:at], work[at : at + n]
    at += n
    room = work[at : at + np.int64(sizes[1])]
    at += np.int64(sizes[1])
    marks = work[at : at + np.int64(sizes[2])].view(np.uint32)
    at += np.int64(sizes[2])
    source, contact, limit = ports[:fixed], ports[fixed : 2 * fixed], ports[2 * fixed : 3 * fixed]
    terminal, series = ports[3 * fixed : 4 * fixed], ports[4 * fixed :]
    links = conductance
    if sizes[3]:
        links = work[at : at + count]
        at += count
        for j in range(count):
            links[j] = conductance[j] / (1.0 + conductance[j] * series[j])
    values[:] = 0.0
    for k in range(n):
        values[grounded[k]] = load[k]
    for i in range(slot.shape[0]):
        values[slot[i, 1]] += links[slot[i, 0]]
    for i in range(border.shape[0]):
        values[grounded[border[i, 1]]] += links[border[i, 0]]
    factor_into(column, begin, rows, value, values, inverse, room, marks)
    free = voltage[:n]
    known = True
    for p in range(fixed):
        voltage[n + p] = terminal[p] = source[p]
        known = known and contact[p] == 0.0 and limit[p] == np.inf and not np.isnan(source[p])
    if not known:
        star = work[at : at + fixed * fixed].reshape(fixed, fixed)
        at += fixed * fixed
        for p in range(fixed):
            star[p, :] = 0.0
            if contact[p] == 0.0 and limit[p] == np.inf and not np.isnan(source[p]):
                continue
            # What flows into the others, and into the loads, if this one is at 1 V.
            free[:] = 0.0
            for i in range(border.shape[0]):
                if border[i, 2] == n + p:
                    free[border[i, 1]] += links[border[i, 0]]
            solve_into(column, begin, rows, value, values, inverse, room, free)
            for i in range(border.shape[0]):
                q = np.int64(border[i, 2]) - n
                if q != p:
                    star[p, q] += links[border[i, 0]] * free[border[i, 1]]
            for j in range(count):
                a, b = np.int64(first[j]) - n, np.int64(second[j]) - n
                if a == p and b >= 0:
                    star[p, b] += links[j]
                elif b == p and a >= 0:
                    star[p, a] += links[j]
            for k in range(n):
                star[p, p] += load[k] * free[k]
        _solve_star(star, source, contact, limit, terminal, work[at : at + 4 * fixed], voltage[n:])
    free[:] = 0.0
    for i in range(border.shape[0]):
        free[border[i, 1]] += links[border[i, 0]] * voltage[border[i, 2]]
    solve_into(column, begin, rows, value, values, inverse, room, free)
    for j in range(count):
        drop[j] = voltage[first[j]] - voltage[second[j]]
    if sizes[3]:
        for j in range(count):
            drop[j] /= 1.0 + conductance[j] * series[j]


@_inner
def _solve_star(
    star: Floats, source: Floats, contact: Floats, limit: Floats, terminal: Floats, room: Floats, voltage: Floats
) -> None:
    """Find the voltages of wires under electrodes, and at their sources.

    Each source holds its voltage unless its current would exceed its limit; then the current is the limit, and the
    voltage lies between. Which sources are limited is a linear complementarity problem with the star's matrix, a
    P-matrix, so that it has one solution. All that contradict it are changed at once while that makes them fewer, else
    the first one alone, which ends: Judice and Pires, Comput. Oper. Res. 21, 587 (1994).

    Parameters
    ----------
    star : ndarray, shape (fixed, fixed)
        Row of each electrode whose voltage is not given: conductance to the others, and to 0 V on the diagonal.
    source, contact, limit, terminal : ndarray, shape (fixed,)
        As in `solve_circuit`.
    room : ndarray, shape (4 * fixed,)
        Scratch.
    voltage : ndarray, shape (fixed,)
        Result.
    """
    fixed = len(source)
    state, current = room[:fixed], room[fixed : 2 * fixed]  # state 0: voltage held; 1, -1: limited; 2: floating
    toward, into = room[2 * fixed : 3 * fixed], room[3 * fixed :]
    matrix = np.empty((fixed, fixed))
    largest = 0.0
    for p in range(fixed):
        state[p] = 2.0 if np.isnan(source[p]) else 0.0
        if state[p] == 0.0:
            largest = max(largest, abs(source[p]))
    fewest, patience = fixed + 1, 3
    for _ in range(_TURNS):
        for p in range(fixed):
            toward[p], into[p] = star[p, p], 0.0
            if state[p] == 0.0 and contact[p] > 0.0:
                toward[p] += 1.0 / contact[p]
                into[p] += source[p] / contact[p]
            elif state[p] == 0.0:
                voltage[p] = source[p]
            elif state[p] != 2.0:
                into[p] = state[p] * limit[p]
        for p in range(fixed):
            if state[p] != 0.0 or contact[p] > 0.0:
                for q in range(fixed):
                    matrix[p, q] = star[p, q]
                    if q != p and state[q] == 0.0 and contact[q] == 0.0:
                        toward[p] += star[p, q]
                        into[p] += star[p, q] * source[q]
        _eliminate(matrix, toward, into, state, contact, voltage)
        wrong, one = 0, -1
        for p in range(fixed):
            if state[p] == 2.0:
                terminal[p], current[p] = voltage[p], 0.0
                continue
            if state[p] == 0.0:
                terminal[p] = source[p]
                if limit[p] == np.inf:
                    continue
                if contact[p] > 0.0:
                    flow = (source[p] - voltage[p]) / contact[p]
                else:
                    flow = star[p, p] * voltage[p]
                    for q in range(fixed):
                        if q != p:
                            flow += star[p, q] * (voltage[p] - voltage[q])
                turned = abs(flow) > limit[p] * (1.0 + _TOLERANCE)
                current[p] = 1.0 if flow > 0.0 else -1.0
            else:
                terminal[p] = voltage[p] + state[p] * limit[p] * contact[p]
                turned = state[p] * (terminal[p] - source[p]) > _TOLERANCE * largest
                current[p] = 0.0
            if turned:
                wrong += 1
                if one < 0:
                    one = p
                into[p] = np.inf  # marks it
            else:
                into[p] = 0.0
        if wrong == 0:
            return
        if wrong < fewest:
            fewest, patience = wrong, 3
        else:
            patience -= 1
        for p in range(fixed):
            if state[p] != 2.0 and limit[p] != np.inf and into[p] == np.inf and (patience > 0 or p == one):
                state[p] = current[p]
    voltage[:] = np.nan  # never seen; refused by what looks for results that are not finite


@_inner
def _eliminate(matrix: Floats, toward: Floats, into: Floats, state: Floats, contact: Floats, voltage: Floats) -> None:
    """Solve for electrodes whose voltage is not given, by star-mesh elimination."""
    fixed = len(toward)
    for p in range(fixed):
        if state[p] == 0.0 and contact[p] == 0.0:
            continue
        total = toward[p]
        for q in range(p + 1, fixed):
            if state[q] != 0.0 or contact[q] > 0.0:
                total += matrix[p, q]
        for q in range(p + 1, fixed):
            if state[q] != 0.0 or contact[q] > 0.0:
                share = matrix[p, q] / total
                toward[q] += share * toward[p]
                into[q] += share * into[p]
                for r in range(p + 1, fixed):
                    if r != q and (state[r] != 0.0 or contact[r] > 0.0):
                        matrix[q, r] += share * matrix[p, r]
        toward[p] = total
    for m in range(fixed):
        p = fixed - 1 - m
        if state[p] == 0.0 and contact[p] == 0.0:
            continue
        total = into[p]
        for q in range(p + 1, fixed):
            if state[q] != 0.0 or contact[q] > 0.0:
                total += matrix[p, q] * voltage[q]
        voltage[p] = total / toward[p]


SOURCES: Any = ("inmateria.simulators.vector_lanes", "inmateria.simulators.sparse_ldl.numeric")
"""Modules of which kernels that use `solve_circuit` are made."""
