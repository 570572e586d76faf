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
from inmateria.simulators.contrastive.edges import EXPONENTIAL, LINEAR, MOSFET
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.sparse_ldl import factor_both_into, solve_both_into

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

PLAIN, MOST = 40, 600
"""Iterations without damping, and all."""

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
    sizes = (edges, edges, edges, nodes, nodes, entries, entries, n, n, n, n, n, plan.room)
    scratch: list[Any] = [np.zeros(size) for size in sizes]
    scratch.append(np.zeros(plan.marks, dtype=np.uint32))
    return Work(*scratch)


@inner
def evaluate(plan: Plan, law: Law, voltage: Floats, work: Work) -> None:
    """Compute every edge's current and derivatives at given voltages."""
    c, setting, factor = law.constants, law.setting, law.factor
    first, second = plan.first, plan.second
    current, forward, backward = work.current, work.forward, work.backward
    if law.kind == LINEAR:
        for j in range(len(first)):
            g = setting[j] * factor[j]
            current[j] = g * (voltage[first[j]] - voltage[second[j]])
            forward[j] = g
            backward[j] = g
    elif law.kind == MOSFET:
        gain, offset, gamma, potential, modulation, off = c[0], c[1], c[2], c[3], c[4], c[5]
        threshold, slope = work.threshold, work.slope
        at_ground = math.sqrt(potential)
        for k in range(len(voltage)):
            v = voltage[k]
            if v >= 0:
                root = math.sqrt(potential + v)
                threshold[k] = offset + gamma * root + v
                slope[k] = 1.0 + 0.5 * gamma / root
            else:
                root = max(at_ground + 0.5 * v / at_ground, 0.0)
                threshold[k] = offset + gamma * root + v
                slope[k] = 1.0 + (0.5 * gamma / at_ground if root > 0 else 0.0)
        for j in range(len(first)):
            a, b = first[j], second[j]
            difference = voltage[a] - voltage[b]
            drop = abs(difference)
            positive = difference >= 0
            th = threshold[b] if positive else threshold[a]
            sl = slope[b] if positive else slope[a]
            v = max(setting[j] - th, 0.0)
            u = min(drop, v)
            strength = gain * factor[j]
            core = u * (v - 0.5 * u)
            scaled = strength * (1.0 + modulation * drop)
            flow = scaled * core + off * factor[j] * drop
            to_drain = scaled * (v - u) + strength * modulation * core + off * factor[j]
            to_source = scaled * u * sl + to_drain
            current[j] = flow if positive else -flow
            forward[j] = to_drain if positive else to_source
            backward[j] = to_source if positive else to_drain
    else:
        saturation, inverse, off = c[0], c[1], c[2]
        direction = plan.direction
        for j in range(len(first)):
            size = saturation * setting[j] * factor[j]
            leak = off * factor[j]
            x = direction[j] * (voltage[first[j]] - voltage[second[j]]) * inverse
            i, g = junction(x)
            if law.kind == EXPONENTIAL:
                current[j] = direction[j] * (size * i + leak * x / inverse)
                g = size * g * inverse + leak
            else:
                back, h = junction(-x)
                current[j] = direction[j] * (size * (i - back) + 2.0 * leak * x / inverse)
                g = size * (g + h) * inverse + 2.0 * leak
            forward[j] = g
            backward[j] = g


@inner
def junction(x: float) -> Any:
    """Return the current of a diode and its derivative; x is in thermal voltages, the current in saturation ones."""
    if x >= -3.0:
        e = math.exp(min(x, 300.0))
        return e - 1.0, e
    cube = (3.0 / (x * math.e)) ** 3
    return -1.0 - cube, 3.0 * cube / x


@inner
def content(law: Law, drop: float) -> float:
    """Return twice the co-content of an edge for a unit weight, scaled to be the square of a small voltage, V^2.

    For resistors and transistors, whose co-content is not defined, it is the square.
    """
    if law.kind == LINEAR or law.kind == MOSFET:
        return drop * drop
    x = drop * law.constants[1]
    scale = 2.0 / (law.constants[1] * law.constants[1])
    twice: float = scale * integral(x) if law.kind == EXPONENTIAL else 0.5 * scale * (integral(x) + integral(-x))
    return twice


