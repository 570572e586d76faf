"""Tables of measurements and memory capacity beside package rcbench, whose format and task they are."""

import os
from pathlib import Path

import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.recording.formats.importing import import_file
from inmateria.recording.formats.measured_tables import read_measured_table
from inmateria.reservoir.measures.memory_by_delay import memory_by_delay
from inmateria.simulators import NanowireNetwork

PAD = "074_INRiMARC_NWN_Pad129M_gridSE_MemoryCapacity_2024_04_02.txt"
SEVERAL = "nanowire_multi_input.csv"
MEASURED = Path(os.environ.get("INMATERIA_DATA", "/nowhere")) / "measured"
CAPACITY = 2.8946  # of Pad129M, by rcbench's own code and settings


def measured_network(samples=600, seed=3):
    """Drive a simulated network as the laboratory drives real ones: one input, one ground, jittered times."""
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.172, 0.219, samples))
    network = NanowireNetwork(144, seed, "rate-balance", 16, 1, geometry="grid", integration_step=0.2)
    drive = rng.uniform(2.2, 2.8, samples)
    signal = network.advance(network.info.stimulus(drive[:, None], 0.2)).signal[:, -1]
    names = [*range(10, 24), 8, 9]  # readings, then the input and the ground
    voltages = np.column_stack((signal[:, :14], drive, rng.normal(0.002, 1e-4, samples)))
    currents = np.full((samples, 16), np.nan)
    currents[:, 14:] = signal[:, 14:]
    return time, [str(name) for name in names], voltages, currents


def write_table(path, time, names, voltages, currents, separator=" ", missing="nan"):
    """Write as the laboratory does, with a separator at the end of the first line."""
    order = sorted(range(len(names)), key=lambda k: int(names[k]))
    header = separator.join(["Time[s]", *(f"{names[k]}_{unit}" for k in order for unit in ("V[V]", "I[A]"))])
    lines = [header + (" " if separator == " " else "")]
    for t in range(len(time)):
        values = [float(time[t]), *(float(x[t, k]) for k in order for x in (voltages, currents))]
        lines.append(separator.join(missing if np.isnan(value) else repr(value) for value in values))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def recorded(tmp_path):
    return write_table(tmp_path / "MemoryCapacity.txt", *measured_network())


@pytest.mark.parametrize(("separator", "missing"), [(" ", "nan"), (",", "")])
def test_what_was_written_is_read(tmp_path, separator, missing):
    time, names, voltages, currents = measured_network(50)
    table = read_measured_table(write_table(tmp_path / "a", time, names, voltages, currents, separator, missing))
    np.testing.assert_array_equal(table.time, time)
    np.testing.assert_array_equal(table.voltages_of(*names), voltages)
    np.testing.assert_array_equal(table.currents_of(*names), currents)
    assert (table.inputs, table.grounds) == (("8",), ("9",))
    assert table.outputs == tuple(map(str, range(10, 24)))
    assert 0.172 < table.step < 0.219


def test_roles_and_values_are_those_that_rcbench_finds(recorded):
    rcbench = pytest.importorskip("rcbench.measurements.dataset", reason="rcbench is a test dependency")
    theirs = rcbench.ElecResDataset(recorded)
    ours = read_measured_table(recorded)
    assert theirs.ground_nodes == list(ours.grounds)
    assert theirs.input_nodes == list(ours.inputs)
    assert sorted(theirs.nodes) == sorted(ours.outputs)
    np.testing.assert_array_equal(theirs.time, ours.time)
    np.testing.assert_array_equal(theirs.get_node_voltages(), ours.voltages_of(*theirs.nodes))
    np.testing.assert_array_equal(theirs.get_input_currents()["8"], ours.currents_of("8")[:, 0])


def by_rcbench(drive, readings, names):
    memorycapacity = pytest.importorskip("rcbench.tasks.memorycapacity", reason="rcbench is a test dependency")
    evaluator = memorycapacity.MemoryCapacityEvaluator(drive, readings, max_delay=30, node_names=list(names))
    results = evaluator.calculate_total_memory_capacity(num_features="all", regression_alpha=0.1)
    return np.array(list(results["delay_results"].values()))


def test_memory_capacity_is_that_of_rcbench(recorded):
    table = read_measured_table(recorded)
    drive, readings = table.voltages_of(*table.inputs)[:, 0], table.voltages_of(*table.outputs)
    ours = memory_by_delay(drive, readings)
    np.testing.assert_allclose(ours, by_rcbench(drive, readings, table.outputs), rtol=1e-6, atol=1e-9)
    assert ours[0] > 0.05  # there is a memory to measure


async def test_memory_capacity_on_a_replay_of_the_table_is_the_same_bit_for_bit(recorded, tmp_path):
    table = read_measured_table(recorded)
    import_file(recorded, tmp_path / "r.h5")
    async with connect(f"replay://{tmp_path}/r.h5") as device:
        drive = table.voltages_of(*table.inputs)
        signals = [(await device.stimulate(device.info.stimulus([row]))).signal for row in drive]
        names = [channel.name for channel in device.info.outputs]
    columns = [names.index(f"{name}_V") for name in table.outputs]
    readings = np.concatenate(signals)[:, 0, columns]
    ours = memory_by_delay(drive[:, 0], readings)
    assert np.array_equal(ours, memory_by_delay(drive[:, 0], table.voltages_of(*table.outputs)))


