"""Cultures that are advanced together do what each does alone, to the bit."""

import pickle

import numpy as np
import pytest

from inmateria.simulators import CultureEnsemble, NeuralCulture, Pulses
from inmateria.substrate import StimulusRejected


def cultures() -> list[NeuralCulture]:
    """Cultures that differ in seed, wiring, regime, size and step."""
    return [
        NeuralCulture(neurons=120, seed=1, electrodes=8, regime="asynchronous"),
        NeuralCulture(neurons=120, seed=2, electrodes=8, regime="asynchronous"),
        NeuralCulture(neurons=33, seed=3, electrodes=8, dt=5e-4),
        NeuralCulture(neurons=80, seed=4, electrodes=8, regime="asynchronous", plasticity="stdp"),
    ]


def assert_same_state(ensemble: CultureEnsemble, alone: list[NeuralCulture]) -> None:
    for one, other in zip(ensemble, alone, strict=True):
        a, b = one.state.arrays, other.state.arrays
        assert all(np.array_equal(a[name], b[name]) for name in a)
        assert one.time == other.time


def test_a_stimulus_has_the_responses_of_each_culture_alone() -> None:
    ensemble, alone = CultureEnsemble(cultures()), cultures()
    drive = np.random.default_rng(0).uniform(0, 3e-6, (4, 12, 8)) * (np.arange(12)[:, np.newaxis] % 3 == 0)
    for given in (drive, drive[0]):
        responses = ensemble.advance(given, 0.02)
        each = np.broadcast_to(given, drive.shape)
        for response, culture, own in zip(responses, alone, each, strict=True):
            expected = culture.advance(culture.info.stimulus(own, 0.02))
            assert np.array_equal(response.spikes, expected.spikes)
            assert (response.start, response.sequence) == (expected.start, expected.sequence)
    assert sum(len(response.spikes) for response in responses) > 0
    assert_same_state(ensemble, alone)


def test_a_run_has_the_activity_of_each_culture_alone() -> None:
    ensemble, alone = CultureEnsemble(cultures()), cultures()
    pulses = [Pulses(0.1, 2, 3e-6), None, Pulses([0.0, 0.2], [1, 1], 1e-6), None]
    for given in (pulses, Pulses(0.05, 0), None):
        found = ensemble.run(0.3, given, voltage=True, neuron_spikes=True)
        each = given if isinstance(given, list) else [given] * 4
        for activity, culture, own in zip(found, alone, each, strict=True):
            expected = culture.run(0.3, own, voltage=True, neuron_spikes=True)
            assert np.array_equal(activity.neuron_spikes, expected.neuron_spikes)
            assert np.array_equal(activity.voltage, expected.voltage)
    ensemble.reset()
    for culture in alone:
        culture.reset()
    assert_same_state(pickle.loads(pickle.dumps(ensemble)), alone)


def test_copies_have_noise_of_their_own() -> None:
    culture = cultures()[0]
    ensemble = CultureEnsemble([culture.copy() for _ in range(3)])
    assert len({activity.neuron_spikes.tobytes() for activity in ensemble.run(0.5, neuron_spikes=True)}) == 3


def test_what_is_refused_is_refused_for_all() -> None:
    ensemble = CultureEnsemble(cultures())
    too_much = np.zeros((4, 1, 8))
    too_much[3, 0, 0] = 1.0
    with pytest.raises(StimulusRejected):
        ensemble.advance(too_much)
    with pytest.raises(StimulusRejected, match=r"\(4, steps, electrodes\)"):
        ensemble.advance(np.zeros((3, 1, 8)))
    with pytest.raises(ValueError, match="electrode 8"):
        ensemble.run(0.1, [None, None, None, Pulses(0.0, 8)])
    with pytest.raises(ValueError, match="2 sets of pulses for 4 cultures"):
        ensemble.run(0.1, [None, None])
    with pytest.raises(ValueError, match="duration is 0"):
        ensemble.run(0.0)
    assert [culture.time for culture in ensemble] == [0.0] * 4
    for wrong, says in (
        ([], "no cultures"),
        ([ensemble.cultures[0]] * 2, "twice"),
        ([ensemble.cultures[0], NeuralCulture(neurons=20, electrodes=4)], r"\[4, 8\] electrodes"),
    ):
        with pytest.raises(ValueError, match=says):
            CultureEnsemble(wrong)
    assert len(ensemble) == 4


def test_long_runs_on_several_cores_are_those_of_each_alone() -> None:
    cultures, alone = ([NeuralCulture(neurons=500, seed=seed, electrodes=8) for seed in range(3)] for _ in range(2))
    ensemble = CultureEnsemble(cultures)
    found = ensemble.run(0.5, neuron_spikes=True)  # 2.5 million updates of neurons in each
    for activity, culture in zip(found, alone, strict=True):
        assert np.array_equal(activity.neuron_spikes, culture.run(0.5, neuron_spikes=True).neuron_spikes)
    assert_same_state(ensemble, alone)
