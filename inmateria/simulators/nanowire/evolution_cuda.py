"""How one junction evolves: one function for each model, compiled into the kernel of ensembles on a CUDA device.

The arithmetic is that of `evolution`. Such a function takes (constants, step, voltage, state): the result of the
model's ``packed()``; a duration in s; the voltage that the junction feels, V; and its state. It returns the new state,
and its conductance, S. It is in the subset of Python that numba compiles for CUDA, which has neither min nor max with
numba 0.66 to 0.68 (https://github.com/numba/numba/issues/10753).
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def tunnelling_filament(constants: Floats, step: float, voltage: float, state: float) -> tuple[float, float]:
    """Evolve by the equations of `Filament`."""
    size = abs(voltage)
    excess, lack, shrinking = size - constants[0], constants[1] - size, constants[2] * step
    x = state + math.copysign(excess if excess > 0.0 else 0.0, voltage) * step
    left = abs(x) - (lack if lack > 0.0 else 0.0) * (shrinking if shrinking < 1e250 else 1e250)
    if left <= 0.0 and not (constants[10] > 0.0 and x != 0.0):  # it may jump across zero, but does not leave it
        left = 0.0
    x = math.copysign(1.0, x) * left
    x = math.copysign(constants[3], x) if abs(x) > constants[3] else x
    gap = 1.0 - abs(x) * constants[4]
    gap = gap if gap > 0.0 else 0.0
    width = gap if constants[9] == 1.0 else gap ** constants[9]
    # The constants hold a 64th of the exponent.
    return x, 1.0 / (constants[7] * width * math.exp(64.0 * gap * constants[8]) + constants[5]) + constants[6]


def switching_filament(constants: Floats, step: float, voltage: float, state: float) -> tuple[float, float]:
    """Evolve by the equations of `Binary`."""
    size = abs(voltage)
    excess, lack, shrinking = size - constants[0], constants[1] - size, constants[2] * step
    x = state + math.copysign(excess if excess > 0.0 else 0.0, voltage) * step
    left = abs(x) - (lack if lack > 0.0 else 0.0) * (shrinking if shrinking < 1e250 else 1e250)
    if left <= 0.0 and not (constants[10] > 0.0 and x != 0.0):
        left = 0.0
    x = math.copysign(1.0, x) * left
    x = math.copysign(constants[3], x) if abs(x) > constants[3] else x
    return x, constants[5] if abs(x) >= constants[4] else constants[6]


def balanced_rate(constants: Floats, step: float, voltage: float, state: float) -> tuple[float, float]:
    """Evolve by the equations of `RateBalance`, exact over a step in which the voltage is constant."""
    size = abs(voltage)
    exponent = constants[2] * size
    up = constants[0] * math.exp(exponent if exponent < 600.0 else 600.0)
    rate = up + constants[1] * math.exp(-constants[3] * size)
    x = state - (state - up / rate) * -math.expm1(-rate * step)
    return x, constants[4] + (constants[5] - constants[4]) * x
