r"""Ternary weights by rounding ridge weights one at a time, the others compensating for each error of rounding.

Rounding weight :math:`j` by :math:`e` changes the squared error least if every later weight moves by
:math:`-e\, (H_j^{-1})_{ij} / (H_j^{-1})_{jj}`, with the second moments :math:`H_j` of the features that are left
(optimal brain quantisation: E. Frantar and D. Alistarh, NeurIPS 2022, arXiv:2208.11580). In a fixed order, here by the
size of the weights, a Cholesky factor of :math:`H^{-1}` holds all these rows (E. Frantar et al., arXiv:2210.17323).
"""

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.linalg import cholesky

from inmateria.reservoir.readouts.ternary_descent import RATIOS, explained_by, with_positive_scales

FloatArray = npt.NDArray[np.float64]

_SIZES = (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 2.5)
"""Scales that are tried, in units of the mean size of the ridge weights."""

_BOTH = np.array([(first, second) for first in (-1, 0, 1) for second in (-1, 0, 1)], dtype=np.int8)


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
    planes : {1, 2}
    """
    order = np.argsort(-np.abs(ridge), kind="stable")
    factor = cholesky(inverse[np.ix_(order, order)], check_finite=False)
    size, best = np.abs(ridge).mean(), -1.0
    chosen, scales = np.zeros((2, len(ridge)), dtype=np.int8), np.zeros(2)
    tried = [(share, 0.0) for share in _SIZES]
    if planes == 2:
        tried = [(share, ratio) for share in _SIZES for ratio in RATIOS]
    for share, ratio in tried:
        both = _BOTH if planes == 2 else _BOTH[[1, 4, 7]]
        levels = both @ np.array([share * size, share * size * ratio])
        found = np.zeros((2, len(ridge)), dtype=np.int8)
        found[:, order] = both[_rounded(factor, ridge[order], levels)].T
        images = found @ gram
        products = images @ found.T
        loads = found @ cross
        explained, first, second = explained_by(loads[0], loads[1], products[0, 0], products[0, 1], products[1, 1])
        if explained > best:
            best, chosen, scales = explained, found, np.array([first, second])
    return with_positive_scales(chosen[:planes], scales[:planes])


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
