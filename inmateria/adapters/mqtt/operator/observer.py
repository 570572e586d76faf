"""Observe devices without controlling them: list those on a broker, and follow one of them."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from inmateria.adapters.mqtt.wire.address import ROOT, Address
from inmateria.adapters.mqtt.wire.announcements import OFFLINE, Status
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, address_of, place_of
from inmateria.adapters.mqtt.wire.frames import Frame, Header, Kind, decode, response_of
from inmateria.adapters.mqtt.wire.link_protocol import LinkLost
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.adapters.mqtt.wire.parts import PartAssembler
from inmateria.adapters.uri import shown
from inmateria.one_line import one_line
from inmateria.substrate import SubstrateDisconnected, SubstrateError, SubstrateInfo, UnknownSubstrate

__all__ = ["Device", "Observation", "OnExchange", "find_devices", "observe"]

_SAMPLES = 240
_RATED = 5.0
_STIMULI, _STIMULUS_BYTES, _SESSIONS = 4096, 1 << 26, 1024
_LISTENING = 0.5
_ANNOUNCED: Any = msgspec.json.Decoder(SubstrateInfo)
_STATUS: Any = msgspec.json.Decoder(Status)

OnExchange = Callable[[Frame | None, Frame], None]
"""Called with the frame of a stimulus, None if it was not heard, and that of its response."""


@dataclass(frozen=True)
class Device:
    """The announcements of a device on a broker."""

    uri: str
    info: SubstrateInfo
    status: Status


@dataclass
class Observation:
    """Messages of a device as an observer has counted them.

    Attributes
    ----------
    status : Status or None
    info : SubstrateInfo or None
    responses, steps, spikes, refused : int
        Counted since the observer subscribed; what is sent again counts once.
    refusal : str
        The last refusal in words.
    rate : float
        Responses a second, over about the last second.
    round_trip : float
        Seconds from a stimulus to its response as they pass the observer, median of the last 100; NaN where
        the broker lets the observer read no stimuli.
    recent : ndarray of float, shape (samples, outputs)
        The last samples of the signal, at most 240; with `on_exchange`, no more than the last of each response.
    spikes_by_output : ndarray of int, shape (outputs,)
        Spikes of each output since the observer subscribed; empty before the first response with spikes.
    spike_rates : ndarray of float, shape (outputs,)
        Spikes a second of each output by the device's clock, over the last 5 s of responses, at most 240, without the
        latest: how long it lasted is known by the next one. NaN before there are two.
    recent_rates : ndarray of float, shape (responses, outputs)
        The same for each of these responses.
    """

    status: Status | None = None
    info: SubstrateInfo | None = None
    responses: int = 0
    steps: int = 0
    spikes: int = 0
    refused: int = 0
    refusal: str = ""
    rate: float = 0.0
    on_exchange: OnExchange | None = field(default=None, repr=False)
    _parts: PartAssembler = field(default_factory=PartAssembler, repr=False)
    _began: float = field(default_factory=time.monotonic, repr=False)
    _passed: dict[tuple[str, int], tuple[float, Frame | None]] = field(default_factory=dict, repr=False)
    _passed_bytes: int = field(default=0, repr=False)
    _answered: OrderedDict[str, int] = field(default_factory=OrderedDict, repr=False)
    _trips: deque[float] = field(default_factory=lambda: deque(maxlen=100), repr=False)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=4096), repr=False)
    _signals: deque[np.ndarray[Any, Any]] = field(default_factory=lambda: deque(maxlen=_SAMPLES), repr=False)
    _counts: deque[tuple[float, np.ndarray[Any, Any]]] = field(
        default_factory=lambda: deque(maxlen=_SAMPLES), repr=False
    )
    spikes_by_output: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    __repr__ = one_line

    @property
    def watched(self) -> float:
        """Seconds since the observer subscribed."""
        return time.monotonic() - self._began

    @property
    def round_trip(self) -> float:
        """Median of the last round trips, s."""
        return float(np.median(self._trips)) if self._trips else float("nan")

    @property
    def recent(self) -> np.ndarray[Any, Any]:
        """The last samples of the signal, shape (samples, outputs)."""
        return np.concatenate(self._signals)[-_SAMPLES:] if self._signals else np.empty((0, 0))

    @property
    def spike_rates(self) -> np.ndarray[Any, Any]:
        """Spikes a second of each output, over the last responses."""
        durations, counts = self._ended_responses()
        if not len(durations):
            return np.full(len(self.spikes_by_output), np.nan)
        last = np.cumsum(durations[::-1])[::-1] <= max(_RATED, durations[-1])
        rates: np.ndarray[Any, Any] = counts[last].sum(axis=0) / durations[last].sum()
        return rates

    @property
    def recent_rates(self) -> np.ndarray[Any, Any]:
        """Spikes a second of each output in each of the last responses, shape (responses, outputs)."""
        durations, counts = self._ended_responses()
        rates: np.ndarray[Any, Any] = counts / durations[:, np.newaxis]
        return rates

    def _ended_responses(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return duration and spikes of each output of the responses after which another one began."""
        durations = np.diff([start for start, _ in self._counts])
        counts = np.array([each for _, each in self._counts][:-1]).reshape(len(durations), len(self.spikes_by_output))
        return durations, counts

    def _count_spikes(self, start: float, channels: np.ndarray[Any, Any], outputs: int) -> None:
        """Count the spikes of a response; a clock that was set back begins the rates anew."""
        counts = np.bincount(channels, minlength=outputs)[:outputs]
        if len(self.spikes_by_output) != outputs:
            self.spikes_by_output = np.zeros(outputs, dtype=np.int64)
            self._counts.clear()
        if self._counts and start <= self._counts[-1][0]:
            self._counts.clear()
        self.spikes += len(channels)
        self.spikes_by_output = self.spikes_by_output + counts
        self._counts.append((start, counts))

    def hear(self, address: Address, topic: str, payload: bytes) -> None:
        """Count a message of the device or to it; one that cannot be read is ignored."""
        try:
            if topic == address.topic("info"):
                self.info = _ANNOUNCED.decode(payload)
            elif topic == address.topic("status"):
                self.status = _STATUS.decode(payload)
            else:
                self._hear_frame(topic, "/stimulus/" in topic, payload)
        except (SubstrateError, msgspec.MsgspecError, ValueError):
            return

    def tick(self) -> None:
        """Update the rate."""
        now = time.monotonic()
        while self._times and now - self._times[0] > 1.0:
            self._times.popleft()
        self.rate = float(len(self._times))

    def _hear_frame(self, topic: str, sent: bool, payload: bytes) -> None:
        frame, now = decode(payload), time.monotonic()
        if frame.header.kind is Kind.PART:
            whole = self._parts.add(frame, topic)
            if whole is None:
                return
            frame = whole
        if sent:
            self._hear_stimulus(frame, now)
        elif frame.header.kind in (Kind.RESPONSE, Kind.REFUSED, Kind.DONE):
            self._hear_answer(frame, now)

    def _hear_stimulus(self, frame: Frame, now: float) -> None:
        header = frame.header
        key = (header.session, header.sequence)
        if header.kind is not Kind.STIMULUS or key in self._passed:
            return
        size = 0 if frame.array is None or self.on_exchange is None else frame.array.nbytes
        if len(self._passed) >= _STIMULI or self._passed_bytes + size > _STIMULUS_BYTES:
            self._passed.clear()
            self._passed_bytes = 0
        self._passed[key] = (now, frame if self.on_exchange else None)
        self._passed_bytes += size

    def _hear_answer(self, frame: Frame, now: float) -> None:
        header = frame.header
        began, stimulus = self._passed.pop((header.session, header.sequence), (None, None))
        if stimulus is not None and stimulus.array is not None:
            self._passed_bytes -= stimulus.array.nbytes
        if self._is_answered(header):
            return
        if header.kind is Kind.REFUSED:
            self.refused += 1
            self.refusal = "; ".join(word for word in header.error[1:] if word)
        elif header.kind is Kind.RESPONSE and self.info is not None:
            response = response_of(_with_last_rows(frame, 1 if self.on_exchange else _SAMPLES), self.info)
            if began is not None:
                self._trips.append(now - began)
            self.responses += 1
            self._times.append(now)
            if response.spikes is not None:
                self._count_spikes(response.start, response.spikes["channel"], len(self.info.outputs))
            if response.signal is not None:
                assert frame.array is not None
                self.steps += len(frame.array)
                rows = response.signal.reshape(-1, response.signal.shape[-1])
                if self._signals and self._signals[-1].shape[1] != rows.shape[1]:
                    self._signals.clear()
                self._signals.append(np.array(rows, dtype=np.float64))
            if self.on_exchange is not None:
                self.on_exchange(stimulus, frame)

    def _is_answered(self, header: Header) -> bool:
        """Return whether an answer was heard before; note it if not."""
        if header.sequence < 0:
            return False
        if header.sequence <= self._answered.get(header.session, -1):
            return True
        self._answered[header.session] = header.sequence
        self._answered.move_to_end(header.session)
        if len(self._answered) > _SESSIONS:
            self._answered.popitem(last=False)
        return False


