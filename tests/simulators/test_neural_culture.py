"""The simulated culture: what a biologist would expect of it, exact resumption, and what it refuses."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from inmateria.adapters import connect
from inmateria.simulators import PULSE, Activity, Asynchronous, Connectivity, ElectrodeArray, NeuralCulture, Pulses
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.pulses import strength_of
from inmateria.substrate import SPIKE, UnknownSubstrate

SETTLING = 3.0


def settled(**parameters: object) -> NeuralCulture:
    culture = NeuralCulture(**parameters)
    culture.run(SETTLING)
    return culture


def rates(activity: Activity, electrodes: int = 32) -> np.ndarray:
    return np.bincount(activity.spikes["channel"], minlength=electrodes) / activity.duration


def interval_variation(activity: Activity) -> float:
    found = []
    for electrode in np.unique(activity.spikes["channel"]):
        intervals = np.diff(activity.spikes["time"][activity.spikes["channel"] == electrode])
        if len(intervals) > 20:
            found.append(intervals.std() / intervals.mean())
    return float(np.mean(found))


def population_rate(activity: Activity, neurons: int = 1000, bin_width: float = 0.025) -> np.ndarray:
    edges = np.arange(0, activity.duration + bin_width / 2, bin_width)
    return np.histogram(activity.neuron_spikes["time"], edges)[0] / neurons / bin_width


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_asynchronous_culture_fires_within_the_ranges_that_it_was_tuned_to(seed: int) -> None:
    activity = settled(seed=seed, regime="asynchronous").run(30.0, neuron_spikes=True)
    each = rates(activity)
    assert 0.1 <= each.mean() <= 15
    assert 0.5 <= (each > 0.1).mean() <= 0.85  # two thirds: 22 of 32 electrodes
    assert 0.8 <= interval_variation(activity) <= 1.0
    assert population_rate(activity).max() < 12  # nothing like a network burst, Hz
    of_neurons = np.bincount(activity.neuron_spikes["channel"], minlength=1000) / activity.duration
    assert np.median(of_neurons) < of_neurons.mean()  # as in lognormal rate distributions
    assert np.percentile(of_neurons, 95) > 3 * np.median(of_neurons)


def evoked_by_distance(culture: NeuralCulture, amplitude: float, trials: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Give evoked less expected spikes within 100 ms, per trial and electrode, by distance in pitches and latency."""
    places = culture.electrode_positions
    rings, members, late = np.zeros(4), np.zeros(4), np.zeros(4)
    edges = np.array([0, 0.02, 0.1, 0.15, 0.3])
    for trial in range(trials):
        activity = culture.run(2.0, Pulses(1.0, trial % 32, amplitude))
        ring = np.minimum(np.hypot(*(places - places[trial % 32]).T) // 200, 3).astype(int)
        time, where = activity.spikes["time"] - 1.0, ring[activity.spikes["channel"]]
        rings += np.bincount(where[(time >= 0) & (time < 0.1)], minlength=4)
        rings -= np.bincount(where[(time >= -0.9) & (time < 0)], minlength=4) / 9
        members += np.bincount(ring, minlength=4)
        late += np.histogram(time, edges)[0] / np.diff(edges) / trials
        late -= np.count_nonzero((time >= -0.9) & (time < 0)) / 0.9 / trials
    return rings / members, late


def test_the_evoked_response_is_strongest_at_the_electrode_falls_with_distance_and_is_soon_over() -> None:
    by_ring, by_latency = evoked_by_distance(settled(seed=3, regime="asynchronous"), 2e-6)
    assert by_ring[0] > 0.4
    assert by_ring[0] > by_ring[1] > max(by_ring[2], by_ring[3])
    assert abs(by_ring[3]) < 0.1 * by_ring[0]
    assert by_latency[0] > 10 * np.abs(by_latency[2:]).max()  # beyond 100 ms nothing is left of it


def test_more_current_evokes_more_and_the_negative_phase_first_most() -> None:
    base = settled(seed=4, regime="asynchronous")

    def spikes(amplitude: float, polarity: int = -1, phase: float = 2e-4) -> int:
        times = np.arange(16) * 0.25 + 0.1
        activity = base.copy().run(4.2, Pulses(times, np.arange(16), amplitude, phase, polarity), neuron_spikes=True)
        after = activity.neuron_spikes["time"][:, np.newaxis] - times
        return int(((after >= 0) & (after < 0.02)).sum())

    found = [spikes(amplitude) for amplitude in (0.0, 1e-6, 2e-6, 3e-6)]
    assert found == sorted(found)
    assert found[3] > 1.5 * found[0]
    assert spikes(2e-6, polarity=1) < found[2]
    assert spikes(2e-6, phase=5e-5) < found[2] < spikes(2e-6, phase=4e-4)


def test_a_culture_tires_of_pulses_and_recovers() -> None:
    def near(culture: NeuralCulture, count: int, interval: float) -> np.ndarray:
        """Spikes within 15 ms of each pulse at the neurons around it."""
        times = np.arange(count) * interval + 0.01
        activity = culture.run(count * interval + 0.02, Pulses(times, 10, 2e-6), neuron_spikes=True)
        place = culture.electrode_positions[10]
        around = np.hypot(*(culture.positions - place).T)[activity.neuron_spikes["channel"]] < 150
        after = activity.neuron_spikes["time"][around, np.newaxis] - times
        return ((after >= 0) & (after < 0.015)).sum(axis=0)

    culture = settled(seed=5, regime="asynchronous")
    fast = near(culture, 40, 0.1)
    assert fast[-10:].mean() < 0.7 * fast[:3].mean()
    culture.run(20.0)
    assert near(culture, 1, 1.0)[0] > 1.2 * fast[-10:].mean()


def test_a_neuron_is_refractory() -> None:
    activity = settled().run(20.0, neuron_spikes=True)
    for neuron in range(0, 1000, 25):
        intervals = np.diff(activity.neuron_spikes["time"][activity.neuron_spikes["channel"] == neuron])
        assert (intervals > (0.003 if neuron < 800 else 0.002) - 1e-9).all()
    for electrode in range(32):
        intervals = np.diff(activity.spikes["time"][activity.spikes["channel"] == electrode])
        assert (intervals >= 0.003 - 1e-9).all()  # dead time of the detection


def test_an_isolated_membrane_fires_at_the_rate_that_theory_gives() -> None:
    culture = NeuralCulture(
        neurons=50,
        seed=0,
        regime=Asynchronous(drive=20.0, drive_spread=0.0, noise=0.0, excitation=0.0, inhibition=0.0, adaptation=0.0),
        connectivity=Connectivity(excitatory=1.0),
    )
    activity = culture.run(10.0, neuron_spikes=True)
    # T = refractory + tau ln((drive - reset) / (drive - threshold)), to within a step
    period = 3e-3 + 20e-3 * np.log((20.0 - 3.0) / (20.0 - 15.0))
    for neuron in range(50):
        intervals = np.diff(activity.neuron_spikes["time"][activity.neuron_spikes["channel"] == neuron])
        assert abs(intervals - period).max() < 1.5e-4


def test_a_synapse_is_what_its_differential_equations_say() -> None:
    """Beside scipy's integration: membrane and current of one neuron, driven by the spikes of one other."""
    culture = NeuralCulture(
        neurons=2,
        electrodes=1,
        seed=3,
        regime=Asynchronous(drive=0.0, drive_spread=0.0, noise=0.0, excitation=4.0, inhibition=0.0, adaptation=0.0),
        connectivity=Connectivity(excitatory=0.5, synapses=1.0),
    )
    state = culture.state
    state.arrays["neurons"][kernel.BIAS, 0] = 20.0 * (1 - np.exp(-1e-4 / 20e-3))  # only the first fires by itself
    culture.restore(state)
    fired, excited, voltage = [], [], []
    for _ in range(4000):
        spikes = culture.run(1e-4, neuron_spikes=True).neuron_spikes
        assert (spikes["channel"] == 0).all()
        fired += [len(excited)] * len(spikes)
        neurons = culture.state.arrays["neurons"]
        excited.append(float(neurons[kernel.EXCITED, 1]))
        voltage.append(float(neurons[kernel.VOLTAGE, 1]))
    assert len(fired) > 10
    weight = float(culture.weights[culture.synapse_sources == 0][0])
    delay = round(float(culture.delays[culture.synapse_sources == 0][0]) / 1e-4)
    # du/dt = (U - u) / 20 ms, dx/dt = (1 - x) / 0.8 s; a spike makes u += U (1 - u), then x -= u x, and u x arrives
    use, x, u, e, v, now = 0.5, 1.0, 0.5, 0.0, 0.0, 0

    def between(_: float, y: np.ndarray) -> list[float]:
        return [(use - y[0]) / 20e-3, (1 - y[1]) / 0.8, -y[2] / 5e-3, (y[2] - y[3]) / 20e-3]

    events = sorted([(at, "spike") for at in fired] + [(at + delay, "arrives") for at in fired if at + delay < 4000])
    under_way: list[float] = []
    for at, what in events:
        if at > now:
            found = solve_ivp(between, (0.0, (at - now) * 1e-4), [u, x, e, v], rtol=1e-8, atol=1e-10).y[:, -1]
            u, x, e, v = found.tolist()
            now = at
            assert excited[at - 1] == pytest.approx(e, rel=1e-3, abs=1e-4)
            assert voltage[at - 1] == pytest.approx(v, rel=1e-3, abs=1e-4)
        if what == "arrives":
            e += weight * under_way.pop(0)
        else:
            u += use * (1 - u)
            under_way.append(u * x)
            x -= u * x
    assert max(voltage) > 0.1


def test_noise_alone_gives_the_membrane_its_stated_spread() -> None:
    culture = NeuralCulture(
        neurons=2000,
        regime=Asynchronous(drive=0.0, drive_spread=0.0, noise=3.0, excitation=0.0, inhibition=0.0, adaptation=0.0),
    )
    culture.run(0.3)
    voltages = culture.state.arrays["neurons"][kernel.VOLTAGE]
    assert abs(voltages.mean()) < 4 * 3.0 / np.sqrt(2000)
    assert voltages.std() == pytest.approx(3.0, rel=0.08)  # 5 standard errors


def test_organoids_share_an_array_but_not_a_synapse() -> None:
    culture = settled(organoids=4, seed=1)
    assert (np.bincount(culture.organoid_of_electrode) == 8).all()
    times = np.arange(8) * 0.5
    kicked = culture.copy(noise="same").run(4.0, Pulses(times, 3, 3e-6), neuron_spikes=True)
    alone = culture.run(4.0, neuron_spikes=True)
    organoid = culture.organoid_of_neuron
    for k in range(4):
        a, b = (each.neuron_spikes[organoid[each.neuron_spikes["channel"]] == k] for each in (kicked, alone))
        assert np.array_equal(a, b) == (k != 0)  # electrode 3 is in organoid 0, and nobody else feels it


def test_delays_grow_with_distance() -> None:
    culture = NeuralCulture(organoids=2)
    way = culture.positions[culture.synapse_targets] - culture.positions[culture.synapse_sources]
    assert abs(culture.delays - (np.hypot(*way.T) * 1e-6 / 0.3 + 5e-4)).max() <= 0.5e-4 + 1e-12  # to half a step
    near = NeuralCulture(connectivity=Connectivity(velocity=10.0)).delays
    far = NeuralCulture(connectivity=Connectivity(velocity=0.1)).delays
    assert near.max() < 1e-3 < 3e-3 < far.max()
    assert near.min() >= 5e-4 - 1e-9


@settings(max_examples=12, deadline=None)
@given(
    cut=st.integers(1, 1999), seed=st.integers(0, 5), electrode=st.integers(0, 31), at=st.floats(0.0, 0.1999),
    resume=st.sampled_from(["goes on", "copy", "restore", "pickle", "deepcopy"]),
)  # fmt: skip
def test_a_run_in_two_parts_is_the_run_in_one(cut: int, seed: int, electrode: int, at: float, resume: str) -> None:
    cut_at = cut * 1e-4
    one, two = (NeuralCulture(neurons=200, seed=seed, regime=Asynchronous(drive=12.0)) for _ in range(2))
    pulse = Pulses(at, electrode, 2e-6)
    whole = one.run(0.2, pulse, voltage=True, neuron_spikes=True)
    first = two.run(cut_at, pulse if at < cut_at else None, voltage=True, neuron_spikes=True)
    if resume == "copy":
        two = two.copy(noise="same")
    elif resume == "pickle":
        two = pickle.loads(pickle.dumps(two))
    elif resume == "deepcopy":
        two = deepcopy(two)
    elif resume == "restore":
        state = two.state
        two.run(0.05, voltage=True)
        two.restore(state)
    later = Pulses(max(at - cut_at, 0.0), electrode, 2e-6) if at >= cut_at else None
    second = two.run(0.2 - cut_at, later, voltage=True, neuron_spikes=True)
    for name in ("spikes", "neuron_spikes"):
        a, b, c = (getattr(each, name) for each in (whole, first, second))
        assert np.array_equal(a["channel"], np.concatenate((b["channel"], c["channel"])))
        assert np.allclose(a["time"], np.concatenate((b["time"], c["time"] + cut_at)), atol=1e-9)
    # A spike lies in a sample that rounding may not move; the noise and artefacts are the same bits.
    assert np.abs(whole.voltage - np.concatenate((first.voltage, second.voltage))).max() < 1e-7
    assert one.time == pytest.approx(two.time)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    first, second, other = (NeuralCulture(seed=seed).run(1.0, neuron_spikes=True) for seed in (1, 1, 2))
    assert np.array_equal(first.neuron_spikes, second.neuron_spikes)
    assert not np.array_equal(first.neuron_spikes, other.neuron_spikes)
    culture = NeuralCulture(seed=1)
    culture.run(0.5, voltage=True)
    culture.reset(noise="repeat")
    assert np.array_equal(culture.run(1.0, neuron_spikes=True).neuron_spikes, first.neuron_spikes)


def test_asking_for_voltage_changes_nothing_else() -> None:
    a, b = NeuralCulture(), NeuralCulture()
    assert np.array_equal(a.run(1.0, voltage=True).spikes, b.run(1.0).spikes)


def test_spikes_found_in_the_voltage_are_those_reported() -> None:
    activity = settled(seed=2).run(8.0, voltage=True)
    assert activity.voltage.shape == (240_000, 32)
    found = true = both = 0
    for electrode in range(32):
        trace = activity.voltage[:, electrode]
        below = trace < -6 * 5e-6
        crossings = np.flatnonzero(below[1:] & ~below[:-1]) + 1
        kept: list[float] = []
        for crossing in crossings / 30e3:
            if not kept or crossing - kept[-1] >= 3e-3:
                kept.append(crossing)
        reported = activity.spikes["time"][activity.spikes["channel"] == electrode]
        found, true = found + len(kept), true + len(reported)
        if kept and len(reported):
            both += int((np.abs(np.array(kept)[:, np.newaxis] - reported).min(axis=0) < 1e-3).sum())
    assert both / true > 0.85  # sensitivity
    assert both / found > 0.85  # precision
    quiet = np.median(np.abs(activity.voltage), axis=0) / 0.6745
    assert np.all(quiet < 10e-6)
    assert quiet.min() == pytest.approx(5e-6, rel=0.05)


def test_an_artefact_is_large_and_balanced_and_fades() -> None:
    culture = NeuralCulture(regime=Asynchronous(drive=-20.0), array=ElectrodeArray(noise=1e-9))
    voltage = culture.run(0.1, Pulses(0.02, 5, 1e-6), voltage=True).voltage
    assert 200e-6 <= np.abs(voltage[:, 5]).max() <= 1.5e-3  # FinalSpark: 200 uV to more than 1000
    assert np.abs(voltage[:600]).max() < 1e-7
    first, second = voltage[600:606], voltage[606:612]  # phases of 0.2 ms
    assert (first[:, 5] < 0).all()
    assert np.abs(first.sum(axis=0) + second.sum(axis=0)).max() < 2e-2 * np.abs(first[:, 5].sum())
    assert np.abs(voltage[1100:, :]).max() < 30e-6  # under the threshold again after 17 ms
    places = culture.electrode_positions
    order = np.argsort(np.hypot(*(places - places[5]).T), kind="stable")
    size = np.abs(voltage).max(axis=0)[order]
    assert (np.diff(size) <= 1e-7).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"neurons": 0}, "at least 1"),
        ({"organoids": 40}, "organoids share"),
        ({"regime": "epileptic"}, "'asynchronous', 'bursting'"),
        ({"dt": 0.01}, "dt is 0.01"),
        ({"regime": {"type": "bursting", "noise": -1.0}}, "noise is -1"),
        ({"array": {"noise": float("nan")}}, "noise is nan"),
        ({"regime": {"type": "bursting", "adaptation_time": 0.02}}, "adaptation_time is 0.02 s, as is membrane_time"),
        ({"connectivity": {"velocty": 1.0}}, "did you mean velocity"),
        ({"step": 0.0}, "step is 0"),
        ({"regime": {"type": "asynchronous", "release": 2.0}}, "release is 2.0; allowed is 0 to 1"),
        ({"regime": {"type": "asynchronous", "reset": 20.0}}, "reset is 20.0 mV; give less than threshold"),
        ({"array": {"fatigue": 1.0}}, "fatigue is 1.0; allowed is a fraction"),
        ({"connectivity": {"excitatory": 0.0}}, "excitatory is 0.0"),
        ({"plasticity": "hebb"}, "'none', 'stdp', 'reward'"),
        ({"learning_rate": 0.0}, "at most 0.5"),
        ({"aging": -1.0}, "aging is -1"),
        ({"array": {"blanking": float("nan")}}, "blanking is nan"),
    ],
)
def test_what_makes_no_culture_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeuralCulture(**given)


