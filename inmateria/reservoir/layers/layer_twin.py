"""What a physical layer would answer, learned from what it did and differentiable: for gradients through layers.

A linear map of the ports and of random features of them, solved for in closed form from streaming second
moments. It is never asked what a layer answers, only which way its answer would move. The twin of a whole device, to
plan experiments with, is in `twins`.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

FloatArray = npt.NDArray[np.float64]


class LayerTwin(Protocol):
    """What stands in for a layer on the way back."""

    def add(self, ports: FloatArray, features: FloatArray) -> None:
        """Learn from ports (rows, ports) and what the layer answered (rows, features)."""

    def fit(self) -> None:
        """Make what was learned count."""

    def back(self, ports: FloatArray, by_features: FloatArray) -> FloatArray:
        """Turn a gradient by the features into one by the ports."""


class RandomFeatureTwin:
    """Ports to features by ridge regression on the ports, their pairwise products and random waves of them.

    Parameters
    ----------
    ports, features : int
    waves : int
        Random cosines of the ports; pairwise products are taken where they are at most as many.
    gain : float
        Spread of the ports that it is for.
    ridge : float
        Of the regression, as a fraction of the mean variance.
    forgetting : float
        Weight of a pass relative to the next one: a twin must be right where the ports are now.
    seed : int
        Of the waves.
    """

    def __init__(
        self,
        ports: int,
        features: int,
        *,
        waves: int = 256,
        gain: float = 0.3,
        ridge: float = 1e-5,
        forgetting: float = 0.5,
        seed: int = 0,
    ) -> None:
        generator = np.random.default_rng(seed)
        self._gain, self._ridge, self._forgetting = gain, ridge, forgetting
        self._frequencies = generator.standard_normal((ports, waves)) / np.sqrt(ports)
        self._phases = generator.uniform(0.0, 2.0 * np.pi, waves)
        self._left, self._right = np.triu_indices(ports)
        if len(self._left) > waves:
            self._left, self._right = self._left[:0], self._right[:0]
        size = 1 + ports + len(self._left) + waves
        self._gram, self._load = np.zeros((size, size)), np.zeros((size, features))
        self._square = np.zeros(features)
        self._seen = 0.0
        self._weights = np.zeros((size, features))
        self.explained = 0.0
        """Share of the features' variance that the twin explained where it was fitted."""

    @property
    def fitted(self) -> bool:
        """Whether it has learned anything that counts."""
        return bool(self._weights.any())

    def add(self, ports: FloatArray, features: FloatArray) -> None:
        """Gather the second moments of a batch."""
        basis = self._basis(ports)
        self._gram += basis.T @ basis
        self._load += basis.T @ features
        self._square += (features**2).sum(axis=0)
        self._seen += len(ports)

    def fit(self) -> None:
        """Solve for the weights from what was gathered, then let that count less."""
        if not self._seen:
            return
        size = len(self._gram)
        ridged = self._gram + self._ridge * np.trace(self._gram) / size * np.eye(size)
        self._weights = cho_solve(cho_factor(ridged, lower=True), self._load)
        means = self._load[0] / self._gram[0, 0]
        total = self._square.sum() - self._gram[0, 0] * float(means @ means)
        left = self._square.sum() - float(np.vdot(self._weights, 2.0 * self._load - self._gram @ self._weights))
        self.explained = 1.0 - float(left) / float(total) if total > 0 else 0.0
        for gathered in (self._gram, self._load, self._square):
            gathered *= self._forgetting
        self._seen *= self._forgetting

    def predict(self, ports: FloatArray) -> FloatArray:
        """Guess what the layer answers."""
        guessed: FloatArray = self._basis(ports) @ self._weights
        return guessed

    def back(self, ports: FloatArray, by_features: FloatArray) -> FloatArray:
        """Turn a gradient by the features into one by the ports."""
        by_basis = by_features @ self._weights.T
        u = ports / self._gain
        linear, pairs = 1 + u.shape[1], 1 + u.shape[1] + len(self._left)
        by_u = by_basis[:, 1:linear].copy()
        of_pairs = by_basis[:, linear:pairs]
        by_u += (of_pairs * u[:, self._right]) @ _one_hot(self._left, u.shape[1])
        by_u += (of_pairs * u[:, self._left]) @ _one_hot(self._right, u.shape[1])
        by_u -= (by_basis[:, pairs:] * np.sin(u @ self._frequencies + self._phases)) @ self._frequencies.T
        by_ports: FloatArray = by_u / self._gain
        return by_ports

    def _basis(self, ports: FloatArray) -> FloatArray:
        u = ports / self._gain
        return np.hstack(
            [
                np.ones((len(u), 1)),
                u,
                u[:, self._left] * u[:, self._right],
                np.cos(u @ self._frequencies + self._phases),
            ]
        )


def _one_hot(of: npt.NDArray[np.intp], columns: int) -> FloatArray:
    rows = np.zeros((len(of), columns))
    rows[np.arange(len(of)), of] = 1.0
    return rows
