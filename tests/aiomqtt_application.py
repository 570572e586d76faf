"""An application with an aiomqtt client of its own, which it makes anew whenever it is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiomqtt

from inmateria.adapters import AiomqttLinks
from inmateria.concurrency import cancel_and_wait

NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


@asynccontextmanager
async def application_links(port: int, keepalive: int = 3) -> AsyncIterator[AiomqttLinks]:
    """Give links over a client that is connected, now and after each loss."""
    links, connected = AiomqttLinks(), asyncio.Event()

    async def stay_connected() -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with (
                    aiomqtt.Client(
                        "127.0.0.1", port, socket_options=NODELAY, keepalive=keepalive, timeout=1.0
                    ) as client,
                    links.use(client),
                ):
                    connected.set()
                    await links.wait_lost()
            await asyncio.sleep(0.05)

    connecting = asyncio.create_task(stay_connected())
    try:
        await connected.wait()
        yield links
    finally:
        await cancel_and_wait(connecting)
