r"""Second moments of features and targets, accumulated block by block: sufficient statistics of ridge regression.

Each block is centred on its own mean before products are formed, and moments :math:`M = \sum_i w_i (x_i - \bar x)
(x_i - \bar x)^\top` of two parts of weights :math:`m` and :math:`n` (numbers of samples, if these are not weighted) are
joined by

.. math:: M = M_1 + M_2 + \frac{mn}{m+n} (\bar x_2 - \bar x_1)(\bar x_2 - \bar x_1)^\top

(T. F. Chan, G. H. Golub and R. J. LeVeque, The American Statistician 37, 242 (1983)). So a large offset, such as 1e8 on
raw counts, costs no precision, and memory does not grow with the number of samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsyrk, ssyrk

FloatArray = npt.NDArray[np.float64]

# A block of this many rows and its products fit into the processor's cache.
BLOCK_ROWS = 1024
# Within a block, single-precision data are summed in single precision; shorter blocks have smaller rounding errors.
_SINGLE_ROWS = 512
# Sums of squares below this are small enough for products in single precision to lose digits.
_SINGLE_SQUARES = 1e-24


@dataclass
class Moments:
    """Number, weight, means and second moments of the samples added so far.

    Parameters
    ----------
    features, outputs : int
    centred : bool
        Whether moments are about the mean (for a readout with an intercept) or about zero.
    """

    features: int
    outputs: int
    centred: bool = True
    samples: float = 0
    """Number of samples; one of a weight above 1 counts as that many."""
    weight: float = 0.0
    """Sum of the weights of the samples."""
    precision: float = float(np.finfo(np.float64).eps)
    """Rounding error of the products: of double precision, or of single if any block was multiplied in single."""
    whole: bool = True
    """False while products are being added, and if that was interrupted."""
    x_mean: FloatArray = field(init=False)
    y_mean: FloatArray = field(init=False)
    x_sum: FloatArray = field(init=False)
    """Sum of the features, shape (features,); only of moments about zero, where the means are kept at zero."""
    cross: FloatArray = field(init=False)
    """Moments of features with targets, shape (features, outputs)."""
    total: FloatArray = field(init=False)
    """Sum of squares of each target, shape (outputs,)."""

    def __post_init__(self) -> None:
        self.x_mean, self.y_mean, self.x_sum = (np.zeros(size) for size in (self.features, self.outputs, self.features))
        # The means have more digits than one number holds: these are the further ones.
        self._x_rest, self._y_rest = np.zeros(self.features), np.zeros(self.outputs)
        # In Fortran order, so that BLAS updates one triangle in place.
        self._triangle = np.zeros((self.features, self.features), order="F")
        self.cross, self.total = np.zeros((self.features, self.outputs)), np.zeros(self.outputs)

    @property
    def gram(self) -> FloatArray:
        """Moments of features with features, shape (features, features)."""
        lower = np.tril(self._triangle)
        full: FloatArray = lower + np.tril(lower, -1).T
        return full

    @property
    def raw_squares(self) -> FloatArray:
        """Sum of squares of each feature about zero, shape (features,): rounding errors are in proportion to it."""
        squares: FloatArray = np.diagonal(self._triangle) + self.weight * self.x_mean**2
        return squares

    def add(
        self,
        X: npt.NDArray[Any],
        Y: FloatArray,
        weights: FloatArray | None = None,
        counts: FloatArray | None = None,
        *,
        double: bool = False,
    ) -> Self:
        """Add samples.

        Parameters
        ----------
        X : ndarray of float32 or float64, shape (samples, features)
        Y : ndarray of float, shape (samples, outputs)
        weights : ndarray of float, shape (samples,), optional
            More than 0; 1 by default.
        counts : ndarray of float, shape (samples,), optional
            Number of samples that each counts as; 1 by default.
        double : bool
            Multiply in double precision whatever the precision of the features.
        """
        if not len(X):
            return self
        single = X.dtype == np.float32 and not double
        rows = min(_SINGLE_ROWS if single else BLOCK_ROWS, len(X))
        # One more row, for the difference of the means of the block and of the samples before it.
        buffer = np.zeros((rows + 1, self.features), dtype=np.float32 if single else np.float64)
        self.whole = False
        for begin in range(0, len(X), rows):
            now = slice(begin, begin + rows)
            self._add_block(X[now], Y[now], None if weights is None else weights[now], buffer)
        self.samples += len(X) if counts is None else float(counts.sum())
        if single:
            self.precision = float(np.finfo(np.float32).eps)
        self.whole = True
        return self

    def _add_block(
        self, X: npt.NDArray[Any], Y: FloatArray, weights: FloatArray | None, buffer: npt.NDArray[Any]
    ) -> None:
        count = len(X)
        weight = float(count) if weights is None else float(weights.sum())
        x, y = buffer[: count + 1], np.zeros((count + 1, self.outputs))
        share = np.full(count, 1.0 / count) if weights is None else weights / weight
        narrow = share.astype(buffer.dtype)
        if self.centred:
            x_mean, y_mean = narrow @ X.astype(buffer.dtype, copy=False), share @ Y
            np.subtract(X, x_mean, out=x[:count])
            np.subtract(Y, y_mean, out=y[:count])
            # The mean was rounded; the mean of the centred block is its correction.
            x_off, y_off = narrow @ x[:count], share @ y[:count]
            x[:count] -= x_off
            y[:count] -= y_off
            x_apart = (x_mean.astype(np.float64) - self.x_mean) + (x_off - self._x_rest)
            y_apart = (y_mean - self.y_mean) + (y_off - self._y_rest)
            both = self.weight + weight
            apart = np.sqrt(self.weight * weight / both)
            x[count], y[count] = apart * x_apart, apart * y_apart
            self.x_mean, self._x_rest = _moved(self.x_mean, self._x_rest, x_apart * (weight / both))
            self.y_mean, self._y_rest = _moved(self.y_mean, self._y_rest, y_apart * (weight / both))
        else:
            x[:count], x[count], y[:count] = X, 0.0, Y
            self.x_sum = self.x_sum + weight * (share @ X)
        if weights is not None:
            root = np.sqrt(weights)[:, np.newaxis]
            x[:count] *= root
            y[:count] *= root
        if buffer.dtype == np.float32:
            self._triangle += _single_products(x)
        else:
            self._triangle = dsyrk(1.0, x.T, beta=1.0, c=self._triangle, lower=True, overwrite_c=True)
        self.cross += x.T.astype(np.float64) @ y
        self.total += np.einsum("ij,ij->j", y, y)
        self.weight += weight

    def with_features(self, order: npt.NDArray[np.intp]) -> "Moments":
        """Return the moments of the same samples with their features in another order."""
        changed = self._like(self.outputs)
        changed.x_mean, changed.x_sum, changed._x_rest = self.x_mean[order], self.x_sum[order], self._x_rest[order]
        changed.y_mean, changed._y_rest = self.y_mean.copy(), self._y_rest.copy()
        changed.cross, changed.total = self.cross[order], self.total.copy()
        changed._triangle = np.asfortranarray(self.gram[np.ix_(order, order)])
        return changed

    def with_outputs(self, sources: Sequence[tuple[int, float] | None]) -> "Moments":
        """Return the moments of the same samples with other outputs: each an old one times a sign, or -1 for all."""
        changed = self._like(len(sources))
        changed.x_mean, changed.x_sum, changed._x_rest = self.x_mean.copy(), self.x_sum.copy(), self._x_rest.copy()
        changed._triangle = self._triangle.copy(order="F")
        for output, source in enumerate(sources):
            if source is not None:
                old, sign = source
                changed.y_mean[output], changed._y_rest[output] = sign * self.y_mean[old], sign * self._y_rest[old]
                changed.cross[:, output], changed.total[output] = sign * self.cross[:, old], self.total[old]
            elif self.centred:
                changed.y_mean[output] = -1.0
            else:
                changed.cross[:, output], changed.total[output] = -self.x_sum, self.weight
        return changed

    def _like(self, outputs: int) -> "Moments":
        return Moments(self.features, outputs, self.centred, self.samples, self.weight, self.precision)

    def __add__(self, other: "Moments") -> "Moments":
        if (self.features, self.outputs, self.centred) != (other.features, other.outputs, other.centred):
            raise ValueError(
                f"moments of {self.features} features and {self.outputs} outputs cannot be added to those of "
                f"{other.features} and {other.outputs}; both parts need the same, and the same intercept"
            )
        joined = Moments(self.features, self.outputs, self.centred)
        joined.samples, joined.precision = self.samples + other.samples, max(self.precision, other.precision)
        joined.weight = both = self.weight + other.weight
        share = other.weight / both if both else 0.0
        x_apart = (other.x_mean - self.x_mean) + (other._x_rest - self._x_rest)
        y_apart = (other.y_mean - self.y_mean) + (other._y_rest - self._y_rest)
        joined.x_mean, joined._x_rest = _moved(self.x_mean, self._x_rest, share * x_apart)
        joined.y_mean, joined._y_rest = _moved(self.y_mean, self._y_rest, share * y_apart)
        joined.x_sum = self.x_sum + other.x_sum
        weight = share * self.weight
        joined._triangle = self._triangle + other._triangle + np.multiply.outer(weight * x_apart, x_apart)
        joined.cross = self.cross + other.cross + np.multiply.outer(weight * x_apart, y_apart)
        joined.total = self.total + other.total + weight * y_apart**2
        return joined


def _moved(mean: FloatArray, rest: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a mean plus a step, and the digits that it does not hold."""
    moved = mean + step
    # The sum's rounding error, whichever of the two is larger (D. E. Knuth's sum of two numbers).
    added = moved - mean
    return moved, rest + ((mean - (moved - added)) + (step - added))


def _single_products(x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Return the products of the columns, in double precision where single precision would overflow or underflow."""
    products: npt.NDArray[Any] = ssyrk(1.0, x.T, lower=True)
    squares = np.diagonal(products)
    strange = ~(np.isfinite(squares) & (squares > _SINGLE_SQUARES))
    if strange.any() and np.ptp(x[:-1, strange], axis=0).any():
        doubled: FloatArray = dsyrk(1.0, x.T.astype(np.float64), lower=True)
        return doubled
    return products
