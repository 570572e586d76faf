"""Tables of any dialect come out as the numbers that were written, or are refused; roles and units are asked for."""

import math
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from rcbench.measurements.dataset import ElecResDataset

from inmateria.recording import ReadingOrderWarning, RecordingError, open_recording, read_block
from inmateria.recording.formats.array_tables import read_array_table
from inmateria.recording.formats.columns import channel_unit, split_unit
from inmateria.recording.formats.importing import Stated, import_file, plan_import
from inmateria.recording.formats.text_tables import read_text_table

MEASURED = Path(os.environ.get("INMATERIA_DATA", "/nowhere")) / "measured"
PAD = MEASURED / "074_INRiMARC_NWN_Pad129M_gridSE_MemoryCapacity_2024_04_02.txt"
SEVERAL = MEASURED / "nanowire_multi_input.csv"

needs_measured = pytest.mark.skipif(
    not PAD.is_file() or not SEVERAL.is_file(),
    reason="needs two tables of rcbench's repository (folder tests/test_files) in INMATERIA_DATA/measured",
)

SEPARATORS = {"tab": "\t", "semicolon": ";", "comma": ",", "space": " "}
NAMES = ["t", "u", "y 1", "Zeit [ms]", "U (mV)", "T [°C]", "8_V[V]", "I / uA", "größe", "x,y", "a;b"]
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60).map(float),
    st.integers(-999, 9999).map(float),
    st.floats(-5, 5).map(lambda value: round(value, 3)),
)


def text_of(value: float, style: str, decimal: str) -> str:
    if math.isnan(value):
        return ""
    if style == "short" and value == int(value) and abs(value) < 2**53:
        written = str(int(value))
    else:
        written = {"short": repr(value), "fixed": f"{value:.3f}", "power": f"{value:.17e}"}[style]
    return written.replace(".", decimal)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_table_comes_out_as_written_or_is_refused(data: st.DataObject) -> None:
    """No dialect is stated: the numbers are those that `float` reads, bit for bit, or there is an error."""
    separator = data.draw(st.sampled_from(list(SEPARATORS)))
    decimal = data.draw(st.sampled_from(".,"))
    width, height = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    style = data.draw(st.sampled_from(["short", "fixed", "power"]))
    gaps = separator != "space" and width > 1 and data.draw(st.booleans())
    value = st.one_of(numbers, st.just(math.nan)) if gaps else numbers
    rows = [[text_of(data.draw(value), style, decimal) for _ in range(width)] for _ in range(height)]
    headed = data.draw(st.booleans())
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=width, max_size=width, unique=True))
    if separator == "space":
        names = [name.replace(" ", "") for name in names]
        assume(len(set(names)) == width)
    quoted = separator != "space" and data.draw(st.booleans())
    sign = SEPARATORS[separator]
    needs_quotes = separator == "comma" and decimal == ","
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    trailing = sign if data.draw(st.booleans()) and width > 1 else ""

    def line(words: list[str]) -> str:
        return (
            sign.join(f'"{word}"' if quoted or (needs_quotes and word[:1] != '"') else word for word in words)
            + trailing
        )

    lines = ["# measured by a machine"] if data.draw(st.booleans()) else []
    lines += [line([f'"{name}"' if {*",;"} & {*name} and not quoted else name for name in names])] if headed else []
    lines += [line(words) for words in rows]
    wanted = np.array([[float(word.replace(",", ".") or "nan") for word in words] for words in rows])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes((end.join(lines) + (end if data.draw(st.booleans()) else "")).encode(encoding))
        try:
            table = read_text_table(path)
        except (ValueError, RecordingError) as error:
            event(f"refused: {str(error).partition(':')[2][:40]}")
            refused = str(error)
        else:
            refused = ""
    # What leaves no doubt is not refused: names, several columns, no thousands, a separator of its own.
    clear = headed and width > 1 and not gaps and separator in ("tab", "semicolon") and style == "power"
    assert not (refused and clear), refused
    if refused:
        return
    event("read")
    if not headed and width > 1 and np.isnan(wanted[:, -1]).all():
        wanted = np.ascontiguousarray(wanted[:, : table.values.shape[1]])  # as if the last separator were at its end
    assert table.values.shape == wanted.shape, table.source
    assert table.values.tobytes() == wanted.tobytes(), table.source
    if headed:
        assert [split_unit(name)[0] for name in names] == list(table.names)
        assert [split_unit(name)[1] for name in names] == list(table.units)


