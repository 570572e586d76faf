"""Ridge solutions for many regularisations, and the error of each as estimated by cross-validation."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_solve, cholesky, eigh, qr, svd
from scipy.linalg.lapack import dgejsv, dpocon

from inmateria.reservoir.readouts.kept_samples import Samples
from inmateria.reservoir.readouts.lone_samples import LoneSamples
from inmateria.reservoir.readouts.moments import BLOCK_ROWS, Moments

FloatArray = npt.NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

ACCURACY = 1e-6
"""Relative error, of the weights along the least determined direction, up to which second moments are solved."""

_SINGLE_ACCURACY = 1e-3
"""The same for moments multiplied in single precision."""

ROUNDING = 4.0
"""Rounding errors of a factorisation, in units of the machine's precision times the root of the number of features."""

_LONE = 1e-3
"""If a sample keeps less than this, one minus its leverage, its prediction is computed from the other samples."""


class RidgePath:
    r"""Ridge solutions for any regularisation, for at least as many samples as features.

    With :math:`X^\top X = V \Lambda V^\top`, the weights are
    :math:`V (\Lambda + \alpha I)^{-1} V^\top X^\top Y` for every :math:`\alpha`. Features and
    targets are centred (with an intercept), rows multiplied by the roots of their weights.

    Parameters
    ----------
    moments : Moments
    values : ndarray of float, shape (features,)
        Eigenvalues :math:`\Lambda`; zero for directions in which the features do not vary.
    basis : ndarray of float, shape (features, features)
        Eigenvectors :math:`V`, as columns.
    loads : ndarray of float, shape (features, outputs)
        :math:`V^\top X^\top Y`; zero where the eigenvalue is.
    """

    def __init__(self, moments: Moments, values: FloatArray, basis: FloatArray, loads: FloatArray) -> None:
        self.moments, self._values, self._basis, self._loads = moments, values, basis, loads

    def coefficients(self, alpha: float) -> FloatArray:
        """Solution (outputs, features) for one regularisation, the minimum-norm one for none."""
        coef: FloatArray = (self._basis @ (inverse_of(self._values, alpha)[:, None] * self._loads)).T
        return coef

    def generalised_errors(self, alphas: FloatArray) -> FloatArray:
        """Mean squared error estimated by generalised cross-validation for each regularisation."""
        moments, squares = self.moments, self._loads**2
        predicted = []
        for alpha in alphas:
            inverse = inverse_of(self._values, alpha)
            explained = squares * (inverse * (2.0 - self._values * inverse))[:, None]
            residual = np.maximum(moments.total - explained.sum(axis=0), 0.0).mean() / moments.weight
            used = (self._values @ inverse + moments.centred) / moments.samples
            predicted.append(residual / max(1.0 - float(used), EPS) ** 2)
        return np.array(predicted)

    def left_out_errors(self, samples: Samples, alphas: FloatArray) -> FloatArray:
        """Exact leave-one-out mean squared error for each regularisation."""
        errors, lone = self.left_out_sums(samples, alphas)
        if lone.any():
            others = samples.rows(~lone)
            path = ridge_path(others.moments(self.moments.centred), float(alphas.min()), others)
            errors += path.errors_of_others(samples.rows(lone), alphas)
        return self.mean_of(errors)

    def mean_of(self, sums: FloatArray) -> FloatArray:
        """Return mean squared errors for sums of weighted squared errors over all samples."""
        mean: FloatArray = sums / (self.moments.weight * self.moments.outputs)
        return mean

    def left_out_sums(self, samples: Samples, alphas: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Sum of weighted squared leave-one-out residuals for each regularisation, of some of the samples.

        The leave-one-out residual of a sample is its residual in the fit divided by one minus its leverage. Each
        block of samples is projected onto the eigenvectors once, which gives both for every regularisation.

        Returns
        -------
        ndarray of float, shape (alphas,)
        ndarray of bool, shape (samples,)
            Samples that are not in the sums, since their leverage is nearly one; see `errors_of_others`.
        """
        X, Y, moments = samples.X, samples.Y, self.moments
        inverses = np.stack([inverse_of(self._values, alpha) for alpha in alphas], axis=1)
        solutions = (inverses[:, :, None] * self._loads[:, None, :]).reshape(len(inverses), -1)
        rows = min(BLOCK_ROWS, len(X))
        block, turned, squares = (np.empty((rows, X.shape[1])) for _ in range(3))
        own = 1.0 / moments.weight if moments.centred else 0.0
        errors, lone = np.zeros(len(alphas)), np.zeros(len(X), dtype=np.bool_)
        for begin in range(0, len(X), rows):
            now = samples.rows(slice(begin, min(begin + rows, len(X))))
            count = len(now.X)
            np.subtract(now.X, moments.x_mean, out=block[:count])
            np.matmul(block[:count], self._basis, out=turned[:count])
            np.square(turned[:count], out=squares[:count])
            leverage = squares[:count] @ inverses + own
            fitted = (turned[:count] @ solutions).reshape(count, len(alphas), Y.shape[1])
            squared = ((now.Y - moments.y_mean)[:, None, :] - fitted) ** 2
            if now.weights is not None:
                leverage *= (now.left_out * now.weights)[:, None]
                squared *= now.weights[:, None, None]
            kept = 1.0 - leverage
            alone = kept.min(axis=1) < _LONE
            if alone.any():
                lone[begin : begin + count] = alone
                squared, kept = squared[~alone], kept[~alone]
            errors += np.einsum("nao,na->a", squared, kept**-2.0)
        return errors, lone

    def errors_of_others(self, few: Samples, alphas: FloatArray) -> FloatArray:
        """Sum of weighted squared leave-one-out residuals of samples that are not among those of this path.

        These are samples whose leverage among all is nearly one; this is the path of all the others.
        """
        moments = self.moments
        root = np.ones((len(few.X), 1)) if few.weights is None else np.sqrt(few.weights)[:, None]
        alone = LoneSamples(
            turned=root * ((few.X - moments.x_mean) @ self._basis),
            wanted=root * (few.Y - moments.y_mean),
            root=root,
            left_out=few.left_out,
            values=self._values,
            loads=self._loads,
            own=1.0 / moments.weight if moments.centred else 0.0,
        )
        return np.array([alone.error(alpha) for alpha in alphas])


def ridge_path(moments: Moments, alpha: float, samples: Samples | None = None) -> RidgePath:
    """Return the solutions for regularisations from `alpha` on.

    An eigendecomposition of the second moments loses what is less than about 1e-16 of their largest eigenvalue. If
    that matters for the least regularisation, the features themselves are factored, which loses only 1e-32 of it.
    Without them, directions that rounding errors of the moments hide get no weight, as if features did not vary there.
    """
    path = path_of_moments(moments, alpha)
    if path is not None:
        return path
    if samples is None:
        return _path_of_factor(moments) or _path_of_rounded_moments(moments)
    if moments.precision > EPS:
        moments = samples.moments(moments.centred, double=True)
        path = path_of_moments(moments, alpha)
    return path or _path_of_samples(moments, samples)


def path_of_moments(moments: Moments, alpha: float) -> RidgePath | None:
    """Return the solutions from an eigendecomposition of the moments, or None if rounding errors would show."""
    values, basis = eigh(moments.gram, driver="evd", overwrite_a=True, check_finite=False)
    accuracy = ACCURACY if moments.precision == EPS else _SINGLE_ACCURACY
    # Of features that vary little beside their offset, too few digits may be left.
    rounding = moments.precision**2 / accuracy * moments.raw_squares.max()
    if values[0] + alpha < max(moments.precision / accuracy * values[-1], rounding) or values[-1] + alpha <= 0:
        return None
    return RidgePath(moments, np.maximum(values, 0.0), basis, basis.T @ moments.cross)


def _path_of_samples(moments: Moments, samples: Samples) -> RidgePath:
    """Return the solutions from an orthogonal factorisation of features and targets."""
    return path_of_triangle(moments, triangle_of(moments, [samples]))


def triangle_of(moments: Moments, parts: Iterable[Samples]) -> FloatArray:
    """Return the triangular factor of the features and targets of samples, block by block.

    Parameters
    ----------
    moments : Moments
        Of these samples, or of more; features and targets are taken about its means.
    parts : iterable of Samples

    Returns
    -------
    ndarray of float, shape (features + outputs, features + outputs)
    """
    width = moments.features + moments.outputs
    triangle = np.zeros((width, width))  # square, however few samples there are
    rows = max(BLOCK_ROWS, 2 * width)
    for samples in parts:
        for begin in range(0, len(samples.X), rows):
            now = samples.rows(slice(begin, begin + rows))
            block = np.hstack([now.X - moments.x_mean, now.Y - moments.y_mean])
            if now.weights is not None:
                block *= np.sqrt(now.weights)[:, None]
            triangle = joined_triangles(triangle, block)
    return triangle


def joined_triangles(triangle: FloatArray, block: FloatArray) -> FloatArray:
    """Return the triangular factor of the rows of both."""
    joined = qr(np.vstack([triangle, block]), mode="r", check_finite=False)[0][: len(triangle)]
    return np.asarray(joined, dtype=np.float64)


def path_of_triangle(moments: Moments, triangle: FloatArray) -> RidgePath:
    """Return the solutions from the triangular factor of all samples of the moments."""
    features = moments.features
    left, singular, basis = singular_vectors(triangle[:features, :features])
    singular = without_rounding(singular, basis, moments.raw_squares)
    return RidgePath(moments, singular**2, basis, singular[:, None] * (left.T @ triangle[:features, features:]))


def _path_of_factor(moments: Moments) -> RidgePath | None:
    """Return the solutions from the Cholesky factor of the moments, or None if rounding errors make them singular.

    The factor is accurate for features of very different scales, and so is the Jacobi method for its singular values
    (J. Demmel and K. Veselic, SIAM J. Matrix Anal. Appl. 13, 1204 (1992)).
    """
    scaled = _Scaled(moments, 0.0)
    if scaled.factor is None or scaled.condition < moments.precision / _SINGLE_ACCURACY:
        return None
    _, singular, basis = singular_vectors(scaled.factor / scaled.scales)
    return RidgePath(moments, singular**2, basis, basis.T @ moments.cross)


def _path_of_rounded_moments(moments: Moments) -> RidgePath:
    """Return the solutions from the eigenvalues that are not rounding errors."""
    values, basis = eigh(moments.gram, driver="evd", overwrite_a=True, check_finite=False)
    floor = moments.precision * np.sqrt(moments.features) * values[-1]
    unknown = values <= max(floor, moments.precision**2 * moments.features * moments.raw_squares.max())
    loads = basis.T @ moments.cross
    loads[unknown] = 0.0
    return RidgePath(moments, np.where(unknown, 0.0, values), basis, loads)


def singular_vectors(matrix: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return all left singular vectors, singular values, and as many right singular vectors; vectors are columns.

    Values that are rounding errors of the factorisation are zero.

    Parameters
    ----------
    matrix : ndarray of float, shape (rows, features)
    """
    rows, features = matrix.shape
    lengths = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
    if lengths.max() <= 1e3 * lengths[lengths > 0].min(initial=np.inf):
        with suppress(LinAlgError):  # of some finite matrices of low rank, LAPACK's gesdd finds none
            left, singular, right = svd(matrix, full_matrices=rows > features, check_finite=False)
            singular[singular <= ROUNDING * EPS * np.sqrt(len(singular)) * singular[0]] = 0.0
            return left, singular, right.T
    # Columns of very different scales: the Jacobi method finds small singular values to all digits, too.
    tall = rows >= features
    singular, first, second, work, _, failed = dgejsv(matrix if tall else matrix.T, joba=2, jobu=int(tall))
    if failed:
        raise LinAlgError(f"singular values were not found (LAPACK's gejsv returned {failed})")
    left, basis = (first, second) if tall else (second, first)
    return left, singular * (work[0] / work[1]), basis


def without_rounding(singular: FloatArray, basis: FloatArray, raw_squares: FloatArray) -> FloatArray:
    """Return singular values, zero for those that may be rounding errors of the features.

    Parameters
    ----------
    singular : ndarray of float, shape (values,)
    basis : ndarray of float, shape (features, values)
        Right singular vectors.
    raw_squares : ndarray of float, shape (features,)
        Sum of squares of each feature, not centred.
    """
    rounding = ROUNDING * EPS * np.sqrt(len(singular)) * np.sqrt(raw_squares @ basis**2)
    return np.where(singular > rounding, singular, 0.0)


class _Scaled:
    """Cholesky factor (upper) of moments whose diagonal was scaled to one, and its reciprocal condition number."""

    def __init__(self, moments: Moments, alpha: float) -> None:
        gram = moments.gram
        gram[np.diag_indices_from(gram)] += alpha
        diagonal = np.diagonal(gram).copy()
        self.factor: FloatArray | None = None
        self.condition = 0.0
        if (diagonal <= ROUNDING**2 * moments.precision**2 * moments.raw_squares).any():
            return  # a constant feature
        self.scales = 1.0 / np.sqrt(diagonal)
        gram *= self.scales
        gram *= self.scales[:, None]
        norm = np.abs(gram).sum(axis=0).max()
        try:
            self.factor = cholesky(gram, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return
        self.condition = float(dpocon(self.factor, norm)[0])

    def solve(self, cross: FloatArray) -> FloatArray:
        """Return the solution (features, outputs) for moments of features with targets."""
        assert self.factor is not None
        solved: FloatArray = cho_solve((self.factor, False), self.scales[:, None] * cross, check_finite=False)
        return self.scales[:, None] * solved


def inverse_of(values: FloatArray, alpha: float) -> FloatArray:
    """Return the inverses of the regularised eigenvalues, zero for those that are zero."""
    shifted = values + alpha
    inverse: FloatArray = np.divide(1.0, shifted, out=np.zeros_like(shifted), where=shifted > 0)
    return inverse


@dataclass(frozen=True, eq=False)
class Solution:
    """The chosen regularisation, the scores of all, and the weights (outputs, features) and intercepts (outputs,)."""

    alpha: float
    scores: FloatArray
    coef: FloatArray
    intercept: FloatArray


def solve(
    moments: Moments, alphas: FloatArray, validation: str | None, samples: Samples | None = None
) -> tuple[Solution, Moments]:
    """Choose a regularisation and solve for the weights, from moments alone or with the samples they are of.

    Parameters
    ----------
    moments : Moments
    alphas : ndarray of float
    validation : {"loo", "gcv"} or None
        Without samples, generalised cross-validation is used for either.
    samples : Samples, optional

    Returns
    -------
    Solution
    Moments
        Those given, or of the same samples in double precision if that was needed.
    """
    least = float(alphas.min())
    if validation is None:
        coef = one_solution(moments, least, samples is not None)
        if coef is not None:
            return solution_with(moments, least, np.zeros(len(alphas)), coef), moments
    path = ridge_path(moments, least, samples)
    if validation is None:
        scores = np.zeros(len(alphas))
    elif validation == "loo" and samples is not None:
        scores = -path.left_out_errors(samples, alphas)
    else:
        scores = -path.generalised_errors(alphas)
    return solution_of(path, alphas, scores), path.moments


def solution_of(path: RidgePath, alphas: FloatArray, scores: FloatArray) -> Solution:
    """Return the solution for the regularisation with the best score."""
    alpha = float(alphas[int(np.argmax(scores))])
    return solution_with(path.moments, alpha, scores, path.coefficients(alpha))


def one_solution(moments: Moments, alpha: float, refinable: bool) -> FloatArray | None:
    """Return the weights by Cholesky's method, or None if they would not be accurate."""
    accuracy = ACCURACY if moments.precision == EPS else _SINGLE_ACCURACY
    scaled = _Scaled(moments, alpha)
    if scaled.factor is None or scaled.condition < moments.precision / (accuracy if refinable else 1e-2):
        return None
    return scaled.solve(moments.cross).T


def solution_with(moments: Moments, alpha: float, scores: FloatArray, coef: FloatArray) -> Solution:
    """Return the solution with these weights (outputs, features), and the intercepts that belong to them."""
    return Solution(alpha, scores, coef, moments.y_mean - coef @ moments.x_mean)
