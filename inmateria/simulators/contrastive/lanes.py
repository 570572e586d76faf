"""Free states of sixteen samples at once, in the lanes of vectors, for small networks of transistors.

The same arithmetic as in `operating_point`, without branches; arrays have sixteen numbers to an entry. Samples that
do not converge within the undamped iterations are found one by one.
"""

import math
from typing import Any

import numba

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.contrastive.operating_point import (
    PLAIN,
    Floats,
    Law,
    Work,
    find,
    function,
    make_work,
    outer,
)
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.vector_lanes import LANES, choose, load, splat, square_root, store


def make_lanes(plan: Plan) -> Work:
    """Allocate scratch for sixteen lanes; `Work.room` holds the voltages, `Work.trial` their last change."""
    one = make_work(plan)
    many: list[Any] = [array.repeat(LANES) for array in (*one[:-2], one.threshold)]
    many.append(one.marks)
    return Work(*many)


@function
def evaluate_lanes(plan: Plan, law: Law, work: Work) -> None:
    """Compute every transistor's current and derivatives."""
    c, voltage = law.constants, work.room
    zero, one, half = splat(0.0), splat(1.0), splat(0.5)
    offset, gamma, potential, modulation = splat(c[1]), splat(c[2]), splat(c[3]), splat(c[4])
    at_ground = splat(math.sqrt(c[3]))
    for k in range(len(plan.place)):
        v = load(voltage, k)
        root = square_root(choose(v, zero, potential + v, potential))
        below = at_ground + half * v / at_ground
        off = choose(below, zero, zero, one)  # 1 where the tangent has come to 0
        below = choose(below, zero, below, zero)
        root = choose(zero, v, below, root)
        steep = choose(zero, v, (one - off) * half * gamma / at_ground, half * gamma / root)
        store(work.threshold, k, offset + gamma * root + v)
        store(work.slope, k, one + steep)
    for j in range(len(plan.first)):
        a, b = plan.first[j], plan.second[j]
        difference = load(voltage, a) - load(voltage, b)
        drop = choose(difference, zero, difference, zero - difference)
        th = choose(difference, zero, load(work.threshold, b), load(work.threshold, a))
        sl = choose(difference, zero, load(work.slope, b), load(work.slope, a))
        v = splat(law.setting[j]) - th
        v = choose(v, zero, v, zero)
        u = choose(v, drop, drop, v)
        strength, leak = splat(c[0] * law.factor[j]), splat(c[5] * law.factor[j])
        core = u * (v - half * u)
        scaled = strength * (one + modulation * drop)
        flow = scaled * core + leak * drop
        to_drain = scaled * (v - u) + strength * modulation * core + leak
        to_source = scaled * u * sl + to_drain
        store(work.current, j, choose(difference, zero, flow, zero - flow))
        store(work.forward, j, choose(difference, zero, to_drain, to_source))
        store(work.backward, j, choose(difference, zero, to_source, to_drain))


@function
def change_lanes(plan: Plan, work: Work) -> None:
    """Assemble, eliminate and solve for the change of the voltages of all free places."""
    n = len(plan.start) - 1
    start, rows, target, slot, border = plan.start, plan.rows, plan.target, plan.slot, plan.border
    up, down, loss, inverse, change = work.up, work.down, work.loss, work.inverse, work.change
    zero = splat(0.0)
    for e in range(plan.entries):
        store(up, e, zero)
        store(down, e, zero)
    for k in range(n):
        store(loss, k, zero)
        store(change, k, zero)
    for i in range(slot.shape[0]):
        j, e = slot[i, 0], slot[i, 1]
        a, b, flow = plan.first[j], plan.second[j], load(work.current, j)
        store(up, e, load(up, e) + load(work.forward, j))
        store(down, e, load(down, e) + load(work.backward, j))
        store(change, a, load(change, a) - flow)
        store(change, b, load(change, b) + flow)
    for i in range(len(border)):
        j = border[i]
        a = plan.first[j]
        store(loss, a, load(loss, a) + load(work.forward, j))
        store(change, a, load(change, a) - load(work.current, j))
    pair = numba.uint64(0)
    for k in range(n):
        low, high = numba.uint64(start[k]), numba.uint64(start[k + 1])
        total = load(loss, k)
        for i in range(low, high):
            total = total + load(up, i)
        share = splat(1.0) / total
        store(inverse, k, share)
        lost, x = load(loss, k) * share, load(change, k) * share
        store(change, k, x)
        for i in range(low, high):
            r = rows[i]
            store(loss, r, load(loss, r) + lost * load(down, i))
            store(change, r, load(change, r) + load(up, i) * x)
            out, back = load(up, i) * share, load(down, i) * share
            for j in range(i + numba.uint64(1), high):
                e = target[pair]
                store(up, e, load(up, e) + load(up, j) * back)
                store(down, e, load(down, e) + load(down, j) * out)
                pair += numba.uint64(1)
    for m in range(n):
        k = n - 1 - m
        x = zero
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + 1])):
            x = x + load(down, i) * load(change, rows[i])
        store(change, k, load(change, k) + x * load(inverse, k))


@outer
def operating_points_in_lanes(
    plan: Plan,
    law: Law,
    sources: Floats,
    tolerance: float,
    lanes: Work,
    work: Work,
    voltage: Floats,
    found: Floats,
    left: Floats,
) -> int:
    """Find free states of many voltages of the sources, as `operating_points` does, sixteen at a time."""
    n, nodes = len(plan.start) - 1, len(plan.place)
    many, change = lanes.room, lanes.change
    for k in range(n):
        for lane in range(LANES):
            many[k * LANES + lane] = voltage[k]
    for first in range(0, len(sources), LANES):
        for i in range(sources.shape[1]):
            for lane in range(LANES):
                many[(n + i) * LANES + lane] = sources[min(first + lane, len(sources) - 1), i]
        last, before = lanes.trial, lanes.begin  # the largest change of each lane, and that before it
        for lane in range(LANES):
            before[lane] = 0.0
        waiting = LANES
        for iteration in range(PLAIN):
            evaluate_lanes(plan, law, lanes)
            change_lanes(plan, lanes)
            largest = splat(0.0)
            for k in range(n):
                moved = load(change, k)
                store(many, k, load(many, k) + moved)
                size = choose(moved, splat(0.0), moved, splat(0.0) - moved)
                largest = choose(largest, size, largest, size)
            store(last, 0, largest)
            waiting = 0
            for lane in range(LANES):
                ratio = last[lane] / before[lane] if iteration else 1.0
                done = last[lane] <= tolerance or (ratio < 0.1 and last[lane] * ratio * ratio <= 0.01 * tolerance)
                waiting += 0 if done else 1
                before[lane] = last[lane]
            if waiting == 0:
                break
        for lane in range(min(LANES, len(sources) - first)):
            if waiting:
                for k in range(n):
                    voltage[k] = many[k * LANES + lane] if abs(many[k * LANES + lane]) < 1e3 else 0.0
                for i in range(nodes - n):
                    voltage[n + i] = sources[first + lane, i]
                left[0] = find(plan, law, n, 0.0, sources[first], voltage, tolerance, work, False)
                if left[0] != 0.0:
                    return first + lane
                for k in range(n):
                    many[k * LANES + lane] = voltage[k]
            for k in range(nodes):
                found[first + lane, k] = many[k * LANES + lane]
    return len(sources)


recompile_with(
    operating_points_in_lanes,
    *(
        f"inmateria.simulators.{name}"
        for name in ("contrastive.operating_point", "contrastive.plan", "vector_lanes", "sparse_ldl.unsymmetric")
    ),
)
