r"""The bottleneck from a stream: the subspace of the inputs that is informative about the targets, in one pass.

Canonical directions may swap and change sign as batches are added, and a readout of such features would have to be
trained again. The rows of ridge regression

.. math:: W = C_{yx} (C_{xx} + \epsilon I)^{-1}

span the same subspace, and each belongs to one target: they neither swap nor change sign.
"""

import copy
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from inmateria.reservoir.bottleneck.covariance import StreamingCovariance
from inmateria.reservoir.bottleneck.transformer import BottleneckTransformer
from inmateria.reservoir.readouts.online import checked_count

FloatArray = npt.NDArray[np.float64]

_LARGEST = 1e60
"""Largest magnitude of inputs and targets: their fourth powers must be finite."""


class OnlineBottleneck(BottleneckTransformer):
    """Features that span the subspace of the inputs that is informative about the targets, learned from a stream.

    Parameters
    ----------
    n_components : int, optional
        Number of features; by default one for each target. Fewer are a fixed random mixture of the rows of all
        targets; additional ones are fixed random projections of the inputs, uncorrelated with those rows.
    ridge : float
        Regularisation of the covariance of the inputs, as a fraction of their mean variance.
    forgetting : float
        Weight of a sample relative to a sample of the next batch; 1 forgets nothing.
    seed : int
        Seed of mixtures and projections.

    Attributes
    ----------
    components_ : ndarray of float, shape (n_components, inputs)
        Rows of unit variance.
    mean_ : ndarray of float, shape (inputs,)
    samples_seen_ : int
    """

    _gathered: StreamingCovariance
    _begun_with: tuple[int | None, int]
    samples_seen_: int

    def __init__(
        self, n_components: int | None = None, *, ridge: float = 1e-3, forgetting: float = 1.0, seed: int = 0
    ) -> None:
        self.n_components = n_components
        self.ridge = ridge
        self.forgetting = forgetting
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Reset, then fit to inputs (samples, inputs) and targets (samples, targets)."""
        return self._learn(X, y, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to all batches so far and this one."""
        return self._learn(X, y, anew=not hasattr(self, "components_"))

    def _learn(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> Self:
        before = self.__dict__.copy()
        try:
            self._learn_checked(X, y, anew)
        except BaseException:  # as it was before: nothing is half learned
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _learn_checked(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> None:
        if not 0 < self.forgetting <= 1 or not 0 < self.ridge < float("inf"):
            raise ValueError(
                f"forgetting is {self.forgetting} and ridge {self.ridge}; "
                "forgetting must be more than 0 and at most 1, ridge finite and more than 0"
            )
        inputs, targets = self._checked_pairs(X, y, reset=anew)
        for name, values in (("inputs", inputs), ("targets", targets)):
            if np.abs(values).max() > _LARGEST:
                raise ValueError(f"{name} are as large as {np.abs(values).max():g}; at most {_LARGEST:g} is allowed")
        if anew:
            self._begin(inputs.shape[1], targets.shape[1])
        elif targets.shape[1] != self._gathered.targets:
            raise ValueError(f"targets have {targets.shape[1]} columns; this was fitted with {self._gathered.targets}")
        elif (self.n_components, self.seed) != self._begun_with:
            raise ValueError(
                f"n_components is {self.n_components} and seed {self.seed}; they were {self._begun_with[0]} and "
                f"{self._begun_with[1]} when this began to learn, and cannot be changed: set them back, or begin "
                "anew with fit"
            )
        self._gathered = copy.deepcopy(self._gathered)
        self._gathered.forgetting = float(self.forgetting)
        self._gathered.add(inputs, targets)
        self.samples_seen_ += len(inputs)
        self._solve()

    def _begin(self, inputs: int, targets: int) -> None:
        count = targets if self.n_components is None else self.n_components
        count = checked_count("n_components", count, 1, "or None")
        self._begun_with = (self.n_components, self.seed)
        generator = np.random.default_rng(self.seed)
        self._gathered = StreamingCovariance(inputs, targets, self.forgetting)
        self.samples_seen_ = 0
        self._n_features_out = count
        # Orthonormal rows, so that all targets have the same weight.
        mixed = np.linalg.qr(generator.standard_normal((targets, targets)))[0]
        self._mixing = mixed[:count] if count < targets else np.eye(targets)
        self._look = generator.standard_normal((max(0, count - targets), inputs))

    def _solve(self) -> None:
        Cx, Cxy, _ = self._gathered.blocks
        size = len(Cx)
        mean_variance = float(np.trace(Cx)) / size
        ridged = Cx + max(self.ridge * mean_variance, np.finfo(np.float64).tiny) * np.eye(size)
        try:
            factor = cho_factor(ridged, lower=True)
        except np.linalg.LinAlgError as failed:
            raise ValueError(
                f"ridge is {self.ridge}, less than the rounding errors of the covariance of these {size} inputs; "
                f"give at least {10 * size * size * np.finfo(np.float64).eps:.1g}; this batch was not learned"
            ) from failed
        rows = self._mixing @ cho_solve(factor, Cxy).T
        if len(self._look):
            # Random projections of the part of the inputs that is uncorrelated with the rows.
            shared = rows @ Cx @ rows.T
            onto = np.linalg.pinv(shared, rcond=1e-10, hermitian=True) @ (rows @ Cx)
            variance = np.diag(Cx)
            varies = variance > self.ridge * mean_variance
            look = np.where(varies, self._look / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
            rows = np.vstack([rows, look - (look @ onto.T) @ rows])
        deviation = np.sqrt(np.maximum(np.einsum("ij,ij->i", rows @ Cx, rows), 0.0))
        self.components_ = rows / np.where(deviation > 0, deviation, 1.0)[:, np.newaxis]
        self.mean_ = self._gathered.mean[:size].copy()
