"""Samples of a ridge readout that are kept while they are fewer than its features, and their weights.

They then take less memory than second moments would, and the readout is solved in the space of the samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.readouts.moments import Moments

FloatArray = npt.NDArray[np.float64]


def are_kept(samples: int, features: int) -> bool:
    """Return whether so few samples are kept as they are: up to about as many as features.

    A few more than features are kept, so that with more the samples of leverage one leave others to learn from.
    """
    return samples <= features + features // 64 + 1


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples to fit, with weights.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (samples, features)
    Y : ndarray of float, shape (samples, outputs)
    weights : ndarray of float, shape (samples,), or None
        Weight of each squared error, more than 0; 1 by default.
    counts : ndarray of float, shape (samples,), or None
        Number of samples that each counts as, of which leave-one-out leaves out one; 1 by default.
    """

    X: npt.NDArray[Any]
    Y: FloatArray
    weights: FloatArray | None = None
    counts: FloatArray | None = None

    @property
    def left_out(self) -> FloatArray | float:
        """Fraction of its weight by which leave-one-out reduces that of each sample."""
        return 1.0 if self.counts is None else 1.0 / self.counts

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(len(self.X)) if self.weights is None else float(self.weights.sum())

    @property
    def total_count(self) -> float:
        """Number of samples, those of a weight above 1 counted as that many."""
        return float(len(self.X)) if self.counts is None else float(self.counts.sum())

    def rows(self, chosen: Any) -> "Samples":
        """Return some of the samples."""
        weights = None if self.weights is None else self.weights[chosen]
        return Samples(self.X[chosen], self.Y[chosen], weights, None if self.counts is None else self.counts[chosen])

    def moments(self, centred: bool, *, double: bool = False) -> Moments:
        """Return the second moments of the samples."""
        moments = Moments(self.X.shape[1], self.Y.shape[1], centred)
        return moments.add(self.X, self.Y, self.weights, self.counts, double=double)


class KeptSamples:
    """Copies of the samples added so far, in arrays that double in size when they are full."""

    def __init__(self, features: int, outputs: int, centred: bool = True) -> None:
        self.features, self.outputs, self.centred = features, outputs, centred
        self.count = 0
        self._X, self._Y = np.zeros((0, features), dtype=np.float32), np.zeros((0, outputs))
        self._weights, self._counts = np.zeros(0), np.zeros(0)

    def add(self, given: Samples) -> Self:
        """Add samples; features are kept in single precision until some are given in double."""
        begin, end = self.count, self.count + len(given.X)
        room = len(self._X) if end <= len(self._X) else max(end, min(2 * end, self.features)) if begin else end
        X, Y, weights, counts = self._X, self._Y, self._weights, self._counts
        kind = np.result_type(X.dtype, given.X.dtype)
        if room > len(X) or kind != X.dtype:
            X, Y, weights, counts = (
                _with_room(old, room, begin, wanted)
                for old, wanted in ((X, kind), (Y, Y.dtype), (weights, Y.dtype), (counts, Y.dtype))
            )
        X[begin:end], Y[begin:end] = given.X, given.Y
        weights[begin:end] = 1.0 if given.weights is None else given.weights
        counts[begin:end] = 1.0 if given.counts is None else given.counts
        self._X, self._Y, self._weights, self._counts, self.count = X, Y, weights, counts, end
        return self

    @property
    def samples(self) -> Samples:
        """The samples added so far; not to be changed."""
        weights, counts = self._weights[: self.count], self._counts[: self.count]
        weighted = bool((weights != 1.0).any() or (counts != 1.0).any())
        return Samples(
            self._X[: self.count], self._Y[: self.count], weights if weighted else None, counts if weighted else None
        )

    def with_features(self, order: npt.NDArray[np.intp]) -> "KeptSamples":
        """Return the same samples with their features in another order."""
        old = self.samples
        return KeptSamples(self.features, self.outputs, self.centred).add(
            Samples(old.X[:, order], old.Y, old.weights, old.counts)
        )

    def with_outputs(self, sources: Sequence[tuple[int, float] | None]) -> "KeptSamples":
        """Return the same samples with other outputs: each an old one times a sign, or -1 for all."""
        old, changed = self.samples, np.full((self.count, len(sources)), -1.0)
        for output, source in enumerate(sources):
            if source is not None:
                changed[:, output] = source[1] * old.Y[:, source[0]]
        return KeptSamples(self.features, len(sources), self.centred).add(
            Samples(old.X, changed, old.weights, old.counts)
        )


def _with_room(old: npt.NDArray[Any], room: int, used: int, kind: Any) -> npt.NDArray[Any]:
    """Return an array of `room` rows that begins with the first ones of another."""
    made = np.zeros((room, *old.shape[1:]), dtype=kind)
    made[:used] = old[:used]
    return made
