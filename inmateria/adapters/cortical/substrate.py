"""Cortical Labs' CL1 through the vendor's `cl-sdk`: ``cortical://``; Python 3.12, extra ``cortical``.

One input for each of the 59 electrodes that may be stimulated, one output for each of the 64. A drive above 0 (A)
is one charge-balanced pulse at the beginning of a tick, negative phase first; the answer is the number of spikes in
each tick, and the spikes. The SDK's loop blocks, and lives in a thread of its own. In real time it goes on between
exchanges; in accelerated time (simulator only) the culture waits for the next exchange, so that exchanges follow
each other without a gap and can be repeated.
"""

import asyncio
import os
import threading
import warnings
from contextlib import AsyncExitStack
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.adapters.cortical.loop import (
    CHANNELS,
    FRAMES_PER_SECOND,
    STIMMABLE,
    Exchange,
    Opened,
    TickLoop,
    make_culture,
)
from inmateria.adapters.tissue.guard import PulseLimits
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.adapters.uri import parameters_for, query_of
from inmateria.concurrency import settle, settle_with_error, wait_to_completion
from inmateria.simulators.identity import simulator_id
from inmateria.substrate import (
    Channel,
    IdentitySource,
    Layout,
    Limits,
    Response,
    Stimulus,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    SubstrateTimeout,
    UnknownSubstrate,
)

__all__ = ["CORTICAL_LIMITS", "STIMMABLE", "CorticalSubstrate", "cortical_from_uri"]

_GRAIN = 20e-6  # s, of a phase
CORTICAL_LIMITS = PulseLimits(amplitude=3e-6, charge=3e-9, phase=(_GRAIN, 3e-3), interval=5e-3, rate=100.0, dose=5e-3)
"""The CL1's own limits of current and charge, with ours of pace and dose."""

_CULTURE = "inmateria.simulators.culture.network:NeuralCulture"

_open = threading.Lock()  # the SDK knows one device a process


