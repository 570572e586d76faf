"""Dense blocks of a factorisation: eliminate the columns of one supernode, and what they leave among its other rows.

The blocks are small beside a library's; they are kept in registers by sixteen rows and eight columns, where the
processor has 32 wide registers, or two columns.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.core.codegen import get_host_cpu_features

from inmateria.simulators.vector_lanes import LANES, load_run, splat, store_run

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

PANEL = 8
"""Columns of a block."""

_unsigned: Any = np.uint64  # no test for negative indices, without which loops are vectorised

_MANY_REGISTERS = "+avx512f" in get_host_cpu_features()

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_sums = numba.njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True)


@_sums
def sum_of(values: Floats, first: int, count: int) -> float:
    """Return the sum of a run of entries."""
    begin, total = _unsigned(first), 0.0
    for b in range(_unsigned(count)):
        total += values[begin + b]
    return total


@_inner
def add_run(to: Floats, into: int, give: Floats, first: int, count: int) -> None:
    """Add a run of entries to another."""
    a, u = _unsigned(into), _unsigned(first)
    for b in range(_unsigned(count)):
        to[a + b] += give[u + b]


@_inner
def add_scaled(to: Floats, into: int, factor: float, give: Floats, first: int, count: int) -> None:
    """Add a multiple of a run of entries to another."""
    a, u = _unsigned(into), _unsigned(first)
    for b in range(_unsigned(count)):
        to[a + b] += factor * give[u + b]


@_inner
def add_four(
    values: Floats, into: int, f0: float, f1: float, f2: float, f3: float, first: int, step: int, count: int
) -> None:
    """Add multiples of four runs of entries, each ``step`` after the one before, to another."""
    a, u0, d = _unsigned(into), _unsigned(first), _unsigned(step)
    u1 = u0 + d
    u2 = u1 + d
    u3 = u2 + d
    for b in range(_unsigned(count)):
        values[a + b] += f0 * values[u0 + b] + f1 * values[u1 + b] + f2 * values[u2 + b] + f3 * values[u3 + b]


@_inner
def add_spread(to: Floats, into: int, local: Indices, give: Floats, first: int, low: int, count: int) -> None:
    """Add entries ``low`` to ``count - 1`` of a run to places that are listed."""
    a, u = _unsigned(into), _unsigned(first)
    for b in range(_unsigned(low), _unsigned(count)):
        to[a + local[b]] += give[u + b]


@_inner
def eliminate_columns(
    values: Floats, at: int, height: int, width: int, inverse: Floats, first: int, room: Floats
) -> None:
    """Eliminate the columns of a supernode, to which all earlier ones have been added.

    Parameters
    ----------
    values : ndarray
        Column after column from ``at`` on, each with ``height`` rows, the first ``width`` of which are the columns' own.
    inverse : ndarray
        Becomes the inverse of the diagonal, from ``first`` on.
    room : ndarray, shape (PANEL * (height + width),)
        Scratch.
    """  # fmt: skip
    for low in range(0, width, PANEL):
        high = min(low + PANEL, width)
        if low > 0:
            _add_earlier(values, at, height, low, high, inverse, first, room)
        half = min(low + PANEL // 2, high)
        _eliminate_few(values, at, height, low, half, inverse, first)
        if half < high:  # four columns are added at once, so that what they change is loaded and stored once
            k = at + low * height
            for j in range(half, high):
                f0 = values[k + j] * inverse[first + low]
                f1 = values[k + height + j] * inverse[first + low + 1]
                f2 = values[k + 2 * height + j] * inverse[first + low + 2]
                f3 = values[k + 3 * height + j] * inverse[first + low + 3]
                into = at + j * height
                add_four(values, into + j + 1, f0, f1, f2, f3, k + j + 1, height, height - j - 1)
            _eliminate_few(values, at, height, half, high, inverse, first)


@_inner
def _eliminate_few(values: Floats, at: int, height: int, low: int, high: int, inverse: Floats, first: int) -> None:
    """Eliminate columns ``low`` to ``high - 1``, one after another."""
    for i in range(low, high):
        k = at + i * height
        inverse[first + i] = 1.0 / sum_of(values, k + i + 1, height - i - 1)
        for j in range(i + 1, high):
            factor, into = values[k + j] * inverse[first + i], at + j * height
            add_scaled(values, into + j + 1, factor, values, k + j + 1, height - j - 1)


@_inner
def _add_earlier(
    values: Floats, at: int, height: int, low: int, high: int, inverse: Floats, first: int, room: Floats
) -> None:
    """Add what the first ``low`` columns of a supernode change in its columns ``low`` to ``high - 1``."""
    factors = PANEL * height
    some = high - low
    for k in range(low):
        for i in range(some):
            room[factors + PANEL * k + i] = values[at + k * height + low + i] * inverse[first + k]
        for i in range(some, PANEL):
            room[factors + PANEL * k + i] = 0.0
    if height - low < LANES:
        for i in range(some):
            into = at + (low + i) * height
            for k in range(low):
                factor = room[factors + PANEL * k + i]
                below = low + i + 1
                add_scaled(values, into + below, factor, values, at + k * height + below, height - below)
        return
    b = low
    while b < height:
        b = min(b, height - LANES)  # the last block may repeat some rows of the one before
        multiply(values, at + b, height, room, factors, low, room, b, height, some)
        b += LANES
    for i in range(some):
        into, give = at + (low + i) * height, i * height
        add_run(values, into + low + i + 1, room, give + low + i + 1, height - low - i - 1)


@_inner
def multiply(
    left: Floats, at: int, stride: int, factors: Floats, begin: int, depth: int, out: Floats, to: int, step: int, some: int
) -> None:  # fmt: skip
    """Set a block of sixteen rows and the first ``some`` of eight columns to a sum of ``depth`` outer products."""
    if _MANY_REGISTERS:
        x0, x1, x2, x3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        x4, x5, x6, x7 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        f = begin
        for k in range(depth):
            u = load_run(left, at + k * stride)
            x0 = x0 + splat(factors[f]) * u
            x1 = x1 + splat(factors[f + 1]) * u
            x2 = x2 + splat(factors[f + 2]) * u
            x3 = x3 + splat(factors[f + 3]) * u
            x4 = x4 + splat(factors[f + 4]) * u
            x5 = x5 + splat(factors[f + 5]) * u
            x6 = x6 + splat(factors[f + 6]) * u
            x7 = x7 + splat(factors[f + 7]) * u
            f += PANEL
        store_run(out, to, x0)
        if some > 1:
            store_run(out, to + step, x1)
        if some > 2:
            store_run(out, to + 2 * step, x2)
        if some > 3:
            store_run(out, to + 3 * step, x3)
        if some > 4:
            store_run(out, to + 4 * step, x4)
        if some > 5:
            store_run(out, to + 5 * step, x5)
        if some > 6:
            store_run(out, to + 6 * step, x6)
        if some > 7:
            store_run(out, to + 7 * step, x7)
        return
    for i in range(0, some, 2):
        x0, x1 = splat(0.0), splat(0.0)
        f = begin + i
        for k in range(depth):
            u = load_run(left, at + k * stride)
            x0 = x0 + splat(factors[f]) * u
            x1 = x1 + splat(factors[f + 1]) * u
            f += PANEL
        store_run(out, to + i * step, x0)
        if i + 1 < some:
            store_run(out, to + (i + 1) * step, x1)


@_inner
def leave(
    values: Floats, at: int, height: int, width: int, inverse: Floats, first: int, out: Floats, to: int, step: int,
    added: bool, room: Floats,
) -> None:  # fmt: skip
    """Compute what eliminated columns leave among the rows below, the last of which is the ground.

    Parameters
    ----------
    values, at, height, width, inverse, first
        As `eliminate_columns` leaves them.
    out, to, step
        Becomes, column after column from ``to`` on, each ``step`` after the one before, what they leave below the
        diagonal; other rows up to ``step`` are overwritten, too.
    added : bool
        Whether it is added to what is there.
    room : ndarray
        Scratch, `leave_room`.
    """
    below = height - width
    if below < LANES:
        for j in range(below - 1):
            into = to + j * step
            if not added:
                for b in range(j + 1, below):
                    out[into + b] = 0.0
            for k in range(width):
                u = at + k * height + width
                factor = values[u + j] * inverse[first + k]
                add_scaled(out, into + j + 1, factor, values, u + j + 1, below - j - 1)
        return
    blocks = (below + LANES - 1) // LANES
    packed = blocks * width * LANES
    for block in range(blocks):
        row = block * LANES
        for k in range(width):
            u, p = at + k * height + width + row, (block * width + k) * LANES
            if row + LANES <= below:
                store_run(room, p, load_run(values, u))
            else:
                for b in range(LANES):
                    room[p + b] = values[u + b] if row + b < below else 0.0
    sums = packed + PANEL * width
    for j in range(0, below - 1, PANEL):
        some = min(PANEL, below - 1 - j)
        block, row = j // LANES, j % LANES
        for k in range(width):
            p, f = (block * width + k) * LANES + row, packed + PANEL * k
            scale = inverse[first + k]
            for i in range(PANEL):
                room[f + i] = room[p + i] * scale
        for b in range(block, blocks):
            into = to + j * step + b * LANES
            if added:
                multiply(room, b * width * LANES, LANES, room, packed, width, room, sums, LANES, some)
                for i in range(some):
                    store_run(out, into + i * step, load_run(out, into + i * step) + load_run(room, sums + i * LANES))
            else:
                multiply(room, b * width * LANES, LANES, room, packed, width, out, into, step, some)


@_inner
def leave_room(below: int, width: int) -> int:
    """Return the number of float64 of scratch that `leave` needs for a supernode."""
    return ((below + LANES - 1) // LANES * LANES + PANEL) * width + PANEL * LANES


@_inner
def padded(below: int) -> int:
    """Return the rows between two columns of what a supernode leaves: whole vectors, unless they are few."""
    return below if below < LANES else (below + LANES - 1) // LANES * LANES
