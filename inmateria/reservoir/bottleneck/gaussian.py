r"""The Gaussian information bottleneck: linear features that keep the information about a target and discard the rest.

For Gaussian X and Y, the noisy linear map :math:`T = A X + \xi` with unit noise that minimises

.. math:: I(X; T) - \beta\, I(T; Y)

is known in closed form: the rows of :math:`A` are canonical directions, each with a weight that is zero up to its own
critical :math:`\beta` (G. Chechik, A. Globerson, N. Tishby and Y. Weiss, J. Mach. Learn. Res. 6, 165 (2005)).
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, eigh, solve_triangular, svd, svdvals
from sklearn.utils.validation import check_is_fitted

from inmateria.reservoir.bottleneck.covariance import StreamingCovariance
from inmateria.reservoir.bottleneck.transformer import BottleneckTransformer
from inmateria.reservoir.fit_transaction import fit_transaction

FloatArray = npt.NDArray[np.float64]
_BITS = 1.0 / np.log(2.0)
_MOST = 1.0 - 1e-12
"""Largest correlation that is used: a target that is known exactly would need infinite gain."""


class GaussianBottleneck(BottleneckTransformer):
    """Gaussian information bottleneck as a scikit-learn transformer.

    Targets should be vectors: one-hot classes, several future steps of a series. There are at most as many directions
    as targets; a scalar target has a single one, that of ridge regression.

    Parameters
    ----------
    beta : float
        Trade-off: value of a bit about the target in bits about the input; more than 1. Directions with a larger
        critical beta get weight zero.
    n_components : int, optional
        Number of rows of the map; by default the number of directions.
    fill : {"pca"} or None
        Rows beyond the active directions: the principal components, in units of their standard deviation, of the
        inputs that the directions leave unexplained; or zeros, as in the theory.
    ridge : float
        Regularisation of the covariances of inputs and targets, as a fraction of their mean variance.

    Attributes
    ----------
    components_ : ndarray of float, shape (n_components, inputs)
        The map A of eq. 18, for noise of unit variance.
    mean_ : ndarray of float, shape (inputs,)
    correlations_ : ndarray of float, shape (directions,)
        Canonical correlations of inputs and targets, largest first.
    beta_critical_ : ndarray of float, shape (directions,)
        Beta above which each direction has a weight, ``1 / correlations_ ** 2``.
    active_ : int
        Number of directions with a weight at this beta.
    information_curve_ : InformationCurve
        Information about the target against information kept about the input.
    """

    def __init__(
        self,
        beta: float = 100.0,
        n_components: int | None = None,
        fill: Literal["pca"] | None = None,
        *,
        ridge: float = 1e-6,
    ) -> None:
        self.beta = beta
        self.n_components = n_components
        self.fill = fill
        self.ridge = ridge

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to inputs (samples, inputs) and targets (samples, targets) or (samples,)."""
        with fit_transaction(self):
            inputs, targets = self._checked_pairs(X, y, reset=True)
            gathered = StreamingCovariance(inputs.shape[1], targets.shape[1])
            gathered.add(inputs, targets)
            self._fit(*gathered.blocks, gathered.mean[: inputs.shape[1]])
        return self

    def fit_covariances(
        self, of_x: npt.ArrayLike, of_x_y: npt.ArrayLike, of_y: npt.ArrayLike, mean: npt.ArrayLike | None = None
    ) -> Self:
        """Fit to known covariances: of the inputs, of inputs with targets, of the targets."""
        Cx, Cxy, Cy = (np.asarray(each, dtype=np.float64) for each in (of_x, of_x_y, of_y))
        if Cx.shape != (len(Cx), len(Cx)) or Cxy.shape != (len(Cx), len(Cy)) or Cy.shape != (len(Cy), len(Cy)):
            raise ValueError(
                f"covariances have shapes {Cx.shape}, {Cxy.shape} and {Cy.shape}; "
                "give (inputs, inputs), (inputs, targets) and (targets, targets)"
            )
        with fit_transaction(self):
            self.n_features_in_ = len(Cx)
            self._fit(Cx, Cxy, Cy, np.zeros(len(Cx)) if mean is None else np.asarray(mean, dtype=np.float64))
        return self

    def _fit(self, Cx: FloatArray, Cxy: FloatArray, Cy: FloatArray, mean: FloatArray) -> None:
        if not 1 < self.beta < float("inf"):
            raise ValueError(f"beta is {self.beta}; it must be finite and more than 1 (up to 1 nothing is kept)")
        if self.fill not in ("pca", None):
            raise ValueError(f"fill is {self.fill!r}; allowed are 'pca' and None")
        if not 0 <= self.ridge < float("inf"):
            raise ValueError(f"ridge is {self.ridge}; it must be finite and at least 0")
        if self.n_components is not None and self.n_components < 1:
            raise ValueError(f"n_components is {self.n_components}; it must be at least 1, or None")
        Cx = _ridged(Cx, self.ridge)
        directions, rho = canonical_directions(Cx, Cxy, _ridged(Cy, self.ridge))
        count = len(rho) if self.n_components is None else self.n_components
        self.mean_, self.correlations_ = mean, rho
        with np.errstate(divide="ignore"):
            self.beta_critical_ = np.where(rho > 0, 1.0 / rho**2, np.inf)
        # Eq. 18: alpha = sqrt((beta (1 - lambda) - 1) / (lambda r)), lambda = 1 - rho^2; here r is 1.
        excess = self.beta * rho**2 - 1.0
        alpha = np.sqrt(np.maximum(excess, 0.0) / (1.0 - rho**2))
        self.active_ = min(count, int(np.count_nonzero(alpha)))
        self.components_ = np.zeros((count, len(Cx)))
        self.components_[: self.active_] = alpha[: self.active_, np.newaxis] * directions[: self.active_]
        if self.fill == "pca" and count > self.active_:
            rest = principal_rest(Cx, directions[: self.active_], count - self.active_)
            self.components_[self.active_ : self.active_ + len(rest)] = rest
        self._n_features_out = count

    @property
    def information_curve_(self) -> "InformationCurve":
        """Information about the target against information kept about the input."""
        check_is_fitted(self)
        return InformationCurve.of(self.correlations_)


