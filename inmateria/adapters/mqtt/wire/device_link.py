"""A connection to a device at a socket of its own, without a broker: a `LinkProtocol` on a stream of messages."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from inmateria.adapters.mqtt.wire.address import ROOT
from inmateria.adapters.mqtt.wire.device_socket import ONLY_DEVICE, DeviceSocket
from inmateria.adapters.mqtt.wire.kept_buffer import BytesProtocol
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, BrokerRefused, LinkLost
from inmateria.adapters.mqtt.wire.received_messages import ReceivedMessages
from inmateria.adapters.mqtt.wire.stream_messages import MessageReader, StreamKind, beginning, packed, packed_after
from inmateria.concurrency import cancel_and_wait, settle, settle_with_error

__all__ = ["KEEPALIVE", "MOST_MESSAGE", "VERSION", "DeviceLink", "Hello", "open_device_link"]

VERSION = 1
KEEPALIVE = 3
"""Seconds; a connection over which nothing comes is given up within two of them."""
SILENT = 1.8
"""Keepalives without a word after which the other end is taken for dead."""
MOST_MESSAGE = 1 << 26
"""Bytes of a message at most, 64 MiB; a connection over which a larger one comes is closed."""
_MESSAGE = int(StreamKind.MESSAGE)
_MESSAGES = frozenset((_MESSAGE, int(StreamKind.RETAINED)))
_TICKS = 10
_CLOSING = 1.0
_GONE = "the connection is gone"
_TOPICS_KEPT = 256
_MOST_REASON = 1000


class Hello(msgspec.Struct):
    """The first message each way.

    Parameters
    ----------
    version : int
        Of the messages on the stream.
    device : str
        ``group/name`` of the device: the one that is here, or that is wanted; empty where it is any.
    """

    version: int
    device: str = ""


class DeviceLink(ReceivedMessages, BytesProtocol):
    """An open connection to the socket of a device; see `open_device_link`."""

    _lost: LinkLost | BrokerRefused | None

    def __init__(self, place: DeviceSocket) -> None:
        ReceivedMessages.__init__(self)
        BytesProtocol.__init__(self)
        self._place = place
        self._prefix = f"{ROOT}/{place.address.group}/{place.address.device}/"
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reader = MessageReader(MOST_MESSAGE)
        self._greeted: asyncio.Future[Hello] = self._loop.create_future()
        self._writable: asyncio.Future[None] | None = None
        self._received = time.monotonic()
        self._sent: dict[str, bytes] = {}
        self._came: dict[bytes, str] = {}

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; see `LinkProtocol.publish`. A stream keeps its order and drops nothing, whatever the QoS."""
        if self._lost is not None:
            raise self._lost.with_traceback(None)
        self._write(topic, payload)
        if self._writable is not None:
            await asyncio.shield(self._writable)
            if self._lost is not None:
                raise self._lost

    def send_at_once(self, topic: str, payload: bytes) -> bool:
        """Send a message unless the connection takes none now; see `HandsOver`."""
        if self._lost is not None or self._writable is not None:
            return False
        self._write(topic, payload)
        return True

    async def subscribe(self, *topics: str, qos: int = 0) -> None:
        """Subscribe to topics. It holds for whatever is sent from then on: a stream keeps its order."""
        self._send_topics(StreamKind.SUBSCRIBE, topics)

    async def unsubscribe(self, *topics: str) -> None:
        """End subscriptions."""
        self._send_topics(StreamKind.UNSUBSCRIBE, topics)

    async def greet(self) -> Hello:
        """Say what is wanted, and wait for the device's own greeting."""
        address = self._place.address
        wanted = "" if address == ONLY_DEVICE else str(address)
        self._transport.write(packed(StreamKind.HELLO, b"", msgspec.json.encode(Hello(VERSION, wanted))))
        return await self._greeted

    async def keep_alive(self) -> None:
        """Send pings, and give up a device from which nothing comes for two keepalives."""
        tick = KEEPALIVE / _TICKS
        before = time.monotonic()
        while self._lost is None:
            await asyncio.sleep(tick)
            now = time.monotonic()
            if now - before > 5 * tick or self._paused:  # what came meanwhile was not looked at yet
                self._received = now
            before = now
            if self._writable is None:
                self._transport.write(packed(StreamKind.PING))
            if now - self._received > SILENT * KEEPALIVE:
                self._lose(LinkLost(f"the device was silent for {now - self._received:.1f} s"))

    async def close(self) -> None:
        """Close the connection; what was written before still goes out, for a second at most."""
        self._lose(LinkLost("the connection was closed"), at_once=False)
        if self._transport is not None:
            try:
                await asyncio.wait({self._ended}, timeout=_CLOSING)
            finally:
                self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Queue the messages that came."""
        self._received = time.monotonic()
        try:
            for kind, topic, payload in self._reader.take(data):
                if kind in _MESSAGES:
                    name = self._came.get(topic) or self._name(topic)
                    take = self.take_message
                    if take is not None and not self._queue and take(name, payload):
                        continue
                    self._put(name, payload, kind != _MESSAGE)
                elif kind == StreamKind.HELLO and not self._greeted.done():
                    settle(self._greeted, msgspec.json.decode(payload, type=Hello))
                elif kind == StreamKind.REFUSED:
                    why = payload[:_MOST_REASON].decode("utf-8", "replace")
                    self._lose(BrokerRefused(f"{self._place.described} refuses: {why}"))
        except (ValueError, msgspec.MsgspecError) as error:
            self._lose(BrokerRefused(
                f"{self._place} does not speak as a device ({error})", "the socket of a device",
                "see what `inmateria serve` prints",
            ))  # fmt: skip

    def eof_received(self) -> None:
        """Close, since the other end has."""
        self._lose(LinkLost("it was closed at the other end"))

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is gone."""
        self._lose(LinkLost(_GONE if error is None else str(error).lower()))
        settle(self._ended, None)

    def pause_writing(self) -> None:
        """Have senders wait: the other end does not read as fast."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let senders go on."""
        if self._writable is not None:
            settle(self._writable, None)
        self._writable = None

    def _write(self, topic: str, payload: bytes) -> None:
        self._transport.write(packed_after(self._sent.get(topic) or self._begin(topic), payload))

    def _send_topics(self, kind: StreamKind, topics: tuple[str, ...]) -> None:
        if self._lost is not None:
            raise self._lost
        names = b"\n".join(self._short(topic) for topic in topics)
        self._transport.write(packed(kind, b"", names))

    def _short(self, topic: str) -> bytes:
        """Return a topic as it stands on the stream, below the device."""
        return topic.removeprefix(self._prefix).encode("ascii")

    def _begin(self, topic: str) -> bytes:
        """Return how messages on a topic begin."""
        if len(self._sent) >= _TOPICS_KEPT:
            self._sent.clear()
        self._sent[topic] = begins = beginning(_MESSAGE, self._short(topic))
        return begins

    def _name(self, short: bytes) -> str:
        if len(self._came) >= _TOPICS_KEPT:
            self._came.clear()
        self._came[short] = name = self._prefix + short.decode("ascii")
        return name

    def _pause_reading(self) -> None:
        if self._lost is None:
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._lost is None:
            self._transport.resume_reading()

    def _lose(self, why: LinkLost | BrokerRefused, at_once: bool = True) -> None:
        if self._lost is None:
            self._lost = why
        settle_with_error(self._greeted, self._lost)
        self.resume_writing()
        if self._transport is not None:
            if at_once:
                self._transport.abort()
            else:
                self._transport.close()
        self._wake()


