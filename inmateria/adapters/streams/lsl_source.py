"""A stream of the Lab Streaming Layer (LSL) as a source of samples: found, numbered, and found again after a break."""

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.streams.clock_relation import FastestDeliveries
from inmateria.adapters.streams.lsl_clock import TimeCorrection, time_correction
from inmateria.adapters.streams.lsl_description import channels_of
from inmateria.adapters.streams.sample_counting import TimestampCounter
from inmateria.adapters.streams.source import (
    HIGHEST,
    Block,
    MissingStreamPackage,
    StreamDescription,
    StreamMark,
    StreamSource,
    StreamSpike,
    time_went_back,
)
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.errors import SubstrateDisconnected, SubstrateTimeout
from inmateria.exchange import FloatArray

if TYPE_CHECKING:
    import pylsl

__all__ = ["LslSource"]

_logger = logging.getLogger("inmateria")
_MOST_SAMPLES = 65536
_SILENCE = 1.0
_BETWEEN_CHECKS = 2.0
_SAME_CLOCK = 60.0
_EXACT_INTEGERS = 2**53


class LslSource(StreamSource):
    """A stream of LSL at a regular rate.

    liblsl finds a stream again that has a source id. When data come back after a break, this looks whether the outlet
    is the same; if it is another one, its channels and rate must be as before, and its clock is measured anew.

    Parameters
    ----------
    name : str
        Name of the stream.
    type : str
        Type of its content, if several streams have the name.
    source_id, host : str
        Likewise.
    markers : sequence of str
        Names of streams at irregular rates, whose samples become marks.
    jitter : float, optional
        See `TimestampCounter`.
    clock_every : float
        Time between two measurements of the clock, s.
    id : str
        Identity of the device; by default the source id, or the name and host if the stream has none.
    timeout : float
        Longest time to find the stream, s.
    """

    def __init__(
        self,
        name: str,
        *,
        type: str = "",  # noqa: A002
        source_id: str = "",
        host: str = "",
        markers: tuple[str, ...] = (),
        jitter: float | None = None,
        clock_every: float = 5.0,
        id: str = "",  # noqa: A002
        timeout: float = 10.0,
    ) -> None:
        super().__init__()
        self._asked = {"name": name, "type": type, "source_id": source_id, "hostname": host}
        self._name = name
        self._marker_names, self._jitter, self._clock_every = markers, jitter, clock_every
        self._id, self._timeout = id, timeout
        self._inlet: pylsl.StreamInlet | None = None
        self._marker_inlets: dict[str, pylsl.StreamInlet] = {}

    async def open(self) -> StreamDescription:
        """Find the stream, and subscribe to it."""
        try:
            import pylsl
        except ImportError:
            raise MissingStreamPackage("pylsl", "lsl") from None
        self._lsl = pylsl
        super().__init__()
        self._shift, self._correction = 0.0, None
        self._held: list[tuple[FloatArray, FloatArray]] = []
        self._arrived = self._measured = self._checked = time.monotonic()
        self._silent = self._gone = False
        self._deliveries: FastestDeliveries | None = None
        found = await self._find(self._asked)
        self._inlet, full = await self._subscribe(found)
        self._outlet_id = full.uid()
        self._form = _form(full)
        rate = float(full.nominal_srate())
        if full.channel_format() == pylsl.cf_string or not rate > 0:
            raise SubstrateDisconnected(
                f"the LSL stream {full.name()!r} has samples of text or no regular rate",
                "the outputs of a substrate are numbers at a regular rate",
                f"record it beside a regular one, as lsl://OTHER?markers={full.name()}",
            )
        self._rate = rate
        self._counter = TimestampCounter(rate, self._jitter)
        for name in self._marker_names:
            marker, _ = await self._subscribe(await self._find({"name": name}))
            self._marker_inlets[name] = marker
        self._correction = await asyncio.to_thread(time_correction, self._inlet, self._timeout)
        if self._correction is None:
            _logger.warning("%s: its clock could not be measured within %g s", full.name(), self._timeout)
        return self._described(full)

    def _described(self, full: "pylsl.StreamInfo") -> StreamDescription:
        low, high = _range(full.channel_format())
        channels, strange = channels_of(full, low, high)
        if strange:
            _logger.warning("%s: unknown units are written as 1: %s", full.name(), ", ".join(strange[:8]))
        stated = full.source_id()
        return StreamDescription(
            id=self._id or as_identifier(stated or f"{full.name()}-{full.hostname()}") or "stream",
            identity="user" if self._id else "serial" if stated else "host",
            kind="lsl-stream",
            channels=channels,
            rate=self._rate,
            parameters={
                "stream": full.name(),
                "type": full.type(),
                "source_id": stated,
                "host": full.hostname(),
                "format": _FORMATS[full.channel_format()],
                "unknown_units": strange,
            },
        )

    async def close(self) -> None:
        """Unsubscribe."""
        inlets = [self._inlet, *self._marker_inlets.values()]
        self._inlet, self._marker_inlets = None, {}
        for inlet in inlets:
            if inlet is not None:
                inlet.close_stream()
        del inlets

    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Return what has arrived, numbered."""
        await asyncio.sleep(min(0.02, max(0.002, 1.0 / self._rate)))
        marks: list[Block | StreamMark | StreamSpike] = []
        inlet = self._inlet
        assert inlet is not None
        if self._gone:
            await self._look_again(marks)
            return marks
        try:
            values, stamps = inlet.pull_chunk(0.0, _MOST_SAMPLES, as_numpy=True)
        except self._lsl.util.LostError:  # liblsl does not recover streams without a source id
            marks.append(StreamMark("stream lost", self._device(self._counter.time(self._counter.last))))
            _logger.warning("%s: the stream was lost; it has no source id and is looked for by its name", self._name)
            self._gone = True
            return marks
        now = time.monotonic()
        if not len(stamps):
            self._silent |= now - self._arrived > max(_SILENCE, 10 / self._rate)
            if self._silent and self._held:  # the first samples are all that there is to measure the jitter on
                marks.append(self._take_held(marks))
            return [*marks, *self._read_markers()]
        back, self._silent, self._arrived = self._silent, False, now
        expected = self._counter.time(self._counter.last + 1) if self._counter.last >= 0 else None
        broken = expected is not None and abs(stamps[0] + self._shift - expected) > max(0.1, 2 / self._rate)
        if back or (broken and now - self._checked > _BETWEEN_CHECKS):
            await self._check_outlet(marks)
        self._held.append((_as_floats(values), stamps + self._shift))
        if sum(len(each) for _, each in self._held) >= self._counter.wanted:
            marks.append(self._take_held(marks))
            if self._deliveries is not None:
                self._deliveries.add(self._counter.last / self._rate, time.time())
            else:
                await self._measure(now)
        return marks + list(self._read_markers())

    def _take_held(self, marks: list[Any]) -> Block:
        data, times = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        self._held = []
        return Block(self._numbered(times, marks), data)

    def _numbered(self, stamps: FloatArray, marks: list[Any]) -> npt.NDArray[np.int64]:
        before, first = len(self._counter.steps_back), self._counter.last < 0
        index = self._counter.count(stamps)
        for step in self._counter.steps_back[before:]:
            raise time_went_back(f"the LSL stream {self._name!r}", step)
        if first:
            details = {"tolerance": self._counter.tolerance / self._rate, "unit": "s"}
            marks.append(StreamMark("shortest gap that is seen", 0.0, details=details))
        return index

    def _device(self, stamp: float) -> float:
        """Return the stream's time of a timestamp: seconds since the first sample, at the nominal rate."""
        return self._counter.index(stamp) / self._rate if self._counter.last >= 0 else float("nan")

    async def _measure(self, now: float) -> None:
        """Relate the stream's clock to the host's, if it is time to."""
        if self._clock_is_measured and now - self._measured < self._clock_every:
            return
        inlet = self._inlet
        new = await asyncio.to_thread(time_correction, inlet, 0.5) if inlet is not None else None
        self._measured = now
        last = self._correction
        if new is None or (self._clock_is_measured and last is not None and new.remote == last.remote):
            return
        away = abs(new.remote + self._shift - self._counter.time(self._counter.last))
        if away < _SAME_CLOCK:
            self._correction = new
            self._relate(new)
        elif not self._clock_is_measured:
            _logger.warning(
                "%s: its timestamps are not on LSL's clock (%.3g s away); its clock is related by the times of arrival",
                self._name, away,
            )  # fmt: skip
            self._deliveries = FastestDeliveries(self.clock, 1.0 / self._rate)

    @property
    def _clock_is_measured(self) -> bool:
        return self.clock.count > 0

    def _relate(self, measured: TimeCorrection) -> None:
        to_unix = time.time() - self._lsl.local_clock()
        device = self._device(measured.remote + self._shift)
        if math.isfinite(device):
            self.clock.add(device, measured.remote + measured.offset + to_unix, measured.uncertainty)

    async def _check_outlet(self, marks: list[Any]) -> None:
        """After a break, see whether the stream has the outlet that it had."""
        self._checked = time.monotonic()
        wanted = {"name": self._asked["name"], "source_id": self._source_id()}
        try:
            found = await self._find(wanted, timeout=2.0)
        except SubstrateTimeout:
            return
        if found.uid() != self._outlet_id:
            inlet, full = await self._subscribe(found)
            await self._accept(inlet, full, marks)
            inlet.close_stream()

    async def _look_again(self, marks: list[Any]) -> None:
        """Look once for a stream that liblsl does not recover."""
        with suppress(SubstrateTimeout):
            found = await self._find(self._asked, timeout=1.0)
            if found.uid() != self._outlet_id:
                inlet, full = await self._subscribe(found)
                await self._accept(inlet, full, marks)
                self._inlet, self._gone = inlet, False

    async def _accept(self, inlet: "pylsl.StreamInlet", full: "pylsl.StreamInfo", marks: list[Any]) -> None:
        """Go on with another outlet, on the clock that the first one had."""
        if _form(full) != self._form:
            was, now = (
                "; ".join(f"{name} {each}" for name, each in form.items()) for form in (self._form, _form(full))
            )
            raise SubstrateDisconnected(
                f"the stream {full.name()!r} came back as another one: {now}", f"it was {was}", "enter it again"
            )
        self._outlet_id = full.uid()
        new, old = await asyncio.to_thread(time_correction, inlet, self._timeout), self._correction
        moved = 0.0
        if new is not None and old is not None:
            moved = new.offset - old.offset
            if abs(moved) <= 1e-3 + 3 * (new.uncertainty + old.uncertainty):
                moved = 0.0
            self._shift += moved
            self._correction = new if moved else old
        marks.append(StreamMark("another outlet", details={"clock_moved": moved, "unit": "s"}))

    def _source_id(self) -> str:
        return str(self._form["source id"])

    def _read_markers(self) -> list[StreamMark]:
        found: list[StreamMark] = []
        if self._counter.last < 0:
            return found  # they wait in their inlets until the samples have a clock
        for name, inlet in self._marker_inlets.items():
            with suppress(self._lsl.util.LostError):
                samples, stamps = inlet.pull_chunk(0.0, 4096)
                if not len(stamps):
                    continue
                away = self._away(inlet)
                for sample, stamp in zip(samples, stamps, strict=True):
                    label = ", ".join(str(each) for each in sample)
                    found.append(StreamMark(label, self._device(stamp + away), details={"stream": name}))
        return found

    def _away(self, inlet: "pylsl.StreamInlet") -> float:
        """Return what has to be added to a marker's timestamp for the clock of the samples."""
        theirs, ours = time_correction(inlet, 0.5), self._correction
        if theirs is None or ours is None:
            return self._shift
        away = theirs.offset - ours.offset
        return self._shift + (away if abs(away) > 3 * (theirs.uncertainty + ours.uncertainty) else 0.0)

    async def _find(self, wanted: dict[str, str], timeout: float | None = None) -> "pylsl.StreamInfo":
        predicate = " and ".join(f"{key}={_quoted(value)}" for key, value in wanted.items() if value)
        seconds = self._timeout if timeout is None else timeout
        found = await asyncio.to_thread(self._lsl.resolve_bypred, predicate, 1, seconds)
        if not found:
            raise SubstrateTimeout(
                f"no LSL stream with {predicate} was found within {seconds:g} s",
                "streams are found by multicast, or by KnownPeers and the SessionID of lsl_api.cfg",
                "start what sends it, and check that both have the same session id",
            )
        if timeout is None:
            found = await asyncio.to_thread(self._lsl.resolve_bypred, predicate, 2, 0.3) or found
        if len({each.uid() for each in found}) > 1:
            those = "; ".join(
                f"{each.type()}, source id {each.source_id()!r}, host {each.hostname()}" for each in found
            )
            if timeout is None:
                raise SubstrateDisconnected(
                    f"{len(found)} LSL streams have {predicate}", those, "add ?type=, ?source_id= or ?host="
                )
            found = sorted(found, key=lambda each: -each.created_at())
        return found[0]

    async def _subscribe(self, found: "pylsl.StreamInfo") -> tuple["pylsl.StreamInlet", "pylsl.StreamInfo"]:
        inlet = self._lsl.StreamInlet(found, max_buflen=360, recover=True)
        try:
            full = await asyncio.to_thread(inlet.info, self._timeout)
            await asyncio.to_thread(inlet.open_stream, self._timeout)
        except (TimeoutError, self._lsl.util.LostError):
            raise SubstrateTimeout(
                f"the LSL stream {found.name()!r} on {found.hostname()} was found, but does not answer",
                f"waited {self._timeout:g} s",
                "check whether a firewall closes its ports (16572 to 16604)",
            ) from None
        return inlet, full


