"""What lies around a network, and what differs between its junctions, against nodal analysis in numpy and by hand."""

import pickle
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import ClassVar

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import spsolve

from inmateria.adapters import connect
from inmateria.simulators import (
    Binary,
    Filament,
    Instrument,
    JunctionValues,
    LinearDrift,
    NanowireEnsemble,
    NanowireNetwork,
    RateBalance,
)
from inmateria.simulators.nanowire.elimination import UNROLLED, by_pairs, by_supernodes, least_pairs, ordered
from inmateria.simulators.sparse_ldl import order_of
from inmateria.substrate import FLOAT, StimulusRejected

G = 1e-3


@dataclass(frozen=True, kw_only=True)
class Resistor:
    """A junction without memory, in siemens."""

    evolve: ClassVar[object]
    rest: ClassVar[float] = 0.0
    siemens: float = G

    @property
    def highest(self):
        return self.siemens

    def packed(self):
        return np.array([self.siemens])


def ohmic(constants, step, sign, junctions):
    for j in range(junctions.shape[1]):
        junctions[1, j] = junctions[3, j] * constants[0]


Resistor.evolve = staticmethod(ohmic)


@dataclass(frozen=True, kw_only=True)
class Diode:
    """A polar junction: it conducts well after a voltage from its first wire to its second, else badly."""

    evolve: ClassVar[object]
    rest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1e-3

    def packed(self):
        return np.array([1e-3, 1e-6])


def rectify(constants, step, sign, junctions):
    for j in range(junctions.shape[1]):
        if step > 0:
            junctions[0, j] = 1.0 if junctions[5, j] > 0 else 0.0
        junctions[1, j] = junctions[3, j] * (constants[0] if junctions[0, j] > 0 else constants[1])


Diode.evolve = staticmethod(rectify)


def nodal(network, source, contact, load, conductance, series, current=None):
    """Solve a network with its terminals as nodes: voltages of wires and terminals, and currents of the terminals.

    ``current`` has the terminals that are current sources. Modified nodal analysis, dense; it shares no code with ours.
    """
    wires, fixed = network.wire_count, np.concatenate((network.input_nodes, network.ground_nodes))
    terminals = len(fixed)
    nodes = wires + terminals
    matrix, right = np.zeros((nodes + terminals, nodes + terminals)), np.zeros(nodes + terminals)
    for (a, b), g in zip(network.junctions, 1 / (1 / conductance + series), strict=True):
        matrix[a, a] += g
        matrix[b, b] += g
        matrix[a, b] -= g
        matrix[b, a] -= g
    for wire, siemens in load.items():
        matrix[wire, wire] += siemens
    for i, wire in enumerate(fixed):
        matrix[wire, nodes + i] = -1
        matrix[nodes + i, [wires + i, wire, nodes + i]] = 1, -1, -contact[i]
        if current is not None and i in current:
            matrix[wires + i, nodes + i], right[wires + i] = 1, current[i]
        else:
            matrix[wires + i, wires + i], right[wires + i] = 1, source[i]
    solution = np.linalg.solve(matrix, right)
    return np.split(solution, [wires, nodes])


