"""The client's side of the wire: a device behind a broker as a substrate like any other.

Commands are numbered and kept until they are answered. An unanswered command is sent again, and the device answers a
number that it has applied already from memory, so nothing is applied twice.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec

from inmateria.adapters.mqtt.client.errors import error_of, not_there, with_numbers
from inmateria.adapters.mqtt.client.in_flight import FlowWindow, PendingCommand, SentCommands
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe
from inmateria.adapters.mqtt.wire.address import BROKER_OPTIONS
from inmateria.adapters.mqtt.wire.announcements import IN_FAULT, ONLINE, STOPPED, PreviousSession, Status
from inmateria.adapters.mqtt.wire.device_socket import address_of, names_a_socket, place_of
from inmateria.adapters.mqtt.wire.frames import Frame, Header, Kind, decode, encode, response_of
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, HandsOver, LinkLost, LinkProtocol, OpenLink
from inmateria.adapters.mqtt.wire.message_size import AROUND, SMALL, largest_message
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.adapters.mqtt.wire.parts import LARGEST_PART, PartAssembler, in_parts
from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger
from inmateria.adapters.mqtt.wire.response_encoder import response_bytes
from inmateria.adapters.uri import query_of
from inmateria.concurrency import cancel_and_wait, settle, wait_for_first
from inmateria.substrate import (
    FrameError,
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    SubstrateTimeout,
    UnknownSubstrate,
)

__all__ = ["RemoteSubstrate", "remote_from_uri"]

_logger = logging.getLogger("inmateria")
_TICK = 0.1
_MOST_RESEND = 8.0
_ASK_AGAIN = 0.5
_BACKOFF, _MOST_BACKOFF = 0.1, 2.0
_ROUND_TRIPS = 10_000


class RemoteSubstrate(Substrate):
    """A device in another process: behind an MQTT broker, or at a socket of its own.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``; see `Broker.from_uri` for certificates and passwords. Without a broker,
        ``unix:///path`` or ``tcp://host:port/group/device``.
    window, window_steps, window_bytes : int
        Largest numbers of stimuli, of steps, and of bytes of stimuli and their responses in flight; one stimulus is
        always allowed. A slow consumer slows the producer. The device may allow fewer.
    connect_timeout : float
        Seconds to wait for the broker, and then for the device.
    timeout : float
        Seconds to wait for an answer of a device that is online, in addition to the duration of the stimuli in flight.
        Device or broker may be disconnected for as long as the device's lease (`DeviceServer`).
    open_link : OpenLink
        Opens the connection, for instance `AiomqttLinks` if an application already has an aiomqtt client.

    Attributes
    ----------
    round_trips : deque of float
        Seconds between sending and answer of the last 10,000 exchanges.

    Raises
    ------
    SubstrateDisconnected, SubstrateTimeout, SubstrateBusy
        On entering, if the broker or the device cannot be reached, or another controller holds the device.
    """

    def __init__(
        self,
        uri: str,
        *,
        window: int = 8,
        window_steps: int = 100_000,
        window_bytes: int = 64_000_000,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
        open_link: OpenLink = open_link,
    ) -> None:
        if min(window, window_steps, window_bytes) < 1 or not connect_timeout > 0 or not timeout > 0:
            raise ValueError(
                f"window {window}, window_steps {window_steps}, window_bytes {window_bytes}, "
                f"connect_timeout {connect_timeout}, timeout {timeout}: all must be more than 0"
            )
        self._broker = place_of(uri)
        self._address = address_of(uri)
        self._open_link = open_link
        self._asked_window = (window, window_steps, window_bytes)
        self._connect_timeout, self._timeout = connect_timeout, timeout
        self.round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._limited_log = RateLimitedLogger(_logger)
        self._exits = AsyncExitStack()
        self._begin()

    def _begin(self) -> None:
        self._session = uuid4().hex[:12]
        self._window = self._asked_window
        self._stimuli = self._address.topic("stimulus", self._broker.controller, self._session)
        self._responses = self._address.topic("response", self._broker.controller, self._session)
        self._probe = AccessProbe()
        self._largest: dict[int, int] = {}
        self._device_takes = 0
        self._parts = PartAssembler()
        self._clipped_was_said = False
        self._round_trip = _TICK
        self._gap = -1
        self._link: LinkProtocol | None = None
        self._prompt_link: HandsOver | None = None
        self._info = None
        self._unreadable = ""
        self._online = False
        self._epoch = ""
        self._grant = ""
        self._asked = False
        """Whether the lease was asked for without an answer yet."""
        self._lease = 0.0
        self._commands = SentCommands()
        self._refused = False
        self._broken: SubstrateError | None = None
        self._fault: Exception | None = None
        self._offline_since: float | None = None
        self._away_since: float | None = None
        self._before: PreviousSession | None = None

    async def __aenter__(self) -> Self:
        self._begin()
        async with AsyncExitStack() as exits:
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            connected = asyncio.create_task(self._stay_connected(opened), name=f"connected to {self._address}")
            exits.push_async_callback(cancel_and_wait, connected)
            await asyncio.wait({opened, connected}, return_when=asyncio.FIRST_COMPLETED)
            if connected.done():
                connected.result()
            opened.result()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = SubstrateDisconnected(f"{self._address} was left", "", "use it inside `async with`")
        if self._broken is None:
            self._broken = left  # so that nothing more is sent
        try:
            await self._exits.__aexit__(kind, error, trace)
        finally:
            if self._broken is left:
                self._end_session(left)

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus on the device and return the response."""
        if self._refused:
            await self._resume()
        return response_of(await (await self._send(Kind.STIMULUS, stimulus)).answer, self.info)

    async def reset(self) -> None:
        """Return the device to rest, after all stimuli that were sent before."""
        await self._resume()
        await (await self._send(Kind.RESET)).answer

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli with several in flight, and yield their responses in order.

        If a stream is left early, or its source of stimuli fails, up to a window of stimuli may have been
        applied beyond the last response seen. After a refusal none of the following is applied.
        """
        await self._resume()
        sent: asyncio.Queue[PendingCommand | None] = asyncio.Queue()
        room = FlowWindow(self._window)

        async def produce() -> None:
            try:
                async for stimulus in stimuli:
                    size = stimulus.drive.nbytes + response_bytes(self.info, stimulus)
                    await room.take(len(stimulus.drive), size)
                    sent.put_nowait(await self._send(Kind.STIMULUS, stimulus))
            finally:
                sent.put_nowait(None)

        producing = asyncio.create_task(produce(), name=f"streaming to {self._address}")
        try:
            while (each := await sent.get()) is not None:
                yield response_of(await each.answer, self.info)
                room.give_back()
            await producing
        finally:
            await cancel_and_wait(producing)

    async def _resume(self) -> None:
        """Confirm a refusal to the device, so that it applies commands again."""
        if self._refused:
            self._refused = False
            await (await self._send(Kind.RESUME)).answer

    async def _send(self, kind: Kind, stimulus: Stimulus | None = None) -> PendingCommand:
        """Assign the next number to a command and send it."""
        if self._broken is not None:
            raise self._broken
        if stimulus is not None and stimulus.drive.nbytes > SMALL:
            await self._admit_size(stimulus.drive.nbytes)
        commands = self._commands
        header = Header(
            kind=kind, session=self._session, sequence=commands.next, epoch=self._epoch, grant=self._grant,
            step=0.0 if stimulus is None else stimulus.step,
        )  # fmt: skip
        data = encode(header, None if stimulus is None else stimulus.drive)
        each = commands.add(data, 0.0 if stimulus is None else stimulus.duration)
        if self._prompt_link is None or len(data) > SMALL or not self._prompt_link.send_at_once(self._stimuli, data):
            await self._publish(each)
        else:  # as nearly always
            each.tries, each.published = 1, True
        return each

    async def _publish(self, each: PendingCommand) -> None:
        """Send, or leave it to the next connection to send again."""
        link, begun = self._link, time.monotonic()
        each.tried, each.tries = begun, each.tries + 1
        if link is None or each.sending:
            return
        each.published = True
        if len(each.data) <= SMALL:
            try:  # noqa: SIM105  (`suppress` takes 1 us, in every step of a closed loop)
                await link.publish(self._stimuli, each.data)
            except LinkLost:
                pass
            return
        each.sending = True
        try:
            most = await self._passes(LARGEST_PART) if self._device_takes else MOST_MESSAGE
            for message in in_parts(each.data, most):
                await link.publish(self._stimuli, message)
        except LinkLost:
            pass  # it is sent again over the next connection
        finally:
            each.sending = False
            # It may take as long again from the broker to the device, and what comes back as well.
            each.tried = each.counted_from = time.monotonic()
            each.patience = max(each.patience, 2 * (each.tried - begun))

    async def _passes(self, wanted: int) -> int:
        """Return the bytes of the largest message, up to `wanted`, that the broker passes on; measured once."""
        if wanted not in self._largest:
            measured = await largest_message(self._broker, self._address, wanted, self._connect_timeout)
            self._largest[wanted] = min(wanted, self._device_takes or wanted, measured)
        return self._largest[wanted]

    async def _admit_size(self, size: int) -> None:
        """Refuse a stimulus that cannot be sent, before a number is given to it.

        A device that knows parts takes 64 MiB; to another one, each stimulus has to go in one message.
        """
        most = MOST_MESSAGE if self._device_takes else await self._passes(size + AROUND)
        if size + AROUND > most:
            raise StimulusRejected(
                f"the stimulus takes {size} bytes",
                f"{self._address} can be sent {most - AROUND} at once through {self._broker}",
                "send it as several stimuli of fewer steps",
            )

    def _header(self, kind: Kind) -> Header:
        return Header(kind=kind, session=self._session, epoch=self._epoch, grant=self._grant)

    async def _publish_unnumbered(self, link: LinkProtocol, kind: Kind) -> None:
        header = self._header(kind)
        if kind is Kind.OPEN:
            header.largest = LARGEST_PART
            self._asked = True
        await link.publish(self._stimuli, encode(header))

    async def _stay_connected(self, opened: asyncio.Future[None]) -> None:
        """Hold the connection, and make it again when it breaks, until cancelled or the session has ended."""
        pause = _BACKOFF
        while True:
            try:
                await self._use_connection(opened)
            except LinkLost as error:
                if not opened.done():
                    raise SubstrateDisconnected(
                        f"{self._broker.described} closed the connection ({error})", "", "see its log"
                    ) from None
                pause = _BACKOFF
                if self._away_since is None:
                    self._away_since = time.monotonic()
            except SubstrateError as error:
                if not opened.done():
                    raise
                if not isinstance(error, BrokerGone):
                    self._end_session(error)
                    return
            except Exception as error:  # a fault of ours: no task may be left waiting for an answer
                self._end_session(
                    SubstrateError(f"the client of {self._address} failed ({error!r})", "", "connect again")
                )
                raise
            if self._away_since is not None and (away := time.monotonic() - self._away_since) > self._lease:
                self._end_session(SubstrateDisconnected(
                    f"{self._broker.described} has been gone for {away:.0f} s",
                    f"the lease on {self._address} lasts {self._lease:g} s",
                ))  # fmt: skip
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def _use_connection(self, opened: asyncio.Future[None]) -> None:
        """Connect, ask for the lease, then receive answers until the connection is lost."""
        async with self._open_link(self._broker, timeout=self._connect_timeout) as link:
            await link.subscribe(
                self._address.topic("info"),
                self._address.topic("status"),
                self._responses,
                *([] if self._grant else [self._stimuli]),
            )
            if isinstance(link, HandsOver):
                link.take_message = self._take_response
            try:
                if not self._grant:
                    self._probe.unheard.add(self._stimuli)
                    await link.publish(self._stimuli, self._probe.frame)
                await wait_for_first(self._receive(link, opened), self._check_clock(link, opened))
            finally:
                self._link = self._prompt_link = None
                with suppress(LinkLost):
                    if self._grant:
                        await self._publish_unnumbered(link, Kind.CLOSE)
                    if self._asked:  # a lease that is given after this would be held until it runs out
                        await link.publish(self._stimuli, encode(Header(kind=Kind.CLOSE, session=self._session)))

    def _take_response(self, topic: str, payload: bytes) -> bool:
        """Take the answer to the oldest command, where it is one that was applied; all else goes to `_receive`."""
        waiting = self._commands.waiting
        if topic != self._responses or not waiting or len(payload) > SMALL or self._offline_since is not None:
            return False
        try:
            frame = decode(payload)
        except FrameError:
            return False
        header = frame.header
        number = header.sequence
        if (
            number != next(iter(waiting))
            or header.session != self._session
            or (header.kind is not Kind.RESPONSE and header.kind is not Kind.DONE)
        ):
            return False
        each = self._commands.answered(number, refused=False)
        if each is not None and not each.answer.done():  # its caller may have been cancelled
            try:
                self._take_answer(each, frame)
            except Exception as error:  # a fault of ours, which ends the session in the task that receives
                self._commands.waiting = {each.sequence: each, **waiting}
                self._fault = error
                return False
        return True

    async def _receive(self, link: LinkProtocol, opened: asyncio.Future[None]) -> None:
        """Handle each message that comes."""
        info, status = self._address.topic("info"), self._address.topic("status")
        async for topic, payload, _ in link.messages():
            if self._fault is not None:
                raise self._fault
            try:
                if topic == info:
                    await self._handle_info(link, payload)
                elif topic == self._stimuli:
                    self._probe.heard(topic, payload)
                elif topic == status:
                    await self._handle_status(link, msgspec.json.decode(payload, type=Status))
                # The embedded broker's library also sends retained messages of other devices.
                elif topic.startswith(self._address.topic("response", "")):
                    await self._handle_frame(link, decode(payload), opened)
            except (FrameError, msgspec.MsgspecError, ValueError) as error:
                self._limited_log.warning("%s: a message on %s cannot be read (%s)", self._address, topic, error)

    async def _handle_info(self, link: LinkProtocol, payload: bytes) -> None:
        try:
            self._info = msgspec.json.decode(payload, type=SubstrateInfo)
        except (msgspec.MsgspecError, ValueError) as error:
            self._unreadable = str(error)
            raise
        self._unreadable = ""
        if self._online and not self._grant:  # a lease is of no use before
            await self._publish_unnumbered(link, Kind.OPEN)

    async def _handle_status(self, link: LinkProtocol, status: Status) -> None:
        if status.state in (STOPPED, IN_FAULT):
            what = f"{self._address} {'was stopped' if status.state == STOPPED else f'is in fault ({status.error})'}"
            raise SubstrateDisconnected(what, "", "see why, then release it")
        self._online = status.state == ONLINE
        if not self._online:
            # Perhaps the late will of an old connection: the device is asked whether it is there.
            if self._offline_since is None:
                self._offline_since = time.monotonic()
            return
        self._offline_since = None
        self._before = status.before
        if self._epoch and status.epoch != self._epoch:
            raise self._restarted()
        if self._info is None:
            return
        if self._link is None or status.holder != f"{self._broker.controller}/{self._session}":
            await self._publish_unnumbered(link, Kind.OPEN)
        else:  # the device may have lost the broker, and what was sent meanwhile
            await self._send_again()

    async def _handle_frame(self, link: LinkProtocol, frame: Frame, opened: asyncio.Future[None]) -> None:
        header = frame.header
        if header.session != self._session:
            return
        if self._offline_since is not None and header.epoch == self._epoch:
            self._offline_since = time.monotonic()  # it is there, whatever its status says
        if header.kind is Kind.OPENED:
            await self._start(link, header, opened)
        elif header.kind is Kind.PART:
            if (late := self._commands.waiting.get(header.sequence)) is not None:  # it is on its way, if slowly
                late.tried = late.counted_from = time.monotonic()
            if (whole := self._parts.add(frame)) is not None and whole.header.kind is not Kind.PART:
                await self._handle_frame(link, whole, opened)
        elif header.kind is Kind.MISSING:
            self._gap = max(self._gap, header.sequence + 1)
            await self._send_again(header.sequence + 1)
        elif header.kind is Kind.REFUSED and header.sequence < 0:
            if not self._grant:
                self._asked = False  # with a grant, it may be an older command that was refused
            error = error_of(header)
            why = error.asked or f"{self._address} ended the session"
            raise SubstrateDisconnected(why, "", error.remedy) if self._grant else error
        else:
            refused = header.kind is Kind.REFUSED
            each = self._commands.answered(header.sequence, refused=refused)
            if each is None:
                return
            if refused:
                self._refused = True
            if each.answer.done():
                return  # its caller was cancelled; it was applied all the same
            if refused:
                each.fail(error_of(header))
            else:
                self._take_answer(each, frame)
            # The device answers in order: the answer to an older one that is still waiting was lost.
            if self._commands.waiting and next(iter(self._commands.waiting)) < header.sequence:
                self._gap = max(self._gap, header.sequence)
                await self._send_again(header.sequence)

    def _take_answer(self, each: PendingCommand, frame: Frame) -> None:
        header = frame.header
        if header.clipped and not self._clipped_was_said:
            self._clipped_was_said = True
            _logger.warning("%s: %d values of a response were clipped", self._address, header.clipped)
        if header.kind is Kind.RESPONSE:
            took = time.monotonic() - each.sent
            self.round_trips.append(took)
            if each.tries == 1 and header.sequence >= self._gap:  # it waited for no other
                self._round_trip += 0.1 * (took - self._round_trip)
        each.answer.give(frame)

    async def _start(self, link: LinkProtocol, header: Header, opened: asyncio.Future[None]) -> None:
        """Begin, or go on after a reconnection: commands that were not answered are sent again."""
        self._asked = False
        if self._grant and header.grant != self._grant:
            # This lease is not wanted: the session that it continues is lost.
            given = Header(kind=Kind.CLOSE, session=self._session, epoch=header.epoch, grant=header.grant)
            await link.publish(self._stimuli, encode(given))
            if header.epoch != self._epoch:
                raise self._restarted()
            raise SubstrateDisconnected(f"the lease on {self._address} ran out and was given anew")
        if not self._grant:
            await link.unsubscribe(self._stimuli)
        self._epoch, self._grant, self._lease, self._link = header.epoch, header.grant, header.lease, link
        self._prompt_link = link if isinstance(link, HandsOver) else None
        window = zip(self._asked_window, (*header.window, *self._asked_window[len(header.window) :]), strict=False)
        count, steps, size = (max(1, min(each)) for each in window)
        self._window = (count, steps, size)
        self._device_takes = header.largest
        if self._away_since is not None:
            self._postpone(time.monotonic() - self._away_since)
            self._away_since = None
            for each in self._commands.waiting.values():  # whatever was sent over the old connection may be lost
                each.tried = float("-inf")
        if self._info is not None:
            settle(opened, None)
        await self._send_again()

    async def _send_again(self, before: float = float("inf")) -> None:
        """Send unanswered commands again, except those sent less than a round trip ago."""
        now = time.monotonic()
        for each in [each for number, each in self._commands.waiting.items() if number < before]:
            if now - each.tried > self._round_trip and not each.sending:
                await self._publish(each)

    def _postpone(self, seconds: float) -> None:
        """Leave a time out of that which the device has taken to answer."""
        for each in self._commands.waiting.values():
            each.counted_from += seconds

    async def _check_clock(self, link: LinkProtocol, opened: asyncio.Future[None]) -> None:
        """Ask for the lease and renew it, send late commands again, and give up after the timeouts."""
        begun = renewed = asked = before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            passed, before = now - before, now
            if (held := passed - _TICK) > _TICK:  # the event loop was busy, and messages were not handled yet
                begun += held
                if self._offline_since is not None:
                    self._offline_since += held
                if self._away_since is not None:
                    self._away_since += held
                self._postpone(held)
                passed -= held
            if (self._link is None or self._offline_since is not None) and now - asked > _ASK_AGAIN:
                asked = now  # the question, or its answer, may have been lost
                if self._link is None:
                    for topic in self._probe.unheard:
                        await link.publish(topic, self._probe.frame)
                if self._info is not None:
                    await self._publish_unnumbered(link, Kind.OPEN)
            if self._link is None:
                if self._away_since is None:
                    if now - begun > self._connect_timeout:
                        raise self._not_there()
                elif now - self._away_since > self._lease:
                    raise SubstrateDisconnected(
                        f"{self._address} has not answered for {now - self._away_since:.0f} s",
                        f"its lease lasts {self._lease:g} s",
                    )
                continue
            if now - renewed > self._lease / 3:
                renewed = now
                await self._publish_unnumbered(link, Kind.RENEW)
            if self._offline_since is not None:
                self._postpone(passed)
                if now - self._offline_since > self._lease:
                    raise SubstrateDisconnected(
                        f"{self._address} has gone offline", f"its lease lasts {self._lease:g} s"
                    )
                continue
            if self._commands.waiting:
                await self._check_answers(now)

    async def _check_answers(self, now: float) -> None:
        oldest = next(iter(self._commands.waiting.values()))
        lasting = sum(each.duration for each in self._commands.waiting.values())
        if oldest.sending:
            return
        if now - oldest.counted_from > self._timeout + lasting:
            raise SubstrateTimeout(
                f"waited {now - oldest.counted_from:.1f} s for {self._address} to answer number {oldest.sequence}",
                f"at most {self._timeout:g} s beyond the {lasting:g} s that the stimuli last",
                "see whether the device still runs",
            )
        if oldest.sequence < self._gap and now - oldest.tried > self._round_trip:
            await self._send_again(self._gap)
        elif now - oldest.tried > max(oldest.patience, 4 * self._round_trip) + lasting:
            oldest.patience = min(2 * oldest.patience, _MOST_RESEND)
            await self._send_again()

    def _not_there(self) -> SubstrateError:
        return not_there(
            self._broker, self._address, self._connect_timeout,
            announced=self._info is not None, unreadable=self._unreadable, online=self._online,
            offline=self._offline_since is not None, denied=self._probe.unheard,
        )  # fmt: skip

    def _restarted(self) -> SubstrateDisconnected:
        return SubstrateDisconnected(f"{self._address} was restarted")

    def _known(self) -> str:
        """Describe which numbers were applied: by the device's journal if it has one about this session."""
        journal, holder = self._before, f"{self._broker.controller}/{self._session}"
        if journal is not None and (journal.epoch, journal.holder) == (self._epoch, holder):
            return "; ".join(part for part in (f"its journal says: {journal.says()}", self._commands.refused()) if part)
        return self._commands.known()

    def _end_session(self, error: SubstrateError) -> None:
        """Fail the commands that wait, and all later ones, with the numbers that were applied."""
        self._broken = with_numbers(error, self._known())
        for each in self._commands.waiting.values():
            each.fail(self._broken)
        self._commands.waiting.clear()


def remote_from_uri(uri: str) -> RemoteSubstrate:
    """Make the substrate that ``mqtt://host:port/group/device?window=8&timeout=30`` or ``unix:///path`` names."""
    of_the_broker = () if names_a_socket(uri) else BROKER_OPTIONS
    options = {name: word for name, word in query_of(uri).items() if name not in of_the_broker}
    scheme = uri.partition("://")[0]
    known = {"window": int, "window_steps": int, "window_bytes": int, "connect_timeout": float, "timeout": float}
    try:
        return RemoteSubstrate(uri, **{name: known[name](word) for name, word in options.items()})
    except KeyError as error:
        raise UnknownSubstrate(
            f"{scheme}:// was given {error.args[0]}", f"it takes {', '.join((*known, *of_the_broker))}"
        ) from None
    except ValueError as error:
        raise UnknownSubstrate(f"{scheme}:// was given {options}: {error}") from None