def test_memory_of_a_delay_line_is_its_length():
    u = np.random.default_rng(0).uniform(-1, 1, 3000)
    taps = np.column_stack([np.roll(u, k) for k in range(1, 8)])
    by_delay = memory_by_delay(u, taps, alpha=1e-6, check_reading_order=False)
    np.testing.assert_allclose(by_delay[:7], 1, rtol=1e-6)
    assert by_delay[7:].max() < 0.03


needs_measured = pytest.mark.skipif(
    not (MEASURED / PAD).is_file() or not (MEASURED / SEVERAL).is_file(),
    reason="needs two tables of rcbench's repository (folder tests/test_files) in INMATERIA_DATA/measured",
)


@needs_measured
def test_memory_capacity_of_the_real_network_is_that_published():
    table = read_measured_table(MEASURED / PAD)
    assert (table.inputs, table.grounds, len(table.outputs)) == (("8",), ("17",), 14)
    assert table.step == pytest.approx(0.2035, abs=1e-4)
    assert (np.diff(table.time).min(), np.diff(table.time).max()) == pytest.approx((0.172, 0.219), abs=5e-4)
    # No current was lost to ground: what flows in flows out, to half a per cent.
    into, out = table.currents_of("8")[:, 0], table.currents_of("17")[:, 0]
    assert abs(into + out).max() < 0.006 * abs(into).max()
    drive, readings = table.voltages_of("8")[:, 0], table.voltages_of(*table.outputs)
    ours = memory_by_delay(drive, readings, check_reading_order=False)  # see test_order_of_reading.py
    np.testing.assert_allclose(ours, by_rcbench(drive, readings, table.outputs), rtol=1e-6, atol=1e-9)
    assert ours.sum() == pytest.approx(CAPACITY, abs=5e-5)


@needs_measured
def test_named_sources_and_grounds_are_that():
    table = read_measured_table(MEASURED / SEVERAL)
    assert (table.inputs, table.grounds, len(table.outputs)) == (("SRC_13",), ("GND_4",), 14)
    np.testing.assert_array_equal(table.currents_of("SRC_13"), -table.currents_of("GND_4"))
    assert np.isnan(table.currents_of(*table.outputs)).all()


def test_electrodes_are_asked_for_where_no_current_was_measured(tmp_path):
    (tmp_path / "t.txt").write_text("Time[s] 8_V[V] 9_V[V] 17_V[V]\n0.1 1.5 0.7 0\n0.3 2 1.1 0\n")
    with pytest.raises(ValueError, match=r"does not say which electrodes were driven.*of 8, 9, 17"):
        read_measured_table(tmp_path / "t.txt")
    table = read_measured_table(tmp_path / "t.txt", driven=["8"], ground=["17"])
    assert (table.inputs, table.grounds, table.outputs) == (("8",), ("17",), ("9",))
    with pytest.raises(ValueError, match="has no electrode 7"):
        read_measured_table(tmp_path / "t.txt", driven=["8"], ground=["7"])


GOOD = "Time[s] 1_V[V] 1_I[A] 2_V[V] 2_I[A] 3_V[V] 3_I[A]\n0.1 1 1e-3 0 -1e-3 0.5 nan\n0.3 2 2e-3 0 -2e-3 1.0 nan\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no line of numbers"),
        ("hello\n1\n2\n", "it has hello"),
        (GOOD[: GOOD.rindex("1.0")], "line 3: 5 values, where the lines before have 7; it may be truncated"),
        (GOOD.replace("2e-3 0", "x 0"), "line 3: 'x' is not a number"),
        (GOOD.replace("0.3", "0.1"), "line 3: time must ascend"),
        (GOOD.replace(" 0.5", " nan"), "line 2"),
        (GOOD.replace("1e-3 0 ", "inf 0 ", 1), "line 2"),
        (GOOD.replace("2_V[V]", "1_V[V]"), "column 1_V is repeated"),
        (GOOD[: GOOD.index("0.3")], "has 1 samples"),
    ],
)
def test_what_is_not_such_a_table_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_measured_table(tmp_path / "table.txt")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "table.txt").write_bytes(b"\x00\xff\xfeTime")
    with pytest.raises(ValueError, match="is not text"):
        read_measured_table(tmp_path / "table.txt")


def test_electrodes_and_shapes_that_do_not_exist_are_named(recorded):
    with pytest.raises(ValueError, match="'99' is not an electrode"):
        read_measured_table(recorded).voltages_of("99")
    with pytest.raises(ValueError, match=r"shape \(5,\) and readings \(4, 2\)"):
        memory_by_delay(np.zeros(5), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="31 samples"):
        memory_by_delay(np.zeros(31), np.zeros((31, 2)))
    with pytest.raises(ValueError, match="delays is 0"):
        memory_by_delay(np.zeros(31), np.zeros((31, 2)), delays=0)
