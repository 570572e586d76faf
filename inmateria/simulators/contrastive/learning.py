"""Learning, compiled: the free state, the clamped or nudged state, and the change of every weight."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.contrastive.operating_point import (
    AWAY,
    FREE,
    Floats,
    Law,
    Work,
    add_content,
    find,
    heat,
    inner,
    linearise,
    outer,
)
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.contrastive.rules import CENTRED_NUDGE, NUDGE, SIGN, STRAIN
from inmateria.simulators.contrastive.warm_starts import WarmStarts, warm_row
from inmateria.simulators.numbers_or_lanes import fused, get, put, size, to_whole, where_above

Words = npt.NDArray[np.uint64]

ORDER, UPDATE, READING = range(3)
"""Streams of random numbers, so that reading a response and drawing an order change no update."""


class Learner(NamedTuple):
    """Weights and how they change, as the compiled functions take them.

    Parameters
    ----------
    rule : ndarray
        As packed by the rule's dataclass: kind, eta or beta, rate or step, probability of an update.
    limits : ndarray
        Lowest and highest weight, distance of levels or 0, 1 if remainders are lost, 1 if the weight is a resistance,
        factor on the weights in one interval by the leak, standard deviation of readings, interval in s.
    weight, bias, contrast, shock : ndarray, shape (edges,)
        Weights; what each edge adds to its contrast, V^2; scratch.
    held : ndarray, shape (nodes,)
        Voltages of the clamped or nudged state by place.
    random : ndarray, shape (3,)
        States of the random numbers: of the order of samples, of updates, and of noise in responses.
    tally : ndarray, shape (3,)
        Energy so far, J; sum of squared errors of outputs, V^2; imbalance where no operating point was found, A.
    """

    rule: Floats
    limits: Floats
    weight: Floats
    bias: Floats
    contrast: Floats
    shock: Floats
    held: Floats
    random: Words
    tally: Floats


@inner
def uniform(random: Words, stream: int) -> float:
    """Draw from [0, 1) with 53 bits: splitmix64, Steele, Lea and Flood (2014)."""
    random[stream] += np.uint64(0x9E3779B97F4A7C15)
    z = random[stream]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@inner
def normal(random: Words, stream: int) -> float:
    """Draw a standard normal number (Box and Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(random, stream)))
    return radius * math.cos(2.0 * math.pi * uniform(random, stream))


@inner
def nearest_level(limits: Floats, weight: Any) -> Any:
    """Return the level nearest to a weight; or the weight, if there are none."""
    low, distance = get(limits, 0), get(limits, 2)
    return where_above(distance, 0.0, fused(distance, to_whole((weight - low) / distance), low), weight)


@inner
def apply_weights(law: Law, learner: Learner, levels: bool, resistance: bool) -> None:
    """Set every edge from its weight."""
    for j in range(len(learner.weight)):
        w = get(learner.weight, j)
        if levels:
            w = nearest_level(learner.limits, w)
        put(law.setting, j, 1.0 / w if resistance else w)


@outer
def set_weights(law: Law, learner: Learner) -> None:
    """Set every edge from its weight; see `apply_weights`."""
    apply_weights(law, learner, learner.limits[2] > 0.0, learner.limits[4] > 0.0)


@inner
def learn(
    plan: Plan,
    law: Law,
    learner: Learner,
    free: Floats,
    label: Floats,
    tolerance: float,
    work: Work,
    memory: Floats,
) -> float:
    """Clamp or nudge, and change the weights; return 0, or the imbalance of a state that was not found, A.

    ``learner.held`` holds where to begin. The energy of the second state is added to the tally.
    """
    rule, held, shock, noise = learner.rule, learner.held, learner.shock, learner.limits[6]
    kind, n, noisy = int(rule[0]), len(plan.start) - 1, noise > 0.0
    for i in range(n, len(free)):
        held[i] = free[i]
    active, nudge, near, state = n, 0.0, 0.0, 1
    learner.contrast[:] = 0.0
    if kind == CENTRED_NUDGE:
        left = find(plan, law, n, -rule[1], label, held, tolerance, work, memory, AWAY, 0.0)
        if left != 0.0:
            return left
        state = 2
    if kind != STRAIN:
        shocks(learner.random, shock, noisy)
        read_drops(plan, law, learner, held if kind == CENTRED_NUDGE else free, 1.0, noisy)
    if kind in (CENTRED_NUDGE, NUDGE):
        nudge = rule[1]
    else:
        for o in range(len(label)):
            if noisy:
                shock[0] = normal(learner.random, UPDATE)
                shock[1] = shock[0] if plan.plus[o] == plan.minus[o] else normal(learner.random, UPDATE)
            near = max(near, clamp(plan, learner, free, label, o, noisy))
        active, near = plan.hidden, max(near, 1e-12)
    left = find(plan, law, active, nudge, label, held, tolerance, work, memory, state, near)
    if left != 0.0:
        return left
    shocks(learner.random, shock, noisy)
    read_drops(plan, law, learner, held, -1.0, noisy)
    linearise(plan, work)
    put(learner.tally, 0, fused(heat(plan, held, work), get(learner.limits, 7), get(learner.tally, 0)))
    partial = rule[3] < 1.0
    if partial:
        for j in range(len(shock)):
            shock[j] = uniform(learner.random, UPDATE)
    change_weights(learner, kind, learner.limits[2] > 0.0 and learner.limits[3] > 0.0, learner.limits[4] > 0.0, partial)
    return 0.0


