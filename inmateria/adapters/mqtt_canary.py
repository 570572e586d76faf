"""A canary: a message to oneself, because a broker that denies a topic does so without a word."""

import asyncio
from uuid import uuid4

from inmateria.adapters.frames import Header, Kind, encode

__all__ = ["Canary"]


class Canary:
    """Tells which of some topics one may both publish and read on.

    Attributes
    ----------
    name : str
        Made up at random; may be a part of topics.
    frame : bytes
        What is to be published on every topic.
    unheard : set of str
        Topics on which it has not come back yet; to be filled before it is sent.
    """

    def __init__(self) -> None:
        self.name = uuid4().hex[:12]
        self.frame = encode(Header(kind=Kind.CANARY, session=self.name))
        self.unheard: set[str] = set()
        self._all_heard = asyncio.Event()

    def heard(self, topic: str, payload: bytes) -> bool:
        """Tell whether a message is this canary, and note where it came from."""
        if payload != self.frame:
            return False
        self.unheard.discard(topic)
        if not self.unheard:
            self._all_heard.set()
        return True

    async def all_heard(self, timeout: float) -> bool:
        """Wait until it came back on every topic; False when it does not within so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._all_heard.wait()
        except TimeoutError:
            return False
        return True
