"""The vendor's package ``neuroplatformv2`` (version 2, asynchronous), with its own names and units, over a twin.

Names and behaviour follow the vendor's public guide (np-docs: doc_v2). It is for clients with a platform of their
own: no booking is needed. Uploading parameters returns at once; the caller has to wait the 10 s that it takes.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.database import PlatformDatabase
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.adapters.neuroplatform.v1 import StimParam, StimPolarity, StimShape, stimulation_of
from inmateria.substrate import SubstrateError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["version2"]


class MEA(enum.Enum):
    """Arrays that have a camera."""

    One = 1
    Two = 2
    Three = 3
    Four = 4
    Five = 5


@dataclass
class TriggersQuery:
    """A time range."""

    start: datetime
    stop: datetime


@dataclass
class SpikeCountQuery:
    """A time range and the organoids."""

    start: datetime
    stop: datetime
    fsname: str


@dataclass
class SpikeEventQuery:
    """A time range and the organoids."""

    start: datetime
    stop: datetime
    fsname: str


@dataclass
class RawSpikeQuery:
    """A time range and an electrode."""

    start: datetime
    stop: datetime
    index: int


@dataclass
class StartRawRecordingRequest:
    """A request to record raw data; scripts import it, and none sends it."""

    index: list[int]


@dataclass
class Answer:
    """What the Intan controller says of a request; the twin raises an error where it would say False."""

    status: bool
    message: str = ""


_QUERIES = (TriggersQuery, SpikeCountQuery, SpikeEventQuery, RawSpikeQuery)


def version2(platform: Neuroplatform) -> dict[str, ModuleType]:
    """Return the modules of ``neuroplatformv2`` over a platform, by name."""
    platform.shared = False
    database = PlatformDatabase(platform)

    class IntanController:
        """The recording and stimulating system.

        It can be used after `_close`, as the vendor's guide does: the connection is opened again.
        """

        async def _send_stimparam(self, params: list[StimParam]) -> Answer:
            platform.send_parameters([stimulation_of(each) for each in params])
            return Answer(True)

        async def _upload_stimparam(self) -> Answer:
            platform.upload()
            return Answer(True)

        async def _count_spike(self, milliseconds: float) -> npt.NDArray[np.int64]:
            begun = platform.clock.now()
            await _wait(platform, 1e-3 * milliseconds)
            return platform.counts_between(begun, begun + 1e-3 * milliseconds)

        async def _close(self) -> None:
            """Do nothing: the twin has no connection to close."""

    class TriggerController:
        """The trigger generator."""

        def __init__(self, user: str) -> None:
            self._closed = False

        async def send(self, triggers: npt.ArrayLike) -> None:
            if self._closed:
                raise SubstrateError("the connection to the trigger generator is closed", "", "make a new one")
            platform.trigger(triggers)

        def close(self) -> None:
            self._closed = True

    class DatabaseController:
        """The platform's database."""

        @staticmethod
        async def get_all_triggers(query: TriggersQuery) -> "pd.DataFrame":
            return database.get_all_triggers(query.start, query.stop)

        @staticmethod
        async def get_spike_count(query: SpikeCountQuery) -> "pd.DataFrame":
            return database.get_spike_count(query.start, query.stop, query.fsname)

        @staticmethod
        async def get_spike_event(query: SpikeEventQuery) -> "pd.DataFrame":
            return database.get_spike_event(query.start, query.stop, query.fsname)

        @staticmethod
        async def get_raw_spike(query: RawSpikeQuery) -> "pd.DataFrame":
            return await get_raw_spike(query)

    async def get_raw_spike(query: RawSpikeQuery) -> "pd.DataFrame":
        return database.get_raw_spike(query.start, query.stop, query.index)

    class CameraController:
        """The camera; the twin has no pictures."""

        def __init__(self, mea: MEA) -> None:
            self._mea = mea

        async def _last_capture(self) -> "pd.DataFrame":
            import pandas as pd

            return pd.DataFrame({"id": []})

        def _image_from(self, capture: object) -> None:
            raise SubstrateError(
                "the twin has no camera", "", "ask only if _last_capture() has rows, as the guide does; it has none"
            )

    contents: dict[str, list[Callable[..., Any]]] = {
        "core.trigger": [TriggerController],
        "core.database": [DatabaseController, *_QUERIES, get_raw_spike],
        "core.intan": [IntanController],
        "core.camera": [CameraController],
        "utils.schemas": [StimParam, StimPolarity, StimShape, StartRawRecordingRequest, *_QUERIES],
        "utils.enumerations": [MEA],
    }
    modules = {name: ModuleType(f"neuroplatformv2{name}") for name in ("", ".core", ".utils")}
    for name, things in contents.items():
        module = modules[f".{name}"] = ModuleType(f"neuroplatformv2.{name}")
        for thing in things:
            setattr(module, thing.__name__, thing)
        parent, _, child = name.rpartition(".")
        setattr(modules[f".{parent}"], child, module)
    for name in ("core", "utils"):
        setattr(modules[""], name, modules[f".{name}"])
    for name in ("", ".core", ".utils"):
        modules[name].__path__ = []
    return {f"neuroplatformv2{name}": module for name, module in modules.items()}


async def _wait(platform: Neuroplatform, seconds: float) -> None:
    if platform.clock.simulated:
        platform.clock.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)