def random_network(seed, inputs, grounds, **arguments):
    rng = np.random.default_rng(seed)
    wires = int(rng.integers(inputs + grounds + 1, 30))
    tree = [(int(rng.integers(0, i)), i) for i in range(1, wires)]
    more = [tuple(pair) for pair in rng.integers(0, wires, (wires, 2)).tolist() if pair[0] != pair[1]]
    chosen = rng.permutation(wires)
    siemens = 10 ** rng.uniform(-6, -3, len(tree + more))
    values = {"parameters": {"siemens": siemens}} | arguments.pop("values", {})
    if values.get("series_resistance") == "some":
        values["series_resistance"] = rng.choice([0.0, 1e3, 1e5], len(siemens))
    network = NanowireNetwork.from_junctions(
        wires, tree + more, chosen[:inputs], chosen[inputs : inputs + grounds], chosen[inputs + grounds :],
        model=Resistor(), junction_values=values, **arguments,
    )  # fmt: skip
    assert np.array_equal(network.conductance, siemens)
    return network, rng, np.asarray(network._values.series_resistance) * np.ones(len(siemens))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), inputs=st.integers(1, 5), grounds=st.integers(1, 2), series=st.booleans(),
    limited=st.booleans(), loaded=st.booleans(),
)  # fmt: skip
def test_sources_contacts_limits_loads_and_floating_inputs_solve_kirchhoffs_laws(
    seed, inputs, grounds, series, limited, loaded
):
    drawn = np.random.default_rng(seed)
    contact = drawn.choice([0.0, 50.0, 1e4], inputs + grounds)
    limits = 10 ** drawn.uniform(-7, -4, inputs)
    outputs = None
    network, rng, in_series = random_network(
        seed, inputs, grounds, load=1e5 if loaded else None,
        values={"series_resistance": "some"} if series else {},
        instrument={"floating": True, "current_limit": limits if limited else None},
    )  # fmt: skip
    outputs = len(network.output_nodes)
    reading = rng.choice([0.0, 1e4], outputs)
    again = NanowireNetwork.from_junctions(
        **network.info.parameters | {"model": Resistor()}
        | {"instrument": Instrument(floating=True, current_limit=limits if limited else None,
                                    contact_resistance=np.concatenate((contact, reading)))}
    )  # fmt: skip
    drive = rng.uniform(-2, 2, (4, inputs))
    drive[rng.random(drive.shape) < 0.3] = FLOAT
    signal = again.advance(again.info.stimulus(drive)).signal[:, 0]
    trace = again.copy().simulate(drive, record=("voltages", "sources", "currents"))
    loads = {int(wire): 1 / (1e5 + r) for wire, r in zip(network.output_nodes, reading, strict=True)} if loaded else {}
    for t, row in enumerate(drive):
        measured = signal[t, outputs + inputs + grounds :]
        np.testing.assert_array_equal(trace.sources[t], measured)
        current = {i: 0.0 for i in range(inputs) if np.isnan(row[i])}
        for i in range(inputs):
            # A source that does not have its voltage has its limit, and a voltage on the way there.
            if not np.isnan(row[i]) and abs(measured[i] - row[i]) > 1e-9:
                assert limited
                current[i] = np.sign(row[i] - measured[i]) * limits[i]
        source = np.concatenate((row, np.zeros(grounds)))
        wires, terminals, currents = nodal(again, source, contact, loads, again.conductance, in_series, current)
        np.testing.assert_allclose(trace.voltages[t], wires, rtol=0, atol=1e-10)
        np.testing.assert_allclose(measured, terminals[:inputs], rtol=0, atol=1e-10)
        scale = abs(again.conductance).max()
        np.testing.assert_allclose(
            signal[t, outputs : outputs + inputs + grounds], currents, rtol=0, atol=1e-10 * scale
        )
        if limited:
            assert (abs(currents[:inputs]) <= limits * (1 + 1e-9)).all()
        part = 1e5 / (1e5 + reading) if loaded else 1.0
        np.testing.assert_allclose(signal[t, :outputs], wires[again.output_nodes] * part, rtol=0, atol=1e-10)


