"""Operating points: Newton's method on Kirchhoff's laws, compiled, by elimination in a planned order.

The current through an edge rises with the voltage of the node that it leaves and falls with that of the node it
enters. So, in each column of the matrix of derivatives, the diagonal is the sum of what flows to other free nodes
and to sources, and all elements off the diagonal are of one sign. The diagonal is kept as that sum: nothing is ever
subtracted, no pivoting is needed, and nodes between edges that are off are as exact as others.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from inmateria.errors import SubstrateError
from inmateria.kernel_compilation import borrowing_kernel, recompile_with
from inmateria.simulators.contrastive.edges import EXPONENTIAL, LINEAR, MOSFET, SYMMETRIC_EXPONENTIAL
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.numbers_or_lanes import exponential, fused, get, put, root, size, where_above, zero
from inmateria.simulators.sparse_ldl import factor_both_into, solve_both_into

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

FREE: Any = np.int64(0)
AWAY: Any = np.int64(1)
NO: Any = np.bool_(False)
"""Constants as arguments: for each of Python's own, numba would compile a function anew."""

PLAIN, MOST = 40, 600
"""Iterations without damping, and all."""

_SERIES = tuple(1.0 / math.factorial(k) for k in range(16))
_REVERSE = 0.5 * (3.0 / math.e) ** 3
_AT_MINUS_THREE = math.exp(-3.0) - 1.0

inner, function, outer = borrowing_kernel(forceinline=True), borrowing_kernel(), borrowing_kernel(cache=True)


class NoOperatingPoint(SubstrateError):
    """Newton's method did not find voltages at which the currents of every node add up to zero."""


class Law(NamedTuple):
    """The edges as the compiled functions take them.

    Parameters
    ----------
    kind : int
        Law of the edges, see `edges`.
    constants : ndarray
        As packed by the edges' dataclass.
    setting : ndarray, shape (edges,)
        Conductance, gate voltage or factor on the saturation current that is set.
    factor : ndarray, shape (edges,)
        Factor on each edge's current; 0 for one that is cut.
    """

    kind: int
    constants: Floats
    setting: Floats
    factor: Floats


class Work(NamedTuple):
    """Scratch of the compiled functions.

    Parameters
    ----------
    current, forward, backward : ndarray, shape (edges,)
        Current from the first place to the second; its derivative by the first voltage, and less that by the second.
    threshold, slope : ndarray, shape (nodes,)
        Gate voltage at which a transistor whose source this place is begins to conduct, and its derivative.
    up, down : ndarray, shape (entries,)
        How the current out of the later place falls with the voltage of the earlier, and the other way round.
    loss, inverse, change, trial, begin : ndarray, shape (n,)
        Sum of each column; inverse diagonal; right side and then change of the voltage; the change that is tried in
        parts; voltages before it.
    room, marks : ndarray
        Scratch of `sparse_ldl`.
    """

    current: Floats
    forward: Floats
    backward: Floats
    threshold: Floats
    slope: Floats
    up: Floats
    down: Floats
    loss: Floats
    inverse: Floats
    change: Floats
    trial: Floats
    begin: Floats
    room: Floats
    marks: Indices


def make_work(plan: Plan) -> Work:
    """Allocate the scratch for a plan."""
    edges, nodes, entries, n = len(plan.first), len(plan.place), plan.entries, len(plan.start) - 1
    sizes = (edges, edges, edges, nodes, nodes, entries, entries, n, n, nodes, n, n, plan.room)
    scratch: list[Any] = [np.zeros(size) for size in sizes]
    scratch.append(np.zeros(plan.marks, dtype=np.uint32))
    return Work(*scratch)


