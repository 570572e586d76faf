"""The number of each sample of a stream, from timestamps or from counters that wrap, so that gaps are seen."""

from collections import deque

import numpy as np
import numpy.typing as npt

from inmateria.exchange import FloatArray

__all__ = ["LateRun", "TimestampCounter", "unwrapped_counts"]

_POINTS = 256
_MOST_LATE = 100
_AHEAD = 32
_ENOUGH = 4


class TimestampCounter:
    """Numbers samples by their timestamps.

    Timestamps are compared with a line through those of the last samples, whose slope follows the true rate. A sample
    that is later than the next expected one by more than the tolerance comes after a gap; one that is earlier was late,
    reordered or sent twice and gets the number that its timestamp says. A hundred of those in a row mean that the clock
    was set back: counting then goes on with the next number, and the step is in `steps_back`.

    Parameters
    ----------
    rate : float
        Nominal rate, Hz.
    jitter : float, optional
        Largest deviation of timestamps from regularity, s. By default it is measured on the first samples: six times
        their standard deviation from a line.

    Attributes
    ----------
    tolerance : float
        Deviation that is not taken for a gap, in samples; at least 0.5. Shorter gaps cannot be told from jitter.
    steps_back : list of float
        How far the clock was set back, each time, s.
    """

    def __init__(self, rate: float, jitter: float | None = None) -> None:
        self._rate, self._period = rate, 1.0 / rate
        self.tolerance = 0.5 if jitter is None else max(0.5, jitter * rate)
        self._measuring = jitter is None
        self._points: deque[tuple[int, float]] = deque(maxlen=_POINTS)
        self._line = (0.0, 0.0, self._period)
        self.last = -1
        self._late = 0
        self.steps_back: list[float] = []

    @property
    def wanted(self) -> int:
        """Number of samples to give in the first call, so that the jitter can be measured."""
        return int(np.clip(0.5 * self._rate, 8, 64)) if self._measuring and self.last < 0 else 1

    def time(self, index: float) -> float:
        """Return the timestamp that the line gives for a sample, s."""
        at, stamp, period = self._line
        return stamp + (index - at) * period

    def index(self, time: float) -> float:
        """Return the number, with a fraction, that the line gives for a timestamp."""
        at, stamp, period = self._line
        return at + (time - stamp) / period

    def count(self, stamps: FloatArray) -> npt.NDArray[np.int64]:
        """Return the numbers of samples with these timestamps (s), in order of arrival."""
        numbers = np.empty(len(stamps), dtype=np.int64)
        if not len(stamps):
            return numbers
        if self.last < 0:
            self._begin(stamps)
        done = 0
        while done < len(stamps):
            rest = stamps[done:]
            expected = self.last + 1 + np.arange(len(rest))
            apart = (rest - self.time(0)) / self._line[2] - expected
            off = np.flatnonzero(np.abs(apart) > self._tolerance_now())
            regular = int(off[0]) if off.size else len(rest)
            if off.size and self._is_outlier(apart[regular : regular + _AHEAD]):
                regular += 1
            if regular:
                numbers[done : done + regular] = expected[:regular]
                self.last = int(expected[regular - 1])
                self._late = 0
                self._follow(expected[:regular], rest[:regular])
            elif off.size:
                numbers[done] = self._irregular(rest[:_AHEAD], apart[:_AHEAD])
            done += max(1, regular)
        return numbers

    def _begin(self, stamps: FloatArray) -> None:
        self._line = (0.0, float(stamps[0]), self._period)
        stamps = stamps[: self.wanted]
        if self._measuring and len(stamps) >= 8:
            numbers = np.arange(len(stamps))
            steps = np.diff(stamps) / self._period
            if (np.abs(steps - np.median(steps)) > 8).any():
                return  # a gap within the first samples is none of their jitter
            slope, start = np.polyfit(numbers, stamps - stamps[0], 1)
            off = stamps - stamps[0] - slope * numbers - start
            self.tolerance = max(0.5, 6.0 * float(off.std()) * self._rate)
            if abs(slope / self._period - 1) < 0.05:
                self._line = (
                    0.0,
                    float(stamps[0] + start),
                    float(slope) if off.std() < 0.05 * self._period else self._period,
                )

    def _tolerance_now(self) -> float:
        """Return the tolerance, larger as long as the line stands on a few timestamps that jitter."""
        if self.tolerance == 0.5:
            return 0.5
        return float(self.tolerance * (1 + 1 / max(1, len(self._points))) ** 0.5)

    def _is_outlier(self, apart: FloatArray) -> bool:
        """Return whether the first of some deviations is an outlier of the jitter: those behind it are regular."""
        behind = apart[1:]
        return (
            len(behind) >= _ENOUGH
            and abs(apart[0]) <= 2 * self.tolerance
            and float(np.abs(np.median(behind))) <= 0.5 * self.tolerance
        )

    def _irregular(self, stamps: FloatArray, apart: FloatArray) -> int:
        """Return the number of the first of some samples, which is not where the next was expected."""
        missing = round(float(apart[0]))
        if missing > 0:
            within = 0.5 if self.tolerance == 0.5 else 2 * self.tolerance
            near = apart[np.abs(apart - apart[0]) <= within]  # those behind it that belong to it
            ahead = float(np.median(near))
            missing = max(1, round(ahead))
            self._anchor(self.last + 1 + missing, float(stamps[0]) + (ahead - float(apart[0])) * self._line[2])
            return self.last
        if missing < 0:
            self._late += 1
            if self._late < _MOST_LATE:
                return self.last + 1 + missing
            self.steps_back.append(-float(apart[0]) * self._period)
        self._late = 0
        self._anchor(self.last + 1, float(stamps[0]))
        return self.last

    def shift(self, seconds: float) -> None:
        """Move the line by some seconds: the same numbers then belong to other timestamps."""
        at, stamp, period = self._line
        self._line = (at, stamp + seconds, period)
        self._points = deque(((number, each + seconds) for number, each in self._points), maxlen=_POINTS)

    def _anchor(self, number: int, stamp: float) -> None:
        self.last = number
        self._points.clear()
        self._points.append((number, stamp))
        self._line = (float(number), stamp, self._line[2])

    def _follow(self, numbers: npt.NDArray[np.int64], stamps: FloatArray) -> None:
        every = max(1, len(numbers) // 16)
        self._points.extend(zip(numbers[::every].tolist(), stamps[::every].tolist(), strict=True))
        at, when = np.array(self._points).T
        middle, mean = float(at.mean()), float(when[0] + (when - when[0]).mean())
        period = self._line[2]
        if len(at) >= 8 and at[-1] - at[0] >= max(8.0, self._rate):
            x, y = at - middle, when - when[0] - (when - when[0]).mean()
            spread = float(x @ x)
            fitted = float(x @ y) / spread
            error = float(np.sum((y - fitted * x) ** 2) / (len(x) - 2) / spread) ** 0.5
            # Another rate than the nominal one counts if it is sure, and no sign of something else.
            if 3 * error < abs(fitted - self._period) < 0.05 * self._period:
                period = fitted
        self._line = (middle, mean, period)


class LateRun:
    """Watches the timestamps of samples that a counter numbers, for a clock that was set back.

    As in `TimestampCounter`, a hundred samples in a row that are earlier than one before them mean that the clock was
    set back; fewer came late.
    """

    def __init__(self) -> None:
        self._latest = float("-inf")
        self._late = 0

    def step_back(self, stamps: FloatArray) -> float | None:
        """Return how far the clock was set back, s, once a hundred samples in a row are late; otherwise None."""
        before = np.maximum.accumulate(np.concatenate([[self._latest], stamps]))
        on_time = np.flatnonzero(stamps >= before[:-1])
        edges = np.concatenate([[-1 - self._late], on_time, [len(stamps)]])
        runs = np.diff(edges) - 1
        self._latest, self._late = float(before[-1]), int(runs[-1])
        longest = int(np.argmax(runs))
        if runs[longest] < _MOST_LATE:
            return None
        last = int(edges[longest]) + _MOST_LATE  # the hundredth of them
        self._latest, self._late = float(stamps[-1]), 0
        return float(before[last] - stamps[last])


def unwrapped_counts(
    counts: npt.NDArray[np.int64], last: int, wrap: int, seconds: FloatArray, rate: float
) -> npt.NDArray[np.int64]:
    """Continue a counter that wraps, with the host's times to tell how often it has wrapped in a long gap.

    Parameters
    ----------
    counts : ndarray of int
        Values of the counter, 0 to ``wrap - 1``.
    last : int
        Continued count of the sample before; its value of the counter was ``last % wrap``.
    wrap : int
        Number of values of the counter.
    seconds : ndarray of float
        Time since the sample before, for each, s.
    rate : float
        Samples per second.
    """
    ahead = np.diff(counts, prepend=last) % wrap
    expected = seconds * rate
    ahead = np.where((ahead > wrap // 2) & (expected < 0.5 * wrap), ahead - wrap, ahead)  # those were late
    excess = expected - ahead
    long = np.flatnonzero(excess >= 0.5 * wrap)
    for k, following in zip(long.tolist(), [*long[1:].tolist(), len(counts)], strict=False):
        # After a stall of the transport, the samples behind the first come faster than their rate; not so after a gap.
        lasting = float(np.cumsum(excess[k:following]).min())
        ahead[k] += wrap * max(0, round(lasting / wrap))
    return last + np.cumsum(ahead)
