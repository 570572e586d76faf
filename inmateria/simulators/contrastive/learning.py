"""Learning, compiled: the free state, the clamped or nudged state, and the change of every weight."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.contrastive.operating_point import (
    Floats,
    Law,
    Work,
    content,
    find,
    function,
    heat,
    inner,
    outer,
)
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.contrastive.rules import CENTRED_NUDGE, NUDGE, SIGN, STRAIN
from inmateria.simulators.contrastive.warm_starts import WarmStarts, warm_row

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
    weight, bias, contrast : ndarray, shape (edges,)
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
def nearest_level(limits: Floats, weight: float) -> float:
    """Return the level nearest to a weight."""
    nearest: float = limits[0] + limits[2] * np.rint((weight - limits[0]) / limits[2])
    return nearest


@inner
def apply_weights(law: Law, learner: Learner) -> None:
    """Set every edge from its weight."""
    limits = learner.limits
    for j in range(len(learner.weight)):
        w = nearest_level(limits, learner.weight[j]) if limits[2] > 0 else learner.weight[j]
        law.setting[j] = 1.0 / w if limits[4] > 0 else w


@outer
def set_weights(law: Law, learner: Learner) -> None:
    """Set every edge from its weight; see `apply_weights`."""
    apply_weights(law, learner)


@function
def learn(plan: Plan, law: Law, learner: Learner, free: Floats, label: Floats, tolerance: float, work: Work) -> float:
    """Clamp or nudge, and change the weights; return 0, or the imbalance of a state that was not found, A.

    ``learner.held`` holds where to begin. The energy of the second state is added to the tally.
    """
    rule, held, contrast, noise = learner.rule, learner.held, learner.contrast, learner.limits[6]
    kind, n = int(rule[0]), len(plan.start) - 1
    for i in range(n, len(free)):
        held[i] = free[i]
    if kind == CENTRED_NUDGE:
        left = find(plan, law, n, -rule[1], label, held, tolerance, work, False)
        if left != 0.0:
            return left
        read_drops(plan, law, learner, held, 1.0)
        left = find(plan, law, n, rule[1], label, held, tolerance, work, False)
    else:
        if kind == STRAIN:
            contrast[:] = 0.0
        else:
            read_drops(plan, law, learner, free, 1.0)
        if kind == NUDGE:
            left = find(plan, law, n, rule[1], label, held, tolerance, work, False)
        else:
            for o in range(len(label)):
                plus, minus = plan.plus[o], plan.minus[o]
                up, down = free[plus], free[minus]
                if noise > 0:
                    up += noise * normal(learner.random, UPDATE)
                    down = up if plus == minus else down + noise * normal(learner.random, UPDATE)
                if plus == minus:
                    held[plus] = up + rule[1] * (label[o] - up)
                else:
                    shift = 0.5 * rule[1] * (label[o] - (up - down))
                    held[plus] = up + shift
                    held[minus] = down - shift
            left = find(plan, law, plan.hidden, 0.0, label, held, tolerance, work, True)
    if left != 0.0:
        return left
    read_drops(plan, law, learner, held, -1.0)
    learner.tally[0] += heat(plan, law, held, work) * learner.limits[7]
    change_weights(learner)
    return 0.0


@function
def read_drops(plan: Plan, law: Law, learner: Learner, voltage: Floats, sign: float) -> None:
    """Begin the contrast with what is read across each edge (sign 1), or subtract that (sign -1)."""
    contrast, noise = learner.contrast, learner.limits[6]
    for j in range(len(contrast)):
        drop = plan.direction[j] * (voltage[plan.first[j]] - voltage[plan.second[j]])
        if noise > 0:
            drop += noise * normal(learner.random, UPDATE)
        if sign > 0:
            contrast[j] = content(law, drop)
        else:
            contrast[j] -= content(law, drop)


@inner
def change_weights(learner: Learner) -> None:
    """Change every weight by its contrast."""
    rule, limits, weight = learner.rule, learner.limits, learner.weight
    for j in range(len(weight)):
        if rule[3] < 1.0 and uniform(learner.random, UPDATE) >= rule[3]:
            continue
        c = learner.contrast[j] + learner.bias[j]
        if rule[0] == SIGN:
            change = rule[2] if c >= 0 else -rule[2]
            if limits[4] > 0:
                change = -change
        else:
            change = rule[2] * c
            if limits[4] > 0:
                change *= -weight[j] * weight[j]
        w = min(max(weight[j] + change, limits[0]), limits[1])
        if limits[2] > 0 and limits[3] > 0:
            w = nearest_level(limits, w)
        weight[j] = w


@inner
def forget(learner: Learner) -> None:
    """Let the weights leak for one interval."""
    limits, weight = learner.limits, learner.weight
    for j in range(len(weight)):
        weight[j] = max(weight[j] * limits[5], limits[0])


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
        free, moved, label = warm.free[kept], warm.shift[kept], drive[t, inputs : inputs + outputs]
        factor = drive[t, inputs + outputs]
        learner.rule[2] = rate * factor
        for i in range(len(rails)):
            free[n + inputs + i] = rails[i]
        for _ in range(intervals):
            tally[2] = find(plan, law, n, 0.0, label, free, tolerance, work, False)
            if tally[2] != 0.0:
                return row
            tally[0] += heat(plan, law, free, work) * limits[7]
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
                tally[2] = learn(plan, law, learner, free, label, tolerance, work)
                if tally[2] != 0.0:
                    return row - 1
                for k in range(n):
                    moved[k] = learner.held[k] - free[k]
            if limits[5] < 1.0:
                forget(learner)
            if factor > 0.0 or limits[5] < 1.0:
                apply_weights(law, learner)
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
            voltage, moved, label = warm.free[kept], warm.shift[kept], labels[s]
            for i in range(len(rails)):
                voltage[n + inputs.shape[1] + i] = rails[i]
            tally[2] = find(plan, law, n, 0.0, label, voltage, tolerance, work, False)
            if tally[2] != 0.0:
                return epoch
            tally[0] += heat(plan, law, voltage, work) * limits[7]
            for o in range(outputs):
                plus, minus = plan.plus[o], plan.minus[o]
                value = voltage[plus] if plus == minus else voltage[plus] - voltage[minus]
                total += (label[o] - value) ** 2
            for k in range(n):
                held[k] = voltage[k] + moved[k]
            tally[2] = learn(plan, law, learner, voltage, label, tolerance, work)
            if tally[2] != 0.0:
                return epoch
            for k in range(n):
                moved[k] = held[k] - voltage[k]
            if limits[5] < 1.0:
                forget(learner)
            apply_weights(law, learner)
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
