"""Kernel rank, generalisation rank, separation and fading memory of systems whose answer is known."""

import numpy as np
import pytest

from inmateria.reservoir import (
    alike_inputs,
    different_inputs,
    fading_memory,
    generalisation_rank,
    kernel_rank,
    separation,
)
from inmateria.substrate import FloatArray


def last_steps(inputs: FloatArray, taps: int) -> FloatArray:
    """States that a delay line has after each stream."""
    return inputs[:, -taps:]


def test_a_delay_line_has_as_many_directions_as_taps_and_none_for_what_it_has_forgotten() -> None:
    different, alike = different_inputs(100, 50, seed=1), alike_inputs(100, 50, common=20, seed=1)
    assert kernel_rank(last_steps(different, 15)).rank == 15
    assert generalisation_rank(last_steps(alike, 15)).rank == 1
    # Of 25 taps, five still see what differs, and the common end is one direction more.
    assert generalisation_rank(last_steps(alike, 25)).rank == 6


def test_the_rank_depends_on_the_threshold_and_says_which() -> None:
    states = np.diag([1.0, 1e-2, 1e-4, 0.0])
    found = kernel_rank(states, threshold=1e-3)
    assert (found.rank, found.threshold) == (2, 1e-3)
    assert kernel_rank(states, threshold=1e-5).rank == 3
    np.testing.assert_allclose(found.singular_values, [1, 1e-2, 1e-4, 0])


def test_ranks_are_rcbenchs() -> None:
    kernelrank = pytest.importorskip("rcbench.tasks.generalizationrank")
    states = np.random.default_rng(0).standard_normal((60, 30)) * 10.0 ** -np.linspace(0, 5, 30)
    theirs, _ = kernelrank.GeneralizationRankEvaluator(states, threshold=1e-3).compute_generalization_rank()
    assert generalisation_rank(states, 1e-3).rank == theirs


def test_an_isometry_separates_as_its_inputs_are_apart() -> None:
    inputs = np.random.default_rng(0).uniform(0.1, 1, (30, 1)) * different_inputs(30, 8, seed=2)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))[0]
    found = separation(3 * inputs @ rotation, inputs)
    assert found.ratio == pytest.approx(3)
    assert found.rank_correlation == pytest.approx(1)
    blind = separation(np.ones((30, 4)), inputs)
    assert (blind.ratio, blind.rank_correlation) == (0, 0)


def test_a_leaky_system_forgets_at_its_own_rate() -> None:
    keep, steps = 0.9, 400
    u = np.random.default_rng(0).uniform(-1, 1, (steps, 2))
    runs = []
    for start in np.random.default_rng(1).uniform(-1, 1, (5, 2)):
        x, states = start, []
        for value in u:
            x = keep * x + value
            states.append(x)
        runs.append(states)
    found = fading_memory(runs, fraction=0.01)
    assert found.rate == pytest.approx(np.log(keep), rel=1e-4)
    assert found.time == int(np.ceil(np.log(0.01) / np.log(keep)))
    assert found.fades
    assert found.distances[0] == 1


def test_noise_is_the_floor_and_does_not_spoil_the_rate() -> None:
    rng = np.random.default_rng(0)
    decay = 0.8 ** np.arange(300)[:, np.newaxis] * np.ones(20)
    runs = np.stack([decay, -decay]) + 1e-4 * rng.standard_normal((2, 300, 20))
    found = fading_memory(runs, fraction=1e-5)
    assert found.time is None
    assert not found.fades
    assert found.floor == pytest.approx(1e-4 / np.sqrt(2), rel=0.2)
    assert found.rate == pytest.approx(np.log(0.8), rel=0.02)


def test_what_never_forgets_has_no_time() -> None:
    runs = np.stack([np.ones((50, 3)), -np.ones((50, 3))])
    found = fading_memory(runs)
    assert (found.time, found.floor) == (None, 1)
    assert found.rate == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_measured_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="same state"):
        fading_memory(np.ones((2, 10, 3)))
    with pytest.raises(ValueError, match="at least two runs"):
        fading_memory(np.ones((1, 10, 3)))
    with pytest.raises(ValueError, match="three streams"):
        separation(np.ones((2, 3)), np.ones((2, 5)))
    with pytest.raises(ValueError, match="all streams are equal"):
        separation(np.ones((4, 3)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="in stream 1, column 0"):
        kernel_rank([[1.0], [np.inf]])
    with pytest.raises(ValueError, match="threshold is 0"):
        kernel_rank([[1.0], [2.0]], threshold=0)
    with pytest.raises(ValueError, match="common is"):
        alike_inputs(3, 5, common=6, seed=0)
