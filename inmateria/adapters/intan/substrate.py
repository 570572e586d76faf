"""An Intan stimulating controller through its RHX software: ``intan://host``.

One input and one output for each electrode, as of `NeuralCulture`: a drive above 0 (A) is one charge-balanced
pulse of that current at the beginning of the step, negative phase first, released by the software trigger F1; the
answer is the spikes that RHX detected, and on request the voltage. The controller runs on its own clock: a step
begins when its data say so, and an exchange is answered one data block (4.3 ms at 30 kHz) after its last step.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.link import IntanLink
from inmateria.adapters.intan.protocol import BLOCK, StimSettings
from inmateria.adapters.pulse_log import log_path
from inmateria.adapters.tissue import PulseLimits, TissueGuard, biphasic
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.substrate import (
    SPIKE,
    Channel,
    FloatArray,
    Limits,
    Response,
    Stimulus,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["IntanSubstrate", "intan_from_uri"]


class IntanSubstrate(Substrate):
    """An RHS controller behind RHX.

    Parameters
    ----------
    host : str
        Where RHX listens, its three servers started in its window "Network".
    commands, waveforms, spikes : int
        Their ports.
    port : str
        Which port of the controller the headstage is on, A to H.
    channels : int
        How many electrodes, from number 0.
    step : float
        Duration of a step when a stimulus does not say otherwise, s.
    phase : float
        Duration of each of the two phases of a pulse, s.
    voltage : bool
        Whether responses carry the voltage (the band above the software filter), too.
    limits : PulseLimits
        What the tissue may be given.
    log : str
        Where every pulse is written; by default in `state_folder`, one for each headstage. ``"none"`` writes none:
        only for a twin.
    timeout : float
        Seconds to wait for RHX, beyond what a stimulus lasts.

    Raises
    ------
    SubstrateDisconnected, SubstrateTimeout, SubstrateBusy
        On entering, where RHX is not there, or is running for somebody else.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        commands: int = 5000,
        waveforms: int = 5001,
        spikes: int = 5002,
        port: str = "A",
        channels: int = 32,
        step: float = 0.01,
        phase: float = 200e-6,
        voltage: bool = False,
        limits: PulseLimits | None = None,
        log: str = "",
        timeout: float = 10.0,
    ) -> None:
        self._host, self._ports = host, (commands, waveforms, spikes)
        self._names = [f"{port.upper()}-{k:03d}" for k in range(channels)]
        self._step, self._phase, self._voltage = step, phase, voltage
        self._limits = limits or PulseLimits()
        self._log = log_path(log, f"intan-{host}-{commands}-{port}".replace(":", "-"))
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._sequence = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            self._link = await exits.enter_async_context(IntanLink(self._host, self._ports, self._timeout))
            self._rate, self._grain = await self._survey()
            quiet = self._settings(0.0)
            self._wired = dict.fromkeys(self._names, quiet)
            # Everything is off before it runs, whatever somebody has left there.
            await self._link.tell(
                "execute clearalldataoutputs",
                "set tcpnumberdatablocksperwrite 1",
                *(f"set {name}.tcpdataoutputenabledspike true" for name in self._names),
                # Without voltage one channel is sent all the same: its timestamps are the clock.
                *([f"set {self._names[0]}.tcpdataoutputenabled true"] if not self._voltage else []),
                *(f"set {name}.tcpdataoutputenabledhigh true" for name in self._names if self._voltage),
                *(command for name in self._names for command in quiet.commands(name)),
            )
            self._link.follow(len(self._names) if self._voltage else 1, self._voltage)
            exits.push_async_callback(self._leave)
            await self._link.tell("set runmode run")
            await self._link.reach(1, "the first block")
            origin = time.time() - self._link.clock / self._rate
            self._origin = origin
            guard = TissueGuard(self._limits, self._log, lambda: origin + self._link.clock / self._rate)
            self._guard = exits.enter_context(guard)
            self.info = self._described()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _leave(self) -> None:
        """Disarm every electrode and stop the controller, where it can still be reached."""
        with suppress(SubstrateError):
            armed = [name for name in self._names if self._wired[name].stim_enabled]
            off = self._settings(0.0)
            await self._link.tell(*(each for name in armed for each in off.commands(name, self._wired[name])))
        with suppress(SubstrateError):
            await self._link.tell("set runmode stop")

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, and answer with what was measured meanwhile.

        Currents are rounded to the controller's step size. All pulses are checked before the first is sent;
        their times in the log are those planned, and the network delays them by a millisecond or so.
        """
        async with self._turn:
            link, rate, steps = self._link, self._rate, len(stimulus.drive)
            drive = self._grain * np.round(1e6 * stimulus.drive / self._grain)  # uA
            start = link.clock
            edges = start + np.round(np.arange(steps + 1) * stimulus.step * rate).astype(np.int64)
            row, electrode = np.nonzero(drive)
            times = self._origin + edges[row] / rate
            pulses = biphasic(times, electrode, -1e-6 * drive[row, electrode], self._phase)
            if row.size:
                self._guard.admit(pulses)
            link.keep(int(edges[0]), int(edges[-1]) + BLOCK)
            released = -1
            try:
                for k in range(steps):
                    await link.reach(int(edges[k]), f"step {k}", stimulus.step)
                    released = k  # from here on this step's pulses may have been given
                    await self._release(drive[k])
            finally:
                self._guard.withdraw(pulses[row > released])
            # What RHX detected in a block it sends after that block and before the next.
            await link.reach(int(edges[-1]) + BLOCK, "the last step", stimulus.step)
            blocks, events = link.kept()
            link.keep(0, 0)
            number = {name.encode(): k for k, name in enumerate(self._names)}
            events = events[(events["at"] < edges[-1]) & np.isin(events["channel"], list(number))]
            spikes = np.zeros(len(events), dtype=SPIKE)
            spikes["time"] = events["at"] / rate
            spikes["channel"] = [number[name] for name in events["channel"].tolist()]
            signal = _voltage(blocks, edges, self.info.samples(stimulus.step), len(self._names))
            self._sequence += 1
            return Response(
                signal if self._voltage else None, np.sort(spikes, order="time"), start / rate, self._sequence - 1
            )

    async def reset(self) -> None:
        """Raise: tissue does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest", "tissue does not do so on command", "let it rest instead"
        )

    def _settings(self, current: float) -> StimSettings:
        """Make the settings of one electrode for a current, uA."""
        size = round(current, 6)
        # The chip itself holds the least interval too, as far as it can.
        refractory = min(max(1000.0, 1e6 * self._limits.interval - 2e6 * self._phase), 1e6)
        return StimSettings(
            stim_enabled=size > 0,
            first_phase_duration_microseconds=1e6 * self._phase,
            second_phase_duration_microseconds=1e6 * self._phase,
            first_phase_amplitude_micro_amps=size,
            second_phase_amplitude_micro_amps=size,
            refractory_period_microseconds=refractory,
        )

    async def _release(self, row: FloatArray) -> None:
        """Arm the electrodes that a step drives, disarm the others, and pull the trigger."""
        commands = []
        for name, current in zip(self._names, row.tolist(), strict=True):
            before = self._wired[name]
            if not current and not before.stim_enabled:
                continue
            wanted = self._settings(current) if current else self._settings(0.0)
            wanted.check_step(self._grain)
            commands += wanted.commands(name, before)
            self._wired[name] = wanted
        if row.any():
            commands.append("execute manualstimtriggerpulse f1")
        if commands:
            await self._link.tell(*commands)

    async def _survey(self) -> tuple[float, float]:
        """Ask what is there; give samples per second and step size of the current (uA)."""
        asked = ["type", "sampleratehertz", "stimstepsizemicroamps", *(f"{name}.stimenabled" for name in self._names)]
        values, mode = await self._link.ask(*(f"get {name.lower()}" for name in asked))
        if mode != "Stop":
            raise SubstrateBusy(
                f"RHX at {self._host} is in run mode {mode}", "it is set up while stopped", "press stop in its window"
            )
        if not values.get("type", "").startswith("ControllerStimRecord"):
            raise SubstrateDisconnected(
                f"RHX at {self._host} has a controller of type {values.get('type')}", "one that stimulates (RHS)"
            )
        missing = [name for name in self._names if f"{name.lower()}.stimenabled" not in values]
        if missing:
            raise SubstrateDisconnected(
                f"RHX at {self._host} knows no electrode {missing[0]}",
                f"asked for were {self._names[0]} to {self._names[-1]}",
                "say where the headstage is and how large: intan://host?port=A&channels=16",
            )
        try:
            return float(values["sampleratehertz"]), float(values["stimstepsizemicroamps"])
        except (KeyError, ValueError):
            raise SubstrateDisconnected(
                f"RHX at {self._host} has step size {values.get('stimstepsizemicroamps')} for stimulation",
                "a number of uA",
                "choose one between 0.01 and 10 uA in its window",
            ) from None

    def _described(self) -> SubstrateInfo:
        top = min(self._limits.amplitude, 255e-6 * self._grain)
        unit, low, high = ("V", -6.39e-3, 6.39e-3) if self._voltage else ("1", 0.0, 1.0)
        return SubstrateInfo(
            id=f"intan-{self._names[0][0]}-{len(self._names)}",
            kind="neural-culture",
            inputs=tuple(Channel(name=name, unit="A", low=0.0, high=top) for name in self._names),
            outputs=tuple(Channel(name=name, unit=unit, low=low, high=high) for name in self._names),
            step=self._step,
            sampling_rate=self._rate if self._voltage else None,
            spiking=True,
            limits=Limits(steps=100_000, shortest_step=min(self._step, BLOCK / self._rate), longest_step=60.0),
            parameters={
                "phase": self._phase,
                "step_size": self._grain,
                "pulse_limits": msgspec.to_builtins(self._limits),
            },
        )


