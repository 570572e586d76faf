"""A soft twin of one data stream of MaxWell Biosystems' server, over a real ZeroMQ socket."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.maxwell_protocol import SPIKE_LAYOUTS, frame_message
from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.concurrency import cancel_and_wait

__all__ = ["MaxwellTwin"]

_BETWEEN = 0.01  # s between two looks at the clock


class MaxwellTwin:
    """The stream, over frames of a function.

    Parameters
    ----------
    source : callable
        Returns the frames of some numbers, shape (frames, channels).
    channels : int
        1024 on a MaxOne.
    rate : float
        Frames per second.
    spike_bytes : int
        Size of a spike, 24 or 16.
    first : int
        Number of the first frame.
    port : int
        0 takes a free one; the server itself uses 7204 (raw) and 7205 (filtered).
    real_time : bool
        Play by itself; otherwise frames are sent by `play`.
    """

    def __init__(
        self,
        source: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]],
        *,
        channels: int = 1024,
        rate: float = 20_000.0,
        spike_bytes: int = 24,
        first: int = 100_000,
        port: int = 0,
        real_time: bool = True,
    ) -> None:
        self._source, self.channels, self.rate, self._real_time = source, channels, rate, real_time
        self._spike_bytes, self._layout = spike_bytes, SPIKE_LAYOUTS[spike_bytes]
        self.frame, self.port = first, port
        self._playing: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        """URI of the twin's stream."""
        return f"maxwell://127.0.0.1:{self.port}?rate={self.rate:g}&spike_bytes={self._spike_bytes}"

    async def __aenter__(self) -> Self:
        try:
            import zmq
        except ImportError:
            raise MissingStreamPackage("pyzmq", "maxwell") from None
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        if self.port:
            self._socket.bind(f"tcp://127.0.0.1:{self.port}")
        else:
            self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        if self._real_time:
            self._playing = asyncio.create_task(self._play())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._playing is not None:
            await cancel_and_wait(self._playing)
        self._context.destroy(0)

    def play(self, frames: int, *, lose: range = range(0), spikes: Sequence[tuple[int, int, float]] = ()) -> None:
        """Send some frames.

        Parameters
        ----------
        frames : int
        lose : range
            Frames, of these, that are counted but not sent.
        spikes : sequence of (int, int, float)
            Frame, channel and amplitude of spikes that go with the last of them.
        """
        values = self._source(self.frame + np.arange(frames))
        for k in range(frames):
            if k not in lose:
                mine = spikes if k == frames - 1 else ()
                self._socket.send_multipart(frame_message(self.frame + k, values[k], mine, self._layout))
        self.frame += frames

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        begun, first = loop.time(), self.frame
        while True:
            due = int((loop.time() - begun) * self.rate) - (self.frame - first)
            if due > 0:
                self.play(due)
            await asyncio.sleep(_BETWEEN)
