"""The voltages of sixteen networks of one graph at once, in double precision, or in single precision and refined.

Links get the conductances of their junctions when the first column that changes them is eliminated (`lane_plan`).
Columns are eliminated four or two at a time where they have the same rows below (a supernode: toward the end of the
order nearly all have), so that the entries such a block changes are loaded and stored once. Most columns have no
conductance to fixed places, neither of their own nor from those before them, and nothing of it is carried on.

In single precision, half as many bytes pass through the caches. Nothing is subtracted in an elimination of
conductances, so that each voltage comes out to about single precision whatever the spread of the conductances. One step
of iterative refinement then solves, with the same factor, for the currents that are left over, which are summed in
double precision (N. J. Higham, Accuracy and Stability of Numerical Algorithms, chapter 12).
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import overload

from inmateria.simulators.nanowire.lane_plan import AHEAD, CARRIES, LanePlan
from inmateria.simulators.vector_lanes import LANES, fetch, load, splat, store, to_double, to_single

_NEAR = 2**20
"""Bytes of scratch up to which entries are still in the second-level cache when they are set."""

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", nogil=True)
_overload: Any = overload


def solve_lanes(
    lane: LanePlan,
    border: Indices,
    start: Indices,
    rows: Indices,
    target: Indices,
    refinements: int,
    scale: Floats,
    load_of: Floats,
    conductance: Floats,
    voltage: Floats,
    work: npt.NDArray[Any],
) -> None:
    """Find the voltage of every free place, in lanes; compiled code calls it.

    Parameters
    ----------
    lane : LanePlan
    border, start, rows, target
        Of the plan.
    refinements : int
        Number of refinements; of single precision only.
    scale : ndarray, shape (16,)
        Power of two by which conductances are multiplied, so that single precision holds them.
    load_of, conductance, voltage : ndarray
        In lanes.
    work : ndarray of float64 or float32
        Scratch, zero at first: links, then for each free place its conductance to fixed ones, the current from there,
        and the inverse of the conductance with which it was eliminated. Its type is the precision.
    """
    raise NotImplementedError


@_overload(solve_lanes)
def _solve_by_type(  # type: ignore[no-untyped-def]
    lane, border, start, rows, target, refinements, scale, load_of, conductance, voltage, work
):
    return _in_single if work.dtype == types.float32 else _in_double


def _in_double(  # type: ignore[no-untyped-def] # numba wants the same bare names
    lane, border, start, rows, target, refinements, scale, load_of, conductance, voltage, work
):
    factor = splat(1.0)
    _set_out(lane, border, len(rows), load_of, conductance, voltage, factor, work)
    _eliminate(factor, factor, lane, start, rows, target, conductance, work)
    _substitute(start, rows, work, voltage)


def _in_single(  # type: ignore[no-untyped-def]
    lane, border, start, rows, target, refinements, scale, load_of, conductance, voltage, work
):
    factor = load(scale, numba.uint64(0))
    _clear_sources(len(rows), len(start) - 1, work)
    _set_out(lane, border, len(rows), load_of, conductance, voltage, factor, work)
    _eliminate(to_single(splat(1.0)), factor, lane, start, rows, target, conductance, work)
    _substitute_rounded(start, rows, work, voltage, False)
    for _ in range(refinements):
        _collect_remainder(lane.meeting, len(rows), load_of, conductance, voltage, factor, work)
        _carry_down(start, rows, work)
        _substitute_rounded(start, rows, work, voltage, True)


def _scaled(value: Any, factor: Any, work: npt.NDArray[Any]) -> Any:
    """Return lanes as the scratch holds them: scaled and rounded in single precision, in double as they are."""
    raise NotImplementedError


@_overload(_scaled)
def _scaled_by_type(value, factor, work):  # type: ignore[no-untyped-def]
    if work.dtype == types.float32:
        return lambda value, factor, work: to_single(value * factor)
    return lambda value, factor, work: value


@_inner
def _set_out(
    lane: LanePlan,
    border: Indices,
    links: int,
    load_of: Floats,
    conductance: Floats,
    voltage: Floats,
    factor: Any,
    work: npt.NDArray[Any],
) -> None:
    """Sum the conductances to fixed places, and the currents from there; links are set while they are eliminated."""
    n = numba.uint64(len(load_of) // LANES)
    toward, source = numba.uint64(links), numba.uint64(links) + n  # where they begin
    for i in range(len(lane.carrying)):
        k = numba.uint64(lane.carrying[i])
        store(work, toward + k, _scaled(load(load_of, k), factor, work))
        store(work, source + k, _scaled(splat(0.0), factor, work))
    for i in range(border.shape[0]):
        g = load(conductance, border[i, 0])
        k = numba.uint64(border[i, 1])
        store(work, toward + k, load(work, toward + k) + _scaled(g, factor, work))
        current = _scaled(g * load(voltage, border[i, 2]), factor, work)
        store(work, source + k, load(work, source + k) + current)


@_inner
def _eliminate(
    unit: Any,
    factor: Any,
    lane: LanePlan,
    start: Indices,
    rows: Indices,
    target: Indices,
    conductance: Floats,
    work: npt.NDArray[Any],
) -> None:
    """Eliminate all columns; ``unit`` is 1 in all lanes, in the precision of ``work``."""
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    toward, source, inverse = entries, entries + n, entries + n + n  # where they begin
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    ahead, nothing, far = numba.uint64(AHEAD), unit - unit, work.nbytes > _NEAR
    pair: Any = numba.uint64(0)
    for block in range(len(lane.block)):
        k = numba.uint64(lane.block[block])
        kind = numba.uint64(lane.width[block])
        carries = kind >= numba.uint64(CARRIES)
        width = kind & numba.uint64(CARRIES - 1)
        for i in range(numba.uint64(lane.begin[block]), numba.uint64(lane.begin[block + 1])):
            if far:
                fetch(work, lane.opened[i + ahead])
            store(work, lane.opened[i], _scaled(load(conductance, lane.origin[i]), factor, work))
        if len(lane.parallel) > 0:
            for i in range(lane.parallel_begin[block], lane.parallel_begin[block + 1]):
                into = lane.parallel[i, 0]
                more = _scaled(load(conductance, lane.parallel[i, 1]), factor, work)
                store(work, into, load(work, into) + more)
        low, high = numba.uint64(start[k]), numba.uint64(start[k + one])
        if width == one:
            total, other = nothing, nothing
            i = low
            while i + one < high:
                total = total + load(work, i)
                other = other + load(work, i + one)
                i += two
            if i < high:
                total = total + load(work, i)
            total = total + other
            if carries:
                total = total + load(work, toward + k)
            inverted = unit / total
            store(work, inverse + k, inverted)
            if carries:
                to_fixed = load(work, toward + k) * inverted
                from_fixed = load(work, source + k) * inverted
                for i in range(low, high):
                    g = load(work, i)
                    r = numba.uint64(rows[i])
                    store(work, toward + r, load(work, toward + r) + g * to_fixed)
                    store(work, source + r, load(work, source + r) + g * from_fixed)
            for i in range(low, high):
                share = load(work, i) * inverted
                for j in range(i + one, high):
                    to = target[pair]
                    store(work, to, load(work, to) + share * load(work, j))
                    pair += one
            continue
        if width == two:
            a, b = low, high
            m = numba.uint64(start[k + two]) - b
            pair += (m + one) * m // two
            ab = load(work, a)
            a += one
            to_a, from_a, to_b, from_b = nothing, nothing, nothing, nothing
            if carries:
                to_a, from_a = load(work, toward + k), load(work, source + k)
            total = to_a + ab
            for i in range(m):
                total = total + load(work, a + i)
            inverse_a = unit / total
            store(work, inverse + k, inverse_a)
            share_a = ab * inverse_a
            if carries:
                to_b = load(work, toward + k + one) + share_a * to_a
                from_b = load(work, source + k + one) + share_a * from_a
                store(work, source + k + one, from_b)
            total = to_b
            for i in range(m):
                value = load(work, b + i) + share_a * load(work, a + i)
                store(work, b + i, value)
                total = total + value
            inverse_b = unit / total
            store(work, inverse + k + one, inverse_b)
            if carries:
                to_a, from_a, to_b, from_b = to_a * inverse_a, from_a * inverse_a, to_b * inverse_b, from_b * inverse_b
                for i in range(m):
                    g, h = load(work, a + i), load(work, b + i)
                    r = numba.uint64(rows[b + i])
                    store(work, toward + r, load(work, toward + r) + g * to_a + h * to_b)
                    store(work, source + r, load(work, source + r) + g * from_a + h * from_b)
            for i in range(m):
                share_a, share_b = load(work, a + i) * inverse_a, load(work, b + i) * inverse_b
                for j in range(i + one, m):
                    to = target[pair]
                    value = load(work, to) + share_a * load(work, a + j)
                    store(work, to, value + share_b * load(work, b + j))
                    pair += one
            continue
        # Four columns a, b, c, d, each of the rows of the one before but for itself; the last has these:
        a, b, c, d = low, high, numba.uint64(start[k + two]), numba.uint64(start[k + three])
        m = numba.uint64(start[k + four]) - d
        pair += ((m + three) * (m + two) + (m + two) * (m + one) + (m + one) * m) // two
        ab, ac, ad = load(work, a), load(work, a + one), load(work, a + two)
        a, at_b, at_c, at_d = a + three, b + two, c + one, d
        to_a, from_a, to_b, from_b, to_c = nothing, nothing, nothing, nothing, nothing
        from_c, to_d, from_d = nothing, nothing, nothing
        if carries:
            to_a, from_a = load(work, toward + k), load(work, source + k)
        total = to_a + ab + ac + ad
        for i in range(m):
            total = total + load(work, a + i)
        inverse_a = unit / total
        store(work, inverse + k, inverse_a)

        share_a = ab * inverse_a
        bc, bd = load(work, b) + share_a * ac, load(work, b + one) + share_a * ad
        store(work, b, bc)
        store(work, b + one, bd)
        b = at_b
        if carries:
            to_b = load(work, toward + k + one) + share_a * to_a
            from_b = load(work, source + k + one) + share_a * from_a
            store(work, source + k + one, from_b)
        total = to_b + bc + bd
        for i in range(m):
            value = load(work, b + i) + share_a * load(work, a + i)
            store(work, b + i, value)
            total = total + value
        inverse_b = unit / total
        store(work, inverse + k + one, inverse_b)

        share_a, share_b = ac * inverse_a, bc * inverse_b
        cd = load(work, c) + share_a * ad + share_b * bd
        store(work, c, cd)
        c = at_c
        if carries:
            to_c = load(work, toward + k + two) + share_a * to_a + share_b * to_b
            from_c = load(work, source + k + two) + share_a * from_a + share_b * from_b
            store(work, source + k + two, from_c)
        total = to_c + cd
        for i in range(m):
            value = load(work, c + i) + share_a * load(work, a + i) + share_b * load(work, b + i)
            store(work, c + i, value)
            total = total + value
        inverse_c = unit / total
        store(work, inverse + k + two, inverse_c)

        share_a, share_b, share_c = ad * inverse_a, bd * inverse_b, cd * inverse_c
        d = at_d
        if carries:
            to_d = load(work, toward + k + three) + share_a * to_a + share_b * to_b + share_c * to_c
            from_d = load(work, source + k + three) + share_a * from_a + share_b * from_b + share_c * from_c
            store(work, source + k + three, from_d)
        total = to_d
        for i in range(m):
            value = load(work, d + i) + share_a * load(work, a + i) + share_b * load(work, b + i)
            value = value + share_c * load(work, c + i)
            store(work, d + i, value)
            total = total + value
        inverse_d = unit / total
        store(work, inverse + k + three, inverse_d)

        for i in range(m):
            share_a, share_b = load(work, a + i) * inverse_a, load(work, b + i) * inverse_b
            share_c, share_d = load(work, c + i) * inverse_c, load(work, d + i) * inverse_d
            if carries:
                r = numba.uint64(rows[d + i])
                value = load(work, toward + r) + share_a * to_a + share_b * to_b
                store(work, toward + r, value + share_c * to_c + share_d * to_d)
                value = load(work, source + r) + share_a * from_a + share_b * from_b
                store(work, source + r, value + share_c * from_c + share_d * from_d)
            for j in range(i + one, m):
                to = target[pair]
                value = load(work, to) + share_a * load(work, a + j) + share_b * load(work, b + j)
                store(work, to, value + share_c * load(work, c + j) + share_d * load(work, d + j))
                pair += one


@_inner
def _substitute(start: Indices, rows: Indices, work: Floats, voltage: Floats) -> None:
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    source, inverse = entries + n, entries + n + n
    for m in range(n):
        last: Any = n - numba.uint64(1) - m
        current = load(work, source + last)
        for i in range(numba.uint64(start[last]), numba.uint64(start[last + numba.uint64(1)])):
            current = current + load(work, i) * load(voltage, rows[i])
        store(voltage, last, current * load(work, inverse + last))


@_inner
def _clear_sources(links: int, free: int, work: Singles) -> None:
    zero = to_single(splat(0.0))
    for k in range(numba.uint64(links + free), numba.uint64(links + 2 * free)):
        store(work, k, zero)


@_inner
def _collect_remainder(
    meeting: Indices, links: int, load_of: Floats, conductance: Floats, voltage: Floats, factor: Any, work: Singles
) -> None:
    """Sum, in double precision, the current that is left over at each free place, in place of the sources."""
    n = numba.uint64(len(load_of) // LANES)
    source = numba.uint64(links) + n
    zero, two = splat(0.0), numba.uint64(2)
    at: Any = n + numba.uint64(1)
    for k in range(n):
        v = load(voltage, k)
        total = zero - load(load_of, k) * v
        for _ in range(numba.uint64(meeting[k]), numba.uint64(meeting[k + numba.uint64(1)])):
            total = total + load(conductance, meeting[at]) * (load(voltage, meeting[at + numba.uint64(1)]) - v)
            at += two
        store(work, source + k, to_single(total * factor))


@_inner
def _carry_down(start: Indices, rows: Indices, work: Singles) -> None:
    """Eliminate currents with columns that were eliminated."""
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    source, inverse = entries + n, entries + n + n
    for k in range(n):
        through = load(work, source + k) * load(work, inverse + k)
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + numba.uint64(1)])):
            r = numba.uint64(rows[i])
            store(work, source + r, load(work, source + r) + load(work, i) * through)


@_inner
def _substitute_rounded(start: Indices, rows: Indices, work: Singles, voltage: Floats, add: bool) -> None:
    """Solve back, in place of the sources; the result becomes the voltage, or is added to it."""
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    source, inverse = entries + n, entries + n + n
    for m in range(n):
        last: Any = n - numba.uint64(1) - m
        current = load(work, source + last)
        for i in range(numba.uint64(start[last]), numba.uint64(start[last + numba.uint64(1)])):
            current = current + load(work, i) * load(work, source + rows[i])
        solved = current * load(work, inverse + last)
        store(work, source + last, solved)
        wide = to_double(solved)
        store(voltage, last, load(voltage, last) + wide if add else wide)
