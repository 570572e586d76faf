"""What tasks on living neurons share: how values become pulses there, and what is read of the spikes.

One platform takes any current at any electrode and tells when each spike came; another only releases what was
loaded into a few triggers, and tells how many spikes there were. By default a task takes what it finds, so that one
command runs on all of them; what a platform cannot do is refused before anything is sent.
"""

from typing import Annotated, Literal

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
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import Channel, FloatArray, SubstrateInfo

__all__ = [
    "Encoding",
    "PulsedSettings",
    "binned",
    "checked_positions",
    "given_values",
    "places_of",
    "prepare",
    "sort_of",
]

Encoding = Literal["auto", "amplitude", "rate", "place", "latency"]


class PulsedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of every one of these tasks.

    Parameters
    ----------
    seed : int
        Of everything random.
    encoding : {"auto", "amplitude", "rate", "place", "latency"}
        What of a pulse says the value: how strong, how many, on which electrode, or when. By default amplitude, or
        place where a platform's inputs know only on and off.
    features : {"counts", "rates", "latency"}
        What is read: numbers of spikes, rates that fade, or how soon each output's first spike came.
    strength : float
        Amplitude of the strongest pulse, as a fraction of the inputs' upper limit.
    width : int
        Neighbouring electrodes that are stimulated together, where the place says the value.
    most : int
        Pulses for the largest value, where their number says it.
    time_constant : float
        In which rates fade, s.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    rest : float
        Seconds without pulses after each trial.
    round_trips : int
        Single-step exchanges without pulses made before the run to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    encoding: Encoding = "auto"
    features: Literal["counts", "rates", "latency"] = "counts"
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    width: Annotated[int, Meta(ge=1)] = 3
    most: Annotated[int, Meta(ge=1)] = 4
    time_constant: Annotated[float, Meta(gt=0.0)] = 0.05
    step: Annotated[float, Meta(gt=0.0)] | None = None
    rest: Annotated[float, Meta(ge=0.0)] = 0.5
    round_trips: Annotated[int, Meta(ge=1)] = 50


def sort_of(encoding: Encoding, info: SubstrateInfo) -> Encoding:
    """Say which encoding ``"auto"`` is on a substrate."""
    if encoding != "auto":
        return encoding
    return "place" if any(channel.levels is not None for channel in info.inputs) else "amplitude"


def prepare(reservoir: PhysicalReservoir, settings: PulsedSettings, seconds: float) -> int:
    """Give a reservoir that is entered its encoding and features; return the substrate steps of one value.

    Raises
    ------
    ValueError
        Where the substrate cannot give such features, or its steps are too long for such an encoding.
    """
    info, step = reservoir.info, reservoir.duration_of_step
    positions = checked_positions(reservoir, seconds)
    counts = spike_counts(info)  # refuses what has no spikes
    if settings.features != "counts" and not info.spiking:
        raise ValueError(f"{info.id} counts spikes and does not say when they came; use features=counts")
    reservoir.features = (
        counts
        if settings.features == "counts"
        else FilteredRates(settings.time_constant)
        if settings.features == "rates"
        else FirstSpikeLatency()
    )
    sort = sort_of(settings.encoding, info)
    if sort in ("rate", "latency") and positions < 2:
        raise ValueError(
            f"{sort} tells one value from another by several steps within {seconds:g} s; a step of {info.id} takes "
            f"{step:g} s: give each value more time, or use encoding=place"
        )
    strength = settings.strength
    if sort == "amplitude":
        reservoir.encoding = PulseAmplitude(positions, strength)
    elif sort == "rate":
        reservoir.encoding = PulseRate(positions, strength, most=min(settings.most, positions))
    elif sort == "latency":
        reservoir.encoding = PulseLatency(positions, strength)
    else:
        reservoir.encoding = PulsePlace(positions, strength, width=settings.width)
    return positions


def checked_positions(reservoir: PhysicalReservoir, seconds: float) -> int:
    """Count the steps that come nearest to some seconds, at least one."""
    return max(1, round(seconds / reservoir.duration_of_step))


def binned(X: FloatArray, settings: PulsedSettings, positions: int, bins: int, outputs: int) -> FloatArray:
    """Sum features up within equal bins of each value's steps; shape (values, bins x outputs).

    Counts add up, of rates the last one stands, and latencies are of the whole time already.
    """
    if settings.features == "latency":
        return X
    by_step = X.reshape(len(X), positions, outputs)
    edges = np.linspace(0, positions, min(bins, positions) + 1).round().astype(int)
    if settings.features == "rates":
        return by_step[:, edges[1:] - 1].reshape(len(X), -1)
    summed: FloatArray = np.add.reduceat(by_step, edges[:-1], axis=1).reshape(len(X), -1)
    return summed


def given_values(reservoir: PhysicalReservoir, u: FloatArray) -> FloatArray:
    """Give the pulses themselves as features (values, steps x inputs): what a readout has without neurons."""
    return reservoir.encode(u).reshape(len(u), -1)


def places_of(info: SubstrateInfo, channels: tuple[Channel, ...]) -> FloatArray:
    """Give the place of each channel (channels, 2): its own, or in rows of a square where places are not known."""
    places = info.layout.electrodes if info.layout else {}
    if all(channel.name in places for channel in channels):
        return np.array([places[channel.name] for channel in channels], dtype=np.float64)
    side = int(np.ceil(np.sqrt(len(channels))))
    at = np.arange(len(channels))
    return np.column_stack([at % side, at // side]).astype(np.float64)
