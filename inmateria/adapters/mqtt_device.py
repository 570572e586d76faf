"""The device's side of the wire: serves any substrate on a broker, each stimulus applied once and in order.

One controller at a time holds the lease. What it sends is numbered; number n is applied when all before
it were, and its answer is kept in a bounded ring, so that a resend gets the answer again and the matter
is never stimulated twice. After a refusal nothing more is applied until the controller says it knows.

A controller that is silent for longer than its lease, and a stop by anybody, interrupt what is being
applied, drop what waits, and return the substrate to rest. So does a substrate that fails: the device
is then in fault until somebody releases it.
"""

import asyncio
import logging
import random
import time
from collections import deque
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

import msgspec

from inmateria.adapters.complaints import Complaints
from inmateria.adapters.frames import Frame, Header, Kind, decode, encode, stimulus_of
from inmateria.adapters.mqtt_address import Address, Broker
from inmateria.adapters.mqtt_announcements import IN_FAULT, OFFLINE, ONLINE, STOPPED, Event, Status
from inmateria.adapters.mqtt_canary import Canary
from inmateria.adapters.mqtt_link import BrokerRefused, Link, LinkLost, end_tasks, first_to_end, open_link
from inmateria.adapters.mqtt_numbers import Numbers
from inmateria.adapters.mqtt_session import Session
from inmateria.substrate import (
    FrameError,
    StimulusRejected,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

__all__ = ["DeviceServer"]

_logger = logging.getLogger("inmateria")
_QUEUE = 256
_QUEUE_STEPS = 1_000_000
_QUEUE_BYTES = 64_000_000
_EVENTS = 64
_BACKOFF, _MOST_BACKOFF = 0.1, 2.0


class DeviceServer:
    """Serves a substrate as a device on a broker; an async context manager.

    The broker may go and come back: the server connects again, with growing pauses, and goes on where
    it was.

    Parameters
    ----------
    substrate : Substrate
        Entered and left with the server.
    broker : str
        ``mqtt://host:port``; see `Broker.from_uri` for certificates and passwords.
    group, name : str
        The device's address on the broker; the name is the substrate's id by default.
    lease : float
        Seconds after the last word of a controller when its session ends, the substrate returns to rest
        and another may take over. The default is five keepalives of 3 s: a broker that is away for three
        ends no session.
    timeout : float
        Seconds to wait for the broker at the start.
    dtype : {"float64", "float32", "int16"}
        Of the signals that are sent. Integers span each output's range, and what is outside it is clipped
        and counted.
    whole : bool
        Whether the checksum of a response covers its numbers too.

    Raises
    ------
    SubstrateDisconnected
        On entering, where no broker answers, or the broker denies one of the device's topics.
    """

    def __init__(
        self,
        substrate: Substrate,
        broker: str,
        group: str = "lab",
        name: str | None = None,
        *,
        lease: float = 15.0,
        timeout: float = 5.0,
        dtype: Literal["float64", "float32", "int16"] = "float64",
        whole: bool = True,
    ) -> None:
        self._substrate = substrate
        self._broker = Broker.from_uri(broker)
        self._group, self._name = group, name
        self._lease = lease
        self._timeout = timeout
        self._dtype, self._whole = dtype, whole
        self._epoch = uuid4().hex
        self._queue: asyncio.Queue[tuple[Frame, int]] = asyncio.Queue(_QUEUE)
        self._queued_bytes = 0
        self._link: Link | None = None
        self._given, self._changed = asyncio.Event(), asyncio.Event()
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._applier: asyncio.Task[None] | None = None
        self._interrupted = self._resting = False
        self._state, self._error = ONLINE, ""
        self._session = Session()
        self._complaints = Complaints(_logger)
        self._exits = AsyncExitStack()
        self._serving: asyncio.Task[None] | None = None
        self._address = Address(group, name or "")

    @property
    def uri(self) -> str:
        """Where a client finds the device; known once the server was entered."""
        return f"{self._broker}/{self._address}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            self._numbers = Numbers(self._substrate.info, self._dtype, self._whole)
            self._address = Address(self._group, self._name or self._substrate.info.id)
            online: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(self._serve(online), name=f"serving {self._address}")
            self._serving = serving
            exits.push_async_callback(_end, serving)
            await asyncio.wait({online, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def wait_ended(self) -> bool:
        """Wait until serving has failed for good, which it does only by a fault of ours."""
        if self._serving is not None:
            await asyncio.wait({self._serving})
        return True

    async def _serve(self, online: asyncio.Future[None]) -> None:
        await first_to_end(self._apply_in_turn(), self._mind_the_lease(), self._stay_connected(online))

    async def _stay_connected(self, online: asyncio.Future[None]) -> None:
        pause = _BACKOFF
        while True:
            try:
                await self._listen(online)
            except LinkLost as error:
                _logger.warning("%s: lost the broker (%s); connecting again", self._address, error)
                pause = _BACKOFF
            except SubstrateDisconnected as error:
                if not online.done():
                    raise
                level = logging.WARNING if isinstance(error, BrokerRefused) else logging.DEBUG
                _logger.log(level, "%s: %s", self._address, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def _listen(self, online: asyncio.Future[None]) -> None:
        """Connect, say who we are, and take in what is sent until the connection is lost."""
        status = self._address.topic("status")
        gone = msgspec.json.encode(Status(OFFLINE, self._epoch))
        topic = self._address.topic
        async with open_link(self._broker, timeout=self._timeout, will=(status, gone)) as link:
            try:
                canary = Canary()
                await link.subscribe(topic("stop"), topic("release"), topic("stimulus", "+", "+"))
                if not online.done():  # what the broker grants is asked once
                    answers = topic("response", self._broker.controller, canary.name)
                    await link.subscribe(answers)
                    canary.unheard.update((topic("stop"), topic("release"), answers))
                    canary.unheard.add(topic("stimulus", self._broker.controller, canary.name))
                await link.publish(topic("info"), msgspec.json.encode(self._substrate.info), retain=True)
                await first_to_end(self._take_in(link, canary), self._announce(link, canary, online))
            except asyncio.CancelledError:
                # A will speaks only for those who left without a word.
                with suppress(LinkLost, BrokerRefused):
                    await link.publish(status, gone, retain=True)
                raise
            finally:
                self._link = None

    async def _take_in(self, link: Link, canary: Canary) -> None:
        stop, release = self._address.topic("stop"), self._address.topic("release")
        stimuli = self._address.topic("stimulus", "")
        async for topic, payload in link.messages():
            if canary.unheard and canary.heard(topic, payload):
                continue
            if topic == stop:
                self._stop()
            elif topic == release:
                self._release()
            elif topic.startswith(stimuli):  # the embedded broker also sends what is retained, to whoever comes
                _, user, session = topic.rsplit("/", 2)
                await self._take(user, session, payload)

    async def _announce(self, link: Link, canary: Canary, online: asyncio.Future[None]) -> None:
        """Make sure that the broker grants us our topics; then say how we are whenever that changes."""
        if not await canary.sing(link, self._timeout):
            raise BrokerRefused(
                f"{self._broker} denies {self._broker.controller} topics of {self._address}: what was published on "
                f"{', '.join(sorted(canary.unheard))} did not come back within {self._timeout:g} s",
                "a device reads and writes everything below its own address",
                "see examples/mosquitto",
            )
        if not online.done():
            link.unsubscribe(self._address.topic("response", self._broker.controller, canary.name))
        self._link = link
        self._tell("birth")
        while True:
            self._changed.clear()
            session = self._session
            status = Status(
                self._state, self._epoch, session.holder, self._lease if session.holder else 0.0, self._error
            )
            await link.publish(self._address.topic("status"), msgspec.json.encode(status), retain=True)
            if not online.done():
                online.set_result(None)
            while self._events:
                await link.publish(self._address.topic("events"), msgspec.json.encode(self._events.popleft()))
            await self._changed.wait()

    def _tell(self, event: str, holder: str = "", why: str = "") -> None:
        """Have everybody be told what happened, and how the device is now."""
        self._events.append(Event(event, time.time(), self._epoch, holder, why))
        self._changed.set()

    def _stop(self) -> None:
        """Emergency stop: at once, whoever holds the lease, and until somebody releases it."""
        if self._state != STOPPED:
            _logger.warning("%s: stopped", self._address)
            self._state = STOPPED
            self._tell("stopped")
        self._changed.set()
        self._end_session("stopped")

    def _release(self) -> None:
        if self._state != ONLINE:
            self._state, self._error = ONLINE, ""
            self._tell("released")
        self._changed.set()

    def _fail(self, error: Exception) -> SubstrateDisconnected:
        """Be in fault from now on, because the substrate is."""
        self._error = f"{type(error).__name__}: {error}"
        _logger.error("%s: in fault (%s)", self._address, self._error, exc_info=error)
        if self._state == ONLINE:
            self._state = IN_FAULT
        self._tell("fault", why=self._error)
        return SubstrateDisconnected(
            f"{self._address} is in fault ({self._error})", "", "see its log and mend it; then restart or release it"
        )

    def _end_session(self, why: str) -> None:
        """Take the lease away, interrupt what is being applied, and have the substrate return to rest."""
        self._forget_session(why)
        if not self._interrupted and not self._resting and self._applier is not None:
            self._applier.cancel()
        self._interrupted = True

    def _forget_session(self, why: str) -> None:
        if self._session.holder:
            self._tell("lease ended", self._session.holder, why)
        self._queued_bytes -= sum(size for _, size in self._session.early.values())
        self._session = Session()

    async def _mind_the_lease(self) -> None:
        """Be the dead man's switch: end the session of a controller that has been silent for too long."""
        while True:
            await self._given.wait()
            session = self._session
            left = session.until - time.monotonic()
            if not session.holder:
                self._given.clear()
            elif left > 0:
                await asyncio.sleep(left)
            else:
                _logger.warning("%s: session %s was silent for %g s", self._address, session.holder, self._lease)
                self._end_session(f"silent for {self._lease:g} s")

    async def _take(self, user: str, session: str, payload: bytes) -> None:
        """Look at one message: leases are settled at once, all else waits for its turn."""
        try:
            frame = decode(payload)
        except FrameError as error:
            self._complaints.say("%s: %s", self._address, error)
            return
        header, holder = frame.header, f"{user}/{session}"
        if header.kind is Kind.CANARY:
            return
        if header.session != session:
            self._complaints.say("%s: a frame of session %s came as %s", self._address, header.session, session)
        elif header.kind is Kind.OPEN:
            await self._open(holder, session)
        elif holder != self._session.holder:
            await self._refuse_session(holder, session, SubstrateDisconnected(
                f"session {holder} does not hold {self._address}", "its lease has ended or was never given",
                "connect again",
            ))  # fmt: skip
        elif header.grant != self._session.grant:
            # Played back by somebody: no answer, which would end the session of its rightful holder.
            self._complaints.say("%s: a command of session %s carries another grant", self._address, holder)
        elif header.kind is Kind.CLOSE:
            self._forget_session("closed")
        else:
            self._session.until = time.monotonic() + self._lease
            if header.kind in (Kind.STIMULUS, Kind.RESET, Kind.RESUME) and self._has_room(len(payload)):
                # No room: dropped, and sent again when it is missed.
                self._queued_bytes += len(payload)
                self._queue.put_nowait((frame, len(payload)))

    def _has_room(self, size: int) -> bool:
        return self._queue.empty() or (not self._queue.full() and self._queued_bytes + size <= _QUEUE_BYTES)

    async def _open(self, holder: str, session: str) -> None:
        if self._state != ONLINE:
            fault = f"is in fault ({self._error})"
            await self._refuse_session(holder, session, SubstrateDisconnected(
                f"{self._address} {'was stopped' if self._state == STOPPED else fault}",
                "a device that is online", "see why, then release it",
            ))  # fmt: skip
            return
        now = time.monotonic()
        held = self._session
        if held.holder not in ("", holder) and now < held.until:
            await self._refuse_session(holder, session, SubstrateBusy(
                f"{self._address} is held by session {held.holder}",
                f"for another {held.until - now:.0f} s unless it renews", "wait, or ask whoever holds it",
            ))  # fmt: skip
            return
        if held.holder != holder:
            self._forget_session("ran out")
            self._session = Session(holder)
            self._tell("lease given", holder)
        self._session.until = now + self._lease
        self._given.set()
        opened = Header(
            kind=Kind.OPENED, session=session, epoch=self._epoch, sequence=self._session.next, lease=self._lease,
            grant=self._session.grant, window=(_QUEUE, _QUEUE_STEPS, _QUEUE_BYTES),
        )  # fmt: skip
        await self._say(encode(opened), holder)

    async def _apply_in_turn(self) -> None:
        self._applier = asyncio.current_task()
        while True:
            try:
                await self._apply_what_comes()
            except asyncio.CancelledError:
                # Either we are to end, or the session has: then only what is being applied is cancelled.
                if not self._interrupted or self._applier is None or self._applier.uncancel() > 0:
                    raise
            self._resting = True
            try:
                while self._interrupted:
                    self._interrupted = False
                    await self._return_to_rest()
            finally:
                self._resting = False

    async def _return_to_rest(self) -> None:
        """Return to rest where physics allows it; elsewhere nothing more being applied is all there is."""
        if self._substrate.info.resettable:
            try:
                await self._substrate.reset()
            except Exception as error:
                self._fail(error)

    async def _apply_what_comes(self) -> None:
        while not self._interrupted:
            session = self._session
            if session.next in session.early:
                frame, size = session.early.pop(session.next)
            else:
                if session.early:
                    await self._ask_for_missing(session)
                frame, size = await self._queue.get()
                session = self._session
            self._queued_bytes -= size
            header = frame.header
            if header.grant != session.grant:
                continue  # its lease ended while it waited
            if header.sequence < session.next:
                kept = session.answers.get(header.sequence)
                if kept is None:
                    await self._refuse(header, session.holder, SubstrateDisconnected(
                        f"the answer to number {header.sequence} is no longer kept",
                        f"the last {len(session.answers)} are", "connect again: it was applied",
                    ))  # fmt: skip
                else:
                    await self._say(kept, session.holder)
            elif header.sequence > session.next:
                # It waits for its turn, within the bounds of the queue; the lost one is asked for.
                if header.sequence < session.next + _QUEUE and header.sequence not in session.early:
                    self._queued_bytes += size
                    session.early[header.sequence] = (frame, size)
                else:
                    await self._ask_for_missing(session)
            else:
                # Number n counts as dealt with from here on, whatever comes: better an answer lost than
                # a stimulus twice.
                session.next += 1
                answer = await self._answer(frame, session)
                session.keep(header.sequence, answer)
                await self._say(answer, session.holder)

    async def _ask_for_missing(self, session: Session) -> None:
        name = session.holder.rpartition("/")[2]
        missing = Header(kind=Kind.MISSING, session=name, epoch=self._epoch, sequence=session.next)
        await self._say(encode(missing), session.holder)

    async def _answer(self, frame: Frame, session: Session) -> bytes:
        """Do what a frame asks for, and write the answer."""
        header = frame.header
        reply = Header(kind=Kind.DONE, session=header.session, epoch=self._epoch, sequence=header.sequence)
        try:
            if header.kind is Kind.RESUME:
                session.refused = None
            elif session.refused is not None:
                raise StimulusRejected(
                    f"number {header.sequence} was not applied",
                    f"number {session.refused} before it was refused, and nothing is applied after that",
                    "see why that one was refused",
                )
            elif header.kind is Kind.RESET:
                await self._substrate.reset()
            else:
                stimulus = stimulus_of(frame)
                self._substrate.info.admit(stimulus)  # whatever the controller, or the substrate, checks
                self._numbers.admit(stimulus, header.units)
                response = await self._substrate.stimulate(stimulus)
                reply.kind, reply.start, reply.exchange = Kind.RESPONSE, response.start, response.sequence
                return self._numbers.encode(reply, response)
        except Exception as error:
            if session.refused is None:
                session.refused = header.sequence
            if not isinstance(error, SubstrateError) or isinstance(error, SubstrateDisconnected | SubstrateTimeout):
                error = self._fail(error)
                self._forget_session("in fault")
                self._interrupted = True  # so that it returns to rest after this answer
            reply.kind, reply.error = Kind.REFUSED, _words(error)
        return encode(reply)

    async def _refuse_session(self, holder: str, session: str, error: SubstrateError) -> None:
        await self._refuse(Header(kind=Kind.REFUSED, session=session, sequence=-1), holder, error)

    async def _refuse(self, header: Header, holder: str, error: SubstrateError) -> None:
        refusal = Header(
            kind=Kind.REFUSED, session=header.session, epoch=self._epoch, sequence=header.sequence, error=_words(error)
        )
        await self._say(encode(refusal), holder)

    async def _say(self, data: bytes, holder: str) -> None:
        """Publish to a session; what is lost with a connection is asked for again."""
        if self._link is not None:
            try:
                await self._link.publish(self._address.topic("response", holder), data)
            except LinkLost as error:
                _logger.debug("%s: an answer was lost with the connection (%s)", self._address, error)


def _words(error: SubstrateError) -> tuple[str, ...]:
    return (type(error).__name__, error.asked, error.allowed, error.remedy)


async def _end(task: asyncio.Task[None]) -> None:
    await end_tasks(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
