"""A substrate served from a process of its own, through an embedded broker, and reached over MQTT."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from inmateria.adapters.mqtt.client.remote import RemoteSubstrate
from inmateria.adapters.mqtt.embedded_broker import EmbeddedBroker
from inmateria.adapters.uri import connect, shown
from inmateria.substrate import (
    Response,
    Stimulus,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

_STARTING = 60.0
_STOPPING = 10.0


class SubprocessDevice(Substrate):
    """A device in another process, reached over MQTT through a broker in this one.

    Parameters
    ----------
    uri : str
        URI of any substrate that `connect` opens, such as ``nanowire://?wires=100``.

    Raises
    ------
    UnknownSubstrate
        If `connect` does not know the substrate.
    SubstrateDisconnected, SubstrateTimeout
        On entering, if the device's process ends or does not serve within a minute.
    """

    def __init__(self, uri: str) -> None:
        connect(uri)  # refuses here, in one clear line, what the other process would refuse; opens nothing
        self._uri = uri
        self._remote: RemoteSubstrate | None = None
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            broker = await exits.enter_async_context(EmbeddedBroker())
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inmateria", "serve", self._uri, "--broker", broker.uri, "--until-eof", "--json",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                # Ctrl-C is for this process; the device is told to stop when everything here is tidied up.
                start_new_session=True,
            )  # fmt: skip
            exits.push_async_callback(_stop, process)
            self._remote = await exits.enter_async_context(RemoteSubstrate(await self._where(process)))
            self.info = self._remote.info
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remote = None
        await self._exits.__aexit__(kind, error, trace)

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return the response."""
        return await self._entered.stimulate(stimulus)

    async def reset(self) -> None:
        """Return to rest."""
        await self._entered.reset()

    def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli with several in flight, and yield their responses in order."""
        return self._entered.stream(stimuli)

    @property
    def _entered(self) -> RemoteSubstrate:
        if self._remote is None:
            raise SubstrateDisconnected(f"{shown(self._uri)} is not being served", "", "use it inside `async with`")
        return self._remote

    async def _where(self, process: asyncio.subprocess.Process) -> str:
        """Wait for the device's process to say where it serves."""
        if process.stdout is None:
            raise SubstrateError("the device's process has no standard output")
        try:
            async with asyncio.timeout(_STARTING):
                line = await process.stdout.readline()
        except TimeoutError:
            raise SubstrateTimeout(
                f"waited {_STARTING:g} s for a process that serves {shown(self._uri)}",
                "",
                "try `inmateria serve` by hand",
            ) from None
        if not line:
            raise SubstrateDisconnected(
                f"the process that serves {shown(self._uri)} ended with exit code {await process.wait()}",
                "what it said is above",
                "try `inmateria serve` by hand",
            )
        uri: str = json.loads(line)["uri"]
        return uri


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop the device's process, and wait until it has ended."""
    if process.stdin is not None:
        process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(_STOPPING):
                await process.wait()
            return
        except TimeoutError:
            insist()
    await process.wait()