@pytest.mark.parametrize(
    ("text", "names", "units", "values"),
    [
        ("t,u,y\n0,1,2\n1,2.5,3\n", ("t", "u", "y"), (None,) * 3, [[0, 1, 2], [1, 2.5, 3]]),
        ("t,u\n0,1\n1,2\n", ("t", "u"), (None,) * 2, [[0, 1], [1, 2]]),
        ("0.5\t1\n1.5\t2", ("column 1", "column 2"), (None,) * 2, [[0.5, 1], [1.5, 2]]),
        ("t;u\n0,5;1,25\n1;2,5\n", ("t", "u"), (None,) * 2, [[0.5, 1.25], [1, 2.5]]),
        ("# t u\n0.5 1\n1.5   2\n", ("t", "u"), (None,) * 2, [[0.5, 1], [1.5, 2]]),
        ("t,u\ns,mV\n0,1.5\n1,2\n", ("t", "u"), ("s", "mV"), [[0, 1.5], [1, 2]]),
        ("\ufeffTime[ms];U (µV)\r\n0;1,5\r\n1;-2,5e-3\r\n", ("Time", "U"), ("ms", "uV"), [[0, 1.5], [1, -2.5e-3]]),
        ('"a, b","c"\n"1.5","2"\n3,4\n', ("a, b", "c"), (None,) * 2, [[1.5, 2], [3, 4]]),
        ("sep=;\nt;u\n0;1\n1;2\n", ("t", "u"), (None,) * 2, [[0, 1], [1, 2]]),
        ("t,u,\n0,1,\n1,2.5,\n", ("t", "u"), (None,) * 2, [[0, 1], [1, 2.5]]),
        (
            "% by the rig in Bonn\n0.1 NaN\n0.2 -1.\n",
            ("column 1", "column 2"),
            (None,) * 2,
            [[0.1, math.nan], [0.2, -1]],
        ),
        (",0,1\n0,0.5,1\n1,0.25,2\n", None, None, "counts from 0 or 1"),
        ("0,1\n1,2\n", None, None, "can be read in 2 ways"),
        ("0,3\n1,2\n2\n", None, None, "may be decimal or between columns"),
        ("0,3\n1,2\n", None, None, "can be read in 2 ways"),
        ("1,234;5,678\n2,345;6,789\n", None, None, "decimal or between thousands"),
        ("t;u\n1.234,5;2\n", None, None, "is not a number"),
        ("t,u\n0,1\n1\n", None, None, "may be decimal or between columns"),
        ("t,u\n0,1.5\n1\n", None, None, "line 3: 1 values, where the lines before have 2"),
        ("0.5\n\n0.7\n", None, None, "line 2: an empty line between numbers"),
        ("t,u\n0,1\n1,abc\n", None, None, "line 3: 'abc' is not a number"),
        ("t,u\n0,1\n1,inf\n", None, None, "line 3: 'inf' is not a number"),
        ("t,u\n0,1\n1,1e999\n", None, None, "beyond the range of float64"),
        ("t,t\n0,1.5\n1,2\n", None, None, "column t is repeated"),
        ('t,u\n0,"1\n1,2\n', None, None, "line 2"),
        ("t [furlong],u\n0,1.5\n1,2\n", None, None, "no known unit"),
        ("", None, None, "no line of numbers"),
        ("a,b\n", None, None, "no numbers after the heading"),
        ("a\x00b\n1,2\n", None, None, "not text"),
    ],
)
def test_dialects(tmp_path: Path, text: str, names: object, units: object, values: object) -> None:
    (tmp_path / "table.csv").write_bytes(text.encode())
    if isinstance(values, str):
        with pytest.raises(ValueError, match=values):
            read_text_table(tmp_path / "table.csv")
        return
    table = read_text_table(tmp_path / "table.csv")
    assert (table.names, table.units) == (names, units)
    np.testing.assert_array_equal(table.values, values)


