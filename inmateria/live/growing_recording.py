"""A recording that another process is writing as a source of the live page."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from inmateria.live.columns import ColumnMaker, compile_columns
from inmateria.live.maps import map_of
from inmateria.live.messages import Columns, Event, Hello, Message, Status, hello_of
from inmateria.recording.following import FollowedRecording, WrittenExchange
from inmateria.recording.format import END, Note, RecordingError

__all__ = ["GrowingRecording"]

_EVERY = 0.04
_STATUS_EVERY = 0.25
_SHOWN_BEFORE = 5.0
_QUIET = 5.0


class GrowingRecording:
    """The exchanges of a recording as they are written, and the last 5 s of those that there are at first.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.hello = Hello(title=path.name, kind="recording")

    async def __aenter__(self) -> Self:
        """Open it; raises `RecordingError` if it is none."""
        await asyncio.to_thread(compile_columns)
        self._followed = await asyncio.to_thread(FollowedRecording, self._path)
        info = self._followed.info
        self._maker = ColumnMaker(len(info.inputs), len(info.outputs), info.sampling_rate)
        self.hello = hello_of(info, title=self._path.name, kind="recording", drawn=map_of(info))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._followed.__exit__(kind, error, trace)

    async def stop(self) -> None:
        """Refuse: a file has nothing to stop."""
        raise NotImplementedError

    async def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield what is written, until the recording is ended."""
        followed = self._followed
        before = await asyncio.to_thread(followed.skip, _SHOWN_BEFORE)
        steps = spikes = 0
        times: list[float] = []
        heard, due, error = time.monotonic(), 0.0, ""
        trip: float | None = None
        while True:
            looked = time.monotonic()
            exchanges: list[WrittenExchange] = []
            notes: list[Note] = []
            try:
                exchanges, notes = await asyncio.to_thread(followed.new)
            except RecordingError as gone:
                error = str(gone)
            for each in exchanges:
                self._add(each)
                steps += len(each.drive)
                spikes += 0 if each.spikes is None else len(each.spikes)
                times.append(each.sent)
                trip = each.round_trip
            if (columns := self._maker.fetch()) is not None:
                heard = looked
                yield columns
            for note in notes:
                if note.kind != END:
                    at = max(0.0, self._maker.end) if note.device != note.device else self._maker.at(note.device)
                    yield Event(time=at, label=note.label or note.kind)
            times = [sent for sent in times if sent > time.time() - 1.0]
            over = followed.ended or bool(error)
            if over or looked >= due:
                due = looked + _STATUS_EVERY
                quiet = looked - heard
                state = "failed" if error else "ended" if followed.ended else "running" if quiet < _QUIET else "waiting"
                said = f"nothing was written for {quiet:.0f} s" if state == "waiting" else ""
                yield Status(
                    state=state, error=error, rate=float(len(times)), round_trip=trip,
                    exchanges=before + followed.missed + followed.read, steps=steps, spikes=spikes,
                    missed=followed.missed, note=said,
                )  # fmt: skip
            if over:
                return
            await asyncio.sleep(max(0.0, looked + _EVERY - time.monotonic()))

    def _add(self, exchange: WrittenExchange) -> None:
        signal, steps = exchange.signal, len(exchange.drive)
        if signal is not None:
            signal = signal.reshape(steps, -1, signal.shape[-1])
        scale = 1.0 if self._followed.scale is None else self._followed.scale
        self._maker.add(
            exchange.start, exchange.step, exchange.drive, signal, exchange.spikes, scale=scale,
            sent=exchange.sent + exchange.round_trip, missing=False,
        )  # fmt: skip
