"""Learning of resistors and ideal diodes in layers, compiled: three equilibria a batch, and the change of every edge.

The voltages of the inputs are imposed, so that what they send into the first layer is computed once for all sweeps of
all three equilibria; one pass over its conductances changes them after a batch and drives the next batch.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.resistive_layers.equilibrium import (
    Bench,
    Floats,
    Indices,
    Layers,
    compiled,
    relax,
    sum_conductances,
)

CENTRED, SIGN, REMAINDER, SWEEPS, CURRENT = range(5)
"""Places of the settings."""
KEPT, LOST, STOCHASTIC = range(3)
"""What becomes of changes that are less than a level."""


class Real(NamedTuple):
    """Numbers that edges keep beside their conductances; arrays with no rows for ideal edges.

    Parameters
    ----------
    first_set, first_factor, first_bias : ndarray, shape (first layer, 2 * inputs)
        Conductance that is learned, uS; factor on it; what is added to the difference of squares, V^2.
    upper_set, upper_factor, upper_bias : ndarray
        The same of all other layers.
    level : ndarray, shape (layers,)
        Distance of levels in each layer, uS; 0 if continuous.
    """

    first_set: Floats
    first_factor: Floats
    first_bias: Floats
    upper_set: Floats
    upper_factor: Floats
    upper_bias: Floats
    level: Floats


class Learner(NamedTuple):
    """How the edges change, as the compiled functions take it.

    Parameters
    ----------
    settings : ndarray of int64
        1 if nudged in both directions; 1 for the sign rule; what becomes of changes below a level; sweeps, or 0 for as
        many as the tolerance needs; 1 if the constant currents are learned, too.
    tolerance : float
        V.
    nudge : ndarray, shape (3,)
        0 and the nudges of the two other equilibria, uS.
    rate : ndarray, shape (layers,)
        Rate, uS^2/V^2, or step, uS.
    most : ndarray, shape (layers,)
        Largest conductance of an edge, uS.
    random : ndarray of uint32, shape (2,)
        Key and number of the update, for stochastic rounding.
    tally : ndarray, shape (4,)
        Heat in all equilibria, uW; sum of squared errors, V^2; samples whose largest output is wrong; sweeps.
    """

    settings: Indices
    tolerance: float
    nudge: Floats
    rate: Floats
    most: Floats
    random: npt.NDArray[np.uint32]
    tally: npt.NDArray[np.float64]


class Room(NamedTuple):
    """Scratch of a training.

    Parameters
    ----------
    here, there : ndarray, shape (batch, inputs)
        Inputs of two batches, V.
    labels : ndarray, shape (batch, outputs)
    shift, square : ndarray, shape (batch, first layer)
        Twice the difference of the voltages in two equilibria, and that of their squares, times a factor.
    change : ndarray, shape (2 * inputs or the widest layer,)
        Change of one row of edges.
    power : ndarray, shape (inputs,)
        Sum over the batch of squared inputs, V^2.
    loss : ndarray of float64, shape (1,)
        Sum of squared inputs times conductances, uW.
    share : ndarray, shape (2,)
        A sample's share of the batch, and 1.
    factors : ndarray, shape (1,)
        Factor on the rates.
    scales, steps : ndarray, shape (layers,)
        Change of an edge by a difference of squares of 1 V^2, and step of the sign rule, uS.
    """

    here: Floats
    there: Floats
    labels: Floats
    shift: Floats
    square: Floats
    change: Floats
    power: Floats
    loss: npt.NDArray[np.float64]
    share: Floats
    factors: Floats
    scales: Floats
    steps: Floats


def make_room(layers: Layers, batch: int) -> Room:
    """Make the scratch for batches of so many samples."""
    kind, inputs, rows = layers.first.dtype, layers.first.shape[1] // 2, (batch + 3) // 4 * 4
    count, first = len(layers.place) - 1, len(layers.first)
    outputs, widest = int(layers.place[-1] - layers.place[-2]), int(np.diff(layers.place).max())

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, kind)

    return Room(
        zeros(rows, inputs), zeros(rows, inputs), zeros(rows, outputs), zeros(rows, first), zeros(rows, first),
        zeros(max(2 * inputs, widest)), zeros(inputs), np.zeros(1), np.ones(2, kind), zeros(1), zeros(count),
        zeros(count),
    )  # fmt: skip


@compiled
def scrambled(word: Any) -> Any:
    """Mix the bits of a word of 32 bits (lowbias32, Wellons)."""
    x = np.uint32(word)
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@compiled
def move_row(
    row: Floats, given: Floats, factor: Floats, bias: Floats, change: Floats, settings: Indices, scale: Floats,
    step: Floats, most: Floats, level: Floats, key: np.uint32,
) -> None:  # fmt: skip
    """Change a row of edges with imperfections, by `change` (mean difference of squares, V^2) and each edge's bias."""
    nothing, remainder = level - level, settings[REMAINDER]
    if settings[SIGN]:
        for i in range(len(row)):
            by = change[i] + bias[i]
            change[i] = step if by > 0 else (-step if by < 0 else nothing)
    else:
        for i in range(len(row)):
            change[i] = scale * (change[i] + bias[i])
    if level > 0 and remainder == LOST:
        for i in range(len(row)):
            change[i] = level * np.rint(change[i] / level)
    elif level > 0 and remainder == STOCHASTIC:
        for i in range(len(row)):
            change[i] = level * np.floor(change[i] / level + scrambled(key + np.uint32(i)) * 2.0**-32)
    for i in range(len(row)):
        given[i] = min(max(given[i] + change[i], nothing), most)
    if level > 0 and remainder == KEPT:
        for i in range(len(row)):
            row[i] = level * np.rint(given[i] / level) * factor[i]
    else:
        for i in range(len(row)):
            row[i] = given[i] * factor[i]


