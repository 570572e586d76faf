"""The contract that every substrate, real or simulated, keeps.

A `Substrate` takes a `Stimulus` (a drive for its input channels) and gives a `Response` (the signal and spikes of
its output channels). `SubstrateInfo` states what it is and which stimuli it accepts; `Substrate.stimulate` and
`Substrate.stream` enforce both, so that no adapter can forget to. A `Simulator` is the synchronous inside of a
simulated substrate.
"""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, final

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "SPIKE",
    "Channel",
    "FrameError",
    "Layout",
    "Limits",
    "Response",
    "ResponseMismatch",
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

_SI_UNIT = re.compile(
    r"1|(da|[yzafpnumcdhkMGTPEZY])?(s|m|g|A|K|mol|cd|Hz|rad|N|Pa|J|W|C|V|F|ohm|S|Wb|T|H|lm|lx|Bq|Gy|kat)"
)
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


class ResponseMismatch(SubstrateError):
    """The stimulus was applied, but its response is not of the form that the substrate's info promises."""


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
        SI symbol with an optional prefix (``"V"``, ``"uA"``, ``"ohm"``), or ``"1"``.
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
        if not _SI_UNIT.fullmatch(self.unit):
            raise ValueError(
                f"channel {self.name!r} has unit {self.unit!r}; allowed are SI symbols with an optional "
                "prefix, such as 'V', 'mV', 'uA', 'ohm', or '1' for none"
            )
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
    rest : tuple of float
        Value of each input at rest, in its unit. Where it is not given: 0, or where the input's range does not
        contain 0 the end of the range nearest to it; of an input with levels, the level nearest to 0.
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
    rest: tuple[float, ...] = ()
    parameters: dict[str, Any] = {}
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if not self.rest:
            msgspec.structs.force_setattr(self, "rest", tuple(_nearest_to_zero(channel) for channel in self.inputs))
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
        if len(self.rest) != len(self.inputs):
            raise ValueError(
                f"substrate {self.id!r} has {len(self.rest)} values of rest and {len(self.inputs)} inputs; "
                "give one for each input"
            )
        for value, channel in zip(self.rest, self.inputs, strict=True):
            if not channel.low <= value <= channel.high or value not in (channel.levels or (value,)):
                raise ValueError(
                    f"substrate {self.id!r} rests with {value:g} {channel.unit} on {channel.name}; allowed are "
                    + (_listed(channel.levels) if channel.levels else f"{channel.low:g} to {channel.high:g}")
                    + f" {channel.unit}"
                )

    def samples(self, step: float) -> int:
        """Count the samples of the signal within one step of that duration (s), at least one."""
        return 0 if self.sampling_rate is None else max(1, round(step * self.sampling_rate))

    def rest_drive(self, steps: int = 1) -> FloatArray:
        """Give the drive of so many steps of rest, shape (steps, inputs)."""
        return np.tile(np.array(self.rest, dtype=np.float64), (steps, 1))

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

    def check_response(self, stimulus: "Stimulus", response: "Response") -> None:
        """Raise `ResponseMismatch` where a response to a stimulus is not of the form that is promised here.

        The signal has to be there if and only if there is a sampling rate, with all steps, samples and outputs;
        spikes if and only if the substrate spikes, each on one of its outputs.
        """
        signal, spikes = response.signal, response.spikes
        shape = None
        if self.sampling_rate is not None:
            shape = (len(stimulus.drive), self.samples(stimulus.step), len(self.outputs))
        if (None if signal is None else signal.shape) != shape:
            raise ResponseMismatch(
                "a response has " + ("no signal" if signal is None else f"a signal of shape {signal.shape}"),
                f"{self.id} promises " + ("none" if shape is None else f"(steps, samples, outputs) = {shape}"),
                "the stimulus was applied; correct the driver or its info",
            )
        if (spikes is not None) != self.spiking:
            raise ResponseMismatch(
                f"a response has {'no spikes' if spikes is None else 'spikes'}",
                f"{self.id} says that spiking is {self.spiking}",
                "the stimulus was applied; correct the driver or its info",
            )
        if spikes is not None and spikes.size and int(spikes["channel"].max()) >= len(self.outputs):
            raise ResponseMismatch(
                f"a response has a spike on channel {spikes['channel'].max()}",
                f"{self.id} has {len(self.outputs)} outputs, numbered from 0",
                "the stimulus was applied; correct the driver or its info",
            )


def _nearest_to_zero(channel: Channel) -> float:
    """Give the value that a channel may be driven with and that is nearest to 0."""
    if channel.levels is not None:
        return min(channel.levels, key=abs)
    return min(max(0.0, channel.low), channel.high)


def _listed(items: Iterable[object], most: int = 8) -> str:
    """Write a few items out, and say how many were left out."""
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


