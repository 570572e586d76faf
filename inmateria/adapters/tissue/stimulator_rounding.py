"""Rounding of Intan's stimulators, which RHX and the Neuroplatform share: durations to samples, currents to steps."""

import math

__all__ = ["current_steps", "duration_samples"]


def duration_samples(microseconds: float, rate: float) -> int:
    """Return the number of samples that RHX programs for a duration: the nearest, halves rounded up."""
    return _nearest(microseconds / (1e6 / rate))


def current_steps(microamps: float, step: float) -> int:
    """Return the number of current steps (uA each) that RHX programs for a current: the nearest, halves rounded up."""
    return _nearest(microamps / step)


def _nearest(value: float) -> int:
    """Round a number from 0 up as C's ``round`` does; Python's rounds halves to even."""
    whole = math.floor(value)
    return whole + (value - whole >= 0.5)
