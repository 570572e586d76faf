"""Operating points and updates of networks that learn, against ngspice, Kirchhoff's laws and finite differences."""

import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.simulators import (
    Antiparallel,
    ContrastiveNetwork,
    CoupledLearning,
    Diode,
    DirectedAging,
    EquilibriumPropagation,
    Imperfections,
    Resistor,
    SignRule,
    Transistor,
)

pytestmark = pytest.mark.slow  # three kernels to compile: about a minute

Floats = npt.NDArray[np.float64]
EDGES: dict[str, Any] = {
    "resistor": Resistor(),
    "potentiometer": Resistor(weight="resistance", low=781.25, high=1e5, levels=128),
    "transistor": Transistor(),
    "diode": Diode(),
    "antiparallel": Antiparallel(),
}


def ngspice(netlists: list[str], nodes: int, folder: Path) -> Floats:
    """Solve netlists in one process of ngspice; return the voltage of every node."""
    if shutil.which("ngspice") is None:
        message = "ngspice is not installed; on Debian: apt-get install ngspice"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    lines = ["* operating points", "v0 a 0 0", ".control", "set numdgt=17"]
    for k, netlist in enumerate(netlists):
        (folder / f"{k}.cir").write_text(netlist)
        names = " ".join(f"v(n{i})" for i in range(nodes))
        lines += [f"source {folder / f'{k}.cir'}", "op", f"print {names}", "destroy all", "remcirc"]
    (folder / "all.cir").write_text("\n".join([*lines, "quit", ".endc", ".end", ""]))
    done = subprocess.run(["ngspice", "-b", folder / "all.cir"], capture_output=True, text=True, check=False)
    volts = [float(word) for word in re.findall(r"^v\(n\d+\) = (\S+)", done.stdout, re.MULTILINE)]
    assert len(volts) == len(netlists) * nodes, done.stdout[-2000:] + done.stderr[-2000:]
    return np.array(volts).reshape(len(netlists), nodes)


@pytest.mark.parametrize("name", EDGES)
def test_node_voltages_are_those_of_ngspice(name: str, tmp_path: Path) -> None:
    edges, generator = EDGES[name], np.random.default_rng(1)
    network = ContrastiveNetwork(edges=edges, seed=3, imperfections=Imperfections(spread=0.1, cut=0.1))
    assert len(network.cut_edges) == 3
    netlists, found = [], []
    for _ in range(200):
        network.weights = generator.uniform(edges.low, edges.high, 32)
        inputs = generator.uniform(network.info.inputs[0].low, 0.5, 2)
        netlists.append(network.netlist(inputs))
        found.append(network.operating_points(inputs[np.newaxis])[0])
    assert np.abs(ngspice(netlists, 16, tmp_path) - found).max() < 1e-9


