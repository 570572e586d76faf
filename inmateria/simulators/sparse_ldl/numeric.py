"""The arithmetic: factor a graph's Laplacian for given weights, and solve with it.

Eliminating a node of a network of resistors joins its neighbours pairwise (the star-mesh transform). That is one column
of LDL^T, where the diagonal is kept as the sum of its row, ground included, in place of a difference: only
positive numbers are added, multiplied and divided, so that voltages are right to rounding for any spread of weights.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.vector_lanes import LANES, load_run, splat, store_run

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_whole: Any = np.int64  # numba makes a float of the sum of a signed and an unsigned integer

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)
_sums = numba.njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True)


@_outer
def factor_into(
    column: Indices,
    begin: Indices,
    rows: Indices,
    value: Indices,
    values: Floats,
    inverse: Floats,
    room: Floats,
    marks: Indices,
) -> None:
    """Eliminate all nodes; each supernode takes what earlier ones add to it, then its own columns are eliminated.

    Parameters
    ----------
    column, begin, rows, value : ndarray
        Of a `Symbolic`.
    values : ndarray, shape (symbolic.values,)
        The weights in their slots, those to the ground in the last row of each column, else 0; becomes the factor.
    inverse : ndarray, shape (nodes,)
        Becomes the inverse of the diagonal.
    room, marks : ndarray
        Scratch, `Symbolic.room` and `Symbolic.marks`.
    """  # fmt: skip
    supernodes = len(column) - 1
    n = len(inverse)
    where = marks[: n + 1]  # of each place among the rows of the current supernode
    waiting = marks[n + 1 : n + 1 + supernodes]  # first supernode + 1 that adds to this one next
    later = marks[n + 1 + supernodes : n + 1 + 2 * supernodes]  # the next such, + 1
    reached = marks[n + 1 + 2 * supernodes : n + 1 + 3 * supernodes]  # number of its rows that are done
    waiting[:] = 0
    for s in range(supernodes):
        first, last = _whole(column[s]), _whole(column[s + 1])
        top, height = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s])
        at = _whole(value[s])
        for i in range(height):
            where[rows[top + i]] = i
        one: Any = _whole(waiting[s])
        while one > 0:
            d = one - 1
            one = _whole(later[d])
            d_top, d_height = _whole(begin[d]), _whole(begin[d + 1]) - _whole(begin[d])
            d_width, d_at = _whole(column[d + 1]) - _whole(column[d]), _whole(value[d])
            low = _whole(reached[d])
            high = low
            while high < d_height and _whole(rows[d_top + high]) < last:
                high += 1
            for a in range(low, high, 4):
                some = min(4, high - a)
                _add_columns(values, inverse, room, d_at, d_height, d_width, _whole(column[d]), a, some)
                for i in range(some):
                    into = at + (_whole(rows[d_top + a + i]) - first) * height
                    give = i * d_height
                    for b in range(a + i + 1, d_height):
                        values[into + where[rows[d_top + b]]] += room[give + b]
            if high < d_height - 1:
                _wait(column, rows, waiting, later, reached, d, d_top, high)
        width = last - first
        for i in range(width):
            k = at + i * height
            if i:
                _add_columns(values, inverse, room, at, height, i, first, i, 1)
                for b in range(i + 1, height):
                    values[k + b] += room[b]
            total = 0.0
            for b in range(i + 1, height):
                total += values[k + b]
            inverse[first + i] = 1.0 / total
        if width < height - 1:
            _wait(column, rows, waiting, later, reached, s, top, width)


@_inner
def _wait(
    column: Indices, rows: Indices, waiting: Indices, later: Indices, reached: Indices, d: int, top: int, row: int
) -> None:
    """Let a supernode wait for the one that has its next row as a column."""
    place = rows[top + row]
    low, high = d, len(column) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if column[middle] <= place:
            low = middle
        else:
            high = middle
    reached[d] = row
    later[d] = waiting[low]
    waiting[low] = d + 1


@_inner
def _add_columns(
    values: Floats, inverse: Floats, room: Floats, at: int, height: int, width: int, column: int, a: int, some: int
) -> None:
    """Sum what the columns of a supernode add to up to four columns (those of its rows a, a + 1, ...) into ``room``."""
    factor = 4 * height
    for k in range(width):
        for i in range(some):
            room[factor + 4 * k + i] = values[at + k * height + a + i] * inverse[column + k]
    if height - a < LANES:
        for i in range(some):
            for b in range(a + i, height):
                total = 0.0
                for k in range(width):
                    total += room[factor + 4 * k + i] * values[at + k * height + b]
                room[i * height + b] = total
        return
    b = a
    while b < height:
        b = min(b, height - LANES)  # the last vector may repeat some of the one before
        if some == 4:
            x0, x1, x2, x3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            for k in range(width):
                u = load_run(values, at + k * height + b)
                f = factor + 4 * k
                x0 = x0 + splat(room[f]) * u
                x1 = x1 + splat(room[f + 1]) * u
                x2 = x2 + splat(room[f + 2]) * u
                x3 = x3 + splat(room[f + 3]) * u
            store_run(room, b, x0)
            store_run(room, height + b, x1)
            store_run(room, 2 * height + b, x2)
            store_run(room, 3 * height + b, x3)
        else:
            for i in range(some):
                x = splat(0.0)
                for k in range(width):
                    x = x + splat(room[factor + 4 * k + i]) * load_run(values, at + k * height + b)
                store_run(room, i * height + b, x)
        b += LANES


@_outer
def solve_into(
    column: Indices,
    begin: Indices,
    rows: Indices,
    value: Indices,
    values: Floats,
    inverse: Floats,
    room: Floats,
    solution: Floats,
) -> None:
    """Solve for the voltage of every place.

    Parameters
    ----------
    column, begin, rows, value, values, inverse, room : ndarray
        As in `factor_into`, which has been called.
    solution : ndarray, shape (nodes,)
        Current into each place; becomes its voltage to the ground.
    """  # fmt: skip
    supernodes = len(column) - 1
    for s in range(supernodes):
        first, width = _whole(column[s]), _whole(column[s + 1]) - _whole(column[s])
        top, height, at = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s]), _whole(value[s])
        x = room[: height - 1]
        for b in range(width):
            x[b] = solution[first + b]
        x[width:] = 0.0
        for i in range(width):
            u = values[at + i * height : at + (i + 1) * height]
            f = x[i] * inverse[first + i]
            for b in range(i + 1, height - 1):
                x[b] += f * u[b]
        for b in range(width):
            solution[first + b] = x[b]
        for b in range(width, height - 1):
            solution[rows[top + b]] += x[b]
    for t in range(supernodes):
        s = supernodes - 1 - t
        first, width = _whole(column[s]), _whole(column[s + 1]) - _whole(column[s])
        top, height, at = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s]), _whole(value[s])
        x = room[: height - 1]
        for b in range(height - 1):
            x[b] = solution[rows[top + b]]
        for m in range(width):
            i = width - 1 - m
            u = values[at + i * height : at + (i + 1) * height]
            x[i] = (x[i] + _dot(u, x, i + 1, height - 1)) * inverse[first + i]
            solution[first + i] = x[i]


@_sums
def _dot(a: Floats, b: Floats, low: int, high: int) -> float:
    total = 0.0
    for i in range(low, high):
        total += a[i] * b[i]
    return total


recompile_with(factor_into, "inmateria.simulators.vector_lanes")
