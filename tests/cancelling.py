"""Cancel a coroutine at each of its waits, one after another."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any


@types.coroutine
def cancelled_at(work: Coroutine[Any, Any, Any], count: int) -> Generator[Any, Any, Any]:
    """Run a coroutine, and cancel its task when it waits for the count-th time, from 0."""
    go_on: Callable[[], Any] = partial(work.send, None)
    while True:
        try:
            waiting = go_on()
        except StopIteration as end:
            return end.value
        if count == 0:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        count -= 1
        try:
            yield waiting
            go_on = partial(work.send, None)
        except BaseException as error:
            go_on = partial(work.throw, error)


async def cancelled(work: Coroutine[Any, Any, Any], count: int) -> bool:
    """Run a coroutine in a task that is cancelled at the count-th wait; return False where it ends before."""

    async def run() -> None:
        await cancelled_at(work, count)

    task = asyncio.create_task(run())
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return task.cancelled()
