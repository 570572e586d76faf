"""A soft twin of one data stream of MaxWell Biosystems' server, over a real ZeroMQ socket."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.maxwell_protocol import SPIKE_LAYOUTS, spike_table
from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.adapters.streams.twin_pace import Pace
from inmateria.concurrency import cancel_and_wait

__all__ = ["MaxwellTwin"]

_logger = logging.getLogger("inmateria")
_BETWEEN = 0.005  # s between two looks at the clock
_AT_ONCE = 0.02  # s of frames in one go: whatever else runs on the event loop has its turn after it


class MaxwellTwin:
    """The stream, over frames of a function.

    Where the machine is too slow for its frames, they come late, and a warning says how many a second it sends.

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
    spikes : callable, optional
        Returns the spikes among some frames, with frame, channel and amplitude, for a twin that plays by itself.
    commands : int, optional
        Port on which the twin answers commands, each with an error that says that it only streams; the server itself
        uses 7210. By default there is none.
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
        spikes: Callable[[npt.NDArray[np.int64]], Sequence[tuple[int, int, float]]] | None = None,
        commands: int | None = None,
    ) -> None:
        self._source, self.channels, self.rate, self._real_time = source, channels, rate, real_time
        self._spike_bytes, self._layout = spike_bytes, SPIKE_LAYOUTS[spike_bytes]
        self.frame, self.port = first, port
        self._spikes, self._commands = spikes, commands
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def uri(self) -> str:
        """URI of the twin's stream."""
        return f"maxwell://127.0.0.1:{self.port}?rate={self.rate:g}&spike_bytes={self._spike_bytes}"

    async def __aenter__(self) -> Self:
        try:
            import zmq
        except ImportError:
            raise MissingStreamPackage("pyzmq", "maxwell") from None
        self._zmq = zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        if self.port:
            self._socket.bind(f"tcp://127.0.0.1:{self.port}")
        else:
            self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._tasks = []
        if self._commands is not None:
            self._tasks.append(asyncio.create_task(self._refuse(self._commands)))
        if self._real_time:
            self._tasks.append(asyncio.create_task(self._play()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_and_wait(*self._tasks)
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
        numbers = self.frame + np.arange(frames)
        values = np.ascontiguousarray(self._source(numbers), dtype="<f4")
        width = 4 * values.shape[1]
        heads, bodies = numbers.astype("<u8").data.cast("B"), values.data.cast("B")
        send, more = self._socket.send, int(self._zmq.SNDMORE)
        for k in range(frames):
            if k not in lose:
                send(heads[8 * k : 8 * k + 8], more)
                if spikes and k == frames - 1:
                    send(bodies[width * k : width * (k + 1)], more)
                    send(spike_table(spikes, self._layout))
                else:
                    send(bodies[width * k : width * (k + 1)])
        self.frame += frames

    async def _play(self) -> None:
        pace, first = Pace("the twin of MaxWell", self.rate, self.channels), self.frame
        most = max(1, round(_AT_ONCE * self.rate))
        while True:
            due = pace.due(self.frame - first)
            frames = min(due, most)
            if frames > 0:
                try:
                    found = self._spikes(self.frame + np.arange(frames)) if self._spikes is not None else ()
                    self.play(frames, spikes=found)
                except Exception:
                    _logger.exception("the twin of MaxWell has no frames, and stops")
                    return
            await asyncio.sleep(0.0 if due > most else _BETWEEN)

    async def _refuse(self, port: int) -> None:
        """Answer the server's commands, for stimulation, electrodes and settings, each with an error."""
        import zmq.asyncio

        with zmq.asyncio.Context() as context, context.socket(zmq.REP) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(f"tcp://127.0.0.1:{port}")
            refused = "none"
            while True:
                words = await socket.recv_string()
                refused = refused if words == "get_errors" else words
                await socket.send_string(f"Error: {refused!r} is not served; the twin of MaxWell only streams")
