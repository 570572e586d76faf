"""Means and covariances of a stream of batches, without keeping the samples."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(eq=False)
class StreamingCovariance:
    """Joint mean and covariance of inputs and targets, updated batch by batch.

    Batches are centred on their own means before they are merged (T. F. Chan, G. H. Golub and R. J. LeVeque,
    Am. Stat. 37, 242 (1983)), so that a large offset costs no precision.

    Parameters
    ----------
    inputs, targets : int
        Number of columns of X and of Y.
    forgetting : float
        Weight of a sample relative to a sample of the next batch; 1 forgets nothing.
    """

    inputs: int
    targets: int
    forgetting: float = 1.0
    weight: float = 0.0
    mean: FloatArray = field(init=False)
    _scatter: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        size = self.inputs + self.targets
        self.mean, self._scatter = np.zeros(size), np.zeros((size, size))

    def add(self, X: FloatArray, Y: FloatArray) -> None:
        """Add a batch of samples: X (samples, inputs), Y (samples, targets)."""
        both = np.hstack([X, Y])
        count, middle = float(len(both)), both.mean(axis=0)
        centred = both - middle
        kept = self.forgetting * self.weight
        total = kept + count
        shift = middle - self.mean
        scatter = centred.T @ centred + kept * count / total * np.outer(shift, shift)
        scatter += self.forgetting * self._scatter
        # In one step, so that an interruption leaves all three as they were.
        vars(self).update(weight=total, mean=self.mean + shift * (count / total), _scatter=scatter)

    @property
    def blocks(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Covariances of X with X, of X with Y, and of Y with Y."""
        covariance, n = self._scatter / max(self.weight, 1.0), self.inputs
        return covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]
