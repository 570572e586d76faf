"""A soft twin of an Intan RHS controller behind RHX: the same three TCP ports, over a simulated culture.

It behaves as RHX does, awkward parts included: replies without an end, silence on ``set``, commands read piece by
piece and never joined, 32-bit timestamps that wrap, durations rounded to samples and currents to steps, no check
that settings fit together, stimulation that stays armed for the next client, and data only while it runs. A pulse
begins at the sample at which its trigger arrived. If the machine is too slow, the twin's clock is slow. What it cannot
do, it answers with an error that says so.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.bands import BandFilter, amplifier_words, dc_words, stimulation_words
from inmateria.adapters.intan.parameters import CHANNEL, GLOBAL, ParameterSet
from inmateria.adapters.intan.protocol import BLOCK, SPIKE_EVENT, encode_spikes, encode_waveform
from inmateria.adapters.intan.rhs_file import RhsFiles
from inmateria.adapters.intan.stimulator import MOST_STEPS, Played, Stimulators
from inmateria.adapters.intan.whole_writes import WholeWrites
from inmateria.adapters.tissue.culture_twin import Culture, CultureTwin
from inmateria.adapters.tissue.guard import PulseArray
from inmateria.adapters.tissue.stimulator_rounding import current_steps
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import SpikeArray

__all__ = ["IntanEmulator"]

_logger = logging.getLogger(__name__)
_PORT = 32  # electrodes of one port
_WAVES = ("", "Low", "High", "DC", "Stim")
"""Bands that have a value in each sample, in RHX's order."""
_MOST_UNREAD = 64 << 20  # bytes that a client may leave unread before it is disconnected
_STOPPED_ACTIONS = {
    "uploadampsettlesettings": "UploadAmpSettleSettings",
    "uploadchargerecoverysettings": "UploadChargeRecoverySettings",
    "uploadbandwidthsettings": "UploadBandwidthSettings",
    "uploadstimparameters": "UploadStimParameters",
    "rescanports": "RescanPorts",
}
_KEYS = tuple(f"f{k}" for k in range(1, 9))
_NOT_EMULATED = ("measureimpedance", "saveimpedance", "setspikedetectionthresholds")
_CONNECTING = tuple(f"{do}tcp{what}dataoutput" for do in ("connect", "disconnect") for what in ("waveform", "spike"))


