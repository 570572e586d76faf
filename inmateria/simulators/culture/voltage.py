"""The raw voltage of a culture's electrodes: spike waveforms, amplifier noise and stimulation artefacts.

Sampled at 30 kHz, after the band-pass that platforms apply; in V. Nothing shows before its cause, so that a recording
made in parts equals one made in a single run.
"""

import math
from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

SAMPLING_RATE = 30_000.0
MEMORY = 15e-3
"""Longest time after a spike or pulse in which it shows in the voltage, s."""

_SPIKE = 2.5e-3  # s
_TROUGH = 0.4e-3  # s after the neuron fires
_ARTEFACT = 1e-3  # V per uA at the stimulated electrode
_ARTEFACT_DECAY = 1.2e-3  # s
_ARTEFACT_RANGE = 60.0  # um
_RAIL = 5e-3  # V, where the amplifier saturates


@cache
def waveform() -> FloatArray:
    """Return the shape of an extracellular spike, peak -1: a sharp trough and a slow, small return."""
    t = np.arange(round(_SPIKE * SAMPLING_RATE)) / SAMPLING_RATE - _TROUGH
    shape = -np.exp(-((t / 0.13e-3) ** 2)) + 0.3 * np.exp(-(((t - 0.6e-3) / 0.35e-3) ** 2))
    shape /= -shape.min()
    shape.flags.writeable = False
    return np.asarray(shape)


def first_sample(time: float) -> int:
    """Return the number of the first sample at or after a time in s, counted from 0 s."""
    return math.ceil(time * SAMPLING_RATE - 1e-6)


def render_voltage(
    begin: float,
    end: float,
    fired: tuple[FloatArray, IntArray],
    audible: tuple[IntArray, IntArray, FloatArray],
    pulses: npt.NDArray[np.void],
    electrodes: FloatArray,
    noise: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Synthesise the voltage of every electrode between two times.

    Parameters
    ----------
    begin, end : float
        s on the culture's clock, as all times here.
    fired : tuple of ndarray
        Times and neurons of all spikes from `MEMORY` before the beginning on.
    audible : tuple of ndarray
        First pair of each neuron, electrode and peak (V) of each pair.
    pulses : ndarray of `PULSE`
        From `MEMORY` before the beginning on.
    electrodes : ndarray, shape (electrodes, 2)
        um.
    noise : float
        Standard deviation, V.
    rng : Generator
        Used for the noise only.

    Returns
    -------
    ndarray of float32, shape (samples, electrodes)
    """
    origin = first_sample(begin)
    samples = max(0, first_sample(end) - origin)
    voltage = rng.standard_normal((samples, len(electrodes)), dtype=np.float32)
    voltage *= np.float32(noise)
    _add_spikes(voltage, origin, fired, audible)
    for pulse in pulses:
        _add_artefact(voltage, origin, pulse, electrodes)
    return np.clip(voltage, -_RAIL, _RAIL, out=voltage)


def _add_spikes(
    voltage: npt.NDArray[np.float32],
    origin: int,
    fired: tuple[FloatArray, IntArray],
    audible: tuple[IntArray, IntArray, FloatArray],
) -> None:
    times, neurons = fired
    shape = waveform()
    sample = np.round(times * SAMPLING_RATE).astype(np.intp) - origin
    shown = (sample > -len(shape)) & (sample < len(voltage))  # of the others nothing lies between the two times
    with log_compilation("the culture's voltage", _add_shapes):  # called without spikes too: the first run loads it
        _add_shapes(voltage, shape, sample[shown], neurons[shown], *audible)


@numba.njit(nogil=True, cache=True)
def _add_shapes(
    voltage: npt.NDArray[np.float32],
    shape: FloatArray,
    sample: IntArray,
    neurons: IntArray,
    first: IntArray,
    electrode: IntArray,
    peak: FloatArray,
) -> None:
    """Add the shapes of spikes, sample after sample of all: in this order the sums are the same bits at any size."""
    for k in range(len(shape)):
        for spike in range(len(sample)):
            row = sample[spike] + k
            if 0 <= row < len(voltage):
                for pair in range(first[neurons[spike]], first[neurons[spike] + 1]):
                    voltage[row, electrode[pair]] += np.float32(-shape[k] * peak[pair])


def _add_artefact(voltage: npt.NDArray[np.float32], origin: int, pulse: np.void, electrodes: FloatArray) -> None:
    start = first_sample(float(pulse["time"]))
    lo, hi = max(start, origin), min(start + round(MEMORY * SAMPLING_RATE), origin + len(voltage))
    if lo >= hi:
        return
    t = np.arange(lo, hi) / SAMPLING_RATE - float(pulse["time"])
    first, second = float(pulse["amplitude"]), float(pulse["second_amplitude"])
    turn = float(pulse["duration"])
    end = turn + float(pulse["second_duration"])
    t += 1e-9  # a sample on the border of two phases is of the later one, however it was rounded
    shape = np.where(t < turn, first, np.where(t < end, second, 0.5 * second * np.exp(-(t - end) / _ARTEFACT_DECAY)))
    place = electrodes[int(pulse["electrode"])]
    distance = np.hypot(*(electrodes - place).T)
    size = _ARTEFACT * 1e6 / (1 + distance / _ARTEFACT_RANGE)
    voltage[lo - origin : hi - origin] += np.outer(shape, size).astype(np.float32)
