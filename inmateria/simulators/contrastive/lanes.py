"""Operating points of sixteen states at once, in the lanes of vectors, for small networks.

The arithmetic is that of `operating_point`, from the same source, and each lane decides as a single network does, so
that both find the same bits. Lanes that do not converge without damping are found one by one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.contrastive.edges import LINEAR, MOSFET
from inmateria.simulators.contrastive.operating_point import (
    FREE,
    NO,
    PLAIN,
    Floats,
    Law,
    Work,
    evaluate,
    factorise,
    find_damped,
    function,
    imbalance,
    keeps,
    largest_of,
    make_work,
    outer,
    reach,
    remembered,
    settled,
    solve,
)
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.numbers_or_lanes import get, put, where_above
from inmateria.simulators.vector_lanes import LANES


class Lanes(NamedTuple):
    """Scratch for sixteen lanes.

    Parameters
    ----------
    work : Work
        Of two axes.
    fresh : Work
        The same arrays, but for those of the factor.
    one, law, voltage, label
        Of a single network, for a lane that is found alone; ``law`` with room for its settings.
    state : ndarray, shape (6, 16)
        Of each lane: largest change, that before it; 1 where the factor is kept, and where the lane is sought at all;
        imbalance of one that was not found; 1 where it is still sought.
    none : ndarray, shape (1, 16)
        Zeros.
    """

    work: Work
    fresh: Work
    one: Work
    law: Law
    voltage: Floats
    label: Floats
    state: Floats
    none: Floats


LARGEST, BEFORE, KEEP, ALIVE, LEFT, TODO = range(6)


def wide(*shape: int) -> Floats:
    """Allocate zeros for lanes, shape (..., 16), at an address that is a multiple of 64."""
    count = math.prod(shape) * LANES
    room = np.zeros(count + 8)
    first = (-room.ctypes.data % 64) // 8
    return room[first : first + count].reshape(*shape, LANES)


def in_lanes(arrays: Any) -> Floats:
    """Copy sixteen arrays of a shape into lanes, shape (..., 16)."""
    made = wide(*np.shape(arrays[0]))
    made[...] = np.stack(arrays, axis=-1)
    return made


def make_lanes(plan: Plan, law: Law) -> Lanes:
    """Allocate the scratch for a plan."""
    one = make_work(plan)
    many: list[Any] = [wide(len(array)) for array in one[:-2]]
    many += [one.room, one.marks]
    work = Work(*many)
    own: dict[str, Any] = {name: wide(len(getattr(one, name))) for name in ("up", "down", "loss", "inverse")}
    fresh = work._replace(**own)
    single = law._replace(setting=np.empty_like(law.setting), factor=np.empty_like(law.factor))
    return Lanes(work, fresh, one, single, np.empty(len(plan.place)), np.empty(len(plan.plus)), wide(6), wide(1))


def near_order(inputs: Floats) -> npt.NDArray[np.int64]:
    """Return an order of samples in which neighbours are near: by the first two inputs in a grid of 64, to and fro."""
    cell = np.zeros(len(inputs), dtype=np.uint16)
    for column in inputs.T[:2]:
        low, high = column.min(), column.max()
        at = ((column - low) * (63 / max(high - low, 1e-12))).astype(np.uint16)
        cell = 64 * cell + np.where(cell % 2, 63 - at, at)
    return np.argsort(cell, kind="stable")


@function
def find_lanes(
    plan: Plan,
    single: Plan,
    law: Law,
    active: int,
    nudged: bool,
    nudge: Floats,
    label: Floats,
    voltage: Floats,
    tolerance: float,
    lanes: Lanes,
    memory: Floats,
    entry: int,
    near: Floats,
    with_factor: bool,
) -> None:
    """Find voltages as `find` does, in all lanes that are alive; `LEFT` is then 0, or the imbalance left, or -1.

    Parameters
    ----------
    plan, single : Plan
        With the directions of the edges in lanes, and with room for those of one.
    nudge, near : ndarray, shape (1, 16)
    label : ndarray, shape (outputs, 16)
    voltage : ndarray, shape (nodes, 16)
    memory : ndarray, shape (4, 16)
    entry : int
        Entry of the memory.
    with_factor : bool
        Whether the factors are of near states.
    """  # fmt: skip
    work, fresh, state = lanes.work, lanes.fresh, lanes.state
    n, change = len(plan.start) - 1, lanes.work.change
    for k in range(active):
        put(work.begin, k, get(voltage, k))
    for lane in range(LANES):
        state[BEFORE, lane] = 0.0
        state[KEEP, lane] = 1.0 if with_factor else 0.0
        state[TODO, lane] = state[ALIVE, lane]
        state[LEFT, lane] = 0.0
    if law.kind == MOSFET:
        if not with_factor:
            reach(plan, law, voltage, work, n, len(plan.place))
        reach(plan, law, voltage, work, active, n)
    nudge_lanes = get(nudge, 0)
    for iteration in range(PLAIN):
        if law.kind == MOSFET:
            reach(plan, law, voltage, work, 0, active)
        evaluate(plan, law, voltage, work)
        imbalance(plan, active, nudged, nudge_lanes, label, voltage, work)
        new, kept = 0, 0
        for lane in range(LANES):
            if state[TODO, lane] > 0.0 and state[KEEP, lane] == 0.0:
                new += 1
            elif state[ALIVE, lane] > 0.0:
                kept += 1
        if new and not kept:
            factorise(plan, active, nudged, nudge_lanes, work)
        elif new:
            factorise(plan, active, nudged, nudge_lanes, fresh)
            for lane in range(LANES):
                state[LARGEST, lane] = 1.0 if state[TODO, lane] > 0.0 and state[KEEP, lane] == 0.0 else 0.0
            chosen = get(state, LARGEST)
            for e in range(len(work.up)):
                put(work.up, e, where_above(chosen, 0.0, get(fresh.up, e), get(work.up, e)))
                put(work.down, e, where_above(chosen, 0.0, get(fresh.down, e), get(work.down, e)))
            for k in range(n):
                put(work.inverse, k, where_above(chosen, 0.0, get(fresh.inverse, k), get(work.inverse, k)))
        solve(plan, active, work)
        put(state, LARGEST, largest_of(change, active))
        waiting = 0
        for lane in range(LANES):
            if state[TODO, lane] == 0.0:
                continue
            largest, before, keep = state[LARGEST, lane], state[BEFORE, lane], state[KEEP, lane] > 0.0
            far = near[0, lane] if with_factor else 0.0
            done = law.kind == LINEAR and largest < math.inf
            if not done:
                own = memory[:, lane]
                own[entry] = remembered(own, entry, iteration, largest, before, far)
                done = settled(iteration, keep, largest, before, own, entry, far, tolerance)
                if not done and (not largest < 1e6 or iteration == PLAIN - 1):
                    done = True
                    state[LEFT, lane] = math.inf
                keep = keeps(iteration, keep, largest, before, own, entry, far, tolerance, False)
                state[KEEP, lane] = 1.0 if keep else 0.0
                state[BEFORE, lane] = largest
            if done:
                state[TODO, lane] = 0.0
            else:
                waiting += 1
        if waiting == 0:
            break
        # A lane that is done stays where its last change was computed, which is then computed again to the same bits.
        todo = get(state, TODO)
        for k in range(active):
            v = get(voltage, k)
            put(voltage, k, where_above(todo, 0.0, v + get(change, k), v))
    for k in range(active):
        put(voltage, k, get(voltage, k) + get(change, k))
    for lane in range(LANES):
        if state[LEFT, lane] != 0.0:
            find_alone(plan, single, law, active, nudge[0, lane], label, voltage, tolerance, lanes, lane)
        if state[ALIVE, lane] > 0.0 and state[LEFT, lane] == 0.0 and nudge[0, lane] < 0.0:
            for k in range(active):
                if not work.inverse[k, lane] > 0.0:
                    state[LEFT, lane] = -1.0


@function
def find_alone(
    plan: Plan,
    single: Plan,
    law: Law,
    active: int,
    nudge: float,
    label: Floats,
    voltage: Floats,
    tolerance: float,
    lanes: Lanes,
    lane: int,
) -> None:
    """Find the voltages of one lane with damping, as `find` does when others do not converge."""
    one, many = lanes.one, lanes.work
    for j in range(len(plan.first)):
        single.direction[j] = plan.direction[j, lane]
        lanes.law.setting[j], lanes.law.factor[j] = law.setting[j, lane], law.factor[j, lane]
    for k in range(len(plan.place)):
        lanes.voltage[k] = many.begin[k, lane] if k < active else voltage[k, lane]
    for k in range(active):
        one.begin[k] = many.begin[k, lane]
    labels = lanes.label
    for o in range(len(plan.plus)):
        labels[o] = label[o, lane]
    lanes.state[LEFT, lane] = find_damped(single, lanes.law, active, nudge, labels, lanes.voltage, tolerance, one)
    for k in range(active):
        voltage[k, lane] = lanes.voltage[k]
    for j in range(len(plan.first)):
        many.current[j, lane], many.forward[j, lane] = one.current[j], one.forward[j]
        many.backward[j, lane] = one.backward[j]
    for k in range(len(plan.place)):
        many.change[k, lane] = one.change[k]
        many.threshold[k, lane], many.slope[k, lane] = one.threshold[k], one.slope[k]
    for e in range(plan.entries):
        many.up[e, lane], many.down[e, lane] = one.up[e], one.down[e]
    for k in range(len(plan.start) - 1):
        many.inverse[k, lane] = one.inverse[k]


@outer
def operating_points_in_lanes(
    plan: Plan,
    single: Plan,
    law: Law,
    sources: Floats,
    tolerance: float,
    lanes: Lanes,
    memory: Floats,
    voltage: Floats,
    sequence: npt.NDArray[np.int64],
    found: Floats,
    left: Floats,
) -> int:
    """Find free states of many voltages of the sources, sixteen at a time; return the first not found, or all.

    Parameters
    ----------
    plan, single, law
        As in `find_lanes`.
    sources : ndarray, shape (points, sources)
        V.
    memory, voltage : ndarray, shape (4, 16), (nodes, 16)
        See `find`; where to begin.
    sequence : ndarray, shape (points,)
        Order of the points, such as `near_order`; each lane takes a run of them.
    found : ndarray, shape (points, nodes)
        Voltages by place.
    left : ndarray, shape (1,)
        Imbalance of the point that was not found, A.
    """
    n, nodes, count = len(plan.start) - 1, len(plan.place), len(sources)
    run = (count + LANES - 1) // LANES
    for lane in range(LANES):
        lanes.state[ALIVE, lane] = 1.0
    for t in range(run):
        for lane in range(LANES):
            s = sequence[min(lane * run + t, count - 1)]
            for i in range(nodes - n):
                voltage[n + i, lane] = sources[s, i]
        find_lanes(
            plan, single, law, n, NO, lanes.none, lanes.none, voltage, tolerance, lanes, memory, FREE, lanes.none, NO
        )  # fmt: skip
        for lane in range(LANES):
            s = sequence[min(lane * run + t, count - 1)]
            if lanes.state[LEFT, lane] != 0.0:
                left[0] = lanes.state[LEFT, lane]
                return int(s)
            for k in range(nodes):
                found[s, k] = voltage[plan.place[k], lane]
            memory[3, lane] += 1.0
    return count


recompile_with(
    operating_points_in_lanes,
    *(
        f"inmateria.simulators.{name}"
        for name in (
            "contrastive.edges", "contrastive.operating_point", "contrastive.plan", "numbers_or_lanes", "vector_lanes",
            "sparse_ldl.unsymmetric",
        )
    ),
)  # fmt: skip
