"""One exchange with a substrate: the stimulus and the response, both immutable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.errors import StimulusRejected
from inmateria.notebook_html import notebook_html, raster, traces
from inmateria.one_line import one_line

__all__ = [
    "FLOAT",
    "SPIKE",
    "FloatArray",
    "Response",
    "SpikeArray",
    "Stimulus",
    "evenly_spaced",
    "frozen",
    "immutable",
    "unadmitted",
]

FloatArray = npt.NDArray[np.float64]
SpikeArray = npt.NDArray[np.void]

SPIKE = np.dtype([("time", "<f8"), ("channel", "<u4")])
"""Data type of one spike: time in seconds on the device's clock, and index of the output channel."""


_all = np.logical_and.reduce  # without the layer of Python around `ndarray.all`
_new, _ndarray, _INFINITE = object.__new__, np.ndarray, float("inf")

FLOAT = float("nan")
"""Drive of an input that is left undriven for a step; only for channels with ``floats=True``."""


@dataclass(frozen=True, eq=False, slots=True, init=False)
class Stimulus:
    """A drive for the inputs of a substrate.

    Parameters
    ----------
    drive : array_like of float, shape (steps, inputs)
        One row for each step, in the inputs' units; finite, apart from `FLOAT`. Each row is held for one step. The
        attribute is a float64 array in immutable memory, which cannot be made writeable.
    step : float
        Duration of a step, s; more than 0.
    floating : bool
        Whether a drive of NaN, `FLOAT`, is allowed and leaves the input undriven for that step;
        `SubstrateInfo.stimulus` sets it for substrates that have such inputs.

    Raises
    ------
    StimulusRejected
        If the drive is not a finite array of that shape, or the step is not a finite number above 0.
    """

    drive: FloatArray
    step: float
    floating: bool = False

    __repr__ = one_line

    def __init__(self, drive: npt.ArrayLike, step: float, floating: bool = False) -> None:
        try:
            drive = np.asarray(drive, dtype=np.float64)
            step = float(step)
        except (TypeError, ValueError, OverflowError) as error:
            raise StimulusRejected(f"the drive is not an array of numbers ({error})", "shape (steps, inputs)") from None
        if drive.ndim != 2 or 0 in drive.shape:
            raise StimulusRejected(
                f"the drive has shape {drive.shape}",
                "shape (steps, inputs) with at least one of each",
                "for a single step, give drive[np.newaxis]",
            )
        if not _all(np.isfinite(drive), None) and (np.isinf(drive).any() or not floating):
            row, column = np.argwhere(np.isinf(drive) if floating else ~np.isfinite(drive))[0]
            raise StimulusRejected(
                f"the drive is {drive[row, column]} at step {row}, input {column}",
                "every value must be finite",
                "replace what is missing by the input's rest, or leave those steps out",
            )
        _check_step(step)
        _set_drive(self, immutable(drive))
        _set_step(self, step)
        _set_floating(self, floating)

    def _repr_html_(self) -> str:
        steps, inputs = self.drive.shape
        facts = {"steps": f"{steps:,} of {self.step:g} s ({self.duration:g} s)", "inputs": inputs}
        return notebook_html("Stimulus", facts, [traces(self.drive, "Drive", colour="input", held=True)])

    def __reduce__(self) -> tuple[type["Stimulus"], tuple[FloatArray, float, bool]]:
        # A copy, or one from another process, is checked and frozen too.
        return Stimulus, (self.drive, self.step, self.floating)

    @property
    def duration(self) -> float:
        """Duration of the whole stimulus on the device's clock, s."""
        return self.step * len(self.drive)


def _check_step(step: float) -> None:
    if not 0 < step < float("inf"):
        raise StimulusRejected(f"the step is {step} s", "a finite duration of more than 0 s")


def unadmitted(drive: FloatArray, step: float, floating: bool) -> Stimulus:
    """Return a stimulus whose values were not looked at, for what admits it before anything else.

    Parameters
    ----------
    drive : ndarray of float64, shape (steps, inputs)
    step : float
    floating : bool

    Raises
    ------
    StimulusRejected
        If the step is not a finite number above 0.
    """
    if not 0 < step < _INFINITE:
        _check_step(step)
    made: Stimulus = _new(Stimulus)
    _set_drive(made, drive)
    _set_step(made, step)
    _set_floating(made, floating)
    return made


