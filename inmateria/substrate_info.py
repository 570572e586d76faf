"""The description of a substrate: its channels, limits and rest, and the checks of stimuli and responses against it."""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.errors import ResponseMismatch, StimulusRejected
from inmateria.exchange import FloatArray, Response, Stimulus
from inmateria.units import read_unit

__all__ = ["Channel", "IdentitySource", "Layout", "Limits", "SubstrateInfo"]

IdentitySource = Literal["serial", "host", "user", "parameters", "none", "unstated"]
"""Where the id of a device comes from; see `SubstrateInfo`."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a substrate.

    Parameters
    ----------
    name : str
        The name that the laboratory uses, for instance ``"e03"``.
    unit : str
        As in UCUM, such as ``"V"``, ``"uA/cm2"``, ``"Ohm"``, ``"spikes/s"``, ``"%"``, or ``"1"``; see
        `inmateria.units`.
    low, high : float
        Limits in that unit, ``low < high``: of an input, the values that may be driven; of an output, its range.
    levels : tuple of float, optional
        The only values of the channel, where it has discrete levels.
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
    """Limits of a stimulus and its response, beyond the range of each channel.

    Parameters
    ----------
    steps : int
        Most steps in one stimulus.
    shortest_step, longest_step : float
        Allowed duration of one step, s.
    values : int
        Most numbers in one response (steps x samples x outputs), which bounds the memory on both sides.
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
    """Positions of the parts of a substrate, enough to draw it.

    Parameters
    ----------
    unit : str
        SI symbol of all lengths here.
    segments : tuple of (x0, y0, x1, y1)
        Wires or tracks.
    points : tuple of (x, y)
        Junctions or cells.
    electrodes : dict of str to (x, y)
        Position of each channel by its name; a channel that is not listed has none.
    """

    unit: str
    segments: tuple[tuple[float, float, float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    electrodes: dict[str, tuple[float, float]] = {}


class SubstrateInfo(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Description of a substrate, and the limits of its stimuli.

    Parameters
    ----------
    id : str
        Identity of this one device: letters, digits, ``.``, ``_`` and ``-``.
    identity : {"serial", "host", "user", "parameters", "none", "unstated"}
        Source of the id: a serial number or name that the device itself states; the address it is reached at; a name
        that the user gave (``?id=``); a simulator's parameters; none, where other devices have the same id, which
        then can have no passport; or not stated by the adapter.
    kind : str
        The kind of matter, for instance ``"nanowire-network"``.
    inputs, outputs : tuple of Channel
        Ports, in the order of the columns of a drive and of a signal.
    step : float
        Default duration of a step, s.
    sampling_rate : float or None
        Samples per second of the signal; None where there is no signal, only spikes.
    spiking : bool
        Whether responses carry spikes.
    resettable : bool
        Whether the substrate can return to rest on command.
    limits : Limits
        Limits of a stimulus and its response, beyond the range of each input.
    rest : tuple of float
        Value of each input at rest, in its unit. Where it is not given: 0, or where the input's range does not
        contain 0 the end of the range nearest to it; of an input with levels, the level nearest to 0.
    parameters : dict
        The parameters that it was made with (seed, geometry, model), in the form that JSON gives them.
    layout : Layout, optional
        Positions of its parts, to draw it.
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
    identity: IdentitySource = "unstated"

    def __post_init__(self) -> None:
        if self.identity not in get_args(IdentitySource):
            raise ValueError(
                f"substrate {self.id!r} states the source of its id as {self.identity!r}; allowed are "
                + ", ".join(get_args(IdentitySource))
            )
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
                "at least one of each is needed"
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
            raise ValueError(
                f"substrate {self.id!r} has neither a signal nor spikes; give a sampling_rate, or spiking=True"
            )
        if self.sampling_rate is not None and not 0 < self.sampling_rate < float("inf"):
            raise ValueError(f"substrate {self.id!r} has sampling_rate {self.sampling_rate} Hz; give more than 0")
        try:
            plain = json.loads(json.dumps(msgspec.to_builtins(self.parameters), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"substrate {self.id!r} has parameters that JSON does not hold ({error}); allowed are finite numbers, "
                "text, lists and dictionaries with text as keys; convert the others"
            ) from None
        msgspec.structs.force_setattr(self, "parameters", plain)
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

    @cached_property
    def _common_range(self) -> tuple[float, float]:
        """Range that every input may be driven within; empty where an input takes only levels."""
        if any(channel.levels is not None for channel in self.inputs):
            return float("inf"), -float("inf")
        return max(channel.low for channel in self.inputs), min(channel.high for channel in self.inputs)

    def samples(self, step: float) -> int:
        """Return the number of samples of the signal in one step of that duration (s), at least one."""
        return 0 if self.sampling_rate is None else max(1, round(step * self.sampling_rate))

    def rest_drive(self, steps: int = 1) -> FloatArray:
        """Return a drive that keeps every input at rest, shape (steps, inputs)."""
        return np.tile(np.array(self.rest, dtype=np.float64), (steps, 1))

    def stimulus(self, drive: npt.ArrayLike, step: float | None = None) -> Stimulus:
        """Make a stimulus for this substrate and check it against the limits.

        Parameters
        ----------
        drive : array_like of float, shape (steps, inputs) or (inputs,)
            In the inputs' units; one row is one step.
        step : float, optional
            Duration of a step, s; the substrate's own by default.

        Raises
        ------
        StimulusRejected
            If the drive is malformed or outside the limits.
        """
        given = np.asarray(drive, dtype=np.float64)
        if given.ndim == 1 and given.shape[0] == len(self.inputs):
            given = given[np.newaxis]
        stimulus = Stimulus(given, self.step if step is None else step)
        self.admit(stimulus)
        return stimulus

    def admit(self, stimulus: Stimulus) -> None:
        """Check a stimulus against the limits; raise `StimulusRejected`, which names the limit, if it is outside.

        Called in the client before anything is sent, and again at the device.
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
        lowest, highest = self._common_range
        if lowest <= np.minimum.reduce(drive, axis=None) and np.maximum.reduce(drive, axis=None) <= highest:
            return  # the usual case; columns are checked one by one only if this does not decide
        low, high = drive.min(axis=0).tolist(), drive.max(axis=0).tolist()
        for column, channel in enumerate(self.inputs):
            if not (channel.low <= low[column] and high[column] <= channel.high):  # so that NaN is refused, too
                values = drive[:, column]
                row = int(np.flatnonzero(~((values >= channel.low) & (values <= channel.high)))[0])
                raise StimulusRejected(
                    f"step {row} drives {channel.name} with {values[row]:g} {channel.unit}",
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

    def check_response(self, stimulus: Stimulus, response: Response) -> None:
        """Check a response to a stimulus against this info; raise `ResponseMismatch` if its form differs.

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
    """Return the allowed value of a channel that is nearest to 0."""
    if channel.levels is not None:
        return min(channel.levels, key=abs)
    return min(max(0.0, channel.low), channel.high)


def _listed(items: Iterable[object], most: int = 8) -> str:
    """List the first items, with the number of those left out."""
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
