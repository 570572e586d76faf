"""Runs written as MLflow keeps them in files, so that its page and its tools show them; MLflow itself is not needed.

A folder of experiments, one for each task; in each a folder a run, with a file for each parameter, metric and tag
(https://mlflow.org/docs/latest/tracking/backend-stores). The artifacts of a run are its run folder, where that is.
"""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from uuid import uuid4

from inmateria.desk.run_tables import row_of
from inmateria.desk.summaries import summary_of
from inmateria.protocols.runs import RUN_FILE, RunFolderError, read_run

__all__ = ["export_to_mlflow"]

_NOT_ALLOWED = re.compile(r"[^\w.\- /]", re.ASCII)
_LONGEST = 6000
"""Characters of a parameter that MLflow accepts."""


def export_to_mlflow(folders: Iterable[Path], to: Path) -> int:
    """Write runs below a folder that ``mlflow ui --backend-store-uri`` opens, and return how many.

    A run that was written before is replaced, so that an export may be repeated.

    Parameters
    ----------
    folders : iterable of Path
        Run folders. Ones without a readable run.json are left out.
    to : Path
        Folder of MLflow's experiments; made if it is not there.
    """
    written = 0
    for folder in folders:
        try:
            _export(folder.resolve(), to)
        except RunFolderError:
            continue
        written += 1
    return written


def _export(folder: Path, to: Path) -> None:
    run = read_run(folder)
    summary = summary_of(folder.name, (folder / RUN_FILE).read_bytes())
    experiment = _experiment(to, run.task)
    run_id = blake2b(f"{folder} {run.created}".encode(), digest_size=16).hexdigest()
    begun = _milliseconds(run.created)
    ended = begun + round(1e3 * (run.seconds or 0.0))
    draft = experiment / f".{run_id}-{uuid4().hex}"
    meta = {
        "artifact_uri": folder.as_uri(), "end_time": ended, "entry_point_name": "", "experiment_id": experiment.name,
        "lifecycle_stage": "active", "run_id": run_id, "run_name": folder.name, "source_name": "", "source_type": 4,
        "source_version": "", "start_time": begun, "status": 3, "tags": [], "user_id": "",
    }  # fmt: skip
    row = row_of(summary)
    parameters = {name: value for name, value in row.items() if name.startswith(("settings.", "on.", "parameters."))}
    parameters |= {name: row[name] for name in ("on", "over", "device", "kind", "keep")}
    metrics: dict[str, Sequence[float]] = {
        name: [row[name]] for name in ("score", "control_score", "gain", "seconds") if row[name] is not None
    }
    for score in run.outcome.scores:
        metrics[f"{score.on}/{score.readout}"] = score.splits
        metrics[f"mean/{score.on}/{score.readout}"] = [fmean(score.splits)]
    tags = {name: row[name] for name in ("task", "metric", "control")} | {"mlflow.runName": folder.name}
    tags |= {name: value for name, value in row.items() if name.startswith("versions.")}
    try:
        for name, values in (("params", parameters), ("tags", tags)):
            for key, value in values.items():
                _write(draft / name, key, str(value)[:_LONGEST])
        for key, series in metrics.items():
            _write(draft / "metrics", key, "".join(f"{ended} {value} {step}\n" for step, value in enumerate(series)))
        (draft / "artifacts").mkdir()  # without it MLflow takes the folder for none of its runs
        (draft / "meta.yaml").write_text(json.dumps(meta, indent=1), encoding="utf-8")  # JSON is YAML
        shutil.rmtree(experiment / run_id, ignore_errors=True)
        draft.rename(experiment / run_id)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _experiment(to: Path, task: str) -> Path:
    """Return the folder of a task's experiment, made if it is not there."""
    number = str(int(blake2b(task.encode(), digest_size=7).hexdigest(), 16)).zfill(18)
    folder = to / number
    if not (folder / "meta.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        now = round(1e3 * datetime.now().timestamp())
        meta = {
            "artifact_location": folder.resolve().as_uri(), "creation_time": now, "experiment_id": number,
            "last_update_time": now, "lifecycle_stage": "active", "name": task,
        }  # fmt: skip
        draft = folder / f".meta-{uuid4().hex}"
        draft.write_text(json.dumps(meta, indent=1), encoding="utf-8")
        draft.replace(folder / "meta.yaml")
    return folder


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / _NOT_ALLOWED.sub("-", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _milliseconds(created: str) -> int:
    try:
        return round(1e3 * datetime.fromisoformat(created).timestamp())
    except ValueError:
        return 0
