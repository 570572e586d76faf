"""The bands of an amplifier channel as RHX sends them, from voltage and from the current of the stimulators."""

import math

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter, lfilter_zi

from inmateria.adapters.intan.stimulator import COMPLIANCE, NEGATIVE

__all__ = ["BandFilter", "amplifier_words", "dc_words", "stimulation_words"]

FloatArray = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint16]

_BIT = 0.195e-6  # V
_DC_BIT = 19.23e-3  # V
_RAIL = 7.0  # V, supply of the stimulators
# Cutoff relative to the asked one, and quality, of a second-order section (RHX, Engine/Processing/filter.cpp).
_SECTIONS = {"Bessel": (1.2736, 0.5773), "Butterworth": (1.0, 0.7071)}


class BandFilter:
    """RHX's software filter of second order, for any number of channels; it goes on from block to block.

    Parameters
    ----------
    kind : {"Bessel", "Butterworth"}
    highpass : bool
    cutoff : float
        Hz.
    rate : float
        Samples per second.
    """

    def __init__(self, kind: str, highpass: bool, cutoff: float, rate: float) -> None:
        moved, quality = _SECTIONS[kind]
        k = math.tan(math.pi * (cutoff / moved if highpass else cutoff * moved) / rate)
        scale = 1 / (1 + k / quality + k * k)
        self._b = scale * (np.array([1.0, -2.0, 1.0]) if highpass else k * k * np.array([1.0, 2.0, 1.0]))
        self._a = np.array([1.0, 2 * (k * k - 1) * scale, (1 - k / quality + k * k) * scale])
        self._state: FloatArray | None = None

    def __call__(self, voltage: FloatArray) -> FloatArray:
        """Filter samples, shape (samples, channels); the first sample counts as if it had always been there."""
        if self._state is None:
            self._state = np.outer(lfilter_zi(self._b, self._a), voltage[0])
        filtered, self._state = lfilter(self._b, self._a, voltage, axis=0, zi=self._state)
        return np.asarray(filtered)


def amplifier_words(voltage: FloatArray) -> Words:
    """Return voltage (V) as samples of the amplifiers: 0.195 uV per bit around 32,768."""
    return np.clip(np.round(voltage / _BIT) + 32768, 0, 65535).astype(np.uint16)


def dc_words(voltage: FloatArray) -> Words:
    """Return the voltage of electrodes (V) as samples of the DC amplifiers: -19.23 mV per bit around 512."""
    return np.clip(np.round(np.clip(voltage, -_RAIL, _RAIL) / -_DC_BIT + 512), 0, 1023).astype(np.uint16)


def stimulation_words(steps: npt.NDArray[np.int16], flags: Words, voltage: FloatArray, shown: Words) -> Words:
    """Return samples of the stimulation band: magnitude in 8 bits, sign, and flags.

    The magnitudes are not measured: RHX shows those that it read from its parameters when it started.

    Parameters
    ----------
    steps : ndarray of int
        Current, in steps.
    flags : ndarray of uint16
        Amplifier settle and charge recovery.
    voltage : ndarray of float
        Voltage of the electrodes, V: one beyond the supply of the stimulators sets the compliance bit.
    shown : ndarray of uint16, shape (2, electrodes)
        Magnitudes that are shown for positive and for negative currents.
    """
    magnitude = np.where(steps > 0, shown[0], np.where(steps < 0, shown[1], 0)).astype(np.uint16)
    words = magnitude | np.where(steps < 0, NEGATIVE, 0).astype(np.uint16) | flags
    return np.asarray(words | np.where(np.abs(voltage) > _RAIL, COMPLIANCE, 0).astype(np.uint16))
