"""A connection to a broker by paho-mqtt.

paho-mqtt packs and reads MQTT, 3.1.1 or 5; the event loop is ours (docs/decisions/0200). Messages to send are
written to the socket at once. Messages that come wait in a queue bounded in messages and bytes; while it is full
nothing is read, so that the broker, and in the end the sender, has to wait.
"""

import asyncio
import socket
import ssl
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from inmateria.adapters.mqtt.wire.address import WEBSOCKET_PATH, Broker
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, BrokerRefused, LinkLost, Message
from inmateria.adapters.mqtt.wire.publish_packets import PacketReader, publish_header, published
from inmateria.adapters.mqtt.wire.received_messages import ReceivedMessages
from inmateria.adapters.mqtt.wire.socket_events import require_socket_events
from inmateria.concurrency import cancel_and_wait, settle, settle_with_error, wait_to_completion

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

__all__ = ["KEEPALIVE", "BrokerGone", "BrokerRefused", "Link", "LinkLost", "Message", "open_link"]

KEEPALIVE = 3
"""Seconds; a connection over which nothing comes is given up within two of them."""
MOST_MESSAGE = 1 << 26
"""Bytes of a message at most, 64 MiB; a connection over which a larger one comes is closed."""
_SMALL = 65_536
"""Bytes of a message that is sent without the library; of more, part would often have to wait."""
_CHUNK = 1 << 16
_HEADERS_KEPT = 256
_PUBLISH, _PING = 0x30, b"\xc0\x00"
_NO_RETAINED = 2
"""Retain handling of MQTT 5: do not send retained messages at the time of the subscription."""
_SILENT = 1.8
_TICKS = 10
_CLOSING = 1.0
_DENIED = 0x80
_GONE = "the connection is gone"
_MOST_PACKET = (1 << 28) - 1
"""Bytes of a packet that MQTT can describe."""
_PACKET = 16
"""Bytes of an MQTT packet around topic and payload, at most."""
_BACKLOG = 1 << 16
"""Bytes that wait to be sent, from which on their going out shows that the broker is alive."""


