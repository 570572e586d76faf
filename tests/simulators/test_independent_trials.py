"""Noise: stationary from the first sample on, independent between trials and copies, repeatable by the seed."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from inmateria.adapters.simulated import SimulatedSubstrate
from inmateria.simulators import (
    Asynchronous,
    EchoStateNetwork,
    NanowireEnsemble,
    NanowireNetwork,
    NeuralCulture,
    ScatteringMedium,
    Variability,
)

SIGMA, TAU, STEP = 0.1, 0.02, 1e-3


def noisy(seed=42, **given):
    return NanowireNetwork(wires=60, seed=seed, variability=Variability(noise=SIGMA, noise_time=TAU), **given)


def walk(network, steps=60):
    """Logarithm of every conductance beside its value at rest, shape (steps, junctions); nothing switches at 0 V."""
    quiet = NanowireNetwork(wires=60, seed=42).conductance
    return np.log(network.simulate(np.zeros((steps, 8)), STEP, record="conductances").conductances / quiet)


def trials(network, count):
    walks = []
    for _ in range(count):
        network.reset()
        walks.append(walk(network))
    return np.array(walks)


def test_the_walk_is_stationary_from_the_first_sample_of_every_trial():
    walks = trials(noisy(), 80)  # trial, step, junction
    samples = walks.shape[0] * walks.shape[2]
    low, high = chi2.ppf([1e-6, 1 - 1e-6], samples) / samples
    for step in (0, 1, 5, 59):
        assert low < (walks[:, step] ** 2).mean() / SIGMA**2 < high
        assert abs(walks[:, step].mean()) < 5 * SIGMA / np.sqrt(samples)
        assert kstest(walks[:, step].ravel() / SIGMA, "norm").pvalue > 1e-6
    for begin, lag in ((0, 1), (0, 10), (0, 20), (0, 40), (19, 40)):
        correlation = (walks[:, begin] * walks[:, begin + lag]).mean() / SIGMA**2
        assert correlation == pytest.approx(np.exp(-lag * STEP / TAU), abs=5 * np.sqrt(2 / samples))


def test_trials_junctions_and_copies_are_independent():
    network = noisy()
    streams = list(trials(network, 4)) + [walk(network.copy()) for _ in range(3)] + [walk(network.copy().copy())]
    bound = 5 / np.sqrt(streams[0].shape[1])
    for i, first in enumerate(streams):
        assert abs((first[0, 1:] * first[0, :-1]).mean() / SIGMA**2) < bound
        for second in streams[:i]:
            for step in (0, 1, 30):
                assert abs((first[step] * second[step]).mean() / SIGMA**2) < bound


@pytest.mark.parametrize(
    "make",
    [
        noisy,
        lambda: noisy(model="rate-balance"),
        lambda: NeuralCulture(neurons=200, electrodes=8, regime=Asynchronous(drive=14.0)),
        lambda: ScatteringMedium(noise=0.05),
    ],
    ids=["nanowire", "rate balance", "culture", "scattering"],
)
def test_a_run_is_that_of_its_seed_and_no_trial_that_of_another(make):
    def answers(simulator, **how):
        drive = np.full((20, len(simulator.info.inputs)), 0.5 * simulator.info.inputs[0].high)
        got = []
        for _ in range(3):
            response = simulator.advance(simulator.info.stimulus(drive))
            got.append(response.spikes.tobytes() if response.signal is None else response.signal.tobytes())
            simulator.reset(**how)
        return got

    whole = answers(make())
    assert len(set(whole)) == 3
    assert answers(make()) == whole
    assert answers(make(), noise="repeat") == [whole[0]] * 3
    with pytest.raises(ValueError, match="noise is 'again'; give 'continue' or 'repeat'"):
        make().reset(noise="again")


def test_what_has_no_noise_repeats_either_way():
    for make in (lambda: EchoStateNetwork(units=10), lambda: NanowireNetwork(wires=60)):
        simulator = make()
        drive = np.full((5, len(simulator.info.inputs)), 0.5)
        signals = []
        for how in ("continue", "repeat", "continue"):
            signals.append(simulator.advance(simulator.info.stimulus(drive)).signal)
            simulator.reset(noise=how)
        np.testing.assert_array_equal(signals[0], signals[1])
        np.testing.assert_array_equal(signals[0], signals[2])
    with pytest.raises(ValueError, match="noise is 'no'"):
        EchoStateNetwork(units=10).reset(noise="no")


def test_copies_are_those_of_the_seed_and_the_same_only_if_asked():
    drive = np.full((30, 8), 0.3)

    def answer(network):
        return network.advance(network.info.stimulus(drive)).signal.tobytes()

    one, other = noisy(), noisy()
    copies = [one.copy(), one.copy(), one.copy(noise="same")]
    nested = copies[0].copy()
    expected = [other.copy(), other.copy()]
    assert [answer(each) for each in copies[:2]] == [answer(each) for each in expected]
    assert len({answer(each) for each in (*copies, nested)}) == 4
    assert answer(one) == answer(noisy())  # copying changed nothing
    again = one.copy()  # of a number that none had before
    copies[0].reset(noise="repeat")
    again.reset(noise="repeat")
    assert answer(copies[0]) != answer(again)
    with pytest.raises(ValueError, match="give 'independent' or 'same'"):
        one.copy(noise="other")


def test_a_copy_ages_by_itself_unless_it_is_the_same():
    network = NanowireNetwork(wires=60, variability=Variability(aging=0.1))
    other, same = network.copy(), network.copy(noise="same")
    for each in (network, other, same):
        each.age(86_400.0)
    np.testing.assert_array_equal(same.conductance, network.conductance)
    changes = [np.log(each.conductance / NanowireNetwork(wires=60).conductance) for each in (network, other)]
    assert abs(np.corrcoef(changes)[0, 1]) < 5 / np.sqrt(len(changes[0]))


def test_the_walk_goes_on_while_a_network_ages():
    """After an age long beside the noise's own time it is independent, and no sample is without it."""
    network = noisy()
    first = walk(network, 1)[0]
    network.age(10.0)
    second = walk(network, 1)[0]
    assert second.std() == pytest.approx(SIGMA, rel=0.3)
    assert abs((first * second).mean() / SIGMA**2) < 5 / np.sqrt(len(first))


