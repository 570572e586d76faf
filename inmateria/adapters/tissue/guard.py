"""Safety for living tissue: every pulse is checked against limits before it is sent, and logged.

A `TissueGuard` stands in front of the code that sends pulses. It admits a batch of pulses as a whole, or raises
`StimulusRejected` and admits nothing. What it admitted counts as given, unless it is withdrawn because it was never
sent: an error may cost a stimulus, never a culture. Each pulse is checked once more, at its real time, when it is
released. With a log on disk the dose of the last hour outlives the process. Why charge and its balance matter:
Merrill, Bikson and Jefferys, J. Neurosci. Methods 141, 171 (2005).
"""

import time
from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.tissue.counted_pulses import KEPT, CountedPulses
from inmateria.adapters.tissue.limits import ATTO, HOUR, PulseLimits
from inmateria.adapters.tissue.pulse_log import UNIX, PulseLog
from inmateria.adapters.tissue.pulse_log_format import DROPPED, PLANNED, WITHDRAWN
from inmateria.pulses import PULSE, PulseArray, biphasic
from inmateria.substrate import SubstrateError

__all__ = ["PULSE", "PulseArray", "PulseLimits", "PulseLog", "TissueGuard", "biphasic", "steady_time"]

_DAY = 86_400.0


def _elapsed() -> float:
    """Return the time since a fixed moment, s; if the system can, it counts while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


_ORIGIN = time.time() - _elapsed()


def steady_time() -> float:
    """Return seconds since 1970 that never go back or jump in this process, however the system's clock is set."""
    return _ORIGIN + _elapsed()


class TissueGuard:
    """Admits only pulses that are within the limits of a culture; a context manager.

    A pulse is admitted when it is planned, and counts from then on. It is released when it is sent, with its real time,
    and only pulses that `release` allows are sent. An admitted pulse that is not sent is withdrawn.

    Parameters
    ----------
    limits : PulseLimits
    log : PulseLog or path-like, optional
        Log in which every pulse is written before it is sent. Pulses already in it count: towards the dose of the last
        hour, and as the last pulse on each electrode. Without a log, only pulses admitted by this guard count.
    clock : callable
        Returns the present time on the pulses' clock, s; pulses of more than an hour ago are forgotten.

    Attributes
    ----------
    passed : int
        Pulses that were admitted and neither withdrawn nor dropped.
    dropped : int
        Pulses that came too late to be given within the limits.
    """

    def __init__(
        self,
        limits: PulseLimits,
        log: PulseLog | str | PathLike[str] | None = None,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        self.limits = limits
        self.log = PulseLog(log) if log is not None and not isinstance(log, PulseLog) else log
        self._clock = clock
        self._counted = CountedPulses(limits)
        self.passed = self.dropped = 0

    def __enter__(self) -> Self:
        if self.log is None:
            return self
        now = self._clock()
        if self.log.clock == UNIX and abs(now - time.time()) > _DAY:
            raise SubstrateError(
                f"the log of pulses {self.log.path} has seconds since 1970, and the guard's clock is at {now:.0f} s",
                f"about {time.time():.0f} s",
                "give the guard a clock of seconds since 1970, or a PulseLog(path, clock=...) that names another",
            )
        self.log.__enter__()
        try:
            self._counted.load(self.log.read(now - KEPT), now - KEPT)
        except BaseException:
            self.log.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.log is not None:
            self.log.__exit__(kind, error, trace)

    def dose(self, at: float | None = None) -> float:
        """Return the charge applied in the hour before a time (by default now) and planned after it, C."""
        return self._counted.charge_since((self._clock() if at is None else at) - HOUR) / ATTO

    def admit(self, pulses: PulseArray) -> None:
        """Admit all of these pulses and log them; or none, and raise.

        Call it before the pulses are sent.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
            Pulses with the values that the device will apply, after rounding. In any order; none earlier than the last
            pulse admitted before.

        Raises
        ------
        StimulusRejected
            If a pulse breaks a limit, by itself or together with earlier ones.
        SubstrateError
            If the log cannot be written.
        """
        self.limits.check(pulses)
        if not pulses.size:
            return
        self._counted.forget_before(self._clock() - KEPT)
        pulses = np.sort(pulses, order="time", kind="stable")
        self._counted.check(pulses)
        if self.log is not None:
            self.log.append(pulses)
        self._counted.plan(pulses)
        self.passed += len(pulses)

    def release(self, pulses: PulseArray, at: npt.ArrayLike | None = None) -> npt.NDArray[np.bool_]:
        """Check admitted pulses at the moment they are sent, with their real times; send only those it allows.

        The interval, rate and dose of each pulse are checked again, at its real time and with the pulses that were
        really applied before. A pulse that would break a limit, because it or an earlier one is late, is dropped: it is
        logged as dropped, no longer counts, and must not be sent. If a pulse begins at another time than was planned,
        the real time is logged.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
            Pulses that were admitted, and neither released nor withdrawn yet.
        at : array_like of float, optional
            Real time of each pulse, s; one value for all, or one for each. By default the planned time, or now if that
            is past.

        Returns
        -------
        ndarray of bool, shape (pulses,)
            Which of them may be sent.

        Raises
        ------
        SubstrateError
            If the log cannot be written, or a pulse was not admitted or is settled already; none may be sent then.
        """
        times = np.maximum(pulses["time"], self._clock()) if at is None else np.asarray(at, dtype=np.float64)
        if not np.isfinite(times).all():
            raise SubstrateError(f"pulses are released at {times} s", "finite times", "give the clock's present time")
        real = pulses.copy()
        real["time"] = times
        allowed, undo = self._counted.release(pulses, real)
        moved = allowed & (real["time"] != pulses["time"])
        try:
            if self.log is not None:
                # Torn between two lines, the log counts a pulse twice and never not at all.
                self.log.extend([(PLANNED, real[moved]), (WITHDRAWN, pulses[moved]), (DROPPED, pulses[~allowed])])
        except BaseException:
            undo()
            raise
        lost = int(np.count_nonzero(~allowed))
        self.passed -= lost
        self.dropped += lost
        return allowed

    def withdraw(self, pulses: PulseArray) -> None:
        """Withdraw pulses that were admitted but have not been and will not be sent.

        They no longer count.

        Raises
        ------
        SubstrateError
            If one of them was not admitted, or has been released or withdrawn already; then none is taken back.
        """
        if not pulses.size:
            return
        undo = self._counted.withdraw(pulses)
        try:
            if self.log is not None:
                self.log.append(pulses, WITHDRAWN)
        except BaseException:
            undo()
            raise
        self.passed -= len(pulses)
