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
from inmateria.notebook_html import layout_map, notebook_html
from inmateria.one_line import one_line
from inmateria.units import read_unit

__all__ = ["Channel", "IdentitySource", "Layout", "Limits", "SubstrateInfo"]

IdentitySource = Literal["serial", "host", "user", "parameters", "none", "unstated"]
"""Source of the id of a device; see `SubstrateInfo`."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FORMS_KEPT = 64
_least, _greatest = np.minimum.reduce, np.maximum.reduce  # their second argument is the axis; by name it takes longer


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a substrate.

    Parameters
    ----------
    name : str
        The name that the laboratory uses, for instance ``"e03"``.
    unit : str
        Unit in the notation of UCUM, such as ``"V"``, ``"uA/cm2"``, ``"Ohm"``, ``"spikes/s"`` or ``"%"``; ``"1"``
        for none. See `inmateria.units`.
    low, high : float
        Limits in that unit, ``low < high``. For an input, the smallest and largest allowed drive; for an output, its
        range.
    levels : tuple of float, optional
        All values that the channel can have, if it has discrete levels.
    floats : bool
        Whether the input can be left undriven for a step, by a drive of `FLOAT`.

    Raises
    ------
    ValueError
        If the name is empty, the unit is unknown, or the limits or levels are not valid.
    """

    name: str
    unit: str
    low: float
    high: float
    levels: tuple[float, ...] | None = None
    floats: bool = False

    __repr__ = one_line

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a channel's name is empty; give the name that the laboratory uses")
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
        Largest number of steps in one stimulus.
    shortest_step, longest_step : float
        Allowed duration of one step, s.
    values : int
        Largest number of values in one response (steps x samples x outputs), which bounds the memory on both sides.

    Raises
    ------
    ValueError
        If a limit is not positive, or the shortest step is longer than the longest.
    """

    steps: int = 1_000_000
    shortest_step: float = 1e-6
    longest_step: float = 3600.0
    values: int = 64_000_000

    __repr__ = one_line

    def __post_init__(self) -> None:
        if self.steps < 1 or self.values < 1:
            raise ValueError(f"limits allow {self.steps} steps and {self.values} values; give at least 1 of each")
        if not 0 < self.shortest_step <= self.longest_step < float("inf"):
            raise ValueError(
                f"limits allow steps from {self.shortest_step} to {self.longest_step} s; "
                "give 0 < shortest_step <= longest_step"
            )


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Positions of the parts of a substrate, for drawing it.

    Parameters
    ----------
    unit : str
        Unit of all lengths, as an SI symbol.
    segments : tuple of (x0, y0, x1, y1)
        Wires or tracks.
    points : tuple of (x, y)
        Junctions or cells.
    electrodes : dict of str to (x, y)
        Position of each channel by its name; the position of a channel that is not listed is unknown.
    """

    unit: str
    segments: tuple[tuple[float, float, float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    electrodes: dict[str, tuple[float, float]] = {}

    __repr__ = one_line


class SubstrateInfo(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Description of a substrate, and the limits of its stimuli.

    Parameters
    ----------
    id : str
        Identity of this device: letters, digits, ``.``, ``_`` and ``-``, beginning with a letter or a digit.
    identity : {"serial", "host", "user", "parameters", "none", "unstated"}
        Source of the id:

        - ``"serial"``: a serial number or name that the device itself states;
        - ``"host"``: the address at which it is reached;
        - ``"user"``: a name given by the user (``?id=``);
        - ``"parameters"``: the parameters of a simulator;
        - ``"none"``: other devices have the same id, so that the device cannot have a passport;
        - ``"unstated"``: the adapter does not state it.
    kind : str
        Kind of substrate, for instance ``"nanowire-network"``.
    inputs, outputs : tuple of Channel
        Channels, in the order of the columns of a drive and of a signal; at least one of each.
    step : float
        Default duration of a step, s.
    sampling_rate : float or None
        Samples of the signal per second, Hz; None if there is no signal, only spikes.
    spiking : bool
        Whether responses carry spikes.
    resettable : bool
        Whether the substrate can return to rest on command.
    limits : Limits
        Limits of a stimulus and its response, in addition to the range of each channel.
    rest : tuple of float
        Value of each input at rest, in its unit. By default 0, or the allowed value nearest to 0 if the input's range
        or levels do not contain 0.
    parameters : dict
        Parameters of the substrate (seed, geometry, model), converted to JSON types.
    layout : Layout, optional
        Positions of its parts, for drawing it.

    Raises
    ------
    ValueError
        If a field is not valid, or fields do not agree; the message says which.
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

    __repr__ = one_line

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

    def _repr_html_(self) -> str:
        limits = self.limits
        facts = {
            "kind": self.kind,
            "id": f"{self.id} (from: {self.identity})",
            "inputs": _channels_of(self.inputs),
            "outputs": _channels_of(self.outputs),
            "a step": f"{self.step:g} s, of {limits.shortest_step:g} to {limits.longest_step:g} s; "
            f"at most {limits.steps:,} at once",
            "measures": " and ".join(
                ([] if self.sampling_rate is None else [f"a signal, {self.sampling_rate:g} samples/s"])
                + (["spikes"] if self.spiking else [])
            ),
            "returns to rest on command": "yes" if self.resettable else "no",
            "parameters": _listed(f"{name}={value}" for name, value in self.parameters.items()),
        }
        if self.layout is None:
            return notebook_html(self.id, facts)
        parts = self.layout
        alt = (
            f"Map: {len(parts.segments):,} wires, {len(parts.points):,} points, {len(parts.electrodes)} channels "
            "(inputs red)"
        )
        inputs = (channel.name for channel in self.inputs)
        return notebook_html(self.id, facts, [layout_map(parts.segments, parts.points, parts.electrodes, inputs, alt)])

    @cached_property
    def floats(self) -> bool:
        """Whether any input can be left undriven for a step."""
        return any(channel.floats for channel in self.inputs)

    @cached_property
    def _common_range(self) -> tuple[float, float]:
        """Range that is allowed on every input; empty if an input has discrete levels."""
        if any(channel.levels is not None for channel in self.inputs):
            return float("inf"), -float("inf")
        return max(channel.low for channel in self.inputs), min(channel.high for channel in self.inputs)

    @cached_property
    def _signal_shapes(self) -> dict[tuple[tuple[int, ...], float], tuple[int, int, int] | None]:
        """Shape of the signal, by shape and step of the stimuli that were admitted lately."""
        return {}

    def samples(self, step: float) -> int:
        """Return the number of samples of the signal in one step.

        Parameters
        ----------
        step : float
            Duration of the step, s.

        Returns
        -------
        int
            At least one; 0 if the substrate has no signal.
        """
        return 0 if self.sampling_rate is None else max(1, round(step * self.sampling_rate))

    def rest_drive(self, steps: int = 1) -> FloatArray:
        """Return a drive that keeps every input at rest, shape (steps, inputs)."""
        return np.tile(np.array(self.rest, dtype=np.float64), (steps, 1))

    def stimulus(self, drive: npt.ArrayLike, step: float | None = None) -> Stimulus:
        """Make a stimulus for this substrate and check it against the limits.

        Parameters
        ----------
        drive : array_like of float, shape (steps, inputs) or (inputs,)
            In the inputs' units; one row is one step. `FLOAT` leaves an input undriven that has ``floats``.
        step : float, optional
            Duration of a step, s; the substrate's own by default.

        Raises
        ------
        StimulusRejected
            If the drive is malformed or outside the limits.
        ValueError
            If the drive is not an array of numbers.
        """
        given = np.asarray(drive, dtype=np.float64)
        if given.ndim == 1 and given.shape[0] == len(self.inputs):
            given = given[np.newaxis]
        stimulus = Stimulus(given, self.step if step is None else step, self.floats)
        self.admit(stimulus)
        return stimulus

    def admit(self, stimulus: Stimulus) -> None:
        """Check a stimulus against the limits.

        Called in the client before anything is sent, and again at the device.

        Raises
        ------
        StimulusRejected
            If the stimulus is outside a limit; the message states the limit.
        """
        drive = stimulus.drive
        if (drive.shape, stimulus.step) not in self._signal_shapes:
            self._admit_form(stimulus)
        lowest, highest = self._common_range
        if lowest <= _least(drive, None) and _greatest(drive, None) <= highest:
            return  # the usual case; columns are checked one by one only if this does not decide
        if self.floats:
            drive = self._without_floating(drive)
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

    def _admit_form(self, stimulus: Stimulus) -> None:
        """Check all but the values of a drive, and keep that it passes, since most stimuli are like the one before."""
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
        if len(self._signal_shapes) >= _FORMS_KEPT:
            self._signal_shapes.clear()
        self._signal_shapes[drive.shape, step] = self._signal_shape(stimulus)

    def _signal_shape(self, stimulus: Stimulus) -> tuple[int, int, int] | None:
        """Return the shape of the signal that a stimulus has to give; None where there is no signal."""
        if self.sampling_rate is None:
            return None
        return len(stimulus.drive), self.samples(stimulus.step), len(self.outputs)

    def _without_floating(self, drive: FloatArray) -> FloatArray:
        """Return the drive with the values at rest in place of `FLOAT`, where that is allowed."""
        allowed = np.isnan(drive) & [channel.floats for channel in self.inputs]
        return np.where(allowed, self.rest, drive)

    def check_response(self, stimulus: Stimulus, response: Response) -> None:
        """Check a response to a stimulus against this info.

        It must have a signal of shape (steps, samples, outputs) if there is a sampling rate, and none otherwise. It
        must have spikes if the substrate is spiking, each with the index of an output and a finite time, and none
        otherwise.

        Raises
        ------
        ResponseMismatch
            If the response does not have that form.
        """
        if not isinstance(response, Response):
            raise ResponseMismatch(
                f"a response is of type {type(response).__name__}",
                f"an adapter of {self.id} must return a Response",
                "the stimulus was applied; return Response(signal, spikes, start, sequence)",
            )
        signal, spikes = response.signal, response.spikes
        shape = self._signal_shapes.get((stimulus.drive.shape, stimulus.step)) or self._signal_shape(stimulus)
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
        if spikes is None:
            return
        if spikes.size and int(spikes["channel"].max()) >= len(self.outputs):
            raise ResponseMismatch(
                f"a response has a spike on channel {spikes['channel'].max()}",
                f"{self.id} has {len(self.outputs)} outputs, numbered from 0",
                "the stimulus was applied; correct the driver or its info",
            )
        if not np.isfinite(spikes["time"]).all():
            raise ResponseMismatch(
                f"a response has a spike at {spikes['time'][~np.isfinite(spikes['time'])][0]} s",
                "every spike needs a finite time on the device's clock",
                "the stimulus was applied; correct the driver",
            )


def _nearest_to_zero(channel: Channel) -> float:
    """Return the allowed value of a channel that is nearest to 0."""
    if channel.levels is not None:
        return min(channel.levels, key=abs)
    return min(max(0.0, channel.low), channel.high)


def _channels_of(channels: tuple[Channel, ...]) -> str:
    """Write channels with their range and unit, those of the same range together."""
    groups: dict[str, list[str]] = {}
    for channel in channels:
        levels = "" if channel.levels is None else f", {len(channel.levels)} levels"
        where = f"{channel.low:g} to {channel.high:g} {channel.unit}{levels}"
        groups.setdefault(where, []).append(channel.name)
    written = (f"{_ends(names)}: {where}" for where, names in groups.items())
    return (
        f"{len(channels)}: "
        + "; ".join(list(written)[:4])
        + (f" and {len(groups) - 4} more" if len(groups) > 4 else "")
    )


def _ends(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]} ... {names[-1]}"


def _listed(items: Iterable[object], most: int = 8) -> str:
    """List the first items, with the number of those left out."""
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
