"""Live pages for tests: a source that sends what a test tells it to, served on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inmateria.concurrency import cancel_and_wait
from inmateria.live.messages import Columns, Hello, Message, Status, Trace
from inmateria.live.serving import serve_live
from inmateria.substrate import SubstrateError


class ToldSource:
    """A source of what is put into its queue; `stopped` counts emergency stops, which fail if `fails` is set."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.queue: asyncio.Queue[Message | Columns | None] = asyncio.Queue()
        self.stopped = 0
        self.fails = ""
        self.closed = False

    async def __aenter__(self) -> "ToldSource":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def messages(self) -> AsyncIterator[Message | Columns]:
        while (message := await self.queue.get()) is not None:
            yield message

    async def stop(self) -> None:
        self.stopped += 1
        if self.fails:
            raise SubstrateError(self.fails)

    def tell(self, *messages: Message | Columns) -> None:
        for message in messages:
            self.queue.put_nowait(message)


def hello(outputs: int = 4, inputs: int = 1, **fields: Any) -> Hello:
    def traces(count: int, letter: str) -> tuple[Trace, ...]:
        return tuple(Trace(name=f"{letter}{k}", unit="V", low=-1.0, high=1.0) for k in range(count))

    given = {"title": "a device", "kind": "device", "signal": True, "spiking": True, "stops": True, **fields}
    return Hello(inputs=traces(inputs, "s"), outputs=traces(outputs, "e"), **given)


def columns(
    starts: Any, duration: float, low: Any, high: Any, drive: Any, spikes: Any = (), sent: float = 0.0
) -> Columns:
    """Make columns of one duration; `spikes` are pairs of time and output."""
    starts, drive = np.asarray(starts, dtype=np.float64), np.asarray(drive, dtype=np.float32)
    given = np.array(list(spikes), dtype=np.float64).reshape(-1, 2)
    return Columns(
        starts, starts + duration, np.asarray(low, dtype=np.float32), np.asarray(high, dtype=np.float32), drive, drive,
        given[:, 0], given[:, 1].astype(np.uint32), sent,
    )  # fmt: skip


RUNNING = Status(state="online", holder="ada/1", rate=50.0, round_trip=0.002, exchanges=10, steps=100)


@asynccontextmanager
async def served(source: Any, **settings: Any) -> AsyncIterator[dict[str, str]]:
    """Serve a page around a block, and yield its addresses."""
    addresses: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_live(source, addresses.set_result, **{"port": 0, **settings}))
    await asyncio.wait({serving, addresses}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    try:
        yield await addresses
    finally:
        await cancel_and_wait(serving)


PAGE = Path(__file__).parents[2] / "inmateria" / "live" / "page"
