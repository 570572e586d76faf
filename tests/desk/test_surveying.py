"""A survey: paired seeds, rows over them, the same folder again, and tables that other programs read."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inmateria.cli.commands import app
from inmateria.desk import SurveyEntry, survey
from inmateria.desk.configuration import ConfigurationError
from inmateria.desk.survey_page import survey_page
from inmateria.desk.survey_table import HEADING, as_csv, as_markdown
from inmateria.desk.surveying import entries_for, points_of, read_survey
from inmateria.protocols.task import UnsuitableSubstrate

FEW = {"steps": 500, "delays": 3, "round_trips": 2, "samples": 1}


def test_seeds_of_task_and_simulator_go_together_and_devices_keep_theirs() -> None:
    points = points_of(SurveyEntry(task="memory", on="echo://?units=5", settings=FEW), 3, 7)
    assert [(point.on, point.settings["seed"]) for point in points] == [
        (f"echo://?units=5&seed={seed}", seed) for seed in (7, 8, 9)
    ]
    given = points_of(SurveyEntry(task="memory", on="nanowire://?seed=3&wires=60"), 1, 5)
    assert given[0].on == "nanowire://?seed=5&wires=60"
    real = points_of(SurveyEntry(task="memory", on="mqtt://broker/device"), 2, 0)
    assert [point.on for point in real] == ["mqtt://broker/device"] * 2


def test_tasks_are_those_that_suit_a_substrate() -> None:
    pairs = {(entry.task, entry.on) for entry in entries_for(["echo://", "culture://?neurons=50"])}
    assert ("mackey-glass", "echo://") in pairs
    assert ("timer", "culture://?neurons=50") in pairs
    assert ("timer", "echo://") not in pairs
    assert not {"spontaneous", "xor", "stack"} & {task for task, _ in pairs}
    with pytest.raises(UnsuitableSubstrate):
        entries_for(["echo://"], ["timer"])


def test_a_row_has_the_mean_and_spread_over_its_runs_and_a_survey_goes_on(tmp_path: Path) -> None:
    entries = [SurveyEntry(task="memory", on="echo://?units=10", name="small", settings=FEW)]
    result = survey(entries, seeds=2, folder=tmp_path / "s", workers=1)
    again = survey(entries, seeds=2, folder=tmp_path / "s", workers=1)
    (row,), (same,) = result.rows, again.rows
    assert row.cells() == same.cells()
    assert len(list((tmp_path / "s" / "runs").glob("[!.]*"))) == 2
    from inmateria.desk import read_catalogue

    runs = read_catalogue(tmp_path / "s" / "runs")
    scores = [run.gain.score for run in runs]
    assert row.score == pytest.approx((np.mean(scores), abs(scores[0] - scores[1]) / np.sqrt(2)))
    assert (row.task, row.substrate, row.runs) == ("memory", "small", 2)
    assert row.control == "delay line"  # which recalls three steps exactly
    assert row.gain is not None
    assert row.gain[0] < 0
    assert row.stimuli == 8  # five pieces of a hundred steps; a step at rest first, and two round trips
    table = list(csv.DictReader(io.StringIO(as_csv(result.rows))))
    assert table[0]["substrate"] == "small"
    assert len(as_markdown(result.rows).splitlines()) == 3
    assert all(name in survey_page(result.rows) for name in HEADING)


def test_the_command_reads_a_file_and_writes_the_table(tmp_path: Path) -> None:
    file, out = tmp_path / "survey.toml", tmp_path / "table.md"
    file.write_text(
        'seeds = 1\n[[entries]]\ntask = "memory"\non = "echo://?units=8"\nname = "a|b"\n'
        "settings = { steps = 500, delays = 2, round_trips = 2 }\n"
    )
    arguments = ["survey", "--config", str(file), "--out", str(tmp_path / "s"), "--workers", "1", "--to", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "a\\|b" in out.read_text()
    file.write_text("entries = [{task = 'memory', substrate = 'echo://'}]")
    with pytest.raises(ConfigurationError, match="substrate"):
        read_survey(file)