@inner
def reach(plan: Plan, law: Law, voltage: Floats, work: Work, low: int, high: int) -> None:
    """Compute the thresholds of transistors whose source one of the places ``low`` to ``high - 1`` is."""
    c = law.constants
    offset, gamma, potential = c[1], c[2], c[3]
    at_ground = math.sqrt(potential)
    steepness, half = 0.5 / at_ground, 0.5 * gamma
    for k in range(numba.uint64(low), numba.uint64(high)):
        v = get(voltage, k)
        above = root(potential + where_above(v, 0.0, v, 0.0))
        tangent = fused(v, steepness, at_ground)
        below = where_above(tangent, 0.0, tangent, 0.0)
        put(work.threshold, k, fused(gamma, where_above(0.0, v, below, above), offset + v))
        put(work.slope, k, 1.0 + where_above(tangent, 0.0, half / above, 0.0))


@inner
def evaluate(plan: Plan, law: Law, voltage: Floats, work: Work) -> None:
    """Compute every edge's current and derivatives at given voltages; for transistors after `reach`."""
    c, setting, factor = law.constants, law.setting, law.factor
    first, second = plan.first, plan.second
    current, forward, backward = work.current, work.forward, work.backward
    if law.kind == LINEAR:
        for j in range(len(first)):
            g = get(setting, j) * get(factor, j)
            put(current, j, g * (get(voltage, first[j]) - get(voltage, second[j])))
            put(forward, j, g)
            put(backward, j, g)
    elif law.kind == MOSFET:
        gain, modulation, off = c[0], c[4], c[5]
        threshold, slope = work.threshold, work.slope
        for j in range(len(first)):
            a, b = first[j], second[j]
            difference = get(voltage, a) - get(voltage, b)
            drop = size(difference)
            over = get(setting, j) - where_above(0.0, difference, get(threshold, a), get(threshold, b))
            v = where_above(over, 0.0, over, 0.0)
            u = where_above(v, drop, drop, v)
            strength, leak = gain * get(factor, j), off * get(factor, j)
            core = u * fused(u, -0.5, v)
            scaled = strength * fused(modulation, drop, 1.0)
            flow = fused(scaled, core, leak * drop)
            to_drain = fused(scaled, v - u, fused(strength * modulation, core, leak))
            to_source = fused(scaled * u, where_above(0.0, difference, get(slope, a), get(slope, b)), to_drain)
            put(current, j, where_above(0.0, difference, 0.0 - flow, flow))
            put(forward, j, where_above(0.0, difference, to_source, to_drain))
            put(backward, j, where_above(0.0, difference, to_drain, to_source))
    else:
        saturation, inverse, off = c[0], c[1], c[2]
        for j in range(len(first)):
            way = get(plan.direction, j)
            amount, leak = saturation * get(setting, j) * get(factor, j), off * get(factor, j)
            drop = way * (get(voltage, first[j]) - get(voltage, second[j]))
            i, g = junction(drop * inverse)
            if law.kind == SYMMETRIC_EXPONENTIAL:
                back, h = junction(0.0 - drop * inverse)
                i, g, leak = i - back, g + h, leak + leak
            put(current, j, way * fused(amount, i, leak * drop))
            g = fused(amount * inverse, g, leak)
            put(forward, j, g)
            put(backward, j, g)


@function
def junction(x: Any) -> Any:
    """Return the current of a diode and its derivative; x is in thermal voltages, the current in saturation ones."""
    ahead = where_above(x, -3.0, where_above(300.0, x, x, 300.0), -3.0)
    e = exponential(ahead)
    behind = where_above(-3.0, x, x, -3.0)
    third = (3.0 / math.e) / behind
    cube = third * third * third
    return where_above(-3.0, x, -1.0 - cube, e - 1.0), where_above(-3.0, x, 3.0 * cube / behind, e)


