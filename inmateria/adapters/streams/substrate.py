"""A substrate whose outputs are a stream of another program, on the stream's own clock.

A stream that is only read is gone through without a gap: an exchange begins where the last one ended. With stimuli, an
exchange begins with the sample of the present moment, as the measured relation of the clocks tells it. Samples that do
not come are NaN and are marked; if a whole stretch is missing between two exchanges, the second one begins after it.
"""

import asyncio
import logging
import math
import time
from collections import deque
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np

from inmateria.adapters.streams.sample_buffer import SampleBuffer
from inmateria.adapters.streams.source import Block, StreamMark, StreamSource, StreamSpike
from inmateria.adapters.streams.stimulators import NoStimuli, Stimulator
from inmateria.concurrency import cancel_and_wait
from inmateria.recording.format import MARKER, Note
from inmateria.substrate import (
    SPIKE,
    Limits,
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    SubstrateTimeout,
)

__all__ = ["StreamSubstrate"]

_logger = logging.getLogger("inmateria")
_BUFFERED = 120.0
_MOST_VALUES = 120_000_000  # about 1 GiB
_MOST_AWAY = 5.0
_SILENCE = 1.0
_MOST_SPIKES = 1_000_000


class StreamSubstrate(Substrate):
    """A stream as the outputs of a substrate.

    Parameters
    ----------
    source : StreamSource
    stimulator : Stimulator, optional
        Where stimuli go; by default the stream is only read.
    step : float, optional
        Default duration of a step, s; by default that of the stimulator, or 0.1 s. It is rounded to whole samples.
    late : float
        How long to wait for blocks that are late, or spikes, s on the stream's clock.
    timeout : float
        Longest time without data, s, before an exchange fails.
    """

    def __init__(
        self,
        source: StreamSource,
        stimulator: Stimulator | None = None,
        *,
        step: float | None = None,
        late: float = 0.05,
        timeout: float = 10.0,
    ) -> None:
        self._source, self._stimulator = source, stimulator or NoStimuli()
        if step is not None and not 0 < step < math.inf:
            raise ValueError(f"step is {step} s; give more than 0")
        if late < 0 or timeout <= 0:
            raise ValueError(f"late is {late} s and timeout {timeout} s; give at least 0 and more than 0")
        self._asked_step, self._late, self._timeout = step, late, timeout
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await self._stimulator.open(exits)
            exits.push_async_callback(self._source.close)
            about = await self._source.open()
            self._rate, self._width = about.rate, len(about.channels)
            stimulator = self._stimulator
            step = self._asked_step or stimulator.step or 0.1
            limits = stimulator.limits
            self.info = SubstrateInfo(
                id=stimulator.identifier(about.id),
                identity=about.identity,
                kind=about.kind,
                inputs=stimulator.inputs,
                outputs=about.channels,
                step=max(1, round(step * about.rate)) / about.rate,
                sampling_rate=about.rate,
                spiking=self._source.spiking,
                resettable=False,
                rest=stimulator.rest,
                limits=Limits(
                    steps=limits.steps,
                    shortest_step=max(limits.shortest_step, (1 - 1e-9) / about.rate),
                    longest_step=max(limits.longest_step, 1 / about.rate),
                    values=limits.values,
                ),
                parameters=about.parameters,
            )
            self._most = max(4096, min(int(_BUFFERED * about.rate), _MOST_VALUES // self._width))
            self._buffer = SampleBuffer(self._width, self._most)
            self._spikes: deque[StreamSpike] = deque(maxlen=_MOST_SPIKES)
            self._marks: list[Note] = []
            self._clock_noted = 0
            self._next = self._sequence = 0
            self._unrelated = False
            self._lost: SubstrateError | None = None
            self._turn, self._moved = asyncio.Lock(), asyncio.Condition()
            following = asyncio.create_task(self._follow(), name=f"following {about.id}")
            exits.push_async_callback(cancel_and_wait, following)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def reset(self) -> None:
        """Raise `SubstrateError`: a stream goes on by itself."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest", "a stream goes on by itself", "do without a reset"
        )

    def take_notes(self, *, ending: bool = False) -> list[Note]:
        """Return what happened since the last call: gaps, markers, breaks, and measurements of clocks."""
        clock = self._source.clock
        if clock.count and (ending or clock.count >= 2 * self._clock_noted):
            self._clock_noted = clock.count
            self._mark(StreamMark("clock", clock.last, details=clock.details()))
        if ending:
            buffer = self._buffer
            counts = {"late": buffer.late, "repeated": buffer.repeated, "overflowed": buffer.overflowed}
            self._mark(StreamMark("stream ends", self._next / self._rate, details={"samples": counts}))
        marks, self._marks = self._marks, []
        return marks

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, and return the stream's samples of its steps."""
        samples = self.info.samples(stimulus.step)
        if abs(samples / self._rate - stimulus.step) > 1e-6 * stimulus.step:
            raise StimulusRejected(
                f"the step is {stimulus.step} s",
                f"{self.info.id} has {self._rate:g} samples a second, and a step must be a whole number of them",
                f"give {samples / self._rate!r} s",
            )
        steps, reads_only = len(stimulus.drive), self._stimulator.reads_only
        if 2 * steps * samples > self._most:
            raise StimulusRejected(
                f"the drive lasts {stimulus.duration:g} s",
                f"{self.info.id} keeps {self._most / self._rate:g} s of its stream, and gives half of that at once",
                "send it as several stimuli",
            )
        async with self._turn:
            if self._lost is not None:
                raise self._lost
            first = self._next
            if reads_only:
                start = await self._begin_at(first, steps, samples)
            else:
                start = first = max(self._next, await self._present())
                self._buffer.forget_before(start)
                self._sequence += 1
            end = start + steps * samples
            if not reads_only:
                self._next = start
                await self._stimulator.apply(stimulus)
            await self._reach(start, end)
            signal = self._buffer.copy(start, end - start).reshape(steps, samples, self._width)
            self._mark_gaps(first, end)
            spikes = self._spikes_between(start, end) if self._source.spiking else None
            self._next = end
            self._buffer.forget_before(end)
            if reads_only:
                self._sequence += 1
            return Response(signal, spikes, start / self._rate, self._sequence - 1)

    async def _present(self) -> int:
        """Return the number of the sample that is taken now."""
        await self._until(lambda: self._buffer.end > 0)
        arrived, fit = self._buffer.end, self._source.clock.fit
        if fit is not None:
            now = math.ceil(fit.device(time.time()) * self._rate)
            if arrived - 1 <= now <= arrived + _MOST_AWAY * self._rate:
                return now
            if not self._unrelated:
                self._unrelated = True
                _logger.warning(
                    "%s: its timestamps are %.3g s away from when its samples arrive; exchanges begin with the sample "
                    "that has arrived last", self.info.id, (now - arrived) / self._rate,
                )  # fmt: skip
        return arrived

    async def _begin_at(self, first: int, steps: int, samples: int) -> int:
        """Return where an exchange begins: at `first`, or whole steps later if nothing of it will come."""
        end = first + steps * samples
        await self._until(lambda: self._buffer.first_seen(first) is not None)
        seen = self._buffer.first_seen(first)
        if seen is not None and seen >= end:  # what is before may be late
            await self._until(lambda: self._is_over(end))
            seen = self._buffer.first_seen(first)
        assert seen is not None
        return first if seen < end else first + (seen - first) // samples * samples

    async def _reach(self, start: int, end: int) -> None:
        """Wait for the samples from `start` to before `end`, as long as some of them may still come."""
        await self._until(
            lambda: (not self._source.spiking and self._buffer.is_whole(start, end)) or self._is_over(end)
        )

    def _is_over(self, end: int) -> bool:
        """Return whether samples before `end` are not expected any more."""
        return self._buffer.end >= end + math.ceil(self._late * self._rate)

    async def _until(self, reached: Any) -> None:
        async with self._moved:
            while not reached():
                if self._lost is not None:
                    raise self._lost
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._moved.wait()
                except TimeoutError:
                    raise SubstrateTimeout(
                        f"no data of {self.info.id} within {self._timeout:g} s",
                        f"its last sample is of {self._buffer.end / self._rate:.3f} s on its clock",
                        "check the program that sends it; the stream is received again when it comes back",
                    ) from None

    async def _follow(self) -> None:
        """Take what arrives, until the stream is gone for good."""
        arrived, silent = time.monotonic(), False
        try:
            while True:
                items = await self._source.read()
                quiet = time.monotonic() - arrived > max(_SILENCE, 10 / self._rate)
                if quiet and not silent and self._buffer.end:
                    silent = True
                    self._mark(StreamMark("stream silent", self._buffer.end / self._rate))
                    _logger.warning("%s: no data come", self.info.id)
                if not items:
                    continue
                async with self._moved:
                    for item in items:
                        if isinstance(item, Block):
                            if silent:
                                back = int(item.index[0]) / self._rate
                                self._mark(StreamMark("stream back", back))
                            arrived, silent = time.monotonic(), False
                            self._buffer.add(item)
                        elif isinstance(item, StreamSpike):
                            self._spikes.append(item)
                        else:
                            self._mark(item)
                    self._moved.notify_all()
        except Exception as error:
            lost = (
                error
                if isinstance(error, SubstrateError)
                else SubstrateDisconnected(f"{self.info.id} cannot be read ({type(error).__name__}: {error})")
            )
            async with self._moved:
                self._lost = lost
                self._moved.notify_all()

    def _spikes_between(self, start: int, end: int) -> "np.typing.NDArray[np.void]":
        begin, stop = start / self._rate, end / self._rate
        found = [(each.time, each.channel) for each in self._spikes if begin <= each.time < stop]
        self._spikes = deque((each for each in self._spikes if each.time >= stop), maxlen=_MOST_SPIKES)
        return np.sort(np.array(found, dtype=SPIKE), order="time")

    def _mark_gaps(self, first: int, end: int) -> None:
        for gap in self._buffer.gaps(first, end):
            everywhere = len(gap.channels) == self._width
            details = {
                "samples": gap.samples,
                "channels": "all" if everywhere else [self.info.outputs[k].name for k in gap.channels],
            }
            self._mark(StreamMark("gap", gap.first / self._rate, gap.samples / self._rate, details))
            _logger.warning(
                "%s: %d samples from %.3f s on are missing%s", self.info.id, gap.samples, gap.first / self._rate,
                "" if everywhere else f" on {len(gap.channels)} of {self._width} channels",
            )  # fmt: skip

    def _mark(self, mark: StreamMark) -> None:
        fit = self._source.clock.fit
        known = fit is not None and not math.isnan(mark.device)
        host = fit.host(mark.device) if fit is not None and known else time.time()
        self._marks.append(Note(MARKER, mark.label, mark.details, host, mark.device, mark.duration))
        del self._marks[:-_MOST_SPIKES]