def test_what_is_stated_of_a_dialect_decides(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,3\n1,2\n")
    assert read_text_table(tmp_path / "t.csv", separator="comma", header=False).values.tolist() == [[0, 3], [1, 2]]
    assert read_text_table(tmp_path / "t.csv", decimal="comma", separator="tab").values.tolist() == [[0.3], [1.2]]
    (tmp_path / "t.csv").write_text("0,1\n0.5,2\n")
    assert read_text_table(tmp_path / "t.csv", header=True).names == ("0", "1")
    assert read_text_table(tmp_path / "t.csv", header=False).values.tolist() == [[0, 1], [0.5, 2]]
    with pytest.raises(ValueError, match="'dot' was given; allowed are point, comma"):
        read_text_table(tmp_path / "t.csv", decimal="dot")


def test_digits_beyond_a_double_are_listed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ns,u\n1732626000123456789,1\n1732626000123456989,2\n")
    table = read_text_table(tmp_path / "t.csv")
    assert table.left_out == ("digits of ns beyond float64",)


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("mV", "mV"), ("µV", "uV"), ("μA", "uA"), ("kΩ", "kOhm"), ("°C", "Cel"), ("degC", "Cel"), ("sec", "s"),
        ("Volts", "V"), ("V*s/(m**2*A)", "V.s/m2/A"), ("1/s", "1/s"), ("furlong", None), ("", None),
    ],
)  # fmt: skip
def test_units_as_others_write_them(written: str, unit: str | None) -> None:
    assert channel_unit(written) == unit


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_roles_are_asked_for_where_no_current_was_measured(tmp_path: Path) -> None:
    source = written(tmp_path / "t.csv", "time [ms],u [V],y [mV],z\n0,1,2,9\n1,2,3,9\n2,3,4,8\n")
    with pytest.raises(RecordingError, match=r"state it: --driven COLUMN, one of u, y, z; or --driven none"):
        import_file(source, tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()
    import_file(source, tmp_path / "r.h5", stated=Stated(driven=["u"]))
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
        assert [(each.name, each.unit) for each in info.inputs] == [("u", "V")]
        assert [(each.name, each.unit) for each in info.outputs] == [("y", "mV"), ("z", "1")]
        assert (info.step, info.sampling_rate) == (0.001, 1000.0)
        assert recording.drive().tolist() == [[1], [2], [3]]
        assert recording.signal().tolist() == [[2, 9], [3, 9], [4, 8]]
    told = import_file(source, tmp_path / "s.h5", stated=Stated(driven=["#2"], read=["3"], units={"y": "uV"}))
    assert told.left_out == ("column z",)
    with open_recording(tmp_path / "s.h5") as recording:
        assert [(each.name, each.unit) for each in recording.info.outputs] == [("y", "uV")]
    import_file(source, tmp_path / "n.h5", stated=Stated(driven=["none"]))
    with open_recording(tmp_path / "n.h5") as recording:
        assert [each.name for each in recording.info.inputs] == ["none"]
        assert [each.name for each in recording.info.outputs] == ["u", "y", "z"]


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (Stated(driven=["v"], units={"t": "s"}), r"--driven v: there is no such column; there are 1 t, 2 u, 3 y"),
        (Stated(driven=["u"]), r"column t is time, and its unit is not stated; state it: --units t=s"),
        (Stated(driven=["u"], time="none"), r"no column is named as a time.*--rate HZ"),
        (Stated(driven=["u"], units={"t": "V"}), "no column is named as a time"),
        (Stated(driven=["u"], units={"t": "smoots"}), "no known unit"),
        (Stated(driven=["u"], ground=["u"], units={"t": "s"}), "stated as driven and as ground"),
        (Stated(driven=["t"], units={"t": "s"}), "column t is time; it cannot be driven"),
        (Stated(driven=["u"], read=["u"], units={"t": "s"}), "stated as read, and has another role"),
        (Stated(driven=["u", "y"], units={"t": "s"}), "no column left to be read"),
        (Stated(driven=["u", "2"], units={"t": "s"}), "names column u twice"),
        (Stated(driven=["u"], rate=3.0, units={"t": "s"}), "the times do not fit the rate of 3 Hz"),
        (Stated(driven=["u"], rate=-1.0, time="none"), "the rate is -1.0 Hz"),
    ],
)
def test_what_does_not_fit_the_table_is_said(tmp_path: Path, stated: Stated, says: str) -> None:
    source = written(tmp_path / "t.csv", "t,u,y\n0,1,2.5\n1,2,3\n2,3,4\n")
    with pytest.raises(RecordingError, match=says):
        plan_import(source, stated=stated)


