"""A culture on a clock, as the soft twins of the platforms play it: advance it, with pulses, and get its spikes.

The twins know a culture only by what is written here, so that any simulator of one can stand in.
"""

from typing import Protocol

import numpy as np

from inmateria.adapters.tissue import PulseArray
from inmateria.substrate import SPIKE, FloatArray, SpikeArray, SubstrateInfo

__all__ = ["Activity", "Culture", "CultureTwin"]

CULTURE_PULSE = np.dtype(
    [("time", "<f8"), ("electrode", "<u4"), ("amplitude", "<f8"), ("phase_duration", "<f8"), ("polarity", "<i1")]
)


class Activity(Protocol):
    """What a culture did: spikes (time s, channel) and, on request, voltage (samples, electrodes) in V at 30 kHz."""

    @property
    def spikes(self) -> SpikeArray:
        """Spikes, by time."""

    @property
    def voltage(self) -> FloatArray | None:
        """Voltage of each electrode, V."""


class Culture(Protocol):
    """A simulated culture on an electrode array."""

    @property
    def info(self) -> SubstrateInfo:
        """What it is; one output for each electrode."""

    def run(self, duration: float, pulses: SpikeArray | None = None, voltage: bool = False) -> Activity:
        """Go on for a duration (s), with pulses (time, electrode, amplitude, phase_duration, polarity; SI units).

        Times of pulses and of the spikes in the answer count from the beginning of the run.
        """


class CultureTwin:
    """A culture and its clock.

    Parameters
    ----------
    culture : Culture
        Used by nothing else meanwhile.
    rate : float
        Samples per second of its clock; of the voltage too where that is asked for, at 30 kHz only.
    """

    def __init__(self, culture: Culture, rate: float = 30_000.0) -> None:
        self.culture, self.rate = culture, rate
        self.electrodes = len(culture.info.outputs)
        self.samples = 0
        """How many samples have gone by: its clock."""
        self.last: Activity | None = None
        """What the culture gave at the last advance."""

    @property
    def now(self) -> float:
        """Time on its clock, s."""
        return self.samples / self.rate

    def advance(
        self, samples: int, pulses: PulseArray | None = None, voltage: bool = False
    ) -> tuple[SpikeArray, FloatArray | None]:
        """Go on by so many samples.

        Parameters
        ----------
        samples : int
        pulses : ndarray of `PULSE`, optional
            On this clock; what would lie before its present begins now, what lies beyond these samples is not given.
        voltage : bool

        Returns
        -------
        spikes : ndarray of `SPIKE`
            On this clock.
        voltage : ndarray of float, shape (samples, electrodes), or None
            V.
        """
        duration, start = samples / self.rate, self.now
        given = None
        if pulses is not None and pulses.size:
            given = np.zeros(len(pulses), dtype=CULTURE_PULSE)
            given["time"] = np.clip(pulses["time"] - start, 0, None)
            given["electrode"], given["amplitude"] = pulses["electrode"], np.abs(pulses["amplitude"])
            given["phase_duration"], given["polarity"] = pulses["duration"], np.sign(pulses["amplitude"])
            given["polarity"][given["polarity"] == 0] = -1
            given = np.sort(given[given["time"] < duration], order="time")
        self.last = activity = self.culture.run(duration, given, voltage=voltage)
        spikes = np.zeros(len(activity.spikes), dtype=SPIKE)
        spikes["time"], spikes["channel"] = start + activity.spikes["time"], activity.spikes["channel"]
        self.samples += samples
        return spikes, activity.voltage
