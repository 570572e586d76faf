"""Ridge readouts: in batch or in chunks, many outputs, regularisation chosen by exact leave-one-out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from inmateria.reservoir.readouts.dual_ridge_path import solve_dual
from inmateria.reservoir.readouts.kept_samples import KeptSamples, Samples, are_kept
from inmateria.reservoir.readouts.moments import Moments
from inmateria.reservoir.readouts.ridge_path import Solution, solve
from inmateria.reservoir.readouts.winner import (
    joined_classes,
    one_against_rest,
    outputs_of,
    predict_sequences,
    winners,
)

FloatArray = npt.NDArray[np.float64]

Data = KeptSamples | Moments

_LARGEST = 1e300
"""Largest sum of weighted squares of features or targets."""

DEFAULT_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 7))


class _Ridge(BaseEstimator):  # type: ignore[misc]
    """Base class of the ridge readouts: it accumulates samples or moments, and solves for the weights on first use."""

    _data: Data
    _solution: Solution | None
    _asked: tuple[FloatArray, str | None]

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
        if coef.ndim != 2 or intercept.shape not in ((len(coef),), (1,)):
            raise ValueError(
                f"coef has shape {coef.shape} and intercept {intercept.shape}; they must be (outputs, features) and "
                "(outputs,)"
            )
        intercept = np.broadcast_to(intercept, len(coef))
        self._data = KeptSamples(coef.shape[1], len(coef), bool(self.fit_intercept))
        self._solution = Solution(0.0, np.zeros(0), np.array(coef, np.float64), np.array(intercept, np.float64))
        self._asked = self._settings(), self.validation
        self.n_features_in_ = coef.shape[1]
        return self

    def __add__(self, other: Self) -> Self:
        """Return the readout fitted on the data of both.

        Raises
        ------
        ValueError
            If parameters, features or outputs differ, or one has weights that were not fitted. Features of data frames
            are matched by their names.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if not isinstance(other, type(self)) or not _same(self.get_params(), other.get_params()):
            raise ValueError(f"{self} and {other} cannot be added; both must be of one class with the same parameters")
        if not (_samples_of(self._data) and _samples_of(other._data)):
            raise ValueError("one of the readouts has weights but no data (of_weights); fit both on data to add them")
        joined: Self = clone(self)
        for name, value in vars(self).items():
            if name not in vars(joined):
                setattr(joined, name, value)
        joined._data = _joined(*self._matched(other))
        joined._solution, joined._asked = None, (self._settings(), self.validation)
        return joined

    def _matched(self, other: Self) -> tuple[Data, Data]:
        """Return the data of both with the same features in the same order, and the same outputs."""
        mine, theirs = (getattr(each, "feature_names_in_", None) for each in (self, other))
        if mine is None and theirs is None:
            return self._data, other._data
        if mine is None or theirs is None or len(mine) != len(theirs) or set(mine) != set(theirs):
            raise ValueError(
                f"the readouts were fitted with the features {_named(mine)} and {_named(theirs)} and cannot be added; "
                "fit both on data frames with the same columns, or both on arrays"
            )
        if np.array_equal(mine, theirs):
            return self._data, other._data
        places = {name: place for place, name in enumerate(theirs)}
        return self._data, other._data.with_features(np.array([places[name] for name in mine]))

    def _settings(self) -> FloatArray:
        alphas = np.array(self.alphas, dtype=np.float64, ndmin=1)
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas).all() and (alphas >= 0).all()):
            raise ValueError(f"alphas is {self.alphas!r}; it must be one or more finite numbers of at least 0")
        if self.validation not in ("loo", "gcv", None):
            raise ValueError(f"validation is {self.validation!r}; allowed are 'loo', 'gcv' and None")
        if self.validation is None and alphas.size > 1:
            raise ValueError(f"validation is None with {alphas.size} alphas; give a single alpha, or 'loo' or 'gcv'")
        return alphas

    @contextmanager
    def _as_before_if_it_fails(self) -> Iterator[None]:
        """Take all changes of attributes back if the block raises an error."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__ = before
            if isinstance(before.get("_data"), Moments) and not before["_data"].whole:
                del self._data, self._solution  # interrupted amid its products: not fitted any more
            raise

    def _fit(self, given: Samples) -> None:
        alphas, centred = self._settings(), bool(self.fit_intercept)
        _check_squares(given)
        if are_kept(*given.X.shape):
            data: Data = KeptSamples(given.X.shape[1], given.Y.shape[1], centred).add(given)
            solution = _solve_kept(given, alphas, self.validation, centred)
        else:
            moments = given.moments(centred)
            solution, data = solve(moments, alphas, self.validation, given)
        self._data, self._solution, self._asked = data, solution, (alphas, self.validation)

    def _partial_fit(self, given: Samples, anew: bool) -> None:
        alphas, centred = self._settings(), bool(self.fit_intercept)
        _check_squares(given)
        if anew:
            self._data = KeptSamples(given.X.shape[1], given.Y.shape[1], centred)
        elif given.Y.shape[1] != self._data.outputs:
            raise ValueError(
                f"targets have {given.Y.shape[1]} outputs; this readout was fitted with {self._data.outputs}"
            )
        elif centred != self._data.centred:
            raise ValueError(
                f"fit_intercept is {self.fit_intercept} and was {self._data.centred} for the samples before; "
                "set it before the first call, or call fit to start from scratch"
            )
        if isinstance(self._data, KeptSamples):
            self._data = _added(self._data, given)
        else:
            self._data.add(given.X, given.Y, given.weights, given.counts)
        self._solution, self._asked = None, (alphas, self.validation)

    @property
    def _solved(self) -> Solution:
        if not hasattr(self, "_solution"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit or partial_fit first")
        if self._solution is None:
            alphas, validation = self._asked
            if isinstance(self._data, KeptSamples):
                self._solution = _solve_kept(self._data.samples, alphas, validation, self._data.centred)
            else:
                self._solution, _ = solve(self._data, alphas, validation)
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
        return self._solved.coef

    @property
    def intercept_(self) -> Any:
        """Intercepts, shape (outputs,)."""
        return self._solved.intercept

    def _decide(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        solved = self._solved
        decided: FloatArray = features @ solved.coef.T + solved.intercept
        return decided


def _weighted(
    X: npt.NDArray[Any], Y: FloatArray, sample_weight: npt.ArrayLike | None, of_class: FloatArray | None = None
) -> Samples:
    """Return the samples of a weight above 0, with their weights.

    Parameters
    ----------
    of_class : ndarray of float, shape (samples,), optional
        Factor on the weight of each sample, which does not change the number of samples that it counts as.
    """
    if sample_weight is None and of_class is None:
        return Samples(X, Y)
    counts = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    weights = counts if of_class is None else counts * of_class
    used = weights > 0
    if not used.any():
        raise ValueError("sample_weight is zero for all samples; at least one must have a weight above 0")
    samples = Samples(X, Y, weights, np.maximum(counts, 1.0))
    return samples if used.all() else samples.rows(used)


def _check_squares(given: Samples) -> None:
    """Raise an error for values so large that their squares are not finite."""
    heaviest = 1.0 if given.weights is None else float(given.weights.max())
    for name, values in (("X", given.X), ("y", given.Y)):
        if values.dtype == np.float64:
            flat = values.ravel(order="K")
            if not float(np.vdot(flat, flat)) * heaviest < _LARGEST:
                raise ValueError(
                    f"the squares of {name} add up to more than {_LARGEST:g}; give it in a unit that makes it smaller"
                )


def _samples_of(data: Data) -> float:
    return data.count if isinstance(data, KeptSamples) else data.samples


def _added(kept: KeptSamples, given: Samples) -> Data:
    """Return the data with more samples: kept as they are, or as moments if they are enough."""
    if are_kept(kept.count + len(given.X), kept.features):
        return kept.add(given)
    return _moments(kept).add(given.X, given.Y, given.weights, given.counts)


def _moments(data: Data) -> Moments:
    return data.samples.moments(data.centred) if isinstance(data, KeptSamples) else data


def _joined(first: Data, second: Data) -> Data:
    """Return the data of both."""
    alike = (first.features, first.outputs, first.centred) == (second.features, second.outputs, second.centred)
    if alike and isinstance(first, KeptSamples) and isinstance(second, KeptSamples):
        own = KeptSamples(first.features, first.outputs, first.centred).add(first.samples)
        return _added(own, second.samples)
    return _moments(first) + _moments(second)


def _solve_kept(samples: Samples, alphas: FloatArray, validation: str | None, centred: bool) -> Solution:
    # One sample cannot be left out.
    return solve_dual(samples, alphas, validation if samples.total_count > 1 else None, centred)


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Return whether two sets of parameters are equal, arrays and sequences by their values."""
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) if name == "alphas" else first[name] == second[name] for name in first
    )


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


def _named(names: npt.NDArray[Any] | None) -> str:
    return "(without names)" if names is None else str(names.tolist())


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
        return _weighted(features, targets.reshape(len(features), -1).astype(np.float64), sample_weight)

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


class RidgeClassifierReadout(ClassifierMixin, _Ridge):  # type: ignore[misc]
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

    def _encoded(self, X: npt.NDArray[Any], labels: npt.NDArray[Any], sample_weight: npt.ArrayLike | None) -> Samples:
        """Return the samples with one output for each class, weighted."""
        targets = one_against_rest(labels, self.classes_)
        if self.class_weight is None:
            return _weighted(X, targets, sample_weight)
        if self.class_weight == "balanced":
            given = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            factors = compute_class_weight("balanced", classes=self.classes_, y=labels, sample_weight=given)
        else:
            factors = _class_factors(self.class_weight, self.classes_)
        return _weighted(X, targets, sample_weight, factors[np.searchsorted(self.classes_, labels)])

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
