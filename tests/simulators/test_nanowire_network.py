"""Making, recording, copying and ageing simulated nanowire networks; geometry against brute force."""

import logging
import math
import subprocess
import sys
from types import SimpleNamespace

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import kstest

from inmateria import kernel_compilation
from inmateria.simulators import NanowireNetwork, RandomWires, Variability
from inmateria.simulators.nanowire import kernel as nanowire_kernel
from inmateria.simulators.nanowire.elimination import by_pairs, least_pairs, ordered
from inmateria.simulators.nanowire.geometry import crossings, deposit, grid
from inmateria.substrate import StimulusRejected


def cross(p, q):
    """Whether two segments cross, by the signs of four areas."""

    def side(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    a, b, c, d = p[:2], p[2:], q[:2], q[2:]
    return side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), spread=st.sampled_from([0.1, 1.0, 5.0]))
def test_crossings_are_those_of_all_pairs(seed, count, spread):
    rng = np.random.default_rng(seed)
    ends = rng.uniform(0, 10, (count, 2))
    segments = np.hstack((ends, ends + rng.normal(0, spread, (count, 2)) * rng.exponential(1, (count, 1))))
    pairs, points = crossings(segments)
    expected = [(i, j) for i in range(count) for j in range(i + 1, count) if cross(segments[i], segments[j])]
    assert list(map(tuple, pairs.tolist())) == expected
    for (i, j), point in zip(pairs, points, strict=True):
        for wire in (segments[i], segments[j]):
            # On a segment, the ways to both ends add up to its length.
            ways = np.linalg.norm(point - wire[:2]) + np.linalg.norm(point - wire[2:])
            assert ways == pytest.approx(np.linalg.norm(wire[2:] - wire[:2]), rel=1e-9, abs=1e-12)


def test_deposited_wires_have_the_stated_statistics():
    rng = np.random.default_rng(0)
    geometry = deposit(20_000, 300.0, 14.0, 5.0, rng)  # dense: nearly all are connected
    length = np.hypot(*(geometry.segments[:, 2:] - geometry.segments[:, :2]).T)
    assert len(length) > 19_900
    assert kstest(length, "gamma", ((14 / 5) ** 2, 0, 25 / 14)).pvalue > 1e-3
    direction = geometry.segments[:, 2:] - geometry.segments[:, :2]
    angle = np.arctan2(direction[:, 1], direction[:, 0]) % np.pi
    assert kstest(angle / np.pi, "uniform").pvalue > 1e-3
    assert kstest(geometry.centres[:, 0] / 300, "uniform").pvalue > 1e-3
    # Sticks of random angle cross with probability 2 l1 l2 / (pi area), fewer at the edge.
    expected = 20_000**2 / 2 * 2 * 14**2 / (np.pi * 300**2)
    assert 0.94 * expected < len(geometry.junctions) < expected


def test_the_network_is_connected_and_electrodes_are_spread_out():
    network = NanowireNetwork(wires=500, seed=9)
    graph = networkx.Graph(network.junctions.tolist())
    assert networkx.is_connected(graph)
    assert graph.number_of_nodes() == network.wire_count
    electrodes = np.concatenate((network.input_nodes, network.ground_nodes, network.output_nodes))
    places = network.positions[electrodes]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(16, dtype=bool)]
    assert apart.min() > 10
    farthest = np.linalg.norm(network.positions[network.input_nodes[0]] - network.positions, axis=1).argmax()
    assert network.ground_nodes[0] == farthest


def test_a_grid_has_its_edges_and_one_diagonal_a_cell():
    geometry = grid(6, 50.0, np.random.default_rng(0))
    step = abs(np.diff(geometry.centres[geometry.junctions], axis=1)[:, 0]) / 10
    assert len(step) == 2 * 6 * 5 + 25
    assert (np.isclose(step, 1).all(axis=1)).sum() == 25
    network = NanowireNetwork(wires=841, geometry="grid", model="rate-balance", electrodes=10, inputs=4)
    assert network.wire_count == 841
    assert len(network.junctions) == 2 * 29 * 28 + 28**2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 40))
