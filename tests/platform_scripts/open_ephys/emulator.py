"""The Open Ephys GUI with the plugins ZMQ Interface (ports 5556 and 5557) and Network Events (5558), in a thread."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platform_scripts.in_a_thread import in_a_thread

from inmateria.adapters.streams.open_ephys_twin import OpenEphysTwin
from inmateria.concurrency import cancel_and_wait

NAME = "Open Ephys GUI"
MISSING = "" if find_spec("zmq") else "pyzmq is not installed"
RATE, CHANNELS = 30_000.0, 8


def sines(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """A sine of 100 uV in each channel, of 10 Hz in the first, 20 Hz in the second and so on."""
    frequencies = 10.0 * (1 + np.arange(CHANNELS))
    return (100 * np.sin(2 * np.pi * frequencies * numbers[:, np.newaxis] / RATE)).astype(np.float32)


@asynccontextmanager
async def with_events(gui: OpenEphysTwin) -> AsyncIterator[None]:
    """A digital line that changes ten times a second, and a sorted spike each time."""

    async def go() -> None:
        state = False
        while True:
            await asyncio.sleep(0.1)
            state = not state
            await gui.switch(0, state)
            await gui.spike("Stereotrode 1", 2, before=5)

    async with gui:
        going = asyncio.create_task(go())
        try:
            yield
        finally:
            await cancel_and_wait(going)


@contextmanager
def running(path: Path) -> Iterator[OpenEphysTwin]:
    gui = OpenEphysTwin(sines, channels=CHANNELS, rate=RATE, block=1024, ports=(5556, 5557, 5558))
    with in_a_thread(with_events(gui)):
        yield gui
