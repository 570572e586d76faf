"""The same arithmetic for matrices that are not symmetric but have a symmetric pattern: circuits of transistors.

Where every current rises with the voltage of the node it leaves and falls with that of the node it enters, the sum of
each column of the nodal matrix is what flows to the ground. The diagonal is kept as the sum of its column, so that
here, too, only positive numbers are added, multiplied and divided, and no pivoting is needed.
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
_sums = numba.njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def factor_both_into(
    column: Indices,
    begin: Indices,
    rows: Indices,
    value: Indices,
    up: Floats,
    down: Floats,
    inverse: Floats,
    room: Floats,
    marks: Indices,
) -> None:
    """Eliminate all nodes, as `factor_into` does.

    Parameters
    ----------
    column, begin, rows, value : ndarray
        Of a `Symbolic`.
    up, down : ndarray, shape (symbolic.values,)
        Less the elements of the matrix: ``up`` those in the column of the earlier place and the row of the later,
        ``down`` those in its row and the later's column. The sum of each column of the matrix is in the last row of
        ``up``, where ``down`` is 0. They become the factor.
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
                for turn in range(2):
                    values, by = (up, down) if turn == 0 else (down, up)
                    add_columns(values, by, inverse, room, d_at, d_height, d_width, _whole(column[d]), a, some)
                    for i in range(some):
                        into = at + (_whole(rows[d_top + a + i]) - first) * height
                        give = i * d_height
                        for b in range(a + i + 1, d_height):
                            values[into + where[rows[d_top + b]]] += room[give + b]
            if high < d_height - 1:
                wait(column, rows, waiting, later, reached, d, d_top, high)
        width = last - first
        for i in range(width):
            k = at + i * height
            if i:
                for turn in range(2):
                    values, by = (up, down) if turn == 0 else (down, up)
                    add_columns(values, by, inverse, room, at, height, i, first, i, 1)
                    for b in range(i + 1, height):
                        values[k + b] += room[b]
            total = 0.0
            for b in range(i + 1, height):
                total += up[k + b]
            inverse[first + i] = 1.0 / total
        if width < height - 1:
            wait(column, rows, waiting, later, reached, s, top, width)


@_inner
def wait(
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
def add_columns(
    values: Floats,
    by: Floats,
    inverse: Floats,
    room: Floats,
    at: int,
    height: int,
    width: int,
    column: int,
    a: int,
    some: int,
) -> None:
    """Sum what the columns of a supernode add to up to four columns (those of its rows a, a + 1, ...) into ``room``.

    Each entry of ``values`` is multiplied by that of ``by`` in row a, a + 1, ...; they are the same if the matrix is
    symmetric.
    """
    factor = 4 * height
    for k in range(width):
        for i in range(some):
            room[factor + 4 * k + i] = by[at + k * height + a + i] * inverse[column + k]
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
def solve_both_into(
    column: Indices,
    begin: Indices,
    rows: Indices,
    value: Indices,
    up: Floats,
    down: Floats,
    inverse: Floats,
    room: Floats,
    active: int,
    solution: Floats,
) -> None:
    """Solve for the first ``active`` places; those after them are held at 0.

    Parameters
    ----------
    column, begin, rows, value, up, down, inverse, room : ndarray
        As in `factor_both_into`, which has been called.
    active : int
    solution : ndarray, shape (nodes,)
        Right side; becomes the solution.
    """  # fmt: skip
    supernodes = len(column) - 1
    for s in range(supernodes):
        first, width = _whole(column[s]), _whole(column[s + 1]) - _whole(column[s])
        top, height, at = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s]), _whole(value[s])
        some = min(width, active - first)
        if some <= 0:
            break
        x = room[: height - 1]
        for b in range(width):
            x[b] = solution[first + b]
        x[width:] = 0.0
        for i in range(some):
            u = up[at + i * height : at + (i + 1) * height]
            f = x[i] * inverse[first + i]
            for b in range(i + 1, height - 1):
                x[b] += f * u[b]
        for b in range(width):
            solution[first + b] = x[b]
        for b in range(width, height - 1):
            solution[rows[top + b]] += x[b]
    solution[active:] = 0.0
    for t in range(supernodes):
        s = supernodes - 1 - t
        first, width = _whole(column[s]), _whole(column[s + 1]) - _whole(column[s])
        top, height, at = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s]), _whole(value[s])
        some = min(width, active - first)
        if some <= 0:
            continue
        x = room[: height - 1]
        for b in range(height - 1):
            x[b] = solution[rows[top + b]]
        for m in range(some):
            i = some - 1 - m
            u = down[at + i * height : at + (i + 1) * height]
            x[i] = (x[i] + dot(u, x, i + 1, height - 1)) * inverse[first + i]
            solution[first + i] = x[i]


@_sums
def dot(a: Floats, b: Floats, low: int, high: int) -> float:
    """Return the sum of products of entries ``low`` to ``high - 1``."""
    total = 0.0
    for i in range(low, high):
        total += a[i] * b[i]
    return total


for _kernel in (factor_both_into, solve_both_into):
    recompile_with(_kernel, "inmateria.simulators.vector_lanes")