@inner
def shocks(random: Words, shock: Floats, noisy: bool) -> None:
    """Draw a standard normal number for each edge, if noisy."""
    if noisy:
        for j in range(len(shock)):
            shock[j] = normal(random, UPDATE)


@inner
def clamp(plan: Plan, learner: Learner, free: Floats, label: Floats, o: int, noisy: bool) -> Any:
    """Put the clamped voltage of an output into ``learner.held``; return how far that is from the free one, V."""
    eta, noise, held = get(learner.rule, 1), get(learner.limits, 6), learner.held
    plus, minus = plan.plus[o], plan.minus[o]
    up, down = get(free, plus), get(free, minus)
    if noisy:
        up, down = fused(noise, get(learner.shock, 0), up), fused(noise, get(learner.shock, 1), down)
    if plus == minus:
        put(held, plus, fused(eta, get(label, o) - up, up))
        return size(get(held, plus) - get(free, plus))
    away = get(label, o) - (up - down)
    put(held, plus, fused(0.5 * eta, away, up))
    put(held, minus, fused(-0.5 * eta, away, down))
    return size(get(held, plus) - get(free, plus)) + size(get(held, minus) - get(free, minus))


@inner
def read_drops(plan: Plan, law: Law, learner: Learner, voltage: Floats, sign: float, noisy: bool) -> None:
    """Add what is read across each edge to its contrast (sign 1), or subtract it (sign -1)."""
    contrast, noise = learner.contrast, get(learner.limits, 6)
    for j in range(len(contrast)):
        drop = get(voltage, plan.first[j]) - get(voltage, plan.second[j])
        drop = get(plan.direction, j) * drop
        if noisy:
            drop = fused(noise, get(learner.shock, j), drop)
        put(contrast, j, add_content(law, get(contrast, j), drop, sign))


@inner
def change_weights(learner: Learner, kind: int, lost: bool, resistance: bool, partial: bool) -> None:
    """Change every weight by its contrast; if only in part, where ``learner.shock`` is below the probability."""
    rate, limits, weight = get(learner.rule, 2), learner.limits, learner.weight
    low, high = get(limits, 0), get(limits, 1)
    for j in range(len(weight)):
        w = get(weight, j)
        c = get(learner.contrast, j) + get(learner.bias, j)
        if kind == SIGN:
            step = where_above(0.0, c, 0.0 - rate, rate)
            new = w - step if resistance else w + step
        elif resistance:
            new = fused(0.0 - rate * c, w * w, w)
        else:
            new = fused(rate, c, w)
        new = where_above(low, new, low, new)
        new = where_above(new, high, high, new)
        if lost:
            new = where_above(get(limits, 3), 0.0, nearest_level(limits, new), new)
        if partial:
            new = where_above(get(learner.rule, 3), get(learner.shock, j), new, w)
        put(weight, j, new)


@inner
def forget(learner: Learner) -> None:
    """Let the weights leak for one interval."""
    low, decay, weight = get(learner.limits, 0), get(learner.limits, 5), learner.weight
    for j in range(len(weight)):
        w = get(weight, j) * decay
        put(weight, j, where_above(low, w, low, w))