@inner
def add_content(law: Law, total: Any, drop: Any, sign: float) -> Any:
    """Add twice the co-content of an edge for a unit weight, scaled to be the square of a small voltage, V^2.

    For resistors and transistors, whose co-content is not defined, it is the square.
    """
    if law.kind == LINEAR or law.kind == MOSFET:
        return fused(sign * drop, drop, total)
    x = drop * law.constants[1]
    scale = sign * 2.0 / (law.constants[1] * law.constants[1])
    if law.kind == EXPONENTIAL:
        return fused(scale, integral(x), total)
    return fused(0.5 * scale, integral(x) + integral(0.0 - x), total)


@function
def integral(x: Any) -> Any:
    """Integrate the current of `junction` from 0."""
    near = where_above(0.5, size(x), x, 0.5)
    series = fused(near, _SERIES[15], _SERIES[14])
    for m in range(12):
        series = fused(near, series, _SERIES[13 - m])
    ahead = where_above(x, -3.0, where_above(300.0, x, x, 300.0), -3.0)
    behind = where_above(-3.0, x, x, -3.0)
    back = fused(_REVERSE, 1.0 / (behind * behind) - 1.0 / 9.0, _AT_MINUS_THREE - behind)
    beyond = where_above(-3.0, x, back, exponential(ahead) - 1.0 - x)
    return where_above(0.5, size(x), near * near * series, beyond)


@inner
def imbalance(plan: Plan, active: int, nudged: bool, nudge: Any, label: Floats, voltage: Floats, work: Work) -> Any:
    """Put the current into each place into ``work.change``; return the largest among those that are active, A."""
    change, current, first, second = work.change, work.current, plan.first, plan.second
    for k in range(len(plan.place)):
        put(change, k, 0.0)
    for j in range(len(first)):
        flow = get(current, j)
        put(change, first[j], get(change, first[j]) - flow)
        put(change, second[j], get(change, second[j]) + flow)
    if nudged:
        for o in range(len(plan.plus)):
            plus, minus = plan.plus[o], plan.minus[o]
            label_o = get(label, o)
            if plus == minus:
                put(change, plus, get(change, plus) + nudge * (label_o - get(voltage, plus)))
            else:
                flow = nudge * (label_o - get(voltage, plus) + get(voltage, minus))
                put(change, plus, get(change, plus) + flow)
                put(change, minus, get(change, minus) - flow)
    return largest_of(change, active)


@inner
def largest_of(values: Floats, count: int) -> Any:
    """Return the largest absolute value of the first entries; NaN if there is one."""
    largest, total = zero(values), zero(values)
    for k in range(count):
        each = size(get(values, k))
        largest = where_above(each, largest, each, largest)
        total = total + each
    return where_above(math.inf, total, largest, total)


@inner
def factorise(plan: Plan, active: int, nudged: bool, nudge: Any, work: Work) -> None:
    """Assemble and eliminate the first ``active`` places by the list of multiply-adds."""
    assemble(plan, nudged, nudge, work)
    eliminate(plan.start, plan.rows, plan.target, active, work.up, work.down, work.loss, work.inverse)


@inner
def assemble(plan: Plan, nudged: bool, nudge: Any, work: Work) -> None:
    """Add up the derivatives in the entries of the matrix."""
    n = len(plan.start) - 1
    slot, border, up, down, loss = plan.slot, plan.border, work.up, work.down, work.loss
    for e in range(len(up)):
        put(up, e, 0.0)
        put(down, e, 0.0)
    for k in range(n):
        put(loss, k, 0.0)
    for i in range(slot.shape[0]):
        j, e = slot[i, 0], slot[i, 1]
        put(up, e, get(up, e) + get(work.forward, j))
        put(down, e, get(down, e) + get(work.backward, j))
    for i in range(len(border)):
        j = border[i]
        k = plan.first[j]
        put(loss, k, get(loss, k) + get(work.forward, j))
    if nudged:
        for o in range(len(plan.plus)):
            if plan.plus[o] == plan.minus[o]:
                k = plan.plus[o]
                put(loss, k, get(loss, k) + nudge)
            else:
                e = plan.across[o]
                put(up, e, get(up, e) + nudge)
                put(down, e, get(down, e) + nudge)