def test_times_that_do_not_ascend_are_an_error_with_their_line(tmp_path: Path) -> None:
    source = written(tmp_path / "t.csv", "t [s],u,y\n0,1,2.5\n2,2,3\n1,3,4\n")
    with pytest.raises(RecordingError, match="line 4: time must ascend"):
        plan_import(source, stated=Stated(driven=["u"]))
    source = written(tmp_path / "t.csv", "t [s],u,y\n0,1,2.5\n,2,3\n1,3,4\n")
    with pytest.raises(RecordingError, match="line 3: the time is missing"):
        plan_import(source, stated=Stated(driven=["u"]))


def test_a_rate_that_is_stated_is_kept_for_hours(tmp_path: Path) -> None:
    rate, rows = 24414.0625, 30_000
    text = "\n".join(f"{k / rate:.6f},{k % 7},{k}" for k in range(rows))  # times are rounded to us, 2 % of a step
    source = written(tmp_path / "t.csv", "t [s],u,y\n" + text)
    plan = plan_import(source, stated=Stated(driven=["u"], rate=rate))
    assert plan.info.sampling_rate == rate
    last = list(plan.items())[-1]
    assert last.response.start + len(last.stimulus.drive) * last.stimulus.step == pytest.approx(rows / rate, rel=1e-12)
    without = written(tmp_path / "w.csv", "u,y\n" + "\n".join(f"{k % 7},{k}.5" for k in range(300)))
    import_file(without, tmp_path / "r.h5", stated=Stated(driven=["u"], rate=rate))
    (segment,) = read_block(tmp_path / "r.h5").segments
    assert [float(each.sampling_rate) for each in segment.analogsignals] == pytest.approx([rate] * 2, rel=1e-12)
    assert len(segment.analogsignals[0]) == 300


def test_uneven_times_are_kept_row_by_row(tmp_path: Path) -> None:
    time = np.cumsum(np.random.default_rng(0).uniform(0.1, 0.3, 50))
    lines = [f"{at!r},{k},{k * k}" for k, at in enumerate(time.tolist())]
    import_file(
        written(tmp_path / "t.csv", "t [s],u,y\n" + "\n".join(lines)), tmp_path / "r.h5", stated=Stated(driven=["u"])
    )
    (segment,) = read_block(tmp_path / "r.h5").segments
    assert np.array_equal(segment.irregularlysampledsignals[0].times.magnitude, time)


def test_rows_without_a_stimulus_are_listed(tmp_path: Path) -> None:
    source = written(tmp_path / "t.csv", "t [s],u,y\n0,1,2.5\n1,,3\n2,3,4\n")
    plan = plan_import(source, stated=Stated(driven=["u"]))
    assert plan.unasked == ("1 rows in which a driven column has no value",)


