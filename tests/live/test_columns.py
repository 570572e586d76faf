"""Columns hold the least and greatest of all that was measured in their time, however late they are fetched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.exchange import SPIKE
from inmateria.live import columns as columns_module
from inmateria.live.columns import NOT_READ, ColumnMaker, _round_number
from inmateria.live.messages import encode_columns


class Clock:
    """The host's clock, as a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(columns_module, "time", made)
    return made


@settings(deadline=None, max_examples=60)
@given(
    st.data(),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([np.int16, np.float32, np.float64]),
    st.sampled_from([100.0, 1000.0, 7000.0]),
)
def test_extremes_of_columns_are_those_of_the_samples(data, outputs, inputs, dtype, rate) -> None:
    """Against a plain loop over samples, by their times."""
    maker = ColumnMaker(inputs, outputs, rate)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    times, rows, drives, clock = [], [], [], 0.0
    for _ in range(data.draw(st.integers(1, 6))):
        steps, samples = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 40))
        step = samples / rate
        signal = generator.uniform(-9000, 9000, (steps, samples, outputs)).astype(dtype)
        if dtype is not np.int16:
            signal[generator.random(signal.shape) < 0.1] = np.nan
        else:
            signal[generator.random(signal.shape) < 0.1] = NOT_READ
        drive = generator.uniform(-1, 1, (steps, inputs))
        clock += data.draw(st.sampled_from([0.0, 0.5]))
        maker.add(clock, step, drive, signal, scale=2.0, offset=1.0)
        values = signal.astype(np.float64)
        values[values == NOT_READ] = np.nan
        times.append(clock + np.arange(steps * samples) / rate)
        rows.append(values.reshape(-1, outputs) * (2.0 if dtype is np.int16 else 1.0) + (dtype is np.int16) * 1.0)
        drives.append(np.repeat(drive, samples, axis=0))
        clock += steps * step
    found = maker.fetch()
    assert found is not None
    assert maker.fetch() is None
    at, row, drive = np.concatenate(times), np.concatenate(rows), np.concatenate(drives)
    of = np.searchsorted(found.starts, at + 0.25 / rate, side="right") - 1
    assert (at + 0.25 / rate < found.ends[of]).all()
    for column in range(len(found.starts)):
        for got, values, extreme in (
            (found.low, row, np.fmin), (found.high, row, np.fmax),
            (found.drive_low, drive, np.fmin), (found.drive_high, drive, np.fmax),
        ):  # fmt: skip
            expected = extreme.reduce(values[of == column], axis=0)
            assert np.array_equal(got[column], expected.astype(np.float32), equal_nan=True)


def test_columns_that_are_not_fetched_are_joined_and_keep_all_extremes(clock: Clock) -> None:
    maker = ColumnMaker(1, 2, 1000.0)
    generator = np.random.default_rng(0)
    signal = generator.normal(size=(5000, 1, 2))
    for k in range(500):
        some = slice(10 * k, 10 * k + 10)
        maker.add(k * 0.01, 0.001, np.zeros((10, 1)), signal[some])
        clock.now += 0.01
    found = maker.fetch()
    assert found is not None
    assert len(found.starts) <= 1024
    assert found.starts[0] == 0.0
    assert found.ends[-1] == pytest.approx(5.0)
    assert np.allclose(found.starts[1:], found.ends[:-1])
    at = np.searchsorted(found.starts, np.arange(5000) / 1000 + 5e-4, side="right") - 1
    assert [tuple(each) for each in found.low] == [
        tuple(np.float32(signal[at == k].min(axis=(0, 1)))) for k in range(len(found.starts))
    ]


def test_a_large_exchange_makes_no_more_columns_than_there_is_room_for() -> None:
    maker = ColumnMaker(1, 1, None)
    maker.add(0.0, 1e-6, np.arange(1_000_000.0)[:, np.newaxis], None)
    found = maker.fetch()
    assert found is not None
    assert len(found.starts) <= 1024
    assert found.low.shape == (len(found.starts), 0)
    assert found.drive_low[0, 0] == 0
    assert found.drive_high[-1, 0] == 999_999


def test_about_a_thousand_columns_are_made_in_a_second_whatever_the_rate(clock: Clock) -> None:
    for rate in (30_000.0, 100.0):
        maker, made = ColumnMaker(1, 1, 250.0), []
        for k in range(200):
            samples = int(rate / 50)
            maker.add(k * 0.02, 0.02, np.zeros((1, 1)), np.zeros((1, samples, 1)))
            clock.now += 0.02
            found = maker.fetch()
            assert found is not None
            made.append(len(found.starts))
        assert sum(made[-50:]) <= min(rate, 2200)
        assert sum(made[-50:]) >= min(rate, 400)
    assert [_round_number(each) for each in (0.1, 1.2, 4, 7, 30, 450)] == [1, 1, 5, 5, 30, 500]


def test_the_axis_goes_on_where_the_device_returned_to_rest() -> None:
    maker = ColumnMaker(1, 1, 10.0)
    spikes = np.array([(0.05, 0)], dtype=SPIKE)
    for start in (0.0, 0.1, 0.0, 0.5):
        spikes["time"] = start + 0.05
        maker.add(start, 0.1, np.zeros((1, 1)), np.zeros((1, 1, 1)), spikes)
    found = maker.fetch()
    assert found is not None
    assert maker.restarts == 1
    assert np.allclose(found.starts, [0.0, 0.1, 0.2, 0.7])
    assert np.allclose(found.times, [0.05, 0.15, 0.25, 0.75])


def test_spikes_beyond_the_room_are_counted() -> None:
    maker = ColumnMaker(1, 1, None)
    spikes = np.zeros(20_000, dtype=SPIKE)
    maker.add(0.0, 1.0, np.zeros((1, 1)), None, spikes)
    found = maker.fetch()
    assert found is not None
    assert len(found.times) + found.left_out == 20_000
    assert found.left_out > 0


def test_a_frame_has_the_documented_layout() -> None:
    maker = ColumnMaker(2, 3, 1000.0)
    drive, signal = np.arange(8.0).reshape(4, 2), np.arange(12.0).reshape(4, 1, 3)
    maker.add(5.0, 0.001, drive, signal, np.array([(5.001, 2)], dtype=SPIKE), sent=7.0)
    found = maker.fetch()
    assert found is not None
    data = encode_columns(found, 258)
    assert data[:4] == b"IMC1"
    assert np.frombuffer(data, "<u4", 5, 4).tolist() == [258, 4, 3, 2, 1]
    assert np.frombuffer(data, "<f8", 1, 24)[0] == 7.0
    assert np.frombuffer(data, "<u4", 2, 32).tolist() == [0, 0]
    numbers = np.frombuffer(data, "<f8", 9, 40)
    assert np.allclose(numbers, [5.0, 5.001, 5.002, 5.003, 5.001, 5.002, 5.003, 5.004, 5.001])
    floats = np.frombuffer(data, "<f4", 40, 40 + 72)
    assert np.array_equal(floats, np.concatenate([signal.ravel(), signal.ravel(), drive.ravel(), drive.ravel()]))
    assert np.frombuffer(data, "<u4", 1, 40 + 72 + 160)[0] == 2
    assert len(data) == 40 + 72 + 160 + 4
