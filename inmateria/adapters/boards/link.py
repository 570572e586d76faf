"""A session with a board over a line that may lose, damage or cut: each command is applied once, or not at all.

Commands are numbered; as many as the board has slots are under way at once. A command whose answer does not come is
sent again under its number, which the board answers from what it kept. A session that the board has lost (reset,
watchdog, refusal) is never continued: what it had applied is asked for, and the exchange fails.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from inmateria.adapters.boards.exchange import (
    LATEST,
    SOONEST,
    AnswerDelay,
    Command,
    Exchange,
    signed_ticks,
    with_extent,
)
from inmateria.adapters.boards.protocol import (
    BoardDescription,
    ChannelDescription,
    End,
    Frame,
    FrameParser,
    FrameType,
    SampleClass,
    Status,
    StepsAnswer,
    encode_class,
    encode_close,
    encode_describe,
    encode_open,
    encode_status,
    encode_steps,
)
from inmateria.concurrency import cancel_and_wait, settle, settle_with_error
from inmateria.substrate import FrameError, SubstrateBusy, SubstrateDisconnected, SubstrateError, SubstrateTimeout

__all__ = ["BoardLink", "OpenLine"]

_logger = logging.getLogger(__name__)

OpenLine = Callable[[Callable[[], asyncio.Protocol]], Awaitable[asyncio.Transport]]
"""Opens a line with a protocol; raises `SubstrateError` if it cannot be opened."""

_AGAIN = 0.25
"""Seconds after which a line is tried again that could not be opened, or a question is repeated at the latest."""
_NUMBERS = 1 << 16
_SAMPLE_IS_WHOLE, _CLASS_IS_KNOWN = 2, 3
_IN_A_ROW = 4
"""Times that a command is sent again before its patience grows."""
_JUST_NOW = 5e-4
"""Seconds in which no answer to what was sent can have come."""


class BoardLink(asyncio.Protocol):
    """A board behind a line; `open` it, `submit` commands, `close` it.

    Parameters
    ----------
    open_line : OpenLine
    name : str
        Name of the line, for errors.
    watchdog : float
        Seconds of silence after which the board ends the session and brings its outputs to rest.
    timeout : float
        Seconds to wait for a board that does not answer, or for a line that is gone to come back.

    Attributes
    ----------
    about : BoardDescription
    outputs, inputs : list of ChannelDescription
        Channels that a step drives, and that it reads.
    status : Status or None
        The board's state as it last told it: when the session began or ended, in a pause, or after a loss.
    resent : int
        Commands that were sent more than once.
    """

    def __init__(self, open_line: OpenLine, name: str, watchdog: float, timeout: float) -> None:
        self._open_line, self._name = open_line, name
        self._watchdog, self._timeout = watchdog, timeout
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._session = self._left = 0
        self._reconnecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._alive: asyncio.TimerHandle | None = None
        self._parser = FrameParser()
        self._asked: dict[int, asyncio.Future[Frame]] = {}
        self._forget()
        self._order = self.resent = 0
        self._delay = AnswerDelay()
        self._heard = self._said = 0.0
        self._clock = (0, 0, 0.0)  # ticks that do not wrap, the board's ticks then, and when on this machine's clock
        self.status: Status | None = None

    def _forget(self) -> None:
        """Begin at number 0, with nothing under way."""
        self._next = self._steps = self._steps_sent = 0
        self._newest = _NUMBERS - 1  # highest number whose answer has come
        self._waiting: deque[Command] = deque()
        self._flying: dict[int, Command] = {}

    # What a substrate calls.

    async def open(self) -> None:
        """Connect, ask the board for its description, and open a session.

        Raises
        ------
        SubstrateDisconnected, SubstrateTimeout, SubstrateBusy, FrameError
        """
        await self._connect()
        self.about = BoardDescription.decode((await self._ask(FrameType.DESCRIBE, 255)).payload)
        described = [
            ChannelDescription.decode((await self._ask(FrameType.DESCRIBE, k)).payload)
            for k in range(self.about.outputs + self.about.inputs)
        ]
        self.outputs, self.inputs = described[: self.about.outputs], described[self.about.outputs :]
        await self.begin_session()

    async def begin_session(self) -> None:
        """Open a session unless there is one; the line is opened again if it is gone."""
        if self._reconnecting is not None:
            await asyncio.wait({self._reconnecting})
        if self._transport is None:
            await self._connect()
        if self._session:
            return
        session = random.SystemRandom().randrange(1, _NUMBERS)
        end = asyncio.get_running_loop().time() + max(self._timeout, 2 * self._watchdog)
        while True:
            answer = await self._ask(FrameType.OPEN, session)
            if answer.type == FrameType.OPEN | FrameType.ANSWER and answer.session == session:
                break
            if asyncio.get_running_loop().time() > end:
                raise SubstrateBusy(
                    f"the board at {self._name} is held by another session",
                    f"a session ends when its host has been silent for its watchdog (ours: {self._watchdog:g} s)",
                    "end the other program that uses the board",
                )
            if answer.session == self._left:  # ours, which this side gave up
                await self._ask(FrameType.CLOSE, self._left)
            else:
                await asyncio.sleep(min(self._watchdog / 4, _AGAIN))
        self._forget()
        self._session = session
        self.status = Status.decode(answer.payload)
        self._note_ticks(self.status.ticks, begins=True)
        self._keep_alive()

    async def end_session(self) -> None:
        """Bring the outputs to rest and forget what is under way; whose exchanges then know how far they came."""
        session, status = self._session, None
        if not session:
            return
        self._left, self._session = session, 0
        if self._transport is not None:
            with suppress(SubstrateError):
                answer = await self._ask(FrameType.CLOSE, session)
                if answer.session == session:
                    self.status = status = Status.decode(answer.payload)
        self._abandon(None, status)

    async def close(self) -> None:
        """End the session and close the line."""
        try:
            if self._reconnecting is not None:
                await cancel_and_wait(self._reconnecting)
            await self.end_session()
        finally:
            await self._disconnect()

    def submit(self, commands: Sequence[Command]) -> Exchange:
        """Begin to send the commands of one stimulus; a session must have been begun."""
        exchange = Exchange(commands, self._steps, asyncio.get_running_loop().create_future())
        self._steps += exchange.steps
        for command in commands:
            command.exchange = exchange
        if not self._session:
            exchange.answered.set_exception(self._gone())
            return exchange
        self._waiting.extend(commands)
        self._pump()
        return exchange

    async def sample_class(self, command: Command) -> int:
        """Return the number of the class of the sample that a command began; all its steps must have been answered.

        Raises
        ------
        SubstrateDisconnected
            If the session has ended, or the board did not keep the sample.
        """
        session, end = self._session, asyncio.get_running_loop().time() + self._timeout
        while True:
            answer = await self._ask(FrameType.CLASS, session)
            known = SampleClass.decode(answer.payload) if answer.type == FrameType.CLASS | FrameType.ANSWER else None
            if known is not None and known.number == command.number and known.state == _CLASS_IS_KNOWN:
                return known.chosen
            kept = known is not None and known.number == command.number and known.state == _SAMPLE_IS_WHOLE
            if not kept or asyncio.get_running_loop().time() > end:
                raise SubstrateDisconnected(
                    f"the board at {self._name} did not say the class of a sample",
                    "its session has ended, or another sample has begun meanwhile",
                    "apply the sample again",
                )

    def unwrapped(self, ticks: int) -> int:
        """Return ticks of the board's clock as ticks that do not wrap."""
        whole, at, _ = self._clock
        return whole + signed_ticks(ticks - at)

    # The line.

    async def _connect(self) -> None:
        self._parser = FrameParser()
        self._lost = asyncio.Event()
        try:
            async with asyncio.timeout(self._timeout):
                self._transport = await self._open_line(lambda: self)
        except TimeoutError:
            raise SubstrateTimeout(f"{self._name} could not be opened within {self._timeout:g} s") from None
        self._heard = asyncio.get_running_loop().time()

    async def _disconnect(self) -> None:
        for timer in (self._timer, self._alive):
            if timer is not None:
                timer.cancel()
        self._timer = self._alive = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._lost.wait()

    def connection_lost(self, error: Exception | None) -> None:
        """Try to open the line again, if the session may still be whole."""
        self._lost.set()
        if self._transport is None:
            return
        self._transport = None
        _logger.info("%s: the line is gone (%s)", self._name, error or "closed by the other side")
        if self._session:
            self._reconnecting = asyncio.ensure_future(self._reconnect())

    async def _reconnect(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        try:
            while self._session:
                try:
                    await self._connect()
                    break
                except SubstrateError as error:
                    if loop.time() + _AGAIN > end:
                        self._fail(
                            SubstrateDisconnected(
                                f"the line to {self._name} is gone, and did not come back within {self._timeout:g} s "
                                f"({error})",
                                "the board brings its outputs to rest by itself",
                                "plug it in again",
                            ),
                            None,
                        )
                        return
                    await asyncio.sleep(_AGAIN)
            if self._session:  # what got lost meanwhile is told by the answer
                self._write(encode_status(self._session, self._tag(), self._base()))
                for command in self._flying.values():
                    command.patience = 2 * SOONEST
                self._watch()
        finally:
            self._reconnecting = None

    def _write(self, frame: bytes) -> None:
        if self._transport is None:
            return
        self._said = asyncio.get_running_loop().time()
        with suppress(OSError):  # the line says itself that it is gone
            self._transport.write(frame)

    # Questions that may be repeated.

    def _tag(self) -> int:
        """Return a number for a question, far from those of the commands under way."""
        self._order += 1
        return (self._next + _NUMBERS // 4 + self._order % (_NUMBERS // 2)) % _NUMBERS

    async def _ask(self, kind: FrameType, what: int) -> Frame:
        """Ask until an answer comes; `what` is a session, or the index of a channel."""
        loop = asyncio.get_running_loop()
        tag = self._tag()
        watchdog = round(1000 * self._watchdog)
        frame = {
            FrameType.OPEN: lambda: encode_open(what, tag, watchdog),
            FrameType.DESCRIBE: lambda: encode_describe(tag, what),
            FrameType.CLOSE: lambda: encode_close(what, tag),
            FrameType.CLASS: lambda: encode_class(what, tag),
        }[kind]()
        answer: asyncio.Future[Frame] = loop.create_future()
        self._asked[tag] = answer
        begun = loop.time()
        end, wait = begun + self._timeout, 0.02
        try:
            while (left := end - loop.time()) > 0:
                if self._transport is None:
                    raise self._gone()
                asked = loop.time()
                self._write(b"\0" + frame)  # whatever noise came before ends here
                await asyncio.wait({answer}, timeout=min(wait, left))
                if answer.done():
                    if asked - begun < 1e-3:  # asked once
                        self._delay.note(loop.time() - asked)
                    return answer.result()
                wait = min(2 * wait, _AGAIN)
        finally:
            del self._asked[tag]
        raise SubstrateTimeout(
            f"nothing at {self._name} answered within {self._timeout:g} s",
            "a board with this firmware answers at once",
            "check that the firmware is on it and that ?baud= is what it was built with",
        )

    # Commands.

    def _base(self) -> int:
        """Return the lowest number whose answer has not come."""
        return next(iter(self._flying), self._next)

    def _pump(self) -> None:
        """Send waiting commands as far as the board has slots for them."""
        while self._waiting and (self._next - self._base()) % _NUMBERS < self.about.slots:
            command = self._waiting.popleft()
            self._flying[self._next] = command
            command.number = self._next
            self._steps_sent += command.steps
            self._send(self._next, command)
            self._next = (self._next + 1) % _NUMBERS
        self._watch()

    def _send(self, number: int, command: Command) -> None:
        second = self.about.ticks_per_second
        if command.order:
            self.resent += 1
            # The board answers at once what it has got before. A bad line loses several in a row; if it is more, it may
            # be the line that has become slow.
            command.times += 1
            command.patience = min(
                self._delay.patience() * max(1.0, 1.5 ** (command.times - _IN_A_ROW)), LATEST, self._watchdog / 4
            )
        else:
            command.expected = sum(each.period * each.steps for each in self._flying.values()) / second
            command.patience = min(self._delay.patience() + command.expected, self._watchdog / 4)
            command.resent = self.resent
        self._order += 1
        command.order, command.sent = self._order, asyncio.get_running_loop().time()
        self._write(
            encode_steps(
                self._session, number, self._base(), command.first, command.period, command.drive, command.sample
            )
        )

    def _awaited(self) -> dict[int, Command]:
        """Return what the board would answer at once if it had it: the oldest, and what it must have applied.

        Others wait for the oldest, on the board or here: to send them again would only fill the line.
        """
        oldest = self._base()
        return {
            number: command
            for number, command in self._flying.items()
            if number == oldest or (self._newest - number) % _NUMBERS < _NUMBERS // 2
        }

    def _watch(self) -> None:
        """Look again when the next answer should have come."""
        if not self._flying:
            return
        loop = asyncio.get_running_loop()
        due = max(min(command.sent + command.patience for command in self._awaited().values()), loop.time() + 1e-3)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._flying or not self._session:
            return
        now = asyncio.get_running_loop().time()
        if self._transport is not None:
            if now - self._heard > self._timeout:
                self._fail(
                    SubstrateTimeout(
                        f"the board at {self._name} has not answered for {self._timeout:g} s",
                        "it brings its outputs to rest by itself when it does not hear its host",
                        "check its power and its line, and whether another program reads from the same port",
                    ),
                    None,
                )
                return
            for number, command in self._awaited().items():
                if now >= command.sent + command.patience:
                    self._send(number, command)
        self._watch()

    def _keep_alive(self) -> None:
        """Keep the session: send something well before the board's watchdog would end it."""
        if not self._session:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._said > self._watchdog / 5:
            self._write(encode_status(self._session, self._tag(), self._base()))
        self._alive = loop.call_later(self._watchdog / 5, self._keep_alive)

    # What comes from the board.

    def data_received(self, data: bytes) -> None:
        """Take what came over the line."""
        damaged = self._parser.damaged
        for frame in self._parser.feed(data):
            self._heard = asyncio.get_running_loop().time()
            try:
                self._take(frame)
            except FrameError as error:
                self._fail(error, None)
        if self._parser.damaged > damaged:
            self._ask_again()

    def _ask_again(self) -> None:
        """Send the oldest command again, whose answer was likely what came damaged, unless that was done just now."""
        if not self._session or not self._flying:
            return
        number, command = next(iter(self._flying.items()))
        if asyncio.get_running_loop().time() - command.sent > _JUST_NOW:
            self._send(number, command)

    def _take(self, frame: Frame) -> None:
        asked = self._asked.get(frame.number)
        if frame.type == FrameType.STEPS | FrameType.ANSWER:
            if frame.session == self._session:
                self._take_answer(frame.number, StepsAnswer.decode(frame.payload))
        elif frame.type == FrameType.NO_SESSION:
            status = Status.decode(frame.payload)
            if asked is not None and not asked.done():
                settle(asked, frame)
            elif self._session and frame.number not in self._asked:
                self._note_end(frame.session, status)
        elif frame.type == FrameType.STATUS | FrameType.ANSWER:
            if frame.session == self._session:
                self.status = Status.decode(frame.payload)
                self._note_ticks(self.status.ticks)
                self._take_status(frame.number, self.status)
        elif asked is not None:
            settle(asked, frame)

    def _take_answer(self, number: int, answer: StepsAnswer) -> None:
        command = self._flying.pop(number, None)
        if command is None:  # it came twice
            self._delay.was_too_short()
            return
        if (number - self._newest) % _NUMBERS < _NUMBERS // 2:
            self._newest = number
        self._note_ticks(answer.start)
        if command.resent == self.resent:
            self._delay.note(asyncio.get_running_loop().time() - command.sent - command.expected)
        exchange = command.exchange
        if exchange is not None:
            exchange.answers[exchange.commands.index(command)] = answer
            if len(exchange.answers) == len(exchange.commands) and not exchange.answered.done():
                exchange.applied = exchange.steps
                settle(exchange.answered, [exchange.answers[k] for k in range(len(exchange.commands))])
        # Answers come in order, so those to older commands got lost, unless they were sent again meanwhile.
        for older, before in list(self._flying.items()):
            if (number - older) % _NUMBERS >= _NUMBERS // 2:
                break
            if before.order < command.order:
                self._send(older, before)
        self._pump()

    def _take_status(self, number: int, status: Status) -> None:
        """Send again what the board does not have; `number` is of the command or question that the status answers."""
        trigger = self._flying.get(number)
        if trigger is not None and trigger.times and number == self._base():
            self._delay.was_too_short()  # the board had it
        order = self._order if trigger is None else trigger.order
        now = asyncio.get_running_loop().time()
        for each, command in list(self._flying.items()):
            place = (each - status.base) % _NUMBERS
            missing = place < self.about.slots and not status.held >> place & 1
            if (
                missing
                and command.order < order
                and (trigger is not None or now - command.sent > self._delay.patience())
            ):
                self._send(each, command)

    def _note_ticks(self, ticks: int, begins: bool = False) -> None:
        """Follow the board's clock, which wraps, and begins again after a reset."""
        whole, at, when = self._clock
        now = asyncio.get_running_loop().time()
        step = signed_ticks(ticks - at)
        if step < 0:
            if not begins:
                return  # told before something that came earlier
            step = round((now - when) * self.about.ticks_per_second)
        self._clock = (whole + step, ticks, now)

    def _note_end(self, session: int, status: Status) -> None:
        """Fail what is under way, because the board no longer has the session."""
        if status.end == End.BUSY:
            if session == self._session:
                return  # it answers a frame of an earlier session, which came late
            reason, known = "another program has opened a session with it", None
        elif session == self._session:
            reason, known = (
                {
                    End.RESET: "it was reset",
                    End.WATCHDOG: f"it did not hear this host for {self._watchdog:g} s",
                    End.REFUSED: f"it refused command {status.refused} as beyond its limits",
                }.get(End(status.end) if status.end in list(End) else End.NONE, "its session has ended"),
                status,
            )
        else:
            reason, known = "it lost its power", None
        self._fail(
            SubstrateDisconnected(
                f"the board at {self._name} ended the session: {reason}",
                "its outputs are at rest, and nothing more of what was under way is applied",
                "the next exchange begins a new session",
            ),
            known,
        )

    def _gone(self) -> SubstrateDisconnected:
        return SubstrateDisconnected(f"there is no connection to the board at {self._name}", "", "plug it in")

    def _fail(self, error: SubstrateError, status: Status | None) -> None:
        """End the session on this side, and fail all exchanges with what is known of each."""
        self._left, self._session = self._session or self._left, 0
        self._abandon(error, status)

    def _abandon(self, error: SubstrateError | None, status: Status | None) -> None:
        exchanges = dict.fromkeys(
            command.exchange for command in (*self._flying.values(), *self._waiting) if command.exchange is not None
        )
        for exchange in exchanges:
            exchange.note(status, self._steps_sent)
            if not exchange.answered.done():
                if error is None:
                    exchange.answered.cancel()
                else:
                    settle_with_error(exchange.answered, with_extent(error, exchange))
        self._waiting.clear()
        self._flying.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
