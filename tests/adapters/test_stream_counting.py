"""The parts of streams that have no I/O: clocks, numbers of samples, and samples in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from inmateria.adapters.streams.clock_relation import ClockRelation, FastestDeliveries
from inmateria.adapters.streams.sample_buffer import Gap, SampleBuffer
from inmateria.adapters.streams.sample_counting import LateRun, TimestampCounter, unwrapped_counts
from inmateria.adapters.streams.source import Block


def related(count: int, offset: float, drift: float, noise: float, seed: int = 0) -> ClockRelation:
    generator, relation = np.random.default_rng(seed), ClockRelation()
    for device in np.linspace(0, 600, count):
        error = generator.normal(0, noise)
        relation.add(device, device * (1 + drift) + offset + error, noise)
    return relation


def test_offset_and_drift_are_scipys_with_their_errors() -> None:
    """The line and its standard errors are those of scipy's weighted fit, at seconds since 1970."""
    generator, relation = np.random.default_rng(1), ClockRelation()
    device = np.sort(generator.uniform(0, 300, 40))
    uncertainty = generator.uniform(5e-5, 5e-4, 40)
    host = 1.7e9 + device * (1 + 3e-5) + generator.normal(0, 1, 40) * 3 * uncertainty
    for values in zip(device, host, uncertainty, strict=True):
        relation.add(*values)
    fit = relation.fit
    assert fit is not None
    away = (host - device) - 1.7e9
    found, covariance = curve_fit(
        lambda x, a, b: a + b * (x - fit.at), device, away, sigma=uncertainty, absolute_sigma=False
    )
    assert fit.drift == pytest.approx(found[1], rel=1e-3)
    assert fit.offset - 1.7e9 == pytest.approx(found[0], abs=1e-6)
    assert fit.drift_error == pytest.approx(covariance[1, 1] ** 0.5, rel=1e-2)
    assert fit.offset_error == pytest.approx(covariance[0, 0] ** 0.5, rel=1e-2)


def test_the_errors_cover_the_truth_as_often_as_they_say() -> None:
    """Of 400 simulated sessions, about 68 % have the true drift within one standard error, and 95 % within two."""
    drift = 2e-5
    off = []
    for seed in range(400):
        fit = related(20, 5.0, drift, 1e-4, seed).fit
        assert fit is not None
        off.append((fit.drift - drift) / fit.drift_error)
        assert fit.device(fit.host(123.0)) == pytest.approx(123.0, abs=1e-9)
    inside = np.abs(off)
    assert 0.60 < (inside < 1).mean() < 0.80
    assert (inside < 2).mean() > 0.92


def test_one_measurement_says_nothing_of_drift() -> None:
    relation = ClockRelation()
    assert relation.fit is None
    relation.add(10.0, 110.0, 1e-3)
    fit = relation.fit
    assert fit is not None
    assert (fit.offset, fit.drift, fit.offset_error) == (100.0, 0.0, 1e-3)
    assert fit.error(10.0) == 1e-3
    assert fit.error(11.0) == float("inf")
    with pytest.raises(ValueError, match="uncertainty"):
        relation.add(1.0, 2.0, 0.0)


def test_the_fastest_deliveries_give_the_drift_under_any_delay() -> None:
    """Delays only ever add; with their least one constant, the drift is right although the delays are large."""
    generator, relation = np.random.default_rng(5), ClockRelation()
    deliveries = FastestDeliveries(relation, 1e-3)
    for device in np.arange(0, 300, 0.02):
        deliveries.add(device, device * (1 + 4e-5) + 50.0 + 0.002 + generator.exponential(0.01))
    fit = relation.fit
    assert fit is not None
    assert abs(fit.drift - 4e-5) < 4 * fit.drift_error
    assert 50.002 <= fit.host(0.0) < 50.004


