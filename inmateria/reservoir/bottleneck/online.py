"""The bottleneck from a stream: the subspace that knows the target, followed batch by batch, in one pass.

Canonical directions swap and turn as more is seen, and whoever reads features along them would have to learn
anew. Ridge regression spans the same subspace, and each of its rows belongs to one target: none swaps, and
none changes its sign.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from inmateria.reservoir.bottleneck.covariance import StreamingCovariance
from inmateria.reservoir.bottleneck.transformer import BottleneckTransformer

FloatArray = npt.NDArray[np.float64]


class OnlineBottleneck(BottleneckTransformer):
    """Features that span what inputs know of the targets, learned from a stream.

    Parameters
    ----------
    n_components : int, optional
        Features; by default one for each target. Fewer are a fixed mixture of all the targets' rows, further
        ones a fixed random look at what these leave of the inputs.
    ridge : float
        Added to the variances of the inputs, as a fraction of their mean.
    forgetting : float
        Weight of a sample relative to one of the next batch; 1 forgets nothing.
    seed : int
        Of what is mixed and what is filled in.

    Attributes
    ----------
    components_ : ndarray of float, shape (n_components, inputs)
        Rows of unit variance.
    mean_ : ndarray of float, shape (inputs,)
    samples_seen_ : int
    """

    def __init__(
        self, n_components: int | None = None, *, ridge: float = 1e-3, forgetting: float = 1.0, seed: int = 0
    ) -> None:
        self.n_components = n_components
        self.ridge = ridge
        self.forgetting = forgetting
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Forget everything, then learn from inputs (samples, inputs) and targets (samples, targets)."""
        return self._learn(X, y, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from a further batch."""
        return self._learn(X, y, anew=not hasattr(self, "components_"))

    def _learn(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> Self:
        if not 0 < self.forgetting <= 1 or not 0 < self.ridge < float("inf"):
            raise ValueError(
                f"forgetting is {self.forgetting} and ridge {self.ridge}; "
                "give a forgetting of more than 0 and at most 1, and a finite ridge of more than 0"
            )
        inputs, targets = self._checked_pairs(X, y, reset=anew)
        if anew:
            self._begin(inputs.shape[1], targets.shape[1])
        elif targets.shape[1] != self._gathered.targets:
            raise ValueError(f"targets have {targets.shape[1]} columns; {self._gathered.targets} were learned from")
        self._gathered.add(inputs, targets)
        self.samples_seen_ += len(inputs)
        self._solve()
        return self

    def _begin(self, inputs: int, targets: int) -> None:
        count = targets if self.n_components is None else self.n_components
        if count < 1:
            raise ValueError(f"n_components is {count}; give at least 1, or None")
        generator = np.random.default_rng(self.seed)
        self._gathered = StreamingCovariance(inputs, targets, self.forgetting)
        self.samples_seen_ = 0
        self._n_features_out = count
        # Orthonormal rows, so that no target is mixed in more than another.
        mixed = np.linalg.qr(generator.standard_normal((targets, targets)))[0]
        self._mixing = mixed[:count] if count < targets else np.eye(targets)
        self._look = generator.standard_normal((max(0, count - targets), inputs))

    def _solve(self) -> None:
        Cx, Cxy, _ = self._gathered.blocks
        size = len(Cx)
        mean_variance = float(np.trace(Cx)) / size
        ridged = Cx + max(self.ridge * mean_variance, np.finfo(np.float64).tiny) * np.eye(size)
        rows = self._mixing @ cho_solve(cho_factor(ridged, lower=True), Cxy).T
        if len(self._look):
            # What the rows explain is taken off: the look sees only the rest.
            shared = rows @ Cx @ rows.T
            onto = np.linalg.pinv(shared, rcond=1e-10, hermitian=True) @ (rows @ Cx)
            variance = np.diag(Cx)
            varies = variance > self.ridge * mean_variance
            look = np.where(varies, self._look / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
            rows = np.vstack([rows, look - (look @ onto.T) @ rows])
        deviation = np.sqrt(np.maximum(np.einsum("ij,ij->i", rows @ Cx, rows), 0.0))
        self.components_ = rows / np.where(deviation > 0, deviation, 1.0)[:, np.newaxis]
        self.mean_ = self._gathered.mean[:size].copy()
