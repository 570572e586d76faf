"""Base classes of readouts that learn online: for each row, the prediction is made before its target is learned.

A row without a target (NaN) is predicted and not learned. If targets are late by a known number of rows, features are
kept until their target is available. Features that are NaN or infinite are refused, and a call that is refused leaves
the readout as it was.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from inmateria.reservoir.readouts.export import ExportedReadout

FloatArray = npt.NDArray[np.float64]

LANES = 8
"""Rows are padded to a multiple of this number of values, so that vector instructions leave no remainder."""

LARGEST = 1e30
"""Largest magnitude of features and targets: powers of them must be finite."""

_ROWS = 1024
"""Rows that are processed at once; so many fit into the processor's cache."""


def aligned_zeros(rows: int, columns: int) -> FloatArray:
    """Return zeros (rows, columns) aligned with a cache line, for faster vector instructions."""
    memory = np.zeros(rows * columns + LANES)
    begin = (-memory.ctypes.data // memory.itemsize) % LANES
    return memory[begin : begin + rows * columns].reshape(rows, columns)


def checked_count(name: str, value: Any, least: int, meaning: str) -> int:
    """Return an integer of Python or numpy as an int.

    Raises
    ------
    ValueError
        If it is no integer, or less than `least`; the message states the `meaning`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {least} ({meaning})")
    return int(value)


class OnlineReadout(ExportedReadout, BaseEstimator):  # type: ignore[misc]
    """Linear weights on features and a constant, updated row by row."""

    _ADJUSTABLE: ClassVar[tuple[str, ...]] = ()
    """Parameters that may be changed while learning; the others hold from the beginning."""

    _constant_column: ClassVar[bool] = True
    """Whether rows have a column of ones for the intercept after their features."""

    _pads_rows: ClassVar[bool] = True
    """Whether `_move` needs rows with the constant and the zeros; if not, it also gets the features alone."""

    fit_intercept: bool
    delay: int

    @abstractmethod
    def _begin_state(self, width: int, outputs: int) -> None:
        """Check the settings and make all arrays of the state anew; `width` is that of a row."""

    @abstractmethod
    def _check_adjustable(self) -> None:
        """Check the parameters that may be changed while learning."""

    @abstractmethod
    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        """Predict each row of `read`, then update the weights with the same row of `learned` and its targets.

        The two arrays are the same unless targets are late. A row consists of the features, the constant, and zeros
        up to a multiple of `LANES`, or of the features alone if rows need no padding (`_pads_rows`).
        """

    @abstractmethod
    def _solution(self) -> FloatArray:
        """Return the weights of a row (outputs, width), with the intercept in the place of the constant."""

    def _begin(self, features: int, outputs: int) -> None:
        delay = checked_count("delay", getattr(self, "delay", 0), 0, "rows by which targets are late")
        self._check_adjustable()
        self._features, self._outputs = features, outputs
        width = -(-(features + 1) // LANES) * LANES
        self._begin_state(width, outputs)
        self._samples_learned = np.zeros(outputs, dtype=np.int64)
        self._waiting = np.zeros((delay, width))
        self._missing = delay
        # As plain numbers: a parameter is compared with what it was at the beginning.
        names = [name for name in self._get_param_names() if name not in self._ADJUSTABLE]
        self._begun_with = {name: float(getattr(self, name)) for name in names}

    def _check_unchanged(self) -> None:
        """Refuse parameters that were changed after the beginning and cannot be honoured."""
        for name, begun in self._begun_with.items():
            if getattr(self, name) != begun:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r} and was {begun:g} when this readout began to learn; it cannot "
                    "be changed in between: set it back, or begin anew with fit"
                )
        self._check_adjustable()

    @contextmanager
    def _unchanged_if_refused(self) -> Iterator[None]:
        """Restore all attributes if the block raises; arrays must not have been written to by then.

        An interruption may come later: if the arrays from before may have been written to, the readout is unfitted.
        """
        before = self.__dict__.copy()
        try:
            yield
            self.__dict__.pop("_amid", None)
        except BaseException as error:
            written = "_amid" in self.__dict__ and self.__dict__.get("_weights") is before.get("_weights")
            if written and not isinstance(error, Exception):
                before = {name: before[name] for name in self._get_param_names()}
            self.__dict__ = before  # in one step, so that a second interruption finds a whole state
            raise

    def _learn(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Learn from rows in order; return the prediction for each row before it was learned."""
        self._amid = True  # until the end of `_unchanged_if_refused`
        predicted = np.empty_like(Y)
        if not Y.flags.writeable:  # for read-only arrays, also for such of features, kernels would be compiled anew
            Y = Y.copy()
        if not self._pads_rows and not len(self._waiting) and X.flags.carray:
            for begin in range(0, len(X), _ROWS):
                read = X[begin : begin + _ROWS]
                self._move(read, read, Y[begin : begin + _ROWS], predicted[begin : begin + _ROWS])
            return predicted
        width = self._waiting.shape[1]
        rows = aligned_zeros(min(len(X), _ROWS), width) if len(X) > 1 else np.zeros((1, width))
        # Without an intercept the constant is zero, and its weight is never updated.
        rows[:, self._features] = self._constant_column and self.fit_intercept
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
        return self._solution()[:, : self._features]

    @property
    def intercept_(self) -> FloatArray:
        """Intercepts, shape (outputs,)."""
        self._fitted()
        return self._solution()[:, self._features]

    @property
    def samples_learned_(self) -> npt.NDArray[np.int64]:
        """Number of targets learned of each output, shape (outputs,); the others were NaN, or left out."""
        self._fitted()
        return self._samples_learned.copy()

    def _fitted(self) -> None:
        if not hasattr(self, "_features"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit or partial_fit first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_features")

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features: FloatArray = validate_data(self, X, reset=False, dtype=np.float64)
        return self._predict_rows(features)

    def _predict_rows(self, features: FloatArray) -> FloatArray:
        """Predict (samples, outputs) from checked features (samples, features)."""
        decided: FloatArray = features @ self.coef_.T + self.intercept_
        return decided


class OnlineRegressor(MultiOutputMixin, RegressorMixin, OnlineReadout):  # type: ignore[misc]
    """Base class of online readouts that are regressors of scikit-learn."""

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Reset, then learn from the samples in order; at least one target must be known."""
        self._learn_checked(X, y, anew=True, all_may_be_missing=False)
        return self

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from further samples (samples, features) and targets, in order; targets of NaN are skipped.

        Until the first known target, all weights are zero. A call that raises has learned nothing.
        """
        self._learn_checked(X, y, anew=not hasattr(self, "_features"))
        return self

    def learn(self, X: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Learn as `partial_fit` does, and return the prediction for each sample before it was learned.

        Scoring this against `y` is a prequential evaluation: no sample was learned before it was predicted.

        Returns
        -------
        ndarray of float, shape as y's
        """
        return self._learn_checked(X, y, anew=not hasattr(self, "_features"))

    def _learn_checked(
        self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool, all_may_be_missing: bool = True
    ) -> FloatArray:
        # Whether features are finite is checked with their sizes, in one pass.
        of_features: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": False}
        of_targets: dict[str, Any] = {"ensure_2d": False, "ensure_all_finite": "allow-nan", "dtype": np.float64}
        with self._unchanged_if_refused():
            features, targets = validate_data(self, X, y, reset=anew, validate_separately=(of_features, of_targets))
            check_consistent_length(features, targets)
            if targets.ndim > 2:
                raise ValueError(f"targets have shape {targets.shape}; give (samples,) or (samples, outputs)")
            Y = np.ascontiguousarray(targets.reshape(len(features), -1))
            check_sizes(features, Y, named="X")
            if anew:
                if not all_may_be_missing and np.isnan(Y).all():
                    raise ValueError("every target is NaN; fit needs at least one known target")
                self._begin(features.shape[1], Y.shape[1])
                self._flat = targets.ndim == 1
            else:
                self._check_unchanged()
                if Y.shape[1] != self._outputs:
                    raise ValueError(f"targets have {Y.shape[1]} outputs; this readout was fitted with {self._outputs}")
            predicted: FloatArray = self._learn(features, Y)
        return predicted[:, 0] if targets.ndim == 1 else predicted

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict targets from features (samples, features); of the shape of the targets in `fit`."""
        decided = self._decide(X)
        return decided[:, 0] if self._flat else decided

    def step(self, features: npt.ArrayLike, target: npt.ArrayLike = np.nan) -> FloatArray:
        """Predict one sample (features,), then learn its target (outputs,) if one is given; for closed loops.

        Call `fit`, `partial_fit` or `begin` first.

        Returns
        -------
        ndarray of float, shape (outputs,)
            The prediction before the target was learned.

        Raises
        ------
        ValueError
            If a shape is wrong, or if a feature is NaN or infinite, or a target infinite; nothing was learned.
        """
        self._fitted()
        given, wanted = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
        if given.shape != (self._features,):
            raise ValueError(f"features have shape {given.shape}; this readout was fitted with ({self._features},)")
        if wanted.ndim and wanted.shape != (self._outputs,):
            raise ValueError(
                f"target has shape {wanted.shape}; give one for each of the {self._outputs} outputs, or a single number"
            )
        Y = np.empty((1, self._outputs))
        Y[0] = wanted
        check_sizes(given[np.newaxis], Y)
        self._check_unchanged()
        waiting, missing, learned = self._waiting, self._missing, self._samples_learned
        try:
            predicted: FloatArray = self._learn(given[np.newaxis], Y)[0]
        except ValueError:
            self._waiting, self._missing, self._samples_learned = waiting, missing, learned
            raise
        return predicted

    def begin(self, features: int, outputs: int = 1) -> Self:
        """Reset all weights to zero, ready for `step`."""
        features = checked_count("features", features, 1, "number of features of a sample")
        outputs = checked_count("outputs", outputs, 1, "number of targets of a sample")
        with self._unchanged_if_refused():
            self._begin(features, outputs)
        self._flat = False
        self.n_features_in_ = features
        self.__dict__.pop("feature_names_in_", None)
        return self


def check_sizes(features: FloatArray, targets: FloatArray, named: str | None = None) -> None:
    """Check that features are finite, and targets finite or NaN, and none larger than `LARGEST`.

    If features are `named`, those that are NaN or infinite are refused in the words of scikit-learn.

    Raises
    ------
    ValueError
        With the sample and the column of the first value that is not.
    """
    if _sum_of_squares(features) <= LARGEST**2:
        if _sum_of_squares(targets) <= LARGEST**2 or not (np.abs(targets) > LARGEST).any():
            return
    elif np.abs(features).max() <= LARGEST and not (np.abs(targets) > LARGEST).any():
        return
    if named is not None:
        assert_all_finite(features, input_name=named)
    for name, values, wrong in (
        ("feature", features, ~(np.abs(features) <= LARGEST)),
        ("target", targets, np.abs(targets) > LARGEST),
    ):
        if wrong.any():
            row, column = (int(each) for each in np.argwhere(wrong)[0])
            raise ValueError(
                f"{name} {column} of sample {row} is {values[row, column]:g}; it must be finite and at most {LARGEST:g}"
                " in magnitude" + ("" if name == "feature" else ", or NaN if it is not known") + "; nothing was learned"
            )


def _sum_of_squares(values: FloatArray) -> float:
    """Return the sum of squares, which is NaN or infinite if a value is; much faster than a comparison of each."""
    flat = values.reshape(-1)
    return float(flat.dot(flat))
