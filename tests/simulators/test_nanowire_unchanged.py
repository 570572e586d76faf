"""A network whose junctions did not change is not eliminated again: the same numbers to the bit, and less work."""

import numpy as np
import pytest

from inmateria.simulators import Instrument, JunctionValues, NanowireNetwork, RandomWires
from inmateria.simulators.nanowire import solution

OVER = -1  # of the array of nodes: calls until the next conductances are remembered


def complete(instrument=None):
    """A graph that fills in, so that it is eliminated by fronts."""
    pairs = np.column_stack(np.triu_indices(140, 1))
    return NanowireNetwork.from_junctions(
        140, pairs, [0, 1], [2], outputs=[3, 4, 5], instrument=instrument or Instrument()
    )


NETWORKS = {
    "plain": lambda: NanowireNetwork(wires=60, inputs=2),
    "loaded": lambda: NanowireNetwork(wires=60, inputs=2, load=1e6, substeps=3),
    "limited": lambda: NanowireNetwork(wires=60, inputs=2, instrument=Instrument(current_limit=1e-7, floating=True)),
    "contacts": lambda: NanowireNetwork(wires=60, inputs=2, instrument=Instrument(contact_resistance=100.0)),
    "series": lambda: NanowireNetwork(wires=60, inputs=2, junction_values=JunctionValues(series_resistance=1e4)),
    "fronts": complete,
    "fronts, limited": lambda: complete(Instrument(current_limit=1e-5)),
}


def phases():
    """Rest, a strong drive, a weak one that moves nothing, a strong one again, and rest."""
    rng = np.random.default_rng(1)
    sizes = ((20, 0.0), (30, 1.0), (400, 0.0), (60, 4e-3), (30, 2.0), (1, 0.0), (30, 1e-3))
    return np.concatenate([size * rng.uniform(-1, 1, (steps, 2)) for steps, size in sizes])


@pytest.mark.filterwarnings("ignore::inmateria.simulators.CoarseStepWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_out_changes_no_bit(name):
    network = NETWORKS[name]()
    always = network.copy(noise="same")
    drive = phases()
    skipped = 0
    for part in np.array_split(drive, 40):
        always._nodes[OVER] = 1e9  # never remembered: eliminated at every step
        stimulus = network.info.stimulus(part, step=1e-3)
        mine, theirs = network.advance(stimulus), always.advance(stimulus)
        np.testing.assert_array_equal(mine.signal, theirs.signal)
        skipped += network._nodes[OVER] == 0
    np.testing.assert_array_equal(network.filament, always.filament)
    assert (network.filament != 0).any()
    assert 3 <= skipped < 40


def test_a_network_that_was_set_back_is_eliminated_anew():
    network, fresh = NanowireNetwork(wires=60, inputs=1), NanowireNetwork(wires=60, inputs=1)
    weak, strong = np.full((30, 1), 1e-3), np.full((30, 1), 1.0)
    state = network.state
    rest = network.simulate(weak).voltages
    network.simulate(strong)
    network.restore(state)
    np.testing.assert_array_equal(network.simulate(weak).voltages, rest)
    twin = network.copy()
    network.simulate(strong)
    twin.reset()
    np.testing.assert_array_equal(twin.simulate(weak).voltages, rest)
    np.testing.assert_array_equal(fresh.simulate(weak).voltages, rest)


def test_one_changed_junction_in_the_last_place_is_seen():
    for count in (1, 63, 64, 65, 200):
        conductance, nodes = np.full(count, 0.5), np.append(np.zeros(count), 1.0)
        answers = [solution.unchanged(conductance, nodes) for _ in range(3)]
        assert answers == [False, True, True]
        conductance[-1] = np.nextafter(0.5, 1)
        answers = [solution.unchanged(conductance, nodes) for _ in range(10)]
        assert answers == [False] * 9 + [True]


def test_a_dense_network_of_wires_is_solved_by_fronts_and_keeps_kirchhoffs_laws():
    network = NanowireNetwork(wires=700, seed=3, inputs=2, electrodes=6, geometry=RandomWires(density=0.3))
    assert network._solver
    voltage = network.simulate(np.full((1, 2), 1.0), record="voltages").voltages[0]
    network.reset()
    a, b = network.junctions.T
    flow = network.conductance * (voltage[a] - voltage[b])
    into = np.bincount(b, flow, len(voltage)) - np.bincount(a, flow, len(voltage))
    size = np.bincount(b, abs(flow), len(voltage)) + np.bincount(a, abs(flow), len(voltage))
    free = np.setdiff1d(np.arange(len(voltage)), np.concatenate((network.input_nodes, network.ground_nodes)))
    assert (abs(into[free]) <= 1e-12 * size.max()).all()
