"""Spikes as marks of a raster: each spike alone, or every bin of time and channel that has one or more."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.substrate import FloatArray

__all__ = ["SpikeCounts", "SpikeCountsBuilder"]


@dataclass(frozen=True, eq=False)
class SpikeCounts:
    """Spikes of each channel in each bin of time, and each spike if there are not many.

    Parameters
    ----------
    begin, period : float
        Time at which the first bin begins, and duration of a bin, s.
    counts : ndarray of int, shape (bins, channels)
        Their sum is the number of spikes; those outside the bins count in the first or the last one.
    times : ndarray of float, shape (spikes,), or None
        Time of each spike, s; None if there are many.
    channels : ndarray of int, shape (spikes,), or None
    """

    begin: float
    period: float
    counts: npt.NDArray[np.int64]
    times: FloatArray | None
    channels: npt.NDArray[np.int64] | None

    @property
    def total(self) -> int:
        """Number of spikes."""
        return int(self.counts.sum())

    def runs(self, least: int, most: float) -> npt.NDArray[np.float64]:
        """Return the marks of bins that hold `least` to `most` spikes: (marks, 3) of channel, begin and end in s.

        Neighbouring bins of a channel are one mark.
        """
        chosen = (self.counts >= least) & (self.counts <= most)
        edges = np.diff(chosen.astype(np.int8), axis=0, prepend=0, append=0).T
        channels, begins = np.nonzero(edges == 1)
        _, ends = np.nonzero(edges == -1)
        return np.column_stack((channels, self.begin + self.period * begins, self.begin + self.period * ends))


class SpikeCountsBuilder:
    """Collects spikes, part by part, into `SpikeCounts`.

    Parameters
    ----------
    begin, end : float
        Time at which the first bin begins and the last one ends, s.
    channels : int
    bins : int
        Number of bins.
    most : int
        Spikes up to which each one is kept.
    """

    def __init__(self, begin: float, end: float, channels: int, *, bins: int, most: int) -> None:
        self._begin, self._period = begin, max(end - begin, 1e-300) / bins
        self._counts = np.zeros((bins, channels), dtype=np.int64)
        self._most, self._total = most, 0
        self._kept: list[tuple[FloatArray, npt.NDArray[np.int64]]] = []

    def add(self, times: FloatArray, channels: npt.NDArray[Any]) -> None:
        """Add spikes: the time of each, s, and the number of its channel."""
        channels = channels.astype(np.int64)
        bins = np.clip(np.floor((times - self._begin) / self._period).astype(np.int64), 0, len(self._counts) - 1)
        np.add.at(self._counts, (bins, channels), 1)
        self._total += len(times)
        if self._total <= self._most:
            self._kept.append((times, channels))

    def counts(self) -> SpikeCounts:
        """Return the counts of what was added."""
        if self._total > self._most:
            return SpikeCounts(self._begin, self._period, self._counts, None, None)
        times = np.concatenate([np.empty(0), *(each for each, _ in self._kept)])
        channels = np.concatenate([np.empty(0, np.int64), *(each for _, each in self._kept)])
        return SpikeCounts(self._begin, self._period, self._counts, times, channels)
