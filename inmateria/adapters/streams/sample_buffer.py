"""Samples of a stream in the order of their numbers, however they arrive; what is missing stays missing."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.source import Block
from inmateria.exchange import FloatArray

__all__ = ["Gap", "SampleBuffer"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of samples that never came.

    Parameters
    ----------
    first, samples : int
        Number of the first, and how many.
    channels : tuple of int
        Channels that miss them.
    """

    first: int
    samples: int
    channels: tuple[int, ...]


class SampleBuffer:
    """Samples between the last one taken and the last one that arrived.

    Parameters
    ----------
    channels : int
    most : int
        Largest number of samples that are kept; older ones are given up, and counted in `overflowed`.

    Attributes
    ----------
    late, repeated, overflowed : int
        Samples that came after their place was taken, that came twice, and that were not taken in time.
    """

    def __init__(self, channels: int, most: int) -> None:
        self._most = most
        self._first = 0
        self._values = np.full((1024, channels), np.nan)
        self._seen = np.zeros((1024, channels), dtype=bool)
        self._ends = np.zeros(channels, dtype=np.int64)
        self.late = self.repeated = self.overflowed = 0

    @property
    def end(self) -> int:
        """One more than the highest number that has arrived on any channel."""
        return int(self._ends.max())

    @property
    def common_end(self) -> int:
        """One more than the highest number that has arrived on every channel."""
        return int(self._ends.min())

    def add(self, block: Block) -> None:
        """Put samples in their places; the first of two with one number counts."""
        if self._append(block):
            return
        columns = np.arange(self._values.shape[1]) if block.columns is None else np.array(block.columns)
        index, values = block.index, block.values
        known = index >= self._first
        self.late += int((~known).sum())
        if not known.all():
            index, values = index[known], values[known]
        if not len(index):
            return
        unique, first = np.unique(index, return_index=True)
        self.repeated += len(index) - len(unique)
        index, values = unique, values[first]
        self._make_room(int(index[-1]) + 1)
        index = index[index >= self._first]
        values = values[len(values) - len(index) :]
        at = (index - self._first)[:, np.newaxis]
        fresh = ~self._seen[at, columns]
        self.repeated += int((~fresh.any(axis=1)).sum())
        self._values[at, columns] = np.where(fresh, values, self._values[at, columns])
        self._seen[at, columns] = True
        self._ends[columns] = np.maximum(self._ends[columns], int(index[-1]) + 1)

    def _append(self, block: Block) -> bool:
        """Put samples without a gap behind all that have arrived, as most do; return whether they are such."""
        first, count = (int(block.index[0]), len(block.index)) if len(block.index) else (0, 0)
        if count == 0 or int(block.index[-1]) - first != count - 1 or (np.diff(block.index) != 1).any():
            return False
        columns = slice(None) if block.columns is None else list(block.columns)
        if first < max(self._first, int(self._ends[columns].max())):
            return False
        self._make_room(first + count)
        skipped = max(0, self._first - first)
        self.overflowed += min(skipped, count)
        at = slice(first + skipped - self._first, first + count - self._first)
        self._values[at, columns] = block.values[skipped:]
        self._seen[at, columns] = True
        self._ends[columns] = first + count
        return True

    def first_seen(self, first: int) -> int | None:
        """Return the lowest number, from `first` on, of which some channel has arrived."""
        begin, length = max(0, first - self._first), max(0, self.end - self._first)
        if begin < length and self._seen[begin].any():
            return self._first + begin
        seen = np.flatnonzero(self._seen[begin:length].any(axis=1))
        return self._first + begin + int(seen[0]) if seen.size else None

    def is_whole(self, first: int, end: int) -> bool:
        """Return whether every channel has all samples from `first` to before `end`."""
        if first < self._first or end > self.common_end:
            return False
        return bool(self._seen[first - self._first : end - self._first].all())

    def copy(self, first: int, samples: int) -> FloatArray:
        """Return samples from `first` on, shape (samples, channels), NaN for those that are missing."""
        whole = np.full((samples, self._values.shape[1]), np.nan)
        begin, stop = max(first, self._first), min(first + samples, self.end)
        if begin < stop:
            whole[begin - first : stop - first] = self._values[begin - self._first : stop - self._first]
        return whole

    def gaps(self, first: int, end: int) -> list[Gap]:
        """Return the runs of samples that are missing from `first` to before `end`."""
        if first >= end:
            return []
        seen = np.zeros((end - first, self._seen.shape[1]), dtype=bool)
        begin, stop = max(first, self._first), min(end, self.end)
        if begin < stop:
            seen[begin - first : stop - first] = self._seen[begin - self._first : stop - self._first]
        lost: npt.NDArray[np.bool_] = ~seen
        if not lost.any():
            return []
        edges = [0, *(np.flatnonzero((lost[1:] != lost[:-1]).any(axis=1)) + 1).tolist(), len(lost)]
        return [
            Gap(first + low, high - low, tuple(np.flatnonzero(lost[low]).tolist()))
            for low, high in pairwise(edges)
            if lost[low].any()
        ]

    def forget_before(self, first: int) -> None:
        """Remove samples that were taken."""
        drop = min(first - self._first, len(self._values))
        if drop <= 0:
            self._first = max(self._first, first)
            return
        left, used = max(0, self.end - first), max(0, self.end - self._first)
        for table, empty in ((self._values, np.nan), (self._seen, False)):
            table[:left] = table[first - self._first : first - self._first + left].copy()
            table[left:used] = empty
        self._first = first

    def _make_room(self, end: int) -> None:
        if end - self._first > self._most:
            first = end - self._most // 2
            self.overflowed += max(0, min(first, self.end) - self._first)
            self.forget_before(first)
        needed = end - self._first
        if needed > len(self._values):
            more = max(needed, 2 * len(self._values)) - len(self._values)
            self._values = np.concatenate([self._values, np.full((more, self._values.shape[1]), np.nan)])
            self._seen = np.concatenate([self._seen, np.zeros((more, self._seen.shape[1]), dtype=bool)])
