"""Ridge solutions in the space of the samples, for fewer samples than features; memory grows with their product."""

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.blas import dger

from inmateria.reservoir.readouts.kept_samples import Samples
from inmateria.reservoir.readouts.ridge_path import (
    ACCURACY,
    EPS,
    Solution,
    inverse_of,
    singular_vectors,
    without_rounding,
)

FloatArray = npt.NDArray[np.float64]

_LEAST_PART = 1e-8
"""Largest part of a sample in directions in which features do not vary that is taken for a rounding error."""


class DualRidgePath:
    r"""Ridge solutions for any regularisation, for few samples.

    With features :math:`X` and targets :math:`Y`, and :math:`X X^\top = U \Lambda U^\top`, the weights are
    :math:`X^\top U (\Lambda + \alpha I)^{-1} U^\top Y`. Rows are multiplied by the roots of their weights. With an
    intercept, features and targets are centred, and a reflection separates the one direction of the samples that
    carries their means, so that :math:`U` spans exactly the others.

    Parameters
    ----------
    samples : Samples
    alpha : float
        The least regularisation that will be asked for.
    centred : bool
        Whether there is an intercept.
    """

    def __init__(self, samples: Samples, alpha: float, centred: bool) -> None:
        self._samples = samples
        root = np.ones(len(samples.X)) if samples.weights is None else np.sqrt(samples.weights)
        self.x_mean, rows, raw_squares = _centred(samples.X, root, centred)
        self.y_mean, targets, _ = _centred(samples.Y, root, centred)
        mirror = _mirror(root) if centred else None
        self._rows, targets = _reflected(rows, mirror), _reflected(targets, mirror)
        self._factors: FloatArray | None = None
        found = _eigen(self._rows, alpha, raw_squares)
        if found is None:
            self._values, self._vectors, self._factors = _singular(self._rows, raw_squares)
        else:
            self._values, self._vectors = found
        self._loads = self._vectors.T @ targets
        # Directions of the samples, in terms of the samples as they were given.
        self._directions = self._vectors
        if mirror is not None:
            self._directions = np.vstack([np.zeros(len(self._values)), self._vectors])
            self._directions -= 2.0 * np.outer(mirror, mirror @ self._directions)
        if self._factors is not None:
            self._clear_rounding()

    def _clear_rounding(self) -> None:
        """Set to zero what is rounding error of a sample's part in the directions in which features do not vary.

        It is zero for a sample that alone determines a weight, and decides then what leaving it out predicts.
        """
        null = self._values == 0
        if null.any() and not null.all():
            varying = self._values[~null]
            rounding = min(10.0 * EPS * len(null) * np.sqrt(varying.max() / varying.min()), _LEAST_PART)
            parts = self._directions[:, null]
            parts[np.sqrt((parts**2).sum(axis=1)) <= rounding] = 0.0
            self._directions[:, null] = parts

    def coefficients(self, alpha: float) -> FloatArray:
        """Solution (outputs, features) for one regularisation, the minimum-norm one for none."""
        weights = inverse_of(self._values, alpha)[:, None] * self._loads
        coef: FloatArray
        if self._factors is None:
            coef = (self._rows.T @ (self._vectors @ weights)).T
        else:
            coef = (self._factors @ weights[: self._factors.shape[1]]).T
        return coef

    def left_out_errors(self, alphas: FloatArray) -> FloatArray:
        r"""Exact leave-one-out mean squared error for each regularisation.

        Residuals and one minus the leverages are sums over the directions :math:`u_j` with weights
        :math:`\alpha / (\lambda_j + \alpha)`, without cancellation however small :math:`\alpha` is.
        """
        squares, left_out = self._directions**2, self._samples.left_out
        predicted = []
        for alpha in alphas:
            kept_of = self._kept_of(alpha)
            kept, residual = squares @ kept_of, self._directions @ (kept_of[:, None] * self._loads)
            divisor = (1.0 - left_out) + left_out * kept
            alone = divisor == 0
            if alone.any():  # without a regularisation, leverage one: the limit of small ones
                limit = inverse_of(self._values, 0.0)
                divisor[alone] = squares[alone] @ limit
                residual[alone] = self._directions[alone] @ (limit[:, None] * self._loads)
            predicted.append(self._mean((residual / np.where(divisor > 0, divisor, 1.0)[:, None]) ** 2))
        return np.array(predicted)

    def generalised_errors(self, alphas: FloatArray) -> FloatArray:
        """Mean squared error estimated by generalised cross-validation for each regularisation."""
        predicted = []
        samples = self._samples.total_count
        for alpha in alphas:
            kept_of = self._kept_of(alpha)
            # Of samples that count as several, the others of these are outside the directions.
            kept = (kept_of.sum() + samples - len(kept_of) - (self._vectors.shape[0] < len(self._directions))) / samples
            if kept == 0:
                kept_of = inverse_of(self._values, 0.0)
                kept = kept_of.sum() / samples
            residual = kept_of[:, None] * self._loads
            predicted.append(self._mean((residual / (kept if kept > 0 else 1.0)) ** 2))
        return np.array(predicted)

    def _kept_of(self, alpha: float) -> FloatArray:
        """Fraction of the targets along each direction that the fit leaves as a residual."""
        kept: FloatArray = (self._values == 0) * 1.0 if alpha == 0 else alpha / (self._values + alpha)
        return kept

    def _mean(self, squares: FloatArray) -> float:
        return float(squares.sum() / (self._samples.total_weight * self._samples.Y.shape[1]))


