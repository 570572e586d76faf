"""Normalised errors and accuracy."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from inmateria.reservoir import accuracy, nmse, nrmse


def test_errors_are_relative_to_the_spread_of_the_target() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(3, 2, (200, 3)), rng.normal(3, 2, (200, 3))
    assert nmse(y, p) == pytest.approx(1 - r2_score(y, p))
    assert nmse(y, y) == nrmse(y, y) == 0
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    assert nmse(y, mean) == pytest.approx(1)
    assert nrmse(y, mean) == pytest.approx(1)
    assert nrmse(1e6 * y[:, 0], 1e6 * p[:, 0]) == pytest.approx(np.sqrt(1 - r2_score(y[:, 0], p[:, 0])))


def test_what_was_not_asked_is_left_out() -> None:
    y, p = np.arange(10.0), np.arange(10.0) + 1
    asked = y.copy()
    asked[:4] = np.nan
    assert nmse(asked, p) == pytest.approx(nmse(y[4:], p[4:]))


def test_what_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        nrmse(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="variance 0"):
        nrmse(np.ones(3), np.zeros(3))
    with pytest.raises(ValueError, match="1 of 3 predictions"):
        nmse(np.arange(3.0), [0, np.inf, 1])
    with pytest.raises(ValueError, match="every target is NaN"):
        nmse(np.full(3, np.nan), np.zeros(3))
    with pytest.raises(ValueError, match="labels have shapes"):
        accuracy([1, 2], [1])


def test_accuracy_counts_labels_of_any_sort() -> None:
    assert accuracy(["a", "b", "c", "c"], ["a", "b", "a", "c"]) == 0.75
