"""Squared correlations of many targets with their linear readouts from the same states, the basis of capacities.

The states are factored once. Each block of targets then costs one matrix product.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh, qr, svd
from scipy.stats import beta

FloatArray = npt.NDArray[np.float64]


class ManyTargetsReadout:
    """Least-squares readout of one set of states, for any number of targets.

    Parameters
    ----------
    states : ndarray of float, shape (steps, features)
        They are standardised and factored once.
    held_out, alpha, rank_threshold
        See `inmateria.reservoir.memory_capacity`.

    Attributes
    ----------
    rank : int
        Rank of the standardised states.
    scored : int
        Number of steps on which capacities are measured.
    """

    def __init__(self, states: FloatArray, held_out: float | range, alpha: float, rank_threshold: float) -> None:
        if not isinstance(held_out, range) and not 0 <= held_out <= 0.9:
            raise ValueError(
                f"held_out is {held_out}; it must be a fraction of the steps from 0 to 0.9, or a range of steps"
            )
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha is {alpha}; it must be finite and at least 0")
        if not 0 < rank_threshold < 1:
            raise ValueError(f"rank_threshold is {rank_threshold}; it must be more than 0 and less than 1")
        steps = len(states)
        if not isinstance(held_out, range):
            held_out = range(steps - round(steps * held_out), steps)
        # Held-out steps are moved to the end.
        self._before, self._after = held_out.start, held_out.stop
        self._learned = steps - len(held_out)
        states = self._in_order(states.T).T
        self._X = states - states[: self._learned].mean(axis=0)
        learned = self._X[: self._learned]
        self._X -= learned.mean(axis=0)  # the mean was rounded
        spread = np.sqrt(np.einsum("ij,ij->j", learned, learned) / self._learned)
        # The spread of constant columns is rounding error; standardised, they would be noise.
        moving = spread > 1e-13 * np.abs(states[0])
        self._X *= np.divide(1.0, spread, out=np.zeros_like(spread), where=moving)
        features = states.shape[1]
        if self._learned < features + 2 or 0 < len(states) - self._learned < 3:
            raise ValueError(
                f"{self._learned} steps remain to learn from and {len(states) - self._learned} to score, for "
                f"{features} features; record more steps, or ask for shorter delays or fewer features"
            )
        singular, right = _singular_values(self._X[: self._learned])
        self.rank = int(np.count_nonzero(singular > rank_threshold * singular[0])) if singular[0] > 0 else 0
        if not self.rank:
            raise ValueError("every state is constant; at least one must vary; drive the reservoir more strongly")
        kept = singular[: self.rank]
        self._to_scores = right[: self.rank].T / kept
        self._shrink = kept**2 / (kept**2 + alpha)
        self._held_out = len(held_out) > 0
        self.scored = len(states) - self._learned if self._held_out else self._learned

    @property
    def chance(self) -> float:
        """Expected squared correlation with an unrelated target."""
        return 1 / (self.scored - 1) if self._held_out else self.rank / (self.scored - 1)

    def threshold(self, significance: float) -> float:
        """Return the value that an unrelated normal target exceeds with that probability (beta distribution)."""
        if not 0 < significance < 1:
            raise ValueError(f"significance is {significance}; it must be a probability between 0 and 1")
        degrees = 1 if self._held_out else self.rank
        return float(beta.isf(significance, degrees / 2, (self.scored - 1 - degrees) / 2))

    def squared_correlations(self, targets: FloatArray) -> FloatArray:
        """Return the squared correlation of each target (targets, steps) with its readout."""
        return self._squared_correlations(self._in_order(targets))

    def _squared_correlations(self, targets: FloatArray) -> FloatArray:
        scores = self._scores_of(targets)
        if self._held_out:
            return _squared_correlations(self._read(scores), targets[:, self._learned :])
        # States have mean zero, so centring the targets changes only their own variance.
        size = np.einsum("ij,ij->i", targets, targets) - targets.sum(axis=1) ** 2 / targets.shape[1]
        together, spread = scores**2 @ self._shrink, scores**2 @ self._shrink**2 * size
        squared: FloatArray = np.divide(together**2, spread, out=np.zeros_like(spread), where=spread > 0)
        return squared

    def with_chance(self, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the squared correlation of each target, and its expectation for an unrelated target of such values."""
        targets = self._in_order(targets)
        if self._held_out:
            read, wanted = self._read(self._scores_of(targets)), targets[:, self._learned :]
            of_read, of_wanted = read**2, wanted**2
            together = np.einsum("ij,ij->i", of_read, of_wanted)
            spread = of_read.sum(axis=1) * of_wanted.sum(axis=1)
            chance = np.divide(together, spread, out=np.full_like(spread, self.chance), where=spread > 0)
            return _squared_correlations(read, wanted), chance
        squares = targets**2
        return self._squared_correlations(targets), squares @ self._leverage / squares.sum(axis=1)

    def _in_order(self, rows: FloatArray) -> FloatArray:
        """Return rows with the held-out steps (columns) moved to the end."""
        if self._after >= rows.shape[1]:
            return rows
        before, held, after = np.split(rows, [self._before, self._after], axis=1)
        return np.concatenate([before, after, held], axis=1)

    @cached_property
    def _leverage(self) -> FloatArray:
        """Leverage of each step, shape (steps,); the sum is the rank."""
        orthonormal = self._X @ self._to_scores
        leverage: FloatArray = np.einsum("ij,ij->i", orthonormal, orthonormal)
        return leverage

    def _scores_of(self, targets: FloatArray) -> FloatArray:
        scores: FloatArray = (targets[:, : self._learned] @ self._X[: self._learned]) @ self._to_scores
        return scores

    def _read(self, scores: FloatArray) -> FloatArray:
        """Return the centred readouts of the held-out steps, shape (targets, steps)."""
        weights = (scores * self._shrink) @ self._to_scores.T
        read: FloatArray = weights @ self._X[self._learned :].T
        read -= read.mean(axis=1, keepdims=True)
        return read


def _squared_correlations(read: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the squared correlation of each pair of rows; rows of `read` have mean zero."""
    wanted = wanted - wanted.mean(axis=1, keepdims=True)
    together = np.einsum("ij,ij->i", read, wanted)
    spread = np.einsum("ij,ij->i", read, read) * np.einsum("ij,ij->i", wanted, wanted)
    squared: FloatArray = np.divide(together**2, spread, out=np.zeros_like(spread), where=spread > 0)
    return squared


def _singular_values(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the singular values of a tall matrix in descending order, and the right singular vectors as rows."""
    squared, vectors = eigh(X.T @ X, check_finite=False)
    if squared[0] > 1e-8 * squared[-1]:
        return np.sqrt(squared[::-1]), vectors.T[::-1]
    # The Gram matrix resolves singular values only down to 1e-8 of the largest; a QR decomposition resolves all.
    _, singular, right = svd(qr(X, mode="r", check_finite=False)[0][: X.shape[1]], check_finite=False)
    return singular, right
