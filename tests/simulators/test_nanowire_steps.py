"""Steps of a nanowire network: exact where there is a closed form, finite everywhere, and a warning where too long."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from inmateria.errors import ResponseMismatch
from inmateria.simulators import (
    Binary,
    CoarseStepWarning,
    Filament,
    LinearDrift,
    NanowireEnsemble,
    NanowireNetwork,
    RateBalance,
    Variability,
)

PAIR = {"wire_count": 2, "junctions": [(0, 1)], "inputs": [0], "grounds": [1]}


def one_junction(model, **given):
    return NanowireNetwork.from_junctions(**PAIR, model=model, **given)


@pytest.mark.parametrize("model", [Filament(overshoot=True), Binary(overshoot=True)])
@pytest.mark.parametrize("start", [0.0, -0.0])
def test_a_filament_that_is_not_there_does_not_grow_at_rest(model, start):
    """The decay is b (Vreset - |V|) sgn(filament), and sgn(0) is 0."""
    networks = [NanowireNetwork(wires=60, model=model) for _ in range(5)]
    for network in networks:
        state = network.state
        state.junctions[0] = start
        network.restore(state)
    alone, *rest = networks
    alone.simulate(np.zeros((200, 8)), 1e-3)
    NanowireEnsemble(rest).advance(np.zeros((200, 8)))  # in lanes
    for network in networks:
        assert abs(network.filament).max() == 0.0
        network.age(3600.0)
        assert abs(network.filament).max() == 0.0


@pytest.mark.parametrize("kind", [Filament, Binary])
@pytest.mark.parametrize("duration", [1e-3, 0.05, 0.5, 3600.0, 1e9])
def test_overshoot_is_an_artefact_of_steps_that_aging_has_not(kind, duration):
    for overshoot in (False, True):
        network = one_junction(kind(overshoot=overshoot))
        network.simulate(np.full(200, 0.08))
        start = network.filament[0]
        network.age(duration)
        assert abs(network.filament[0] - max(start - 10 * 0.005 * duration, 0.0)) < 1e-15


@pytest.mark.parametrize("voltage", [0.0, 0.02, 0.1, 0.5, 5.0])
@pytest.mark.parametrize("window", [0.0, 1.0, 3.0])
def test_linear_drift_under_a_constant_voltage_is_its_equation_for_long_steps(voltage, window):
    def slope(t, x):
        shape = 1 - (2 * x - 1) ** (2 * window) if window else 1.0
        return voltage / (160 - 159 * x) / 0.01 * shape - x / 0.5

    def full(t, x):
        return 0.97 - x[0]

    full.terminal = True
    exact = solve_ivp(slope, (0, 0.2), [0.3], method="LSODA", rtol=1e-9, atol=1e-11, events=full)
    for step in (1e-4, 5e-3, 2e-2):
        network = one_junction(LinearDrift(decay_time=0.5, window=window))
        state = network.state
        state.junctions[0] = 0.3
        network.restore(state)
        network.simulate(np.full(round(0.2 / step), voltage), step)
        if exact.status == 0:
            assert network.filament[0] == pytest.approx(exact.y[0, -1], rel=0.5 * step + 1e-6)
        else:
            assert network.filament[0] > 0.9


def test_linear_drift_without_decay_or_without_voltage_is_exact_for_any_step():
    for step in (1e-3, 0.2):
        network = one_junction(LinearDrift(decay_time=0.0))
        network.simulate(np.full(round(0.4 / step), 1.0), step)
        # 160 x - 159/2 x^2 = 100 t, as long as x < 1
        assert network.filament[0] == pytest.approx((160 - math.sqrt(160**2 - 2 * 159 * 100 * 0.4)) / 159, rel=1e-12)
        network = one_junction(LinearDrift(decay_time=0.5))
        network.simulate(np.full(10, 1.0), 1e-2)
        start = network.filament[0]
        network.simulate(np.zeros(round(2.0 / step)), step)
        assert network.filament[0] == pytest.approx(start * math.exp(-2.0 / 0.5), rel=1e-12)
        network.age(1.5)
        assert network.filament[0] == pytest.approx(start * math.exp(-3.5 / 0.5), rel=1e-12)


def leaky(constants, step, sign, junctions):
    """dx/dt = V^2 + 1 - x / tau, by one Euler step: at rest it goes to tau, and not to 0."""
    for j in range(junctions.shape[1]):
        v = junctions[5, j] * junctions[2, j]
        junctions[0, j] += (v * v + 1.0 - junctions[0, j] / constants[0]) * step
        junctions[1, j] = junctions[3, j] * (1e-7 + 1e-5 * abs(junctions[0, j]))


@dataclass(frozen=True, kw_only=True)
class Leaky:
    evolve = staticmethod(leaky)
    rest = 0.0
    highest = 1e-3
    decay_time: float = 0.1

    def packed(self):
        return np.array([self.decay_time])


@dataclass(frozen=True, kw_only=True)
class Bounded(Leaky):
    @property
    def longest_step(self):
        return 0.1 * self.decay_time


def unbounded(constants, step, sign, junctions):
    for j in range(junctions.shape[1]):
        junctions[0, j] += junctions[0, j] * junctions[0, j] * step + step
        junctions[1, j] = junctions[3, j] * 1e-5


@dataclass(frozen=True, kw_only=True)
class Unbounded(Leaky):
    evolve = staticmethod(unbounded)


@pytest.mark.parametrize("model", [Leaky(), Bounded(), Leaky(decay_time=1e-4), Leaky(decay_time=1e4)])
@pytest.mark.parametrize("duration", [1e-3, 0.3, 1e4, 30 * 86_400.0])
def test_a_leaky_model_of_ones_own_ages_by_its_equation(model, duration):
    network = NanowireNetwork(wires=60, model=model)
    network.age(duration)
    exact = -model.decay_time * math.expm1(-duration / model.decay_time)
    np.testing.assert_allclose(network.filament, exact, rtol=5e-3)


def test_a_model_without_an_equilibrium_is_refused_and_nothing_is_changed():
    network = NanowireNetwork(wires=60, model=Unbounded(), variability=Variability(noise=0.1, aging=0.1))
    twin = network.copy(noise="same")
    with pytest.raises(ValueError, match="Unbounded does not relax to finite states at 0 V within 86400 s"):
        network.age(86_400.0)
    np.testing.assert_array_equal(network.simulate(np.ones((5, 8))).voltages, twin.simulate(np.ones((5, 8))).voltages)


def test_no_step_is_longer_than_a_model_allows_and_what_is_not_finite_is_an_error():
    network = NanowireNetwork(wires=60, model=Bounded())
    network.simulate(np.zeros((4, 8)), 1.0)  # ten time constants at a time
    np.testing.assert_allclose(network.filament, 0.1, rtol=1e-3)
    network = NanowireNetwork(wires=60, model=Leaky())
    with pytest.raises(ResponseMismatch, match=r"not finite after steps of 1 s.*substeps.*longest_step"):
        network.simulate(np.zeros((1000, 8)), 1.0)


numbers = st.sampled_from([0.0, 1e-30, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e9, 1e30]) | st.floats(
    0.0, 1e30, allow_subnormal=True
)
FIELDS = {
    Filament: (
        "set_voltage", "reset_voltage", "closed_filament", "full_filament", "shrink_rate", "on_conductance",
        "off_conductance", "gap", "barrier", "gap_power", "barrier_power",
    ),
    Binary: (
        "set_voltage", "reset_voltage", "closed_filament", "full_filament", "shrink_rate", "on_conductance",
        "off_conductance",
    ),
    RateBalance: (
        "potentiation_rate", "depression_rate", "potentiation_slope", "depression_slope", "on_conductance",
        "off_conductance",
    ),
    LinearDrift: ("drift_time", "decay_time", "window", "on_conductance", "off_conductance"),
}  # fmt: skip


@st.composite
def models(draw):
    """A model with a few parameters anywhere in their ranges; those out of range are refused by ValueError."""
    kind = draw(st.sampled_from(list(FIELDS)))
    changed = draw(st.lists(st.sampled_from(FIELDS[kind]), max_size=4, unique=True))
    fields = {name: draw(numbers) for name in changed}
    if kind in (Filament, Binary):
        fields["overshoot"] = draw(st.booleans())
    try:
        return kind(**fields)
    except ValueError:
        return kind()


@settings(max_examples=60, deadline=None)
@given(
    model=models(),
    step=st.sampled_from([1e-9, 1e-3, 1.0, 3600.0, 1e12]),
    volts=st.sampled_from([0.0, 1e-9, 0.02, 1.0, 1e6]),
    age=st.sampled_from([0.0, 1e-6, 1.0, 1e9, 1e300]),
    noise=st.sampled_from([0.0, 3.0]),
)
@example(Filament(overshoot=True), 1e12, 1.0, 1e300, 3.0)
@example(Filament(shrink_rate=1e30), 1e12, 0.0, 1e300, 0.0)
@example(LinearDrift(window=100.0), 1e12, 1e6, 1.0, 0.0)
@example(RateBalance(potentiation_slope=1e30), 1e12, 1e6, 1.0, 0.0)
def test_no_model_in_its_range_gives_what_is_not_finite(model, step, volts, age, noise):
    """Whatever the parameters, the step, the voltage and the age: all is finite, and nothing is out of its bounds."""
    network = NanowireNetwork.from_junctions(
        4, [(0, 1), (1, 2), (2, 3), (0, 3)], [0, 1], [2], model=model, variability=Variability(noise=noise),
        voltage_limit=1e6,
    )  # fmt: skip
    drive = volts * np.array([[1.0, -1.0], [0.5, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoarseStepWarning)
        for _ in range(2):
            trace = network.simulate(drive, step, record=("voltages", "currents", "conductances", "filaments"))
            for name in ("voltages", "currents", "conductances", "filaments"):
                assert np.isfinite(getattr(trace, name)).all()
            assert abs(trace.voltages).max() <= volts * (1 + 1e-9)
            network.age(age)
            assert np.isfinite(network.filament).all()
            assert np.isfinite(network.conductance).all()
            assert (network.conductance > 0).all()
        short = min(step, 3600.0)
        usual = PAIR | {"model": model, "voltage_limit": 1e6, "integration_step": short, "step": short}
        replicas = [NanowireNetwork.from_junctions(**usual) for _ in range(4)]
        assert np.isfinite(NanowireEnsemble(replicas).advance(np.full((3, 1), volts), short)).all()


def test_ages_that_would_move_parameters_beyond_measure_are_refused():
    network = NanowireNetwork(wires=60, variability=Variability(aging=3.0))
    before = network.conductance
    with pytest.raises(ValueError, match=r"aging of 3 a day for 1e\+12 s .* give a shorter duration"):
        network.age(1e12)
    np.testing.assert_array_equal(network.conductance, before)
    assert network.state.agings == 0


TIME = np.arange(200) * 0.01
SLOW = 0.3 * np.sin(2 * np.pi * 0.5 * TIME)  # V, for one period, in steps of 10 ms


def driven(**given):
    return NanowireNetwork(wires=100, electrodes=9, inputs=1, grounds=1, **given)


@pytest.mark.filterwarnings("error")
def test_a_step_too_long_for_the_drive_is_said_once_for_each_network_with_what_to_do():
    network = driven()
    with pytest.warns(CoarseStepWarning) as caught:
        network.simulate(SLOW, 0.01)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert network.info.id in said
    assert "a step of 0.01 s is too long for this drive" in said
    substeps = int(said.split("substeps=")[1].split(",")[0])
    longest = float(said.split("at most ")[1].split(" s")[0])
    assert longest == pytest.approx(0.01 / substeps, rel=0.2)
    network.simulate(SLOW, 0.01)  # said already, also of the copy
    network.copy().simulate(SLOW, 0.01)
    driven(substeps=substeps).simulate(SLOW, 0.01)  # what was advised
    driven().simulate(np.repeat(SLOW, 10), 1e-3)  # and in steps of a millisecond
    coarse = driven(integration_step=0.01)

    def one_at_a_time():
        for volts in SLOW:
            coarse.advance(coarse.info.stimulus([[volts]], 0.01))

    with pytest.warns(CoarseStepWarning):
        one_at_a_time()
    lanes = NanowireEnsemble([driven(integration_step=0.01) for _ in range(4)])
    with pytest.warns(CoarseStepWarning) as caught:
        lanes.advance(SLOW[:, np.newaxis], 0.01)
    assert len(caught) == 4  # each of its networks
    lanes.advance(SLOW[:, np.newaxis], 0.01)
    with pytest.warns(CoarseStepWarning, match="binary|0.01 s is too long"):
        driven(model="binary").simulate(SLOW, 0.01)
    with pytest.warns(CoarseStepWarning):
        one_junction("rate-balance").simulate([0.6] * 4, 0.5)
    driven(model="rate-balance").simulate(0.2 * SLOW, 0.01)


def test_substeps_are_shorter_steps_of_which_the_first_is_kept():
    drive = np.random.default_rng(0).uniform(-1, 1, (40, 8))
    for extra in ({}, {"model": "rate-balance"}, {"variability": Variability(noise=0.1)}):
        whole = NanowireNetwork(wires=60, substeps=4, integration_step=4e-3, **extra)
        fine = NanowireNetwork(wires=60, integration_step=1e-3, **extra)
        signal = fine.advance(fine.info.stimulus(np.repeat(drive, 4, axis=0), 1e-3)).signal
        expected = signal[::4]
        np.testing.assert_array_equal(whole.copy(noise="same").simulate(drive, 4e-3).voltages[:, whole.output_nodes],
                                      expected[:, 0, :7])  # fmt: skip
        np.testing.assert_array_equal(whole.advance(whole.info.stimulus(drive, 4e-3)).signal, expected)
        np.testing.assert_array_equal(whole.filament, fine.filament)
    replicas = [NanowireNetwork(wires=60, substeps=4, integration_step=4e-3) for _ in range(4)]
    fine = NanowireNetwork(wires=60)
    signal = fine.advance(fine.info.stimulus(np.repeat(drive, 4, axis=0), 1e-3)).signal[::4]
    np.testing.assert_allclose(NanowireEnsemble(replicas).advance(drive, 4e-3)[2], signal, rtol=0, atol=1e-9)
    assert NanowireNetwork(wires=60, substeps=4).info.parameters["substeps"] == 4
    assert NanowireNetwork(wires=60, substeps=1).info.id == NanowireNetwork(wires=60).info.id
    with pytest.raises(ValueError, match="substeps is 0"):
        NanowireNetwork(substeps=0)


def test_substeps_converge_to_an_adaptive_solution_of_kirchhoffs_laws():
    """The whole network by DOP853, with a dense solution of Kirchhoff's laws in its right-hand side."""
    pairs = [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (3, 4), (2, 4)]
    # Thresholds at 0 V: growth is smooth but for the sign of the voltage, so that an adaptive method is at its best.
    model = Filament(set_voltage=0.0, reset_voltage=0.0, closed_filament=0.01, full_filament=0.5)
    a, b = np.array(pairs).T

    def conductance(x):
        gap = 5 * np.maximum(1 - abs(x) / 0.01, 0)
        tunnel = 2 / 0.17 * gap / math.sqrt(0.81) * np.exp(10.19 * 0.81**2 * gap) / 4.71307e-5
        return 1 / (tunnel + 1 / 7.77e-5) + 7.77e-8

    def voltages(volts, x):
        matrix, g = np.zeros((5, 5)), conductance(x)
        np.add.at(matrix, (a, b), -g)
        np.add.at(matrix, (b, a), -g)
        matrix -= np.diag(matrix.sum(axis=1))
        inner = matrix[np.ix_([1, 2, 3], [1, 2, 3])]
        return np.concatenate(([volts], np.linalg.solve(inner, -matrix[[1, 2, 3], 0] * volts), [0.0]))

    def slope(t, x):
        v = voltages(held, x)
        return v[a] - v[b]

    steps, step = 40, 0.01
    drive = 0.4 * np.sin(2 * np.pi * 0.5 * step * np.arange(steps))
    x, exact = np.zeros(len(pairs)), []
    for held in drive:  # each value is held for its step, as the network holds it
        exact.append(voltages(held, x))
        x = solve_ivp(slope, (0, step), x, method="DOP853", rtol=1e-10, atol=1e-13).y[:, -1]
    errors: list[float] = []
    for substeps in (1, 16, 32, 64):
        network = NanowireNetwork.from_junctions(5, pairs, [0], [4], model=model, substeps=substeps)
        errors.append(abs(network.simulate(drive, step).voltages - exact).max())
    assert errors[0] > 0.01
    assert errors[3] < 0.05 * errors[0]
    assert errors[3] == pytest.approx(errors[2] / 2, rel=0.15)  # of first order
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.25)