class IntanEmulator:
    """Emulator of Intan's RHX with a simulated culture; enter it, and connect to its `uri`.

    A pulse that the culture does not simulate (beyond its limit, or with phases that leave charge behind) is given by
    the emulator's stimulators, and shows in `pulses` and in the stimulation and DC bands; the culture does not answer
    it, which is logged.

    Parameters
    ----------
    culture : Culture
        Culture to simulate; its electrodes are the channels A-000 to A-031, B-000 to B-031 and so on.
    speed : float
        Largest number of seconds of the culture's time per second.
    host : str
    ports : (int, int, int)
        Ports of commands, waveforms and spikes; 0 takes a free one. RHX itself uses 5000, 5001 and 5002.
    first_timestamp : int
        First value of its 32-bit clock, for tests of its overflow.
    step : float
        Step size of the stimulation current, uA.
    version : str
        Version of RHX. Up to 3.0 the controller's type is ``ControllerStimRecordUSB2``, which older scripts expect.
    resistance : float
        Resistance of every electrode, ohm: the DC band has the voltage of the stimulation current over it.

    Attributes
    ----------
    pulses : list of tuple
        Every pulse of the stimulators, as `PULSE`, on the emulator's clock.
    not_simulated : int
        How many of them the culture does not simulate.
    commands : list of str
        Every command received.
    """

    def __init__(
        self,
        culture: Culture,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        ports: tuple[int, int, int] = (0, 0, 0),
        first_timestamp: int = 0,
        step: float = 0.1,
        version: str = "3.4.0",
        resistance: float = 1e5,
    ) -> None:
        self._twin = CultureTwin(culture)
        self._speed, self._host, self._ports, self._first = speed, host, ports, first_timestamp
        self._resistance = resistance
        self._names = [f"{'ABCDEFGH'[k // _PORT]}-{k % _PORT:03d}" for k in range(self._twin.electrodes)]
        kind = "ControllerStimRecordUSB2" if _is_old(version) else "ControllerStimRecord"
        own = {"StimStepSizeMicroAmps": f"{step:g}", "Version": version, "Type": kind}
        self._settings = ParameterSet(replace(each, default=own.get(each.name, each.default)) for each in GLOBAL)
        self._channels = {name.lower(): ParameterSet(CHANNEL) for name in self._names}
        self._files = {
            "filename": {"path": "", "basefilename": ""},
            "impedancefilename": {"path": "", "basefilename": ""},
        }
        self._stimulators = Stimulators(self._twin.electrodes, self._twin.rate, step)
        self._step = 1e-6 * step
        self._limit = np.array([channel.high for channel in culture.info.inputs] or [np.inf])
        self._block = (0.0, 0.0)  # when the present block began: on the system's clock, on the twin's
        self._mode = "Stop"
        self._filters: dict[str, BandFilter] = {}
        self._shown = np.zeros((2, self._twin.electrodes), dtype=np.uint16)
        self._sent: dict[str, list[bool]] = {}
        self._recording: RhsFiles | None = None
        self._running = asyncio.Event()
        self._responsive = asyncio.Event()
        self._responsive.set()
        self._waveforms: set[asyncio.StreamWriter] = set()
        self._spikes: set[asyncio.StreamWriter] = set()
        self._writes: dict[asyncio.StreamWriter, WholeWrites] = {}
        self._exits = AsyncExitStack()
        self.pulses: list[tuple[float, ...]] = []
        self.not_simulated = 0
        self.commands: list[str] = []

    @property
    def uri(self) -> str:
        """URI of the emulator, for `connect`."""
        command, waveform, spike = self._ports
        ports = f"waveforms={waveform}&spikes={spike}&channels={min(_PORT, self._twin.electrodes)}"
        return f"intan://{self._host}:{command}?{ports}&id=twin-{self._twin.culture.info.id}&log=none"

    def freeze(self) -> None:
        """Stop executing commands, as RHX does while a dialog is open; they are queued, and data continue."""
        self._responsive.clear()

    def thaw(self) -> None:
        """Execute commands again after `freeze`."""
        self._responsive.set()

    def external_trigger(self, source: str) -> None:
        """Trigger the electrodes armed for an input of the controller, for instance ``"DigitalIn01"``."""
        self._fire(source.lower())

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            servers = [
                await asyncio.start_server(serve, self._host, port)
                for serve, port in zip((self._commanded, self._watched, self._listened), self._ports, strict=True)
            ]
            self._ports = tuple(server.sockets[0].getsockname()[1] for server in servers)
            await asyncio.to_thread(self._twin.advance, BLOCK)  # compiles what needs to be before a client waits
            self._handlers: set[asyncio.Task[None]] = set()
            board = asyncio.create_task(self._run(), name="emulated board")

            async def close() -> None:
                for server in servers:
                    server.close()
                await cancel_and_wait(board, *self._handlers)
                self._end_recording()
                for server in servers:
                    await server.wait_closed()

            exits.push_async_callback(close)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _commanded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with aclosing(self._received(reader, writer)) as received:
            async for data in received:
                await self._responsive.wait()
                said = "".join(self._obey(command.strip()) for command in data.decode("utf-8", "replace").split(";"))
                writer.write(said.encode("latin-1", "replace"))
                await writer.drain()

    async def _watched(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._waveforms.add(writer)
        async for _ in self._received(reader, writer):
            pass

    async def _listened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spikes.add(writer)
        async for _ in self._received(reader, writer):
            pass

    async def _received(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncGenerator[bytes]:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                while data := await reader.read(65536):
                    yield data
        finally:
            self._handlers.discard(task)
            self._waveforms.discard(writer)
            self._spikes.discard(writer)
            if writer in self._writes:
                self._writes.pop(writer).close()
            writer.close()

    def _obey(self, command: str) -> str:
        """Execute one command and return RHX's reply."""
        if not command:
            return ""
        self.commands.append(command)
        match command.split(maxsplit=2):
            case [verb, name] if verb.lower() == "get":
                return self._get(name.lower())
            case [verb, name, value] if verb.lower() == "set":
                return self._set(name.lower(), value)
            case [verb, action] if verb.lower() == "execute":
                return self._execute(action.lower(), "")
            case [verb, action, what] if verb.lower() == "execute":
                return self._execute(action.lower(), what.lower())
        return "Error - Unrecognized command"

    def _get(self, name: str) -> str:
        channel, _, item = name.partition(".")
        if channel in self._files and item in self._files[channel]:
            whole = "Filename" if channel == "filename" else "ImpedanceFilename"
            return f"Return: {whole}.{item} {self._files[channel][item]}"
        if name == "runmode":
            return f"Return: RunMode {self._mode}"
        if name in self._settings:
            return self._settings.get(name)
        if channel in self._channels:
            if item == "nativechannelname":
                return f"Return: NativeChannelName {channel.upper()}"
            if item in self._channels[channel]:
                return self._channels[channel].get(item)
        if name in ("currenttimestamp", "currenttimeseconds"):
            if self._mode == "Stop":
                return "Return: -1"
            stamp = (self._first + self._twin.samples) % (1 << 32)
            return f"Return: {stamp if name.endswith('stamp') else f'{stamp / self._twin.rate:g}'}"
        for what, port, clients in (("Waveform", 1, self._waveforms), ("Spike", 2, self._spikes)):
            if name.startswith(about := f"tcp{what.lower()}dataoutput"):
                told = {"host": self._host, "port": self._ports[port]}
                told["connectionstatus"] = "Connected" if clients else "Pending"
                rest = name.removeprefix(about)
                if rest in told:
                    proper = {"host": "Host", "port": "Port", "connectionstatus": "ConnectionStatus"}[rest]
                    return f"Return: TCP{what}DataOutput{proper} {told[rest]}"
        return "Error - Unrecognized parameter"

    def _set(self, name: str, value: str) -> str:
        channel, _, item = name.partition(".")
        running = self._mode != "Stop"
        if channel in self._files and item in self._files[channel]:
            if running and channel == "filename":
                return "Error - Filename cannot be set while controller is running."
            self._files[channel][item] = value
            return ""
        if name == "runmode":
            return self._set_mode(value.lower())
        if name in self._settings:
            return self._settings.set(name, value, running)
        if channel in self._channels and item == "nativechannelname":
            return "Error - NativeChannelName cannot be changed once software has started."
        if channel in self._channels and item in self._channels[channel]:
            return self._channels[channel].set(item, value, running)
        return "Error - Unrecognized parameter"

    def _set_mode(self, wanted: str) -> str:
        running = self._mode != "Stop"
        if wanted == "stop":
            if not running:
                return "Error - Board must be running in order to stop"
            self._mode = "Stop"
            self._running.clear()
            return ""
        if wanted not in ("run", "record", "trigger"):
            return "Error - Invalid value for SetRunMode command"
        if running:
            doing = {"run": "running", "record": "recording", "trigger": "trigger"}[wanted]
            return f"Error - Board must be stopped in order to start {doing}"
        if wanted == "trigger":
            return "Error - RunMode Trigger is not emulated; the emulator has Run, Record and Stop"
        if wanted == "record":
            path, name = self._files["filename"]["path"], self._files["filename"]["basefilename"]
            if not (path and name):
                return (
                    "Error - Filename.BaseFilename and Filename.Path must both be specified before recording can occur"
                )
            self._end_recording()
            try:
                self._recording = RhsFiles(self._settings.values, path, name, self._names, self._twin.rate)
            except OSError as error:
                return f"Error - the recording cannot be made ({error.strerror or error})"
        self._mode = wanted.capitalize()
        self._filters.clear()
        self._sent = {}
        self._running.set()
        return ""

    def _execute(self, action: str, what: str) -> str:
        if not what and action in _STOPPED_ACTIONS and self._mode != "Stop":
            return f"Error - {_STOPPED_ACTIONS[action]} cannot be executed while the board is running"
        if action == "clearalldataoutputs":
            for channel in self._channels.values():
                channel.values.update({key: False for key in channel.values if key.startswith("tcp")})
        elif action == "uploadstimparameters":
            for electrode, name in enumerate(self._channels):
                if what in ("", name):
                    self._stimulators.upload(electrode, self._channels[name].values)
        elif action in ("manualstimtriggerpulse", "manualstimtriggeron", "manualstimtriggeroff") and what:
            if what not in _KEYS:
                return f"Error - Unrecognized key {what}; allowed are F1 to F8"
            self._press(action.removeprefix("manualstimtrigger"), f"keypress{what}")
        elif action in _NOT_EMULATED:
            return f"Error - {action} is not emulated"
        elif action not in _STOPPED_ACTIONS and action not in _CONNECTING:
            return "Error - Unrecognized action"
        return ""

    def _press(self, how: str, source: str) -> None:
        if how == "off":
            self._stimulators.release(source)
        elif how == "on":
            self._stimulators.hold(source, self._present, self._speed * time.perf_counter())
        else:
            self._fire(source)

    @property
    def _present(self) -> int:
        """The sample that is taken now."""
        begun, at = self._block
        # If the machine is too slow, the twin's clock stands still at the end of a block.
        size = BLOCK * int(self._settings.values["tcpnumberdatablocksperwrite"])
        now = min(at + self._speed * (time.perf_counter() - begun), at + size / self._twin.rate)
        return max(self._twin.samples, int(now * self._twin.rate + 1e-6))

    def _fire(self, source: str) -> None:
        """Trigger the armed electrodes of a source; on the chip a trigger is an edge."""
        if self._mode != "Stop":
            self._stimulators.trigger(source, self._present, self._speed * time.perf_counter())

    @property
    def _fired(self) -> bool:
        """Whether something was triggered that has not begun."""
        return self._stimulators.waiting

    def _armed(self) -> list[str]:
        return [self._names[k] for k in self._stimulators.armed]

    def _enabled(self, band: str) -> list[bool]:
        key = f"tcpdataoutputenabled{band}".lower()
        return [bool(channel.values[key]) for channel in self._channels.values()]

    async def _run(self) -> None:
        """Advance the culture while the board runs, and send what it does."""
        while True:
            if not self._running.is_set():
                self._end_recording()
                await self._running.wait()
                self._block = (time.perf_counter(), self._twin.now)
            size = BLOCK * int(self._settings.values["tcpnumberdatablocksperwrite"])
            over = self._block[0] + size / self._twin.rate / self._speed
            await asyncio.sleep(max(0.0, over - time.perf_counter()))  # a block is sent once it is over
            wanted = {band: self._enabled(band) for band in (*_WAVES, "Spike")}
            if wanted != self._sent:
                self._sent = wanted
                self._read_magnitudes()
            played = self._stimulators.play(self._twin.samples, size)
            self.pulses += played.pulses.tolist()
            first = self._first + self._twin.samples
            voltage = self._recording is not None or any(any(wanted[band]) for band in ("", "Low", "High"))
            spikes, words = await asyncio.to_thread(self._advance, size, played, voltage, wanted)
            if any(map(any, wanted.values())):
                self._send(self._waveforms, encode_waveform(first, words))
            chosen = spikes[np.array(wanted["Spike"], dtype=bool)[spikes["channel"]]]
            events = np.zeros(len(chosen), dtype=SPIKE_EVENT)
            events["channel"] = np.array(self._names, dtype="S5")[chosen["channel"]] if len(chosen) else b""
            stamps = self._first + np.floor(chosen["time"] * self._twin.rate).astype(np.int64)
            events["timestamp"] = stamps % (1 << 32)
            events["id"] = 1
            self._send(self._spikes, encode_spikes(events))
            # A block that took longer than it lasts is not made up for.
            self._block = (max(over, time.perf_counter() - size / self._twin.rate / self._speed), self._twin.now)

    def _advance(
        self, size: int, played: Played, with_voltage: bool, wanted: dict[str, list[bool]]
    ) -> tuple[SpikeArray, npt.NDArray[np.uint16]]:
        """Advance the culture; return its spikes, and the words of the bands that are sent, in RHX's order."""
        first = self._first + self._twin.samples
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
                self._end_recording()
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
        for electrode, channel in enumerate(self._channels.values()):
            both = [
                min(MOST_STEPS, current_steps(float(channel.values[f"{phase}phaseamplitudemicroamps"]), step))
                for phase in ("first", "second")
            ]
            self._shown[:, electrode] = both if channel.values["polarity"] == "PositiveFirst" else both[::-1]

    def _filter(self, band: str) -> BandFilter:
        if band not in self._filters:
            values, name = self._settings.values, "lowpass" if band == "Low" else "highpass"
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
            self._names[int(pulse["electrode"])], 1e6 * pulse["amplitude"], 1e6 * pulse["duration"],
            1e6 * pulse["second_amplitude"], 1e6 * pulse["second_duration"], ", then a third phase" if third[0] else "",
            1e6 * limit,
        )  # fmt: skip

    def _end_recording(self) -> None:
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def _send(self, writers: set[asyncio.StreamWriter], data: bytes) -> None:
        """Send to all clients; one that leaves too much unread is disconnected, and the clock goes on."""
        for writer in list(writers):
            writes = self._writes.setdefault(writer, WholeWrites(writer))
            if writes.unread > _MOST_UNREAD:
                _logger.warning("a client left %d MB unread and is disconnected", _MOST_UNREAD >> 20)
                writer.transport.abort()
                writers.discard(writer)
            elif data:
                writes.put(data)


_PHASES = (("amplitude", "duration"), ("second_amplitude", "second_duration"))


def _is_old(version: str) -> bool:
    major, minor = (int(each) for each in version.split(".")[:2])
    return (major, minor) < (3, 1)
