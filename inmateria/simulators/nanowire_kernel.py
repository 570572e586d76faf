"""The compiled step of a resistor network with memory: eliminate, solve back, let every junction evolve.

One function, no Python in it and the GIL released. All arithmetic of the elimination is additions,
multiplications and divisions of positive numbers, so that voltages stay exact to rounding however far
conductances are spread. What its arrays mean is in `nanowire_elimination` and `nanowire_models`.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

STATE, CONDUCTANCE, FEELS, CONDUCTS, WALK, DROP = range(6)
"""Rows of the table of junctions: state; conductance, S; factor on the voltage it feels; factor on its
conductance; noise, log; voltage across it, V."""

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def advance(
    plan: Indices,
    model: int,
    constants: Floats,
    step: float,
    samples: int,
    drive: Floats,
    junctions: Floats,
    nodes: Floats,
    noise: Floats,
    random: npt.NDArray[np.uint64],
    signal: Floats,
    trace: Floats,
    parts: int,
) -> None:
    """Run all steps of a drive, each in ``samples`` integration steps of ``step`` seconds.

    Parameters
    ----------
    plan : ndarray
        `Elimination.packed`.
    model, constants : int, ndarray
        Code and packed constants of the junction model.
    step, samples : float, int
    drive : ndarray, shape (steps, inputs)
        V. Fixed places are the inputs in order, then grounds at 0 V. Without any step, conductances are
        only set from the state.
    junctions : ndarray, shape (6, junctions)
        The table of junctions; changed in place.
    nodes : ndarray
        Voltage of every place, then load of every free place to 0 V in S, then scratch.
    noise : ndarray, shape (2,)
        Standard deviation of log conductance, 0 for none, and its correlation time, s.
    random : ndarray, shape (1,)
        State of the random numbers.
    signal, trace : ndarray
        What is recorded, a row for each integration step; either may have no rows.
    parts : int
        What the trace holds, in this order: 1 voltages, 2 currents, 4 conductances, 8 states; added up.
    """
    place, first, second, slot, border, contact, start, rows, target, read = unpack(plan)
    n = len(start) - 1
    count = len(first)
    inputs = drive.shape[1]
    fixed = len(place) - n
    voltage = nodes[: n + fixed]
    load = nodes[n + fixed : n + fixed + n]
    work = nodes[n + fixed + n :]
    state, conductance, drop = junctions[STATE], junctions[CONDUCTANCE], junctions[DROP]
    if drive.shape[0] == 0:
        settle(model, constants, junctions)
    row = 0
    for t in range(drive.shape[0]):
        total = 0.0
        for i in range(inputs):
            voltage[n + i] = drive[t, i]
            total += drive[t, i]
        for i in range(inputs, fixed):
            voltage[n + i] = 0.0
        for _ in range(samples):
            solve(slot, border, start, rows, target, load, conductance, work, voltage)
            for j in range(count):
                drop[j] = voltage[first[j]] - voltage[second[j]]
            if len(signal):
                for i in range(len(read)):
                    signal[row, i] = voltage[read[i]]
                collect(contact, conductance, drop, signal[row, len(read) :])
            if len(trace):
                at = 0
                if parts & 1:
                    for i in range(len(place)):
                        trace[row, i] = voltage[place[i]]
                    at += len(place)
                if parts & 2:
                    collect(contact, conductance, drop, trace[row, at : at + fixed])
                    at += fixed
                if parts & 4:
                    for j in range(count):
                        trace[row, at + j] = conductance[j]
                    at += count
                if parts & 8:
                    for j in range(count):
                        trace[row, at + j] = state[j]
            row += 1
            evolve(model, constants, step, 1.0 if total >= 0 else -1.0, junctions)
            if noise[0] > 0:
                fluctuate(step, noise, random, junctions)


@_inner
def unpack(plan: Indices) -> Any:
    """Take the arrays of an `Elimination` apart again, and the places to be read."""
    at1 = 10 + int(plan[0])
    at2 = at1 + int(plan[1])
    at3 = at2 + int(plan[2])
    at4 = at3 + 2 * int(plan[3])
    at5 = at4 + 3 * int(plan[4])
    at6 = at5 + 3 * int(plan[5])
    at7 = at6 + int(plan[6])
    at8 = at7 + int(plan[7])
    at9 = at8 + int(plan[8])
    return (
        plan[10:at1],
        plan[at1:at2],
        plan[at2:at3],
        plan[at3:at4].reshape(-1, 2),
        plan[at4:at5].reshape(-1, 3),
        plan[at5:at6].reshape(-1, 3),
        plan[at6:at7],
        plan[at7:at8],
        plan[at8:at9],
        plan[at9:],
    )


@_inner
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
    n = len(start) - 1
    entries = len(rows)
    link = work[:entries]  # conductance between a column's own place and each of its rows
    toward = work[entries : entries + n]  # summed conductance to fixed places
    source = work[entries + n : entries + 2 * n]  # current from them at 0 V
    inverse = work[entries + 2 * n : entries + 3 * n]
    for i in range(entries):
        link[i] = 0.0
    for k in range(n):
        toward[k] = load[k]
        source[k] = 0.0
    for i in range(slot.shape[0]):
        link[slot[i, 1]] += conductance[slot[i, 0]]
    for i in range(border.shape[0]):
        g = conductance[border[i, 0]]
        toward[border[i, 1]] += g
        source[border[i, 1]] += g * voltage[border[i, 2]]
    pair = numba.uint64(0)
    for k in range(n):
        low, high = numba.uint64(start[k]), numba.uint64(start[k + 1])
        total = toward[k]
        for i in range(low, high):
            total += link[i]
        inverse[k] = 1.0 / total
        to_fixed = toward[k] * inverse[k]
        from_fixed = source[k] * inverse[k]
        for i in range(low, high):
            g = link[i]
            toward[rows[i]] += g * to_fixed
            source[rows[i]] += g * from_fixed
            share = g * inverse[k]
            for j in range(i + 1, high):
                link[target[pair]] += share * link[j]
                pair += numba.uint64(1)
    for m in range(n):
        k = n - 1 - m
        current = source[k]
        for i in range(numba.uint64(start[k]), numba.uint64(start[k + 1])):
            current += link[i] * voltage[rows[i]]
        voltage[k] = current * inverse[k]


@_inner
def collect(contact: Indices, conductance: Floats, drop: Floats, current: Floats) -> None:
    """Sum the current that each fixed place drives into the network, A."""
    for i in range(len(current)):
        current[i] = 0.0
    for i in range(contact.shape[0]):
        flow = conductance[contact[i, 0]] * drop[contact[i, 0]]
        current[contact[i, 1]] += -flow if contact[i, 2] else flow


@_inner
def evolve(model: int, constants: Floats, step: float, sign: float, junctions: Floats) -> None:
    """Let every junction's state follow the voltage across it for one step, then set its conductance."""
    if model <= 1:
        grow_filaments(constants, step, junctions[FEELS], junctions[DROP], junctions[STATE])
    elif model == 2:
        balance_rates(constants, step, junctions[FEELS], junctions[DROP], junctions[STATE])
    elif model == 3:
        drift_dopants(constants, step, sign, junctions[FEELS], junctions[DROP], junctions[STATE])
    settle(model, constants, junctions)


