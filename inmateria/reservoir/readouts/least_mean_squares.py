"""Normalised least mean squares: the cheapest readout that learns online, memory and time linear in features."""

import numpy as np
from numba import njit

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.online import FloatArray, OnlineRegressor


class LMSReadout(OnlineRegressor):
    """Readout that takes a step down the error of each sample, as long as the features are strong.

    Parameters
    ----------
    rate : float
        Share of a sample's error that is taken away at once, more than 0 and less than 2.
    floor : float
        Squared length of a sample's features below which steps shrink, so that silence teaches nothing.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Rows by which targets come late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)

    Notes
    -----
    Haykin, Adaptive Filter Theory, the normalised algorithm. It needs many more samples than
    `RecursiveLeastSquares` where features are alike, as those of reservoirs are.
    """

    def __init__(self, rate: float = 0.5, *, floor: float = 1e-6, fit_intercept: bool = True, delay: int = 0) -> None:
        self.rate = rate
        self.floor = floor
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _begin_state(self, size: int) -> None:
        if not 0 < self.rate < 2:
            raise ValueError(f"rate is {self.rate}; give more than 0 and less than 2, or it does not converge")
        if not 0 < self.floor < float("inf"):
            raise ValueError(f"floor is {self.floor}; give a finite number of more than 0")

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        if not _descend.signatures:
            with log_compilation("least mean squares"):
                _descend(read, learned, targets, self._weights, self.rate, self.floor, predicted)
        else:
            _descend(read, learned, targets, self._weights, self.rate, self.floor, predicted)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _descend(read, learned, targets, weights, rate, floor, predicted):  # type: ignore[no-untyped-def]
    """Read rows in turn and learn from others, moving weights (outputs, inputs)."""
    outputs, size = weights.shape
    for sample in range(read.shape[0]):
        for output in range(outputs):
            total = 0.0
            for j in range(size):
                total += weights[output, j] * read[sample, j]
            predicted[sample, output] = total
        power = floor
        for j in range(size):
            power += learned[sample, j] ** 2
        for output in range(outputs):
            if np.isnan(targets[sample, output]):
                continue
            total = 0.0
            for j in range(size):
                total += weights[output, j] * learned[sample, j]
            gain = rate * (targets[sample, output] - total) / power
            for j in range(size):
                weights[output, j] += gain * learned[sample, j]
