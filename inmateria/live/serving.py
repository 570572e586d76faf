"""Serve the live page until the process is told to end."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inmateria.adapters.stopping import stop_signals
from inmateria.concurrency import cancel_and_wait
from inmateria.errors import UnknownSubstrate
from inmateria.live.access import Access
from inmateria.live.source import Source

if TYPE_CHECKING:
    from inmateria.live.page_server import LivePage

__all__ = ["MissingExtra", "require_live", "serve_live"]

_MOST_FROM_VIEWER = 4096
_GOODBYE = 2
_logger = logging.getLogger("inmateria")


class MissingExtra(UnknownSubstrate):
    """A package that the live page needs is not installed."""


def require_live() -> None:
    """Raise `MissingExtra` if a package of the extra ``live`` is not installed."""
    try:
        import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401

        import inmateria.live.page_server  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"the live page needs {error.name}, which cannot be imported ({error})",
            "it is of the extra live",
            "pip install 'inmateria[live]'",
        ) from None


async def serve_live(
    source: Source,
    ready: Callable[[dict[str, str]], None],
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve the page of a source until SIGINT or SIGTERM.

    Parameters
    ----------
    source : Source
        Entered and left by this function.
    ready : callable
        Called with the addresses of the page by what they allow, once it can be opened.
    host : str
        Interface; other than a loopback one it needs the token in the address.
    port : int
        0 takes a free one.
    certificate, key : path, optional
        PEM files; the page is then encrypted.

    Raises
    ------
    MissingExtra
        If a package of the extra ``live`` is not installed.
    OSError
        If the port is in use, or the host is none of this machine's.
    """
    require_live()
    from inmateria.live.page_server import LivePage

    with stop_signals() as stop, _listening(host, port) as listener:
        async with source:
            access = Access(host, source.hello.stops)
            page = LivePage(source, access)
            server = _server(page, certificate, key)
            serving = asyncio.create_task(server.serve([listener]))
            handing = asyncio.create_task(page.hand_on())
            stopping = asyncio.create_task(stop.wait())
            try:
                up = asyncio.ensure_future(server.up.wait())
                await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
                await cancel_and_wait(up)
                if server.up.is_set():
                    if not access.loopback and certificate is None:
                        _logger.warning("the page and its tokens go to %s unencrypted; give --certificate", host)
                    ready(access.addresses(listener.getsockname()[1], encrypted=certificate is not None))
                waiting = {serving, stopping, handing}
                while waiting >= {serving, stopping}:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for task in done & {serving, handing}:  # nothing more may come, which viewers can still look at
                        task.result()
            finally:
                await cancel_and_wait(handing, stopping)
                await page.wait_for_stops()
                server.should_exit = True
                await asyncio.wait({serving})


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a port, with an error in words if that cannot be done."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(
            f"the live page cannot be served on {host} ({error.strerror or error}); give another --host"
        ) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                say = f"port {port} of {host} is in use; give another --port, or --port 0 for a free one"
            else:
                say = (
                    f"the live page cannot be served on {host}:{port} ({error.strerror}); give another --host or --port"
                )
            raise OSError(say) from None
        yield listener


def _server(page: "LivePage", certificate: Path | None, key: Path | None) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """A server that leaves signals to us, and says when it is up."""

        up = asyncio.Event()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.up.set()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    # Frames are extremes of floats, which hardly compress; acknowledgements are short.
    return Server(
        uvicorn.Config(
            page.application, http="h11", ws="websockets-sansio", lifespan="off", log_config=None, log_level="warning",
            access_log=False, proxy_headers=False, server_header=False, ws_max_size=_MOST_FROM_VIEWER,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_GOODBYE, ssl_certfile=certificate, ssl_keyfile=key,
        )
    )  # fmt: skip
