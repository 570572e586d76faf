r"""Second moments of features and targets, accumulated block by block: sufficient statistics of ridge regression.

Each block is centred on its own mean before products are formed, and moments :math:`M = \sum_i (x_i - \bar x)
(x_i - \bar x)^\top` of two parts of :math:`m` and :math:`n` samples are joined by

.. math:: M = M_1 + M_2 + \frac{mn}{m+n} (\bar x_2 - \bar x_1)(\bar x_2 - \bar x_1)^\top

(T. F. Chan, G. H. Golub and R. J. LeVeque, The American Statistician 37, 242 (1983)). So a large offset, such as 1e8 on
raw counts, costs no precision, and memory does not grow with the number of samples.
"""

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


@dataclass
class Moments:
    """Number, means and second moments of the samples added so far.

    Parameters
    ----------
    features, outputs : int
    centred : bool
        Whether moments are about the mean (for a readout with an intercept) or about zero.
    """

    features: int
    outputs: int
    centred: bool = True
    samples: int = 0
    x_mean: FloatArray = field(init=False)
    y_mean: FloatArray = field(init=False)
    cross: FloatArray = field(init=False)
    """Moments of features with targets, shape (features, outputs)."""
    total: FloatArray = field(init=False)
    """Sum of squares of each target, shape (outputs,)."""

    def __post_init__(self) -> None:
        self.x_mean, self.y_mean = np.zeros(self.features), np.zeros(self.outputs)
        # In Fortran order, so that BLAS updates one triangle in place.
        self._triangle = np.zeros((self.features, self.features), order="F")
        self.cross, self.total = np.zeros((self.features, self.outputs)), np.zeros(self.outputs)

    @property
    def gram(self) -> FloatArray:
        """Moments of features with features, shape (features, features)."""
        lower = np.tril(self._triangle)
        full: FloatArray = lower + np.tril(lower, -1).T
        return full

    def add(self, X: npt.NDArray[Any], Y: FloatArray) -> Self:
        """Add samples: features (samples, features) in single or double precision, and targets (samples, outputs)."""
        single = X.dtype == np.float32
        rows = max(1, min(_SINGLE_ROWS if single else BLOCK_ROWS, len(X)))
        # One more row, for the difference of the means of the block and of the samples before it.
        buffer = np.zeros((rows + 1, self.features), dtype=np.float32 if single else np.float64)
        for begin in range(0, len(X), rows):
            self._add_block(X[begin : begin + rows], Y[begin : begin + rows], buffer)
        return self

    def _add_block(self, X: npt.NDArray[Any], Y: FloatArray, buffer: npt.NDArray[Any]) -> None:
        count = len(X)
        x, y = buffer[: count + 1], np.zeros((count + 1, self.outputs))
        if self.centred:
            mean = np.full(count, 1.0 / count, dtype=buffer.dtype)
            x_mean, y_mean = mean @ X, Y.mean(axis=0)
            np.subtract(X, x_mean, out=x[:count])
            np.subtract(Y, y_mean, out=y[:count])
            # The mean was rounded; the mean of the centred block is its correction.
            x_apart = x_mean + (mean @ x[:count]).astype(np.float64) - self.x_mean
            y_apart = y_mean + y[:count].mean(axis=0) - self.y_mean
            both = self.samples + count
            weight = np.sqrt(self.samples * count / both)
            x[count], y[count] = weight * x_apart, weight * y_apart
            self.x_mean = self.x_mean + x_apart * (count / both)
            self.y_mean = self.y_mean + y_apart * (count / both)
        else:
            x[:count], x[count], y[:count] = X, 0.0, Y
        if buffer.dtype == np.float32:
            self._triangle += ssyrk(1.0, x.T, lower=True)
        else:
            self._triangle = dsyrk(1.0, x.T, beta=1.0, c=self._triangle, lower=True, overwrite_c=True)
        self.cross += x.T.astype(np.float64) @ y
        self.total += np.einsum("ij,ij->j", y, y)
        self.samples += count

    def __add__(self, other: "Moments") -> "Moments":
        if (self.features, self.outputs, self.centred) != (other.features, other.outputs, other.centred):
            raise ValueError(
                f"moments of {self.features} features and {self.outputs} outputs cannot be added to those of "
                f"{other.features} and {other.outputs}; both parts need the same, and the same intercept"
            )
        joined = Moments(self.features, self.outputs, self.centred)
        joined.samples = both = self.samples + other.samples
        share = other.samples / both if both else 0.0
        x_apart, y_apart = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        joined.x_mean, joined.y_mean = self.x_mean + share * x_apart, self.y_mean + share * y_apart
        weight = share * self.samples
        joined._triangle = self._triangle + other._triangle + np.multiply.outer(weight * x_apart, x_apart)
        joined.cross = self.cross + other.cross + np.multiply.outer(weight * x_apart, y_apart)
        joined.total = self.total + other.total + weight * y_apart**2
        return joined