RULES: dict[str, Any] = {
    "coupled": CoupledLearning(eta=0.3),
    "sign": SignRule(eta=1.0),
    "aging": DirectedAging(),
    "one-sided": EquilibriumPropagation(beta=2e-5, centred=False),
    "centred": EquilibriumPropagation(beta=2e-5),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_second_state_of_each_rule_is_that_of_ngspice(rule: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    netlists, found = [], []
    for number in range(40):
        choices = [Transistor(), Resistor(), Antiparallel()]  # the last are too weak for that negative nudge
        edges = choices[number % (2 if isinstance(rule, EquilibriumPropagation) else 3)]
        network = ContrastiveNetwork(seed=number, edges=edges, rule=rule, outputs=["10-0", "10,6"][number % 2])
        drive = np.append(generator.uniform(0, 0.45, 2), generator.uniform(0, 0.2, len(network.output_nodes)))
        netlists.append(network.netlist(drive[:2], labels=drive[2:]))
        network.advance(network.info.stimulus([*drive, 1.0]))
        found.append(network._learner.held[network._plan.place])
    assert np.abs(ngspice(netlists, 16, tmp_path) - np.array(found)).max() < 1e-9
    assert np.abs(ngspice([network.netlist(drive[:2])], 16, tmp_path) - found[-1]).max() > 1e-6


def test_a_state_nudged_away_from_the_label_is_that_of_ngspice(tmp_path: Path) -> None:
    """A centred rule's update is the difference of the squares of the two states that ngspice finds."""
    rule = EquilibriumPropagation(beta=2e-5, alpha=1e-6)
    network = ContrastiveNetwork(seed=1, rule=rule)
    network.weights = np.random.default_rng(0).uniform(2, 4, 32)
    drive = np.array([0.4, 0.1, 0.08])
    netlists = [network.netlist(drive[:2], drive[2:], opposite=away) for away in (False, True)]
    toward, away = ngspice(netlists, 16, tmp_path)
    a, b = network.edges.T
    wanted = 1e-6 / (2 * 2e-5) * ((away[a] - away[b]) ** 2 - (toward[a] - toward[b]) ** 2)
    assert update(network, drive[:2], drive[2:]) == pytest.approx(wanted, rel=1e-6, abs=1e-13)
    with pytest.raises(ValueError, match="centred"):
        ContrastiveNetwork().netlist(drive[:2], drive[2:], opposite=True)


def test_transistors_below_ground_and_nodes_that_are_off_are_those_of_ngspice(tmp_path: Path) -> None:
    network = ContrastiveNetwork(seed=5, edges=Transistor(low=0.2, high=3.0), low=-0.3, rails=(0.0, 0.45))
    generator = np.random.default_rng(2)
    netlists, found = [], []
    for _ in range(50):
        network.weights = generator.choice([0.2, 0.9, 1.0, 1.3, 3.0], 32)
        inputs = generator.uniform(-0.3, 0.5, 2)
        netlists.append(network.netlist(inputs))
        found.append(network.operating_points(inputs[np.newaxis])[0])
    assert np.abs(ngspice(netlists, 16, tmp_path) - found).max() < 1e-9


def shockley(edges: Diode, drop: Floats, weight: Floats) -> Floats:
    x = drop / edges.thermal_voltage
    with np.errstate(divide="ignore"):
        reverse = -1 - (3 / (math.e * x)) ** 3
    return weight * edges.saturation_current * np.where(x >= -3, np.expm1(np.maximum(x, -3)), reverse)


def level_one(edges: Transistor, a: Floats, b: Floats, gate: Floats) -> Floats:
    """Return the current from a to b, from the textbook's cases."""
    source, drain = np.minimum(a, b), np.maximum(a, b)
    potential = edges.surface_potential
    threshold = edges.threshold + edges.body_effect * (np.sqrt(potential + source) - np.sqrt(potential))
    over, drop = gate - source - threshold, drain - source
    scale = edges.transconductance * edges.width / edges.length * (1 + edges.modulation * drop)
    triode, saturated = scale * drop * (over - drop / 2), scale * over**2 / 2
    current = np.where(over <= 0, 0.0, np.where(drop < over, triode, saturated)) + edges.off_conductance * drop
    return np.where(a >= b, current, -current)


def currents(network: ContrastiveNetwork, edges: Any, voltage: Floats) -> Floats:
    a, b = voltage[network.edges[:, 0]], voltage[network.edges[:, 1]]
    if isinstance(edges, Resistor):
        return network.settings * (a - b)
    if isinstance(edges, Transistor):
        return level_one(edges, a, b, network.settings)
    flow = shockley(edges, a - b, network.settings) + edges.off_conductance * (a - b)
    if isinstance(edges, Antiparallel):
        flow -= shockley(edges, b - a, network.settings) + edges.off_conductance * (b - a)
    return flow


@pytest.mark.parametrize("name", EDGES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), extreme=st.booleans(), nodes=st.integers(6, 40))
def test_currents_add_up_to_zero_at_every_node_and_to_what_sources_give(
    name: str, seed: int, extreme: bool, nodes: int
) -> None:
    edges, generator = EDGES[name], np.random.default_rng(seed)
    size = f"{nodes}x{min(2 * nodes, nodes * (nodes - 1) // 2)}"
    network = ContrastiveNetwork(random=size, edges=edges, seed=seed, tolerance=1e-13)
    if extreme:
        network.weights = generator.choice([edges.low, edges.high], len(network.edges))
    low = network.info.inputs[0].low
    drive = np.append(generator.choice([low, 0.5, 0.0], 2), [0, 0])
    response = network.advance(network.info.stimulus(drive))
    assert response.signal is not None
    voltage, given_ = response.signal[0, 0, :nodes], response.signal[0, 0, nodes:]
    flow = currents(network, edges, voltage)
    out = np.zeros(nodes)
    np.add.at(out, network.edges[:, 0], flow)
    np.subtract.at(out, network.edges[:, 1], flow)
    sources = np.concatenate((network.input_nodes, network.rail_nodes))
    inside = np.delete(out, sources)
    assert np.abs(inside).max(initial=0) < 1e-11 * np.abs(flow).max() + 1e-18
    assert np.abs(out[sources] - given_).max() < 1e-11 * np.abs(flow).max() + 1e-18
    # The energy is what the sources give.
    assert network.energy == pytest.approx(voltage[sources] @ given_ * network.info.step, rel=1e-9, abs=1e-30)


LINEAR = {"edges": Resistor(low=1e-5, high=1e-3), "outputs": 1, "differential": False}


def loss_gradient(network: ContrastiveNetwork, inputs: Floats, label: Floats) -> Floats:
    """Differentiate the squared error of the free state by every weight."""
    weights, gradient = network.weights, np.empty(len(network.edges))
    for j in range(len(weights)):
        step = 1e-5 * weights[j]
        ends = []
        for sign in (1, -1):
            network.weights = weights + sign * step * (np.arange(len(weights)) == j)
            ends.append(np.sum((label - network.predict(inputs[np.newaxis])[0]) ** 2))
        gradient[j] = (ends[0] - ends[1]) / (2 * step)
    network.weights = weights
    return gradient


def update(network: ContrastiveNetwork, inputs: Floats, label: Floats) -> Floats:
    """Return what one step with learn changes the weights by, in the middle of their range."""
    before = network.weights
    network.advance(network.info.stimulus([*inputs, *label, 1.0]))
    return network.weights - before


def output_conductance(network: ContrastiveNetwork, inputs: Floats) -> float:
    """Return the current that moves a single output by 1 V, from the whole nodal matrix of a linear network."""
    laplacian = np.zeros((network.node_count,) * 2)
    for (a, b), g in zip(network.edges, network.settings, strict=True):
        laplacian[[a, a, b, b], [a, b, b, a]] += [g, -g, g, -g]
    free = np.setdiff1d(np.arange(network.node_count), np.concatenate((network.input_nodes, network.rail_nodes)))
    inverse = np.linalg.inv(laplacian[np.ix_(free, free)])
    place = int(np.flatnonzero(free == network.output_nodes[0, 0])[0])
    return float(1 / inverse[place, place])


def middle(network: ContrastiveNetwork, edges: Any, seed: int) -> None:
    network.weights = np.random.default_rng(seed).uniform(
        edges.low + 0.3 * (edges.high - edges.low), edges.high - 0.3 * (edges.high - edges.low), len(network.edges)
    )


@pytest.mark.parametrize("seed", range(5))
def test_coupled_learning_is_the_gradient_of_the_squared_error_as_eta_goes_to_zero(seed: int) -> None:
    inputs, label = np.array([0.4, -0.2]), np.array([0.3])
    errors = []
    for eta in (1e-2, 1e-3, 1e-4):
        rule = CoupledLearning(eta=eta, alpha=1e-6)
        network = ContrastiveNetwork(random="12x24", seed=seed, rule=rule, **LINEAR)  # type: ignore[arg-type]
        middle(network, LINEAR["edges"], seed)
        # Clamping moves the output by eta (L - V), which takes eta K (L - V) of current: the gradient times -K alpha.
        wanted = -1e-6 * output_conductance(network, inputs) * loss_gradient(network, inputs, label)
        found = update(network, inputs, label)
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert errors[2] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)  # in proportion to eta


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("outputs", ["3-8", "3,8", "5-6,3-8"])
@pytest.mark.parametrize("name", ["resistor", "diode", "antiparallel"])
def test_equilibrium_propagation_is_the_gradient_as_beta_goes_to_zero(name: str, outputs: str, centred: bool) -> None:
    edges = EDGES[name]
    inputs, count = np.array([0.4, 0.1]), outputs.count(",") + 1
    label = np.array([0.3, -0.1])[:count]
    errors = []
    for beta in (1e-3, 1e-4):
        beta *= 1e-3 if name == "resistor" else 1e-6
        rule = EquilibriumPropagation(beta=beta, alpha=1e-9, centred=centred)
        network = ContrastiveNetwork(
            random="12x24", seed=2, edges=edges, rule=rule, inputs="0,1", outputs=outputs, rails="2:0.11,4:0.33",
            low=-0.5, tolerance=1e-14,
        )  # fmt: skip
        middle(network, edges, 1)
        # For diodes the rule reads the co-content in units of the square of a small voltage.
        small = 1.0 if name == "resistor" else edges.thermal_voltage / edges.saturation_current
        wanted = -1e-9 * loss_gradient(network, inputs, label) * small / (2 if name == "antiparallel" else 1)
        found = update(network, inputs, label)
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert errors[1] < (1e-4 if centred else 1e-2)


