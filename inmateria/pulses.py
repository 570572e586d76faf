"""The pulse: one type for guards, logs, adapters, twins and simulated cultures."""

import numpy as np
import numpy.typing as npt

__all__ = ["PULSE", "PulseArray", "biphasic", "charge_of"]

PULSE = np.dtype(
    [
        ("time", "<f8"),
        ("electrode", "<u4"),
        ("amplitude", "<f8"),
        ("duration", "<f8"),
        ("second_amplitude", "<f8"),
        ("second_duration", "<f8"),
    ]
)
"""One biphasic pulse: when its first phase begins (s), on which electrode, current (A) and duration (s) of both phases.

The sign of a current is its direction: negative is cathodic. A simulated culture counts times from the beginning of a
run; wherever a pulse is checked or logged they are on one clock that never goes back, seconds since 1970.
"""

PulseArray = npt.NDArray[np.void]
"""An array of dtype `PULSE`."""


def biphasic(
    time: npt.ArrayLike, electrode: npt.ArrayLike, amplitude: npt.ArrayLike, duration: npt.ArrayLike
) -> PulseArray:
    """Make charge-balanced pulses of two equal and opposite phases; each argument is one value or one a pulse.

    Parameters
    ----------
    time : array_like of float
        When each begins, s.
    electrode : array_like of int
    amplitude : array_like of float
        Current of the first phase, A; its sign is the direction, negative being cathodic first.
    duration : array_like of float
        Of each of the two phases, s.

    Returns
    -------
    ndarray of `PULSE`, shape (pulses,)
    """
    parts = np.broadcast_arrays(np.atleast_1d(time), electrode, amplitude, duration)
    pulses = np.zeros(parts[0].shape, dtype=PULSE)
    for name, part in zip(("time", "electrode", "amplitude", "duration"), parts, strict=True):
        pulses[name] = part
    pulses["second_amplitude"], pulses["second_duration"] = -pulses["amplitude"], pulses["duration"]
    return pulses


def charge_of(pulses: PulseArray) -> npt.NDArray[np.float64]:
    """Compute the charge of the larger phase of each pulse, C."""
    first = np.abs(pulses["amplitude"] * pulses["duration"])
    second = np.abs(pulses["second_amplitude"] * pulses["second_duration"])
    return np.asarray(np.maximum(first, second))
