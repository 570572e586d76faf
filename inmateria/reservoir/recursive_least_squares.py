"""Recursive least squares: a readout that learns one sample at a time, each sample once.

Haykin, Adaptive Filter Theory. With forgetting 1 it is, after every sample, the ridge solution of
what it has seen, with regularisation `alpha` on the weights and none to speak of on the intercept.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from inmateria.compilation import announced

FloatArray = npt.NDArray[np.float64]

_FREE = 1e-8
"""How strongly the intercept is held at zero, as a fraction of `alpha`."""


class _RecursiveLeastSquares(BaseEstimator):  # type: ignore[misc]
    """What the regressor and the classifier share: weights, and the inverse of what was seen."""

    def __init__(self, forgetting: float = 1.0, *, alpha: float = 1e-3, fit_intercept: bool = True) -> None:
        self.forgetting = forgetting
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _begin(self, features: int, outputs: int) -> None:
        if not 0 < self.forgetting <= 1:
            raise ValueError(f"forgetting is {self.forgetting}; give more than 0 and at most 1 (1 forgets nothing)")
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha is {self.alpha}; give a finite number of more than 0")
        self._inverse = np.eye(features + 1) / self.alpha
        # Without an intercept the last input is always zero, and its weight never moves.
        self._inverse[-1, -1] = 1.0 / (_FREE * self.alpha)
        self._weights = np.zeros((outputs, features + 1))
        # What the last sample does to the inverse, still to be done: inverse - shrink * seen seen^T, times grow.
        self._seen = np.zeros(features + 1)
        self._pending = np.array([0.0, 1.0])

    def _learn(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Learn from rows in turn; give what was predicted for each before it was learned."""
        rows = np.hstack([X, np.full((len(X), 1), float(self.fit_intercept))])
        predicted = np.empty_like(Y)
        state = (self._weights, self._inverse, self._seen, self._pending)
        if not _learn.signatures:
            with announced("recursive least squares"):
                _learn(rows, Y, *state, self.forgetting, 1.0 / (_FREE * self.alpha), predicted)
        else:
            _learn(rows, Y, *state, self.forgetting, 1.0 / (_FREE * self.alpha), predicted)
        return predicted

    @property
    def coef_(self) -> FloatArray:
        """Weights, shape (outputs, features)."""
        self._fitted()
        weights: FloatArray = self._weights[:, :-1]
        return weights

    @property
    def intercept_(self) -> FloatArray:
        """Intercepts, shape (outputs,)."""
        self._fitted()
        intercepts: FloatArray = self._weights[:, -1]
        return intercepts

    def _fitted(self) -> None:
        if not hasattr(self, "_weights"):
            raise AttributeError(f"{type(self).__name__} has learned nothing yet; call fit or partial_fit")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_weights")

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features: FloatArray = validate_data(self, X, reset=False, dtype=np.float64)
        decided: FloatArray = features @ self.coef_.T + self.intercept_
        return decided