@outer
def advance(
    plan: Plan,
    law: Law,
    learner: Learner,
    drive: Floats,
    rails: Floats,
    intervals: int,
    rate: float,
    warm: WarmStarts,
    tolerance: float,
    work: Work,
    signal: Floats,
) -> int:
    """Run all steps of a drive, each for so many intervals; return how many intervals went well.

    Parameters
    ----------
    drive : ndarray, shape (steps, inputs + outputs + 1)
        Inputs and labels, V, and the factor on the rate; 0 where the network does not learn.
    rails : ndarray
        V.
    rate : float
        Rate or step of the rule.
    warm : WarmStarts
        Where to begin, with room for all steps.
    signal : ndarray, shape (steps * intervals, nodes + sources)
        Voltages of the free state in the order of the nodes, V; current from each source, A.
    """  # fmt: skip
    n, nodes, outputs = len(plan.start) - 1, len(plan.place), len(plan.plus)
    inputs = nodes - n - len(rails)
    limits, tally = learner.limits, learner.tally
    row = 0
    for t in range(drive.shape[0]):
        kept = warm_row(warm, drive[t, :inputs], n)
        free, moved, memory = warm.free[kept], warm.shift[kept], warm.memory[kept]
        label = drive[t, inputs : inputs + outputs]
        factor = drive[t, inputs + outputs]
        learner.rule[2] = rate * factor
        for i in range(len(rails)):
            free[n + inputs + i] = rails[i]
        for _ in range(intervals):
            tally[2] = find(plan, law, n, 0.0, label, free, tolerance, work, memory, FREE, 0.0)
            if tally[2] != 0.0:
                return row
            linearise(plan, work)
            tally[0] = fused(heat(plan, free, work), limits[7], tally[0])
            for k in range(nodes):
                signal[row, k] = free[plan.place[k]]
            if limits[6] > 0:
                for k in range(nodes):
                    signal[row, k] += limits[6] * normal(learner.random, READING)
            for i in range(nodes, nodes + nodes - n):
                signal[row, i] = 0.0
            for j in range(len(plan.first)):
                if plan.second[j] >= n:
                    signal[row, nodes + plan.second[j] - n] -= work.current[j]
                    if plan.first[j] >= n:
                        signal[row, nodes + plan.first[j] - n] += work.current[j]
            row += 1
            if factor > 0.0:
                for k in range(n):
                    learner.held[k] = free[k] + moved[k]
                tally[2] = learn(plan, law, learner, free, label, tolerance, work, memory)
                if tally[2] != 0.0:
                    return row - 1
                for k in range(n):
                    moved[k] = learner.held[k] - free[k]
            if limits[5] < 1.0:
                forget(learner)
            if factor > 0.0 or limits[5] < 1.0:
                apply_weights(law, learner, limits[2] > 0.0, limits[4] > 0.0)
            memory[3] += 1.0
    return row


@outer
def train(
    plan: Plan,
    law: Law,
    learner: Learner,
    inputs: Floats,
    labels: Floats,
    rails: Floats,
    rates: Floats,
    shuffle: bool,
    order: npt.NDArray[np.int64],
    warm: WarmStarts,
    tolerance: float,
    work: Work,
    error: Floats,
) -> int:
    """Learn all samples, epoch after epoch, one interval each; return how many epochs went well.

    Parameters
    ----------
    inputs, labels : ndarray, shape (samples, inputs), (samples, outputs)
        V.
    rates : ndarray, shape (epochs,)
        Rate or step of the rule in each epoch.
    order : ndarray, shape (samples,)
        Numbers of the samples; shuffled before each epoch if ``shuffle``.
    warm : WarmStarts
        Where to begin, with room for all samples.
    error : ndarray, shape (epochs,)
        Root of the mean squared error of all outputs, before each sample's update, V.
    """  # fmt: skip
    n, outputs, tally = len(plan.start) - 1, len(plan.plus), learner.tally
    limits, held, samples = learner.limits, learner.held, len(order)
    for epoch in range(len(rates)):
        learner.rule[2] = rates[epoch]
        if shuffle:
            for i in range(samples - 1):
                j = i + int(uniform(learner.random, ORDER) * (samples - i))
                order[i], order[j] = order[j], order[i]
        total = 0.0
        for t in range(samples):
            s = order[t]
            kept = warm_row(warm, inputs[s], n)
            voltage, moved, memory, label = warm.free[kept], warm.shift[kept], warm.memory[kept], labels[s]
            for i in range(len(rails)):
                voltage[n + inputs.shape[1] + i] = rails[i]
            tally[2] = find(plan, law, n, 0.0, label, voltage, tolerance, work, memory, FREE, 0.0)
            if tally[2] != 0.0:
                return epoch
            linearise(plan, work)
            tally[0] = fused(heat(plan, voltage, work), limits[7], tally[0])
            for o in range(outputs):
                plus, minus = plan.plus[o], plan.minus[o]
                value = voltage[plus] if plus == minus else voltage[plus] - voltage[minus]
                total = fused(label[o] - value, label[o] - value, total)
            for k in range(n):
                held[k] = voltage[k] + moved[k]
            tally[2] = learn(plan, law, learner, voltage, label, tolerance, work, memory)
            if tally[2] != 0.0:
                return epoch
            for k in range(n):
                moved[k] = held[k] - voltage[k]
            if limits[5] < 1.0:
                forget(learner)
            apply_weights(law, learner, limits[2] > 0.0, limits[4] > 0.0)
            memory[3] += 1.0
        error[epoch] = math.sqrt(total / (samples * outputs))
    return len(rates)


for _kernel in (set_weights, advance, train):
    recompile_with(
        _kernel,
        *(
            f"inmateria.simulators.contrastive.{name}"
            for name in ("edges", "operating_point", "plan", "rules", "warm_starts")
        ),
        "inmateria.simulators.sparse_ldl.unsymmetric",
    )
