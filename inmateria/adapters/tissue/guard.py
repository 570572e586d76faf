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
    """Give the time since a fixed moment, s; where the system can, it counts while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


_ORIGIN = time.time() - _elapsed()


def steady_time() -> float:
    """Give seconds since 1970 that never go back or jump while this process lasts, whatever sets the system's clock."""
    return _ORIGIN + _elapsed()


class TissueGuard:
    """Lets pulses pass that a culture may be given, and no others; use it inside ``with``.

    A pulse is admitted when it is planned, and counts from then on. It is released at the moment it is sent, with its
    real time, and only what `release` allows is sent. What is not sent after all is withdrawn.

    Parameters
    ----------
    limits : PulseLimits
    log : PulseLog or path-like, optional
        Where every pulse is written before it is sent. What is in it already counts: the dose of the last
        hour, and the last pulse on each electrode. Without it this guard knows only what it let pass itself.
    clock : callable
        Gives the present time of the pulses' clock, s; pulses of more than an hour ago are forgotten by it.

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
        """Compute the charge given in the hour before a time (now) and planned after it, C."""
        return self._counted.charge_since((self._clock() if at is None else at) - HOUR) / ATTO

    def admit(self, pulses: PulseArray) -> None:
        """Admit all of these pulses and log them; or none, and raise.

        Call it before anything is sent, and send only after it has returned.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
            With the values that the device will really give. In any order; none earlier than the last that was admitted
            before.

        Raises
        ------
        StimulusRejected
            Where one breaks a limit, by itself or with those before it.
        SubstrateError
            Where the log cannot be written.
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

        Each pulse is held to pace and dose once more, at the time when it will really begin and with what was really
        given before. One that would break a limit there, because it comes late or the one before it did, is dropped:
        it is logged as dropped, no longer counts, and must not be sent. Where a pulse begins at another time than was
        planned, the log gets the real one.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
            Admitted, and neither released nor withdrawn yet.
        at : array_like of float, optional
            When each really begins, s; one value, or one a pulse. By default as planned, or now if that is past.

        Returns
        -------
        ndarray of bool, shape (pulses,)
            Which of them may be sent.

        Raises
        ------
        SubstrateError
            Where the log cannot be written, or a pulse was not admitted or is settled already; none may be sent then.
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
        """Take back pulses that were admitted and have not been sent, nor ever will be.

        Everything is then as if they had never been admitted.

        Raises
        ------
        SubstrateError
            Where one of them was not admitted, or has been released or withdrawn already; then none is taken back.
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
