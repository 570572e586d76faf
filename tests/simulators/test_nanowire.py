"""The simulated nanowire network against an independent dense solution, conservation laws and bad input."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.simulators import Filament, NanowireNetwork, RandomWires
from inmateria.substrate import Stimulus, SubstrateInfo


def laplacian(network: NanowireNetwork, conductance: np.ndarray) -> np.ndarray:
    matrix = np.zeros((network.wire_count, network.wire_count))
    for (a, b), g in zip(network.junctions, conductance, strict=True):
        matrix[a, a] += g
        matrix[b, b] += g
        matrix[a, b] -= g
        matrix[b, a] -= g
    return matrix


def dense_outputs(network: NanowireNetwork, conductance: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """Voltages read, then electrode currents, by a dense solution that shares no code with the simulator."""
    matrix = laplacian(network, conductance)
    fixed = np.concatenate((network.input_nodes, network.ground_nodes))
    free = np.setdiff1d(np.arange(network.wire_count), fixed)
    voltage = np.zeros(network.wire_count)
    voltage[network.input_nodes] = driven
    voltage[free] = np.linalg.solve(matrix[np.ix_(free, free)], -matrix[np.ix_(free, fixed)] @ voltage[fixed])
    return np.concatenate((voltage[network.output_nodes], (matrix @ voltage)[fixed]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), model=st.sampled_from(["filament", "binary"]), wires=st.integers(30, 150))
def test_every_step_agrees_with_a_dense_solution(seed, model, wires):
    network = NanowireNetwork(
        wires=wires, seed=seed, model=model, electrodes=8, inputs=4, geometry=RandomWires(density=0.1)
    )
    drive = np.random.default_rng(seed).uniform(-1, 1, (300, 4))
    drive[:290] += 3  # long enough for switching, without which this would show little
    network.advance(network.info.stimulus(drive[:290]))
    assert np.ptp(np.log10(network.conductance)) > 2
    for row in drive[290:]:
        before = network.conductance
        signal = network.advance(network.info.stimulus(row)).signal[0, 0]
        expected = dense_outputs(network, before, row)
        np.testing.assert_allclose(signal[:3], expected[:3], rtol=0, atol=1e-10)
        np.testing.assert_allclose(signal[3:], expected[3:], rtol=0, atol=1e-10 * abs(expected[3:]).max())
        assert abs(signal[3:].sum()) <= 1e-12 * abs(signal[3:]).sum()


def test_reversing_the_voltage_reverses_everything():
    one, other = NanowireNetwork(seed=3), NanowireNetwork(seed=3)
    drive = np.random.default_rng(0).normal(0, 1, (300, 8))
    assert (one.advance(one.info.stimulus(drive)).signal == -other.advance(other.info.stimulus(-drive)).signal).all()
    assert (one.filament == -other.filament).all()


def test_a_seed_gives_the_same_bits_and_another_seed_another_network():
    drive = np.random.default_rng(0).normal(0, 1, (100, 8))
    first, second, other = NanowireNetwork(seed=1), NanowireNetwork(seed=1), NanowireNetwork(seed=2)
    signal = first.advance(first.info.stimulus(drive)).signal
    assert (signal == second.advance(second.info.stimulus(drive)).signal).all()
    assert not np.array_equal(first.junctions, other.junctions)


def test_its_parameters_rebuild_it():
    network = NanowireNetwork(
        wires=60, seed=5, electrodes=6, inputs=2, geometry=RandomWires(density=0.1), model=Filament(set_voltage=0.02),
        load=1e6,
    )  # fmt: skip
    again = NanowireNetwork(**network.info.parameters)
    assert again.info == network.info
    drive = network.info.stimulus(np.full((50, 2), 1.5))
    assert (network.advance(drive).signal == again.advance(drive).signal).all()


def test_its_info_travels_as_json():
    network = NanowireNetwork(wires=np.int64(60), geometry=RandomWires(density=np.float64(0.1)), model="rate-balance")
    sent = msgspec.json.encode(network.info)
    assert msgspec.json.decode(sent, type=SubstrateInfo) == network.info


def test_state_is_kept_between_exchanges_and_time_and_sequence_count():
    whole, parts = NanowireNetwork(), NanowireNetwork()
    drive = np.random.default_rng(0).uniform(-2, 2, (20, 8))
    signal = whole.advance(whole.info.stimulus(drive, 0.01)).signal
    assert signal.shape == (20, 10, 16)
    responses = [parts.advance(parts.info.stimulus(row, 0.01)) for row in drive]
    assert (np.concatenate([response.signal for response in responses]) == signal).all()
    assert [response.sequence for response in responses] == list(range(20))
    np.testing.assert_allclose([response.start for response in responses], np.arange(20) * 0.01, rtol=1e-12)
    parts.reset()
    first = parts.advance(parts.info.stimulus(drive[:1], 0.01))
    assert (first.start, first.sequence) == (0.0, 0)
    assert (first.signal == signal[:1]).all()


def test_roles_of_electrodes():
    network = NanowireNetwork(electrodes=10, inputs=3, grounds=2)
    nodes = [*network.input_nodes, *network.ground_nodes, *network.output_nodes]
    assert (len(network.input_nodes), len(network.ground_nodes), len(network.output_nodes)) == (3, 2, 5)
    assert len(set(nodes)) == 10
    assert [channel.name for channel in network.info.inputs] == ["e00", "e01", "e02"]
    names = [channel.name for channel in network.info.outputs]
    assert names == ["v05", "v06", "v07", "v08", "v09", "i00", "i01", "i02", "i03", "i04"]
    assert set(network.info.layout.electrodes) == {"e00", "e01", "e02", *names}
    assert len(network.info.layout.segments) == network.wire_count == len(network.positions)
    assert len(network.info.layout.points) == len(network.junctions)


def test_a_load_draws_current_from_what_it_reads():
    network = NanowireNetwork(load=1e5)
    signal = network.advance(Stimulus(np.ones((1, 8)), 1e-3)).signal[0, 0]
    voltage, current = signal[:7], signal[7:]
    assert current.sum() == pytest.approx((voltage / 1e5).sum(), rel=1e-10)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"wires": 1}, "wires is 1"),
        (
            {"wires": 20, "geometry": {"type": "random-wires", "density": 0.001}},
            "at least as many wires",
        ),
        ({"inputs": 16}, "16 inputs and 1 grounds need 17"),
        ({"model": "magic"}, "'filament'"),
        ({"model": {"type": "filament", "set_voltage": 0.001}}, "reset_voltage is 0.005; allowed is 0 to set_voltage"),
        ({"model": {"type": "filament", "set_voltage": float("nan")}}, "must be finite"),
        ({"model": {"type": "binary", "gap": 4.0}}, "binary has no gap; it has set_voltage"),
        ({"model": {"type": "filament", "set_voltag": 4.0}}, "did you mean set_voltage"),
        ({"model": {"set_voltage": 0.02}}, "does not name its type"),
        ({"model": Filament}, "is not a dataclass object"),
        ({"geometry": "gird"}, "did you mean grid"),
        ({"variability": 0.1}, "variability is 0.1"),
        ({"seed": -1}, "seed is -1"),
        ({"wires": 10.5}, "whole number"),
        ({"load": 0.0}, "load is 0.0"),
        ({"integration_step": -1.0}, "integration_step is -1.0"),
        ({"geometry": {"type": "random-wires", "length": float("inf")}}, "length is inf"),
        ({"geometry": {"type": "random-wires", "length": 0.0}}, "length is 0.0 um"),
        ({"model": {"type": "filament", "gap": 500.0}}, "gap is 500.0"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        NanowireNetwork(**parameters)
