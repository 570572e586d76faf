"""Safety for living tissue: what a pulse may be, checked before anything is sent, and a log of every pulse.

A `TissueGuard` stands in front of whatever sends pulses. It lets a batch of pulses pass as a whole, or raises
`StimulusRejected` and lets nothing pass. What it let pass counts as given, unless it is withdrawn by who knows
that it was never sent: an error may cost a stimulus, never a culture. With a log on disk the dose of the last
hour outlives the process. Why charge and its balance matter: Merrill, Bikson and Jefferys, J. Neurosci. Methods
141, 171 (2005).
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.pulse_log import PULSE, PulseArray, PulseLog
from inmateria.substrate import StimulusRejected

__all__ = ["PULSE", "PulseArray", "PulseLimits", "PulseLog", "TissueGuard", "biphasic"]

_HOUR = 3600.0
_SLACK = 1e-6  # s: seconds since 1970 as a float are exact to a quarter of this
_ATTO = 1e18  # doses are summed as whole attocoulombs, so that adding and taking away leaves nothing behind


@dataclass(frozen=True, kw_only=True)
class PulseLimits:
    """What a culture may be given; what is outside is never sent.

    Parameters
    ----------
    amplitude : float
        Largest current of either phase, A.
    charge : float
        Largest charge of one phase, C.
    imbalance : float
        Largest charge left over by the two phases, as a fraction of the larger one.
    phase : (float, float)
        Shortest and longest phase, s.
    interval : float
        Least time from the beginning of one pulse to that of the next on the same electrode, s.
    rate : float
        Most pulses on one electrode in any second.
    dose : float
        Most charge in any hour, over all electrodes, the larger phase of each pulse counting, C.
    """

    amplitude: float = 3e-6
    charge: float = 3e-9
    imbalance: float = 1e-3
    phase: tuple[float, float] = (20e-6, 5e-3)
    interval: float = 5e-3
    rate: float = 50.0
    dose: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("amplitude", "charge", "rate", "dose"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"pulse limits have {name} {getattr(self, name)}; give a finite number above 0")
        if not 0 <= self.imbalance < 1:
            raise ValueError(f"pulse limits have imbalance {self.imbalance}; give a fraction from 0 to below 1")
        if not 0 <= self.interval <= _HOUR or self.rate < 1 / _HOUR:
            raise ValueError(
                f"pulse limits have interval {self.interval} s and rate {self.rate}; an hour is looked back, not more"
            )
        if not 0 < self.phase[0] <= self.phase[1] < float("inf"):
            raise ValueError(f"pulse limits have phase {self.phase} s; give 0 < shortest <= longest")

    def check(self, pulses: PulseArray) -> None:
        """Check each pulse by itself, whatever came before; raise `StimulusRejected` for the first that breaks a limit.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
        """
        if pulses.dtype != PULSE or pulses.ndim != 1:
            raise StimulusRejected(f"pulses have dtype {pulses.dtype}, shape {pulses.shape}", f"a row of {PULSE}")
        if not pulses.size:
            return
        first = pulses["amplitude"] * pulses["duration"]
        second = pulses["second_amplitude"] * pulses["second_duration"]
        larger = np.maximum(np.abs(first), np.abs(second))
        top = np.maximum(np.abs(pulses["amplitude"]), np.abs(pulses["second_amplitude"]))
        shortest = np.minimum(pulses["duration"], pulses["second_duration"])
        longest = np.maximum(pulses["duration"], pulses["second_duration"])
        numbers = np.array([pulses[name] for name in PULSE.names or () if name != "electrode"])
        # A hair's breadth of room, so that what is exactly at a limit is not refused for how 3e-6 is rounded.
        room = 1 + 1e-9

        def refuse(broken: npt.NDArray[np.bool_], said: Callable[[int], str], allowed: str, remedy: str = "") -> None:
            where = np.flatnonzero(broken)
            if where.size:
                k = int(where[0])
                raise StimulusRejected(
                    f"pulse {k} (electrode {pulses['electrode'][k]}) {said(k)}", f"allowed are {allowed}", remedy
                )

        refuse(~np.isfinite(numbers).all(axis=0), lambda k: "is not all finite numbers", "finite numbers")
        refuse(
            top > self.amplitude * room,
            lambda k: f"has {1e6 * top[k]:g} uA",
            f"at most {1e6 * self.amplitude:g} uA",
            "use a smaller current",
        )
        refuse(
            (shortest < self.phase[0] / room) | (longest > self.phase[1] * room),
            lambda k: f"has phases of {1e6 * shortest[k]:g} and {1e6 * longest[k]:g} us",
            f"{1e6 * self.phase[0]:g} to {1e6 * self.phase[1]:g} us",
        )
        refuse(
            larger > self.charge * room,
            lambda k: f"has {1e9 * larger[k]:g} nC in one phase",
            f"at most {1e9 * self.charge:g} nC",
            "use a smaller current or a shorter phase",
        )
        refuse(
            np.abs(first + second) > self.imbalance * larger * room + 1e-9 * larger,
            lambda k: f"leaves {1e9 * (first[k] + second[k]):g} nC of {1e9 * larger[k]:g} nC behind",
            f"phases balanced to {100 * self.imbalance:g} %",
            "give the second phase the same charge with the opposite sign",
        )


def biphasic(
    time: npt.ArrayLike, electrode: npt.ArrayLike, amplitude: npt.ArrayLike, duration: npt.ArrayLike
) -> PulseArray:
    """Make charge-balanced pulses of two equal and opposite phases, as a row of `PULSE`.

    Parameters
    ----------
    time : array_like of float
        When each begins, s.
    electrode : array_like of int
    amplitude : array_like of float
        Current of the first phase, A; its sign is the direction, negative being cathodic first.
    duration : array_like of float
        Of each of the two phases, s.
    """
    parts = np.broadcast_arrays(np.atleast_1d(time), electrode, amplitude, duration)
    pulses = np.zeros(parts[0].shape, dtype=PULSE)
    for name, part in zip(("time", "electrode", "amplitude", "duration"), parts, strict=True):
        pulses[name] = part
    pulses["second_amplitude"], pulses["second_duration"] = -pulses["amplitude"], pulses["duration"]
    return pulses


class TissueGuard:
    """Lets pulses pass that a culture may be given, and no others; use it inside ``with``.

    Parameters
    ----------
    limits : PulseLimits
    log : PulseLog or path-like, optional
        Where every pulse is written before it is sent. What is in it already counts: the dose of the last
        hour, and the last pulse on each electrode. Without it this guard knows only what it let pass itself.
    clock : callable
        Gives the present time of the pulses' clock, s; pulses of more than an hour ago are forgotten by it.
    """

    def __init__(
        self,
        limits: PulseLimits,
        log: PulseLog | str | PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self.log = PulseLog(log) if log is not None and not isinstance(log, PulseLog) else log
        self._clock = clock
        self._given: deque[tuple[float, ...]] = deque()  # the pulses of the last hour
        self._charges: deque[int] = deque()  # theirs, attocoulombs
        self._dose = 0
        self._recent: dict[int, deque[tuple[float, float]]] = {}  # electrode -> (begin, end) of the last second
        self._last = -float("inf")
        self.passed = 0

    def __enter__(self) -> Self:
        if self.log is not None:
            self.log.__enter__()
            past = self.log.read()
            self._note(np.sort(past[past["time"] > self._clock() - _HOUR], order="time"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.log is not None:
            self.log.__exit__(kind, error, trace)

    def dose(self, at: float | None = None) -> float:
        """Give the charge of the last hour before a time (now), C."""
        now = self._clock() if at is None else at
        given = zip(self._given, self._charges, strict=True)
        return sum(charge for (begin, *_), charge in given if begin > now - _HOUR) / _ATTO

    def admit(self, pulses: PulseArray) -> None:
        """Let all of these pulses pass, and write them down; or none, and raise.

        Call it before anything is sent, and send only after it has returned.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
            In any order; none earlier than the last that was let pass before.

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
        pulses = np.sort(pulses, order="time", kind="stable")
        if pulses["time"][0] < self._last - _SLACK:
            raise StimulusRejected(
                f"a pulse begins at {pulses['time'][0]:.6f} s, before the last one at {self._last:.6f} s",
                "pulses go forward on one clock",
                "was the clock set back?",
            )
        self._check_pace(pulses)
        self._check_dose(pulses)
        if self.log is not None:
            self.log.append(pulses)
        self._note(pulses)
        self.passed += len(pulses)

    def withdraw(self, pulses: PulseArray) -> None:
        """Take back pulses that were let pass and that nobody has sent, nor ever will."""
        if not pulses.size:
            return
        if self.log is not None:
            self.log.append(pulses, "withdrawn")
        back = Counter(pulses.tolist())
        kept = []
        for pulse in reversed(self._given):
            if back[pulse]:
                back[pulse] -= 1
            else:
                kept.append(pulse)
        self._given.clear()
        self._charges.clear()
        self._recent.clear()
        self._dose, self._last = 0, -float("inf")
        self._note(np.array(kept[::-1], dtype=PULSE))
        self.passed -= len(pulses)

    def _check_pace(self, pulses: PulseArray) -> None:
        """Check interval and rate on each electrode."""
        limits, most = self.limits, max(1, int(self.limits.rate))
        ahead: dict[int, list[tuple[float, float]]] = {}
        ends = _ends(pulses)
        for begin, end, electrode in zip(pulses["time"].tolist(), ends, pulses["electrode"].tolist(), strict=True):
            if electrode not in ahead:
                ahead[electrode] = list(self._recent.get(electrode, ()))
            before = ahead[electrode]
            if before:
                last, ended = before[-1]
                if begin < max(last + limits.interval, ended) - _SLACK:
                    raise StimulusRejected(
                        f"electrode {electrode} gets a pulse {1e3 * (begin - last):.4g} ms after the one before",
                        f"at least {1e3 * max(limits.interval, ended - last):.4g} ms from one to the next",
                        "leave more time between pulses",
                    )
            if len(before) >= most and begin < before[-most][0] + max(1.0, most / limits.rate) - _SLACK:
                raise StimulusRejected(
                    f"electrode {electrode} gets more than {limits.rate:g} pulses in one second",
                    f"at most {limits.rate:g}",
                    "leave more time between pulses",
                )
            before.append((begin, end))

    def _check_dose(self, pulses: PulseArray) -> None:
        """Check the sum over any hour that ends with one of these pulses."""
        most = int(self.limits.dose * _ATTO * (1 + 1e-6))  # each charge was rounded
        times, charges = pulses["time"].tolist(), _charges(pulses)
        dose, old, oldest = self._dose, 0, 0
        held = len(self._given)
        past = list(zip(self._given, self._charges, strict=True)) if self._dose + sum(charges) > most else []
        for time_, charge in zip(times, charges, strict=True):
            dose += charge
            if not past and dose <= most:
                continue
            # Only near the limit is it worth looking at what is older than an hour.
            while old < held and past[old][0][0] <= time_ - _HOUR:
                dose -= past[old][1]
                old += 1
            while times[oldest] <= time_ - _HOUR:
                dose -= charges[oldest]
                oldest += 1
            if dose > most:
                raise StimulusRejected(
                    f"these {len(pulses)} pulses bring the charge of one hour to {1e9 * dose / _ATTO:g} nC",
                    f"at most {1e9 * self.limits.dose:g} nC in any hour",
                    "let the culture rest",
                )

    def _note(self, pulses: PulseArray) -> None:
        if not pulses.size:
            return
        charges = _charges(pulses)
        self._given.extend(pulses.tolist())
        self._charges.extend(charges)
        self._dose += sum(charges)
        self._last = float(pulses["time"][-1])
        while self._given[0][0] <= self._last - _HOUR:
            self._given.popleft()
            self._dose -= self._charges.popleft()
        most = max(1, int(self.limits.rate))
        for begin, end, electrode in zip(
            pulses["time"].tolist(), _ends(pulses), pulses["electrode"].tolist(), strict=True
        ):
            self._recent.setdefault(electrode, deque(maxlen=most)).append((begin, end))


def _charges(pulses: PulseArray) -> list[int]:
    first = np.abs(pulses["amplitude"] * pulses["duration"])
    second = np.abs(pulses["second_amplitude"] * pulses["second_duration"])
    return [round(charge * _ATTO) for charge in np.maximum(first, second).tolist()]


def _ends(pulses: PulseArray) -> list[float]:
    ends: list[float] = (pulses["time"] + pulses["duration"] + pulses["second_duration"]).tolist()
    return ends
