"""FinalSpark's Neuroplatform: ``neuroplatform://`` with the vendor's package, ``neuroplatform://emulated`` without.

The platform takes 10 s to change a stimulation, but releases any of 16 that are loaded at once. So these triggers
are the inputs: each a channel of the levels 0 and 1, loaded with one electrode's pulse when the substrate is
entered. The response to each step is the number of spikes of every electrode in the 200 ms after, the first 10 ms
left out. One trigger is kept without a pulse, to count in steps without a pulse.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.sdk_versions import SdkVersion, SdkVersion1, SdkVersion2
from inmateria.adapters.neuroplatform.twin import (
    ARRAY,
    ELECTRODES,
    RATE,
    READ_DELAY,
    TRIGGERS,
    WINDOW,
    Booking,
    Neuroplatform,
    PlatformClock,
)
from inmateria.adapters.tissue.guard import PULSE, PulseArray, PulseLimits, TissueGuard, biphasic
from inmateria.adapters.tissue.pulse_log import log_name, log_path
from inmateria.adapters.tissue.pulse_plan import PulsePlan, PulseSpacing
from inmateria.adapters.tissue.stimulator_rounding import duration_samples
from inmateria.adapters.tissue.substrate import TissueSubstrate, as_identifier
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.concurrency import wait_to_completion
from inmateria.substrate import (
    Channel,
    FloatArray,
    IdentitySource,
    Limits,
    Response,
    Stimulus,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["NEUROPLATFORM_LIMITS", "NeuroplatformSubstrate", "neuroplatform_from_uri"]

NEUROPLATFORM_LIMITS = PulseLimits(
    amplitude=10e-6, charge=2e-9, phase=(33e-6, 5e-3), interval=0.2, rate=5.0, dose=100e-6
)
"""Default limits of this adapter; the platform itself sets none."""

_TOKEN = "INMATERIA_NEUROPLATFORM_TOKEN"
_SHORTEST = WINDOW + READ_DELAY
_SILENT = TRIGGERS - 1


class NeuroplatformSubstrate(TissueSubstrate):
    """FinalSpark's Neuroplatform: its inputs are up to sixteen triggers, its outputs counts of spikes.

    Parameters
    ----------
    token : str
        Token of the booking (version 1), or name of the user (version 2); by default from the environment,
        ``INMATERIA_NEUROPLATFORM_TOKEN``.
    version : int
        Version of the vendor's package: 1 is ``neuroplatform``, 2 is ``neuroplatformv2``.
    platform : Neuroplatform, optional
        A twin to use in place of the vendor's package.
    triggers : int
        Number of triggers that release a pulse, at most 16. With 16, no trigger is left to start a count in steps
        without a pulse, and those steps give NaN.
    electrodes : str
        Electrode of each trigger, as ``"0,4,8"`` or ``"0-14"``; by default spread over those of the booking. All
        others are disabled on entering.
    array : int
        Which of the four arrays is read (version 2; version 1 reads the electrodes of the booking).
    amplitude : float
        Current of the pulses, A.
    phase : float
        Duration of each of their two phases, s; rounded to samples of the platform's 30 kHz.
    step : float
        Duration of a step, s; at least 0.24.
    limits : PulseLimits, optional
        Limits on the pulses; by default `NEUROPLATFORM_LIMITS`.
    id : str
        Identity of the tissue; by default made of the organoids' name (version 1), or of this machine's name and the
        array (version 2, which names nothing).
    log : str
        Path of the log of pulses, or ``"none"``; by default in `state_folder`, and none for a twin.

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    SubstrateBusy, SubstrateDisconnected, StimulusRejected
        On entering, if another experiment runs, the vendor's package is not installed, or the limits do not allow the
        pulses.
    """

    def __init__(
        self,
        token: str = "",
        *,
        version: int = 1,
        platform: Neuroplatform | None = None,
        triggers: int = TRIGGERS - 1,
        electrodes: str = "",
        array: int = 0,
        amplitude: float = 4e-6,
        phase: float = 200e-6,
        step: float = 0.25,
        limits: PulseLimits | None = None,
        id: str = "",  # noqa: A002
        log: str = "",
    ) -> None:
        super().__init__()
        if version not in (1, 2) or not 1 <= triggers <= TRIGGERS or array not in range(ELECTRODES // ARRAY):
            raise ValueError(
                f"version is {version}, triggers {triggers}, array {array}; allowed are 1 or 2, 1 to {TRIGGERS}, 0 to 3"
            )
        if step < _SHORTEST - 1e-9:
            raise ValueError(
                f"step is {step} s; allowed are {_SHORTEST:g} s and more: a count takes {WINDOW:g} s "
                f"and reading it {READ_DELAY:g} s"
            )
        self._chosen = _numbers(electrodes)
        if self._chosen and len(self._chosen) != triggers:
            triggers = len(self._chosen)
        if triggers > TRIGGERS or len(set(self._chosen)) != len(self._chosen):
            raise ValueError(f"electrodes are {electrodes!r}; give up to {TRIGGERS}, each once")
        self._token = token or os.environ.get(_TOKEN, "")
        self._version, self._platform, self._count, self._array = version, platform, triggers, array
        if as_identifier(id) != id:
            raise ValueError(f"id is {id!r}; allowed are letters, digits, '.', '_' and '-', first and last no sign")
        self._amplitude, self._step, self._id = amplitude, step, id
        self._phase = duration_samples(1e6 * phase, RATE) / RATE  # what the platform makes of it
        self._asked: npt.NDArray[np.bool_] | None = None
        self._sent: list[tuple[float, int, int]] = []  # time, step and key of each trigger of the last stimulus
        self._limits, self._log = limits or NEUROPLATFORM_LIMITS, log or ("none" if platform is not None else "")

    async def _open(self, exits: AsyncExitStack) -> None:
        sdk = SdkVersion1 if self._version == 1 else SdkVersion2
        self._sdk: SdkVersion = sdk(self._token, self._platform)
        connecting = asyncio.ensure_future(self._sdk.connect(self._array))
        try:
            name, self._read = await wait_to_completion(connecting)
        except asyncio.CancelledError:
            if connecting.exception() is None:  # an experiment that was begun is ended
                await self._close()
            raise
        exits.push_async_callback(self._close)
        spread = [self._read[k * len(self._read) // self._count] for k in range(self._count)]
        self._places = self._chosen or tuple(spread)
        identity = self._id or log_name("neuroplatform", name)
        log = log_path(self._log, log_name("neuroplatform", self._id or name))
        self._guard = exits.enter_context(TissueGuard(self._limits, log, self._sdk.now))
        self._spacing = PulseSpacing(self._limits, self._sdk.now, self._sdk.wait)
        self._limits.check(self._pulses(np.ones((1, self._count)), 0.0)[0])
        await self._sdk.load_stimulations(self._places, 1e6 * self._amplitude, 1e6 * self._phase)
        await self._sdk.set_count_triggers([*range(self._count), *([_SILENT] if self._count < TRIGGERS else [])])
        self.info = self._described(identity)

    async def _close(self) -> None:
        await wait_to_completion(asyncio.ensure_future(self._sdk.disconnect()))

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Send the triggers of each step, and count the spikes after.

        A pulse that is late is spaced from the one before or dropped, so that the limits hold at the real times.
        If it is cancelled, the step under way is finished and no further one begun.
        """
        async with self._turn:
            start = self._sdk.now()
            self._asked, self._sent = stimulus.drive > 0, []
            pulses, row = self._pulses(stimulus.drive, start)
            signal = np.full((len(stimulus.drive), 1, len(self._read)), np.nan)
            with PulsePlan(self._guard, self._spacing, pulses, row) as plan:
                for k in range(len(stimulus.drive)):
                    await plan.wait(k, stimulus.step)
                    counts = await wait_to_completion(asyncio.ensure_future(self._release(plan, k)))
                    if counts is not None:
                        signal[k, 0] = counts[list(self._read)]
                    await self._sdk.wait_until(start + (k + 1) * stimulus.step)
            self._sequence += 1
            return Response(signal, None, start, self._sequence - 1)

    async def confirmed(self) -> npt.NDArray[np.bool_]:
        """Ask the platform's database which triggers of the last stimulus it sent.

        A trigger counts that the database has within half a step of the time at which it was sent from here, so the
        clocks of both must agree to that. The pulses of a trigger are not in the database.

        Returns
        -------
        ndarray of bool, shape (steps, triggers)
            True where a pulse was asked for and the platform tells of its trigger.

        Raises
        ------
        SubstrateError
            If there has been no stimulus yet.
        """
        if self._asked is None:
            raise SubstrateError("there has been no stimulus yet", "", "stimulate first")
        async with self._turn:
            found = np.zeros(self._asked.shape, dtype=bool)
            if not self._sent:
                return found
            margin = timedelta(seconds=self._step / 2)
            first, last = (datetime.fromtimestamp(self._sent[k][0], UTC) for k in (0, -1))
            table = await self._sdk.sent_triggers(first - margin, last + margin)
            table = table[table["up"] == 1]
            told = [(at.timestamp(), int(key)) for at, key in zip(table["_time"], table["trigger"], strict=True)]
            for sent, step, key in self._sent:
                near = [each for each in told if each[1] == key and abs(each[0] - sent) < self._step / 2]
                if near:
                    told.remove(near[0])
                    found[step, key] = self._asked[step, key]
            return found

    async def _release(self, plan: PulsePlan, step: int) -> FloatArray | None:
        """Send the triggers of a step, less those whose pulses are dropped, and count; None if nothing can count."""
        flags = np.zeros(TRIGGERS, dtype=np.uint8)
        for electrode in plan.release(step)["electrode"].tolist():
            flags[self._places.index(electrode)] = 1
        if not flags.any() and self._count < TRIGGERS:
            flags[_SILENT] = 1
        if not flags.any():
            return None
        self._sent += [(self._sdk.now(), step, key) for key in np.flatnonzero(flags[: self._count]).tolist()]
        try:
            return await self._sdk.send_and_count(flags, self._spacing.acknowledged)
        finally:
            self._spacing.acknowledged()  # also if the vendor's package failed

    def _pulses(self, drive: FloatArray, start: float) -> tuple[PulseArray, npt.NDArray[np.intp]]:
        """Return the pulses that a drive will release, and the step of each."""
        row, trigger = np.nonzero(drive)
        if not row.size:
            return np.zeros(0, dtype=PULSE), row
        times = start + row * self._step
        return biphasic(times, np.array(self._places)[trigger], -self._amplitude, self._phase), row

    def _identity(self) -> IdentitySource:
        """Return the source of the id; version 2 names neither the platform nor the organoids."""
        if self._id:
            return "user"
        return "none" if self._version == 2 and self._platform is None else "serial"

    def _described(self, identity: str) -> SubstrateInfo:
        return SubstrateInfo(
            id=identity,
            identity=self._identity(),
            kind="neural-culture",
            inputs=tuple(
                Channel(name=f"trigger{key:02d}", unit="1", low=0.0, high=1.0, levels=(0.0, 1.0))
                for key in range(self._count)
            ),
            outputs=tuple(Channel(name=f"e{place:03d}", unit="1", low=0.0, high=70.0) for place in self._read),
            step=self._step,
            sampling_rate=1 / self._step,
            limits=Limits(steps=100_000, shortest_step=self._step * (1 - 1e-9), longest_step=self._step * (1 + 1e-9)),
            parameters={
                "version": self._version,
                "electrodes": list(self._places),
                "amplitude": self._amplitude,
                "phase": self._phase,
                "pulse_limits": msgspec.to_builtins(self._limits),
            },
        )


