"""Recording of a device on a broker by an observer, which holds no lease and sends nothing.

Stimuli and responses are matched by session and number. An observer reads at QoS 0: messages that it missed are
counted in the recording, by the gaps in the device's own count.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from os import PathLike
from typing import Any

import msgspec

from inmateria.adapters.mqtt.wire.announcements import read_status
from inmateria.adapters.mqtt.wire.device_socket import address_of, place_of
from inmateria.adapters.mqtt.wire.frames import Frame, Kind, decode, response_of, stimulus_of
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, LinkLost
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.adapters.mqtt.wire.parts import PartAssembler
from inmateria.adapters.uri import connect
from inmateria.concurrency import cancel_and_wait
from inmateria.recording import Exchange, KeptSamples, Note, RecordedSubstrate, RecordingError, RecordingWriter
from inmateria.recording.background import BackgroundWriter
from inmateria.recording.format import DROPPED, MARKER, UNANSWERED
from inmateria.substrate import (
    FrameError,
    Response,
    ResponseMismatch,
    Stimulus,
    StimulusRejected,
    SubstrateInfo,
    SubstrateTimeout,
)

__all__ = ["record_device", "record_rest"]

_logger = logging.getLogger("inmateria")
_MOST_PENDING = 1024
_BACKOFF, _MOST_BACKOFF = 0.1, 5.0
_REST_STEPS = 10

RecordingProgress = Callable[[int, float], None]
"""Called with the count of exchanges recorded, and their duration on the device's clock, s."""


