"""Features of each step of a series, extracted from the responses of a substrate.

A feature extractor turns a response into an array (steps, features); `positions` substrate steps
belong to one step of the series (see `encoding`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inmateria.exchange import evenly_spaced
from inmateria.one_line import one_line
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
    """Samples of the signal within each step: virtual nodes in time.

    Parameters
    ----------
    samples : int, optional
        Number of samples to take of every substrate step, evenly spaced and ending with its last; all by default.
    outputs : tuple of str, optional
        Names of the output channels to take; all by default.
    """

    samples: int | None = None
    outputs: tuple[str, ...] | None = None

    __repr__ = one_line

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
        return np.arange(available) if self.samples is None else evenly_spaced(self.samples, available)

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
    """Number of spikes of every output within each bin of a step.

    Parameters
    ----------
    bins : int
        Number of equal bins within each substrate step.
    """

    bins: int = 1

    __repr__ = one_line

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
    """`VirtualNodes` of a substrate with a signal; `SpikeCounts` of one with spikes only.

    Parameters
    ----------
    samples : int, optional
        Number of samples of every substrate step, or of bins in which spikes are counted; by default all samples, or
        one bin.
    """

    samples: int | None = None

    __repr__ = one_line

    def extract(self, response: Response, stimulus: Stimulus, info: SubstrateInfo, positions: int) -> FloatArray:
        """Take the samples of every output, or count its spikes."""
        return self._of(info).extract(response, stimulus, info, positions)

    def names(self, info: SubstrateInfo, step: float, positions: int) -> list[str]:
        """Name each feature ``output@position.sample``, or ``output@position.bin``."""
        return self._of(info).names(info, step, positions)

    def _of(self, info: SubstrateInfo) -> VirtualNodes | SpikeCounts:
        return VirtualNodes(self.samples) if info.sampling_rate is not None else SpikeCounts(self.samples or 1)
