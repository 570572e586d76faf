"""Measurements of the clock behind an LSL inlet, with the time and the uncertainty that liblsl gives for each."""

import ctypes
from dataclasses import dataclass
from typing import Any

__all__ = ["TimeCorrection", "time_correction"]


@dataclass(frozen=True, slots=True)
class TimeCorrection:
    """One measurement.

    Parameters
    ----------
    remote : float
        When it was made, s on the sender's LSL clock.
    offset : float
        What has to be added to the sender's times for this machine's LSL clock, s.
    uncertainty : float
        Round trip of the packet that it was made with, s; the offset is within half of it.
    """

    remote: float
    offset: float
    uncertainty: float


def time_correction(inlet: Any, timeout: float) -> TimeCorrection | None:
    """Return the last measurement, and wait for the first one; None if there is none within the time.

    pylsl wraps only the offset. liblsl measures again every few seconds (``TimeUpdateInterval`` of its configuration).
    """
    from pylsl.lib import lib

    measure = lib.lsl_time_correction_ex
    measure.restype = ctypes.c_double
    remote, uncertainty, error = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    offset = float(
        measure(
            inlet.obj, ctypes.byref(remote), ctypes.byref(uncertainty), ctypes.c_double(timeout), ctypes.byref(error)
        )
    )
    if error.value:
        return None
    return TimeCorrection(remote.value, offset, max(uncertainty.value, 1e-6))
