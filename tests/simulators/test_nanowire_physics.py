"""The physics of the simulated nanowire network against closed forms, exact arithmetic and published behaviour."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from inmateria.simulators import Filament, LinearDrift, NanowireNetwork, RandomWires


def one_junction(**parameters):
    return NanowireNetwork.from_junctions(2, [(0, 1)], inputs=[0], grounds=[1], **parameters)


def two_contacts(seed, wires=100, **parameters):
    return NanowireNetwork(wires=wires, seed=seed, electrodes=2, inputs=1, **parameters)


def tunnelling(filament):
    """Conductance of a junction as published, S."""
    gap = max(1 - abs(filament) / 0.01, 0) * 5
    resistance = 2 / 0.17 * gap / math.sqrt(0.81) * math.exp(10.19 * 0.81**2 * gap) / 4.71307e-5
    return 1 / (resistance + 1 / 7.77e-5) + 7.77e-8


@pytest.mark.parametrize("voltage", [0.1, -0.035, 1.0])
def test_a_filament_grows_linearly_and_saturates_then_decays_linearly(voltage):
    network = one_junction()
    trace = network.simulate(np.full(1500, voltage), 1e-3, record=("currents", "conductances", "filaments"))
    expected = np.sign(voltage) * np.minimum((abs(voltage) - 0.01) * trace.time, 0.015)
    np.testing.assert_allclose(trace.filaments[:, 0], expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(trace.conductances[:, 0], [tunnelling(x) for x in trace.filaments[:, 0]], rtol=1e-11)
    np.testing.assert_allclose(trace.currents[:, 0], voltage * trace.conductances[:, 0], rtol=1e-12)
    start = network.filament[0]
    trace = network.simulate(np.zeros(500), 1e-3, record="filaments")
    left = np.maximum(abs(start) - 10 * 0.005 * 1e-3 * np.arange(500), 0)
    np.testing.assert_allclose(trace.filaments[:, 0], np.sign(voltage) * left, rtol=1e-9, atol=1e-15)
    assert network.filament[0] == 0


def test_a_triangle_wave_gives_the_pinched_hysteresis_loop_of_the_equation():
    step, period, peak = 1e-4, 2.0, 0.1
    time = np.arange(0, 2 * period, step)

    def wave(t):
        return peak * (2 / math.pi) * math.asin(math.sin(2 * math.pi * t / period))

    def slope(t, x):
        v = wave(t)
        grow = max(abs(v) - 0.01, 0) * math.copysign(1, v)
        shrink = -10 * max(0.005 - abs(v), 0) * np.sign(x[0])
        return [0.0 if x[0] * grow > 0 and abs(x[0]) >= 0.015 else grow + shrink]

    trace = one_junction().simulate([wave(t) for t in time], step, record=("currents", "filaments"))
    exact = solve_ivp(slope, (0, time[-1]), [0.0], t_eval=time, max_step=1e-3, rtol=1e-8, atol=1e-10).y[0]
    assert abs(trace.filaments[:, 0] - exact).max() < 2e-5
    voltage = np.array([wave(t) for t in time])
    assert abs(trace.currents[abs(voltage) < 1e-12, 0]).max() < 1e-15
    last = time >= period
    area = np.trapezoid(trace.currents[last, 0], voltage[last])
    assert abs(area) > 0.05 * np.ptp(voltage) * np.ptp(trace.currents[last, 0])


@pytest.mark.parametrize("step", [1e-4, 1e-2, 0.3])
def test_rate_balance_is_its_closed_form_for_any_step(step):
    voltage = 0.4
    up, down = 2.555e-6 * math.exp(34.92 * voltage), 64.88 * math.exp(-5.591 * voltage)
    goal, rest = up / (up + down), 2.555e-6 / (2.555e-6 + 64.88)
    trace = one_junction(model="rate-balance").simulate(
        np.full(20, voltage), step, record=("filaments", "conductances")
    )
    expected = goal + (rest - goal) * np.exp(-(up + down) * trace.time)
    np.testing.assert_allclose(trace.filaments[:, 0], expected, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(trace.conductances[:, 0], 1.0147e-3 * (1 - expected) + 2.7235e-3 * expected, rtol=1e-12)
    if step == 1e-2:
        assert trace.filaments[1, 0] == pytest.approx(0.028, abs=5e-4)  # published codes give .301 to .994


def test_linear_drift_converges_to_an_adaptive_solution():
    def slope(t, x):
        return 0.3 * (1 + math.sin(20 * t)) / (160 - 159 * x) / 0.01 - x / 0.5

    exact = solve_ivp(slope, (0, 1), [0.0], method="DOP853", rtol=1e-11, atol=1e-12).y[0, -1]
    errors = []
    for step in (1e-3, 5e-4):
        network = one_junction(model=LinearDrift(decay_time=0.5))
        network.simulate(0.3 * (1 + np.sin(20 * np.arange(0, 1, step))), step)
        errors.append(abs(network.filament[0] - exact))
    assert errors[1] < 2e-3 * exact
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)  # first order


def test_the_binary_switch_closes_where_the_filament_is_complete():
    trace = one_junction(model="binary").simulate(np.full(200, 0.11), 1e-3, record=("filaments", "conductances"))
    closed = trace.filaments[:, 0] >= 0.01
    assert closed.any()
    assert not closed[:100].any()
    np.testing.assert_array_equal(trace.conductances[:, 0], np.where(closed, 7.77e-5, 7.77e-8))


def test_published_variants_can_be_reached():
    assert one_junction(model=Filament(gap_power=2.0)).conductance[0] == pytest.approx(7.77e-8, rel=1e-6)
    squared = one_junction(model=Filament(gap_power=2.0))
    trace = squared.simulate(np.full(90, 0.11), 1e-3, record=("filaments", "conductances"))
    gap = (1 - trace.filaments[-1, 0] / 0.01) * 5
    resistance = 2 / 0.17 * gap**2 / 0.9 * math.exp(10.19 * 0.81**2 * gap) / 4.71307e-5
    assert trace.conductances[-1, 0] == pytest.approx(1 / (resistance + 1 / 7.77e-5) + 7.77e-8, rel=1e-11)
    jumping = one_junction(model=Filament(overshoot=True))
    jumping.simulate(np.full(1, 0.01001))
    jumping.simulate(np.zeros(1))
    assert jumping.filament[0] == pytest.approx(1e-8 - 5e-5, rel=1e-9)


@pytest.mark.parametrize("model", ["filament", "binary", "rate-balance", "linear-drift"])
def test_kirchhoff_holds_at_every_node(model):
    network = NanowireNetwork(wires=300, seed=5, model=model)
    drive = np.random.default_rng(0).uniform(0, 1, (400, 8))
    trace = network.simulate(drive, record=("voltages", "currents", "conductances"))
    a, b = network.junctions.T
    flow = trace.conductances * (trace.voltages[:, a] - trace.voltages[:, b])
    nodes = np.arange(network.wire_count)
    from_a, from_b = (a[:, None] == nodes).astype(float), (b[:, None] == nodes).astype(float)
    net, through = flow @ (from_a - from_b), abs(flow) @ (from_a + from_b)
    terms = trace.conductances * (abs(trace.voltages[:, a]) + abs(trace.voltages[:, b])) @ (from_a + from_b)
    free = np.setdiff1d(nodes, [*network.input_nodes, *network.ground_nodes])
    assert (abs(net[:, free]) <= 1e-14 * terms[:, free]).all()
    # Beside the current itself only where much flows: elsewhere rounding the voltages to float64 already costs more.
    carrying = through[:, free] > 3e-3 * through.max(axis=1, keepdims=True)
    assert carrying.mean() > 0.3
    assert (abs(net[:, free]) <= 1e-12 * through[:, free])[carrying].all()
    fixed = [*network.input_nodes, *network.ground_nodes]
    np.testing.assert_allclose(net[:, fixed], trace.currents, rtol=0, atol=1e-13 * through.max())
    assert (abs(trace.currents.sum(axis=1)) <= 1e-12 * abs(trace.currents).sum(axis=1)).all()


def exact_voltages(network, conductance, driven):
    """Node voltages in exact rational arithmetic."""
    n = network.wire_count
    matrix = [[Fraction(0)] * (n + 1) for _ in range(n)]
    for (a, b), g in zip(network.junctions.tolist(), map(Fraction, conductance.tolist()), strict=True):
        matrix[a][a] += g
        matrix[b][b] += g
        matrix[a][b] -= g
        matrix[b][a] -= g
    fixed = dict(zip(network.input_nodes.tolist(), map(Fraction, driven), strict=True))
    fixed |= dict.fromkeys(network.ground_nodes.tolist(), Fraction(0))
    for node, voltage in fixed.items():
        matrix[node] = [Fraction(int(i == node)) for i in range(n)] + [voltage]
    for k in range(n):
        pivot = next(i for i in range(k, n) if matrix[i][k])
        matrix[k], matrix[pivot] = matrix[pivot], matrix[k]
        matrix[k] = [value / matrix[k][k] for value in matrix[k]]
        for i in range(n):
            if i != k and matrix[i][k]:
                factor = matrix[i][k]
                matrix[i] = [value - factor * other for value, other in zip(matrix[i], matrix[k], strict=True)]
    return np.array([float(row[-1]) for row in matrix])


@pytest.mark.parametrize("seed", range(3))
def test_conductances_from_1e_12_to_1_siemens_are_solved_to_rounding(seed):
    network = NanowireNetwork(
        wires=25,
        seed=seed,
        electrodes=4,
        inputs=2,
        geometry=RandomWires(density=0.12),
        model=Filament(on_conductance=1.0, off_conductance=1e-12),
    )
    network.simulate(np.full((40, 2), [3.0, -2.0]))
    conductance = network.conductance
    assert conductance.max() / conductance.min() > 1e11
    voltage = network.simulate([[3.0, -2.0]]).voltages[0]
    np.testing.assert_allclose(voltage, exact_voltages(network, conductance, [3.0, -2.0]), rtol=0, atol=1e-14)


def test_parallel_and_electrode_to_electrode_junctions_carry_current():
    network = NanowireNetwork.from_junctions(3, [(0, 1), (0, 1), (1, 2), (0, 2)], inputs=[0], grounds=[2])
    g = 7.77e-8 + 1 / (1 / 7.77e-5 + 2 / 0.17 * 5 / 0.9 * math.exp(10.19 * 0.81**2 * 5) / 4.71307e-5)
    trace = network.simulate([0.006])
    assert trace.voltages[0, 1] == pytest.approx(0.004, rel=1e-12)
    np.testing.assert_allclose(trace.currents[0], 0.006 * g * np.array([1 + 2 / 3, -1 - 2 / 3]), rtol=1e-12)


def test_inputs_without_ground_and_graphs_without_junctions():
    network = NanowireNetwork.from_junctions(3, [(0, 1), (1, 2)], inputs=[0])
    trace = network.simulate([0.5])
    np.testing.assert_array_equal(trace.voltages[0], 0.5)
    np.testing.assert_array_equal(trace.currents[0], 0)
    bare = NanowireNetwork.from_junctions(2, [], inputs=[0], grounds=[1]).simulate([1.0, 2.0])
    np.testing.assert_array_equal(bare.voltages, [[1, 0], [2, 0]])
    np.testing.assert_array_equal(bare.currents, 0)
    single = NanowireNetwork.from_junctions(1, [], inputs=[0]).simulate([1.0])
    np.testing.assert_array_equal(single.voltages, [[1]])


@pytest.mark.parametrize("length", [3, 6, 11])
def test_a_chain_switches_where_the_voltage_passes_set_voltage_times_its_length(length):
    for factor, switches in ((0.99, False), (1.2, True)):
        chain = NanowireNetwork.from_junctions(
            length + 1, [(i, i + 1) for i in range(length)], inputs=[0], grounds=[length]
        )
        trace = chain.simulate(np.full(10_000, factor * 0.01 * length))
        jump = trace.currents[-1, 0] / trace.currents[0, 0]
        assert (jump > 100) == switches


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_network_switches_near_set_voltage_times_the_shortest_path(seed):
    network = two_contacts(seed)
    links = coo_array((np.ones(len(network.junctions)), network.junctions.T), shape=(network.wire_count,) * 2)
    path = shortest_path(links, directed=False, unweighted=True, indices=network.input_nodes)[0]
    threshold = 0.01 * path[network.ground_nodes[0]]
    jumps = []
    for factor in (0.9, 1.2):
        network.reset()
        trace = network.simulate(np.full(30_000, factor * threshold), record="currents")
        jumps.append(trace.currents[-1, 0] / trace.currents[0, 0])
    assert jumps[0] < 10 < 50 < jumps[1]


def test_memory_fades_under_slow_drive():
    fresh, used = (two_contacts(42, model=Filament(reset_voltage=0.01)) for _ in range(2))
    used.simulate(np.full(500, 3.0))
    first = np.linalg.norm(fresh.filament - used.filament)
    drive = 1.25 * np.sin(2 * np.pi * 0.1 * np.arange(0, 40, 1e-3))
    distance = []
    for part in np.split(drive, 4):
        fresh.simulate(part)
        used.simulate(part)
        distance.append(np.linalg.norm(fresh.filament - used.filament) / first)
    assert distance[0] < 0.1
    assert distance[-1] < 1e-9
    assert np.linalg.norm(fresh.filament) > 0  # it was not simply emptied
    # Histories approach each other by a factor of e in 0.7 to 0.9 s, five networks: documented, and much less than
    # the 10 s of a period.
    assert 0.5 < 10 / math.log(distance[0] / distance[1]) < 1.5


def lyapunov_exponent(frequency, seconds=40.0, step=5e-4):
    """Largest Lyapunov exponent under a triangle wave of 1.25 V, 1/s, by renormalised perturbations."""
    time = np.arange(0, seconds, step)
    wave = 1.25 * (2 / np.pi) * np.arcsin(np.sin(2 * np.pi * frequency * time))
    network = two_contacts(42, model=Filament(reset_voltage=0.01))
    settle = round(10 / step)
    network.simulate(wave[:settle], step, record=())
    twin, size, rates, chunk = network.copy(), 1e-9, [], 100
    rng = np.random.default_rng(0)
    state = twin.state
    state.junctions[0] += size * (kick := rng.standard_normal(len(network.junctions))) / np.linalg.norm(kick)
    twin.restore(state)
    for at in range(settle, len(wave) - chunk, chunk):
        for net in (network, twin):
            net.simulate(wave[at : at + chunk], step, record=())
        difference = twin.filament - network.filament
        grown = max(np.linalg.norm(difference), 1e-300)
        rates.append(math.log(grown / size) / (chunk * step))
        if grown < 1e-15:  # wholly forgotten: a new direction
            difference = rng.standard_normal(len(difference))
        state = network.state
        state.junctions[0] += size * difference / np.linalg.norm(difference)
        twin.restore(state)
    return float(np.mean(rates))


def test_slow_drive_is_ordered_and_fast_drive_chaotic():
    slow, fast = lyapunov_exponent(0.1), lyapunov_exponent(0.85)
    assert slow < 0 < fast


def triangle(phase):
    return 2 / np.pi * np.arcsin(np.sin(2 * np.pi * phase))


def transformation_scores(seed, frequency, periods):
    """1 - NRMSE on held-out periods of a linear readout of all voltages: sine, square, shifted, doubled."""
    network = two_contacts(seed, model=Filament(reset_voltage=0.01, off_conductance=1e-8))
    phase = frequency * np.arange(0, periods / frequency, 1e-3)
    voltages = network.simulate(1.25 * triangle(phase), record="voltages").voltages
    features = np.column_stack((voltages, np.ones(len(phase))))
    washed = phase > 2
    train, test = washed & (phase < 1 + periods / 2), phase >= 1 + periods / 2
    gram = features[train].T @ features[train] + 1e-8 * train.sum() * np.eye(features.shape[1])
    scores = []
    for target in (
        np.sin(2 * np.pi * phase),
        np.sign(np.sin(2 * np.pi * phase)),
        triangle(phase + 0.25),
        triangle(2 * phase),
    ):
        error = features[test] @ np.linalg.solve(gram, features[train].T @ target[train]) - target[test]
        scores.append(1 - math.sqrt((error**2).mean() / target[test].var()))
    return scores


@pytest.mark.parametrize(
    ("frequency", "periods", "reference", "alone"),
    [(0.1, 10, [0.995, 0.784, 0.492, 0.0], 0.88), (0.5, 30, [0.961, 0.637, 0.265, 0.0], 0.88)],
)
def test_waveform_transformation_scores_are_near_the_reference(frequency, periods, reference, alone):
    scores = np.array([transformation_scores(seed, frequency, periods) for seed in (42, 1, 2, 3)])
    # The reference is one network, held out as here; ours differ by as much among themselves.
    np.testing.assert_allclose(scores.mean(axis=0), reference, rtol=0, atol=0.1)
    assert (scores[:, 0] > alone).all()  # the input itself, read linearly, gives .88, .5, 0 and 0
    assert (scores[:, 1] > 0.5).all()
    assert (scores[:, 2] > 0.2).all()
