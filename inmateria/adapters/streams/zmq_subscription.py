"""Messages of a program that publishes by ZeroMQ, received in a thread of its own."""

import asyncio
import threading
from typing import TYPE_CHECKING

from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.errors import SubstrateDisconnected

if TYPE_CHECKING:
    import zmq

__all__ = ["Subscription"]

_AT_ONCE = 4096  # messages of one look into the socket
_FEW = 256  # after a look that found fewer, messages gather before the next one
_GATHERING = 0.002  # s
_IDLE = 50  # ms
_MOST_WAITING = 1 << 30  # bytes that are received and not taken


class Subscription:
    """Everything that a publisher sends, whole messages in their order.

    There may be 20,000 messages a second: the thread looks for them every 2 ms, for waking up for each costs more than
    to receive it. What ZeroMQ has received waits without a limit of its own; what is not taken is given up beyond
    1 GiB, and counted.

    Parameters
    ----------
    what : str
        What publishes, for errors.
    host : str
    port : int
    extra : str
        The extra of this package that installs pyzmq.
    """

    def __init__(self, what: str, host: str, port: int, extra: str) -> None:
        try:
            import zmq
        except ImportError:
            raise MissingStreamPackage("pyzmq", extra) from None
        self._zmq, self._what, self._address = zmq, f"{what} at {host}:{port}", f"tcp://{host}:{port}"
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._messages: list[list[bytes]] = []
        self._waiting = self._overrun = 0
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._receive, name=f"messages of {self._what}", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list[list[bytes]], int]:
        """Return the messages that have arrived, and how many were given up because they were not taken in time.

        Raises
        ------
        SubstrateDisconnected
            If they cannot be received any more.
        """
        if self._failed is not None:
            raise SubstrateDisconnected(f"{self._what} is gone ({type(self._failed).__name__}: {self._failed})")
        with self._lock:
            messages, self._messages, self._waiting = self._messages, [], 0
            overrun, self._overrun = self._overrun, 0
        return messages, overrun

    async def close(self) -> None:
        """Stop receiving."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join)

    def _receive(self) -> None:
        zmq = self._zmq
        try:
            with zmq.Context() as context, context.socket(zmq.SUB) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.RCVHWM, 0)  # what waits here is ours to read; what the sender drops is a gap
                socket.connect(self._address)
                socket.setsockopt(zmq.SUBSCRIBE, b"")
                while not self._ended.is_set():
                    found = self._look(socket)
                    if not found:
                        socket.poll(_IDLE)
                    elif found < _FEW:
                        self._ended.wait(_GATHERING)
        except Exception as error:
            self._failed = error

    def _look(self, socket: "zmq.Socket[bytes]") -> int:
        """Receive what is there; return how many messages it was."""
        zmq = self._zmq
        found: list[list[bytes]] = []
        receive, get, at_once, more, size = socket.recv, socket.get, int(zmq.NOBLOCK), int(zmq.RCVMORE), 0
        try:
            while len(found) < _AT_ONCE:
                parts = [receive(at_once)]
                while get(more):
                    parts.append(receive())
                size += sum(map(len, parts))
                found.append(parts)
        except zmq.Again:
            pass
        with self._lock:
            if self._waiting + size > _MOST_WAITING:
                self._overrun += len(found)
            else:
                self._messages += found
                self._waiting += size
        return len(found)
