"""A soft twin of an Intan RHS controller behind RHX: the same three TCP ports, over a simulated culture.

It behaves as RHX does, awkward parts included: replies without an end, silence on ``set``, commands read piece by
piece and never joined, 32-bit timestamps that wrap, durations rounded to samples and currents to steps, no check
that settings fit together, stimulation that stays armed for the next client, and data only while it runs. A pulse
begins at the sample at which its trigger arrived. Where the machine is too slow the twin's clock is slow.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import fields
from types import TracebackType
from typing import Self

import numpy as np

from inmateria.adapters.intan.protocol import (
    BLOCK,
    SPIKE_EVENT,
    StimSettings,
    encode_spikes,
    encode_waveform,
    rhx_name,
)
from inmateria.adapters.tissue.culture_twin import Culture, CultureTwin
from inmateria.adapters.tissue.guard import PULSE, PulseArray
from inmateria.adapters.tissue.stimulator_rounding import current_steps, duration_samples
from inmateria.concurrency import cancel_and_wait

__all__ = ["IntanEmulator"]

_DEFAULTS = {
    "sampleratehertz": ("SampleRateHertz", "30000"),
    "type": ("Type", "ControllerStimRecord"),
    "stimstepsizemicroamps": ("StimStepSizeMicroAmps", "0.1"),
    "tcpnumberdatablocksperwrite": ("TCPNumberDataBlocksPerWrite", "10"),
    "version": ("Version", "3.4.0"),
}
_READ_ONLY = {"sampleratehertz", "type", "stimstepsizemicroamps", "version"}
_CHANNEL = {
    **{rhx_name(each.name): _text for each in fields(StimSettings) for _text in [str(each.default)]},
    "TCPDataOutputEnabled": "False",
    "TCPDataOutputEnabledHigh": "False",
    "TCPDataOutputEnabledSpike": "False",
}
_PORT = 32  # electrodes of one port
_BANDS = ("TCPDataOutputEnabled", "TCPDataOutputEnabledHigh")


class IntanEmulator:
    """RHX over a culture; enter it, and connect to its `uri`.

    Parameters
    ----------
    culture : Culture
        Its electrodes are the channels A-000 to A-031, B-000 to B-031 and so on.
    speed : float
        Seconds of the culture's time in one second, at most.
    host : str
    ports : (int, int, int)
        Commands, waveforms, spikes; 0 for any free port. RHX itself has 5000, 5001 and 5002.
    first_timestamp : int
        First value of its 32-bit clock, to test how it wraps.
    step : float
        Step size of the stimulation current, uA.

    Attributes
    ----------
    pulses : list of tuple
        Every pulse that the culture was given, as `PULSE`, on the twin's clock.
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
    ) -> None:
        self._twin = CultureTwin(culture)
        self._speed, self._host, self._ports, self._first = speed, host, ports, first_timestamp
        self._names = [f"{'ABCDEFGH'[k // _PORT]}-{k % _PORT:03d}" for k in range(self._twin.electrodes)]
        self._settings = {key: value for key, (_, value) in _DEFAULTS.items()}
        self._settings["stimstepsizemicroamps"] = f"{step:g}"
        self._channels = {name.lower(): {key.lower(): text for key, text in _CHANNEL.items()} for name in self._names}
        self._uploaded: dict[str, dict[str, str]] = {}
        self._fired: list[tuple[float, int, dict[str, str]]] = []  # when, electrode, its stimulation as it was then
        self._block = (0.0, 0.0)  # when the present block began: on the system's clock, on the twin's
        self._mode = "Stop"
        self._running = asyncio.Event()
        self._responsive = asyncio.Event()
        self._responsive.set()
        self._waveforms: set[asyncio.StreamWriter] = set()
        self._spikes: set[asyncio.StreamWriter] = set()
        self._exits = AsyncExitStack()
        self.pulses: list[tuple[float, ...]] = []
        self.commands: list[str] = []

    @property
    def uri(self) -> str:
        """Its address, for `connect`."""
        command, waveform, spike = self._ports
        ports = f"waveforms={waveform}&spikes={spike}&channels={min(_PORT, self._twin.electrodes)}"
        return f"intan://{self._host}:{command}?{ports}&id=twin-{self._twin.culture.info.id}&log=none"

    def freeze(self) -> None:
        """Stop executing commands, as RHX does while a dialog is open in its window; they are kept, and data go on."""
        self._responsive.clear()

    def thaw(self) -> None:
        """Go on after `freeze`."""
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
                said = "".join(self._obey(command.strip()) for command in data.decode("ascii", "replace").split(";"))
                writer.write(said.encode("ascii", "replace"))
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
            writer.close()

    def _obey(self, command: str) -> str:
        """Execute one command and return RHX's reply."""
        if not command:
            return ""
        self.commands.append(command)
        match command.split():
            case [verb, name] if verb.lower() == "get":
                return self._get(name)
            case [verb, name, value] if verb.lower() == "set":
                return self._set(name.lower(), value)
            case [verb, action] if verb.lower() == "execute":
                return self._execute(action.lower(), "")
            case [verb, action, what] if verb.lower() == "execute":
                return self._execute(action.lower(), what.lower())
        return "Error - Unrecognized command"

    def _get(self, asked: str) -> str:
        name = asked.lower()
        if name == "runmode":
            return f"Return: RunMode {self._mode}"
        if name in self._settings:
            return f"Return: {_DEFAULTS[name][0]} {self._settings[name]}"
        channel, _, item = name.partition(".")
        proper = {key.lower(): key for key in _CHANNEL}
        if channel in self._channels and item in proper:
            return f"Return: {channel.upper()}.{proper[item]} {self._channels[channel][item]}"
        return "Error - Unrecognized parameter"

    def _set(self, name: str, value: str) -> str:
        channel, _, item = name.partition(".")
        if name == "runmode":
            wanted = value.lower()
            if wanted not in ("run", "stop") or (wanted == "run") == (self._mode == "Run"):
                return (
                    "Error - Board must be stopped in order to start running" if wanted == "run" else "Error - RunMode"
                )
            self._mode = wanted.capitalize()
            (self._running.set if wanted == "run" else self._running.clear)()
        elif name in self._settings:
            if name in _READ_ONLY or self._mode == "Run":
                return f"Error - {_DEFAULTS[name][0]} cannot be set while controller is running"
            self._settings[name] = value
        elif channel in self._channels and item in self._channels[channel]:
            self._channels[channel][item] = value.capitalize() if value.lower() in ("true", "false") else value
        else:
            return "Error - Unrecognized parameter"
        return ""

    def _execute(self, action: str, what: str) -> str:
        if action == "clearalldataoutputs":
            for channel in self._channels.values():
                channel.update({key: "False" for key in channel if key.startswith("tcp")})
        elif action == "uploadstimparameters" and not what:
            if self._mode == "Run":
                return "Error - UploadStimParameters cannot be executed while the board is running"
            self._uploaded = {name: dict(channel) for name, channel in self._channels.items()}
        elif action == "uploadstimparameters":
            if what in self._channels:
                self._uploaded[what] = dict(self._channels[what])
        elif action == "manualstimtriggerpulse":
            self._fire(f"keypress{what}")
        else:
            return "Error - Unrecognized action"
        return ""

    def _fire(self, source: str) -> None:
        """Trigger the armed electrodes of a source; on the chip a trigger is an edge."""
        if self._mode != "Run":
            return
        begun, at = self._block
        # Where the machine is too slow the twin's clock stands still at the end of a block.
        size = BLOCK * int(self._settings["tcpnumberdatablocksperwrite"])
        now = min(at + self._speed * (time.perf_counter() - begun), at + size / self._twin.rate)
        self._fired += [
            (now, electrode, stim)
            for electrode, stim in self._armed()
            if stim["source"].lower() == source and stim["triggeredgeorlevel"].lower() == "edge"
        ]

    def _armed(self) -> list[tuple[int, dict[str, str]]]:
        return [
            (electrode, stim)
            for electrode, name in enumerate(self._names)
            if (stim := self._uploaded.get(name.lower(), {})).get("stimenabled") == "True"
        ]

    def _released(self, end: float) -> PulseArray:
        """Return the pulses triggered before a time; a trigger of the past acts now."""
        fired = [each for each in self._fired if each[0] < end]
        self._fired = [each for each in self._fired if each[0] >= end]
        # No source is high by itself: one that acts at the low level acts all the time.
        always = [
            (self._twin.now, electrode, stim)
            for electrode, stim in self._armed()
            if (stim["triggeredgeorlevel"].lower(), stim["triggerhighorlow"].lower()) == ("level", "low")
        ]
        pulses = [
            _chip_pulses(stim, max(at, self._twin.now), electrode, self._twin.rate, self._grain)
            for at, electrode, stim in [*fired, *always]
        ]
        return np.concatenate([*pulses, np.zeros(0, dtype=PULSE)])

    @property
    def _grain(self) -> float:
        return float(self._settings["stimstepsizemicroamps"])

    async def _run(self) -> None:
        """Advance the culture while the board runs, and send what it does."""
        held = np.zeros(0, dtype=PULSE)
        while True:
            if not self._running.is_set():
                await self._running.wait()
                self._block = (time.perf_counter(), self._twin.now)
            size = BLOCK * int(self._settings["tcpnumberdatablocksperwrite"])
            over = self._block[0] + size / self._twin.rate / self._speed
            await asyncio.sleep(max(0.0, over - time.perf_counter()))  # a block is sent once it is over
            bands = [
                (electrode, band)
                for electrode, name in enumerate(self._names)
                for band in _BANDS
                if self._channels[name.lower()][band.lower()] == "True"
            ]
            voltage = any(band.endswith("High") for _, band in bands)
            end = self._twin.now + size / self._twin.rate
            held = np.concatenate([held, self._released(end)])
            now, held = held[held["time"] < end], held[held["time"] >= end]
            self.pulses += now.tolist()
            first = self._first + self._twin.samples
            spikes, traces = await asyncio.to_thread(self._twin.advance, size, now, voltage)
            values = np.full((size, len(bands)), 32768, dtype=np.uint16)
            if traces is not None:
                bits = np.clip(np.round(traces[:, [electrode for electrode, _ in bands]] / 0.195e-6) + 32768, 0, 65535)
                values[:] = bits.astype(np.uint16)
            events = np.zeros(len(spikes), dtype=SPIKE_EVENT)
            events["channel"] = np.array(self._names, dtype="S5")[spikes["channel"]] if len(spikes) else b""
            events["timestamp"] = (self._first + np.floor(spikes["time"] * self._twin.rate)).astype(np.int64) % (
                1 << 32
            )
            events["id"] = 1
            wanted = [self._channels[name.lower()]["tcpdataoutputenabledspike"] == "True" for name in self._names]
            events = events[np.array(wanted)[spikes["channel"]]] if len(spikes) else events
            await _send(self._waveforms, encode_waveform(first, values) if bands else b"")
            await _send(self._spikes, encode_spikes(events))
            # A block that took longer than it lasts is not made up for.
            self._block = (max(over, time.perf_counter() - size / self._twin.rate / self._speed), self._twin.now)


def _chip_pulses(stim: dict[str, str], at: float, electrode: int, rate: float, step: float) -> PulseArray:
    """Return the pulses of one trigger as RHX programs the chip: whole samples, whole steps of current."""

    def seconds(name: str) -> float:
        return duration_samples(float(stim[f"{name}microseconds"]), rate) / rate

    def amperes(name: str) -> float:
        return 1e-6 * step * current_steps(float(stim[f"{name}microamps"]), step)

    count = int(stim["numberofstimpulses"]) if stim["pulseortrain"].lower() == "pulsetrain" else 1
    sign = -1 if stim["polarity"].lower() == "negativefirst" else 1
    pulses = np.zeros(count, dtype=PULSE)
    pulses["time"] = at + seconds("posttriggerdelay") + seconds("pulsetrainperiod") * np.arange(count)
    pulses["electrode"] = electrode
    pulses["amplitude"], pulses["duration"] = sign * amperes("firstphaseamplitude"), seconds("firstphaseduration")
    pulses["second_amplitude"] = -sign * amperes("secondphaseamplitude")
    pulses["second_duration"] = seconds("secondphaseduration")
    return pulses


async def _send(writers: set[asyncio.StreamWriter], data: bytes) -> None:
    for writer in list(writers):
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
