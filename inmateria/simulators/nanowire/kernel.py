"""The compiled step of a resistor network with memory: eliminate, solve back, let every junction evolve.

One function, no Python in it and the GIL released. How junctions evolve is a function of their model, called by its
address. Its arrays are described in `elimination` and `models`.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import borrowing_kernel, recompile_with
from inmateria.simulators.nanowire.compiled_calls import call_evolve, call_solve
from inmateria.simulators.nanowire.junction_table import CONDUCTANCE, CONDUCTS, DROP, FEELS, ROWS, STATE, WALK
from inmateria.simulators.nanowire.solution import drive_again, solve, unchanged, unpack

__all__ = ["CONDUCTANCE", "CONDUCTS", "DROP", "FEELS", "ROWS", "STATE", "WALK", "advance", "rest"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_BETWEEN = 4.0  # parts between two that are checked for large changes
_TRIES, _AGREEMENT = 50_000, 1e-5  # of `rest`: steps at most, and their error beside the largest state so far
_LARGEST = float(np.finfo(np.float64).max)

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@borrowing_kernel(cache=True)
def advance(
    plan: Indices,
    solver: int,
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
    room: Floats,
) -> int:
    """Run all steps of a drive, each in ``samples`` integration steps of ``step`` seconds.

    Parameters
    ----------
    plan : ndarray
        `Elimination.packed`.
    solver : int
        Address of `circuit.solve_circuit`, if the plan says that there is a circuit; else 0.
    evolve, constants : int, ndarray
        Address (`address_of`) of the junction model's function, and its packed constants, those of each kind of
        junction after one another.
    step, samples : float, int
    drive : ndarray, shape (steps, inputs)
        V; NaN for an input that floats. Fixed places are the inputs in order, then grounds at 0 V. Without any step,
        conductances are only set from the state, and the noise is drawn from its stationary distribution.
    junctions : ndarray, shape (6, junctions)
        The table of junctions; changed in place.
    nodes : ndarray
        Voltage of every place, then load of every free place to 0 V in S, then what `circuit.solve_circuit`
        needs, or scratch; in the end what `solution.unchanged` remembers.
    noise : ndarray, shape (5,)
        Standard deviation of log conductance, 0 for none, and its correlation time, s. Then, for the check of steps,
        the factor by which a conductance may change in a part of a step, 0 to allow any; in return, the largest voltage
        felt by a junction that changed more, V; and the number of parts until the next check, which every fifth has.
    random : ndarray, shape (1,)
        State of the random numbers.
    signal, trace : ndarray
        Records, one row for each integration step; either may have no rows.
    parts : int
        Contents of the trace, in this order: 1 voltages, 2 currents, 4 conductances, 8 states, 16 voltages of sources;
        added up.
    substeps : int
        Equal parts of an integration step, each solved anew; only the first is recorded.
    room : ndarray
        Scratch: a number for each junction; the table of junctions once more, if there are several kinds.

    Returns
    -------
    int
        0; 1 if a conductance changed by more than it may; 2 if a voltage or a state is not finite.
    """
    (
        place, first, second, slot, border, contact, start, rows, target,
        _, _, _, _, _, _, read, circuit, kinds,
    ) = unpack(plan)  # fmt: skip
    n = len(start) - 1
    count = len(first)
    inputs = drive.shape[1]
    fixed = len(place) - n
    voltage = nodes[: n + fixed]
    load = nodes[n + fixed : n + fixed + n]
    surrounded = circuit[0] > 0
    at = n + fixed + n
    ports = nodes[at : at + (4 * fixed + (count if circuit[2] else 0) if surrounded else 0)]
    work = nodes[at + len(ports) :]
    before, table = room[:count], room[count:]
    state, conductance, drop = junctions[STATE], junctions[CONDUCTANCE], junctions[DROP]
    if drive.shape[0] == 0:
        evolve_kinds(kinds, evolve, constants, 0.0, 1.0, junctions, table)
        if noise[0] > 0:
            fluctuate(math.inf, noise, random, junctions)
    watched, turn, row = noise[2] > 0.0, noise[4], 0
    if watched and turn == 0.0:
        remember(noise, junctions, before)
    for t in range(drive.shape[0]):
        total = 0.0
        for i in range(inputs):
            voltage[n + i] = drive[t, i]
            if surrounded:
                ports[i] = drive[t, i]
            if not math.isnan(drive[t, i]):
                total += drive[t, i]
        for i in range(inputs, fixed):
            voltage[n + i] = 0.0
        for part in range(samples * substeps):
            if surrounded:
                call_solve(solver, plan, junctions, nodes)
            else:
                if unchanged(conductance, nodes):
                    drive_again(border, start, rows, conductance, work, voltage)
                else:
                    solve(slot, border, start, rows, target, load, conductance, work, voltage)
                for j in range(count):
                    drop[j] = voltage[first[j]] - voltage[second[j]]
            if part % substeps == 0:
                if len(signal):
                    for i in range(len(read)):
                        signal[row, i] = voltage[read[i]]
                    collect(contact, conductance, drop, signal[row, len(read) : len(read) + fixed])
                    for i in range(signal.shape[1] - len(read) - fixed):
                        signal[row, len(read) + fixed + i] = ports[3 * fixed + i]
                if len(trace):
                    at = 0
                    if parts & 16:
                        last = trace.shape[1] - inputs
                        for i in range(inputs):
                            trace[row, last + i] = ports[3 * fixed + i] if surrounded else drive[t, i]
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
            sign = 1.0 if total >= 0 else -1.0
            evolve_kinds(kinds, evolve, constants, step / substeps, sign, junctions, table)
            if watched:
                if turn == 0.0:
                    compare(junctions, before, noise)
                    turn = _BETWEEN
                else:
                    turn -= 1.0
                    if turn == 0.0:
                        _copy(conductance, before)
            if noise[0] > 0:
                fluctuate(step / substeps, noise, random, junctions)
    noise[4] = turn
    if not (finite(state) and finite(voltage)):
        return 2
    return 1 if noise[3] > 0.0 else 0


@_inner
def evolve_kinds(
    kinds: Indices, evolve: int, constants: Floats, step: float, sign: float, junctions: Floats, room: Floats
) -> None:
    """Evolve all junctions, those of one kind together.

    ``kinds`` is empty if all are of one. Else it is the number of kinds, where the list of each begins and the last one
    ends in it, and the lists of junctions. The constants have those of each kind.
    """
    if len(kinds) == 0:
        call_evolve(evolve, constants, step, sign, junctions)
        return
    number = np.int64(kinds[0])
    size, lines = len(constants) // number, len(junctions)
    for k in range(number):
        members = kinds[np.int64(kinds[1 + k]) : np.int64(kinds[2 + k])]
        some = len(members)
        table = room[: lines * some].reshape(lines, some)
        for line in range(lines):
            for i in range(some):
                table[line, i] = junctions[line, members[i]]
        call_evolve(evolve, constants[k * size : (k + 1) * size], step, sign, table)
        for i in range(some):
            junctions[STATE, members[i]] = table[STATE, i]
            junctions[CONDUCTANCE, members[i]] = table[CONDUCTANCE, i]


@_inner
def _copy(values: Floats, to: Floats) -> None:
    for i in range(len(values)):  # a slice assigned as a whole takes seconds to compile
        to[i] = values[i]


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
        Longest duration, s, for which one call of ``evolve`` tells how fast states change; inf where one is exact
        whatever its duration.

    Returns
    -------
    bool
        Whether that was possible, and all states are finite.

    Notes
    -----
    At 0 V each state follows an equation of its own, x' = f(x). Exponential Euler steps, x + (exp(J h) - 1) / J f(x)
    with J = df/dx (Pope, Commun. ACM 6, 491 (1963)), are exact for a decay at any duration; they are as long as allows
    two halves to agree with the whole.
    """
    state = junctions[STATE]
    junctions[DROP] = 0.0
    left, tries = duration, 0
    if longest == math.inf:
        call_evolve(evolve, constants, duration, 1.0, junctions)
        left = 0.0
    before, whole, work = np.empty(len(state)), np.empty(len(state)), np.empty((3, len(state)))
    scale, step, probe = 1e-30, min(longest, duration), 1e-2 * min(longest, duration)
    while left > 0 and tries < _TRIES:
        tries += 1
        step = min(step, left)
        for j in range(len(state)):
            scale = max(scale, abs(state[j]))
            before[j] = state[j]
        relax(evolve, constants, step, probe, scale, junctions, work)
        _copy(state, whole)
        _copy(before, state)
        relax(evolve, constants, 0.5 * step, probe, scale, junctions, work)
        relax(evolve, constants, 0.5 * step, probe, scale, junctions, work)
        error = 0.0
        for j in range(len(state)):
            scale = max(scale, abs(state[j]))
            error = max(error, abs(state[j] - whole[j]))
        if finite(state) and finite(whole) and error <= _AGREEMENT * scale:
            left -= step
            step *= 2.0 if error <= 0.2 * _AGREEMENT * scale else 1.0
        else:
            _copy(before, state)
            step *= 0.5
    call_evolve(evolve, constants, 0.0, 1.0, junctions)
    if noise[0] > 0:
        fluctuate(duration, noise, random, junctions)
    return left <= 0 and finite(state)