@given(
    rate=st.sampled_from([1.0, 10.0, 250.0, 500.0, 30000.0]),
    gaps=st.lists(st.tuples(st.integers(8, 120), st.integers(1, 5000)), min_size=1, max_size=6),
    chunk=st.integers(1, 64),
    start=st.floats(0, 1e6),
    drift=st.floats(-2e-4, 2e-4),
)
@settings(max_examples=60)
def test_gaps_of_any_length_are_found_at_their_places(
    rate: float, gaps: list[tuple[int, int]], chunk: int, start: float, drift: float
) -> None:
    """Exact timestamps of a clock that drifts by up to 200 ppm, in chunks of any size: each sample gets its number."""
    numbers, at = [], 0
    for length, missing in gaps:
        numbers += list(range(at, at + length))
        at += length + missing
    truth = np.array(numbers)
    stamps = start + truth / rate * (1 + drift)
    counter = TimestampCounter(rate, jitter=0.0)
    found = np.concatenate([counter.count(stamps[k : k + chunk]) for k in range(0, len(stamps), chunk)])
    # Before the rate is known, a long gap is counted by the nominal one: within the drift of that time.
    assert np.array_equal(np.diff(found) > 1, np.diff(truth) > 1)
    assert (np.abs(np.diff(found) - np.diff(truth)) <= 1 + 5000 * 2e-4).all()
    assert found[0] == 0


@given(
    sigma=st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
    chunk=st.integers(1, 50),
    missing=st.integers(20, 3000),
)
@settings(max_examples=25)
def test_jitter_makes_no_gaps(sigma: float, seed: int, chunk: int, missing: int) -> None:
    """Gaussian jitter of up to one sample: 600 samples stay consecutive, and one gap is found at its place."""
    generator, rate = np.random.default_rng(seed), 100.0
    truth = np.concatenate([np.arange(300), np.arange(300 + missing, 600 + missing)])
    stamps = 50.0 + (truth + generator.normal(0, sigma, 600).clip(-3 * sigma, 3 * sigma)) / rate
    counter = TimestampCounter(rate)
    first = counter.wanted
    parts = [counter.count(stamps[:first])]
    parts += [counter.count(stamps[k : k + chunk]) for k in range(first, 600, chunk)]
    found = np.concatenate(parts)
    jumps = np.flatnonzero(np.diff(found) != 1)
    assert jumps.tolist() == [299], (counter.tolerance, jumps)
    assert abs(found[300] - truth[300]) <= 3 * sigma + 1.5 + 2e-3 * missing  # the rate is known that well by then


def test_a_clock_that_is_set_back_goes_on_and_is_said() -> None:
    counter = TimestampCounter(100.0, jitter=0.0)
    first = counter.count(1000.0 + np.arange(200) / 100.0)
    again = counter.count(5.0 + np.arange(300) / 100.0)
    assert np.array_equal(first, np.arange(200))
    assert again[-1] == 199 + 300 - 99  # the first 99 counted as late
    assert counter.steps_back == pytest.approx([1000.0 + 2.0 - 5.99], abs=0.02)


@given(chunk=st.integers(1, 400), late=st.integers(1, 250))
def test_a_hundred_late_samples_in_a_row_are_a_clock_that_was_set_back(chunk: int, late: int) -> None:
    """However the samples are divided into blocks; fewer, however early they are, came late."""
    stamps = 1000.0 + np.arange(500) / 100.0
    stamps[200 : 200 + late] -= 60.0
    watch = LateRun()
    found = [watch.step_back(stamps[k : k + chunk]) for k in range(0, 500, chunk)]
    told = [step for step in found if step is not None]
    if late < 100:
        assert not told
    else:
        assert told[0] == pytest.approx(60.0 - 100 / 100.0)  # of the hundredth late one, behind the last one in time


@given(
    wrap=st.sampled_from([100, 256, 65536]),
    steps=st.lists(st.integers(1, 2000), min_size=1, max_size=50),
    start=st.integers(0, 10**6),
)
def test_a_counter_that_wraps_is_continued_through_gaps_of_any_length(wrap: int, steps: list[int], start: int) -> None:
    truth = start + np.cumsum(steps)
    seconds = np.array(steps) / 250.0 * 1.01  # the host's times are a little off
    found = unwrapped_counts(truth % wrap, start, wrap, seconds, 250.0)
    assert np.array_equal(found, truth)


