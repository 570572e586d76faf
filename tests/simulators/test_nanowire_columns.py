"""Kirchhoff's laws solved by code for short columns, for long ones and for four at once, beside a dense solution."""

import numba
import numpy as np
import numpy.typing as npt
import pytest

from inmateria.simulators import Filament, NanowireNetwork
from inmateria.simulators.nanowire.compiled_calls import EVOLVE, address_of, call_evolve
from inmateria.simulators.nanowire.junction_table import CONDUCTANCE, CONDUCTS, DROP, FEELS, ROWS, STATE
from inmateria.simulators.nanowire.long_columns import are_four
from inmateria.simulators.nanowire.short_columns import SHORT
from inmateria.simulators.nanowire.solution import unpack

IntArray = npt.NDArray[np.intp]


def _lengths(network: NanowireNetwork) -> IntArray:
    start = unpack.py_func(network._plan)[6]
    return np.diff(start.astype(np.intp))


def _dense(network: NanowireNetwork, volts: float) -> npt.NDArray[np.float64]:
    nodes = network.wire_count
    matrix = np.zeros((nodes, nodes))
    for (a, b), g in zip(network.junctions, network.conductance, strict=True):
        matrix[a, a] += g
        matrix[b, b] += g
        matrix[a, b] -= g
        matrix[b, a] -= g
    voltage = np.zeros(nodes)
    voltage[network.input_nodes] = volts
    free = np.setdiff1d(np.arange(nodes), np.concatenate((network.input_nodes, network.ground_nodes)))
    voltage[free] = np.linalg.solve(matrix[np.ix_(free, free)], -matrix[free] @ voltage)
    return voltage


def _with_clique(wires: int, clique: int, seed: int) -> NanowireNetwork:
    """Return a ring of wires with chords, of which some are all joined to one another."""
    rng = np.random.default_rng(seed)
    ring = np.column_stack((np.arange(wires), np.roll(np.arange(wires), -1)))
    chords = rng.integers(0, wires, (wires, 2))
    joined = rng.choice(wires, clique, replace=False)[np.column_stack(np.triu_indices(clique, 1))]
    pairs = np.concatenate((ring, chords[chords[:, 0] != chords[:, 1]], joined))
    network = NanowireNetwork.from_junctions(wires, pairs, inputs=[0], grounds=[1], model=Filament())
    # Conductances over six decades, set from states as any step does.
    network._junctions[STATE] = 0.01 * rng.random(len(network.junctions))
    network._junctions[CONDUCTANCE] = 10.0 ** rng.uniform(-8, -2, len(network.junctions))
    return network


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clique", [2, 8, 15, 17, 19, 21, 26])
def test_columns_of_every_length_give_the_dense_solution(clique: int, seed: int) -> None:
    network = _with_clique(120, clique, seed)
    expected = _dense(network, 1.0)
    voltages = network.simulate([1.0], record="voltages").voltages
    assert voltages is not None
    np.testing.assert_allclose(voltages[0], expected, atol=1e-9)


def test_all_three_ways_are_taken() -> None:
    network = _with_clique(120, 26, 0)
    _, _, _, _, _, _, start, rows, *_ = unpack.py_func(network._plan)
    lengths = _lengths(network)
    long = np.flatnonzero(lengths > SHORT)
    assert 0 in lengths
    assert 3 in lengths
    fours = [k for k in long if are_four(start, rows, np.uint64(k))]
    assert fours
    assert len(fours) < len(long)


@pytest.mark.parametrize("overshoot", [False, True])
@pytest.mark.parametrize("junctions", [1, 15, 16, 17, 48, 50])
def test_sixteen_filaments_at_once_evolve_as_each_alone(junctions: int, overshoot: bool) -> None:
    @numba.njit
    def evolve(address, constants, table):  # type: ignore[no-untyped-def]
        call_evolve(address, constants, 0.05, 1.0, table)

    model = Filament(overshoot=overshoot)
    address, constants = address_of(Filament.evolve, EVOLVE, "inmateria.simulators.vector_lanes"), model.packed()
    rng = np.random.default_rng(junctions)
    table = np.zeros((len(ROWS), junctions))
    table[STATE] = rng.uniform(-0.015, 0.015, junctions)
    table[DROP] = rng.normal(0.0, 0.05, junctions)
    table[DROP, ::3], table[STATE, ::5] = 0.0, 0.0
    table[FEELS], table[CONDUCTS] = rng.uniform(0.5, 2.0, (2, junctions))
    alone = table.copy()
    evolve(address, constants, table)
    for j in range(junctions):
        one = np.ascontiguousarray(alone[:, j : j + 1])
        evolve(address, constants, one)
        alone[:, j] = one[:, 0]
    np.testing.assert_array_equal(table, alone)
