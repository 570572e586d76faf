"""The voltages of a network by a plan of its elimination: eliminate and solve, or solve again with what was eliminated.

All arithmetic is additions, multiplications and divisions of positive numbers, so that voltages stay exact to rounding
for any spread of conductances. Its arrays are described in `elimination`.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import borrowing_kernel
from inmateria.simulators.nanowire.long_columns import are_four, eliminate_four, eliminate_long
from inmateria.simulators.nanowire.short_columns import SHORT, eliminate_short
from inmateria.simulators.sparse_ldl import factor_into, solve_into

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_borrowing = borrowing_kernel()
_inlined = borrowing_kernel(forceinline=True)
_in_place = numba.njit(inline="always")  # of a function that returns arrays: see `borrowing_kernel`


@_in_place
def unpack(plan: Indices) -> Any:
    """Return the arrays of a packed `Elimination`, the places to be read, and the arguments of ``packed``."""
    at0 = 18
    at1 = at0 + int(plan[0])
    at2 = at1 + int(plan[1])
    at3 = at2 + int(plan[2])
    at4 = at3 + 2 * int(plan[3])
    at5 = at4 + 3 * int(plan[4])
    at6 = at5 + 3 * int(plan[5])
    at7 = at6 + int(plan[6])
    at8 = at7 + int(plan[7])
    at9 = at8 + int(plan[8])
    at10 = at9 + int(plan[9])
    at11 = at10 + int(plan[10])
    at12 = at11 + int(plan[11])
    at13 = at12 + int(plan[12])
    at14 = at13 + int(plan[13])
    at15 = at14 + int(plan[14])
    at16 = at15 + int(plan[15])
    at17 = at16 + int(plan[16])
    return (
        plan[at0:at1],
        plan[at1:at2],
        plan[at2:at3],
        plan[at3:at4].reshape(-1, 2),
        plan[at4:at5].reshape(-1, 3),
        plan[at5:at6].reshape(-1, 3),
        plan[at6:at7],
        plan[at7:at8],
        plan[at8:at9],
        plan[at9:at10],
        plan[at10:at11],
        plan[at11:at12],
        plan[at12:at13],
        plan[at13:at14],
        plan[at14:at15],
        plan[at15:at16],
        plan[at16:at17],
        plan[at17:],
    )


@_inner
def unchanged(conductance: Floats, nodes: Floats) -> bool:
    """Whether all conductances are, to the bit, what they were at the last call that is remembered.

    After a change seven calls pass before one is remembered, so that a network that changes at every step has next to
    no cost. The answer depends on the calls before, and what is solved does not: it is the same to the bit.

    Parameters
    ----------
    nodes : ndarray
        As in `kernel.advance`; the last part is what is remembered, and calls until the next is.
    """
    count = len(conductance)
    end = len(nodes) - 1
    before = nodes[end - count : end]
    if nodes[end] > 0.0:
        nodes[end] -= 1.0
        if nodes[end] == 0.0:
            for j in range(count):
                before[j] = conductance[j]
        return False
    for low in range(0, count, 64):  # a loop that may end at any junction is not vectorised
        differing = 0
        for j in range(low, min(low + 64, count)):
            differing += 1 if conductance[j] != before[j] else 0
        if differing:
            nodes[end] = 8.0
            return False
    return True


@_borrowing
def drive_again(
    border: Indices, start: Indices, rows: Indices, conductance: Floats, work: Floats, voltage: Floats
) -> None:
    """Find the voltage of every free place after `solve`, for other voltages of fixed places."""
    free = voltage[: len(start) - 1]
    for k in range(len(free)):
        free[k] = 0.0
    for i in range(border.shape[0]):
        free[border[i, 1]] += conductance[border[i, 0]] * voltage[border[i, 2]]
    solve_again(start, rows, work, free)


@_borrowing
def solve(
    slot: Indices,
    border: Indices,
    start: Indices,
    rows: Indices,
    target: Indices,
    load: Floats,
    conductance: Floats,
    work: Floats,
    voltage: Floats,
) -> None:
    """Find the voltage of every free place by star-mesh elimination and back substitution, O(fill)."""
    n, entries = len(start) - 1, len(rows)
    one, four = numba.uint64(1), numba.uint64(4)
    link = work[:entries]  # conductance between a column's own place and each of its rows
    toward = work[entries : entries + n]  # summed conductance to fixed places
    source = work[entries + n : entries + 2 * n]  # current from them at 0 V
    inverse = work[entries + 2 * n : entries + 3 * n]
    for i in range(entries):
        link[i] = 0.0
    for i in range(n):
        toward[i] = load[i]
        source[i] = 0.0
    for i in range(slot.shape[0]):
        link[slot[i, 1]] += conductance[slot[i, 0]]
    for i in range(border.shape[0]):
        g = conductance[border[i, 0]]
        toward[border[i, 1]] += g
        source[border[i, 1]] += g * voltage[border[i, 2]]
    pair: Any = numba.uint64(0)
    low: Any = numba.uint64(0)
    k: Any = numba.uint64(0)
    while k < numba.uint64(n):
        count = numba.uint64(start[k + one]) - low
        if count <= numba.uint64(SHORT):
            eliminate_short(link, toward, source, inverse, rows, target, k, low, pair, count)
        elif are_four(start, rows, k):
            pair = eliminate_four(link, toward, source, inverse, start, rows, target, k, pair)
            k += four
            low = numba.uint64(start[k])
            continue
        else:
            eliminate_long(link, toward, source, inverse, rows, target, k, low, pair, count)
        pair += (count * (count - one)) >> one
        low += count
        k += one
    for m in range(numba.uint64(n)):
        last: Any = numba.uint64(n) - one - m
        voltage[last] = _gather(link, start, rows, voltage, last, source[last]) * inverse[last]


@_borrowing
def solve_again(start: Indices, rows: Indices, work: Floats, current: Floats) -> None:
    """Find the voltage of every free place after `solve`, in place of the current into each."""
    n, entries = len(start) - 1, len(rows)
    one = numba.uint64(1)
    link, inverse = work[:entries], work[entries + 2 * n : entries + 3 * n]
    for k in range(numba.uint64(n)):
        through = current[k] * inverse[k]
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + one])):
            current[rows[i]] += link[i] * through
    for m in range(numba.uint64(n)):
        last: Any = numba.uint64(n) - one - m
        current[last] = _gather(link, start, rows, current, last, current[last]) * inverse[last]


@_inlined
def _gather(link: Floats, start: Indices, rows: Indices, voltage: Floats, k: Any, current: float) -> float:
    """Return the current plus what comes from the rows of a column.

    There are two sums that do not wait for each other, and the first row comes last: it is the last to be solved.
    """
    one, two = numba.uint64(1), numba.uint64(2)
    low: Any = numba.uint64(start[k])
    i: Any = numba.uint64(start[k + one])
    other = 0.0
    while i > low + two:
        i -= two
        other += link[i] * voltage[rows[i]]
        current += link[i + one] * voltage[rows[i + one]]
    current += other
    while i > low:
        i -= one
        current += link[i] * voltage[rows[i]]
    return current


@_inner
def eliminate_supernodes(
    column: Indices,
    begin: Indices,
    supernode_rows: Indices,
    value: Indices,
    grounded: Indices,
    room: Indices,
    slot: Indices,
    border: Indices,
    load: Floats,
    conductance: Floats,
    work: Floats,
) -> None:
    """Eliminate every free place by `sparse_ldl`; `solve_supernodes` then solves."""
    n, size = len(grounded), np.int64(room[0])
    values, inverse = work[:size], work[size : size + n]
    scratch = work[size + n : size + n + np.int64(room[1])]
    split = len(scratch) - (np.int64(room[2]) + 1) // 2  # the last part holds indices
    values[:] = 0.0
    for k in range(n):
        values[grounded[k]] = load[k]
    for i in range(slot.shape[0]):
        values[slot[i, 1]] += conductance[slot[i, 0]]
    for i in range(border.shape[0]):
        values[grounded[border[i, 1]]] += conductance[border[i, 0]]
    factor_into(
        column, begin, supernode_rows, value, values, inverse, scratch[:split], scratch[split:].view(np.uint32),
    )  # fmt: skip


@_inner
def solve_supernodes(
    column: Indices,
    begin: Indices,
    supernode_rows: Indices,
    value: Indices,
    room: Indices,
    work: Floats,
    current: Floats,
) -> None:
    """Find the voltage of every free place after `eliminate_supernodes`, in place of the current into each."""
    n, size = len(current), np.int64(room[0])
    solve_into(
        column, begin, supernode_rows, value, work[:size], work[size : size + n],
        work[size + n : size + n + np.int64(room[1])], current,
    )  # fmt: skip
