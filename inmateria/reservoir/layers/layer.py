"""One layer of a physical stack: stimuli from port values, features from responses."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.reservoir.features import Features, VirtualNodes
from inmateria.reservoir.layers.port_encoder import drive_of
from inmateria.substrate import FloatArray, Stimulus, Substrate, SubstrateInfo

_CHUNK_VALUES = 1_000_000
"""Number of values in a response (8 MB) above which a batch is split into several stimuli."""


@dataclass(frozen=True, kw_only=True)
class PhysicalLayer:
    """One layer of a `PhysicalStack`: ports -> substrate -> features.

    Parameters
    ----------
    substrate : Substrate or str
        A string is a URI for `connect`.
    features : Features, optional
        Turns a response into features; every sample of every output by default.
    amplitude : float
        Fraction of each input's range, around its middle, that ports are mapped to.
    gain : float
        Standard deviation of the ports before their tanh.
    hold : int
        Number of substrate steps for which each step of a sample is held; each gives virtual nodes.
    rest : float
        Seconds at rest after each sample, for a substrate with memory to forget it.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    """

    substrate: Substrate | str
    features: Features = field(default_factory=VirtualNodes)
    amplitude: float = 1.0
    gain: float = 0.3
    hold: int = 1
    rest: float = 0.0
    step: float | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        if not 0 < self.amplitude <= 1 or not 0 < self.gain < math.inf:
            raise ValueError(
                f"amplitude is {self.amplitude} and gain {self.gain}; "
                "amplitude must be more than 0 and at most 1, gain finite and more than 0"
            )
        if self.hold < 1 or not 0 <= self.rest < math.inf:
            raise ValueError(
                f"hold is {self.hold} and rest {self.rest} s; hold must be at least 1, rest finite and at least 0"
            )

    def duration_of_step(self, info: SubstrateInfo) -> float:
        """Return the duration of a substrate step, s."""
        return info.step if self.step is None else self.step

    def width(self, info: SubstrateInfo) -> int:
        """Return the number of features of one step of a sample."""
        return len(self.features.names(info, self.duration_of_step(info), self.hold))

    def stimuli(
        self, ports: FloatArray, lengths: npt.NDArray[np.intp], info: SubstrateInfo
    ) -> tuple[list[Stimulus], npt.NDArray[np.bool_]]:
        """Return the stimuli of a batch: each step held, each sample followed by its rest.

        Parameters
        ----------
        ports : ndarray of float, shape (rows, inputs)
            From -1 to 1; all steps of all samples, one after another.
        lengths : ndarray of int, shape (samples,)
            Number of steps of each sample.
        info : SubstrateInfo

        Returns
        -------
        stimuli : list of Stimulus
            Within the limits; several for a long batch.
        asked : ndarray of bool
            Rows of the features that belong to samples and not to their rests.
        """
        step = self.duration_of_step(info)
        resting = math.ceil(self.rest / (step * self.hold) - 1e-9)
        drive, ends = drive_of(ports, info.inputs, self.amplitude), np.cumsum(lengths)
        if resting:
            drive = np.insert(drive, np.repeat(ends, resting), np.array(info.rest), axis=0)
        asked = np.ones(len(drive), dtype=np.bool_)
        asked[((ends + resting * np.arange(len(ends)))[:, np.newaxis] + np.arange(resting)).ravel()] = False
        drive = np.repeat(drive, self.hold, axis=0)
        of_one = max(1, info.samples(step) * len(info.outputs))
        most = min(info.limits.steps, max(_CHUNK_VALUES, of_one * self.hold) // of_one)
        size = max(1, most // self.hold) * self.hold
        return [info.stimulus(drive[begin : begin + size], step) for begin in range(0, len(drive), size)], asked