@_inner
def relax(
    evolve: int, constants: Floats, step: float, probe: float, scale: float, junctions: Floats, work: Floats
) -> None:
    """Take an exponential Euler step, with f and J from three short steps of the model."""
    state, base, slope, bend = junctions[STATE], work[0], work[1], work[2]
    _copy(state, base)
    call_evolve(evolve, constants, probe, 1.0, junctions)
    for j in range(len(state)):
        slope[j] = (state[j] - base[j]) / probe
        bend[j] = math.inf
    for side in range(2):
        size = 1e-6 * scale if side == 0 else -1e-6 * scale
        for j in range(len(state)):
            state[j] = base[j] + size
        call_evolve(evolve, constants, probe, 1.0, junctions)
        for j in range(len(state)):
            J = ((state[j] - (base[j] + size)) / probe - slope[j]) / size
            # On one side of a bound a model may push states back at once, which is no rate of its equation.
            bend[j] = J if abs(J) < abs(bend[j]) else bend[j]
    for j in range(len(state)):
        z = bend[j] * step
        moved = slope[j] * (step if abs(z) < 1e-9 else math.expm1(min(z, 300.0)) / bend[j])
        state[j] = base[j] + moved


for _cached in (advance, rest):
    recompile_with(
        _cached, "inmateria.simulators.nanowire.compiled_calls", "inmateria.simulators.nanowire.solution",
        "inmateria.simulators.nanowire.junction_table", "inmateria.simulators.nanowire.short_columns",
        "inmateria.simulators.nanowire.long_columns",
    )  # fmt: skip


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