@inner
def integral(x: float) -> float:
    """Integrate the current of `junction` from 0."""
    if x >= -3.0:
        if abs(x) < 1e-3:
            return x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x / 120.0)))
        return math.expm1(min(x, 300.0)) - x
    third = 3.0 / math.e
    return math.exp(-3.0) - 1.0 - x + 0.5 * third * third * third * (1.0 / (x * x) - 1.0 / 9.0)


@inner
def factorise(plan: Plan, active: int, nudge: float, work: Work) -> None:
    """Assemble the matrix of derivatives and eliminate the first ``active`` places, or all."""
    n = len(plan.start) - 1
    slot, border, up, down, loss = plan.slot, plan.border, work.up, work.down, work.loss
    for e in range(len(up)):
        up[e] = 0.0
        down[e] = 0.0
    for k in range(n):
        loss[k] = 0.0
    for i in range(slot.shape[0]):
        j, e = slot[i, 0], slot[i, 1]
        up[e] += work.forward[j]
        down[e] += work.backward[j]
    for i in range(len(border)):
        loss[plan.first[border[i]]] += work.forward[border[i]]
    if nudge != 0.0:
        for o in range(len(plan.plus)):
            if plan.plus[o] == plan.minus[o]:
                loss[plan.plus[o]] += nudge
            else:
                up[plan.across[o]] += nudge
                down[plan.across[o]] += nudge
    if len(plan.column):
        for k in range(n):
            up[plan.grounded[k]] += loss[k]
        factor_both_into(
            plan.column, plan.begin, plan.blocks, plan.value, up, down, work.inverse, work.room, work.marks
        )
    else:
        eliminate(plan.start, plan.rows, plan.target, active, up, down, loss, work.inverse)


@inner
def eliminate(
    start: Indices, rows: Indices, target: Indices, active: int, up: Floats, down: Floats, loss: Floats, inverse: Floats
) -> None:
    """Eliminate the first ``active`` places by the list of multiply-adds."""
    pair = numba.uint64(0)
    for k in range(active):
        low, high = numba.uint64(start[k]), numba.uint64(start[k + 1])
        total = loss[k]
        for i in range(low, high):
            total += up[i]
        share = 1.0 / total
        inverse[k] = share
        lost = loss[k] * share
        for i in range(low, high):
            loss[rows[i]] += lost * down[i]
            out, back = up[i] * share, down[i] * share
            for j in range(i + 1, high):
                e = target[pair]
                up[e] += up[j] * back
                down[e] += down[j] * out
                pair += numba.uint64(1)


@inner
def solve(plan: Plan, active: int, work: Work) -> None:
    """Solve with the factor for the first ``active`` places of ``work.change``, in place; others become 0."""
    start, rows = plan.start, plan.rows
    up, down, inverse, change = work.up, work.down, work.inverse, work.change
    if len(plan.column):
        solve_both_into(plan.column, plan.begin, plan.blocks, plan.value, up, down, inverse, work.room, active, change)
        return
    for k in range(active):
        x = change[k] * inverse[k]
        change[k] = x
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + 1])):
            change[rows[i]] += up[i] * x
    for k in range(active, len(change)):
        change[k] = 0.0
    for m in range(active):
        k = active - 1 - m
        x = 0.0
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + 1])):
            x += down[i] * change[rows[i]]
        change[k] += x * inverse[k]


@inner
def imbalance(plan: Plan, active: int, nudge: float, label: Floats, voltage: Floats, work: Work) -> float:
    """Put the current into each free place into ``work.change``; return the largest among those that are active, A."""
    n = len(plan.start) - 1
    change, current, first, second = work.change, work.current, plan.first, plan.second
    for k in range(n):
        change[k] = 0.0
    for i in range(plan.slot.shape[0]):
        j = plan.slot[i, 0]
        change[first[j]] -= current[j]
        change[second[j]] += current[j]
    for i in range(len(plan.border)):
        j = plan.border[i]
        change[first[j]] -= current[j]
    if nudge != 0.0:
        for o in range(len(plan.plus)):
            plus, minus = plan.plus[o], plan.minus[o]
            if plus == minus:
                change[plus] += nudge * (label[o] - voltage[plus])
            else:
                flow = nudge * (label[o] - voltage[plus] + voltage[minus])
                change[plus] += flow
                change[minus] -= flow
    largest = 0.0
    for k in range(active):
        if not abs(change[k]) <= largest:  # so that NaN is kept
            largest = abs(change[k])
    return largest


