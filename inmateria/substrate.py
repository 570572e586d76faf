"""The contract: what every substrate, real or simulated, promises to those who compute with it.

A `Substrate` takes a `Stimulus` (what is driven into its input channels) and gives a `Response` (what
came out of its output channels). `SubstrateInfo` says what it is and what it may be given; nothing
outside those limits is ever sent. A `Simulator` is the synchronous inside of a simulated one.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.units import read_unit

__all__ = [
    "SPIKE",
    "Channel",
    "FrameError",
    "Layout",
    "Limits",
    "Response",
    "Simulator",
    "Stimulus",
    "StimulusRejected",
    "Substrate",
    "SubstrateBusy",
    "SubstrateDisconnected",
    "SubstrateError",
    "SubstrateInfo",
    "SubstrateTimeout",
    "UnknownSubstrate",
]

FloatArray = npt.NDArray[np.float64]
SpikeArray = npt.NDArray[np.void]

Item = TypeVar("Item")

SPIKE = np.dtype([("time", "<f8"), ("channel", "<u4")])
"""One spike: time in seconds on the device's clock, index of the output channel."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SubstrateError(Exception):
    """Something that was asked of a substrate could not be done, and nothing of it was.

    Parameters
    ----------
    asked : str
        What was asked or given.
    allowed : str
        What is allowed, or what was expected instead.
    remedy : str
        What to do about it.
    """

    def __init__(self, asked: str, allowed: str = "", remedy: str = "") -> None:
        super().__init__(asked, allowed, remedy)
        self.asked, self.allowed, self.remedy = asked, allowed, remedy

    def __str__(self) -> str:
        return "; ".join(part for part in (self.asked, self.allowed, self.remedy) if part)


class StimulusRejected(SubstrateError):
    """The stimulus is malformed or outside the substrate's limits; nothing of it was applied."""


class SubstrateBusy(SubstrateError):
    """Another controller holds the substrate."""


class SubstrateDisconnected(SubstrateError):
    """The substrate, or the way to it, is gone."""


class SubstrateTimeout(SubstrateError):
    """Something did not happen within its time; the message names what was waited for and how long."""


class FrameError(SubstrateError):
    """Bytes on the wire are not a frame of a version that is understood here."""


