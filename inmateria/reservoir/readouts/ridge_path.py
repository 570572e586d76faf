"""Ridge solutions for many regularisations, and the error of each as estimated by cross-validation."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from inmateria.reservoir.readouts.moments import BLOCK_ROWS, Moments

FloatArray = npt.NDArray[np.float64]


class RidgePath:
    r"""Ridge solutions for any regularisation from one eigendecomposition of the moments.

    With :math:`X^\top X = V \Lambda V^\top`, the weights are
    :math:`V (\Lambda + \alpha I)^{-1} V^\top X^\top Y` for every :math:`\alpha`.
    """

    def __init__(self, moments: Moments) -> None:
        values, self._basis = eigh(moments.gram, driver="evd", overwrite_a=True, check_finite=False)
        self._values = np.maximum(values, 0.0)
        self._loads = self._basis.T @ moments.cross
        self._moments = moments

    def coefficients(self, alpha: float) -> FloatArray:
        """Solution (outputs, features) for one regularisation, the minimum-norm one for none."""
        coef: FloatArray = (self._basis @ (_inverse(self._values, alpha)[:, None] * self._loads)).T
        return coef

    def generalised_errors(self, alphas: FloatArray) -> FloatArray:
        """Mean squared error estimated by generalised cross-validation for each regularisation."""
        samples, squares = self._moments.samples, self._loads**2
        predicted = []
        for alpha in alphas:
            inverse = _inverse(self._values, alpha)
            explained = squares * (inverse * (2.0 - self._values * inverse))[:, None]
            residual = np.maximum(self._moments.total - explained.sum(axis=0), 0.0).mean() / samples
            used = (self._values @ inverse + self._moments.centred) / samples
            predicted.append(residual / _kept(used) ** 2)
        return np.array(predicted)

    def left_out_errors(self, X: npt.NDArray[Any], Y: FloatArray, alphas: FloatArray) -> FloatArray:
        """Exact leave-one-out mean squared error for each regularisation.

        The leave-one-out residual of a sample is its residual in the fit divided by one minus its leverage. Each
        block of samples is projected onto the eigenvectors once, which gives both for every regularisation.
        """
        outputs = Y.shape[1]
        inverses = np.stack([_inverse(self._values, alpha) for alpha in alphas], axis=1)
        solutions = (inverses[:, :, None] * self._loads[:, None, :]).reshape(len(inverses), -1)
        rows = min(BLOCK_ROWS, len(X))
        block, turned, squares = (np.empty((rows, X.shape[1])) for _ in range(3))
        own = 1.0 / self._moments.samples if self._moments.centred else 0.0
        errors = np.zeros(len(alphas))
        for begin in range(0, len(X), rows):
            count = min(rows, len(X) - begin)
            np.subtract(X[begin : begin + count], self._moments.x_mean, out=block[:count])
            np.matmul(block[:count], self._basis, out=turned[:count])
            np.square(turned[:count], out=squares[:count])
            kept = _kept(squares[:count] @ inverses + own)
            fitted = (turned[:count] @ solutions).reshape(count, len(alphas), outputs)
            residual = (Y[begin : begin + count] - self._moments.y_mean)[:, None, :] - fitted
            errors += np.einsum("nao,na->a", residual**2, kept**-2.0)
        return errors / Y.size


class DualRidgePath:
    r"""The same from an eigendecomposition of :math:`X X^\top`, for fewer samples than features."""

    def __init__(self, X: npt.NDArray[Any], Y: FloatArray, moments: Moments) -> None:
        self._centred = X - moments.x_mean
        self._targets = Y - moments.y_mean
        values, self._vectors = eigh(self._centred @ self._centred.T, driver="evd", check_finite=False)
        self._values = np.maximum(values, 0.0)
        self._loads = self._vectors.T @ self._targets
        self._own = 1.0 / len(X) if moments.centred else 0.0

    def coefficients(self, alpha: float) -> FloatArray:
        """Solution (outputs, features) for one regularisation, the minimum-norm one for none."""
        weights = self._vectors @ (_inverse(self._values, alpha)[:, None] * self._loads)
        coef: FloatArray = (self._centred.T @ weights).T
        return coef

    def errors(self, alphas: FloatArray, validation: str) -> FloatArray:
        """Mean squared error estimated by the validation for each regularisation."""
        predicted = []
        for alpha in alphas:
            shrink = self._values * _inverse(self._values, alpha)
            leverage = self._vectors**2 @ shrink + self._own
            if validation == "gcv":
                leverage[:] = leverage.mean()
            residual = self._targets - self._vectors @ (shrink[:, None] * self._loads)
            predicted.append(np.mean((residual / _kept(leverage)[:, None]) ** 2))
        return np.array(predicted)


def _inverse(values: FloatArray, alpha: float) -> FloatArray:
    floor = values[-1] * len(values) * np.finfo(np.float64).eps if alpha == 0 else 0.0
    shifted = values + alpha
    with np.errstate(divide="ignore"):
        inverse: FloatArray = np.where(shifted > floor, 1.0 / shifted, 0.0)
    return inverse


def _kept(leverage: FloatArray | float) -> Any:
    """One minus the leverage, kept above zero: a sample with leverage one determines its own prediction."""
    return np.maximum(1.0 - leverage, np.finfo(np.float64).eps)


class Solution:
    """The chosen regularisation, the scores of all, and the weights; not solved yet if `coef` is None."""

    def __init__(self, alpha: float = 0.0, scores: FloatArray | None = None, coef: FloatArray | None = None) -> None:
        self.alpha, self.coef = alpha, coef
        self.scores = np.zeros(0) if scores is None else scores


def solve(moments: Moments, alphas: FloatArray, validated: bool) -> Solution:
    """Solve from moments alone; with validation, generalised cross-validation chooses the regularisation."""
    if not validated:
        alpha = float(alphas[0])
        gram = moments.gram
        gram[np.diag_indices_from(gram)] += alpha
        try:
            if alpha == 0:
                raise LinAlgError
            coef = cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), moments.cross).T
        except LinAlgError:  # singular, or not regularised: the minimum-norm solution
            coef = RidgePath(moments).coefficients(alpha)
        return Solution(alpha, np.zeros(len(alphas)), coef)
    path = RidgePath(moments)
    scores = -path.generalised_errors(alphas)
    alpha = float(alphas[int(np.argmax(scores))])
    return Solution(alpha, scores, path.coefficients(alpha))