@inner
def eliminate(
    start: Indices, rows: Indices, target: Indices, active: int, up: Floats, down: Floats, loss: Floats, inverse: Floats
) -> None:
    """Eliminate the first ``active`` places by the list of multiply-adds."""
    pair: Any = numba.uint64(0)
    for k in range(numba.uint64(active)):
        low, high = numba.uint64(start[k]), numba.uint64(start[k + 1])
        lost = get(loss, k)
        total = lost
        for i in range(low, high):
            total = total + get(up, i)
        share = 1.0 / total
        put(inverse, k, share)
        lost = lost * share
        for i in range(low, high):
            r = rows[i]
            put(loss, r, fused(lost, get(down, i), get(loss, r)))
            out, back = get(up, i) * share, get(down, i) * share
            for j in range(i + numba.uint64(1), high):
                e = target[pair]
                put(up, e, fused(get(up, j), back, get(up, e)))
                put(down, e, fused(get(down, j), out, get(down, e)))
                pair += numba.uint64(1)


@inner
def solve(plan: Plan, active: int, work: Work) -> None:
    """Solve with the factor for the first ``active`` places of ``work.change``, in place; others become 0."""
    start, rows = plan.start, plan.rows
    up, down, inverse, change = work.up, work.down, work.inverse, work.change
    for k in range(numba.uint64(active)):
        x = get(change, k) * get(inverse, k)
        put(change, k, x)
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + 1])):
            put(change, rows[i], fused(get(up, i), x, get(change, rows[i])))
    for k in range(numba.uint64(active), numba.uint64(len(plan.place))):
        put(change, k, 0.0)
    for m in range(active):
        last: Any = numba.uint64(active - 1 - m)
        x = get(change, last)
        total = zero(change)
        for i in range(numba.uint64(start[last]), numba.uint64(start[last + 1])):
            total = fused(get(down, i), get(change, rows[i]), total)
        put(change, last, fused(total, get(inverse, last), x))


@inner
def linearise(plan: Plan, work: Work) -> None:
    """Take every current to the voltages after the last change, of which Newton's method neglects the square."""
    current, forward, backward, change = work.current, work.forward, work.backward, work.change
    for j in range(len(plan.first)):
        here, there = get(change, plan.first[j]), get(change, plan.second[j])
        put(current, j, fused(get(forward, j), here, fused(get(backward, j), 0.0 - there, get(current, j))))


@inner
def heat(plan: Plan, voltage: Floats, work: Work) -> Any:
    """Return the power that the currents of all edges turn into heat, W, after `linearise`."""
    current, first, second = work.current, plan.first, plan.second
    one, two = zero(voltage), zero(voltage)
    for j in range(0, len(first) - 1, 2):
        i = j + 1
        one = fused(get(current, j), get(voltage, first[j]) - get(voltage, second[j]), one)
        two = fused(get(current, i), get(voltage, first[i]) - get(voltage, second[i]), two)
    if len(first) % 2:
        j = len(first) - 1
        one = fused(get(current, j), get(voltage, first[j]) - get(voltage, second[j]), one)
    return one + two


@inner
def unstable(active: int, nudge: float, work: Work) -> float:
    """Return -1 if a negative nudge left a conductance that is not positive, else 0."""
    if nudge < 0.0:
        for k in range(active):
            if not work.inverse[k] > 0.0:
                return -1.0
    return 0.0


@inner
def correct(plan: Plan, active: int, nudge: float, keep: bool, work: Work) -> None:
    """Solve for the change of the voltages, with the factor that there is if it is kept."""
    if len(plan.column):
        if not keep:
            factorise_blocks(plan, nudge, work)
        n = len(plan.start) - 1
        solve_both_into(
            plan.column, plan.begin, plan.blocks, plan.value, work.up, work.down, work.inverse, work.room, active,
            work.change[:n],
        )  # fmt: skip
        work.change[n:] = 0.0
    else:
        if not keep:
            factorise(plan, active, nudge != 0.0, nudge, work)
        solve(plan, active, work)


