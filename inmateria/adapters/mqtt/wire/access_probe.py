"""A probe: a message to oneself, because a broker that denies a topic does so without a word."""

import asyncio
from contextlib import suppress
from uuid import uuid4

from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link_protocol import LinkProtocol
from inmateria.substrate import FrameError

__all__ = ["AccessProbe", "is_probe"]

_AGAIN = 0.5


class AccessProbe:
    """Tells which of some topics one may both publish and read on.

    Attributes
    ----------
    name : str
        Made up at random; may be a part of topics.
    frame : bytes
        What is published on every topic.
    unheard : set of str
        Topics on which it has not come back yet; to be filled, and subscribed to, before `check`.
    """

    def __init__(self) -> None:
        self.name = uuid4().hex[:12]
        self.frame = encode(Header(kind=Kind.PROBE, session=self.name))
        self.unheard: set[str] = set()
        self._all_heard = asyncio.Event()

    def heard(self, topic: str, payload: bytes) -> bool:
        """Tell whether a message is this probe, and note where it came from."""
        if payload != self.frame:
            return False
        self.unheard.discard(topic)
        if not self.unheard:
            self._all_heard.set()
        return True

    async def check(self, link: LinkProtocol, timeout: float) -> bool:
        """Publish it until it came back from every topic; False when it does not within so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.unheard:
                    for topic in sorted(self.unheard):
                        await link.publish(topic, self.frame)
                    with suppress(TimeoutError):  # QoS 0 promises nothing: it may have been lost
                        async with asyncio.timeout(_AGAIN):
                            await self._all_heard.wait()
        except TimeoutError:
            return False
        return True


def is_probe(payload: bytes) -> bool:
    """Tell whether a message is somebody's probe, our own being perhaps late."""
    try:
        return decode(payload).header.kind is Kind.PROBE
    except FrameError:
        return False
