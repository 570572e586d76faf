"""The guard against a model that looks at every pulse ever given, over hours: late releases, withdrawals, restarts.

Times are whole 64ths of a second and charges whole multiples of 0.1 nC, so that the model calculates in integers.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inmateria.adapters.tissue.guard import PulseLimits, PulseLog, TissueGuard, biphasic
from inmateria.pulses import PulseArray
from inmateria.substrate import StimulusRejected, SubstrateError

SECOND = 64
HOUR = 3600 * SECOND
INTERVAL, RATE, DOSE = 16, 3, 12  # a quarter of a second; pulses a second; 1.2 nC
LIMITS = PulseLimits(amplitude=3e-6, charge=0.3e-9, interval=INTERVAL / SECOND, rate=RATE, dose=0.1e-9 * DOSE)


@dataclass(frozen=True)
class Known:
    """One pulse that counts: its time, its charge, and the batch in which it is still only planned (0: given)."""

    time: int
    electrode: int
    charge: int
    batch: int


def pulses_of(known: list[Known]) -> PulseArray:
    columns = np.array([(each.time, each.electrode, each.charge) for each in known], dtype=np.int64).reshape(-1, 3).T
    return biphasic(columns[0] / SECOND, columns[1], -1e-6 * columns[2], 1e-4)


def fits(pulse: Known, before: list[Known], paced: list[Known]) -> bool:
    """Whether a pulse may be given, with the charge of some before it and the pace of some."""
    same = [each for each in paced if each.electrode == pulse.electrode and each.time <= pulse.time]
    within_hour = [each for each in before if pulse.time - HOUR < each.time <= pulse.time]
    return (
        all(pulse.time - each.time >= INTERVAL for each in same)
        and sum(pulse.time - each.time < SECOND for each in same) < RATE
        and sum(each.charge for each in within_hour) + pulse.charge <= DOSE
    )


class GuardedCulture(RuleBasedStateMachine):
    """A guard with a log, and beside it every pulse that counts."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "pulses.csv"
        self.now = 10 * HOUR
        self.counted: list[Known] = []
        self.batches = 0
        self.given_until = self.floor = -(10**12)
        self.passed = self.dropped = 0
        self.guard = self.opened()

    def opened(self) -> TissueGuard:
        return TissueGuard(LIMITS, PulseLog(self.path, "model"), clock=lambda: self.now / SECOND).__enter__()

    def teardown(self) -> None:
        if hasattr(self, "guard"):
            self.guard.__exit__(None, None, None)
            self.folder.cleanup()

    @rule(
        pause=st.one_of(
            st.integers(0, 2 * SECOND),
            st.sampled_from([HOUR // 4, HOUR // 2 + SECOND, 2 * HOUR // 3, HOUR - 1, HOUR, HOUR + 61 * SECOND]),
        )
    )
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule(
        ahead=st.one_of(st.integers(0, 2 * SECOND), st.sampled_from([HOUR // 2, HOUR - 1, HOUR, 2 * HOUR])),
        batch=st.lists(
            st.tuples(
                st.one_of(st.integers(0, SECOND), st.sampled_from([HOUR // 2, HOUR - 1])),
                st.integers(0, 1),
                st.integers(1, 3),
            ),
            min_size=1,
            max_size=5,
        ),
    )
    def admit(self, ahead: int, batch: list[tuple[int, int, int]]) -> None:
        asked, time = [], self.now + ahead
        for gap, electrode, charge in batch:
            time += gap
            asked.append(Known(time, electrode, charge, self.batches + 1))
        after = list(self.counted)
        allowed = asked[0].time >= max([self.floor, *(each.time for each in self.counted)])
        for pulse in asked:
            allowed = allowed and fits(pulse, after, after)
            after.append(pulse)
        if allowed:
            self.guard.admit(pulses_of(asked))
            self.batches += 1
            self.counted = after
            self.passed += len(asked)
        else:
            with pytest.raises(StimulusRejected):
                self.guard.admit(pulses_of(asked))

    def planned(self) -> list[Known]:
        """Those of the newest batch that has any; older ones may have been forgotten as planned."""
        young = [each for each in self.counted if each.batch and each.time > self.now - HOUR]
        return [each for each in young if each.batch == max(each.batch for each in young)]

    @precondition(lambda self: self.planned())
    @rule(first=st.integers(0, 4), count=st.integers(1, 5), late=st.integers(0, SECOND), wait=st.booleans())
    def release(self, first: int, count: int, late: int, wait: bool) -> None:
        chosen = self.planned()[first : first + count]
        if not chosen:
            return
        if wait:
            self.now = max(self.now, chosen[-1].time)
        self.now += late
        real = [replace(each, time=max(each.time, self.now), batch=0) for each in chosen]
        expected = [False] * len(chosen)
        for k in sorted(range(len(chosen)), key=lambda k: real[k].time):
            batch = chosen[k].batch
            self.counted.remove(chosen[k])
            paced = [each for each in self.counted if each.batch != batch]
            if real[k].time >= self.given_until and fits(real[k], self.counted, paced):
                expected[k] = True
                self.counted.append(real[k])
                self.given_until = real[k].time
        assert self.guard.release(pulses_of(chosen)).tolist() == expected
        self.passed -= expected.count(False)
        self.dropped += expected.count(False)
        with pytest.raises(SubstrateError, match="is not planned"):
            self.guard.withdraw(pulses_of([replace(real[0], electrode=7)]))

    @precondition(lambda self: self.planned())
    @rule(first=st.integers(0, 4), count=st.integers(1, 5))
    def withdraw(self, first: int, count: int) -> None:
        chosen = self.planned()[first : first + count]
        for each in chosen:
            self.counted.remove(each)
        self.passed -= len(chosen)
        self.guard.withdraw(pulses_of(chosen))

    @precondition(lambda self: any(not each.batch for each in self.counted))
    @rule(back=st.integers(1, 3))
    def what_was_given_cannot_be_withdrawn(self, back: int) -> None:
        given = [each for each in self.counted if not each.batch][-back:]
        same = Counter((each.time, each.electrode, each.charge) for each in self.counted if each.batch)
        if not any(same[each.time, each.electrode, each.charge] for each in given):
            with pytest.raises(SubstrateError, match="is not planned"):
                self.guard.withdraw(pulses_of(given))
            with pytest.raises(SubstrateError, match="is not planned"):
                self.guard.release(pulses_of(given))

    @rule()
    def restart(self) -> None:
        self.guard.__exit__(None, None, None)
        self.guard = self.opened()
        self.counted = [replace(each, batch=0) for each in self.counted]
        self.floor, self.given_until = self.now - HOUR - 60 * SECOND, -(10**12)
        self.passed = self.dropped = 0

    @invariant()
    def the_dose_is_that_of_the_hour(self) -> None:
        if not hasattr(self, "guard"):
            return
        charge = sum(each.charge for each in self.counted if each.time > self.now - HOUR)
        assert self.guard.dose() == pytest.approx(charge * 0.1e-9, abs=1e-17)
        assert (self.guard.passed, self.guard.dropped) == (self.passed, self.dropped)

    @invariant()
    def the_log_holds_what_counts(self) -> None:
        if not hasattr(self, "guard"):
            return
        assert self.guard.log is not None
        logged, expected = self.guard.log.read(), pulses_of(self.counted)
        assert np.array_equal(np.sort(logged), np.sort(expected))

    @invariant()
    def what_was_given_is_within_the_limits(self) -> None:
        if not hasattr(self, "guard"):
            return
        given = sorted((each for each in self.counted if not each.batch), key=lambda each: each.time)
        for each in given:
            hour = [other.charge for other in given if each.time - HOUR < other.time <= each.time]
            assert sum(hour) <= DOSE


TestGuardedCulture = GuardedCulture.TestCase
TestGuardedCulture.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_a_loop_held_for_most_of_a_second_lets_nothing_through_beyond_the_limits() -> None:
    limits = PulseLimits(interval=5e-3, rate=50, dose=1e-3)
    now = [1000.0]
    guard = TissueGuard(limits, clock=lambda: now[0])
    planned = biphasic(1000.0 + 0.02 * np.arange(100), 7, -1e-6, 2e-4)
    guard.admit(planned)
    given = []
    for k in range(100):
        # The loop is held from the 20th pulse on for 0.6 s, and then goes through what it missed at once.
        now[0] = max(now[0] + 50e-6, planned["time"][k], 1001.0 if k >= 20 else 0.0)
        if guard.release(planned[k : k + 1])[0]:
            given.append(now[0])
    times = np.array(given)
    assert np.diff(times).min() >= 5e-3 - 2e-6
    assert (times[50:] - times[:-50]).min(initial=1.0) >= 1.0 - 2e-6
    assert max(np.count_nonzero((times >= at) & (times < at + 1 - 1e-5)) for at in times) <= 50
    assert guard.dropped == 100 - len(given)
    assert 25 <= guard.dropped <= 32  # those of the 0.6 s, and no others
    assert guard.passed == len(given)


def test_a_dose_survives_what_is_admitted_hours_ahead_and_withdrawn() -> None:
    guard = TissueGuard(PulseLimits(dose=8e-9, rate=50, interval=0.0), clock=lambda: 50.0)
    guard.admit(biphasic(np.arange(10), 7, 3e-6, 2e-4))  # 6 nC
    for _ in range(20):
        ahead = biphasic(50.0 + 7200, 7, 3e-6, 2e-4)
        guard.admit(ahead)
        guard.withdraw(ahead)
        assert guard.dose() == pytest.approx(6e-9)
    with pytest.raises(StimulusRejected, match=r"bring the charge of one hour to 8\.4 nC; at most 8 nC"):
        guard.admit(biphasic(60.0 + np.arange(4), 7, 3e-6, 2e-4))
    assert guard.passed == 10


def test_a_late_pulse_counts_against_the_rate_of_those_after_it() -> None:
    guard = TissueGuard(PulseLimits(interval=0.1, rate=2), clock=lambda: 0.0)
    planned = biphasic([0.0, 0.5, 1.0, 1.5], 7, -1e-6, 1e-4)
    guard.admit(planned)
    given = [guard.release(planned[k : k + 1], at)[0] for k, at in enumerate((0.4, 0.5, 1.0, 1.5))]
    assert given == [True, True, False, True]


def test_pulses_planned_by_another_stimulus_count_when_one_is_released() -> None:
    guard = TissueGuard(PulseLimits(interval=0.25), clock=lambda: 0.0)
    other, own = biphasic(10.0, 7, -1e-6, 1e-4), biphasic([10.25, 10.5], 7, -1e-6, 1e-4)
    guard.admit(other)
    guard.admit(own)
    assert guard.release(own, [10.1, 10.4]).tolist() == [False, True]


def test_a_pulse_that_would_begin_before_one_that_was_given_is_dropped() -> None:
    guard = TissueGuard(PulseLimits(), clock=lambda: 0.0)
    planned = biphasic([10.0, 11.0], [7, 8], -1e-6, 1e-4)
    guard.admit(planned)
    assert guard.release(planned[:1], 12.0).tolist() == [True]
    assert guard.release(planned[1:], 11.0).tolist() == [False]


def test_a_pulse_before_what_is_remembered_is_refused(tmp_path: Path) -> None:
    """Its hour cannot be known: what was given in it may have been forgotten."""
    now = [0.0]
    guard = TissueGuard(PulseLimits(dose=1e-9), clock=lambda: now[0])
    guard.admit(biphasic(0.0, 7, -3e-6, 2e-4))
    now[0] = 4000.0
    with pytest.raises(StimulusRejected, match="more than a minute before the present"):
        guard.admit(biphasic(3000.0, 7, -3e-6, 2e-4))
    guard.admit(biphasic(3950.0, 7, -3e-6, 2e-4))
    with (
        TissueGuard(PulseLimits(), PulseLog(tmp_path / "a.csv", "test"), clock=lambda: now[0]) as opened,
        pytest.raises(StimulusRejected, match="more than a minute before the present"),
    ):
        opened.admit(biphasic(3000.0, 7, -3e-6, 2e-4))


def test_a_late_pulse_counts_against_the_dose_of_the_hour_after_it() -> None:
    guard = TissueGuard(PulseLimits(dose=1e-9), clock=lambda: 0.0)
    planned = biphasic([0.0, 3600.0], [7, 8], -3e-6, 2e-4)  # 0.6 nC each, an hour apart
    guard.admit(planned)
    assert guard.release(planned[:1], 100.0).tolist() == [True]
    assert guard.release(planned[1:], 3600.0).tolist() == [False]
    with pytest.raises(StimulusRejected, match="in any hour"):
        guard.admit(biphasic(3690.0, 7, -3e-6, 2e-4))
    guard.admit(biphasic(3700.0, 7, -3e-6, 2e-4))


def test_of_pulses_at_one_time_the_right_one_is_withdrawn() -> None:
    guard = TissueGuard(PulseLimits(), clock=lambda: 0.0)
    together = biphasic(1.0, [7, 8, 9], [-1e-6, -3e-6, -2e-6], 2e-4)
    guard.admit(together)
    guard.withdraw(together[1:2])
    assert guard.dose() == pytest.approx(0.6e-9)
    assert guard.release(together[[2, 0]]).tolist() == [True, True]
    assert guard.dose() == pytest.approx(0.6e-9)
