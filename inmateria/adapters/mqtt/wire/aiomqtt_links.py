"""Connections over an `aiomqtt.Client` that an application has already; docs/aiomqtt.md says how and what it costs."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from paho.mqtt.client import topic_matches_sub

from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, Place
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, BrokerRefused, LinkLost, Message
from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import SubstrateDisconnected

try:
    import aiomqtt
except ImportError as error:
    raise SubstrateDisconnected(
        "aiomqtt is not installed", "aiomqtt 2.5 or later, below 3", "pip install 'inmateria[aiomqtt]'"
    ) from error

__all__ = ["AiomqttLinks"]

_logger = logging.getLogger("inmateria")
_MOST_QUEUED = 4096
_MOST_QUEUED_BYTES = 1 << 26
_DENIED = 0x80
Result = TypeVar("Result")


class AiomqttLinks:
    """Provides connections to a broker over an aiomqtt client of the application.

    Pass it as `RemoteSubstrate(uri, open_link=links)` or `DeviceServer(..., open_data_link=links)`; any number of them
    may share one. Nothing else may read ``client.messages`` while `use` runs; messages of topics to which no substrate
    has subscribed go to `on_message`.

    Parameters
    ----------
    on_message : callable, optional
        ``on_message(message)`` is called on the event loop with each `aiomqtt.Message` of another topic.
    """

    def __init__(self, on_message: Callable[[aiomqtt.Message], object] | None = None) -> None:
        self._on_message = on_message
        self._client: aiomqtt.Client | None = None
        self._links: set[_SharedLink] = set()
        self._lost = asyncio.Event()

    @asynccontextmanager
    async def use(self, client: aiomqtt.Client) -> AsyncIterator[None]:
        """Use a client that is connected, until the block is left.

        A client that has lost its connection cannot be used again: `wait_lost` returns, and the application makes
        another one. Substrates continue with that client if it is in use within the device's lease.
        """
        if self._client is not None:
            raise RuntimeError("another client is in use; leave its block first")
        self._client = client
        self._lost.clear()
        dispatching = asyncio.create_task(self._dispatch(client), name="messages of an aiomqtt client")
        try:
            yield
        finally:
            self._lose("the application left its aiomqtt client")
            await cancel_and_wait(dispatching)

    async def wait_lost(self) -> None:
        """Wait until the client in use has lost its connection, or `use` has been left."""
        await self._lost.wait()

    @asynccontextmanager
    async def __call__(self, broker: Place, *, timeout: float) -> AsyncIterator["_SharedLink"]:
        """Return a connection over the client that is in use; see `OpenLink`."""
        if isinstance(broker, DeviceSocket):
            raise BrokerRefused(
                f"{broker} was to be reached over an aiomqtt client", "a device on a broker", "leave out open_link"
            )
        if self._client is None:
            raise BrokerGone(
                f"no aiomqtt client for {broker} is in use", "a client that is connected", "see AiomqttLinks.use"
            )
        link = _SharedLink(self._client, timeout, self._links)
        self._links.add(link)
        try:
            yield link
        finally:
            self._links.discard(link)
            await link.close()

    async def _dispatch(self, client: aiomqtt.Client) -> None:
        try:
            async for message in client.messages:
                self._deliver(message)
        except aiomqtt.MqttError as error:
            self._lose(str(error))

    def _deliver(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        receivers = [link for link in self._links if link.wants(topic)]
        if receivers:
            payload = message.payload
            if not isinstance(payload, bytes):  # aiomqtt's type allows others, paho gives bytes
                payload = bytes(payload) if isinstance(payload, bytearray) else str(payload or "").encode()
            for link in receivers:
                link.put(Message(topic, payload, message.retain))
        elif self._on_message is not None:
            self._on_message(message)

    def _lose(self, why: str) -> None:
        self._client = None
        self._lost.set()
        for link in self._links:
            link.lose(why)


class _SharedLink:
    """The subscriptions of one substrate on a client that others use as well."""

    def __init__(self, client: aiomqtt.Client, timeout: float, links: "set[_SharedLink]") -> None:
        self._client, self._timeout, self._links = client, timeout, links
        self._topics: set[str] = set()
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._came = asyncio.Event()
        self._lost = ""
        self._waiting: set[asyncio.Timeout] = set()
        self._log = RateLimitedLogger(_logger)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; see `LinkProtocol.publish`."""
        await self._until_lost(self._client.publish(topic, payload, qos, retain, timeout=math.inf))

    async def subscribe(self, *topics: str, qos: int = 0) -> None:
        """Subscribe to topics; see `LinkProtocol.subscribe`."""
        self._topics.update(topics)
        codes: list[Any] = []
        for topic in topics:
            codes += await self._until_lost(self._client.subscribe(topic, qos, timeout=math.inf))
        if max(getattr(code, "value", code) for code in codes) >= _DENIED:
            raise BrokerRefused(
                f"the broker does not let the aiomqtt client subscribe to {', '.join(topics)}",
                "topics that its access list grants", "docs/wire.md, Access",
            )  # fmt: skip

    async def unsubscribe(self, *topics: str) -> None:
        """End subscriptions; see `LinkProtocol.unsubscribe`."""
        self._topics.difference_update(topics)
        if unused := [topic for topic in topics if not any(topic in link._topics for link in self._links)]:
            await self._until_lost(self._client.unsubscribe(unused, timeout=math.inf))

    async def _until_lost(self, call: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a call of the client, which itself would wait for its whole timeout if the connection is lost."""
        if self._lost:
            call.close()
            raise LinkLost(self._lost)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                self._waiting.add(limit)
                try:
                    return await call
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            raise LinkLost(self._why() or f"the broker confirmed nothing for {self._timeout:g} s") from None
        except aiomqtt.MqttError as error:
            raise LinkLost(str(error)) from None

    async def messages(self) -> AsyncIterator[Message]:
        """Yield the messages of all subscriptions; see `LinkProtocol.messages`."""
        while True:
            while self._queue:
                message = self._queue.popleft()
                self._queued_bytes -= len(message.payload)
                yield message
            if self._lost:
                raise LinkLost(self._lost)
            self._came.clear()
            await self._came.wait()

    def wants(self, topic: str) -> bool:
        """Return whether one of its subscriptions matches."""
        return topic in self._topics or any(
            topic_matches_sub(each, topic) for each in self._topics if "+" in each or "#" in each
        )

    def put(self, message: Message) -> None:
        """Queue a message; one that finds no room is dropped, and asked for again like one lost on the way."""
        if len(self._queue) >= _MOST_QUEUED or self._queued_bytes >= _MOST_QUEUED_BYTES:
            self._log.warning("a message on %s was dropped: %d wait already", message.topic, len(self._queue))
            return
        self._queue.append(message)
        self._queued_bytes += len(message.payload)
        self._came.set()

    def lose(self, why: str) -> None:
        """Fail everything from now on."""
        self._lost = self._lost or why or "the connection is gone"
        self._came.set()
        for limit in self._waiting:
            if not limit.expired():
                limit.reschedule(0.0)

    def _why(self) -> str:
        return self._lost

    async def close(self) -> None:
        """End the subscriptions that no other substrate has."""
        try:
            await self.unsubscribe(*self._topics)
        except LinkLost as error:
            _logger.debug("subscriptions were not ended (%s)", error)
