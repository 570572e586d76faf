"""A run as a source of the live page: its recording as it grows, how far it is, and outputs beside targets."""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from inmateria.live.columns import ColumnMaker, compile_columns
from inmateria.live.maps import map_of
from inmateria.live.messages import Columns, Hello, Message, Outputs, Progress, Readout, RunState, Status, hello_of
from inmateria.live.online_reading import OnlineReading, Read
from inmateria.live.recording_tail import RecordingTail
from inmateria.live.run_view import RunView
from inmateria.protocols.runs import RECORDING_FILE, RunFolderError
from inmateria.recording import Exchange
from inmateria.substrate import SubstrateError, SubstrateInfo

__all__ = ["RunSource"]

_EVERY, _AT_LEAST = 0.05, 1.0
"""Seconds between two looks, and between two messages on the state."""
_LOOK, _BUSY = 0.2, 0.15
"""Seconds between two looks at the folder, and of reading exchanges in one look."""
_CAUGHT_UP = 10.0
"""Seconds after which an exchange is of the past, and how far the page is behind it says nothing."""
_ROWS, _KEPT, _AGAIN = 1000, 2000, 10.0
"""Rows in a message at most, rows that are sent once more, and seconds after which they are."""


class RunSource:
    """Shows a run that goes on or has ended, from its folder alone; nothing is written there.

    Parameters
    ----------
    folder : Path
        Folder of the run; it may be made later.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hello = Hello(title=str(folder), kind="run")
        self._view = RunView(folder)
        self._working: asyncio.Future[list[Message | Columns]] | None = None
        self._looked = self._told = -np.inf
        self._state: RunState | None = None
        self._generation = 0
        self._begin(RECORDING_FILE)

    def _begin(self, recording: str) -> None:
        """Begin with another recording, or anew."""
        self._name = recording
        self._tail = RecordingTail(self._view.folder / recording)
        self._maker: ColumnMaker | None = None
        self._offsets: list[tuple[int, float]] = [(0, 0.0)]
        self._exchanges = self._steps = self._spikes = 0
        self._round_trip: float | None = None
        self._rates: deque[tuple[float, int]] = deque()
        self._chosen = -1
        self._end_reading()

    def _end_reading(self) -> None:
        self._reading: OnlineReading | None = None
        self._read_from: RecordingTail | None = None
        self._until = 0
        self._values = 0
        self._pending: deque[tuple[int, Exchange]] = deque()
        self._words = ""
        self._kept: deque[tuple[float, tuple[float | None, ...], tuple[float | None, ...]]] = deque(maxlen=_KEPT)
        self._scores: deque[tuple[float, float | None]] = deque(maxlen=_KEPT)
        self._again = time.monotonic()

    async def __aenter__(self) -> Self:
        if not await asyncio.to_thread(self.folder.is_dir):
            raise RunFolderError(f"{self.folder} does not exist; give the folder of a run")
        await asyncio.to_thread(compile_columns)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._working is not None and not self._working.done():
            await asyncio.wait([self._working])  # its thread reads the files that are closed here
        for tail in (self._tail, self._read_from):
            if tail is not None:
                tail.close()

    async def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield what is new until the run is over and all of it has been read."""
        loop = asyncio.get_running_loop()
        while True:
            self._working = loop.run_in_executor(None, self._look)
            found = await asyncio.shield(self._working)
            for message in found:
                yield message
            if not found and self._is_over():
                if self._kept:
                    yield self._once_more()
                return
            await asyncio.sleep(0.0 if self._is_behind() else _EVERY)

    async def stop(self) -> None:
        """Raise: a run is stopped where it was started, or by the emergency stop of its device."""
        raise SubstrateError(f"{self.folder} is watched from its files, by which a run cannot be stopped")

    def _is_behind(self) -> bool:
        return bool(self._pending)

    def _is_over(self) -> bool:
        return self._view.is_over and not self._pending and self._tail.is_read

    def _look(self) -> list[Message | Columns]:
        """Return what is new."""
        messages: list[Message | Columns] = []
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._view.look()
            if self._view.generation != self._generation:
                self._generation = self._view.generation
                self._close()
                self._begin(RECORDING_FILE)
                self.hello = Hello(title=str(self.folder), kind="run")
                messages.append(self.hello)
            for tail in (self._tail, self._read_from):
                if tail is not None:
                    tail.path = self._view.folder / self._name  # a run of a sweep is moved when it is finished
        readings = self._view.readings
        if readings and readings[-1][0].recording != self._name:
            self._close()
            self._begin(readings[-1][0].recording)
        at = self._tail.next
        exchanges = self._tail.read()
        if self._tail.next < at + len(exchanges):  # the file is another one, and was begun anew
            self._close()
            self._begin(self._name)
            exchanges = []
        # A page begins anew with each description, so that it comes before what it describes.
        if self._tail.info is not None and (self._begin_reading(self._tail.info) or self._maker is None):
            self._describe(self._tail.info)
            messages.append(self.hello)
        if self._maker is not None:
            self._take(exchanges, at, self._maker)
            columns = self._maker.fetch()
            if columns is not None:
                messages.append(columns)
            messages += self._outputs()
        messages += self._news(now, any(isinstance(each, Hello) for each in messages))
        return messages

    def _close(self) -> None:
        for tail in (self._tail, self._read_from):
            if tail is not None:
                tail.close()

    def _describe(self, info: SubstrateInfo) -> None:
        readout = None
        if self._reading is not None:
            readout = Readout(
                names=self._reading.names, metric=self._reading.metric,
                higher_is_better=self._reading.higher_is_better, classes=self._reading.classes,
                words=self._reading.words,
            )  # fmt: skip
        if self._maker is None:
            self._maker = ColumnMaker(len(info.inputs), len(info.outputs), info.sampling_rate, pace=10.0)
        self.hello = hello_of(
            info, title=str(self.folder), kind="run", drawn=self.hello.map or map_of(info), readout=readout
        )

    def _take(self, exchanges: list[Exchange], first: int, maker: ColumnMaker) -> None:
        for number, exchange in enumerate(exchanges, start=first):
            stimulus, response = exchange.stimulus, exchange.response
            ended = exchange.sent + exchange.round_trip
            maker.add(
                response.start, stimulus.step, stimulus.drive, response.signal, response.spikes, missing=False,
                sent=ended if time.time() - ended < _CAUGHT_UP else None,
            )  # fmt: skip
            offset = maker.at(0.0)
            if offset != self._offsets[-1][1]:
                self._offsets.append((number, offset))
            self._exchanges += 1
            self._steps += len(stimulus.drive)
            self._spikes += 0 if response.spikes is None else len(response.spikes)
            self._round_trip = exchange.round_trip

    def _offset_of(self, number: int) -> float:
        return self._offsets[bisect_right(self._offsets, (number, np.inf)) - 1][1]

    def _begin_reading(self, info: SubstrateInfo) -> bool:
        """Begin with the last reading that was said, and return whether that is a new one."""
        readings = self._view.readings
        if not readings or self._chosen == len(readings) - 1:
            return False
        if self._read_from is not None:
            self._read_from.close()
        self._end_reading()
        self._chosen = len(readings) - 1
        reading, _ = readings[-1]
        try:
            self._reading = OnlineReading(reading, info)
        except ValueError as error:
            self._words = f"No output is shown beside a target: {error}."
            return False
        self._read_from = RecordingTail(self._view.folder / self._name, reading.first)
        self._until = reading.first + reading.exchanges if reading.exchanges >= 0 else -1
        return True

    def _outputs(self) -> list[Message | Columns]:
        """Read outputs out of the exchanges of the last reading that was said."""
        messages: list[Message | Columns] = []
        readings = self._view.readings
        if self._reading is None or self._read_from is None:
            return messages
        reading, values = readings[-1]
        for part in values[self._values :]:
            self._reading.add_targets(part.first, part.values)
        self._values = len(values)
        if not self._pending and self._read_from.next < self._tail.next:
            begin = self._read_from.next
            more = self._read_from.read()
            self._pending.extend(
                (number, exchange)
                for number, exchange in enumerate(more, start=begin)
                if self._until < 0 or number < self._until
            )
        # Targets are written before the exchanges of their rows are made; these wait all the same until they are read.
        known = reading.rows == 0 or sum(len(part.values) for part in values) >= 4 * reading.rows * len(reading.names)
        begun, parts = time.monotonic(), []
        while self._pending and known and time.monotonic() - begun < _BUSY:
            number, exchange = self._pending[0]
            if number >= self._tail.next:  # its time on the axis is not known yet
                break
            self._pending.popleft()
            parts.append(self._reading.read([exchange], [exchange.response.start + self._offset_of(number)]))
        if parts:
            messages.append(self._shown(parts))
            if self._words != self._reading.words:  # how many features are read is known after the first row
                self._words = self._reading.words
        if self._kept and time.monotonic() - self._again > _AGAIN:
            messages.append(self._once_more())
        return messages

    def _shown(self, parts: list[Read]) -> Outputs:
        times, target, output, scored, score = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("times", "target", "output", "scored", "score")
        )
        rows = [(float(times[k]), _numbers(target[k]), _numbers(output[k])) for k in _some(len(times))]
        scores = [(float(scored[k]), None if np.isnan(score[k]) else float(score[k])) for k in _some(len(scored))]
        self._kept.extend(rows)
        self._scores.extend(scores)
        return _message(rows, scores)

    def _once_more(self) -> Outputs:
        self._again = time.monotonic()
        return _message(list(self._kept), list(self._scores), again=True)

    def _news(self, now: float, anew: bool) -> list[Message | Columns]:
        """Return the state, if it has changed or was not told for a second."""
        state = self._view.state(self._words)
        before = self._state
        if before is not None:
            same = (state.state, state.stages, state.own, state.reading, state.verdict)
            changed = same != (before.state, before.stages, before.own, before.reading, before.verdict)
            if not changed and not anew and (now - self._told < _AT_LEAST or self._view.is_over):
                return []
        self._state, self._told = state, now
        self._rates.append((now, self._exchanges))
        while len(self._rates) > 2 and now - self._rates[0][0] > 2 * _AT_LEAST:
            self._rates.popleft()
        (first, before_then), (last, until_now) = self._rates[0], self._rates[-1]
        rate = (until_now - before_then) / (last - first) if last > first else 0.0
        name = {"finished": "ended", "cancelled": "ended", "died": "failed", "unknown": "ended"}
        status = Status(
            state=name.get(state.state, state.state),
            error=state.error or self._tail.error,
            rate=0.0 if self._view.is_over else rate,
            round_trip=self._round_trip,
            exchanges=self._exchanges,
            steps=self._steps,
            spikes=self._spikes,
        )
        news: list[Message | Columns] = [state, status]
        if state.stages:
            stage = state.stages[-1]
            news.append(Progress(phase=stage.name, done=stage.done, of=stage.of))
        return news


def _some(count: int) -> list[int]:
    """Choose at most so many rows as a message may have, evenly."""
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, _ROWS)).astype(int)).tolist() if count else []
    return chosen


def _numbers(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(f"{value:.6g}") for value in values.tolist())


def _message(
    rows: list[tuple[float, tuple[float | None, ...], tuple[float | None, ...]]],
    scores: list[tuple[float, float | None]],
    *,
    again: bool = False,
) -> Outputs:
    times, target, output = zip(*rows, strict=True) if rows else ((), (), ())
    scored, score = zip(*scores, strict=True) if scores else ((), ())
    return Outputs(times=times, target=target, output=output, scored=scored, score=score, again=again)
