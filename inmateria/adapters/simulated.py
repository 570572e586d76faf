"""A simulator in this process as a substrate.

Short exchanges run on the event loop, because handing one to a thread costs more than it takes; long
ones run in a worker thread, so that the loop is never blocked for longer than a few milliseconds.
"""

import asyncio
import time

from inmateria.concurrency import wait_to_completion
from inmateria.substrate import Response, Simulator, Stimulus, Substrate, SubstrateError

_SHORT = 2e-3
"""Exchanges expected to take less than this many seconds run on the event loop."""


class SimulatedSubstrate(Substrate):
    """A substrate that runs a simulator.

    Parameters
    ----------
    simulator : Simulator
        Simulator to run; it must not be used elsewhere meanwhile. Entering does not reset it.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.info = simulator.info
        self._seconds_a_sample: float | None = None  # of the first one it is not known: it may have to compile
        self._step, self._samples = 0.0, 1  # of the last stimulus, and samples in one of its steps
        self._turn = asyncio.Lock()

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus; exchanges asked for at the same time take turns."""
        if stimulus.step != self._step:
            self._step, self._samples = stimulus.step, max(1, self.info.samples(stimulus.step))
        samples, expected = len(stimulus.drive) * self._samples, self._seconds_a_sample
        if expected is not None and expected * samples < _SHORT and not self._turn.locked():
            return self._advance(stimulus, samples)
        async with self._turn:
            # A cancelled exchange still runs to its end: two threads must never move one simulator.
            running = asyncio.get_running_loop().run_in_executor(None, self._advance, stimulus, samples)
            return await wait_to_completion(running)

    def __getstate__(self) -> dict[str, Simulator]:
        return {"simulator": self._simulator}  # a lock belongs to its event loop

    def __setstate__(self, pickled: dict[str, Simulator]) -> None:
        self.__init__(pickled["simulator"])  # type: ignore[misc]

    async def reset(self) -> None:
        """Return to rest; noise continues, so that no two trials have the same."""
        if not self.info.resettable:
            raise SubstrateError(
                f"{self.info.id} was asked to return to rest",
                f"a {self.info.kind} does not do so on command",
                "let it rest with zero drive instead",
            )
        async with self._turn:
            self._simulator.reset()

    def _advance(self, stimulus: Stimulus, samples: int) -> Response:
        begun = time.perf_counter()
        response = self._simulator.advance(stimulus)
        took = (time.perf_counter() - begun) / samples
        # The slower of what was seen lately: to block the loop is worse than to use a thread. The first
        # exchange, which may have compiled, is soon forgotten.
        before = took if self._seconds_a_sample is None else self._seconds_a_sample
        self._seconds_a_sample = took if took > before else 0.5 * (took + before)
        return response
