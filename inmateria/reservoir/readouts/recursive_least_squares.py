"""Recursive least squares: readouts that learn online, from each sample once.

The equations are in the notes of `RecursiveLeastSquares`; `least_squares_factor` has the form in which they are
computed.
"""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from inmateria.kernel_compilation import log_compilation
from inmateria.reservoir.readouts.grouped_outputs import Arrays, GroupedReadout, Mask
from inmateria.reservoir.readouts.least_squares_factor import learn_rows, solve_factor
from inmateria.reservoir.readouts.online import OnlineRegressor, aligned_zeros, check_sizes
from inmateria.reservoir.readouts.winner import predict_sequences, winners

FloatArray = npt.NDArray[np.float64]


class FactorRecursion(GroupedReadout):
    """An online readout that keeps the triangular factor of a least-squares problem, one for each group of outputs."""

    _OF_GROUP = ("_status", "_vectors", "_unit")
    _OF_OUTPUT = ("_levels", "_rotated", "_weights")
    _constant_column = False
    _pads_rows = False

    alpha: float

    def _checked_forgetting(self) -> float:
        """Return the forgetting factor."""
        return 1.0

    def _check_adjustable(self) -> None:
        self._checked_forgetting()

    def _begin_state(self, width: int, outputs: int) -> None:
        alpha = checked_alpha(self.alpha)
        self._group = np.zeros(outputs, dtype=np.int64)
        self._status = np.array([[0.0, 1.0]])
        self._vectors = np.zeros((1, 4, width))
        self._vectors[0, 3] = 1.0 / alpha
        self._unit = aligned_zeros(width, width)[np.newaxis]
        self._levels = np.zeros((outputs, 2))
        self._rotated, self._weights = np.zeros((outputs, width)), np.zeros((outputs, width))

    def _move_group(
        self,
        read: FloatArray,
        learned: FloatArray,
        targets: FloatArray,
        known: Mask,
        state: Arrays,
        predicted: FloatArray,
    ) -> None:
        given = (read, learned, targets, known, read is not learned)
        settings = (self._checked_forgetting(), float(self.alpha), bool(self.fit_intercept))
        if learn_rows.overloads:  # most calls: one step of a loop, where a context manager would be felt
            learn_rows(*given, *settings, *state, predicted)  # type: ignore[call-arg]
            return
        with log_compilation("recursive least squares", learn_rows):
            learn_rows(*given, *settings, *state, predicted)  # type: ignore[call-arg]

    def _solution(self) -> FloatArray:
        solution = self._weights.copy()
        for group in np.flatnonzero(self._status[:, 1] == 0.0):
            members = np.flatnonzero(self._group == group)
            solved = solution[members]
            solve_factor(self._unit[group], self._rotated[members], solved)
            solution[members] = solved
        shift = self._vectors[:, 0] + self._vectors[:, 1]
        solution[:, self._features] = self._levels.sum(axis=1) - np.einsum("ij,ij->i", solution, shift[self._group])
        return solution

    def _predict_rows(self, features: FloatArray) -> FloatArray:
        """Predict from differences to the means, so that a large offset costs no digits."""
        coefficients, decided = self.coef_, np.empty((len(features), self._outputs))
        for group in range(len(self._unit)):
            members = self._group == group
            origin, mean = self._vectors[group, :2, : self._features]
            decided[:, members] = (features - origin - mean) @ coefficients[members].T
        decided += self._levels.sum(axis=1)
        return decided


def checked_alpha(alpha: float) -> float:
    """Return the regularisation as a float of Python."""
    if not 1e-60 <= alpha <= 1e60:
        raise ValueError(f"alpha is {alpha}; it must be more than 0 and finite: from 1e-60 to 1e60")
    return float(alpha)


