"""When a process that serves is to stop: on SIGINT or SIGTERM, or at the end of standard input."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["end_of_input", "stop_signals"]


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Return an event that is set by SIGINT or SIGTERM within the block."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, stop.set)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


async def end_of_input() -> bool:
    """Wait until standard input, a pipe, is closed at its other end, and return True."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        await reader.read()
    finally:
        transport.close()
    return True
