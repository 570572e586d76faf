"""The web application of the live page: its files, and a web socket for each viewer.

A viewer can say two things: that it has a frame, and that the emergency stop was confirmed. Nothing else is heeded.
"""

import asyncio
import logging
from contextlib import suppress
from importlib.resources import files
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from inmateria.concurrency import cancel_and_wait
from inmateria.errors import SubstrateError
from inmateria.live.access import Access
from inmateria.live.messages import Ack, Rights, Stop, Stopped, encode_text, from_viewer
from inmateria.live.source import Source
from inmateria.live.viewers import Stream, Viewer

__all__ = ["PROTOCOL", "LivePage"]

PROTOCOL = "inmateria.live.1"
"""Subprotocol of the web socket; a token is given as another one that begins with ``token.``."""
MOST_VIEWERS = 256
_SILENT, _ALIVE = 20.0, 2.0
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_REFUSED, _TOO_MANY, _TOO_SLOW, _STRANGE = 4401, 4429, 4408, 4400

_logger = logging.getLogger("inmateria")


class LivePage:
    """The page of one source, and those who look at it.

    Parameters
    ----------
    source : Source
        Opened by the caller.
    access : Access

    Attributes
    ----------
    application : Starlette
        To be served.
    stream : Stream
    """

    def __init__(self, source: Source, access: Access) -> None:
        self._source, self._access = source, access
        self.stream = Stream(source.hello)
        self._stops: set[asyncio.Task[None]] = set()
        self._files = {
            each.name: (each.read_bytes(), _TYPES[each.name[each.name.rindex(".") :]])
            for each in files("inmateria.live").joinpath("page").iterdir()
            if each.name[each.name.rfind(".") :] in _TYPES
        }
        self.application = Starlette(
            routes=[
                WebSocketRoute("/live", self._watch),
                Route("/", self._file),
                Route("/{name}", self._file),
            ]
        )

    async def hand_on(self) -> None:
        """Hand on what comes from the source, until nothing can come any more; the last of it stays for new viewers.

        With many viewers, it is asked for less often: columns are joined in the source meanwhile.
        """
        if self._source.hello.kind in ("replay", "run"):  # begins with the first to look at it
            await self.stream.joined.wait()
        async for message in self._source.messages():
            self.stream.publish(message)
            if (crowd := len(self.stream.viewers)) > 10:
                await asyncio.sleep(crowd / 1000)
        self.stream.over = True

    async def wait_for_stops(self) -> None:
        """Wait for emergency stops that are under way."""
        if self._stops:
            await asyncio.wait(self._stops)

    async def _file(self, request: Request) -> Response:
        if not self._access.allows_host(request.headers.get("host", "")):
            return PlainTextResponse("this server has another name", 421, _HEADERS)
        name = request.path_params.get("name", "index.html")
        if name not in self._files:
            return PlainTextResponse("there is no such file", 404, _HEADERS)
        data, kind = self._files[name]
        return Response(data, 200, _HEADERS, kind)

    async def _watch(self, socket: WebSocket) -> None:
        """Serve one viewer."""
        host = socket.headers.get("host", "")
        if not (self._access.allows_host(host) and self._access.allows_origin(socket.headers.get("origin"), host)):
            _logger.warning("a web socket was refused: host %.80r, origin %.80r", host, socket.headers.get("origin"))
            await socket.close()  # before it was accepted: answered by 403
            return
        offered = socket.scope.get("subprotocols", [])
        token = next((each.removeprefix("token.") for each in offered if each.startswith("token.")), "")
        await socket.accept(PROTOCOL if PROTOCOL in offered else None)
        may_watch, may_stop = self._access.rights(token)
        if not may_watch:
            await socket.close(_REFUSED, "the address has no token, or one of another time")
            return
        if len(self.stream.viewers) >= MOST_VIEWERS:
            await socket.close(_TOO_MANY, f"{MOST_VIEWERS} viewers look at it already")
            return
        viewer = Viewer(may_stop=may_stop)
        self.stream.join(viewer)
        viewer.offer(rights := self._rights(viewer), encode_text(rights))
        sending = asyncio.create_task(self._send(socket, viewer))
        try:
            await self._listen(socket, viewer)
        except msgspec.MsgspecError:
            with suppress(RuntimeError):
                await socket.close(_STRANGE, "a message was not understood")
        except TimeoutError:
            with suppress(RuntimeError):
                await socket.close(_TOO_SLOW, f"no frame was acknowledged for {_SILENT:.0f} s")
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: it went while it was sent something
            pass
        finally:
            self.stream.leave(viewer)
            await cancel_and_wait(sending)

    def _rights(self, viewer: Viewer) -> Rights:
        if not self._source.hello.stops:
            return Rights(stop=False, why="there is nothing to stop")
        if not viewer.may_stop:
            return Rights(stop=False, why="open the address for stopping that `inmateria watch --web` printed")
        return Rights(stop=True)

    @staticmethod
    async def _send(socket: WebSocket, viewer: Viewer) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            while True:
                try:
                    async with asyncio.timeout(_ALIVE):
                        data = await viewer.next()
                except TimeoutError:
                    data = '{"type":"alive"}'  # by which the page knows that the connection is
                if isinstance(data, bytes):
                    await socket.send_bytes(data)
                else:
                    await socket.send_text(data)

    async def _listen(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            receiving = asyncio.ensure_future(socket.receive())
            try:
                while not (await asyncio.wait({receiving}, timeout=_SILENT))[0]:
                    if viewer.waits:
                        raise TimeoutError
                event = receiving.result()
            finally:
                await cancel_and_wait(receiving)
            if event["type"] == "websocket.disconnect":
                return
            message = from_viewer(event.get("text") or event.get("bytes") or b"")
            if isinstance(message, Ack):
                viewer.acknowledge(message.number)
            else:
                stop = asyncio.create_task(self._stop(message, viewer, socket))
                self._stops.add(stop)
                stop.add_done_callback(self._stops.discard)

    async def _stop(self, stop: Stop, viewer: Viewer, socket: WebSocket) -> None:
        """Stop what is watched, and answer."""
        answer: Stopped
        if not self._rights(viewer).stop:
            answer = Stopped(done=False, error=self._rights(viewer).why)
        elif stop.title != self._source.hello.title:
            answer = Stopped(
                done=False, error=f"the page showed {stop.title!r}, and this is {self._source.hello.title!r}"
            )
        else:
            client: Any = socket.client
            _logger.warning("%s: emergency stop from the page at %s", stop.title, client.host if client else "?")
            try:
                await self._source.stop()
                answer = Stopped(done=True)
            except (SubstrateError, OSError) as error:
                _logger.warning("%s: the emergency stop was not confirmed: %s", stop.title, error)
                answer = Stopped(done=False, error=str(error))
        viewer.offer(answer, encode_text(answer))
