"""Simulators go on, to the bit, after they were pickled into another process, deep-copied, or both."""

import pickle
import subprocess
import sys
import textwrap
from copy import copy, deepcopy

import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.reservoir import PhysicalReservoir
from inmateria.reservoir.encoding import InputMask, OneToOne
from inmateria.reservoir.features import VirtualNodes
from inmateria.simulators import (
    Asynchronous,
    Binary,
    Bursting,
    Connectivity,
    EchoStateNetwork,
    ElectrodeArray,
    Filament,
    Grid,
    IntegerEchoStateNetwork,
    LinearDrift,
    NanowireEnsemble,
    NanowireNetwork,
    NeuralCulture,
    RandomWires,
    RateBalance,
    ScatteringMedium,
    Variability,
)
from inmateria.simulators.nanowire import kernel

SMALL = {"wires": 40, "electrodes": 6, "inputs": 2, "geometry": RandomWires(density=0.1)}
LIVELY = Variability(noise=0.2, voltage_spread=0.1, conductance_spread=0.1, aging=0.1)


def nanowire(**given):
    return NanowireNetwork(**SMALL | given)


MAKERS = {
    "filament": lambda: nanowire(variability=LIVELY),
    "binary": lambda: nanowire(model="binary", load=1e5, substeps=3),
    "rate balance": lambda: nanowire(model="rate-balance", variability=LIVELY),
    "linear drift": lambda: nanowire(model=LinearDrift(window=1.0)),
    "given graph": lambda: NanowireNetwork.from_junctions(4, [(0, 1), (1, 2), (2, 3), (0, 3)], [0], [2]),
    "culture": lambda: NeuralCulture(neurons=150, seed=3, electrodes=8, plasticity="stdp", days=2.0),
    "echo": lambda: EchoStateNetwork(units=20),
    "integer echo": lambda: IntegerEchoStateNetwork(units=20),
    "scattering": lambda: ScatteringMedium(5, 9, noise=0.1),
}


def results(simulator):
    """What a simulator answers next: the signal, or the spikes."""
    info = simulator.info
    high = np.array([channel.high for channel in info.inputs])
    part = 1.0 if info.inputs[0].low == 0 else 0.1
    drive = part * high * abs(np.sin(np.arange(12)[:, np.newaxis]))
    response = simulator.advance(info.stimulus(drive))
    return response.spikes if response.signal is None else response.signal


def started(kind):
    simulator = MAKERS[kind]()
    results(simulator)
    if hasattr(simulator, "age") and not isinstance(simulator, EchoStateNetwork):
        simulator.age(3600.0)
        simulator.reset()
        results(simulator)
    return simulator


IN_ANOTHER_PROCESS = """
import pickle, sys
sys.path.insert(0, sys.argv[2])
from test_pickling import results
with open(sys.argv[1], "rb") as file:
    simulators, ensemble, reservoir = pickle.load(file)
answers = [results(simulator) for simulator in simulators]
answers.append(ensemble.advance([[0.5, -0.4]] * 6))
with reservoir.blocking() as entered:
    answers.append(entered.run([[0.1], [0.2], [-0.3]]))
with open(sys.argv[1], "wb") as file:
    pickle.dump(answers, file)
"""