@_outer
def rest(model: int, constants: Floats, duration: float, junctions: Floats) -> None:
    """Let all junctions relax at 0 V; exact in one step in every model but the last, whose decay is stepped."""
    parts = 1 if model < 3 else 10_000
    for _ in range(parts):
        evolve(model, constants, duration / parts, 1.0, junctions)


@_inner
def settle(model: int, constants: Floats, junctions: Floats) -> None:
    """Set every junction's conductance from its state, S."""
    state, conductance, conducts = junctions[STATE], junctions[CONDUCTANCE], junctions[CONDUCTS]
    if model == 0:
        tunnel(constants, conducts, state, conductance)
    elif model == 1:
        for j in range(len(state)):
            conductance[j] = conducts[j] * (constants[5] if abs(state[j]) >= constants[4] else constants[6])
    elif model == 2:
        for j in range(len(state)):
            conductance[j] = conducts[j] * (constants[4] + (constants[5] - constants[4]) * state[j])
    elif model == 3:
        for j in range(len(state)):
            conductance[j] = conducts[j] / (constants[0] + (constants[1] - constants[0]) * state[j])


@_inner
def grow_filaments(constants: Floats, step: float, feels: Floats, drop: Floats, state: Floats) -> None:
    """Grow and shrink filaments; branch-free, so that it is done several junctions at a time."""
    set_voltage, reset_voltage = constants[0], constants[1]
    shrinking, full, overshoot = constants[2] * step, constants[3], constants[10]
    for j in range(len(state)):
        v = drop[j] * feels[j]
        size = abs(v)
        above = size - set_voltage
        below = reset_voltage - size
        x = state[j] + math.copysign(above if above > 0.0 else 0.0, v) * step
        loss = (below if below > 0.0 else 0.0) * shrinking
        left = abs(x) - loss
        floor = left * overshoot  # 0 unless a filament may jump across zero
        left = left if left > 0.0 else floor
        x = math.copysign(1.0, x) * left
        x = x if x < full else full
        state[j] = x if x > -full else -full


