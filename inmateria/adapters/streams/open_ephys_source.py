"""Open Ephys' ZMQ Interface plugin as a source of samples, spikes and events, numbered by its own sample numbers."""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.clock_relation import FastestDeliveries
from inmateria.adapters.streams.open_ephys_protocol import (
    ChannelData,
    Ttl,
    TtlText,
    UnitSpike,
    heartbeat,
    read_message,
)
from inmateria.adapters.streams.source import (
    HIGHEST,
    Block,
    StreamDescription,
    StreamMark,
    StreamSource,
    StreamSpike,
    time_went_back,
)
from inmateria.adapters.streams.zmq_subscription import Subscription
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.concurrency import cancel_and_wait
from inmateria.errors import FrameError, SubstrateDisconnected, SubstrateTimeout
from inmateria.substrate_info import Channel

__all__ = ["OpenEphysSource"]

_logger = logging.getLogger("inmateria")
_HEARTBEAT = 2.0
_BETWEEN = 0.005  # s between two looks at what has arrived


@dataclass(slots=True)
class _OpenBlock:
    """Messages of one block that have arrived: its first sample, their number, and the values by column."""

    first: int
    samples: int
    columns: dict[int, npt.NDArray[np.float32]]


class OpenEphysSource(StreamSource):
    """The stream of one ZMQ Interface plugin of the Open Ephys GUI.

    The plugin does not announce its channels: those of the first block count, and a channel that appears later is an
    error. It names no units either; they are the GUI's, microvolts for headstages.

    Parameters
    ----------
    host : str
    port : int
        Data port of the plugin.
    heartbeats : int
        Its listening port; by default the next one.
    electrodes : sequence of str
        Names of spike channels; each becomes an output, without a signal. Spikes of others are not read.
    unit : str
        Unit of the continuous channels.
    id : str
        Identity of the device; by default host and port.
    timeout : float
        Longest time to wait for the first block, s.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 5556,
        *,
        heartbeats: int | None = None,
        electrodes: Sequence[str] = (),
        unit: str = "uV",
        id: str = "",  # noqa: A002
        timeout: float = 10.0,
    ) -> None:
        super().__init__()
        self._host, self._port, self._listening = host, port, port + 1 if heartbeats is None else heartbeats
        self._electrodes, self._unit, self._id, self._timeout = tuple(electrodes), unit, id, timeout
        self.spiking = bool(electrodes)
        self._beating: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None

    async def open(self) -> StreamDescription:
        """Connect, and wait for the first block."""
        super().__init__()
        self._subscription = Subscription(self._host, self._port, "openephys")
        self._beating = asyncio.create_task(self._beat(), name="heartbeats to Open Ephys")
        self._waiting: list[Any] = []
        self._block: _OpenBlock | None = None
        self._number: int | None = None
        self._begun_anew, self._last_host = False, time.time()
        self._strangers = set[str]()
        try:
            async with asyncio.timeout(self._timeout):
                first = await self._first_block()
        except TimeoutError:
            await self.close()
            raise SubstrateTimeout(
                f"no data came from Open Ephys at {self._host}:{self._port} within {self._timeout:g} s",
                "its plugin ZMQ Interface sends while the GUI acquires",
                "put the plugin into the signal chain, and press play",
            ) from None
        except BaseException:
            await self.close()
            raise
        self._origin, self._rate, self._stream = first[0].sample, first[0].rate, first[0].stream
        numbers = [each.channel for each in first]
        self._columns = {number: k for k, number in enumerate(numbers)}
        self._spike_columns = {name: len(numbers) + k for k, name in enumerate(self._electrodes)}
        self._end = self._origin
        self._deliveries = FastestDeliveries(self.clock, 1.0 / self._rate)
        names = [f"CH{number + 1}" for number in numbers] + list(self._electrodes)
        return StreamDescription(
            id=self._id or as_identifier(f"open-ephys-{self._host}-{self._port}"),
            identity="user" if self._id else "host",
            kind="open-ephys-stream",
            channels=tuple(Channel(name=name, unit=self._unit, low=-HIGHEST, high=HIGHEST) for name in names),
            rate=self._rate,
            parameters={"stream": self._stream, "host": self._host, "port": self._port, "first_sample": self._origin},
        )

    async def _first_block(self) -> list[ChannelData]:
        """Return the messages of one block: those of each channel, with one sample number.

        The first messages may be of the end of a block, so the second block that comes is the one that counts, and the
        clock begins with it.
        """
        blocks: dict[int, dict[int, ChannelData]] = {}
        assert self._subscription is not None
        while len(blocks) <= 2:
            await asyncio.sleep(_BETWEEN)
            messages = [each for each in map(read_message, self._subscription.take()) if each is not None]
            self._waiting += messages
            for message in messages:
                if isinstance(message, ChannelData):
                    blocks.setdefault(message.sample, {})[message.channel] = message
        _, second, *_ = blocks
        self._waiting = [each for each in self._waiting if each.sample >= second]
        return [blocks[second][channel] for channel in sorted(blocks[second])]

    async def _beat(self) -> None:
        """Send the plugin a sign of life every two seconds; what it answers, or whether it does, changes nothing."""
        import zmq.asyncio

        me = str(uuid.uuid4())
        with zmq.asyncio.Context() as context:
            while True:
                with context.socket(zmq.REQ) as asked:
                    asked.setsockopt(zmq.LINGER, 0)
                    asked.connect(f"tcp://{self._host}:{self._listening}")
                    with suppress(TimeoutError):
                        while True:
                            await asked.send(heartbeat("inmateria", me))
                            async with asyncio.timeout(10.0):
                                await asked.recv()
                            await asyncio.sleep(_HEARTBEAT)

    async def close(self) -> None:
        """Disconnect."""
        beating, self._beating = self._beating, None
        subscription, self._subscription = self._subscription, None
        if beating is not None:
            await cancel_and_wait(beating)
        if subscription is not None:
            subscription.close()

    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Return what has arrived."""
        await asyncio.sleep(_BETWEEN)
        assert self._subscription is not None
        messages, self._waiting = self._waiting, []
        items: list[Block | StreamMark | StreamSpike] = []
        for parts in self._subscription.take():
            try:
                messages.append(read_message(parts))
            except FrameError as error:
                _logger.warning("Open Ephys at %s:%d: %s", self._host, self._port, error)
                items.append(StreamMark("a message cannot be read", details={"why": str(error)}))
        for message in messages:
            if message is not None:
                self._count_message(message.number, items)
                self._take(message, items)
        self._finish_block(items)
        return items

    def _count_message(self, number: int, items: list[Any]) -> None:
        """Mark messages that are missing in the plugin's count; it begins again with each acquisition.

        ZeroMQ keeps the order of a publisher's messages, so a number that is not higher is of another acquisition.
        """
        anew = self._number is not None and number <= self._number
        self._begun_anew |= anew
        expected = number if self._number is None else 1 if anew else self._number + 1
        if number > expected:
            details = {"messages": number - expected, "before": number}
            items.append(StreamMark("messages lost", (self._end - self._origin) / self._rate, details=details))
        self._number = number

    def _take(self, message: Any, items: list[Any]) -> None:
        if message.stream != self._stream:
            raise SubstrateDisconnected(
                f"Open Ephys sends the stream {message.stream!r} now", f"it was {self._stream!r}", "enter it again"
            )
        if self._begun_anew:
            self._begin_anew(message, items)
        at = (message.sample - self._origin) / self._rate
        if isinstance(message, ChannelData):
            self._take_data(message, items)
        elif isinstance(message, UnitSpike):
            column = self._spike_columns.get(message.electrode)
            if column is not None:
                items.append(StreamSpike(at, column))
            elif message.electrode not in self._strangers:
                self._strangers.add(message.electrode)
                _logger.warning(
                    "Open Ephys: spikes of %r are not read; add ?electrodes=%s", message.electrode, message.electrode
                )
                items.append(StreamMark("spikes not read", at, details={"electrode": message.electrode}))
        elif isinstance(message, Ttl):
            details = {"line": message.line, "state": message.state, "word": message.word, "node": message.node}
            items.append(StreamMark(f"TTL {message.line} {'on' if message.state else 'off'}", at, details=details))
        elif isinstance(message, TtlText):
            items.append(StreamMark(message.text, at, details={"node": message.node}))

    def _begin_anew(self, message: Any, items: list[Any]) -> None:
        """Go on after what was before, as the host's clock says: a new acquisition may count samples from 0 again."""
        self._begun_anew = False
        samples = len(message.values) if isinstance(message, ChannelData) else 0
        moved = self._end - message.sample
        silent = max(0, round((time.time() - self._last_host) * self._rate) - samples)
        self._origin -= moved + silent
        self._end = message.sample
        self._deliveries.restart()
        first = (message.sample - self._origin) / self._rate
        items.append(StreamMark("acquisition began anew", first, details={"samples_moved": moved + silent}))

    def _take_data(self, message: ChannelData, items: list[Any]) -> None:
        column = self._columns.get(message.channel)
        if message.rate != self._rate or column is None:
            raise SubstrateDisconnected(
                f"Open Ephys sends channel {message.channel} at {message.rate:g} Hz now",
                f"it sent channels {sorted(self._columns)} at {self._rate:g} Hz", "enter it again",
            )  # fmt: skip
        first, samples = message.sample - self._origin, len(message.values)
        if message.sample + samples < self._end - self._rate:
            raise time_went_back(f"Open Ephys' stream {self._stream!r}", (self._end - message.sample) / self._rate)
        if message.sample + samples > self._end:
            self._end = message.sample + samples
            self._last_host = time.time()
            self._deliveries.add((self._end - self._origin) / self._rate, self._last_host)
        block = self._block
        if block is None or (block.first, block.samples) != (first, samples) or column in block.columns:
            self._finish_block(items)
            block = self._block = _OpenBlock(first, samples, {})
        block.columns[column] = message.values

    def _finish_block(self, items: list[Any]) -> None:
        """Put together the messages of a block, one a channel; outputs without a signal are as far as the first."""
        block, self._block = self._block, None
        if block is None:
            return
        columns = tuple(block.columns)
        values = np.stack([block.columns[column] for column in columns], axis=1).astype(np.float64)
        if 0 in columns and self._electrodes:
            columns = (*columns, *self._spike_columns.values())
            values = np.hstack([values, np.full((block.samples, len(self._electrodes)), np.nan)])
        index = np.arange(block.first, block.first + block.samples)
        whole = columns == tuple(range(len(self._columns) + len(self._electrodes)))
        items.append(Block(index, values, None if whole else columns))
