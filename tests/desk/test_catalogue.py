"""Runs listed and compared: what differs, gains, conditions, tables that pandas and Parquet read, damage and speed."""

import csv
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from inmateria.desk import compare_runs, find_run, read_catalogue
from inmateria.desk.catalogue import NewRuns, read_with_failures
from inmateria.desk.comparison_page import write_comparison
from inmateria.desk.run_tables import Row, differing, filtered, rows_of, sorted_by, write_table
from inmateria.desk.sweep_page import groups_of, write_sweep_page
from inmateria.protocols.gains import gain_of
from inmateria.protocols.outcome import Curves, ExchangeStatistics, Outcome, Score
from inmateria.protocols.runs import Run, RunFolderError, write_run
from inmateria.substrate import Channel, SubstrateInfo

CHANNEL = Channel(name="u", unit="V", low=0.0, high=1.0)
EXCHANGES = ExchangeStatistics(count=3, steps=30, seconds=1.0, round_trip_p50=1e-3, round_trip_p99=2e-3, round_trips=1)


def score(on: str, *splits: float, readout: str = "ridge") -> Score:
    return Score(readout=readout, on=on, features=10, score=splits[0], splits=splits)


def names(rows: Sequence[Row]) -> list[str]:
    return [row["run"] for row in rows]


def write(runs: Path, name: str, *scores: Score, **given: Any) -> Path:
    """Write a run folder."""
    settings = {"seed": 0, "amplitude": 0.1, **given.pop("settings", {})}
    info = SubstrateInfo(
        id="device-1", identity="serial", kind="thing", inputs=(CHANNEL,), outputs=(CHANNEL,), step=0.1,
        sampling_rate=10.0, resettable=True, parameters={"wires": 100, "model": {"type": "binary"}},
    )  # fmt: skip
    fields = {
        "task": "memory", "created": "2026-11-26T12:00:00+00:00", "on": "nanowire://?wires=100", "over": "local",
        "versions": {"inmateria": "0.1.0"}, "substrate": info, **given,
    }  # fmt: skip
    curves = Curves(heading="Recall", text="By delay.", x_label="delay", y_label="r²", x=(1, 2), lines={"s": (1, 0.5)})
    outcome = Outcome(title="Memory", metric="r²", scores=scores, exchanges=EXCHANGES, curves=(curves,))
    folder = runs / name
    folder.mkdir(parents=True)
    write_run(folder, msgspec.convert({**fields, "settings": settings, "outcome": outcome}, Run))
    return folder


def test_the_gain_is_over_the_best_control_split_by_split() -> None:
    gain = gain_of([
        score("substrate", 0.8, 0.9), score("substrate", 0.99, 0.99, readout="online"), score("input", 0.2, 0.3),
        score("masked", 0.6, 0.5), score("masked", 0.95, 0.95, readout="online"),
    ])  # fmt: skip
    assert (gain.readout, gain.control) == ("ridge", "masked")
    assert gain.score == pytest.approx(0.85)
    assert gain.gain == pytest.approx(np.mean([0.2, 0.4]))
    assert gain.gain_sd == pytest.approx(np.std([0.2, 0.4]))
    alone = gain_of([score("substrate", 0.8)])
    assert (alone.gain, alone.control) == (None, "")
    uneven = gain_of([score("substrate", 0.8, 0.9), score("input", 0.5)])
    assert uneven.gain == pytest.approx(0.35)


def test_columns_that_differ_and_conditions(tmp_path: Path) -> None:
    write(tmp_path, "a", score("substrate", 0.5), score("masked", 0.6), settings={"amplitude": 0.1})
    write(tmp_path, "b", score("substrate", 0.9), score("masked", 0.6), settings={"amplitude": 0.2},
          on="nanowire://?wires=300", created="2026-11-26T13:00:00+01:00")  # fmt: skip
    write(tmp_path, "c", score("substrate", 0.7), settings={"amplitude": 0.2, "kind": "x"}, task="narma")
    rows = rows_of(read_catalogue(tmp_path))
    assert differing(rows) == ["settings.amplitude", "on.wires", "settings.kind"]
    assert names(filtered(rows, ["amplitude=.2"])) == ["c", "b"]
    assert names(filtered(rows, ["gain>0"])) == ["b"]
    assert names(filtered(rows, ["gain<=0"])) == ["a"]
    assert names(filtered(rows, ["task!=memory"])) == ["c"]
    assert names(filtered(rows, ["on~*wires=3*", "amplitude>=0.2"])) == ["b"]
    assert names(filtered(rows, ["kind=x"])) == []  # the substrate's kind comes first
    assert names(filtered(rows, ["settings.kind=x"])) == ["c"]
    assert names(sorted_by(rows, "-score")) == ["b", "c", "a"]
    assert names(sorted_by(rows, "gain")) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="no run has 'ampl'; there are run, task"):
        filtered(rows, ["ampl=1"])
    with pytest.raises(ValueError, match="not a condition"):
        filtered(rows, ["amplitude"])


