"""The compiled step of a culture beside the same equations in numpy, one step and one neuron after another."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from inmateria.simulators import Asynchronous, Connectivity, NeuralCulture, Pulses
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.pulses import strength_of

STRONG = Asynchronous(drive=12.0, excitation=12.0, adaptation=1.0)


def noise_of(random: np.ndarray) -> np.ndarray:
    """One number for each neuron, of mean 0 and variance 1, by xoroshiro64* (Blackman and Vigna, 2021)."""
    s0, s1 = random.astype(np.uint64)
    word = 0xFFFFFFFF
    drawn = (s0 * 0x9E3779BB) & word
    s1 ^= s0
    random[0] = (((s0 << 26) | (s0 >> 6)) & word) ^ s1 ^ ((s1 << 9) & word)
    random[1] = ((s1 << 13) | (s1 >> 19)) & word
    total = sum((drawn >> shift) & 255 for shift in (0, 8, 16, 24)).astype(float)
    return (total - 4 * 127.5) / np.sqrt(4 * (256**2 - 1) / 12)


def spikes_in_numpy(culture: NeuralCulture, steps: int, pulses: Pulses | None) -> list[tuple[int, int]]:
    """Steps and neurons of all spikes from rest, in double precision, with the constants of the docstrings."""
    own, model = culture.info.parameters, culture._model
    dt, state = float(own["dt"]), culture.state.arrays
    count = int(own["neurons"])
    many = round(count * float(own["connectivity"]["excitatory"]))
    excites = np.arange(count) < many
    random, drive = state["random"].copy(), model.drive + model.drive_spread * culture._traits.drive
    source, target, weights = culture.synapse_sources, culture.synapse_targets, culture.weights.astype(float)
    delay = np.round(culture.delays / dt).astype(int)
    v, e, i, a = np.zeros((4, count))
    use = np.where(excites, model.release, model.inhibitory_release)
    recovery = np.where(excites, model.recovery, model.inhibitory_recovery)
    u, x, since, held = use.copy(), np.ones(count), np.full(count, -np.inf), np.zeros(count, int)
    pauses = np.where(excites, round(model.refractory_excitatory / dt), round(model.refractory_inhibitory / dt))
    arriving = np.zeros((2, steps + 10_000, count))
    keep = [
        np.exp(-dt / each)
        for each in (model.membrane_time, model.excitation_time, model.inhibition_time, model.adaptation_time)
    ]
    times = (model.excitation_time, model.inhibition_time, model.adaptation_time)
    moves = [t / (t - model.membrane_time) * (k - keep[0]) for t, k in zip(times, keep[1:], strict=True)]
    given = [] if pulses is None else list(zip(pulses.array, strength_of(pulses.array, model.pulse_gain), strict=True))
    first, neuron, attenuation = culture._wiring.reach
    effect, pulsed = np.ones(int(own["electrodes"])), np.full(int(own["electrodes"]), -np.inf)
    fatigue, rest = float(own["array"]["fatigue"]), float(own["array"]["fatigue_recovery"])
    found = []
    for step in range(steps):
        e, i = e + arriving[0, step], i + arriving[1, step]
        moved = keep[0] * v + drive * (1 - keep[0]) + moves[0] * e - moves[1] * i - moves[2] * a
        moved += model.noise * np.sqrt(1 - keep[0] ** 2) * noise_of(random)
        v = np.where(held > 0, model.reset, moved)
        held = np.maximum(held - 1, 0)
        e, i, a = keep[1] * e, keep[2] * i, keep[3] * a
        while given and int(given[0][0]["time"] / dt + 1e-6) <= step:
            pulse, strength = given.pop(0)
            electrode = pulse["electrode"]
            left = 1 - (1 - effect[electrode]) * np.exp(-(step - pulsed[electrode]) * dt / rest)
            effect[electrode], pulsed[electrode] = left * (1 - fatigue), step
            near = slice(first[electrode], first[electrode + 1])
            felt = np.zeros(count)
            felt[neuron[near]] = strength * left * attenuation[near]
            e += model.pulse_release * felt
            v += np.where(held > 0, 0.0, felt)
        fires = v >= culture._own.threshold
        v[fires] = model.reset
        held[fires] = pauses[fires]
        a[fires & excites] += model.adaptation
        for n in np.flatnonzero(fires):
            found.append((step, int(n)))
            gap = (step - since[n]) * dt
            x[n] = 1 - (1 - x[n]) * np.exp(-gap / recovery[n])
            u[n] = use[n] + (u[n] - use[n]) * np.exp(-gap / model.facilitation)
            u[n] += use[n] * (1 - u[n])
            released = u[n] * x[n]
            x[n] -= released
            since[n] = step
            own_synapses = source == n
            np.add.at(
                arriving[0 if excites[n] else 1],
                (step + delay[own_synapses], target[own_synapses]),
                weights[own_synapses] * released,
            )
    return found


@pytest.mark.parametrize(
    "parameters",
    [
        {"neurons": 130, "seed": 1, "regime": STRONG},
        {"neurons": 33, "seed": 2, "regime": "bursting", "electrodes": 4},
        {"neurons": 48, "seed": 3, "regime": STRONG, "connectivity": Connectivity(delay=0.0, velocity=20.0)},
        {"neurons": 90, "seed": 4, "regime": STRONG, "connectivity": Connectivity(delay=3e-3)},
        # A drive far above the threshold: a membrane that creeps over it would be a step later by its rounding.
        {"neurons": 60, "seed": 5, "regime": Asynchronous(noise=0.0, drive=40.0)},
        {"neurons": 70, "seed": 6, "regime": STRONG, "dt": 5e-4},
        {"neurons": 70, "seed": 6, "regime": STRONG, "dt": 5e-4, "continuity_correction": True},
        # Neurons that fire in successive steps.
        {"neurons": 60, "seed": 8, "regime": replace(STRONG, drive=60.0, refractory_excitatory=0.0)},
        {"neurons": 60, "seed": 9, "regime": replace(STRONG, drive=60.0, refractory_inhibitory=1e-4)},
        {"neurons": 1, "seed": 7, "electrodes": 1, "regime": Asynchronous(drive=20.0)},
    ],
)
@pytest.mark.parametrize("pulsed", [False, True])
def test_the_spikes_are_those_of_the_equations_solved_in_numpy(parameters: dict[str, object], pulsed: bool) -> None:
    culture = NeuralCulture(**parameters)
    duration, electrodes = 0.15, int(culture.info.parameters["electrodes"])
    random = np.random.default_rng(0)
    pulses = Pulses(random.uniform(0, duration, 40), random.integers(0, electrodes, 40), 3e-6) if pulsed else None
    expected = spikes_in_numpy(culture, round(duration / float(culture.info.parameters["dt"])), pulses)
    activity = culture.run(duration, pulses, neuron_spikes=True)
    steps = (activity.neuron_spikes["time"] / float(culture.info.parameters["dt"])).astype(int)
    assert list(zip(steps.tolist(), activity.neuron_spikes["channel"].tolist(), strict=True)) == expected
    assert expected


def test_what_has_faded_is_zero_and_never_a_denormal_number() -> None:
    """Denormal numbers are ten times as slow, and a product that rounds to itself would stay one for ever."""
    silent = Asynchronous(drive=0.0, drive_spread=0.0, noise=0.0, adaptation=0.0)
    culture = NeuralCulture(neurons=40, seed=1, regime=silent)
    culture.run(0.15, Pulses(0.1, np.arange(32), 3e-6))
    assert (culture.state.arrays["neurons"][kernel.EXCITED] > 0).any()
    faded = [float(np.finfo(np.float32).tiny)]
    for _ in range(30):
        culture.run(0.1)
        values = np.abs(culture.state.arrays["neurons"][: kernel.BIAS])
        faded += values[values > 0].tolist()
    assert min(faded) == float(np.finfo(np.float32).tiny)
    assert (values[: kernel.BIAS] == 0).all()


def rate_of_alone(dt: float, corrected: bool, noise: float = 5.0) -> float:
    """Rate of neurons without synapses, Hz."""
    regime = Asynchronous(
        drive=6.0, drive_spread=0.0, noise=noise, excitation=0.0, inhibition=0.0, adaptation=0.0,
        refractory_inhibitory=3e-3,
    )  # fmt: skip
    culture = NeuralCulture(neurons=1000, seed=1, regime=regime, dt=dt, continuity_correction=corrected)
    culture.run(1.0)
    return len(culture.run(20.0, neuron_spikes=True).neuron_spikes) / 1000 / 20.0


def test_corrected_coarse_steps_fire_at_the_rate_of_fine_ones() -> None:
    """Beside the rate in closed form (Siegert 1951), with the threshold that steps of 0.1 ms amount to."""
    mean, spread, reset, membrane = 6.0, 5.0, 3.0, 20e-3
    threshold = 15.0 + 0.5826 * spread * np.sqrt(1 - np.exp(-2 * 1e-4 / membrane))
    low, high = ((each - mean) / spread / np.sqrt(2) for each in (reset, threshold))
    mean_interval = 3e-3 + membrane * np.sqrt(np.pi) * quad(lambda x: np.exp(x**2) * (1 + erf(x)), low, high)[0]
    expected = 1 / mean_interval
    assert rate_of_alone(1e-4, corrected=False) == pytest.approx(expected, rel=0.02)
    assert rate_of_alone(1e-4, corrected=True) == rate_of_alone(1e-4, corrected=False)
    assert rate_of_alone(5e-4, corrected=True) == pytest.approx(expected, rel=0.02)
    assert rate_of_alone(5e-4, corrected=False) < 0.95 * expected


def test_a_correction_down_to_the_reset_is_refused_and_it_is_part_of_the_id() -> None:
    with pytest.raises(ValueError, match="give a smaller dt, or a lower reset"):
        NeuralCulture(neurons=10, regime=Asynchronous(reset=14.9), dt=1e-3, continuity_correction=True)
    plain, corrected = (NeuralCulture(neurons=10, dt=5e-4, continuity_correction=each) for each in (False, True))
    assert plain.info.id == "culture-10-s0-f434f1baea77"  # as it was before there was a correction
    assert corrected.info.id != plain.info.id


def test_corrected_coarse_steps_make_delays_of_one_step_two_and_leave_the_others() -> None:
    plain, corrected = (NeuralCulture(neurons=200, dt=5e-4, continuity_correction=each) for each in (False, True))
    before, after = (
        dict(zip(pairs_of(each), np.round(each.delays / 5e-4), strict=True)) for each in (plain, corrected)
    )
    assert min(before.values()) == 1
    assert after == {pair: max(2, delay) for pair, delay in before.items()}
    usual, same = (NeuralCulture(neurons=200, continuity_correction=each).delays for each in (False, True))
    np.testing.assert_array_equal(usual, same)


def pairs_of(culture: NeuralCulture) -> list[tuple[int, int]]:
    """Neurons of each synapse."""
    return list(zip(culture.synapse_sources.tolist(), culture.synapse_targets.tolist(), strict=True))


def test_corrected_coarse_steps_are_the_same_in_one_run_and_in_many() -> None:
    """However the stretches of two steps fall."""
    whole, parts = (NeuralCulture(neurons=90, seed=1, regime=STRONG, dt=5e-4, continuity_correction=True) for _ in "ab")
    pulses = Pulses([0.0105, 0.02], [3, 5], 3e-6)
    expected = whole.run(0.1, pulses, neuron_spikes=True).neuron_spikes
    found = [parts.run(0.0305, pulses, neuron_spikes=True).neuron_spikes["channel"]]
    found += [parts.run(5e-4, neuron_spikes=True).neuron_spikes["channel"] for _ in range(139)]
    assert np.concatenate(found).tolist() == expected["channel"].tolist()
    for name, array in whole.state.arrays.items():
        np.testing.assert_array_equal(array, parts.state.arrays[name], err_msg=name)
