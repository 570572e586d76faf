"""Encodings of a series as a drive for the input channels: one to one, and through input masks.

An encoding turns a series (steps, features) into a drive (steps x positions, inputs). `positions` is
how many substrate steps one step of the series takes: with more than one, the mask varies in time and
every position is a virtual node. Drives are relative to what each input is at rest.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.substrate import SubstrateInfo

FloatArray = npt.NDArray[np.float64]

_EDGE = 1e-3
"""An input rests at an end of its range if less than this fraction of the other side is left beyond its rest."""


class Encoding(Protocol):
    """Turns a series into a drive."""

    @property
    def positions(self) -> int:
        """Number of substrate steps for one step of the series."""

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Turn a series (steps, features) into a drive (steps x positions, inputs), in the inputs' units."""


def place_in_range(values: FloatArray, info: SubstrateInfo, amplitude: float) -> FloatArray:
    """Place dimensionless values into the range that each input has around its rest.

    An input that can be driven to both sides of its rest gets ``rest + amplitude * room * value``, its room being the
    smaller of the two sides. One that rests at an end of its range (0 of a 0 to 5 V input) can be driven to one side
    only: values from -1 to 1 go from rest to that fraction of the range, ``rest + amplitude * room * (1 + value) / 2``.

    Parameters
    ----------
    values : ndarray of float, shape (steps, inputs)
    info : SubstrateInfo
    amplitude : float
        Fraction of the room that a value of 1 takes, more than 0 and at most 1.

    Returns
    -------
    ndarray of float, shape (steps, inputs)
        In the inputs' units. Values beyond -1 and 1 may lie outside the inputs' limits.
    """
    if not 0 < amplitude <= 1:
        raise ValueError(f"amplitude is {amplitude}; give more than 0 and at most 1, a fraction of each input's range")
    room, one_sided = room_of(info)
    driven: FloatArray = info.rest + amplitude * room * np.where(one_sided, 0.5 * (1.0 + values), values)
    return driven


def room_of(info: SubstrateInfo) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the room that each input has around its rest, and whether it has room on one side only."""
    rest = np.array(info.rest)
    above = np.array([channel.high for channel in info.inputs]) - rest
    below = rest - np.array([channel.low for channel in info.inputs])
    one_sided = np.minimum(above, below) <= _EDGE * np.maximum(above, below)
    return np.where(one_sided, np.where(above >= below, above, -below), np.minimum(above, below)), one_sided


@dataclass(frozen=True)
class OneToOne:
    """Drive each input with the feature of the same index: ``rest + offset + scale * u``.

    Parameters
    ----------
    scale : float
        Change of the drive, in units of the input, per unit of the feature.
    offset : float
        Drive relative to rest if the feature is zero, in units of the input.
    hold : int
        Substrate steps for which each value is held.
    amplitude : float, optional
        Largest drive for values from -1 to 1, as a fraction of the range of each input around its rest; `scale` and
        `offset` are then without units. See `place_in_range`.
    """

    scale: float = 1.0
    offset: float = 0.0
    hold: int = 1
    amplitude: float | None = None

    __repr__ = one_line

    @property
    def positions(self) -> int:
        """Number of substrate steps for one step of the series."""
        return self.hold

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Encode values (steps, features) as a drive (steps x positions, inputs).

        Inputs without a feature are driven with the offset.
        """
        (steps, features), inputs = u.shape, len(info.inputs)
        if features > inputs:
            raise ValueError(
                f"a series of {features} features does not go one to one into {inputs} inputs; "
                "use an InputMask, or fewer features"
            )
        values = np.full((steps, inputs), self.offset)
        values[:, :features] += self.scale * u
        drive = values + info.rest if self.amplitude is None else place_in_range(values, info, self.amplitude)
        return np.repeat(drive, self.hold, axis=0)


@dataclass(frozen=True)
class InputMask:
    """Drive every input with its own random linear combination of the features: ``rest + offset + scale * mask @ u``.

    Appeltant et al., Nat. Commun. 2, 468 (2011), for masks in time; a mask over electrodes is the same
    in space.

    Parameters
    ----------
    scale : float
        Change of the drive, in units of the input, per unit of the feature.
    offset : float
        Drive relative to rest if every feature is zero, in units of the input.
    offset_spread : float
        Inputs differ in their offsets, which are uniform from ``1 - offset_spread`` to ``1 + offset_spread`` times
        `offset`; 0 to 1.
    offset_sign : {"same", "random"}
        Whether each input's offset has the sign of `offset`, or one drawn at random. With `amplitude`, an input that
        rests at an end of its range is offset away from that end, whatever was drawn.
    kind : {"binary", "uniform", "normal"}
        Distribution of the entries of the mask: -1 or 1; uniform from -1 to 1; standard normal.
    sparsity : float
        Fraction of the entries that are zero.
    positions : int
        Number of masks in time for each step of the series; each drives one substrate step.
    clip : bool
        Clip the drive to the inputs' limits instead of letting the substrate refuse it.
    seed : int
        Seed of the mask.
    amplitude : float, optional
        Largest drive for combinations from -1 to 1, as a fraction of the range of each input around its rest; `scale`
        and `offset` are then without units. See `place_in_range`.
    """

    scale: float = 1.0
    offset: float = 0.0
    kind: Literal["binary", "uniform", "normal"] = "binary"
    sparsity: float = 0.0
    positions: int = 1
    clip: bool = False
    seed: int = 0
    amplitude: float | None = None
    offset_spread: float = 0.0
    offset_sign: Literal["same", "random"] = "same"

    __repr__ = one_line

    def mask(self, features: int, inputs: int) -> FloatArray:
        """Return the mask, shape (positions, inputs, features); the same for the same seed."""
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

    def offsets(self, inputs: int) -> FloatArray:
        """Return the offset of each input, shape (inputs,); the same for the same seed."""
        if not 0 <= self.offset_spread <= 1:
            raise ValueError(f"offset_spread is {self.offset_spread}; give 0 to 1, a fraction of the offset")
        if self.offset_sign not in ("same", "random"):
            raise ValueError(f"offset_sign is {self.offset_sign!r}; allowed are 'same' and 'random'")
        generator = np.random.default_rng([self.seed, 1])  # apart from the mask's, which offsets leave as it is
        size: FloatArray = self.offset * (1.0 + self.offset_spread * generator.uniform(-1.0, 1.0, inputs))
        sign = 2 * generator.integers(2, size=inputs) - 1
        return size * sign if self.offset_sign == "random" else size

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        """Encode values (steps, features) as a drive (steps x positions, inputs)."""
        inputs = info.inputs
        mask = self.mask(u.shape[1], len(inputs))
        offsets = self.offsets(len(inputs))
        if self.amplitude is not None and self.offset_sign == "random":
            offsets = np.where(room_of(info)[1], np.abs(offsets), offsets)
        values: FloatArray = offsets + self.scale * np.einsum("pif,sf->spi", mask, u).reshape(-1, len(inputs))
        drive = values + info.rest if self.amplitude is None else place_in_range(values, info, self.amplitude)
        if self.clip:
            drive = np.clip(drive, [channel.low for channel in inputs], [channel.high for channel in inputs])
        return drive