class UnknownSubstrate(SubstrateError):
    """A URI names no substrate that is known here, or gives it parameters that it does not take."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One port of a substrate.

    Parameters
    ----------
    name : str
        What the lab calls it, for instance ``"e03"``.
    unit : str
        As in UCUM, such as ``"V"``, ``"uA/cm2"``, ``"Ohm"``, ``"spikes/s"``, ``"%"``, or ``"1"``; see
        `inmateria.units`.
    low, high : float
        Limits in that unit, ``low < high``. For an input: what may be driven; for an output: the range.
    levels : tuple of float, optional
        The discrete alphabet of the channel, where it has one.
    """

    name: str
    unit: str
    low: float
    high: float
    levels: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a channel's name is empty; give it the name the lab uses")
        try:
            read_unit(self.unit)
        except ValueError as error:
            raise ValueError(f"channel {self.name!r}: {error}") from None
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"channel {self.name!r} has limits {self.low} to {self.high} {self.unit}; "
                "both must be finite and low less than high"
            )
        if self.levels is not None and not (
            self.levels and all(self.low <= level <= self.high for level in self.levels)
        ):
            raise ValueError(
                f"channel {self.name!r} has levels {self.levels}; give at least one, "
                f"each within {self.low} to {self.high} {self.unit}"
            )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a substrate may be given, beyond the range of each channel.

    Parameters
    ----------
    steps : int
        Most steps in one stimulus.
    shortest_step, longest_step : float
        Allowed duration of one step, s.
    values : int
        Most numbers in one response (steps x samples x outputs): what bounds memory on both sides.
    """

    steps: int = 1_000_000
    shortest_step: float = 1e-6
    longest_step: float = 3600.0
    values: int = 64_000_000

    def __post_init__(self) -> None:
        if self.steps < 1 or self.values < 1:
            raise ValueError(f"limits allow {self.steps} steps and {self.values} values; give at least 1 of each")
        if not 0 < self.shortest_step <= self.longest_step < float("inf"):
            raise ValueError(
                f"limits allow steps from {self.shortest_step} to {self.longest_step} s; "
                "give 0 < shortest_step <= longest_step"
            )


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are on a substrate, enough to draw it.

    Parameters
    ----------
    unit : str
        SI symbol of all lengths here.
    segments : tuple of (x0, y0, x1, y1)
        Wires or tracks.
    points : tuple of (x, y)
        Junctions or cells.
    electrodes : dict of str to (x, y)
        Channel name to place; a channel not named here has no place.
    """

    unit: str
    segments: tuple[tuple[float, float, float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    electrodes: dict[str, tuple[float, float]] = {}


class SubstrateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a substrate is, and what it may be given.

    Parameters
    ----------
    id : str
        Identity of this one device: letters, digits, ``.``, ``_`` and ``-``.
    kind : str
        What sort of matter, for instance ``"nanowire-network"``.
    inputs, outputs : tuple of Channel
        Ports, in the order of the columns of a drive and of a signal.
    step : float
        Duration of a step when a stimulus does not say otherwise, s.
    sampling_rate : float or None
        Samples per second of the signal; None where there is no signal, only spikes.
    spiking : bool
        Whether responses carry spikes.
    resettable : bool
        Whether physics allows a return to rest on command.
    limits : Limits
        What it may be given, beyond the range of each input.
    parameters : dict
        What it was made with (seed, geometry, model), for the record.
    layout : Layout, optional
        Enough to draw it.
    """

    id: str
    kind: str
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    step: float
    sampling_rate: float | None
    spiking: bool = False
    resettable: bool = False
    limits: Limits = Limits()
    parameters: dict[str, Any] = {}
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.id):
            raise ValueError(
                f"a substrate's id is {self.id!r}; allowed are letters, digits, '.', '_' and '-', "
                "beginning with a letter or a digit"
            )
        if not self.inputs or not self.outputs:
            raise ValueError(
                f"substrate {self.id!r} has {len(self.inputs)} inputs and {len(self.outputs)} outputs; "
                "it needs at least one of each"
            )
        for side, channels in (("input", self.inputs), ("output", self.outputs)):
            names = [channel.name for channel in channels]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"substrate {self.id!r} has {side} channels of one name: {sorted(twice)}")
        if not self.limits.shortest_step <= self.step <= self.limits.longest_step:
            raise ValueError(
                f"substrate {self.id!r} has a step of {self.step} s, outside its own limits of "
                f"{self.limits.shortest_step} to {self.limits.longest_step} s"
            )
        if self.sampling_rate is None and not self.spiking:
            raise ValueError(f"substrate {self.id!r} gives neither a signal nor spikes; give it a sampling_rate")
        if self.sampling_rate is not None and not 0 < self.sampling_rate < float("inf"):
            raise ValueError(f"substrate {self.id!r} has sampling_rate {self.sampling_rate} Hz; give more than 0")

    def samples(self, step: float) -> int:
        """Count the samples of the signal within one step of that duration (s), at least one."""
        return 0 if self.sampling_rate is None else max(1, round(step * self.sampling_rate))

    def stimulus(self, drive: npt.ArrayLike, step: float | None = None) -> "Stimulus":
        """Make a stimulus for this substrate, checked against its limits at once.

        Parameters
        ----------
        drive : array_like of float, shape (steps, inputs) or (inputs,)
            In the inputs' units; one row is one step.
        step : float, optional
            Duration of a step, s; the substrate's own by default.

        Raises
        ------
        StimulusRejected
            Where the drive is malformed or outside the limits.
        """
        given = np.asarray(drive, dtype=np.float64)
        if given.ndim == 1 and given.shape[0] == len(self.inputs):
            given = given[np.newaxis]
        stimulus = Stimulus(given, self.step if step is None else step)
        self.admit(stimulus)
        return stimulus

    def admit(self, stimulus: "Stimulus") -> None:
        """Let a stimulus pass, or raise `StimulusRejected` saying which limit it breaks.

        Called on the client before anything is sent, and again at the device.
        """
        drive, step, limits = stimulus.drive, stimulus.step, self.limits
        steps, width = drive.shape
        if width != len(self.inputs):
            raise StimulusRejected(
                f"the drive has {width} columns",
                f"{self.id} has {len(self.inputs)} inputs ({_listed(channel.name for channel in self.inputs)})",
                "give one column per input, shape (steps, inputs)",
            )
        if steps > limits.steps:
            raise StimulusRejected(
                f"the drive has {steps} steps",
                f"{self.id} takes at most {limits.steps} at once",
                "send it as several stimuli",
            )
        if not limits.shortest_step <= step <= limits.longest_step:
            raise StimulusRejected(
                f"the step is {step} s",
                f"{self.id} takes {limits.shortest_step} to {limits.longest_step} s",
                f"leave it out for {self.step} s",
            )
        values = steps * self.samples(step) * len(self.outputs)
        if values > limits.values:
            raise StimulusRejected(
                f"the response would have {values} values",
                f"{self.id} gives at most {limits.values} at once",
                "send fewer or shorter steps at a time",
            )
        within_all = max(each.low for each in self.inputs) <= drive.min() and drive.max() <= min(
            each.high for each in self.inputs
        )
        if within_all and all(each.levels is None for each in self.inputs):
            return  # nearly always; columns are looked at only where that does not settle it
        low, high = drive.min(axis=0).tolist(), drive.max(axis=0).tolist()
        for column, channel in enumerate(self.inputs):
            if low[column] < channel.low or high[column] > channel.high:
                worst = low[column] if low[column] < channel.low else high[column]
                row = int(np.flatnonzero(drive[:, column] == worst)[0])
                raise StimulusRejected(
                    f"step {row} drives {channel.name} with {worst:g} {channel.unit}",
                    f"{self.id} allows {channel.low:g} to {channel.high:g} {channel.unit} there",
                    "scale or clip the drive",
                )
            if channel.levels is not None:
                strange = np.flatnonzero(~np.isin(drive[:, column], channel.levels))
                if strange.size:
                    raise StimulusRejected(
                        f"step {strange[0]} drives {channel.name} with {drive[strange[0], column]:g} {channel.unit}",
                        f"{self.id} allows only the levels {_listed(channel.levels)} there",
                        "round the drive to those levels",
                    )


def _listed(items: Iterable[object], most: int = 8) -> str:
    """Write a few items out, and say how many were left out."""
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


@dataclass(frozen=True, eq=False, slots=True)
class Stimulus:
    """What is driven into a substrate.

    Parameters
    ----------
    drive : array_like of float, shape (steps, inputs)
        Held for one step each, in the inputs' units; finite. Kept as a read-only float64 array.
    step : float
        Duration of a step, s; more than zero.

    Raises
    ------
    StimulusRejected
        Where the drive is not such an array or the step not such a number.
    """

    drive: FloatArray
    step: float

    def __post_init__(self) -> None:
        try:
            drive = np.array(self.drive, dtype=np.float64, order="C")
            step = float(self.step)
        except (TypeError, ValueError, OverflowError) as error:
            raise StimulusRejected(f"the drive is not an array of numbers ({error})", "shape (steps, inputs)") from None
        if drive.ndim != 2 or 0 in drive.shape:
            raise StimulusRejected(
                f"the drive has shape {drive.shape}",
                "shape (steps, inputs) with at least one of each",
                "for a single step, give drive[np.newaxis]",
            )
        if not np.isfinite(drive).all():
            row, column = np.argwhere(~np.isfinite(drive))[0]
            raise StimulusRejected(
                f"the drive is {drive[row, column]} at step {row}, input {column}",
                "every value must be finite",
                "replace what is missing by 0 or drop those steps",
            )
        if not 0 < step < float("inf"):
            raise StimulusRejected(f"the step is {self.step} s", "a finite duration of more than 0 s")
        drive.flags.writeable = False
        object.__setattr__(self, "drive", drive)
        object.__setattr__(self, "step", step)

    @property
    def duration(self) -> float:
        """How long it takes on the device's clock, s."""
        return self.step * len(self.drive)


@dataclass(frozen=True, eq=False, slots=True)
class Response:
    """What came out of a substrate during one stimulus.

    Parameters
    ----------
    signal : ndarray of float, shape (steps, samples, outputs), or None
        In the outputs' units; NaN where a value was not read.
    spikes : ndarray of `SPIKE`, shape (spikes,), or None
        Times on the device's clock.
    start : float
        When the first step began on the device's clock, s.
    sequence : int
        How many exchanges came before this one in the session.
    """

    signal: FloatArray | None
    spikes: SpikeArray | None
    start: float
    sequence: int

    def __post_init__(self) -> None:
        if self.signal is not None and self.signal.ndim != 3:
            raise ValueError(f"a response's signal has shape {self.signal.shape}; it must be (steps, samples, outputs)")
        if self.spikes is not None and self.spikes.dtype != SPIKE:
            raise ValueError(f"a response's spikes have dtype {self.spikes.dtype}; it must be {SPIKE}")
        if self.signal is None and self.spikes is None:
            raise ValueError("a response carries neither a signal nor spikes")


class Substrate(ABC):
    """Matter that answers stimuli: an async context manager, entered before it is used.

    An adapter implements `info`, `stimulate`, `reset` and, where it holds something open, `__aenter__`
    and `__aexit__`. It may replace `stream` by one that keeps several stimuli in flight.
    """

    @property
    @abstractmethod
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given; known at the latest once it has been entered."""

    @abstractmethod
    async def stimulate(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return the response: one exchange.

        Raises
        ------
        StimulusRejected
            Where it is outside the limits; nothing of it was applied.
        SubstrateDisconnected, SubstrateTimeout
            Where the substrate, or the way to it, is gone.
        """

    @abstractmethod
    async def reset(self) -> None:
        """Return to rest; raises `SubstrateError` where physics does not allow it (``info.resettable``)."""

    async def stream(self, stimuli: Iterable[Stimulus] | AsyncIterable[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli one after another and yield their responses, in order.

        Use `contextlib.aclosing` around it when leaving early.
        """
        async for stimulus in asynchronous(stimuli):
            yield await self.stimulate(stimulus)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


async def asynchronous(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item]:
    """Iterate over either sort of iterable, asynchronously."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Simulator(Protocol):
    """What stands in for a substrate: physics only, synchronous, seeded, no input or output."""

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""

    def reset(self) -> None:
        """Return to rest, and the clock to zero."""

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; ``sequence`` counts from zero since the last reset."""
