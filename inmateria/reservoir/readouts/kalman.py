"""A readout for devices that drift: a Kalman filter whose weights perform a random walk."""

import numpy as np

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.grouped_outputs import Arrays, GroupedReadout, Mask
from inmateria.reservoir.readouts.online import FloatArray, OnlineRegressor, aligned_zeros
from inmateria.reservoir.readouts.random_walk_filter import BEGUN, PRECISE, filter_rows
from inmateria.reservoir.readouts.recursive_least_squares import checked_alpha


class KalmanReadout(OnlineRegressor, GroupedReadout):
    r"""Online readout for devices that drift: the weights are assumed to perform a random walk.

    Parameters
    ----------
    walk : float
        Variance :math:`q` of a weight's step from one sample to the next, relative to the variance of the noise of
        the targets. With 0 nothing is forgotten; the larger it is, the faster old samples are forgotten.
    alpha : float
        Regularisation of the weights at the beginning, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)
    samples_learned_ : ndarray of int, shape (outputs,)
        Number of targets learned of each output.

    Notes
    -----
    With the features and a constant :math:`x_t`, the weights :math:`w`, :math:`P_0 = I / \alpha` and nothing known of
    the intercept, each sample gives

    .. math::

        k &= P x_t / (1 + x_t^\top P x_t) \\
        w &\leftarrow w + k (y_t - w^\top x_t) \\
        P &\leftarrow P - k x_t^\top P + q I

    (random-walk Kalman filter and its equivalence with recursive least squares: S. Haykin, Adaptive Filter Theory).
    Unlike with exponential forgetting, directions that are not excited are not forgotten faster than the random
    walk. If targets are NaN, :math:`P` still grows by :math:`q I`, so that the first sample after a gap has more
    weight. Outputs that miss different samples are learned as if each were alone, at the cost of a readout each.

    Features much larger than the root of `alpha` would cost all digits of :math:`P`: such samples are learned in pairs
    of floating-point numbers, which is exact and more than ten times slower. An `alpha` of the order of the squared
    features avoids it. What even pairs cannot hold is refused with a ValueError, and nothing of that call is learned.
    """

    _ADJUSTABLE = ("walk",)
    _OF_GROUP = ("_origin", "_seen", "_flags", "_covariance", "_remainder")
    _OF_OUTPUT = ("_weights",)

    def __init__(self, walk: float = 1e-5, *, alpha: float = 1e-3, fit_intercept: bool = True, delay: int = 0) -> None:
        self.walk = walk
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _check_adjustable(self) -> None:
        if not 0 <= self.walk <= 1e60:
            raise ValueError(
                f"walk is {self.walk}; it must be a finite variance of at least 0 (0: nothing is forgotten)"
            )

    def _begin_state(self, width: int, outputs: int) -> None:
        alpha = checked_alpha(self.alpha)
        self._group = np.zeros(outputs, dtype=np.int64)
        self._origin, self._seen, self._flags = np.zeros((1, width)), np.zeros((1, width)), np.zeros((1, 4))
        self._flags[0, BEGUN] = not self.fit_intercept
        self._covariance = aligned_zeros(width, width)[np.newaxis]
        diagonal = np.arange(self._features)
        self._covariance[0, diagonal, diagonal] = 1.0 / alpha
        self._remainder = np.zeros((1, width, width))
        self._weights = aligned_zeros(outputs, width)

    def _learn(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        # A row may be refused after others were learned: then the arrays from before the call are put back.
        if len(X) > 1 or self._flags[:, PRECISE].any():
            for name in (*self._OF_GROUP, *self._OF_OUTPUT):
                if name != "_remainder" or self._flags[:, PRECISE].any():
                    setattr(self, name, getattr(self, name).copy())
        return super()._learn(X, Y)

    def _move_group(
        self,
        read: FloatArray,
        learned: FloatArray,
        targets: FloatArray,
        known: Mask,
        state: Arrays,
        predicted: FloatArray,
    ) -> None:
        constant = self._features if self.fit_intercept else -1
        given = (read, learned, targets, known, constant, float(self.walk))
        with log_compilation("Kalman filter", filter_rows):
            done = filter_rows(*given, *state, predicted)  # type: ignore[call-arg]
        if done < len(read):
            raise ValueError(
                f"features as large as {np.abs(learned[done]).max():g} cannot be learned with alpha={self.alpha} and "
                f"walk={self.walk}: the variances of the weights would differ by more than 1e30; give an alpha "
                "of the order of the squared features and a walk of that of the squared steps of the weights, or "
                "standardise the features; nothing of this call was learned"
            )

    def _solution(self) -> FloatArray:
        solution = self._weights.copy()
        solution[:, self._features] -= np.einsum("ij,ij->i", solution, self._origin[self._group])
        return solution

    def _predict_rows(self, features: FloatArray) -> FloatArray:
        """Predict from differences to the origin, so that a large offset costs no digits."""
        decided = np.empty((len(features), self._outputs))
        for group in range(len(self._covariance)):
            members = self._group == group
            apart = features - self._origin[group, : self._features]
            decided[:, members] = apart @ self._weights[members, : self._features].T
        decided += self._weights[:, self._features]
        return decided
