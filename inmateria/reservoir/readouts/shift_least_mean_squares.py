r"""Least mean squares in integers: weights, predictions and updates by additions and shifts only.

A feature enters as the sum of a few signed powers of two, so that its product with a weight is as many shifts of the
weight, and its product with an error as many shifts of the error.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.online import FloatArray, OnlineRegressor, checked_count
from inmateria.reservoir.readouts.shift_source import write_learning_c

__all__ = ["ShiftLMSReadout"]

IntArray = npt.NDArray[np.int64]

FULL = 15
"""A count of 2 to this power is the whole range of a feature or target: counts have 16 bits with the sign."""
GUARD = 12
"""Bits of a weight, and of a prediction, below one count of the target."""
POWER = 20
"""The sum of the features' squares is counted in units of the range's square / 2 to this power."""
_MOST = 2**FULL - 1
_LARGEST_WEIGHT = 2**30
_LARGEST_ERROR = 2**29


class ShiftLMSReadout(OnlineRegressor):
    r"""Online readout that learns with additions and shifts only, as a chip without a multiplier can.

    Parameters
    ----------
    slowness : int
        The step size is a half to the power of this, or up to twice as much: 1 or more. With 1 it is as large as it can
        be.
    digits : int
        Powers of two that a feature is rounded to the sum of, 1 to 4. With 1 every product is a single shift.
    feature_range, target_range : float
        Size of features and of targets that fills 16 bits; larger ones are limited to it. With 0, twice the largest
        one in the first samples that are learned (at most 1,024); of targets, in the first that have any.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)
    ranges_ : tuple of float
        Ranges of features and of targets that are in use.

    Notes
    -----
    Normalised least mean squares,

    .. math:: w \leftarrow w + 2^{-s - \lceil \log_2 \sum_j \tilde x_j^2 \rceil} (y - w^\top \tilde x)\, \tilde x,

    with features rounded to sums of powers of two (:math:`\tilde x`), their squares to the square of the first of
    these, and the step size to a power of two (after P. Xue and B. Liu, IEEE Trans. Acoust. Speech Signal Process. 34,
    1218 (1986), whose errors are powers of two). Predictions are those of integers, and differ from ``coef_`` by
    rounding. It converges as slowly as `LMSReadout` on correlated features.
    """

    _ADJUSTABLE = ("slowness",)

    def __init__(
        self, slowness: int = 1, *, digits: int = 2, feature_range: float = 0.0, target_range: float = 0.0,
        fit_intercept: bool = True, delay: int = 0,
    ) -> None:  # fmt: skip
        self.slowness = slowness
        self.digits = digits
        self.feature_range = feature_range
        self.target_range = target_range
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _check_adjustable(self) -> None:
        if checked_count("slowness", self.slowness, 1, "halvings of the step size") > 16:
            raise ValueError(f"slowness is {self.slowness}; weights hardly change above 16")

    def _begin_state(self, width: int, outputs: int) -> None:
        if checked_count("digits", self.digits, 1, "powers of two in a feature") > 4:
            raise ValueError(f"digits is {self.digits}; allowed are 1 to 4")
        for name in ("feature_range", "target_range"):
            if not 0 <= getattr(self, name) <= 1e30:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be finite and at least 0")
        self._weights = np.zeros((outputs, width))  # whole numbers
        self._ranges = np.array([self.feature_range, self.target_range, 0.0], dtype=np.float64)

    @property
    def _powers(self) -> int:
        """Powers of two in a feature, as at the beginning."""
        return int(self._begun_with["digits"])

    @property
    def ranges_(self) -> tuple[float, float]:
        """Ranges of features and of targets that are in use; 0 before the first sample."""
        self._fitted()
        return float(self._ranges[0]), float(self._ranges[1])

    def _solution(self) -> FloatArray:
        features, targets, constant = self._ranges
        unit = targets / 2.0 ** (FULL + GUARD)
        solution: FloatArray = self._weights * unit / (features or 1.0)
        solution[:, self._features] = self._weights[:, self._features] * unit * constant / 2.0**FULL
        return solution

    def counts(self, X: npt.ArrayLike) -> IntArray:
        """Return features (samples, features) in counts, as the C source of `to_learning_c` takes them."""
        self._fitted()
        return _counts(np.asarray(X, dtype=np.float64), self._ranges[0])

    def target_counts(self, y: npt.ArrayLike) -> IntArray:
        """Return targets in counts, as the C source of `to_learning_c` takes and gives them."""
        self._fitted()
        return _counts(np.asarray(y, dtype=np.float64), self._ranges[1])

    def _rows_in_counts(self, rows: FloatArray) -> IntArray:
        """Return rows in counts; the constant is a power of two of about the size of the features."""
        counts = _counts(rows, self._ranges[0])
        counts[:, self._features :] = 0
        counts[:, self._features] = (rows[:, self._features] != 0) * int(self._ranges[2])
        return counts

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        known = ~np.isnan(targets)
        ranges = self._ranges.copy()
        given = read[:, : self._features]  # whether or not their targets are known: each output is learned as if alone
        if not ranges[0]:
            ranges[0] = 2 * np.abs(given).max() or 1.0
        if not ranges[1] and known.any():
            ranges[1] = 2 * np.abs(targets[known]).max() or 1.0
        if not ranges[2]:
            share = np.sqrt(np.mean((given / ranges[0]) ** 2))
            ranges[2] = 2.0 ** np.clip(np.round(np.log2(share + 1e-9)) + FULL, 0, FULL - 1)
        self._ranges = ranges
        self._samples_learned = self._samples_learned + np.count_nonzero(known, axis=0)
        wanted = _counts(np.where(known, targets, 0.0), ranges[1])
        read_counts, taught = self._rows_in_counts(read), self._rows_in_counts(learned)
        found = np.empty(targets.shape, dtype=np.int64)
        with log_compilation("least mean squares in integers", _descend):
            weights = self._weights.astype(np.int64)
            _descend(read_counts, taught, wanted, known, weights, self._powers, int(self.slowness), found)
        self._weights = weights.astype(np.float64)
        predicted[:] = found * (ranges[1] / 2**FULL)

    def _predict_rows(self, features: FloatArray) -> FloatArray:
        rows = np.ones((len(features), self._weights.shape[1]))
        rows[:, : self._features] = features
        rows[:, self._features] = bool(self.fit_intercept)
        counts, found = self._rows_in_counts(rows), np.empty((len(rows), self._outputs), dtype=np.int64)
        nothing, unknown = np.zeros_like(found), np.zeros(found.shape, dtype=np.bool_)
        with log_compilation("least mean squares in integers", _descend):
            weights = self._weights.astype(np.int64)
            _descend(counts, counts, nothing, unknown, weights, self._powers, int(self.slowness), found)
        decided: FloatArray = found * (self._ranges[1] / 2**FULL)
        return decided

    def to_learning_c(
        self, path: str | PathLike[str], X: npt.ArrayLike, y: npt.ArrayLike, *, vector: int = 8
    ) -> list[Path]:
        """Write C99 that goes on learning from these weights: NAME.h, NAME.c, and NAME_test.c.

        Parameters
        ----------
        path : path-like
            Of NAME.c; NAME becomes the beginning of the functions' names.
        X, y : array_like
            Samples and their targets; the first are learned by the test, which exits with 0 if every prediction and
            the weights after them are as here.
        vector : int
            Number of samples in the test, at most.

        Returns
        -------
        list of Path
            Header, source and test.
        """
        self._fitted()
        given = self._rows_in_counts(self._padded(np.asarray(X, dtype=np.float64)[:vector]))
        wanted = self.target_counts(np.asarray(y, dtype=np.float64)[:vector].reshape(len(given), -1))
        weights, found = self._weights.astype(np.int64), np.empty(wanted.shape, dtype=np.int64)
        known = np.ones(wanted.shape, dtype=np.bool_)
        _descend(given, given, wanted, known, weights, self._powers, int(self.slowness), found)
        used = self._features + bool(self.fit_intercept)
        return write_learning_c(
            Path(path), self._weights.astype(np.int64)[:, :used], self._features, self._powers, int(self.slowness),
            (FULL, GUARD, POWER), int(self._ranges[2]), self.ranges_,
            (given[:, : self._features], wanted, found, weights[:, :used]),
        )  # fmt: skip

    def _padded(self, features: FloatArray) -> FloatArray:
        rows = np.zeros((len(features), self._weights.shape[1]))
        rows[:, : self._features] = features
        rows[:, self._features] = bool(self.fit_intercept)
        return rows


def _counts(values: FloatArray, whole: float) -> IntArray:
    """Return values as counts of a range of 2^15, limited to it; all zero if there is no range yet."""
    if not whole:
        return np.zeros(values.shape, dtype=np.int64)
    counts: IntArray = np.clip(np.round(values / whole * 2**FULL), -_MOST, _MOST).astype(np.int64)
    return counts


@njit(cache=True, nogil=True)
def _wrapped(value):  # type: ignore[no-untyped-def]
    """Return an integer as 32 bits hold it."""
    return ((value + 2**31) & (2**32 - 1)) - 2**31


@njit(cache=True, nogil=True)
def _digits(left, most, signs, belows):  # type: ignore[no-untyped-def]
    """Write a count as signed powers of two, nearest first; return how many, and their exponents below the range."""
    found = 0
    while left != 0 and found < most:
        size, power, below = abs(left), 2**FULL, 0
        while size < power - (power >> 2):
            power >>= 1
            below += 1
        signs[found], belows[found] = 1 if left > 0 else -1, below
        left -= power if left > 0 else -power
        found += 1
    return found


@njit(cache=True, nogil=True)
def _output(row, weights, most, signs, belows):  # type: ignore[no-untyped-def]
    total = 0
    for j in range(len(row)):
        for digit in range(_digits(row[j], most, signs, belows)):
            total += signs[digit] * (weights[j] >> belows[digit])
    return _wrapped(total)


@njit(cache=True, nogil=True)
def _descend(read, learned, targets, known, weights, most, slowness, predicted):  # type: ignore[no-untyped-def]
    """Predict each row of `read` in counts, then update the weights with the same row of `learned`."""
    signs, belows = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    for sample in range(len(read)):
        for output in range(len(weights)):
            total = _output(read[sample], weights[output], most, signs, belows)
            predicted[sample, output] = (total + 2 ** (GUARD - 1)) >> GUARD
        power = 0
        for j in range(learned.shape[1]):
            if _digits(learned[sample, j], 1, signs, belows) and 2 * belows[0] <= POWER:
                power += 2 ** (POWER - 2 * belows[0])
        size = slowness - POWER
        while power > 0:  # one more than its binary logarithm, rounded down
            power >>= 1
            size += 1
        for output in range(len(weights)):
            if not known[sample, output]:
                continue
            total = _output(learned[sample], weights[output], most, signs, belows)
            error = min(max((targets[sample, output] << GUARD) - total, -_LARGEST_ERROR), _LARGEST_ERROR)
            for j in range(learned.shape[1]):
                for digit in range(_digits(learned[sample, j], most, signs, belows)):
                    shift = max(size + belows[digit], 0)
                    if shift > 29:
                        continue
                    part = (error + (1 << (shift - 1))) >> shift if shift else error
                    moved = weights[output, j] + signs[digit] * part
                    weights[output, j] = min(max(moved, -_LARGEST_WEIGHT), _LARGEST_WEIGHT)