async def record_device(
    uri: str,
    path: str | PathLike[str],
    annotations: Mapping[str, Any] | None = None,
    *,
    stop: asyncio.Event,
    on_progress: RecordingProgress | None = None,
    timeout: float = 5.0,
    keep: KeptSamples | None = None,
) -> int:
    """Record the exchanges of a device with its controllers until `stop`; return their count.

    The broker may go and come back meanwhile, which the recording notes.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``, ``unix:///path`` or ``tcp://host:port/group/device``.
    path : path-like
        Recording to make; it must not exist.
    annotations : dict, optional
        Whatever JSON can hold.
    stop : asyncio.Event
    on_progress : callable, optional
    timeout : float
        Seconds to wait for the broker, and for the device to have announced itself.
    keep : KeptSamples, optional
        Samples that are kept, and the precision of the others; all exactly by default.

    Raises
    ------
    SubstrateDisconnected, SubstrateTimeout
        If no broker answers, or no such device has announced itself.
    RecordingError
        If the file cannot be made or written.
    """
    observer = _Observer(uri, path, dict(annotations or {}), on_progress, keep)
    observing = asyncio.create_task(observer.observe(timeout), name=f"observing {uri}")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({observing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if observing.done():
            observing.result()
    finally:
        try:
            await cancel_and_wait(observing, stopping)
        finally:
            await observer.close()
    return observer.exchanges


class _Observer:
    """Reads all messages of a device, and records them."""

    def __init__(
        self,
        uri: str,
        path: str | PathLike[str],
        annotations: dict[str, Any],
        on_progress: RecordingProgress | None,
        keep: KeptSamples | None,
    ) -> None:
        self._keep = keep
        self._broker, self._address = place_of(uri), address_of(uri)
        self._path, self._annotations, self._on_progress = path, annotations, on_progress
        self._writer: BackgroundWriter | None = None
        self._pending: OrderedDict[tuple[str, int], tuple[Stimulus, float, float]] = OrderedDict()
        self._answered: OrderedDict[str, int] = OrderedDict()
        self._parts = PartAssembler()
        self._rest = 0
        self._last: int | None = None
        self._clock = float("nan")
        self._seconds = 0.0
        self._unreadable = ""
        self.exchanges = 0

    async def observe(self, timeout: float) -> None:
        """Listen, and connect again when the broker was lost; ends only by an error."""
        pause = _BACKOFF
        while True:
            try:
                await self._listen(timeout)
            except LinkLost as error:
                if self._writer is None:
                    raise BrokerGone(f"the broker at {self._broker} closed the connection ({error})") from None
                _logger.warning("%s: lost the broker (%s); connecting again", self._address, error)
                self._note(MARKER, "the broker was lost: what passed meanwhile was not heard")
                pause = _BACKOFF
            except BrokerGone:
                if self._writer is None:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def close(self) -> None:
        """Write down what was never answered, and close the file."""
        if self._writer is None:
            return
        with suppress(RecordingError):  # closing says it
            while self._pending:
                self._forget("no answer was heard")
        await self._writer.close()

    async def _listen(self, timeout: float) -> None:
        info, status = self._address.topic("info"), self._address.topic("status")
        async with open_link(self._broker, timeout=timeout) as link:
            await link.subscribe(
                info, status, self._address.topic("stimulus", "+", "+"), self._address.topic("response", "+", "+")
            )
            async with aclosing(link.messages()) as messages:  # type: ignore[type-var]
                try:
                    async with asyncio.timeout(None if self._writer else timeout) as waiting:
                        async for topic, payload, _ in messages:
                            if topic == info:
                                if await self._hear_info(payload):
                                    waiting.reschedule(None)
                            elif topic == status:
                                if (told := read_status(payload)) is not None:
                                    self._note(MARKER, told.state)
                            elif self._writer is not None:
                                await self._hear(topic, payload)
                except TimeoutError:
                    raise SubstrateTimeout(
                        f"waited {timeout:g} s for {self._address} on {self._broker}",
                        f"its info cannot be read ({self._unreadable})"
                        if self._unreadable
                        else "no device of that name has announced itself",
                        "check group and name, what it announces, and whether the broker lets us read that",
                    ) from None

    async def _hear_info(self, payload: bytes) -> bool:
        """Begin to record; tell whether that was an info."""
        try:
            info = msgspec.json.decode(payload, type=SubstrateInfo)
        except (msgspec.MsgspecError, ValueError) as error:
            self._unreadable = str(error)
            return False
        if self._writer is None:
            kept = info if self._keep is None else self._keep.info(info)
            make = partial(RecordingWriter, self._path, kept, self._annotations, keep=self._keep)
            writer = await asyncio.to_thread(make)
            self._kept_info = kept
            self._writer = BackgroundWriter(writer)
            self._info = info
        elif info != self._info:
            raise RecordingError(f"{self._address} is another device now; begin another recording")
        return True

    async def _hear(self, topic: str, payload: bytes) -> None:
        """Look at one frame, of the controller or of the device."""
        try:
            frame = decode(payload)
            if frame.header.kind is Kind.PART:
                whole = self._parts.add(frame, topic)
                if whole is None:
                    return
                frame = whole
            if "/stimulus/" in topic:
                self._hear_controller(frame)
            else:
                await self._hear_device(frame)
        except (FrameError, ResponseMismatch, StimulusRejected, ValueError) as error:
            _logger.warning("%s: a message on %s cannot be read (%s)", self._address, topic, error)

    def _hear_controller(self, frame: Frame) -> None:
        header = frame.header
        key = (header.session, header.sequence)
        if header.kind is Kind.CLOSE:
            self._note(MARKER, f"session {header.session} gave the lease back")
        if header.kind is not Kind.STIMULUS or key in self._pending:
            return
        if header.sequence <= self._answered.get(header.session, -1):
            return  # sent again although it was answered
        self._pending[key] = (stimulus_of(frame, self._info.floats), time.time(), time.perf_counter())
        if len(self._pending) > _MOST_PENDING:
            self._forget("no answer was heard")

    async def _hear_device(self, frame: Frame) -> None:
        header = frame.header
        if header.kind is Kind.OPENED and header.session not in self._answered:
            self._answered[header.session] = header.sequence - 1
            if len(self._answered) > _MOST_PENDING:
                self._answered.popitem(last=False)
            self._note(MARKER, f"session {header.session} took the lease")
        if header.kind not in (Kind.RESPONSE, Kind.REFUSED, Kind.DONE) or header.sequence < 0:
            return
        if header.sequence <= self._answered.get(header.session, -1):
            return  # answered again
        response = response_of(frame, self._info) if header.kind is Kind.RESPONSE else None
        self._answered[header.session] = header.sequence
        sent = self._pending.pop((header.session, header.sequence), None)
        if response is not None:
            await self._record(response, sent)
        elif header.kind is Kind.REFUSED and sent is not None:
            why, told = [*header.error, "", ""][:2]
            self._note(UNANSWERED, why, at=sent[1], **_given(sent[0], told))

    async def _record(self, response: Response, sent: tuple[Stimulus, float, float] | None) -> None:
        """Write an exchange down, and count what was missed before it by the device's own count."""
        if self._last is not None and response.sequence <= self._last:
            self._rest += 1
            self._last = None
        # Not before the first that was heard: what was before that is not this recording's.
        missed = 0 if self._last is None else response.sequence - self._last - 1
        if self._last is None and self._rest:
            missed = response.sequence
        self._last = response.sequence
        if sent is None:
            missed += 1
        if missed:
            details = {"exchanges": missed, "steps": 0, "last_sequence": response.sequence}
            self._note(DROPPED, "the observer did not hear them", **details)
        if sent is None:
            return
        stimulus, at, begun = sent
        if self._keep is not None:
            response = self._keep.response(response, self._kept_info.samples(stimulus.step))
        exchange = Exchange(stimulus, response, self._rest, at, time.perf_counter() - begun)
        self._clock = response.start + stimulus.duration
        assert self._writer is not None
        while not self._writer.put(exchange):
            await self._writer.wait_for_room()
        self.exchanges += 1
        self._seconds += stimulus.duration
        if self._on_progress is not None:
            self._on_progress(self.exchanges, self._seconds)

    def _forget(self, why: str) -> None:
        _, (stimulus, at, _) = self._pending.popitem(last=False)
        self._note(UNANSWERED, why, at=at, **_given(stimulus, ""))

    def _note(self, kind: str, label: str, *, at: float | None = None, **details: Any) -> None:
        if self._writer is not None:
            host = time.time() if at is None else at
            note = Note(kind, label, details, host, self._clock, 0.0, self._rest)
            self._writer.put(note, even_if_full=True)


def _given(stimulus: Stimulus, error: str) -> dict[str, Any]:
    return {"drive": stimulus.drive.tolist(), "step": stimulus.step, "error": error}


async def record_rest(
    uri: str,
    path: str | PathLike[str],
    annotations: Mapping[str, Any] | None = None,
    *,
    stop: asyncio.Event,
    seconds: float = float("inf"),
    on_progress: RecordingProgress | None = None,
    keep: KeptSamples | None = None,
) -> int:
    """Record a substrate whose inputs are kept at rest.

    Ends at `stop`, or after so many seconds on the device's clock; gives the count of exchanges.
    """
    async with RecordedSubstrate(connect(uri), path, annotations, keep=keep) as substrate:
        info = substrate.info
        nothing = info.stimulus(info.rest_drive(_REST_STEPS))
        count = 0
        while count * nothing.duration < seconds * (1 - 1e-9) and not stop.is_set():
            await substrate.stimulate(nothing)
            count += 1
            if on_progress is not None:
                on_progress(substrate.exchanges, count * nothing.duration)
            await asyncio.sleep(0)  # a simulator in process would never let another task set stop
        return substrate.exchanges