@function
def factorise_blocks(plan: Plan, nudge: float, work: Work) -> None:
    """Assemble and eliminate in dense blocks."""
    assemble(plan, nudge != 0.0, nudge, work)
    for k in range(len(plan.start) - 1):
        work.up[plan.grounded[k]] += work.loss[k]
    factor_both_into(
        plan.column, plan.begin, plan.blocks, plan.value, work.up, work.down, work.inverse, work.room, work.marks
    )


@function
def find(
    plan: Plan,
    law: Law,
    active: int,
    nudge: float,
    label: Floats,
    voltage: Floats,
    tolerance: float,
    work: Work,
    memory: Floats,
    state: int,
    near: float,
) -> float:
    """Find the voltages of the first ``active`` places, from those given; return 0, or the imbalance left, A; or -1.

    Newton's method; if that does not converge, again with every step halved until the imbalance falls, as in
    `find_damped`. It ends when the next change is estimated to be below the tolerance, from the last two or from what
    is remembered; a linear network needs one solution. The factor is kept as long as changes fall fast by that, and
    the last one is the first if it is of a state that is ``near``, so many volts away; for a linear network that means
    the same conductances, and 0 that there is none. Currents are left as they were before the last change, see
    `linearise`. -1 is for a state that a negative nudge makes unstable.

    Parameters
    ----------
    memory : ndarray, shape (4,)
        For up to three states, how much larger the second change is than the square of the first, or than the first
        times ``near``, 1/V; infinite at first. Last, the number of points.
    state : int
        Entry of the memory.
    """
    begin, change = work.begin, work.change
    for k in range(active):
        begin[k] = voltage[k]
    before, keep = 0.0, near > 0.0
    blocks = len(plan.column) > 0
    if law.kind == MOSFET:
        if not keep:
            reach(plan, law, voltage, work, len(plan.start) - 1, len(plan.place))
        reach(plan, law, voltage, work, active, len(plan.start) - 1)
    for iteration in range(PLAIN):
        if law.kind == MOSFET:
            reach(plan, law, voltage, work, 0, active)
        evaluate(plan, law, voltage, work)
        imbalance(plan, active, nudge != 0.0, nudge, label, voltage, work)
        correct(plan, active, nudge, keep, work)
        largest = largest_of(change, active)
        for k in range(active):
            voltage[k] += change[k]
        if law.kind == LINEAR and largest < math.inf:
            return unstable(active, nudge, work)
        memory[state] = remembered(memory, state, iteration, largest, before, near)
        if settled(iteration, keep, largest, before, memory, state, near, tolerance):
            return unstable(active, nudge, work)
        if not largest < 1e6:
            break
        keep = keeps(iteration, keep, largest, before, memory, state, near, tolerance, blocks)
        before = largest
    for k in range(active):
        voltage[k] = begin[k]
    left = find_damped(plan, law, active, nudge, label, voltage, tolerance, work)
    return left if left != 0.0 else unstable(active, nudge, work)


@inner
def remembered(memory: Floats, state: int, iteration: int, largest: float, before: float, near: float) -> float:
    """Return how the second change depends on the first, from this iteration if it is the second, or as before."""
    known: float = memory[state]
    scale = near if near > 0.0 else before
    if iteration == 1 and before * scale > 1e-16 and scale > 1e-9:
        measured = largest / (before * scale)
        known = max(measured, 0.9 * known) if known < math.inf else measured
    return known


