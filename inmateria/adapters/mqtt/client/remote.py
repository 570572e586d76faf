"""The client's side of the wire: a device behind a broker as a substrate like any other.

Everything sent is numbered and kept until it is answered. What goes unanswered is sent again, and the
device answers a number it has dealt with from memory, so nothing is applied twice.
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

from inmateria.adapters.mqtt.client.errors import error_of, lost, not_there
from inmateria.adapters.mqtt.client.in_flight import FlowWindow, PendingCommand
from inmateria.adapters.mqtt.device.response_encoder import response_bytes
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe
from inmateria.adapters.mqtt.wire.address import BROKER_OPTIONS, Address, Broker
from inmateria.adapters.mqtt.wire.announcements import IN_FAULT, ONLINE, STOPPED, PreviousSession, Status
from inmateria.adapters.mqtt.wire.frames import Frame, Header, Kind, decode, encode, response_of
from inmateria.adapters.mqtt.wire.link import BrokerGone, Link, LinkLost, open_link
from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger
from inmateria.adapters.uri import query_of
from inmateria.concurrency import cancel_and_wait, wait_for_first
from inmateria.substrate import (
    FrameError,
    Response,
    Stimulus,
    Substrate,
    SubstrateBusy,
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
    """A device behind an MQTT broker.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``; see `Broker.from_uri` for certificates and passwords.
    window, window_steps, window_bytes : int
        Stimuli, steps, and bytes of stimuli and their responses together that are in flight at most, one
        stimulus always being allowed; a slow consumer slows the producer. The device may allow fewer.
    connect_timeout : float
        Seconds to wait for the broker, and then for the device.
    timeout : float
        Seconds without an answer, beyond what the stimuli in flight last, after which to give up.

    Attributes
    ----------
    round_trips : deque of float
        Seconds between sending and answer of the last 10,000 exchanges.

    Raises
    ------
    SubstrateDisconnected, SubstrateTimeout, SubstrateBusy
        On entering, where the broker or the device is not there, or another controller holds it.
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
    ) -> None:
        if min(window, window_steps, window_bytes) < 1 or not connect_timeout > 0 or not timeout > 0:
            raise ValueError(
                f"window {window}, window_steps {window_steps}, window_bytes {window_bytes}, "
                f"connect_timeout {connect_timeout}, timeout {timeout}: all must be more than 0"
            )
        self._broker = Broker.from_uri(uri)
        self._address = Address.from_uri(uri)
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
        self._probe = AccessProbe()
        self._clipped_was_said = False
        self._round_trip = _TICK
        self._gap = -1
        self._link: Link | None = None
        self._info = None
        self._epoch = ""
        self._grant = ""
        self._lease = 0.0
        self._sequence = 0
        self._waiting: dict[int, PendingCommand] = {}
        self._refused = False
        self._broken: SubstrateError | None = None
        self._offline_since: float | None = None
        self._before: PreviousSession | None = None

    async def __aenter__(self) -> Self:
        self._begin()
        async with AsyncExitStack() as exits:
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            talking = asyncio.create_task(self._talk(opened), name=f"talking to {self._address}")
            exits.push_async_callback(cancel_and_wait, talking)
            await asyncio.wait({opened, talking}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                talking.result()
            opened.result()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broken = SubstrateDisconnected(f"{self._address} was left", "", "use it inside `async with`")
        await self._exits.__aexit__(kind, error, trace)

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus on the device and return the response."""
        await self._resume()
        return response_of(await (await self._send(Kind.STIMULUS, stimulus)).answer)

    async def reset(self) -> None:
        """Return the device to rest, after everything that was sent before."""
        await self._resume()
        await (await self._send(Kind.RESET)).answer

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli with several in flight, and yield their responses in order.

        Whoever leaves early, or whose source of stimuli fails, may have had up to a window of stimuli
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
                yield response_of(await each.answer)
                room.give_back()
            await producing
        finally:
            await cancel_and_wait(producing)

    async def _resume(self) -> None:
        """Tell the device that a refusal was seen, so that it applies again."""
        if self._refused:
            self._refused = False
            await (await self._send(Kind.RESUME)).answer

    async def _send(self, kind: Kind, stimulus: Stimulus | None = None) -> PendingCommand:
        """Give the next number to a command and send it; its answer comes in time."""
        if self._broken is not None:
            raise self._broken
        header = Header(kind=kind, session=self._session, epoch=self._epoch, sequence=self._sequence, grant=self._grant)
        if stimulus is None:
            data = encode(header)
        else:
            header.step = stimulus.step
            data = encode(header, stimulus.drive)
        each = PendingCommand(self._sequence, data, 0.0 if stimulus is None else stimulus.duration)
        self._sequence += 1
        self._waiting[each.sequence] = each
        await self._publish(each)
        return each

    async def _publish(self, each: PendingCommand) -> None:
        """Send, or leave it to the next connection to send again."""
        each.tried, each.tries = time.monotonic(), each.tries + 1
        if self._link is not None:
            with suppress(LinkLost):
                await self._link.publish(self._stimuli, each.data)

    async def _say(self, link: Link, kind: Kind) -> None:
        word = encode(Header(kind=kind, session=self._session, epoch=self._epoch, grant=self._grant))
        await link.publish(self._stimuli, word)

    async def _talk(self, opened: asyncio.Future[None]) -> None:
        """Hold the connection, and make it again when it breaks, until cancelled."""
        pause, lost = _BACKOFF, time.monotonic()
        while True:
            try:
                await self._listen(opened)
            except LinkLost as error:
                if not opened.done():
                    raise SubstrateDisconnected(
                        f"the broker at {self._broker} closed the connection ({error})", "", "see the broker's log"
                    ) from None
                lost, pause = time.monotonic(), _BACKOFF
            except SubstrateError as error:
                if not opened.done():
                    raise
                if not isinstance(error, BrokerGone):
                    self._break(error)
                    return
                if time.monotonic() - lost > self._timeout:
                    gone = f"the broker at {self._broker} has been gone for {time.monotonic() - lost:.0f} s"
                    self._break(self._lost(gone))
                    return
            except Exception as error:  # a fault of ours: nobody may be left waiting for an answer
                self._break(SubstrateError(f"the client of {self._address} failed ({error!r})", "", "connect again"))
                raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def _listen(self, opened: asyncio.Future[None]) -> None:
        """Connect, ask for the lease, then take in answers until the connection is lost."""
        async with open_link(self._broker, timeout=self._connect_timeout) as link:
            await link.subscribe(
                self._address.topic("info"),
                self._address.topic("status"),
                self._address.topic("response", self._broker.controller, self._session),
                *([] if self._grant else [self._stimuli]),
            )
            try:
                if not self._grant:
                    self._probe.unheard.add(self._stimuli)
                    await link.publish(self._stimuli, self._probe.frame)
                await wait_for_first(self._take_in(link, opened), self._watch(link, opened))
            finally:
                self._link = None
                if self._epoch and not isinstance(self._broken, SubstrateBusy):
                    with suppress(LinkLost):
                        await self._say(link, Kind.CLOSE)

    async def _take_in(self, link: Link, opened: asyncio.Future[None]) -> None:
        """Look at every message that comes."""
        info, status = self._address.topic("info"), self._address.topic("status")
        async for topic, payload in link.messages():
            try:
                if topic == info:
                    self._info = msgspec.json.decode(payload, type=SubstrateInfo)
                elif topic == self._stimuli:
                    self._probe.heard(topic, payload)
                elif topic == status:
                    await self._hear_status(link, msgspec.json.decode(payload, type=Status))
                # The embedded broker's library also sends what other devices on it have retained.
                elif topic.startswith(self._address.topic("response", "")):
                    await self._hear(link, decode(payload), opened)
            except (FrameError, msgspec.MsgspecError, ValueError) as error:
                self._limited_log.warning("%s: a message on %s cannot be read (%s)", self._address, topic, error)

    async def _hear_status(self, link: Link, status: Status) -> None:
        if status.state in (STOPPED, IN_FAULT):
            what = f"{self._address} {'was stopped' if status.state == STOPPED else f'is in fault ({status.error})'}"
            raise self._lost(what) if self._grant else SubstrateDisconnected(what, "", "see why, then release it")
        if status.state != ONLINE:
            self._offline_since = time.monotonic()
            return
        self._offline_since = None
        self._before = status.before
        if self._epoch and status.epoch != self._epoch:
            raise self._restarted()
        if self._link is None or status.holder != f"{self._broker.controller}/{self._session}":
            await self._say(link, Kind.OPEN)
        else:  # the device may have lost the broker, and what was sent meanwhile
            await self._send_again()

    async def _hear(self, link: Link, frame: Frame, opened: asyncio.Future[None]) -> None:
        header = frame.header
        if header.session != self._session:
            return
        if header.kind is Kind.OPENED:
            await self._start(link, header, opened)
        elif header.kind is Kind.MISSING:
            self._gap = max(self._gap, header.sequence + 1)
            await self._send_again(header.sequence + 1)
        elif header.kind is Kind.REFUSED and header.sequence < 0:
            error = error_of(header)
            raise self._lost(error.asked) if self._grant else error
        elif (each := self._waiting.pop(header.sequence, None)) is not None:
            if header.kind is Kind.REFUSED:
                self._refused = True
            if each.answer.done():
                return  # whoever asked was cancelled; it was dealt with all the same
            if header.kind is Kind.REFUSED:
                each.answer.set_exception(error_of(header))
            else:
                if header.clipped and not self._clipped_was_said:
                    self._clipped_was_said = True
                    _logger.warning("%s: %d values of a response were clipped", self._address, header.clipped)
                if header.kind is Kind.RESPONSE:
                    took = time.monotonic() - each.sent
                    self.round_trips.append(took)
                    if each.tries == 1 and header.sequence >= self._gap:  # it waited for no other
                        self._round_trip += 0.1 * (took - self._round_trip)
                each.answer.set_result(frame)
            # The device answers in order: an older one that is missing now was lost on the way.
            if self._waiting and next(iter(self._waiting)) < header.sequence:
                self._gap = max(self._gap, header.sequence)
                await self._send_again(header.sequence)

    async def _start(self, link: Link, header: Header, opened: asyncio.Future[None]) -> None:
        """Begin, or go on after a reconnection: whatever was not answered is sent again."""
        if self._epoch and header.epoch != self._epoch:
            raise self._restarted()
        if self._grant and header.grant != self._grant:
            raise self._lost(f"the lease on {self._address} ran out and was given anew")
        if not self._grant:
            link.unsubscribe(self._stimuli)
        self._epoch, self._grant, self._lease, self._link = header.epoch, header.grant, header.lease, link
        window = zip(self._asked_window, (*header.window, *self._asked_window[len(header.window) :]), strict=False)
        count, steps, size = (max(1, min(each)) for each in window)
        self._window = (count, steps, size)
        if not opened.done() and self._info is not None:
            opened.set_result(None)
        await self._send_again()

    async def _send_again(self, before: float = float("inf")) -> None:
        """Send what is unanswered, unless it was sent less than a round trip ago and may still be answered."""
        now = time.monotonic()
        for each in [each for number, each in self._waiting.items() if number < before]:
            if now - each.tried > self._round_trip:
                await self._publish(each)

    async def _watch(self, link: Link, opened: asyncio.Future[None]) -> None:
        """Mind the clock: opening, the lease, resends, and giving up."""
        begun = renewed = asked = before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            held, before = now - before - _TICK, now
            if held > _TICK:  # the event loop was kept busy, and what came meanwhile was not looked at yet
                begun += held
                if self._offline_since is not None:
                    self._offline_since += held
                for each in self._waiting.values():
                    each.counted_from += held
            if self._link is None:
                if now - begun > self._connect_timeout:
                    raise self._not_there()
                if now - asked > _ASK_AGAIN:  # the question, or its answer, may have been lost
                    asked = now
                    for topic in self._probe.unheard:
                        await link.publish(topic, self._probe.frame)
                    await self._say(link, Kind.OPEN)
                continue
            if now - renewed > self._lease / 3:
                renewed = now
                await self._say(link, Kind.RENEW)
            if self._offline_since is not None and now - self._offline_since > self._connect_timeout:
                raise self._lost(f"{self._address} has gone offline")
            if not self._waiting:
                continue
            oldest = next(iter(self._waiting.values()))
            lasting = sum(each.duration for each in self._waiting.values())
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
            announced=self._info is not None, offline=self._offline_since is not None, denied=self._probe.unheard,
        )  # fmt: skip

    def _restarted(self) -> SubstrateDisconnected:
        """Say what the device's journal knows, or else what we know."""
        what, journal = f"{self._address} was restarted", self._before
        holder = f"{self._broker.controller}/{self._session}"
        if journal is None or (journal.epoch, journal.holder) != (self._epoch, holder):
            return self._lost(what)
        return SubstrateDisconnected(
            what, f"its journal says: {journal.says()}", "connect again; nothing is sent again"
        )

    def _lost(self, what: str) -> SubstrateDisconnected:
        return lost(what, min(self._waiting, default=self._sequence), self._sequence)

    def _break(self, error: SubstrateError) -> None:
        """Fail whatever waits, and whatever will be asked."""
        self._broken = error
        for each in self._waiting.values():
            if not each.answer.done():
                each.answer.set_exception(error)
        self._waiting.clear()


def remote_from_uri(uri: str) -> RemoteSubstrate:
    """Make the substrate that ``mqtt://host:port/group/device?window=8&timeout=30`` names."""
    options = {name: word for name, word in query_of(uri).items() if name not in BROKER_OPTIONS}
    known = {"window": int, "window_steps": int, "window_bytes": int, "connect_timeout": float, "timeout": float}
    try:
        return RemoteSubstrate(uri, **{name: known[name](word) for name, word in options.items()})
    except KeyError as error:
        raise UnknownSubstrate(
            f"mqtt:// was given {error.args[0]}", f"it takes {', '.join((*known, *BROKER_OPTIONS))}"
        ) from None
    except ValueError as error:
        raise UnknownSubstrate(f"mqtt:// was given {options}: {error}") from None
