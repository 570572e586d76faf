"""One solution of a network with what lies around it: contact and series resistances, floating inputs, current limits.

What the electrodes then see of the network is a star of conductances
between them (its Schur complement), found by one solution for each electrode whose voltage is not given; sources,
contacts, limits and inputs that float are solved for in that small network, exactly, and the wires follow.
"""

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.elimination import Elimination
from inmateria.simulators.nanowire.junction_table import CONDUCTANCE, DROP
from inmateria.simulators.nanowire.solution import (
    eliminate_supernodes,
    solve,
    solve_again,
    solve_supernodes,
    unchanged,
    unpack,
)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_TOLERANCE = 1e-12
"""Part of a limit or a voltage by which rounding may exceed it."""
_TURNS = 2000
"""Changes of the set of limited sources at most; a few are usual."""

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)


def scratch_of(elimination: Elimination, ports: bool, series: bool) -> int:
    """Return the number of float64 of scratch that `solve_circuit` needs."""
    fixed = len(elimination.place) - len(elimination.start) + 1
    return elimination.scratch + len(elimination.first) * series + fixed * (2 * fixed + 4) * ports


def solve_circuit(plan: Indices, junctions: Floats, nodes: Floats) -> None:  # pragma: no cover
    """Find the voltage of every place, and across every junction without its series resistance.

    Compiled on its own, and called by its address, since few networks need it.

    Parameters
    ----------
    plan, junctions, nodes
        As in `kernel.advance`. After the loads, the nodes have for each fixed place: voltage of its source, NaN if it
        floats; then resistance between source and wire, ohm; then limit of its current, A, or inf; then its voltage at
        the source, which is found. Then the resistance in series with each junction, ohm, if there are any; then
        scratch, `scratch_of`.
    """
    (
        place, first, second, slot, border, _, start, rows, target,
        column, begin, supernode_rows, value, grounded, room, _, circuit, _,
    ) = unpack(plan)  # fmt: skip
    conductance, drop = junctions[CONDUCTANCE], junctions[DROP]
    n, count, supernodes = len(start) - 1, len(first), len(column) > 0
    fixed = len(place) - n
    at = n + fixed
    voltage, load = nodes[:at], nodes[at : at + n]
    at += n
    source, contact = nodes[at : at + fixed], nodes[at + fixed : at + 2 * fixed]
    limit, terminal = nodes[at + 2 * fixed : at + 3 * fixed], nodes[at + 3 * fixed : at + 4 * fixed]
    at += 4 * fixed
    series = nodes[at : at + (count if circuit[2] else 0)]
    work = nodes[at + len(series) :]
    at = int(room[0]) + n + int(room[1]) if supernodes else len(rows) + 3 * n
    links = conductance
    if circuit[2]:
        links = work[at : at + count]
        at += count
        for j in range(count):
            links[j] = conductance[j] / (1.0 + conductance[j] * series[j])
    known = True
    for p in range(fixed):
        voltage[n + p] = terminal[p] = source[p]
        known = known and _is_known(source, contact, limit, p)
    again = unchanged(conductance, nodes)  # the resistances in series never change
    if again:
        pass
    elif supernodes:
        eliminate_supernodes(column, begin, supernode_rows, value, grounded, room, slot, border, load, links, work)
    else:
        solve(slot, border, start, rows, target, load, links, work, voltage)
    free = voltage[:n]
    if not known:
        star = work[at : at + fixed * fixed].reshape(fixed, fixed)
        at += fixed * fixed
        for p in range(fixed):
            star[p, :] = 0.0
            if _is_known(source, contact, limit, p):
                continue
            # What flows into the others, and into the loads, if this one is at 1 V.
            free[:] = 0.0
            for i in range(border.shape[0]):
                if border[i, 2] == n + p:
                    free[border[i, 1]] += links[border[i, 0]]
            if supernodes:
                solve_supernodes(column, begin, supernode_rows, value, room, work, free)
            else:
                solve_again(start, rows, work, free)
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
        matrix = work[at : at + fixed * fixed].reshape(fixed, fixed)
        at += fixed * fixed
        _solve_star(star, matrix, source, contact, limit, terminal, work[at : at + 4 * fixed], voltage[n:])
    if supernodes or again or not known:
        free[:] = 0.0
        for i in range(border.shape[0]):
            free[border[i, 1]] += links[border[i, 0]] * voltage[border[i, 2]]
        if supernodes:
            solve_supernodes(column, begin, supernode_rows, value, room, work, free)
        else:
            solve_again(start, rows, work, free)
    for j in range(count):
        drop[j] = voltage[first[j]] - voltage[second[j]]
    if circuit[2]:
        for j in range(count):
            drop[j] /= 1.0 + conductance[j] * series[j]


@_inner
def _is_known(source: Floats, contact: Floats, limit: Floats, p: int) -> bool:
    """Whether the wire under an electrode has the voltage of its source."""
    return bool(contact[p] == 0.0 and limit[p] == np.inf and not np.isnan(source[p]))


@_inner
def _solve_star(
    star: Floats,
    matrix: Floats,
    source: Floats,
    contact: Floats,
    limit: Floats,
    terminal: Floats,
    room: Floats,
    voltage: Floats,
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
    matrix, room : ndarray, shape (fixed, fixed) and (4 * fixed,)
        Scratch.
    voltage : ndarray, shape (fixed,)
        Result.
    """
    fixed = len(source)
    state, current = room[:fixed], room[fixed : 2 * fixed]  # state 0: voltage held; 1, -1: limited; 2: floating
    toward, into = room[2 * fixed : 3 * fixed], room[3 * fixed :]
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


SOURCES = (
    "inmateria.simulators.nanowire.junction_table",
    "inmateria.simulators.nanowire.solution",
    "inmateria.simulators.nanowire.short_columns",
    "inmateria.simulators.nanowire.long_columns",
    "inmateria.simulators.sparse_ldl.numeric",
    "inmateria.simulators.sparse_ldl.fronts",
    "inmateria.simulators.vector_lanes",
)
"""Modules of which `solve_circuit` is made, besides this one."""