def test_every_network_of_an_ensemble_has_noise_of_its_own():
    network = noisy()
    ensemble = NanowireEnsemble([network.copy() for _ in range(5)])
    drive = np.full((30, 8), 0.3)
    first = ensemble.advance(drive)
    ensemble.reset()
    second = ensemble.advance(drive)
    assert len({signal.tobytes() for signal in (*first, *second)}) == 10
    ensemble.reset(noise="repeat")
    third = ensemble.advance(drive)
    ensemble.reset(noise="repeat")
    np.testing.assert_array_equal(ensemble.advance(drive), third)


def test_membranes_of_two_trials_and_of_a_copy_are_independent():
    """Leaky membranes below threshold are Ornstein-Uhlenbeck processes: nothing but noise is in them."""
    culture = NeuralCulture(neurons=2000, electrodes=8, regime=Asynchronous(drive=0.0, drive_spread=0.0, noise=0.5))
    membranes = []
    for _ in range(2):
        assert len(culture.run(0.1, neuron_spikes=True).neuron_spikes) == 0
        membranes.append(culture.state.arrays["neurons"][0])
        culture.reset()
    twin = culture.copy()
    for each in (culture, twin):
        each.run(0.1)
        membranes.append(each.state.arrays["neurons"][0])
    correlations = np.corrcoef(membranes)[np.triu_indices(4, 1)]
    assert abs(correlations).max() < 5 / np.sqrt(2000)
    assert min(np.std(membranes, axis=1)) > 0.1


def test_reading_noise_of_a_medium_is_independent_between_trials():
    medium = ScatteringMedium(4, 50, noise=0.05)
    stimulus = medium.info.stimulus(np.zeros((200, 4)))
    noises = []
    for _ in range(2):
        noises.append(
            medium.advance(stimulus).signal.ravel() - np.tile(medium.intensity(np.zeros((1, 4))), 200).ravel()
        )
        medium.reset()
    assert abs(np.corrcoef(noises)[0, 1]) < 5 / np.sqrt(len(noises[0]))
    np.testing.assert_allclose(np.std(noises, axis=1), 0.05, rtol=0.05)


async def test_a_substrate_that_returns_to_rest_does_not_repeat_its_noise():
    async with SimulatedSubstrate(noisy()) as substrate:
        stimulus = substrate.info.stimulus(np.full((20, 8), 0.3))
        signals = []
        for _ in range(2):
            signals.append((await substrate.stimulate(stimulus)).signal)
            await substrate.reset()
    assert not np.array_equal(*signals)
