"""The task of CONTRIBUTING.md, run as it stands there."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from inmateria import connect
from inmateria.protocols import Task, read_run, run_task

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```", PAGE.split("## A task of your own")[1].split("\n## ")[0], re.M | re.S)
PUBLIC = {"asyncio", "msgspec", "numpy", "inmateria", "inmateria.protocols", "inmateria.reservoir"}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    (tmp_path / "own_task_of_a_package.py").write_text(EXAMPLE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_task_of_a_package", raising=False)
    found = import_module("own_task_of_a_package").TASK
    assert isinstance(found, Task)
    return found


def test_it_has_less_than_sixty_lines_and_only_public_names() -> None:
    assert len(EXAMPLE.splitlines()) < 60
    imports = [node for node in ast.walk(ast.parse(EXAMPLE)) if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert named <= PUBLIC


async def test_it_runs_and_an_echo_state_network_does_what_no_linear_readout_can(task: Task, tmp_path: Path) -> None:
    folder = await run_task(
        task,
        task.settings_from({"bits": "600", "amplitude": "1"}),
        connect("echo://?units=60&seed=1"),
        tmp_path / "runs",
        lambda *_: None,
        on="echo://",
        over="local",
    )
    scores = {score.on: score.score for score in read_run(folder).outcome.scores}
    without = ["masked input", "input alone", "rectifier", "delay line", "rectified lags", "echo state"]
    assert list(scores) == ["substrate", *without]
    assert scores["substrate"] > 0.9
    for on in without[:4]:  # without memory, or linear
        assert scores[on] == pytest.approx(0.5, abs=0.15)
    assert (folder / "report.html").exists()
