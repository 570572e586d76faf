"""Structured waiting for tasks: for the first to end, for cancelled ones, and for work that cannot be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["cancel_and_wait", "wait_for_first", "wait_to_completion"]

_GOODBYE = 6.0
Result = TypeVar("Result")


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
