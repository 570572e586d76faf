"""Intan's RHX on its own ports (5000, 5001, 5002), over a simulated culture, in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.simulators.culture.network import NeuralCulture

NAME = "Intan RHX"
MISSING = ""
OLD = "old_"  # scripts written for RHX 3.0 ask for the controller by its old name


@contextmanager
def running(path: Path) -> Iterator[IntanEmulator]:
    version = "3.0.6" if path.name.startswith(OLD) else "3.4.0"
    emulator = IntanEmulator(
        NeuralCulture(seed=1, regime="asynchronous", current_limit=1e-3), ports=(5000, 5001, 5002), version=version
    )
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

    thread = threading.Thread(target=work, name="emulated RHX")
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
    if failed:
        raise failed[0]
