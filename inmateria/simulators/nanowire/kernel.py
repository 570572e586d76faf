"""The compiled step of a resistor network with memory: eliminate, solve back, let every junction evolve.

One function, no Python in it and the GIL released. How junctions evolve is a function of their model, called by its
address. All arithmetic of the elimination is additions, multiplications and divisions of positive numbers, so that
voltages stay exact to rounding for any spread of conductances. Its arrays are described in `elimination` and
`models`.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.nanowire.compiled_calls import call_evolve

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

ROWS = ("state", "conductance", "feels", "conducts", "walk", "drop")
"""Rows of the table of junctions: state; conductance, S; factor on the voltage it feels; factor on its
conductance; noise, log; voltage across it, V."""

STATE, CONDUCTANCE, FEELS, CONDUCTS, WALK, DROP = range(len(ROWS))

_BETWEEN = 4.0  # parts between two that are checked for large changes
_TRIES, _AGREEMENT = 2_000_000, 1e-6  # of `rest`: steps at most, and their error beside the largest state so far
_LARGEST = float(np.finfo(np.float64).max)

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def advance(
    plan: Indices,
    evolve: int,
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
    substeps: int,
) -> int:
    """Run all steps of a drive, each in ``samples`` integration steps of ``step`` seconds.

    Parameters
    ----------
    plan : ndarray
        `Elimination.packed`.
    evolve, constants : int, ndarray
        Address (`address_of`) of the junction model's function, and its packed constants.
    step, samples : float, int
    drive : ndarray, shape (steps, inputs)
        V. Fixed places are the inputs in order, then grounds at 0 V. Without any step, conductances are
        only set from the state, and the noise is drawn from its stationary distribution.
    junctions : ndarray, shape (6, junctions)
        The table of junctions; changed in place.
    nodes : ndarray
        Voltage of every place, then load of every free place to 0 V in S, then scratch.
    noise : ndarray, shape (5,)
        Standard deviation of log conductance, 0 for none, and its correlation time, s. Then, for the check of steps,
        the factor by which a conductance may change in a part of a step, 0 to allow any; in return, the largest voltage
        felt by a junction that changed more, V; and the number of parts until the next check, which every fifth has.
    random : ndarray, shape (1,)
        State of the random numbers.
    signal, trace : ndarray
        Records, one row for each integration step; either may have no rows.
    parts : int
        Contents of the trace, in this order: 1 voltages, 2 currents, 4 conductances, 8 states; added up.
    substeps : int
        Equal parts of an integration step, each solved anew; only the first is recorded.

    Returns
    -------
    int
        0; 1 if a conductance changed by more than it may; 2 if a voltage or a state is not finite.
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
        call_evolve(evolve, constants, 0.0, 1.0, junctions)
        if noise[0] > 0:
            fluctuate(math.inf, noise, random, junctions)
    watched, turn, row = noise[2] > 0.0, noise[4], 0
    before = np.empty(count if watched and (turn == 0.0 or drive.shape[0] * samples * substeps > 1) else 0)
    if watched and turn == 0.0:
        remember(noise, junctions, before)
    for t in range(drive.shape[0]):
        total = 0.0
        for i in range(inputs):
            voltage[n + i] = drive[t, i]
            total += drive[t, i]
        for i in range(inputs, fixed):
            voltage[n + i] = 0.0
        for part in range(samples * substeps):
            solve(slot, border, start, rows, target, load, conductance, work, voltage)
            for j in range(count):
                drop[j] = voltage[first[j]] - voltage[second[j]]
            if part % substeps == 0:
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
            call_evolve(evolve, constants, step / substeps, 1.0 if total >= 0 else -1.0, junctions)
            if watched:
                if turn == 0.0:
                    compare(junctions, before, noise)
                    turn = _BETWEEN
                else:
                    turn -= 1.0
                    if turn == 0.0 and len(before):
                        before[:] = conductance
            if noise[0] > 0:
                fluctuate(step / substeps, noise, random, junctions)
    noise[4] = turn
    if not (finite(state) and finite(voltage)):
        return 2
    return 1 if noise[3] > 0.0 else 0


@_inner
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


@_outer
def rest(
    evolve: int,
    constants: Floats,
    duration: float,
    longest: float,
    noise: Floats,
    random: npt.NDArray[np.uint64],
    junctions: Floats,
) -> bool:
    """Let all junctions relax at 0 V.

    Parameters
    ----------
    evolve, constants, noise, random, junctions
        As in `advance`.
    duration : float
        s.
    longest : float
        Duration of the first step, s; inf for one step, exact whatever its duration. Further ones are as long as
        allows two halves to agree with the whole.

    Returns
    -------
    bool
        Whether that was possible, and all states are finite.
    """
    state = junctions[STATE]
    junctions[DROP] = 0.0
    left, step, tries = duration, min(longest, duration), 0
    before, whole = np.empty(len(state)), np.empty(len(state))
    if longest == math.inf:
        call_evolve(evolve, constants, duration, 1.0, junctions)
        left = 0.0
    scale = 0.0
    while left > 0 and tries < _TRIES:
        tries += 1
        step = min(step, left)
        before[:] = state
        call_evolve(evolve, constants, step, 1.0, junctions)
        whole[:] = state
        state[:] = before
        call_evolve(evolve, constants, 0.5 * step, 1.0, junctions)
        call_evolve(evolve, constants, 0.5 * step, 1.0, junctions)
        error = 0.0
        for j in range(len(state)):
            scale = max(scale, abs(before[j]), abs(state[j]))
            error = max(error, abs(state[j] - whole[j]))
        if finite(state) and finite(whole) and error <= _AGREEMENT * scale:
            left -= step
            step *= 2.0 if error <= 0.2 * _AGREEMENT * scale else 1.0
        else:
            state[:] = before
            step *= 0.5
    call_evolve(evolve, constants, 0.0, 1.0, junctions)
    if noise[0] > 0:
        fluctuate(duration, noise, random, junctions)
    return left <= 0 and finite(state)


for _cached in (advance, rest):
    recompile_with(_cached, "inmateria.simulators.nanowire.compiled_calls")


@_inner
def finite(values: Floats) -> bool:
    """Whether all values are finite."""
    strange = 0
    for i in range(len(values)):
        strange += 0 if abs(values[i]) <= _LARGEST else 1
    return strange == 0


@_inner
def remember(noise: Floats, junctions: Floats, before: Floats) -> None:
    """Copy the conductances, without their noise."""
    walk, conductance = junctions[WALK], junctions[CONDUCTANCE]
    for j in range(len(before)):
        before[j] = conductance[j]
    if noise[0] > 0:
        for j in range(len(before)):
            before[j] *= math.exp(-walk[j])


@_inner
def compare(junctions: Floats, before: Floats, noise: Floats) -> None:
    """Note the largest voltage felt by a junction whose conductance changed by more than it may."""
    conductance, most = junctions[CONDUCTANCE], noise[2]
    many = 0
    for j in range(len(before)):
        many += 1 if conductance[j] > most * before[j] or before[j] > most * conductance[j] else 0
    if many:
        for j in range(len(before)):
            if conductance[j] > most * before[j] or before[j] > most * conductance[j]:
                noise[3] = max(noise[3], abs(junctions[DROP, j] * junctions[FEELS, j]))


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
