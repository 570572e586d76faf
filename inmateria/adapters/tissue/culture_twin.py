"""A culture on a clock, for the soft twins of the platforms: it is advanced, with pulses, and gives its spikes.

The twins use only the interface of a culture that is defined here, so that any simulator with it can stand in.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inmateria.pulses import PulseArray
from inmateria.substrate import SPIKE, SpikeArray, SubstrateInfo

__all__ = ["Activity", "Culture", "CultureTwin"]


class Activity(Protocol):
    """The activity of a culture: spikes (time s, channel), and voltage (samples, electrodes) in V at 30 kHz."""

    @property
    def spikes(self) -> SpikeArray:
        """Spikes, by time."""

    @property
    def voltage(self) -> npt.NDArray[np.floating[Any]] | None:
        """Voltage of each electrode, V."""


class Culture(Protocol):
    """A simulated culture on an electrode array."""

    @property
    def info(self) -> SubstrateInfo:
        """Its description; one output for each electrode."""

    def run(self, duration: float, pulses: PulseArray | None = None, voltage: bool = False) -> Activity:
        """Go on for a duration (s), with pulses (an array of `PULSE`).

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
        """Samples since the beginning: its clock."""
        self.last: Activity | None = None
        """The activity at the last advance."""

    @property
    def now(self) -> float:
        """Time on its clock, s."""
        return self.samples / self.rate

    def advance(
        self, samples: int, pulses: PulseArray | None = None, voltage: bool = False
    ) -> tuple[SpikeArray, npt.NDArray[np.floating[Any]] | None]:
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
            given = pulses.copy()
            given["time"] = np.clip(pulses["time"] - start, 0, None)
            given = np.sort(given[given["time"] < duration], order="time")
        self.last = activity = self.culture.run(duration, given, voltage=voltage)
        spikes = np.zeros(len(activity.spikes), dtype=SPIKE)
        spikes["time"], spikes["channel"] = start + activity.spikes["time"], activity.spikes["channel"]
        self.samples += samples
        return spikes, activity.voltage
