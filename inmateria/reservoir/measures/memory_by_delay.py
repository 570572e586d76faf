"""Memory capacity from a recording of a network that was driven with a random series and read at several electrodes.

The task `memory` drives a substrate and measures the same.
"""

import numpy as np
import numpy.typing as npt

from inmateria.recording.order_of_reading import reading_order, warn_of_reading_order
from inmateria.reservoir.readouts.ridge import RidgeReadout

FloatArray = npt.NDArray[np.float64]


def memory_by_delay(
    drive: npt.ArrayLike,
    readings: npt.ArrayLike,
    delays: int = 30,
    alpha: float = 0.1,
    trained: float = 0.8,
    *,
    check_reading_order: bool = True,
) -> FloatArray:
    """Return the squared correlation of the input k samples ago with a ridge readout of the present readings.

    The first `delays` samples are left out; a readout for every delay is fitted to the first part of the rest and
    scored on the second, as in the package rcbench. The sum is the memory capacity (H. Jaeger, GMD report 152 (2002)).

    Parameters
    ----------
    drive : array_like of float, shape (samples,)
        The measured input.
    readings : array_like of float, shape (samples, electrodes)
    delays : int
        Longest delay, in samples.
    alpha : float
        Ridge regularisation, in units of the squared readings.
    trained : float
        Fraction of the samples for fitting.
    check_reading_order : bool
        See `inmateria.reservoir.memory_capacity`.

    Returns
    -------
    ndarray of float, shape (delays,)
        For 1, 2, ... samples ago.

    Raises
    ------
    ValueError
        If shapes do not match or too few samples are left.

    Warns
    -----
    ReadingOrderWarning
        If some electrodes follow the previous input better than the present one, as if they had been read before the
        input was set: `inmateria.recording.realigned` gives drive and readings without that step.
    """
    u, X = np.asarray(drive, dtype=np.float64), np.asarray(readings, dtype=np.float64)
    if u.ndim != 1 or X.ndim != 2 or len(u) != len(X):
        raise ValueError(f"drive has shape {u.shape} and readings {X.shape}; give (samples,) and (samples, electrodes)")
    if delays < 1 or not 0 < trained < 1:
        raise ValueError(f"delays is {delays} and trained {trained}; give at least 1, and a fraction between 0 and 1")
    split = delays + int(trained * (len(u) - delays))
    if split < delays + 2 or len(u) - split < 2:
        raise ValueError(f"there are {len(u)} samples; {delays} delays need more than that")
    if check_reading_order:
        warn_of_reading_order(reading_order(X, u))
    Y = np.column_stack([u[delays - k : len(u) - k] for k in range(1, delays + 1)])
    X = X[delays:]
    split -= delays
    guessed = RidgeReadout(alpha, validation=None).fit(X[:split], Y[:split]).predict(X[split:]).reshape(-1, delays)
    wanted = Y[split:] - Y[split:].mean(axis=0)
    guessed = guessed - guessed.mean(axis=0)
    together = (wanted * guessed).sum(axis=0) ** 2
    spread = (wanted**2).sum(axis=0) * (guessed**2).sum(axis=0)
    squared: FloatArray = np.divide(together, spread, out=np.zeros(delays), where=spread > 0)
    return squared