class CorticalSubstrate(Substrate):
    """A CL1 of Cortical Labs, or the simulator of its SDK with a simulated culture.

    Parameters
    ----------
    ticks_per_second : int
        Ticks of the SDK's loop per second, each one step; a divisor of 25,000.
    phase : float
        Duration of each of the two phases of a pulse, s; a multiple of 20 us.
    limits : PulseLimits, optional
        Limits on the pulses; by default `CORTICAL_LIMITS`.
    log : str
        Path of the log of pulses; by default in `state_folder`. ``"none"`` writes none. The pulses of a simulator are
        not logged.
    accelerated : bool
        Run faster than real time, for the simulator only; ``CL_SDK_ACCELERATED_TIME=1`` does the same.
    seed, neurons : int
        Seed and number of neurons of the culture in the simulator.
    culture : str
        Class of the culture in the simulator, ``"package.module:Name"``, for one of your own.
    id : str
        Identity of the device and its culture; by default the system and chip that the device states.
    timeout : float
        Seconds to wait for the device, in addition to the duration of a stimulus.

    Raises
    ------
    ValueError
        If the ticks, the phase, the limits or the id are not valid.
    SubstrateBusy, SubstrateDisconnected, SubstrateTimeout
        On entering, if the SDK is not installed, there is no device, or this process uses it already.
    """

    def __init__(
        self,
        *,
        ticks_per_second: int = 100,
        phase: float = 160e-6,
        limits: PulseLimits | None = None,
        log: str = "",
        accelerated: bool = False,
        seed: int = 0,
        neurons: int = 1000,
        culture: str = _CULTURE,
        id: str = "",  # noqa: A002  (its name in a URI)
        timeout: float = 60.0,
    ) -> None:
        if ticks_per_second < 1 or FRAMES_PER_SECOND % ticks_per_second:
            raise ValueError(f"ticks_per_second is {ticks_per_second}; give a divisor of {FRAMES_PER_SECOND}")
        if phase < _GRAIN * (1 - 1e-9) or abs(phase / _GRAIN - round(phase / _GRAIN)) > 1e-6:
            raise ValueError(f"phase is {phase} s; the CL1 has multiples of 20e-6 s")
        self._limits = limits or CORTICAL_LIMITS
        if self._limits.amplitude > CORTICAL_LIMITS.amplitude or self._limits.charge > CORTICAL_LIMITS.charge:
            raise ValueError("the CL1 gives at most 3e-6 A, and 3e-9 C in a phase; limits may only be lower")
        self._rate, self._phase, self._log, self._timeout = ticks_per_second, phase, log, timeout
        self._accelerated = accelerated or os.environ.get("CL_SDK_ACCELERATED_TIME") == "1"
        if as_identifier(id) != id:
            raise ValueError(
                f"id is {id!r}; allowed are letters, digits, '.', '_' and '-', with a letter or a digit at each end"
            )
        self._id = id
        self._culture = (culture, {"seed": seed, "neurons": neurons, "electrodes": CHANNELS})
        self._exits = AsyncExitStack()
        self._last: Exchange | None = None

    @property
    def confirmed(self) -> npt.NDArray[np.bool_]:
        """For each value of the last stimulus's drive, shape (steps, 59), whether the device said it gave the pulse.

        A pulse that was asked for and is False here was dropped, or the device has not told of it by the end of its
        tick. The log counts it as given all the same: it may have been.
        """
        if self._last is None:
            raise SubstrateError("there has been no stimulus yet", "", "stimulate first")
        return self._last.confirmed.copy()

    async def __aenter__(self) -> Self:
        if find_spec("cl") is None:
            raise SubstrateDisconnected("cl-sdk is not here", 'Python 3.12, and pip install "inmateria[cortical]"')
        if not _open.acquire(blocking=False):
            raise SubstrateBusy("this process has a CL1 open already", "one at a time", "leave the other first")
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Opened] = loop.create_future()
        self._thread = TickLoop(
            self._rate,
            self._phase,
            self._limits,
            self._log,
            self._accelerated,
            self._culture,
            lambda told: _tell(loop, ready, told),
        )
        async with AsyncExitStack() as exits:
            exits.callback(_open.release)
            self._thread.start()
            exits.push_async_callback(self._end)
            try:
                async with asyncio.timeout(self._timeout):
                    opened = await ready
            except TimeoutError:
                raise SubstrateTimeout(f"the CL1 was not ready within {self._timeout:g} s") from None
            # A simulator's electrodes are where its culture has them; of a device it is not known.
            layout = (await asyncio.to_thread(make_culture, *self._culture)).info.layout if opened.simulated else None
            self.info = self._described(opened, layout)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def _end(self) -> None:
        """Close the loop and wait for its thread, also when cancelled meanwhile."""
        self._thread.close()
        await wait_to_completion(asyncio.get_running_loop().run_in_executor(None, self._thread.join))

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, a step a tick, and count the spikes of each.

        If it is cancelled, pulses that have not been released by then never are. Pulses that come too late to
        be applied within the limits are dropped, with a `RuntimeWarning` that counts them.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Response] = loop.create_future()
        exchange = Exchange(stimulus.drive, lambda told: _tell(loop, answered, told))
        self._last = exchange
        self._thread.ask(exchange)
        limit = self._timeout + stimulus.duration
        try:
            async with asyncio.timeout(limit):
                response = await answered
        except TimeoutError:
            raise SubstrateTimeout(f"the CL1 did not get through {len(stimulus.drive)} ticks in {limit:g} s") from None
        finally:
            exchange.given_up.set()
        if exchange.dropped:
            warnings.warn(
                f"{exchange.dropped} of {len(exchange.row_of_pulse)} pulses came too late to be given within limits "
                "and were not; keep the process from being held up, or leave more time between pulses",
                RuntimeWarning,
                stacklevel=2,
            )
        if exchange.lost:
            warnings.warn(
                f"{exchange.lost} frames ({1e3 * exchange.lost / FRAMES_PER_SECOND:g} ms) were lost; "
                "the counts of their ticks are NaN",
                RuntimeWarning,
                stacklevel=2,
            )
        return response

    async def reset(self) -> None:
        """Raise: tissue does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest", "tissue does not do so on command", "let it rest instead"
        )

    def _identity(self, opened: Opened) -> tuple[str, IdentitySource]:
        """Return the id and its source."""
        culture, parameters = self._culture
        if self._id:
            return self._id, "user"
        if opened.simulated:
            own = {"culture": culture, **parameters, "ticks_per_second": self._rate, "phase": self._phase}
            return simulator_id(f"cl1-simulator-{parameters['neurons']}-s{parameters['seed']}", own), "parameters"
        system, host = as_identifier(opened.stated("system_id")), as_identifier(opened.stated("hostname"))
        if system:
            return as_identifier(f"{system}-{opened.stated('chip_id')}"), "serial"
        return (f"cl1-{host}", "host") if host and host.lower() != "localhost" else ("cl1", "none")

    def _described(self, opened: Opened, layout: Layout | None) -> SubstrateInfo:
        step, most = 1 / self._rate, FRAMES_PER_SECOND / self._rate
        culture, parameters = self._culture
        name, source = self._identity(opened)
        stated = {
            key: opened.stated(key) for key in ("system_id", "chip_id", "cell_batch_id", "project_id", "hostname")
        }
        return SubstrateInfo(
            id=name,
            kind="neural-culture",
            inputs=tuple(Channel(name=f"e{k:02d}", unit="A", low=0.0, high=self._limits.amplitude) for k in STIMMABLE),
            outputs=tuple(Channel(name=f"e{k:02d}", unit="1", low=0.0, high=most) for k in range(CHANNELS)),
            step=step,
            sampling_rate=float(self._rate),
            spiking=True,
            limits=Limits(steps=100_000, shortest_step=step * (1 - 1e-9), longest_step=step * (1 + 1e-9)),
            layout=layout,
            identity=source,
            parameters={
                **{key: value for key, value in stated.items() if value},
                "phase": self._phase,
                "accelerated": self._accelerated,
                "pulse_limits": msgspec.to_builtins(self._limits),
                **({"culture": culture, **parameters} if opened.simulated else {}),
            },
        )


def _tell(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", told: object) -> None:
    """Set a future from the thread, unless it is done or cancelled already."""

    def tell() -> None:
        if isinstance(told, BaseException):
            settle_with_error(future, told)
        else:
            settle(future, told)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


def cortical_from_uri(uri: str) -> CorticalSubstrate:
    """Read ``cortical://?ticks_per_second=100``; the query takes what the class takes."""
    parts = urlsplit(uri)
    if parts.netloc or parts.path.strip("/"):
        raise UnknownSubstrate(f"{uri!r} names a place", "the SDK runs on the CL1 itself: cortical://?name=value")
    try:
        return CorticalSubstrate(**parameters_for(CorticalSubstrate, query_of(uri), "cortical"))
    except ValueError as error:
        raise UnknownSubstrate(f"{uri!r} names no CL1: {error}") from None
