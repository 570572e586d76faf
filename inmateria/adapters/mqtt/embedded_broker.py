"""An MQTT broker in this process, by default on the loopback interface; nothing else has to be installed."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from amqtt.broker import Broker as _AmqttBroker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from inmateria.adapters.mqtt.wire.address import Broker, is_loopback
from inmateria.substrate import SubstrateError

_HERE = "127.0.0.1"
_CLOSING = 2.0


class _Subscriptions(dict[str, Any]):
    """Subscriptions that may change while they are gone through, which amqtt does not expect: it awaits in between.

    Without it, a client that subscribes while another one connects can end the other's connection.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().__iter__()))

    def items(self) -> Any:
        """Return the items as they are now."""
        return list(super().items())


class EmbeddedBroker:
    """A broker in this process; an async context manager. It speaks MQTT 3.1.1 and keeps nothing on disk.

    It has no access control list: every client that it accepts may read and write all topics. For more than one user,
    use Mosquitto (examples/mosquitto).

    Parameters
    ----------
    port : int
        Port to listen on; 0 takes a free one.
    host : str
        Interface to listen on; `passwords` are required for any other than the loopback interface.
    passwords : path, optional
        File with lines ``user:hash``, where the hash is an argon2 hash as made by `pwdlib`; other users are refused.
    certificate, key : path, optional
        PEM files of a certificate and its key; connections are then encrypted (TLS).

    Raises
    ------
    ValueError
        If other machines could reach it without a password, or a file does not exist.
    SubstrateError
        On entering, if the port is in use.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = _HERE,
        passwords: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        if passwords is None and not is_loopback(host):
            raise ValueError(
                f"the embedded broker would listen on {host}, where others can reach it, and let every client in; "
                "give it a file of passwords, or have it listen on 127.0.0.1"
            )
        for path in (passwords, certificate, key):
            if path is not None and not path.is_file():
                raise ValueError(f"the embedded broker is to read {path}, and there is no such file")
        self._asked, self._host = port, host
        self._passwords, self._certificate, self._key = passwords, certificate, key
        self._exits = AsyncExitStack()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = port

    @property
    def uri(self) -> str:
        """URI of the broker on this machine, such as ``mqtt://127.0.0.1:1883``."""
        host = {"0.0.0.0": _HERE, "::": "::1"}.get(self._host, self._host)
        return str(Broker(host, self.port, tls=self._certificate is not None))

    async def __aenter__(self) -> Self:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        async with AsyncExitStack() as exits:
            # The broker is handed connections from a listener of ours, which can say which free port it got.
            users = "amqtt.plugins.authentication."
            broker = _AmqttBroker(
                BrokerConfig(
                    listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
                    plugins={f"{users}AnonymousAuthPlugin": {"allow_anonymous": True}}
                    if self._passwords is None
                    else {f"{users}FileAuthPlugin": {"password_file": str(self._passwords)}},
                )
            )
            broker._subscriptions = _Subscriptions()  # ours, before the first of them
            await broker.start()
            exits.push_async_callback(self._close_connections)
            exits.push_async_callback(broker.shutdown)

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._connections[_current_task()] = writer
                try:
                    await broker.stream_connected(reader, writer, listener_name="default")
                finally:
                    self._connections.pop(_current_task())
                    writer.close()

            tls = None
            if self._certificate is not None:
                tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                tls.load_cert_chain(self._certificate, self._key)
            try:
                listener = await asyncio.start_server(serve, self._host, self._asked, ssl=tls)
            except OSError as error:
                raise SubstrateError(
                    f"the broker cannot listen on port {self._asked} ({error.strerror})",
                    "a port that nothing else uses",
                    "give another one, or 0 for any free one",
                ) from None
            exits.callback(listener.close)
            self.port = listener.sockets[0].getsockname()[1]
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _close_connections(self) -> None:
        """End the connections that the broker's own shutdown leaves open, as it does with those just accepted."""
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=_CLOSING)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _current_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a connection is served outside any task")
    return task
