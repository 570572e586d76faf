r"""Ternary weights by rounding ridge weights one at a time, the others compensating for each error of rounding.

Rounding weight :math:`j` by :math:`e` changes the squared error least if every later weight moves by
:math:`-e\, (H_j^{-1})_{ij} / (H_j^{-1})_{jj}`, with the second moments :math:`H_j` of the features that are left
(optimal brain quantisation: E. Frantar and D. Alistarh, NeurIPS 2022, arXiv:2208.11580). In a fixed order, here by the
size of the weights, a Cholesky factor of :math:`H^{-1}` holds all these rows (E. Frantar et al., arXiv:2210.17323).
"""

from itertools import product

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.linalg import cholesky

from inmateria.reservoir.readouts.ternary_descent import RATIOS, with_positive_scales

FloatArray = npt.NDArray[np.float64]

_SIZES = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 2.5)
"""Scales of the first plane that are tried with one or two, in units of the mean size of the ridge weights."""

_REACHES = (0.25, 0.35, 0.5, 0.7, 0.85, 1.0)
"""Largest levels that are tried with more planes, in units of the largest ridge weight."""


def rounded_planes(
    gram: FloatArray, cross: FloatArray, ridge: FloatArray, inverse: FloatArray, planes: int
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return planes (planes, features) for one output, and their scales (planes,).

    Several scales are tried; the one with the least squared error on the training data is taken.

    Parameters
    ----------
    gram : ndarray of float, shape (features, features)
        Second moments of the features, regularised.
    cross : ndarray of float, shape (features,)
        Moments of the features with the target.
    ridge : ndarray of float, shape (features,)
        Ridge weights, solved with `gram`.
    inverse : ndarray of float, shape (features, features)
        Inverse of `gram`.
    planes : int
        1 to 4. Of three and more, each next one has a third of the scale of the one before: all levels are equally far
        apart.
    """
    order = np.argsort(-np.abs(ridge), kind="stable")
    factor = cholesky(inverse[np.ix_(order, order)], check_finite=False)
    combinations = np.array(list(product((-1, 0, 1), repeat=planes)), dtype=np.int8)
    best, chosen, scales = -1.0, np.zeros((planes, len(ridge)), dtype=np.int8), np.zeros(planes)
    for sizes in _tried_scales(ridge, planes):
        found = np.zeros((planes, len(ridge)), dtype=np.int8)
        found[:, order] = combinations[_rounded(factor, ridge[order], combinations @ sizes)].T
        loads = found @ cross
        optimal = np.asarray(np.linalg.lstsq((found @ gram) @ found.T, loads, rcond=1e-12)[0], dtype=np.float64)
        explained = float(optimal @ loads)
        if explained > best:
            best, chosen, scales = explained, found, optimal
    return with_positive_scales(chosen, scales)


def _tried_scales(ridge: FloatArray, planes: int) -> list[FloatArray]:
    """Return the scales of the planes that are tried."""
    size, largest = np.abs(ridge).mean(), np.abs(ridge).max()
    if planes == 1:
        return [np.array([share * size]) for share in _SIZES]
    if planes == 2:
        return [share * size * np.array([1.0, ratio]) for share in _SIZES for ratio in RATIOS]
    thirds = 3.0 ** -np.arange(planes)
    return [reach * largest * thirds / thirds.sum() for reach in _REACHES]


@njit(cache=True, nogil=True, error_model="numpy")
def _rounded(factor, weights, levels):  # type: ignore[no-untyped-def]
    """Return the number of the level that each weight is rounded to, in order."""
    left, chosen = weights.copy(), np.zeros(len(weights), dtype=np.int64)
    for j in range(len(weights)):
        nearest = np.inf
        for level in range(len(levels)):
            away = abs(left[j] - levels[level])
            if away < nearest:
                nearest, chosen[j] = away, level
        error = (left[j] - levels[chosen[j]]) / factor[j, j]
        for i in range(j + 1, len(weights)):
            left[i] -= error * factor[j, i]
    return chosen
