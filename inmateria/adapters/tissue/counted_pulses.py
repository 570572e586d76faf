"""The pulses that count against limits of pace and dose: those of the last hour, and those that are planned.

Nothing is forgotten but by the passing of time: a pulse that is taken back leaves everything as it was before.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from itertools import islice

import numpy as np
import numpy.typing as npt

from inmateria.adapters.tissue.limits import ATTO, HOUR, SLACK, PulseLimits
from inmateria.pulses import PulseArray, charge_of
from inmateria.substrate import StimulusRejected, SubstrateError

__all__ = ["KEPT", "CountedPulses"]

KEPT = HOUR + 60.0  # s that pulses are kept, for those that are sent up to a minute behind the clock
_GIVEN = 0  # the batch of pulses that were released, or come from a log

Row = tuple[float, int, float, float, float, float]
_Place = tuple[float, float, int]  # begin, end, batch


class CountedPulses:
    """Pulses in order of time, over all electrodes with their charges, and on each electrode.

    Parameters
    ----------
    limits : PulseLimits
    """

    def __init__(self, limits: PulseLimits) -> None:
        self._limits = limits
        self._most = max(1, int(limits.rate))  # pulses on an electrode within `_window`, s
        self._window = max(1.0, self._most / limits.rate)
        self._most_charge = int(limits.dose * ATTO * (1 + 1e-6))  # each charge was rounded
        self._times: list[float] = []
        self._charges: list[int] = []  # of those, attocoulombs
        self._total = 0
        self._on: dict[int, list[_Place]] = {}
        self._planned: dict[Row, list[int]] = {}  # the batches of those neither released nor withdrawn
        self._batch = _GIVEN
        self._given_until = -float("inf")
        self._forgotten_until = -float("inf")

    def load(self, pulses: PulseArray, since: float) -> None:
        """Begin with pulses that were given before; nothing is known of those up to a time (s)."""
        pulses = np.sort(pulses, order="time", kind="stable")
        self._times = pulses["time"].tolist()
        self._charges = _charges(pulses)
        self._total = sum(self._charges)
        ends = _ends(pulses)
        self._on = {}
        for electrode in np.unique(pulses["electrode"]).tolist():
            mine = np.flatnonzero(pulses["electrode"] == electrode)
            self._on[electrode] = [
                (begin, end, _GIVEN)
                for begin, end in zip(pulses["time"][mine].tolist(), ends[mine].tolist(), strict=True)
            ]
        self._planned.clear()
        self._given_until = -float("inf")
        self._forgotten_until = since

    def charge_since(self, time: float) -> int:
        """Sum the charge of all pulses after a time (s), attocoulombs."""
        return sum(islice(self._charges, bisect_right(self._times, time), None))

    def forget_before(self, time: float) -> None:
        """Forget the pulses up to a time (s), once some of them are a minute older than that."""
        if not self._times or self._times[0] > time - 60.0:
            return
        old = bisect_right(self._times, time)
        self._total -= sum(islice(self._charges, old))
        self._forgotten_until = self._times[old - 1]
        del self._times[:old], self._charges[:old]
        for electrode, places in list(self._on.items()):
            del places[: bisect_right(places, time, key=_begin)]
            if not places:
                del self._on[electrode]
        for row in [row for row in self._planned if row[0] <= time]:
            del self._planned[row]

    def check(self, pulses: PulseArray) -> None:
        """Raise `StimulusRejected` where pulses, in order of time, may not follow those that count."""
        first = float(pulses["time"][0])
        last = self._times[-1] if self._times else self._forgotten_until
        if first < last - SLACK:
            raise StimulusRejected(
                f"a pulse begins at {first:.6f} s, before the last one at {last:.6f} s",
                "pulses go forward on one clock",
                "was the clock set back? wait until that time has passed",
            )
        if first - HOUR < self._forgotten_until:
            raise StimulusRejected(
                f"a pulse begins at {first:.6f} s, more than a minute before the present",
                "pulses begin in the present or later, on the clock that the guard has",
                "take their times from that clock",
            )
        self._check_pace(pulses)
        self._check_dose(pulses)

    def plan(self, pulses: PulseArray) -> None:
        """Count pulses, in order of time, that have been checked."""
        self._batch += 1
        charges = _charges(pulses)
        self._times += pulses["time"].tolist()
        self._charges += charges
        self._total += sum(charges)
        ends = _ends(pulses).tolist()
        if len(self._times) > len(charges) and self._times[-len(charges)] < self._times[-len(charges) - 1]:
            self._sort()  # within the slack of one clock reading
        for row, end in zip(pulses.tolist(), ends, strict=True):
            insort(self._on.setdefault(row[1], []), (row[0], end, self._batch))
            self._planned.setdefault(row, []).append(self._batch)

    def withdraw(self, pulses: PulseArray) -> Callable[[], None]:
        """Stop counting planned pulses; give what undoes it."""
        done: list[Callable[[], None]] = []

        def undo() -> None:
            for each in reversed(done):
                each()

        try:
            for row, end, charge in sorted(_parts(pulses), reverse=True):  # from the end, where lists are cut fastest
                done.append(self._take(row, end, charge))
        except BaseException:
            undo()
            raise
        return undo

    def release(self, pulses: PulseArray, real: PulseArray) -> tuple[npt.NDArray[np.bool_], Callable[[], None]]:
        """Count planned pulses as given at their real times, where limits allow; give which, and what undoes it."""
        allowed = np.zeros(len(pulses), dtype=np.bool_)
        done: list[Callable[[], None]] = []
        until = self._given_until

        def undo() -> None:
            for each in reversed(done):
                each()
            self._given_until = until

        times, ends = real["time"].tolist(), _ends(real).tolist()
        parts = _parts(pulses)
        try:
            for k in np.argsort(real["time"], kind="stable").tolist():
                (row, planned_end, charge), begin, end = parts[k], times[k], ends[k]
                batch = self._planned.get(row, [_GIVEN])[-1]
                done.append(self._take(row, planned_end, charge))
                if (
                    begin >= self._given_until - SLACK
                    and self._pace_allows(row[1], begin, batch)
                    and self._dose_allows(begin, charge)
                ):
                    done.append(self._give(row[1], begin, end, charge))
                    self._given_until = max(self._given_until, begin)
                    allowed[k] = True
        except BaseException:
            undo()
            raise
        return allowed, undo

    def _take(self, row: Row, end: float, charge: int) -> Callable[[], None]:
        """Remove one planned pulse; give what puts it back."""
        batches = self._planned.get(row)
        if not batches:
            raise SubstrateError(
                f"a pulse on electrode {row[1]} at {row[0]:.6f} s is not planned",
                "pulses that were admitted and neither released nor withdrawn since",
                "release or withdraw each pulse once, with the values it was admitted with",
            )
        batch = batches.pop()
        if not batches:
            del self._planned[row]
        place = (row[0], end, batch)
        self._remove(row[1], place, charge)

        def put_back() -> None:
            self._planned.setdefault(row, []).append(batch)
            self._insert(row[1], place, charge)

        return put_back

    def _give(self, electrode: int, begin: float, end: float, charge: int) -> Callable[[], None]:
        """Count one pulse as given; give what undoes it."""
        place = (begin, end, _GIVEN)
        self._insert(electrode, place, charge)
        return lambda: self._remove(electrode, place, charge)

    def _insert(self, electrode: int, place: _Place, charge: int) -> None:
        k = bisect_right(self._times, place[0])
        self._times.insert(k, place[0])
        self._charges.insert(k, charge)
        self._total += charge
        insort(self._on.setdefault(electrode, []), place)

    def _remove(self, electrode: int, place: _Place, charge: int) -> None:
        k = bisect_left(self._times, place[0])
        while self._charges[k] != charge:
            k += 1
        del self._times[k], self._charges[k]
        self._total -= charge
        places = self._on[electrode]
        del places[bisect_left(places, place)]
        if not places:
            del self._on[electrode]

    def _sort(self) -> None:
        order = sorted(range(len(self._times)), key=self._times.__getitem__)
        self._times = [self._times[k] for k in order]
        self._charges = [self._charges[k] for k in order]

    def _check_pace(self, pulses: PulseArray) -> None:
        """Check interval and rate on each electrode."""
        limits, most = self._limits, self._most
        ahead: dict[int, list[tuple[float, float]]] = {}
        ends = _ends(pulses).tolist()
        for begin, end, electrode in zip(pulses["time"].tolist(), ends, pulses["electrode"].tolist(), strict=True):
            if electrode not in ahead:
                ahead[electrode] = [place[:2] for place in self._on.get(electrode, ())[-most:]]
            before = ahead[electrode]
            if before:
                last, ended = before[-1]
                if begin < max(last + limits.interval, ended) - SLACK:
                    raise StimulusRejected(
                        f"electrode {electrode} gets a pulse {1e3 * (begin - last):.4g} ms after the one before",
                        f"at least {1e3 * max(limits.interval, ended - last):.4g} ms from one to the next",
                        "leave more time between pulses",
                    )
            if len(before) >= most and begin < before[-most][0] + self._window - SLACK:
                raise StimulusRejected(
                    f"electrode {electrode} gets more than {limits.rate:g} pulses in one second",
                    f"at most {limits.rate:g}",
                    "leave more time between pulses",
                )
            before.append((begin, end))

    def _pace_allows(self, electrode: int, begin: float, batch: int) -> bool:
        """Whether a pulse may begin after those on its electrode that were given, or planned in other batches."""
        limits, count = self._limits, 0
        places = self._on.get(electrode, [])
        for k in range(bisect_right(places, begin + SLACK, key=_begin) - 1, -1, -1):
            last, ended, theirs = places[k]
            if theirs == batch:
                continue
            count += 1
            if count == 1 and begin < max(last + limits.interval, ended) - SLACK:
                return False
            if count == self._most:
                return begin >= last + self._window - SLACK
        return True

    def _check_dose(self, pulses: PulseArray) -> None:
        """Check the sum over any hour that ends with one of these pulses."""
        most, charges = self._most_charge, _charges(pulses)
        if self._total + sum(charges) <= most:
            return
        times = self._times + pulses["time"].tolist()
        given = self._charges + charges
        held = len(self._times)
        old = bisect_right(self._times, times[held] - HOUR)
        dose = sum(islice(given, old, held))
        for k in range(held, len(times)):
            dose += given[k]
            while times[old] <= times[k] - HOUR:
                dose -= given[old]
                old += 1
            if dose > most:
                raise StimulusRejected(
                    f"these {len(pulses)} pulses bring the charge of one hour to {1e9 * dose / ATTO:g} nC",
                    f"at most {1e9 * self._limits.dose:g} nC in any hour",
                    "let the culture rest",
                )

    def _dose_allows(self, begin: float, charge: int) -> bool:
        """Whether a pulse may be given at a time, with all that count in the hour before it."""
        if self._total + charge <= self._most_charge:
            return True
        first, last = bisect_right(self._times, begin - HOUR), bisect_right(self._times, begin)
        return sum(islice(self._charges, first, last)) + charge <= self._most_charge


def _begin(place: _Place) -> float:
    return place[0]


def _parts(pulses: PulseArray) -> list[tuple[Row, float, int]]:
    return list(zip(pulses.tolist(), _ends(pulses).tolist(), _charges(pulses), strict=True))


def _charges(pulses: PulseArray) -> list[int]:
    return [round(charge) for charge in (charge_of(pulses) * ATTO).tolist()]


def _ends(pulses: PulseArray) -> npt.NDArray[np.float64]:
    return np.asarray(pulses["time"] + pulses["duration"] + pulses["second_duration"])
