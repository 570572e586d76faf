"""How the junctions of one network evolve: one function for each model, compiled on its own and called by address.

Such a function takes (constants, step, sign, junctions): the result of the model's ``packed()``; a duration in s; 1.0
or -1.0, the sign of the summed input voltages; and the table of junctions, whose rows are named in `kernel`. It
advances ``junctions[STATE]`` by that time under the voltages ``junctions[DROP] * junctions[FEELS]``, and sets
``junctions[CONDUCTANCE]`` to the new state's conductance times ``junctions[CONDUCTS]``. A duration of 0 leaves the
state as it is.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import borrowing_kernel
from inmateria.simulators.nanowire.kernel import CONDUCTANCE, CONDUCTS, DROP, FEELS, STATE
from inmateria.simulators.vector_lanes import LANES, choose, load_run, signed, splat, store_run

Floats = npt.NDArray[np.float64]

_inner = borrowing_kernel()


def tunnelling_filaments(constants: Floats, step: float, sign: float, junctions: Floats) -> None:  # pragma: no cover
    """Evolve by the equations of `Filament`."""
    drop, feels, conducts = junctions[DROP], junctions[FEELS], junctions[CONDUCTS]
    state, conductance = junctions[STATE], junctions[CONDUCTANCE]
    whole = 0
    if constants[9] == 1.0 and not constants[10] > 0.0:
        whole = len(state) // LANES * LANES
        _grow_and_tunnel(constants, step, feels, drop, conducts, state, conductance)
    _grow(constants, step, feels[whole:], drop[whole:], state[whole:])
    _tunnel(constants, conducts[whole:], state[whole:], conductance[whole:])


def switching_filaments(constants: Floats, step: float, sign: float, junctions: Floats) -> None:  # pragma: no cover
    """Evolve by the equations of `Binary`."""
    _grow(constants, step, junctions[FEELS], junctions[DROP], junctions[STATE])
    closed, on, off = constants[4], constants[5], constants[6]
    state, conductance, conducts = junctions[STATE], junctions[CONDUCTANCE], junctions[CONDUCTS]
    for j in range(len(state)):
        conductance[j] = conducts[j] * (on if abs(state[j]) >= closed else off)


def balanced_rates(constants: Floats, step: float, sign: float, junctions: Floats) -> None:  # pragma: no cover
    """Evolve by the equations of `RateBalance`, exact over a step in which the voltage is constant."""
    drop, feels, conducts = junctions[DROP], junctions[FEELS], junctions[CONDUCTS]
    state, conductance = junctions[STATE], junctions[CONDUCTANCE]
    off, more = constants[4], constants[5] - constants[4]
    for j in range(len(state)):
        size = abs(drop[j] * feels[j])
        up = constants[0] * math.exp(min(constants[2] * size, 600.0))
        down = constants[1] * math.exp(-constants[3] * size)
        rate = up + down
        state[j] -= (state[j] - up / rate) * -math.expm1(-rate * step)
        conductance[j] = conducts[j] * (off + more * state[j])


def drifting_dopants(constants: Floats, step: float, sign: float, junctions: Floats) -> None:  # pragma: no cover
    """Evolve by the equations of `LinearDrift`: half of the decay, the drift, the other half (Strang's splitting).

    Each part is exact for a constant voltage: without a window, the integral q of the resistance over x grows linearly
    with the flux. With one, the drift is made of midpoint steps, in each of which x moves by a twentieth at most.
    """
    off, on, per_charge, per_decay, window = constants[0], constants[1], constants[2], constants[3], constants[4]
    drop, feels, conducts = junctions[DROP], junctions[FEELS], junctions[CONDUCTS]
    state, conductance = junctions[STATE], junctions[CONDUCTANCE]
    kept, bend, full = math.exp(-0.5 * per_decay * step), on - off, 0.5 * (off + on)
    for j in range(len(state)):
        x = kept * state[j]
        flux = min(per_charge * abs(drop[j] * feels[j]) * step, 1e250) * sign
        if window > 0.0:
            x = _drift_in_window(x, flux, off, bend, window)
        elif flux != 0.0:
            q = x * (off + 0.5 * bend * x) + flux
            q = q if q > 0.0 else 0.0
            q = q if q < full else full
            x = 2.0 * q / (off + math.sqrt(off * off + 2.0 * bend * q))
        x *= kept
        x = x if x < 1.0 else 1.0
        state[j] = x
        conductance[j] = conducts[j] / (off + bend * x)


@_inner
def _drift_in_window(x: float, flux: float, off: float, bend: float, window: float) -> float:
    """Solve R(x) dx = f(x) d(flux) by midpoint steps."""
    parts = math.ceil(min(20.0 * max(1.0, window) * abs(flux) / (off + bend), 10_000.0))
    for _ in range(parts):
        d = flux / parts
        middle = x + 0.5 * d * (1.0 - (2.0 * x - 1.0) ** (2.0 * window)) / (off + bend * x)
        middle = min(max(middle, 0.0), 1.0)
        x += d * (1.0 - (2.0 * middle - 1.0) ** (2.0 * window)) / (off + bend * middle)
        x = min(max(x, 0.0), 1.0)
    return x


@_inner
def _grow(constants: Floats, step: float, feels: Floats, drop: Floats, state: Floats) -> None:
    """Grow and shrink filaments; branch-free, so that the loop is vectorised."""
    set_voltage, reset_voltage = constants[0], constants[1]
    shrinking, full, jumps = min(constants[2] * step, 1e250), constants[3], constants[10] > 0.0
    for j in range(len(state)):
        v = drop[j] * feels[j]
        size = abs(v)
        above = size - set_voltage
        below = reset_voltage - size
        x = state[j] + math.copysign(above if above > 0.0 else 0.0, v) * step
        loss = (below if below > 0.0 else 0.0) * shrinking
        left = abs(x) - loss
        floor = left if jumps and x != 0.0 else 0.0  # it may jump across zero, but does not leave it
        left = left if left > 0.0 else floor
        x = math.copysign(1.0, x) * left
        x = x if x < full else full
        state[j] = x if x > -full else -full


@_inner
def _tunnel(constants: Floats, conducts: Floats, state: Floats, conductance: Floats) -> None:
    """Compute the conductance of a filament's gap.

    exp(y) is (exp(y/64))^64 by a polynomial: without a call, the loop is vectorised.
    """
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
def _grow_and_tunnel(
    constants: Floats, step: float, feels: Floats, drop: Floats, conducts: Floats, state: Floats, conductance: Floats
) -> None:
    """Evolve sixteen filaments at a time, as many whole times as there are; the same arithmetic, to the bit.

    The compiler's own vectors have half the width, and two loops would load the states twice.
    """
    set_voltage, reset_voltage, duration = splat(constants[0]), splat(constants[1]), splat(step)
    shrinking, full = splat(min(constants[2] * step, 1e250)), splat(constants[3])
    per_closed, on_resistance, off = splat(constants[4]), splat(constants[5]), splat(constants[6])
    widest, exponent = splat(constants[7]), splat(constants[8])
    zero, one = splat(0.0), splat(1.0)
    lanes, at = numba.uint64(LANES), numba.uint64(0)
    for _ in range(len(state) // LANES):
        v = load_run(drop, at) * load_run(feels, at)
        size = signed(v, one)
        above, below = size - set_voltage, reset_voltage - size
        x = load_run(state, at) + signed(choose(above, zero, above, zero), v) * duration
        left = signed(x, one) - choose(below, zero, below, zero) * shrinking
        left = choose(left, zero, left, zero)
        left = choose(full, left, left, full)
        x = signed(left, x)
        store_run(state, at, x)
        gap = one - left * per_closed
        gap = choose(gap, zero, gap, zero)
        e = _exp_of_64th(gap * exponent)
        resistance = widest * gap * e + on_resistance
        store_run(conductance, at, load_run(conducts, at) * (one / resistance + off))
        at += lanes


@_inner
def _exp_of_64th(y: Any) -> Any:
    """Compute exp(64 y) as in `_tunnel`."""
    e = splat(1.0 / 479001600.0) * y + splat(1.0 / 39916800.0)
    e = e * y + splat(1.0 / 3628800.0)
    e = e * y + splat(1.0 / 362880.0)
    e = e * y + splat(1.0 / 40320.0)
    e = e * y + splat(1.0 / 5040.0)
    e = e * y + splat(1.0 / 720.0)
    e = e * y + splat(1.0 / 120.0)
    e = e * y + splat(1.0 / 24.0)
    e = e * y + splat(1.0 / 6.0)
    e = e * y + splat(0.5)
    e = e * y + splat(1.0)
    e = e * y + splat(1.0)
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e
