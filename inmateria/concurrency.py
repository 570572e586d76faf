"""Structured waiting: for tasks to end, for cancelled ones, for work that cannot be cancelled, and for a message."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Self, TypeVar

__all__ = ["PromptFuture", "cancel_and_wait", "settle", "settle_with_error", "wait_for_first", "wait_to_completion"]

_GOODBYE = 6.0
_current_task, _set_result = asyncio.current_task, asyncio.Future.set_result
Result = TypeVar("Result")


class PromptFuture(asyncio.Future[Result]):
    """A future with `give`, by which the task that waits goes on within the call and not in the next turn of the loop.

    A turn of the loop takes 5 to 10 us in asyncio. In all else it is an `asyncio.Future`: a task that waits for it is
    cancelled as usual, and errors are raised there in the next turn.

    The handler of a signal runs between any two instructions, and that of `asyncio.run` cancels what the main task
    waits for. So what is to be called is taken in one instruction, and called by the function that took it.
    """

    _waiting: tuple[Callable[[Any], object], Context] | None = None
    """What `give` calls, and where; all other callbacks are in the future itself."""

    def give(self, result: Result) -> None:
        """Set the result, and go on with the task that waits, before this returns; one that was cancelled stays so.

        Called by anything but a callback of the event loop, such as another task, it only sets the result: one task
        cannot go on inside another.
        """
        waiting = None
        if _current_task() is None:
            waiting = self._take_waiting()
        else:
            self._call_later()
        try:
            _set_result(self, result)
        except asyncio.InvalidStateError:
            if waiting is not None:
                super().add_done_callback(waiting[0], context=waiting[1])
            if not self.cancelled():
                raise
            return
        if waiting is not None:
            callback, context = waiting
            context.run(callback, self)

    def add_done_callback(self, callback: Callable[[Self], object], /, *, context: Context | None = None) -> None:
        """Have something called with the result; the first is called by `give` at once."""
        if self._waiting is None and context is not None and not self.done():
            self._waiting = callback, context
            if self.done():
                self._call_later()
        else:
            super().add_done_callback(callback, context=context)

    def remove_done_callback(self, callback: Callable[[Self], object], /) -> int:
        """Have it not called."""
        self._call_later()
        return super().remove_done_callback(callback)

    def set_result(self, result: Result, /) -> None:
        """Set the result; what waits goes on in the next turn."""
        self._call_later()
        super().set_result(result)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Set an error; what waits goes on in the next turn."""
        self._call_later()
        super().set_exception(exception)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it; what waits goes on in the next turn."""
        self._call_later()
        return super().cancel(msg)

    def _call_later(self) -> None:
        if (waiting := self._take_waiting()) is not None:
            super().add_done_callback(waiting[0], context=waiting[1])

    def _take_waiting(self) -> tuple[Callable[[Any], object], Context] | None:
        waiting = self._waiting
        if waiting is not None:
            try:
                del self._waiting  # fails where a signal's handler has taken it since
            except AttributeError:
                return None
        return waiting


def settle(waiting: "asyncio.Future[Result]", result: Result) -> None:
    """Set the result of a future, unless it is done: a signal may cancel it between a look at it and this."""
    if not waiting.done():
        with suppress(asyncio.InvalidStateError):
            waiting.set_result(result)


def settle_with_error(waiting: "asyncio.Future[Any]", error: BaseException) -> None:
    """Set the error of a future, unless it is done; it is none where no task waits for it."""
    if not waiting.done():
        with suppress(asyncio.InvalidStateError):
            waiting.set_exception(error)
            waiting.exception()  # marks it as retrieved


async def wait_to_completion(work: "asyncio.Future[Result]") -> Result:
    """Wait for work that cannot be cancelled and give its result; a cancellation meanwhile is raised after it."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:  # may come more than once
            cancelled = error
    if cancelled is not None:
        work.exception()
        raise cancelled
    return work.result()


async def wait_for_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines at once until one of them ends or fails; the others are cancelled and waited for.

    The first error, in the order of the arguments, is raised.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:  # each was retrieved above, so that none is reported as forgotten
        raise errors[0]


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    `asyncio.wait_for` of Python 3.11 can swallow a cancellation, in a driver for instance. So a task that has not ended
    after longer than disconnecting from a broker may take is cancelled once more.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_GOODBYE)
