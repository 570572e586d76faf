"""Columns of time for the live page: the least and greatest value of each output and input, and the spikes, in each.

Exchanges are taken in as they come and reduced at once, so that what is kept is bounded whatever comes: if more columns
are made than are fetched, neighbours are joined. Nothing that was measured is lost to the extremes by that.
"""

import time
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.exchange import FloatArray
from inmateria.kernel_compilation import log_compilation
from inmateria.live.messages import Columns

__all__ = ["ColumnMaker", "compile_columns"]

_MOST = 1024
_MOST_SPIKES = 16_384
_A_SECOND = 1000
_SHORTEST, _LONGEST = 0.25, 1.0
_TOLERANCE = 1e-6
NOT_READ = -32768
"""Stands for a value that was not read in signals of 16-bit integers."""

_NO_SPIKES = (np.empty(0), np.empty(0, dtype=np.uint32))


class ColumnMaker:
    """Reduces exchanges to columns; at most 1,024 columns and 16,384 spikes wait to be fetched.

    The duration of a column is adapted to the rate at which samples come, so that about 1,000 columns are made in a
    second by the host's clock, of one sample or step at least. Times are on an axis that never goes back: where the
    device's clock does, because it returned to rest, the axis goes on from where it was.

    Parameters
    ----------
    inputs, outputs : int
    sampling_rate : float or None
        Samples of the signal per second by the device's clock; None if there is no signal.
    pace : float
        How fast the device's clock is expected to run beside the host's, until that is measured.
    """

    def __init__(self, inputs: int, outputs: int, sampling_rate: float | None, *, pace: float = 1.0) -> None:
        self._signal = sampling_rate is not None
        self._inputs, self._outputs = inputs, outputs if self._signal else 0
        self._samples = max(1, round((sampling_rate or 0.0) * pace / _A_SECOND))
        self._starts, self._ends = np.empty(_MOST), np.empty(_MOST)
        self._low = np.empty((_MOST, self._outputs), dtype=np.float32)
        self._high = np.empty((_MOST, self._outputs), dtype=np.float32)
        self._drive_low = np.empty((_MOST, inputs), dtype=np.float32)
        self._drive_high = np.empty((_MOST, inputs), dtype=np.float32)
        self._ones = np.ones(self._outputs), np.zeros(self._outputs)
        self._count = 0
        self._spikes: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.uint32]]] = []
        self._spiked = self._left_out = 0
        self._sent = 0.0
        self._offset, self._end, self._clock = 0.0, -np.inf, -np.inf
        self._since, self._passed = time.monotonic(), 0
        self.restarts = 0
        """How many times the device's clock has gone back."""

    @property
    def end(self) -> float:
        """Time at the end of all that was taken in, s; minus infinity before that."""
        return self._end

    def at(self, clock: float) -> float:
        """Return the time on the axis of a time by the device's clock, s."""
        return clock + self._offset

    def add(
        self,
        start: float,
        step: float,
        drive: npt.NDArray[np.float64],
        signal: npt.NDArray[Any] | None,
        spikes: npt.NDArray[np.void] | None = None,
        *,
        scale: npt.ArrayLike = 1.0,
        offset: npt.ArrayLike = 0.0,
        missing: bool = True,
        sent: float | None = None,
    ) -> None:
        """Take in an exchange.

        Parameters
        ----------
        start : float
            By the device's clock, s.
        step : float
            Duration of a step, s.
        drive : ndarray of float, shape (steps, inputs)
        signal : ndarray, shape (steps, samples, outputs), or None
            float64, float32 or int16; of integers the value is ``scale * integer + offset``.
        spikes : ndarray of `SPIKE`, optional
        scale, offset : float or array_like of float, shape (outputs,)
        missing : bool
            Whether the integer `NOT_READ` stands for a value that was not read, as on the wire.
        sent : float, optional
            Host clock at its end, s since 1970; now by default.
        """
        steps = len(drive)
        if start < self._clock - _TOLERANCE * max(1.0, abs(start)):
            self._offset = self._end - start
            self.restarts += 1
        self._clock = start + step * steps
        begin = self.at(start)
        self._end = self.at(self._clock)
        self._sent = time.time() if sent is None else sent
        rows = _no_rows(steps) if signal is None or not self._signal else signal.reshape(-1, signal.shape[-1])
        within = max(1, len(rows) // steps)
        total = steps * within
        self._adapt(total)
        each = max(self._samples, -(-2 * total // _MOST))
        count = -(-total // each)
        while self._count + count > _MOST:
            self._join()
        some = slice(self._count, self._count + count)
        edges = np.minimum(np.arange(count + 1) * each, total) * (step / within) + begin
        self._starts[some], self._ends[some] = edges[:-1], edges[1:]
        held = _readonly(np.ascontiguousarray(drive, dtype=np.float64))
        _reduce_drive(held, within, each, total, self._drive_low[some], self._drive_high[some])
        if self._outputs:
            if rows.dtype not in (np.int16, np.float32, np.float64):
                rows = rows.astype(np.float64)
            factors = self._factors(scale, offset) if rows.dtype == np.int16 else self._ones
            _reduce(rows, each, missing, factors, self._low[some], self._high[some])
        self._count += count
        if spikes is not None and len(spikes):
            room = _MOST_SPIKES - self._spiked
            self._left_out += max(0, len(spikes) - room)
            taken = spikes[:room]
            self._spikes.append((taken["time"] + self._offset, taken["channel"].astype(np.uint32)))
            self._spiked += len(taken)

    def fetch(self) -> Columns | None:
        """Return what was taken in since the last time; None if that is nothing."""
        if not self._count:
            return None
        some = slice(0, self._count)
        times, channels = map(np.concatenate, zip(*(self._spikes or [_NO_SPIKES]), strict=True))
        columns = Columns(
            self._starts[some].copy(), self._ends[some].copy(), self._low[some].copy(), self._high[some].copy(),
            self._drive_low[some].copy(), self._drive_high[some].copy(), times, channels, self._sent, self._left_out,
        )  # fmt: skip
        self._count = self._spiked = self._left_out = 0
        self._spikes = []
        return columns

    def _factors(self, scale: npt.ArrayLike, offset: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return scale and offset of each output."""
        factors = np.empty(self._outputs), np.empty(self._outputs)
        factors[0][:], factors[1][:] = scale, offset
        return factors

    def _adapt(self, samples: int) -> None:
        """Count samples (steps if there is no signal), and choose how many of them make a column from now on."""
        self._passed += samples
        now = time.monotonic()
        passed = now - self._since
        if passed < _SHORTEST:
            return
        wanted = self._passed / passed / _A_SECOND
        if passed < _LONGEST and not 0.4 < wanted / self._samples < 2.2:  # after a pause there is no rate
            self._samples = _round_number(wanted)
        self._since, self._passed = now, 0

    def _join(self) -> None:
        """Join each two neighbouring columns."""
        even, odd = slice(0, self._count - 1, 2), slice(1, self._count, 2)
        pairs, rest = self._count // 2, self._count % 2
        for values, join in (
            (self._starts, np.fmin), (self._ends, np.fmax), (self._low, np.fmin), (self._high, np.fmax),
            (self._drive_low, np.fmin), (self._drive_high, np.fmax),
        ):  # fmt: skip
            joined = join(values[even], values[odd])
            values[:pairs] = joined
            if rest:
                values[pairs] = values[self._count - 1]
        self._count = pairs + rest


def compile_columns() -> None:
    """Compile the reduction in advance, so that no first exchange waits for it."""
    low, high = np.empty((1, 1), dtype=np.float32), np.empty((1, 1), dtype=np.float32)
    with log_compilation("the columns of the live page", _reduce_drive):
        for dtype in (np.int16, np.float32, np.float64):
            _reduce(np.zeros((1, 1), dtype=dtype), 1, True, (np.ones(1), np.zeros(1)), low, high)
        _reduce_drive(_readonly(np.zeros((1, 1))), 1, 1, 1, low, high)


def _reduce(
    rows: npt.NDArray[Any],
    each: int,
    missing: bool,
    factors: tuple[FloatArray, FloatArray],
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
) -> None:
    """Fill in the extremes of each column of so many rows, by scale and offset; NaN where there is none."""
    integers = rows.dtype == np.int16
    limits = np.array((32767, NOT_READ, NOT_READ) if integers else (np.inf, -np.inf, np.nan), dtype=rows.dtype)
    # The array is seen as one that cannot be written to, so that one compiled function does for all.
    _reduce_rows(_readonly(np.ascontiguousarray(rows)), each, limits, not (integers and missing), *factors, low, high)


def _readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _no_rows(steps: int) -> npt.NDArray[np.float64]:
    return np.empty((steps, 0))


def _round_number(wanted: float) -> int:
    """Return the nearest of 1, 2, 3, 5, 10, 20, 30, 50 and so on."""
    if wanted <= 1:
        return 1
    ten = 10.0 ** np.floor(np.log10(wanted))
    return int(ten * min((1, 2, 3, 5, 10), key=lambda each: abs(np.log(wanted / (ten * each)))))


@numba.njit(cache=True, nogil=True)
def _reduce_rows(
    rows: Any, each: int, limits: Any, whole: bool, scale: FloatArray, offset: FloatArray, low: Any, high: Any
) -> None:
    total, width = rows.shape
    none = limits[2]  # read once, or the loop cannot be in vectors
    least, most = np.empty(width, rows.dtype), np.empty(width, rows.dtype)
    for column in range(low.shape[0]):
        least[:], most[:] = limits[0], limits[1]
        for row in range(column * each, min((column + 1) * each, total)):
            for k in range(width):
                value = rows[row, k]
                # NaN is neither less nor greater; the integer for no value is greater than none.
                least[k] = value if (value < least[k]) & (whole | (value != none)) else least[k]
                most[k] = value if value > most[k] else most[k]
        for k in range(width):
            if least[k] > most[k]:
                low[column, k] = high[column, k] = np.nan
            else:
                one, other = least[k] * scale[k] + offset[k], most[k] * scale[k] + offset[k]
                low[column, k], high[column, k] = min(one, other), max(one, other)  # a scale may be negative


@numba.njit(cache=True, nogil=True)
def _reduce_drive(drive: Any, within: int, each: int, total: int, low: Any, high: Any) -> None:
    """Fill in the extremes of the drive during each column of `each` of `total` samples, `within` of them a step."""
    for column in range(low.shape[0]):
        first = column * each // within
        last = (min((column + 1) * each, total) - 1) // within
        for k in range(drive.shape[1]):
            least, most = np.inf, -np.inf
            for step in range(first, last + 1):
                value = drive[step, k]
                least = value if value < least else least
                most = value if value > most else most
            if least > most:
                low[column, k] = high[column, k] = np.nan
            else:
                low[column, k], high[column, k] = least, most