def _voltage(
    blocks: list[tuple[int, FloatArray]], edges: npt.NDArray[np.int64], samples: int, channels: int
) -> FloatArray:
    """Put the voltage of the steps together, V, shape (steps, samples, channels); NaN where nothing came."""
    whole = np.full((int(edges[-1] - edges[0]) + samples, channels), np.nan)
    for first, values in blocks:
        if values.shape[1] != channels:
            continue
        begin = first - int(edges[0])
        low, high = max(0, -begin), min(len(values), len(whole) - begin)
        if low < high:
            whole[begin + low : begin + high] = 1e-6 * values[low:high]
    return np.stack([whole[edge : edge + samples] for edge in (edges[:-1] - edges[0]).tolist()])


def intan_from_uri(uri: str) -> IntanSubstrate:
    """Read ``intan://host[:port]?channels=32&waveforms=5001&spikes=5002``; the query takes what the class takes."""
    parts = urlsplit(uri)
    if not parts.hostname or parts.path.strip("/"):
        raise UnknownSubstrate(f"{uri!r} does not name a host", "intan://host, such as intan://127.0.0.1?channels=32")
    given = parameters_for(IntanSubstrate, query_of(uri), "intan")
    if parts.port is not None:
        given["commands"] = parts.port
    return IntanSubstrate(parts.hostname, **given)
