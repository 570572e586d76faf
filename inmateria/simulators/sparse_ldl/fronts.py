"""Dense blocks of a factorisation: eliminate the columns of one supernode, and what they leave among its other rows.

They are multiplied in blocks of sixteen rows and eight columns that stay in registers, or of two columns where the
processor has fewer of them than AVX-512.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import processor_features
from inmateria.simulators.vector_lanes import LANES, load_run, load_same, splat, store_run

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

PANEL = 8
"""Columns of a block."""

_unsigned: Any = np.uint64  # no test for negative indices, without which loops are vectorised

_MANY_REGISTERS = "+avx512f" in processor_features()

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_sums = numba.njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True)


@_sums
def sum_of(values: Floats, first: int, count: int) -> float:
    """Return the sum of a run of entries."""
    begin, total = _unsigned(first), 0.0
    for b in range(_unsigned(count)):
        total += values[begin + b]
    return total


@_sums
def product(a: Floats, first: int, b: Floats, second: int, count: int) -> float:
    """Return the sum of products of two runs of entries."""
    u, v, total = _unsigned(first), _unsigned(second), 0.0
    for i in range(_unsigned(count)):
        total += a[u + i] * b[v + i]
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
        Column after column from ``at`` on, each with ``height`` rows, the first ``width``
        of which are the columns' own.
    inverse : ndarray
        Becomes the inverse of the diagonal, from ``first`` on.
    room : ndarray
        Scratch, `front_room`.
    """  # fmt: skip
    for low in range(0, width, PANEL):
        high = min(low + PANEL, width)
        if low > 0:
            _add_earlier(values, at, height, low, high, inverse, first, room)
        _eliminate_panel(values, at, height, low, high, inverse, first, room)


@_inner
def _add_earlier(
    values: Floats, at: int, height: int, low: int, high: int, inverse: Floats, first: int, room: Floats
) -> None:
    """Add what the first ``low`` columns of a supernode change in its columns ``low`` to ``high - 1``."""
    if height - low < LANES:
        for i in range(low, high):
            for k in range(low):
                factor, below = values[at + k * height + i] * inverse[first + k], height - i - 1
                add_scaled(values, at + i * height + i + 1, factor, values, at + k * height + i + 1, below)
        return
    factors, some = PANEL * height, high - low
    for k in range(low):  # those beyond the last column are not used
        store_run(room, factors + PANEL * k, load_run(values, at + k * height + low) * load_same(inverse, first + k))
    b = low
    while b < height:
        b = min(b, height - LANES)  # the last block may repeat some rows of the one before
        multiply(values, at + b, height, room, factors, low, room, b, height, some)
        b += LANES
    for i in range(some):
        add_run(values, at + (low + i) * height + low + i + 1, room, i * height + low + i + 1, height - low - i - 1)


@_inner
def _eliminate_panel(
    values: Floats, at: int, height: int, low: int, high: int, inverse: Floats, first: int, room: Floats
) -> None:
    """Eliminate columns ``low`` to ``high - 1`` of a supernode, with the rows below them first as their sums."""
    some, below = high - low, height - high
    for i in range(some):
        room[i] = sum_of(values, at + (low + i) * height + high, below)
    f = PANEL
    for j in range(some):
        column = at + (low + j) * height + low
        for i in range(j):
            k = at + (low + i) * height + low
            factor = values[k + j] * inverse[first + low + i]
            room[f] = factor
            f += 1
            room[j] += factor * room[i]
            for r in range(j + 1, some):
                values[column + r] += factor * values[k + r]
        total = room[j]
        for r in range(j + 1, some):
            total += values[column + r]
        inverse[first + low + j] = 1.0 / total
    k = at + low * height + high
    if below < LANES:
        f = PANEL
        for j in range(some):
            for i in range(j):
                add_scaled(values, k + j * height, room[f], values, k + i * height, below)
                f += 1
        return
    rest, kept = below % LANES, PANEL + PANEL * (PANEL - 1) // 2
    if rest:  # the last sixteen rows, some of which are in the block before, are computed before they change
        _add_within(values, k + below - LANES, height, some, room, PANEL, room, kept, LANES)
    for b in range(0, below - rest, LANES):
        _add_within(values, k + b, height, some, room, PANEL, values, k + b, height)
    if rest:
        for i in range(some):
            store_run(values, k + i * height + below - LANES, load_run(room, kept + i * LANES))