STEEP = 1e4
SOURCE = "B{i} 0 t{i} I = {limit:.17g}*max(-1, min(1, ({volts:.17g} - V(t{i}))*{steep:.17g}))"


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("seed", range(4))
def test_limits_floats_and_contacts_are_those_of_spice(seed, tmp_path):
    """In ngspice a limited source is a current, steep until it is cut off, so that its voltage is off by 1 / STEEP."""
    inputs, rng = 4, np.random.default_rng(seed)
    limits, contact = 10 ** rng.uniform(-6, -4.5, inputs), np.r_[rng.choice([10.0, 1e4], inputs + 1)]
    network, _, _ = random_network(seed, inputs, 1, instrument={"floating": True, "current_limit": limits})
    around = {
        "floating": True,
        "current_limit": limits,
        "contact_resistance": (*contact, *[0] * len(network.output_nodes)),
    }
    network = NanowireNetwork.from_junctions(**network.info.parameters | {"model": Resistor(), "instrument": around})
    drive = np.where(rng.random(inputs) < 0.25, FLOAT, rng.uniform(-2, 2, inputs))
    trace = network.simulate([drive], record=("voltages", "sources", "currents"))
    lines = ["a network of resistors"]
    for j, ((a, b), g) in enumerate(zip(network.junctions, network.conductance, strict=True)):
        lines.append(f"R{j} w{a} w{b} {1 / g:.17g}")
    for i, wire in enumerate([*network.input_nodes, *network.ground_nodes]):
        lines.append(f"RC{i} t{i} w{wire} {contact[i]:.17g}")
        if i == inputs:
            lines.append(f"V{i} t{i} 0 0")
        elif not np.isnan(drive[i]):
            lines.append(SOURCE.format(i=i, limit=limits[i], volts=drive[i], steep=STEEP))
    names = [f"v(w{wire})" for wire in range(network.wire_count)]
    lines += [
        ".options reltol=1e-9 abstol=1e-16 vntol=1e-12 gmin=1e-18 itl1=2000",
        ".control", "set numdgt=15", "op", *(f"print {name}" for name in names), "quit", ".endc", ".end",
    ]  # fmt: skip
    (tmp_path / "network.cir").write_text("\n".join(lines))
    told = subprocess.run(["ngspice", "-b", "network.cir"], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^(v\(w\d+\)) = (\S+)", told.stdout, re.MULTILINE))
    theirs = np.array([float(found[name]) for name in names])
    assert np.nanmax(abs(trace.sources[0] - drive)) > 0.01  # one is limited
    np.testing.assert_allclose(trace.voltages[0], theirs, rtol=0, atol=1.1 / STEEP)


def test_a_divider_of_two_resistors():
    """1 V over a contact of 1 kohm, a junction of 1 kohm in series with 500 ohm, and a contact of 500 ohm to ground."""
    network = NanowireNetwork.from_junctions(
        2, [(0, 1)], [0], [1], model=Resistor(), junction_values={"series_resistance": 500.0},
        instrument={"contact_resistance": (1000.0, 500.0)},
    )  # fmt: skip
    trace = network.simulate([3.0])
    np.testing.assert_allclose(trace.voltages, [[2.0, 0.5]], rtol=1e-14)
    np.testing.assert_allclose(trace.currents, [[1e-3, -1e-3]], rtol=1e-14)
    read = NanowireNetwork.from_junctions(
        3, [(0, 1), (1, 2)], [0], [2], model=Resistor(), load=1000.0, instrument={"contact_resistance": (0, 0, 1000.0)}
    )
    # 1 kohm, then 1 kohm beside 2 kohm to ground, of which the instrument sees half.
    np.testing.assert_allclose(read.advance(read.info.stimulus([[5.0]])).signal[0, 0], [1.0, 3e-3, -2e-3], rtol=1e-14)


def test_a_limited_source_lowers_its_voltage_and_says_so():
    network = NanowireNetwork.from_junctions(
        2, [(0, 1)], [0], [1], model=Resistor(), instrument={"current_limit": 1e-3, "contact_resistance": (500.0, 0.0)}
    )
    assert [channel.name for channel in network.info.outputs] == ["i00", "i01", "u00"]
    signal = network.advance(network.info.stimulus([[1.0], [1.4999], [3.0], [-9.0]])).signal[:, 0]
    np.testing.assert_allclose(signal[:, 0], [2e-3 / 3, 0.99993333e-3, 1e-3, -1e-3], rtol=1e-7)
    np.testing.assert_allclose(signal[:, 2], [1.0, 1.4999, 1.5, -1.5], rtol=1e-14)
    np.testing.assert_allclose(signal[:, 0], -signal[:, 1], rtol=1e-14)


def test_a_limit_keeps_a_filament_from_closing_more():
    """A junction that grows under 1 V alone keeps to the conductance at which its limited voltage stops growth."""
    bare = NanowireNetwork.from_junctions(2, [(0, 1)], [0], [1])
    limit = 0.02 * 5e-6
    held = NanowireNetwork.from_junctions(2, [(0, 1)], [0], [1], instrument={"current_limit": limit})
    for network in (bare, held):
        network.simulate(np.full(3000, 1.0), 1e-5)
    trace = held.simulate(np.full(20_000, 1.0), 1e-4, record=("currents", "voltages", "conductances"))
    assert bare.conductance[0] > 7.7e-5
    assert trace.currents[-1, 0] == pytest.approx(limit, rel=1e-12)
    assert trace.voltages[-1, 0] * trace.conductances[-1, 0] == pytest.approx(limit, rel=1e-9)
    assert trace.voltages[-1, 0] <= 0.0101  # the set voltage


def test_a_floating_input_takes_the_voltage_of_its_wire():
    network = NanowireNetwork.from_junctions(
        3, [(0, 1), (1, 2)], [0, 1], [2], model=Resistor(), instrument={"floating": True}
    )
    assert network.info.floats
    signal = network.advance(network.info.stimulus([[1.0, FLOAT], [FLOAT, 0.5], [FLOAT, FLOAT], [1.0, 1.0]])).signal
    np.testing.assert_allclose(signal[:, 0, 3:], [[1.0, 0.5], [0.5, 0.5], [0, 0], [1, 1]], atol=1e-15)
    np.testing.assert_allclose(signal[:, 0, 1], [0, 0.5e-3, 0, 1e-3], atol=1e-18)
    fixed = NanowireNetwork.from_junctions(3, [(0, 1), (1, 2)], [0, 1], [2], model=Resistor())
    with pytest.raises(StimulusRejected, match="nan at step 0, input 1"):
        fixed.info.stimulus([[1.0, FLOAT]])
    with pytest.raises(StimulusRejected, match="nan at step 0, input 1"):
        fixed.simulate([[1.0, FLOAT]])
    for instrument in ({"floating": True}, {"current_limit": 1.0}):
        with pytest.raises(ValueError, match="the input at wire 0 may float or have a limited current, and no ground"):
            NanowireNetwork.from_junctions(2, [(0, 1)], [0, 1], instrument=instrument)
    NanowireNetwork.from_junctions(3, [(0, 1), (1, 2)], [0, 1], [], [2], load=1e6, instrument={"floating": True})


def test_what_is_at_its_default_changes_nothing():
    """Solved the other way, with a limit that is never reached, the network does the same to rounding."""
    drive = np.random.default_rng(0).uniform(-2, 2, (400, 8))
    for model in ("filament", "rate-balance"):
        plain = NanowireNetwork(model=model)
        around = NanowireNetwork(model=model, instrument={"current_limit": 100.0, "floating": True})
        expected = plain.advance(plain.info.stimulus(drive)).signal
        got = around.advance(around.info.stimulus(drive)).signal
        np.testing.assert_allclose(got[..., :7], expected[..., :7], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got[:, 0, 16:], drive, rtol=0, atol=0)
    assert "instrument" not in plain.info.parameters


# Large and dense graphs


def test_both_ways_of_elimination_agree_with_spsolve():
    wires = 300
    pairs = np.array(networkx.random_regular_graph(4, wires, seed=3).edges)
    dense = NanowireNetwork.from_junctions(wires, pairs, [0, 1], [2], outputs=[5, 6, 7])
    cube = networkx.convert_node_labels_to_integers(networkx.grid_graph((11, 11, 11)))
    large = NanowireNetwork.from_junctions(11**3, np.array(cube.edges), [0, 1], [11**3 - 1], outputs=[5, 6, 7])
    assert dense._is_plain
    assert not large._is_plain
    for network in (dense, large):
        network.simulate(np.full((200, 2), [4.0, -3.0]))
        conductance = network.conductance
        assert conductance.max() / conductance.min() > 10
        voltage = network.simulate([[1.0, -0.5]], record="voltages").voltages[0]
        a, b = network.junctions.T
        matrix = coo_array(
            (np.concatenate((-conductance, -conductance, conductance, conductance)),
             (np.concatenate((a, b, a, b)), np.concatenate((b, a, a, b)))), shape=(network.wire_count,) * 2,
        ).tocsr()  # fmt: skip
        fixed = np.concatenate((network.input_nodes, network.ground_nodes))
        free = np.setdiff1d(np.arange(network.wire_count), fixed)
        current = -matrix[free][:, fixed] @ [1.0, -0.5, 0.0]
        expected = spsolve(matrix[free][:, free].tocsc(), current)
        np.testing.assert_allclose(voltage[free], expected, rtol=0, atol=1e-13)


def test_dense_graphs_are_planned_by_supernodes_and_plans_stay_small():
    pairs = np.array(networkx.random_regular_graph(4, 2000, seed=1).edges)
    places = ordered(2000, pairs, np.array([0, 1]), order_of)
    assert places.pairs > UNROLLED * places.entries
    plan = by_supernodes(places)
    assert sum(array.nbytes for array in plan) < 4 * places.entries
    largest = int(np.diff(plan.begin.astype(int)).max())
    assert plan.scratch < 1.4 * places.entries + 2.5 * largest**2  # the factor; a child's and its parent's front
    few = ordered(100, pairs[(pairs < 100).all(axis=1)], np.array([0]), least_pairs)
    assert len(by_pairs(few).target) == few.pairs


def test_a_cubic_lattice_of_8000_wires_is_made_and_driven():
    side = 20
    number = np.arange(side**3).reshape(side, side, side)
    pairs = np.concatenate(
        [
            np.column_stack((number[:-1].ravel(), number[1:].ravel())),
            np.column_stack((number[:, :-1].ravel(), number[:, 1:].ravel())),
            np.column_stack((number[:, :, :-1].ravel(), number[:, :, 1:].ravel())),
        ]
    )
    network = NanowireNetwork.from_junctions(side**3, pairs, [0], [side**3 - 1], outputs=[1, 2])
    trace = network.simulate(np.full(3, 1.0))
    assert abs(trace.currents.sum(axis=1)).max() < 1e-12 * abs(trace.currents).max()
    # By symmetry, the middle plane of corners that are exchanged by turning the cube is at half the voltage.
    flipped = number[::-1, ::-1, ::-1].ravel()
    np.testing.assert_allclose(trace.voltages[0] + trace.voltages[0][flipped], 1.0, rtol=0, atol=1e-12)
    members = [network, network.copy(), network.copy(), network.copy()]
    assert (np.ptp(NanowireEnsemble(members).advance(np.full((2, 1), 1.0)), axis=0) == 0).all()


# Orientation, matrices and weights


def test_the_orientation_of_a_junction_is_kept():
    for pairs, conducts in (([(0, 1)], True), ([(1, 0)], False)):
        network = NanowireNetwork.from_junctions(2, pairs, [0], [1], model=Diode())
        np.testing.assert_array_equal(network.junctions, pairs)
        trace = network.simulate([1.0, 1.0])
        assert trace.currents[1, 0] == pytest.approx(1e-3 if conducts else 1e-6)
        again = NanowireNetwork.from_junctions(**network.info.parameters | {"model": Diode()})
        assert again.info == network.info
    directed = np.zeros((3, 3))
    directed[1, 0] = directed[1, 2] = directed[0, 2] = directed[2, 0] = 1
    arrows = networkx.DiGraph([(1, 0), (1, 2)])
    for form, expected in (
        (directed, [[1, 0], [0, 2], [1, 2]]),
        (csr_array(directed), [[1, 0], [0, 2], [1, 2]]),
        (arrows, [[1, 0], [1, 2]]),
        (arrows.to_undirected(), [[0, 1], [1, 2]]),
        ([[1, 0], [2, 1], [0, 2]], [[1, 0], [2, 1], [0, 2]]),
    ):
        np.testing.assert_array_equal(NanowireNetwork.from_junctions(3, form, [0], [2]).junctions, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([[0, 1], [1, 0]]), [[0, 1]]),
        ([[0, 1], [1, 0]], [[0, 1]]),
        (np.array([[0, 1], [0, 0]]), [[0, 1]]),
        (np.array([[0, 0], [1, 0]]), [[1, 0]]),
        (csr_array(np.array([[0, 1], [1, 0]])), [[0, 1]]),
        ([(0, 1), (1, 0)], [[0, 1], [1, 0]]),
        ([(0, 1), (0, 1)], [[0, 1], [0, 1]]),
        ([[0, 1], [0, 1]], [[0, 1], [0, 1]]),
        ([[1, 0], [0, 1]], [[1, 0], [0, 1]]),
        ({"first": [0, 1], "second": [1, 0]}, [[0, 1], [1, 0]]),
    ],
)
def test_two_rows_of_two_numbers(given, expected):
    network = NanowireNetwork.from_junctions(2, given, [0], [1])
    np.testing.assert_array_equal(network.junctions, expected)
    np.testing.assert_array_equal(NanowireNetwork.from_junctions(**network.info.parameters).junctions, expected)


