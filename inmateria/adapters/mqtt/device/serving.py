"""Serve a substrate on a broker, or at a socket, until this process is told to end, as `inmateria serve` does."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from inmateria.adapters.mqtt.device.server import DeviceServer
from inmateria.adapters.mqtt.embedded_broker import EmbeddedBroker
from inmateria.adapters.mqtt.wire.address import Address
from inmateria.adapters.mqtt.wire.device_socket import names_a_socket
from inmateria.adapters.mqtt.wire.socket_events import require_socket_events
from inmateria.adapters.stopping import end_of_input, stop_signals
from inmateria.substrate import Substrate


async def serve_until_stopped(
    substrate: Substrate,
    broker: str,
    port: int,
    group: str,
    name: str | None,
    ready: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    passwords: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    journal: Path | None = None,
    exposed: bool = False,
    until_eof: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, or the end of standard input.

    Parameters
    ----------
    substrate : Substrate
        Substrate to serve; entered and left by this function.
    broker : str
        ``mqtt://host:port``, or ``embedded`` to start one on `port`; ``unix:///path`` or ``tcp://host:port`` serves
        without one.
    group, name : str
        The device's address; the name is the substrate's id by default.
    ready : callable
        Called with the device's URI once it can be reached.
    host, passwords, certificate, key
        Settings of the embedded broker; see `EmbeddedBroker`.
    journal : path, optional
        Journal of the device; see `DeviceServer`.
    exposed : bool
        Whether ``tcp://`` may listen where other machines can reach it.
    until_eof : bool
        Also stop when standard input ends, as it does when the process that started this one has ended.

    Raises
    ------
    UnknownSubstrate
        If a URI cannot carry the group or the name.
    SubstrateBusy
        If another device on the broker has that name.
    """
    Address.named(group, "unnamed" if name is None else name)
    if not names_a_socket(broker) and not broker.startswith("tcp://"):
        require_socket_events()
    async with AsyncExitStack() as exits:
        stop = exits.enter_context(stop_signals())
        if broker == "embedded":
            own = EmbeddedBroker(port, host=host, passwords=passwords, certificate=certificate, key=key)
            broker = (await exits.enter_async_context(own)).uri
        server = await exits.enter_async_context(
            DeviceServer(substrate, broker, group=group, name=name, journal=journal, exposed=exposed)
        )
        ready(server.uri)
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(server.wait_ended())]
        if until_eof:
            waiting.append(asyncio.create_task(end_of_input()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
