"""Linear maps between the units of data and the voltages of channels."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.substrate import FloatArray

__all__ = ["ClippedInputWarning", "VoltageScale", "checked_range", "label_volts"]


_LABEL_SHARE = 0.25
"""Part of the range of a label, around its middle, that is used by default."""


class ClippedInputWarning(UserWarning):
    """Inputs lie so far beyond those of the training that their voltages were set to the limits of the device."""


@dataclass(frozen=True, eq=False)
class VoltageScale:
    """Map of each column of data to a voltage, ``V = offset + gain * x``.

    Parameters
    ----------
    gain, offset : ndarray, shape (columns,)
        V per unit, V.
    low, high : ndarray, shape (columns,)
        Limits of the channels, V.
    in_volts : bool
        Whether the data are voltages.
    """

    gain: FloatArray
    offset: FloatArray
    low: FloatArray
    high: FloatArray
    in_volts: bool = False

    @classmethod
    def over(
        cls,
        smallest: FloatArray,
        largest: FloatArray,
        volts: tuple[FloatArray, FloatArray],
        limits: tuple[FloatArray, FloatArray],
    ) -> "VoltageScale":
        """Map the smallest and largest value of each column to two voltages; a constant column to their mean."""
        span = largest - smallest
        constant = ~(span > 0)
        gain = (volts[1] - volts[0]) / np.where(constant, 1.0, span)
        offset = np.where(constant, 0.5 * (volts[0] + volts[1]), volts[0]) - gain * smallest
        return cls(gain, offset, *limits)

    @classmethod
    def identity(cls, limits: tuple[FloatArray, FloatArray]) -> "VoltageScale":
        """Take data as voltages."""
        return cls(np.ones(len(limits[0])), np.zeros(len(limits[0])), *limits, in_volts=True)

    def volts(self, data: FloatArray) -> FloatArray:
        """Return the voltages of data (samples, columns), whatever the limits."""
        found: FloatArray = self.offset + self.gain * data
        return found

    def data(self, volts: FloatArray) -> FloatArray:
        """Return the data whose voltages these are."""
        found: FloatArray = (volts - self.offset) / self.gain
        return found

    def check_limits(self, name: str, data: FloatArray) -> None:
        """Refuse data whose voltages are beyond the limits.

        Raises
        ------
        ValueError
            With the first of them.
        """
        volts = self.volts(data)
        beyond = np.argwhere(~((volts >= self.low) & (volts <= self.high)))
        if len(beyond):
            row, column = beyond[0]
            raise ValueError(
                f"column {column} of {name} has {volts[row, column]:.6g} V in sample {row}; the device allows "
                f"{self.low[column]:g} to {self.high[column]:g} V: scale it, or leave that to the estimator with a "
                "range of None"
            )

    def within_limits(self, data: FloatArray) -> FloatArray:
        """Return voltages of data, set to the limits, with a warning, where they lie beyond.

        A rounding error beyond is set to the limit without one.
        """
        volts = self.volts(data)
        clipped: FloatArray = np.clip(volts, self.low, self.high)
        beyond = np.abs(volts - clipped) > 1e-9 * (self.high - self.low)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            warnings.warn(
                f"{int(beyond.any(axis=1).sum())} of {len(data)} samples have features beyond what the device takes "
                f"and were clipped, the first: feature {column} of sample {row} is {data[row, column]:.6g}, "
                f"{volts[row, column]:.4g} V; allowed are {self.low[column]:g} to {self.high[column]:g} V. Train with "
                "samples of the whole range, or give a narrower input_range",
                ClippedInputWarning,
                stacklevel=5,
            )
        return clipped


def checked_range(name: str, given: Any, limits: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the two voltages of each channel that a pair of numbers, or of sequences, asks for.

    Raises
    ------
    ValueError
        If it is no pair, or not rising within the limits.
    """
    low, high = limits
    try:
        first, last = (np.broadcast_to(np.asarray(end, dtype=np.float64), low.shape) for end in given)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} is {given!r}; give the voltages (low, high) of the smallest and largest value, 'volts' for data "
            "that are voltages, or None"
        ) from None
    wrong = np.flatnonzero(~((low - 1e-12 <= first) & (first < last) & (last <= high + 1e-12)))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"{name} is {first[k]:g} to {last[k]:g} V; give low < high within {low[k]:g} to {high[k]:g} V, the limits "
            f"of the device's channel {k}"
        )
    return first.copy(), last.copy()


def label_volts(given: Any, limits: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the voltages of low and high labels that are asked for; by default the middle quarter of their range."""
    if given is not None:
        return checked_range("label_range", given, limits)
    middle, half = 0.5 * (limits[0] + limits[1]), 0.5 * _LABEL_SHARE * (limits[1] - limits[0])
    return middle - half, middle + half
