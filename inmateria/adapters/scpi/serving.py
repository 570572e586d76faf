"""Serve a simulator behind SCPI until this process is told to end, as `inmateria serve --scpi` does."""

import asyncio
from collections.abc import Callable

from inmateria.adapters.scpi.server import ScpiServer
from inmateria.adapters.stopping import end_of_input, stop_signals

__all__ = ["serve_scpi_until_stopped"]


async def serve_scpi_until_stopped(
    server: ScpiServer, ready: Callable[[ScpiServer], None], *, until_eof: bool = False
) -> None:
    """Serve until SIGINT or SIGTERM, or the end of standard input.

    Parameters
    ----------
    server : ScpiServer
        Entered and left by this function.
    ready : callable
        Called with the server once it can be reached.
    until_eof : bool
        Also stop when standard input ends, as it does when the process that started this one has ended.

    Raises
    ------
    SubstrateDisconnected
        If the port cannot be opened.
    """
    with stop_signals() as stop:
        async with server:
            ready(server)
            waiting: list[asyncio.Task[bool]] = [asyncio.create_task(stop.wait())]
            if until_eof:
                waiting.append(asyncio.create_task(end_of_input()))
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
