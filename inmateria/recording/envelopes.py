"""Least and greatest values of each bin of time, so that no sample of a long recording is lost in a drawing."""

from dataclasses import dataclass

import numpy as np

from inmateria.substrate import FloatArray

__all__ = ["Envelope", "EnvelopeBuilder"]


@dataclass(frozen=True, eq=False)
class Envelope:
    """Values of several columns over time: each sample, or the least and the greatest of each bin.

    Parameters
    ----------
    times : ndarray of float, shape (points,)
        Time of each sample, or at which each bin begins, s.
    least, greatest : ndarray of float, shape (points, columns)
        The same values if each point is a sample; NaN for a bin without any.
    ends : ndarray of float, shape (points,)
        Time at which the next sample is due, or at which each bin ends, s.
    exact : bool
        Whether each point is a sample.
    period : float
        Duration of a bin, s; 0 if each point is a sample.
    samples : int
        Number of samples.
    """

    times: FloatArray
    ends: FloatArray
    least: FloatArray
    greatest: FloatArray
    exact: bool
    period: float
    samples: int


class EnvelopeBuilder:
    """Collects samples, part by part, into an `Envelope`.

    Parameters
    ----------
    begin, end : float
        Time at which the first bin begins and the last one ends, s.
    columns : int
    held : bool
        Whether a value holds until the next one is due: it is then in every bin that this touches.
    bins : int
        Number of bins.
    most : int
        Samples up to which each one is kept.
    """

    def __init__(self, begin: float, end: float, columns: int, *, held: bool, bins: int, most: int) -> None:
        self._begin, self._period = begin, max(end - begin, 1e-300) / bins
        self._least = np.full((bins, columns), np.nan)
        self._greatest = np.full((bins, columns), np.nan)
        self._held, self._most = held, most
        self._kept: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._samples = 0

    def add(self, times: FloatArray, values: FloatArray, lasting: FloatArray) -> None:
        """Add samples.

        Parameters
        ----------
        times : ndarray of float, shape (samples,)
            Those outside the bins count in the first or the last one.
        values : ndarray of float, shape (samples, columns)
        lasting : ndarray of float, shape (samples,)
            Time after each sample at which the next one is due, s.
        """
        if not len(times):
            return
        self._samples += len(times)
        if self._samples <= self._most:
            self._kept.append((times, values, times + lasting))
        last_bin = len(self._least) - 1
        first = np.clip(((times - self._begin) / self._period).astype(np.int64), 0, last_bin)
        last = first
        if self._held:  # a value that holds until a bin begins, to within rounding, is not in it
            ends = (times + lasting - self._begin) / self._period - 1e-6
            last = np.maximum(first, np.clip(ends.astype(np.int64), 0, last_bin))
        counts = last - first + 1
        if counts.max() > 1:
            rows = np.repeat(np.arange(len(times)), counts)
            bins = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + first[rows]
        else:
            rows, bins = np.arange(len(times)), first
        if (np.diff(bins) < 0).any():
            order = np.argsort(bins, kind="stable")
            rows, bins = rows[order], bins[order]
        begins = np.flatnonzero(np.diff(bins, prepend=-1))
        at, chosen = bins[begins], values[rows]
        self._least[at] = np.fmin(self._least[at], np.fmin.reduceat(chosen, begins, axis=0))
        self._greatest[at] = np.fmax(self._greatest[at], np.fmax.reduceat(chosen, begins, axis=0))

    def envelope(self) -> Envelope:
        """Return the envelope of what was added."""
        if self._samples <= self._most:
            times: FloatArray = np.concatenate([np.empty(0), *(each for each, _, _ in self._kept)])
            values: FloatArray = np.concatenate([self._least[:0], *(each for _, each, _ in self._kept)])
            last: FloatArray = np.concatenate([np.empty(0), *(each for _, _, each in self._kept)])
            return Envelope(times, last, values, values, True, 0.0, self._samples)
        edges: FloatArray = self._begin + self._period * np.arange(len(self._least) + 1, dtype=np.float64)
        return Envelope(edges[:-1], edges[1:], self._least, self._greatest, False, self._period, self._samples)
