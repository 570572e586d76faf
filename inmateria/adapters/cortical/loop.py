"""The blocking loop of Cortical Labs' SDK in a thread of its own: exchanges in by a queue, answers out by a call.

A tick brings the data of the period before it. What is released in a tick takes effect in the period that begins
with it, and is answered in the next tick.
"""

import gc
import math
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.adapters.tissue.culture_twin import Culture
from inmateria.adapters.tissue.guard import PulseLimits, TissueGuard, steady_time
from inmateria.adapters.tissue.pulse_log import log_name, log_path
from inmateria.pulses import PulseArray, biphasic
from inmateria.substrate import (
    SPIKE,
    FloatArray,
    Response,
    ResponseMismatch,
    SpikeArray,
    SubstrateDisconnected,
    SubstrateError,
)

if TYPE_CHECKING:
    import cl

__all__ = ["CHANNELS", "FRAMES_PER_SECOND", "STIMMABLE", "Exchange", "Opened", "TickLoop", "lengthen_patience"]

CHANNELS = 64
FRAMES_PER_SECOND = 25_000
STIMMABLE = tuple(channel for channel in range(CHANNELS) if channel not in (0, 4, 7, 56, 63))
"""Electrodes that may be stimulated; the others are ground or reference."""
_COLUMN = {channel: column for column, channel in enumerate(STIMMABLE)}

_LEAD = 80e-6  # s from the call to the pulse, the SDK's least
_PATIENCE = 30.0  # s
_GRACE = 0.25  # of a tick that is waited for the next exchange of a closed loop
_ADMISSION = 5e-5  # s that it takes at most to check and log one pulse
_SOURCE = "inmateria.adapters.cortical.source:culture_source"

Answer = Callable[[Response | BaseException], None]


@dataclass(frozen=True)
class Opened:
    """The device that was opened: a simulator or not, and what it states of itself (`cl.get_system_attributes`)."""

    simulated: bool
    attributes: dict[str, Any] = field(default_factory=dict)

    def stated(self, name: str) -> str:
        """Return an attribute as a word, empty where it is not stated."""
        return str(self.attributes.get(name) or "").strip()


class Exchange:
    """One stimulus on its way through the loop.

    Parameters
    ----------
    drive : ndarray of float, shape (ticks, 59)
        A, for each of `STIMMABLE`.
    answer : callable
        Called once from the thread, with the response or the error in its place.
    """

    def __init__(self, drive: FloatArray, answer: Answer) -> None:
        self.drive, self.answer = drive, answer
        self.given_up = threading.Event()
        """Set by the caller when it no longer wants the rest."""
        self.dropped = 0
        """Pulses that came too late and were not given."""
        self.lost = 0
        """Frames that the device did not hand over."""
        self.confirmed = np.zeros(drive.shape, dtype=bool)
        """For each value of the drive, whether the device said that it gave the pulse."""
        self.wait = 0  # ticks until row 0
        self.row = -1  # the last that was released
        self.start = 0  # frame in which row 0 begins
        self.counts = np.zeros((len(drive), 1, CHANNELS))
        self.spikes: list[SpikeArray] = []
        self.row_of_pulse, self.column_of_pulse = np.nonzero(drive)
        self.first = np.searchsorted(self.row_of_pulse, np.arange(len(drive) + 1))  # pulse of each row
        self.pulses: PulseArray | None = None  # once admitted

    def pulses_of_row(self, row: int) -> PulseArray:
        """Return the pulses of one row."""
        assert self.pulses is not None
        return self.pulses[self.first[row] : self.first[row + 1]]

    def pulses_after(self, row: int) -> PulseArray:
        """Return the pulses of all later rows."""
        assert self.pulses is not None
        return self.pulses[self.first[row + 1] :]