@_inner
def tunnel(constants: Floats, conducts: Floats, state: Floats, conductance: Floats) -> None:
    """Conductance of a filament's gap. exp(y) is (exp(y/64))^64 by a polynomial: no call, so it vectorises."""
    per_closed, on_resistance, off = constants[4], constants[5], constants[6]
    widest, exponent, power = constants[7], constants[8], constants[9]
    for j in range(len(state)):
        gap = 1.0 - abs(state[j]) * per_closed
        gap = gap if gap > 0.0 else 0.0
        y = gap * exponent
        e = 1.0 / 479001600.0
        e = e * y + 1.0 / 39916800.0
        e = e * y + 1.0 / 3628800.0
        e = e * y + 1.0 / 362880.0
        e = e * y + 1.0 / 40320.0
        e = e * y + 1.0 / 5040.0
        e = e * y + 1.0 / 720.0
        e = e * y + 1.0 / 120.0
        e = e * y + 1.0 / 24.0
        e = e * y + 1.0 / 6.0
        e = e * y + 0.5
        e = e * y + 1.0
        e = e * y + 1.0
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        conductance[j] = conducts[j] * (1.0 / (widest * gap * e + on_resistance) + off)
    if power != 1.0:
        for j in range(len(state)):
            gap = 1.0 - abs(state[j]) * per_closed
            gap = gap if gap > 0.0 else 0.0
            resistance = widest * gap**power * math.exp(64.0 * gap * exponent)
            conductance[j] = conducts[j] * (1.0 / (resistance + on_resistance) + off)


@_inner
def balance_rates(constants: Floats, step: float, feels: Floats, drop: Floats, state: Floats) -> None:
    """Potentiation against depression: exact over a step in which the voltage is constant."""
    for j in range(len(state)):
        size = abs(drop[j] * feels[j])
        up = constants[0] * math.exp(min(constants[2] * size, 600.0))
        down = constants[1] * math.exp(-constants[3] * size)
        rate = up + down
        goal = up / rate
        state[j] = goal + (state[j] - goal) * math.exp(-rate * step)


@_inner
def drift_dopants(constants: Floats, step: float, sign: float, feels: Floats, drop: Floats, state: Floats) -> None:
    """Linear drift with decay, one Euler step; the state stays within 0 and 1."""
    off, on, per_charge, per_decay, window = constants[0], constants[1], constants[2], constants[3], constants[4]
    for j in range(len(state)):
        x = state[j]
        flow = sign * abs(drop[j] * feels[j]) / (off + (on - off) * x)
        shape = 1.0 - (2.0 * x - 1.0) ** (2.0 * window) if window > 0.0 else 1.0
        x += (per_charge * flow * shape - per_decay * x) * step
        x = x if x > 0.0 else 0.0
        state[j] = x if x < 1.0 else 1.0


@_inner
def fluctuate(step: float, noise: Floats, random: npt.NDArray[np.uint64], junctions: Floats) -> None:
    """Multiply conductances by exp of an Ornstein-Uhlenbeck process, exact over a step."""
    walk, conductance = junctions[WALK], junctions[CONDUCTANCE]
    kept = math.exp(-step / noise[1])
    kick = noise[0] * math.sqrt(1.0 - kept * kept)
    j = 0
    while j < len(walk):
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform(random)))
        angle = 2.0 * math.pi * uniform(random)
        walk[j] = kept * walk[j] + kick * radius * math.cos(angle)
        if j + 1 < len(walk):
            walk[j + 1] = kept * walk[j + 1] + kick * radius * math.sin(angle)
        j += 2
    for j in range(len(walk)):
        conductance[j] *= math.exp(walk[j])


@_inner
def uniform(random: npt.NDArray[np.uint64]) -> float:
    """Draw from [0, 1) with 53 bits: splitmix64, Steele, Lea and Flood (2014)."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
