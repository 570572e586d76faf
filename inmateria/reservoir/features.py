"""From what a substrate answered to what a readout sees: features of each step of the series.

A feature extractor turns a response into an array (steps, features); `positions` substrate steps
belong to one step of the series (see `encoding`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]


class Features(Protocol):
    """Turns a response into features."""

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Turn the response to a stimulus into features (steps, features)."""

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name the features, in their order, for a substrate step of that duration in s."""


@dataclass(frozen=True)
class VirtualNodes:
    """The signal itself, at some samples within each step: virtual nodes in time.

    Parameters
    ----------
    samples : int, optional
        How many samples of every substrate step to take, evenly spaced and ending with its last;
        all of them by default.
    outputs : tuple of str, optional
        Names of the output channels to take; all of them by default.
    """

    samples: int | None = None
    outputs: tuple[str, ...] | None = None

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Take the chosen samples of the chosen outputs, position by position."""
        if response.signal is None:
            raise ValueError(f"{info.id} gives spikes and no signal; use SpikeCounts instead of VirtualNodes")
        chosen = response.signal[:, self._taken(response.signal.shape[1])][:, :, self._columns(info)]
        return chosen.reshape(len(chosen) // positions, -1)

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature ``output@position.sample``."""
        columns = self._columns(info)
        return [
            f"{info.outputs[column].name}@{position}.{sample}"
            for position in range(positions)
            for sample in self._taken(info.samples(step))
            for column in columns
        ]

    def _taken(self, available: int) -> npt.NDArray[np.intp]:
        if self.samples is None or self.samples == available:
            return np.arange(available)
        if not 1 <= self.samples <= available:
            raise ValueError(
                f"{self.samples} samples of each step were asked for; there are {available}: ask for 1 to "
                f"{available}, or make the step longer"
            )
        return np.linspace(available / self.samples, available, self.samples).round().astype(np.intp) - 1

    def _columns(self, info: SubstrateInfo) -> list[int]:
        names = [channel.name for channel in info.outputs]
        if self.outputs is None:
            return list(range(len(names)))
        unknown = sorted(set(self.outputs) - set(names))
        if unknown:
            raise ValueError(f"{info.id} has no outputs {unknown}; it has {names}")
        return [names.index(name) for name in self.outputs]


@dataclass(frozen=True)
class SpikeCounts:
    """How many spikes every output gave within each bin of a step.

    Parameters
    ----------
    bins : int
        Equal bins within each substrate step.
    """

    bins: int = 1

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Count the spikes of every bin and output."""
        if response.spikes is None:
            raise ValueError(f"{info.id} gives a signal and no spikes; use VirtualNodes instead of SpikeCounts")
        steps, outputs = len(stimulus.drive), len(info.outputs)
        counts = np.zeros((steps * self.bins, outputs))
        bin_of = np.floor((response.spikes["time"] - response.start) / (stimulus.step / self.bins)).astype(np.intp)
        within = (bin_of >= 0) & (bin_of < len(counts))
        np.add.at(counts, (bin_of[within], response.spikes["channel"][within]), 1.0)
        return counts.reshape(steps // positions, -1)

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature ``output@position.bin``."""
        return [
            f"{channel.name}@{position}.{each}"
            for position in range(positions)
            for each in range(self.bins)
            for channel in info.outputs
        ]


@dataclass(frozen=True)
class SignalOrCounts:
    """The signal of a substrate that has one, as `VirtualNodes`; of one that only spikes, as `SpikeCounts`.

    Parameters
    ----------
    samples : int, optional
        Samples of every substrate step, or bins in which spikes are counted; by default all samples, or one bin.
    """

    samples: int | None = None

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Take the samples of every output, or count its spikes."""
        return self._of(info).extract(response, stimulus, info, positions)

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature ``output@position.sample``, or ``output@position.bin``."""
        return self._of(info).names(info, step, positions)

    def _of(self, info: SubstrateInfo) -> VirtualNodes | SpikeCounts:
        return VirtualNodes(self.samples) if info.sampling_rate is not None else SpikeCounts(self.samples or 1)
