r"""The HSIC bottleneck: nonlinear features that depend on the target and little on the input.

Each layer minimises, by itself and without back-propagation from later layers,

.. math:: \mathrm{nHSIC}(Z, X) - \lambda_y\, \mathrm{nHSIC}(Z, Y)

(W.-D. K. Ma, J. P. Lewis and W. B. Kleijn, AAAI 2020).
"""

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from inmateria.blas_threads import one_blas_thread
from inmateria.reservoir.bottleneck.dependence import (
    PHSIC_FLOOR,
    REGULARISATION,
    Dependence,
    RandomFeatures,
    nhsic_objective,
    nhsic_objective_by_features,
    phsic_objective,
)
from inmateria.reservoir.bottleneck.gradient_descent import Adam
from inmateria.reservoir.bottleneck.transformer import BottleneckTransformer
from inmateria.reservoir.fit_transaction import fit_transaction

FloatArray = npt.NDArray[np.float64]

_WEIGHTS = {"nhsic": 50.0, "phsic": 2.0}
"""Default weight of the targets for each objective."""


def objective_named(
    name: str,
    *,
    lambda_y: float | None = None,
    sigma: float = 1.0,
    sigma_input: float = 1.0,
    regularisation: float = REGULARISATION,
    random_features: int | None = None,
    seed: int = 0,
    unit: float = 1.0,
) -> Callable[[FloatArray, FloatArray, FloatArray], Dependence]:
    """Return an objective ``(Z, X, Y) -> Dependence`` by name, with its parameters set.

    Parameters
    ----------
    name : {"nhsic", "phsic"}
    lambda_y : float, optional
        Weight of the targets; 50 with "nhsic" and 2 with "phsic" by default.
    sigma, sigma_input, regularisation
        See `nhsic_objective`; `phsic_objective` uses `sigma` only.
    random_features : int or None
        Number of random features that replace kernel matrices; with "nhsic" only.
    seed : int
        Seed of the random features.
    unit : float
        Typical magnitude of the features.
    """
    if name not in _WEIGHTS:
        raise ValueError(f"objective is {name!r}; allowed are 'nhsic' and 'phsic'")
    lambda_y = _WEIGHTS[name] if lambda_y is None else lambda_y
    if min(lambda_y, sigma, sigma_input, regularisation) <= 0:
        raise ValueError(
            f"lambda_y is {lambda_y}, sigma {sigma}, sigma_input {sigma_input}, regularisation {regularisation}; "
            "each must be more than 0"
        )
    if random_features is not None and (name != "nhsic" or random_features < 1):
        raise ValueError(
            f"random_features is {random_features} with {name!r}; it must be at least 1, with 'nhsic' only"
        )
    if name == "phsic":
        return lambda Z, X, Y: phsic_objective(Z, Y, lambda_y=lambda_y, sigma=sigma, floor=PHSIC_FLOOR * unit**2)
    sigma *= unit
    if random_features is None:
        return lambda Z, X, Y: nhsic_objective(
            Z, X, Y, lambda_y=lambda_y, sigma=sigma, sigma_input=sigma_input, regularisation=regularisation
        )
    count = random_features
    drawn: dict[tuple[int, int], tuple[RandomFeatures, RandomFeatures]] = {}

    def by_features(Z: FloatArray, X: FloatArray, Y: FloatArray) -> Dependence:
        width = (Z.shape[1], X.shape[1])
        if width not in drawn:
            drawn[width] = (
                RandomFeatures(width[0], count, sigma, seed),
                RandomFeatures(width[1], count, sigma_input, seed + 1),
            )
        return nhsic_objective_by_features(Z, X, Y, *drawn[width], lambda_y=lambda_y, regularisation=regularisation)

    return by_features


