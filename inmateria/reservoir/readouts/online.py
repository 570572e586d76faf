"""Base classes of readouts that learn online: for each row, the prediction is made before its target is learned.

A row without a target (NaN) is predicted and not learned. If targets are late by a known number of rows, features are
kept until their target is available.
"""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

FloatArray = npt.NDArray[np.float64]

LANES = 8
"""Rows are padded to a multiple of this number of values, so that vector instructions leave no remainder."""

_ROWS = 1024
"""Rows that are processed at once; so many fit into the processor's cache."""


def aligned_zeros(rows: int, columns: int) -> FloatArray:
    """Return zeros (rows, columns) aligned with a cache line, for faster vector instructions."""
    memory = np.zeros(rows * columns + LANES)
    begin = (-memory.ctypes.data // memory.itemsize) % LANES
    return memory[begin : begin + rows * columns].reshape(rows, columns)


class OnlineReadout(BaseEstimator):  # type: ignore[misc]
    """Linear weights on features and a constant, updated row by row."""

    fit_intercept: bool
    delay: int

    @abstractmethod
    def _begin_state(self, size: int) -> None:
        """Check the settings and reset all state but the weights; `size` is the width of a row."""

    @abstractmethod
    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        """Predict each row of `read`, then update the weights with the same row of `learned` and its targets.

        The two arrays are the same unless targets are late. A row consists of the features, the constant, and zeros
        up to a multiple of `LANES`.
        """

    def _begin(self, features: int, outputs: int) -> None:
        delay = getattr(self, "delay", 0)
        if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or delay < 0:
            raise ValueError(
                f"delay is {delay!r}; it must be an integer of at least 0 (rows by which targets are late)"
            )
        self._features, width = features, -(-(features + 1) // LANES) * LANES
        self._begin_state(width)
        self._weights = aligned_zeros(outputs, width)
        self._waiting = np.zeros((delay, width))
        self._missing = int(delay)

    def _learn(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Learn from rows in order; return the prediction for each row before it was learned."""
        predicted = np.empty_like(Y)
        rows = aligned_zeros(min(len(X), _ROWS), self._weights.shape[1])
        # Without an intercept the constant is zero, and its weight is never updated.
        rows[:, self._features] = self.fit_intercept
        for begin in range(0, len(X), _ROWS):
            now = slice(begin, min(begin + _ROWS, len(X)))
            read = rows[: now.stop - begin]
            read[:, : self._features] = X[now]
            self._move(read, *self._due(read, Y[now]), predicted[now])
        return predicted

    def _due(self, read: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows that the targets belong to, and the targets; rows and targets as given if none are late."""
        if not len(self._waiting):
            return read, Y
        both = np.concatenate([self._waiting, read])
        self._waiting = both[len(read) :].copy()
        # The first targets belong to rows before the first.
        unknown = min(self._missing, len(read))
        self._missing -= unknown
        return both[: len(read)].copy(), np.concatenate([np.full_like(Y[:unknown], np.nan), Y[unknown:]])

    @property
    def coef_(self) -> FloatArray:
        """Weights, shape (outputs, features)."""
        self._fitted()
        weights: FloatArray = self._weights[:, : self._features]
        return weights

    @property
    def intercept_(self) -> FloatArray:
        """Intercepts, shape (outputs,)."""
        self._fitted()
        intercepts: FloatArray = self._weights[:, self._features]
        return intercepts

    def _fitted(self) -> None:
        if not hasattr(self, "_weights"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit or partial_fit first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_weights")

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features: FloatArray = validate_data(self, X, reset=False, dtype=np.float64)
        decided: FloatArray = features @ self.coef_.T + self.intercept_
        return decided


class OnlineRegressor(MultiOutputMixin, RegressorMixin, OnlineReadout):  # type: ignore[misc]
    """Base class of online readouts that are regressors of scikit-learn."""

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Reset, then learn from the samples in order."""
        self._learn_checked(X, y, anew=True)
        return self

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from further samples (samples, features) and targets, in order; targets of NaN are skipped."""
        self._learn_checked(X, y, anew=not hasattr(self, "_weights"))
        return self

    def learn(self, X: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Learn as `partial_fit` does, and return the prediction for each sample before it was learned.

        Scoring this against `y` is a prequential evaluation: no sample was learned before it was predicted.

        Returns
        -------
        ndarray of float, shape as y's
        """
        return self._learn_checked(X, y, anew=not hasattr(self, "_weights"))

    def _learn_checked(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> FloatArray:
        of_features = {"dtype": np.float64}
        of_targets: dict[str, Any] = {"ensure_2d": False, "ensure_all_finite": "allow-nan", "dtype": np.float64}
        features, targets = validate_data(self, X, y, reset=anew, validate_separately=(of_features, of_targets))
        check_consistent_length(features, targets)
        Y = np.ascontiguousarray(targets.reshape(len(features), -1))
        if anew:
            if np.isnan(Y).all():
                raise ValueError("every target is NaN; the first call needs at least one known target")
            self._begin(features.shape[1], Y.shape[1])
            self._flat = targets.ndim == 1
        elif Y.shape[1] != len(self._weights):
            raise ValueError(f"targets have {Y.shape[1]} outputs; this readout was fitted with {len(self._weights)}")
        predicted: FloatArray = self._learn(features, Y)
        if targets.ndim == 1:
            predicted = predicted[:, 0]
        return predicted

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict targets from features (samples, features); of the shape of the targets in `fit`."""
        decided = self._decide(X)
        return decided[:, 0] if self._flat else decided

    def step(self, features: npt.ArrayLike, target: npt.ArrayLike = np.nan) -> FloatArray:
        """Predict one sample (features,), then learn its target (outputs,) if one is given; for closed loops.

        Only the shape is checked. Call `fit`, `partial_fit` or `begin` first.

        Returns
        -------
        ndarray of float, shape (outputs,)
            The prediction before the target was learned.
        """
        self._fitted()
        given = np.asarray(features, dtype=np.float64)
        if given.shape != (self._features,):
            raise ValueError(f"features have shape {given.shape}; this readout was fitted with ({self._features},)")
        Y = np.empty((1, len(self._weights)))
        Y[0] = target
        predicted: FloatArray = self._learn(given[np.newaxis], Y)[0]
        return predicted

    def begin(self, features: int, outputs: int = 1) -> Self:
        """Reset all weights to zero, ready for `step`."""
        check_array([[features, outputs]], dtype="numeric")
        self._begin(features, outputs)
        self._flat = False
        self.n_features_in_ = features
        return self
