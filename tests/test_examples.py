"""The examples run as they stand, are short, and say what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_three() -> None:
    assert [path.stem for path in EXAMPLES] == ["own_protocol", "remote_client", "simulated_reservoir"]


def run(path: Path) -> str:
    told = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=100, env={**os.environ}, cwd=ROOT
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_under_thirty_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 30


def test_the_network_makes_a_better_square_wave_than_its_input() -> None:
    told = dict(re.findall(r"(.+): R² on the second half (-?\d\.\d+)", run(ROOT / "examples/simulated_reservoir.py")))
    assert float(told["network"]) > float(told["input alone"])


def test_the_remote_client_hears_twenty_steps() -> None:
    told = run(ROOT / "examples/remote_client.py")
    assert told.startswith("nanowire-100-42, a nanowire-network: 8 inputs, 16 outputs")
    assert len(re.findall(r"\d s: i08 .* A", told)) == 20


def test_the_sweep_shows_hysteresis() -> None:
    rows = [line.split() for line in run(ROOT / "examples/own_protocol.py").splitlines()]
    table = [(float(voltage), float(current)) for voltage, _, current, _ in rows]
    (up, current_up), (down, current_down) = table[1], table[-1]
    # At a lower voltage the way down carries far more current than the way up: filaments have grown.
    assert 0 < down < up
    assert current_down > 100 * current_up
