"""The pulses of one stimulus, from the plan to the moment each is sent, for adapters that release them step by step.

A pulse is admitted with its planned time, and may be late. It is then spaced or dropped, so that the limits hold at
the real times. A controller does not know exactly when a pulse begins, only that it is between sending the trigger
and its acknowledgement. So the next one on an electrode is sent no earlier than the interval after the
acknowledgement, or, where that would take longer than its step lasts, is dropped.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.tissue.guard import PulseArray, PulseLimits, TissueGuard

__all__ = ["PulsePlan", "PulseSpacing"]

_logger = logging.getLogger(__name__)
_UNKNOWN = float("inf")


class PulseSpacing:
    """The real times of the last pulses on each electrode, as intervals between sending and acknowledgement.

    Parameters
    ----------
    limits : PulseLimits
    clock : callable
        Returns the present time of the pulses' clock, s.
    wait : callable
        Lets a duration (s) pass on that clock.
    """

    def __init__(
        self, limits: PulseLimits, clock: Callable[[], float], wait: Callable[[float], Awaitable[None]]
    ) -> None:
        self.clock = clock
        self._wait = wait
        self._interval = limits.interval
        self._most = max(1, int(limits.rate))
        self._window = max(1.0, self._most / limits.rate)
        self._sent: dict[int, deque[list[float]]] = {}  # electrode -> [when sent, when acknowledged]
        self._pending: list[list[float]] = []

    @property
    def pending(self) -> bool:
        """Whether pulses were sent that have not been acknowledged."""
        return bool(self._pending)

    async def wait_for(self, electrodes: list[int], patience: float) -> None:
        """Wait until the next pulses keep their distance, for each electrode where that takes no longer than patience.

        Afterwards an electrode either may have its pulse now, or is so early that `TissueGuard.release` drops it.
        """
        while True:
            now = self.clock()
            times = [self._earliest(electrode) for electrode in electrodes]
            worth = [safe for least, safe in times if safe <= now + patience or least <= now]
            if max(worth, default=now) <= now:
                return
            await self._wait(max(worth) - now)

    def sent(self, electrodes: list[int], at: float) -> None:
        """Note pulses at the moment before they are sent."""
        for electrode in electrodes:
            entry = [at, _UNKNOWN]
            self._sent.setdefault(electrode, deque(maxlen=self._most)).append(entry)
            self._pending.append(entry)

    def acknowledged(self) -> None:
        """Note that all pulses sent so far have begun by now."""
        now = self.clock()
        for entry in self._pending:
            entry[1] = now
        self._pending.clear()

    def _earliest(self, electrode: int) -> tuple[float, float]:
        """Return from when on a pulse may be far enough from those before, and from when on it surely is."""
        before = self._sent.get(electrode)
        if not before:
            return -_UNKNOWN, -_UNKNOWN
        least, safe = (moment + self._interval for moment in before[-1])
        if len(before) == self._most:
            least, safe = max(least, before[0][0] + self._window), max(safe, before[0][1] + self._window)
        return least, safe


class PulsePlan:
    """The pulses of one stimulus; inside ``with``, at the end of which all that were not released are withdrawn.

    Parameters
    ----------
    guard : TissueGuard
    spacing : PulseSpacing
    pulses : ndarray of `PULSE`
    step : ndarray of int, shape (pulses,)
        The step of each.

    Raises
    ------
    StimulusRejected
        On entering, if one of the pulses breaks a limit.
    """

    def __init__(
        self, guard: TissueGuard, spacing: PulseSpacing, pulses: PulseArray, step: npt.NDArray[np.intp]
    ) -> None:
        self._guard, self._spacing, self._pulses, self._step = guard, spacing, pulses, step
        self._released = np.zeros(len(pulses), dtype=bool)
        self._dropped = 0

    def __enter__(self) -> Self:
        if self._pulses.size:
            self._guard.admit(self._pulses)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dropped:
            _logger.warning(
                "%d of %d pulses were late and dropped: at their real times they would have broken the limits",
                self._dropped,
                len(self._pulses),
            )
        if not self._released.all():
            self._guard.withdraw(self._pulses[~self._released])

    async def wait(self, step: int, patience: float) -> None:
        """Wait until the pulses of a step keep their distance from those before, up to so many seconds."""
        await self._spacing.wait_for(self._pulses["electrode"][self._step == step].tolist(), patience)

    def release(self, step: int) -> PulseArray:
        """Return those pulses of a step that may be sent now; send them at once, and no others."""
        mine = np.flatnonzero(self._step == step)
        if not mine.size:
            return self._pulses[mine]
        now = self._spacing.clock()
        allowed = self._guard.release(self._pulses[mine], now)
        self._released[mine] = True
        self._dropped += int(np.count_nonzero(~allowed))
        sent = self._pulses[mine[allowed]]
        self._spacing.sent(sent["electrode"].tolist(), now)
        return sent