@compiled
def drive_row(
    row: Floats, inputs: int, there: Floats, power: Floats, samples: int, drive: Floats, j: int, sums: Floats
) -> Any:
    """Add up what the inputs send along a row of edges, and its conductances; return the heat at 0 V."""
    plus, minus = row[:inputs], row[inputs:]
    total, heat = row[0] - row[0], row[0] - row[0]
    for i in range(inputs):
        total += plus[i] + minus[i]
        heat += power[i] * (plus[i] + minus[i])
    sums[j] = total
    for s in range(0, samples, 4):
        a, b, c, d = there[s], there[s + 1], there[s + 2], there[s + 3]
        one = two = three = four = row[0] - row[0]
        for i in range(inputs):
            both = plus[i] - minus[i]
            one += a[i] * both
            two += b[i] * both
            three += c[i] * both
            four += d[i] * both
        drive[s, j], drive[s + 1, j], drive[s + 2, j], drive[s + 3, j] = one, two, three, four
    return heat


@compiled
def pass_first(
    layers: Layers, bench: Bench, learner: Learner, real: Real, room: Room, here: Floats, there: Floats, scale: Floats,
    step: Floats, learn: bool, samples: int, loss: Floats,
) -> None:  # fmt: skip
    """Change the edges of the first layer after the batch `here`, and drive it with the batch `there`.

    `samples` is a multiple of 4; rows of samples that are missing hold zeros.
    """
    inputs, ideal, sign = layers.first.shape[1] // 2, len(real.first_set) == 0, learner.settings[SIGN]
    shift, square, change, power = room.shift, room.square, room.change, room.power
    most, nothing = learner.most[0], step - step
    loss[0] = 0
    for j in range(len(layers.first)):
        row = layers.first[j]
        plus, minus = row[:inputs], row[inputs:]
        if learn and ideal and not sign and samples == 4:
            # The general case below, in one loop.
            a, b, c, d = here[0], here[1], here[2], here[3]
            ca, cb, cc, cd = shift[0, j], shift[1, j], shift[2, j], shift[3, j]
            less = square[0, j] + square[1, j] + square[2, j] + square[3, j]
            e, f, g, h = there[0], there[1], there[2], there[3]
            one = two = three = four = total = heat = nothing
            for i in range(inputs):
                by = ca * a[i] + cb * b[i] + cc * c[i] + cd * d[i]
                first = min(max(plus[i] + (by - less), nothing), most)
                second = min(max(minus[i] - (by + less), nothing), most)
                plus[i], minus[i] = first, second
                both, apart = first + second, first - second
                total += both
                heat += power[i] * both
                one += e[i] * apart
                two += f[i] * apart
                three += g[i] * apart
                four += h[i] * apart
            bench.drive[0, j], bench.drive[1, j], bench.drive[2, j], bench.drive[3, j] = one, two, three, four
            bench.first_sum[j] = total
            loss[0] += heat
            continue
        if learn:
            less = nothing
            for s in range(samples):
                less += square[s, j]
            change[:inputs] = 0
            for s in range(0, samples, 4):
                a, b, c, d = here[s], here[s + 1], here[s + 2], here[s + 3]
                ca, cb, cc, cd = shift[s, j], shift[s + 1, j], shift[s + 2, j], shift[s + 3, j]
                for i in range(inputs):
                    change[i] += ca * a[i] + cb * b[i] + cc * c[i] + cd * d[i]
            if ideal and not sign:
                for i in range(inputs):
                    by = change[i]
                    plus[i] = min(max(plus[i] + (by - less), nothing), most)
                    minus[i] = min(max(minus[i] - (by + less), nothing), most)
            elif ideal:
                for i in range(inputs):
                    by, other = change[i] - less, -change[i] - less
                    plus[i] = min(max(plus[i] + (step if by > 0 else (-step if by < 0 else nothing)), nothing), most)
                    minus[i] = min(
                        max(minus[i] + (step if other > 0 else (-step if other < 0 else nothing)), nothing), most
                    )
            else:
                for i in range(inputs):
                    by = change[i]
                    change[i], change[inputs + i] = by - less, -by - less
                key = scrambled(learner.random[0] + scrambled(learner.random[1] + np.uint32(j)))
                move_row(
                    row, real.first_set[j], real.first_factor[j], real.first_bias[j], change[: 2 * inputs],
                    learner.settings, scale, step, most, real.level[0], key,
                )  # fmt: skip
        loss[0] += drive_row(row, inputs, there, power, samples, bench.drive, j, bench.first_sum)


