r"""Leave-one-out residuals of samples whose leverage is nearly one, because they alone determine a weight.

Residual and one minus leverage are then differences of nearly equal numbers. With the solution of the other samples,
and the residuals :math:`r` of these from it, both are free of cancellation: rows of :math:`B^{-1} r` and the diagonal
of :math:`B^{-1}`, where

.. math:: B = I + X (X_o^\top X_o + \alpha I)^{-1} X^\top

(plus the variance of the intercept), with the features :math:`X` of these samples and :math:`X_o` of the others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, svd

FloatArray = npt.NDArray[np.float64]

_LEAST_PART = 1e-8
"""Part of a sample outside the directions that the others leave undetermined, below which it is a rounding error."""


@dataclass(frozen=True, eq=False)
class LoneSamples:
    r"""Samples of a leverage of nearly one, and the ridge solution of the others.

    Parameters
    ----------
    turned : ndarray of float, shape (samples, features)
        Features less the means of the others, along the eigenvectors of the others' moments, weighted by `root`.
    wanted : ndarray of float, shape (samples, outputs)
        Targets less the means of the others, weighted by `root`.
    root : ndarray of float, shape (samples, 1)
        Roots of the weights.
    left_out : ndarray of float, shape (samples,), or float
        Fraction of its weight by which leave-one-out reduces that of each sample.
    values, loads : ndarray of float, shape (features,) and (features, outputs)
        Eigenvalues of the others' moments, zero where their features do not vary, and
        :math:`V^\top X_o^\top Y_o`.
    own : float
        Variance of the intercept: one divided by the weight of the others, or 0 without an intercept.
    """

    turned: FloatArray
    wanted: FloatArray
    root: FloatArray
    left_out: FloatArray | float
    values: FloatArray
    loads: FloatArray
    own: float

    def error(self, alpha: float) -> float:
        """Return the sum of weighted squared leave-one-out residuals for one regularisation."""
        null = self.values == 0
        residuals = self._limit(null) if alpha == 0 and null.any() else self._residuals(alpha)
        return float(np.sum(residuals**2))

    def _residuals(self, alpha: float) -> FloatArray:
        spread, residual = self._from_others(self.turned, self.values + alpha, self.loads)
        factor = cho_factor(spread, check_finite=False)
        kept = np.diagonal(cho_solve(factor, np.eye(len(spread)), check_finite=False))
        solved: FloatArray = cho_solve(factor, residual, check_finite=False)
        return solved / self._divisor(kept)

    def _limit(self, null: npt.NDArray[np.bool_]) -> FloatArray:
        """Return the residuals in the limit of small regularisations, where the others leave directions undetermined.

        Minimum-norm solutions are that limit. Along those directions B grows without bound: its inverse stays finite
        in the space beside them; of samples without a part there, all terms are in proportion to the regularisation.
        """
        spread, residual = self._from_others(self.turned[:, ~null], self.values[~null], self.loads[~null])
        vectors, sizes, _ = svd(self.turned[:, null], check_finite=False)
        rank = int((sizes > 4.0 * np.finfo(np.float64).eps * len(vectors) * sizes[0]).sum())
        along, beside = vectors[:, :rank], vectors[:, rank:]
        factor = cho_factor(beside.T @ spread @ beside, check_finite=False)
        solved = beside @ cho_solve(factor, beside.T @ residual, check_finite=False)
        kept = np.einsum("ij,ji->i", beside, cho_solve(factor, beside.T, check_finite=False))
        alone = np.sqrt((beside**2).sum(axis=1)) <= _LEAST_PART
        solved[alone], kept[alone] = 0.0, 0.0
        divisor = self._divisor(kept)
        alone &= divisor[:, 0] == 0
        if alone.any():
            scaled = along[alone] / sizes[:rank] ** 2
            solved[alone] = scaled @ (along.T @ (residual - spread @ solved))
            divisor[alone, 0] = np.einsum("ij,ij->i", scaled, along[alone])
        return solved / divisor

    def _from_others(self, turned: FloatArray, values: FloatArray, loads: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return B, and the residuals of these samples from the solution of the others."""
        spread = (turned / values) @ turned.T + np.eye(len(turned)) + self.own * (self.root @ self.root.T)
        return spread, self.wanted - turned @ (loads / values[:, np.newaxis])

    def _divisor(self, kept: FloatArray) -> FloatArray:
        divisor: FloatArray = ((1.0 - self.left_out) + self.left_out * kept)[:, np.newaxis]
        return divisor
