"""Normalised least mean squares: online learning with memory and time linear in the number of features."""

import numpy as np
from numba import njit

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.online import FloatArray, OnlineRegressor, aligned_zeros


class LMSReadout(OnlineRegressor):
    r"""Online readout trained by normalised least mean squares.

    Parameters
    ----------
    rate : float
        Step size :math:`\mu`, more than 0 and less than 2; with 1, one step removes the whole error of a sample.
    floor : float
        Added to the squared norm of the features (:math:`\varepsilon`), so that samples with features near zero
        hardly change the weights.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)

    Notes
    -----
    .. math:: w \leftarrow w + \mu \frac{y_t - w^\top x_t}{\varepsilon + \lVert x_t \rVert^2} x_t

    (S. Haykin, Adaptive Filter Theory). It needs many more samples than `RecursiveLeastSquares` if features are
    correlated, as those of reservoirs are.
    """

    _ADJUSTABLE = ("rate", "floor")

    def __init__(self, rate: float = 0.5, *, floor: float = 1e-6, fit_intercept: bool = True, delay: int = 0) -> None:
        self.rate = rate
        self.floor = floor
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _check_adjustable(self) -> None:
        if not 0 < self.rate < 2:
            raise ValueError(f"rate is {self.rate}; it converges only above 0 and below 2; the default is 0.5")
        if not 1e-60 <= self.floor <= 1e60:
            raise ValueError(f"floor is {self.floor}; it must be more than 0 and finite: from 1e-60 to 1e60")

    def _begin_state(self, width: int, outputs: int) -> None:
        self._weights = aligned_zeros(outputs, width)

    def _solution(self) -> FloatArray:
        return self._weights.copy()

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        self._samples_learned = self._samples_learned + np.count_nonzero(~np.isnan(targets), axis=0)
        settings = (float(self.rate), float(self.floor))
        with log_compilation("least mean squares", _descend):
            _descend(read, learned, targets, self._weights, *settings, predicted)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _descend(read, learned, targets, weights, rate, floor, predicted):  # type: ignore[no-untyped-def]
    """Predict each row of `read`, then update the weights (outputs, width) with the same row of `learned`."""
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
