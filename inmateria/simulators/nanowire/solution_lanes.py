"""The voltages of sixteen networks of one graph at once, in double precision, or in single precision and refined.

Links get the conductances of their junctions. They are eliminated column by column, but four at a time where four
columns have the same rows below (a supernode: toward the end of the order nearly all are), so that the entries such a
block changes are loaded and stored once instead of four times.

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

from inmateria.simulators.vector_lanes import LANES, load, splat, store, to_double, to_single

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", nogil=True)
_overload: Any = overload


def solve_lanes(
    origin: Indices,
    border: Indices,
    start: Indices,
    rows: Indices,
    target: Indices,
    meeting: Indices,
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
    origin, meeting : ndarray
        `lanes.origins` and `lanes.meetings` of the plan.
    border, start, rows, target
        Of the plan.
    refinements : int
        Number of refinements; of single precision only.
    scale : ndarray, shape (16,)
        Power of two by which conductances are multiplied, so that single precision holds them.
    load_of, conductance, voltage : ndarray
        In lanes.
    work : ndarray of float64 or float32
        Scratch: links, then for each free place its conductance to fixed ones, the current from there, and the inverse
        of the conductance with which it was eliminated. Its type is the precision.
    """
    raise NotImplementedError


@_overload(solve_lanes)
def _solve_by_type(  # type: ignore[no-untyped-def]
    origin, border, start, rows, target, meeting, refinements, scale, load_of, conductance, voltage, work
):
    return _in_single if work.dtype == types.float32 else _in_double


def _in_double(  # type: ignore[no-untyped-def] # numba wants the same bare names
    origin, border, start, rows, target, meeting, refinements, scale, load_of, conductance, voltage, work
):
    _assemble(origin, border, len(rows), load_of, conductance, voltage, work)
    _eliminate(splat(1.0), start, rows, target, work)
    _substitute(start, rows, work, voltage)


def _in_single(  # type: ignore[no-untyped-def]
    origin, border, start, rows, target, meeting, refinements, scale, load_of, conductance, voltage, work
):
    factor = load(scale, numba.uint64(0))
    _assemble_rounded(origin, border, len(rows), load_of, conductance, voltage, factor, work)
    _eliminate(to_single(splat(1.0)), start, rows, target, work)
    _substitute_rounded(start, rows, work, voltage, False)
    for _ in range(refinements):
        _collect_remainder(meeting, len(rows), load_of, conductance, voltage, factor, work)
        _carry_down(start, rows, work)
        _substitute_rounded(start, rows, work, voltage, True)


@_inner
def _assemble(
    origin: Indices, border: Indices, links: int, load_of: Floats, conductance: Floats, voltage: Floats, work: Floats
) -> None:
    entries = numba.uint64(links)
    n = numba.uint64(len(load_of) // LANES)
    toward, source = entries, entries + n  # where they begin
    zero = splat(0.0)
    for i in range(entries):
        store(work, i, load(conductance, origin[i]))
    for i in range(entries, numba.uint64(len(origin)), numba.uint64(2)):  # junctions parallel to another
        into = origin[i]
        store(work, into, load(work, into) + load(conductance, origin[i + numba.uint64(1)]))
    for k in range(n):
        store(work, toward + k, load(load_of, k))
        store(work, source + k, zero)
    for i in range(border.shape[0]):
        g = load(conductance, border[i, 0])
        k = numba.uint64(border[i, 1])
        store(work, toward + k, load(work, toward + k) + g)
        store(work, source + k, load(work, source + k) + g * load(voltage, border[i, 2]))


@_inner
def _eliminate(unit: Any, start: Indices, rows: Indices, target: Indices, work: npt.NDArray[Any]) -> None:
    """Eliminate all columns; ``unit`` is 1 in all lanes, in the precision of ``work``."""
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    toward, source, inverse = entries, entries + n, entries + n + n  # where they begin
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    pair: Any = numba.uint64(0)
    k: Any = numba.uint64(0)
    while k < n:
        low, high = numba.uint64(start[k]), numba.uint64(start[k + one])
        if k + three < n and high == low + (numba.uint64(start[k + four]) - numba.uint64(start[k + three])) + three:
            wide = rows[low] == k + one and rows[low + one] == k + two and rows[low + two] == k + three
        else:
            wide = False
        if not wide:
            total = load(work, toward + k)
            for i in range(low, high):
                total = total + load(work, i)
            inverted = unit / total
            store(work, inverse + k, inverted)
            to_fixed = load(work, toward + k) * inverted
            from_fixed = load(work, source + k) * inverted
            for i in range(low, high):
                g = load(work, i)
                r = numba.uint64(rows[i])
                store(work, toward + r, load(work, toward + r) + g * to_fixed)
                store(work, source + r, load(work, source + r) + g * from_fixed)
                share = g * inverted
                for j in range(i + one, high):
                    to = target[pair]
                    store(work, to, load(work, to) + share * load(work, j))
                    pair += one
            k += one
            continue
        # Four columns a, b, c, d, each of the rows of the one before but for itself; the last has these:
        a, b, c, d = low, high, numba.uint64(start[k + two]), numba.uint64(start[k + three])
        m = numba.uint64(start[k + four]) - d
        pair += ((m + three) * (m + two) + (m + two) * (m + one) + (m + one) * m) // two
        ab, ac, ad = load(work, a), load(work, a + one), load(work, a + two)
        a, at_b, at_c, at_d = a + three, b + two, c + one, d
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
        k += four


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
def _assemble_rounded(
    origin: Indices,
    border: Indices,
    links: int,
    load_of: Floats,
    conductance: Floats,
    voltage: Floats,
    factor: Any,
    work: Singles,
) -> None:
    entries = numba.uint64(links)
    n = numba.uint64(len(load_of) // LANES)
    toward, source = entries, entries + n
    zero = to_single(splat(0.0))
    for i in range(entries):
        store(work, i, to_single(load(conductance, origin[i]) * factor))
    for i in range(entries, numba.uint64(len(origin)), numba.uint64(2)):
        into = origin[i]
        store(work, into, load(work, into) + to_single(load(conductance, origin[i + numba.uint64(1)]) * factor))
    for k in range(n):
        store(work, toward + k, to_single(load(load_of, k) * factor))
        store(work, source + k, zero)
    for i in range(border.shape[0]):
        g = load(conductance, border[i, 0]) * factor
        k = numba.uint64(border[i, 1])
        store(work, toward + k, load(work, toward + k) + to_single(g))
        store(work, source + k, load(work, source + k) + to_single(g * load(voltage, border[i, 2])))


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