def test_the_sign_rule_is_the_sign_of_coupled_learning() -> None:
    edges = Resistor(weight="resistance", low=781.25, high=1e5, levels=128)
    signs = ContrastiveNetwork(seed=4, edges=edges, rule=SignRule(eta=0.2))
    coupled = ContrastiveNetwork(seed=4, edges=edges, rule=CoupledLearning(eta=0.2, alpha=1e-9))
    for network in (signs, coupled):
        network.weights = 781.25 * np.random.default_rng(0).integers(10, 100, 32)
    inputs, label = np.array([0.4, -0.1]), np.array([0.1])
    moved, wanted = update(signs, inputs, label), update(coupled, inputs, label)
    assert np.abs(moved) == pytest.approx(781.25)
    assert (np.sign(moved) == np.where(wanted <= 0, -1, 1)).all()


def test_directed_aging_weakens_what_carries_most_in_the_clamped_state() -> None:
    edges = Resistor(low=1e-5, high=1e-3)
    network = ContrastiveNetwork(
        seed=4, edges=edges, rule=DirectedAging(eta=1.0, alpha=1e-4), rails="1:0.0", outputs="6,"
    )
    middle(network, edges, 0)
    inputs, label = np.array([0.4, -0.1]), np.array([0.25])
    held = ContrastiveNetwork.from_edges(
        16, network.edges, edges=edges, inputs=[*network.input_nodes, 6], outputs="2,", rails="1:0.0"
    )
    held.weights = network.weights
    voltage = held.operating_points([[*inputs, 0.25]])[0]
    drop = voltage[network.edges[:, 0]] - voltage[network.edges[:, 1]]
    assert update(network, inputs, label) == pytest.approx(-1e-4 * drop**2, rel=1e-6, abs=1e-15)


