"""The contract of a source of samples: its description, the blocks that it gives, and what is marked besides."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.clock_relation import ClockRelation
from inmateria.errors import SubstrateDisconnected, SubstrateError
from inmateria.exchange import FloatArray
from inmateria.substrate_info import Channel, IdentitySource

__all__ = [
    "Block",
    "MissingStreamPackage",
    "StreamDescription",
    "StreamMark",
    "StreamSource",
    "StreamSpike",
    "time_went_back",
]

HIGHEST = float(np.finfo(np.float32).max)
"""Limit of an output whose range the stream does not state."""


class MissingStreamPackage(SubstrateError):
    """The package that reads a kind of stream is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", "it reads these streams", f'pip install "inmateria[{extra}]"')


def time_went_back(what: str, seconds: float) -> SubstrateDisconnected:
    """Return the error for a stream whose time has gone back by some seconds."""
    return SubstrateDisconnected(
        f"the time of {what} went back by {seconds:.4g} s",
        "samples that come later have later times, and which of both times is right is not known",
        "check whether the sender's clock was set, and enter it again",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDescription:
    """Description of a stream of samples at a regular rate.

    Parameters
    ----------
    id : str
        Identity of what sends it, as in `SubstrateInfo`.
    identity : str
        Source of the id, as in `SubstrateInfo`.
    kind : str
        Kind of stream, such as ``"lsl-stream"``.
    channels : tuple of Channel
        Names and units as the stream states them.
    rate : float
        Nominal samples per second, Hz.
    parameters : dict
        Anything else that the stream states; JSON can represent it.
    """

    id: str
    identity: IdentitySource
    kind: str
    channels: tuple[Channel, ...]
    rate: float
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Samples that arrived together.

    Parameters
    ----------
    index : ndarray of int, shape (samples,)
        Number of each sample, counted from the first of the stream at its nominal rate; missing ones are counted too.
    values : ndarray of float, shape (samples, columns)
    columns : tuple of int, optional
        Channels that they are of; all by default.
    """

    index: npt.NDArray[np.int64]
    values: FloatArray
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class StreamMark:
    """An event that is marked in a recording: a marker, a break, a change.

    Parameters
    ----------
    label : str
    device : float
        Time on the stream's clock, s since its first sample; NaN if not known.
    duration : float
        s.
    details : dict
        Anything that JSON can represent.
    """

    label: str
    device: float = float("nan")
    duration: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamSpike:
    """A spike on one channel of the stream, at a time on the stream's clock, s."""

    time: float
    channel: int


class StreamSource(ABC):
    """A source of samples at a regular rate.

    The stream's clock counts seconds since the first sample, at the nominal rate: sample k is at ``k / rate``.

    Attributes
    ----------
    clock : ClockRelation
        Measured relation of the stream's clock to the host's.
    spiking : bool
        Whether it gives spikes.
    """

    spiking: bool = False

    def __init__(self) -> None:
        self.clock = ClockRelation()

    @abstractmethod
    async def open(self) -> StreamDescription:
        """Find the stream and begin to receive it.

        Raises
        ------
        SubstrateDisconnected, SubstrateTimeout
            If it is not there.
        """

    @abstractmethod
    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Wait a moment, and return what has arrived since the last call.

        Raises
        ------
        SubstrateDisconnected
            If the stream came back as another one: with other channels, or another nominal rate.
        """

    @abstractmethod
    async def close(self) -> None:
        """Stop receiving."""

    async def insert_marker(self, value: float) -> None:
        """Have the device itself write a marker into its data, where it can do so."""
        raise NotImplementedError
