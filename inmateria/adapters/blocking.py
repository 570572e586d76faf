"""A base for adapters whose driver blocks: its calls run in one thread of their own, one at a time, in order.

Most drivers of instruments are plain functions that return when the instrument has answered. `BlockingSubstrate`
keeps them off the event loop, tells them of a cancellation, and waits until they have returned before anything else
is asked of the instrument.
"""

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from inmateria.concurrency import wait_to_completion
from inmateria.substrate import Response, Stimulus, Substrate, SubstrateDisconnected, SubstrateError

__all__ = ["BlockingSubstrate"]

_logger = logging.getLogger("inmateria")
Result = TypeVar("Result")


class BlockingSubstrate(Substrate):
    """A substrate behind a driver whose calls block.

    Set `info` (in `__init__`, or in `open` where the instrument has to be asked) and implement `apply`; `open`,
    `close` and `return_to_rest` where there is something to do. All of them are called in the same thread, never two
    at a time.

    Examples
    --------
    >>> class Bench(BlockingSubstrate):
    ...     def __init__(self, port):
    ...         self.port = port
    ...         self.info = SubstrateInfo(...)  # doctest: +SKIP
    ...
    ...     def open(self):
    ...         self.driver = driver.connect(self.port)
    ...
    ...     def apply(self, stimulus, cancelled):
    ...         ...  # look at cancelled.is_set() between steps, and return or raise when it is
    ...
    ...     def close(self):
    ...         self.driver.disconnect()
    """

    _thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Open the instrument; called on entering."""

    @abstractmethod
    def apply(self, stimulus: Stimulus, cancelled: threading.Event) -> Response:
        """Apply a stimulus, which has been admitted, and return the response.

        Parameters
        ----------
        stimulus : Stimulus
        cancelled : threading.Event
            Set when the exchange is cancelled: bring the outputs to a safe level then, and return or raise. The value
            is not used, and an error is logged; nothing else is asked of the driver before.
        """

    def return_to_rest(self) -> None:
        """Return to rest; called where ``info.resettable``."""

    def close(self) -> None:
        """Close the instrument; called on leaving, also when `open` or an exchange has failed."""

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=type(self).__name__)
        try:
            await self._call(self.open)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def reset(self) -> None:
        """Return to rest, after the exchange that is under way."""
        if not self.info.resettable:
            raise SubstrateError(
                f"{self.info.id} was asked to return to rest",
                f"a {self.info.kind} does not do so on command",
                "let it rest with its inputs at rest instead",
            )
        await self._call(self.return_to_rest)

    async def _apply(self, stimulus: Stimulus) -> Response:
        cancelled = threading.Event()
        return await self._call(lambda: self.apply(stimulus, cancelled), cancelled)

    async def _call(self, work: Callable[[], Result], cancelled: threading.Event | None = None) -> Result:
        """Call the driver in its thread and wait until it has returned, also when cancelled meanwhile.

        A call that has not begun when it is cancelled is never made.
        """
        if self._thread is None:
            raise SubstrateDisconnected(
                f"{type(self).__name__} is not open", "a device that has been entered", "use it inside `async with`"
            )
        called = self._thread.submit(work)
        returned = asyncio.wrap_future(called)
        try:
            await asyncio.wait({returned})
        except asyncio.CancelledError:
            if cancelled is not None:
                cancelled.set()
            if not called.cancel():
                with suppress(Exception, asyncio.CancelledError):
                    await wait_to_completion(returned)
                if (error := called.exception()) is not None:
                    _logger.warning("%s: the driver failed when it was cancelled (%r)", type(self).__name__, error)
            raise
        return returned.result()

    async def _leave(self) -> None:
        """Close the instrument and end the thread; cancelled meanwhile, it still does both."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await wait_to_completion(asyncio.get_running_loop().run_in_executor(thread, self.close))
        finally:
            thread.shutdown(wait=False)  # it has nothing left to do
