"""The socket of a device, in place of a broker: passes messages between clients and the device in this process.

The device's own connections are in memory; those of clients are streams (`wire.stream_messages`). Unlike a broker, it
lets a client publish nothing but stimuli, stops and releases, and each client may have only so many messages wait for
the device: then its connection is not read, and no other one is held up by it.
"""

import asyncio
import logging
import os
import socket
import stat
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import msgspec

from inmateria.adapters.mqtt.wire.address import ROOT, Address
from inmateria.adapters.mqtt.wire.device_link import KEEPALIVE, MOST_MESSAGE, SILENT, VERSION, Hello
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket
from inmateria.adapters.mqtt.wire.kept_buffer import BytesProtocol
from inmateria.adapters.mqtt.wire.link_protocol import Message, TakeMessage
from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger
from inmateria.adapters.mqtt.wire.stream_messages import MessageReader, StreamKind, beginning, packed, packed_after
from inmateria.concurrency import cancel_and_wait, settle
from inmateria.substrate import SubstrateBusy, SubstrateError

if sys.platform != "win32":
    import fcntl

__all__ = ["SocketHub"]

_logger = logging.getLogger("inmateria")
_CLIENTS, _KEPT_FREE = 64, 8
"""Connections at most, and those beyond them that may only stop and release."""
_WAITING, _WAITING_BYTES = 4096, 1 << 26
"""Messages of one client that wait for the device at most, and their bytes."""
_UNREAD = 1 << 26
"""Bytes that wait for a client that does not read, from which messages to it are dropped."""
_MESSAGE = int(StreamKind.MESSAGE)
_IN_A_ROW = 64
_ROUTES = 1024
_SUBSCRIPTIONS = 64
_TICKS = 10
_CLOSING = 1.0