def test_weights_are_refused_and_ones_are_not():
    triangle = np.ones((3, 3)) - np.eye(3)
    weighted = networkx.Graph()
    weighted.add_weighted_edges_from([(0, 1, 2.5), (1, 2, 1.0)])
    for form in (2.5 * triangle, csr_array(2 * triangle), weighted, np.where(triangle == 0, 0, np.nan)):
        with pytest.raises(ValueError, match=r"an edge has weight (2|nan).*weights are not used"):
            NanowireNetwork.from_junctions(3, form, [0], [2])
    for form in (triangle, triangle.astype(bool), networkx.from_numpy_array(triangle)):
        assert len(NanowireNetwork.from_junctions(3, form, [0], [2]).junctions) == 3
    with pytest.raises(ValueError, match="a mapping of"):
        NanowireNetwork.from_junctions(3, {"first": [0]}, [0], [2])


# States and values of single junctions


def test_a_state_of_another_graph_or_model_is_refused():
    usual = {"wire_count": 3, "junctions": [(0, 1), (1, 2)], "inputs": [0], "grounds": [2]}
    network = NanowireNetwork.from_junctions(**usual)
    network.simulate(np.full(50, 1.0))
    state = network.state
    NanowireNetwork.from_junctions(**usual | {"inputs": [0], "grounds": [1], "seed": 3}).restore(state)
    for change in (
        {"junctions": [(0, 1), (0, 2)]},
        {"junctions": [(1, 0), (1, 2)]},
        {"model": "binary"},
        {"model": Filament(set_voltage=0.02)},
        {"junction_values": {"parameters": {"set_voltage": (0.01, 0.02)}}},
    ):
        other = NanowireNetwork.from_junctions(**usual | change)
        before = other.state
        with pytest.raises(ValueError, match="another graph or junction model"):
            other.restore(state)
        np.testing.assert_array_equal(other.state.junctions, before.junctions)


