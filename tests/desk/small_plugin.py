"""A package with a task of a few milliseconds and a device, for worker processes, which find it on their path."""

from pathlib import Path

_TASK = '''
import asyncio
import os
import time
from typing import Annotated

import msgspec
from msgspec import Meta

from inmateria.protocols import Outcome, Score, Task
from inmateria.protocols.outcome import ExchangeStatistics


class SmallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings.

    Parameters
    ----------
    seed : int
        Of the score.
    x : float
        The score.
    milliseconds : float
        Duration.
    fails : bool
        Whether it fails.
    kills : bool
        Whether it kills its process.
    log : str
        File with a line for each beginning and end.
    """

    seed: int = 0
    x: float = 0.0
    milliseconds: float = 1.0
    fails: bool = False
    kills: bool = False
    log: str = ""


def note(settings, word):
    if settings.log:
        file = os.open(settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{word} {settings.seed} {settings.x} {os.getpid()} {time.time_ns()}\\n".encode())
        os.close(file)


async def run(substrate, settings, on_progress):
    async with substrate:
        note(settings, "begin")
        if settings.kills:
            os.kill(os.getpid(), 9)
        if settings.fails:
            raise ValueError("it was told to")
        begun = time.perf_counter()
        info = substrate.info
        await substrate.stimulate(info.stimulus([[channel.low for channel in info.inputs]]))
        left = settings.milliseconds / 1e3 - (time.perf_counter() - begun)
        await asyncio.sleep(max(0.0, left))
        note(settings, "end")
    return Outcome(
        title="Small",
        scores=(
            Score(readout="r", on="substrate", features=1, score=settings.x, splits=(settings.x, settings.x + 0.2)),
            Score(readout="r", on="masked input", features=1, score=0.5, splits=(0.4, 0.5)),
        ),
        exchanges=ExchangeStatistics(
            count=1, steps=1, seconds=1.0, round_trip_p50=1.0, round_trip_p99=1.0, round_trips=1
        ),
    )


TASK = Task("small", SmallSettings, run, validation="data")
'''

_ADAPTER = '''
import asyncio

import numpy as np

from inmateria.substrate import Channel, Response, Substrate, SubstrateInfo


class OneDevice(Substrate):
    """A device that only one process may use."""

    def __init__(self, uri):
        channel = Channel(name="u", unit="V", low=0.0, high=1.0)
        self.info = SubstrateInfo(
            id="one-device", identity="serial", kind="thing", inputs=(channel,), outputs=(channel,), step=0.01,
            sampling_rate=100.0, resettable=True,
        )

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    async def _apply(self, stimulus):
        return Response(np.zeros((len(stimulus.drive), 1, 1)), None, 0.0, 0)

    async def reset(self):
        pass
'''


def install(folder: Path) -> None:
    """Write the package, and what an installed one has, into a folder."""
    (folder / "small_task.py").write_text(_TASK, encoding="utf-8")
    (folder / "one_device.py").write_text(_ADAPTER, encoding="utf-8")
    information = folder / "small-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: small\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(
        "[inmateria.tasks]\nsmall = small_task:TASK\n\n[inmateria.adapters]\none = one_device:OneDevice\n",
        encoding="utf-8",
    )