def _with_last_rows(frame: Frame, most: int) -> Frame:
    """Return a frame with no more than the last samples of its signal, so that no others are converted."""
    signal = frame.array
    if signal is None or signal.ndim != 3 or signal.shape[0] * signal.shape[1] <= most:
        return frame
    return Frame(frame.header, signal.reshape(-1, 1, signal.shape[-1])[-most:], frame.spikes)


async def observe(
    uri: str, *, every: float = 0.25, timeout: float = 5.0, on_exchange: OnExchange | None = None
) -> AsyncIterator[Observation]:
    """Observe a device without a lease, and yield the counts so far at regular intervals.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``, ``unix:///path`` or ``tcp://host:port/group/device``.
    every : float
        Seconds between two updates.
    timeout : float
        Seconds to wait for the broker.
    on_exchange : callable, optional
        Called with each response as it comes, and the stimulus that it answers, both frames as they were sent.

    Yields
    ------
    Observation
        Counts so far; the same object each time, updated.

    Raises
    ------
    SubstrateDisconnected
        If no broker answers, or the connection is lost.
    """
    broker, address = place_of(uri), address_of(uri)
    seen = Observation(on_exchange=on_exchange)
    async with open_link(broker, timeout=timeout) as link:
        await link.subscribe(
            *(address.topic(each) for each in ("info", "status")),
            *(address.topic(each, "+", "+") for each in ("stimulus", "response")),
        )

        async def listen() -> None:
            async for topic, payload, _ in link.messages():
                seen.hear(address, topic, payload)

        listening = asyncio.create_task(listen())
        try:
            while True:
                await asyncio.wait({listening}, timeout=every)
                seen.tick()
                yield seen
                if listening.done():
                    listening.result()
        except LinkLost as error:
            raise SubstrateDisconnected(
                f"the connection to {broker} was lost while {address} was watched ({error})", "", "watch it again"
            ) from None
        finally:
            listening.cancel()
            await asyncio.wait({listening})


