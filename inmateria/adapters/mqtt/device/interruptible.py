"""Work on a substrate that can be interrupted at any time, however its driver reacts to being cancelled.

Work runs in a task of its own. An interruption cancels that task, waits until it has ended, returns the substrate
to rest and starts the work again. Nothing that a driver does ends this loop: neither swallowing the cancellation,
nor raising another error in its place (`SystemExit` included), nor cancelling itself.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import SubstrateError, SubstrateTimeout

__all__ = ["Interruptible"]

PATIENCE = 6.0
"""Seconds that a driver may take to end what was cancelled, before that is a fault and it is cancelled again."""


class Interruptible:
    """Runs work on a substrate again and again, and returns it to rest after each interruption.

    Parameters
    ----------
    work : async callable
        Returns soon after `requested` has become true, at the latest when cancelled. It lets pass no error of the
        driver but `asyncio.CancelledError`.
    reset : async callable
        Returns the substrate to rest; may raise anything.
    on_fault : callable
        Told of each error of the driver that is found here.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        reset: Callable[[], Coroutine[Any, Any, None]],
        on_fault: Callable[[BaseException], object],
    ) -> None:
        self._work, self._reset, self._on_fault = work, reset, on_fault
        self.requested = False
        """Whether the work is to end and the substrate to return to rest."""
        self._requested = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self.unresponsive = False
        """Whether the driver has not ended, within `PATIENCE` seconds, what was cancelled."""

    def request_rest(self) -> None:
        """Have the substrate return to rest as soon as the work returns by itself."""
        self.requested = True
        self._requested.set()

    def interrupt(self) -> None:
        """Cancel the work, and have the substrate return to rest."""
        if self._working is not None and not self.requested:
            self._working.cancel()
        self.request_rest()

    async def run(self) -> None:
        """Work and return to rest in turn, until cancelled; a return to rest that was asked for is made even then.

        Raises
        ------
        Exception
            An error of the work that is not the driver's.
        """
        try:
            while True:
                await self._work_until_interrupted()
                while self.requested:
                    self.requested = False
                    self._requested.clear()
                    await self.return_to_rest()
        finally:
            if self.requested:
                await self.return_to_rest()

    async def return_to_rest(self) -> None:
        """Reset the substrate; an error is told as a fault. Cancelled, it still gives the reset its time."""
        resetting = asyncio.create_task(self._reset_contained())
        try:
            await asyncio.wait({resetting})
        finally:
            if not resetting.done():
                await asyncio.wait({resetting}, timeout=PATIENCE)
            await cancel_and_wait(resetting)
        if resetting.cancelled():
            self._on_fault(_self_cancelled("returned to rest"))

    async def _work_until_interrupted(self) -> None:
        self._working = working = asyncio.create_task(self._work())
        requested = asyncio.create_task(self._requested.wait())
        try:
            await asyncio.wait({working, requested}, return_when=asyncio.FIRST_COMPLETED)
            while not working.done():
                await asyncio.wait({working}, timeout=PATIENCE)
                if not working.done():
                    if not self.unresponsive:
                        self.unresponsive = True
                        self._on_fault(SubstrateTimeout(
                            f"waited {PATIENCE:g} s for the driver to end what was cancelled",
                            "a driver ends when it is cancelled", "cut the power if that matters",
                        ))  # fmt: skip
                    working.cancel()
        finally:
            self._working = None
            await cancel_and_wait(working, requested)
            self.unresponsive = False
        if working.cancelled():
            if not self.requested:
                self._on_fault(_self_cancelled("applied a stimulus"))
                self.request_rest()
        else:
            working.result()

    async def _reset_contained(self) -> None:
        try:
            await self._reset()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit too: passed on, it would end the event loop
            self._on_fault(error)


def _self_cancelled(when: str) -> SubstrateError:
    return SubstrateError(f"the driver cancelled itself while it {when}", "", "see its log")
