"""A board that runs our firmware: ``serial:///dev/ttyACM0?baud=1000000``, or ``tcp://host:port`` behind a bridge.

Each row of a drive is one step on the board, which applies it by its own timer, reads all its inputs at the end of each
sample, and answers. What goes over the line, and what happens when it fails, is in docs/board_protocol.md.
"""

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

import numpy as np

from inmateria.adapters.boards.exchange import Command, Exchange
from inmateria.adapters.boards.link import BoardLink, OpenLine
from inmateria.adapters.boards.protocol import (
    ChannelDescription,
    Status,
    StepsAnswer,
    drive_bytes,
    nearest_levels,
    reading_levels,
    values,
)
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.concurrency import cancel_and_wait, wait_to_completion
from inmateria.substrate import (
    IdentitySource,
    Limits,
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["BoardSubstrate", "serial_from_uri", "tcp_from_uri"]

_logger = logging.getLogger(__name__)
_LONGEST = 2**31 - 2**16
"""Longest step, ticks."""


class BoardSubstrate(Substrate):
    """A board with inmateria's firmware, and whatever is wired to it.

    Its inputs are the board's outputs (PWM, digital outputs, digital potentiometers) and its outputs what the board
    reads (converters, comparator). A value of the drive is rounded to the nearest level that the channel has, half a
    ``resolution`` away at most (``info.parameters``). Outputs keep their last value until the next stimulus, and
    return to rest when the substrate is left, when an exchange is cancelled or fails, and when the board has not heard
    its host for the time of the watchdog.

    Parameters
    ----------
    line : str
        Device of the serial line, such as ``/dev/ttyACM0``, or ``host:port`` of a bridge from TCP to one.
    baud : int
        Speed of the serial line, bits a second; as the firmware was built.
    step : float
        Default duration of a step, s.
    sampling_rate : float or None
        Samples a second of every input, Hz; by default one for each step of the default duration.
    watchdog : float
        Seconds of silence after which the board brings its outputs to rest, at most 60.
    timeout : float
        Seconds to wait for a board that does not answer, and for a line that is gone to come back.
    window : int
        Largest number of stimuli in flight in a stream.
    resettable : bool
        Whether what is wired to the board returns to rest when its inputs do; `reset` is refused otherwise.
    drive, read : str
        Names of the board's outputs that are driven, and of its inputs that are read, with commas between them; by
        default all. Outputs that are not driven stay at rest. Most tasks need inputs with more than two levels:
        ``drive=D3,D5``.
    id : str
        Identity of the device; by default the id that the board states, or else the name of the line.

    Attributes
    ----------
    status : Status or None
        State of the board as it last told it, with counts of late steps, jitter and damaged frames.
    late_exchanges : int
        Exchanges in which a step began late, because it came too late or the board was busy.
    resent : int
        Commands that were sent more than once.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    SubstrateDisconnected, SubstrateTimeout, SubstrateBusy, FrameError
        On entering, if the line cannot be opened, no board answers, or another program holds it.
    """

    def __init__(
        self,
        line: str,
        *,
        baud: int = 1_000_000,
        step: float = 1e-3,
        sampling_rate: float | None = None,
        watchdog: float = 1.0,
        timeout: float = 5.0,
        window: int = 8,
        resettable: bool = False,
        drive: str = "",
        read: str = "",
        id: str = "",  # noqa: A002
    ) -> None:
        if as_identifier(id) != id:
            raise ValueError(f"id is {id!r}; allowed are letters, digits, '.', '_' and '-', first and last no sign")
        if not 0.05 <= watchdog <= 60:
            raise ValueError(f"watchdog is {watchdog} s; allowed are 0.05 to 60 s")
        if window < 1 or not timeout > 0 or baud < 1:
            raise ValueError(f"window is {window}, timeout {timeout} s and baud {baud}; each must be positive")
        self._step, self._rate = step, sampling_rate
        self._window, self._resettable = window, resettable
        self._id = id
        self._named = (drive, read)
        self._turn = asyncio.Lock()
        self._baud, self._watchdog, self._timeout = baud, watchdog, timeout
        self.set_line(line)
        self._zero: int | None = None
        self._sequence = self.late_exchanges = 0

    def set_line(self, line: str) -> None:
        """Take another line, before the substrate is entered."""
        self._line = line
        self._link = BoardLink(_line(line, self._baud), line, self._watchdog, self._timeout)

    @property
    def status(self) -> Status | None:
        """State of the board as it last told it."""
        return self._link.status

    @property
    def resent(self) -> int:
        """Number of commands that were sent more than once."""
        return self._link.resent

    async def __aenter__(self) -> Self:
        try:
            await self._link.open()
            self._driven = _chosen(self._named[0], self._link.outputs, "drive")
            self._read = _chosen(self._named[1], self._link.inputs, "read")
            self.info = self._described()
        except BaseException:
            await wait_to_completion(asyncio.ensure_future(self._link.close()))
            raise
        self._zero, self._sequence, self.late_exchanges = None, 0, 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await wait_to_completion(asyncio.ensure_future(self._link.close()))
        if self.late_exchanges > 1:
            _logger.warning("%s: in %d exchanges a step began late", self.info.id, self.late_exchanges)

    async def reset(self) -> None:
        """Bring the outputs to rest, and begin the clock and the numbers again.

        Raises
        ------
        SubstrateError
            If ``info.resettable`` is False.
        """
        if not self.info.resettable:
            raise SubstrateError(
                f"{self.info.id} was asked to return to rest",
                "what is wired to the board may not do so when its inputs do",
                "give ?resettable=true if it does",
            )
        async with self._turn:
            await wait_to_completion(asyncio.ensure_future(self._link.end_session()))
            await self._link.begin_session()
            self._zero, self._sequence = None, 0

    async def classify(self, stimulus: Stimulus) -> tuple[int, Response]:
        """Apply one sample, and return the number of the class that the readout on the board names, and the response.

        The board gathers the readings of the sample's steps, of every sample of a step, as features, and applies the
        readout that was built into its firmware (``make READOUT=``, or ``emulated-board://?readout=``). The response
        holds the same readings.

        Raises
        ------
        StimulusRejected
            If the stimulus is outside the limits, or has another number of samples than the readout has features of
            each input; nothing of it was applied.
        SubstrateError
            If the board has no readout.
        SubstrateDisconnected, SubstrateTimeout
            If the board, or the connection to it, is gone.
        """
        admitted = self._admitted(stimulus)
        readout = self._link.about.readout
        if readout is None:
            raise SubstrateError(
                f"{self.info.id} was asked for a class",
                "there is no readout in its firmware",
                "build it with make READOUT=/path/NAME.c, which readout.to_c wrote",
            )
        steps = len(admitted.drive) * self.info.samples(admitted.step)
        if steps != readout.steps:
            raise StimulusRejected(
                f"the sample has {steps} steps of the board",
                f"its readout has {readout.features} features: {readout.inputs} of each of {readout.steps} steps",
                f"give a stimulus of {readout.steps} samples in all",
            )
        async with self._turn:
            response, index = await self._applied(admitted, sample=True)
        self.info.check_response(admitted, response)
        return index, response

    async def _apply(self, stimulus: Stimulus) -> Response:
        async with self._turn:
            return (await self._applied(stimulus))[0]

    async def _applied(self, stimulus: Stimulus, sample: bool = False) -> tuple[Response, int]:
        """Apply a stimulus in this substrate's turn; return the response, and the class of a sample, else -1."""
        commands = self._commands(stimulus)
        commands[0].sample = sample
        await self._link.begin_session()
        exchange = self._link.submit(commands)
        try:
            response = await self._response(stimulus, exchange)
        finally:
            await self._settle([exchange])
        return response, await self._link.sample_class(commands[0]) if sample else -1

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        async with self._turn:
            flying: deque[tuple[Stimulus, Exchange]] = deque()
            room, arrived = asyncio.Semaphore(self._window), asyncio.Semaphore(0)
            failed: list[BaseException] = []

            async def produce() -> None:
                try:
                    while True:
                        await room.acquire()
                        stimulus = await anext(stimuli)
                        commands = self._commands(stimulus)
                        await self._link.begin_session()
                        flying.append((stimulus, self._link.submit(commands)))
                        arrived.release()
                except Exception as error:  # told after the responses to what came before
                    failed.append(error)
                    arrived.release()

            producer = asyncio.create_task(produce(), name="stimuli to a board")
            try:
                while True:
                    await arrived.acquire()
                    if not flying:
                        break
                    stimulus, exchange = flying[0]
                    response = await self._response(stimulus, exchange)
                    flying.popleft()
                    yield response
                    room.release()
            finally:
                await cancel_and_wait(producer)
                await self._settle([exchange for _, exchange in flying])
            if failed and not isinstance(failed[0], StopAsyncIteration):
                raise failed[0]

    async def _settle(self, exchanges: list[Exchange]) -> None:
        """Stop what is still under way, and count the exchanges of which anything was applied without a response."""
        if any(not exchange.answered.done() for exchange in exchanges):
            await wait_to_completion(asyncio.ensure_future(self._link.end_session()))
        for exchange in exchanges:
            whole = exchange.answered.done() and not (
                exchange.answered.cancelled() or exchange.answered.exception() is not None
            )
            if exchange.counted:
                continue
            exchange.counted = True
            self._sequence += bool(whole or exchange.applied or exchange.perhaps)

    async def _response(self, stimulus: Stimulus, exchange: Exchange) -> Response:
        """Wait for the answers to a stimulus, and return the response."""
        await asyncio.wait({exchange.answered})
        answers: list[StepsAnswer] = exchange.answered.result()
        about, inputs = self._link.about, self._link.inputs
        readings = np.vstack([reading_levels(answer.readings, inputs) for answer in answers])
        signal = values(readings, inputs)[:, self._read].reshape(len(stimulus.drive), -1, len(self._read))
        start = self._link.unwrapped(answers[0].start)
        if self._zero is None:
            self._zero = start
        if any(answer.late for answer in answers):
            self.late_exchanges += 1
            if self.late_exchanges == 1:
                _logger.warning(
                    "%s: a step of exchange %d began late, the one before it was longer; further ones are counted",
                    self.info.id,
                    self._sequence,
                )
        exchange.counted = True
        self._sequence += 1
        return Response(signal, None, (start - self._zero) / about.ticks_per_second, self._sequence - 1)

    def _commands(self, stimulus: Stimulus) -> list[Command]:
        """Return the commands of a stimulus: one step on the board for each sample, as many in a frame as fit."""
        about = self._link.about
        samples = self.info.samples(stimulus.step)
        exact = stimulus.step / samples * about.ticks_per_second
        period = round(exact)
        if abs(exact - period) > 1e-6 * max(1.0, exact):
            raise StimulusRejected(
                f"the step of {stimulus.step:g} s has {samples} samples of {exact:.6g} ticks each",
                f"the board counts whole ticks of {1 / about.ticks_per_second:g} s",
                f"give a step of {period * samples / about.ticks_per_second:.9g} s",
            )
        if period < about.shortest:
            raise StimulusRejected(
                f"the step of {stimulus.step:g} s has {samples} samples",
                f"the board reads all its inputs once in {about.shortest / about.ticks_per_second:g} s at most",
                "give a longer step or a lower sampling_rate",
            )
        outputs = self._link.outputs
        levels = np.tile([channel.rest for channel in outputs], (len(stimulus.drive), 1))
        levels[:, self._driven] = nearest_levels(stimulus.drive, [outputs[k] for k in self._driven])
        drive = drive_bytes(levels, outputs)
        drive = np.repeat(drive, samples, axis=0)
        reading = sum(channel.width for channel in self._link.inputs)
        most = about.slot_bytes // max(drive.shape[1], reading)
        return [
            Command(at == 0, period, len(drive[at : at + most]), drive[at : at + most].tobytes())
            for at in range(0, len(drive), most)
        ]

    def _described(self) -> SubstrateInfo:
        link = self._link
        about, second = link.about, link.about.ticks_per_second
        outputs, inputs = [link.outputs[k] for k in self._driven], [link.inputs[k] for k in self._read]
        rate = 1 / self._step if self._rate is None else self._rate
        fastest = second / about.shortest
        if rate > fastest or self._step < 1 / fastest:
            raise StimulusRejected(
                f"step is {self._step:g} s and sampling_rate {rate:g} Hz",
                f"a {about.name} reads all its inputs {fastest:.6g} times a second at most",
                "give a longer step or a lower rate",
            )
        identity: IdentitySource = "user" if self._id else "serial" if as_identifier(about.id) else "host"
        named = self._id or as_identifier(about.id) or self._place()
        return SubstrateInfo(
            id=named,
            identity=identity,
            kind="board",
            inputs=tuple(channel.channel() for channel in outputs),
            outputs=tuple(channel.channel() for channel in inputs),
            rest=tuple(channel.value(channel.rest) for channel in outputs),
            step=self._step,
            sampling_rate=rate,
            resettable=self._resettable,
            limits=Limits(shortest_step=about.shortest / second, longest_step=_LONGEST / second),
            parameters={
                "board": about.name,
                "firmware": about.firmware,
                "resolution": [channel.resolution for channel in outputs],
                "reading_resolution": [channel.resolution for channel in inputs],
                **({} if about.readout is None else {"readout": about.readout._asdict()}),
            },
        )

    def _place(self) -> str:
        """Return a name for a board that states none: the host, and the line on it."""
        if ":" in self._line:
            return as_identifier(self._line)
        return as_identifier(f"{socket.gethostname()}-{self._line.strip('/')}")


def _chosen(names: str, channels: list[ChannelDescription], parameter: str) -> list[int]:
    """Return the indices of the named channels, in the order of the names; of all without names."""
    there = [channel.name for channel in channels]
    wanted = [name.strip() for name in names.split(",")] if names else there
    if len(set(wanted)) < len(wanted) or not set(wanted) <= set(there):
        raise UnknownSubstrate(
            f"{parameter} is {names!r}", f"the board has {', '.join(there)}", "give each of them once at most"
        )
    return [there.index(name) for name in wanted]


def _line(line: str, baud: int) -> OpenLine:
    """Return what opens a line: a device, or ``host:port``."""
    if ":" in line:
        host, _, port = line.rpartition(":")
        return lambda make: _open_tcp(host, int(port), make)
    return lambda make: _open_serial(line, baud, make)


async def _open_tcp(host: str, port: int, make: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(make, host, port)
    except OSError as error:
        raise SubstrateDisconnected(
            f"no connection to {host}:{port} ({error.strerror or error})",
            "a bridge from TCP to the board's serial line listens there",
            "start it, for instance socat TCP-LISTEN:4000,reuseaddr,nodelay /dev/ttyACM0,b1000000,raw,echo=0",
        ) from None
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return transport


async def _open_serial(line: str, baud: int, make: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
    try:
        import serialx
    except ImportError:
        raise SubstrateError(
            f"{line} needs serialx, which is not installed", "", "pip install 'inmateria[serial]'"
        ) from None
    try:
        transport, _ = await serialx.create_serial_connection(
            asyncio.get_running_loop(), make, url=line, baudrate=baud, exclusive=True
        )
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EAGAIN):
            raise SubstrateBusy(
                f"{line} is used by another program ({error.strerror or error})",
                "one program at a time can use a board",
                "end the other one, for instance a serial monitor",
            ) from None
        raise SubstrateDisconnected(
            f"{line} could not be opened ({error.strerror or error})",
            "the device of a board that is plugged in, such as /dev/ttyACM0",
            "list them with `ls /dev/serial/by-id`; on Linux your user must be in the group dialout"
            if error.errno in (errno.EACCES, errno.EPERM)
            else "plug the board in, or list the devices with `ls /dev/serial/by-id`",
        ) from None
    return cast("asyncio.Transport", transport)


def serial_from_uri(uri: str) -> BoardSubstrate:
    """Read ``serial:///dev/ttyACM0?baud=1000000``; the query takes the class's parameters."""
    parts = urlsplit(uri)
    if parts.netloc or not parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{uri!r} does not name the device of a serial line",
            "allowed is serial:///dev/ttyACM0, with three slashes",
            "list the devices with `ls /dev/serial/by-id`",
        )
    return _board(uri, unquote(parts.path), parameters_for(BoardSubstrate, query_of(uri), "serial"))


def tcp_from_uri(uri: str) -> BoardSubstrate:
    """Read ``tcp://host:port``; the query takes the class's parameters."""
    parts = urlsplit(uri)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{uri!r} does not name a host and a port", "allowed is tcp://host:port, such as tcp://bench.lab:4000"
        )
    given = parameters_for(BoardSubstrate, query_of(uri), "tcp")
    if "baud" in given:
        raise UnknownSubstrate(f"{uri!r} gives baud", "the bridge sets the speed of the line", "leave it out")
    return _board(uri, f"{parts.hostname}:{port}", given)


def _board(uri: str, line: str, given: dict[str, Any]) -> BoardSubstrate:
    if "line" in given:
        raise UnknownSubstrate(f"{uri!r} gives line", "the line is the URI's path, or its host and port")
    try:
        return BoardSubstrate(line, **given)
    except ValueError as error:
        raise UnknownSubstrate(f"{uri!r} cannot be opened: {error}") from None