_FORMATS = {1: "float32", 2: "double64", 3: "string", 4: "int32", 5: "int16", 6: "int8", 7: "int64"}


def _range(sample_format: int) -> tuple[float, float]:
    bits = {4: 32, 5: 16, 6: 8}.get(sample_format)
    return (-HIGHEST, HIGHEST) if bits is None else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def _form(full: "pylsl.StreamInfo") -> dict[str, Any]:
    """Return what has to be as before when a stream comes back."""
    channels, _ = channels_of(full, *_range(full.channel_format()))
    return {
        "source id": full.source_id(),
        "rate": full.nominal_srate(),
        "format": _FORMATS[full.channel_format()],
        "channels": [f"{channel.name} ({channel.unit})" for channel in channels],
    }


def _as_floats(values: npt.NDArray[Any]) -> FloatArray:
    if values.dtype == np.int64 and values.size and np.abs(values).max() > _EXACT_INTEGERS:
        raise SubstrateDisconnected(
            f"a sample is {np.abs(values).max()}", "numbers up to 2**53 are kept exactly", "send float64 or int32"
        )
    return np.asarray(values, dtype=np.float64)


def _quoted(text: str) -> str:
    """Quote text for a predicate of XPath, which has no escapes."""
    if "'" in text and '"' in text:
        raise SubstrateDisconnected(f"{text!r} has quotes of both kinds", "LSL can look for one kind only")
    return f'"{text}"' if "'" in text else f"'{text}'"