class SocketHub:
    """Listens at the socket of a device; an async context manager.

    Parameters
    ----------
    place : DeviceSocket
        A Unix socket is made with mode 0600, and replaces one whose device is dead. Port 0 takes a free one.
    address : Address
        Of the device.
    exposed : bool
        Whether a TCP socket may listen where other machines can reach it; there are no passwords and no encryption.

    Attributes
    ----------
    place : DeviceSocket
        With the port that was taken.

    Raises
    ------
    ValueError
        If other machines could reach it, and that was not asked for.
    SubstrateBusy
        On entering, if another device is served there.
    SubstrateError
        On entering, if the socket cannot be made.
    """

    def __init__(self, place: DeviceSocket, address: Address, *, exposed: bool = False) -> None:
        refuse_exposed(place, exposed)
        self.place = place
        self.address = address
        self._prefix = f"{ROOT}/{address.group}/{address.device}/"
        self._links: set[_OwnLink] = set()
        self._clients: set[_Client] = set()
        self._retained: dict[str, bytes] = {}
        self._routes: dict[str, tuple[list[_OwnLink], list[_Client], bytes]] = {}
        self.log = RateLimitedLogger(_logger)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            loop = asyncio.get_running_loop()
            if self.place.path:
                listening = _unix_socket(self.place.path, exits)
                try:
                    server: Any = await loop.create_unix_server(
                        lambda: _Client(self), sock=listening, start_serving=False
                    )
                except NotImplementedError:
                    raise SubstrateError(
                        f"{self.place} cannot be served on this system", "Unix sockets are of Linux and macOS",
                        "use tcp://127.0.0.1:port",
                    ) from None  # fmt: skip
            else:
                try:
                    server = await loop.create_server(
                        lambda: _Client(self), self.place.host, self.place.port, start_serving=False
                    )
                except OSError as error:
                    raise SubstrateBusy(
                        f"{self.place} cannot be listened on ({error.strerror or error})",
                        "a port that nothing else uses", "give another one, or 0 for any free one",
                    ) from None  # fmt: skip
                self.place = replace(self.place, port=server.sockets[0].getsockname()[1])
            exits.push_async_callback(self._close_clients)
            exits.callback(server.close)
            await server.start_serving()  # apart, since a cancellation within it would leave the server behind
            watching = asyncio.create_task(self._watch_clients(), name=f"watching the clients of {self.address}")
            exits.push_async_callback(cancel_and_wait, watching)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    @property
    def uri(self) -> str:
        """URI of the device for clients."""
        return str(self.place) if self.place.path else f"{self.place}/{self.address}"

    @asynccontextmanager
    async def open_link(self) -> AsyncIterator["_OwnLink"]:
        """Open a connection of the device itself, which is never lost."""
        link = _OwnLink(self)
        self._links.add(link)
        try:
            yield link
        finally:
            self._links.discard(link)
            self.forget_routes()

    def publish(self, topic: str, payload: bytes, retain: bool, sender: "_Client | None") -> None:
        """Pass a message on to everyone who has subscribed."""
        if retain:
            self._retained[topic] = payload
        links, clients, begins = self._routes.get(topic) or self._route(topic)
        for link in links:
            link.put(topic, payload, False, sender)
        if clients:
            data = packed_after(begins, payload)
            for client in clients:
                client.send(data)

    def forget_routes(self) -> None:
        """Look up anew who gets which message."""
        self._routes.clear()

    def full_topic(self, short: bytes) -> str:
        """Return a topic of a client as the device names it; raises `ValueError` where it is none."""
        return self._prefix + short.decode("ascii")

    def retained_for(self, wanted: "_Topics") -> list[bytes]:
        """Return the messages that a new subscription gets."""
        return [
            packed(StreamKind.RETAINED, topic.removeprefix(self._prefix).encode("ascii"), payload)
            for topic, payload in self._retained.items()
            if wanted.match(topic)
        ]

    def retained(self, wanted: "_Topics") -> list[tuple[str, bytes]]:
        """Return the same for a connection of the device, as topics and payloads."""
        return [(topic, payload) for topic, payload in self._retained.items() if wanted.match(topic)]

    def admit(self, client: "_Client", hello: Hello) -> str:
        """Greet a client; return why it is refused, or nothing."""
        if hello.version != VERSION:
            return f"version {hello.version} of the protocol; known is {VERSION}"
        if hello.device not in ("", str(self.address)):
            return f"{self.address} is served here, not {hello.device[:200]}"
        others = len(self._clients)
        if others >= _CLIENTS + _KEPT_FREE:
            return f"{others} connections are open; close some"
        client.only_stops = others >= _CLIENTS
        self._clients.add(client)
        return ""

    def forget(self, client: "_Client") -> None:
        """Forget a client that is gone."""
        self._clients.discard(client)
        self.forget_routes()

    def _route(self, topic: str) -> tuple[list["_OwnLink"], list["_Client"], bytes]:
        if len(self._routes) >= _ROUTES:  # a client may make up as many sessions as it likes
            self._routes.clear()
        self._routes[topic] = route = (
            [link for link in self._links if link.topics.match(topic)],
            [client for client in self._clients if client.topics.match(topic)],
            beginning(_MESSAGE, topic.removeprefix(self._prefix).encode("ascii")),
        )
        return route

    async def _watch_clients(self) -> None:
        """Send pings, and close the connections over which nothing comes for two keepalives."""
        tick = KEEPALIVE / _TICKS
        before = time.monotonic()
        while True:
            await asyncio.sleep(tick)
            now = time.monotonic()
            held, before = now - before > 5 * tick, now
            for client in list(self._clients):
                client.check(now, held)

    async def _close_clients(self) -> None:
        clients = list(self._clients)
        for client in clients:
            client.close()
        if clients:
            _, late = await asyncio.wait({client.ended for client in clients}, timeout=_CLOSING)
            if late:
                for client in clients:
                    client.abort()
                await asyncio.wait(late, timeout=_CLOSING)


