"""Commands of a device: one lease at a time, each command applied once and in order.

Commands are numbered. Number n is applied when all before it were, and its answer is kept in a bounded ring, so that
a command that is sent again gets the same answer and the matter is not stimulated twice. After a refusal nothing more
is applied until the controller has confirmed it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from inmateria.adapters.mqtt.device.interruptible import Interruptible
from inmateria.adapters.mqtt.device.journal import Journal
from inmateria.adapters.mqtt.device.session import Session
from inmateria.adapters.mqtt.device.state import DeviceState
from inmateria.adapters.mqtt.wire.frames import Frame, Header, Kind, decode, encode, unadmitted_stimulus_of
from inmateria.adapters.mqtt.wire.parts import LARGEST_PART
from inmateria.adapters.mqtt.wire.rate_limited_logger import RateLimitedLogger
from inmateria.adapters.mqtt.wire.response_encoder import ResponseEncoder
from inmateria.concurrency import PromptFuture
from inmateria.substrate import (
    FrameError,
    Response,
    ResponseMismatch,
    StimulusRejected,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

__all__ = ["Commands"]

_logger = logging.getLogger("inmateria")
_QUEUE = 256
_QUEUE_STEPS = 1_000_000
_QUEUE_BYTES = 64_000_000
_IN_A_ROW = 64
_APPLIED = frozenset((Kind.STIMULUS, Kind.RESET, Kind.RESUME))


class Commands:
    """Receives commands of the session that holds the lease, and applies them; independent of the broker.

    Parameters
    ----------
    substrate : Substrate
        Entered already.
    encoder : ResponseEncoder
    device_state : DeviceState
        Online, stopped or in fault.
    lease : float
        Seconds without a message of its controller after which a session ends.
    send : callable
        ``await send(frame, holder)`` sends a frame to a session; it may be lost.
    journal : Journal, optional
    send_at_once : callable, optional
        ``send_at_once(frame, holder)`` sends within the call, or returns False, with nothing sent, where `send` is to.
    """

    def __init__(
        self,
        substrate: Substrate,
        encoder: ResponseEncoder,
        device_state: DeviceState,
        lease: float,
        send: Callable[[bytes, str], Awaitable[None]],
        journal: Journal | None = None,
        send_at_once: Callable[[bytes, str], bool] = lambda frame, holder: False,
    ) -> None:
        self._substrate, self._encoder, self._device_state = substrate, encoder, device_state
        self._lease, self._send, self._journal, self._send_at_once = lease, send, journal, send_at_once
        self._floats = substrate.info.floats
        self._queue: deque[tuple[Frame, int]] = deque()
        self._came: PromptFuture[None] | None = None
        self._queued_bytes = 0
        self._given = asyncio.Event()
        self._applying = Interruptible(self._apply_in_turn, self._reset, self._fail)
        self._session = Session()
        self._limited_log = RateLimitedLogger(_logger)

    @property
    def holder(self) -> str:
        """Session that holds the lease, ``user/session``; empty where none does."""
        return self._session.holder

    @property
    def takes(self) -> int:
        """Bytes of a message that the holder takes in one piece; 0 where it knows no parts."""
        return self._session.takes

    def stop(self) -> None:
        """Emergency stop: at once, whichever session holds the lease, and until `release`."""
        self._device_state.stop()
        self._end_session("stopped")

    def release(self) -> None:
        """End a stop or a fault; not while the driver is still busy with a command that was cancelled."""
        if self._applying.unresponsive:
            _logger.warning("%s: not released: its driver still has not ended", self._device_state.name)
            self._device_state.changed.set()
        else:
            self._device_state.release()

    async def apply(self) -> None:
        """Apply one command after another, until cancelled."""
        await self._applying.run()

    async def return_to_rest(self) -> None:
        """Return to rest where physics allows it; for the end of a server that failed."""
        await self._applying.return_to_rest()

    def _end_session(self, why: str) -> None:
        """End the lease, interrupt the stimulus that is being applied, and have the substrate return to rest."""
        self._forget_session(why)
        self._applying.interrupt()

    def _fail(self, error: BaseException) -> SubstrateDisconnected:
        """Be in fault because of an error of the substrate; gives the error for the controller."""
        told = self._device_state.fail(error)
        self._forget_session("in fault")
        return told

    def _forget_session(self, why: str) -> None:
        if self._session.holder:
            self._device_state.announce("lease ended", self._session.holder, why)
        self._queued_bytes -= sum(size for _, size in self._session.early.values())
        self._session = Session()

    async def watch_lease(self) -> None:
        """End the session of a controller that has been silent for longer than its lease, until cancelled."""
        while True:
            await self._given.wait()
            session = self._session
            left = session.until - time.monotonic()
            if not session.holder:
                self._given.clear()
            elif left > 0:
                await asyncio.sleep(left)
            else:
                _logger.warning(
                    "%s: session %s was silent for %g s", self._device_state.name, session.holder, self._lease
                )
                self._end_session(f"silent for {self._lease:g} s")

    async def receive(self, user: str, session: str, payload: bytes) -> None:
        """Handle a message: leases are given and ended at once, other commands are queued."""
        try:
            frame = decode(payload)
        except FrameError as error:
            self._limited_log.warning("%s: %s", self._device_state.name, error)
            return
        header, holder, size = frame.header, f"{user}/{session}", len(payload)
        if header.kind is Kind.PROBE:
            return
        if header.session != session:
            self._limited_log.warning(
                "%s: a frame of session %s came as %s", self._device_state.name, header.session, session
            )
        elif header.kind is Kind.OPEN:
            await self._open(holder, session, header.largest)
        elif holder != self._session.holder:
            await self._refuse_session(holder, session, SubstrateDisconnected(
                f"session {holder} does not hold {self._device_state.name}", "its lease has ended or was never given",
                "connect again",
            ))  # fmt: skip
        elif header.kind is Kind.CLOSE and not header.grant and self._was_not_used():
            self._forget_session("closed")  # by a client that left before it heard of its lease
        elif header.grant != self._session.grant:
            # Played back by a third party. An answer would end the session of the holder.
            self._limited_log.warning(
                "%s: a command of session %s carries another grant", self._device_state.name, holder
            )
        elif header.kind is Kind.CLOSE:
            self._forget_session("closed")
        else:
            self._session.until = time.monotonic() + self._lease
            if header.kind is Kind.PART:
                try:
                    whole = self._session.parts.add(frame)
                except FrameError as error:
                    self._limited_log.warning("%s: %s", self._device_state.name, error)
                    return
                if whole is None:
                    return
                frame, header = whole, whole.header
                size = 0 if whole.array is None else whole.array.nbytes
            if header.kind in _APPLIED:
                self._put(frame, size)

    def _was_not_used(self) -> bool:
        """Return whether no command has come under the grant of this session."""
        grant = self._session.grant
        return self._session.next == 0 and all(frame.header.grant != grant for frame, _ in self._queue)

    def take(self, holder: str, payload: bytes) -> bool:
        """Queue a command of the holder at once; returns False for anything else, which `receive` deals with."""
        session = self._session
        if holder != session.holder:
            return False
        try:
            frame = decode(payload)
        except FrameError:
            return False
        header = frame.header
        if (
            header.grant != session.grant
            or header.session != session.name
            or (header.kind is not Kind.STIMULUS and header.kind not in _APPLIED)
        ):
            return False
        session.until = time.monotonic() + self._lease
        self._put(frame, len(payload))
        return True

    def _put(self, frame: Frame, size: int) -> None:
        """Queue a command; where there is no room it is dropped, and sent again when it is missed."""
        queue = self._queue
        if queue and (len(queue) >= _QUEUE or self._queued_bytes + size > _QUEUE_BYTES):
            return
        self._queued_bytes += size
        queue.append((frame, size))
        if self._came is not None and not self._came.done():
            self._came.give(None)

    async def _open(self, holder: str, session: str, takes: int) -> None:
        if not self._device_state.online:
            await self._refuse_session(holder, session, self._device_state.refusal())
            return
        now = time.monotonic()
        held = self._session
        if held.holder not in ("", holder) and now < held.until:
            await self._refuse_session(holder, session, SubstrateBusy(
                f"{self._device_state.name} is held by session {held.holder}",
                f"for another {held.until - now:.0f} s unless it renews", "wait, or ask that session to close",
            ))  # fmt: skip
            return
        if held.holder != holder:
            self._forget_session("ran out")
            self._session = Session(holder)
            if self._journal is not None:
                self._journal.session(self._device_state.epoch, holder)
            self._device_state.announce("lease given", holder)
        self._session.until, self._session.takes = now + self._lease, takes
        self._given.set()
        opened = Header(
            kind=Kind.OPENED, session=session, epoch=self._device_state.epoch, sequence=self._session.next,
            lease=self._lease, grant=self._session.grant, window=(_QUEUE, _QUEUE_STEPS, _QUEUE_BYTES),
            largest=LARGEST_PART,
        )  # fmt: skip
        await self._send(encode(opened), holder)

    async def _reset(self) -> None:
        if self._substrate.info.resettable:
            await self._substrate.reset()

    async def _apply_in_turn(self) -> None:
        in_a_row = 0
        while not self._applying.requested:
            in_a_row += 1
            if in_a_row >= _IN_A_ROW:  # many that came at once must not delay a stop
                in_a_row = 0
                await asyncio.sleep(0)
            session = self._session
            if session.early and session.next in session.early:
                frame, size = session.early.pop(session.next)
            else:
                if session.early:
                    await self._ask_for_missing(session)
                while not self._queue:
                    self._came = PromptFuture()
                    await self._came
                frame, size = self._queue.popleft()
                session = self._session
            self._queued_bytes -= size
            header = frame.header
            if header.grant != session.grant:
                continue  # its lease ended while it waited
            number = header.sequence
            if number < session.next:
                kept = session.answer(number)
                if kept is None:
                    await self._refuse(header, session.holder, SubstrateDisconnected(
                        f"the answer to number {number} is no longer kept",
                        f"the last {len(session.answers)} are", "connect again: it was applied",
                    ))  # fmt: skip
                else:
                    await self._send(kept, session.holder)
            elif number > session.next:
                # It waits for its turn, within the bounds of the queue; the lost one is asked for.
                if number < session.next + _QUEUE and number not in session.early:
                    self._queued_bytes += size
                    session.early[number] = (frame, size)
                else:
                    await self._ask_for_missing(session)
            else:
                # Number n counts as dealt with from here on, whatever happens: an answer may be lost, but no
                # stimulus is applied twice.
                session.next = number + 1
                journal = self._journal  # a note of it before and after, where one is kept
                if journal is not None:
                    journal.begin(number)
                answer = await self._answer(frame, session)
                if journal is not None and session is self._session:  # not interrupted, and the substrate did not fail
                    journal.end(number, session.refused)
                if answer is not None:
                    session.keep(answer)
                    if not self._send_at_once(answer, session.holder):
                        await self._send(answer, session.holder)

    async def _ask_for_missing(self, session: Session) -> None:
        name = session.holder.rpartition("/")[2]
        missing = Header(kind=Kind.MISSING, session=name, epoch=self._device_state.epoch, sequence=session.next)
        await self._send(encode(missing), session.holder)

    async def _answer(self, frame: Frame, session: Session) -> bytes | None:
        """Apply a command and encode the answer; None where its session was ended meanwhile."""
        header = frame.header
        try:
            if header.kind is Kind.STIMULUS and session.refused is None:
                stimulus = unadmitted_stimulus_of(frame, self._floats)
                self._encoder.admit(stimulus, header.units)
                response = await self._substrate.stimulate(stimulus)  # which checks it against the limits
                answer = self._encoder.encode(self._reply(Kind.RESPONSE, header, response), response)
            else:
                await self._do(header, session)
                answer = encode(self._reply(Kind.DONE, header))
            # A driver may answer a cancellation with a response; its session is over all the same.
            return answer if session is self._session else None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # of a driver, SystemExit too: passed on, it would end the event loop
            interrupted = session is not self._session
            if session.refused is None:
                session.refused = header.sequence
            if _is_fault(error):
                error = self._fail(error)
                self._applying.request_rest()  # after this answer
            reply = self._reply(Kind.REFUSED, header)
            reply.error = _error_fields(error)
            return None if interrupted else encode(reply)

    def _reply(self, kind: Kind, header: Header, response: Response | None = None) -> Header:
        """Return the header of the answer to a command."""
        if response is None:
            return Header(kind=kind, session=header.session, epoch=self._device_state.epoch, sequence=header.sequence)
        return Header(
            kind=kind, session=header.session, epoch=self._device_state.epoch, sequence=header.sequence,
            start=response.start, exchange=response.sequence,
        )  # fmt: skip

    async def _do(self, header: Header, session: Session) -> None:
        """Do what is no stimulus, or raise the error of what comes after a refusal."""
        if header.kind is Kind.RESUME:
            session.refused = None
        elif session.refused is not None:
            raise StimulusRejected(
                f"number {header.sequence} was not applied",
                f"number {session.refused} before it was refused, and nothing is applied after that",
                "see why that one was refused",
            )
        else:
            await self._substrate.reset()

    async def _refuse_session(self, holder: str, session: str, error: SubstrateError) -> None:
        await self._refuse(Header(kind=Kind.REFUSED, session=session, sequence=-1), holder, error)

    async def _refuse(self, header: Header, holder: str, error: SubstrateError) -> None:
        refusal = Header(
            kind=Kind.REFUSED,
            session=header.session,
            epoch=self._device_state.epoch,
            sequence=header.sequence,
            error=_error_fields(error),
        )
        await self._send(encode(refusal), holder)


def _is_fault(error: BaseException) -> bool:
    """Return whether an error means that the substrate is broken, rather than that a command cannot be applied."""
    return not isinstance(error, SubstrateError) or isinstance(
        error, SubstrateDisconnected | SubstrateTimeout | ResponseMismatch
    )


def _error_fields(error: BaseException) -> tuple[str, ...]:
    """Return class, what was asked, what is allowed and what to do, as they stand in a frame."""
    if isinstance(error, SubstrateError):
        return (type(error).__name__, error.asked, error.allowed, error.remedy)
    return (SubstrateError.__name__, repr(error), "", "")
