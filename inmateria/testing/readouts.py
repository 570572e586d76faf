"""Checks of a readout: scikit-learn's own of an estimator, and what a readout of a stream has to keep beside them."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from inmateria.testing.checks import Check

__all__ = ["check_readout", "readout_checks"]

_Make = Callable[[], Any]


def readout_checks() -> tuple[Check, ...]:
    """Return the checks of a readout, without scikit-learn's; each is called with a function that makes a readout."""
    return tuple(Check(each, each.__name__) for each in _CHECKS)


def check_readout(readout: Any) -> None:
    """Run scikit-learn's checks of an estimator, then the checks of a readout.

    Parameters
    ----------
    readout : estimator
        Readout to check; it is cloned for each check.

    Raises
    ------
    AssertionError
        If a check fails; scikit-learn's checks raise errors of their own, too.
    """
    check_estimator(clone(readout))
    for check in readout_checks():
        check(lambda: clone(readout))


def _data(readout: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Make features (80, 5) and a target that depends on them linearly: numbers, or three classes."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(80, 5))
    target = X @ generator.normal(size=5) + 0.1 * generator.normal(size=80)
    if is_classifier(readout):
        return X, np.digitize(target, np.quantile(target, [1 / 3, 2 / 3]))
    return X, target


def a_fit_that_failed_leaves_the_readout_as_it_was_or_unfitted(make: _Make) -> None:
    """Data that is refused changes no prediction, and a first fit that fails leaves nothing fitted."""
    readout = make()
    X, y = _data(readout)
    damaged = X.copy()
    damaged[40, 2] = np.nan
    before = readout.fit(X, y).predict(X)
    for wrong in ((damaged, y), (X, y[:-1]), (X[:, :0], y)):
        with suppress(ValueError):
            readout.fit(*wrong)
            raise AssertionError("a fit accepted NaN, or a wrong shape")
        with suppress(NotFittedError):
            assert np.array_equal(readout.predict(X), before), "a fit that failed changed the predictions"
    fresh = make()
    with suppress(ValueError):
        fresh.fit(damaged, y)
    try:
        fresh.predict(X)
    except NotFittedError:
        return
    raise AssertionError("a readout whose first fit failed predicts")


def it_is_the_same_after_pickling(make: _Make) -> None:
    """A fitted readout that was pickled predicts the same."""
    readout = make()
    X, y = _data(readout)
    readout.fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(readout)).predict(X), readout.predict(X))


def pieces_of_a_stream_may_have_any_length(make: _Make) -> None:
    """With `partial_fit`, a stream learned in pieces of one, of seven or whole gives the same predictions."""
    if not hasattr(make(), "partial_fit"):
        return
    predictions = []
    for size in (1, 7, 80):
        readout = make()
        X, y = _data(readout)
        classes = {"classes": np.unique(y)} if is_classifier(readout) else {}
        for begin in range(0, len(X), size):
            readout.partial_fit(X[begin : begin + size], y[begin : begin + size], **classes)
        decided = readout.decision_function(X) if is_classifier(readout) else readout.predict(X)
        predictions.append(decided)
    for other in predictions[1:]:
        assert np.allclose(other, predictions[0], rtol=1e-6, atol=1e-8), "the length of the pieces changes the result"


_CHECKS: tuple[Callable[[_Make], None], ...] = (
    a_fit_that_failed_leaves_the_readout_as_it_was_or_unfitted,
    it_is_the_same_after_pickling,
    pieces_of_a_stream_may_have_any_length,
)
