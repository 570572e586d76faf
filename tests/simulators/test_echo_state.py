"""The echo-state network as a substrate is reservoirpy's own, number for number."""

import sys
from importlib import import_module

import numpy as np
import pytest
from reservoirpy.nodes import Reservoir

from inmateria.adapters import connect
from inmateria.reservoir import PhysicalReservoir, memory_capacity, santa_fe_laser
from inmateria.simulators import EchoStateNetwork
from inmateria.substrate import StimulusRejected, UnknownSubstrate


def test_its_states_are_those_of_reservoirpys_network() -> None:
    u = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    network = EchoStateNetwork(units=50, sr=0.8, lr=0.3, input_scaling=0.5, inputs=2, bias=0.1, seed=7)
    theirs = Reservoir(50, sr=0.8, lr=0.3, input_scaling=0.5, bias=0.1, seed=7).run(u)
    parts = [network.advance(network.info.stimulus(part)) for part in np.split(u, 3)]
    assert np.array_equal(np.concatenate([part.signal[:, 0] for part in parts]), theirs)
    assert [part.sequence for part in parts] == [0, 1, 2]
    assert parts[2].start == pytest.approx(200 * network.info.step)


def test_its_states_follow_the_equation_of_its_documentation() -> None:
    network = EchoStateNetwork(units=30, sr=0.9, lr=0.4, input_scaling=0.5, inputs=2, bias=0.2, seed=3)
    u = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    states = network.advance(network.info.stimulus(u)).signal[:, 0]
    W, W_in, b = (
        np.asarray(each.toarray()) if hasattr(each, "toarray") else np.asarray(each)
        for each in (network._network.W, network._network.Win, network._network.bias)
    )
    x = np.zeros(30)
    for now, expected in zip(u, states, strict=True):
        x = (1 - 0.4) * x + 0.4 * np.tanh(W @ x + W_in @ now + b.ravel())
        np.testing.assert_allclose(expected, x, rtol=1e-12, atol=1e-15)


def test_reset_brings_back_the_same_numbers() -> None:
    network = EchoStateNetwork(units=20)
    stimulus = network.info.stimulus(np.linspace(-1, 1, 30)[:, np.newaxis])
    first = network.advance(stimulus)
    network.reset()
    again = network.advance(stimulus)
    assert np.array_equal(first.signal, again.signal)
    assert (again.start, again.sequence) == (0, 0)


def test_a_longer_step_holds_its_input() -> None:
    one, other = EchoStateNetwork(units=20), EchoStateNetwork(units=20)
    u = np.random.default_rng(0).uniform(-1, 1, (10, 1))
    held = one.advance(one.info.stimulus(u, 3e-3)).signal
    assert held.shape == (10, 3, 20)
    plain = other.advance(other.info.stimulus(np.repeat(u, 3, axis=0))).signal
    assert np.array_equal(held.reshape(30, 20), plain[:, 0])


async def test_a_uri_makes_one_that_computes() -> None:
    async with PhysicalReservoir("echo://?units=60&sr=0.95&seed=1") as reservoir:
        assert reservoir.info.parameters["units"] == 60
        u = np.random.default_rng(0).uniform(-1, 1, 4000)
        found = memory_capacity(await reservoir.run(u), u, 60, check_reading_order=False)
        assert 12 < found.total < 30
        with pytest.raises(StimulusRejected, match="allows -1 to 1 1"):
            await reservoir.run([1.5])


def test_a_parameter_out_of_range_is_named() -> None:
    with pytest.raises(UnknownSubstrate, match="lr is 2"):
        connect("echo://?lr=2")
    with pytest.raises(UnknownSubstrate, match="did you mean units"):
        connect("echo://?unit=2")
    with pytest.raises(ValueError, match="at least one of each"):
        EchoStateNetwork(units=0)


def test_without_reservoirpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reservoirpy.nodes", None)
    with pytest.raises(UnknownSubstrate, match=r"not installed; .*inmateria\[reservoirpy\]"):
        connect("echo://")
    monkeypatch.delitem(sys.modules, "inmateria.reservoir.reservoirpy_nodes", raising=False)
    monkeypatch.setitem(sys.modules, "reservoirpy.node", None)
    with pytest.raises(ImportError, match=r"inmateria\[reservoirpy\]"):
        import_module("inmateria.reservoir.reservoirpy_nodes")
    monkeypatch.setitem(sys.modules, "reservoirpy.datasets", None)
    with pytest.raises(ImportError, match=r"inmateria\[reservoirpy\]"):
        santa_fe_laser()
