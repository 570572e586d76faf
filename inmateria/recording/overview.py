"""A section of a recording read once, in parts: envelopes of stimulus and response, spikes, each channel's activity.

Nothing is left out: of many samples the least and greatest of each bin of time are kept, of many spikes their number.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inmateria.recording.envelopes import Envelope, EnvelopeBuilder
from inmateria.recording.format import RecordingError
from inmateria.recording.formats.neo_blocks import sample_times
from inmateria.recording.reading import Recording
from inmateria.recording.spike_marks import SpikeCounts, SpikeCountsBuilder
from inmateria.substrate import FloatArray

__all__ = ["Overview", "overview"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Overview:
    """A section of a recording.

    Parameters
    ----------
    begin, end : float
        Time at which it begins and ends, s.
    exchanges, steps, sessions : int
        Their numbers.
    drive : Envelope
        Of the stimulus, one column for each input, in its unit.
    signal : Envelope or None
        Of the response, one column for each output, in its unit; None if there is none.
    spikes : SpikeCounts or None
        None if the substrate does not spike.
    driven : ndarray of float, shape (inputs,)
        Root mean square of the deviation of each input from its rest, in its unit, over all steps.
    pulses : ndarray of int, shape (inputs,)
        Number of steps in which each input was not at rest.
    deviation : ndarray of float, shape (outputs,), or None
        Standard deviation of the signal of each output, in its unit; NaN for one that was never read.
    seconds : float
        Duration of all stimuli, or of those within the window, s.
    """

    begin: float
    end: float
    exchanges: int
    steps: int
    sessions: int
    drive: Envelope
    signal: Envelope | None
    spikes: SpikeCounts | None
    driven: FloatArray
    pulses: npt.NDArray[np.int64]
    deviation: FloatArray | None
    seconds: float


def overview(
    recording: Recording, first: int = 0, last: int | None = None, *, bins: int = 300, most: int = 600,
    most_spikes: int = 2000, in_turn: bool = False, window: tuple[float, float] | None = None,
) -> Overview:  # fmt: skip
    """Read a section of a recording.

    Parameters
    ----------
    recording : Recording
    first, last : int
        First exchange, and the one after the last; all by default.
    bins : int
        Number of bins of time.
    most, most_spikes : int
        Samples and spikes up to which each one is kept.
    in_turn : bool
        Whether sessions, at whose beginning the device's clock restarts, are laid end to end and the first begins at 0;
        otherwise times are those of the device's clock.
    window : (float, float), optional
        Time at which the bins begin and end, s; samples and spikes outside are left out of envelopes and counts. By
        default, all of the section.

    Raises
    ------
    RecordingError
        If it has no exchange, or data are damaged.
    """
    rows, info = recording.exchanges[first:last], recording.info
    if not len(rows):
        raise RecordingError(f"{recording.path} has no exchanges; at least one is needed to draw")
    shifts = _shifts(rows) if in_turn else np.zeros(len(rows))
    begins = rows["start"] + shifts
    ends = begins + rows["step"] * rows["steps"]
    begin, end = float(begins.min()), float(ends.max())
    if window is not None:
        begin, end = max(begin, window[0]), min(end, window[1])
    inputs, outputs = len(info.inputs), len(info.outputs)
    drives = EnvelopeBuilder(begin, end, inputs, held=True, bins=bins, most=most)
    signals = EnvelopeBuilder(begin, end, outputs, held=False, bins=bins, most=most)
    spikes = SpikeCountsBuilder(begin, end, outputs, bins=bins, most=most_spikes)
    rest = np.asarray(info.rest)
    squares, pulses, moments = np.zeros(inputs), np.zeros(inputs, np.int64), _Moments(outputs)
    stop = first + len(rows)
    for part_first, part_last in recording.batches(first):
        if part_first >= stop:
            break
        part_last = min(part_last, stop)
        part, moved = rows[part_first - first : part_last - first], shifts[part_first - first : part_last - first]
        drive = recording.drive(part_first, part_last)
        steps = part["steps"].astype(np.int64)
        times, lasting = sample_times(part, "steps") + np.repeat(moved, steps), np.repeat(part["step"], steps)
        inside = slice(None) if window is None else (times + lasting > begin) & (times < end)
        drives.add(times[inside], drive[inside], lasting[inside])
        away = np.where(np.isnan(drive), 0.0, drive - rest)  # an input that is left undriven is given nothing
        squares += (away**2).sum(axis=0)
        pulses += np.count_nonzero(away, axis=0)
        if info.sampling_rate is not None:
            signal, samples = recording.signal(part_first, part_last), part["samples"].astype(np.int64)
            each = part["step"] * part["steps"] / np.maximum(1, samples)
            times = sample_times(part, "samples") + np.repeat(moved, samples)
            lasting = np.repeat(each, samples)
            inside = slice(None) if window is None else (times >= begin) & (times < end)
            signals.add(times[inside], signal[inside], lasting[inside])
            moments.add(signal)
        if info.spiking:
            found, moves = recording.spikes(part_first, part_last), np.repeat(moved, part["spikes"].astype(np.int64))
            at = found["time"] + moves
            inside = slice(None) if window is None else (at >= begin) & (at < end)
            spikes.add(at[inside], found["channel"][inside])
    total = int(rows["steps"].sum())
    return Overview(
        begin=begin,
        end=end,
        exchanges=len(rows),
        steps=total,
        sessions=len(np.unique(rows["session"])),
        drive=drives.envelope(),
        signal=None if info.sampling_rate is None else signals.envelope(),
        spikes=spikes.counts() if info.spiking else None,
        driven=np.sqrt(squares / max(1, total)),
        pulses=pulses,
        deviation=None if info.sampling_rate is None else moments.deviation(),
        seconds=float(np.maximum(0.0, np.minimum(ends, end) - np.maximum(begins, begin)).sum()),
    )


def _shifts(rows: npt.NDArray[np.void]) -> FloatArray:
    """Return what is added to the device's clock in each exchange so that sessions follow one another."""
    shifts, end = np.empty(len(rows)), 0.0
    edges = [0, *(np.flatnonzero(np.diff(rows["session"])) + 1).tolist(), len(rows)]
    for begin, stop in pairwise(edges):
        part = rows[begin:stop]
        shifts[begin:stop] = end - float(part["start"].min())
        end = float((part["start"] + part["step"] * part["steps"]).max()) + shifts[begin]
    return shifts


class _Moments:
    """Standard deviation of several columns from parts, each beside a first value so that large offsets cancel."""

    def __init__(self, columns: int) -> None:
        self._offset: FloatArray | None = None
        self._count, self._sum, self._squares = np.zeros(columns), np.zeros(columns), np.zeros(columns)

    def add(self, values: FloatArray) -> None:
        """Add rows; NaN are left out."""
        if not len(values):
            return
        if self._offset is None:
            self._offset = np.nan_to_num(values[0])
        there = ~np.isnan(values)
        apart = np.where(there, values - self._offset, 0.0)
        self._count += there.sum(axis=0)
        self._sum += apart.sum(axis=0)
        self._squares += (apart**2).sum(axis=0)

    def deviation(self) -> FloatArray:
        """Return the standard deviation of each column, NaN for one without values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sum / self._count
            deviation: FloatArray = np.sqrt(np.maximum(0.0, self._squares / self._count - mean**2))
        return deviation