class RecursiveLeastSquares(MultiOutputMixin, RegressorMixin, _RecursiveLeastSquares):  # type: ignore[misc]
    """Readout that learns online, one sample at a time.

    Parameters
    ----------
    forgetting : float
        Weight of a sample relative to the next one; 1 forgets nothing.
    alpha : float
        Regularisation of the weights, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Forget everything, then learn from the samples in turn."""
        return self._partial_fit(X, y, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from further samples (samples, features), in turn."""
        return self._partial_fit(X, y, anew=not hasattr(self, "_weights"))

    def _partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> Self:
        features, targets = validate_data(self, X, y, reset=anew, dtype=np.float64, multi_output=True, y_numeric=True)
        Y = np.ascontiguousarray(targets.reshape(len(features), -1), dtype=np.float64)
        if anew:
            self._begin(features.shape[1], Y.shape[1])
            self._flat = targets.ndim == 1
        elif Y.shape[1] != len(self._weights):
            raise ValueError(f"targets have {Y.shape[1]} outputs; this readout has learned {len(self._weights)}")
        self._learn(features, Y)
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Read features (samples, features) out; shape as the targets'."""
        decided = self._decide(X)
        return decided[:, 0] if self._flat else decided


class RecursiveLeastSquaresClassifier(ClassifierMixin, _RecursiveLeastSquares):  # type: ignore[misc]
    """Readout of classes that learns online: one output each, -1 or 1, and the largest names the class.

    Parameters
    ----------
    forgetting, alpha, fit_intercept
        As of `RecursiveLeastSquares`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features)
    intercept_ : ndarray of float, shape (classes,)
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Forget everything, then learn from the samples in turn."""
        return self._partial_fit(X, y, None, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None) -> Self:
        """Learn from further samples, in turn; the first call must name all classes there will be."""
        anew = not hasattr(self, "_weights")
        if anew and classes is None:
            raise ValueError("the first call of partial_fit must name the classes, all that there will be")
        return self._partial_fit(X, y, classes, anew)

    def _partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None, anew: bool) -> Self:
        features, labels = validate_data(self, X, y, reset=anew, dtype=np.float64)
        check_classification_targets(labels)
        if anew:
            self.classes_ = np.unique(labels if classes is None else np.asarray(classes))
            self._begin(features.shape[1], len(self.classes_))
        unknown = np.setdiff1d(labels, self.classes_)
        if unknown.size:
            raise ValueError(f"classes {unknown.tolist()} were not named; this readout knows {self.classes_.tolist()}")
        self._learn(features, np.where(labels[:, np.newaxis] == self.classes_, 1.0, -1.0))
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Give the outputs of each class (samples, classes), or of the second of two (samples,)."""
        decided = self._decide(X)
        return decided[:, 1] if len(self.classes_) == 2 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Name the class of each sample."""
        decided = self._decide(X)
        named: npt.NDArray[Any] = self.classes_[decided.argmax(axis=1)]
        return named


# Sums may be taken in any order, which is what lets the compiler use vector instructions for them; nothing
# else is loosened, and NaN and infinity keep their meaning.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _learn(rows, targets, weights, inverse, seen, pending, forgetting, largest, predicted):  # type: ignore[no-untyped-def]
    """Learn from rows in turn, moving weights (outputs, inputs) and the lower half of inverse in place.

    What one sample does to the inverse is left in `seen` and `pending` and done while the next sample
    reads it, so that each sample passes through memory once.
    """
    size = rows.shape[1]
    fresh = np.empty(size)
    for sample in range(rows.shape[0]):
        x = rows[sample]
        shrink, grow = pending[0], pending[1]
        fresh[:] = 0.0
        spread = forgetting
        for i in range(size):
            row, share, xi = inverse[i], shrink * seen[i], x[i]
            total = 0.0
            for j in range(i):
                value = (row[j] - share * seen[j]) * grow
                row[j] = value
                total += value * x[j]
                fresh[j] += value * xi
            value = (row[i] - share * seen[i]) * grow
            row[i] = value
            fresh[i] += total + value * xi
        for i in range(size):
            spread += fresh[i] * x[i]
        for output in range(weights.shape[0]):
            total = 0.0
            for j in range(size):
                total += weights[output, j] * x[j]
            predicted[sample, output] = total
            gain = (targets[sample, output] - total) / spread
            for j in range(size):
                weights[output, j] += gain * fresh[j]
        shrink, grow = 1.0 / spread, 1.0
        if forgetting < 1.0:
            # Where nothing is learned, forgetting would let the inverse grow without end: it stops where it began.
            trace = 0.0
            for i in range(size):
                trace += inverse[i, i] - shrink * fresh[i] * fresh[i]
            if trace < forgetting * largest * size:
                grow = 1.0 / forgetting
        seen[:] = fresh
        pending[0], pending[1] = shrink, grow