@needs_measured
def test_a_measured_network_has_its_own_ground(tmp_path: Path) -> None:
    """Roles are those that rcbench finds, and each number is the one in the file."""
    theirs = ElecResDataset(PAD)
    plan = plan_import(PAD)
    roles = {row.name: row.role for row in plan.rows}
    assert [name for name, role in roles.items() if role == "driven"] == [f"{each}_V" for each in theirs.input_nodes]
    assert [name for name, role in roles.items() if role == "ground"] == ["17_V", "17_I"]
    assert theirs.ground_nodes == ["17"]
    with pytest.warns(ReadingOrderWarning, match="8 of 17 channels"):
        import_file(PAD, tmp_path / "r.h5")
    with open_recording(tmp_path / "r.h5") as recording:
        names = [each.name for each in recording.info.outputs]
        assert recording.info.parameters["ground"] == ["17"]
        assert np.array_equal(recording.exchanges["start"], theirs.time)
        assert np.array_equal(recording.drive()[:, 0], theirs.get_input_voltages()["8"])
        at = [names.index(f"{node}_V") for node in theirs.nodes]
        assert np.array_equal(recording.signal()[:, at], theirs.get_node_voltages())


@needs_measured
def test_electrodes_named_source_and_ground_are_that(tmp_path: Path) -> None:
    import_file(SEVERAL, tmp_path / "r.h5")
    lines = SEVERAL.read_text().splitlines()
    names = [word.partition("[")[0] for word in lines[0].split(",")]
    numbers = np.array([[float(word or "nan") for word in line.split(",")] for line in lines[1:]])
    with open_recording(tmp_path / "r.h5") as recording:
        info = recording.info
        assert [each.name for each in info.inputs] == ["SRC_13_V"]
        assert info.parameters["ground"] == ["GND_4"]
        assert (len(info.outputs), info.sampling_rate) == (17, 500.0)
        assert np.array_equal(recording.drive()[:, 0], numbers[:, names.index("SRC_13_V")])
        at = [names.index(each.name) for each in info.outputs]
        assert np.array_equal(recording.signal(), numbers[:, at])


def test_several_sources_and_grounds_are_found_by_name_or_stated(tmp_path: Path) -> None:
    head = "Time[s],SRC1_V[V],SRC1_I[A],SRC2_V[V],SRC2_I[A],N3_V[V],N3_I[A],GND4_V[V],GND4_I[A],GND5_V[V],GND5_I[A]\n"
    rows = "".join(f"{k},{k},1e-3,-{k},1e-3,{k}.5,,0.001,-1e-3,0.002,-1e-3\n" for k in range(5))
    plan = plan_import(written(tmp_path / "t.csv", head + rows))
    assert [each.name for each in plan.info.inputs] == ["SRC1_V", "SRC2_V"]
    assert plan.info.parameters["ground"] == ["GND4", "GND5"]
    plain = written(tmp_path / "p.csv", head.replace("SRC", "").replace("GND", "") + rows)
    plan = plan_import(plain, stated=Stated(ground=["4", "5"]))
    assert [each.name for each in plan.info.inputs] == ["1_V", "2_V"]
    assert plan.info.parameters["ground"] == ["4", "5"]


arrays = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(allow_infinity=False, width=64), min_size=width, max_size=width), min_size=4, max_size=9
    )
)