@compiled
def change_upper(
    layers: Layers, learner: Learner, real: Real, room: Room, one: Floats, other: Floats, count: int, scales: Floats,
    steps: Floats,
) -> None:  # fmt: skip
    """Change the edges of all layers but the first by the squared voltages in two equilibria."""
    ideal, sign, place = len(real.first_set) == 0, learner.settings[SIGN], layers.place
    nothing, change = steps[0] - steps[0], room.change
    for layer in range(1, len(place) - 1):
        begin, end, width = place[layer], place[layer + 1], place[layer] - place[layer - 1]
        most, scale, step = learner.most[layer], scales[layer], steps[layer]
        for k in range(begin, end):
            start = layers.block[layer] + (k - begin) * width
            row = layers.upper[start : start + width]
            change[:width] = 0
            for s in range(count):
                first, second = one[s, place[layer - 1] : begin], other[s, place[layer - 1] : begin]
                up, down, part = one[s, k], other[s, k], room.share[0]
                for j in range(width):
                    x, y = first[j] - up, second[j] - down
                    change[j] += part * (x - y) * (x + y)
            if ideal and not sign:
                for j in range(width):
                    row[j] = min(max(row[j] + scale * change[j], nothing), most)
            elif ideal:
                for j in range(width):
                    by = change[j]
                    row[j] = min(max(row[j] + (step if by > 0 else (-step if by < 0 else nothing)), nothing), most)
            else:
                key = scrambled(learner.random[0] + scrambled(learner.random[1] + np.uint32(k)))
                move_row(
                    row, real.upper_set[start : start + width], real.upper_factor[start : start + width],
                    real.upper_bias[start : start + width], change[:width], learner.settings, scale, step, most,
                    real.level[layer], key,
                )  # fmt: skip


@compiled
def delivered(layers: Layers, bench: Bench, volts: Floats, labels: Floats, nudge: Floats, count: int) -> float:
    """Add up the power that sources of current and nudges deliver, less what the inputs save against nodes at 0 V."""
    total, first, last = 0.0, layers.place[1], layers.place[-2]
    for s in range(count):
        here = volts[s]
        for j in range(first):
            total -= here[j] * bench.drive[s, j]
        for j in range(len(here)):
            total += here[j] * layers.current[j]
        for k in range(len(here) - last):
            total += nudge[0] * (labels[s, k] - here[last + k]) * here[last + k]
    return total


@compiled
def count_errors(layers: Layers, bench: Bench, room: Room, learner: Learner, count: int) -> None:
    """Add up squared errors of the free state, and samples whose largest output is not that of the largest label."""
    last = layers.place[-2]
    for s in range(count):
        outputs, labels = bench.free[s, last:], room.labels[s]
        if np.argmax(outputs) != np.argmax(labels):
            learner.tally[2] += 1
        for k in range(len(labels)):
            learner.tally[1] += (labels[k] - outputs[k]) ** 2


