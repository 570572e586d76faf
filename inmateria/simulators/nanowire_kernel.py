"""The compiled step of a resistor network with memory: eliminate, solve back, let every junction evolve.

One function, no Python in it and the GIL released. All arithmetic of the elimination is additions,
multiplications and divisions of positive numbers, so that voltages stay exact to rounding however far
conductances are spread. What its arrays mean is in `nanowire_elimination` and `nanowire_models`.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire_elimination import Elimination

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def advance(
    plan: Elimination,
    model: int,
    constants: Floats,
    step: float,
    samples: int,
    drive: Floats,
    grounded: int,
    load: Floats,
    scale: Floats,
    state: Floats,
    conductance: Floats,
    work: Floats,
    voltage: Floats,
    drop: Floats,
    read: Indices,
    signal: Floats,
    voltages: Floats,
    currents: Floats,
    conductances: Floats,
    states: Floats,
) -> None:
    """Run all steps of a drive, each in ``samples`` integration steps of ``step`` seconds.

    Parameters
    ----------
    plan : Elimination
    model, constants : int, ndarray
        Code and packed constants of the junction model.
    step, samples : float, int
    drive : ndarray, shape (steps, inputs)
        V; without any step, conductances are only set from the state. Fixed places are the inputs in order,
        then ``grounded`` places at 0 V.
    load : ndarray, shape (n,)
        Conductance from each free place to 0 V besides its junctions, S.
    scale : ndarray, shape (2, junctions)
        Factors on the voltage that each junction feels, and on its conductance.
    state, conductance : ndarray, shape (junctions,)
        Changed in place.
    work, voltage, drop : ndarray
        Scratch: columns and three numbers a free place; voltage a place; voltage drop a junction.
    read : ndarray, shape (outputs,)
        Places whose voltage is read; then come the currents into the fixed places.
    signal, voltages, currents, conductances, states : ndarray
        What is recorded, a row for each integration step; any of them may have no rows.
    """
    place, first, second, slot, border, contact, start, rows, target = plan
    n = len(start) - 1
    inputs = drive.shape[1]
    fixed = inputs + grounded
    if drive.shape[0] == 0:
        settle(model, constants, scale, state, conductance)
    row = 0
    for t in range(drive.shape[0]):
        for i in range(inputs):
            voltage[n + i] = drive[t, i]
        for i in range(inputs, fixed):
            voltage[n + i] = 0.0
        for _ in range(samples):
            solve(slot, border, start, rows, target, load, conductance, work, voltage)
            for j in range(len(first)):
                drop[j] = voltage[first[j]] - voltage[second[j]]
            if len(signal):
                for i in range(len(read)):
                    signal[row, i] = voltage[read[i]]
                collect(contact, conductance, drop, signal[row, len(read) :])
            if len(voltages):
                for i in range(len(place)):
                    voltages[row, i] = voltage[place[i]]
            if len(currents):
                collect(contact, conductance, drop, currents[row])
            if len(conductances):
                conductances[row] = conductance
            if len(states):
                states[row] = state
            row += 1
            evolve(model, constants, step, scale, drop, state, conductance)


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
def evolve(
    model: int, constants: Floats, step: float, scale: Floats, drop: Floats, state: Floats, conductance: Floats
) -> None:
    """Let every junction's state follow the voltage across it for one step, then set its conductance."""
    if model == 0 or model == 1:
        grow_filaments(constants, step, scale, drop, state)
    settle(model, constants, scale, state, conductance)


@_inner
def settle(model: int, constants: Floats, scale: Floats, state: Floats, conductance: Floats) -> None:
    """Set every junction's conductance from its state, S."""
    if model == 0:
        tunnel(constants, scale, state, conductance)
    elif model == 1:
        for j in range(len(state)):
            g = constants[5] if abs(state[j]) >= constants[4] else constants[6]
            conductance[j] = scale[1, j] * g


@_inner
def grow_filaments(constants: Floats, step: float, scale: Floats, drop: Floats, state: Floats) -> None:
    """Grow and shrink filaments; branch-free, so that it is done several junctions at a time."""
    set_voltage, reset_voltage = constants[0], constants[1]
    shrinking, full, overshoot = constants[2] * step, constants[3], constants[10]
    for j in range(len(state)):
        v = drop[j] * scale[0, j]
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
def tunnel(constants: Floats, scale: Floats, state: Floats, conductance: Floats) -> None:
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
        conductance[j] = scale[1, j] * (1.0 / (widest * gap * e + on_resistance) + off)
    if power != 1.0:
        for j in range(len(state)):
            gap = 1.0 - abs(state[j]) * per_closed
            gap = gap if gap > 0.0 else 0.0
            resistance = widest * gap**power * math.exp(64.0 * gap * exponent)
            conductance[j] = scale[1, j] * (1.0 / (resistance + on_resistance) + off)


def is_compiled() -> bool:
    """Tell whether the kernel is compiled in this process or cached on this machine; cheap."""
    if advance.signatures:
        return True
    try:
        return bool(advance._cache._cache_file._load_index())  # type: ignore[attr-defined]
    except Exception:  # numba keeps this to itself and may change it
        return False
