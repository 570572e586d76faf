"""One daemon thread for the blocking calls of one driver, and a wait for them that says which call hangs."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from inmateria.errors import SubstrateDisconnected, SubstrateTimeout

__all__ = ["CallThread"]

_logger = logging.getLogger("inmateria")
Result = TypeVar("Result")


class CallThread:
    """A thread in which a driver's calls are made one at a time, in order.

    It is a daemon, so that a call that never returns does not keep the process from ending.

    Parameters
    ----------
    name : str
    timeout : float
        Longest time that one call of the driver may take, s.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._call: tuple[str, float] | None = None  # what, and when it hangs
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @contextmanager
    def call(self, what: str, seconds: float = 0.0) -> Iterator[None]:
        """Name the call of the driver that is made within, which should take so many seconds; used in the thread."""
        self._call = what, time.monotonic() + seconds + self._timeout
        try:
            yield
        finally:
            self._call = None

    async def do(self, work: Callable[[threading.Event], Result]) -> Result:
        """Do work in the thread and wait for its end, also if cancelled meanwhile.

        Parameters
        ----------
        work : callable
            Called with an event that is set if the work is to end early: on a cancellation, or when a call hangs.

        Raises
        ------
        SubstrateTimeout
            If a call of the driver takes longer than the timeout; the work is told to end as soon as that call returns.
        SubstrateDisconnected
            If an earlier call still hangs.
        """
        if (hung := self._hung()) is not None:
            raise SubstrateDisconnected(
                f"{self._name}: {hung} has not returned yet",
                "no further call is made before it returns",
                "see to the instrument, and enter it again",
            )
        told = threading.Event()
        future: Future[Result] = Future()
        self._queue.put((future, lambda: work(told)))
        waiting = asyncio.wrap_future(future)
        cancelled: asyncio.CancelledError | None = None
        while not waiting.done():
            hung = self._hung()
            if hung is not None:
                told.set()
                waiting.add_done_callback(_retrieve)
                late = SubstrateTimeout(
                    f"{self._name}: {hung} did not return within {self._timeout:g} s",
                    "each call of the driver has to return within the timeout",
                    "the inputs may not be at rest; see to the instrument",
                )
                if cancelled is None:
                    raise late
                _logger.warning("%s", late)
                raise cancelled
            try:
                await asyncio.wait({waiting}, timeout=self._left())
            except asyncio.CancelledError as error:  # may come more than once
                cancelled = error
                told.set()
                future.cancel()  # if it has not begun, it never does
        if cancelled is not None:
            if not waiting.cancelled() and (failed := waiting.exception()) is not None:
                _logger.warning("%s: the driver failed when it was cancelled (%s)", self._name, failed)
            raise cancelled
        return waiting.result()

    def end(self) -> None:
        """End the thread after the work that it has."""
        self._queue.put(None)

    def _left(self) -> float:
        """Return the time after which the present call, or one that begins now, would hang, s."""
        call = self._call
        return self._timeout if call is None else max(1e-3, call[1] - time.monotonic())

    def _hung(self) -> str | None:
        call = self._call
        return call[0] if call is not None and time.monotonic() >= call[1] else None

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it is the caller's
                future.set_exception(error)
            del item, future, work


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Retrieve an error that is told already, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()