@settings(max_examples=30, deadline=None)
@given(rows=arrays, kind=st.sampled_from(["npz", "npy", "mat", "parquet", "record"]))
def test_arrays_come_out_as_written(rows: list[list[float]], kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy.io import savemat

    values = np.array(rows)
    named = {f"c{k}": values[:, k] for k in range(values.shape[1])}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.bin"
        if kind == "npz":
            np.savez_compressed(path.with_suffix(".npz"), **named)
            path = path.with_suffix(".npz")
        elif kind == "npy":
            with path.open("wb") as file:
                np.save(file, values)
        elif kind == "record":
            with path.open("wb") as file:
                np.save(file, np.rec.fromarrays(list(named.values()), names=list(named)).view(np.ndarray))
        elif kind == "mat":
            savemat(path, named, appendmat=False, do_compression=True)
        else:
            pq.write_table(pa.table(named), path)
        table = read_array_table(path)
    assert table.values.tobytes() == values.tobytes()
    if kind != "npy":
        assert table.names == tuple(named)


def test_arrays_go_through_the_same_mapping(tmp_path: Path) -> None:
    time = np.arange(100) / 1000
    np.savez(
        tmp_path / "t.npz", t=time, u=np.sin(time), fs=1000.0, note=np.array(["a"]),
        electrodes=np.random.default_rng(0).normal(size=(3, 100)),
    )  # fmt: skip
    with pytest.raises(RecordingError, match="unit is not stated; state it: --units t=s"):
        plan_import(tmp_path / "t.npz", stated=Stated(driven=["u"]))
    plan = plan_import(tmp_path / "t.npz", stated=Stated(driven=["u"], units={"t": "s", "u": "mV"}))
    assert [each.name for each in plan.info.outputs] == ["electrodes 1", "electrodes 2", "electrodes 3"]
    assert plan.info.inputs[0].unit == "mV"
    assert plan.info.sampling_rate == pytest.approx(1000)
    assert plan.left_out == ("'fs', a single number (1000.0)", "'note' of type <U1")


def test_what_arrays_cannot_say_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3), b=np.ones(4))
    with pytest.raises(RecordingError, match=r"different lengths: a \(3,\), b \(4,\)"):
        read_array_table(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.ones(3), b=np.ones((3, 3)))
    with pytest.raises(RecordingError, match="as many rows as columns"):
        read_array_table(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", a=np.array(["x"]))
    with pytest.raises(RecordingError, match="no columns of numbers; there are: 'a' of type <U1"):
        read_array_table(tmp_path / "c.npz")
    np.save(tmp_path / "d.npy", np.ones(3) * 1j)
    with pytest.raises(RecordingError, match="complex128"):
        read_array_table(tmp_path / "d.npy")
    np.save(tmp_path / "e.npy", np.array([1.0, np.inf]))
    with pytest.raises(RecordingError, match="x is infinite at sample 1"):
        read_array_table(tmp_path / "e.npy")
    np.save(tmp_path / "f.npy", np.array([1, 2**62 + 1]))
    assert read_array_table(tmp_path / "f.npy").left_out == ("digits of x beyond float64",)


def test_matlab_73_is_read_with_its_columns(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "m.mat", "w", userblock_size=512) as file:
        for name, data in (("t", np.arange(5.0)[np.newaxis]), ("x", np.arange(10.0).reshape(5, 2).T)):
            file.create_dataset(name, data=data.T if name == "t" else data).attrs["MATLAB_class"] = np.bytes_(b"double")
        file.create_group("s").attrs["MATLAB_class"] = np.bytes_(b"struct")
    with (tmp_path / "m.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    plan = plan_import(tmp_path / "m.mat", stated=Stated(driven=["x 1"], units={"t": "s"}))
    assert plan.left_out == ("variable 's' of class struct",)
    assert [each.name for each in plan.info.outputs] == ["x 2"]
    drive = np.concatenate([item.stimulus.drive for item in plan.items()])
    assert drive[:, 0].tolist() == [0, 2, 4, 6, 8]


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"t": [0.0, 1.0], "u": [1, None], "day": ["a", "b"]}), tmp_path / "t.parquet")
    table = read_array_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.values, [[0, 1], [1, np.nan]])
    assert table.left_out == ("column 'day' of type string",)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RecordingError, match=r"inmateria\[parquet\]"):
        read_array_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("rows", ["0.5\t1.5\n\t\n2.5\t3.5\n", "0.5\t1.5\n\t\n\t\n", "a\tb\n0.5\t1.5\n\t\n2\t3"])
def test_a_row_of_tabs_only_is_refused_and_not_left_out(tmp_path: Path, rows: str) -> None:
    """Rows after it would be taken for earlier ones."""
    path = tmp_path / "table.txt"
    path.write_text(rows)
    line = 1 + next(number for number, line in enumerate(rows.split("\n")) if line == "\t")
    with pytest.raises(ValueError, match=rf"line {line}: only tabs, a row without a value; write nan"):
        read_text_table(path)
