"""MaxWell's server: raw frames on port 7204, filtered ones on 7205, and commands on 7210, in a thread.

A frame has 1,027 values, as on a MaxOne: 1,024 amplifiers and three of the system. For scripts that read with plain
Python there are 2,000 frames a second, not 20,000.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platform_scripts.in_a_thread import in_a_thread

from inmateria.adapters.streams.maxwell_twin import MaxwellTwin

NAME = "MaxWell Biosystems' server (MaxOne)"
MISSING = "" if find_spec("zmq") else "pyzmq is not installed"
NEWER = "newer_"  # scripts for servers from version 24.1 on, whose spikes have 16 bytes
RATE, VALUES = 2000.0, 1027


def ramps(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Frame k of value c is (k + c) modulo 1000."""
    return ((numbers[:, np.newaxis] + np.arange(VALUES)) % 1000).astype(np.float32)


def every_fiftieth(numbers: npt.NDArray[np.int64]) -> list[tuple[int, int, float]]:
    """A spike every 50 frames, on amplifiers 0 to 9 in turn."""
    return [(int(frame), int(frame) // 50 % 10, -25.5) for frame in numbers if frame % 50 == 0]


@asynccontextmanager
async def both(raw: MaxwellTwin, filtered: MaxwellTwin) -> AsyncIterator[None]:
    async with raw, filtered:
        yield


@contextmanager
def running(path: Path) -> Iterator[MaxwellTwin]:
    spike_bytes = 16 if path.name.startswith(NEWER) else 24
    raw, filtered = (
        MaxwellTwin(
            ramps,
            channels=VALUES,
            rate=RATE,
            spike_bytes=spike_bytes,
            port=port,
            spikes=every_fiftieth,
            commands=commands,
        )
        for port, commands in ((7204, None), (7205, 7210))
    )
    with in_a_thread(both(raw, filtered)):
        yield filtered