class RecursiveLeastSquares(OnlineRegressor, FactorRecursion):
    r"""Linear readout trained online by recursive least squares.

    Parameters
    ----------
    forgetting : float
        Forgetting factor :math:`\lambda`: weight of a sample relative to the next one; 1 forgets nothing.
    alpha : float
        Regularisation of the weights, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late: the target given with a row belongs to the row this many before it.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)
    samples_learned_ : ndarray of int, shape (outputs,)
        Number of targets learned of each output.

    Notes
    -----
    After every sample :math:`T` the weights :math:`w` and the intercept :math:`b` are those that minimise

    .. math:: \sum_{t \le T} \lambda^{T - t} (y_t - w^\top x_t - b)^2 + \lambda^T \alpha \lVert w \rVert^2

    (S. Haykin, Adaptive Filter Theory). With :math:`\lambda = 1` this is the ridge solution for the samples so far. It
    is computed from the triangular factor of the problem, centred on the running mean, so that counts of 24 bits, volts
    in units of a nanovolt and large offsets cost no digits. `alpha` is in the units of the squared features: for
    features much smaller than its root, such as nanovolts in volts, choose it smaller, or standardise them first, or
    the weights stay near zero, as those of the same ridge regression.

    With :math:`\lambda < 1`, a direction of the features that is not excited any more is forgotten only down to 1e-8
    `alpha`, and to what rounding errors leave of its scale (2e-16 of the sum of squares of its feature about the mean);
    the weights there are kept, and the other directions are forgotten as they should be.

    A sample whose targets are all NaN is predicted and not learned. If only some are NaN, each output is learned as if
    it were alone: outputs that miss different samples do not share a factor any more, and from then on each set of
    outputs costs memory and time as a readout of its own.
    """

    _ADJUSTABLE = ("forgetting",)

    def __init__(
        self, forgetting: float = 1.0, *, alpha: float = 1e-3, fit_intercept: bool = True, delay: int = 0
    ) -> None:
        self.forgetting = forgetting
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _checked_forgetting(self) -> float:
        return checked_forgetting(self.forgetting)


class RecursiveLeastSquaresClassifier(ClassifierMixin, FactorRecursion):  # type: ignore[misc]
    """Classifier trained online by recursive least squares: one output of -1 or 1 for each class, the largest wins.

    Parameters
    ----------
    forgetting, alpha, fit_intercept
        See `RecursiveLeastSquares`.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray of float, shape (classes, features)
    intercept_ : ndarray of float, shape (classes,)
    """

    _ADJUSTABLE = ("forgetting",)

    def __init__(self, forgetting: float = 1.0, *, alpha: float = 1e-3, fit_intercept: bool = True) -> None:
        self.forgetting = forgetting
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _checked_forgetting(self) -> float:
        return checked_forgetting(self.forgetting)

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Reset, then learn from the samples in order."""
        return self._partial_fit(X, y, None, anew=True)

    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None) -> Self:
        """Learn from further samples, in order; the first call must list all classes."""
        anew = not hasattr(self, "_features")
        if anew and classes is None:
            raise ValueError("classes is None; the first call of partial_fit needs the list of all classes")
        return self._partial_fit(X, y, classes, anew)

    def _partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None, anew: bool) -> Self:
        with self._unchanged_if_refused():
            features, labels = validate_data(self, X, y, reset=anew, dtype=np.float64)
            check_classification_targets(labels)
            given = None if classes is None else np.unique(np.asarray(classes))
            if anew:
                self.classes_ = np.unique(labels) if given is None else given
            elif given is not None and not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"classes are {given.tolist()}; this readout began with {self.classes_.tolist()}; they cannot be "
                    "changed: begin anew with fit"
                )
            unknown = np.setdiff1d(labels, self.classes_)
            if unknown.size:
                raise ValueError(
                    f"y has unknown classes {unknown.tolist()}; this readout was fitted with {self.classes_.tolist()}"
                )
            targets = np.where(labels[:, np.newaxis] == self.classes_, 1.0, -1.0)
            check_sizes(features, targets)
            if anew:
                self._begin(features.shape[1], len(self.classes_))
            else:
                self._check_unchanged()
            self._learn(features, targets)
        return self

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs of all classes (samples, classes), or of the second one if there are two (samples,)."""
        decided = self._decide(X)
        return decided[:, 1] if len(self.classes_) == 2 else decided

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        return winners(self.decision_function(X), self.classes_)

    def predict_sequences(self, sequences: Iterable[npt.ArrayLike]) -> npt.NDArray[Any]:
        """Predict the class of each sequence (steps, features): the largest output on average over its steps wins."""
        return predict_sequences(self.decision_function, sequences, self.classes_)


def checked_forgetting(forgetting: float) -> float:
    """Return the forgetting factor as a float of Python."""
    if not 0 < forgetting <= 1:
        raise ValueError(f"forgetting is {forgetting}; it must be more than 0 and at most 1; give 1 to forget nothing")
    return float(forgetting)
