"""Ridge readouts: in batch or in chunks, many outputs, regularisation chosen by exact leave-one-out."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from inmateria.reservoir.readouts.moments import Moments
from inmateria.reservoir.readouts.ridge_path import DualRidgePath, RidgePath, Solution, solve
from inmateria.reservoir.readouts.winner import one_against_rest, predict_sequences, winners

FloatArray = npt.NDArray[np.float64]

DEFAULT_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 7))


class _Ridge(BaseEstimator):  # type: ignore[misc]
    """Base class of the ridge readouts: it accumulates moments, and solves for the weights on first use."""

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

    def _take(self, coef: FloatArray, intercept: FloatArray) -> Self:
        """Set weights (outputs, features) and intercepts that were found elsewhere."""
        self._moments = Moments(coef.shape[1], len(coef), self.fit_intercept)
        self._moments.y_mean = np.array(intercept, dtype=np.float64)
        self._solution = Solution(coef=np.array(coef, dtype=np.float64))
        self.n_features_in_ = coef.shape[1]
        return self

    def __add__(self, other: Self) -> Self:
        """Return the readout fitted on the data of both."""
        check_is_fitted(self)
        check_is_fitted(other)
        if not isinstance(other, type(self)) or str(self.get_params()) != str(other.get_params()):
            raise ValueError(f"{self} and {other} cannot be added; both must be of one class with the same parameters")
        joined: Self = clone(self)
        for name, value in vars(self).items():
            if name not in vars(joined):
                setattr(joined, name, value)
        joined._moments = self._moments + other._moments
        joined._solution = Solution()
        return joined

    def _settings(self) -> FloatArray:
        alphas = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas).all() and (alphas >= 0).all()):
            raise ValueError(f"alphas is {self.alphas!r}; it must be one or more finite numbers of at least 0")
        if self.validation not in ("loo", "gcv", None):
            raise ValueError(f"validation is {self.validation!r}; allowed are 'loo', 'gcv' and None")
        if self.validation is None and alphas.size > 1:
            raise ValueError(f"validation is None with {alphas.size} alphas; give a single alpha, or 'loo' or 'gcv'")
        return alphas

    def _fit(self, X: npt.NDArray[Any], Y: FloatArray) -> None:
        alphas = self._settings()
        samples, features = X.shape
        self._moments = Moments(features, Y.shape[1], self.fit_intercept).add(X, Y)
        validated = self.validation is not None and samples > 1
        if samples < features:
            dual = DualRidgePath(X, Y, self._moments)
            scores = -dual.errors(alphas, self.validation or "loo") if validated else np.zeros(len(alphas))
            alpha = float(alphas[int(np.argmax(scores))])
            self._solution = Solution(alpha, scores, dual.coefficients(alpha))
        elif self.validation == "loo" and validated:
            path = RidgePath(self._moments)
            scores = -path.left_out_errors(X, Y, alphas)
            alpha = float(alphas[int(np.argmax(scores))])
            self._solution = Solution(alpha, scores, path.coefficients(alpha))
        else:
            self._solution = solve(self._moments, alphas, validated)

    def _partial_fit(self, X: npt.NDArray[Any], Y: FloatArray, anew: bool) -> None:
        self._settings()
        if anew:
            self._moments = Moments(X.shape[1], Y.shape[1], self.fit_intercept)
        elif Y.shape[1] != self._moments.outputs:
            raise ValueError(f"targets have {Y.shape[1]} outputs; this readout was fitted with {self._moments.outputs}")
        self._moments.add(X, Y)
        self._solution = Solution()

    @property
    def _solved(self) -> Solution:
        if not hasattr(self, "_solution"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit or partial_fit first")
        if self._solution.coef is None:
            self._solution = solve(self._moments, self._settings(), self.validation is not None)
        return self._solution

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_solution")

    @property
    def alpha_(self) -> float:
        """The regularisation chosen."""
        return self._solved.alpha

    @property
    def loo_scores_(self) -> FloatArray:
        """Negative mean squared error estimated by the validation for each regularisation."""
        return self._solved.scores

    @property
    def coef_(self) -> FloatArray:
        """Weights, shape (outputs, features)."""
        return self._coefficients

    @property
    def intercept_(self) -> Any:
        """Intercepts, shape (outputs,)."""
        return self._intercepts

    @property
    def _coefficients(self) -> FloatArray:
        coef = self._solved.coef
        assert coef is not None  # solved just now
        return coef

    @property
    def _intercepts(self) -> FloatArray:
        intercepts: FloatArray = self._moments.y_mean - self._coefficients @ self._moments.x_mean
        return intercepts

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        decided: FloatArray = features @ self._coefficients.T + self._intercepts
        return decided


class RidgeReadout(MultiOutputMixin, RegressorMixin, _Ridge):  # type: ignore[misc]
    r"""Ridge regression, with the regularisation chosen by exact leave-one-out cross-validation.

    Two readouts fitted on parts of the data can be added: the sum is the readout fitted on all of it.

    Parameters
    ----------
    alphas : float or sequence of float
        Candidates for the regularisation :math:`\alpha`, in units of the squared features.
    validation : {"loo", "gcv"} or None
        Choose by exact leave-one-out, by generalised cross-validation, or not at all (for a single alpha).
        Leave-one-out needs all samples at once: after `partial_fit` or an addition, generalised cross-validation is
        used.
    fit_intercept : bool
        Learn an intercept, which is not regularised.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features), or (features,) for a target of one axis
    intercept_ : ndarray of float, shape (outputs,), or float
    alpha_ : float
        The regularisation chosen.
    loo_scores_ : ndarray of float, shape (alphas,)
        Negative mean squared error estimated by the validation for each; zero without a validation.

    Notes
    -----
    With centred features :math:`X` and targets :math:`Y`, the weights and the leave-one-out residuals are

    .. math::

        W &= (X^\top X + \alpha I)^{-1} X^\top Y \\
        e_i &= \frac{y_i - \hat y_i}{1 - h_i}, \qquad
        h_i = \frac{1}{n} + x_i^\top (X^\top X + \alpha I)^{-1} x_i

    (D. M. Allen, Technometrics 16, 125 (1974)). Generalised cross-validation replaces the leverage :math:`h_i` by its
    mean (G. H. Golub, M. Heath and G. Wahba, Technometrics 21, 215 (1979)). One eigendecomposition of
    :math:`X^\top X` serves every regularisation.

    Single-precision features are multiplied in single precision within blocks of 512 samples and summed in double
    precision: weights of the order of 1 are accurate to about 1e-5. Give double precision if that is not enough.
    """

    @classmethod
    def of_weights(cls, coef: npt.ArrayLike, intercept: npt.ArrayLike) -> Self:
        """Return a readout with weights (outputs, features) or (features,) that were found elsewhere.

        `partial_fit` starts from scratch.
        """
        weights = np.asarray(coef, dtype=np.float64)
        made = cls()._take(np.atleast_2d(weights), np.atleast_1d(np.asarray(intercept, dtype=np.float64)))
        made._flat = weights.ndim == 1
        return made

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to features (steps, features) and targets (steps,) or (steps, outputs)."""
        features, targets = self._checked(X, y, anew=True)
        self._fit(features, targets)
        return self

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to all samples so far and these; memory does not grow with their number."""
        anew = not hasattr(self, "_solution")
        features, targets = self._checked(X, y, anew)
        self._partial_fit(features, targets, anew)
        return self

    def _checked(self, X: npt.ArrayLike, y: npt.ArrayLike, anew: bool) -> tuple[npt.NDArray[Any], FloatArray]:
        features, targets = validate_data(
            self, X, y, reset=anew, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True
        )
        if anew:
            self._flat = targets.ndim == 1
        return features, targets.reshape(len(features), -1).astype(np.float64)

    @property
    def coef_(self) -> FloatArray:
        """Weights, shape (outputs, features), or (features,) for a target of one axis."""
        return self._coefficients[0] if self._flat else self._coefficients

    @property
    def intercept_(self) -> Any:
        """Intercepts, shape (outputs,), or a float for a target of one axis."""
        return float(self._intercepts[0]) if self._flat else self._intercepts

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict targets from features (steps, features); of the shape of the targets in `fit`."""
        decided = self._decide(X)
        return decided[:, 0] if self._flat else decided