@given(stall=st.floats(0.6, 10.0), before=st.integers(3, 50), missing=st.integers(0, 3000))
def test_a_stall_of_the_transport_is_no_gap(stall: float, before: int, missing: int) -> None:
    """After a stall the samples come in a burst, and a gap of more than a turn of the counter is still found."""
    burst = int(stall * 250)
    arrivals = np.concatenate([np.arange(before) / 250, np.full(burst, before / 250 + stall)])
    after = arrivals[-1] + (missing + np.arange(1, 40)) / 250
    arrivals = np.concatenate([arrivals, after])
    truth = np.concatenate([np.arange(before + burst), before + burst + missing + np.arange(39)])
    seconds = np.diff(arrivals, prepend=-1 / 250)
    assert np.array_equal(unwrapped_counts(truth % 256, -1, 256, seconds, 250.0), truth)


def test_a_package_that_is_late_takes_its_own_number() -> None:
    found = unwrapped_counts(np.array([1, 3, 2, 4]), 256, 256, np.array([0.004, 0.008, -0.004, 0.008]), 250.0)
    assert found.tolist() == [257, 259, 258, 260]


@given(
    order=st.permutations(range(12)),
    lost=st.sets(st.integers(0, 11), max_size=5),
    repeated=st.sets(st.integers(0, 11), max_size=4),
    columns=st.booleans(),
)
def test_blocks_in_any_order_come_out_in_theirs(
    order: list[int], lost: set[int], repeated: set[int], columns: bool
) -> None:
    """Twelve blocks of five samples: lost ones are gaps, repeated ones count once."""
    buffer = SampleBuffer(2, 100_000)
    truth = np.arange(60)[:, np.newaxis] + [0.0, 1000.0]
    for each in order:
        if each in lost:
            continue
        for _ in range(1 + (each in repeated)):
            rows = slice(5 * each, 5 * each + 5)
            index = np.arange(60)[rows]
            if columns:
                buffer.add(Block(index, truth[rows, 1:], (1,)))
                buffer.add(Block(index, truth[rows, :1], (0,)))
            else:
                buffer.add(Block(index, truth[rows]))
    out = buffer.copy(0, 60)
    expected = truth.copy()
    for each in lost:
        expected[5 * each : 5 * each + 5] = np.nan
    assert np.array_equal(out, expected, equal_nan=True)
    missing = sorted(k for gap in buffer.gaps(0, 60) for k in range(gap.first, gap.first + gap.samples))
    assert missing == [k for each in sorted(lost) for k in range(5 * each, 5 * each + 5)]
    assert buffer.repeated == 5 * len(repeated - lost) * (2 if columns else 1)
    buffer.forget_before(30)
    assert np.array_equal(buffer.copy(30, 30), expected[30:], equal_nan=True)
    assert np.isnan(buffer.copy(0, 30)).all()
    buffer.add(Block(np.arange(5), truth[:5]))
    assert buffer.late == 5


def test_a_channel_that_is_lost_alone_is_a_gap_of_its_own() -> None:
    buffer = SampleBuffer(3, 10_000)
    for column in range(3):
        rows = np.array([k for k in range(50) if not (column == 1 and 10 <= k < 20)])
        buffer.add(Block(rows, rows[:, np.newaxis] * 1.0, (column,)))
    assert buffer.gaps(0, 50) == [Gap(10, 10, (1,))]
    assert not buffer.is_whole(0, 50)
    assert buffer.is_whole(20, 50)
    assert buffer.first_seen(0) == 0


def test_what_is_not_taken_in_time_is_given_up_and_counted() -> None:
    buffer = SampleBuffer(1, 1000)
    for first in range(0, 3000, 100):
        buffer.add(Block(np.arange(first, first + 100), np.ones((100, 1))))
    assert buffer.overflowed > 0
    kept = buffer.first_seen(0)
    assert kept == buffer.overflowed
    assert buffer.gaps(0, 3000) == [Gap(0, kept, (0,))]
