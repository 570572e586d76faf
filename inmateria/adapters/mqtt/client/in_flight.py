"""What a client has sent and not been answered yet, and how much of it there may be."""

import asyncio
import time
from collections import deque

from inmateria.adapters.mqtt.wire.frames import Frame

__all__ = ["FlowWindow", "PendingCommand"]

_RESEND = 0.25


class FlowWindow:
    """The window of a stream: how many stimuli, steps and bytes may be on their way."""

    def __init__(self, window: tuple[int, int, int]) -> None:
        self._count, self._steps, self._size = window
        self._taken: deque[tuple[int, int]] = deque()
        self._steps_taken = self._size_taken = 0
        self._freed = asyncio.Event()

    async def take(self, steps: int, size: int) -> None:
        """Wait until there is room for one more of that size; a single one always has room."""
        while self._taken and (
            len(self._taken) >= self._count
            or self._steps_taken + steps > self._steps
            or self._size_taken + size > self._size
        ):
            self._freed.clear()
            await self._freed.wait()
        self._taken.append((steps, size))
        self._steps_taken, self._size_taken = self._steps_taken + steps, self._size_taken + size

    def give_back(self) -> None:
        """Free what the oldest one took."""
        steps, size = self._taken.popleft()
        self._steps_taken, self._size_taken = self._steps_taken - steps, self._size_taken - size
        self._freed.set()


class PendingCommand:
    """Something that was sent and is kept until it is answered."""

    def __init__(self, sequence: int, data: bytes, duration: float) -> None:
        self.sequence = sequence
        self.data = data
        self.duration = duration
        self.sent = self.tried = self.counted_from = time.monotonic()
        self.tries = 0
        self.sending = False
        self.patience = _RESEND
        self.answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        # An answer that nobody waits for any more (a stream left early) is no error.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
