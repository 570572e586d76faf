"""Recursive least squares: readouts that learn online, from each sample once.

The equations are in the notes of `RecursiveLeastSquares`. A Kalman filter of weights that perform a random walk
(`KalmanReadout`) is the same recursion with another way of forgetting.
"""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.block_recursion import BLOCK, WORTH_IT, learn_block, mirror_blocks, settle
from inmateria.reservoir.readouts.online import LANES, OnlineReadout, OnlineRegressor, aligned_zeros
from inmateria.reservoir.readouts.winner import predict_sequences, winners

FloatArray = npt.NDArray[np.float64]

_FREE = 1e-8
"""Regularisation of the intercept, as a fraction of `alpha`: so small that the intercept is practically free."""

_LARGE = 1e12
"""Growth of the scale of the inverse by forgetting, beyond which the scale is multiplied in."""


class InverseRecursion(OnlineReadout):
    """An online readout that keeps the inverse of the regularised second moments of its features."""

    alpha: float

    def _rates(self) -> tuple[float, float]:
        """Return the forgetting factor and the variance of a step of the weights, checked."""
        raise NotImplementedError

    def _begin_state(self, size: int) -> None:
        self._rates()
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha is {self.alpha}; it must be finite and more than 0")
        self._inverse = aligned_zeros(size, size)
        diagonal = np.arange(self._features)
        self._inverse[diagonal, diagonal] = 1.0 / self.alpha
        self._inverse[self._features, self._features] = self._largest = 1.0 / (_FREE * self.alpha)
        # The inverse is stored divided by a scale, so that forgetting costs one product a sample. The update by the
        # last sample is pending: seen seen^T is still to be subtracted, and a walk to be added to the diagonal.
        self._seen = aligned_zeros(1, size)[0]
        self._scale_and_walk = np.array([1.0, 0.0])

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        many = len(read) >= BLOCK and read.shape[1] >= WORTH_IT and read is learned
        if many and self._rates() == (1.0, 0.0) and not np.isnan(targets).any():
            # The first rows one by one: while the intercept is nearly free, a block would lose digits.
            begun = 0 if self._inverse[self._features, self._features] < self._largest else LANES
            self._one_by_one(read[:begun], learned[:begun], targets[:begun], predicted[:begun])
            settle(self._inverse, self._seen, self._scale_and_walk)
            whole = len(read) - (len(read) - begun) % BLOCK
            for begin in range(begun, whole, BLOCK):
                now = slice(begin, begin + BLOCK)
                learn_block(read[now], targets[now], self._weights, self._inverse, predicted[now])
            mirror_blocks(self._inverse, LANES)
            read, learned, targets, predicted = read[whole:], learned[whole:], targets[whole:], predicted[whole:]
        self._one_by_one(read, learned, targets, predicted)

    def _one_by_one(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        state = (self._weights, self._inverse, self._seen, self._scale_and_walk, *self._rates(), self._largest)
        if not _learn.signatures:
            with log_compilation("recursive least squares"):
                _learn(read, learned, targets, *state, predicted)
        else:
            _learn(read, learned, targets, *state, predicted)


class RecursiveLeastSquares(OnlineRegressor, InverseRecursion):
    r"""Linear readout trained online by recursive least squares.

    Parameters
    ----------
    forgetting : float
        Forgetting factor :math:`\lambda`: weight of a sample relative to the next one; 1 forgets nothing.
    alpha : float
        Regularisation of the weights, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late: the target given with a row belongs to the row this many before it.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)

    Notes
    -----
    With the features :math:`x_t`, the weights :math:`w` and :math:`P_0 = I / \alpha`, each sample gives

    .. math::

        k &= P x_t / (\lambda + x_t^\top P x_t) \\
        w &\leftarrow w + k (y_t - w^\top x_t) \\
        P &\leftarrow (P - k x_t^\top P) / \lambda

    (S. Haykin, Adaptive Filter Theory). With :math:`\lambda = 1`, the weights after every sample are the ridge
    solution for the samples so far, with `alpha` on the weights and practically none on the intercept.

    A sample whose targets are all NaN is predicted and not learned. If only some are NaN, the weights of those outputs
    are left as they are.
    """

    def __init__(
        self, forgetting: float = 1.0, *, alpha: float = 1e-3, fit_intercept: bool = True, delay: int = 0
    ) -> None:
        self.forgetting = forgetting
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _rates(self) -> tuple[float, float]:
        return _checked_forgetting(self.forgetting), 0.0


class RecursiveLeastSquaresClassifier(ClassifierMixin, InverseRecursion):  # type: ignore[misc]
    """Classifier trained online by recursive least squares: one output of -1 or 1 for each class, the largest wins.

    Parameters
    ----------
    forgetting, alpha, fit_intercept
        See `RecursiveLeastSquares`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features)
    intercept_ : ndarray of float, shape (classes,)
    """

    def __init__(self, forgetting: float = 1.0, *, alpha: float = 1e-3, fit_intercept: bool = True) -> None:
        self.forgetting = forgetting
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _rates(self) -> tuple[float, float]:
        return _checked_forgetting(self.forgetting), 0.0

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Reset, then learn from the samples in order."""
        return self._partial_fit(X, y, None, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None) -> Self:
        """Learn from further samples, in order; the first call must list all classes."""
        anew = not hasattr(self, "_weights")
        if anew and classes is None:
            raise ValueError("classes is None; the first call of partial_fit needs the list of all classes")
        return self._partial_fit(X, y, classes, anew)

    def _partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None, anew: bool) -> Self:
        features, labels = validate_data(self, X, y, reset=anew, dtype=np.float64)
        check_classification_targets(labels)
        if anew:
            self.classes_ = np.unique(labels if classes is None else np.asarray(classes))
            self._begin(features.shape[1], len(self.classes_))
        unknown = np.setdiff1d(labels, self.classes_)
        if unknown.size:
            raise ValueError(
                f"y has unknown classes {unknown.tolist()}; this readout was fitted with {self.classes_.tolist()}"
            )
        self._learn(features, np.where(labels[:, np.newaxis] == self.classes_, 1.0, -1.0))
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs of all classes (samples, classes), or of the second one if there are two (samples,)."""
        decided = self._decide(X)
        return decided[:, 1] if len(self.classes_) == 2 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        return winners(self.decision_function(X), self.classes_)

    def predict_sequences(self, sequences: Iterable[npt.ArrayLike]) -> npt.NDArray[Any]:
        """Predict the class of each sequence (steps, features): the largest output on average over its steps wins."""
        return predict_sequences(self.decision_function, sequences, self.classes_)


def _checked_forgetting(forgetting: float) -> float:
    if not 0 < forgetting <= 1:
        raise ValueError(f"forgetting is {forgetting}; it must be more than 0 and at most 1; give 1 to forget nothing")
    return float(forgetting)


# Sums may be taken in any order, so that the compiler can use vector instructions; nothing else is relaxed, and NaN
# and infinity keep their meaning.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _learn(read, learned, targets, weights, inverse, seen, scale_and_walk, forgetting, walk, largest, predicted):  # type: ignore[no-untyped-def]
    """Predict each row of `read`, then update weights (outputs, width) and inverse with the same row of `learned`.

    Of the inverse, the lower triangle is stored, and blocks of eight by eight on the diagonal in full. The update by a
    sample is left pending in `seen` and `scale_and_walk` and applied while the next sample reads the inverse, so
    that each sample passes through memory once.
    """
    size = read.shape[1]
    fresh, of_rows = np.empty(size), np.empty(size)
    for sample in range(read.shape[0]):
        known = False
        for output in range(weights.shape[0]):
            total = 0.0
            for j in range(size):
                total += weights[output, j] * read[sample, j]
            predicted[sample, output] = total
            known |= not np.isnan(targets[sample, output])
        if not known:
            scale_and_walk[1] += walk  # the random walk goes on without targets
            continue
        x, scale = learned[sample], scale_and_walk[0]
        walked = scale_and_walk[1] / scale
        for begin in range(0, size, LANES):
            end = begin + LANES
            # Two rows at a time, so that values of their columns are read and written once for both.
            for i in range(begin, end, 2):
                upper, lower = inverse[i], inverse[i + 1]
                upper_seen, lower_seen, upper_x, lower_x = seen[i], seen[i + 1], x[i], x[i + 1]
                upper_total, lower_total = walked * upper_x, walked * lower_x
                for j in range(end):
                    first, second = upper[j] - upper_seen * seen[j], lower[j] - lower_seen * seen[j]
                    upper[j], lower[j] = first, second
                    upper_total += first * x[j]
                    lower_total += second * x[j]
                    fresh[j] += first * upper_x + second * lower_x
                upper[i] += walked
                lower[i + 1] += walked
                of_rows[i], of_rows[i + 1] = upper_total, lower_total
            # The block on the diagonal is in the sums of rows and of columns: the latter are dropped.
            fresh[begin:end] = of_rows[begin:end]
        spread = 0.0
        for i in range(size):
            spread += fresh[i] * x[i]
        spread = forgetting + scale * spread
        for output in range(weights.shape[0]):
            if np.isnan(targets[sample, output]):
                continue
            total = 0.0
            for j in range(size):
                total += weights[output, j] * x[j]
            gain = (targets[sample, output] - total) * scale / spread
            for j in range(size):
                weights[output, j] += gain * fresh[j]
        root, walked = np.sqrt(scale / spread), 0.0
        for j in range(size):
            seen[j] = root * fresh[j]
        if forgetting < 1.0 or walk > 0.0:
            # Without excitation the inverse would grow without bound: growth stops at a largest trace.
            trace = 0.0
            for i in range(size):
                trace += inverse[i, i] - seen[i] * seen[i]
            if scale * trace < forgetting * largest * size:
                scale, walked = scale / forgetting, walk
                if scale > _LARGE:
                    inverse *= scale
                    seen *= np.sqrt(scale)
                    scale = 1.0
        scale_and_walk[0], scale_and_walk[1] = scale, walked