class RidgeClassifierReadout(ClassifierMixin, _Ridge):  # type: ignore[misc]
    """Ridge classifier: one output of -1 or 1 for each class, the largest wins.

    Parameters
    ----------
    alphas, validation, fit_intercept
        See `RidgeReadout`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features), one row for two classes
    intercept_ : ndarray of float, shape (classes,)
    alpha_, loo_scores_
        See `RidgeReadout`.
    """

    @classmethod
    def of_weights(cls, coef: npt.ArrayLike, intercept: npt.ArrayLike, classes: npt.ArrayLike) -> Self:
        """Return a readout with weights (outputs, features) that were found elsewhere."""
        made = cls()._take(np.atleast_2d(np.asarray(coef)), np.atleast_1d(np.asarray(intercept)))
        made.classes_ = np.asarray(classes)
        return made

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit to features (samples, features) and their classes (samples,)."""
        features, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        self._fit(features, one_against_rest(labels, self.classes_))
        return self

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None) -> Self:
        """Fit to all samples so far and these; the first call must list all classes."""
        anew = not hasattr(self, "_solution")
        if anew and classes is None:
            raise ValueError("classes is None; the first call of partial_fit needs the list of all classes")
        features, labels = validate_data(self, X, y, reset=anew, dtype=(np.float64, np.float32))
        check_classification_targets(labels)
        if anew:
            self.classes_ = np.unique(np.asarray(classes))
        self._partial_fit(features, one_against_rest(labels, self.classes_), anew)
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs of all classes (samples, classes), or of the second one if there are two (samples,)."""
        decided = self._decide(X)
        return decided[:, 0] if len(self.classes_) == 2 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        return winners(self.decision_function(X), self.classes_)

    def predict_sequences(self, sequences: Iterable[npt.ArrayLike]) -> npt.NDArray[Any]:
        """Predict the class of each sequence (steps, features): the largest output on average over its steps wins."""
        return predict_sequences(self.decision_function, sequences, self.classes_)
