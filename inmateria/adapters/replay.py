"""A recording as a substrate: it answers the recorded stimuli with the recorded responses.

A recording is gone through as it was made: each stimulus must be the one that was sent next, a return to
rest goes on to what followed the next one. Stimuli may be parted or joined otherwise than they were.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np

from inmateria.adapters.uri import query_of, shown
from inmateria.concurrency import wait_to_completion
from inmateria.recording import Exchange, Recording, open_recording
from inmateria.substrate import (
    FloatArray,
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)

__all__ = ["ReplaySubstrate", "replay_from_uri"]

_logger = logging.getLogger("inmateria")
_MOST_COMPARED = 50_000_000
_DISTANCES = 10_000

Result = TypeVar("Result")


class ReplaySubstrate(Substrate):
    """A substrate that replays a recording.

    Parameters
    ----------
    path : path-like
        Recording to replay, finished or not.
    match : {"exact", "nearest"}
        Handling of a stimulus that is not the one recorded next: raise an error; or give the response to the nearest
        recorded one with the same number and duration of steps, and append its distance to `distances`. The nearest
        one may have been recorded after another history, which is ignored.
    speed : {"full", "real"} or float
        Speed relative to the device's clock, where "real" is 1; or as fast as the file can be read.

    Attributes
    ----------
    distances : deque of float
        Distances of the last 10,000 stimuli: root mean square difference from the recorded stimulus whose response was
        given, as a fraction of each input's range; 0 if they are the same.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        match: Literal["exact", "nearest"] = "exact",
        speed: Literal["full", "real"] | float = "full",
    ) -> None:
        if match not in ("exact", "nearest"):
            raise ValueError(f"match is {match!r}; allowed are 'exact' and 'nearest'")
        pace = {"full": float("inf"), "real": 1.0}.get(speed, speed) if isinstance(speed, str) else speed
        if isinstance(pace, str) or not pace > 0:
            raise ValueError(f"speed is {speed!r}; allowed are 'full', 'real', or a number of more than 0")
        self.path = Path(path)
        self._match, self._pace = match, float(pace)
        self.distances: deque[float] = deque(maxlen=_DISTANCES)
        self._recording: Recording | None = None
        self._exits = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        self.distances.clear()
        self._session = 0  # as recorded; the one that comes next while nothing of it was given
        self._at, self._step = 0, 0  # the exchange, and the step within it, that come next
        self._given = 0  # exchanges since the last return to rest
        self._regrouped = False
        self._loaded: tuple[int, list[Exchange]] = (0, [])
        self._drives: dict[tuple[int, float], tuple[list[int], FloatArray]] = {}
        self._due = 0.0

    async def __aenter__(self) -> Self:
        self._begin()
        async with AsyncExitStack() as exits:
            recording = await _in_thread(lambda: open_recording(self.path))
            exits.callback(recording.close)
            self._recording, self.info = recording, recording.info
            self._sessions: list[int] = recording.exchanges["session"].tolist()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording = None
        if strange := [distance for distance in self.distances if distance > 0]:
            _logger.warning(
                "%s: %d of the last %d stimuli were not recorded; the nearest were %.3g away on average, %.3g at most "
                "(rms, as a fraction of the inputs' ranges)",
                self.path, len(strange), len(self.distances), float(np.mean(strange)), max(strange),
            )  # fmt: skip
        await self._exits.__aexit__(kind, error, trace)

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Return the recorded response to a stimulus.

        Raises
        ------
        StimulusRejected
            If it was not recorded at this place and none near it is wanted.
        """
        async with self._turn:
            asked = asyncio.get_running_loop().time()
            try:
                response = await self._next_as_recorded(stimulus)
                self.distances.append(0.0)
            except StimulusRejected as rejected:
                if self._match == "exact":
                    raise
                response = await self._nearest(stimulus, rejected)
            self._given += 1
            if self._pace != float("inf"):
                # As a device that takes so long for each, one after the other, would answer.
                self._due = max(asked, self._due) + stimulus.duration / self._pace
                await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))
            return response

    async def reset(self) -> None:
        """Continue after the next return to rest in the recording."""
        if not self.info.resettable:
            raise SubstrateError(
                f"{self.info.id} was asked to return to rest", f"a {self.info.kind} does not do so on command"
            )
        async with self._turn:
            self._session += 1
            self._at, self._step = bisect_left(self._sessions, self._session), 0
            self._given, self._regrouped = 0, False

    async def _next_as_recorded(self, stimulus: Stimulus) -> Response:
        """Take the response to the steps that were recorded next, if they are those of the stimulus."""
        wanted, done = len(stimulus.drive), 0
        index, step = self._at, self._step
        pieces: list[Response] = []
        while done < wanted:
            exchange = await self._exchange(index)
            recorded = exchange.stimulus
            if self._sessions[index] != self._session and (self._given or done):
                raise self._ended(f"session {self._session} of {self.path}")
            self._session = self._sessions[index]
            steps = min(wanted - done, len(recorded.drive) - step)
            self._compare(stimulus, done, recorded, step, steps, index)
            pieces.append(_part(exchange, step, steps))
            done += steps
            index, step = (index, step + steps) if step + steps < len(recorded.drive) else (index + 1, 0)
        whole = self._step == step == 0 and index == self._at + 1
        self._at, self._step = index, step
        self._regrouped |= not whole
        return pieces[0] if whole and not self._regrouped else _joined(pieces, self._given)

    def _compare(self, stimulus: Stimulus, done: int, recorded: Stimulus, step: int, steps: int, index: int) -> None:
        """Raise if some steps of a stimulus are not those that were recorded."""
        remedy = "send what was recorded, or take the nearest with ?match=nearest"
        if stimulus.step != recorded.step:
            raise StimulusRejected(
                f"the step is {stimulus.step} s", f"exchange {index} of {self.path} has {recorded.step} s", remedy
            )
        given, known = stimulus.drive[done : done + steps], recorded.drive[step : step + steps]
        if not np.array_equal(given, known, equal_nan=True):  # NaN is an input that floats
            row, column = np.argwhere((given != known) & ~(np.isnan(given) & np.isnan(known)))[0]
            channel = self.info.inputs[column]
            raise StimulusRejected(
                f"step {done + row} drives {channel.name} with {given[row, column]!r} {channel.unit}",
                f"step {step + row} of exchange {index} of {self.path} has {known[row, column]!r} {channel.unit}",
                remedy,
            )

    async def _nearest(self, stimulus: Stimulus, rejected: StimulusRejected) -> Response:
        """Take the response to the nearest stimulus of that length that was recorded, and go on after it."""
        recording = self._opened()
        rows = recording.exchanges
        kind = (len(stimulus.drive), stimulus.step)
        if kind not in self._drives:
            alike = np.flatnonzero((rows["steps"] == kind[0]) & (rows["step"] == kind[1])).tolist()
            if not alike:
                known = sorted({int(steps) for steps in rows["steps"]})
                raise StimulusRejected(
                    f"no stimulus of {kind[0]} steps of {kind[1]} s was recorded",
                    f"{self.path} has stimuli of {', '.join(map(str, known[:8]))} steps",
                    "send as many steps at a time as were recorded",
                ) from rejected
            if len(alike) * stimulus.drive.size > _MOST_COMPARED:
                raise SubstrateError(
                    f"{len(alike)} stimuli of {kind[0]} steps would have to be compared",
                    f"at most {_MOST_COMPARED} numbers in all",
                    "replay with match=exact",
                ) from rejected
            self._drives[kind] = (alike, await _in_thread(lambda: _drives_of(recording, alike)))
        alike, drives = self._drives[kind]
        ranges = np.array([channel.high - channel.low for channel in self.info.inputs])
        apart = (drives - stimulus.drive) / ranges
        # An input that floats in both is the same, one that floats in one of them is as far as can be.
        apart[np.isnan(drives) != np.isnan(stimulus.drive)] = 1.0
        distances = np.sqrt((np.nan_to_num(apart) ** 2).mean(axis=(1, 2)))
        # Of several that are equally near, the one that comes next.
        best = distances == distances.min()
        later = best & (np.array(alike) >= self._at)
        chosen = int(np.argmax(later if later.any() else best))
        index = alike[chosen]
        distance = float(distances[chosen])
        if not any(self.distances):
            _logger.warning(
                "%s: %s; the nearest recorded stimulus, exchange %d, is %.3g away "
                "(rms, as a fraction of the inputs' ranges)", self.path, rejected.asked, index, distance,
            )  # fmt: skip
        self.distances.append(distance)
        exchange = await self._exchange(index)
        self._at, self._step, self._regrouped = index + 1, 0, True
        self._session = self._sessions[index]
        return _joined([exchange.response], self._given)

    async def _exchange(self, index: int) -> Exchange:
        """Read an exchange, and those after it while at it."""
        recording = self._opened()
        if index >= len(recording):
            raise self._ended(str(self.path))
        first, loaded = self._loaded
        if not first <= index < first + len(loaded):
            last = next(recording.batches(first=index))[1]
            loaded = await _in_thread(lambda: recording.between(index, last))
            self._loaded = (index, loaded)
            first = index
        return loaded[index - first]

    def _opened(self) -> Recording:
        if self._recording is None:
            raise SubstrateDisconnected(f"{self.path} is not open", "", "use it inside `async with`")
        return self._recording

    def _ended(self, what: str) -> StimulusRejected:
        return StimulusRejected(
            f"{what} was replayed to its end",
            f"after {self._given} exchanges nothing more was recorded",
            "begin anew by entering it again, or return to rest when the recording did",
        )


def replay_from_uri(uri: str) -> ReplaySubstrate:
    """Make the substrate that ``replay:///path/recording.h5?match=nearest&speed=real`` names."""
    parts = urlsplit(uri)
    path = unquote(parts.netloc + parts.path)
    if not path:
        raise UnknownSubstrate(f"{shown(uri)!r} names no recording", "replay:///path/recording.h5")
    options: dict[str, Any] = dict(query_of(uri))
    if strange := sorted(set(options) - {"match", "speed"}):
        raise UnknownSubstrate(f"replay:// was given {', '.join(strange)}", "it takes match and speed")
    try:
        if options.get("speed", "full") not in ("full", "real"):
            options["speed"] = float(options["speed"])
        return ReplaySubstrate(path, **options)
    except ValueError as error:
        raise UnknownSubstrate(f"replay:// was given {options}: {error}") from None