def test_everything_goes_on_in_a_fresh_process_as_it_would_have_here(tmp_path, request):
    simulators = [started(kind) for kind in MAKERS]
    base = nanowire()
    ensemble = NanowireEnsemble([base.copy() for _ in range(5)] + [nanowire(variability=LIVELY)])
    ensemble.advance([[1.0, -0.5]] * 9)
    reservoir = PhysicalReservoir(
        connect("nanowire://?wires=60&variability.noise=0.1"), InputMask(seed=3), VirtualNodes(1)
    )
    path = tmp_path / "simulators.pickle"
    path.write_bytes(pickle.dumps((simulators, ensemble, reservoir)))
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(path), str(request.path.parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = pickle.loads(path.read_bytes())
    for kind, simulator, answer in zip(MAKERS, simulators, answers, strict=False):
        expected = results(simulator)
        assert expected.size > 0, kind
        np.testing.assert_array_equal(answer, expected, err_msg=kind)
    np.testing.assert_array_equal(answers[-2], ensemble.advance([[0.5, -0.4]] * 6))
    with reservoir.blocking() as entered:
        np.testing.assert_array_equal(answers[-1], entered.run([[0.1], [0.2], [-0.3]]))


def through_a_pickle(simulator):
    return pickle.loads(pickle.dumps(simulator))


# Plain objects of Python are left out of `copy`: copy.copy shares what is in them.
@pytest.mark.parametrize(
    ("kind", "way"),
    [(kind, way) for kind in MAKERS for way in (deepcopy, through_a_pickle)]
    + [(kind, copy) for kind in MAKERS if kind not in ("echo", "integer echo", "scattering")],
)
def test_a_copy_goes_on_alike_and_apart(kind, way):
    simulator = started(kind)
    twin = way(simulator)
    first = [results(simulator) for _ in range(2)]
    again = [results(twin) for _ in range(2)]  # neither moved the other
    for expected, got in zip(first, again, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert twin.info == simulator.info


@pytest.mark.parametrize(
    "group",
    [
        Filament(gap=4.0), Binary(), RateBalance(), LinearDrift(window=2.0), LIVELY, RandomWires(), Grid(),
        Asynchronous(), Bursting(), Connectivity(), ElectrodeArray(), InputMask(seed=2), OneToOne(scale=2.0),
        VirtualNodes(3),
    ],
)  # fmt: skip
def test_parameters_encodings_and_features_are_equal_afterwards(group):
    assert pickle.loads(pickle.dumps(group)) == group
    assert deepcopy(group) == group


def test_no_address_is_in_what_is_pickled():
    network = nanowire()
    pickled = pickle.dumps(network)
    assert int(network._evolve).to_bytes(8, "little").rstrip(b"\0") not in pickled
    assert "_evolve" not in network.__getstate__()


class Named(NanowireNetwork):
    """A class of one's own keeps what it adds."""


def test_a_subclass_keeps_what_was_added_to_it():
    network = Named(**SMALL)
    network.owner = "lab"
    again = pickle.loads(pickle.dumps(network))
    assert (type(again), again.owner) == (Named, "lab")


def test_what_another_version_pickled_is_refused(monkeypatch):
    for fresh in (NanowireNetwork, NeuralCulture):
        with pytest.raises(ValueError, match=r"pickled by inmateria \(unknown\) is not one of this version"):
            fresh.__new__(fresh).__setstate__({"_evolve": 140_000_000_000, "_plan": np.zeros(3)})
    network, state = nanowire(), nanowire().state
    pickled = pickle.dumps(network)
    other = network.__getstate__()
    other["made"] = other["made"] | {"colour": "red"}
    with pytest.raises(ValueError, match="colour"):
        network.copy().__setstate__(other)
    monkeypatch.setattr(kernel, "ROWS", (*kernel.ROWS, "temperature"))
    with pytest.raises(ValueError, match=r"this version has state, .*, temperature"):
        pickle.loads(pickled)
    with pytest.raises(ValueError, match=r"this version has state, .*, temperature"):
        network.restore(state)
    culture = NeuralCulture(neurons=100, electrodes=4)
    other = culture.__getstate__()
    with pytest.raises(ValueError, match="synapses are drawn otherwise"):
        culture.copy().__setstate__(other | {"wiring": 1})
    state = culture.state
    del state.arrays["tired"]
    with pytest.raises(ValueError, match=r"this version has .*tired"):
        culture.restore(state)


SCRIPT = textwrap.dedent(
    """
    import multiprocessing, pickle, sys
    from dataclasses import dataclass

    import joblib
    import numba
    import numpy as np

    from inmateria.simulators import NanowireNetwork, Variability


    def leaky(constants, step, sign, junctions):
        for j in range(junctions.shape[1]):
            v = junctions[5, j] * junctions[2, j]
            junctions[0, j] += (v * v - junctions[0, j] / constants[0]) * step
            junctions[1, j] = junctions[3, j] * (1e-7 + 1e-5 * junctions[0, j])


    def fast(constants, step, sign, junctions):
        leaky_compiled(constants, 3.0 * step, sign, junctions)


    leaky_compiled, fast_compiled = numba.njit(leaky), numba.njit(fast)
    one, other = [lambda c, s, g, j: leaky_compiled(c, s, g, j), lambda c, s, g, j: fast_compiled(c, s, g, j)]


    @dataclass(frozen=True, kw_only=True)
    class Leaky:
        evolve = staticmethod(leaky)
        rest = 0.0
        highest = 1e-3
        decay_time: float = 0.1

        def packed(self):
            return np.array([self.decay_time])


    class Lambda(Leaky):
        evolve = staticmethod(one)


    class SameLine(Leaky):
        evolve = staticmethod(other)


    def made_here(scale):
        def evolve(constants, step, sign, junctions):
            for j in range(junctions.shape[1]):
                junctions[0, j] += scale * step * abs(junctions[5, j])
                junctions[1, j] = 1e-5 * (1 + junctions[0, j])

        class Closure(Leaky):
            pass

        Closure.evolve = staticmethod(evolve)
        return Closure()


    def run(network):
        return network.advance(network.info.stimulus(np.full((7, 2), 0.7))).signal


    if __name__ == "__main__":
        usual = dict(wires=40, electrodes=6, inputs=2, variability=Variability(noise=0.1))
        plain = [NanowireNetwork(**usual, model=model) for model in ("filament", Leaky(), Lambda(), SameLine())]
        local = [NanowireNetwork(**usual, model=made_here(scale)) for scale in (1.0, 100.0)]
        for network in plain + local:
            run(network)
        expected = [run(network.copy(noise="same")) for network in plain + local]
        assert len({signal.tobytes() for signal in expected}) == 5  # Leaky and Lambda are one model
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert all(map(np.array_equal, pool.map(run, plain), expected)), "spawn"
        answers = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(run)(each) for each in plain + local)
        assert all(map(np.array_equal, answers, expected)), "loky"
        try:
            pickle.dumps(local[0])
        except (AttributeError, pickle.PicklingError) as error:
            assert "made_here.<locals>.Closure" in str(error)
        else:
            raise AssertionError("pickled a class that no other process can find")
        with open(sys.argv[1], "wb") as file:
            pickle.dump(plain[1], file)
    """
)


@pytest.mark.slow
def test_models_of_ones_own_go_to_other_processes_or_are_refused(tmp_path):
    """Of a script: by multiprocessing's spawn, by joblib, and read where the script is not known."""
    script, kept = tmp_path / "script.py", tmp_path / "network.pickle"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script), str(kept)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="Leaky"):
        pickle.loads(kept.read_bytes())
