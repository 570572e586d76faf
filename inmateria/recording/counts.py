"""Conversion of signals from units back to the counts of an analog-to-digital converter, in one pass."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.recording.format import RecordingError


def counts_of(signal: npt.NDArray[Any], scale: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Convert a signal back to the counts it was made from.

    Parameters
    ----------
    signal : ndarray of float, shape (samples, outputs)
    scale : ndarray of float, shape (outputs,)
        Size of one count, in the unit of each output.

    Raises
    ------
    RecordingError
        If a value is not exactly an int16 count times the scale.
    """
    values = np.ascontiguousarray(signal, dtype=np.float64)
    counts = np.empty(values.shape, np.int16)
    if not _turn(values, scale, 1 / scale, counts):
        with np.errstate(invalid="ignore"):
            row, column = np.argwhere(counts * scale != values)[0]
        raise RecordingError(
            f"a signal is {signal[row, column]!r} on output {column}; it must be an int16 count times "
            f"{scale[column]!r}; give the scale that it was made with, or none to store float64"
        )
    return counts


def get_ready() -> None:
    """Compile the conversion in advance, so that no device has to wait for it."""
    with log_compilation("the kernel of int16 recordings", _turn):
        _turn(np.zeros((1, 1)), np.ones(1), np.ones(1), np.empty((1, 1), np.int16))


@numba.njit(cache=True, nogil=True)
def _turn(
    values: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    per_unit: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int16],
) -> bool:
    """Fill `counts`, with 0 for values that are no counts, and return whether all were."""
    good = True
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            count = np.rint(value * per_unit[column])
            exact = (count >= -32768.0) & (count <= 32767.0) & (count * scale[column] == value)
            counts[row, column] = np.int16(count if exact else 0.0)
            good &= exact
    return good
