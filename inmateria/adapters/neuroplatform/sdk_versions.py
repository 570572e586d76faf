"""The two versions of the vendor's package for FinalSpark's Neuroplatform, behind one set of methods."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.twin import ARRAY, BLANKING, ELECTRODES, UPLOAD, WINDOW, Neuroplatform
from inmateria.adapters.tissue.guard import steady_time
from inmateria.adapters.tissue.substrate import place_of
from inmateria.concurrency import wait_to_completion
from inmateria.substrate import FloatArray, SubstrateBusy, SubstrateDisconnected, SubstrateError

__all__ = ["SdkVersion", "SdkVersion1", "SdkVersion2"]

Result = TypeVar("Result")


class SdkVersion(ABC):
    """One version of the vendor's package, or a twin in its place.

    Parameters
    ----------
    token : str
    platform : Neuroplatform, optional
        A twin.
    """

    def __init__(self, token: str, platform: Neuroplatform | None) -> None:
        self._token, self._platform = token, platform
        if platform is not None and not token:
            self._token = platform.bookings[0].token
        self.now: Callable[[], float] = platform.clock.now if platform else steady_time

    @abstractmethod
    async def connect(self, array: int) -> tuple[str, tuple[int, ...]]:
        """Connect, and return the name of the organoids and the electrodes that are read."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Disable all stimulations and disconnect."""

    @abstractmethod
    async def load_stimulations(self, places: tuple[int, ...], microamps: float, microseconds: float) -> None:
        """Load a pulse of each place, trigger k stimulating the k-th, and disable all other electrodes; takes 10 s."""

    @abstractmethod
    async def set_count_triggers(self, triggers: list[int]) -> None:
        """Set which triggers begin a count."""

    @abstractmethod
    async def send_and_count(self, flags: npt.NDArray[np.uint8], acknowledged: Callable[[], None]) -> FloatArray:
        """Send triggers and return the counts of the 200 ms after, shape (128,).

        Parameters
        ----------
        flags : ndarray of uint8, shape (16,)
        acknowledged : callable
            Called as soon as the triggers have been sent, possibly in another thread.
        """

    @abstractmethod
    async def sent_triggers(self, start: datetime, stop: datetime) -> Any:
        """Return the database's table of triggers of a time: _time, trigger, up."""

    def _package(self, name: str) -> Any:
        """Return a module of the vendor's package, or the twin's."""
        if self._platform is None:
            try:
                return import_module(name)
            except ImportError:
                raise SubstrateDisconnected(
                    f"the vendor's package {name.partition('.')[0]} is not installed",
                    "it comes with access to the platform, and is not public",
                    "neuroplatform://emulated is a twin with a simulated culture",
                ) from None
        from inmateria.adapters.neuroplatform.v1 import version1
        from inmateria.adapters.neuroplatform.v2 import version2

        return version1(self._platform) if name == "neuroplatform" else version2(self._platform)[name]

    def _parameters(
        self, schemas: Any, electrodes: tuple[int, ...], places: tuple[int, ...], microamps: float, microseconds: float
    ) -> list[Any]:
        """Return the vendor's parameters for all electrodes: a pulse for those of the places, none for the others."""
        made = []
        for electrode in sorted({*electrodes, *places}):
            param = schemas.StimParam()
            param.index, param.enable = electrode, electrode in places
            param.trigger_key = places.index(electrode) if param.enable else 0
            param.polarity = schemas.StimPolarity.NegativeFirst
            param.phase_duration1 = param.phase_duration2 = microseconds
            param.phase_amplitude1 = param.phase_amplitude2 = microamps if param.enable else 0.0
            param.nb_pulse, param.trigger_delay = 0, 0.0
            made.append(param)
        return made

    async def wait_until(self, at: float) -> None:
        """Wait on the platform's clock."""
        seconds = at - self.now()
        if seconds > 0:
            await self.wait(seconds)

    async def wait(self, seconds: float) -> None:
        """Let time pass on the platform's clock."""
        if self._platform is not None and self._platform.clock.simulated:
            self._platform.clock.sleep(seconds)
            await asyncio.to_thread(self._platform.settle)
        else:
            await asyncio.sleep(seconds)


