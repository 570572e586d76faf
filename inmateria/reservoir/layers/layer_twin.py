"""Differentiable twins of physical layers, for gradients through layers.

A twin is a linear map of the ports and of random features of them, fitted in closed form to streaming second moments.
In-silico training uses its features and its gradient, all others its gradient only, with features from the device. The
twin of a whole device, to plan experiments with, is `inmateria.devices.Twin`.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

FloatArray = npt.NDArray[np.float64]


class LayerTwin(Protocol):
    """Model of a layer that gradients are propagated through."""

    def add(self, ports: FloatArray, features: FloatArray) -> None:
        """Add ports (rows, ports) and the features of the layer (rows, features)."""

    def fit(self) -> None:
        """Fit to the samples added so far."""

    def predict(self, ports: FloatArray) -> FloatArray:
        """Predict the features (rows, features) of the layer for ports (rows, ports)."""

    def back(self, ports: FloatArray, by_features: FloatArray) -> FloatArray:
        """Propagate a gradient with respect to the features back to the ports."""


class RandomFeatureTwin:
    """Ridge regression of features on the ports, their pairwise products and random cosines of them.

    Parameters
    ----------
    ports, features : int
    waves : int
        Number of random cosines; pairwise products are used if there are at most as many.
    gain : float
        Standard deviation of the ports.
    ridge : float
        Regularisation, as a fraction of the mean variance.
    forgetting : float
        Weight of a pass relative to the next one, because the distribution of the ports changes.
    seed : int
        Seed of the random cosines.
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
        """Fraction of the features' variance that the twin explains on the samples it was fitted to."""

    @property
    def fitted(self) -> bool:
        """Whether it has been fitted."""
        return bool(self._weights.any())

    def add(self, ports: FloatArray, features: FloatArray) -> None:
        """Add the second moments of a batch."""
        basis = self._basis(ports)
        self._gram += basis.T @ basis
        self._load += basis.T @ features
        self._square += (features**2).sum(axis=0)
        self._seen += len(ports)

    def fit(self) -> None:
        """Solve for the weights, then reduce the weight of the samples so far."""
        if not self._seen:
            return
        size = len(self._gram)
        ridged = self._gram + self._ridge * np.trace(self._gram) / size * np.eye(size)
        weights = cho_solve(cho_factor(ridged, lower=True), self._load)
        means = self._load[0] / self._gram[0, 0]
        total = self._square.sum() - self._gram[0, 0] * float(means @ means)
        left = self._square.sum() - float(np.vdot(weights, 2.0 * self._load - self._gram @ weights))
        self._weights, self.explained = weights, 1.0 - float(left) / float(total) if total > 0 else 0.0
        for gathered in (self._gram, self._load, self._square):
            gathered *= self._forgetting
        self._seen *= self._forgetting

    def predict(self, ports: FloatArray) -> FloatArray:
        """Predict the features (rows, features) of the layer."""
        guessed: FloatArray = self._basis(ports) @ self._weights
        return guessed

    def back(self, ports: FloatArray, by_features: FloatArray) -> FloatArray:
        """Propagate a gradient with respect to the features back to the ports."""
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
