"""Tasks that outlive the block that began them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["LeakedTasks", "assert_no_leaked_tasks"]


class LeakedTasks(AssertionError):
    """asyncio tasks that were started inside a block are still running at its end."""


@asynccontextmanager
async def assert_no_leaked_tasks() -> AsyncIterator[None]:
    """Raise `LeakedTasks` if asyncio tasks that were started inside the block are still running at its end.

    As a fixture for pytest-asyncio::

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
