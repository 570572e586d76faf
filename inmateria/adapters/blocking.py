"""Base class of adapters whose driver blocks: its calls run in a separate thread, one at a time, in order.

Most drivers of instruments are plain functions that return when the instrument has answered. `BlockingSubstrate`
keeps them off the event loop, signals a cancellation to them, and waits until they have returned before it calls the
driver again.
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
    """Base class of substrates whose driver has blocking calls.

    A subclass sets `info` in `__init__`, or in `open` if it is read from the instrument, and implements `apply`. It
    may implement `open`, `close` and `return_to_rest`. All of these are called in one thread, one at a time.

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
    ...         ...  # check cancelled.is_set() between steps; if it is set, return or raise
    ...
    ...     def close(self):
    ...         self.driver.disconnect()
    """

    _thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Open the instrument; called when the substrate is entered."""

    @abstractmethod
    def apply(self, stimulus: Stimulus, cancelled: threading.Event) -> Response:
        """Apply a stimulus and return the response.

        Parameters
        ----------
        stimulus : Stimulus
            Within the limits of `info`. Each row of the drive is to be held for ``stimulus.step`` seconds.
        cancelled : threading.Event
            Set if the exchange is cancelled. Then set the instrument's inputs to a safe level, and return or raise:
            the return value is ignored, and an exception is logged. The driver is not called again before that.

        Returns
        -------
        Response
            With a signal of shape (steps, samples, outputs), where samples is ``info.samples(stimulus.step)``.
        """

    def return_to_rest(self) -> None:
        """Return to rest; called by `reset` if ``info.resettable``."""

    def close(self) -> None:
        """Close the instrument; called when the substrate is left, also after `open` or an exchange has failed."""

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
        """Return to rest, after the exchange in progress.

        Raises
        ------
        SubstrateError
            If ``info.resettable`` is False.
        """
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
        """Call the driver in its thread and wait until it has returned, even if cancelled meanwhile.

        If it is cancelled before the call has begun, the call is not made.
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
        """Close the instrument and end the thread, even if cancelled meanwhile."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await wait_to_completion(asyncio.get_running_loop().run_in_executor(thread, self.close))
        finally:
            thread.shutdown(wait=False)  # it has nothing left to do
