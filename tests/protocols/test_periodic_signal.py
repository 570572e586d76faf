"""A periodic signal from a loop that learned: from a network for which FORCE works, not from what cannot oscillate."""

import asyncio
from typing import Any

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.protocols import Outcome, find_task
from inmateria.protocols.tasks.periodic_signal import _target


def run(substrate: Any, **how: Any) -> Outcome:
    task = find_task("periodic-signal")
    return asyncio.run(task.run(substrate, task.settings(round_trips=2, **how), lambda *_: None))


def score(outcome: Outcome, on: str, readout: str = "shape") -> float:
    return float(np.mean(next(s.splits for s in outcome.scores if (s.on, s.readout) == (on, readout))))


@pytest.mark.parametrize("signal", ["sine", "triangle", "four sines"])
def test_a_target_has_its_period_and_its_range(signal: str) -> None:
    target = _target(find_task("periodic-signal").settings(signal=signal, period=50))  # type: ignore[arg-type]
    assert np.allclose(target[50:], target[:-50])
    assert np.abs(target).max() == pytest.approx(1.0, abs=0.05)  # of 50 samples
    powers = np.abs(np.fft.rfft(target[:50]))[1:6] ** 2
    harmonics = {"sine": {0}, "triangle": {0, 2, 4}, "four sines": {0, 1, 2, 3}}[signal]
    assert set(np.flatnonzero(powers > 1e-4 * powers.max())) == harmonics


def test_force_makes_an_echo_state_network_go_on_and_controls_that_cannot_oscillate_do_not() -> None:
    outcome = run(connect("echo://?units=100&seed=1"), train=20)
    assert score(outcome, "substrate") > 0.8
    assert score(outcome, "echo state") > 0.8  # of the same kind, written twice
    assert score(outcome, "stimuli alone") < 0.1
    assert score(outcome, "responses shuffled in time") < 0.1
    assert score(outcome, "leaky integrators") > 0.8  # linear, and the loop around them oscillates: it could win


def test_a_single_time_constant_cannot_oscillate() -> None:
    # One linear state that a loop drives has one real eigenvalue: it decays, or grows to the limit.
    one = LeakySimulator(inputs=1, outputs=3)
    assert score(run(SimulatedSubstrate(one), train=20), "substrate") < 0.2


def test_spikes_are_evoked_by_place() -> None:
    outcome = run(connect("culture://?neurons=200&seed=1&dt=5e-4"), period=10, train=3, test=5, washout=1, step=0.05)
    assert {score.features for score in outcome.scores} == {32}
    assert np.isfinite([score.score for score in outcome.scores]).all()
