"""Ternary readouts: weights of -1, 0 and 1 with a scale, for hardware that adds and does not multiply.

Rounding the weights of a ridge readout does not work: features of a reservoir are correlated, and their weights large
and of opposite signs. Here the weights are found by coordinate descent on the squared error.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.moments import Moments
from inmateria.reservoir.readouts.winner import one_against_rest, winners

FloatArray = npt.NDArray[np.float64]

_STARTS = (0.3, 0.7, 1.2)
"""Thresholds for rounding the ridge weights to 0, in units of their mean magnitude; one start of the descent each."""

_GAIN = 1.0 + 1e-9
"""Least relative improvement of a change, so that rounding errors cannot lead to cycles."""


class _Ternary(BaseEstimator):  # type: ignore[misc]
    """Base class of the ternary readouts."""

    def __init__(
        self,
        planes: int = 1,
        *,
        alpha: float = 1e-3,
        fit_intercept: bool = True,
        pairs: bool = True,
        sweeps: int = 100,
    ) -> None:
        self.planes = planes
        self.pairs = pairs
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.sweeps = sweeps

    def _fit(self, X: npt.NDArray[Any], Y: FloatArray) -> None:
        if self.planes not in (1, 2):
            raise ValueError(f"planes is {self.planes!r}; it must be 1 or 2")
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"alpha is {self.alpha}; it must be finite and at least 0")
        if self.sweeps < 1:
            raise ValueError(f"sweeps is {self.sweeps}; it must be at least 1")
        moments = Moments(X.shape[1], Y.shape[1], self.fit_intercept).add(X, Y)
        gram = moments.gram
        size = np.trace(gram) / len(gram)
        gram[np.diag_indices_from(gram)] += self.alpha * size + np.finfo(np.float64).tiny
        ridge = gram.copy()
        ridge[np.diag_indices_from(ridge)] += 1e-6 * size
        weights = cho_solve(cho_factor(ridge, check_finite=False), moments.cross) if size > 0 else moments.cross * 0.0
        self.planes_ = np.zeros((self.planes, Y.shape[1], X.shape[1]), dtype=np.int8)
        self.scales_ = np.zeros((self.planes, Y.shape[1]))
        if not _descend.signatures:
            with log_compilation("the ternary readout"):
                self._descend(gram, moments.cross, weights)
        else:
            self._descend(gram, moments.cross, weights)
        self.coef_ = np.einsum("po,pof->of", self.scales_, self.planes_)
        self.intercept_ = moments.y_mean - self.coef_ @ moments.x_mean

    def _descend(self, gram: FloatArray, cross: FloatArray, ridge: FloatArray) -> None:
        for output in range(cross.shape[1]):
            target = np.ascontiguousarray(cross[:, output])
            best = -1.0
            for share in _STARTS:
                planes = _rounded(ridge[:, output], share, self.planes)
                explained, scales = _descend(gram, target, planes, self.sweeps, False)
                if explained > best:
                    best, self.planes_[:, output], self.scales_[:, output] = explained, planes, scales
            if self.pairs:
                planes = np.ascontiguousarray(self.planes_[:, output])
                _, scales = _descend(gram, target, planes, self.sweeps, True)
                self.planes_[:, output], self.scales_[:, output] = planes, scales
        # The sign of a plane is free: scales are made positive.
        flip = self.scales_ < 0
        self.planes_[flip] *= -1
        self.scales_[flip] *= -1

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=np.float64)
        decided: FloatArray = features @ np.atleast_2d(self.coef_).T + self.intercept_
        return decided


class TernaryReadout(MultiOutputMixin, RegressorMixin, _Ternary):  # type: ignore[misc]
    r"""Linear readout with weights of -1, 0 and 1 and a scale for each output.

    Parameters
    ----------
    planes : int
        1 or 2. With two planes, each output is the sum of two such readouts with a scale each.
    alpha : float
        Regularisation, as a fraction of the mean squared feature times the number of samples.
    fit_intercept : bool
        Learn an intercept.
    pairs : bool
        Once no change of a single weight lowers the error, try changes of two weights: much better on correlated
        features, and slower, in time quadratic in their number.
    sweeps : int
        Maximum number of passes over all weights; fewer if no weight changes any more.

    Attributes
    ----------
    planes_ : ndarray of int8, shape (planes, outputs, features)
    scales_ : ndarray of float, shape (planes, outputs)
    coef_ : ndarray of float, shape (outputs, features), or (features,) for a target of one axis
        Sum of the planes times their scales.
    intercept_ : ndarray of float, shape (outputs,), or float

    Notes
    -----
    For each output with targets :math:`y`, planes :math:`z_p` and scales :math:`s_p`, coordinate descent lowers

    .. math:: \min_{s} \lVert y - X \sum_p s_p z_p \rVert^2, \qquad z_p \in \{-1, 0, 1\}^{features},

    with the optimal scales for every change that is considered: each weight in turn, and then each pair of weights,
    takes the values that lower it most. The result is a local minimum, the best of three starts. Standardise features
    of very different magnitude first: ternary weights cannot compensate for it.
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to features (steps, features) and targets (steps,) or (steps, outputs)."""
        features, targets = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._fit(features, targets.reshape(len(features), -1).astype(np.float64))
        if targets.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], float(self.intercept_[0])
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict targets from features (steps, features); of the shape of the targets in `fit`."""
        decided = self._decide(X)
        return decided[:, 0] if np.ndim(self.coef_) == 1 else decided


