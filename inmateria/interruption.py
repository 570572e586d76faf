"""Async work that a signal cancels between two turns of its event loop, as Ctrl-C should."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

__all__ = ["run_interruptibly"]

Result = TypeVar("Result")


def run_interruptibly(
    work: Coroutine[Any, Any, Result],
    *,
    signals: Iterable[signal.Signals] = (signal.SIGINT,),
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Result:
    """Run async work in an event loop of its own; a signal cancels it, and a second one ends it at once.

    The handlers that `asyncio.run` and Python itself have for Ctrl-C act between any two instructions of whatever runs,
    such as between a look at a future and its result. Here the work is cancelled by the event loop.

    Parameters
    ----------
    work : coroutine
    signals : iterable of signal.Signals
        Those that cancel it. One that the process ignores, or leaves to the system, stays so.
    loop_factory : callable, optional
        Makes the event loop.

    Raises
    ------
    KeyboardInterrupt
        After a signal, when the work has ended.
    """
    interrupted = False

    async def cancelled_by_signals() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupt(number: int, frame: FrameType | None) -> None:
            nonlocal interrupted
            if interrupted:
                raise KeyboardInterrupt
            interrupted = True
            loop.call_soon_threadsafe(task.cancel)

        with _handled(signals, interrupt):
            return await work

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(cancelled_by_signals())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise


@contextmanager
def _handled(signals: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle those signals that have a handler in Python now."""
    before = [(each, now) for each in signals if callable(now := signal.getsignal(each))]
    for each, _ in before:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each, now in before:
            signal.signal(each, now)
