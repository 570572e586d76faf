"""Tasks that outlive the block that began them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["LeakedTasks", "assert_no_leaked_tasks"]


class LeakedTasks(AssertionError):
    """Tasks of asyncio were begun in a block and are still running after it."""


@asynccontextmanager
async def assert_no_leaked_tasks() -> AsyncIterator[None]:
    """Raise `LeakedTasks` where tasks that were begun inside the block are running at its end.

    A fixture of it, for pytest-asyncio::

        @pytest_asyncio.fixture(autouse=True)
        async def no_leaked_tasks():
            async with assert_no_leaked_tasks():
                yield
    """
    before = asyncio.all_tasks()
    yield
    here = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if not task.done() and task is not here]
    if left:
        raise LeakedTasks(f"tasks left running: {left}")