@pytest.mark.parametrize("model", [Filament(), Binary(), RateBalance(), LinearDrift()])
def test_junctions_of_several_kinds_each_do_as_alone(model):
    """In a row of junctions between the same two wires, each is as it would be alone."""
    field, values = ("set_voltage", [0.01, 0.02, 0.01, 0.03]) if hasattr(model, "set_voltage") else (
        ("on_conductance", [0.1, 0.2, 0.1, 0.05])
    )  # fmt: skip
    states = [0.0, 0.004, 0.001, 0.002]
    together = NanowireNetwork.from_junctions(
        2, [(0, 1)] * 4, [0], [1], model=model,
        junction_values=JunctionValues(parameters={field: values}, initial_state=states),
    )  # fmt: skip
    np.testing.assert_array_equal(together.filament, states)
    drive = 0.3 * np.sin(np.arange(300) * 0.05)
    ours = together.simulate(drive, record=("filaments", "conductances"))
    for j in range(4):
        alone = NanowireNetwork.from_junctions(
            2, [(0, 1)], [0], [1], model=type(model)(**{field: values[j]}), junction_values={"initial_state": states[j]}
        )
        trace = alone.simulate(drive, record=("filaments", "conductances"))
        np.testing.assert_allclose(ours.filaments[:, j], trace.filaments[:, 0], rtol=1e-12, atol=1e-18)
        np.testing.assert_allclose(ours.conductances[:, j], trace.conductances[:, 0], rtol=1e-12)
        alone.age(100.0)
        if j == 3:
            together.age(100.0)
            np.testing.assert_allclose(together.filament[3], alone.filament[0], rtol=1e-6, atol=1e-12)
    together.reset()
    np.testing.assert_array_equal(together.filament, states)
    again = pickle.loads(pickle.dumps(together))
    assert again.info == together.info
    np.testing.assert_array_equal(again.filament, states)
    assert NanowireNetwork.from_junctions(**together.info.parameters).info == together.info


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"junction_values": {"initial_state": [0.0]}}, "initial_state has 1 numbers and there are 2 junctions"),
        ({"junction_values": {"initial_state": 1.0}}, "initial_state of junction 0 is 1, which its model changes"),
        ({"model": "rate-balance", "junction_values": {"initial_state": 2.0}}, "so that it conducts"),
        ({"junction_values": {"parameters": {"set_voltag": 0.1}}}, "did you mean set_voltage"),
        ({"junction_values": {"parameters": {"set_voltage": [0.01, 0.001]}}}, r"junction 1: reset_voltage is 0\.005"),
        ({"junction_values": {"parameters": {"set_voltage": [0.01]}}}, "set_voltage has 1 numbers"),
        ({"junction_values": {"series_resistance": -1.0}}, "series_resistance is -1.0"),
        ({"junction_values": {"series_resistance": [1.0]}}, "series_resistance has 1 numbers"),
        ({"instrument": {"contact_resistance": [1.0, 2.0]}}, "contact_resistance has 2 numbers and there are 3 elec"),
        ({"instrument": {"current_limit": [1.0, 2.0]}}, "current_limit has 2 numbers and there are 1 inputs"),
        ({"instrument": {"current_limit": 0.0}}, "current_limit is 0.0; allowed is more than 0"),
        ({"instrument": {"contact_resistance": "much"}}, "contact_resistance is 'much'"),
        ({"instrument": {"voltage_noise": float("nan")}}, "voltage_noise is nan"),
        ({"instrument": {"noise": 1.0}}, "instrument"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NanowireNetwork.from_junctions(
            **{"wire_count": 3, "junctions": [(0, 1), (1, 2)], "inputs": [0], "grounds": [2]} | arguments
        )


# Noise of readings


def test_noise_of_readings_is_added_to_what_is_read_and_to_nothing_else():
    quiet = NanowireNetwork()
    noisy = NanowireNetwork(instrument={"voltage_noise": 3e-4, "current_noise": 2e-9})
    drive = np.random.default_rng(0).uniform(-2, 2, (3000, 8))
    stimulus = noisy.info.stimulus(drive)
    start = noisy.state
    first = noisy.advance(stimulus).signal
    difference = first - quiet.advance(quiet.info.stimulus(drive)).signal
    np.testing.assert_array_equal(noisy.filament, quiet.filament)
    voltages, currents = difference[..., :7].ravel(), difference[..., 7:].ravel()
    # The standard deviation of n normal numbers scatters by 1 / sqrt(2 n).
    assert voltages.std() == pytest.approx(3e-4, rel=5 / np.sqrt(2 * voltages.size))
    assert currents.std() == pytest.approx(2e-9, rel=5 / np.sqrt(2 * currents.size))
    correlation = np.corrcoef(difference[:, 0].T)
    assert abs(correlation[~np.eye(16, dtype=bool)]).max() < 5 / np.sqrt(3000)
    noisy.restore(start)
    np.testing.assert_array_equal(noisy.advance(stimulus).signal, first)
    noisy.reset()
    assert (noisy.advance(stimulus).signal != first).any()
    noisy.reset(noise="repeat")
    np.testing.assert_array_equal(noisy.advance(stimulus).signal, first)
    noisy.reset(noise="repeat")
    sent = pickle.loads(pickle.dumps(noisy))
    np.testing.assert_array_equal(sent.advance(stimulus).signal, first)
    same, other = noisy.copy(noise="same"), noisy.copy()
    np.testing.assert_array_equal(same.advance(stimulus).signal, first)
    assert (other.advance(stimulus).signal != first).any()
    ensemble = NanowireEnsemble([noisy] + [noisy.copy() for _ in range(4)])
    together = ensemble.advance(drive[:100])
    assert (np.std(together, axis=0) > 0).all()


def test_all_of_it_is_reached_by_a_uri_and_kept_in_the_parameters():
    uri = (
        "nanowire://?wires=60&geometry.density=0.1&electrodes=4&inputs=2&instrument.contact_resistance=100,200,0,50"
        "&instrument.current_limit=1e-5&instrument.floating=true&instrument.voltage_noise=1e-4"
        "&junction_values.series_resistance=1000&junction_values.initial_state=0.004"
    )
    info = connect(uri).info
    network = NanowireNetwork(
        wires=60, geometry={"type": "random-wires", "density": 0.1}, electrodes=4, inputs=2,
        instrument=Instrument(contact_resistance=np.array([100, 200, 0, 50]), current_limit=1e-5, floating=True,
                              voltage_noise=1e-4),
        junction_values=JunctionValues(series_resistance=1000, initial_state=0.004),
    )  # fmt: skip
    assert info == network.info == NanowireNetwork(**info.parameters).info
    assert info.parameters["instrument"]["contact_resistance"] == [100.0, 200.0, 0.0, 50.0]
    assert info.id != connect(uri.replace("1e-5", "2e-5")).info.id
    assert (network.filament == 0.004).all()