@pytest.mark.parametrize(
    ("pulses", "message"),
    [
        (Pulses(2.0, 0), "time"),
        (Pulses(-0.1, 0), "time"),
        (Pulses(0.1, 32), "electrode"),
        (Pulses(0.1, 0, 5e-6), "amplitude"),
        (Pulses(0.1, 0, float("nan")), "amplitude"),
        (Pulses(0.1, 0, 1e-6, 0.0), "duration"),
        (np.array([(0.1, 0, -1e-6, 1e-4, 1e-6, 6e-3)], dtype=PULSE), "second_duration"),
        (np.array([(0.1, 0, -1e-6, 1e-4, 5e-6, 2e-5)], dtype=PULSE), "second_amplitude"),
        (np.array([(0.1, 0, -1e-6, 1e-4, 1e-6, 2e-4)], dtype=PULSE), "leaves no charge behind"),
        (np.array([(0.1, 0, -1e-6, 1e-4, -1e-6, 1e-4)], dtype=PULSE), "leaves no charge behind"),
        (np.zeros(3), "PULSE"),
    ],
)
def test_a_pulse_that_is_not_allowed_is_refused_and_no_time_passes(pulses: Pulses | np.ndarray, message: str) -> None:
    culture = NeuralCulture(neurons=50)
    with pytest.raises(ValueError, match=message):
        culture.run(1.0, pulses)
    assert culture.time == 0.0


