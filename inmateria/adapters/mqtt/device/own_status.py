"""The device's own status as the broker has it: noticed where something else has been published in its place."""

import asyncio
import logging
from collections import deque

from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger

__all__ = ["OwnStatus"]

_logger = logging.getLogger("inmateria")
_KEPT = 64
_AT_MOST_EVERY = 1.0


class OwnStatus:
    """Compares statuses on the device's topic with those it has published.

    The broker publishes the will of a connection when it gives that connection up, which may be long after the
    device has connected again: the living device is then announced as offline until it publishes its status again.

    Parameters
    ----------
    topic : str
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._expected: deque[bytes] = deque(maxlen=_KEPT)
        self._last = b""
        self._differs = asyncio.Event()
        self._log = RateLimitedLogger(_logger)

    def publishing(self, payload: bytes) -> None:
        """Take note of a status, before it is published."""
        self._last = payload
        self._expected.append(payload)

    def received(self, payload: bytes) -> None:
        """Compare a status that came from the broker."""
        if payload in self._expected:
            while self._expected.popleft() != payload:
                pass
        elif self._last and payload != self._last:
            self._log.warning("%s carried another status than ours, which is published again", self._topic)
            self._differs.set()

    async def correct(self, changed: asyncio.Event) -> None:
        """Set `changed` where another status was received: the first time at once, then once a second at most."""
        while True:
            await self._differs.wait()
            self._differs.clear()
            changed.set()
            await asyncio.sleep(_AT_MOST_EVERY)
