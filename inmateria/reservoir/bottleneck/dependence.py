"""How much two sets of variables depend on one another, by kernels, with gradients in closed form.

The Hilbert-Schmidt independence criterion (Gretton et al., ALT 2005), normalised (Fukumizu et al., NIPS 2007; as
the objective of a layer: Ma, Lewis and Kleijn, AAAI 2020), its "plausible" form, which needs no centring
(Pogodin and Latham, NeurIPS 2020), and the normalised one by random features, for batches too large for a
kernel matrix. All kernels are Gaussian, ``exp(-|z - z'|^2 / (2 sigma^2 columns))``.

On one-hot targets a Gaussian kernel takes two values only, so that it is ``Y Y^T`` but for a factor and a
constant, which centring takes away: targets enter as ``Y Y^T``, exactly and at low rank.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack

FloatArray = npt.NDArray[np.float64]

REGULARISATION = 1e-2
"""What is added to a centred kernel matrix before it is inverted, as a fraction of the samples.

Ma et al. add 1e-5. With batches of 128 to 256 that lets every batch be told apart by heart: features trained so
read training digits held back markedly worse than with 1e-2.
"""

PHSIC_FLOOR = 0.1
"""What is added to the mean square of features, in their unit squared, where pHSIC normalises them."""


class Dependence(NamedTuple):
    """What an objective is at some features, and where it grows.

    Parameters
    ----------
    value : float
        The objective, to be made small.
    gradient : ndarray of float, shape (samples, features)
        Of the objective by the features.
    on_input, on_target : float
        How much the features depend on each; pHSIC gives on themselves for on the input.
    """

    value: float
    gradient: FloatArray
    on_input: float
    on_target: float


def gaussian_kernel(Z: FloatArray, sigma: float) -> FloatArray:
    """Give the kernel matrix of samples (samples, features)."""
    gram = Z @ Z.T
    squares = np.diag(gram).copy()
    gram *= -2.0
    gram += squares
    gram += squares[:, np.newaxis]
    np.maximum(gram, 0.0, out=gram)
    gram *= -0.5 / (sigma**2 * Z.shape[1])
    return np.exp(gram, out=gram)


def hsic(K: FloatArray, L: FloatArray) -> float:
    """Give the biased estimate ``tr(K H L H) / samples^2`` from two kernel matrices (Gretton et al., eq. 9)."""
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
    """Give ``nHSIC(Z, X) - lambda_y nHSIC(Z, Y)`` and its gradient: Ma, Lewis and Kleijn, eq. 5.

    Parameters
    ----------
    Z, X, Y : ndarray of float, shape (samples, features), (samples, inputs), (samples, targets)
        What is trained, what it comes from, and what it should tell; targets one-hot.
    lambda_y : float
        Weight of the targets.
    sigma, sigma_input : float
        Width of the kernels of Z and of X, for each column.
    regularisation : float
        See `REGULARISATION`.

    Notes
    -----
    With ``A`` the centred kernel matrix and ``c`` the regularisation times the samples,
    ``nHSIC = tr(A (A + c)^-1 M)``, so its gradient by ``A`` is ``c (A + c)^-1 M (A + c)^-1``. Six products of
    samples^3 or their like; memory is six or seven matrices of samples^2.
    """
    samples = len(Z)
    c = regularisation * samples
    kernel = gaussian_kernel(Z, sigma)
    inverse = _inverse(_centred(kernel.copy()), c)  # its lower half, which is all that is read of it
    of_input = _whole(_inverse(_centred(gaussian_kernel(X, sigma_input)), c))
    # A (A + c)^-1 = 1 - c (A + c)^-1, which centring leaves as it is but for the constant vector.
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
    """Give ``pHSIC(Z, Z) - lambda_y pHSIC(Z, Y)`` and its gradient: Pogodin and Latham, section 4.

    ``pHSIC(A, B) = mean(K_A K_B) - mean(K_A) mean(K_B)`` over pairs of different samples: no matrix is
    inverted and none is centred, so that two samples are enough. The features' dependence on themselves stands in
    for that on the input, which it bounds. It is also what keeps them from crowding into a few directions: with
    it, all samples of one class are to be as alike as those of any other.

    Parameters
    ----------
    Z, Y : ndarray of float, shape (samples, features), (samples, targets)
        Features are divided by their root mean square in each sample (divisive normalisation), so that a sample
        cannot become unlike others by its size. Targets are taken less their mean, in units in which a sample's
        likeness with itself is one on average.
    lambda_y : float
        Weight of the targets.
    sigma : float
        Width of the kernel of normalised features, for each column.
    floor : float
        Added to the mean square that features are normalised by.
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
    """Random Fourier features of a Gaussian kernel: Rahimi and Recht, NIPS 2007.

    Parameters
    ----------
    inputs : int
        Columns of what they are features of.
    count : int
        How many features.
    sigma : float
        Width of the kernel, for each column.
    seed : int
        Of their frequencies and phases.
    """

    def __init__(self, inputs: int, count: int, sigma: float, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.frequencies = generator.standard_normal((inputs, count)) / (sigma * np.sqrt(inputs))
        self.phases = generator.uniform(0.0, 2.0 * np.pi, count)
        self._scale = np.sqrt(2.0 / count)

    def __call__(self, Z: FloatArray) -> FloatArray:
        """Give the features (samples, count), whose products approach the kernel."""
        features: FloatArray = self._scale * np.cos(Z @ self.frequencies + self.phases)
        return features

    def back(self, Z: FloatArray, gradient: FloatArray) -> FloatArray:
        """Turn a gradient by the features into one by what they are features of."""
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
    """Give what `nhsic_objective` gives with both Gaussian kernels replaced by random features.

    The cost grows with the samples and not with their cube; memory is samples x features.
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
    """Weigh pairs of different samples so that the product with another kernel matrix is pHSIC."""
    apart = 1.0 / max(len(kernel) * (len(kernel) - 1), 1)
    weights = kernel.copy()
    np.fill_diagonal(weights, 0.0)
    weights -= weights.sum() * apart
    np.fill_diagonal(weights, 0.0)
    weights *= apart
    return weights


def _centred(matrix: FloatArray) -> FloatArray:
    """Take the means of rows and columns off a symmetric matrix, in place."""
    means = matrix.mean(axis=0)
    matrix -= means
    matrix -= means[:, np.newaxis]
    matrix += means.mean()
    return matrix


def _inverse(matrix: FloatArray, shift: float) -> FloatArray:
    """Invert a symmetric matrix after adding to its diagonal; only the lower half counts. It is overwritten."""
    matrix.flat[:: len(matrix) + 1] += shift
    # LAPACK reads by columns: the transpose of a symmetric matrix is the same without a copy.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if not failed:
        found, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ValueError("a kernel matrix is not positive definite; the samples hold NaN, or raise the regularisation")
    return np.asarray(found)


def _whole(lower: FloatArray) -> FloatArray:
    """Fill the upper half of a symmetric matrix from its lower."""
    whole = np.tril(lower)
    whole += np.tril(lower, -1).T
    return whole


def _through_gaussian(pull: FloatArray, kernel: FloatArray, Z: FloatArray, sigma: float) -> FloatArray:
    """Turn a symmetric gradient by a Gaussian kernel matrix into one by its samples."""
    weights = pull * kernel
    scale = 2.0 / (sigma**2 * Z.shape[1])
    gradient: FloatArray = scale * (weights @ Z - weights.sum(axis=1)[:, np.newaxis] * Z)
    return gradient
