"""A pole on a cart: the equations of motion, a tick at a time.

A. G. Barto, R. S. Sutton and C. W. Anderson, IEEE Trans. Syst. Man Cybern. 13, 834 (1983).
"""

import numpy as np

from inmateria.substrate import FloatArray

__all__ = ["FALLEN", "has_fallen", "pushed"]

_TICK = 0.02
"""s of the pole's own time."""
FALLEN = float(np.radians(12.0))
"""Angle at which the pole has fallen, rad."""
_GONE = 2.4


def pushed(state: FloatArray, push: float) -> FloatArray:
    """Return the state (place, speed, angle, angular velocity) a tick after a push of 10 N left or right."""
    place, speed, angle, turning = state
    force = 10.0 if push > 0 else -10.0
    cos, sin = np.cos(angle), np.sin(angle)
    inner = (force + 0.05 * turning**2 * sin) / 1.1
    bent = (9.8 * sin - cos * inner) / (0.5 * (4.0 / 3.0 - 0.1 * cos**2 / 1.1))
    sped = inner - 0.05 * bent * cos / 1.1
    return np.array([place + _TICK * speed, speed + _TICK * sped, angle + _TICK * turning, turning + _TICK * bent])


def has_fallen(state: FloatArray) -> bool:
    """Return whether the pole has fallen by more than 12 degrees, or the cart has left its track of 2.4 m each way."""
    return bool(abs(state[0]) > _GONE or abs(state[2]) > FALLEN)
