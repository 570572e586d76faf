"""Safety for living tissue: what a pulse may be, checked before anything is sent, and a log of every pulse.

A `TissueGuard` stands in front of whatever sends pulses. It lets a batch of pulses pass as a whole, or raises
`StimulusRejected` and lets nothing pass. What it let pass counts as given, also where sending failed after
that: an error may cost a stimulus, never a culture. With a log on disk the dose of the last hour outlives
the process. Limits for charge and its balance follow Merrill, Bikson and Jefferys, J. Neurosci. Methods 141,
171 (2005).
"""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from inmateria.substrate import StimulusRejected, SubstrateBusy, SubstrateError

__all__ = ["PULSE", "PulseLimits", "PulseLog", "TissueGuard", "biphasic", "state_folder"]

PULSE = np.dtype(
    [
        ("time", "<f8"),
        ("electrode", "<u4"),
        ("amplitude", "<f8"),
        ("duration", "<f8"),
        ("second_amplitude", "<f8"),
        ("second_duration", "<f8"),
    ]
)
"""One biphasic pulse: when its first phase begins (s), where, and current (A) and duration (s) of both phases.

The sign of a current is its direction: negative is cathodic. Times are on one clock that never goes back:
the device's, or for a living culture seconds since 1970.
"""

PulseArray = npt.NDArray[np.void]

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
        if not 0 <= self.interval < float("inf"):
            raise ValueError(f"pulse limits have interval {self.interval} s; give a finite time, 0 for none")
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


def state_folder() -> Path:
    """Name the folder where logs of pulses are kept: ``INMATERIA_STATE``, or in the user's home."""
    given = os.environ.get("INMATERIA_STATE")
    return Path(given) if given else Path.home() / ".local" / "state" / "inmateria"


class PulseLog:
    """A file with one line for every pulse that was let pass, written before it is sent; CSV.

    Parameters
    ----------
    path : path-like
        Appended to; made where it is not there. Held by one process at a time.

    Raises
    ------
    SubstrateBusy
        On entering, where another process holds the file: it is stimulating the same culture.
    SubstrateError
        Where the file cannot be written or is not such a log.
    """

    _HEADER = "logged," + ",".join(PULSE.names or ())

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8", newline="")
        except OSError as error:
            raise SubstrateError(
                f"the log of pulses {self.path} cannot be opened ({error})",
                "a file that can be written",
                "give another",
            ) from None
        try:
            _lock(file, self.path)
            self._mend(file)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _mend(self, file: IO[str]) -> None:
        """Write the first line of a new log, or end a last line that was cut short."""
        file.seek(0)
        header = file.readline()
        if not header:
            file.write(self._HEADER + "\n")
        elif header.rstrip("\r\n") != self._HEADER:
            raise SubstrateError(f"{self.path} is not a log of pulses", f"its first line is {self._HEADER}", "")
        else:
            size = file.seek(0, os.SEEK_END)
            with self.path.open("rb") as raw:
                raw.seek(size - 1)
                if raw.read(1) != b"\n":
                    file.write("\n")
        file.flush()

    def append(self, pulses: PulseArray) -> None:
        """Write pulses down; on disk before this returns."""
        if self._file is None:
            raise SubstrateError(f"the log of pulses {self.path} is not open", "", "use it inside `with`")
        now = datetime.now(UTC).isoformat()
        try:
            self._file.writelines(",".join([now, *(repr(value) for value in row)]) + "\n" for row in pulses.tolist())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SubstrateError(
                f"the log of pulses {self.path} cannot be written ({error})", "", "nothing was sent; is the disk full?"
            ) from None

    def read(self) -> PulseArray:
        """Read all pulses of the log, as a row of `PULSE`; lines that were cut short are left out."""
        rows = []
        with self.path.open(encoding="utf-8") as lines:
            next(lines, None)
            for line in lines:
                words = line.rstrip("\n").split(",")[1:]
                try:
                    rows.append((float(words[0]), int(words[1]), *(float(word) for word in words[2:6])))
                except (ValueError, IndexError):
                    continue
        return np.array([row for row in rows if len(row) == len(PULSE.names or ())], dtype=PULSE)


def _lock(file: IO[str], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SubstrateBusy(
            f"{path} is held by another process", "one controller stimulates a culture at a time", "end the other first"
        ) from None


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
        self._times: deque[float] = deque()
        self._charges: deque[int] = deque()  # attocoulombs
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
        return (
            sum(charge for time, charge in zip(self._times, self._charges, strict=True) if time > now - _HOUR) / _ATTO
        )

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
                        f"electrode {electrode} gets a pulse {1e3 * (begin - last):g} ms after the one before",
                        f"at least {1e3 * max(limits.interval, ended - last):g} ms from one to the next",
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
        held = len(self._times)
        past = list(zip(self._times, self._charges, strict=True)) if self._dose + sum(charges) > most else []
        for time_, charge in zip(times, charges, strict=True):
            dose += charge
            if not past and dose <= most:
                continue
            # Only near the limit is it worth looking at what is older than an hour.
            while old < held and past[old][0] <= time_ - _HOUR:
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
        self._times.extend(pulses["time"].tolist())
        self._charges.extend(charges)
        self._dose += sum(charges)
        self._last = float(pulses["time"][-1])
        while self._times[0] <= self._last - _HOUR:
            self._times.popleft()
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