@dataclass(frozen=True, eq=False, slots=True)
class Stimulus:
    """A drive for the inputs of a substrate.

    Parameters
    ----------
    drive : array_like of float, shape (steps, inputs)
        Held for one step each, in the inputs' units; finite. Kept as a copy in immutable memory: a float64 array
        that cannot be made writeable.
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
            drive = np.asarray(self.drive, dtype=np.float64)
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
                "replace what is missing by the input's rest, or leave those steps out",
            )
        if not 0 < step < float("inf"):
            raise StimulusRejected(f"the step is {self.step} s", "a finite duration of more than 0 s")
        object.__setattr__(self, "drive", _immutable(drive))
        object.__setattr__(self, "step", step)

    def __reduce__(self) -> tuple[type["Stimulus"], tuple[FloatArray, float]]:
        return Stimulus, (self.drive, self.step)  # a copy, or one from another process, is checked and frozen too

    @property
    def duration(self) -> float:
        """How long it takes on the device's clock, s."""
        return self.step * len(self.drive)


def _immutable(drive: FloatArray) -> FloatArray:
    """Give the same values in memory that nothing can make writeable; the array itself where it is in such memory."""
    root: Any = drive
    while isinstance(root, np.ndarray):
        root = root.base
    if isinstance(root, bytes) and drive.flags.c_contiguous and drive.flags.aligned:
        return drive
    return np.frombuffer(drive.tobytes(), dtype=np.float64).reshape(drive.shape)


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
    """Matter that answers stimuli; an async context manager, to be entered before it is used.

    An adapter sets `info`, implements `_apply` and `reset` and, where it holds something open, `__aenter__` and
    `__aexit__`. It may override `_stream` to keep several stimuli in flight. `stimulate` and `stream` are final: they
    check every stimulus against `info` and freeze it before the adapter sees it, and check every response.
    """

    _info: SubstrateInfo | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("stimulate", "stream"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} defines {name}, which checks the limits for every adapter; "
                    f"implement _{_OWN[name]} instead"
                )

    @property
    def info(self) -> SubstrateInfo:
        """What the substrate is and which stimuli it accepts; known at the latest once it has been entered."""
        if self._info is None:
            raise SubstrateDisconnected(
                f"the info of a {type(self).__name__} was asked for before it was entered",
                "it is known once the device has been opened",
                "use it inside `async with`",
            )
        return self._info

    @info.setter
    def info(self, info: SubstrateInfo) -> None:
        self._info = info

    @final
    async def stimulate(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return the response: one exchange.

        Raises
        ------
        StimulusRejected
            If it is outside the limits; nothing of it was applied.
        ResponseMismatch
            If the response is not of the form that `info` promises; the stimulus was applied.
        SubstrateDisconnected, SubstrateTimeout
            If the substrate, or the connection to it, is gone.
        """
        admitted = self._admitted(stimulus)
        response = await self._apply(admitted)
        self.info.check_response(admitted, response)
        return response

    @final
    async def stream(self, stimuli: Iterable[Stimulus] | AsyncIterable[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli one after another and yield their responses, in order.

        Use `contextlib.aclosing` around it when leaving early. With an adapter that keeps several stimuli in flight,
        stimuli beyond the last response seen may have been applied then. After one that is refused, none is applied.
        """
        under_way: deque[Stimulus] = deque()

        async def admitted() -> AsyncGenerator[Stimulus]:
            async for stimulus in asynchronous(stimuli):
                under_way.append(self._admitted(stimulus))
                yield under_way[-1]

        async with aclosing(admitted()) as source, aclosing(self._stream(source)) as responses:
            async for response in responses:
                self.info.check_response(under_way.popleft(), response)
                yield response

    def _admitted(self, stimulus: Stimulus) -> Stimulus:
        """Give a stimulus that is within the limits as one that no one else holds and nothing can change."""
        if type(stimulus) is not Stimulus:
            stimulus = Stimulus(stimulus.drive, stimulus.step)
        frozen = object.__new__(Stimulus)
        object.__setattr__(frozen, "drive", _immutable(stimulus.drive))
        object.__setattr__(frozen, "step", stimulus.step)
        try:
            self.info.admit(frozen)
        except StimulusRejected as rejected:
            self._note_refused(frozen, rejected)
            raise
        return frozen

    def _note_refused(self, stimulus: Stimulus, rejected: StimulusRejected) -> None:  # noqa: B027
        """Take note of a stimulus that was refused, which is never applied; for those who keep a record."""

    @abstractmethod
    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, which has been admitted, and return the response.

        Cancellation is a stop: bring the outputs to a safe level before it is passed on.
        """

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli, each of which has been admitted, and yield a response to each, in order."""
        async for stimulus in stimuli:
            yield await self._apply(stimulus)

    @abstractmethod
    async def reset(self) -> None:
        """Return to rest; raises `SubstrateError` if physics does not allow it (``info.resettable``)."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_OWN = {"stimulate": "apply", "stream": "stream"}
"""What an adapter implements in place of each final method."""


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