def test_pulses_broadcast_and_sort() -> None:
    pulses = Pulses([0.3, 0.1], [1, 2], 1e-6)
    assert pulses.array.dtype == PULSE
    assert pulses.array["time"].tolist() == [0.1, 0.3]
    assert pulses.array["electrode"].tolist() == [2, 1]
    with pytest.raises(ValueError, match="electrode is -1"):
        Pulses(0.1, -1)
    with pytest.raises(ValueError, match="polarity is 0"):
        Pulses(0.1, 1, polarity=0)
    with pytest.raises(ValueError, match="amplitude is -1e-06 A"):
        Pulses(0.1, 1, -1e-6)


def test_the_phase_that_excites_is_the_negative_one_wherever_it_is() -> None:
    """A long weak positive phase before a short strong negative one excites by the latter (Lapicque and Weiss)."""
    weiss = lambda current, phase: current / (1 + 2e-4 / phase)  # noqa: E731
    pulses = np.array(
        [
            (0, 0, -2e-6, 1e-4, 1e-6, 2e-4),
            (0, 0, -1e-6, 2e-4, 2e-6, 1e-4),
            (0, 0, 1e-6, 2e-4, -2e-6, 1e-4),
            (0, 0, 2e-6, 1e-4, -1e-6, 2e-4),
        ],
        dtype=PULSE,
    )
    expected = [weiss(2, 1e-4), weiss(1, 2e-4), 0.6 * weiss(2, 1e-4), 0.6 * weiss(1, 2e-4)]
    assert strength_of(pulses, 1.0) == pytest.approx(expected)


