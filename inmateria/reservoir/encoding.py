"""From what is to be computed to what is driven into the input channels: input masks.

An encoding turns a series (steps, features) into a drive (steps x positions, inputs). `positions` is
how many substrate steps one step of the series takes: with more than one, the mask varies in time and
every position is a virtual node.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Channel

FloatArray = npt.NDArray[np.float64]


class Encoding(Protocol):
    """What turns a series into a drive."""

    @property
    def positions(self) -> int:
        """Substrate steps for one step of the series."""

    def drive(self, u: FloatArray, inputs: tuple[Channel, ...]) -> FloatArray:
        """Turn a series (steps, features) into a drive (steps x positions, inputs), in the inputs' units."""


@dataclass(frozen=True)
class OneToOne:
    """Every feature drives the input of the same number: ``scale * u + offset``.

    Parameters
    ----------
    scale : float
        Units of the input for one unit of the feature.
    offset : float
        What drives an input whose feature is zero.
    hold : int
        Substrate steps for which each value is held.
    """

    scale: float = 1.0
    offset: float = 0.0
    hold: int = 1

    @property
    def positions(self) -> int:
        """Substrate steps for one step of the series."""
        return self.hold

    def drive(self, u: FloatArray, inputs: tuple[Channel, ...]) -> FloatArray:
        """Scale, shift and hold; inputs beyond the features get the offset."""
        steps, features = u.shape
        if features > len(inputs):
            raise ValueError(
                f"a series of {features} features does not go one to one into {len(inputs)} inputs; "
                "use an InputMask, or fewer features"
            )
        drive = np.full((steps, len(inputs)), self.offset)
        drive[:, :features] += self.scale * u
        return np.repeat(drive, self.hold, axis=0)


@dataclass(frozen=True)
class InputMask:
    """Every input is driven by its own random mixture of the features: ``offset + scale * mask @ u``.

    Appeltant et al., Nat. Commun. 2, 468 (2011), for masks in time; a mask over electrodes is the same
    in space.

    Parameters
    ----------
    scale : float
        Units of the input for one unit of the feature.
    offset : float
        What drives an input when every feature is zero.
    kind : {"binary", "uniform", "normal"}
        How the entries of the mask are drawn: -1 or 1; within -1 to 1; from a standard normal.
    sparsity : float
        Fraction of the entries that are zero.
    positions : int
        Different masks in time for each step of the series, one a substrate step.
    clip : bool
        Clip the drive to the inputs' limits instead of letting the substrate refuse it.
    seed : int
        Of the mask.
    """

    scale: float = 1.0
    offset: float = 0.0
    kind: Literal["binary", "uniform", "normal"] = "binary"
    sparsity: float = 0.0
    positions: int = 1
    clip: bool = False
    seed: int = 0

    def mask(self, features: int, inputs: int) -> FloatArray:
        """Draw the mask, shape (positions, inputs, features); the same for the same seed."""
        generator = np.random.default_rng(self.seed)
        shape = (self.positions, inputs, features)
        mask: FloatArray
        if self.kind == "binary":
            mask = (2 * generator.integers(2, size=shape) - 1).astype(np.float64)
        elif self.kind == "uniform":
            mask = generator.uniform(-1.0, 1.0, size=shape)
        elif self.kind == "normal":
            mask = generator.standard_normal(size=shape)
        else:
            raise ValueError(f"a mask of kind {self.kind!r}; allowed are 'binary', 'uniform' and 'normal'")
        return np.where(generator.random(shape) < self.sparsity, 0.0, mask)

    def drive(self, u: FloatArray, inputs: tuple[Channel, ...]) -> FloatArray:
        """Mix the features into the inputs, one row for each position of each step."""
        mask = self.mask(u.shape[1], len(inputs))
        drive: FloatArray = self.offset + self.scale * np.einsum("pif,sf->spi", mask, u).reshape(-1, len(inputs))
        if self.clip:
            drive = np.clip(drive, [channel.low for channel in inputs], [channel.high for channel in inputs])
        return drive