def _numbers(written: str) -> tuple[int, ...]:
    """Read ``"0,4,8-11"``."""
    numbers: list[int] = []
    try:
        for part in filter(None, written.split(",")):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        raise ValueError(f"electrodes are {written!r}; allowed are numbers and ranges, as '0,4,8' or '0-14'") from None
    return tuple(numbers)


def neuroplatform_from_uri(uri: str) -> NeuroplatformSubstrate:
    """Read ``neuroplatform://?version=1``, or ``neuroplatform://emulated?seed=0&neurons=1000`` for a twin.

    A twin's time is simulated; with ``real_time=true`` it takes as long as the platform, 10 s to begin with.
    """
    parts = urlsplit(uri)
    if parts.netloc not in ("", "emulated") or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{uri!r} names a host", "allowed are neuroplatform://, and neuroplatform://emulated for a twin"
        )
    query = query_of(uri)
    if "token" in query:
        raise UnknownSubstrate(
            "a token was given in a URI", "URIs are logged and shown", f"put it into the environment as {_TOKEN}"
        )
    platform = None
    real_time = query.pop("real_time", "false").lower()
    if real_time not in ("true", "false") or (real_time == "true" and not parts.netloc):
        raise UnknownSubstrate(
            f"real_time is {real_time!r} in {uri!r}",
            "allowed are true and false, for a twin: neuroplatform://emulated?real_time=true",
        )
    if parts.netloc:
        culture: dict[str, str] = {name: query.pop(name) for name in ("seed", "neurons") if name in query}
        made = _culture(culture)
        booking = Booking(fs_name=f"emulated-{made.info.id}")
        platform = Neuroplatform(made, [booking], PlatformClock(simulated=real_time == "false"))
    try:
        return NeuroplatformSubstrate(
            platform=platform, **parameters_for(NeuroplatformSubstrate, query, "neuroplatform")
        )
    except ValueError as error:
        raise UnknownSubstrate(f"{uri!r} cannot be opened: {error}") from None


def _culture(given: dict[str, str]) -> Any:
    from inmateria.simulators.culture.network import NeuralCulture

    parameters = parameters_for(NeuralCulture, given, "neuroplatform")
    return NeuralCulture(**parameters, electrodes=ARRAY, organoids=4, current_limit=1e-4)