def test_the_artefact_of_a_pulse_has_both_its_phases() -> None:
    culture = NeuralCulture(neurons=50, array=ElectrodeArray(noise=1e-9))
    pulse = np.array([(0.02, 5, -1.2e-6, 1e-3, 0.3e-6, 4e-3)], dtype=PULSE)
    activity = culture.run(0.1, pulse, voltage=True)
    assert activity.voltage is not None
    trace = activity.voltage[:, 5]
    first, second = trace[600 + 15], trace[600 + 30 + 60]
    assert first < 0 < second
    assert first / second == pytest.approx(-4, rel=0.1)


def test_as_a_substrate_a_pulse_goes_out_at_the_start_of_each_driven_step() -> None:
    one, two = NeuralCulture(seed=7), NeuralCulture(seed=7)
    drive = np.zeros((20, 32))
    drive[3, 4] = drive[15, 9] = 2e-6
    response = one.advance(one.info.stimulus(drive, step=0.01))
    activity = two.run(0.2, Pulses([0.03, 0.15], [4, 9], 2e-6))
    assert np.array_equal(response.spikes["channel"], activity.spikes["channel"])
    assert response.spikes.dtype == SPIKE
    again = one.advance(one.info.stimulus(drive, step=0.01))
    assert (again.start, again.sequence) == (pytest.approx(0.2), 1)
    assert ((again.spikes["time"] >= again.start) & (again.spikes["time"] < again.start + 0.2)).all()


