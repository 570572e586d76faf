"""The arithmetic: factor a graph's Laplacian for given weights, and solve with it.

Eliminating a node of a network of resistors joins its neighbours pairwise (the star-mesh transform). That is one column
of LDL^T, where the diagonal is kept as the sum of its row, ground included, in place of a difference: only
positive numbers are added, multiplied and divided, so that voltages are right to rounding for any spread of weights.

The elimination is multifrontal: what the columns of a supernode leave among its other rows is a dense matrix, kept
until its parent in the tree adds it to its own: Duff and Reid, ACM Trans. Math. Softw. 9, 302 (1983).
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.sparse_ldl.fronts import (
    add_scaled,
    add_spread,
    eliminate_columns,
    front_room,
    leave,
    padded,
    product,
)
from inmateria.simulators.vector_lanes import LANES

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_ALONE, _SECOND = 1, 2  # flags: added to what its only child has left; on the second stack
_unsigned: Any = np.uint64  # no test for negative indices
_whole: Any = np.int64  # numba makes a float of the sum of a signed and an unsigned integer

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


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
    """Eliminate all nodes, supernode by supernode.

    Parameters
    ----------
    column, begin, rows, value : ndarray
        Of a `Symbolic`.
    values : ndarray, shape (symbolic.values,)
        The weights in their slots, those to the ground in the last row of each column, else 0; becomes the factor.
    inverse : ndarray, shape (nodes,)
        Becomes the inverse of the diagonal.
    room, marks : ndarray
        Scratch, `Symbolic.front_room` and `Symbolic.front_marks`.
    """  # fmt: skip
    supernodes = len(column) - 1
    n = len(inverse)
    place_fronts(column, begin, rows, n, len(room), marks)
    where = marks[: n + 1]  # of each place among the rows of the current supernode
    _, child, later, base, step, alone = _split(marks, n, supernodes)
    local = marks[n + 1 + 7 * supernodes :]
    for s in range(supernodes):
        first, width = _whole(column[s]), _whole(column[s + 1]) - _whole(column[s])
        top, height = _whole(begin[s]), _whole(begin[s + 1]) - _whole(begin[s])
        at, below = _whole(value[s]), height - width
        if child[s]:
            for i in range(height):
                where[rows[top + i]] = i
        one: Any = _whole(child[s])
        while one > 0:
            c = one - 1
            one = _whole(later[c])
            c_below = locate(column, begin, rows, where, c, local)
            give, j = _whole(base[c]), 0
            while j < c_below - 1 and _whole(local[j]) < width:
                into = at + _whole(local[j]) * height
                add_spread(values, into, local, room, give, j + 1, c_below)
                give += _whole(step[c])
                j += 1
        eliminate_columns(values, at, height, width, inverse, first, room)
        if below < 2:
            continue
        out, ahead = _whole(base[s]), _whole(step[s])
        leave(values, at, height, width, inverse, first, room, out, ahead, (alone[s] & _ALONE) > 0, room)
        one = 0 if alone[s] & _ALONE else _whole(child[s])
        while one > 0:
            c = one - 1
            one = _whole(later[c])
            c_below = locate(column, begin, rows, where, c, local)
            c_base, c_step = _whole(base[c]), _whole(step[c])
            j = 0
            while j < c_below - 1 and _whole(local[j]) < width:
                j += 1
            for b in range(j, c_below):
                local[b] -= np.uint32(width)
            for i in range(j, c_below - 1):
                into, give = out + _whole(local[i]) * ahead, c_base + i * c_step
                add_spread(room, into, local, room, give, i + 1, c_below)


@_inner
def locate(column: Indices, begin: Indices, rows: Indices, where: Indices, c: int, local: Indices) -> int:
    """Find the rows of a child that are not its own columns among those of its parent; return their number."""
    own = _whole(column[c + 1]) - _whole(column[c])
    top = _whole(begin[c]) + own
    below: int = _whole(begin[c + 1]) - top
    at = _unsigned(top)
    for b in range(_unsigned(below)):
        local[b] = where[rows[at + b]]
    return below


@_inner
def _split(marks: Indices, n: int, supernodes: int) -> Any:
    at = n + 1
    return (
        marks[at : at + supernodes],
        marks[at + supernodes : at + 2 * supernodes],
        marks[at + 2 * supernodes : at + 3 * supernodes],
        marks[at + 3 * supernodes : at + 4 * supernodes],
        marks[at + 4 * supernodes : at + 5 * supernodes],
        marks[at + 5 * supernodes : at + 6 * supernodes],
    )


@_outer
def place_fronts(column: Indices, begin: Indices, rows: Indices, n: int, size: int, marks: Indices) -> tuple[int, int]:
    """Find the parent of each supernode, and where in the scratch it leaves its matrix.

    Matrices are kept on two stacks that grow towards each other, children on the other one than their parent, so that
    a parent's is written before its children's are taken away. A child without siblings that has the same rows lends
    its place.

    Parameters
    ----------
    column, begin, rows : ndarray
        Of a `Symbolic`.
    n, size : int
        Numbers of nodes, and of float64 of scratch; 0 to find out how many are needed.
    marks : ndarray
        Becomes, for each supernode after n + 1 entries: parent, last child + 1, next child of the same parent + 1,
        place, rows between columns, flags `_ALONE` and `_SECOND`; and where its stack ended before.

    Returns
    -------
    needed, small : int
        Number of float64 of scratch, and how many of them are for single supernodes.
    """  # fmt: skip
    supernodes = len(column) - 1
    owner = marks[: n + 1]
    parent, child, later, base, step, alone = _split(marks, n, supernodes)
    start = marks[n + 1 + 6 * supernodes : n + 1 + 7 * supernodes]
    small = 0
    for s in range(supernodes):
        width, height = _whole(column[s + 1]) - _whole(column[s]), _whole(begin[s + 1]) - _whole(begin[s])
        small = max(small, front_room(height, width))
        child[s], alone[s] = 0, 0
        for i in range(width):
            owner[column[s] + i] = s
    for s in range(supernodes):
        width, height = _whole(column[s + 1]) - _whole(column[s]), _whole(begin[s + 1]) - _whole(begin[s])
        parent[s], later[s] = supernodes, 0
        if width < height - 1:
            above = _whole(owner[rows[_whole(begin[s]) + width]])
            parent[s], later[s] = above, child[above]
            child[above] = s + 1
    for t in range(supernodes):
        s = supernodes - 1 - t
        above = _whole(parent[s])
        if above < supernodes:
            rest = _whole(begin[s + 1]) - _whole(begin[s]) - _whole(column[s + 1]) + _whole(column[s])
            only = later[s] == 0 and _whole(child[above]) == s + 1
            if only and rest == _whole(begin[above + 1]) - _whole(begin[above]):
                alone[above] |= _ALONE
                alone[s] = alone[above] & _SECOND
            else:
                alone[s] = _SECOND - (alone[above] & _SECOND)
    low, high, most = small, 0, small
    for s in range(supernodes):
        width, height = _whole(column[s + 1]) - _whole(column[s]), _whole(begin[s + 1]) - _whole(begin[s])
        below, one = height - width, _whole(child[s])
        if alone[s] & _ALONE:
            c = one - 1
            step[s], start[s] = step[c], start[c]
            base[s] = _whole(base[c]) + width * (_whole(step[c]) + 1)
            continue
        step[s] = padded(below)
        # Vectors of a parent that borrows the place may reach beyond it.
        taken = (below - 1) * _whole(step[s]) + LANES if below > 1 else 0
        if alone[s] & _SECOND:
            start[s] = high
            high += taken
            base[s] = size - high
        else:
            start[s] = base[s] = low
            low += taken
        most = max(most, low + high)
        while one > 0:  # the children's are taken away, the first one last
            c = one - 1
            one = _whole(later[c])
            if alone[c] & _SECOND:
                high = _whole(start[c])
            else:
                low = _whole(start[c])
    return most, small


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
            f = x[i] * inverse[first + i]
            add_scaled(x, i + 1, f, values, at + i * height + i + 1, height - i - 2)
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
            x[i] = (x[i] + product(values, at + i * height + i + 1, x, i + 1, height - i - 2)) * inverse[first + i]
            solution[first + i] = x[i]


for _kernel in (factor_into, place_fronts, solve_into):
    recompile_with(_kernel, "inmateria.simulators.vector_lanes", "inmateria.simulators.sparse_ldl.fronts")
