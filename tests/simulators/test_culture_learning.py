"""What a simulated culture learns, what a reward does to it, and how it drifts over days."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from inmateria.simulators import Asynchronous, Connectivity, NeuralCulture
from inmateria.simulators.culture import kernel
from inmateria.substrate import SpikeArray

DAY = 86_400.0


def learner(plasticity: str) -> NeuralCulture:
    """Fifty neurons that fire by themselves."""
    return NeuralCulture(
        neurons=50,
        seed=2,
        electrodes=4,
        regime=Asynchronous(drive=15.0, noise=6.0, excitation=4.0),
        connectivity=Connectivity(synapses=10.0),
        plasticity=plasticity,
        learning_rate=0.01,
    )


def pairs(culture: NeuralCulture, fired: SpikeArray, weights: np.ndarray, end: float, memory: float) -> np.ndarray:
    """Work out what all pairs of spikes change, pair by pair from the published rule.

    van Rossum et al. 2000: w + a exp(-lag / 20 ms) where the source came first, else w (1 - 1.05 b exp(-lag / 20 ms)),
    with b = 0.01 and a that part of the mean weight. With a memory, changes fade by it until the end.
    """
    of = [fired["time"][fired["channel"] == n] for n in range(50)]
    changed = weights.astype(float)
    for s, (source, target) in enumerate(zip(culture.synapse_sources, culture.synapse_targets, strict=True)):
        if source >= 40 or target >= 40:
            continue
        events = sorted([(t, True) for t in of[target]] + [(t, False) for t in of[source]])
        weight, gained = float(weights[s]), 0.0
        for time, up in events:
            lags = time - (of[source] if up else of[target])
            window = np.exp(-lags[lags > 1e-6] / 20e-3).sum()
            by = 0.01 * 4.0 * window if up else -0.0105 * weight * window
            if memory:
                gained += by * np.exp(-(end - time) / memory)
            else:
                weight = min(weight + by, max(weight, 40.0))
        changed[s] = weight + gained
    return changed


def test_pairs_of_spikes_change_weights_as_published() -> None:
    culture = learner("stdp")
    before = culture.weights
    fired = culture.run(3.0, neuron_spikes=True).neuron_spikes
    assert len(fired) > 500
    expected = pairs(culture, fired, before, 3.0, 0.0)
    assert np.abs(expected - before).max() > 0.5
    assert culture.weights == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_reward_changes_what_is_eligible_and_a_punishment_the_other_way() -> None:
    culture = learner("reward")
    before = culture.weights
    fired = culture.run(2.0, neuron_spikes=True).neuron_spikes
    assert np.array_equal(culture.weights, before)  # nothing is learnt until a reward comes
    expected = np.clip(pairs(culture, fired, before, 2.0, 1.0), 0.0, np.maximum(before, culture.weight_limit))
    punished = culture.copy(noise="same")
    culture.reward(1.0)
    assert np.abs(expected - before).max() > 0.3
    assert culture.weights == pytest.approx(expected, rel=2e-3, abs=2e-3)
    punished.reward(-1.0)
    inner = (punished.weights > 0) & (culture.weights > 0)
    assert (punished.weights - before)[inner] == pytest.approx(-(culture.weights - before)[inner], abs=1e-4)


def test_a_late_reward_finds_little_left() -> None:
    culture = learner("reward")
    before = culture.weights
    culture.run(2.0)
    late = culture.copy(noise="same")
    culture.reward(1.0)
    silent = late.state
    silent.arrays["neurons"][kernel.BIAS] = -10.0  # a drive so low that nothing fires and nothing new becomes eligible
    late.restore(silent)
    late.run(3.0)
    late.reward(1.0)
    soon, later = (np.abs(each.weights - before).sum() for each in (culture, late))
    assert 0 < later < 0.1 * soon  # exp(-3)


def test_only_a_culture_that_waits_for_rewards_takes_them() -> None:
    with pytest.raises(ValueError, match="plasticity='reward'"):
        NeuralCulture(neurons=20).reward(1.0)
    with pytest.raises(ValueError, match="amount is nan"):
        learner("reward").reward(float("nan"))


def test_what_was_learnt_survives_a_reset_and_a_copy_and_weights_stay_within_limits() -> None:
    culture = NeuralCulture(regime="bursting", plasticity="stdp", learning_rate=0.1)
    before = culture.weights
    state = culture.state
    culture.run(8.0)
    after = culture.weights
    learns = (culture.synapse_sources < 800) & (culture.synapse_targets < 800)
    assert (before[learns] != after[learns]).mean() > 0.5
    assert np.array_equal(before[~learns], after[~learns])  # only between excitatory neurons
    assert (after >= 0).all()
    assert after[learns].max() <= max(culture.weight_limit, before[learns].max()) + 1e-4
    twin = culture.copy(noise="same")
    culture.reset()
    assert np.array_equal(culture.weights, after)
    assert np.array_equal(twin.weights, after)
    culture.restore(state)
    assert np.array_equal(culture.weights, before)


def profile(culture: NeuralCulture) -> np.ndarray:
    """Spikes of each neuron in 12 s."""
    culture.run(1.0)
    return np.bincount(culture.run(12.0, neuron_spikes=True).neuron_spikes["channel"], minlength=1000)


def test_a_culture_drifts_with_age_and_soon_is_more_alike_than_late() -> None:
    young = profile(NeuralCulture(seed=6))
    alike = [np.corrcoef(young, profile(NeuralCulture(seed=6, days=days)))[0, 1] for days in (0, 1, 7, 30)]
    assert alike[0] == pytest.approx(1)
    assert alike[0] > alike[1] > alike[2] > alike[3]
    assert alike[1] > 0.8
    # Drives keep exp(-0.05 * 30) of what they were, a fifth; rates follow them.
    assert alike[3] < 0.6


def test_drift_changes_which_cell_is_which_and_not_what_cells_there_are() -> None:
    culture = NeuralCulture(seed=6)
    before = culture.weights
    culture.age(60 * DAY)
    after = culture.weights
    kept = np.exp(-0.05 * 60)
    excitatory = culture.synapse_sources < 800
    logs = [np.log(each[excitatory]) for each in (before, after)]
    assert np.corrcoef(*logs)[0, 1] == pytest.approx(kept, abs=4 / np.sqrt(excitatory.sum()))
    assert ks_2samp(*logs).pvalue > 1e-3
    assert 0.1 <= len(culture.run(20.0).spikes) / 20 / 32 <= 15


def test_age_is_repeatable_and_is_in_a_state() -> None:
    culture, twin = NeuralCulture(seed=6, neurons=300), NeuralCulture(seed=6, neurons=300, days=7)
    young = culture.state
    fresh = culture.copy(noise="same").run(1.0, neuron_spikes=True).neuron_spikes
    culture.age(7 * DAY)
    assert culture.time == pytest.approx(7 * DAY)
    old = culture.state
    first = culture.run(1.0, neuron_spikes=True).neuron_spikes
    again = twin.run(1.0, neuron_spikes=True).neuron_spikes
    assert np.array_equal(first["channel"], again["channel"])
    assert np.allclose(first["time"], again["time"], atol=1e-7)  # the one's clock says 7 days, the other's 0
    culture.restore(young)
    assert np.array_equal(culture.run(1.0, neuron_spikes=True).neuron_spikes, fresh)
    culture.restore(old)
    assert np.array_equal(culture.run(1.0, neuron_spikes=True).neuron_spikes, first)
    assert twin.info.id == NeuralCulture(seed=6, neurons=300).info.id  # the same culture, later
    with pytest.raises(ValueError, match="duration is -1"):
        culture.age(-1.0)


def test_without_aging_nothing_drifts() -> None:
    culture = NeuralCulture(neurons=100, aging=0.0)
    before = culture.weights
    culture.age(100 * DAY)
    assert np.array_equal(culture.weights, before)
