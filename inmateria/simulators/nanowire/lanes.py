"""The compiled step of sixteen networks of one graph at once, each in one lane of the processor's vectors.

The arithmetic is that of `kernel`. Links get the conductances of their junctions. They are
eliminated column by column, but four at a time where four columns have the same rows below (a supernode: toward the
end of the order nearly all are), so that the entries such a block changes are loaded and stored once instead of four
times. Then each junction evolves; one that changed in none of the networks keeps its conductance.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.nanowire.compiled_calls import call_evolve_lanes
from inmateria.simulators.nanowire.kernel import CONDUCTANCE, FEELS, WALK
from inmateria.simulators.nanowire.solution import unpack
from inmateria.simulators.vector_lanes import LANES, choose, load, signed, splat, store

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", nogil=True)


@numba.njit(error_model="numpy", nogil=True, cache=True)
def advance_lanes(
    plan: Indices,
    origin: Indices,
    evolve: int,
    constants: Floats,
    step: float,
    samples: int,
    drive: Floats,
    inputs: int,
    alike: bool,
    junctions: Floats,
    nodes: Floats,
    room: Indices,
    signal: Floats,
    substeps: int,
    limit: float,
    exceeded: Floats,
) -> None:
    """Run all steps of sixteen drives on sixteen networks of one model that share a graph.

    Arrays should be aligned to a line of the cache (64 bytes), or every access crosses one.

    Parameters
    ----------
    plan, step, samples
        As in `kernel.advance`.
    origin : ndarray
        `origins` of the plan.
    evolve : int
        Address of the model's function in lanes.
    constants : ndarray, shape (constants * 16,)
    drive : ndarray, shape (steps * inputs * 16,)
    alike : bool
        Whether the factors of all junctions are 1.
    junctions : ndarray, shape (6, (junctions + 1) * 16)
        The table; the conductance of the last one is 0.
    nodes : ndarray
        As in `kernel.advance`, in lanes.
    room : ndarray of uint32, shape (junctions + 1,)
        Scratch.
    signal : ndarray, shape (steps * samples * outputs * 16,)
    substeps : int
        As in `kernel.advance`.
    limit : float
        Factor by which a conductance may change in a part, 0 to allow any. Needs the row of noise as scratch.
    exceeded : ndarray, shape (16,)
        In return, the largest voltage felt by a junction that changed more, in one part of every five, V.
    """
    place, first, second, _, border, contact, start, rows, target, _, _, _, _, _, _, read, _, _ = unpack(plan)
    free = len(start) - 1
    voltage = nodes[: len(place) * LANES]
    load_of = nodes[len(place) * LANES : (len(place) + free) * LANES]
    work = nodes[(len(place) + free) * LANES :]
    conductance = junctions[CONDUCTANCE]
    # numba makes a float of the sum of a signed and an unsigned integer, so that all of these are unsigned.
    n, fixed = numba.uint64(free), numba.uint64(len(place) - free)
    zero = splat(0.0)
    before = junctions[WALK]
    if limit > 0.0:
        _copy(conductance, before)
    turn: Any = numba.uint64(0)
    at: Any = numba.uint64(0)
    for t in range(len(drive) // (inputs * LANES)):
        for i in range(inputs):
            store(voltage, n + numba.uint64(i), load(drive, numba.uint64(t * inputs + i)))
        for i in range(numba.uint64(inputs), fixed):
            store(voltage, n + i, zero)
        for part in range(numba.uint64(samples * substeps)):
            _assemble(origin, border, len(rows), load_of, conductance, voltage, work)
            _eliminate(start, rows, target, work)
            _substitute(start, rows, work, voltage)
            if part % numba.uint64(substeps) == 0:
                for i in range(len(read)):
                    store(signal, at, load(voltage, read[i]))
                    at += numba.uint64(1)
                for i in range(fixed):
                    store(signal, at + i, zero)
                for i in range(contact.shape[0]):
                    j = contact[i, 0]
                    flow = load(conductance, j) * (load(voltage, first[j]) - load(voltage, second[j]))
                    into = at + numba.uint64(contact[i, 1])
                    total = load(signal, into)
                    store(signal, into, total - flow if contact[i, 2] else total + flow)
                at += fixed
            call_evolve_lanes(evolve, constants, step / substeps, first, second, voltage, alike, junctions, room)
            if limit > 0.0:
                if turn == 0:
                    _compare(limit, first, second, voltage, junctions, exceeded)
                elif turn == 4:
                    _copy(conductance, before)
                turn = numba.uint64(0) if turn == 4 else turn + numba.uint64(1)


@_inner
def _copy(values: Floats, to: Floats) -> None:
    for i in range(len(values)):  # a slice assigned as a whole takes seconds to compile
        to[i] = values[i]


@_inner
def _compare(
    limit: float, first: Indices, second: Indices, voltage: Floats, junctions: Floats, exceeded: Floats
) -> None:
    """Note, in each lane, the largest voltage felt by a junction whose conductance changed by more than a factor."""
    conductance, before, feels = junctions[CONDUCTANCE], junctions[WALK], junctions[FEELS]
    most, zero, one = splat(limit), splat(0.0), splat(1.0)
    worst = load(exceeded, numba.uint64(0))
    for j in range(numba.uint64(len(first))):
        now, then = load(conductance, j), load(before, j)
        v = signed((load(voltage, first[j]) - load(voltage, second[j])) * load(feels, j), one)
        v = choose(now, most * then, v, choose(then, most * now, v, zero))
        worst = choose(v, worst, v, worst)
    store(exceeded, numba.uint64(0), worst)


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
def _eliminate(start: Indices, rows: Indices, target: Indices, work: Floats) -> None:
    n, entries = numba.uint64(len(start) - 1), numba.uint64(len(rows))
    toward, source, inverse = entries, entries + n, entries + n + n  # where they begin
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    unit = splat(1.0)
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


recompile_with(
    advance_lanes,
    "inmateria.simulators.nanowire.kernel",
    "inmateria.simulators.vector_lanes",
    "inmateria.simulators.nanowire.compiled_calls",
)


def origins(plan: Indices) -> Indices:
    """Return the junction of each link, then pairs (link, junction) for junctions parallel to those.

    A link that no junction makes has the number after the last.
    """
    junctions = int(plan[1])
    _, _, _, slot, _, _, _, rows, *_ = unpack.py_func(plan)
    _, once = np.unique(slot[:, 1], return_index=True)
    origin = np.full(len(rows), junctions, dtype=np.uint32)
    origin[slot[once, 1]] = slot[once, 0]
    parallel = np.delete(slot, once, axis=0)[:, ::-1]
    return np.concatenate((origin, parallel.ravel())).astype(np.uint32)
