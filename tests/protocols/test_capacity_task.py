"""The capacity task on substrates whose capacities are known."""

import asyncio

import pytest
from test_series_tasks import DelayLine, quiet, scores

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.protocols import Outcome
from inmateria.protocols.tasks.capacity import TASK, CapacitySettings
from inmateria.substrate import Substrate


def run(substrate: Substrate, **settings: float) -> Outcome:
    chosen = CapacitySettings(round_trips=3, **settings)  # type: ignore[arg-type]
    return asyncio.run(TASK.run(substrate, chosen, quiet))


@pytest.mark.parametrize("taps", [1, 7])
def test_a_delay_line_remembers_its_taps_and_computes_nothing(taps: int) -> None:
    outcome = run(SimulatedSubstrate(DelayLine(taps)), amplitude=1.0)
    found = scores(outcome)
    assert found["substrate", "memory capacity"] == pytest.approx(taps, abs=0.05)
    assert found["substrate", "IPC, degree 1"] == pytest.approx(taps, abs=0.05)
    assert found["substrate", "IPC, in all"] == pytest.approx(taps, abs=0.05)
    # The input itself, of this very step, is what the controls have.
    for control in ("masked input", "input alone"):
        assert found[control, "memory capacity"] == pytest.approx(0, abs=0.02)
        assert found[control, "IPC, in all"] == pytest.approx(1, abs=0.05)
    assert [curves.heading for curves in outcome.curves] == ["How far back it remembers", "What it computes"]
    assert len(outcome.weights) == taps
    # The first tap is the input before: read one step earlier it would be no memory.
    ((name, told),) = outcome.facts
    assert name == "memory capacity, realigned"
    assert float(told.partition(" ")[0]) == pytest.approx(taps - 1, abs=0.05)
    assert f"1 of {taps} features" in told


def test_an_offset_gives_an_odd_network_even_products() -> None:
    uri = "echo://?units=20&seed=2&input_connectivity=1"
    odd = scores(run(connect(uri), amplitude=1.0, step=0.0, steps=8000))
    even = scores(run(connect(uri), amplitude=1.0, step=0.0, steps=8000, offset=0.4))
    assert odd["substrate", "IPC, degree 2"] == 0
    assert even["substrate", "IPC, degree 2"] > 1
    assert odd["substrate", "IPC, in all"] <= 20.5


def test_too_short_a_series_is_refused_before_anything_is_driven() -> None:
    with pytest.raises(ValueError, match="give more steps"):
        run(SimulatedSubstrate(DelayLine(3)), steps=2000, delays=100)