@inner
def settled(
    iteration: int, kept: bool, largest: float, before: float, memory: Floats, state: int, near: float, tolerance: float
) -> bool:
    """Decide whether the next change will be below the tolerance, with a margin of a hundred.

    Of the first iteration that is known only from earlier points, and measured again at one of sixteen.
    """
    goal = 0.01 * tolerance
    if kept:
        rate = largest / before if iteration else memory[state] * near
        known = rate < 0.5 and (iteration > 0 or memory[3] % 16.0 != 0.0)
        return largest <= goal or (known and largest * rate <= goal)
    curvature = memory[0] if near > 0.0 else memory[state]
    if (iteration or memory[3] % 16.0 != 0.0) and curvature * largest < 0.1 and curvature * largest * largest <= goal:
        return True
    rate = largest / before if iteration else 1.0
    return largest <= tolerance or (rate < 0.1 and largest * rate * rate <= goal)


@inner
def keeps(
    iteration: int,
    kept: bool,
    largest: float,
    before: float,
    memory: Floats,
    state: int,
    near: float,
    tolerance: float,
    blocks: bool,
) -> bool:
    """Decide whether the next solution may have the same factor: where that will be the last, or blocks are large."""
    if blocks:
        return largest < 0.2 * before if iteration else True
    if kept:
        rate = largest / before if iteration else memory[state] * near
    else:
        rate = (memory[0] if near > 0.0 else memory[state]) * largest
    return largest * rate * rate <= 0.01 * tolerance


@function
def find_damped(
    plan: Plan, law: Law, active: int, nudge: float, label: Floats, voltage: Floats, tolerance: float, work: Work
) -> float:
    """Find voltages as `find` does, with a new factor at each change, which is halved until the imbalance falls."""
    change, trial, begin = work.change, work.trial, work.begin
    before, left, start, step = 0.0, math.inf, math.inf, 1.0
    for _ in range(MOST):
        if law.kind == MOSFET:
            reach(plan, law, voltage, work, 0, len(plan.place))
        evaluate(plan, law, voltage, work)
        left = imbalance(plan, active, nudge != 0.0, nudge, label, voltage, work)
        if not left < (start * (1.0 - 1e-4 * step) if start < math.inf else start):
            if step < 1e-15:
                break
            step *= 0.5
            for k in range(active):
                voltage[k] = begin[k] + step * trial[k]
            continue
        correct(plan, active, nudge, False, work)
        step, start = 1.0, left
        largest = largest_of(change, active)
        for k in range(active):
            begin[k] = voltage[k]
            trial[k] = change[k]
            voltage[k] += change[k]
        ratio = largest / before if before > 0.0 else 1.0
        if largest <= tolerance or (ratio < 0.1 and largest * ratio * ratio <= 0.01 * tolerance):
            return 0.0
        before = largest
    return left


@outer
def operating_points(
    plan: Plan,
    law: Law,
    sources: Floats,
    tolerance: float,
    work: Work,
    voltage: Floats,
    found: Floats,
    left: Floats,
    memory: Floats,
) -> int:
    """Find free states of many voltages of the sources, each from the one before; return how many were found.

    Parameters
    ----------
    sources : ndarray, shape (points, sources)
        V.
    voltage : ndarray, shape (nodes,)
        By place; where to begin.
    found : ndarray, shape (points, nodes)
        Voltages by place.
    left : ndarray, shape (1,)
        Imbalance of the point that was not found, A.
    memory : ndarray, shape (4,)
        See `find`.
    """
    n = len(plan.start) - 1
    for t in range(len(sources)):
        for i in range(sources.shape[1]):
            voltage[n + i] = sources[t, i]
        near = 1.0 if t > 0 and law.kind == LINEAR else 0.0
        left[0] = find(plan, law, n, 0.0, sources[t], voltage, tolerance, work, memory, FREE, near)
        memory[3] += 1.0
        if left[0] != 0.0:
            return t
        for k in range(len(voltage)):
            found[t, k] = voltage[k]
    return len(sources)


recompile_with(
    operating_points,
    *(f"inmateria.simulators.{name}" for name in ("contrastive.edges", "contrastive.plan", "sparse_ldl.unsymmetric")),
)
