"""`make test` runs tests that failed once more, and nothing else passes by that."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST_"))}
PASSES_LATER = """
import os, pathlib, pytest, time

@pytest.mark.parametrize("number", range(20))
def test_one_of_many(number):
    if number == 8 and not pathlib.Path("seen").exists():
        pathlib.Path("seen").touch()
        {first}
"""

IN_ONE_WORKER = "if os.environ.get('PYTEST_XDIST_WORKER') == 'gw1': "


def recipe(target: str, options: str) -> str:
    """Return the command by which the Makefile runs tests, with this interpreter."""
    command = subprocess.run(
        ["make", "--dry-run", "--silent", target, "VENV=nowhere", f"PYTEST={options}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    ).stdout
    command = command[command.index("OPENBLAS") :]  # what comes before makes the environment
    return re.sub(r"\S*nowhere/bin/python", sys.executable, command)


@pytest.mark.parametrize(
    ("target", "options", "first", "module", "run_again", "passes"),
    [
        pytest.param("test", "", "assert False", "", True, True, id="fails once"),
        pytest.param("test-slow", "", "assert False", "", True, True, id="fails once and is slow"),
        pytest.param("test", "", "pathlib.Path('seen').unlink(); assert False", "", True, False, id="fails twice"),
        pytest.param("test", "", "os._exit(3)", "", False, False, id="kills its worker"),
        pytest.param("test", "-n 0 -x", "assert False", "", False, False, id="has others after it that were not run"),
        pytest.param("test", "", "", IN_ONE_WORKER + "raise ImportError", False, False, id="is not collected"),
        pytest.param(
            "test", "", "", IN_ONE_WORKER + "del test_one_of_many", False, False, id="differs between workers"
        ),
    ],
)
def test_what_fails_once_passes_and_nothing_else_does(
    target: str, options: str, first: str, module: str, run_again: bool, passes: bool, tmp_path: Path
) -> None:
    text = PASSES_LATER.format(first=first)
    slow = text.replace("one_of", "slow").replace("@", "@pytest.mark.slow\n@", 1)
    (tmp_path / "test_it.py").write_text(f"{text}\n{slow}\n{module}\n")
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['tests_not_run']")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow")
    done = subprocess.run(
        recipe(target, options), shell=True, capture_output=True, text=True, cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert ("once more" in done.stdout) == run_again, done.stdout
    assert (done.returncode == 0) == passes, done.stdout


def test_where_all_tests_pass_or_are_only_listed_the_status_is_0(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    for options in ("", "-n 2", "--collect-only", "-k test_it"):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests_not_run", *options.split()], cwd=tmp_path, text=True,
            capture_output=True, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT / "tests")},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
