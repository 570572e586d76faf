"""A substrate whose exchanges are all recorded as they happen."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, runtime_checkable

from inmateria.recording.background import BackgroundWriter
from inmateria.recording.format import DROPPED, MARKER, PARAMETERS, UNANSWERED, Exchange, Note, RecordingError, text_of
from inmateria.recording.kept import KeptSamples
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import Response, Stimulus, StimulusRejected, Substrate, SubstrateError, SubstrateInfo


@runtime_checkable
class NotingSubstrate(Protocol):
    """A substrate that notes by itself what happens: gaps in its data, markers, measurements of its clock."""

    def take_notes(self, *, ending: bool = False) -> list[Note]:
        """Return the notes since the last call; the last ones if the recording is ending."""


class RecordedSubstrate(Substrate):
    """A substrate that records every exchange as it happens.

    A thread writes the exchanges in a queue ten times a second. The queue is full if it holds 64 MB or 8,192 exchanges,
    or if its oldest exchange has waited for half a second.

    Parameters
    ----------
    substrate : Substrate
        Substrate to record; entered and left together with this one.
    path : path-like
        File to create; it must not exist.
    annotations : dict, optional
        Anything that JSON can represent.
    when_full : {"wait", "drop"}
        If the disk is too slow, slow the stream down, or drop exchanges from the recording, which counts them.
    scale : float or sequence of float, optional
        Size of one count of the outputs: the signal is stored as int16 counts, see `RecordingWriter`.
    keep : KeptSamples, optional
        Samples that are kept, and the precision of the others; all exactly by default. It is applied to each response
        before it is recorded and returned, so that a readout gives the same on a replay; `info` describes what is kept.

    Attributes
    ----------
    exchanges : int
        Number of exchanges passed to the writer so far.
    dropped : int
        Number of exchanges dropped so far.

    Raises
    ------
    RecordingError
        On entering, if the file exists or cannot be created; later, if it cannot be written.
    ValueError
        If counts would have to be rounded.
    """

    def __init__(
        self,
        substrate: Substrate,
        path: str | PathLike[str],
        annotations: Mapping[str, Any] | None = None,
        *,
        when_full: Literal["wait", "drop"] = "wait",
        scale: float | Sequence[float] | None = None,
        keep: KeptSamples | None = None,
    ) -> None:
        if scale is not None and keep is not None and keep.others == "rounded":
            raise ValueError("counts are kept exactly; give a scale, or a keep that rounds, not both")
        if when_full not in ("wait", "drop"):
            raise ValueError(f"when_full is {when_full!r}; allowed are 'wait' and 'drop'")
        self.path = Path(path)
        self._substrate = substrate
        self._annotations = dict(annotations or {})
        self._when_full = when_full
        self._scale = scale
        self._keep = keep
        self.exchanges = self.dropped = 0
        self._undropped: list[tuple[int, int]] = []
        with suppress(SubstrateError):  # the info of a device may be known only after it has been entered
            self._describe()
        self._session = 0
        self._clock = float("nan")
        self._exits = AsyncExitStack()
        self._writer: BackgroundWriter | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            self._describe()
            make = partial(RecordingWriter, self.path, self.info, self._annotations, scale=self._scale, keep=self._keep)
            self._writer = BackgroundWriter(await asyncio.to_thread(make))
            exits.push_async_callback(self._finish)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    @property
    def device_info(self) -> SubstrateInfo:
        """Description of the recorded substrate, whose sampling rate may be higher than that of what is kept."""
        return self._substrate.info

    def _describe(self) -> None:
        info = self._substrate.info
        self.info = info if self._keep is None else self._keep.info(info)

    def _kept(self, stimulus: Stimulus, response: Response) -> Response:
        return response if self._keep is None else self._keep.response(response, self.info.samples(stimulus.step))

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, record the exchange, and return the response."""
        sent, begun = time.time(), time.perf_counter()
        try:
            response = self._kept(stimulus, await self._substrate.stimulate(stimulus))
        except BaseException as error:
            self._note_unanswered(stimulus, sent, error)
            raise
        await self._record(Exchange(stimulus, response, self._session, sent, time.perf_counter() - begun))
        return response

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli through the stream of the recorded substrate, and record every exchange."""
        sent: deque[tuple[Stimulus, float, float]] = deque()

        async def noted() -> AsyncGenerator[Stimulus]:
            async for stimulus in stimuli:
                sent.append((stimulus, time.time(), time.perf_counter()))
                yield stimulus

        failure: BaseException | None = None
        try:
            async with aclosing(noted()) as source, aclosing(self._substrate.stream(source)) as responses:
                async for response in responses:
                    stimulus, at, begun = sent.popleft()
                    response = self._kept(stimulus, response)
                    await self._record(Exchange(stimulus, response, self._session, at, time.perf_counter() - begun))
                    yield response
        except BaseException as error:
            failure = error
            raise
        finally:
            for stimulus, at, _ in sent:
                self._note_unanswered(stimulus, at, failure)

    async def reset(self) -> None:
        """Return to rest, and begin a new session in the recording."""
        await self._substrate.reset()
        self._session += 1
        self._clock = 0.0

    def mark(self, label: str, *, duration: float = 0.0, device: float | None = None, **details: Any) -> None:
        """Record a marker, for this moment or for an interval from it.

        Parameters
        ----------
        label : str
            Short description.
        duration : float
            Duration, s.
        device : float, optional
            Time on the device's clock, s; the end of the last response by default.
        **details
            Anything that JSON can represent; numbers need not be finite.

        Raises
        ------
        ValueError
            If JSON cannot represent the details.
        """
        note = Note(MARKER, label, details, time.time(), self._clock if device is None else device, duration)
        text_of(note)  # the writer's thread could not tell the caller
        self._note(note)

    def note_parameters(self, **parameters: Any) -> None:
        """Record new values of parameters of the device, the medium or the experiment; see `mark`."""
        note = Note(PARAMETERS, ", ".join(parameters), parameters, time.time(), self._clock)
        text_of(note)
        self._note(note)

    def _note_refused(self, stimulus: Stimulus, rejected: StimulusRejected) -> None:
        self._note_unanswered(stimulus, time.time(), rejected)

    def _note_unanswered(self, stimulus: Stimulus, sent: float, error: BaseException | None) -> None:
        """Record a stimulus that got no response, unless the recording itself failed."""
        why = "the stream was left" if error is None or isinstance(error, GeneratorExit) else type(error).__name__
        if self._writer is None or isinstance(error, RecordingError):
            return
        details = {
            "drive": stimulus.drive.tolist(),
            "step": stimulus.step,
            "error": "" if error is None else str(error),
        }
        try:
            self._note(Note(UNANSWERED, why, details, sent, self._clock))
        except RecordingError:
            if error is None:
                raise

    def _note(self, note: Note) -> None:
        self._open_writer().put(
            Note(note.kind, note.label, note.details, note.host, note.device, note.duration, self._session),
            even_if_full=True,
        )

    async def _record(self, exchange: Exchange) -> None:
        writer = self._open_writer()
        self._clock = exchange.response.start + exchange.stimulus.duration
        while not writer.put(exchange):
            if self._when_full == "drop":
                self.dropped += 1
                self._undropped.append((exchange.response.sequence, len(exchange.stimulus.drive)))
                if len(self._undropped) >= 1000:
                    self._note_dropped()
                return
            await writer.wait_for_room()
        self.exchanges += 1
        if self._undropped:
            self._note_dropped()
        self.record_notes()

    def _note_dropped(self) -> None:
        """Record the number of exchanges dropped since the last note of this kind."""
        gone, self._undropped = self._undropped, []
        details = {
            "exchanges": len(gone),
            "steps": sum(steps for _, steps in gone),
            "first_sequence": gone[0][0],
            "last_sequence": gone[-1][0],
        }
        self._note(Note(DROPPED, "the disk was too slow", details, time.time(), self._clock))

    def _open_writer(self) -> BackgroundWriter:
        if self._writer is None:
            raise RecordingError(f"{self.path} is not open; use the substrate inside `async with`")
        return self._writer

    def record_notes(self, *, ending: bool = False) -> None:
        """Record what the substrate itself has noted since the last exchange."""
        if isinstance(self._substrate, NotingSubstrate):
            for note in self._substrate.take_notes(ending=ending):
                self._note(note)

    async def _finish(self) -> None:
        """Write all queued items and close the file, also on cancellation."""
        if self._writer is not None:
            with suppress(RecordingError):  # raised again by closing
                self.record_notes(ending=True)
            if self._undropped:
                with suppress(RecordingError):  # raised again by closing
                    self._note_dropped()
            writer, self._writer = self._writer, None
            await writer.close()