@inner
def unstable(active: int, nudge: float, work: Work) -> float:
    """Return -1 if a negative nudge left a conductance that is not positive, else 0."""
    if nudge < 0.0:
        for k in range(active):
            if not work.inverse[k] > 0.0:
                return -1.0
    return 0.0


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
    near: bool,
) -> float:
    """Find the voltages of the first ``active`` places, from those given; return 0, or the imbalance left, A; or -1.

    Newton's method, undamped at first; if that does not converge, again with every step halved until the
    imbalance falls. It ends when the next change is estimated to be below the tolerance from the last two; a linear
    network needs one solution. A large network keeps its factor as long as changes fall by that, and begins with the
    last one if that is of a state ``near``, which for a linear one means the same conductances. -1 is for a state that
    a negative nudge makes unstable.
    """
    change, trial, begin = work.change, work.trial, work.begin
    for k in range(active):
        begin[k] = voltage[k]
    before, left, goal, step = 0.0, math.inf, math.inf, 1.0
    blocks, damped = len(plan.column) > 0, False
    kept = near and (blocks or law.kind == LINEAR)
    for iteration in range(MOST):
        if not damped and (iteration == PLAIN or not before < 1e6):
            damped, kept = True, False
            for k in range(active):
                voltage[k] = begin[k]
        evaluate(plan, law, voltage, work)
        left = imbalance(plan, active, nudge, label, voltage, work)
        if damped and not left < goal:
            if step < 1e-15:
                break
            step *= 0.5
            for k in range(active):
                voltage[k] = begin[k] + step * trial[k]
            continue
        if not kept:
            factorise(plan, active, nudge, work)
        solve(plan, active, work)
        if damped:
            step, goal = 1.0, left * (1.0 - 1e-4)
            for k in range(active):
                begin[k] = voltage[k]
                trial[k] = change[k]
        largest = 0.0
        for k in range(active):
            voltage[k] += change[k]
            if not abs(change[k]) <= largest:
                largest = abs(change[k])
        if law.kind == LINEAR:
            return unstable(active, nudge, work) if largest < math.inf else math.inf
        ratio = largest / before if iteration else 1.0
        if kept:
            if largest <= 0.01 * tolerance or (ratio < 0.5 and largest * ratio <= 0.01 * tolerance):
                return unstable(active, nudge, work)
        elif largest <= tolerance or (ratio < 0.1 and largest * ratio * ratio <= 0.01 * tolerance):
            return unstable(active, nudge, work)
        kept = blocks and not damped and (iteration == 0 or ratio < 0.2)
        before = largest
    return left


@function
def heat(plan: Plan, law: Law, voltage: Floats, work: Work) -> float:
    """Evaluate the currents of all edges and return the power that these turn into heat, W."""
    evaluate(plan, law, voltage, work)
    power = 0.0
    for j in range(len(plan.first)):
        power += work.current[j] * (voltage[plan.first[j]] - voltage[plan.second[j]])
    return power


@outer
def operating_points(
    plan: Plan, law: Law, sources: Floats, tolerance: float, work: Work, voltage: Floats, found: Floats, left: Floats
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
    """
    n = len(plan.start) - 1
    for t in range(len(sources)):
        for i in range(sources.shape[1]):
            voltage[n + i] = sources[t, i]
        left[0] = find(plan, law, n, 0.0, sources[t], voltage, tolerance, work, t > 0 and law.kind == LINEAR)
        if left[0] != 0.0:
            return t
        for k in range(len(voltage)):
            found[t, k] = voltage[k]
    return len(sources)


recompile_with(
    operating_points,
    *(f"inmateria.simulators.{name}" for name in ("contrastive.edges", "contrastive.plan", "sparse_ldl.unsymmetric")),
)
