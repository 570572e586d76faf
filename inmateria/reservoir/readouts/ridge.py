"""Ridge readouts: in batch or in chunks, many outputs, regularisation chosen by exact leave-one-out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from inmateria.reservoir.readouts.kept_samples import Samples
from inmateria.reservoir.readouts.ridge_base import DEFAULT_ALPHAS, Data, RidgeBase, weighted
from inmateria.reservoir.readouts.winner import (
    joined_classes,
    one_against_rest,
    outputs_of,
    predict_sequences,
    winners,
)

FloatArray = npt.NDArray[np.float64]


class RidgeReadout(MultiOutputMixin, RegressorMixin, RidgeBase):  # type: ignore[misc]
    r"""Ridge regression, with the regularisation chosen by exact leave-one-out cross-validation.

    Two readouts fitted on parts of the data can be added: the sum is the readout fitted on all of it.

    Parameters
    ----------
    alphas : float or sequence of float
        Candidates for the regularisation :math:`\alpha`, in units of the squared features.
    validation : {"loo", "gcv"} or None
        Choose by exact leave-one-out, by generalised cross-validation, or not at all (for a single alpha).
        Leave-one-out needs the samples: after `partial_fit` or an addition of more samples than features, generalised
        cross-validation is used.
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
    :math:`X^\top X` serves every regularisation; of :math:`X X^\top` for fewer samples than features, which are kept.

    With sample weights, squared errors and leverages are weighted. A weight above 1 counts as that many samples, one of
    which is left out: :math:`h_i` is then divided by it. Scale weights that stand for reliability to at most 1.

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

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to features (steps, features) and targets (steps,) or (steps, outputs).

        Parameters
        ----------
        X : array_like of float, shape (steps, features)
        y : array_like of float, shape (steps,) or (steps, outputs)
        sample_weight : array_like of float, shape (steps,), optional
            Weights of the squared errors, at least 0. A weight of 3 counts as three samples (see the notes).
        """
        with self._as_before_if_it_fails():
            self._fit(self._checked(X, y, sample_weight, anew=True))
        return self

    def __add__(self, other: Self) -> Self:
        """Return the readout fitted on the data of both.

        Raises
        ------
        ValueError
            If parameters, features or targets differ, or one has weights that were not fitted. Features of data frames
            are matched by their names.
        """
        joined = super().__add__(other)
        if self._flat != other._flat:
            raise ValueError("the targets of one readout have one axis, those of the other two; give both the same")
        return joined

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to all samples so far and these; memory does not grow with their number once they outnumber features."""
        anew = not hasattr(self, "_solution")
        with self._as_before_if_it_fails():
            self._partial_fit(self._checked(X, y, sample_weight, anew), anew)
        return self

    def _checked(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, anew: bool) -> Samples:
        features, targets = validate_data(
            self, X, y, reset=anew, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True
        )
        if anew:
            self._flat = targets.ndim == 1
        return weighted(features, targets.reshape(len(features), -1).astype(np.float64), sample_weight)

    def samples(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Samples:
        """Return samples as this fitted readout weighs them, checked."""
        return self._checked(X, y, sample_weight, anew=False)

    @property
    def coef_(self) -> FloatArray:
        """Weights, shape (outputs, features), or (features,) for a target of one axis."""
        coef = self._solved.coef
        return coef[0] if self._flat else coef

    @property
    def intercept_(self) -> Any:
        """Intercepts, shape (outputs,), or a float for a target of one axis."""
        intercept = self._solved.intercept
        return float(intercept[0]) if self._flat else intercept

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict targets from features (steps, features); of the shape of the targets in `fit`."""
        decided = self._decide(X)
        return decided[:, 0] if self._flat else decided


class RidgeClassifierReadout(ClassifierMixin, RidgeBase):  # type: ignore[misc]
    """Ridge classifier: one output of -1 or 1 for each class, the largest wins.

    Two readouts fitted on parts of the data can be added, and know the classes of both.

    Parameters
    ----------
    alphas, validation, fit_intercept
        See `RidgeReadout`.
    class_weight : dict, "balanced" or None
        Factors on the weights of the samples of each class, 1 for those not listed; "balanced" makes the classes equal
        in weight, which needs all samples at once (`fit`).

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features), one row for two classes
    intercept_ : ndarray of float, shape (classes,)
    alpha_, loo_scores_
        See `RidgeReadout`.

    Notes
    -----
    Outputs are no probabilities. As with scikit-learn's `RidgeClassifier`, there is no `predict_proba`; calibrated ones
    are those of ``CalibratedClassifierCV(RidgeClassifierReadout())``.
    """

    def __init__(
        self,
        alphas: float | Sequence[float] | FloatArray = DEFAULT_ALPHAS,
        *,
        validation: Literal["loo", "gcv"] | None = "loo",
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(alphas, validation=validation, fit_intercept=fit_intercept)
        self.class_weight = class_weight

    @classmethod
    def of_weights(cls, coef: npt.ArrayLike, intercept: npt.ArrayLike, classes: npt.ArrayLike) -> Self:
        """Return a readout with weights (outputs, features) that were found elsewhere."""
        weights, known = np.atleast_2d(np.asarray(coef)), np.asarray(classes)
        outputs = 1 if len(known) == 2 else len(known)
        if len(weights) != outputs:
            raise ValueError(f"coef has {len(weights)} rows; {len(known)} classes need {outputs}")
        made = cls()._take(weights, np.atleast_1d(np.asarray(intercept)))
        made.classes_ = known
        return made

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to features (samples, features) and their classes (samples,).

        Parameters
        ----------
        X : array_like of float, shape (samples, features)
        y : array_like, shape (samples,)
            Classes: integers, strings or booleans.
        sample_weight : array_like of float, shape (samples,), optional
            Weights of the squared errors, at least 0. A weight of 3 counts as three samples.

        Raises
        ------
        ValueError
            Among others, if the targets are real numbers.
        """
        with self._as_before_if_it_fails():
            features, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
            check_classification_targets(labels)
            self.classes_ = np.unique(labels)
            self._fit(self._encoded(features, labels, sample_weight))
        return self

    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit to all samples so far and these; the first call must list all classes."""
        anew = not hasattr(self, "_solution")
        if anew and classes is None:
            raise ValueError("classes is None; the first call of partial_fit needs the list of all classes")
        if not anew and classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError(
                f"classes is {np.asarray(classes).tolist()}; this readout was fitted with {self.classes_.tolist()}; "
                "leave it out, or add a readout that was fitted with the other classes"
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight is 'balanced', which needs all samples at once; give a dict of weights, or call fit"
            )
        with self._as_before_if_it_fails():
            features, labels = validate_data(self, X, y, reset=anew, dtype=(np.float64, np.float32))
            check_classification_targets(labels)
            if anew:
                self.classes_ = np.unique(np.asarray(classes))
            self._partial_fit(self._encoded(features, labels, sample_weight), anew)
        return self

    def samples(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Samples:
        """Return samples as this fitted readout weighs them, checked."""
        features, labels = validate_data(self, X, y, reset=False, dtype=(np.float64, np.float32))
        return self._encoded(features, labels, sample_weight)

    def _encoded(self, X: npt.NDArray[Any], labels: npt.NDArray[Any], sample_weight: npt.ArrayLike | None) -> Samples:
        """Return the samples with one output for each class, weighted."""
        targets = one_against_rest(labels, self.classes_)
        if self.class_weight is None:
            return weighted(X, targets, sample_weight)
        if self.class_weight == "balanced":
            given = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            factors = compute_class_weight("balanced", classes=self.classes_, y=labels, sample_weight=given)
        else:
            factors = _class_factors(self.class_weight, self.classes_)
        return weighted(X, targets, sample_weight, factors[np.searchsorted(self.classes_, labels)])

    def __add__(self, other: Self) -> Self:
        """Return the readout fitted on the data of both, with the classes of both.

        Raises
        ------
        ValueError
            If parameters or features differ, one has weights that were not fitted, one has classes that are numbers and
            the other strings, or `class_weight` is "balanced". Features of data frames are matched by their names.
        """
        joined = super().__add__(other)
        if self.class_weight == "balanced":
            raise ValueError("class_weight is 'balanced', which needs all samples at once; add readouts without it")
        joined.classes_ = joined_classes(self.classes_, other.classes_)
        return joined

    def _matched(self, other: Self) -> tuple[Data, Data]:
        mine, theirs = super()._matched(other)
        if np.array_equal(self.classes_, other.classes_):
            return mine, theirs
        classes = joined_classes(self.classes_, other.classes_)
        return (
            mine.with_outputs(outputs_of(self.classes_, classes)),
            theirs.with_outputs(outputs_of(other.classes_, classes)),
        )

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


def _class_factors(class_weight: Mapping[Any, float], classes: npt.NDArray[Any]) -> FloatArray:
    """Return the factor on the weight of each class."""
    unknown = set(class_weight) - set(classes.tolist())
    factors = np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])
    if unknown or not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise ValueError(
            f"class_weight is {dict(class_weight)!r}; it must have finite weights of at least 0 for classes among "
            f"{classes.tolist()}"
        )
    return factors
