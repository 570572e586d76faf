"""A soft twin of the Open Ephys GUI's plugins ZMQ Interface and Network Events, over real ZeroMQ sockets."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.open_ephys_protocol import data_message, spike_message, ttl_message
from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.adapters.streams.twin_pace import Pace
from inmateria.concurrency import cancel_and_wait

if TYPE_CHECKING:
    import zmq
    import zmq.asyncio

__all__ = ["OpenEphysTwin"]

_TTL = re.compile(r"TTL(?:\s+(?:Channel|Line)=(?P<line>\d+)|\s+(?:on|State)=(?P<on>\d+))*\s*$", re.IGNORECASE)
_LINES = 8
Source = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
"""Returns the samples of these numbers, shape (samples, channels), uV."""


class OpenEphysTwin:
    """The two plugins, over samples of a function.

    Where the machine is too slow for its blocks, they come late, and a warning says how many samples a second it sends.

    Parameters
    ----------
    source : callable
        Returns the samples of some numbers.
    channels : int
    rate : float
        Samples per second, Hz.
    block : int
        Samples in a block.
    stream : str
        Name of the stream.
    real_time : bool
        Play by itself while it acquires; otherwise blocks are sent by `play`.
    ports : (int, int, int)
        Ports of data, heartbeats and network events; 0 takes a free one. The plugins use 5556 and 5557, and for events
        what is set in them.

    Attributes
    ----------
    port, events : int
        Data port and port of the plugin Network Events; heartbeats are heard on `listening`.
    heartbeats : list of dict
        What clients sent to the listening port.
    """

    def __init__(
        self,
        source: Source,
        *,
        channels: int = 8,
        rate: float = 30000.0,
        block: int = 1024,
        stream: str = "example_data",
        real_time: bool = True,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self._source, self.channels, self.rate, self.block, self._stream = source, channels, rate, block, stream
        self._real_time = real_time
        self.port, self.listening, self.events = ports
        self.heartbeats: list[dict[str, str]] = []
        self.sample = self.messages = 0
        self._word = 0
        self._acquiring = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def uri(self) -> str:
        """URI of the twin's stream."""
        return f"openephys://127.0.0.1:{self.port}?heartbeats={self.listening}"

    async def __aenter__(self) -> Self:
        try:
            import zmq
            import zmq.asyncio
        except ImportError:
            raise MissingStreamPackage("pyzmq", "openephys") from None
        self._zmq = zmq
        self._context, self._publishing = zmq.asyncio.Context(), zmq.Context()
        self._data = self._publishing.socket(zmq.PUB)
        self._listen, self._network = self._context.socket(zmq.REP), self._context.socket(zmq.REP)
        self._data.setsockopt(zmq.SNDHWM, 0)
        self.port, self.listening, self.events = (
            _bind(socket, port)
            for socket, port in (
                (self._data, self.port),
                (self._listen, self.listening),
                (self._network, self.events),
            )
        )
        self._acquiring.set()
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._obey())]
        if self._real_time:
            self._tasks.append(asyncio.create_task(self._play()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_and_wait(*self._tasks)
        self._context.destroy(0)
        self._publishing.destroy(0)

    async def play(self, blocks: int, *, lose: tuple[int, ...] = (), lose_channel: int | None = None) -> None:
        """Send some blocks.

        Parameters
        ----------
        blocks : int
        lose : tuple of int
            Blocks, of these, that are counted but not sent.
        lose_channel : int, optional
            Lose only the messages of this channel.
        """
        for k in range(blocks):
            numbers = self.sample + np.arange(self.block)
            values = self._source(numbers)
            for channel in range(self.channels):
                self.messages += 1
                if k in lose and lose_channel in (None, channel):
                    continue
                self._data.send_multipart(
                    data_message(
                        self.messages, self._stream, channel, self.sample, self.rate, values[:, channel], _now()
                    )
                )
            self.sample += self.block
            await asyncio.sleep(0.0)

    async def switch(self, line: int, state: bool) -> None:
        """Change a digital line, 0 to 7, at the next sample."""
        self._word = (self._word | 1 << line) if state else self._word & ~(1 << line)
        self.messages += 1
        message = ttl_message(self.messages, self._stream, self.sample, line, state, self._word, _now())
        self._data.send_multipart(message)

    async def spike(self, electrode: str, unit: int = 0, *, before: int = 0) -> None:
        """Send a spike whose peak was so many samples before the next one."""
        self.messages += 1
        waveform = np.zeros((1, 40), dtype=np.float32)
        at = self.sample - before
        message = spike_message(self.messages, self._stream, at, electrode, unit, waveform, _now())
        self._data.send_multipart(message)

    def begin_anew(self) -> None:
        """Begin a new acquisition: sample numbers and messages count from their beginning again."""
        self.sample = self.messages = 0

    async def _play(self) -> None:
        while True:
            await self._acquiring.wait()
            pace, sent = Pace("the twin of Open Ephys", self.rate, self.channels), 0
            while self._acquiring.is_set():
                missing = self.block - pace.due(sent)
                if missing > 0:
                    await asyncio.sleep(missing / self.rate)
                    continue
                await self.play(1)
                sent += self.block

    async def _hear(self) -> None:
        while True:
            words = await self._listen.recv()
            try:
                said = json.loads(words)
            except ValueError:
                await self._listen.send(b"JSON message could not be read")
                continue
            if isinstance(said, dict) and said.get("type") == "event":
                await self._listen.send(b"message correctly parsed")  # the plugin does nothing with it either
                continue
            self.heartbeats.append(said)
            await self._listen.send(b"heartbeat received")

    async def _obey(self) -> None:
        while True:
            await self._network.send_string(await self._answer(await self._network.recv_string()))

    async def _answer(self, words: str) -> str:
        """Carry out a message of Network Events, and return its answer."""
        acquires = self._acquiring.is_set()
        found = _TTL.match(words)
        if found is not None:
            line, state = int(found["line"] or 1), int(found["on"] or 0) != 0
            if not 1 <= line <= _LINES:
                return "InvalidChannel"
            if acquires:
                await self.switch(line - 1, state)
            return f"TTLHandled: Channel={line} on={int(state)}"
        match words.split(maxsplit=1)[0].lower() if words.strip() else "":
            case "startacquisition":
                if not acquires:
                    self.begin_anew()
                    self._acquiring.set()
                return "StartedAcquisition"
            case "stopacquisition":
                self._acquiring.clear()
                return "StoppedAcquisition"
            case "isacquiring":
                return str(int(acquires))
            case "isrecording":
                return "0"
            case "startrecord" | "stoprecord":
                return f"NotHandled: {words.split()[0]}; the twin of Open Ephys does not record"
        return "NotHandled"


def _bind(socket: "zmq.Socket[bytes] | zmq.asyncio.Socket", port: int) -> int:
    if port:
        socket.bind(f"tcp://127.0.0.1:{port}")
        return port
    return int(socket.bind_to_random_port("tcp://127.0.0.1"))


def _now() -> int:
    return int(1000 * time.time())