def _filter_of(uri: str) -> tuple[str, str]:
    """Return the group and the name that a URI restricts a search to; ``+`` stands for any."""
    names = [name for name in urlsplit(uri).path.split("/") if name]
    if len(names) > 2:
        raise UnknownSubstrate(
            f"{shown(uri)!r} names no devices", "mqtt://host lists all of them, mqtt://host/group those of one group"
        )
    group, device = (*names, "+", "+")[:2]
    Address.named(group.replace("+", "any"), device.replace("+", "any"))
    return group, device


async def find_devices(uri: str, *, timeout: float = 5.0) -> list[Device]:
    """Return the devices that have announced themselves on a broker, in order of their addresses.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port``, or ``mqtt://host:port/group`` for the devices of one group; or the address of a socket,
        which has one device.
    timeout : float
        Seconds to wait for the broker. Announcements are then collected until there has been none for half a second.

    Raises
    ------
    UnknownSubstrate
        If the URI names no broker, or has a path that is no group or device.
    """
    broker = place_of(uri)
    at_socket = isinstance(broker, DeviceSocket)
    only = address_of(uri) if at_socket else None
    group, device = _filter_of(uri) if only is None else (only.group, only.device)
    infos: dict[Address, SubstrateInfo] = {}
    statuses: dict[Address, Status] = {}
    async with open_link(broker, timeout=timeout) as link:
        await link.subscribe(*(f"{ROOT}/{group}/{device}/{word}" for word in ("info", "status")))
        messages = link.messages()
        try:
            while True:
                async with asyncio.timeout(_LISTENING):
                    topic, payload, _ = await anext(messages)
                _, _, of_group, of_name, word = topic.split("/")
                try:
                    if word == "info":
                        infos[Address(of_group, of_name)] = _ANNOUNCED.decode(payload)
                    else:
                        statuses[Address(of_group, of_name)] = _STATUS.decode(payload)
                except (msgspec.MsgspecError, ValueError):
                    continue
        except TimeoutError:
            pass
        except LinkLost as error:
            raise SubstrateDisconnected(f"the connection to {broker} was lost ({error})", "", "try again") from None
    unknown = Status(OFFLINE, "")
    return [
        Device(shown(uri) if at_socket else f"{broker}/{address}", infos[address], statuses.get(address, unknown))
        for address in sorted(infos, key=str)
    ]
