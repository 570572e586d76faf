"""What may be sent to tissue: every limit holds whatever is asked for, and every pulse let pass is written down."""

import os
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.adapters.tissue.guard import PULSE, PulseLimits, PulseLog, TissueGuard, biphasic
from inmateria.substrate import StimulusRejected, SubstrateBusy, SubstrateError

LIMITS = PulseLimits(amplitude=3e-6, charge=0.6e-9, interval=0.01, rate=5, dose=5e-9)


def guard(limits: PulseLimits = LIMITS, log: Path | None = None, now: float = 0.0) -> TissueGuard:
    return TissueGuard(limits, None if log is None else PulseLog(log, "test"), clock=lambda: now)


@pytest.mark.parametrize(
    ("pulses", "said"),
    [
        (biphasic(0, 7, -3.1e-6, 100e-6), r"pulse 0 \(electrode 7\) has 3.1 uA; allowed are at most 3 uA"),
        (biphasic(0, 7, 3e-6, 300e-6), "has 0.9 nC in one phase; allowed are at most 0.6 nC"),
        (biphasic(0, 7, -3e-6, 300e-6), "has 0.9 nC in one phase; allowed are at most 0.6 nC"),
        (np.array([(0, 7, -3e-6, 2e-4, 3e-6, 2.001e-4)], dtype=PULSE), "has 0.6003 nC in one phase"),
        (biphasic(0, 7, 1e-6, 10e-6), "has phases of 10 and 10 us; allowed are 20 to 5000 us"),
        (biphasic([0, 1], 7, [1e-6, np.nan], 1e-4), r"pulse 1 .* is not all finite numbers"),
        (biphasic([0, np.inf], 7, 1e-6, 1e-4), r"pulse 1 .* is not all finite numbers"),
        (np.array([(0, 7, -0.2e-6, 1e-4, 2e-6, 1e-5)], dtype=PULSE), "has phases of 10 and 100 us"),
        (np.array([(0, 7, -0.02e-6, 6e-3, 1.2e-6, 1e-4)], dtype=PULSE), "has phases of 100 and 6000 us"),
        (np.array([(0, 7, 1e-6, 1e-4, -1e-6, 2e-4)], dtype=PULSE), "leaves -0.1 nC of 0.2 nC behind"),
        (np.array([(0, 7, 1e-6, 1e-4, 1e-6, 1e-4)], dtype=PULSE), "balanced to 0.1 %"),
        (np.array([(0, 7, 1e-6, 1e-4, -4e-6, 25e-6)], dtype=PULSE), "has 4 uA"),
        (biphasic([0, 0.005], 7, 1e-6, 1e-4), "electrode 7 gets a pulse 5 ms after the one before; at least 10 ms"),
        (biphasic(np.arange(6) * 0.1, 7, 1e-6, 1e-4), "electrode 7 gets more than 5 pulses in one second"),
        (biphasic(np.arange(9), 7, 3e-6, 200e-6), "bring the charge of one hour to 5.4 nC; at most 5 nC"),
    ],
)
def test_each_limit_is_told_by_name_and_nothing_passes(pulses: np.ndarray, said: str) -> None:
    watched = guard()
    with pytest.raises(StimulusRejected, match=said):
        watched.admit(pulses)
    assert watched.passed == 0
    assert watched.dose() == 0


def test_what_is_exactly_at_a_limit_passes() -> None:
    watched = guard(PulseLimits(amplitude=3e-6, charge=3e-6 * 200e-6, interval=0.2, rate=5, dose=10 * 3e-6 * 200e-6))
    watched.admit(biphasic(np.arange(10) * 0.2, 0, -3e-6, 200e-6))
    with pytest.raises(StimulusRejected, match="in any hour"):
        watched.admit(biphasic(100.0, 1, 1e-6, 20e-6))
    watched.admit(biphasic(1.9 + 3600, 1, 3e-6, 200e-6))  # all ten are more than an hour ago