@_inner
def _add_within(
    values: Floats, at: int, height: int, some: int, factors: Floats, f: int, out: Floats, to: int, step: int
) -> None:
    """Add multiples of earlier columns to later ones, in sixteen rows of up to eight columns."""
    x0 = load_run(values, at)
    store_run(out, to, x0)
    x1, x2, x3, x4, x5, x6 = splat(0.0), splat(0.0), splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    if some > 1:
        x1 = load_run(values, at + height) + load_same(factors, f) * x0
        store_run(out, to + step, x1)
    if some > 2:
        x2 = load_run(values, at + 2 * height) + load_same(factors, f + 1) * x0 + load_same(factors, f + 2) * x1
        store_run(out, to + 2 * step, x2)
    if some > 3:
        x3 = load_run(values, at + 3 * height) + load_same(factors, f + 3) * x0 + load_same(factors, f + 4) * x1
        x3 = x3 + load_same(factors, f + 5) * x2
        store_run(out, to + 3 * step, x3)
    if some > 4:
        x4 = load_run(values, at + 4 * height) + load_same(factors, f + 6) * x0 + load_same(factors, f + 7) * x1
        x4 = x4 + load_same(factors, f + 8) * x2 + load_same(factors, f + 9) * x3
        store_run(out, to + 4 * step, x4)
    if some > 5:
        x5 = load_run(values, at + 5 * height) + load_same(factors, f + 10) * x0 + load_same(factors, f + 11) * x1
        x5 = x5 + load_same(factors, f + 12) * x2 + load_same(factors, f + 13) * x3
        x5 = x5 + load_same(factors, f + 14) * x4
        store_run(out, to + 5 * step, x5)
    if some > 6:
        x6 = load_run(values, at + 6 * height) + load_same(factors, f + 15) * x0 + load_same(factors, f + 16) * x1
        x6 = x6 + load_same(factors, f + 17) * x2 + load_same(factors, f + 18) * x3
        x6 = x6 + load_same(factors, f + 19) * x4 + load_same(factors, f + 20) * x5
        store_run(out, to + 6 * step, x6)
    if some > 7:
        x7 = load_run(values, at + 7 * height) + load_same(factors, f + 21) * x0 + load_same(factors, f + 22) * x1
        x7 = x7 + load_same(factors, f + 23) * x2 + load_same(factors, f + 24) * x3
        x7 = x7 + load_same(factors, f + 25) * x4 + load_same(factors, f + 26) * x5
        x7 = x7 + load_same(factors, f + 27) * x6
        store_run(out, to + 7 * step, x7)


@_inner
def multiply(
    left: Floats, at: int, stride: int, factors: Floats, begin: int, depth: int, out: Floats, to: int, step: int,
    some: int,
) -> None:  # fmt: skip
    """Set a block of sixteen rows and the first ``some`` of eight columns to a sum of ``depth`` outer products."""
    if _MANY_REGISTERS:
        x0, x1, x2, x3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        x4, x5, x6, x7 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        f = begin
        for k in range(depth):
            u = load_run(left, at + k * stride)
            x0 = x0 + load_same(factors, f) * u
            x1 = x1 + load_same(factors, f + 1) * u
            x2 = x2 + load_same(factors, f + 2) * u
            x3 = x3 + load_same(factors, f + 3) * u
            x4 = x4 + load_same(factors, f + 4) * u
            x5 = x5 + load_same(factors, f + 5) * u
            x6 = x6 + load_same(factors, f + 6) * u
            x7 = x7 + load_same(factors, f + 7) * u
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
            x0 = x0 + load_same(factors, f) * u
            x1 = x1 + load_same(factors, f + 1) * u
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
        Scratch, `front_room`.
    """
    below, corner = height - width, at + width
    # A vector may reach into the next column, and what comes of it into rows that are not used.
    inside = at + width * height + LANES <= len(values)
    if below < LANES and not inside:
        for j in range(below - 1):
            a = to + j * step
            for b in range(j + 1, j + 1 if added else below):
                out[a + b] = 0.0
            for k in range(width):
                u = corner + k * height
                add_scaled(out, a + j + 1, values[u + j] * inverse[first + k], values, u + j + 1, below - j - 1)
        return
    blocks = (below + LANES - 1) // LANES
    packed = blocks * width * LANES
    for block in range(blocks):
        row = block * LANES
        for k in range(width):
            u, p = corner + k * height + row, (block * width + k) * LANES
            if inside or row + LANES <= below:
                store_run(room, p, load_run(values, u))
            else:
                for b in range(below - row):
                    room[p + b] = values[u + b]
                for b in range(below - row, LANES):
                    room[p + b] = 0.0
    sums = packed + PANEL * width + LANES
    for j in range(0, below - 1, PANEL):
        some = min(PANEL, below - 1 - j)
        block, row = j // LANES, j % LANES
        for k in range(width):
            scaled = load_run(room, (block * width + k) * LANES + row) * load_same(inverse, first + k)
            store_run(room, packed + PANEL * k, scaled)
        for b in range(block, blocks):
            into = to + j * step + b * LANES
            if added:
                multiply(room, b * width * LANES, LANES, room, packed, width, room, sums, LANES, some)
                for i in range(some):
                    store_run(out, into + i * step, load_run(out, into + i * step) + load_run(room, sums + i * LANES))
            else:
                multiply(room, b * width * LANES, LANES, room, packed, width, out, into, step, some)


@_inner
def front_room(height: int, width: int) -> int:
    """Return the number of float64 of scratch that a supernode needs."""
    own = PANEL * (height + width) + PANEL * (PANEL - 1) // 2 + (PANEL + 2) * LANES
    return own + ((height - width + LANES - 1) // LANES * LANES) * width + PANEL * LANES


@_inner
def padded(below: int) -> int:
    """Return the rows between two columns of what a supernode leaves: whole vectors."""
    return (below + LANES - 1) // LANES * LANES