class _Topics:
    """Topics of a subscriber; ``+`` stands for any level."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._patterns: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._exact) + len(self._patterns)

    def add(self, topic: str) -> None:
        if "+" in topic:
            self._patterns[topic] = topic.split("/")
        else:
            self._exact.add(topic)

    def discard(self, topic: str) -> None:
        self._exact.discard(topic)
        self._patterns.pop(topic, None)

    def match(self, topic: str) -> bool:
        if topic in self._exact:
            return True
        levels = topic.split("/")
        return any(
            len(levels) == len(pattern)
            and all(each in ("+", level) for each, level in zip(pattern, levels, strict=True))
            for pattern in self._patterns.values()
        )


class _OwnLink:
    """A connection of the device to its hub: a `LinkProtocol` in memory."""

    def __init__(self, hub: SocketHub) -> None:
        self._hub = hub
        self.topics = _Topics()
        self.take_message: TakeMessage | None = None
        self._queue: deque[tuple[Message, _Client | None]] = deque()
        self._wanted: asyncio.Future[None] | None = None

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self._hub.publish(topic, payload, retain, None)

    def send_at_once(self, topic: str, payload: bytes) -> bool:
        self._hub.publish(topic, payload, False, None)
        return True

    async def subscribe(self, *topics: str, qos: int = 0, retained: bool = True) -> None:
        new = _Topics()
        for topic in topics:
            self.topics.add(topic)
            new.add(topic)
        self._hub.forget_routes()
        if retained:
            for topic, payload in self._hub.retained(new):
                self.put(topic, payload, True, None)

    async def unsubscribe(self, *topics: str) -> None:
        for topic in topics:
            self.topics.discard(topic)
        self._hub.forget_routes()

    async def messages(self) -> AsyncIterator[Message]:
        in_a_row = 0
        while True:
            while self._queue:
                message, sender = self._queue.popleft()
                if sender is not None:
                    sender.taken(len(message.payload))
                in_a_row += 1
                if in_a_row >= _IN_A_ROW:  # a flood here must not delay what comes over another connection
                    in_a_row = 0
                    await asyncio.sleep(0)
                yield message
            in_a_row = 0
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted

    def put(self, topic: str, payload: bytes, retained: bool, sender: "_Client | None") -> None:
        take = self.take_message
        if take is not None and not self._queue and take(topic, payload):
            return
        self._queue.append((Message(topic, payload, retained), sender))
        if sender is not None:
            sender.waits(len(payload))
        if self._wanted is not None:
            settle(self._wanted, None)


class _Client(BytesProtocol):
    """A connection of a client."""

    def __init__(self, hub: SocketHub) -> None:
        super().__init__()
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._reader = MessageReader(MOST_MESSAGE)
        self.topics = _Topics()
        self._allowed: dict[bytes, str] = {}
        self.only_stops = False
        self._greeted = self._gone = self._paused = self._full = False
        self._waiting = self._waiting_bytes = 0
        self._received = time.monotonic()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._late = self._loop.call_later(SILENT * KEEPALIVE, self.abort)  # until it has said what it is

    def data_received(self, data: bytes) -> None:
        self._received = time.monotonic()
        try:
            for kind, topic, payload in self._reader.take(data):
                if self._gone:
                    return
                if kind == _MESSAGE and self._greeted:
                    self._hub.publish(self._allowed.get(topic) or self._allow(topic), payload, False, self)
                else:
                    self._handle(kind, payload)
        except (ValueError, msgspec.MsgspecError) as error:
            self._refuse(str(error))

    def eof_received(self) -> None:
        self._gone = True

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        if self._late is not None:
            self._late.cancel()
        self._hub.forget(self)
        settle(self.ended, None)

    def send(self, data: bytes) -> None:
        """Send a message, or drop it where the client has not read for long: numbers are asked for again."""
        if self._gone:
            return
        if self._full and self._transport.get_write_buffer_size() > _UNREAD:
            self._hub.log.warning("%s: a client does not read; a message to it was dropped", self._hub.address)
            return
        self._transport.write(data)

    def pause_writing(self) -> None:
        """Note that what it has not read is more than a little; only then is it measured."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that it has read most of it."""
        self._full = False

    def waits(self, size: int) -> None:
        """Count a message that waits for the device, and stop to read where there are too many."""
        self._waiting, self._waiting_bytes = self._waiting + 1, self._waiting_bytes + size
        if not self._paused and not self._has_room() and not self._gone:
            self._paused = True
            self._transport.pause_reading()

    def taken(self, size: int) -> None:
        """Count one that the device has taken."""
        self._waiting, self._waiting_bytes = self._waiting - 1, self._waiting_bytes - size
        if self._paused and self._has_room():
            self._paused = False
            if not self._gone:
                self._transport.resume_reading()

    def check(self, now: float, held: bool) -> None:
        """Send a ping, and close the connection of a client that has been silent for too long."""
        if held or self._paused:  # what came meanwhile was not looked at yet
            self._received = now
        if now - self._received > SILENT * KEEPALIVE:
            self.abort()
        elif not self._gone and self._transport.get_write_buffer_size() == 0:
            self._transport.write(packed(StreamKind.PING))

    def close(self) -> None:
        """Close; what was written before still goes out."""
        self._gone = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._gone = True
        self._transport.abort()

    def _has_room(self) -> bool:
        return self._waiting < _WAITING and self._waiting_bytes < _WAITING_BYTES

    def _handle(self, kind: int, payload: bytes) -> None:
        """Handle a greeting, subscriptions and pings."""
        if not self._greeted:
            if kind != StreamKind.HELLO:
                raise ValueError("the first message is no greeting")
            why = self._hub.admit(self, msgspec.json.decode(payload, type=Hello))
            if why:
                raise ValueError(why)
            self._greeted = True
            assert self._late is not None
            self._late.cancel()
            told = msgspec.json.encode(Hello(VERSION, str(self._hub.address)))
            self._transport.write(packed(StreamKind.HELLO, b"", told))
        elif kind in (StreamKind.SUBSCRIBE, StreamKind.UNSUBSCRIBE):
            new = _Topics()
            for short in payload.split(b"\n"):
                topic = self._hub.full_topic(short)
                if kind == StreamKind.SUBSCRIBE:
                    self.topics.add(topic)
                    new.add(topic)
                else:
                    self.topics.discard(topic)
            if len(self.topics) > _SUBSCRIPTIONS:
                raise ValueError(f"{len(self.topics)} subscriptions; allowed are {_SUBSCRIPTIONS}")
            self._hub.forget_routes()
            for data in self._hub.retained_for(new):
                self.send(data)
        elif kind != StreamKind.PING:
            raise ValueError(f"a message of kind {kind}")

    def _allow(self, short: bytes) -> str:
        """Return the full name of a topic that a client may publish on, or raise `ValueError`."""
        name = self._hub.full_topic(short)
        levels = short.split(b"/")
        if short not in (b"stop", b"release") and (
            self.only_stops or len(levels) != 3 or levels[0] != b"stimulus" or not all(levels)
        ):
            allowed = "stop and release, since many connections are open" if self.only_stops else (
                "stimulus/USER/SESSION, stop and release"
            )  # fmt: skip
            raise ValueError(f"a client publishes on {short[:80].decode()}; allowed are {allowed}")
        if len(self._allowed) >= _SUBSCRIPTIONS:
            self._allowed.clear()
        self._allowed[short] = name
        return name

    def _refuse(self, why: str) -> None:
        """Say why, and close."""
        self._hub.log.warning("%s: a client at %s is refused: %s", self._hub.address, self._hub.place, why)
        if not self._gone:
            self._transport.write(packed(StreamKind.REFUSED, b"", why.encode()))
            self.close()


