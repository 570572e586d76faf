"""A soft twin of an Intan RHS controller behind RHX: the same three TCP ports, over a simulated culture.

It behaves as RHX does, awkward parts included: replies without an end, silence on ``set``, commands read piece by
piece and never joined, 32-bit timestamps that wrap, durations rounded to samples and currents to steps, no check
that settings fit together, stimulation that stays armed for the next client, and data only while it runs. A pulse
begins at the sample at which its trigger arrived. If the machine is too slow, the twin's clock is slow. What it cannot
do, it answers with an error that says so.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from types import TracebackType
from typing import Self

from inmateria.adapters.intan.emulated_board import EmulatedBoard
from inmateria.adapters.intan.emulated_commands import EmulatedCommands, channel_settings, global_settings
from inmateria.adapters.intan.protocol import BLOCK
from inmateria.adapters.intan.whole_writes import WholeWrites
from inmateria.adapters.tissue.culture_twin import Culture, CultureTwin
from inmateria.concurrency import cancel_and_wait

__all__ = ["IntanEmulator"]

_logger = logging.getLogger(__name__)
_PORT = 32  # electrodes of one port
_MOST_UNREAD = 64 << 20  # bytes that a client may leave unread before it is disconnected


class IntanEmulator:
    """Emulator of Intan's RHX with a simulated culture; enter it, and connect to its `uri`.

    A pulse that the culture does not simulate (beyond its limit, or with phases that leave charge behind) is given by
    the emulator's stimulators, and shows in `pulses` and in the stimulation and DC bands; the culture does not answer
    it, which is logged.

    Parameters
    ----------
    culture : Culture
        Culture to simulate; its electrodes are the channels A-000 to A-031, B-000 to B-031 and so on.
    speed : float
        Largest number of seconds of the culture's time per second.
    host : str
    ports : (int, int, int)
        Ports of commands, waveforms and spikes; 0 takes a free one. RHX itself uses 5000, 5001 and 5002.
    first_timestamp : int
        First value of its 32-bit clock, for tests of its overflow.
    step : float
        Step size of the stimulation current, uA.
    version : str
        Version of RHX. Up to 3.0 the controller's type is ``ControllerStimRecordUSB2``, which older scripts expect.
    resistance : float
        Resistance of every electrode, ohm: the DC band has the voltage of the stimulation current over it.

    Attributes
    ----------
    board : EmulatedBoard
        What runs behind the ports.
    """

    def __init__(
        self,
        culture: Culture,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        ports: tuple[int, int, int] = (0, 0, 0),
        first_timestamp: int = 0,
        step: float = 0.1,
        version: str = "3.4.0",
        resistance: float = 1e5,
    ) -> None:
        self._twin = CultureTwin(culture)
        self._host, self._ports = host, ports
        names = [f"{'ABCDEFGH'[k // _PORT]}-{k % _PORT:03d}" for k in range(self._twin.electrodes)]
        self.board = EmulatedBoard(
            self._twin, global_settings(version, step), channel_settings(names), names,
            speed=speed, first_timestamp=first_timestamp, step=step, resistance=resistance,
        )  # fmt: skip
        self._commands = EmulatedCommands(self.board, self._connection)
        self._responsive = asyncio.Event()
        self._responsive.set()
        self._waveforms: set[asyncio.StreamWriter] = set()
        self._spikes: set[asyncio.StreamWriter] = set()
        self._writes: dict[asyncio.StreamWriter, WholeWrites] = {}
        self._exits = AsyncExitStack()

    @property
    def pulses(self) -> list[tuple[float, ...]]:
        """Every pulse of the stimulators, as `PULSE`, on the emulator's clock."""
        return self.board.pulses

    @property
    def not_simulated(self) -> int:
        """How many pulses the culture does not simulate."""
        return self.board.not_simulated

    @property
    def commands(self) -> list[str]:
        """Every command received."""
        return self._commands.received

    @property
    def uri(self) -> str:
        """URI of the emulator, for `connect`."""
        command, waveform, spike = self._ports
        ports = f"waveforms={waveform}&spikes={spike}&channels={min(_PORT, self._twin.electrodes)}"
        return f"intan://{self._host}:{command}?{ports}&id=twin-{self._twin.culture.info.id}&log=none"

    def freeze(self) -> None:
        """Stop executing commands, as RHX does while a dialog is open; they are queued, and data continue."""
        self._responsive.clear()

    def thaw(self) -> None:
        """Execute commands again after `freeze`."""
        self._responsive.set()

    def external_trigger(self, source: str) -> None:
        """Trigger the electrodes armed for an input of the controller, for instance ``"DigitalIn01"``."""
        self.board.fire(source.lower())

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            servers = [
                await asyncio.start_server(serve, self._host, port)
                for serve, port in zip((self._commanded, self._watched, self._listened), self._ports, strict=True)
            ]
            self._ports = tuple(server.sockets[0].getsockname()[1] for server in servers)
            await asyncio.to_thread(self._twin.advance, BLOCK)  # compiles what needs to be before a client waits
            self._handlers: set[asyncio.Task[None]] = set()
            playing = self.board.run(
                lambda data: self._send(self._waveforms, data), lambda data: self._send(self._spikes, data)
            )
            board = asyncio.create_task(playing, name="emulated board")

            async def close() -> None:
                for server in servers:
                    server.close()
                await cancel_and_wait(board, *self._handlers)
                self.board.end_recording()
                for server in servers:
                    await server.wait_closed()

            exits.push_async_callback(close)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _commanded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with aclosing(self._received(reader, writer)) as received:
            async for data in received:
                await self._responsive.wait()
                said = "".join(self._obey(command.strip()) for command in data.decode("utf-8", "replace").split(";"))
                writer.write(said.encode("latin-1", "replace"))
                await writer.drain()

    async def _watched(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._waveforms.add(writer)
        async for _ in self._received(reader, writer):
            pass

    async def _listened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spikes.add(writer)
        async for _ in self._received(reader, writer):
            pass

    async def _received(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncGenerator[bytes]:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                while data := await reader.read(65536):
                    yield data
        finally:
            self._handlers.discard(task)
            self._waveforms.discard(writer)
            self._spikes.discard(writer)
            if writer in self._writes:
                self._writes.pop(writer).close()
            writer.close()

    def _obey(self, command: str) -> str:
        """Execute one command and return RHX's reply."""
        return self._commands.obey(command)

    def _connection(self, what: str) -> tuple[str, int, bool]:
        port, clients = (1, self._waveforms) if what == "Waveform" else (2, self._spikes)
        return self._host, self._ports[port], bool(clients)

    def _send(self, writers: set[asyncio.StreamWriter], data: bytes) -> None:
        """Send to all clients; one that leaves too much unread is disconnected, and the clock goes on."""
        for writer in list(writers):
            writes = self._writes.setdefault(writer, WholeWrites(writer))
            if writes.unread > _MOST_UNREAD:
                _logger.warning("a client left %d MB unread and is disconnected", _MOST_UNREAD >> 20)
                writer.transport.abort()
                writers.discard(writer)
            elif data:
                writes.put(data)