@settings(max_examples=12, deadline=None)
@given(step=st.floats(1e-4, 0.02), steps=st.integers(1, 40))
def test_the_clock_never_drifts_from_what_was_asked(step: float, steps: int) -> None:
    culture = NeuralCulture(neurons=60, regime=Asynchronous(drive=14.0))
    stimulus = culture.info.stimulus(np.zeros((steps, 32)), step=step)
    for k in range(3):
        response = culture.advance(stimulus)
        assert response.start == pytest.approx(k * stimulus.duration, abs=1e-9)
        spikes = response.spikes["time"]
        assert ((spikes >= response.start) & (spikes < response.start + stimulus.duration)).all()
    assert abs(culture.state.steps * 1e-4 - culture.time) <= 0.5e-4 + 1e-9


@pytest.mark.parametrize(("electrodes", "organoids"), [(32, 1), (64, 1), (32, 4), (64, 2)])
def test_arrays_of_32_and_64_electrodes_are_heard_and_reach(electrodes: int, organoids: int) -> None:
    culture = settled(electrodes=electrodes, organoids=organoids, neurons=1000, seed=8)
    assert len(culture.info.inputs) == len(culture.info.outputs) == electrodes
    assert (np.bincount(culture.organoid_of_electrode) == electrodes // organoids).all()
    gaps = np.hypot(*(culture.electrode_positions[:, np.newaxis] - culture.electrode_positions).T)
    assert gaps[gaps > 0].min() == pytest.approx(200.0)  # um
    assert 0.4 <= (rates(culture.run(20.0), electrodes) > 0.1).mean() <= 0.95
    last = electrodes - 1
    quiet = NeuralCulture(electrodes=electrodes, organoids=organoids, regime=Asynchronous(drive=-20.0), seed=8)
    excited = quiet.run(0.02, Pulses(0.005, last, 3e-6), neuron_spikes=True).neuron_spikes["channel"]
    distance = np.hypot(*(culture.positions - culture.electrode_positions[last]).T)
    assert len(excited) > 0
    assert distance[excited].max() < 400.0


async def test_a_uri_makes_one() -> None:
    async with connect("culture://?neurons=300&seed=3&regime=asynchronous") as substrate:
        response = await substrate.stimulate(substrate.info.stimulus(np.zeros((10, 32))))
        assert response.signal is None
        assert response.spikes is not None
    with pytest.raises(UnknownSubstrate, match="regime='none'; regime is one of asynchronous, bursting"):
        connect("culture://?regime=none")
    with pytest.raises(UnknownSubstrate, match="days is -1"):
        connect("culture://?days=-1")
    older = connect("culture://?electrodes=64&organoids=2&plasticity=stdp&days=7&aging=0.1")
    assert older.info.parameters["days"] == 7
    assert len(older.info.inputs) == 64
