"""MaxWell Biosystems' server (MaxOne, MaxTwo) as a source of samples and spikes, numbered by its frames."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.clock_relation import FastestDeliveries
from inmateria.adapters.streams.maxwell_protocol import SPIKE_LAYOUTS, frame_number, spikes_of
from inmateria.adapters.streams.source import (
    HIGHEST,
    Block,
    MissingStreamPackage,
    StreamDescription,
    StreamMark,
    StreamSource,
    StreamSpike,
    time_went_back,
)
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.errors import FrameError, SubstrateDisconnected, SubstrateTimeout
from inmateria.substrate_info import Channel

if TYPE_CHECKING:
    import zmq

__all__ = ["MaxwellSource"]

_logger = logging.getLogger("inmateria")
_AT_ONCE = 4096  # frames of one look into the socket
_MOST_WAITING = 1 << 30  # bytes that are received and not taken


class MaxwellSource(StreamSource):
    """One stream of MaxWell's server: all channels of one sample in each message, and the spikes that it found.

    A thread receives, for there are 20,000 messages a second. The stream names no rate, unit or electrodes; channels
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
        self._receiving: threading.Thread | None = None

    async def open(self) -> StreamDescription:
        """Connect, and wait for the first frame."""
        try:
            import zmq
        except ImportError:
            raise MissingStreamPackage("pyzmq", "maxwell") from None
        super().__init__()
        self._zmq = zmq
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._parts: list[list[bytes]] = []
        self._waiting = self._overrun = 0
        self._failed: Exception | None = None
        self._receiving = threading.Thread(target=self._receive, name="frames of MaxWell", daemon=True)
        self._receiving.start()
        begun = time.monotonic()
        while not self._parts:
            if self._failed is not None:
                failed = self._failed
                await self.close()
                raise SubstrateDisconnected(f"MaxWell's server at {self._host}:{self._port} is gone ({failed})")
            if time.monotonic() - begun > self._timeout:
                await self.close()
                raise SubstrateTimeout(
                    f"no frame came from {self._host}:{self._port} within {self._timeout:g} s",
                    "MaxWell's server sends while it is initialised (filtered on 7205, raw on 7204)",
                    "start its program Scope, or initialise the chip",
                )
            await asyncio.sleep(0.01)
        try:
            first = self._parts[0]
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

    def _receive(self) -> None:
        """Receive until `close`, in a thread of its own."""
        zmq = self._zmq
        try:
            with zmq.Context() as context, context.socket(zmq.SUB) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.RCVHWM, 0)  # what waits here is ours to read; what the server drops is a gap
                socket.connect(f"tcp://{self._host}:{self._port}")
                socket.setsockopt(zmq.SUBSCRIBE, b"")
                while not self._ended.is_set():
                    if socket.poll(50):
                        self._take(socket)
        except Exception as error:
            self._failed = error

    def _take(self, socket: "zmq.Socket[bytes]") -> None:
        found: list[list[bytes]] = []
        with suppress(self._zmq.Again):
            found.extend(socket.recv_multipart(self._zmq.NOBLOCK) for _ in range(_AT_ONCE))
        size = sum(len(part) for parts in found for part in parts)
        with self._lock:
            if self._waiting + size > _MOST_WAITING:
                self._overrun += len(found)
                return
            self._parts += found
            self._waiting += size

    async def close(self) -> None:
        """Stop receiving."""
        if self._receiving is not None:
            self._ended.set()
            await asyncio.to_thread(self._receiving.join)
            self._receiving = None

    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Return what has arrived."""
        await asyncio.sleep(0.005)
        if self._failed is not None:
            raise SubstrateDisconnected(f"MaxWell's server at {self._host}:{self._port} is gone ({self._failed})")
        with self._lock:
            frames, self._parts, self._waiting = self._parts, [], 0
            overrun, self._overrun = self._overrun, 0
        items: list[Block | StreamMark | StreamSpike] = []
        if overrun:
            items.append(StreamMark("frames not taken in time", self._time(self._last), details={"frames": overrun}))
        good = []
        for parts in frames:
            try:
                good.append((frame_number(parts), parts))
            except FrameError as error:
                _logger.warning("MaxWell at %s:%d: %s", self._host, self._port, error)
                items.append(StreamMark("a message cannot be read", details={"why": str(error)}))
        if good:
            self._deliveries.add(self._time(good[-1][0]), time.time())
            items.append(self._block(good))
            if self.spiking:
                items += self._spikes(good)
        return items

    def _time(self, frame: int) -> float:
        return (frame - self._origin) / self._rate

    def _block(self, frames: list[tuple[int, list[bytes]]]) -> Block:
        numbers = np.array([number for number, _ in frames], dtype=np.int64)
        steps = np.diff(numbers, prepend=self._last)
        if (steps < 1).any():
            raise time_went_back(f"MaxWell's server at {self._host}:{self._port}", float(1 - steps.min()) / self._rate)
        if widths := {len(parts[1]) for _, parts in frames} - {4 * self._width}:
            raise SubstrateDisconnected(
                f"MaxWell's server sends frames of {widths.pop() // 4} channels now", f"it sent {self._width}",
                "enter it again",
            )  # fmt: skip
        self._last = int(numbers[-1])
        values = np.frombuffer(b"".join(parts[1] for _, parts in frames), dtype="<f4").reshape(-1, self._width)
        chosen: npt.NDArray[np.float64] = values[:, list(self._channels)].astype(np.float64)
        return Block(numbers - self._origin, chosen)

    def _spikes(self, frames: list[tuple[int, list[bytes]]]) -> list[StreamSpike]:
        found: list[StreamSpike] = []
        for _, parts in frames:
            if len(parts) > 2 and parts[2]:
                spikes: Any = spikes_of(parts[2], self._layout)
                for frame, channel in zip(spikes["frame"].tolist(), spikes["channel"].tolist(), strict=True):
                    column = self._columns.get(channel)
                    if column is not None and frame >= self._origin:
                        found.append(StreamSpike(self._time(frame), column))
        return found