def test_the_planned_fill_is_that_of_a_symbolic_cholesky(seed, nodes):
    rng = np.random.default_rng(seed)
    tree = [(int(rng.integers(0, i)), i) for i in range(1, nodes)]
    extra = rng.integers(0, nodes, (nodes, 2))
    junctions = np.array(tree + [tuple(pair) for pair in extra.tolist() if pair[0] != pair[1]])
    plan = by_pairs(ordered(nodes, junctions, np.array([0]), least_pairs))
    n = nodes - 1
    assert sorted(plan.place.tolist()) == list(range(nodes))
    full = np.zeros((n, n), dtype=bool)
    ends = plan.place.astype(int)[junctions]
    for a, b in ends[(ends < n).all(axis=1)]:
        full[a, b] = full[b, a] = True
    for k in range(n):
        later = np.flatnonzero(full[k, k + 1 :]) + k + 1
        np.testing.assert_array_equal(plan.rows[plan.start[k] : plan.start[k + 1]], later)
        full[np.ix_(later, later)] = True


def edges():
    return NanowireNetwork(wires=60, seed=4, geometry=RandomWires(density=0.1))


@pytest.mark.parametrize("kind", ["pairs", "reversed", "dense", "sparse", "networkx"])
def test_one_graph_in_any_form_gives_one_network(kind):
    made = edges()
    a, b = made.junctions.T
    matrix = np.zeros((made.wire_count, made.wire_count))
    matrix[a, b] = matrix[b, a] = 1
    forms = {
        "pairs": made.junctions.tolist(),
        "reversed": made.junctions[:, ::-1],
        "dense": matrix,
        "sparse": csr_array(matrix),
        "networkx": networkx.from_numpy_array(matrix),
    }
    network = NanowireNetwork.from_junctions(
        made.wire_count, forms[kind], made.input_nodes, made.ground_nodes, made.output_nodes, seed=4
    )
    drive = np.random.default_rng(0).normal(0, 1, (50, 8))
    signal = network.advance(network.info.stimulus(drive)).signal
    np.testing.assert_array_equal(signal, made.advance(made.info.stimulus(drive)).signal)
    again = NanowireNetwork.from_junctions(**network.info.parameters)
    assert again.info == network.info
    assert network.positions is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"junctions": [(0, 0)]}, "joins wire 0 to itself"),
        ({"junctions": [(0, 7)]}, "there are 0 to 2"),
        ({"junctions": [(0, 1)]}, "connected to no input and no ground"),
        ({"inputs": []}, "no wire is driven"),
        ({"inputs": [0, 1], "grounds": [1]}, "wire 1 is an electrode twice"),
        ({"inputs": [5]}, "electrodes lie on wires"),
        ({"junctions": np.ones((4, 4))}, "adjacency matrix has shape"),
        ({"junctions": [(0.5, 1.5)]}, "pairs of whole numbers"),
        ({"junctions": networkx.Graph([("a", "b")])}, "node 'a'"),
        ({"seed": -1}, "seed is -1"),
        ({"variability": {"noise": -1.0}}, "noise is -1.0"),
    ],
)
def test_wrong_graphs_are_refused(arguments, message):
    usual = {"wire_count": 3, "junctions": [(0, 1), (1, 2)], "inputs": [0]}
    with pytest.raises(ValueError, match=message):
        NanowireNetwork.from_junctions(**usual | arguments)


def test_a_trace_holds_what_was_asked_for():
    network = edges()
    drive = np.random.default_rng(0).normal(0, 1, (30, 8))
    twin = network.copy()
    everything = network.simulate(drive, 2e-3, record=("filaments", "voltages", "conductances", "currents"))
    assert everything.voltages.shape == (30, network.wire_count)
    assert everything.currents.shape == (30, 9)
    assert everything.conductances.shape == everything.filaments.shape == (30, len(network.junctions))
    np.testing.assert_array_equal(everything.voltages[:, network.input_nodes], drive)
    np.testing.assert_array_equal(everything.voltages[:, network.ground_nodes], 0)
    np.testing.assert_allclose(everything.time, np.arange(30) * 2e-3)
    part = twin.simulate(drive, 2e-3, record="conductances")
    assert part.voltages is None
    np.testing.assert_array_equal(part.conductances, everything.conductances)
    np.testing.assert_array_equal(twin.filament, network.filament)


@pytest.mark.parametrize(
    "voltage", [np.full((3, 8), np.nan), np.full((3, 8), np.inf), np.zeros((3, 7)), np.zeros(8), np.full((1, 8), 11.0)]
)
def test_wrong_voltages_are_refused_and_change_nothing(voltage):
    network = edges()
    with pytest.raises(StimulusRejected):
        network.simulate(voltage)
    assert network.state.clock == 0
    with pytest.raises(ValueError, match="record names 'volts'"):
        network.simulate(np.zeros((1, 8)), record=("volts",))


