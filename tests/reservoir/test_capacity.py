"""Memory and information processing capacity against what theory, scikit-learn and rcbench say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from inmateria.reservoir import information_processing_capacity, memory_capacity
from inmateria.reservoir.measures.capacity import Factor
from inmateria.substrate import FloatArray

pytestmark = pytest.mark.filterwarnings(  # these networks hand their inputs on, and their order is known
    "ignore::inmateria.recording.ReadingOrderWarning"
)


def uniform(steps: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, steps)


def delayed(u: FloatArray, delay: int) -> FloatArray:
    return np.concatenate([np.zeros(delay), u[: len(u) - delay]])


def delay_line(u: FloatArray, taps: int) -> FloatArray:
    return np.stack([delayed(u, delay) for delay in range(1, taps + 1)], axis=1)


def ring(u: FloatArray, nodes: int, strength: float, seed: int = 1) -> FloatArray:
    """A linear ring: every node hands its value on to the next, weakened."""
    inward = np.random.default_rng(seed).uniform(-1, 1, nodes)
    x, states = np.zeros(nodes), np.empty((len(u), nodes))
    for t, value in enumerate(u):
        x = strength * np.roll(x, 1) + inward * value
        states[t] = x
    return states


def tanh_network(u: FloatArray, nodes: int, seed: int = 2, scale: float = 0.6, radius: float = 0.7) -> FloatArray:
    rng = np.random.default_rng(seed)
    W, inward = rng.standard_normal((nodes, nodes)), rng.uniform(-1, 1, nodes) * scale
    W *= radius / np.abs(np.linalg.eigvals(W)).max()
    bias = rng.uniform(-0.3, 0.3, nodes)
    x, states = np.zeros(nodes), np.empty((len(u), nodes))
    for t, value in enumerate(u):
        x = np.tanh(W @ x + inward * value + bias)
        states[t] = x
    return states


@pytest.mark.parametrize("taps", [1, 5, 30])
def test_a_delay_line_remembers_as_many_steps_as_it_has_taps(taps: int) -> None:
    u = uniform(5000)
    found = memory_capacity(delay_line(u, taps), u, 100)
    assert found.total == pytest.approx(taps, abs=1e-9)
    np.testing.assert_allclose(found.capacities[:taps], 1, atol=1e-12)
    assert found.rank == taps
    # Beyond the taps there is chance alone, taps / steps for each delay.
    assert found.unthresholded - taps == pytest.approx((100 - taps) * found.chance, rel=0.25)


def test_a_linear_ring_of_twenty_nodes_remembers_twenty_steps() -> None:
    u = uniform(20_000)
    found = memory_capacity(ring(u, 20, 0.9), u, range(400))
    assert found.rank == 20
    assert found.total == pytest.approx(19.99, abs=0.05)
    # The published law of such a ring: each round trip keeps the same share of what is left.
    turns = found.capacities[:60].reshape(3, 20).mean(axis=1)
    assert turns[1] / turns[0] == pytest.approx(0.9**40, abs=0.01)


@pytest.mark.parametrize("held_out", [0.0, 0.25])
def test_what_is_unrelated_has_chance_and_passes_the_threshold_as_often_as_said(held_out: float) -> None:
    steps, nodes, capacities, passed = 4000, 40, [], []
    for seed in range(4):
        states = tanh_network(uniform(steps, seed=100 + seed), nodes)
        found = information_processing_capacity(
            states, uniform(steps, seed=200 + seed), (200, 20, 10), significance=0.01, held_out=held_out
        )
        expected = 1 / (found.steps - 1) if held_out else nodes / (found.steps - 1)
        assert np.mean(found.chance) == pytest.approx(expected, rel=0.02)
        capacities.append(found.capacities)
        passed.append(found.capacities > found.threshold)
    assert np.mean(capacities) == pytest.approx(expected, rel=0.1)
    # 2,872 targets: 29 are expected, give or take five.
    assert 0.005 < np.mean(passed) < 0.015


def test_chance_is_more_for_targets_that_are_large_when_the_states_are() -> None:
    # The states are cubes of an input that the targets share, but another input decides the targets' sign.
    steps, capacities, chances, passed = 4000, [], [], []
    for seed in range(80):
        u = uniform(steps, seed)
        states = np.stack([delayed(u**3, delay) for delay in range(3)], axis=1)
        found = information_processing_capacity(states, u, {2: 40}, significance=0.01)
        half = [len(target) == 2 and target[0].delay < 3 <= target[1].delay for target in found.targets]
        capacities.append(found.capacities[half].mean())
        chances.append(found.chance[half].mean())
        passed.append(np.mean(found.capacities[half] > found.threshold[half]))
    # One state in three has it: E[u^8] / (E[u^6] E[u^2]) = 7/3.
    expected = (2 + 7 / 3) / (steps - 40)
    assert np.mean(chances) == pytest.approx(expected, rel=0.02)
    assert np.mean(capacities) == pytest.approx(expected, rel=0.1)
    assert np.mean(passed) < 0.02


def test_under_fading_memory_all_capacities_sum_up_to_the_rank() -> None:
    u = uniform(60_000, seed=3)
    states = tanh_network(u, 6, scale=0.5, radius=0.5)
    found = information_processing_capacity(states, u, (20, 15, 10, 6, 4, 3))
    assert found.rank == 6
    assert found.total == pytest.approx(6, abs=0.06)
    assert found.total == pytest.approx(sum(found.by_degree.values()))
    assert found.total == pytest.approx(sum(found.by_delay.values()))
    assert found.total == pytest.approx(found.profile.sum())
    assert found.profile.shape == (6, 21)
    assert found.by_degree[1] > found.by_degree[2] > found.by_degree[4]


def test_each_state_that_is_a_product_is_found_where_it_belongs() -> None:
    u = uniform(20_000, seed=4)
    one, three = delayed(u, 1), delayed(u, 3)
    states = np.stack([one, (3 * one**2 - 1) / 2 * three, u * one * three], axis=1)
    found = information_processing_capacity(states, u, (5, 5, 5))
    strong = dict(zip(found.targets, found.capacities, strict=True))
    assert strong[(Factor(1, 1),)] == pytest.approx(1)
    assert strong[(Factor(1, 2), Factor(3, 1))] == pytest.approx(1)
    assert strong[(Factor(0, 1), Factor(1, 1), Factor(3, 1))] == pytest.approx(1)
    assert found.total == pytest.approx(3, abs=0.01)
    assert found.by_degree == {1: pytest.approx(1), 2: 0, 3: pytest.approx(2, abs=0.01)}


def test_two_inputs_are_told_apart() -> None:
    u = np.random.default_rng(8).uniform(-1, 1, (5000, 2))
    states = np.stack([u[:, 0] * u[:, 1], delayed(u[:, 1], 2)], axis=1)
    found = information_processing_capacity(states, u, (3, 3))
    best = sorted(zip(found.capacities, found.targets, strict=True), reverse=True)[:2]
    assert {target for _, target in best} == {(Factor(0, 1, 0), Factor(0, 1, 1)), (Factor(2, 1, 1),)}
    assert memory_capacity(states, u, range(4)).total == pytest.approx(1, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.25]))
def test_the_capacities_are_those_of_one_regression_each(seed: int, nodes: int, alpha: float, held_out: float) -> None:
    u = uniform(400, seed)
    states = tanh_network(u, nodes, seed) * 10.0 ** np.arange(-4, nodes - 4) + 3.0
    found = memory_capacity(states, u, [0, 2, 5], washout=20, alpha=alpha, held_out=held_out)
    split = 400 - round(380 * held_out)
    mean, spread = states[20:split].mean(axis=0), states[20:split].std(axis=0)
    X = (states - mean) / spread
    for delay, capacity in zip([0, 2, 5], found.capacities, strict=True):
        z = delayed(u, delay)
        model = (Ridge(alpha) if alpha else LinearRegression()).fit(X[20:split], z[20:split])
        scored = slice(split, None) if held_out else slice(20, split)
        expected = np.corrcoef(model.predict(X[scored]), z[scored])[0, 1] ** 2
        assert capacity == pytest.approx(expected, abs=1e-7)


def test_the_capacities_are_rcbenchs() -> None:
    ipc = pytest.importorskip("rcbench.tasks.ipc")
    u = uniform(1504)
    states = tanh_network(u, 20)
    theirs = ipc.IPCEvaluator(u, states, max_delay=4, max_degree=3)
    ours = information_processing_capacity(
        states, u, {1: 4, 2: 4, 3: 4}, earliest=1, factors=2, held_out=0.2, washout=4
    )
    for target, capacity in zip(ours.targets, ours.capacities, strict=True):
        key = tuple((factor.delay, factor.degree) for factor in target)
        expected = _rcbench_capacity(theirs, key)
        assert capacity == pytest.approx(expected, abs=1e-8)
    assert len(ours.targets) == len(theirs.basis_functions)


def _rcbench_capacity(evaluator: object, key: tuple[tuple[int, int], ...]) -> float:
    """Capacity that rcbench finds on all features, their selection left out."""
    evaluator.apply_feature_selection = lambda X: X  # type: ignore[attr-defined]
    return float(evaluator.run_evaluation(key, modeltype="Linear", train_ratio=0.8)["capacity"])  # type: ignore[attr-defined]


def test_any_stretch_of_time_may_be_held_out() -> None:
    u = uniform(1000)
    states = tanh_network(u, 8)
    at_the_end = memory_capacity(states, u, 10, held_out=(700, 1000), washout=100)
    np.testing.assert_array_equal(
        at_the_end.capacities, memory_capacity(states, u, 10, held_out=1 / 3, washout=100).capacities
    )
    within = memory_capacity(states, u, [3], held_out=(400, 600), washout=100)
    products = information_processing_capacity(states, u, {1: 3}, earliest=3, held_out=(400, 600), washout=100)
    learned = np.r_[100:400, 600:1000]
    z = delayed(u, 3)
    read = LinearRegression().fit(states[learned], z[learned]).predict(states[400:600])
    assert within.capacities[0] == pytest.approx(np.corrcoef(read, z[400:600])[0, 1] ** 2, abs=1e-10)
    assert products.capacities[0] == pytest.approx(within.capacities[0], abs=1e-10)
    assert within.steps == 200
    with pytest.raises(ValueError, match="the first is at least 100"):
        memory_capacity(states, u, 10, held_out=(50, 600), washout=100)


def test_units_and_offsets_do_not_matter() -> None:
    u = uniform(3000)
    states = tanh_network(u, 10)
    plain = memory_capacity(states, u, 20)
    in_other_units = memory_capacity((states + 1000) * 10.0 ** np.arange(-9, 1), u, 20)
    np.testing.assert_allclose(in_other_units.capacities, plain.capacities, atol=1e-7)


def test_constant_and_repeated_states_add_nothing() -> None:
    u = uniform(3000)
    states = tanh_network(u, 10)
    more = np.column_stack([states, np.full(3000, 0.1), states[:, 0] - states[:, 1]])
    found = memory_capacity(more, u, 20)
    assert found.rank == 10
    np.testing.assert_allclose(found.capacities, memory_capacity(states, u, 20).capacities, atol=1e-9)


def test_binary_inputs_have_polynomials_of_their_own() -> None:
    u = np.random.default_rng(0).integers(0, 2, 10_000).astype(float)
    states = np.stack([u * delayed(u, 1), u, delayed(u, 1)], axis=1)
    with pytest.raises(ValueError, match="not uniform over"):
        information_processing_capacity(states, u, (3, 3), interval=(0, 1))
    with pytest.raises(ValueError, match="take 2 different values"):
        information_processing_capacity(states, u, (3, 3), polynomials="empirical")
    with pytest.raises(ValueError, match="outside"):
        information_processing_capacity(states * 3, u * 3, (3, 3))
    # Of two values there is one polynomial; products over delays are made of it alone.
    found = information_processing_capacity(states, u, (3,), polynomials="empirical")
    assert found.total == pytest.approx(2, abs=0.01)


def test_empirical_polynomials_of_uniform_inputs_are_those_of_legendre() -> None:
    u = uniform(50_000)
    states = tanh_network(u, 5)
    one = information_processing_capacity(states, u, (5, 3, 2))
    other = information_processing_capacity(states, u, (5, 3, 2), polynomials="empirical")
    np.testing.assert_allclose(one.capacities, other.capacities, atol=0.02)


def test_what_cannot_be_measured_is_refused_with_the_reason() -> None:
    u = uniform(500)
    states = tanh_network(u, 5)
    broken = states.copy()
    broken[7, 2] = np.nan
    with pytest.raises(ValueError, match="states are nan at step 7, column 2"):
        memory_capacity(broken, u, 5)
    with pytest.raises(ValueError, match="of as many steps"):
        memory_capacity(states[:-1], u, 5)
    with pytest.raises(ValueError, match="input 0 is constant"):
        memory_capacity(states, np.full(500, 0.3), 5)
    with pytest.raises(ValueError, match="steps remain"):
        memory_capacity(states, u, 495)
    with pytest.raises(ValueError, match="none is left"):
        memory_capacity(states, u, 5, washout=500)
    with pytest.raises(ValueError, match="every state is constant"):
        memory_capacity(np.ones((500, 3)), u, 5)
    with pytest.raises(ValueError, match=r"correlation of 0\.9"):
        information_processing_capacity(states, np.sin(np.arange(500) / 8), (5,))


def test_progress_is_told_up_to_the_end() -> None:
    u = uniform(20_000)
    told: list[tuple[int, int]] = []
    found = information_processing_capacity(
        tanh_network(u, 3), u, (60, 5), progress=lambda done, of: told.append((done, of))
    )
    assert len(told) > 1
    assert told[-1] == (len(found.targets), len(found.targets))
