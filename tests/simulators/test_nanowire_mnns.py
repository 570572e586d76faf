"""Our linear drift beside that of the network simulator mnns: its own network, the same currents."""

import numpy as np
import pytest

from inmateria.simulators import LinearDrift, NanowireNetwork

mnns = pytest.importorskip("mnns", reason="mnns is a test dependency: pip install 'inmateria[test]'")
networkx = pytest.importorskip("networkx", reason="networkx is a test dependency: pip install 'inmateria[test]'")

UNIT_OF_TIME, UNIT_OF_CURRENT = 0.01, 0.1  # of mnns: w0^2 / (mu0 v0) = 10,000 us, v0 / Ron
TAU = 50.0  # in its unit of time


@pytest.fixture
def pair():
    """A network drawn by mnns, and ours with its junctions in its order."""
    theirs = mnns.create_NWN(shape=(4.0, 4.0), density=9.0, seed=7)
    left, right = mnns.add_electrodes(theirs, "left", "right")
    part = networkx.node_connected_component(theirs, left)
    assert right in part
    theirs.remove_nodes_from([node for node in list(theirs.nodes) if node not in part])
    theirs.graph["node_indices"] = {node: i for i, node in enumerate(sorted(theirs.nodes))}
    theirs.state_vars = ["x"]
    theirs.resistance_function = mnns.models.resist_func
    theirs.graph["tau"] = TAU
    number = theirs.graph["node_indices"]
    junctions = [(number[a], number[b]) for a, b in theirs.wire_junctions]
    ours = NanowireNetwork.from_junctions(
        len(number),
        junctions,
        inputs=[number[left]],
        grounds=[number[right]],
        model=LinearDrift(decay_time=TAU * UNIT_OF_TIME),
        voltage_limit=100.0,
    )
    return theirs, ours, left, right


def drain_current(theirs, left, right, x, voltage):
    theirs.set_state_var("x", x)
    theirs.update_resistance(x)
    return float(np.squeeze(mnns.solve_drain_current(theirs, left, right, voltage))) * UNIT_OF_CURRENT


def test_the_same_states_give_the_same_current(pair):
    theirs, ours, left, right = pair
    rng = np.random.default_rng(0)
    for _ in range(5):
        state = ours.state
        drive = rng.uniform(10, 40)
        expected = drain_current(theirs, left, right, state.junctions[0].copy(), drive)
        trace = ours.simulate([drive] * 20, record="currents")
        assert abs(trace.currents[0, 1]) == pytest.approx(abs(expected), rel=1e-9)
    assert ours.filament.max() > 0.05  # states did differ


def test_trajectories_converge_to_its_adaptive_solution(pair):
    theirs, ours, left, right = pair
    span = 20.0  # in its unit of time

    def wave(t):
        return 25 * np.sin(2 * np.pi * t / span)

    theirs.set_state_var("x", np.zeros(len(ours.junctions)))
    solution = theirs.evolve(
        mnns.models.decay_HP_model,
        np.linspace(0, span / 2, 3),
        args=(theirs, left, right, wave, np.ones_like),
        ivp_options={"rtol": 1e-6, "atol": 1e-8},
    )
    errors = []
    for steps in (500, 1000):
        ours.reset()
        time = np.arange(steps) * (span / 2 / steps)
        ours.simulate(wave(time), span / 2 / steps * UNIT_OF_TIME)
        errors.append(abs(ours.filament - solution.y[:, -1]).max())
    assert 0.05 < solution.y[:, -1].max() < 1
    assert errors[1] < 2e-3 * solution.y[:, -1].max()
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)  # ours is of first order
