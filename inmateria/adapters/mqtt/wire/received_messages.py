"""Messages that came over a connection and wait to be looked at: a queue bounded in messages and in bytes.

While it is full nothing is read, so that the other end, and at last the sender, has to wait.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator

from inmateria.adapters.mqtt.wire.link_protocol import Message, TakeMessage
from inmateria.concurrency import settle

__all__ = ["ReceivedMessages"]

_MOST_QUEUED = 4096
_MOST_QUEUED_BYTES = 1 << 26
_IN_A_ROW = 64
"""Messages that are handed out before other tasks get a turn."""


class ReceivedMessages(ABC):
    """The receiving half of a connection; `take_message` is as in `HandsOver`.

    What reads calls `take_message` first, where there is one and `_queue` is empty, and `_put` for the rest.
    """

    def __init__(self) -> None:
        self.take_message: TakeMessage | None = None
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._wanted: asyncio.Future[None] | None = None
        self._paused = False
        self._lost: Exception | None = None
        """Why the connection is gone."""

    @abstractmethod
    def _pause_reading(self) -> None:
        """Read no more; the connection may be gone already."""

    @abstractmethod
    def _resume_reading(self) -> None:
        """Read again; the connection may be gone already."""

    async def messages(self) -> AsyncIterator[Message]:
        """Yield each message; raises the reason once the connection is gone: `LinkLost`, or `BrokerRefused`."""
        in_a_row = 0
        while True:
            while self._queue:
                message = self._queue.popleft()
                self._queued_bytes -= len(message.payload)
                if self._paused and self._has_room():
                    self._paused = False
                    self._resume_reading()
                in_a_row += 1
                if in_a_row >= _IN_A_ROW:  # a flood on this connection must not delay what comes on another
                    in_a_row = 0
                    await asyncio.sleep(0)
                yield message
            if self._lost is not None:
                raise self._lost.with_traceback(None)  # which would grow each time
            in_a_row = 0
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted

    def _put(self, topic: str, payload: bytes, retained: bool) -> None:
        """Queue a message, and read no more where too many wait."""
        self._queue.append(Message(topic, payload, retained))
        self._queued_bytes += len(payload)
        if not self._paused and not self._has_room():
            self._paused = True
            self._pause_reading()
        self._wake()

    def _has_room(self) -> bool:
        return len(self._queue) < _MOST_QUEUED and self._queued_bytes < _MOST_QUEUED_BYTES

    def _wake(self) -> None:
        """Have `messages` look again."""
        if self._wanted is not None:
            settle(self._wanted, None)