class Link(ReceivedMessages):
    """An open connection to a broker; see `open_link`."""

    _lost: LinkLost | None

    def __init__(self, client: "_Client", timeout: float, plain: bool) -> None:
        super().__init__()
        self._client = client
        self._plain = plain
        self._socket: Any = None
        self._memory = memoryview(bytearray(_CHUNK if plain else 0))  # kept, see `wire.kept_buffer`
        self._headers: dict[str, bytes] = {}
        self._packets = PacketReader(MOST_MESSAGE, client.protocol == MQTTv5)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        self._writing = False
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._received = time.monotonic()
        self._published = self._taken = self._backlog = 0
        self._progressed = self._received
        self.largest = _MOST_PACKET
        """Bytes of a message that the broker takes at most, as far as it has announced a limit (MQTT 5)."""
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_socket_close = self._on_socket_close

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; wait while the connection takes no more, and at QoS 1 until the broker confirms it.

        Raises
        ------
        LinkLost
            If the connection is gone, or the broker does not confirm within the timeout.
        BrokerRefused
            If the broker answers that it is not allowed; most brokers drop it silently instead.
        """
        if self._lost is not None:
            raise self._lost.with_traceback(None)
        if len(payload) + len(topic) + _PACKET > self.largest:
            raise BrokerRefused(
                f"a message of {len(payload)} bytes was to be published on {topic}",
                f"the broker takes {self.largest} at most", "send less at a time, or raise its limit",
            )  # fmt: skip
        if qos == 0 and not retain and self.send_at_once(topic, payload):
            return
        self._published += len(payload)
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(_GONE)
        if info.is_published():  # nearly always at QoS 0: all of it was written
            return
        self._client.on_publish = self._on_publish
        if await self._confirmed(info.mid, "took nothing") >= _DENIED:
            raise _denied("publish on", [topic])

    async def subscribe(self, *topics: str, qos: int = 0, retained: bool = True) -> None:
        """Subscribe to topics; errors as of `publish`.

        Parameters
        ----------
        *topics : str
        qos : {0, 1}
        retained : bool
            Whether messages that the broker has retained are wanted; MQTT 3.1.1 sends them in either case,
            marked as such.
        """
        if self._client.protocol == MQTTv5:
            options = SubscribeOptions(qos) if retained else SubscribeOptions(qos, retainHandling=_NO_RETAINED)
            asked: Any = [(topic, options) for topic in topics]
        else:
            asked = [(topic, qos) for topic in topics]
        code, number = self._client.subscribe(asked)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or number is None:
            raise LinkLost(_GONE)
        if await self._confirmed(number, "confirmed no subscription") >= _DENIED:
            raise _denied("subscribe to", topics)

    async def unsubscribe(self, *topics: str) -> None:
        """End subscriptions, without waiting for the broker's confirmation."""
        self._client.unsubscribe(list(topics))

    def begin(self) -> None:
        """Register the socket with the event loop."""
        open_socket = self._client.socket()
        if open_socket is None:
            self._lose(_GONE)
            return
        self._socket = open_socket
        self._descriptor = open_socket.fileno()
        self._loop.add_reader(self._descriptor, self._read)

    async def close(self) -> None:
        """Disconnect, and close the socket even where the broker does not react."""
        self._client.disconnect()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                while self._client.want_write() and self._client.socket() is not None and self._lost is None:
                    await asyncio.sleep(_CLOSING / 20)
                    self._client.loop_write()
        self._forget_socket()
        if (left := self._client.socket()) is not None:
            left.close()
        self._lose("the connection was closed")

    async def keep_alive(self) -> None:
        """Send pings while nothing else is sent, and give up a broker from which nothing comes for two keepalives."""
        tick = KEEPALIVE / _TICKS
        before = pinged = time.monotonic()
        while self._lost is None:
            await asyncio.sleep(tick)
            now = time.monotonic()
            if now - before > 5 * tick:  # this process did not run; what came meanwhile was not looked at yet
                self._received = now
            before = now
            if self._sending():
                self._received = max(self._received, self._progressed)
            elif self._plain:  # the library does not know what was read without it
                if now - pinged > KEEPALIVE / 2:
                    pinged = now
                    self._ping()
            else:
                self._client.loop_misc()  # which would take the broker for dead while a ping waits behind the backlog
            if now - self._received > _SILENT * KEEPALIVE:
                self._lose(f"the broker was silent for {now - self._received:.1f} s")

    async def connected(self) -> ReasonCode:
        """Wait for the broker's answer to CONNECT; raises `LinkLost` or `TimeoutError`."""
        async with asyncio.timeout(self._timeout):
            return await self._connack

    async def _confirmed(self, number: int, failing: str) -> int:
        """Wait until the broker confirms a numbered packet, or until an unnumbered one is written."""
        waiting: asyncio.Future[int] = self._loop.create_future()
        self._waiting[number] = waiting
        self._write_later()
        try:
            begun = time.monotonic()
            while not waiting.done():
                # As long as bytes go out, a slow connection is given the time that it takes.
                left = max(begun, self._progressed) + self._timeout - time.monotonic()
                if left <= 0:
                    raise LinkLost(f"the broker {failing} for {self._timeout:g} s")
                await asyncio.wait({waiting}, timeout=left)
            return waiting.result()
        finally:
            del self._waiting[number]
            if not self._waiting:
                self._client.on_publish = None  # it costs as much as sending does

    def _sending(self) -> bool:
        """Return whether a backlog is being sent, and note when the other end last took some of it.

        Small messages are not counted: the system at the other end takes them even where the broker hangs.
        """
        waiting = sum(packet["to_process"] for packet in tuple(self._client._out_packet)) + self._unconfirmed()
        before, self._backlog = self._backlog, waiting
        taken, before_taken = self._published - waiting, self._taken
        self._taken = taken
        if before >= _BACKLOG and taken > before_taken:
            self._progressed = time.monotonic()
        return waiting >= _BACKLOG

    def _unconfirmed(self) -> int:
        """Count the bytes that the system has taken from us and the other end has not confirmed, where it tells."""
        count = array("i", [0])
        if sys.platform == "linux" and self._descriptor >= 0:
            with suppress(OSError):
                ioctl(self._descriptor, TIOCOUTQ, count)
        return count[0]

    def send_at_once(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0, unless others wait to be sent; return False where `publish` is to do it."""
        size = len(payload)
        if (
            not self._plain
            or size > _SMALL
            or self._descriptor < 0
            or size + len(topic) + _PACKET > self.largest
            or self._client.want_write()
            or self._lost is not None
        ):
            return False
        header = self._headers.get(topic)
        if header is None:
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            header = self._headers[topic] = publish_header(topic, self._client.protocol == MQTTv5)
        packet = published(header, payload)
        try:
            sent = self._socket.send(packet)
        except OSError:  # it takes nothing now, or is gone: the library finds out which
            return False
        self._published += size
        if sent < len(packet):
            self._client.send_rest(packet[sent:])
            self._write_later()
        return True

    def _ping(self) -> None:
        """Send a ping, unless something waits to be sent; a connection that is gone is found out by reading."""
        if not self._client.want_write() and self._descriptor >= 0:
            with suppress(OSError):
                sent = self._socket.send(_PING)
                if sent < len(_PING):
                    self._client.send_rest(_PING[sent:])
                    self._write_later()

    def _read(self) -> None:
        self._received = time.monotonic()
        client = self._client
        if self._plain:
            self._read_packets()
            self._write_later()
            return
        client.loop_read()
        secured = client.socket()
        # Bytes that TLS has read already do not make the socket readable.
        if secured is not None and hasattr(secured, "pending"):
            while self._lost is None and client.socket() is not None and secured.pending():
                client.loop_read()
        if client._in_packet["remaining_length"] > MOST_MESSAGE:  # the library has no bound of its own
            self._lose(f"a message of {client._in_packet['remaining_length']} bytes came; {MOST_MESSAGE} are allowed")
        self._write_later()

    def _read_packets(self) -> None:
        """Read what has come, deal with the messages at QoS 0, and hand the library all else."""
        try:
            count = self._socket.recv_into(self._memory)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if not count:
            self._client.loop_read()  # which finds the end as well
            return
        try:
            for packet in self._packets.take(self._memory[:count].tobytes()):
                if not isinstance(packet, bytes):
                    self._take(*packet)
                elif self._lost is None:
                    self._client.read_packet(packet)
        except ValueError as error:
            self._lose(str(error))

    def _write_later(self) -> None:
        """Have the event loop go on writing, where the connection did not take everything."""
        wanting = self._descriptor >= 0 and self._client.want_write()
        if wanting and not self._writing:
            self._loop.add_writer(self._descriptor, self._write)
        elif self._writing and not wanting and self._descriptor >= 0:
            self._loop.remove_writer(self._descriptor)
        self._writing = wanting

    def _write(self) -> None:
        self._client.loop_write()
        self._write_later()

    def _pause_reading(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)

    def _resume_reading(self) -> None:
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._read)

    def _on_connect(self, client: Client, _: object, flags: object, code: ReasonCode, properties: object) -> None:
        self.largest = min(self.largest, getattr(properties, "MaximumPacketSize", self.largest))
        settle(self._connack, code)

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        self._take(message.topic, bytes(message.payload), message.retain)

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        take = self.take_message
        if take is None or self._queue or not take(topic, payload):
            self._put(topic, payload, retained)

    def _on_publish(self, client: Client, _: object, number: int, code: ReasonCode, properties: Properties) -> None:
        self._confirm(number, code.value)

    def _on_subscribe(
        self, client: Client, _: object, number: int, codes: Iterable[ReasonCode], properties: Properties | None
    ) -> None:
        self._confirm(number, max(code.value for code in codes))

    def _confirm(self, number: int, code: int) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None:
            settle(waiting, code)

    def _on_disconnect(self, client: Client, _: object, flags: object, code: ReasonCode, properties: object) -> None:
        if self._descriptor >= 0 or self._lost is None:
            self._lose("it was closed at the other end" if code.value == _DENIED else str(code).lower())

    def _on_socket_close(self, client: Client, _: object, closing: Any) -> None:
        self._forget_socket()

    def _forget_socket(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._descriptor = -1

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = LinkLost(why)
        self._forget_socket()
        waited_for: list[asyncio.Future[Any]] = [self._connack, *self._waiting.values()]
        for waiting in waited_for:
            settle_with_error(waiting, self._lost)
        self._wake()


@asynccontextmanager
async def open_link(broker: Broker, *, timeout: float, will: tuple[str, bytes] | None = None) -> AsyncIterator[Link]:
    """Connect to a broker.

    At most 4,096 messages or 64 MiB, and one message more, wait in the queue; then nothing is read until there is
    room.

    Parameters
    ----------
    broker : Broker
    timeout : float
        Seconds to wait for the broker.
    will : (topic, payload), optional
        Message that the broker publishes, retained, when the connection ends without DISCONNECT.

    Raises
    ------
    BrokerGone
        If no broker answers.
    BrokerRefused
        If it refuses the connection, or its certificate is not valid for it.
    """
    require_socket_events()
    loop = asyncio.get_running_loop()
    client = _Client(
        CallbackAPIVersion.VERSION2,
        uuid4().hex[:16],
        protocol=MQTTv5 if broker.version == "5" else MQTTv311,
        reconnect_on_failure=False,
        clean_session=None if broker.version == "5" else True,
        transport=broker.transport,
    )
    if broker.transport == "websockets":
        client.ws_set_options(WEBSOCKET_PATH)
    client.connect_timeout = timeout
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if (tls := broker.tls_context()) is not None:
        tls.sslsocket_class = _Encrypted
        client.tls_set_context(tls)
    if will is not None:
        client.will_set(will[0], will[1], 1, True)
    link = Link(client, timeout, broker.transport == "tcp" and not broker.tls)
    keeping: asyncio.Task[None] | None = None
    try:
        try:
            # Looking up a name, and shaking hands, block in the library.
            late = loop.call_later(timeout, client.interrupt)
            try:
                await wait_to_completion(loop.run_in_executor(None, _connect, client, broker))
            finally:
                late.cancel()
            link.begin()
            code = await link.connected()
        except ssl.SSLError as error:
            raise BrokerRefused(
                f"no encrypted connection to {broker} ({getattr(error, 'verify_message', '') or error.reason})",
                f"a broker whose certificate is signed by {broker.ca or 'an authority that the system trusts'} and "
                f"names {broker.host}, and which accepts ours",
                "see ?ca=FILE, ?certificate=FILE and ?key=FILE",
            ) from None
        except (OSError, LinkLost) as error:  # TimeoutError is an OSError
            raise BrokerGone(
                f"no broker at {broker} within {timeout:g} s ({str(error) or type(error).__name__})",
                f"an MQTT {broker.version} broker that listens there",
                "start one (`inmateria serve` brings its own), or check host and port"
                + ("; the embedded one speaks MQTT 3.1.1" if broker.version == "5" else "")
                + ("; where it asks for a certificate of ours, ?certificate=FILE&key=FILE" if broker.tls else ""),
            ) from None
        if code.is_failure:
            raise BrokerRefused(
                f"{broker} refuses the connection ({str(code).lower()})",
                f"a user that it knows; the user name was {broker.username or 'not given'}"
                + (", with a certificate" if broker.certificate else ""),
                "see INMATERIA_MQTT_CREDENTIALS, or ?credentials=FILE",
            )
        keeping = asyncio.create_task(link.keep_alive(), name=f"keeping {broker} alive")
        yield link
    finally:
        if keeping is not None:
            await cancel_and_wait(keeping)
        await link.close()


class _Client(Client):
    """Closes its socket where a handshake fails, which the library forgets, and can be interrupted during one."""

    _opened: socket.socket | None = None
    _given: bytes | None = None
    """What is left of a packet that was read already."""

    def read_packet(self, packet: bytes) -> None:
        """Deal with a packet that was read already."""
        self._given = packet
        self.loop_read()
        self._given = None

    def send_rest(self, data: bytes) -> None:
        """Send the rest of a packet, before anything else."""
        number = self._mid_generate()
        info = MQTTMessageInfo(number)
        info.rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        self._out_packet.append({
            "command": _PUBLISH, "mid": number, "qos": 0, "pos": 0, "to_process": len(data), "packet": data,
            "info": info,
        })  # fmt: skip

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._given is None:
            return super()._sock_recv(bufsize)
        taken, self._given = self._given[:bufsize], self._given[bufsize:]
        if not taken:
            raise BlockingIOError
        return taken

    def _create_socket_connection(self) -> socket.socket:
        self._opened = super()._create_socket_connection()
        return self._opened

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        self._opened = secured = super()._ssl_wrap_socket(tcp_sock)
        return secured

    def interrupt(self) -> None:
        """End a handshake that another thread waits for."""
        if self._opened is not None:
            with suppress(OSError):
                self._opened.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close the socket of a connection that was not made."""
        if self._opened is not None:
            self._opened.close()


class _Encrypted(ssl.SSLSocket):
    """A socket that is closed where the handshake fails, which the library forgets."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _connect(client: _Client, broker: Broker) -> None:
    """Open the socket and send CONNECT; blocks."""
    properties: Any = None
    if broker.version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MOST_MESSAGE
    try:
        client.connect(broker.host, broker.port, KEEPALIVE, properties=properties)
    except BaseException:
        client.forget()
        raise
    open_socket: Any = client.socket()
    open_socket = getattr(open_socket, "_socket", open_socket)  # of a WebSocket, that of the network
    if open_socket is not None:
        # Without it, small messages wait up to 40 ms for the confirmation of those before.
        open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _denied(what: str, topics: Iterable[str]) -> BrokerRefused:
    return BrokerRefused(
        f"the broker does not let us {what} {', '.join(topics)}", "what its access list grants", "docs/wire.md, Access"
    )
