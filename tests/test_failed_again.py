"""`make test` runs tests that failed once more, and nothing else passes by that."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PASSES_LATER = """
import os, pathlib, pytest, time

@pytest.mark.parametrize("number", range(20))
def test_one_of_many(number):
    if number == 8 and not pathlib.Path("seen").exists():
        pathlib.Path("seen").touch()
        {first}
"""


def recipe(target: str) -> str:
    """Return the command by which the Makefile runs tests, with this interpreter."""
    command = subprocess.run(
        ["make", "--dry-run", "--silent", target, "VENV=nowhere", "PYTEST="],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    ).stdout
    command = command[command.index("OPENBLAS") :]  # what comes before makes the environment
    return re.sub(r"\S*nowhere/bin/python", sys.executable, command)


@pytest.mark.parametrize(
    ("target", "first", "passes", "run_again"),
    [
        pytest.param("test", "assert False", True, True, id="fails once"),
        pytest.param("test-slow", "assert False", True, True, id="fails once and is slow"),
        pytest.param("test", "pathlib.Path('seen').unlink(); assert False", False, True, id="fails twice"),
        pytest.param("test", "os._exit(3)", False, False, id="kills its worker"),
    ],
)
def test_what_fails_once_passes_what_fails_twice_or_dies_does_not(
    target: str, first: str, passes: bool, run_again: bool, tmp_path: Path
) -> None:
    text = PASSES_LATER.format(first=first)
    (tmp_path / "test_it.py").write_text(
        text + "\n" + text.replace("one_of", "slow").replace("@", "@pytest.mark.slow\n@", 1)
    )
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['dead_workers']")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow")
    done = subprocess.run(
        recipe(target), shell=True, capture_output=True, text=True, cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert (done.returncode == 0) == passes, done.stdout
    assert ("once more" in done.stdout) == run_again
    assert "FAILED" in done.stdout
