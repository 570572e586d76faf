"""The examples run as they stand, are short, and say what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_they_are_these() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "cortical_loop",
        "intan_map",
        "neuroplatform_triggers",
        "own_protocol",
        "remote_client",
        "simulated_reservoir",
    ]


def run(path: Path) -> str:
    told = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=500, env={**os.environ}, cwd=ROOT
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
    assert re.match(r"nanowire-100-s42-[0-9a-f]{12}, a nanowire-network: 8 inputs, 16 outputs", told)
    assert len(re.findall(r"\d s: i08 .* A", told)) == 20


def test_the_sweep_shows_hysteresis() -> None:
    rows = [line.split() for line in run(ROOT / "examples/own_protocol.py").splitlines()]
    table = [(float(voltage), float(current)) for voltage, _, current, _ in rows]
    (up, current_up), (down, current_down) = table[1], table[-1]
    # At a lower voltage the way down carries far more current than the way up: filaments have grown.
    assert 0 < down < up
    assert current_down > 100 * current_up


@pytest.mark.skipif(sys.version_info < (3, 12), reason="cl-sdk needs Python 3.12")
def test_the_cl1_closes_a_loop() -> None:
    told = run(ROOT / "examples/cortical_loop.py")
    (spikes, pulses), *_ = re.findall(r"cl1-simulator-1000-s1-\w+: (\d+) spikes in 5 s, (\d+) pulses", told)
    assert int(spikes) > 0
    assert 0 < int(pulses) <= 166  # after two quiet ticks of 500; a bursting culture is quiet most of the time


@pytest.mark.slow
def test_every_trigger_and_none_are_counted() -> None:
    rows = re.findall(r"(\w+): (\d+\.\d) ± \d+\.\d spikes", run(ROOT / "examples/neuroplatform_triggers.py"))
    assert [name for name, _ in rows] == ["trigger00", "trigger01", "trigger02", "trigger03", "none"]
    assert all(float(mean) > 0 for _, mean in rows)


@pytest.mark.slow
def test_the_map_has_an_answer_for_each_electrode() -> None:
    told = run(ROOT / "examples/intan_map.py")
    assert re.findall(r"(A-\d+): \d+ spikes", told) == ["A-000", "A-008", "A-016", "A-024"]
