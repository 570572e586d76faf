"""The device's side of the wire: serves any substrate on a broker, each stimulus applied once and in order.

One controller at a time holds the lease. What it sends is numbered; number n is applied when all before
it were, and its answer is kept in a bounded ring, so that a resend gets the answer again and the matter
is never stimulated twice. After a refusal nothing more is applied until the controller says it knows.

A controller that is silent for longer than its lease, and a stop by anybody, interrupt what is being
applied, drop what waits, and return the substrate to rest.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec

from inmateria.adapters.frames import Frame, Header, Kind, decode, encode, stimulus_of
from inmateria.adapters.mqtt_link import Address, Broker, Link, LinkLost, end_tasks, first_to_end, open_link
from inmateria.substrate import (
    FrameError,
    StimulusRejected,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
)

__all__ = ["DeviceServer", "Status"]

_logger = logging.getLogger("inmateria")
_RING = 256
_RING_BYTES = 64_000_000
_QUEUE = 256
_QUEUE_BYTES = 64_000_000
_BACKOFF, _MOST_BACKOFF = 0.1, 5.0


class Status(msgspec.Struct, frozen=True):
    """The retained word of a device on how it is."""

    state: str
    epoch: str


class DeviceServer:
    """Serves a substrate as a device on a broker; an async context manager.

    The broker may go and come back: the server connects again, with growing pauses, and goes on where
    it was.

    Parameters
    ----------
    substrate : Substrate
        Entered and left with the server.
    broker : str
        ``mqtt://host:port``.
    group, name : str
        The device's address on the broker; the name is the substrate's id by default.
    lease : float
        Seconds after the last word of a controller when its session ends, the substrate returns to rest
        and another may take over.
    timeout : float
        Seconds to wait for the broker at the start.

    Raises
    ------
    SubstrateDisconnected
        On entering, where no broker answers.
    """

    def __init__(
        self,
        substrate: Substrate,
        broker: str,
        group: str = "lab",
        name: str | None = None,
        *,
        lease: float = 10.0,
        timeout: float = 5.0,
    ) -> None:
        self._substrate = substrate
        self._broker = Broker.from_uri(broker)
        self._group, self._name = group, name
        self._lease = lease
        self._timeout = timeout
        self._epoch = uuid4().hex
        self._queue: asyncio.Queue[tuple[Frame, int]] = asyncio.Queue(_QUEUE)
        self._queued_bytes = 0
        self._link: Link | None = None
        self._given = asyncio.Event()
        self._applier: asyncio.Task[None] | None = None
        self._interrupted = self._resting = self._stopped = False
        self._session = _Session("", 0.0)
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
                _logger.debug("%s: %s", self._address, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def _listen(self, online: asyncio.Future[None]) -> None:
        """Connect, say who we are, and take in what is sent until the connection is lost."""
        status = self._address.topic("status")
        gone = msgspec.json.encode(Status("offline", self._epoch))
        async with open_link(self._broker, timeout=self._timeout, will=(status, gone)) as link:
            self._link = link
            try:
                stop, release = self._address.topic("stop"), self._address.topic("release")
                await link.subscribe(stop, release, self._address.topic("stimulus", "+"))
                await link.publish(self._address.topic("info"), msgspec.json.encode(self._substrate.info), retain=True)
                await self._publish_status(link)
                if not online.done():
                    online.set_result(None)
                async for topic, payload in link.messages():
                    if topic == stop:
                        await self._stop(link)
                    elif topic == release:
                        self._stopped = False
                        await self._publish_status(link)
                    # The embedded broker's library also sends what other devices on it have retained.
                    elif topic.startswith(self._address.topic("stimulus", "")):
                        await self._take(topic.rpartition("/")[2], payload)
            except asyncio.CancelledError:
                # A will speaks only for those who left without a word.
                with suppress(LinkLost):
                    await link.publish(status, gone, retain=True)
                raise
            finally:
                self._link = None

    async def _publish_status(self, link: Link) -> None:
        status = Status("stopped" if self._stopped else "online", self._epoch)
        await link.publish(self._address.topic("status"), msgspec.json.encode(status), retain=True)

    async def _stop(self, link: Link) -> None:
        """Emergency stop: at once, whoever holds the lease, and until somebody releases it."""
        _logger.warning("%s: stopped", self._address)
        self._stopped = True
        self._end_session()
        await self._publish_status(link)

    def _end_session(self) -> None:
        """Take the lease away, interrupt what is being applied, and have the substrate return to rest."""
        self._session = _Session("", 0.0)
        if not self._interrupted and not self._resting and self._applier is not None:
            self._applier.cancel()
        self._interrupted = True

    async def _mind_the_lease(self) -> None:
        """Be the dead man's switch: end the session of a controller that has been silent for too long."""
        while True:
            await self._given.wait()
            session = self._session
            left = session.until - time.monotonic()
            if not session.name:
                self._given.clear()
            elif left > 0:
                await asyncio.sleep(left)
            else:
                _logger.warning("%s: session %s was silent for %g s", self._address, session.name, self._lease)
                self._end_session()

    async def _take(self, session: str, payload: bytes) -> None:
        """Look at one message: leases are settled at once, all else waits for its turn."""
        try:
            frame = decode(payload)
        except FrameError as error:
            _logger.warning("%s: %s", self._address, error)
            return
        header = frame.header
        if header.session != session:
            _logger.warning("%s: a frame of session %s came as %s", self._address, header.session, session)
        elif header.kind is Kind.OPEN:
            await self._open(session)
        elif session != self._session.name:
            await self._refuse_session(session, SubstrateDisconnected(
                f"session {session} does not hold {self._address}", "its lease has ended or was never given",
                "connect again",
            ))  # fmt: skip
        elif header.grant != self._session.grant:
            # Played back by somebody: no answer, which would end the session of its rightful holder.
            _logger.warning("%s: a command of session %s carries another grant", self._address, session)
        elif header.kind is Kind.CLOSE:
            self._session = _Session("", 0.0)
        else:
            self._session.until = time.monotonic() + self._lease
            if header.kind in (Kind.STIMULUS, Kind.RESET, Kind.RESUME) and self._has_room(len(payload)):
                # No room: dropped, and sent again when it is missed.
                self._queued_bytes += len(payload)
                self._queue.put_nowait((frame, len(payload)))

    def _has_room(self, size: int) -> bool:
        return self._queue.empty() or (not self._queue.full() and self._queued_bytes + size <= _QUEUE_BYTES)

    async def _open(self, session: str) -> None:
        if self._stopped:
            await self._refuse_session(session, SubstrateDisconnected(
                f"{self._address} was stopped", "a device that nobody has stopped", "see why, then release it",
            ))  # fmt: skip
            return
        now = time.monotonic()
        held = self._session
        if held.name not in ("", session) and now < held.until:
            await self._refuse_session(session, SubstrateBusy(
                f"{self._address} is held by session {held.name}",
                f"for another {held.until - now:.0f} s unless it renews", "wait, or ask whoever holds it",
            ))  # fmt: skip
            return
        if held.name != session:
            self._session = _Session(session, 0.0)
        self._session.until = now + self._lease
        self._given.set()
        opened = Header(
            kind=Kind.OPENED, session=session, epoch=self._epoch, sequence=self._session.next, lease=self._lease,
            grant=self._session.grant,
        )  # fmt: skip
        await self._say(encode(opened), session)

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
            except SubstrateError as error:
                _logger.error("%s: did not return to rest (%s)", self._address, error)

    async def _apply_what_comes(self) -> None:
        while not self._interrupted:
            frame, size = await self._queue.get()
            self._queued_bytes -= size
            session = self._session
            header = frame.header
            if header.grant != session.grant:
                continue  # its lease ended while it waited
            if header.sequence < session.next:
                kept = session.answers.get(header.sequence)
                if kept is None:
                    await self._refuse(header, SubstrateDisconnected(
                        f"the answer to number {header.sequence} is no longer kept",
                        f"the last {len(session.answers)} are", "connect again: it was applied",
                    ))  # fmt: skip
                else:
                    await self._say(kept, session.name)
            elif header.sequence > session.next:
                missing = Header(kind=Kind.MISSING, session=session.name, epoch=self._epoch, sequence=session.next)
                await self._say(encode(missing), session.name)
            else:
                # Number n counts as dealt with from here on, whatever comes: better an answer lost than
                # a stimulus twice.
                session.next += 1
                answer = await self._answer(frame, session)
                session.keep(header.sequence, answer)
                await self._say(answer, session.name)

    async def _answer(self, frame: Frame, session: "_Session") -> bytes:
        """Do what a frame asks for, and write the answer."""
        header = frame.header
        reply = Header(kind=Kind.DONE, session=session.name, epoch=self._epoch, sequence=header.sequence)
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
                response = await self._substrate.stimulate(stimulus)
                reply.kind, reply.start, reply.exchange = Kind.RESPONSE, response.start, response.sequence
                return encode(reply, response.signal, response.spikes)
        except (SubstrateError, ValueError) as error:
            if session.refused is None:
                session.refused = header.sequence
            reply.kind, reply.error = Kind.REFUSED, _words(error)
        return encode(reply)

    async def _refuse_session(self, session: str, error: SubstrateError) -> None:
        await self._refuse(Header(kind=Kind.REFUSED, session=session, sequence=-1), error)

    async def _refuse(self, header: Header, error: SubstrateError) -> None:
        refusal = Header(
            kind=Kind.REFUSED, session=header.session, epoch=self._epoch, sequence=header.sequence, error=_words(error)
        )
        await self._say(encode(refusal), header.session)

    async def _say(self, data: bytes, session: str) -> None:
        """Publish to a session; what is lost with a connection is asked for again."""
        if self._link is not None:
            try:
                await self._link.publish(self._address.topic("response", session), data)
            except LinkLost as error:
                _logger.debug("%s: an answer was lost with the connection (%s)", self._address, error)


class _Session:
    """Who holds the device, until when, and what was answered."""

    def __init__(self, name: str, until: float) -> None:
        self.name = name
        self.until = until
        self.grant = uuid4().hex
        self.next = 0
        self.refused: int | None = None
        self.answers: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def keep(self, sequence: int, answer: bytes) -> None:
        """Keep an answer for a resend, and let the oldest go where there are too many."""
        self.answers[sequence] = answer
        self._bytes += len(answer)
        while len(self.answers) > 1 and (len(self.answers) > _RING or self._bytes > _RING_BYTES):
            _, oldest = self.answers.popitem(last=False)
            self._bytes -= len(oldest)


def _words(error: Exception) -> tuple[str, ...]:
    if isinstance(error, SubstrateError):
        return (type(error).__name__, error.asked, error.allowed, error.remedy)
    return ("SubstrateError", str(error), "", "")


async def _end(task: asyncio.Task[None]) -> None:
    await end_tasks(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
