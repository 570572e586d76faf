"""A connection to Intan's RHX: acknowledged commands, and the two data streams followed by their timestamps."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.confirmation import Confirmation, PulseOnsets
from inmateria.adapters.intan.protocol import (
    ReplyParser,
    SpikeParser,
    WaveformParser,
    batches,
    microvolts,
    unwrapped,
)
from inmateria.concurrency import cancel_and_wait, wait_to_completion
from inmateria.substrate import (
    FloatArray,
    FrameError,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

__all__ = ["CommandRefused", "IntanLink"]

_logger = logging.getLogger(__name__)

Answer = tuple[dict[str, str], str, str]
"""Values by lower-case name, run mode, and error text of one batch of commands."""


class CommandRefused(SubstrateError):
    """RHX answered a batch of commands with an error; later batches were not sent."""


class IntanLink:
    """Three TCP connections to RHX; enter it, then `follow` its data.

    A batch of commands that was sent is always waited for, also if the caller is cancelled, so that every answer
    is read by the caller that sent its batch. An answer that is late, after a timeout, is discarded before the
    next batch is sent.

    Parameters
    ----------
    host : str
    ports : (int, int, int)
        Commands, waveforms, spikes.
    timeout : float
        Time to wait for the answer to one batch of commands, s.

    Attributes
    ----------
    clock : int
        Samples since RHX's clock began, up to the last data received; it does not wrap.
    unanswered : int
        Batches of commands that were sent and have no answer yet.
    gaps : list of (int, int)
        First sample and number of samples that did not come.
    """

    def __init__(self, host: str, ports: tuple[int, int, int], timeout: float) -> None:
        self._host, self._ports, self._timeout = host, ports, timeout
        self._exits = AsyncExitStack()
        self.clock = self.unanswered = 0
        self.gaps: list[tuple[int, int]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            self._replies = ReplyParser()
            self._answers: deque[Answer] = deque()
            self.unanswered = 0
            self._commanding = asyncio.Lock()
            self.clock, self.gaps = 0, []
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

    def follow(self, channels: int, voltage: bool, confirmation: Confirmation | None) -> None:
        """Begin to read the two data ports.

        Parameters
        ----------
        channels : int
        voltage : bool
            Whether each channel has a band of voltage, whose values are kept.
        confirmation : Confirmation, optional
            What gets the beginnings of stimulation, if each channel has the stimulation band. If there are neither,
            one band is read for its timestamps.
        """
        self._voltage, self._confirmation = voltage, confirmation
        self._onsets = PulseOnsets(channels)
        bands = max(1, channels * (voltage + (confirmation is not None)))
        self._following = [
            asyncio.create_task(self._read_waveforms(WaveformParser(bands)), name="waveforms of RHX"),
            asyncio.create_task(self._read_spikes(SpikeParser()), name="spikes of RHX"),
        ]

    async def _unfollow(self) -> None:
        await cancel_and_wait(*self._following)

    def keep(self, first: int, last: int) -> None:
        """Keep the data of these samples from now on, and discard what was kept before."""
        self._wanted, self._blocks, self._spikes = (first, last), [], []

    def kept(self) -> tuple[list[tuple[int, FloatArray]], npt.NDArray[np.void]]:
        """Return stretches of voltage with their first sample (uV), and spike events with their sample as ``at``."""
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
                "RHX sends data on the waveform port while it runs",
                "check in its window whether it was stopped",
            ) from None

    async def tell(self, *commands: str) -> None:
        """Send commands and wait until RHX has executed them all.

        Raises
        ------
        CommandRefused
            If RHX answers with an error; batches after that one are not sent.
        SubstrateTimeout, SubstrateDisconnected
            If no answer comes: whether the last batch was executed is not known then.
        """
        await self._send(commands, strict=True)

    async def ask(self, *commands: str) -> tuple[dict[str, str], str]:
        """Send commands and return the values by lower-case name, and the run mode; refused ones have no value."""
        return await self._send(commands, strict=False)

    async def _send(self, commands: tuple[str, ...], strict: bool) -> tuple[dict[str, str], str]:
        values: dict[str, str] = {}
        mode = ""
        async with self._commanding:
            for batch in batches(commands):
                told, mode, errors = await wait_to_completion(asyncio.ensure_future(self._exchange(batch)))
                values.update(told)
                if errors and strict:
                    raise CommandRefused(
                        f"RHX refused a command of {batch.decode()[:300]!r}",
                        f"it answered {errors!r}",
                        "the commands after this batch were not sent",
                    )
        return values, mode

    async def _exchange(self, batch: bytes) -> Answer:
        """Send one batch and wait for its answer."""
        try:
            async with asyncio.timeout(self._timeout):
                while self.unanswered:
                    await self._next_answer()
                self.unanswered += 1
                self._writer.write(batch)
                await self._writer.drain()
                return await self._next_answer()
        except TimeoutError:
            raise SubstrateTimeout(
                f"RHX at {self._host} did not answer a command within {self._timeout:g} s",
                "it answers every batch of commands with its run mode",
                "check whether a dialog is open in its window",
            ) from None
        except OSError as error:
            raise SubstrateDisconnected(f"the connection to RHX at {self._host} is gone ({error})") from None

    async def _next_answer(self) -> Answer:
        while not self._answers:
            data = await self._reader.read(1 << 16)
            if not data:
                raise ConnectionResetError("it closed the command port")
            self._answers.extend(self._replies.feed(data))
        self.unanswered -= 1
        return self._answers.popleft()

    @asynccontextmanager
    async def _connected(self, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(self._host, port)
        except TimeoutError:
            raise SubstrateTimeout(f"nothing at {self._host}:{port} answered within {self._timeout:g} s") from None
        except OSError as error:
            raise SubstrateDisconnected(
                f"no connection to {self._host}:{port} ({error.strerror or error})",
                "RHX listens on three ports (commands, waveforms, spikes)",
                "start its TCP servers in its window under Network > Remote TCP Control",
            ) from None
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _read_waveforms(self, parser: WaveformParser) -> None:
        """Read the waveform port; its timestamps are the clock."""
        begun = False
        async with self._noting_loss():
            while data := await self._waveforms[0].read(1 << 18):
                stamps, values = parser.feed(data)
                if not len(stamps):
                    continue
                at = unwrapped(stamps, self.clock)
                self._check_time(at, self.clock - 1 if begun else int(at[0]) - 1)
                begun = True
                if self._confirmation is not None:
                    for row, electrode, _ in self._onsets.find(values[:, 1::2] if self._voltage else values):
                        self._confirmation.began(electrode, int(at[row]))
                    values = values[:, ::2]
                if self._voltage and at[-1] >= self._wanted[0] and at[0] < self._wanted[1]:
                    breaks = np.flatnonzero(np.diff(at) != 1) + 1
                    pieces = zip(np.split(at, breaks), np.split(microvolts(values), breaks), strict=True)
                    self._blocks += [(int(times[0]), piece) for times, piece in pieces]
                async with self._moved:
                    self.clock = int(at[-1]) + 1
                    self._moved.notify_all()
            raise SubstrateDisconnected(f"RHX at {self._host} closed the waveform port")

    def _check_time(self, at: npt.NDArray[np.int64], last: int) -> None:
        """Note the gaps in timestamps, which count up by one."""
        steps = np.diff(at, prepend=last)
        if (steps < 1).any():
            row = int(np.flatnonzero(steps < 1)[0])
            raise SubstrateDisconnected(
                f"the clock of RHX at {self._host} went back by {1 - int(steps[row])} samples, to timestamp {at[row]}",
                "timestamps count up by one as long as it runs",
                "check whether it was stopped and started in its window, and connect again",
            )
        for row in np.flatnonzero(steps > 1).tolist():
            missing = int(steps[row]) - 1
            _logger.warning("RHX at %s: %d samples before timestamp %d are missing", self._host, missing, at[row])
            self.gaps.append((int(at[row]) - missing, missing))

    async def _read_spikes(self, parser: SpikeParser) -> None:
        """Read the spike port."""
        async with self._noting_loss():
            while data := await self._events[0].read(1 << 16):
                events = parser.feed(data)
                kept = np.zeros(len(events), dtype=[("at", "<i8"), ("channel", "S5")])
                kept["at"], kept["channel"] = unwrapped(events["timestamp"], self.clock), events["channel"]
                kept = kept[(kept["at"] >= self._wanted[0]) & (kept["at"] < self._wanted[1])]
                if len(kept):
                    self._spikes.append(kept)
            raise SubstrateDisconnected(f"RHX at {self._host} closed the spike port")

    @asynccontextmanager
    async def _noting_loss(self) -> AsyncIterator[None]:
        """Keep the error that ended a stream, for the callers of `reach`."""
        try:
            yield
        except (SubstrateDisconnected, FrameError, OSError) as error:
            lost = error if isinstance(error, SubstrateError) else SubstrateDisconnected(f"RHX is gone ({error})")
            self._lost = self._lost or lost
            async with self._moved:
                self._moved.notify_all()