class SdkVersion1(SdkVersion):
    """Version 1; its calls block, and are made in a thread of their own."""

    async def connect(self, array: int) -> tuple[str, tuple[int, ...]]:
        """Begin the experiment; return the organoids' name and the electrodes of the booking."""
        self._sdk = self._package("neuroplatform")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neuroplatform")
        self._params: list[Any] = []
        try:
            self._experiment = await self._do(self._sdk.Experiment, self._token)
            if not await self._do(self._experiment.start):
                raise SubstrateBusy(
                    "another experiment runs on the platform",
                    "one experiment at a time is allowed",
                    "wait until it ends, or ask its owner",
                )
            try:
                self._intan = await self._do(self._sdk.IntanSofware)
                self._trigger = await self._do(self._sdk.Trigger)
            except BaseException:
                await self._do(self._experiment.stop)
                raise
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._electrodes = tuple(int(each) for each in self._experiment.electrodes)
        return str(self._experiment.exp_name), self._electrodes

    async def disconnect(self) -> None:
        """Disable all stimulations and end the experiment, each step also where one before it failed."""
        calls: list[Callable[[], Any]] = [
            self._disable,
            self._trigger.close,
            self._intan.close,
            self._experiment.stop,
        ]
        try:
            failed = await self._do(_first_error, calls)
        finally:
            self._thread.shutdown(wait=False)
        if failed is not None:
            raise failed

    def _disable(self) -> None:
        for param in self._params:
            param.enable = False
        if self._params:
            self._intan.send_stimparam(self._params)

    async def load_stimulations(self, places: tuple[int, ...], microamps: float, microseconds: float) -> None:
        """Load the stimulations; takes 10 s."""
        self._params = self._parameters(self._sdk, self._electrodes, places, microamps, microseconds)
        await self._do(self._intan.send_stimparam, self._params)

    async def set_count_triggers(self, triggers: list[int]) -> None:
        """Set which triggers begin a count."""
        await self._do(self._intan.set_count, triggers)

    async def send_and_count(self, flags: npt.NDArray[np.uint8], acknowledged: Callable[[], None]) -> FloatArray:
        """Send triggers and return the counts of the 200 ms after, shape (128,)."""
        sleep = self._platform.clock.sleep if self._platform is not None else time.sleep

        def count() -> Any:
            self._trigger.send(flags)
            acknowledged()
            sleep(WINDOW)
            return self._intan.read_count()

        return np.asarray(await self._do(count), dtype=np.float64)

    async def sent_triggers(self, start: datetime, stop: datetime) -> Any:
        """Return the database's table of triggers of a time: _time, trigger, up."""
        return await self._do(lambda: self._sdk.Database().get_all_triggers(start, stop))

    async def _do(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call in the thread, and wait for its end also where the caller is cancelled."""
        return await _named(
            wait_to_completion(asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments))
        )


class SdkVersion2(SdkVersion):
    """Version 2, for users with a platform of their own."""

    async def connect(self, array: int) -> tuple[str, tuple[int, ...]]:
        """Connect; return the array's name and its electrodes."""
        self._schemas = self._package("neuroplatformv2.utils.schemas")
        self._params: list[Any] = []
        self._intan = self._package("neuroplatformv2.core.intan").IntanController()
        self._trigger = self._package("neuroplatformv2.core.trigger").TriggerController(self._token or "admin")
        name = self._platform.bookings[0].fs_name if self._platform else place_of("localhost")
        return f"{name}-array{array}", tuple(range(array * ARRAY, (array + 1) * ARRAY))

    async def disconnect(self) -> None:
        """Disable all stimulations and disconnect."""
        try:
            for param in self._params:
                param.enable = False
            if self._params:
                await self._upload()
        finally:
            try:
                await _named(self._intan._close())
            finally:
                self._trigger.close()

    async def _upload(self) -> None:
        await _named(self._intan._send_stimparam(self._params))
        await self.wait(1.0)
        await _named(self._intan._upload_stimparam())
        await self.wait(UPLOAD)

    async def load_stimulations(self, places: tuple[int, ...], microamps: float, microseconds: float) -> None:
        """Load the stimulations, and disable the electrodes of all arrays that have none; takes 11 s."""
        everywhere = tuple(range(ELECTRODES))
        self._params = self._parameters(self._schemas, everywhere, places, microamps, microseconds)
        await self._upload()

    async def set_count_triggers(self, triggers: list[int]) -> None:
        """Do nothing: version 2 counts on request."""

    async def send_and_count(self, flags: npt.NDArray[np.uint8], acknowledged: Callable[[], None]) -> FloatArray:
        """Send triggers and return the counts from 10 to 200 ms after, shape (128,)."""
        await _named(self._trigger.send(flags))
        acknowledged()
        await self.wait(BLANKING)
        return np.asarray(await _named(self._intan._count_spike(1e3 * (WINDOW - BLANKING))), dtype=np.float64)

    async def sent_triggers(self, start: datetime, stop: datetime) -> Any:
        """Return the database's table of triggers of a time: _time, trigger, up."""
        database = self._package("neuroplatformv2.core.database")
        return await _named(database.DatabaseController.get_all_triggers(database.TriggersQuery(start, stop)))


def _first_error(calls: list[Callable[[], Any]]) -> Exception | None:
    """Make all calls, also after one that failed; return the first error."""
    failed = None
    for call in calls:
        try:
            call()
        except Exception as error:
            failed = failed or error
    return failed


async def _named(work: Awaitable[Result]) -> Result:
    """Wait for the vendor's package; an error of its own becomes one that names it."""
    try:
        return await work
    except SubstrateError:
        raise
    except Exception as error:
        raise SubstrateDisconnected(f"the platform's package raised {type(error).__name__}: {error}") from error