@compiled
def present(
    layers: Layers, bench: Bench, learner: Learner, real: Real, room: Room, X: Floats, Y: Floats, gain: Floats,
    learn: Floats, order: Indices, begin: int, end: int, batch: int, warm: Floats, response: Floats,
) -> int:  # fmt: skip
    """Present samples, a batch at a time: the free state and, to learn, both others and the changes of all edges.

    Parameters
    ----------
    layers, bench, learner, real, room
        The network, its edges, and scratch.
    X, Y : ndarray, shape (samples, inputs) and (samples, outputs)
        V, inputs before the gain.
    gain : ndarray, shape (1,)
    learn : ndarray, shape (samples,) or (1,)
        Factor on the rate for each place in `order`, or for all.
    order : ndarray
        Samples in the order in which they are presented; those from `begin` to before `end` are.
    batch : int
        At most as many as the scratch has rows.
    warm : ndarray, shape (samples, nodes beyond the first layer) or (0, 0)
        Free voltages of each sample, to begin from; changed in place.
    response : ndarray, shape (len(order), nodes) or (0, 0)
        Takes the free voltages.

    Returns
    -------
    int
        Place in `order` of the first batch that has no equilibrium, or `end`.
    """
    inputs, first = layers.first.shape[1] // 2, layers.place[1]
    here, there, used, pending, loss = room.here, room.there, 0, False, room.loss
    settings, tally, states = learner.settings, learner.tally, 3 if learner.settings[CENTRED] else 2
    factors, scales, steps = room.factors, room.scales, room.steps
    plain = len(real.first_set) == 0 and not settings[SIGN]
    # One more round after the last batch, without samples, only changes the first layer.
    for at in range(begin, end + batch, batch):
        count = max(0, min(batch, end - at))
        if count == 0 and not pending:
            break
        padded = (count + 3) // 4 * 4
        reach = max(padded, used) if pending else padded
        there[:reach] = 0
        room.power[:] = 0
        for s in range(count):
            source, to = X[order[at + s]], there[s]
            room.labels[s] = Y[order[at + s]]
            for i in range(inputs):
                to[i] = gain[0] * source[i]
                room.power[i] += to[i] * to[i]
        if pending:
            here[used:reach] = 0
            room.shift[used:reach] = 0
            room.square[used:reach] = 0
        pass_first(layers, bench, learner, real, room, here, there, scales[0], steps[0], pending, reach, loss)
        if count == 0:
            break
        here, there, used = there, here, padded
        sum_conductances(layers, bench)
        bench.free[:count] = 0
        if len(warm):
            for s in range(count):
                bench.free[s, first:] = warm[order[at + s]]
        factors[0] = learn[at] if len(learn) > 1 else learn[0]
        pending = factors[0] > 0
        heat, one, other = 0.0, bench.plus, bench.minus
        for phase in range(states if pending else 1):
            if phase == 1:
                one[:count] = bench.free[:count]
            elif phase == 2:
                for s in range(count):
                    for j in range(first, len(layers.current)):
                        other[s, j] = bench.free[s, j] + (bench.free[s, j] - one[s, j])
            volts = bench.free if phase == 0 else (one if phase == 1 else other)
            nudge = learner.nudge[phase : phase + 1]
            made = relax(layers, bench, volts, room.labels, nudge, count, settings[SWEEPS], learner.tolerance)
            if made == 0:
                return at
            tally[3] += made
            heat += loss[0] + delivered(layers, bench, volts, room.labels, nudge, count)
        tally[0] += heat
        count_errors(layers, bench, room, learner, count)
        if len(warm):
            for s in range(count):
                warm[order[at + s]] = bench.free[s, first:]
        if len(response):
            response[at : at + count] = bench.free[:count]
        if not pending:
            continue
        if states == 2:
            other[:count] = bench.free[:count]
        room.share[0] = 1
        room.share[0] /= count
        for layer in range(len(scales)):
            scales[layer] = factors[0] * learner.rate[layer] / (learner.nudge[1] - learner.nudge[2])
            scales[layer] /= 2
            steps[layer] = factors[0] * learner.rate[layer]
        # `one` is nudged towards the labels: an edge grows where its voltage is smaller there.
        change_upper(layers, learner, real, room, other, one, count, scales, steps)
        if settings[CURRENT]:
            for layer in range(len(scales)):
                for j in range(layers.place[layer], layers.place[layer + 1]):
                    by = factors[0] - factors[0]
                    for s in range(count):
                        by += room.share[0] * (one[s, j] - other[s, j])
                    if not settings[SIGN]:
                        layers.current[j] += 2 * scales[layer] * by
                    elif by != 0:
                        layers.current[j] += steps[layer] if by > 0 else -steps[layer]
        for s in range(count):
            for j in range(first):
                x, y = one[s, j], other[s, j]
                part = room.share[0] * (scales[0] if plain else room.share[1])
                room.shift[s, j] = part * (x - y + (x - y))
                room.square[s, j] = part * ((x - y) * (x + y))
        room.shift[count:padded] = 0
        room.square[count:padded] = 0
        learner.random[1] += np.uint32(1)
    return end


@compiled
def settle(
    layers: Layers, bench: Bench, drives: Floats, labels: Floats, nudge: Floats, sweeps: int, tolerance: float,
    volts: Floats,
) -> int:  # fmt: skip
    """Find the equilibria of many samples from the currents that their inputs send, and the voltages in `volts`.

    Returns
    -------
    int
        Number of the first sample of a block that has no equilibrium, or their number.
    """
    block = len(bench.drive)
    for at in range(0, len(drives), block):
        count = min(block, len(drives) - at)
        bench.drive[:count] = drives[at : at + count]
        sum_conductances(layers, bench)
        if not relax(layers, bench, volts[at : at + count], labels[at : at + count], nudge, count, sweeps, tolerance):
            return at
    return len(drives)


for _kernel in (present, settle):
    recompile_with(_kernel, "inmateria.simulators.resistive_layers.equilibrium")