def frozen(stimulus: Stimulus) -> Stimulus:
    """Return a copy with the drive in immutable memory, whatever was done to the stimulus after it was made."""
    if type(stimulus) is not Stimulus:  # whose attributes may be anything
        return Stimulus(stimulus.drive, stimulus.step, stimulus.floating)
    made: Stimulus = _new(Stimulus)
    _set_drive(made, immutable(stimulus.drive))
    _set_step(made, stimulus.step)
    _set_floating(made, stimulus.floating)
    return made


# The setters of the slots themselves: `object.__setattr__` looks each of them up, which takes twice as long.
_set_drive, _set_step, _set_floating = (Stimulus.__dict__[name].__set__ for name in ("drive", "step", "floating"))


def immutable(drive: FloatArray) -> FloatArray:
    """Return an array as float64 in memory that cannot be made writeable; the array itself if it is in such memory."""
    root: Any = drive.base
    while type(root) is _ndarray:
        root = root.base
    if type(root) is bytes:
        flags = drive.flags
        if flags.c_contiguous and flags.aligned:
            return drive
    return _ndarray(drive.shape, np.float64, drive.tobytes())


def evenly_spaced(samples: int, available: int) -> npt.NDArray[np.intp]:
    """Return the indices of so many samples of a step, evenly spaced and ending with its last.

    Raises
    ------
    ValueError
        If the step does not have so many.
    """
    if not 1 <= samples <= available:
        raise ValueError(
            f"samples is {samples}, and a step of this substrate has {available}; give samples of 1 to {available}, "
            "or a longer step"
        )
    if samples == available:
        return np.arange(available)
    return np.linspace(available / samples, available, samples).round().astype(np.intp) - 1


@dataclass(frozen=True, eq=False, slots=True, init=False)
class Response:
    """Signal and spikes of a substrate during one stimulus.

    Parameters
    ----------
    signal : ndarray of float, shape (steps, samples, outputs), or None
        Signal in the outputs' units; NaN for a value that was not read. None if the substrate has no signal.
    spikes : ndarray of `SPIKE`, shape (spikes,), or None
        Spikes of all outputs, with times on the device's clock. None if the substrate does not spike.
    start : float
        Time at which the first step began on the device's clock, s.
    sequence : int
        Number of this exchange in the session, from 0.

    Raises
    ------
    ValueError
        If the signal does not have three axes, the spikes are of another data type, or both are None.
    """

    signal: FloatArray | None
    spikes: SpikeArray | None
    start: float
    sequence: int

    __repr__ = one_line

    def __init__(self, signal: FloatArray | None, spikes: SpikeArray | None, start: float, sequence: int) -> None:
        if signal is not None:
            if not isinstance(signal, _ndarray):
                raise ValueError(f"a response's signal is of type {type(signal).__name__}; it must be a numpy array")
            if signal.ndim != 3:
                raise ValueError(f"a response's signal has shape {signal.shape}; it must be (steps, samples, outputs)")
        elif spikes is None:
            raise ValueError("a response has neither a signal nor spikes; give at least one")
        if spikes is not None and spikes.dtype != SPIKE:
            raise ValueError(f"a response's spikes have dtype {spikes.dtype}; it must be {SPIKE}")
        _set_signal(self, signal)
        _set_spikes(self, spikes)
        _set_start(self, start)
        _set_sequence(self, sequence)

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {"begins": f"{self.start:g} s on the device's clock", "exchange": self.sequence}
        drawings = []
        if self.signal is not None:
            steps, samples, outputs = self.signal.shape
            facts["signal"] = f"{steps:,} steps of {samples:,} samples, {outputs} outputs"
            missing = np.count_nonzero(np.isnan(self.signal))
            facts["not read"] = f"{missing:,} values" if missing else None
            drawings.append(traces(self.signal.reshape(-1, outputs), "Signal, all outputs on one scale"))
        if self.spikes is not None:
            channels = self.spikes["channel"]
            facts["spikes"] = f"{len(channels):,} on {len(np.unique(channels))} outputs"
            if len(channels):
                drawings.append(raster(self.spikes["time"], channels, int(channels.max()) + 1, "Spikes"))
        return notebook_html("Response", facts, drawings)


_set_signal, _set_spikes, _set_start, _set_sequence = (
    Response.__dict__[name].__set__ for name in ("signal", "spikes", "start", "sequence")
)