def solve_dual(samples: Samples, alphas: FloatArray, validation: str | None, centred: bool) -> Solution:
    """Choose a regularisation and solve for the weights in the space of the samples."""
    path = DualRidgePath(samples, float(alphas.min()), centred)
    if validation is None:
        scores = np.zeros(len(alphas))
    else:
        scores = -(path.left_out_errors(alphas) if validation == "loo" else path.generalised_errors(alphas))
    alpha = float(alphas[int(np.argmax(scores))])
    coef = path.coefficients(alpha)
    return Solution(alpha, scores, coef, path.y_mean - coef @ path.x_mean)


def _centred(
    values: npt.NDArray[np.float64], root: FloatArray, centred: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return means, centred rows times the roots of their weights, and the sum of squares before centring."""
    share = root**2 / (root @ root)
    mean = np.zeros(values.shape[1])
    rows: FloatArray
    if centred:
        mean = share @ values
        rows = values - mean
        off = share @ rows  # the mean was rounded
        rows -= off
        mean += off
    else:
        rows = values.astype(np.float64)
    rows *= root[:, None]
    return mean, rows, np.einsum("ij,ij->j", rows, rows) + (root @ root) * mean**2


def _mirror(root: FloatArray) -> FloatArray:
    """Return the normal of the reflection that takes the first axis to the direction of the samples' means."""
    normal = root / np.linalg.norm(root)
    normal[0] += 1.0  # of the same sign: nothing cancels
    normal /= np.linalg.norm(normal)
    return normal


def _reflected(rows: FloatArray, mirror: FloatArray | None) -> FloatArray:
    """Return the rows reflected (in place), without the first, which holds the means; or as they are."""
    if mirror is None or len(rows) == 1:
        return rows[0 if mirror is None else 1 :]
    reflected: FloatArray = dger(-2.0, mirror @ rows, mirror[1:], a=rows[1:].T, overwrite_a=True).T
    return reflected


def _eigen(rows: FloatArray, alpha: float, raw_squares: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return eigenvalues and eigenvectors of the products of rows, or None if rounding errors would show."""
    if not len(rows):
        return np.zeros(0), np.zeros((0, 0))
    values, vectors = eigh(rows @ rows.T, driver="evd", overwrite_a=True, check_finite=False)
    rounding = EPS / ACCURACY * max(values[-1], EPS * raw_squares.sum())
    return (np.maximum(values, 0.0), vectors) if values[0] + alpha > rounding else None


def _singular(rows: FloatArray, raw_squares: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return squared singular values of rows, left vectors, and right ones times their values (features, values).

    Values that may be rounding errors are zero.
    """
    vectors, singular, basis = singular_vectors(rows)
    singular = without_rounding(singular, basis, raw_squares)
    values = np.zeros(len(rows))
    values[: len(singular)] = singular**2
    return values, vectors, basis * singular