class TernaryClassifierReadout(ClassifierMixin, _Ternary):  # type: ignore[misc]
    """Ternary classifier: one output for each class, the largest wins.

    Parameters
    ----------
    planes, alpha, fit_intercept, pairs, sweeps
        See `TernaryReadout`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    planes_, scales_, coef_, intercept_
        See `TernaryReadout`; one output for each class, or a single one for two classes.
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to features (samples, features) and their classes (samples,)."""
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        self._fit(features, one_against_rest(labels, self.classes_))
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs of all classes (samples, classes), or of the second one if there are two (samples,)."""
        decided = self._decide(X)
        return decided[:, 0] if len(self.classes_) == 2 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        return winners(self.decision_function(X), self.classes_)


def _rounded(weights: FloatArray, share: float, planes: int) -> npt.NDArray[np.int8]:
    """Round weights to ternary planes; each plane approximates the remainder of those before it."""
    left, rounded = weights.copy(), np.zeros((planes, len(weights)), dtype=np.int8)
    for plane in rounded:
        plane[:] = np.sign(left) * (np.abs(left) > share * np.abs(left).mean())
        used = plane != 0
        left = left - plane * (np.abs(left[used]).mean() if used.any() else 0.0)
    return rounded


@njit(cache=True, nogil=True, error_model="numpy")
def _explained(a, b, c00, c01, c11):  # type: ignore[no-untyped-def]
    """Return how much of the squared target two planes with optimal scales explain, and the scales."""
    det = c00 * c11 - c01 * c01
    if c00 > 0.0 and c11 > 0.0 and det > 1e-12 * c00 * c11:
        s0, s1 = (a * c11 - b * c01) / det, (b * c00 - a * c01) / det
        return s0 * a + s1 * b, s0, s1
    if c00 > 0.0 and (c11 <= 0.0 or a * a * c11 >= b * b * c00):
        return a * a / c00, a / c00, 0.0
    if c11 > 0.0:
        return b * b / c11, 0.0, b / c11
    return 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _best_single(gram, cross, planes, images, loads, products, best, p, j):  # type: ignore[no-untyped-def]
    """Return the value of one weight that explains most, and how much."""
    old, chosen, other = planes[p, j], planes[p, j], 1 - p
    for new in range(-1, 2):
        if new == old:
            continue
        d = float(new - old)
        gained, _s0, _s1 = _explained(
            loads[p] + d * cross[j],
            loads[other],
            products[p, p] + 2.0 * d * images[p, j] + d * d * gram[j, j],
            products[0, 1] + d * images[other, j],
            products[other, other],
        )
        if gained > best * _GAIN + 1e-300:
            best, chosen = gained, new
    return chosen, best


@njit(cache=True, nogil=True, error_model="numpy")
def _best_pair(gram, cross, planes, images, loads, products, best, p, j):  # type: ignore[no-untyped-def]
    """Return the values of one weight and of a later one that together explain most, and how much."""
    other, old = 1 - p, planes[p, j]
    chosen, partner, chosen_there = old, -1, 0
    for new in range(-1, 2):
        if new == old:
            continue
        d = float(new - old)
        load, mixed = loads[p] + d * cross[j], products[0, 1] + d * images[other, j]
        square = products[p, p] + 2.0 * d * images[p, j] + d * d * gram[j, j]
        for k in range(j + 1, planes.shape[1]):
            there = planes[p, k]
            slope = images[p, k] + d * gram[j, k]
            for new_there in range(-1, 2):
                if new_there == there:
                    continue
                e = float(new_there - there)
                gained, _s0, _s1 = _explained(
                    load + e * cross[k],
                    loads[other],
                    square + 2.0 * e * slope + e * e * gram[k, k],
                    mixed + e * images[other, k],
                    products[other, other],
                )
                if gained > best * _GAIN + 1e-300:
                    best, chosen, partner, chosen_there = gained, new, k, new_there
    return chosen, partner, chosen_there, best


@njit(cache=True, nogil=True, error_model="numpy")
def _change(gram, cross, planes, images, loads, products, p, j, new):  # type: ignore[no-untyped-def]
    """Set a weight to a value, and update all that depends on it."""
    d = float(new - planes[p, j])
    loads[p] += d * cross[j]
    products[p, p] += 2.0 * d * images[p, j] + d * d * gram[j, j]
    products[0, 1] += d * images[1 - p, j]
    products[1, 0] = products[0, 1]
    for i in range(len(gram)):
        images[p, i] += d * gram[j, i]
    planes[p, j] = new


@njit(cache=True, nogil=True, error_model="numpy")
def _descend(gram, cross, planes, sweeps, pairs):  # type: ignore[no-untyped-def]
    """Change one weight at a time to the value that explains most, in place, until no change helps.

    With `pairs`, changes of two weights are then tried. They matter because features of a reservoir are correlated:
    replacing one by another can help, although each of the two changes alone raises the error.
    """
    count, size = planes.shape
    images = np.zeros((2, size))  # gram times each plane
    loads, products = np.zeros(2), np.zeros((2, 2))
    for p in range(count):
        for j in range(size):
            if planes[p, j] != 0:
                loads[p] += planes[p, j] * cross[j]
                for i in range(size):
                    images[p, i] += planes[p, j] * gram[j, i]
    for p in range(count):
        for q in range(count):
            for j in range(size):
                products[p, q] += planes[q, j] * images[p, j]
    best, s0, s1 = _explained(loads[0], loads[1], products[0, 0], products[0, 1], products[1, 1])
    in_pairs = False
    for _ in range(sweeps):
        changed = False
        for j in range(size):
            for p in range(count):
                if in_pairs:
                    now, partner, then, gained = _best_pair(gram, cross, planes, images, loads, products, best, p, j)
                else:
                    now, gained = _best_single(gram, cross, planes, images, loads, products, best, p, j)
                    partner, then = -1, 0
                if gained > best:
                    best, changed = gained, True
                    _change(gram, cross, planes, images, loads, products, p, j, now)
                    if partner >= 0:
                        _change(gram, cross, planes, images, loads, products, p, partner, then)
        if changed:
            in_pairs = False
        elif in_pairs or not pairs:
            break
        else:
            in_pairs = True
    best, s0, s1 = _explained(loads[0], loads[1], products[0, 0], products[0, 1], products[1, 1])
    scales = np.array([s0, s1])
    return best, scales[:count]
