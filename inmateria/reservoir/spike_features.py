"""Features of spikes other than counts: filtered rates, and latencies of the first spike."""

from dataclasses import dataclass

import numpy as np

from inmateria.one_line import one_line
from inmateria.reservoir.features import Features, SpikeCounts, VirtualNodes
from inmateria.substrate import FloatArray, Response, Stimulus, SubstrateInfo

__all__ = ["FilteredRates", "FirstSpikeLatency"]


@dataclass(frozen=True)
class FilteredRates:
    """Rate of every output at the end of each step, Hz, each spike fading exponentially.

    Spikes before the start of the response are not known and count as none.

    Parameters
    ----------
    time_constant : float
        Time constant of the decay, s.
    """

    time_constant: float = 0.1

    __repr__ = one_line

    def __post_init__(self) -> None:
        if not 0 < self.time_constant < float("inf"):
            raise ValueError(f"time_constant is {self.time_constant}; give a finite number of seconds above 0")

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Filter the spikes and return the rate of every output at the end of each step, shape (steps, features)."""
        if response.spikes is None:
            raise ValueError(f"{info.id} gives a signal and no spikes; use VirtualNodes instead of FilteredRates")
        steps = len(stimulus.drive)
        into = (response.spikes["time"] - response.start) / stimulus.step
        step_of = np.floor(into).astype(np.intp)
        within = (step_of >= 0) & (step_of < steps)
        rates = np.zeros((steps, len(info.outputs)))
        left = (step_of[within] + 1 - into[within]) * stimulus.step
        fresh = np.exp(-left / self.time_constant) / self.time_constant
        np.add.at(rates, (step_of[within], response.spikes["channel"][within]), fresh)
        keep = np.exp(-stimulus.step / self.time_constant)
        for step in range(1, steps):
            rates[step] += keep * rates[step - 1]
        return rates.reshape(steps // positions, -1)

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature ``output@position``."""
        return [f"{channel.name}@{position}" for position in range(positions) for channel in info.outputs]


@dataclass(frozen=True)
class FirstSpikeLatency:
    """Latency of the first spike of each output after the start of each step of the series, s.

    The latency of an output without a spike is the duration of the step.
    """

    __repr__ = one_line

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Return the latency of the first spike of every step and output, shape (steps, outputs)."""
        if response.spikes is None:
            raise ValueError(f"{info.id} gives a signal and no spikes; use VirtualNodes instead of FirstSpikeLatency")
        length = positions * stimulus.step
        steps = len(stimulus.drive) // positions
        into = response.spikes["time"] - response.start
        step_of = np.floor(into / length).astype(np.intp)
        within = (step_of >= 0) & (step_of < steps)
        latencies = np.full((steps, len(info.outputs)), length)
        at = (step_of[within], response.spikes["channel"][within])
        np.minimum.at(latencies, at, into[within] - step_of[within] * length)
        return latencies

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature as its output."""
        return [channel.name for channel in info.outputs]


def spike_counts(info: SubstrateInfo) -> Features:
    """Return features that count spikes, for a spiking substrate or one whose signal is the counts of a culture.

    Raises
    ------
    ValueError
        If the substrate gives neither spikes nor counts.
    """
    if info.spiking:
        return SpikeCounts()
    if info.kind == "neural-culture" and all(channel.unit == "1" for channel in info.outputs):
        return VirtualNodes(samples=1)
    raise ValueError(
        f"{info.id} ({info.kind}) gives no spikes, which this protocol counts; give a culture, such as culture://"
    )