@dataclass(frozen=True, eq=False)
class InformationCurve:
    """Information about the target against information kept about the input (Chechik et al., section 5).

    Parameters
    ----------
    beta : ndarray of float, shape (points,)
        Ascending; the slope of the curve at each point is 1 / beta. All critical values are among them.
    about_input, about_target : ndarray of float, shape (points,)
        In bits.
    correlations : ndarray of float, shape (directions,)
    """

    beta: FloatArray
    about_input: FloatArray
    about_target: FloatArray
    correlations: FloatArray

    @classmethod
    def of(cls, correlations: FloatArray, points: int = 60) -> Self:
        """Return the curve for canonical correlations, from the first critical beta to 1000 times the last."""
        rho = correlations[correlations > 1e-6]
        if not len(rho):
            nothing = np.zeros(1)
            return cls(np.ones(1), nothing, nothing, correlations)
        grid = np.geomspace(1.0 / rho[0] ** 2, 1e3 / rho[-1] ** 2, points)
        beta = np.unique(np.concatenate([1.0 / rho**2, grid]))
        kept = np.array([information(correlations, float(each)) for each in beta])
        return cls(beta, kept[:, 0], kept[:, 1], correlations)

    def at(self, beta: float) -> tuple[float, float]:
        """Return the bits about the input and about the target at one beta."""
        return information(self.correlations, beta)


def information(correlations: FloatArray, beta: float) -> tuple[float, float]:
    r"""Return the bits about the input and about the target that the optimal map keeps at a beta.

    With :math:`\lambda_i = 1 - \rho_i^2`, over the directions with :math:`\beta \rho_i^2 > 1` (Chechik et al., section
    5),

    .. math::

        I_X &= \tfrac12 \sum_i \log_2 \frac{(\beta - 1)(1 - \lambda_i)}{\lambda_i} \\
        I_Y &= I_X - \tfrac12 \sum_i \log_2 \left(\beta (1 - \lambda_i)\right).
    """
    shared = np.asarray(correlations, dtype=np.float64) ** 2
    shared = shared[beta * shared > 1.0]
    about_input = 0.5 * _BITS * float(np.sum(np.log((beta - 1.0) * shared / (1.0 - shared))))
    return about_input, about_input - 0.5 * _BITS * float(np.sum(np.log(beta * shared)))


