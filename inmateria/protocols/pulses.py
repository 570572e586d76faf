"""Pulses and spikes for tasks on living neurons: settings, encodings, features, and the places of channels.

One platform takes any current at any electrode and reports when each spike came; another only releases what was loaded
into a few triggers, and reports the number of spikes. By default a task uses what the platform has, so that one command
runs on all of them; what a platform cannot do is refused before anything is sent.
"""

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.reservoir import (
    FilteredRates,
    FirstSpikeLatency,
    PhysicalReservoir,
    PulseAmplitude,
    PulseLatency,
    PulsePlace,
    PulseRate,
)
from inmateria.reservoir.encoding import Encoding
from inmateria.reservoir.features import Features
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import Channel, FloatArray, SubstrateInfo

__all__ = [
    "EncodedValueSettings",
    "EncodingName",
    "FeaturesName",
    "PulseSettings",
    "bin_spikes",
    "encoding_for",
    "encoding_of",
    "features_of",
    "places_of",
    "steps_within",
    "unused_by_levels",
    "unused_with_values",
]

EncodingName = Literal["auto", "amplitude", "rate", "place", "latency"]
FeaturesName = Literal["counts", "rates", "latency"]


class PulseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every task whose trials are pulses.

    Parameters
    ----------
    strength : float
        Amplitude of the strongest pulse, as a fraction of the way from rest to the inputs' upper limit.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    round_trips : int
        Exchanges of a single step without pulses made first, to measure the round trip.
    """

    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    step: Annotated[float, Meta(gt=0.0)] | None = None
    round_trips: Annotated[int, Meta(ge=1)] = 50


class EncodedValueSettings(PulseSettings, frozen=True, kw_only=True):
    """Settings of every task that encodes values as pulses.

    Parameters
    ----------
    encoding : {"place", "auto", "amplitude", "rate", "latency"}
        The property of the pulses that encodes a value: the electrode, the strength, the number, or the time. With
        ``"auto"`` the strength, or the place if a platform's inputs are only on or off.
    features : {"counts", "rates", "latency"}
        What is read: numbers of spikes, rates that fade, or the time of each output's first spike.
    width : int
        Neighbouring electrodes that are stimulated together, if the place encodes the value.
    most : int
        Pulses for the largest value, if their number encodes it.
    time_constant : float
        Of the rates that fade, s.
    """

    encoding: EncodingName = "place"
    features: FeaturesName = "counts"
    width: Annotated[int, Meta(ge=1)] = 3
    most: Annotated[int, Meta(ge=1)] = 4
    time_constant: Annotated[float, Meta(gt=0.0)] = 0.05


def encoding_for(encoding: EncodingName, info: SubstrateInfo) -> EncodingName:
    """Name the encoding that ``"auto"`` means for a substrate."""
    if encoding != "auto":
        return encoding
    return "place" if any(channel.levels is not None for channel in info.inputs) else "amplitude"


def unused_with_values(settings: Any, info: SubstrateInfo) -> dict[str, str]:
    """Name the settings of encoding and features that have no effect with those chosen, each with the reason.

    Parameters
    ----------
    settings : EncodedValueSettings, or the settings of another task that has some of its fields
    info : SubstrateInfo
    """
    unused = unused_by_levels(settings, info)
    if isinstance(settings, EncodedValueSettings):
        name = encoding_for(settings.encoding, info)
        unused |= {
            field: f"only encoding={used_by} uses it, and the encoding is {name}"
            for field, used_by in (("width", "place"), ("most", "rate"))
            if name != used_by
        }
    if settings.features != "rates":
        unused["time_constant"] = f"only features=rates uses it, and the features are {settings.features}"
    if settings.features == "latency":
        unused["bins"] = "features=latency takes the first spike of the whole time"
    return unused


def unused_by_levels(settings: Any, info: SubstrateInfo) -> dict[str, str]:
    """Name the settings of amplitudes, if every input is only on or off, each with the reason."""
    for channel, rest in zip(info.inputs, info.rest, strict=True):
        if len([level for level in channel.levels or () if level > rest]) != 1:
            return {}
    reason = f"the inputs of {info.id} are only on or off"
    return {name: reason for name in ("strength", "amplitudes") if hasattr(settings, name)}


def encoding_of(settings: EncodedValueSettings, reservoir: PhysicalReservoir, seconds: float) -> Encoding:
    """Make the encoding of values that each last some seconds, for a reservoir that is entered.

    Raises
    ------
    ValueError
        If the substrate's steps are too long for such an encoding.
    """
    info, strength = reservoir.info, settings.strength
    positions = steps_within(reservoir, seconds)
    name = encoding_for(settings.encoding, info)
    if name in ("rate", "latency") and positions < 2:
        raise ValueError(
            f"encoding={name} needs several steps within {seconds:g} s; a step of {info.id} takes "
            f"{reservoir.duration_of_step:g} s; give each value more time, or use encoding=place"
        )
    if name == "amplitude":
        return PulseAmplitude(positions, strength)
    if name == "rate":
        return PulseRate(positions, strength, most=min(settings.most, positions))
    if name == "latency":
        return PulseLatency(positions, strength)
    return PulsePlace(positions, strength, width=settings.width)


def features_of(name: FeaturesName, time_constant: float, info: SubstrateInfo) -> Features:
    """Make the features that read a substrate's spikes.

    Raises
    ------
    ValueError
        If the substrate does not give such features.
    """
    counts = spike_counts(info)
    if name == "counts":
        return counts
    if not info.spiking:
        raise ValueError(
            f"features={name} needs the times of spikes; {info.id} counts spikes and does not say when they came; "
            "use features=counts"
        )
    return FilteredRates(time_constant) if name == "rates" else FirstSpikeLatency()


def steps_within(reservoir: PhysicalReservoir, seconds: float) -> int:
    """Count the steps that come nearest to some seconds, at least one."""
    return max(1, round(seconds / reservoir.duration_of_step))


def bin_spikes(X: FloatArray, features: FeaturesName, positions: int, bins: int) -> FloatArray:
    """Reduce the features of each value's steps to equal bins.

    Counts are summed over a bin, of rates the last one is taken, and latencies are of the whole time already.

    Parameters
    ----------
    X : ndarray of float, shape (values, positions x outputs), or (values, outputs) of latencies
    features : {"counts", "rates", "latency"}
        What `X` holds.
    positions : int
        Steps of each value.
    bins : int
        At most `positions`, which is taken if there are more.

    Returns
    -------
    ndarray of float, shape (values, bins x outputs)
    """
    if features == "latency":
        return X
    by_step = X.reshape(len(X), positions, -1)
    edges = np.linspace(0, positions, min(bins, positions) + 1).round().astype(int)
    if features == "rates":
        return by_step[:, edges[1:] - 1].reshape(len(X), -1)
    summed: FloatArray = np.add.reduceat(by_step, edges[:-1], axis=1).reshape(len(X), -1)
    return summed


def places_of(info: SubstrateInfo, channels: tuple[Channel, ...]) -> FloatArray:
    """Return the place of each channel (channels, 2): its own, or in rows of a square if places are not known."""
    places = info.layout.electrodes if info.layout else {}
    if all(channel.name in places for channel in channels):
        return np.array([places[channel.name] for channel in channels], dtype=np.float64)
    side = int(np.ceil(np.sqrt(len(channels))))
    at = np.arange(len(channels))
    return np.column_stack([at % side, at // side]).astype(np.float64)
