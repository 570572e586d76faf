"""The one place that knows the MQTT client library: a connection, topics, and where a device lives.

What the library does not do is done here: TCP_NODELAY (without it QoS 1 and 2 wait 40 ms for an
acknowledgement), and errors that name the broker. QoS is 0 throughout: order and delivery are ours,
by sequence numbers (docs/decisions/0003).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode

from inmateria.substrate import SubstrateDisconnected, UnknownSubstrate

ROOT = "inmateria/1"
KEEPALIVE = 5
_MOST_QUEUED = 4096
_GOODBYE = 6.0
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Broker:
    """Where a broker listens, and who we are to it."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``mqtt[s]://[user:password@]host[:port]``; a password is better kept in the environment.

        ``INMATERIA_MQTT_USERNAME`` and ``INMATERIA_MQTT_PASSWORD`` stand in for what the URI leaves out.
        """
        parts = urlsplit(uri)
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            raise UnknownSubstrate(
                f"{_without_password(uri)!r} does not name a broker", "mqtt://host:port or mqtts://host:port"
            ) from None
        if not parts.hostname:
            raise UnknownSubstrate(f"{_without_password(uri)!r} names no host", "mqtt://host:port/group/device")
        return cls(
            parts.hostname,
            port,
            parts.scheme == "mqtts",
            unquote(parts.username) if parts.username else os.environ.get("INMATERIA_MQTT_USERNAME"),
            unquote(parts.password) if parts.password else os.environ.get("INMATERIA_MQTT_PASSWORD"),
        )

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<broker {self}>"


@dataclass(frozen=True)
class Address:
    """Where a device lives on a broker, and its topics."""

    group: str
    device: str

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``/group/device`` off a URI."""
        names = urlsplit(uri).path.strip("/").split("/")
        if len(names) != 2 or not all(names) or any(mark in name for name in names for mark in "+#"):
            raise UnknownSubstrate(
                f"{_without_password(uri)!r} does not name a device",
                "mqtt://host:port/group/device, such as mqtt://127.0.0.1:1883/lab/nwn-1",
                "see what `inmateria serve` prints",
            )
        return cls(*names)

    def topic(self, *parts: str) -> str:
        """Name a topic of this device."""
        return "/".join((ROOT, self.group, self.device, *parts))

    def __str__(self) -> str:
        return f"{self.group}/{self.device}"


class LinkLost(Exception):
    """The connection to the broker is gone."""


class BrokerGone(SubstrateDisconnected):
    """No broker answers, or it refuses us."""


class Link:
    """An open connection to a broker; see `open_link`."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message; raises `LinkLost`."""
        client = self._client
        # QoS 1 for what is retained, so that it is known to have arrived; it is rare and small.
        info = client._client.publish(topic, payload, 1 if retain else 0, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost("the connection is gone")
        if info.is_published():  # nearly always at QoS 0: no task is worth starting for it
            return
        confirmed = asyncio.Event()
        # Once the connection is gone the library would wait its whole timeout for what cannot come.
        gone = client._disconnected

        def wake(_: object) -> None:
            confirmed.set()

        gone.add_done_callback(wake)
        with client._pending_call(info.mid, confirmed, client._pending_publishes):
            try:
                # Not wait_for: that of Python 3.11 swallows a cancellation that comes with the confirmation.
                async with asyncio.timeout(client.timeout):
                    await confirmed.wait()
            except TimeoutError:
                raise LinkLost(f"the broker took nothing for {client.timeout:g} s") from None
            finally:
                gone.remove_done_callback(wake)
        if gone.done():
            raise LinkLost("the connection is gone")

    async def subscribe(self, *topics: str) -> None:
        """Ask for the messages of some topics; raises `LinkLost`."""
        try:
            await self._client.subscribe([(topic, 0) for topic in topics])
        except aiomqtt.MqttError as error:
            raise LinkLost(str(error)) from None

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield topic and payload of each message; raises `LinkLost` when the connection is gone."""
        queue: asyncio.Queue[Any] = self._client._queue
        gone = self._client._disconnected

        def wake(_: object) -> None:
            with suppress(asyncio.QueueFull):  # then whoever takes from it is awake
                queue.put_nowait(None)

        # The library's own iterator starts a task for every message (benchmarks/streaming.py shows what that costs).
        gone.add_done_callback(wake)
        try:
            while not (gone.done() and queue.empty()):
                message = await queue.get()
                if message is None:
                    break
                yield message.topic.value, bytes(message.payload)
        finally:
            gone.remove_done_callback(wake)
        raise LinkLost(_reason(gone.exception() or ConnectionError("the connection is gone")))


@asynccontextmanager
async def open_link(broker: Broker, *, timeout: float, will: tuple[str, bytes] | None = None) -> AsyncIterator[Link]:
    """Connect to a broker.

    Incoming messages wait in a queue of 4,096; when it is full the newest are dropped, which sequence
    numbers notice and mend.

    Parameters
    ----------
    broker : Broker
    timeout : float
        Seconds to wait for the broker.
    will : (topic, payload), optional
        What the broker publishes, retained, when we are gone without a word.

    Raises
    ------
    SubstrateDisconnected
        Where no broker answers, or it refuses us.
    """
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        keepalive=KEEPALIVE,
        timeout=timeout,
        max_queued_incoming_messages=_MOST_QUEUED,
        will=aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None,
        tls_context=ssl.create_default_context() if broker.tls else None,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    client._client.connect_timeout = timeout  # the library has no option for how long the TCP handshake may take
    try:
        await client.__aenter__()
    except aiomqtt.MqttError as error:
        raise BrokerGone(
            f"no broker at {broker} within {timeout:g} s ({_reason(error)})",
            "an MQTT broker that listens there",
            "start one (`inmateria serve` brings its own), or check host, port and password",
        ) from None
    try:
        yield Link(client)
    finally:
        # Where the broker was gone before we could say goodbye, the connection is closed all the same.
        with suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """Do several things at once until one of them ends or fails; the others are cancelled and waited for."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(*tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    The library waits with `asyncio.wait_for`, and that of Python 3.11 can swallow a cancellation; so who has
    not ended after longer than saying goodbye to a broker may take is cancelled once more.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_GOODBYE)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri
