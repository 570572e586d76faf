"""A simulator's id holds everything that makes it different, and nothing else."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.simulators import (
    Bursting,
    ContrastiveNetwork,
    EchoStateNetwork,
    Filament,
    IntegerEchoStateNetwork,
    NanowireEnsemble,
    NanowireNetwork,
    NeuralCulture,
    RandomWires,
    ResistiveLayers,
    ScatteringMedium,
    Variability,
)
from inmateria.simulators.identity import simulator_id

SMALL: dict[str, Callable[[], Any]] = {
    "nanowire": lambda: NanowireNetwork(wires=30, electrodes=4, inputs=2, geometry=RandomWires(density=0.1)),
    "grid": lambda: NanowireNetwork(wires=16, electrodes=4, inputs=2, geometry="grid", model="rate-balance"),
    "binary": lambda: NanowireNetwork(wires=30, electrodes=4, inputs=2, model="binary"),
    "linear drift": lambda: NanowireNetwork(wires=30, electrodes=4, inputs=2, model="linear-drift"),
    "culture": lambda: NeuralCulture(neurons=20, electrodes=4),
    "bursting culture": lambda: NeuralCulture(neurons=20, electrodes=4, regime="bursting"),
    "echo": lambda: EchoStateNetwork(units=5),
    "integer echo": lambda: IntegerEchoStateNetwork(units=5, connections=4),
    "scattering": lambda: ScatteringMedium(ports=3, observables=4),
    "clln": lambda: ContrastiveNetwork(inputs=1, outputs=1, differential=False, rails="0.25"),
    "potentiometers": lambda: ContrastiveNetwork(edges="resistor", rule="sign-rule"),
    "diodes": lambda: ContrastiveNetwork(edges="diode", rule="equilibrium-propagation"),
    "clln, random": lambda: ContrastiveNetwork(
        random="9x12", edges="antiparallel", rule="directed-aging", inputs="0,2", outputs="8,", rails="7:0.1"
    ),
    "layers": lambda: ResistiveLayers("3-5-2", imperfections={"levels": 9}),
    "shallow layers": lambda: ResistiveLayers([3, 2], nudge=0.1, largest=(2.0,), imperfections={"spread": 0.1}),
}
OTHER = {
    "plasticity": "stdp", "load": 1e5, "side": 40.0, "grid": "5x5", "random": "10x12", "levels": 7, "alpha": 0.5,
    "weight": "resistance", "remainder": "lost", "leak_time": 5.0, "inputs": "1,", "outputs": "4,", "rails": "3:0.25",
    "sizes": "3-6-2", "rates": "0.1", "update": "sign", "largest": "4.0", "precision": "double",
}  # fmt: skip
AGE = "days"


def leaves(parameters: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        elif name != "type":
            yield (*path, name), value


def changed(parameters: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    other = copy.deepcopy(parameters)
    group = other
    for name in path[:-1]:
        group = group[name]
    group[path[-1]] = value
    return other


def near(name: str, value: Any) -> Any:
    """Another value of a parameter, the nearest there is."""
    if name in OTHER and not isinstance(value, int):
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if value is None:
        return 0.01
    if name == "wires":
        return 49 if value == 16 else value + 1
    if name == "window":
        return value + 1
    if isinstance(value, int):
        return value + 1
    down = value == 1.0 or name in ("excitatory", "input_connectivity", "reset_voltage", "dt", "lr", "rc_connectivity")
    return float(np.nextafter(value, 0.0 if down else 1e9))


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_changes_the_id_however_little_it_changes(name: str) -> None:
    simulator = SMALL[name]()
    parameters = simulator.info.parameters
    ids = {(): simulator.info.id}
    for path, value in leaves(parameters):
        if path[-1] != AGE:
            ids[path] = type(simulator)(**changed(parameters, path, near(path[-1], value))).info.id
    assert len(ids) > 6
    assert len(set(ids.values())) == len(ids)


@pytest.mark.parametrize("name", SMALL)
def test_the_parameters_in_its_info_make_it_again_under_the_same_id(name: str) -> None:
    simulator = SMALL[name]()
    again = type(simulator)(**simulator.info.parameters)
    assert again.info == simulator.info
    assert again.info.rest == (0.0,) * len(simulator.info.inputs)


voltages = st.floats(0.006, 1.0)


@settings(max_examples=40, deadline=None)
@given(
    one=st.tuples(st.integers(0, 99), voltages, st.floats(0, 3), st.sampled_from(["filament", "binary"])),
    other=st.tuples(st.integers(0, 99), voltages, st.floats(0, 3), st.sampled_from(["filament", "binary"])),
)  # fmt: skip
def test_ids_are_equal_exactly_where_the_parameters_are(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    def network(seed: int, voltage: float, noise: float, model: str) -> NanowireNetwork:
        group = {"type": model, "set_voltage": voltage}
        return NanowireNetwork(wires=20, seed=seed, electrodes=2, inputs=1, model=group, variability={"noise": noise})

    assert network(*one).info.id == network(*one).info.id
    assert (network(*one).info.id == network(*other).info.id) == (one == other)


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.text() | st.none()
documents = st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(document=st.dictionaries(st.text(), documents))
def test_the_order_of_parameters_and_the_sign_of_zero_do_not_matter(document: dict[str, Any]) -> None:
    reversed_ = dict(reversed(document.items()))
    assert simulator_id("x", document) == simulator_id("x", reversed_)
    assert simulator_id("x", {"a": -0.0}) == simulator_id("x", {"a": 0.0})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array([1, 2]), np.array([[1, 2]])),
        (np.array([1, 2]), np.array([2, 1])),
        (np.array([0.0]), np.array([5e-324])),
        (np.array([0.0]), np.array([0])),
    ],
)
def test_arrays_count_by_shape_type_and_bytes(one: np.ndarray, other: np.ndarray) -> None:
    assert simulator_id("x", {}, a=one) != simulator_id("x", {}, a=other)
    assert simulator_id("x", {}, a=one) != simulator_id("x", {}, b=one)


def test_numbers_of_any_type_and_layout_give_one_id() -> None:
    assert NanowireNetwork(np.int32(40), seed=np.uint8(3), step=1).info.id == NanowireNetwork(40, 3, step=1.0).info.id
    assert NeuralCulture(neurons=np.int64(20), electrodes=4, days=1).info.id == NeuralCulture(20, electrodes=4).info.id
    table = np.arange(12)
    for form in (table.astype(">i4"), table.astype(np.uint16), np.repeat(table, 2)[::2]):
        assert simulator_id("x", {}, a=form) == simulator_id("x", {}, a=table)


def test_networks_of_given_graphs_differ_by_their_graph_and_electrodes() -> None:
    usual: dict[str, Any] = {"wire_count": 4, "junctions": [(0, 1), (1, 2), (2, 3)], "inputs": [0], "grounds": [3]}
    changes: list[dict[str, Any]] = [
        {}, {"junctions": [(0, 1), (1, 2), (1, 3)]}, {"inputs": [1]}, {"grounds": [2]}, {"outputs": [1]},
        {"outputs": [2, 1]}, {"seed": 1}, {"model": "binary"},
        {"wire_count": 5, "junctions": [*usual["junctions"], (3, 4)]},
        {"variability": Variability(noise=0.1)},
    ]  # fmt: skip
    ids = {NanowireNetwork.from_junctions(**usual | each).info.id for each in changes}
    assert len(ids) == len(changes)
    reversed_ = [pair[::-1] for pair in usual["junctions"]]
    # A junction has an orientation: that of its state, and for models that are polar of all that it does.
    assert NanowireNetwork.from_junctions(**usual | {"junctions": reversed_}).info.id not in ids


def test_members_of_an_ensemble_have_the_ids_of_their_networks() -> None:
    members = [NanowireNetwork(wires=40, model=Filament(set_voltage=0.01 + 1e-4 * k)) for k in range(5)]
    ensemble = NanowireEnsemble(members)
    ensemble.advance(np.ones((3, 8)))
    assert len({network.info.id for network in ensemble}) == 5


def test_a_device_keeps_its_id_while_it_is_used_ages_and_is_copied() -> None:
    network = NanowireNetwork(wires=40, variability=Variability(aging=0.1))
    known = network.info.id
    network.advance(network.info.stimulus(np.ones((3, 8))))
    network.age(86_400.0)
    assert network.info.id == network.copy().info.id == known
    older = NeuralCulture(neurons=20, electrodes=4, days=7.0)
    assert older.info.id == NeuralCulture(neurons=20, electrodes=4).info.id  # the same culture, a week later


PRINT = """
from inmateria.simulators import Bursting, EchoStateNetwork, NanowireNetwork, NeuralCulture, ScatteringMedium
for each in (NanowireNetwork(), NeuralCulture(neurons=20, electrodes=4, regime=Bursting(drive=0.1 + 0.2)),
             NeuralCulture(neurons=20, electrodes=4, regime="asynchronous"),
             EchoStateNetwork(units=5), ScatteringMedium(),
             NanowireNetwork.from_junctions(3, [(0, 1), (1, 2)], inputs=[0])):
    print(each.info.id)
"""
KNOWN = [
    "nanowire-100-s42-163d61e7e100",
    "culture-20-s0-8fe2094975d1",
    "culture-20-s0-55fec8cffa0e",  # that of the default culture before this regime had to be named
    "echo-5-s42-f268b6685d7b",
    "scattering-20x100-s42-4af9ae662cf1",
    "nanowires-3-s42-f72bfa63703b",
]


def test_ids_are_the_same_in_any_process_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The ids of these simulators are written down: passports and recordings name devices by them."""
    exec(PRINT, {})  # by hashes of this process
    assert capsys.readouterr().out.split() == KNOWN
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    told = subprocess.run(
        [sys.executable, "-c", PRINT],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == KNOWN
    assert Bursting(drive=0.1 + 0.2) == Bursting(drive=0.30000000000000004)