class HSICBottleneck(BottleneckTransformer):
    """Features ``tanh(W x + b)`` trained by the HSIC bottleneck, as a scikit-learn transformer.

    Parameters
    ----------
    n_components : int
        Number of features.
    objective : {"nhsic", "phsic"}
        Normalised HSIC, for batches of 128 to 256; or plausible HSIC, for small batches and noise.
    lambda_y : float, optional
        Weight of the targets; 50 with "nhsic" and 2 with "phsic" by default.
    sigma, sigma_input : float
        Widths of the kernels of features and of standardised inputs, per column; "phsic" does not use the inputs.
    regularisation : float
        Regularisation of kernel matrices in nHSIC, as a fraction of the number of samples.
    epochs, batch_size : int
        Number of passes over the samples, and smallest number of samples in a batch.
    learning_rate : float
        Learning rate of Adam.
    random_features : int, optional
        Number of random features that replace kernel matrices, for large batches.
    seed : int
        Seed of the initial weights, the order of the samples and the random features.

    Attributes
    ----------
    components_ : ndarray of float, shape (n_components, inputs)
    intercept_ : ndarray of float, shape (n_components,)
        In units of the inputs, like the components.
    objective_curve_ : ndarray of float, shape (epochs,)
        Mean objective of each pass.
    """

    def __init__(
        self,
        n_components: int = 20,
        *,
        objective: Literal["nhsic", "phsic"] = "nhsic",
        lambda_y: float | None = None,
        sigma: float = 1.0,
        sigma_input: float = 1.0,
        regularisation: float = REGULARISATION,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 0.01,
        random_features: int | None = None,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.objective = objective
        self.lambda_y = lambda_y
        self.sigma = sigma
        self.sigma_input = sigma_input
        self.regularisation = regularisation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_features = random_features
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to inputs (samples, inputs) and targets (samples, targets), one-hot for classes."""
        with fit_transaction(self):
            inputs, targets = self._checked_pairs(X, y, reset=True)
            batch = min(len(inputs), 2 * self.batch_size)  # at most: rows are split evenly
            with one_blas_thread(0.0 if self.random_features else float(batch) ** 3):
                self._fit(inputs, targets)
        return self

    def _fit(self, inputs: FloatArray, targets: FloatArray) -> None:
        if min(self.n_components, self.epochs, self.batch_size) < 1:
            raise ValueError("n_components, epochs and batch_size must be at least 1")
        objective = objective_named(
            self.objective,
            lambda_y=self.lambda_y,
            sigma=self.sigma,
            sigma_input=self.sigma_input,
            regularisation=self.regularisation,
            random_features=self.random_features,
            seed=self.seed,
        )
        generator = np.random.default_rng(self.seed)
        mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
        scale = np.where(spread > 1e-12 * (1.0 + np.abs(mean)), spread, np.inf)
        Z = (inputs - mean) / scale
        deviation = targets.std(axis=0)
        T = (targets - targets.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0) / np.sqrt(targets.shape[1])
        W = generator.standard_normal((self.n_components, Z.shape[1])) / np.sqrt(Z.shape[1])
        b = np.zeros(self.n_components)
        adam = Adam([W, b], self.learning_rate)
        curve = []
        for _ in range(self.epochs):
            values = []
            for rows in np.array_split(generator.permutation(len(Z)), max(1, len(Z) // self.batch_size)):
                features = np.tanh(Z[rows] @ W.T + b)
                found = objective(features, Z[rows], T[rows])
                inner = found.gradient * (1.0 - features**2)
                adam.step([inner.T @ Z[rows], inner.sum(axis=0)])
                values.append(found.value)
            curve.append(float(np.mean(values)))
        self.components_ = W / scale
        self.intercept_ = b - self.components_ @ mean
        self.objective_curve_ = np.array(curve)
        self._n_features_out = self.n_components

    def transform(self, X: npt.ArrayLike) -> FloatArray:
        """Map inputs (samples, inputs) to features (samples, n_components), between -1 and 1."""
        features: FloatArray = np.tanh(self._checked_inputs(X) @ self.components_.T + self.intercept_)
        return features
