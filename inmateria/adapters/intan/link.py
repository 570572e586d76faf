"""A connection to Intan's RHX: commands with an answer, and the two streams of data followed by their clock."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.protocol import (
    ReplyParser,
    SpikeParser,
    WaveformParser,
    batches,
    microvolts,
    unwrapped,
)
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import (
    FloatArray,
    FrameError,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

__all__ = ["IntanLink"]


class IntanLink:
    """Three connections to RHX; enter it, then `follow` its data.

    Parameters
    ----------
    host : str
    ports : (int, int, int)
        Commands, waveforms, spikes.
    timeout : float
        Seconds to wait for an answer.

    Attributes
    ----------
    clock : int
        Samples since RHX's clock began, as far as data have come; it does not wrap.
    """

    def __init__(self, host: str, ports: tuple[int, int, int], timeout: float) -> None:
        self._host, self._ports, self._timeout = host, ports, timeout
        self._exits = AsyncExitStack()
        self.clock = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            self._replies = ReplyParser()
            self.clock = 0
            self._lost: SubstrateError | None = None
            self._moved = asyncio.Condition()
            self._wanted: tuple[int, int] = (0, 0)
            self._blocks: list[tuple[int, FloatArray]] = []
            self._spikes: list[npt.NDArray[np.void]] = []
            (self._reader, self._writer), self._waveforms, self._events = [
                await exits.enter_async_context(self._connected(port)) for port in self._ports
            ]
            self._following: list[asyncio.Task[None]] = []
            exits.push_async_callback(self._unfollow)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    def follow(self, bands: int, voltage: bool) -> None:
        """Begin to take what the two data ports send.

        Parameters
        ----------
        bands : int
            Values in each sample.
        voltage : bool
            Whether to keep them, or only the clock.
        """
        self._following = [
            asyncio.create_task(self._watch(WaveformParser(bands), voltage), name="waveforms of RHX"),
            asyncio.create_task(self._listen(SpikeParser()), name="spikes of RHX"),
        ]

    async def _unfollow(self) -> None:
        await cancel_and_wait(*self._following)

    def keep(self, first: int, last: int) -> None:
        """Keep what belongs to these samples from now on, and forget what came before."""
        self._wanted, self._blocks, self._spikes = (first, last), [], []

    def kept(self) -> tuple[list[tuple[int, FloatArray]], npt.NDArray[np.void]]:
        """Give stretches of voltage with their first sample (uV), and spike events with their sample as ``at``."""
        empty = np.zeros(0, dtype=[("at", "<i8"), ("channel", "S5")])
        return self._blocks, np.concatenate([*self._spikes, empty])

    async def reach(self, sample: int, what: str, seconds: float = 0.0) -> None:
        """Wait until data have come up to a sample, which should take so many seconds.

        Raises
        ------
        SubstrateTimeout, SubstrateDisconnected
        """
        try:
            async with asyncio.timeout(self._timeout + seconds), self._moved:
                while self.clock < sample:
                    if self._lost is not None:
                        raise self._lost
                    await self._moved.wait()
        except TimeoutError:
            raise SubstrateTimeout(
                f"no data of {what} from RHX at {self._host} within {self._timeout + seconds:g} s",
                "data on the waveform port while it runs",
                "has somebody pressed stop in its window?",
            ) from None

    async def tell(self, *commands: str) -> None:
        """Send commands, and wait until RHX has obeyed them all; raises `SubstrateError` with what it refused."""
        await self.ask(*commands, strict=True)

    async def ask(self, *commands: str, strict: bool = False) -> tuple[dict[str, str], str]:
        """Send commands and wait until all have been obeyed; give values by lower-case name, and the run mode."""
        values: dict[str, str] = {}
        mode = ""
        try:
            async with asyncio.timeout(self._timeout):
                for piece in batches(commands):
                    told, mode, errors = await self._exchange(piece)
                    values.update(told)
                    if errors and strict:
                        raise SubstrateError(
                            f"RHX refused one of {piece.decode()[:300]!r}",
                            f"it said {errors!r}",
                            "the rest was not sent",
                        )
        except TimeoutError:
            raise SubstrateTimeout(f"RHX at {self._host} did not answer a command within {self._timeout:g} s") from None
        except OSError as error:
            raise SubstrateDisconnected(f"the connection to RHX at {self._host} is gone ({error})") from None
        return values, mode

    async def _exchange(self, piece: bytes) -> tuple[dict[str, str], str, str]:
        self._writer.write(piece)
        await self._writer.drain()
        while True:
            data = await self._reader.read(1 << 16)
            if not data:
                raise ConnectionResetError("it closed the connection")
            if answers := self._replies.feed(data):
                return answers[0]

    @asynccontextmanager
    async def _connected(self, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(self._host, port)
        except TimeoutError:
            raise SubstrateTimeout(f"nothing at {self._host}:{port} answered within {self._timeout:g} s") from None
        except OSError as error:
            raise SubstrateDisconnected(
                f"nobody listens at {self._host}:{port} ({error.strerror or error})",
                "RHX with its three TCP servers (commands, waveforms, spikes) started",
                "start them in its window Network > Remote TCP Control",
            ) from None
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _watch(self, parser: WaveformParser, voltage: bool) -> None:
        """Take the waveforms; they are the clock."""
        async with self._told():
            while data := await self._waveforms[0].read(1 << 18):
                stamps, values = parser.feed(data)
                if not len(stamps):
                    continue
                at = unwrapped(stamps, self.clock)
                if voltage and at[-1] >= self._wanted[0] and at[0] < self._wanted[1]:
                    breaks = np.flatnonzero(np.diff(at) != 1) + 1
                    pieces = zip(np.split(at, breaks), np.split(microvolts(values), breaks), strict=True)
                    self._blocks += [(int(times[0]), piece) for times, piece in pieces]
                async with self._moved:
                    self.clock = int(at[-1]) + 1
                    self._moved.notify_all()
            raise SubstrateDisconnected(f"RHX at {self._host} closed the waveform port")

    async def _listen(self, parser: SpikeParser) -> None:
        """Take the spikes."""
        async with self._told():
            while data := await self._events[0].read(1 << 16):
                events = parser.feed(data)
                kept = np.zeros(len(events), dtype=[("at", "<i8"), ("channel", "S5")])
                kept["at"], kept["channel"] = unwrapped(events["timestamp"], self.clock), events["channel"]
                kept = kept[(kept["at"] >= self._wanted[0]) & (kept["at"] < self._wanted[1])]
                if len(kept):
                    self._spikes.append(kept)
            raise SubstrateDisconnected(f"RHX at {self._host} closed the spike port")

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Keep why a stream ended, for whoever waits for it."""
        try:
            yield
        except (SubstrateDisconnected, FrameError, OSError) as error:
            lost = error if isinstance(error, SubstrateError) else SubstrateDisconnected(f"RHX is gone ({error})")
            self._lost = self._lost or lost
            async with self._moved:
                self._moved.notify_all()