def test_a_batch_passes_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with guard(log=tmp_path / "pulses.csv") as watched:
        good = biphasic([0.0, 0.5], [1, 2], 1e-6, 1e-4)
        watched.admit(good)
        with pytest.raises(StimulusRejected):
            watched.admit(np.concatenate([biphasic(1.0, 1, 1e-6, 1e-4), biphasic(1.1, 2, 9e-6, 1e-4)]))
        watched.admit(biphasic(1.0, 1, 1e-6, 1e-4))  # not held against it
        assert watched.log is not None
        assert watched.log.read().tolist() == [*good.tolist(), *biphasic(1.0, 1, 1e-6, 1e-4).tolist()]


def test_a_clock_set_back_is_refused() -> None:
    watched = guard()
    watched.admit(biphasic(10.0, 1, 1e-6, 1e-4))
    with pytest.raises(StimulusRejected, match="was the clock set back"):
        watched.admit(biphasic(9.0, 2, 1e-6, 1e-4))


asked = st.lists(
    st.lists(
        st.tuples(
            st.floats(0, 2.0),  # s since the last batch began
            st.integers(0, 2),
            st.floats(-4e-6, 4e-6),
            st.sampled_from([20e-6, 100e-6, 200e-6, 400e-6]),
            st.sampled_from([1.0, 1.0, 1.0, 1.002, 0.5]),
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(asked=asked, pause=st.sampled_from([0.0, 1.0, 400.0, 1500.0]))
def test_whatever_is_asked_for_what_passes_is_within_every_limit(
    asked: list[list[tuple[float, int, float, float, float]]], pause: float
) -> None:
    limits = PulseLimits(amplitude=3e-6, charge=0.6e-9, interval=0.05, rate=3, dose=2e-9)
    watched = guard(limits)
    passed, start = [], 0.0
    for batch in asked:
        pulses = biphasic([start + row[0] for row in batch], *np.array([row[1:4] for row in batch]).T)
        pulses["second_duration"] *= [row[4] for row in batch]
        try:
            watched.admit(pulses)
        except StimulusRejected:
            start += pause
            continue
        passed.append(np.sort(pulses, order="time"))
        start = float(passed[-1]["time"][-1]) + pause
    given_ = np.concatenate(passed) if passed else np.zeros(0, PULSE)
    # An oracle that looks at everything that ever passed, with none of the guard's bookkeeping.
    first = given_["amplitude"] * given_["duration"]
    second = given_["second_amplitude"] * given_["second_duration"]
    assert (np.abs(given_["amplitude"]) <= 3e-6 * (1 + 1e-6)).all()
    assert (np.abs(first) <= 0.6e-9 * (1 + 1e-6)).all()
    assert (np.abs(first + second) <= 1.001e-3 * np.maximum(np.abs(first), np.abs(second))).all()
    times = defaultdict(list)
    for pulse in given_:
        times[int(pulse["electrode"])].append(float(pulse["time"]))
    for each in times.values():
        assert all(later - earlier >= 0.05 - 2e-6 for earlier, later in pairwise(each))
        assert all(later - earlier >= 1 - 2e-6 for earlier, later in zip(each, each[3:], strict=False))
    charge = np.maximum(np.abs(first), np.abs(second))
    for now in given_["time"]:
        assert charge[(given_["time"] > now - 3600) & (given_["time"] <= now)].sum() <= 2e-9 * (1 + 1e-6)
    assert watched.passed == len(given_)


@settings(max_examples=100, deadline=None)
@given(count=st.integers(1, 30), amplitude=st.floats(1e-7, 3e-6), seed=st.integers(0, 99))
def test_nothing_within_the_limits_is_refused(count: int, amplitude: float, seed: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).uniform(0.21, 3, count))
    roomy = PulseLimits(interval=0.2, rate=5, dose=count * amplitude * 1e-4)
    watched = guard(roomy)
    for time in times:
        watched.admit(biphasic(time, 0, -amplitude, 1e-4))
    assert watched.passed == count
    assert watched.dose(float(times[-1])) == pytest.approx(roomy.dose if times[-1] < 3600 else watched.dose())


def test_the_dose_outlives_the_process(tmp_path: Path) -> None:
    with guard(log=tmp_path / "pulses.csv") as watched:
        watched.admit(biphasic(np.arange(8), 7, 3e-6, 200e-6))  # 4.8 of 5 nC
    with guard(log=tmp_path / "pulses.csv", now=10.0) as watched:
        assert watched.dose() == pytest.approx(4.8e-9)
        with pytest.raises(StimulusRejected, match="in any hour"):
            watched.admit(biphasic(20.0, 7, 3e-6, 200e-6))
        with pytest.raises(StimulusRejected, match="was the clock set back"):
            watched.admit(biphasic(6.0, 7, 3e-6, 20e-6))
    with guard(log=tmp_path / "pulses.csv", now=4000.0) as watched:
        assert watched.dose() == 0
        watched.admit(biphasic(4000.0, 7, 3e-6, 200e-6))


def test_what_was_never_sent_is_taken_back(tmp_path: Path) -> None:
    limits = PulseLimits(interval=0.1, rate=2, dose=1e-9)
    first, planned = biphasic([0.0, 0.5], 7, 3e-6, 1e-4), biphasic([1.2, 1.7], 7, 1e-6, 1e-4)
    with guard(limits, log=tmp_path / "pulses.csv") as watched:
        watched.admit(first)
        watched.admit(planned)
        watched.withdraw(planned[1:])
        assert watched.passed == 3
        assert watched.dose() == pytest.approx(0.7e-9)
        with pytest.raises(StimulusRejected, match="more than 2 pulses in one second"):
            watched.admit(biphasic(1.4, 7, 1e-6, 1e-4))  # what came before still counts
        watched.admit(biphasic(1.5, 7, 1e-6, 1e-4))
    with guard(limits, log=tmp_path / "pulses.csv", now=2.0) as watched:
        assert watched.log is not None
        assert watched.log.read()["time"].tolist() == [0.0, 0.5, 1.2, 1.5]
        assert watched.dose() == pytest.approx(0.8e-9)


def test_a_line_torn_off_by_a_killed_process_is_left_out_and_the_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    with guard(log=path) as watched:
        watched.admit(biphasic([0.0, 1.0], 7, 1e-6, 1e-4))
        before = path.read_bytes()
        watched.admit(biphasic([2.0, 3.0], 7, 1e-6, 1e-4))
        after = path.read_bytes()
    header = before.index(b"\n")
    for cut in range(len(before), len(after) + 1):  # killed while it appended: its header still has the old size
        path.write_bytes(before[:header] + after[header:cut])
        with guard(log=path, now=5.0) as watched:
            assert watched.log is not None
            kept = watched.log.read()["time"].tolist()
            assert kept == [0.0, 1.0, 2.0, 3.0][: 2 + after[len(before) : cut].count(b"\n")]
            watched.admit(biphasic(4.0, 7, 1e-6, 1e-4))
            assert watched.log.read()["time"].tolist() == [*kept, 4.0]


def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("accuracy\n0.9\n")
    with pytest.raises(SubstrateError, match="is not a log of pulses"), guard(log=path):
        pass
    assert path.read_text() == "accuracy\n0.9\n"


def test_only_one_process_stimulates_a_culture(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    holder = (
        "import sys; from inmateria.adapters.tissue.guard import PulseLog\n"
        f"with PulseLog({str(path)!r}):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SubstrateBusy, match="held by another process"), PulseLog(path):
            pass
        other.communicate("")
    with PulseLog(path):
        pass


def test_what_cannot_be_written_down_is_not_let_pass(tmp_path: Path) -> None:
    watched = guard(log=tmp_path / "pulses.csv")
    with pytest.raises(SubstrateError, match="is not open"):
        watched.admit(biphasic(0.0, 7, 1e-6, 1e-4))
    assert watched.passed == 0


@pytest.mark.parametrize(
    "wrong", [{"amplitude": 0.0}, {"rate": float("inf")}, {"imbalance": 1.0}, {"interval": -1.0}, {"phase": (2.0, 1.0)}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="pulse limits have"):
        PulseLimits(**wrong)