def test_tables_are_read_by_others(tmp_path: Path) -> None:
    write(tmp_path / "runs", "a", score("substrate", 0.5), score("masked", 0.6), settings={"kind": 3})
    write(tmp_path / "runs", "b", score("substrate", 0.9), settings={"kind": "x", "list": [1, 2]})
    rows = rows_of(read_catalogue(tmp_path / "runs"))
    for suffix in (".csv", ".json", ".parquet"):
        write_table(rows, tmp_path / f"t{suffix}")
    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["score"] for row in table] == [0.5, 0.9]
    assert [row["settings.kind"] for row in table] == ["3", "x"]  # of two types: text
    assert [row["settings.list"] for row in table] == [None, "[1, 2]"]
    assert [row["gain"] for row in table] == [pytest.approx(-0.1), None]
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert frame["settings.amplitude"].tolist() == [0.1, 0.1]
    with (tmp_path / "t.csv").open() as file:
        assert [row["run"] for row in csv.DictReader(file)] == ["a", "b"]
    assert json.loads((tmp_path / "t.json").read_text()) == rows
    with pytest.raises(ValueError, match=r"allowed are \.csv, \.json and \.parquet"):
        write_table(rows, tmp_path / "t.xlsx")


def test_the_index_follows_what_changes(tmp_path: Path) -> None:
    write(tmp_path, "a", score("substrate", 0.5))
    write(tmp_path, "b", score("substrate", 0.6))
    assert len(read_catalogue(tmp_path)) == 2
    index = tmp_path / ".catalogue"
    before = index.read_bytes()
    assert len(read_catalogue(tmp_path)) == 2
    assert index.read_bytes() == before
    shutil.rmtree(tmp_path / "a")
    write(tmp_path, "c", score("substrate", 0.7))
    folder = tmp_path / "b"
    shutil.rmtree(folder)
    write(tmp_path, "b", score("substrate", 0.65))
    assert {run.name: run.gain.score for run in read_catalogue(tmp_path)} == {"b": 0.65, "c": 0.7}
    for damage in (b"", before[: len(before) // 2], os.urandom(100)):
        index.write_bytes(damage)
        assert len(read_catalogue(tmp_path)) == 2
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text('{"task": 3}')
    runs, failures = read_with_failures(tmp_path)
    assert len(runs) == 2
    assert list(failures) == ["broken"]
    with pytest.raises(RunFolderError, match="is not a folder"):
        read_catalogue(tmp_path / "none")


def test_new_runs_are_read_once_each_and_for_a_short_time(tmp_path: Path) -> None:
    new = NewRuns(tmp_path)
    for name in ("a", "b", "c"):
        write(tmp_path, name, score("substrate", 0.5))
    assert len(new.read(0.0)) == 1
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    found = [run.name for _ in range(4) for run in new.read(0.0)]
    assert len(found) == 2
    assert new.read(60.0) == []
    write(tmp_path, "d", score("substrate", 0.5))
    assert [run.name for run in new.read(60.0)] == ["d"]


def test_runs_are_found_by_path_name_part_and_last(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"2026-{number}-memory", score("substrate", 0.5), created=f"2026-11-26T1{number}:00:00+00:00")
    assert find_run(str(tmp_path / "2026-1-memory")).name == "2026-1-memory"
    assert find_run("2026-1-memory", tmp_path).name == "2026-1-memory"
    assert find_run("6-2", tmp_path).name == "2026-2-memory"
    assert find_run("last", tmp_path).name == "2026-2-memory"
    with pytest.raises(RunFolderError, match=r"2 runs in .* have 'memory'"):
        find_run("memory", tmp_path)
    with pytest.raises(RunFolderError, match="there is no run 'x'"):
        find_run("x", tmp_path)


def test_runs_side_by_side(tmp_path: Path) -> None:
    first = write(tmp_path, "a", score("substrate", 0.5, 0.7), score("masked", 0.6))
    second = write(tmp_path, "b", score("substrate", 0.9), settings={"amplitude": 0.3}, versions={"inmateria": "0.2.0"})
    compared = compare_runs([first, second])
    assert compared.differences == {"settings.amplitude": [0.1, 0.3], "versions.inmateria": ["0.1.0", "0.2.0"]}
    assert compared.scores[("substrate", "ridge")] == [pytest.approx((0.6, 0.1)), (0.9, 0.0)]
    assert compared.scores[("masked", "ridge")] == [(0.6, 0.0), None]
    gain, none = compared.gains
    assert gain is not None
    assert gain[0] == pytest.approx(0.0)
    assert gain[2] == "masked"
    assert none is None
    assert list(csv.reader(compared.csv().splitlines())) == compared.rows()
    write_comparison(compared, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert page.count("<svg") == 2  # scores, and the curves that both have
    assert "amplitude" in page
    with pytest.raises(RunFolderError, match="two or more"):
        compare_runs([first])


def test_runs_that_differ_in_seeds_only_are_one_row_of_a_page(tmp_path: Path) -> None:
    for name, amplitude, seed, own in (("a", 0.1, 0, 0.6), ("b", 0.1, 1, 0.7), ("c", 0.2, 0, 0.5), ("d", 0.2, 1, 0.4)):
        scores = score("substrate", own), score("linear", 0.45), score("erased", 0.2)
        write(tmp_path, name, *scores, settings={"amplitude": amplitude, "seed": seed}, on=f"echo://?seed={seed}")
    runs = read_catalogue(tmp_path)
    one, other = groups_of(runs)
    assert (one.kind, one.values, one.count, one.control) == ("echo", {"settings.amplitude": 0.1}, 2, "linear")
    assert (one.score, one.gain) == (pytest.approx(0.65), pytest.approx(0.2))
    assert one.gain_error == pytest.approx(0.05)  # standard deviation .0707 of two, over the root of two
    assert (one.verdict, other.verdict) == ("helps", "no difference")
    assert groups_of(runs[:1])[0].verdict == "one seed only"
    page = write_sweep_page(runs, tmp_path / "page.html").read_text()
    assert "better than the best control of the task in 1 of 2 settings" in page
    assert "at amplitude 0.1, with a gain of +0.2 over linear" in page