def test_a_state_resumes_to_the_bit_also_with_noise():
    network = NanowireNetwork(variability=Variability(noise=0.2, voltage_spread=0.1, aging=0.1))
    drive = np.random.default_rng(0).normal(0, 1, (60, 8))
    network.simulate(drive)
    network.age(3600)
    state, twin = network.state, network.copy(noise="same")
    first = network.simulate(drive)
    np.testing.assert_array_equal(twin.simulate(drive).voltages, first.voltages)
    network.restore(state)
    np.testing.assert_array_equal(network.simulate(drive).voltages, first.voltages)
    with pytest.raises(ValueError, match="the state is of"):
        edges().restore(state)


def test_spread_and_age_are_lognormal_and_seeded():
    varied = Variability(conductance_spread=0.2)
    plain, spread = NanowireNetwork(wires=500), NanowireNetwork(wires=500, variability=varied)
    log = np.log(spread.conductance / plain.conductance)
    assert log.std() == pytest.approx(0.2, rel=0.1)
    np.testing.assert_array_equal(spread.conductance, NanowireNetwork(wires=500, variability=varied).conductance)
    device = NanowireNetwork(wires=500, variability=Variability(aging=0.05))
    device.age(4 * 86400)
    assert np.log(device.conductance / plain.conductance).std() == pytest.approx(0.1, rel=0.1)
    device.reset()
    assert not np.array_equal(device.conductance, plain.conductance)  # age stays


def test_a_rest_lets_filaments_relax():
    network = NanowireNetwork()
    network.simulate(np.full((300, 8), 3.0) * np.linspace(-1, 1, 8))
    assert abs(network.filament).max() > 0.01
    network.age(1.0)
    assert abs(network.filament).max() == 0
    assert network.state.clock == pytest.approx(1.3)


def test_a_million_steps_stay_finite():
    network = NanowireNetwork.from_junctions(4, [(0, 1), (1, 2), (2, 3), (0, 3)], inputs=[0], grounds=[2])
    trace = network.simulate(np.sin(np.arange(1_000_000) * 1e-3), record="currents")
    assert np.isfinite(trace.currents).all()
    assert abs(trace.currents.sum(axis=1)).max() < 1e-18


def test_a_million_steps_are_those_of_a_plain_loop():
    drive = 0.02 * np.sin(np.arange(1_000_000) * 1e-3)
    network = NanowireNetwork.from_junctions(2, [(0, 1)], inputs=[0], grounds=[1])
    network.simulate(drive, record=())
    x, passed = 0.0, 0
    for v in drive.tolist():
        size = abs(v)
        x += math.copysign(max(size - 0.01, 0.0), v) * 1e-3
        x = math.copysign(min(max(abs(x) - 10 * max(0.005 - size, 0.0) * 1e-3, 0.0), 0.015), x)
        passed += x == 0.0
    assert network.filament[0] == pytest.approx(x, rel=1e-9)
    assert x != 0
    assert passed > 1000  # it went through rest many times


def test_ten_thousand_wires_are_planned_and_run():
    network = NanowireNetwork(wires=10_000)
    response = network.advance(network.info.stimulus(np.full((3, 8), 1.0)))
    currents = response.signal[0, 0, 7:]
    assert abs(currents.sum()) < 1e-12 * abs(currents).sum()


def test_importing_the_room_is_light():
    code = "import sys, inmateria.simulators; sys.exit(bool({'numba', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_compilation_that_takes_long_is_announced_and_only_the_first(caplog, monkeypatch):
    NanowireNetwork()
    monkeypatch.setattr(kernel_compilation, "_PATIENCE", 0.0)

    def compile_now(self):
        self.overloads = {(): None}
        while not caplog.records:  # as long as it takes to say so
            pass

    kernel = SimpleNamespace(overloads={})
    with caplog.at_level(logging.INFO, "inmateria"):
        with kernel_compilation.log_compilation("a kernel", kernel):
            compile_now(kernel)
        assert [record.message.split(" ")[0] for record in caplog.records] == ["compiling", "compiled"]
        caplog.clear()
        with kernel_compilation.log_compilation("a kernel", kernel):
            pass
        NanowireNetwork()
        with kernel_compilation.log_compilation("the kernel of nanowire networks", nanowire_kernel.advance):
            pass  # has run in this process
    assert not caplog.records