def refuse_exposed(place: DeviceSocket, exposed: bool) -> None:
    """Raise `ValueError` where other machines could reach a socket, and that was not asked for."""
    if not exposed and not place.is_loopback:
        raise ValueError(
            f"{place} could be reached by other machines, without a password and unencrypted; have it listen on "
            "127.0.0.1, serve through a broker with TLS (docs/wire.md), or say exposed=True (--exposed) on a closed "
            "network"
        )


def _unix_socket(path: str, exits: AsyncExitStack) -> socket.socket:
    """Make a Unix socket that only its owner may open; the path is held by a lock as long as the device lives."""
    if sys.platform == "win32":
        raise SubstrateError(
            f"unix://{path} cannot be served on this system", "Unix sockets are of Linux and macOS",
            "use tcp://127.0.0.1:port",
        )  # fmt: skip
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SubstrateError(
            f"unix://{path} cannot be made ({error.strerror})", "a folder that this user may write to"
        ) from None
    exits.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SubstrateBusy(
            f"another device is served at unix://{path}", "one device for each socket",
            "give another path, or end the other server",
        ) from None  # fmt: skip
    listening = socket.socket(socket.AF_UNIX)
    try:
        _remove_dead_socket(path)
        with suppress(OSError):
            os.fchmod(listening.fileno(), 0o600)  # on Linux, the file is made with it
        listening.bind(path)
        os.chmod(path, 0o600)  # before it listens, so that no one can have connected  # noqa: PTH101
    except OSError as error:
        listening.close()
        raise SubstrateError(
            f"unix://{path} cannot be made ({error.strerror or error})",
            "a path in a folder of this user, where there is nothing but an old socket",
        ) from None
    except SubstrateBusy:
        listening.close()
        raise
    exits.callback(listening.close)
    exits.callback(_remove_own_socket, path, os.stat(path).st_ino)  # noqa: PTH116
    return listening


def _remove_dead_socket(path: str) -> None:
    """Remove a socket on which nothing listens any more; raises `SubstrateBusy` where something does."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108
            return
    raise SubstrateBusy(f"another program listens at unix://{path}", "a path that nothing else uses")


def _remove_own_socket(path: str, inode: int) -> None:
    with suppress(OSError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)  # noqa: PTH108
