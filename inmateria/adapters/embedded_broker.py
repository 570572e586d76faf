"""An MQTT broker in this process, on the loopback interface only, so that nothing has to be installed to start."""

import asyncio
import logging
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from inmateria.substrate import SubstrateError

_HOST = "127.0.0.1"
_CLOSING = 2.0


class EmbeddedBroker:
    """A broker for this machine; an async context manager. It speaks MQTT 3.1.1 and keeps nothing on disk.

    Parameters
    ----------
    port : int
        On the loopback interface; 0 takes a free one.

    Raises
    ------
    SubstrateError
        On entering, where the port is in use.
    """

    def __init__(self, port: int = 0) -> None:
        self._asked = port
        self._exits = AsyncExitStack()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = port

    @property
    def uri(self) -> str:
        """Where it listens, such as ``mqtt://127.0.0.1:1883``."""
        return f"mqtt://{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        async with AsyncExitStack() as exits:
            # The broker is handed connections from a listener of ours, which can say which free port it got.
            broker = Broker(
                BrokerConfig(
                    listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
                    plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
                )
            )
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

            try:
                listener = await asyncio.start_server(serve, _HOST, self._asked)
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
