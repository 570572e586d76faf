"""Finds out which topics a broker grants, by messages to oneself: most brokers drop what they deny silently."""

import asyncio
from contextlib import suppress
from uuid import uuid4

from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link_protocol import LinkProtocol
from inmateria.substrate import FrameError

__all__ = ["AccessProbe", "is_probe"]

_AGAIN = 0.5


class AccessProbe:
    """Tests on which topics this client may both publish and read.

    Attributes
    ----------
    name : str
        Random; may be a part of topics.
    frame : bytes
        The message that is published on every topic.
    unheard : set of str
        Topics on which it has not come back yet; fill it, and subscribe to them, before `check`.
    """

    def __init__(self) -> None:
        self.name = uuid4().hex[:12]
        self.frame = encode(Header(kind=Kind.PROBE, session=self.name))
        self.unheard: set[str] = set()
        self._all_heard = asyncio.Event()

    def heard(self, topic: str, payload: bytes) -> bool:
        """Return whether a message is this probe, and note the topic it came on."""
        if payload != self.frame:
            return False
        self.unheard.discard(topic)
        if not self.unheard:
            self._all_heard.set()
        return True

    async def check(self, link: LinkProtocol, timeout: float) -> bool:
        """Publish it until it has come back on every topic; return False if it has not within `timeout` seconds."""
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
    """Return whether a message is a probe, of this client or of another one."""
    try:
        return decode(payload).header.kind is Kind.PROBE
    except FrameError:
        return False
