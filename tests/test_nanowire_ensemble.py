"""Ensembles of nanowire networks give what each network gives on its own."""

import numpy as np
import pytest

from inmateria.simulators import Filament, NanowireEnsemble, NanowireNetwork, RandomWires, RateBalance, Variability
from inmateria.substrate import StimulusRejected


def drives(count, steps=60):
    time = np.arange(steps)[:, None] * 0.01
    return np.stack([2 * np.sin(time * (1 + k / 7) + np.arange(8)) + 0.5 for k in range(count)])


MIXTURES = {
    "replicas": lambda: [NanowireNetwork() for _ in range(16)],
    "not a multiple of sixteen": lambda: [
        NanowireNetwork(wires=60, geometry=RandomWires(density=0.1)) for _ in range(22)
    ],
    "wide gaps": lambda: [NanowireNetwork(model=Filament(gap=20.0)) for _ in range(4)],
    "too few for lanes": lambda: [NanowireNetwork() for _ in range(3)],
    "parameters": lambda: [NanowireNetwork(model=Filament(set_voltage=0.01 + 0.002 * k)) for k in range(5)],
    "spread": lambda: [
        NanowireNetwork(variability=Variability(voltage_spread=0.1 * k, conductance_spread=0.1)) for k in range(4)
    ],
    "binary": lambda: [NanowireNetwork(model="binary", load=1e5) for _ in range(4)],
    "overshoot": lambda: [NanowireNetwork(model=Filament(overshoot=True)) for _ in range(4)],
    "rate balance": lambda: [NanowireNetwork(model="rate-balance") for _ in range(5)],
    "rate balance, spread": lambda: [
        NanowireNetwork(
            model=RateBalance(depression_rate=5.0 + k),
            variability=Variability(voltage_spread=0.2, conductance_spread=0.1),
        )
        for k in range(4)
    ],
    "seeds": lambda: [NanowireNetwork(seed=k) for k in range(3)],
    "all sorts": lambda: [
        NanowireNetwork(),
        NanowireNetwork(variability=Variability(noise=0.1)),
        NanowireNetwork(variability=Variability(conductance_spread=0.3)),
        NanowireNetwork(),
        NanowireNetwork(model="rate-balance"),
        NanowireNetwork(seed=1),
        NanowireNetwork(model=Filament(gap_power=2.0)),
        NanowireNetwork(),
    ],
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_each_member_does_what_it_does_alone(mixture):
    members = MIXTURES[mixture]()
    alone = [network.copy(noise="same") for network in members]
    ensemble = NanowireEnsemble(members)
    drive = drives(len(members))
    for part in (drive[:, :20], drive[:, 20:]):  # state is kept from one call to the next
        signal = ensemble.advance(part, 2e-3)
        for network, own, got in zip(alone, part, signal, strict=True):
            expected = network.advance(network.info.stimulus(own, 2e-3)).signal
            assert got.shape == expected.shape == (len(own), 2, 16)
            np.testing.assert_allclose(got[..., :7], expected[..., :7], rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                got[..., 7:], expected[..., 7:], rtol=0, atol=1e-9 * abs(expected[..., 7:]).max()
            )
    for network, member in zip(alone, members, strict=True):
        np.testing.assert_allclose(member.filament, network.filament, rtol=0, atol=1e-11)
        np.testing.assert_allclose(member.conductance, network.conductance, rtol=1e-6)
        assert (member.state.clock, member.state.sequence) == (network.state.clock, network.state.sequence)
    assert max(np.ptp(np.log(network.conductance)) for network in members) > 0.3  # something did switch
    ensemble.reset()
    assert all(network.state.clock == 0 for network in ensemble)


def test_one_drive_goes_to_all():
    ensemble = NanowireEnsemble([NanowireNetwork() for _ in range(3)])
    signal = ensemble.advance(drives(1)[0])
    np.testing.assert_array_equal(signal[0], signal[2])


def test_wrong_members_and_drives_are_refused_and_nothing_is_applied():
    network = NanowireNetwork()
    for members, message in (
        ([], "no networks"),
        ([network, network], "given twice"),
        ([network, NanowireNetwork(inputs=4)], "networks differ"),
    ):
        with pytest.raises(ValueError, match=message):
            NanowireEnsemble(members)
    ensemble = NanowireEnsemble([network, network.copy()])
    wrong = drives(2)
    wrong[1, 3, 2] = 99.0
    for drive in (wrong, np.zeros((3, 5, 8)), np.full((5, 8), np.nan), np.zeros((5, 7))):
        with pytest.raises(StimulusRejected):
            ensemble.advance(drive)
    assert all(member.state.sequence == 0 for member in ensemble)
