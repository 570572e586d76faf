"""Base class of the ridge readouts: data accumulated as samples or as their moments, weights found on first use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from inmateria.reservoir.readouts.dual_ridge_path import solve_dual
from inmateria.reservoir.readouts.export import ExportedReadout
from inmateria.reservoir.readouts.kept_samples import KeptSamples, Samples, are_kept
from inmateria.reservoir.readouts.moments import Moments
from inmateria.reservoir.readouts.ridge_parts import OverParts, solve_in_parts
from inmateria.reservoir.readouts.ridge_path import Solution, solve

FloatArray = npt.NDArray[np.float64]

Data = KeptSamples | Moments

DEFAULT_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 7))

_LARGEST = 1e300
"""Largest sum of weighted squares of features or targets."""


class RidgeBase(ExportedReadout, BaseEstimator):  # type: ignore[misc]
    """A ridge readout without the form of its targets."""

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

    def solve_in_parts(self, over_parts: OverParts) -> Self:
        """Find the weights as a fit in one piece would, if this was fitted in parts; see `ridge_parts`.

        Parameters
        ----------
        over_parts : callable
            Applies a function to the samples of every part, an iterable of `Samples`, and returns the results.
        """
        check_is_fitted(self)
        if isinstance(self._data, Moments):
            self._solution = solve_in_parts(self._data, *self._asked, over_parts)
        return self

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


def weighted(
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


def _named(names: npt.NDArray[Any] | None) -> str:
    return "(without names)" if names is None else str(names.tolist())
