"""A recording played at its own pace as a source of the live page."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from inmateria.live.columns import ColumnMaker, compile_columns
from inmateria.live.maps import map_of
from inmateria.live.messages import Columns, Event, Hello, Message, Status, hello_of
from inmateria.recording import open_recording
from inmateria.recording.format import END

__all__ = ["ReplayedRecording"]

_EVERY = 0.04
_STATUS_EVERY = 0.25
_PIECE = 0.02
_LATE = 0.5
_PAUSES = 2.0


class ReplayedRecording:
    """A recording from its beginning, by its device's clock.

    Parameters
    ----------
    path : path-like
    speed : float
        How many seconds of the device's clock pass in one second.
    """

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"speed is {speed}; it must be more than 0 and finite, 1 for the device's own pace")
        self._path, self._speed = path, speed
        self.hello = Hello(title=path.name, kind="replay")
        self._steps = self._spikes = self._exchanges = 0
        self._played = 0.0
        self._end: float | None = None

    async def __aenter__(self) -> Self:
        """Open it; raises `RecordingError` if it is none."""
        await asyncio.to_thread(compile_columns)
        self._recording = await asyncio.to_thread(open_recording, self._path)
        info = self._recording.info
        self._maker = ColumnMaker(len(info.inputs), len(info.outputs), info.sampling_rate, pace=self._speed)
        self.hello = hello_of(info, title=self._path.name, kind="replay", drawn=map_of(info))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording.close()

    async def stop(self) -> None:
        """Refuse: a file has nothing to stop."""
        raise NotImplementedError

    async def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield columns when they are due; pauses of the device longer than 2 s are shortened to that."""
        pieces = self._pieces()
        began, due, over = time.monotonic(), 0.0, False
        recent: list[tuple[float, int]] = []
        notes = [note for note in self._recording.notes if note.kind != END]
        while not over:
            now = time.monotonic()
            # Reading is of pieces of 256 KiB at least, in a thread so that viewers are served meanwhile.
            over = await asyncio.to_thread(self._play, pieces, (now - began) * self._speed)
            late = now - began - self._played / self._speed
            if not over and late > _LATE:  # it cannot be read that fast: the clock waits for it
                began += late
            if (columns := self._maker.fetch()) is not None:
                yield columns
            while notes and (over or notes[0].exchange <= self._exchanges):
                note = notes.pop(0)
                at = max(0.0, self._maker.end) if np.isnan(note.device) else self._maker.at(note.device)
                yield Event(time=at, label=note.label or note.kind)
            recent = [each for each in recent if each[0] > now - 1.0] + [(now, self._exchanges)]
            if over or now >= due:
                due = now + _STATUS_EVERY
                yield Status(
                    state="ended" if over else "running", rate=float(recent[-1][1] - recent[0][1]),
                    exchanges=self._exchanges, steps=self._steps, spikes=self._spikes,
                    note=f"{self._exchanges:,} of {len(self._recording):,} exchanges, {self._speed:g} times its pace",
                )  # fmt: skip
            await asyncio.sleep(0 if over else _EVERY)

    def _play(self, pieces: Iterator[tuple[float, float]], until: float) -> bool:
        """Take in pieces until so many seconds have been played; return whether there are no more."""
        for begin, end in pieces:
            self._played += end - begin
            if self._end is not None:
                self._played += min(_PAUSES, max(0.0, begin - self._end))
            self._end = end
            if self._played > until:
                return False
        return True

    def _pieces(self) -> Iterator[tuple[float, float]]:
        """Take in the recording piece by piece, and yield the times on the axis at both ends of each."""
        recording = self._recording
        scale = 1.0 if recording.scale is None else recording.scale
        width = len(recording.info.outputs)
        longest = _PIECE * self._speed
        for index, row in enumerate(recording.exchanges):
            steps, step, start = int(row["steps"]), float(row["step"]), float(row["start"])
            samples = int(row["samples"]) // steps if recording.info.sampling_rate is not None else 0
            drive = recording.drive(index, index + 1)
            spikes = recording.spikes(index, index + 1) if recording.info.spiking else None
            # Long steps are parted at samples; where there are none, at as many places as are needed.
            parts = samples or max(1, int(np.ceil(step / longest)))
            short = step / parts
            some = max(1, int(longest / short))
            for begin in range(0, steps * parts, some):
                end = min(begin + some, steps * parts)
                held = drive[np.arange(begin, end) // parts]
                signal: Any = None
                if samples:
                    at = int(row["first_sample"]) + begin
                    signal = recording.rows("signal", at, at + end - begin).reshape(-1, 1, width)
                fired = None
                if spikes is not None:
                    last = np.inf if end == steps * parts else start + short * end
                    from_here = -np.inf if begin == 0 else start + short * begin
                    fired = spikes[(spikes["time"] >= from_here) & (spikes["time"] < last)]
                    self._spikes += len(fired)
                self._maker.add(start + short * begin, short, held, signal, fired, scale=scale, missing=False)
                self._steps += (end // parts) - (begin // parts)
                self._exchanges += end == steps * parts
                yield self._maker.end - short * len(held), self._maker.end
