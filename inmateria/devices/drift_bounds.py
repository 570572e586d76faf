r"""Lower confidence limits of the distance of two fingerprints, to test whether a drift is beyond a bound.

The hypothesis is composite: any change :math:`\Delta` of the mean response with :math:`\lVert \Delta \rVert \leq b`.
For any unit vector :math:`u`, it implies :math:`u^\top \Delta \leq b`. A direction is found from some of the repeats;
the others, projected on it, are numbers. For them, a permutation test after subtracting :math:`b` has the stated error
rate at :math:`u^\top \Delta = b` and a smaller one below, for any noise that is the same in both fingerprints (for
splitting see D. R. Cox, Biometrika 62, 441 (1975); for tests of a shift by permutation E. L. Lehmann and J. P. Romano,
Testing Statistical Hypotheses). All bounds that the test refuses are found at once, as their upper end.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.substrate import FloatArray

__all__ = ["LowerLimit", "lower_limits", "smallest_alpha"]

_ALPHAS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_FOR_DIRECTION = 0.4
"""Largest fraction of the repeats that the direction is found from."""
_ENOUGH = 200
"""Assignments of the other repeats below which fewer repeats are spent on the direction."""
_EVERY = 4000
"""Number of assignments up to which all are tried."""
_RANDOM = 1999


class LowerLimit(NamedTuple):
    """The true distance is above `distance`, with an error rate of at most `alpha`."""

    alpha: float
    distance: float


def lower_limits(reference: FloatArray, now: FloatArray, rng: np.random.Generator) -> tuple[LowerLimit, ...]:
    """Return lower confidence limits of the distance of two means, for the error rates that the repeats allow.

    Parameters
    ----------
    reference, now : ndarray of float, shape (repeats, values)
        Each repeat as a row, in the units of the distance.
    rng : numpy.random.Generator
        Generator of the choice of the repeats for the direction, and of assignments if there are too many to try all.

    Returns
    -------
    tuple of LowerLimit
        By ascending error rate; 0 at least.
    """
    left, right = _spent(len(reference), len(now))
    a, b = reference[rng.permutation(len(reference))], now[rng.permutation(len(now))]
    direction = b[:right].mean(axis=0) - a[:left].mean(axis=0)
    size = float(np.linalg.norm(direction))
    if size > 0:
        direction = direction / size
    thresholds, assignments = _thresholds(a[left:] @ direction, b[right:] @ direction, rng)
    limits = []
    for alpha in _ALPHAS:
        # A bound is refused if the identity and the assignments with a threshold of at most the bound are few enough.
        allowed = math.floor(alpha * assignments + 1e-9)
        if allowed >= 1:
            limits.append(LowerLimit(alpha, max(float(thresholds[min(allowed, len(thresholds)) - 1]), 0.0)))
    return tuple(limits)


def smallest_alpha(repeats: int) -> float:
    """Return the smallest error rate at which two fingerprints of so many repeats can show a drift beyond a bound."""
    left, _ = _spent(repeats, repeats)
    return 1.0 / min(math.comb(2 * (repeats - left), repeats - left), _RANDOM + 1)


def _spent(reference: int, now: int) -> tuple[int, int]:
    """Return the numbers of repeats of the two fingerprints from which the direction is found."""
    left, right = (max(1, math.floor(_FOR_DIRECTION * repeats)) for repeats in (reference, now))
    while max(left, right) > 1 and math.comb(reference - left + now - right, reference - left) < _ENOUGH:
        left, right = max(1, left - 1), max(1, right - 1)
    return left, right


def _thresholds(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, int]:
    r"""Return the bound from which each assignment is as extreme as the one that was seen, ascending; and their number.

    With the difference of means :math:`D` as seen, :math:`D_\pi` with the numbers reassigned, and :math:`c_\pi` the
    difference of the shares of `y` in both groups, subtracting a bound :math:`b` from `y` changes them to
    :math:`D - b` and :math:`D_\pi - c_\pi b`. The latter is at least the former from
    :math:`b = (D - D_\pi) / (1 - c_\pi)` on.
    """
    values, of_y = np.concatenate([x, y]), np.repeat([0.0, 1.0], [len(x), len(y)])
    taken = _assignments(len(x), len(y), rng)
    seen = float(y.mean() - x.mean())

    def difference(of: FloatArray) -> FloatArray:
        found: FloatArray = taken @ of / len(y) - (1.0 - taken) @ of / len(x)
        return found

    share = difference(of_y)
    other = share < 1.0 - 1e-9  # the assignment that was seen counts always
    found: FloatArray = np.sort((seen - difference(values)[other]) / (1.0 - share[other]))
    return found, int(np.count_nonzero(other)) + 1


def _assignments(x: int, y: int, rng: np.random.Generator) -> FloatArray:
    """Return assignments of all numbers to the group of `y`, ones in rows: all there are, or random ones."""
    if math.comb(x + y, y) <= _EVERY:
        taken: npt.NDArray[np.float64] = np.zeros((math.comb(x + y, y), x + y))
        for row, chosen in enumerate(combinations(range(x + y), y)):
            taken[row, list(chosen)] = 1.0
        return taken
    return rng.permuted(np.tile(np.repeat([0.0, 1.0], [x, y]), (_RANDOM, 1)), axis=1)
