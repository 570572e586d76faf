"""Async work that a signal cancels between two turns of its event loop, as Ctrl-C should."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

__all__ = ["handled_by", "run_interruptibly"]

Result = TypeVar("Result")


def run_interruptibly(
    work: Coroutine[Any, Any, Result],
    *,
    signals: Iterable[signal.Signals] = (signal.SIGINT,),
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Result:
    """Run async work in an event loop of its own; a signal cancels it, and the same signal again ends it at once.

    The handlers that `asyncio.run` and Python itself have for Ctrl-C act between any two instructions of whatever runs,
    such as between a look at a future and its result. Here the work is cancelled by the event loop.

    Parameters
    ----------
    work : coroutine
    signals : iterable of signal.Signals
        Those that cancel it, where this is the main thread. One that the process ignores, or leaves to the system,
        stays so.
    loop_factory : callable, optional
        Makes the event loop.

    Raises
    ------
    KeyboardInterrupt
        After a signal, when the work has ended. Its cause is the error by which the work ended, if it ended by one.
    """
    came: set[int] = set()
    task: asyncio.Task[Any] | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        if task is None or task.done() or number in came:
            raise KeyboardInterrupt
        if not came:  # a terminal's Ctrl-C reaches a worker, and the process that started it, which sends SIGTERM then
            task.get_loop().call_soon_threadsafe(task.cancel)
        came.add(number)

    async def begun() -> Result:
        nonlocal task
        task = asyncio.current_task()
        return await work

    in_main_thread = threading.current_thread() is threading.main_thread()
    with handled_by(interrupt, *(each for each in signals if in_main_thread and callable(signal.getsignal(each)))):
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                result = runner.run(begun())
        except asyncio.CancelledError:
            if came:
                raise KeyboardInterrupt from None
            raise
        except Exception as error:
            if came:
                raise KeyboardInterrupt from error
            raise
        if came:
            raise KeyboardInterrupt
        return result


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None], *signals: signal.Signals) -> Iterator[None]:
    """Handle signals within the block, in the main thread; afterwards they are handled as before."""
    before = [(each, signal.signal(each, handler)) for each in signals]
    try:
        yield
    finally:
        for each, former in before:
            signal.signal(each, former)
