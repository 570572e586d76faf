"""Ensembles of nanowire networks give what each network gives on its own."""

import pickle

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


ACCURACY = {"mixed": 1e-9, "single": 1e-5}  # as documented: largest error of a voltage, as a part of the largest input

ORDERED = {
    "filaments": lambda: [NanowireNetwork(model=Filament(set_voltage=0.01 + 0.002 * k)) for k in range(5)],
    "loads": lambda: [NanowireNetwork(wires=300, load=10.0 ** (6 - k)) for k in range(4)],
    "rate balance": lambda: [NanowireNetwork(wires=300, model="rate-balance") for _ in range(4)],
    "binary": lambda: [NanowireNetwork(model="binary") for _ in range(4)],
    "far apart": lambda: [NanowireNetwork(model=Filament(off_conductance=1e-15)) for _ in range(4)],
}


@pytest.mark.parametrize("precision", ACCURACY)
@pytest.mark.parametrize("mixture", ORDERED)
def test_single_precision_is_as_close_to_double_as_it_says(mixture, precision):
    members = ORDERED[mixture]()
    alone = [network.copy() for network in members]
    ensemble = NanowireEnsemble(members, precision=precision)
    drive = 0.5 * drives(len(members), 200)  # slow: in the ordered regime
    furthest = 0.0
    for at in range(0, 200, 40):  # from equal states each time
        signal = ensemble.advance(drive[:, at : at + 1], 1e-3)
        for network, member, own, got in zip(alone, members, drive, signal, strict=True):
            expected = network.advance(network.info.stimulus(own[at : at + 1], 1e-3)).signal
            furthest = max(furthest, abs(got - expected)[..., :7].max() / abs(own[at]).max())
            network.advance(network.info.stimulus(own[at + 1 : at + 40], 1e-3))
            member.restore(network.state)
    assert 0 < furthest < ACCURACY[precision]
    if mixture == "far apart":
        return  # eleven decades of conductance: one junction that switches magnifies any error
    for network in (*members, *alone):
        network.reset()
    together = ensemble.advance(drive, 1e-3)[..., :7]
    apart = np.stack([n.advance(n.info.stimulus(own, 1e-3)).signal for n, own in zip(alone, drive, strict=True)])
    # Over a trajectory, states carry the errors on; the regime does not let them grow.
    assert abs(together - apart[..., :7]).max() < 100 * ACCURACY[precision] * abs(drive).max()
    assert max(np.ptp(np.log(network.conductance)) for network in members) > 0.3


def test_precision_is_part_of_the_id_and_goes_into_a_pickle():
    networks = [NanowireNetwork(seed=3).copy() for _ in range(4)]
    ids = {NanowireEnsemble(networks, precision=each).id for each in ("double", "mixed", "single")}
    assert len(ids) == 3
    mixed = pickle.loads(pickle.dumps(NanowireEnsemble(networks, precision="mixed")))
    ids_of_all = [network.info.id for network in networks]
    assert mixed.parameters == {"networks": ids_of_all, "precision": "mixed", "on": "cpu"}
    assert mixed.id == NanowireEnsemble(networks, precision="mixed").id
    with pytest.raises(ValueError, match="precision is 'half'; give 'double' or 'mixed' or 'single'"):
        NanowireEnsemble(networks, precision="half")


def test_conductances_too_far_apart_for_single_precision_are_refused():
    networks = [NanowireNetwork(model=Filament(off_conductance=1e-20)) for _ in range(4)]
    with pytest.raises(ValueError, match=r"conductances from 1e-20 to 7\.77e-05 S"):
        NanowireEnsemble(networks, precision="mixed")
    NanowireEnsemble(networks)


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
