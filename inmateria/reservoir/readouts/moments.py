"""Second moments of features and targets, gathered block by block: all that a ridge solution needs of its data.

Each block is centred by itself before anything is multiplied, and blocks are joined by the pairwise
update of Chan, Golub and LeVeque (The American Statistician 37, 242 (1983)), so that an offset of 1e8
on raw counts does not eat the signal, and memory does not grow with the number of samples.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsyrk, ssyrk

FloatArray = npt.NDArray[np.float64]

# A block of this many rows and its products stay in the processor's cache.
BLOCK_ROWS = 1024
# Within a block, single-precision data are also added in single precision; shorter blocks round less.
_SINGLE_ROWS = 512


@dataclass
class Moments:
    """Counts, means and centred second moments of samples seen so far.

    Parameters
    ----------
    features, outputs : int
    centred : bool
        Take moments about the mean (for a readout with an intercept), or about zero.
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
        # Fortran's order, of which BLAS fills one triangle in place.
        self._triangle = np.zeros((self.features, self.features), order="F")
        self.cross, self.total = np.zeros((self.features, self.outputs)), np.zeros(self.outputs)

    @property
    def gram(self) -> FloatArray:
        """Moments of features with features, shape (features, features)."""
        lower = np.tril(self._triangle)
        full: FloatArray = lower + np.tril(lower, -1).T
        return full

    def add(self, X: npt.NDArray[Any], Y: FloatArray) -> Self:
        """Take in further samples: features (samples, features), single or double, and targets (samples, outputs)."""
        single = X.dtype == np.float32
        rows = max(1, min(_SINGLE_ROWS if single else BLOCK_ROWS, len(X)))
        # One row more, for what lies between the means of the block and of those before it.
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
            # A mean is rounded too; a second look tells by how much.
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
