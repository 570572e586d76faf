"""A simulator behind SCPI on a TCP port, as a source meter like a Keithley 2400.

Clients share one instrument. A line is executed whole before a line of another client; errors and status registers are
of each connection. `ABORt`, `*TRG` and `OUTPut OFF` on a line of their own are executed as they arrive, also while a
line of this or another client is being executed.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import Self, cast

from inmateria.adapters.scpi.commands import Interpreter
from inmateria.adapters.scpi.errors import ScpiError
from inmateria.adapters.scpi.source_meter import SourceMeter
from inmateria.adapters.scpi.terminals import Terminals
from inmateria.errors import SubstrateDisconnected
from inmateria.substrate import Simulator

__all__ = ["ScpiServer"]

_SLICE = 2e-3
_MOST_BYTES = 1 << 16
_MOST_LINES = 256
_URGENT = re.compile(r"\s*:?(ABORT?|\*TRG|OUTP(UT)?1?(:STATE?)?\s+(OFF|0))\s*", re.IGNORECASE)


class ScpiServer:
    """Server that puts a simulator behind SCPI; enter it, and connect to its `uri` or `visa_address`.

    Parameters
    ----------
    simulator : Simulator
        With an input in volts and an output in amperes, or a scale; it is not used elsewhere meanwhile.
    host : str
        Interface to listen on.
    port : int
        0 takes a free one.
    source, sense : str, optional
        Input and output that are the terminals; see `Terminals`.
    scale : (float, float), optional
        Volts for one unit of the input and amperes for one unit of the output.
    keep_output : bool
        Whether the output stays as it is when the last client has gone; by default it is switched off then.

    Raises
    ------
    SubstrateError
        If the simulator has no such terminals.
    SubstrateDisconnected
        On entering, if the port cannot be opened.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        host: str = "127.0.0.1",
        port: int = 5025,
        source: str = "",
        sense: str = "",
        scale: tuple[float, float] | None = None,
        keep_output: bool = False,
    ) -> None:
        self.meter = SourceMeter(Terminals(simulator, source, sense, scale))
        self._host, self._port, self._keep_output = host, port, keep_output
        self._server: asyncio.Server | None = None
        self._clients: set[_Connection] = set()
        self._owner: _Connection | None = None
        self._waiting: deque[_Connection] = deque()
        self._background: asyncio.Handle | None = None

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return self._port

    @property
    def uri(self) -> str:
        """URI of the instrument, for `connect`."""
        return f"scpi://{self._host}:{self._port}?profile=keithley-2400"

    @property
    def visa_address(self) -> str:
        """Address of the instrument for pyvisa."""
        return f"TCPIP0::{self._host}::{self._port}::SOCKET"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), self._host, self._port)
        except OSError as error:
            raise SubstrateDisconnected(
                f"port {self._port} of {self._host} cannot be opened ({error.strerror or error})",
                "the port has to be free and the interface one of this machine",
                "choose another port; 0 takes a free one",
            ) from None
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for client in tuple(self._clients):
            client.close()
        self.meter.switch(False)
        if self._background is not None:
            self._background.cancel()
        await self._server.wait_closed()

    @property
    def _executing(self) -> bool:
        """Whether a line of some client is being executed."""
        return self._owner is not None

    def _joined(self, client: "_Connection") -> None:
        self._clients.add(client)

    def _left(self, client: "_Connection") -> None:
        self._clients.discard(client)
        if not self._clients and not self._keep_output:
            self.meter.switch(False)
        self._release(client)

    def _claim(self, client: "_Connection") -> bool:
        """Let a client execute a line, unless another one is doing so; then it is called when that has ended."""
        if self._owner not in (None, client):
            if client not in self._waiting:
                self._waiting.append(client)
            return False
        self._owner = client
        return True

    def _release(self, client: "_Connection") -> None:
        """Note that a client's line has ended, and call the next client."""
        if self._owner is client:
            self._owner = None
        if client in self._waiting and client not in self._clients:
            self._waiting.remove(client)
        if self._owner is None and self._waiting:
            asyncio.get_running_loop().call_soon(self._waiting.popleft().work)

    def _go_on(self, client: "_Connection") -> None:
        """Take the readings of an acquisition that goes on after its line has ended."""
        if not self.meter.busy or self._background is not None:
            return
        ends = time.perf_counter() + _SLICE
        moved = True
        while moved and time.perf_counter() < ends:
            moved = client.interpreter.step() and self.meter.busy
        if moved:
            self._background = asyncio.get_running_loop().call_soon(self._again, client)

    def _again(self, client: "_Connection") -> None:
        self._background = None
        self._go_on(client)

    def _stirred(self) -> None:
        """Let all that waits for a trigger look again."""
        if self._owner is not None:
            self._owner.work()


class _Connection(asyncio.Protocol):
    """One client: its lines wait here; one at a time is executed, in slices of a few milliseconds."""

    def __init__(self, server: ScpiServer) -> None:
        self._server = server
        self.interpreter = Interpreter(server.meter)
        self._lines: deque[bytes | None] = deque()
        self._rest = bytearray()
        self._overlong = self._full = self._closed = self._scheduled = False
        self._line: Generator[bool, None, bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._server._joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        # What is left of a line without its end is not executed; neither are lines that still wait.
        self._closed = True
        self._lines.clear()
        if self._line is not None:
            self._line.close()
            self._line = None
            self._server.meter.abort()
        self._server._left(self)

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.work()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            if self._overlong or len(line) > _MOST_BYTES:
                self._overlong = False
                self._lines.append(None)
            elif self._server._executing and _URGENT.fullmatch(line.decode("ascii", "replace")):
                self._at_once(line)
            else:
                self._lines.append(line)
        if len(self._rest) > _MOST_BYTES:
            self._overlong = True
            self._rest.clear()
        if len(self._lines) > _MOST_LINES:
            self._transport.pause_reading()
        self.work()

    def _at_once(self, line: bytes) -> None:
        for _ in self.interpreter.execute(line.decode("ascii")):
            pass  # none of these commands waits
        self._server._stirred()

    def work(self) -> None:
        """Execute lines until there are none, for a few milliseconds at a time."""
        if self._scheduled:
            return
        ends = time.perf_counter() + _SLICE
        while (self._line is not None or self._lines) and not self._full and not self._closed:
            if self._line is None:
                if not self._server._claim(self):
                    return
                line = self._lines.popleft()
                if line is None:
                    self.interpreter.report(ScpiError(-363, f"lines have at most {_MOST_BYTES} bytes"))
                    self._server._release(self)
                    continue
                self._line = self.interpreter.execute(line.decode("ascii", "replace"))
            answer: bytes | None = None
            try:
                moved = next(self._line)
            except StopIteration as ended:
                answer, moved = ended.value, True
            if answer is not None:
                self._line = None
                if answer:
                    self._transport.write(answer)
                self._server._release(self)
                self._server._go_on(self)
                if len(self._lines) <= _MOST_LINES // 2:
                    self._transport.resume_reading()
            elif not moved:
                return  # it waits for a trigger, which calls this again
            if time.perf_counter() > ends:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._work_again)
                return

    def _work_again(self) -> None:
        self._scheduled = False
        self.work()