@asynccontextmanager
async def open_device_link(place: DeviceSocket, *, timeout: float) -> AsyncIterator[DeviceLink]:
    """Connect to the socket of a device.

    Parameters
    ----------
    place : DeviceSocket
    timeout : float
        Seconds to wait for the device.

    Raises
    ------
    BrokerGone
        If no device listens there now.
    BrokerRefused
        If the socket may not be used, or is that of another device or program.
    """
    loop = asyncio.get_running_loop()
    link = DeviceLink(place)
    keeping: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(timeout):
                if place.path:
                    await loop.create_unix_connection(lambda: link, place.path)
                else:
                    await loop.create_connection(lambda: link, place.host, place.port)
                await link.greet()
        except PermissionError:
            raise BrokerRefused(
                f"{place} may not be opened by this user", "the user who serves the device, and root",
                "see who owns the socket",
            ) from None  # fmt: skip
        except NotImplementedError:
            raise BrokerRefused(
                f"{place} cannot be opened on this system", "Unix sockets are of Linux and macOS", "use tcp://127.0.0.1"
            ) from None
        except (OSError, LinkLost) as error:  # TimeoutError is an OSError
            raise BrokerGone(
                f"no device at {place} within {timeout:g} s "
                f"({getattr(error, 'strerror', '') or str(error) or type(error).__name__})",
                "a device that is served there", "start it with `inmateria serve --at`, or check the address",
            ) from None  # fmt: skip
        keeping = asyncio.create_task(link.keep_alive(), name=f"keeping {place} alive")
        yield link
    finally:
        if keeping is not None:
            await cancel_and_wait(keeping)
        await link.close()
