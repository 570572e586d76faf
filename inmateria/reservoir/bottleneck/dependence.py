r"""Kernel measures of the dependence of two sets of variables, with gradients in closed form.

The Hilbert-Schmidt independence criterion (A. Gretton et al., ALT 2005), normalised (K. Fukumizu et al., NIPS 2007; as
the objective of a layer: W.-D. K. Ma, J. P. Lewis and W. B. Kleijn, AAAI 2020), its "plausible" form, which needs no
centring (R. Pogodin and P. E. Latham, NeurIPS 2020), and the normalised one by random features, for batches too large
for a kernel matrix. All kernels are Gaussian,

.. math:: k(z, z') = \exp\left(-\frac{\lVert z - z' \rVert^2}{2 \sigma^2 n}\right), \qquad n = \text{number of columns}.

On one-hot targets a Gaussian kernel takes only two values, so it equals :math:`Y Y^\top` up to a factor and a
constant, which centring removes: targets enter as :math:`Y Y^\top`, exactly and with low rank.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack

FloatArray = npt.NDArray[np.float64]

REGULARISATION = 1e-2
"""Regularisation of a centred kernel matrix before it is inverted, as a fraction of the number of samples.

Ma et al. use 1e-5. With batches of 128 to 256 that overfits each batch: the features classify digits that were held out
markedly worse than with 1e-2.
"""

PHSIC_FLOOR = 0.1
"""Constant added to the mean square of features before pHSIC normalises by it, in their unit squared."""


class Dependence(NamedTuple):
    """Value and gradient of an objective.

    Parameters
    ----------
    value : float
        The objective, to be minimised.
    gradient : ndarray of float, shape (samples, features)
        Gradient with respect to the features.
    on_input, on_target : float
        Dependence of the features on the input and on the target; for pHSIC, the former is on themselves.
    """

    value: float
    gradient: FloatArray
    on_input: float
    on_target: float


def gaussian_kernel(Z: FloatArray, sigma: float) -> FloatArray:
    """Return the Gaussian kernel matrix of samples (samples, features)."""
    gram = Z @ Z.T
    squares = np.diag(gram).copy()
    gram *= -2.0
    gram += squares
    gram += squares[:, np.newaxis]
    np.maximum(gram, 0.0, out=gram)
    gram *= -0.5 / (sigma**2 * Z.shape[1])
    return np.exp(gram, out=gram)


def hsic(K: FloatArray, L: FloatArray) -> float:
    r"""Return the biased estimate of HSIC from two kernel matrices of n samples (Gretton et al., eq. 9).

    .. math:: \mathrm{HSIC} = \mathrm{tr}(K H L H) / n^2, \qquad H = I - 1/n
    """
    return float(np.sum(_centred(K.copy()) * L)) / len(K) ** 2


def nhsic_objective(
    Z: FloatArray,
    X: FloatArray,
    Y: FloatArray,
    *,
    lambda_y: float = 50.0,
    sigma: float = 1.0,
    sigma_input: float = 1.0,
    regularisation: float = REGULARISATION,
) -> Dependence:
    r"""Return ``nHSIC(Z, X) - lambda_y nHSIC(Z, Y)`` and its gradient (Ma, Lewis and Kleijn, eq. 5).

    Parameters
    ----------
    Z, X, Y : ndarray of float, shape (samples, features), (samples, inputs), (samples, targets)
        Features to be trained, their inputs, and targets (one-hot for classes).
    lambda_y : float
        Weight of the targets.
    sigma, sigma_input : float
        Widths of the kernels of Z and of X, per column.
    regularisation : float
        See `REGULARISATION`.

    Notes
    -----
    With the centred kernel matrices :math:`A` of Z and :math:`B` of the other variable, and :math:`c` the
    regularisation times the number of samples,

    .. math::

        \mathrm{nHSIC} &= \mathrm{tr}\left(A (A + cI)^{-1} M\right), \qquad M = B (B + cI)^{-1} \\
        \frac{\partial\,\mathrm{nHSIC}}{\partial A} &= c\, (A + cI)^{-1} M (A + cI)^{-1}.

    The cost is about six products of samples x samples matrices, the memory six or seven of them.
    """
    samples = len(Z)
    c = regularisation * samples
    kernel = gaussian_kernel(Z, sigma)
    inverse = _inverse(_centred(kernel.copy()), c)  # its lower triangle, the only part that is read
    of_input = _whole(_inverse(_centred(gaussian_kernel(X, sigma_input)), c))
    # A (A + c)^-1 = 1 - c (A + c)^-1; centring changes it only along the constant vector.
    of_input *= -c
    of_input.flat[:: samples + 1] += 1.0
    T = Y - Y.mean(axis=0)
    M = T @ np.linalg.inv(T.T @ T + c * np.eye(T.shape[1]))  # A (A + c)^-1 = M T^T for the targets
    trace_input = float(np.trace(of_input))
    wanted = of_input
    wanted -= (lambda_y * M) @ T.T
    half = blas.dsymm(c, inverse, wanted.T, lower=1)
    on_target = float(np.vdot(M, T)) - c * float(np.vdot(M, blas.dsymm(1.0, inverse, T, lower=1)))
    on_input = trace_input - float(np.trace(half)) - lambda_y * (float(np.vdot(M, T)) - on_target)
    pull = blas.dsymm(1.0, inverse, half, side=1, lower=1)
    gradient = _through_gaussian(_centred(pull.T), kernel, Z, sigma)
    return Dependence(on_input - lambda_y * on_target, gradient, on_input, on_target)


def phsic_objective(
    Z: FloatArray, Y: FloatArray, *, lambda_y: float = 2.0, sigma: float = 1.0, floor: float = PHSIC_FLOOR
) -> Dependence:
    r"""Return ``pHSIC(Z, Z) - lambda_y pHSIC(Z, Y)`` and its gradient (Pogodin and Latham, section 4).

    .. math:: \mathrm{pHSIC}(A, B) = \langle K_A K_B \rangle - \langle K_A \rangle \langle K_B \rangle

    over pairs of different samples: no matrix is inverted or centred, so that two samples are enough. The dependence of
    the features on themselves is an upper bound of that on the input and replaces it. It also keeps features from
    collapsing onto a few directions.

    Parameters
    ----------
    Z, Y : ndarray of float, shape (samples, features), (samples, targets)
        Features are divided by their root mean square in each sample (divisive normalisation), so that samples do not
        differ by their magnitude. Targets are centred and scaled to a mean self-similarity of one.
    lambda_y : float
        Weight of the targets.
    sigma : float
        Width of the kernel of normalised features, per column.
    floor : float
        Constant added to the mean square by which features are normalised.
    """
    samples = len(Z)
    size = np.sqrt((Z**2).mean(axis=1, keepdims=True) + floor)
    normalised = Z / size
    kernel = gaussian_kernel(normalised, sigma)
    by_itself = _of_pairs(kernel)
    T = Y - Y.mean(axis=0)
    of_targets = T @ T.T
    of_targets /= max(float(np.trace(of_targets)) / samples, np.finfo(np.float64).tiny)
    by_target = _of_pairs(of_targets)
    on_itself, on_target = float(np.vdot(kernel, by_itself)), float(np.vdot(kernel, by_target))
    pull = _through_gaussian(2.0 * by_itself - lambda_y * by_target, kernel, normalised, sigma)
    gradient = (pull - normalised * (normalised * pull).mean(axis=1, keepdims=True)) / size
    return Dependence(on_itself - lambda_y * on_target, gradient, on_itself, on_target)


class RandomFeatures:
    r"""Random Fourier features of a Gaussian kernel (A. Rahimi and B. Recht, NIPS 2007).

    .. math:: \phi(z) = \sqrt{2 / D}\, \cos(\Omega^\top z + b), \qquad \phi(z)^\top \phi(z') \approx k(z, z')

    Parameters
    ----------
    inputs : int
        Number of columns of the input.
    count : int
        Number of features :math:`D`.
    sigma : float
        Width of the kernel, per column.
    seed : int
        Seed of frequencies and phases.
    """

    def __init__(self, inputs: int, count: int, sigma: float, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.frequencies = generator.standard_normal((inputs, count)) / (sigma * np.sqrt(inputs))
        self.phases = generator.uniform(0.0, 2.0 * np.pi, count)
        self._scale = np.sqrt(2.0 / count)

    def __call__(self, Z: FloatArray) -> FloatArray:
        """Return the features (samples, count), whose scalar products approximate the kernel."""
        features: FloatArray = self._scale * np.cos(Z @ self.frequencies + self.phases)
        return features

    def back(self, Z: FloatArray, gradient: FloatArray) -> FloatArray:
        """Propagate a gradient with respect to the features back to their input."""
        through: FloatArray = (gradient * (-self._scale * np.sin(Z @ self.frequencies + self.phases))) @ (
            self.frequencies.T
        )
        return through


def nhsic_objective_by_features(
    Z: FloatArray,
    X: FloatArray,
    Y: FloatArray,
    of_z: RandomFeatures,
    of_x: RandomFeatures,
    *,
    lambda_y: float = 50.0,
    regularisation: float = REGULARISATION,
) -> Dependence:
    """Return `nhsic_objective` with both Gaussian kernels approximated by random features.

    The cost is linear in the number of samples, and not cubic; memory is samples x features.
    """
    samples = len(Z)
    c = regularisation * samples
    P = of_z(Z)
    P -= P.mean(axis=0)
    Q = of_x(X)
    Q -= Q.mean(axis=0)
    T = Y - Y.mean(axis=0)
    S = np.linalg.inv(P.T @ P + c * np.eye(P.shape[1]))
    on_z = P @ S
    parts = []
    for other in (Q, T):
        middle = np.linalg.inv(other.T @ other + c * np.eye(other.shape[1]))
        seen = other.T @ on_z
        carried = (middle @ seen).T  # S P^T other middle
        value = float(np.vdot(other.T @ P, carried.T))
        # d tr(S P^T M P) / dP = 2 (M P S - P S P^T M P S), with M = other middle other^T.
        pulled = other @ carried.T
        parts.append((value, 2.0 * (pulled - on_z @ (P.T @ pulled))))
    (on_input, by_input), (on_target, by_target) = parts
    pull = by_input - lambda_y * by_target
    pull -= pull.mean(axis=0)
    return Dependence(on_input - lambda_y * on_target, of_z.back(Z, pull), on_input, on_target)


def _of_pairs(kernel: FloatArray) -> FloatArray:
    """Return weights of sample pairs whose scalar product with another kernel matrix is pHSIC."""
    apart = 1.0 / max(len(kernel) * (len(kernel) - 1), 1)
    weights = kernel.copy()
    np.fill_diagonal(weights, 0.0)
    weights -= weights.sum() * apart
    np.fill_diagonal(weights, 0.0)
    weights *= apart
    return weights


def _centred(matrix: FloatArray) -> FloatArray:
    """Subtract the means of rows and columns of a symmetric matrix, in place."""
    means = matrix.mean(axis=0)
    matrix -= means
    matrix -= means[:, np.newaxis]
    matrix += means.mean()
    return matrix


def _inverse(matrix: FloatArray, shift: float) -> FloatArray:
    """Invert a symmetric matrix plus a multiple of identity, in place; only the lower triangle of the result is set."""
    matrix.flat[:: len(matrix) + 1] += shift
    # LAPACK is column-major: the transpose of a symmetric matrix avoids a copy.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if not failed:
        found, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ValueError(
            "a kernel matrix is not positive definite; features must be finite; raise the regularisation if they are"
        )
    return np.asarray(found)


def _whole(lower: FloatArray) -> FloatArray:
    """Return a symmetric matrix from its lower triangle."""
    whole = np.tril(lower)
    whole += np.tril(lower, -1).T
    return whole


def _through_gaussian(pull: FloatArray, kernel: FloatArray, Z: FloatArray, sigma: float) -> FloatArray:
    """Propagate a symmetric gradient with respect to a Gaussian kernel matrix back to its samples."""
    weights = pull * kernel
    scale = 2.0 / (sigma**2 * Z.shape[1])
    gradient: FloatArray = scale * (weights @ Z - weights.sum(axis=1)[:, np.newaxis] * Z)
    return gradient
