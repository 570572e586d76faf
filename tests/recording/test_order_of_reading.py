"""The order of reading: false alarms and findings on data whose order is known, and a real recording."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.cli import main
from inmateria.recording import ReadingOrderWarning, open_recording, reading_order, realigned
from inmateria.recording.formats.importing import Stated, import_file
from inmateria.recording.formats.measured_tables import read_measured_table
from inmateria.reservoir import information_processing_capacity, memory_capacity
from inmateria.reservoir.measures.memory_by_delay import memory_by_delay
from inmateria.simulators import NanowireNetwork
from inmateria.substrate import FloatArray

PAD = (
    Path(os.environ.get("INMATERIA_DATA") or ".")
    / "measured/074_INRiMARC_NWN_Pad129M_gridSE_MemoryCapacity_2024_04_02.txt"
)


def leaky(u: FloatArray, kept: float) -> FloatArray:
    x, states = 0.0, np.empty(len(u))
    for t, value in enumerate(u):
        x = kept * x + value
        states[t] = x
    return states


def both_equally(kind: str, p: FloatArray, q: FloatArray, noise: FloatArray) -> FloatArray:
    """A channel that follows the present input p and the previous q equally well."""
    match kind:
        case "sum":
            return p + q + noise
        case "difference":
            return p - q + 0.3 * noise
        case "even, with noise that grows with it":
            return (p**2 + q**2) * (1 + noise)
        case "alternating noise":
            return p + q + leaky(noise, -0.9)
        case _:
            return noise


@pytest.mark.parametrize("steps", [300, 1000])
@pytest.mark.parametrize(
    "kind", ["sum", "difference", "even, with noise that grows with it", "alternating noise", "unrelated"]
)
def test_false_alarms_are_as_rare_as_said(kind: str, steps: int) -> None:
    trials, asked, alarms = 400, 0.02, 0
    for seed in range(trials):
        rng = np.random.default_rng([seed, steps])
        u = rng.uniform(-1, 1, steps + 1)
        channel = both_equally(kind, u[1:], u[:-1], rng.standard_normal(steps))
        alarms += bool(reading_order(channel[:, None], u[1:], significance=asked).behind)
    # 8 are expected of such channels, none of unrelated ones; at most 3.3 deviations more.
    assert alarms <= trials * asked + 3.3 * np.sqrt(trials * asked)


def test_the_significance_holds_for_all_channels_together() -> None:
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        u = rng.uniform(-1, 1, 401)
        channels = (u[1:] + u[:-1])[:, None] + rng.standard_normal((400, 20))
        alarms += bool(reading_order(channels, u[1:], significance=0.05).behind)
    assert alarms <= 400 * 0.05 + 3.3 * np.sqrt(400 * 0.05)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9, 0.99])
def test_a_leaky_unit_is_never_called_late(kept: float) -> None:
    for seed in range(50):
        u = np.random.default_rng(seed).uniform(-1, 1, 1000)
        assert not reading_order(leaky(u, kept)[:, None], u).behind


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    steps=st.integers(300, 3000),
    late=st.lists(st.booleans(), min_size=1, max_size=12),
    gain=st.floats(1e-9, 1e9),
    inputs=st.integers(1, 3),
)
def test_channels_that_were_read_too_early_are_found_and_put_right(
    seed: int, steps: int, late: list[bool], gain: float, inputs: int
) -> None:
    rng = np.random.default_rng(seed)
    u = rng.uniform(-1, 1, (steps, inputs))
    mixed = u @ rng.choice([-1.0, 1.0], (inputs, len(late))) / np.sqrt(inputs)
    whole = gain * (
        np.column_stack([leaky(column, 0.4) for column in mixed.T]) + 0.2 * rng.standard_normal(mixed.shape) + 7
    )
    scanned = whole.copy()
    scanned[1:, late] = whole[:-1, late]
    found = reading_order(scanned, u)
    assert found.judged
    assert found.behind == tuple(np.flatnonzero(late))
    again, present = realigned(scanned, u, found.behind)
    np.testing.assert_array_equal(again, whole[:-1])
    np.testing.assert_array_equal(present, u[:-1])
    assert not reading_order(again, present).behind


def test_a_simulated_network_scanned_too_early_is_found_and_its_capacity_put_right() -> None:
    u = np.random.default_rng(3).uniform(-1, 1, 3000)
    network = NanowireNetwork(inputs=1, seed=5)
    signal = network.advance(network.info.stimulus(u[:, None], 0.05)).signal
    assert signal is not None
    whole = signal[:, -1] + 1e-3 * signal[:, -1].std(axis=0) * np.random.default_rng(4).standard_normal(
        signal[:, -1].shape
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReadingOrderWarning)
        right = memory_capacity(whole, u, 20)
    scanned = whole.copy()
    scanned[1:, ::2] = whole[:-1, ::2]
    with pytest.warns(ReadingOrderWarning, match=r"8 of 16 channels \(0, 2, 4"):
        wrong = memory_capacity(scanned, u, 20)
    assert wrong.total > right.total + 0.5
    fixed = memory_capacity(*realigned(scanned, u, range(0, 16, 2)), 20)
    assert fixed.total == pytest.approx(right.total, abs=0.02)


def test_every_measure_of_memory_warns_and_can_be_told_not_to() -> None:
    u = np.random.default_rng(0).uniform(-1, 1, 1000)
    late = np.stack([u, np.roll(u, 1)], axis=1) + 0.1 * np.random.default_rng(1).standard_normal((1000, 2))
    for measure in (
        lambda **more: memory_capacity(late, u, 5, **more),
        lambda **more: information_processing_capacity(late, u, (5,), **more),
        lambda **more: memory_by_delay(u, late, 5, **more),
    ):
        with pytest.warns(ReadingOrderWarning, match=r"1 of 2 channels \(1\)") as caught:
            measure()
        assert caught[0].filename == __file__
        measure(check_reading_order=False)


@pytest.mark.parametrize("kind", ["slow", "constant", "short", "many inputs"])
def test_inputs_that_say_nothing_about_the_order_are_not_judged(kind: str) -> None:
    rng = np.random.default_rng(0)
    u = {
        "slow": np.sin(np.arange(1000) / 20)[:, None],
        "constant": np.ones((1000, 1)),
        "short": rng.uniform(-1, 1, (90, 1)),
        "many inputs": rng.uniform(-1, 1, (150, 40)),
    }[kind]
    found = reading_order(np.roll(u[:, :1], 1, axis=0), u)
    assert not found.judged
    assert found.behind == ()


def test_channels_that_do_not_vary_and_inputs_of_two_levels_are_no_trouble() -> None:
    u = np.random.default_rng(0).choice([0.0, 5.0], 500)
    found = reading_order(np.column_stack([np.full(500, 0.1), np.roll(u, 1), u]), u)
    assert found.behind == (1,)
    assert found.present[0] == found.previous[0] == 0


def test_what_does_not_fit_is_refused() -> None:
    u = np.random.default_rng(0).uniform(-1, 1, 200)
    with pytest.raises(ValueError, match=r"shape \(200,\)"):
        reading_order(u, u)
    with pytest.raises(ValueError, match="finite"):
        reading_order(np.full((200, 1), np.nan), u)
    with pytest.raises(ValueError, match="significance is 1"):
        reading_order(u[:, None], u, significance=1.0)
    with pytest.raises(ValueError, match="behind names channel 1; there are 1"):
        realigned(u[:, None], u, [1])
    with pytest.raises(ValueError, match="2 or more"):
        realigned(u[:1, None], u[:1], [0])


def test_an_import_says_which_columns_were_read_too_early_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    u = np.random.default_rng(0).uniform(1, 2, 400)
    rows = [f"{0.2 * t:.1f},{u[t]},{0.5 * u[t]},{0.3 * u[t - 1]}" for t in range(400)]
    path = tmp_path / "table.csv"
    path.write_text("Time[s],1_V[V],2_V[V],3_V[V]\n" + "\n".join(rows) + "\n")
    with pytest.warns(ReadingOrderWarning, match=r"1 of 2 channels \(3_V\)"):
        import_file(path, tmp_path / "r.h5", stated=Stated(driven=["1"]))
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.annotations["imported"]["follow_previous_input"] == ["3_V"]
    monkeypatch.setattr(sys, "argv", ["inmateria", "import", str(path), "--driven", "1", "--dry-run"])
    with pytest.raises(SystemExit):
        main()
    shown = " ".join(capsys.readouterr().err.split())
    assert "note: 1 of 2 channels (3_V) follow the input of the step before" in shown
    assert "follows the input of the row before" in shown


@pytest.mark.skipif(not PAD.is_file(), reason="needs a table of rcbench's repository in INMATERIA_DATA/measured")
def test_eight_electrodes_of_the_real_recording_were_read_before_its_input_was_set() -> None:
    table = read_measured_table(PAD)
    drive, readings = table.voltages_of("8")[:, 0], table.voltages_of(*table.outputs)
    with pytest.warns(ReadingOrderWarning, match="8 of 14"):
        recorded = memory_by_delay(drive, readings)
    found = reading_order(readings, drive)
    assert [table.outputs[k] for k in found.behind] == ["9", "10", "11", "12", "15", "19", "21", "22"]
    # Plain correlations say the same: each has a squared one of .08 or more with the input before, six times the other.
    before = np.array([np.corrcoef(x[1:], drive[:-1])[0, 1] ** 2 for x in readings.T])
    now = np.array([np.corrcoef(x, drive)[0, 1] ** 2 for x in readings.T])
    assert set(np.flatnonzero((before > 0.08) & (before > 6 * now))) == set(found.behind)
    assert before[[k for k in range(14) if k not in found.behind]].max() < 0.001
    again, present = realigned(readings, drive, found.behind)
    assert recorded.sum() == pytest.approx(2.8946, abs=5e-5)
    assert memory_by_delay(present, again).sum() == pytest.approx(1.93, abs=5e-3)
    assert not reading_order(again, present).behind
