"""The simulated network against an independent dense solution, Kirchhoff's laws, and its own symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inmateria.simulators import NanowireNetwork
from inmateria.simulators.kirchhoff import plan_elimination
from inmateria.simulators.wires import find_crossings, throw_wires
from inmateria.substrate import Stimulus

FILAMENT = {"set": 0.01, "reset": 0.01, "critical": 0.01, "largest": 0.015, "boost": 10.0, "on": 7.77e-5, "off": 1e-8}


class DenseReference:
    """The same equations written plainly: dense matrices, one loop a step, numpy's general solver."""

    def __init__(self, network: NanowireNetwork, binary: bool = False) -> None:
        self.junctions = network.junctions
        self.nodes = network.wire_count
        self.held = np.concatenate([network.input_nodes, network.ground_nodes])
        self.filament = np.zeros(len(network.junctions))
        self.binary = binary

    def conductance(self) -> np.ndarray:
        size = np.abs(self.filament)
        if self.binary:
            return np.where(size >= FILAMENT["critical"], FILAMENT["on"], FILAMENT["off"])
        gap = 5.0 * np.maximum(1 - size / FILAMENT["critical"], 0)
        tunnel = (2 / 0.17) * gap / 0.81**0.5 * np.exp(10.19 * 0.81**2 * gap) / 4.71307e-5
        return 1 / (tunnel + 1 / FILAMENT["on"]) + FILAMENT["off"]

    def step(self, held_voltage: np.ndarray, time_step: float) -> tuple[np.ndarray, np.ndarray]:
        g = self.conductance()
        incidence = np.zeros((len(g), self.nodes))
        incidence[np.arange(len(g)), self.junctions[:, 0]] = 1
        incidence[np.arange(len(g)), self.junctions[:, 1]] = -1
        laplacian = incidence.T @ (g[:, None] * incidence)
        free = np.setdiff1d(np.arange(self.nodes), self.held)
        voltage = np.zeros(self.nodes)
        voltage[self.held] = held_voltage
        voltage[free] = np.linalg.solve(
            laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, self.held)] @ held_voltage
        )
        across = incidence @ voltage
        size = np.abs(across)
        grown = self.filament + (size - FILAMENT["set"]) * np.sign(across) * time_step
        grown = np.clip(grown, -FILAMENT["largest"], FILAMENT["largest"])
        loss = FILAMENT["boost"] * (FILAMENT["reset"] - size) * time_step
        shrunk = np.sign(self.filament) * np.maximum(np.abs(self.filament) - loss, 0)
        self.filament = np.where(
            size > FILAMENT["set"], grown, np.where(size < FILAMENT["reset"], shrunk, self.filament)
        )
        return voltage, laplacian @ voltage


@pytest.mark.parametrize("model", ["filament", "binary"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_voltages_and_currents_equal_a_dense_solution(seed: int, model: str) -> None:
    network = NanowireNetwork(60, seed, model)
    reference = DenseReference(network, binary=model == "binary")
    generator = np.random.default_rng(seed)
    drive = generator.uniform(-2, 2, 8) * generator.uniform(0.5, 1.5, (40, 1))
    response = network.advance(network.info.stimulus(drive, 0.002))
    assert response.signal is not None
    read = len(network.output_nodes)
    for step in range(40):
        for sample in range(2):
            voltage, current = reference.step(np.append(drive[step], 0.0), 1e-3)
            assert response.signal[step, sample, :read] == pytest.approx(voltage[network.output_nodes], abs=1e-10)
            held = current[reference.held]
            assert response.signal[step, sample, read:] == pytest.approx(held, rel=1e-9, abs=1e-15)
    assert network.filament == pytest.approx(reference.filament, abs=1e-12)
    assert (np.abs(network.filament) >= 0.01).any(), "the drive never closed a gap, so this tests too little"


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (5, 8), elements=st.floats(-10, 10).map(lambda v: round(v, 9))), st.integers(0, 50))
def test_currents_in_equal_currents_out_at_every_node(drive: np.ndarray, seed: int) -> None:
    network = NanowireNetwork(50, seed % 5)
    network.advance(network.info.stimulus(drive, 0.01))
    conductance = network.conductance.copy()
    quiet = network.info.stimulus(drive[:1], 0.001)
    signal = network.advance(quiet).signal
    assert signal is not None
    electrodes = signal[0, 0, len(network.output_nodes) :]
    through = np.abs(electrodes).sum()
    assert abs(electrodes.sum()) <= 1e-12 * through + 1e-25
    voltage = network._arguments[4]
    flow = conductance * (voltage[network.junctions[:, 0]] - voltage[network.junctions[:, 1]])
    net = np.zeros(network.wire_count)
    np.add.at(net, network.junctions[:, 0], flow)
    np.add.at(net, network.junctions[:, 1], -flow)
    moved = np.zeros(network.wire_count)
    np.add.at(moved, network.junctions.ravel(), np.repeat(np.abs(flow), 2))
    free = np.setdiff1d(np.arange(network.wire_count), np.concatenate([network.input_nodes, network.ground_nodes]))
    # What rounding leaves scales with conductance x voltage at a node, even where the flow nearly vanishes.
    scale = np.zeros(network.wire_count)
    np.add.at(scale, network.junctions.ravel(), np.repeat(conductance, 2))
    assert (np.abs(net[free]) <= 1e-12 * (moved[free] + scale[free] * np.abs(voltage).max())).all()


