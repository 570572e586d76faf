"""Runs written for MLflow, as MLflow's own client reads them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from typer.testing import CliRunner

from inmateria.cli.commands import app
from inmateria.desk import export_to_mlflow, read_catalogue, sweep
from inmateria.protocols.runs import read_run

READ = """
import json, sys
from mlflow.tracking import MlflowClient

client = MlflowClient("file://" + sys.argv[1])
found = {}
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id], order_by=["metrics.score DESC"]):
        info = run.info
        series = {name: [m.value for m in client.get_metric_history(info.run_id, name)] for name in run.data.metrics}
        files = [each.path for each in client.list_artifacts(info.run_id)]
        found.setdefault(experiment.name, []).append(
            [info.run_name, info.status, info.end_time - info.start_time, run.data.params, series, files]
        )
print(json.dumps(found))
"""


def as_mlflow_reads(folder: Path) -> dict[str, list[list[Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder.resolve())], capture_output=True, text=True, timeout=300,
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[Any]]] = json.loads(done.stdout)
    return found


def test_mlflow_reads_what_is_exported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sweep("small", "scattering://?ports=2&observables=2", {"x": [0.25, 0.5, 0.75]}, folder="s", workers=1)
    (made.folder / "runs" / "not-a-run").mkdir()
    assert export_to_mlflow((made.folder / "runs").iterdir(), Path("mlruns")) == 3
    done = CliRunner().invoke(app, ["export-mlflow", "s", "--where", "x>0.3"])  # again: nothing is doubled
    assert done.exit_code == 0, done.output
    assert "2 runs in mlruns" in done.output
    found = as_mlflow_reads(Path("mlruns"))
    assert list(found) == ["small"]
    assert [run[3]["settings.x"] for run in found["small"]] == ["0.75", "0.5", "0.25"]
    for name, status, milliseconds, parameters, series, files in found["small"]:
        run = read_run(made.folder / "runs" / name)
        (summary,) = [each for each in read_catalogue(made.folder / "runs") if each.name == name]
        assert status == "FINISHED"
        assert milliseconds == round(1e3 * (run.seconds or 0))
        assert parameters["on"] == run.on
        assert parameters["on.ports"] == "2"
        assert series["score"] == [summary.gain.score]
        for score in run.outcome.scores:
            assert series[f"{score.on}/{score.readout}"] == list(score.splits)
            assert series[f"mean/{score.on}/{score.readout}"] == [fmean(score.splits)]
        assert "run.json" in files