def gaussian_information(X: npt.ArrayLike, Y: npt.ArrayLike, ridge: float = 1e-3) -> float:
    r"""Estimate the mutual information (bits) of X (samples, inputs) and Y (samples, targets), taken as Gaussian.

    .. math:: I = -\tfrac12 \sum_i \log_2 (1 - \rho_i^2)

    over the canonical correlations, corrected for chance as an adjusted R² is: for independent X and Y the mean of
    :math:`\rho^2` is inputs / (samples - 1).
    """
    inputs, targets = (np.asarray(each, dtype=np.float64).reshape(len(np.asarray(each)), -1) for each in (X, Y))
    gathered = StreamingCovariance(inputs.shape[1], targets.shape[1])
    gathered.add(inputs, targets)
    Cx, Cxy, Cy = gathered.blocks
    if not np.trace(Cx) > 0 or not np.trace(Cy) > 0:
        return 0.0
    of_x, of_y = (cholesky(_ridged(each, least), lower=True) for each, least in ((Cx, ridge), (Cy, 1e-9)))
    across = solve_triangular(of_y, solve_triangular(of_x, Cxy, lower=True).T, lower=True)
    rho = svdvals(across)
    by_chance = min(max(inputs.shape[1], targets.shape[1]) / max(len(inputs) - 1, 1), 1.0 - 1e-9)
    shared = np.clip((rho**2 - by_chance) / (1.0 - by_chance), 0.0, _MOST)
    return float(-0.5 * _BITS * np.sum(np.log1p(-shared)))


def canonical_directions(Cx: FloatArray, Cxy: FloatArray, Cy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the canonical directions of the inputs and their correlations with the targets, largest first.

    Returns
    -------
    directions : ndarray of float, shape (directions, inputs)
        Uncorrelated, with unit variance; the weight of largest magnitude in each is positive.
    correlations : ndarray of float, shape (directions,)
        From 0 to just below 1.
    """
    white_x, white_y = _whitening(Cx), _whitening(Cy)
    left, rho, _ = svd(white_x @ Cxy @ white_y.T, full_matrices=False)
    directions = left.T @ white_x
    return _signed(directions), np.clip(rho, 0.0, _MOST)


def principal_rest(Cx: FloatArray, directions: FloatArray, count: int) -> FloatArray:
    """Return the principal components of the inputs after uncorrelated unit-variance directions are projected out.

    Returns
    -------
    ndarray of float, shape (at most count, inputs)
        Uncorrelated with the directions and with one another, with unit variance.
    """
    explained = Cx @ directions.T @ directions
    rest = Cx - explained @ Cx
    values, vectors = eigh((rest + rest.T) / 2.0)
    chosen = np.argsort(values)[::-1][:count]
    chosen = chosen[values[chosen] > _floor(Cx)]
    rows = (vectors[:, chosen] / np.sqrt(values[chosen])).T
    return _signed(rows - rows @ explained)


def past_and_future(series: npt.ArrayLike, past: int, future: int) -> tuple[FloatArray, FloatArray]:
    """Cut a series into pairs of past and future, for a past-future bottleneck.

    ``GaussianBottleneck(...).fit(*past_and_future(series, 10, 5))`` keeps the information in the past of a series about
    its future (F. Creutzig, A. Globerson and N. Tishby, Phys. Rev. E 79, 041925 (2009)).

    Parameters
    ----------
    series : array_like of float, shape (steps, features) or (steps,)
    past, future : int
        Number of steps of each.

    Returns
    -------
    X : ndarray of float, shape (steps - past - future + 1, past * features)
        Oldest step first.
    Y : ndarray of float, shape (steps - past - future + 1, future * features)
    """
    given = np.asarray(series, dtype=np.float64)
    given = given[:, np.newaxis] if given.ndim == 1 else given
    if past < 1 or future < 1 or given.ndim != 2 or len(given) < past + future:
        raise ValueError(
            f"the series has shape {given.shape}, past is {past} and future {future}; past and future must be at least "
            "1, and the series (steps, features) at least as long as both together"
        )
    windows = np.lib.stride_tricks.sliding_window_view(given, past + future, axis=0).transpose(0, 2, 1)
    return windows[:, :past].reshape(len(windows), -1), windows[:, past:].reshape(len(windows), -1)


def _ridged(covariance: FloatArray, ridge: float) -> FloatArray:
    size = len(covariance)
    ridged: FloatArray = covariance + ridge * np.trace(covariance) / size * np.eye(size)
    return ridged


def _floor(covariance: FloatArray) -> float:
    """Return the variance below which there are only rounding errors."""
    return float(np.trace(covariance)) * len(covariance) * float(np.finfo(np.float64).eps)


def _whitening(covariance: FloatArray) -> FloatArray:
    """Return a map to uncorrelated coordinates of unit variance, without those of zero variance."""
    values, vectors = eigh(covariance)
    kept = values > _floor(covariance)
    if not kept.any():
        return np.zeros((1, len(covariance)))
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T)


def _signed(rows: FloatArray) -> FloatArray:
    if not rows.size:
        return rows
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return rows * np.where(largest < 0, -1.0, 1.0)[:, np.newaxis]
