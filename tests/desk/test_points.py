"""Points of a sweep: values in a text, parameters in a URI, every combination once, a digest for each."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inmateria.desk.points import Point, expand_uri, make_points, values_of
from inmateria.protocols.task import UnknownTask, find_task


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a", ["a"]),
        ("", [""]),
        (".05,.1,.2", [".05", ".1", ".2"]),
        ("0..3", ["0", "1", "2", "3"]),
        ("-2..1", ["-2", "-1", "0", "1"]),
        ("7..7,9", ["7", "9"]),
        ("lin:0..1:5", ["0.0", "0.25", "0.5", "0.75", "1.0"]),
        ("log:.001..1:4", ["0.001", "0.01", "0.1", "1.0"]),
        (r"nanowire\,nanowire,echo", ["nanowire,nanowire", "echo"]),
        ("lin:3..9:1", ["3.0"]),
    ],
)
def test_values(text: str, values: list[str]) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize("text", ["3..2", "log:0..1:3", "lin:a..b:3", "lin:0..inf:3", "lin:0..1:0", "0..99999999"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|numbers|ends|above 0"):
        values_of(text)


@given(st.lists(st.text(st.characters(blacklist_characters="\\,:."), max_size=5), min_size=1, max_size=6))
def test_commas_divide_and_nothing_else_does(values: list[str]) -> None:
    assert values_of(",".join(values)) == values


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 40))
def test_spaced_values_begin_and_end_where_they_were_told_to(low: float, high: float, count: int) -> None:
    for kind in ("lin", "log"):
        values = [float(value) for value in values_of(f"{kind}:{low!r}..{high!r}:{count}")]
        assert len(values) == count
        assert math.isclose(values[0], low, rel_tol=1e-9)
        assert math.isclose(values[-1], high, rel_tol=1e-9)


def test_uris() -> None:
    assert expand_uri("echo://") == ["echo://"]
    found = expand_uri("nanowire://?wires=100,300&seed=0..1&model=binary")
    assert found == [f"nanowire://?wires={wires}&seed={seed}&model=binary" for wires in (100, 300) for seed in (0, 1)]
    assert expand_uri(r"clln://?rails=0.11\,0.33&seed=1,2") == [f"clln://?rails=0.11,0.33&seed={k}" for k in (1, 2)]
    assert expand_uri("clln://?rails=0.11%2C0.33") == ["clln://?rails=0.11%2C0.33"]


def test_every_combination_is_one_point_and_seeds_vary_fastest() -> None:
    memory = find_task("memory")
    points = make_points(memory, ["echo://?units=10,20"], {"amplitude": [".1", ".2"], "delays": [5]}, seeds=3)
    told = [(point.on, point.settings["amplitude"], point.settings["seed"]) for point in points]
    assert told == [
        (f"echo://?units={units}", amplitude, seed)
        for units in (10, 20)
        for amplitude in (0.1, 0.2)
        for seed in range(3)
    ]
    assert len({point.digest for point in points}) == len(points)
    assert make_points(memory, ["echo://"], {"amplitude": ["0.10", "1e-1"]}) == make_points(
        memory, ["echo://"], {"amplitude": [0.1]}
    )


def test_a_digest_is_of_all_that_a_point_is() -> None:
    point = Point(task="memory", on="echo://", settings={"a": 1, "b": 2}, version="1")
    assert point.digest == Point(task="memory", on="echo://", settings={"b": 2, "a": 1}, version="1").digest
    others = [
        Point(task="narma", on="echo://", settings={"a": 1, "b": 2}, version="1"),
        Point(task="memory", on="echo://?seed=1", settings={"a": 1, "b": 2}, version="1"),
        Point(task="memory", on="echo://", settings={"a": 1, "b": 3}, version="1"),
        Point(task="memory", on="echo://", settings={"a": 1, "b": 2}, version="2"),
    ]
    assert len({each.digest for each in [point, *others]}) == 5


def test_what_a_task_does_not_take_is_refused_before_anything_runs() -> None:
    memory = find_task("memory")
    with pytest.raises(UnknownTask, match="amplitude is '2'"):
        make_points(memory, ["echo://"], {"amplitude": [".1", "2"]})
    with pytest.raises(UnknownTask, match="no setting 'ampl'"):
        make_points(memory, ["echo://"], {"ampl": [".1"]})
    with pytest.raises(ValueError, match="no value"):
        make_points(memory, ["echo://"], {"amplitude": []})
    with pytest.raises(ValueError, match="several values of seed"):
        make_points(memory, ["echo://"], {"seed": [1, 2]}, seeds=3)
    with pytest.raises(ValueError, match="allowed are 1,000,000"):
        make_points(memory, ["echo://?seed=0..99999"], {"seed": list(range(100))})
