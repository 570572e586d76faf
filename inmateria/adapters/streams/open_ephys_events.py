"""Stimuli by Open Ephys' plugin Network Events: eight digital lines, switched by messages over ZeroMQ.

A message is ``TTL Channel=1 on=1``, answered when the plugin has queued it; the change itself comes back in the stream,
with its sample number.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.adapters.streams.stimulators import Stimulator
from inmateria.errors import SubstrateDisconnected, SubstrateTimeout
from inmateria.substrate import Channel, Stimulus

if TYPE_CHECKING:
    import zmq.asyncio

__all__ = ["NetworkEvents"]

_LINES = 8


class NetworkEvents(Stimulator):
    """The digital lines of the plugin Network Events.

    Parameters
    ----------
    host : str
    port : int
        Port of the plugin.
    timeout : float
        Longest time for an answer, s.
    """

    inputs = tuple(Channel(name=f"ttl{k + 1}", unit="1", low=0.0, high=1.0, levels=(0.0, 1.0)) for k in range(_LINES))

    def __init__(self, host: str, port: int, *, timeout: float = 10.0) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._socket: zmq.asyncio.Socket | None = None

    async def open(self, exits: AsyncExitStack) -> None:
        """Connect to the plugin."""
        try:
            import zmq.asyncio
        except ImportError:
            raise MissingStreamPackage("pyzmq", "openephys") from None
        self._zmq = zmq
        self._context = zmq.asyncio.Context()
        exits.callback(self._close)
        self._states = [0.0] * _LINES

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
        self._context.destroy(0)

    async def apply(self, stimulus: Stimulus) -> None:
        """Switch the lines that change when a step begins, and all of them off at the end."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            for k, row in enumerate(stimulus.drive.tolist()):
                await asyncio.sleep(begun + k * stimulus.step - loop.time())
                await self._switch(row)
            await asyncio.sleep(begun + stimulus.duration - loop.time())
        finally:
            await self._switch([0.0] * _LINES)

    async def _switch(self, row: list[float]) -> None:
        for line, value in enumerate(row):
            if value != self._states[line]:
                await self._say(f"TTL Channel={line + 1} on={int(value)}")
                self._states[line] = value

    async def _say(self, words: str) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            socket = self._context.socket(self._zmq.REQ)
            socket.connect(f"tcp://{self._host}:{self._port}")
        try:
            async with asyncio.timeout(self._timeout):
                await socket.send_string(words)
                answer = await socket.recv_string()
        except BaseException as error:
            socket.close(0)  # a request that was left without its answer cannot be followed by another
            if isinstance(error, TimeoutError):
                raise SubstrateTimeout(
                    f"Open Ephys at {self._host}:{self._port} did not answer {words!r} within {self._timeout:g} s",
                    "its plugin Network Events answers every message",
                    "check its port",
                ) from None
            raise
        self._socket = socket
        if not answer.startswith("TTLHandled"):
            raise SubstrateDisconnected(
                f"Open Ephys at {self._host}:{self._port} answered {answer!r} to {words!r}", "expected is TTLHandled"
            )