def test_a_clamped_output_lies_eta_of_the_way_to_its_label() -> None:
    """The update of an edge between two nodes that are clamped or driven needs no solver."""
    edges = Resistor(low=1e-5, high=1e-3)
    for outputs, eta in (("1-2", 0.3), ("1,", 0.7), ("1,", 2.5)):
        network = ContrastiveNetwork.from_edges(
            4, [(0, 1), (1, 2), (2, 3), (0, 2)], inputs="0,", outputs=outputs, rails="3:0.0", edges=edges,
            rule=CoupledLearning(eta=eta, alpha=1e-4),
        )  # fmt: skip
        network.weights = np.full(4, 2e-4)
        voltage = network.operating_points([[0.4]])[0]
        label = 0.05
        found = update(network, np.array([0.4]), np.array([label]))
        if outputs == "1-2":
            shift = eta * (label - (voltage[1] - voltage[2])) / 2
            clamped = np.array([0.4, voltage[1] + shift, voltage[2] - shift, 0.0])
        else:
            one = voltage[1] + eta * (label - voltage[1])
            clamped = np.array([0.4, one, (one + 0.4 + 0.0) / 3, 0.0])
        a, b = network.edges.T
        wanted = 1e-4 / eta * ((voltage[a] - voltage[b]) ** 2 - (clamped[a] - clamped[b]) ** 2)
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-16)
