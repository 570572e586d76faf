"""Recording of a stream that is only read, for as long as it lasts, through its breaks."""

import asyncio
import time
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from inmateria.adapters.uri import connect
from inmateria.concurrency import cancel_and_wait
from inmateria.recording import KeptSamples, RecordedSubstrate
from inmateria.substrate import SubstrateTimeout

__all__ = ["STREAM_SCHEMES", "record_stream"]

STREAM_SCHEMES = ("lsl", "brainflow", "openephys", "maxwell")
_SECONDS = 0.5


async def record_stream(
    uri: str,
    path: str | PathLike[str],
    annotations: Mapping[str, Any] | None = None,
    *,
    stop: asyncio.Event,
    seconds: float = float("inf"),
    on_progress: Callable[[int, float], None] | None = None,
    keep: KeptSamples | None = None,
) -> int:
    """Record a stream until `stop`, or for so many seconds on its clock; return the count of exchanges.

    A break of the stream does not end the recording: it is marked, and the recording goes on when data come again.
    While no data come, the host's clock counts the seconds.

    Parameters
    ----------
    uri : str
        ``lsl://NAME``, ``brainflow://BOARD``, ``openephys://host`` or ``maxwell://host``.
    path : path-like
        Recording to make; it must not exist.
    annotations : dict, optional
        Anything that JSON can represent.
    stop : asyncio.Event
    seconds : float
    on_progress : callable, optional
        Called with the count of exchanges, and the seconds until now.
    keep : KeptSamples, optional
        Samples that are kept; all by default.

    Raises
    ------
    SubstrateDisconnected, SubstrateTimeout
        If the stream is not there, or comes back with other channels or another rate; what was recorded is kept.
    RecordingError
        If the file cannot be made or written.
    """
    async with RecordedSubstrate(connect(uri), path, annotations, keep=keep) as recorded:
        info = recorded.info
        begun, first, done = time.monotonic(), None, 0.0
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set() and done < seconds * (1 - 1e-9):
                left = min(_SECONDS, seconds - done)
                steps = max(1, round(left / info.step))
                exchange = asyncio.create_task(recorded.stimulate(info.stimulus(info.rest_drive(steps))))
                try:
                    await asyncio.wait({exchange, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not exchange.done():
                        await cancel_and_wait(exchange)
                if exchange.cancelled():
                    break
                try:
                    response = exchange.result()
                except SubstrateTimeout:
                    recorded.record_notes()
                    if time.monotonic() - begun >= seconds:
                        break
                    continue
                first = response.start if first is None else first
                done = response.start + steps * info.step - first
                if on_progress is not None:
                    on_progress(recorded.exchanges, done)
        finally:
            await cancel_and_wait(stopping)
        return recorded.exchanges
