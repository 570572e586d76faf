"""How the junctions of sixteen networks of one graph evolve, each network in one lane of the processor's vectors.

The arithmetic is that of `evolution`. Such a function takes (constants, step, first, second, voltage, alike,
junctions, room): the packed constants in lanes; a duration in s; the places of both ends of each junction, and the
voltages there, in lanes; whether all junctions are alike, so that factors are 1; the table of junctions, in lanes, with
one junction more than the network has; and scratch for a number of each. A conductance whose state changed in no lane
may be left as it is.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.kernel import CONDUCTANCE, CONDUCTS, FEELS, STATE
from inmateria.simulators.vector_lanes import any_differs_above, choose, load, scaled, signed, splat, store

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_inner = numba.njit(error_model="numpy", nogil=True)


def tunnelling_filaments(  # pragma: no cover
    constants: Floats,
    step: float,
    first: Indices,
    second: Indices,
    voltage: Floats,
    alike: bool,
    junctions: Floats,
    room: Indices,
) -> None:
    """Evolve by the equations of `Filament`: all states, then the conductances of those that changed and are open."""
    per_closed = load(constants, numba.uint64(4))
    changed = _grow(constants, splat(1.0), per_closed, step, first, second, voltage, alike, junctions, room)
    state, conductance, conducts = junctions[STATE], junctions[CONDUCTANCE], junctions[CONDUCTS]
    zero, one = splat(0.0), splat(1.0)
    on, off, widest = (
        load(constants, numba.uint64(5)), load(constants, numba.uint64(6)), load(constants, numba.uint64(7)),
    )  # fmt: skip
    exponent = load(constants, numba.uint64(8)) * splat(64.0)  # the constants hold a 64th of it, for `evolution`
    for i in range(changed):
        j = numba.uint64(room[i])
        gap = one - signed(load(state, j), one) * per_closed
        gap = choose(gap, zero, gap, zero)
        g = one / (widest * gap * _exponential(gap * exponent) + on) + off
        store(conductance, j, g if alike else g * load(conducts, j))


def switching_filaments(  # pragma: no cover
    constants: Floats,
    step: float,
    first: Indices,
    second: Indices,
    voltage: Floats,
    alike: bool,
    junctions: Floats,
    room: Indices,
) -> None:
    """Evolve by the equations of `Binary`."""
    changed = _grow(constants, splat(1.0), splat(0.0), step, first, second, voltage, alike, junctions, room)
    state, conductance, conducts = junctions[STATE], junctions[CONDUCTANCE], junctions[CONDUCTS]
    one = splat(1.0)
    closed, on, off = (
        load(constants, numba.uint64(4)), load(constants, numba.uint64(5)), load(constants, numba.uint64(6)),
    )  # fmt: skip
    for i in range(changed):
        j = numba.uint64(room[i])
        g = choose(closed, signed(load(state, j), one), off, on)
        store(conductance, j, g if alike else g * load(conducts, j))


@_inner
def _grow(
    constants: Floats,
    height: Any,
    slope: Any,
    step: float,
    first: Indices,
    second: Indices,
    voltage: Floats,
    alike: bool,
    junctions: Floats,
    room: Indices,
) -> Any:
    """Grow and shrink filaments; list and count those that changed in a lane where height is above slope times size."""
    duration = splat(step)
    set_voltage, reset_voltage = load(constants, numba.uint64(0)), load(constants, numba.uint64(1))
    shrinking = load(constants, numba.uint64(2)) * duration
    full, overshoot = load(constants, numba.uint64(3)), load(constants, numba.uint64(10))
    state, feels = junctions[STATE], junctions[FEELS]
    zero, one = splat(0.0), splat(1.0)
    changed: Any = numba.uint64(0)
    # The usual case has a loop of its own, whose values fit into the registers.
    if alike and not any_differs_above(overshoot, zero, one, zero):
        for j in range(numba.uint64(len(first))):
            v = load(voltage, first[j]) - load(voltage, second[j])
            before = load(state, j)
            size = signed(v, one)
            above, below = size - set_voltage, reset_voltage - size
            x = before + signed(choose(above, zero, above, zero), v) * duration
            left = signed(x, one) - choose(below, zero, below, zero) * shrinking
            left = choose(left, zero, left, zero)
            left = choose(full, left, left, full)
            was = signed(before, one)
            smaller = choose(was, left, left, was)
            x = signed(left, x)
            store(state, j, x)
            room[changed] = j
            changed += numba.uint64(any_differs_above(x, before, height, slope * smaller))
        return changed
    for j in range(numba.uint64(len(first))):
        v = (load(voltage, first[j]) - load(voltage, second[j])) * load(feels, j)
        before = load(state, j)
        size = signed(v, one)
        above, below = size - set_voltage, reset_voltage - size
        x = before + signed(choose(above, zero, above, zero), v) * duration
        left = signed(x, one) - choose(below, zero, below, zero) * shrinking
        # A filament that may jump across zero still does not leave it.
        left = choose(left, zero, left, choose(signed(x, one), zero, left * overshoot, zero))
        left = choose(full, left, left, full)
        x = signed(one, x) * left
        was, size = signed(before, one), signed(x, one)
        smaller = choose(was, size, size, was)
        store(state, j, x)
        room[changed] = j
        changed += numba.uint64(any_differs_above(x, before, height, slope * smaller))
    return changed


def balanced_rates(  # pragma: no cover
    constants: Floats,
    step: float,
    first: Indices,
    second: Indices,
    voltage: Floats,
    alike: bool,
    junctions: Floats,
    room: Indices,
) -> None:
    """Evolve by the equations of `RateBalance`."""
    state, conductance = junctions[STATE], junctions[CONDUCTANCE]
    feels, conducts = junctions[FEELS], junctions[CONDUCTS]
    one, minus, most, duration = splat(1.0), splat(-1.0), splat(600.0), splat(step)
    up_at_rest, down_at_rest = load(constants, numba.uint64(0)), load(constants, numba.uint64(1))
    up_slope, down_slope = load(constants, numba.uint64(2)), load(constants, numba.uint64(3))
    off = load(constants, numba.uint64(4))
    more = load(constants, numba.uint64(5)) - off
    for j in range(numba.uint64(len(first))):
        v = load(voltage, first[j]) - load(voltage, second[j])
        size = signed(v if alike else v * load(feels, j), one)
        climbing, falling = up_slope * size, down_slope * size
        up = up_at_rest * _exponential(choose(most, climbing, climbing, most))
        down = down_at_rest * _exponential(minus * choose(most, falling, falling, most))
        rate = up + down
        passed = rate * duration
        kept = _exponential(minus * choose(most, passed, passed, most))
        goal = up / rate
        x = goal + (load(state, j) - goal) * kept
        store(state, j, x)
        g = off + more * x
        store(conductance, j, g if alike else g * load(conducts, j))


@_inner
def _exponential(y: Any) -> Any:
    """Compute exp(y) for -700 < y < 700 to a few units of the last place.

    It is 2^k exp(r) with abs(r) <= ln(2)/2 and a minimax polynomial for exp(r).
    """
    power = y * splat(1.4426950408889634) + splat(6755399441055744.0)  # adding 1.5 * 2^52 rounds to a whole number
    k = power - splat(6755399441055744.0)
    r = y - k * splat(0.6931471805599453)
    r = r - k * splat(2.3190468138462996e-17)  # the rest of ln(2)
    e = splat(2.7626371065696354e-07)
    e = e * r + splat(2.764019739169484e-06)
    e = e * r + splat(2.480150431378554e-05)
    e = e * r + splat(0.00019841170230570286)
    e = e * r + splat(0.001388888893251478)
    e = e * r + splat(0.008333333385699212)
    e = e * r + splat(0.041666666666573066)
    e = e * r + splat(0.16666666666554314)
    e = e * r + splat(0.5000000000000006)
    e = e * r + splat(1.0000000000000067)
    e = e * r + splat(1.0)
    return scaled(e, power)