def test_reversing_the_voltage_reverses_everything() -> None:
    drive = np.random.default_rng(0).uniform(-1, 1, (100, 8))
    ahead, back = NanowireNetwork(80, 7), NanowireNetwork(80, 7)
    one = ahead.advance(Stimulus(drive, 0.005)).signal
    other = back.advance(Stimulus(-drive, 0.005)).signal
    assert one is not None
    assert other is not None
    assert np.array_equal(one, -other)
    assert np.array_equal(ahead.filament, -back.filament)


def test_a_whole_stimulus_equals_its_pieces_and_reset_repeats_it_bit_for_bit() -> None:
    drive = np.random.default_rng(1).uniform(-1, 1, (30, 8))
    network = NanowireNetwork(80, 3)
    whole = network.advance(Stimulus(drive, 0.01))
    network.reset()
    pieces = [network.advance(Stimulus(drive[k : k + 1], 0.01)) for k in range(30)]
    assert whole.signal is not None
    assert np.array_equal(whole.signal, np.concatenate([piece.signal for piece in pieces]))
    assert [piece.sequence for piece in pieces] == list(range(30))
    assert [piece.start for piece in pieces] == pytest.approx(0.01 * np.arange(30))


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    one, same, other = NanowireNetwork(70, 5), NanowireNetwork(70, 5), NanowireNetwork(70, 6)
    assert one.info == same.info
    assert np.array_equal(one.junctions, same.junctions)
    assert one.junctions.shape != other.junctions.shape or not np.array_equal(one.junctions, other.junctions)
    assert NanowireNetwork(**one.info.parameters).info == one.info


def test_crossings_equal_a_test_of_every_pair_by_orientation() -> None:
    mesh = throw_wires(120, 40.0, 14.0, 5.0, np.random.default_rng(2))

    def left(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
        return bool((b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0]))

    ends = mesh.ends
    expected = []
    for i in range(len(ends)):
        for j in range(i + 1, len(ends)):
            a, b, c, d = ends[i, :2], ends[i, 2:], ends[j, :2], ends[j, 2:]
            if left(a, b, c) != left(a, b, d) and left(c, d, a) != left(c, d, b):
                expected.append((i, j))
    assert mesh.junctions.tolist() == [list(pair) for pair in expected]
    for (i, j), place in zip(mesh.junctions, mesh.crossings, strict=True):
        for wire in (i, j):  # a crossing lies on both wires: the way through it is no detour
            way = np.linalg.norm(place - ends[wire, :2]) + np.linalg.norm(place - ends[wire, 2:])
            assert way == pytest.approx(np.linalg.norm(ends[wire, :2] - ends[wire, 2:]), rel=1e-9)


def test_wires_have_the_lengths_and_angles_asked_for() -> None:
    mesh = throw_wires(4000, 200.0, 14.0, 5.0, np.random.default_rng(0))
    along = mesh.ends[:, 2:] - mesh.ends[:, :2]
    lengths = np.hypot(*along.T)
    # Standard error of the mean is .08, of the standard deviation about .07.
    assert lengths.mean() == pytest.approx(14.0, abs=0.4)
    assert lengths.std() == pytest.approx(5.0, abs=0.4)
    angles = np.arctan2(along[:, 1], along[:, 0]) % np.pi
    assert np.histogram(angles, 4, (0, np.pi))[0] == pytest.approx(len(angles) / 4, rel=0.1)


def test_parallel_and_touching_segments() -> None:
    ends = np.array([[0, 0, 2, 0], [0, 1, 2, 1], [1, -1, 1, 0], [0, 0, 2, 0], [5, 5, 6, 6]], dtype=float)
    pairs, places = find_crossings(ends)
    assert pairs.tolist() == [[0, 2], [2, 3]]
    assert places.tolist() == [[1, 0], [1, 0]]


def test_a_node_with_no_path_to_an_electrode_is_said() -> None:
    with pytest.raises(ValueError, match="node 3 is one"):
        plan_elimination(5, np.array([[0, 1], [1, 2], [3, 4]]), np.array([0, 2]))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"model": "magic"}, "allowed are filament, binary"),
        ({"inputs": 0}, "at least 1"),
        ({"inputs": 15}, "one to read"),
        ({"wires": 4}, "at least as many wires as electrodes"),
        ({"wires": 100, "density": 0.0001}, "too few for 16 electrodes"),
        ({"on_conductance": 0.0}, "more than 0"),
        ({"boost": float("nan")}, "finite"),
        ({"seed": -1}, "seed of 0 or more"),
    ],
)
def test_parameters_that_make_no_network_are_refused(parameters: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        NanowireNetwork(**parameters)  # type: ignore[arg-type]


def test_memory_fades_at_rest_and_filaments_stay_within_their_bounds() -> None:
    network = NanowireNetwork(80, 2)
    network.advance(Stimulus(np.full((20, 8), 3.0), 0.01))
    grown = np.abs(network.filament).max()
    assert 0.01 < grown <= 0.015
    network.advance(Stimulus(np.zeros((20, 8)), 0.01))
    assert np.abs(network.filament).max() == 0.0