def _part(exchange: Exchange, step: int, steps: int) -> Response:
    """Take the part of a response that belongs to some steps of its stimulus."""
    response, stimulus = exchange.response, exchange.stimulus
    if step == 0 and steps == len(stimulus.drive):
        return response
    begin, end = (response.start + at * stimulus.step for at in (step, step + steps))
    spikes = response.spikes
    if spikes is not None:
        # What a device timed outside the exchange stays with the step nearest to it.
        after = spikes["time"] >= begin if step else np.ones(len(spikes), dtype=bool)
        before = spikes["time"] < end if step + steps < len(stimulus.drive) else True
        spikes = spikes[after & before]
    signal = None if response.signal is None else response.signal[step : step + steps]
    return Response(signal, spikes, begin, response.sequence)


def _joined(pieces: list[Response], sequence: int) -> Response:
    """Put responses that follow each other together, as number `sequence`."""
    signals = [piece.signal for piece in pieces if piece.signal is not None]
    spikes = [piece.spikes for piece in pieces if piece.spikes is not None]
    return Response(
        np.concatenate(signals) if signals else None,
        np.concatenate(spikes) if spikes else None,
        pieces[0].start,
        sequence,
    )


def _drives_of(recording: Recording, rows: list[int]) -> FloatArray:
    """Read the stimuli of some exchanges of one length, shape (exchanges, steps, inputs)."""
    chosen = recording.exchanges[rows]
    drives = recording.drive()
    at = chosen["first_step"].astype(np.int64)[:, np.newaxis] + np.arange(int(chosen["steps"][0]))
    found: FloatArray = drives[at]
    return found


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Do something in a thread and wait for it, also when cancelled: two threads never use one file."""
    return await wait_to_completion(asyncio.get_running_loop().run_in_executor(None, work))
