"""A fit that is whole or did not happen: an estimator whose fit fails is as it was before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["fit_transaction"]


@contextmanager
def fit_transaction(estimator: Any) -> Iterator[None]:
    """Restore all attributes of an estimator if the body fails, is cancelled or interrupted.

    A partly fitted estimator would predict from old and new parts together. The body may assign attributes in any
    order, also parameters; it must not change an array or an object in place that was there before.

    Parameters
    ----------
    estimator : object
        With a ``__dict__``.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # One assignment: a second interruption cannot come between two attributes.
        estimator.__dict__ = before
        raise
