"""Encodings of values as pulses for living tissue: by amplitude, rate, place or latency.

Each takes a series of values from 0 to 1 and gives each feature an electrode of its own, or the given electrodes.
A step of the series lasts `positions` substrate steps; a pulse is one of these with a drive that differs from rest.
The substrate decides on the shape of the pulse.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.substrate import Channel, FloatArray, SubstrateInfo

__all__ = ["PulseAmplitude", "PulseLatency", "PulsePlace", "PulseRate", "pulse_amplitude"]


@dataclass(frozen=True)
class _Pulses:
    """Parameters and checks that the pulse encodings share.

    Parameters
    ----------
    positions : int
        Substrate steps for one step of the series.
    strength : float
        Amplitude of a pulse, as a fraction of the way from rest to the input's upper limit.
    electrodes : tuple of int, or None
        Input of each feature; by default spread evenly over all inputs.
    """

    positions: int = 1
    strength: float = 0.5
    electrodes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.positions < 1 or not 0 < self.strength <= 1:
            raise ValueError(
                f"positions is {self.positions} and strength {self.strength}; give at least 1, and more than 0 and at "
                "most 1"
            )

    def _places(self, features: int, inputs: tuple[Channel, ...]) -> npt.NDArray[np.intp]:
        """Return the input of each feature."""
        if self.electrodes is None:
            if features > len(inputs):
                raise ValueError(f"{features} features do not go into {len(inputs)} inputs; give fewer features")
            return np.linspace(0, len(inputs) - 1, features).round().astype(np.intp)
        chosen = np.array(self.electrodes, dtype=np.intp)
        if len(chosen) != features or chosen.min() < 0 or chosen.max() >= len(inputs):
            raise ValueError(
                f"electrodes {self.electrodes} were given for {features} features and {len(inputs)} inputs; "
                "give one for each feature"
            )
        return chosen

    def _start(self, u: FloatArray, info: SubstrateInfo) -> tuple[FloatArray, FloatArray]:
        """Check the values; give a drive of rest (steps, positions, inputs) and the amplitude on each input."""
        if not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"values are from {u.min():g} to {u.max():g}; pulses encode values from 0 to 1")
        drive = np.tile(np.array(info.rest), (len(u), self.positions, 1))
        pairs = zip(info.inputs, info.rest, strict=True)
        return drive, np.array([pulse_amplitude(channel, self.strength, rest) for channel, rest in pairs])


def pulse_amplitude(channel: Channel, strength: float, rest: float = 0.0) -> float:
    """Return the drive of a pulse: a fraction of the way from rest to the channel's upper limit.

    Of a channel with levels, the nearest to that among the levels above rest.
    """
    wanted = rest + strength * (channel.high - rest)
    above = [level for level in channel.levels or () if level > rest]
    return min(above, key=lambda level: abs(level - wanted)) if above else wanted


@dataclass(frozen=True)
class PulseAmplitude(_Pulses):
    """Encode a value as the amplitude of one pulse at the start of each step: none for 0, `strength` for 1.

    On an input with discrete levels, the nearest level is used.

    Parameters
    ----------
    positions : int
        Number of substrate steps for each step of the series.
    strength : float
        Drive of the largest pulse, as a fraction of the way from rest to the input's upper limit.
    electrodes : tuple of int, optional
        Input of each feature; by default spread evenly over all inputs.
    """

    __repr__ = one_line

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Turn values (steps, features) into a drive (steps x positions, inputs)."""
        drive, amplitude = self._start(u, info)
        places = self._places(u.shape[1], info.inputs)
        rest = np.array(info.rest)[places]
        drive[:, 0, places] = rest + u * (amplitude[places] - rest)
        for place in places.tolist():
            if (levels := info.inputs[place].levels) is not None:
                known = np.array(levels)
                drive[:, 0, place] = known[np.abs(drive[:, 0, place, np.newaxis] - known).argmin(axis=1)]
        return drive.reshape(-1, len(info.inputs))


@dataclass(frozen=True)
class PulseRate(_Pulses):
    """Encode a value as the number of pulses, evenly spaced over each step: none for 0, `most` for 1.

    Parameters
    ----------
    positions, strength, electrodes
        See `PulseAmplitude`.
    most : int
        Number of pulses for the value 1; at most `positions`.
    """

    most: int = 1

    __repr__ = one_line

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.most <= self.positions:
            raise ValueError(f"most is {self.most} with {self.positions} positions; give 1 to {self.positions}")

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Turn values (steps, features) into a drive (steps x positions, inputs)."""
        drive, amplitude = self._start(u, info)
        places = self._places(u.shape[1], info.inputs)
        for count in range(1, self.most + 1):
            at = np.arange(count) * self.positions // count
            steps, features = np.nonzero(np.round(u * self.most) == count)
            drive[steps[:, np.newaxis], at, places[features][:, np.newaxis]] = amplitude[places[features], np.newaxis]
        return drive.reshape(-1, len(info.inputs))


@dataclass(frozen=True)
class PulsePlace(_Pulses):
    """Encode a value as the electrode of one pulse at the start of each step.

    The electrodes, or those in `electrodes`, are divided equally among the features, in order. Within the part of a
    feature, each electrode stands for an equal interval of the values from 0 to 1.

    Parameters
    ----------
    positions, strength, electrodes
        See `PulseAmplitude`.
    width : int
        Number of neighbouring electrodes in that order that are stimulated together, within the part of the feature.
    """

    width: int = 1

    __repr__ = one_line

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}; give at least 1 electrode")

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Turn values (steps, features) into a drive (steps x positions, inputs)."""
        drive, amplitude = self._start(u, info)
        every = np.arange(len(info.inputs)) if self.electrodes is None else np.array(self.electrodes, dtype=np.intp)
        share = len(every) // u.shape[1]
        if share < 2:
            raise ValueError(f"{u.shape[1]} features share {len(every)} electrodes; each needs two or more: give fewer")
        centre = np.minimum((u * share).astype(np.intp), share - 1)
        for offset in range(-((self.width - 1) // 2), self.width // 2 + 1):
            within = np.clip(centre + offset, 0, share - 1)
            places = every[within + share * np.arange(u.shape[1])]
            drive[np.arange(len(u))[:, np.newaxis], 0, places] = amplitude[places]
        return drive.reshape(-1, len(info.inputs))


@dataclass(frozen=True)
class PulseLatency(_Pulses):
    """Encode a value as the time of one pulse in each step: at its start for 1, at its end for 0.

    Parameters
    ----------
    positions, strength, electrodes
        See `PulseAmplitude`; the time is rounded to one of the positions.
    """

    __repr__ = one_line

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Turn values (steps, features) into a drive (steps x positions, inputs)."""
        drive, amplitude = self._start(u, info)
        places = self._places(u.shape[1], info.inputs)
        at = np.round((1.0 - u) * (self.positions - 1)).astype(np.intp)
        drive[np.arange(len(u))[:, np.newaxis], at, places] = amplitude[places]
        return drive.reshape(-1, len(info.inputs))
