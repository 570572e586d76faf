"""A platform's emulator entered in a thread, on an event loop of its own, for scripts that know nothing of either."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any


@contextmanager
def in_a_thread(emulator: AbstractAsyncContextManager[Any]) -> Iterator[None]:
    ready, end, failed = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with emulator:
            ready.set()
            await end.wait()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=work, name="emulated platform")
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
    if failed:
        raise failed[0]
