"""FORCE learning: a readout that is trained while its output is fed back into the reservoir."""

import numpy as np

from inmateria.reservoir.readouts.online import FloatArray, OnlineRegressor, checked_count
from inmateria.reservoir.readouts.recursive_least_squares import FactorRecursion


class FORCEReadout(OnlineRegressor, FactorRecursion):
    """Readout for feedback loops, trained by recursive least squares inside the loop.

    Call `begin`, then `step` with the features of every step. It returns the output to feed back, and learns if
    a target is given; without targets the loop runs autonomously.

    Parameters
    ----------
    alpha : float
        Regularisation of the weights, in units of the squared features: the inverse of the initial learning
        rate. Small values learn fast; 1 to 100 is usual for features of the order of 1.
    every : int
        Learn at every n-th step only.
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
    Recursive least squares without forgetting keeps the error small from the first step on, so that the output fed
    back stays close to the target (D. Sussillo and L. F. Abbott, Neuron 63, 544 (2009)).

    Examples
    --------
    >>> readout = FORCEReadout(alpha=1.0).begin(features=100)
    >>> z = readout.step(np.ones(100), target=0.5)
    """

    _ADJUSTABLE = ("every",)

    def __init__(self, alpha: float = 1.0, *, every: int = 1, fit_intercept: bool = False, delay: int = 0) -> None:
        self.alpha = alpha
        self.every = every
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _check_adjustable(self) -> None:
        super()._check_adjustable()
        checked_count("every", self.every, 1, "1 to learn at every step")

    def _begin_state(self, width: int, outputs: int) -> None:
        super()._begin_state(width, outputs)
        self._steps = 0

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        if self.every > 1:
            left_out = (self._steps + np.arange(len(read))) % self.every != 0
            targets = np.where(left_out[:, np.newaxis], np.nan, targets)
            self._steps += len(read)
        super()._move(read, learned, targets, predicted)
