"""FinalSpark's Neuroplatform: ``neuroplatform://`` with the vendor's package, ``neuroplatform://emulated`` without.

The platform takes 10 s to change a stimulation, but releases any of 16 that are loaded at once. So these triggers
are the inputs: each a channel of the levels 0 and 1, loaded with one electrode's pulse when the substrate is
entered. The answer to each step is the number of spikes of every electrode in the 200 ms after, the first 10 ms left
out. One trigger is kept without a pulse, to count where nothing is driven.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.sdk_versions import SdkVersion1, SdkVersion2
from inmateria.adapters.neuroplatform.twin import (
    ARRAY,
    ELECTRODES,
    READ_DELAY,
    TRIGGERS,
    WINDOW,
    Booking,
    Neuroplatform,
    PlatformClock,
)
from inmateria.adapters.pulse_log import PULSE, PulseArray, log_path
from inmateria.adapters.tissue import PulseLimits, TissueGuard, biphasic
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.substrate import (
    Channel,
    FloatArray,
    Limits,
    Response,
    Stimulus,
    Substrate,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["NEUROPLATFORM_LIMITS", "NeuroplatformSubstrate", "neuroplatform_from_uri"]

NEUROPLATFORM_LIMITS = PulseLimits(
    amplitude=10e-6, charge=2e-9, phase=(33e-6, 5e-3), interval=0.2, rate=5.0, dose=100e-6
)
"""What our adapter gives; the platform itself sets no limits."""

_TOKEN = "INMATERIA_NEUROPLATFORM_TOKEN"
_SHORTEST = WINDOW + READ_DELAY
_SILENT = TRIGGERS - 1


class NeuroplatformSubstrate(Substrate):
    """Sixteen triggers in, counts of spikes out.

    Parameters
    ----------
    token : str
        Of the booking (version 1), or name of the user (version 2); by default from the environment,
        ``INMATERIA_NEUROPLATFORM_TOKEN``.
    version : int
        Of the vendor's package: 1 is ``neuroplatform``, 2 is ``neuroplatformv2``.
    platform : Neuroplatform, optional
        A twin to use in place of the vendor's package.
    triggers : int
        How many carry a pulse. With 16 there is none to count with where nothing is driven, and such steps give NaN.
    electrodes : str
        Which one each trigger stimulates, as ``"0,4,8"`` or ``"0-14"``; by default spread over those of the booking.
    array : int
        Which of the four arrays is read (version 2; version 1 reads the electrodes of the booking).
    amplitude : float
        Of the pulses, A.
    phase : float
        Duration of each of their two phases, s.
    step : float
        Duration of a step, s; at least 0.24.
    limits : PulseLimits, optional
        What the tissue may be given; by default `NEUROPLATFORM_LIMITS`.
    log : str
        Where every pulse is written; by default in `state_folder`, and with ``"none"`` nowhere. A twin's are not.

    Raises
    ------
    ValueError
        Where these are not such numbers.
    SubstrateBusy, SubstrateDisconnected, StimulusRejected
        On entering, where another experiment runs, the vendor's package is not here, or the pulses are not allowed.
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
        log: str = "",
    ) -> None:
        if version not in (1, 2) or not 1 <= triggers <= TRIGGERS or array not in range(ELECTRODES // ARRAY):
            raise ValueError(
                f"version is {version}, triggers {triggers}, array {array}; allowed are 1 or 2, 1 to {TRIGGERS}, 0 to 3"
            )
        if step < _SHORTEST - 1e-9:
            raise ValueError(f"step is {step} s; a count takes {WINDOW:g} s and reading it {READ_DELAY:g} s")
        self._chosen = _numbers(electrodes)
        if self._chosen and len(self._chosen) != triggers:
            triggers = len(self._chosen)
        if triggers > TRIGGERS or len(set(self._chosen)) != len(self._chosen):
            raise ValueError(f"electrodes are {electrodes!r}; give up to {TRIGGERS}, each once")
        self._token = token or os.environ.get(_TOKEN, "")
        self._version, self._platform, self._count, self._array = version, platform, triggers, array
        self._amplitude, self._phase, self._step = amplitude, phase, step
        self._limits, self._log = limits or NEUROPLATFORM_LIMITS, "none" if platform is not None else log
        self._turn = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._sequence = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            door = SdkVersion1 if self._version == 1 else SdkVersion2
            self._door = door(self._token, self._platform)
            name, self._read = await self._door.enter(self._array)
            exits.push_async_callback(self._door.leave)
            spread = [self._read[k * len(self._read) // self._count] for k in range(self._count)]
            self._places = self._chosen or tuple(spread)
            log = log_path(self._log, f"neuroplatform-{name}")
            self._guard = exits.enter_context(TissueGuard(self._limits, log, self._door.now))
            self._limits.check(self._pulses(np.ones((1, self._count)), 0.0)[0])
            await self._door.load(self._places, 1e6 * self._amplitude, 1e6 * self._phase)
            await self._door.listen([*range(self._count), *([_SILENT] if self._count < TRIGGERS else [])])
            self.info = self._described(name)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Send the triggers of each step, and count the spikes after.

        Where it is cancelled, the step under way is finished and no further one begun.
        """
        async with self._turn:
            start = self._door.now()
            pulses, row = self._pulses(stimulus.drive, start)
            self._guard.admit(pulses)
            signal = np.full((len(stimulus.drive), 1, len(self._read)), np.nan)
            sent = -1
            try:
                for k, driven in enumerate(stimulus.drive):
                    flags = np.zeros(TRIGGERS, dtype=np.uint8)
                    flags[: self._count] = driven > 0
                    if not flags.any() and self._count < TRIGGERS:
                        flags[_SILENT] = 1
                    sent = k
                    if flags.any():
                        signal[k, 0] = (await self._door.count(flags))[list(self._read)]
                    await self._door.wait_until(start + (k + 1) * stimulus.step)
            finally:
                self._guard.withdraw(pulses[row > sent])
            self._sequence += 1
            return Response(signal, None, start, self._sequence - 1)

    async def reset(self) -> None:
        """Raise: tissue does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest", "tissue does not do so on command", "let it rest instead"
        )

    def _pulses(self, drive: FloatArray, start: float) -> tuple[PulseArray, npt.NDArray[np.intp]]:
        """Make the pulses that a drive will release, and the step of each."""
        row, trigger = np.nonzero(drive)
        if not row.size:
            return np.zeros(0, dtype=PULSE), row
        times = start + row * self._step
        return biphasic(times, np.array(self._places)[trigger], -self._amplitude, self._phase), row

    def _described(self, name: str) -> SubstrateInfo:
        return SubstrateInfo(
            id=f"neuroplatform-{name}",
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
        raise ValueError(f"electrodes are {written!r}; write them as '0,4,8' or '0-14'") from None
    return tuple(numbers)


def neuroplatform_from_uri(uri: str) -> NeuroplatformSubstrate:
    """Read ``neuroplatform://?version=1``, or ``neuroplatform://emulated?seed=0&neurons=1000`` for a twin.

    A twin's time is simulated; with ``real_time=true`` it takes as long as the platform, 10 s to begin with.
    """
    parts = urlsplit(uri)
    if parts.netloc not in ("", "emulated") or parts.path.strip("/"):
        raise UnknownSubstrate(f"{uri!r} names a place", "neuroplatform://, or neuroplatform://emulated for a twin")
    query = query_of(uri)
    if "token" in query:
        raise UnknownSubstrate("a token was given in a URI, where others see it", "", f"put it into {_TOKEN}")
    platform = None
    real_time = query.pop("real_time", "false").lower()
    if real_time not in ("true", "false") or (real_time == "true" and not parts.netloc):
        raise UnknownSubstrate(
            f"real_time is {real_time!r} in {uri!r}",
            "true or false, of a twin: neuroplatform://emulated?real_time=true",
        )
    if parts.netloc:
        culture: dict[str, str] = {name: query.pop(name) for name in ("seed", "neurons") if name in query}
        booking = Booking(fs_name=f"emulated{culture.get('seed', 0)}")
        platform = Neuroplatform(_culture(culture), [booking], PlatformClock(simulated=real_time == "false"))
    try:
        return NeuroplatformSubstrate(
            platform=platform, **parameters_for(NeuroplatformSubstrate, query, "neuroplatform")
        )
    except ValueError as error:
        raise UnknownSubstrate(f"{uri!r} names no such platform: {error}") from None


def _culture(given: dict[str, str]) -> Any:
    from inmateria.simulators.culture.network import NeuralCulture

    parameters = parameters_for(NeuralCulture, given, "neuroplatform")
    return NeuralCulture(**parameters, electrodes=ARRAY, organoids=4, current_limit=1e-4)
