"""An Intan stimulating controller through its RHX software: ``intan://host``.

One input and one output for each electrode, as of `NeuralCulture`: a drive above 0 (A) is one charge-balanced
pulse of that current at the beginning of the step, negative phase first, released by the software trigger F1; the
answer is the spikes that RHX detected, and on request the voltage. The controller runs on its own clock: a step
begins when its data say so, and an exchange is answered one data block (4.3 ms at 30 kHz) after its last step.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.confirmation import Confirmation
from inmateria.adapters.intan.link import IntanLink
from inmateria.adapters.intan.protocol import BLOCK, StimSettings
from inmateria.adapters.tissue.guard import PulseLimits, TissueGuard, biphasic, steady_time
from inmateria.adapters.tissue.pulse_log import log_name, log_path
from inmateria.adapters.tissue.pulse_plan import PulsePlan, PulseSpacing
from inmateria.adapters.tissue.stimulator_rounding import duration_samples
from inmateria.adapters.tissue.substrate import TissueSubstrate, as_identifier, place_of
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.concurrency import wait_to_completion
from inmateria.recording.format import MARKER, Note
from inmateria.substrate import (
    SPIKE,
    Channel,
    FloatArray,
    IdentitySource,
    Limits,
    Response,
    Stimulus,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["IntanSubstrate", "intan_from_uri"]

_logger = logging.getLogger(__name__)
_PATIENCE = 0.25  # s, within which a triggered pulse shows in the data
_EVERY_ELECTRODE = tuple(f"{port}-{k:03d}" for port in "ABCDEFGH" for k in range(32))


class IntanSubstrate(TissueSubstrate):
    """A stimulating controller (RHS) of Intan, reached through its program RHX.

    Parameters
    ----------
    host : str
        Host on which RHX runs; start its three servers in its window under Network.
    commands, waveforms, spikes : int
        Ports of those servers.
    port : str
        Port of the controller with the headstage, A to H.
    channels : int
        Number of electrodes, from number 0.
    step : float
        Default duration of a step, s.
    phase : float
        Duration of each of the two phases of a pulse, s. RHX rounds it to samples; the rounded duration is checked,
        logged and applied.
    voltage : bool
        Whether responses also carry the voltage (the band above the software filter).
    confirm : bool
        Whether to read back from the stimulation band which pulses were given; see `take_notes`.
    limits : PulseLimits
        Limits on the pulses.
    id : str
        Identity of the device. RHX does not tell the controller's serial number; by default the identity is made of
        the host, the port of the commands and the port of the headstage.
    log : str
        Path of the log of pulses; by default in `state_folder`, one for each headstage. ``"none"`` writes none, which
        is only for an emulator.
    timeout : float
        Time to wait for an answer of RHX, s; for data, in addition to the duration of a step.

    Raises
    ------
    ValueError
        If the id has characters that are not allowed.
    SubstrateDisconnected, SubstrateTimeout, SubstrateBusy, StimulusRejected
        On entering, if RHX cannot be reached or is already running, or the limits do not allow the phase.
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
        confirm: bool = True,
        limits: PulseLimits | None = None,
        id: str = "",  # noqa: A002
        log: str = "",
        timeout: float = 10.0,
    ) -> None:
        super().__init__()
        if as_identifier(id) != id:
            raise ValueError(f"id is {id!r}; allowed are letters, digits, '.', '_' and '-', first and last no sign")
        self._host, self._ports = host, (commands, waveforms, spikes)
        self._names = [f"{port.upper()}-{k:03d}" for k in range(channels)]
        self._step, self._asked_phase, self._voltage = step, phase, voltage
        self._confirm = confirm
        self._limits = limits or PulseLimits()
        self._id = id or log_name("intan", place_of(host), commands, port)
        self._identity: IdentitySource = "user" if id else "host"
        self._log = log_path(log, log_name("intan", id) if id else log_name("intan", commands, port, host=host))
        self._timeout = timeout

    async def _open(self, exits: AsyncExitStack) -> None:
        self._link = await exits.enter_async_context(IntanLink(self._host, self._ports, self._timeout))
        self._rate, self._grain, others = await self._survey()
        self._phase = duration_samples(1e6 * self._asked_phase, self._rate) / self._rate
        self._limits.check(biphasic(0.0, 0, -1e-12, self._phase))
        self._armed: dict[str, StimSettings | None] = dict.fromkeys(self._names)  # None: not known
        confirmation = Confirmation(round(_PATIENCE * self._rate)) if self._confirm else None
        self._confirmation = confirmation
        # Nothing that an earlier client armed may answer a trigger, whichever port it is on.
        await self._link.tell(
            "execute clearalldataoutputs",
            "set tcpnumberdatablocksperwrite 1",
            *(f"set {name}.tcpdataoutputenabledspike true" for name in self._names),
            # If nothing else is sent one channel is all the same: its timestamps are the clock.
            *([f"set {self._names[0]}.tcpdataoutputenabled true"] if not (self._voltage or self._confirm) else []),
            *(f"set {name}.tcpdataoutputenabledstim true" for name in self._names if self._confirm),
            *(f"set {name}.tcpdataoutputenabledhigh true" for name in self._names if self._voltage),
            *(
                command
                for name in others
                for command in (f"set {name}.stimenabled false", f"execute uploadstimparameters {name}")
            ),
        )
        await self._arm()
        self._link.follow(len(self._names), self._voltage, confirmation)
        exits.push_async_exit(self._leave)
        await self._link.tell("set runmode run")
        await self._link.reach(1, "the first block")
        self._guard = exits.enter_context(TissueGuard(self._limits, self._log, steady_time))
        self._spacing = PulseSpacing(self._limits, steady_time, asyncio.sleep)
        self.info = self._described()

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disarm every electrode and stop the controller, as far as it can be reached."""
        try:
            await wait_to_completion(asyncio.ensure_future(self._shut_down()))
        except SubstrateError as failed:
            if kind is None:
                raise
            _logger.error("%s", failed)

    async def _shut_down(self) -> None:
        failed: SubstrateError | None = None
        try:
            await self._arm()
        except SubstrateError as why:
            failed = why
        with suppress(SubstrateError):  # it was stopped in its window, or is gone
            await self._link.tell("set runmode stop")
        if failed is not None:
            doubtful = [name for name, known in self._armed.items() if known is None or known.stim_enabled]
            raise SubstrateDisconnected(
                f"electrodes {', '.join(doubtful)} may still be armed ({failed})",
                "they are disarmed on leaving",
                "disarm them in RHX's window, or connect again: that disarms all",
            )

    def take_notes(self, *, ending: bool = False) -> list[Note]:
        """Return what the data showed since the last call, as markers for a recording.

        ``"pulses given"`` has the electrodes, the times at which their pulses began (s on the device's clock), and how
        long after the trigger; ``"pulse not given"`` is one that was triggered and did not begin within 0.25 s;
        ``"pulse of another"`` one that was not triggered from here; ``"gap"`` is a run of samples that did not come.
        """
        host, notes = time.time(), []
        gaps, self._link.gaps = self._link.gaps, []
        for first, samples in gaps:
            details: dict[str, object] = {"samples": samples, "channels": "all"}
            notes.append(Note(MARKER, "gap", details, host, first / self._rate, samples / self._rate))
        if self._confirmation is None:
            return notes
        found, others = self._confirmation.take(self._link.clock)
        given = [(each, each.began) for each in found if each.began is not None]
        if given:
            details = {
                "electrodes": [self._names[each.electrode] for each, _ in given],
                "times": [began / self._rate for _, began in given],
                "delays": [(began - each.triggered) / self._rate for each, began in given],
            }
            notes.append(Note(MARKER, "pulses given", details, host, given[0][1] / self._rate))
        for each in found:
            if each.began is None:
                _logger.warning("%s: a pulse on %s was triggered and not given", self._id, self._names[each.electrode])
                details = {"electrode": self._names[each.electrode]}
                notes.append(Note(MARKER, "pulse not given", details, host, each.triggered / self._rate))
        for electrode, sample in others:
            details = {"electrode": self._names[electrode]}
            notes.append(Note(MARKER, "pulse of another", details, host, sample / self._rate))
        return notes

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return what was measured meanwhile.

        Pulses are checked with the currents and durations that the chip will give, all before the first is sent,
        and each once more when its trigger is sent. A step whose trigger was sent is finished, whatever is
        cancelled; what was armed without one is disarmed.
        """
        async with self._turn:
            await self._recover()
            link, rate, steps = self._link, self._rate, len(stimulus.drive)
            drive = self._grain * np.round(1e6 * stimulus.drive / self._grain)  # uA
            start = link.clock
            edges = start + np.round(np.arange(steps + 1) * stimulus.step * rate).astype(np.int64)
            row, electrode = np.nonzero(drive)
            times = steady_time() + (edges[row] - start) / rate
            pulses = biphasic(times, electrode, -1e-6 * drive[row, electrode], self._phase)
            with PulsePlan(self._guard, self._spacing, pulses, row) as plan:
                link.keep(int(edges[0]), int(edges[-1]) + BLOCK)
                try:
                    for k in range(steps):
                        await link.reach(int(edges[k]), f"step {k}", stimulus.step)
                        await self._arm(drive[k])
                        if drive[k].any():
                            await plan.wait(k, stimulus.step)
                            await wait_to_completion(asyncio.ensure_future(self._release(plan, k, drive[k])))
                    # What RHX detected in a block it sends after that block and before the next.
                    await link.reach(int(edges[-1]) + BLOCK, "the last step", stimulus.step)
                except BaseException:
                    await self._undo()
                    raise
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

    def _settings(self, current: float) -> StimSettings:
        """Return the settings of one electrode for a current, uA."""
        size = round(current, 6)
        # RHX reads the magnitudes of the stimulation band when it starts; one of 0 would show no pulse.
        amplitude = size or self._grain
        # The chip itself keeps the least interval too, as far as it can: whole samples, rounded up.
        left = max(1e-3, self._limits.interval - 2 * self._phase)
        refractory = min(1e6 * math.ceil(left * self._rate - 1e-6) / self._rate, 1e6)
        return StimSettings(
            stim_enabled=size > 0,
            first_phase_duration_microseconds=1e6 * self._phase,
            second_phase_duration_microseconds=1e6 * self._phase,
            first_phase_amplitude_micro_amps=amplitude,
            second_phase_amplitude_micro_amps=amplitude,
            refractory_period_microseconds=refractory,
        )

    async def _arm(self, row: FloatArray | None = None) -> None:
        """Arm the electrodes that a step drives (uA) and disarm the others; all of them without a step.

        If it fails or is cancelled, the electrodes that it was about to change count as unknown, and the next call
        sets all their parameters.
        """
        currents = [0.0] * len(self._names) if row is None else row.tolist()
        changes: dict[str, StimSettings] = {}
        commands: list[str] = []
        for name, current in zip(self._names, currents, strict=True):
            before = self._armed[name]
            if not current and before is not None and not before.stim_enabled:
                continue
            wanted = self._settings(current)
            wanted.check_step(self._grain)
            if wanted != before:
                changes[name] = wanted
                commands += wanted.commands(name, before)
        if commands:
            self._armed.update(dict.fromkeys(changes))
            await self._link.tell(*commands)
            self._armed.update(changes)

    async def _release(self, plan: PulsePlan, step: int, row: FloatArray) -> None:
        """Trigger the armed electrodes of a step, less those whose pulses are dropped."""
        sent = plan.release(step)
        if np.count_nonzero(row) > len(sent):
            left = np.zeros_like(row)
            left[sent["electrode"]] = row[sent["electrode"]]
            await self._arm(left)
        if sent.size:
            if self._confirmation is not None:
                self._confirmation.triggered(sent["electrode"].tolist(), self._link.clock)
            await self._link.tell("execute manualstimtriggerpulse f1")
            self._spacing.acknowledged()

    async def _undo(self) -> None:
        """Disarm after a failure; if RHX does not answer, `_recover` does it before the next exchange."""
        if not self._link.unanswered:
            with suppress(SubstrateError):
                await wait_to_completion(asyncio.ensure_future(self._arm()))

    async def _recover(self) -> None:
        """After a failure, bring everything to a known state before the next exchange."""
        if self._link.unanswered or self._spacing.pending or None in self._armed.values():
            await self._link.tell()
            await self._arm()
            self._spacing.acknowledged()

    async def _survey(self) -> tuple[float, float, Sequence[str]]:
        """Return samples per second, step size of the current (uA), and the controller's other electrodes."""
        asked = list(dict.fromkeys([*self._names, *_EVERY_ELECTRODE]))
        values, mode = await self._link.ask(
            *(f"get {item}" for item in ("type", "sampleratehertz", "stimstepsizemicroamps")),
            *(f"get {name.lower()}.nativechannelname" for name in asked),
        )
        if mode != "Stop":
            raise SubstrateBusy(
                f"RHX at {self._host} is in run mode {mode}",
                "it is set up while it is stopped",
                "end the other program, or press stop in RHX's window",
            )
        if not values.get("type", "").startswith("ControllerStimRecord"):
            raise SubstrateDisconnected(
                f"RHX at {self._host} has a controller of type {values.get('type')}",
                "allowed are stimulating ones (ControllerStimRecord, RHS)",
            )
        found = [name for name in asked if f"{name.lower()}.nativechannelname" in values]
        missing = [name for name in self._names if name not in found]
        if missing:
            raise SubstrateDisconnected(
                f"RHX at {self._host} knows no electrode {missing[0]}",
                f"asked for were {self._names[0]} to {self._names[-1]}",
                "give the port and size of the headstage: intan://host?port=A&channels=16",
            )
        others = [name for name in found if name not in self._names]
        try:
            return float(values["sampleratehertz"]), float(values["stimstepsizemicroamps"]), others
        except (KeyError, ValueError):
            raise SubstrateDisconnected(
                f"RHX at {self._host} has step size {values.get('stimstepsizemicroamps')} for stimulation",
                "allowed are 0.01 to 10 uA",
                "choose one in its window",
            ) from None

    def _described(self) -> SubstrateInfo:
        top = min(self._limits.amplitude, 255e-6 * self._grain)
        unit, low, high = ("V", -6.39e-3, 6.39e-3) if self._voltage else ("1", 0.0, 1.0)
        return SubstrateInfo(
            id=self._id,
            identity=self._identity,
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
    """Assemble the voltage of the steps, V, shape (steps, samples, channels); NaN for missing data."""
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
    """Read ``intan://host[:port]?channels=32&waveforms=5001&spikes=5002``; the query takes the class's parameters."""
    parts = urlsplit(uri)
    if not parts.hostname or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{uri!r} does not name a host", "allowed is intan://host, such as intan://127.0.0.1?channels=32"
        )
    given = parameters_for(IntanSubstrate, query_of(uri), "intan")
    if parts.port is not None:
        given["commands"] = parts.port
    try:
        return IntanSubstrate(parts.hostname, **given)
    except ValueError as error:
        raise UnknownSubstrate(f"{uri!r} cannot be opened: {error}") from None
