"""Ridge readouts: batch, many outputs, their regularisation chosen by exact leave-one-out on the training data."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

FloatArray = npt.NDArray[np.float64]

DEFAULT_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 7))


class _RidgePath:
    """Every ridge solution of centred data, from one eigendecomposition of the smaller Gram matrix."""

    def __init__(self, X: FloatArray, Y: FloatArray, fit_intercept: bool) -> None:
        samples, features = X.shape
        self._intercept_share = 1.0 / samples if fit_intercept else 0.0
        # Centring comes before anything is multiplied: an offset of 1e8 on raw counts must not eat the signal.
        self.x_mean = X.mean(axis=0) if fit_intercept else np.zeros(features)
        self.y_mean = Y.mean(axis=0) if fit_intercept else np.zeros(Y.shape[1])
        Xc, self._Y = X - self.x_mean, Y - self.y_mean
        if features <= samples:
            values, self._basis = eigh(Xc.T @ Xc)
            self._values = np.maximum(values, 0.0)
            self._scores = Xc @ self._basis
            self._loads = self._scores.T @ self._Y
            self._dual = False
        else:
            values, vectors = eigh(Xc @ Xc.T)
            self._values = np.maximum(values, 0.0)
            self._scores, self._basis = vectors, Xc.T @ vectors
            self._loads = vectors.T @ self._Y
            self._dual = True

    def coefficients(self, alpha: float) -> FloatArray:
        """Solution (outputs, features) for one regularisation, the minimum-norm one for none."""
        loads = self._inverse(alpha)[:, None] * self._loads
        coef: FloatArray = (self._basis @ loads).T
        return coef

    def errors(self, alpha: float, validation: str) -> float:
        """Mean squared error that leave-one-out or generalised cross-validation predicts."""
        samples = len(self._Y)
        inverse = self._inverse(alpha)
        if self._dual:
            shrink = self._values * inverse
            fitted = self._scores @ (shrink[:, None] * self._loads)
            leverage = (self._scores**2) @ shrink + self._intercept_share
        else:
            fitted = self._scores @ (inverse[:, None] * self._loads)
            leverage = (self._scores**2) @ inverse + self._intercept_share
        if validation == "gcv":
            leverage = np.full(samples, leverage.mean())
        residual = self._Y - fitted
        # A sample that alone fixes its own prediction cannot be predicted from the others.
        kept = np.maximum(1.0 - leverage, np.finfo(np.float64).eps)
        return float(np.mean((residual / kept[:, None]) ** 2))

    def _inverse(self, alpha: float) -> FloatArray:
        shifted = self._values + alpha
        floor = self._values[-1] * len(self._values) * np.finfo(np.float64).eps if alpha == 0 else 0.0
        with np.errstate(divide="ignore"):
            inverse: FloatArray = np.where(shifted > floor, 1.0 / shifted, 0.0)
        return inverse


class _Ridge(BaseEstimator):  # type: ignore[misc]
    """What the two ridge readouts share."""

    coef_: FloatArray
    intercept_: FloatArray | float

    def __init__(
        self,
        alphas: float | Sequence[float] | FloatArray = DEFAULT_ALPHAS,
        *,
        validation: Literal["loo", "gcv"] | None = "loo",
        fit_intercept: bool = True,
    ) -> None:
        self.alphas = alphas
        self.validation = validation
        self.fit_intercept = fit_intercept

    def _fit(self, X: FloatArray, Y: FloatArray) -> None:
        alphas = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas).all() and (alphas >= 0).all()):
            raise ValueError(f"alphas is {self.alphas!r}; give one or more finite numbers of at least 0")
        if self.validation not in ("loo", "gcv", None):
            raise ValueError(f"validation is {self.validation!r}; allowed are 'loo', 'gcv' and None")
        if self.validation is None and alphas.size > 1:
            raise ValueError(f"validation is None with {alphas.size} alphas; give a single one, or a validation")
        path = _RidgePath(X, Y, self.fit_intercept)
        self.loo_scores_ = (
            np.array([-path.errors(float(alpha), self.validation) for alpha in alphas])
            if self.validation is not None and len(X) > 1
            else np.zeros(alphas.size)
        )
        self.alpha_ = float(alphas[int(np.argmax(self.loo_scores_))])
        self.coef_ = path.coefficients(self.alpha_)
        self.intercept_ = path.y_mean - self.coef_ @ path.x_mean

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features: FloatArray = validate_data(self, X, reset=False, dtype=np.float64)
        decided: FloatArray = features @ np.atleast_2d(self.coef_).T + self.intercept_
        return decided


class RidgeReadout(MultiOutputMixin, RegressorMixin, _Ridge):  # type: ignore[misc]
    """Linear readout with squared error and squared weights, regularisation chosen by leave-one-out.

    Parameters
    ----------
    alphas : float or sequence of float
        Regularisations to choose from, in units of the squared features.
    validation : {"loo", "gcv"} or None
        Chosen by exact leave-one-out, by generalised cross-validation, or not at all (one alpha).
    fit_intercept : bool
        Learn an intercept, which is not regularised.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features), or (features,) for a target of one axis
    intercept_ : ndarray of float, shape (outputs,), or float
    alpha_ : float
        The regularisation chosen.
    loo_scores_ : ndarray of float, shape (alphas,)
        Negative mean squared error that the validation predicts for each.

    Notes
    -----
    Leave-one-out residuals are those of the fit divided by one minus the leverage (Allen, Technometrics
    16, 125 (1974)); one eigendecomposition serves every regularisation.
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from features (steps, features) and targets (steps,) or (steps, outputs)."""
        features, targets = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._fit(features, targets.reshape(len(features), -1).astype(np.float64))
        if targets.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], float(np.ravel(self.intercept_)[0])
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Read features (steps, features) out; shape as the targets'."""
        decided = self._decide(X)
        return decided[:, 0] if np.ndim(self.coef_) == 1 else decided


class RidgeClassifierReadout(ClassifierMixin, _Ridge):  # type: ignore[misc]
    """Ridge readout of classes: one output each, -1 or 1, and the largest names the class.

    Parameters
    ----------
    alphas, validation, fit_intercept
        As of `RidgeReadout`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features), one row for two classes
    intercept_ : ndarray of float, shape (classes,)
    alpha_, loo_scores_
        As of `RidgeReadout`.
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from features (samples, features) and their classes (samples,)."""
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        binarizer = LabelBinarizer(pos_label=1, neg_label=-1).fit(labels)
        self.classes_ = binarizer.classes_
        self._fit(features, binarizer.transform(labels).astype(np.float64))
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Give the outputs of each class (samples, classes), or of the second of two (samples,)."""
        decided = self._decide(X)
        return decided[:, 0] if decided.shape[1] == 1 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Name the class of each sample."""
        decided = self.decision_function(X)
        named = (decided > 0).astype(np.intp) if decided.ndim == 1 else decided.argmax(axis=1)
        classes: npt.NDArray[Any] = self.classes_[named]
        return classes
