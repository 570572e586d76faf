"""The two versions of the vendor's package for FinalSpark's Neuroplatform, seen alike: enter, load, count, leave."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.twin import ARRAY, BLANKING, UPLOAD, WINDOW, Neuroplatform
from inmateria.concurrency import wait_to_completion
from inmateria.substrate import FloatArray, SubstrateBusy, SubstrateDisconnected, SubstrateError

__all__ = ["SdkVersion1", "SdkVersion2"]

Result = TypeVar("Result")


class SdkVersion:
    """What both versions of the vendor's package have in common."""

    def __init__(self, token: str, platform: Neuroplatform | None) -> None:
        self._token, self._platform = token, platform
        if platform is not None and not token:
            self._token = platform.bookings[0].token
        self.now: Callable[[], float] = platform.clock.now if platform else time.time

    def package(self, name: str) -> Any:
        """Give a module of the vendor's, or the twin's."""
        if self._platform is None:
            try:
                return import_module(name)
            except ImportError:
                raise SubstrateDisconnected(
                    f"the vendor's package {name.partition('.')[0]} is not here",
                    "it comes with access to the platform, and is not public",
                    "neuroplatform://emulated is a twin with a simulated culture",
                ) from None
        from inmateria.adapters.neuroplatform.v1 import version1
        from inmateria.adapters.neuroplatform.v2 import version2

        return version1(self._platform) if name == "neuroplatform" else version2(self._platform)[name]

    def params(self, schemas: Any, places: tuple[int, ...], microamps: float, microseconds: float) -> list[Any]:
        """Make the vendor's parameters: trigger k stimulates the k-th place."""
        made = []
        for key, place in enumerate(places):
            param = schemas.StimParam()
            param.index, param.trigger_key, param.enable = place, key, True
            param.polarity = schemas.StimPolarity.NegativeFirst
            param.phase_duration1 = param.phase_duration2 = microseconds
            param.phase_amplitude1 = param.phase_amplitude2 = microamps
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

    async def enter(self, array: int) -> tuple[str, tuple[int, ...]]:
        """Begin the experiment; give the organoids' name and the electrodes of the booking."""
        self._package = self.package("neuroplatform")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neuroplatform")
        self._params: list[Any] = []
        try:
            self._experiment = await self._do(self._package.Experiment, self._token)
            if not await self._do(self._experiment.start):
                raise SubstrateBusy(
                    "another experiment runs on the platform", "one at a time", "wait, or ask its people"
                )
            try:
                self._intan = await self._do(self._package.IntanSofware)
                self._trigger = await self._do(self._package.Trigger)
            except BaseException:
                await self._do(self._experiment.stop)
                raise
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return str(self._experiment.exp_name), tuple(int(each) for each in self._experiment.electrodes)

    async def leave(self) -> None:
        """Take all stimulations away and end the experiment, each step also where one before it failed."""
        calls: list[Callable[[], Any]] = [
            self._disable,
            self._trigger.close,
            self._intan.close,
            self._experiment.stop,
        ]
        try:
            failed = await self._do(_all_of, calls)
        finally:
            self._thread.shutdown(wait=False)
        if failed is not None:
            raise failed

    def _disable(self) -> None:
        for param in self._params:
            param.enable = False
        if self._params:
            self._intan.send_stimparam(self._params)

    async def load(self, places: tuple[int, ...], microamps: float, microseconds: float) -> None:
        """Load the stimulations; takes 10 s."""
        self._params = self.params(self._package, places, microamps, microseconds)
        await self._do(self._intan.send_stimparam, self._params)

    async def listen(self, triggers: list[int]) -> None:
        """Set which triggers begin a count."""
        await self._do(self._intan.set_count, triggers)

    async def count(self, flags: npt.NDArray[np.uint8]) -> FloatArray:
        """Send triggers and give the counts of the 200 ms after, shape (128,)."""
        sleep = self._platform.clock.sleep if self._platform is not None else time.sleep

        def count() -> Any:
            self._trigger.send(flags)
            sleep(WINDOW)
            return self._intan.read_count()

        return np.asarray(await self._do(count), dtype=np.float64)

    async def _do(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call in the thread, to its end whoever cancels meanwhile."""
        return await _told(
            wait_to_completion(asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments))
        )


class SdkVersion2(SdkVersion):
    """Version 2; for who has a platform of their own."""

    async def enter(self, array: int) -> tuple[str, tuple[int, ...]]:
        """Connect; give a name and the electrodes of the array."""
        self._schemas = self.package("neuroplatformv2.utils.schemas")
        self._params: list[Any] = []
        self._intan = self.package("neuroplatformv2.core.intan").IntanController()
        self._trigger = self.package("neuroplatformv2.core.trigger").TriggerController(self._token or "admin")
        return f"array{array}", tuple(range(array * ARRAY, (array + 1) * ARRAY))

    async def leave(self) -> None:
        """Take all stimulations away and disconnect."""
        try:
            for param in self._params:
                param.enable = False
            if self._params:
                await self._upload()
        finally:
            try:
                await _told(self._intan._close())
            finally:
                self._trigger.close()

    async def _upload(self) -> None:
        await _told(self._intan._send_stimparam(self._params))
        await self.wait(1.0)
        await _told(self._intan._upload_stimparam())
        await self.wait(UPLOAD)

    async def load(self, places: tuple[int, ...], microamps: float, microseconds: float) -> None:
        """Load the stimulations; takes 11 s."""
        self._params = self.params(self._schemas, places, microamps, microseconds)
        await self._upload()

    async def listen(self, triggers: list[int]) -> None:
        """Do nothing: version 2 counts on request."""

    async def count(self, flags: npt.NDArray[np.uint8]) -> FloatArray:
        """Send triggers and give the counts from 10 to 200 ms after, shape (128,)."""
        await _told(self._trigger.send(flags))
        await self.wait(BLANKING)
        return np.asarray(await _told(self._intan._count_spike(1e3 * (WINDOW - BLANKING))), dtype=np.float64)


def _all_of(calls: list[Callable[[], Any]]) -> Exception | None:
    """Make all calls, whatever becomes of each; give the first error."""
    failed = None
    for call in calls:
        try:
            call()
        except Exception as error:
            failed = failed or error
    return failed


async def _told(work: Awaitable[Result]) -> Result:
    """Wait for the vendor's answer; an error that is not ours becomes one that says whose it is."""
    try:
        return await work
    except SubstrateError:
        raise
    except Exception as error:
        raise SubstrateDisconnected(f"the platform's package raised {type(error).__name__}: {error}") from error
