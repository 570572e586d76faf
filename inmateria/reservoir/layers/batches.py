"""Batches of samples for a stack, and a record of the features of its layers."""

import math
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from inmateria.reservoir.bottleneck.gaussian import gaussian_information
from inmateria.reservoir.layers.training import Batch, IntArray
from inmateria.substrate import FloatArray

_MOST_ROWS = 2000
"""Number of rows from which the information about input and target is estimated after each pass."""


class PassInformation(NamedTuple):
    """Gaussian estimate of the information (bits) of each layer's features about input and target, in one pass."""

    about_input: tuple[float, ...]
    about_target: tuple[float, ...]


def batches_of(
    rows: FloatArray, lengths: IntArray, targets: FloatArray, order: IntArray, size: int
) -> Generator[Batch]:
    """Yield batches of about `size` rows of the samples in a given order."""
    begins = np.cumsum(lengths) - lengths
    for number, chosen in enumerate(np.array_split(order, min(len(order), max(1, round(len(rows) / size))))):
        at = np.concatenate([np.arange(begins[each], begins[each] + lengths[each]) for each in chosen])
        yield Batch(number, rows[at], lengths[chosen], targets[at])


def samples_of(X: Any) -> tuple[FloatArray, IntArray]:
    """Return vectors (samples, features) or series (steps, features) as rows, and the steps of each sample."""
    if isinstance(X, np.ndarray) and X.ndim == 2:
        rows, lengths = np.asarray(X, dtype=np.float64), np.ones(len(X), dtype=np.intp)
    else:
        series = [np.asarray(each, dtype=np.float64) for each in X]
        if len({each.ndim for each in series}) > 1 or (series and series[0].ndim not in (1, 2)):
            raise ValueError("samples have different dimensions; give vectors only, or series (steps, features) only")
        if series and series[0].ndim == 1:
            series = [each[np.newaxis] for each in series]
        if len({each.shape[1] for each in series}) != 1 or not all(len(each) for each in series):
            raise ValueError(
                "samples are missing, empty or have different numbers of features; all need the same, at least one step"
            )
        rows = np.concatenate(series)
        lengths = np.array([len(each) for each in series], dtype=np.intp)
    if not rows.size or not np.isfinite(rows).all():
        raise ValueError(
            "samples are missing or not finite; all values must be finite; drop or impute those that are not"
        )
    return rows, lengths


def parts_of(series: FloatArray, parts: int) -> list[FloatArray]:
    """Cut a series (steps, features) into equal parts; with fewer steps than parts, parts share steps."""
    edges = np.linspace(0, len(series), parts + 1)
    begins, ends = np.floor(edges[:-1] + 1e-9).astype(int), np.ceil(edges[1:] - 1e-9).astype(int)
    return [series[begin:end] for begin, end in zip(begins, ends, strict=True)]


class PassRecord:
    """Features of the layers in one pass: all, or as many as the estimate of information needs."""

    def __init__(self, layers: int, *, whole: bool) -> None:
        self._answered: list[list[FloatArray]] = [[] for _ in range(layers)]
        self._given: list[FloatArray] = []
        self._targets: list[FloatArray] = []
        self._room = [math.inf if whole else _MOST_ROWS] * layers

    def add(self, layer: int, batch: Batch, given: FloatArray) -> None:
        """Keep the features of a layer, once for each batch."""
        if batch.variant or self._room[layer] <= 0:
            return
        self._room[layer] -= len(batch.features)
        self._answered[layer].append(batch.features)
        if layer == 0:
            self._given.append(given)
            self._targets.append(batch.targets)

    def features(self) -> list[FloatArray]:
        """Return the features (rows, features) of each layer."""
        return [np.concatenate(each) for each in self._answered]

    def information(self) -> PassInformation:
        """Estimate the information of the layers' features."""
        given, targets = np.concatenate(self._given), np.concatenate(self._targets)
        return information_of(given, targets, self.features())


def information_of(given: FloatArray, targets: FloatArray, by_layer: list[FloatArray]) -> PassInformation:
    """Estimate the information of the layers' features (rows, features) about the input and the targets."""
    given, targets = given[:_MOST_ROWS], targets[:_MOST_ROWS]
    return PassInformation(
        tuple(gaussian_information(each[:_MOST_ROWS], given) for each in by_layer),
        tuple(gaussian_information(each[:_MOST_ROWS], targets) for each in by_layer),
    )
