"""A periodic signal from a loop that learned: from what can oscillate; followed as far as known."""

import asyncio
from typing import Any

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.protocols import Outcome, find_task
from inmateria.protocols.tasks.periodic_signal import _target
from inmateria.substrate import Response, Stimulus


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


class Told(LeakySimulator):
    """Each output is what drove the input some steps ago."""

    def __init__(self, *lags: int) -> None:
        super().__init__(inputs=1, outputs=len(lags))
        self._lags, self._past = np.array(lags), np.zeros(max(lags) + 1)

    def advance(self, stimulus: Stimulus) -> Response:
        response = super().advance(stimulus)
        assert response.signal is not None
        signal = np.empty_like(response.signal)
        for step, value in enumerate(stimulus.drive[:, 0]):
            self._past = np.concatenate([[value], self._past[:-1]])
            signal[step] = self._past[self._lags]
        return Response(signal, None, response.start, response.sequence)


def follow(*lags: int, **how: Any) -> Outcome:
    """Follow with regularisation that is next to none."""
    return run(SimulatedSubstrate(Told(*lags)), kind="tracking", period=24, alpha=1e-6, **how)


@pytest.mark.parametrize("shift", [0, 2, 4, 6, 9])
def test_what_has_no_memory_follows_a_sine_but_for_the_sine_of_its_shift(shift: int) -> None:
    # The best multiple of sin(x) for sin(x - p) is cos(p) sin(x); what is left is sin(p) cos(x).
    outcome = follow(0, 0, 0, 0, shift=shift / 24)
    assert score(outcome, "substrate", "in phase") == pytest.approx(
        1 - np.abs(np.sin(2 * np.pi * shift / 24)), abs=0.01
    )
    assert score(outcome, "stimuli alone", "in phase") == pytest.approx(
        score(outcome, "substrate", "in phase"), abs=0.01
    )
    assert score(outcome, "leaky integrators", "in phase") == pytest.approx(1.0, abs=0.01)
    assert {each.readout for each in outcome.scores} == {"in phase"}


def test_a_delay_line_follows_a_shifted_sine_exactly_and_another_shape_by_its_first_harmonic_only() -> None:
    assert score(follow(0, 1, shift=0.25), "substrate", "in phase") == pytest.approx(1.0, abs=1e-3)
    # Shares of the first harmonic in the power: 96 / pi^4 of a triangle, 1 of 1 + 1/4 + 1/36 + 1/9 of the four sines.
    for signal, share in (("triangle", 96 / np.pi**4), ("four sines", 36 / 50)):
        outcome = follow(*range(8), shift=0.25, signal=signal)
        for on in ("substrate", "leaky integrators"):
            assert score(outcome, on, "in phase") == pytest.approx(1 - np.sqrt(1 - share), abs=0.02), (signal, on)
        assert score(outcome, "echo state", "in phase") > 1 - np.sqrt(1 - share) + 0.02


def test_a_target_that_follows_is_behind_by_its_shift_and_never_repeats() -> None:
    make = find_task("periodic-signal").settings
    at_once, later = (_target(make(kind="tracking", period=20, shift=shift)) for shift in (0.0, 0.25))  # type: ignore[arg-type]
    assert at_once**2 + later**2 == pytest.approx(1.0)  # a quarter of a period apart
    assert np.diff(at_once) @ later[1:] < 0  # -cos falls where sin rises: behind, not ahead
    assert np.diff(np.sort(at_once)).min() > 0


def test_a_place_tells_its_value_and_not_the_side_from_which_it_was_reached() -> None:
    scores = [
        score(
            run(connect("culture://?neurons=100&seed=1&dt=5e-4"), kind="tracking", period=20, width=1, shift=shift),
            "stimuli alone",
            "in phase",
        )
        for shift in (0.0, 0.25)
    ]
    assert scores[0] > 0.8
    assert scores[1] == pytest.approx(0.0, abs=0.1)
