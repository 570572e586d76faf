"""MaxWell Biosystems' server (MaxOne, MaxTwo) as a source of samples and spikes, numbered by its frames."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from inmateria.adapters.streams.clock_relation import FastestDeliveries
from inmateria.adapters.streams.maxwell_protocol import SPIKE_LAYOUTS, frame_number, spikes_of
from inmateria.adapters.streams.source import (
    HIGHEST,
    Block,
    StreamDescription,
    StreamMark,
    StreamSource,
    StreamSpike,
    time_went_back,
)
from inmateria.adapters.streams.zmq_subscription import Subscription
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.errors import FrameError, SubstrateDisconnected, SubstrateTimeout
from inmateria.substrate_info import Channel

__all__ = ["MaxwellSource"]

_logger = logging.getLogger("inmateria")


class MaxwellSource(StreamSource):
    """One stream of MaxWell's server: all channels of one sample in each message, and the spikes that it found.

    The stream names no rate, unit or electrodes; channels
    are those of the amplifiers, 0 to 1023 on a MaxOne.

    Parameters
    ----------
    host : str
    port : int
        7205 is the filtered stream, 7204 the raw one.
    rate : float
        Frames per second: 20,000 on a MaxOne, 10,000 on a MaxTwo.
    channels : sequence of int
        Channels that are read; all by default.
    spikes : bool
        Whether to read the spikes that the server found.
    spike_bytes : int
        Size of a spike, 24 or 16, by the version of the server.
    unit : str
        Unit of the amplitudes.
    id : str
        Identity of the device; by default host and port.
    timeout : float
        Longest time to wait for the first frame, s.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7205,
        *,
        rate: float = 20_000.0,
        channels: Sequence[int] = (),
        spikes: bool = True,
        spike_bytes: int = 24,
        unit: str = "1",
        id: str = "",  # noqa: A002
        timeout: float = 10.0,
    ) -> None:
        super().__init__()
        if not 0 < rate < float("inf"):
            raise ValueError(f"rate is {rate} Hz; give more than 0")
        if spike_bytes not in SPIKE_LAYOUTS:
            raise ValueError(f"spike_bytes is {spike_bytes}; allowed are {', '.join(map(str, SPIKE_LAYOUTS))}")
        if len(set(channels)) < len(channels) or any(channel < 0 for channel in channels):
            raise ValueError(f"channels are {list(channels)}; give numbers from 0, each once")
        self._host, self._port, self._rate, self._asked = host, port, rate, tuple(channels)
        self.spiking, self._layout = spikes, SPIKE_LAYOUTS[spike_bytes]
        self._unit, self._id, self._timeout = unit, id, timeout
        self._subscription: Subscription | None = None

    async def open(self) -> StreamDescription:
        """Connect, and wait for the first frame."""
        super().__init__()
        self._subscription = Subscription(self._host, self._port, "maxwell")
        self._early: list[list[bytes]] = []
        begun = time.monotonic()
        try:
            while not self._early:
                if time.monotonic() - begun > self._timeout:
                    raise SubstrateTimeout(
                        f"no frame came from {self._host}:{self._port} within {self._timeout:g} s",
                        "MaxWell's server sends while it is initialised (filtered on 7205, raw on 7204)",
                        "start its program Scope, or initialise the chip",
                    )
                await asyncio.sleep(0.01)
                self._early = self._subscription.take()
            first = self._early[0]
            self._origin, width = frame_number(first), len(first[1]) // 4
            if strange := [each for each in self._asked if each >= width]:
                raise SubstrateDisconnected(
                    f"channel {strange[0]} was asked for", f"a frame has {width} channels, 0 to {width - 1}"
                )
        except BaseException:
            await self.close()
            raise
        self._width, self._channels = width, self._asked or tuple(range(width))
        self._columns = {channel: k for k, channel in enumerate(self._channels)}
        self._last = self._origin - 1
        self._deliveries = FastestDeliveries(self.clock, 1.0 / self._rate)
        return StreamDescription(
            id=self._id or as_identifier(f"maxwell-{self._host}-{self._port}"),
            identity="user" if self._id else "host",
            kind="maxwell-stream",
            channels=tuple(
                Channel(name=f"ch{channel:04d}", unit=self._unit, low=-HIGHEST, high=HIGHEST)
                for channel in self._channels
            ),
            rate=self._rate,
            parameters={"host": self._host, "port": self._port, "first_frame": self._origin, "frame_channels": width},
        )

    async def close(self) -> None:
        """Stop receiving."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Return what has arrived."""
        await asyncio.sleep(0.005)
        assert self._subscription is not None
        frames, self._early = self._early + self._subscription.take(), []
        items: list[Block | StreamMark | StreamSpike] = []
        good = [parts for parts in frames if self._is_frame(parts, items)]
        if good:
            items.append(self._block(good))
            self._deliveries.add(self._time(self._last), time.time())
            if self.spiking:
                items += self._spikes(good)
        return items

    def _is_frame(self, parts: list[bytes], items: list[Block | StreamMark | StreamSpike]) -> bool:
        if len(parts[0]) == 8 and len(parts) == 2 and len(parts[1]) == 4 * self._width:
            return True
        try:
            frame_number(parts)
        except FrameError as error:
            _logger.warning("MaxWell at %s:%d: %s", self._host, self._port, error)
            items.append(StreamMark("a message cannot be read", details={"why": str(error)}))
            return False
        return True

    def _time(self, frame: int) -> float:
        return (frame - self._origin) / self._rate

    def _block(self, frames: list[list[bytes]]) -> Block:
        numbers = np.frombuffer(b"".join(parts[0] for parts in frames), dtype="<u8").astype(np.int64)
        steps = np.diff(numbers, prepend=self._last)
        if (steps < 1).any():
            raise time_went_back(f"MaxWell's server at {self._host}:{self._port}", float(1 - steps.min()) / self._rate)
        if widths := {len(parts[1]) for parts in frames} - {4 * self._width}:
            raise SubstrateDisconnected(
                f"MaxWell's server sends frames of {widths.pop() // 4} channels now", f"it sent {self._width}",
                "enter it again",
            )  # fmt: skip
        self._last = int(numbers[-1])
        values = np.frombuffer(b"".join(parts[1] for parts in frames), dtype="<f4").reshape(-1, self._width)
        chosen = values[:, list(self._asked)] if self._asked else values
        return Block(numbers - self._origin, chosen.astype(np.float64))

    def _spikes(self, frames: list[list[bytes]]) -> list[StreamSpike]:
        found: list[StreamSpike] = []
        for parts in frames:
            if len(parts) > 2 and parts[2]:
                spikes: Any = spikes_of(parts[2], self._layout)
                for frame, channel in zip(spikes["frame"].tolist(), spikes["channel"].tolist(), strict=True):
                    column = self._columns.get(channel)
                    if column is not None and frame >= self._origin:
                        found.append(StreamSpike(self._time(frame), column))
        return found