class TickLoop(threading.Thread):
    """The thread; start it, `ask` it, `close` it.

    Parameters
    ----------
    rate : int
        Ticks per second.
    phase : float
        Duration of each phase of a pulse, s.
    limits : PulseLimits
    log : str
        Where a device's pulses are written, as `log_path` reads it.
    accelerated : bool
    culture : (str, dict)
        Class and parameters of the culture in the simulator.
    ready : callable
        Called once from the thread, with what was opened or the error.
    """

    def __init__(
        self,
        rate: int,
        phase: float,
        limits: PulseLimits,
        log: str,
        accelerated: bool,
        culture: tuple[str, dict[str, Any]],
        ready: Callable[[Opened | BaseException], None],
    ) -> None:
        super().__init__(name="loop of the CL1")
        self._rate, self._limits, self._log = rate, limits, log
        self._phase = 1e-6 * round(1e6 * phase)  # as the SDK takes it
        self._accelerated, self._culture, self._ready = accelerated, culture, ready
        self._asked: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        # A pulse that late is still its least interval away from one of the next tick.
        self._grace = max(0.0, min(_GRACE / rate, 1 / rate - limits.interval))
        self._sequence = 0
        self._read: int | None = None  # first frame that no tick has brought
        self._lost = 0  # frames before those of the last tick that none has brought
        self._gone: BaseException | None = None

    def ask(self, exchange: Exchange) -> None:
        """Queue an exchange; it is answered also where the loop has ended."""
        self._asked.put(exchange)
        if self._gone is not None:
            self._refuse(self._gone)

    def close(self) -> None:
        """Leave the loop after what is under way; to be joined then."""
        self._asked.put(None)

    def run(self) -> None:
        """Open the device, and go round until closed."""
        current: Exchange | None = None
        held: Exchange | None = None  # asked for, not yet begun
        gone: BaseException = SubstrateDisconnected("the CL1 has been closed", "", "enter it again")
        try:
            with ExitStack() as exits:
                neurons, opened = exits.enter_context(self._device())
                self._frames = neurons.timestamp
                # The device counts frames from its own start. A log outlives that, so its times are since 1970.
                self._origin = steady_time() - neurons.timestamp() / FRAMES_PER_SECOND
                self._now = self._time(neurons.timestamp())
                system = opened.stated("system_id") or opened.stated("hostname") or socket.gethostname()
                log = None if opened.simulated else log_path(self._log, log_name("cl1", system))
                guard = exits.enter_context(TissueGuard(self._limits, log, lambda: self._now))
                self._ready(opened)
                for tick in neurons.loop(self._rate, ignore_jitter=True):
                    self._follow(tick.analysis.start_timestamp, tick.analysis.stop_timestamp)
                    self._now = self._time(tick.iteration_timestamp)
                    before = current
                    if current is not None:
                        current = self._collect(current, tick, guard)
                    # A closed loop asks again as soon as it is answered, and is let into the tick that answered.
                    answered, frame = before is not None and current is None, tick.iteration_timestamp
                    while current is None:
                        try:
                            held = held or self._next(answered)
                        except queue.Empty:
                            break
                        if held is None:
                            return
                        waited = answered and not self._accelerated
                        if waited and neurons.timestamp() - frame > self._grace * FRAMES_PER_SECOND:
                            break  # too late for this tick: it begins with the next
                        taken, held = held, None
                        current = self._begin(taken, frame, guard)
                    if current is not None:
                        self._release(current, frame, neurons, guard)
        except BaseException as error:  # of the SDK or of ours: the thread would end silently
            gone = (
                error
                if isinstance(error, SubstrateError)
                else SubstrateDisconnected(
                    f"the loop of the CL1 has ended ({type(error).__name__}: {error})", "", "enter it again"
                )
            )
            self._ready(gone)
        finally:
            self._gone = gone
            for exchange in (current, held):
                if exchange is not None:
                    exchange.answer(gone)
            self._refuse(gone)

    def _refuse(self, gone: BaseException) -> None:
        while True:
            try:
                exchange = self._asked.get_nowait()
            except queue.Empty:
                return
            if exchange is not None:
                exchange.answer(gone)

    def _next(self, answered: bool) -> "Exchange | None":
        """Take the next exchange; raise `queue.Empty` where none comes soon enough for this tick."""
        if self._accelerated:
            return self._asked.get()
        return self._asked.get(timeout=self._grace) if answered and self._grace else self._asked.get_nowait()

    def _begin(self, exchange: Exchange, frame: int, guard: TissueGuard) -> Exchange | None:
        """Check and log all pulses of an exchange that begins with this tick; None where it may not.

        In real time an exchange of very many pulses begins as many ticks later as checking them may take. Where the
        loop is behind the device, it begins in the device's present, an interval after pulses that were given late.
        """
        row, column = exchange.row_of_pulse, exchange.column_of_pulse
        later = 0.0 if self._accelerated else _ADMISSION * len(row)
        behind = 0.0 if self._accelerated else (self._frames() - frame) / FRAMES_PER_SECOND
        if behind > (self._grace or 1 / self._rate):
            later += behind + self._limits.interval
        exchange.wait = math.ceil(later * self._rate) if later > self._grace else 0
        exchange.start = frame + exchange.wait * FRAMES_PER_SECOND // self._rate
        times = self._time(exchange.start) + row / self._rate + _LEAD
        pulses = biphasic(times, np.array(STIMMABLE)[column], -exchange.drive[row, column], self._phase)
        if exchange.given_up.is_set():
            return None
        try:
            guard.admit(pulses)
        except SubstrateError as error:
            exchange.answer(error)
            return None
        exchange.pulses = pulses
        return exchange

    def _release(self, exchange: Exchange, frame: int, neurons: "cl.Neurons", guard: TissueGuard) -> None:
        """Return the pulses of one tick, those of one current together; those that come too late are dropped."""
        import cl

        if exchange.wait:
            exchange.wait -= 1
            return
        exchange.row += 1
        pulses = exchange.pulses_of_row(exchange.row)
        if not pulses.size:
            return
        present = frame if self._accelerated else max(frame, neurons.timestamp())
        at = pulses["time"] if present == frame else self._time(present) + _LEAD
        allowed = guard.release(pulses, at)
        exchange.dropped += int(np.count_nonzero(~allowed))
        phase = round(1e6 * self._phase)
        for current in np.unique(pulses["amplitude"][allowed]).tolist():
            electrodes = pulses["electrode"][allowed & (pulses["amplitude"] == current)].tolist()
            neurons.stim(cl.ChannelSet(*electrodes), cl.StimDesign(phase, 1e6 * current, phase, -1e6 * current))

    def _time(self, frame: int) -> float:
        """Return the time of a frame of the device, s since 1970."""
        return float(self._origin + frame / FRAMES_PER_SECOND)

    def _collect(self, exchange: Exchange, tick: "cl.LoopTick", guard: TissueGuard) -> Exchange | None:
        """Take the spikes and stims of the last period; None when that was all of the exchange."""
        if exchange.given_up.is_set():
            guard.withdraw(exchange.pulses_after(exchange.row))
            return None
        if exchange.row < 0:
            return exchange
        found = tick.analysis.spikes
        spikes = np.array([(each.timestamp / FRAMES_PER_SECOND, each.channel) for each in found], dtype=SPIKE)
        exchange.spikes.append(np.sort(spikes, order="time"))
        np.add.at(exchange.counts[exchange.row, 0], spikes["channel"], 1.0)
        if self._lost:  # a count of a part of the period would read as one of all of it
            exchange.lost += self._lost
            exchange.counts[exchange.row] = np.nan
        self._confirm(exchange, tick)
        if exchange.row + 1 < len(exchange.drive):
            return exchange
        start = exchange.start / FRAMES_PER_SECOND
        exchange.answer(Response(exchange.counts, np.concatenate(exchange.spikes), start, self._sequence))
        self._sequence += 1
        return None

    def _follow(self, begin: int, end: int) -> None:
        """Note which frames a tick has brought, and how many are missing before them."""
        if self._read is not None and begin < self._read:
            raise ResponseMismatch(
                f"the CL1's time went back, from frame {self._read} to {begin}",
                "its frames are counted up",
                "enter it again",
            )
        self._lost, self._read = 0 if self._read is None else begin - self._read, end

    def _confirm(self, exchange: Exchange, tick: "cl.LoopTick") -> None:
        """Note which pulses the device says it gave; one that was given late belongs to the row before."""
        for stim in tick.analysis.stims:
            row = min(exchange.row, (stim.timestamp - exchange.start) * self._rate // FRAMES_PER_SECOND)
            column = _COLUMN.get(stim.channel)
            while row >= 0 and column is not None:
                if exchange.drive[row, column] and not exchange.confirmed[row, column]:
                    exchange.confirmed[row, column] = True
                    break
                row -= 1

    @contextmanager
    def _device(self) -> "Iterator[tuple[cl.Neurons, Opened]]":
        """Open the device, or the simulator with the culture in it."""
        import cl

        simulated = cl.is_simulator()
        if self._accelerated and not simulated:
            raise SubstrateDisconnected("accelerated time was asked of a device", "only a simulator has that")
        culture, parameters = self._culture
        if simulated:
            # Compiled here first, for the SDK's process to find: it gives up on one that keeps it waiting.
            make_culture(culture, parameters).run(1e-3, voltage=True)
        with _environment(CL_SDK_ACCELERATED_TIME=str(int(self._accelerated)), CL_SDK_VISUALISATION="0"):
            if simulated:
                cl.sim.set_simulator_data_source(
                    _SOURCE,
                    config={"culture": culture, "parameters": parameters},
                    metadata=cl.sim.SimulatorDataSourceMetadata(
                        channel_count=CHANNELS, duration_frames=None, seekable=False
                    ),
                )
            try:
                with cl.open() as neurons:
                    if simulated and self._accelerated:
                        lengthen_patience(neurons)
                    gc.enable()  # the SDK switches it off for the whole process, which is not ours alone
                    yield neurons, Opened(simulated, {} if simulated else cl.get_system_attributes())
            finally:
                if simulated:
                    cl.sim.clear_simulator_data_source()  # which ends the SDK's processes too


def make_culture(place: str, parameters: dict[str, Any]) -> Culture:
    """Make a culture from where its class is, ``"package.module:Name"``, and its parameters."""
    module, _, name = place.partition(":")
    made: Culture = getattr(import_module(module), name)(**parameters)
    return made


def lengthen_patience(neurons: "cl.Neurons") -> None:
    """Have the simulator wait for its own process as long as a busy machine takes (docs/decisions/0652)."""
    buffer = getattr(neurons, "_shared_buffer", None)
    wait = getattr(buffer, "wait_for_timestamp", None)
    if wait is not None:
        buffer.wait_for_timestamp = lambda timestamp, timeout_seconds=0.0: wait(  # type: ignore[union-attr]
            timestamp, timeout_seconds=max(timeout_seconds, _PATIENCE)
        )


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    """Set variables that the SDK reads, for a while."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
