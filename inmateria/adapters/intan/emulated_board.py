"""The board behind an emulated RHX: a simulated culture, stimulators, bands of signals and recordings, on one clock."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.bands import BandFilter, amplifier_words, dc_words, stimulation_words
from inmateria.adapters.intan.parameters import ParameterSet
from inmateria.adapters.intan.protocol import BLOCK, SPIKE_EVENT, encode_spikes, encode_waveform
from inmateria.adapters.intan.rhs_file import RhsFiles
from inmateria.adapters.intan.stimulator import MOST_STEPS, Played, Stimulators
from inmateria.adapters.tissue.culture_twin import CultureTwin
from inmateria.adapters.tissue.guard import PulseArray
from inmateria.adapters.tissue.stimulator_rounding import current_steps
from inmateria.substrate import SpikeArray

__all__ = ["EmulatedBoard"]

_logger = logging.getLogger(__name__)
_WAVES = ("", "Low", "High", "DC", "Stim")
"""Bands that have a value in each sample, in RHX's order."""
_PHASES = (("amplitude", "duration"), ("second_amplitude", "second_duration"))


class EmulatedBoard:
    """A culture with stimulators, advanced block by block while the board runs.

    Parameters
    ----------
    twin : CultureTwin
    settings : ParameterSet
        Of the controller.
    channels : dict of str to ParameterSet
        Of each electrode, in order.
    names : sequence of str
        Of the electrodes.
    speed : float
        Largest number of seconds of the culture's time per second.
    first_timestamp : int
    step : float
        Step size of the stimulation current, uA.
    resistance : float
        Of every electrode, ohm.

    Attributes
    ----------
    mode : str
        ``"Stop"``, ``"Run"`` or ``"Record"``.
    pulses : list of tuple
        Every pulse of the stimulators.
    not_simulated : int
        How many of them the culture does not simulate.
    """

    def __init__(
        self,
        twin: CultureTwin,
        settings: ParameterSet,
        channels: dict[str, ParameterSet],
        names: Sequence[str],
        *,
        speed: float,
        first_timestamp: int,
        step: float,
        resistance: float,
    ) -> None:
        self._twin, self.settings, self.channels, self.names = twin, settings, channels, list(names)
        self._speed, self._first, self._resistance = speed, first_timestamp, resistance
        self.stimulators = Stimulators(twin.electrodes, twin.rate, step)
        self._step = 1e-6 * step
        self._limit = np.array([channel.high for channel in twin.culture.info.inputs] or [np.inf])
        self._block = (0.0, 0.0)  # when the present block began: on the system's clock, on the twin's
        self.mode = "Stop"
        self._filters: dict[str, BandFilter] = {}
        self._shown = np.zeros((2, twin.electrodes), dtype=np.uint16)
        self._sent: dict[str, list[bool]] = {}
        self._recording: RhsFiles | None = None
        self._running = asyncio.Event()
        self.pulses: list[tuple[float, ...]] = []
        self.not_simulated = 0

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self._twin.rate

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.mode != "Stop"

    @property
    def timestamp(self) -> int:
        """The clock, before it wraps."""
        return self._first + self._twin.samples

    @property
    def armed(self) -> list[str]:
        """Names of the electrodes whose stimulators are armed."""
        return [self.names[k] for k in self.stimulators.armed]

    def start(self, mode: str, recording: RhsFiles | None) -> None:
        """Run, and record if there is a recording; it is closed by the board."""
        self.mode = mode
        if recording is not None:
            self._recording = recording
        self._filters.clear()
        self._sent = {}
        self._running.set()

    def stop(self) -> None:
        """Stop after the present block."""
        self.mode = "Stop"
        self._running.clear()

    def press(self, how: str, source: str) -> None:
        """Press a key of the software: "pulse", or "on" and "off" for as long as it is held."""
        if how == "off":
            self.stimulators.release(source)
        elif how == "on":
            self.stimulators.hold(source, self._present, self._speed * time.perf_counter())
        else:
            self.fire(source)

    @property
    def _present(self) -> int:
        """The sample that is taken now."""
        begun, at = self._block
        # If the machine is too slow, the twin's clock stands still at the end of a block.
        size = BLOCK * int(self.settings.values["tcpnumberdatablocksperwrite"])
        now = min(at + self._speed * (time.perf_counter() - begun), at + size / self._twin.rate)
        return max(self._twin.samples, int(now * self._twin.rate + 1e-6))

    def fire(self, source: str) -> None:
        """Trigger the armed electrodes of a source; on the chip a trigger is an edge."""
        if self.runs:
            self.stimulators.trigger(source, self._present, self._speed * time.perf_counter())

    def end_recording(self) -> None:
        """Close the recording, if there is one."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def _enabled(self, band: str) -> list[bool]:
        key = f"tcpdataoutputenabled{band}".lower()
        return [bool(channel.values[key]) for channel in self.channels.values()]

    async def run(self, send_waveforms: Callable[[bytes], None], send_spikes: Callable[[bytes], None]) -> None:
        """Advance the culture while the board runs, and send what it does."""
        while True:
            if not self._running.is_set():
                self.end_recording()
                await self._running.wait()
                self._block = (time.perf_counter(), self._twin.now)
            size = BLOCK * int(self.settings.values["tcpnumberdatablocksperwrite"])
            over = self._block[0] + size / self._twin.rate / self._speed
            await asyncio.sleep(max(0.0, over - time.perf_counter()))  # a block is sent once it is over
            wanted = {band: self._enabled(band) for band in (*_WAVES, "Spike")}
            if wanted != self._sent:
                self._sent = wanted
                self._read_magnitudes()
            played = self.stimulators.play(self._twin.samples, size)
            self.pulses += played.pulses.tolist()
            first = self.timestamp
            voltage = self._recording is not None or any(any(wanted[band]) for band in ("", "Low", "High"))
            spikes, words = await asyncio.to_thread(self._advance, size, played, voltage, wanted)
            if any(map(any, wanted.values())):
                send_waveforms(encode_waveform(first, words))
            chosen = spikes[np.array(wanted["Spike"], dtype=bool)[spikes["channel"]]]
            events = np.zeros(len(chosen), dtype=SPIKE_EVENT)
            events["channel"] = np.array(self.names, dtype="S5")[chosen["channel"]] if len(chosen) else b""
            stamps = self._first + np.floor(chosen["time"] * self._twin.rate).astype(np.int64)
            events["timestamp"] = stamps % (1 << 32)
            events["id"] = 1
            send_spikes(encode_spikes(events))
            # A block that took longer than it lasts is not made up for.
            self._block = (max(over, time.perf_counter() - size / self._twin.rate / self._speed), self._twin.now)

    def _advance(
        self, size: int, played: Played, with_voltage: bool, wanted: dict[str, list[bool]]
    ) -> tuple[SpikeArray, npt.NDArray[np.uint16]]:
        """Advance the culture; return its spikes, and the words of the bands that are sent, in RHX's order."""
        first = self.timestamp
        spikes, traces = self._simulate(size, played, with_voltage)
        electrode_voltage = played.steps.astype(np.float64) * (self._step * self._resistance)
        made: dict[str, npt.NDArray[np.uint16]] = {}
        if any(wanted["DC"]) or self._recording is not None:
            made["DC"] = dc_words(electrode_voltage)
        if any(wanted["Stim"]) or self._recording is not None:
            made["Stim"] = stimulation_words(played.steps, played.flags, electrode_voltage, self._shown)
        if traces is not None:
            volts = traces.astype(np.float64)
            made[""] = amplifier_words(volts)
            for name in ("Low", "High"):
                if any(wanted[name]):
                    made[name] = amplifier_words(self._filter(name)(volts))
        if self._recording is not None:
            try:
                self._recording.write(first, made[""], made["DC"], made["Stim"])
            except OSError as error:
                _logger.error("the recording is ended: %s", error)
                self.end_recording()
        columns = [
            made[band][:, electrode]
            for electrode in range(self._twin.electrodes)
            for band in _WAVES
            if wanted[band][electrode]
        ]
        return spikes, np.stack(columns, axis=1) if columns else np.zeros((size, 0), dtype=np.uint16)

    def _read_magnitudes(self) -> None:
        """Take the magnitudes that the stimulation band shows, as RHX does: when it starts, or other bands are sent."""
        step = 1e6 * self._step
        for electrode, channel in enumerate(self.channels.values()):
            both = [
                min(MOST_STEPS, current_steps(float(channel.values[f"{phase}phaseamplitudemicroamps"]), step))
                for phase in ("first", "second")
            ]
            self._shown[:, electrode] = both if channel.values["polarity"] == "PositiveFirst" else both[::-1]

    def _filter(self, band: str) -> BandFilter:
        if band not in self._filters:
            values, name = self.settings.values, "lowpass" if band == "Low" else "highpass"
            self._filters[band] = BandFilter(
                str(values[f"{name}filtertype"]), band == "High", float(values[f"{name}filtercutofffreqhertz"]),
                self._twin.rate,
            )  # fmt: skip
        return self._filters[band]

    def _simulate(
        self, size: int, played: Played, voltage: bool
    ) -> tuple[SpikeArray, npt.NDArray[np.floating[Any]] | None]:
        pulses = played.pulses
        answered = self._simulated(pulses) & ~played.third
        if not answered.all():
            self._say_not_simulated(pulses[~answered], played.third[~answered])
        try:
            return self._twin.advance(size, pulses[answered], voltage)
        except ValueError as error:
            _logger.warning("the culture refuses a pulse, and goes on without: %s", error)
            self.not_simulated += int(answered.sum())
            return self._twin.advance(size, pulses[:0], voltage)

    def _simulated(self, pulses: PulseArray) -> npt.NDArray[np.bool_]:
        """Return which pulses a culture can be given: within its limits, and with phases that leave no charge."""
        one, two = (pulses[name] * pulses[time] for name, time in _PHASES)
        limit = self._limit[np.minimum(pulses["electrode"], len(self._limit) - 1)] * (1 + 1e-9)
        most = np.maximum(np.abs(pulses["amplitude"]), np.abs(pulses["second_amplitude"]))
        balanced = np.abs(one + two) <= 1e-3 * np.maximum(np.abs(one), np.abs(two))
        return np.asarray((most <= limit) & balanced & (one != 0))

    def _say_not_simulated(self, pulses: PulseArray, third: npt.NDArray[np.bool_]) -> None:
        before, self.not_simulated = self.not_simulated, self.not_simulated + len(pulses)
        if before:
            return
        pulse, limit = pulses[0], self._limit[min(int(pulses[0]["electrode"]), len(self._limit) - 1)]
        _logger.warning(
            "%s: a pulse of %g uA for %g us, then %g uA for %g us%s is given, and not answered: the culture simulates "
            "pulses of two phases that leave no charge behind, up to %g uA; later ones are counted in not_simulated",
            self.names[int(pulse["electrode"])], 1e6 * pulse["amplitude"], 1e6 * pulse["duration"],
            1e6 * pulse["second_amplitude"], 1e6 * pulse["second_duration"], ", then a third phase" if third[0] else "",
            1e6 * limit,
        )  # fmt: skip
