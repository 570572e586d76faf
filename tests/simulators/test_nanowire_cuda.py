"""Ensembles on a CUDA device: the schedule by numpy, the kernels in numba's simulator of CUDA, and what is refused."""

import json
import os
import subprocess
import sys

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cuda

from inmateria.simulators import Instrument, LinearDrift, NanowireEnsemble, NanowireNetwork, Variability
from inmateria.simulators.nanowire.level_schedule import LevelSchedule, schedule

IN_SIMULATOR = """
import json
import warnings

import numpy as np

from inmateria.simulators import Filament, NanowireEnsemble, NanowireNetwork, Variability
from inmateria.simulators.nanowire import cuda_ensemble

warnings.simplefilter("ignore")
small = {"wires": 16, "electrodes": 4, "inputs": 2}
mixtures = {
    "filaments": [NanowireNetwork(**small, model=Filament(set_voltage=0.01 + 0.002 * k)) for k in range(2)],
    "gap power, overshoot": [NanowireNetwork(**small, model=Filament(gap_power=2.0, overshoot=True))],
    "binary, spread, load, substeps": [
        NanowireNetwork(
            **small, model="binary", load=1e5, substeps=2,
            variability=Variability(voltage_spread=0.1 * k, conductance_spread=0.1),
        )
        for k in range(1, 2)
    ],
    "rate balance and parallel junctions": [
        NanowireNetwork.from_junctions(4, [(0, 1), (1, 2), (1, 2), (2, 3), (1, 3)], [0], [3], model="rate-balance"),
    ],
}
found = {}
for shared in (48 * 1024, 0):
    cuda_ensemble._SHARED = shared
    for name, members in mixtures.items():
        if shared == 0 and name != "filaments":
            continue
        alone = [network.copy() for network in members]
        ensemble = NanowireEnsemble(members, on="cuda")
        inputs = len(members[0].info.inputs)
        drive = 3 * np.random.default_rng(1).standard_normal((len(members), 2, inputs)).clip(-2, 2)
        rest = np.stack([network.conductance for network in members])
        got, expected = [], []
        for step in (2e-3, 1e-3):  # state is kept from one call to the next
            got.append(ensemble.advance(drive, step))
            stimuli = [network.info.stimulus(own, step) for network, own in zip(alone, drive)]
            expected.append(np.stack([n.advance(stimulus).signal for n, stimulus in zip(alone, stimuli)]))
        scale = [max(abs(values).max() for values in expected), abs(np.stack([n.filament for n in alone])).max()]
        found[f"{name}, {shared}"] = {
            "signal": max(float(abs(a - b).max()) for a, b in zip(got, expected)) / scale[0],
            "state": float(max(abs(a.filament - b.filament).max() for a, b in zip(members, alone))) / scale[1],
            "conductance": float(max(abs(a.conductance / b.conductance - 1).max() for a, b in zip(members, alone))),
            "clocks": [a.state.clock == b.state.clock and a.state.sequence == b.state.sequence
                       for a, b in zip(members, alone)],
            "changed": float(abs(np.log(np.stack([n.conductance for n in members]) / rest)).max()),
        }
print(json.dumps(found))
"""


def test_kernels_give_what_each_network_gives_alone():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, "-c", IN_SIMULATOR], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 5
    for name, each in found.items():
        assert max(each["signal"], each["state"], each["conductance"]) < 1e-10, name
        assert all(each["clocks"]), name
        assert each["changed"] > 0.3, name  # something did switch


def solved(plan: LevelSchedule, conductance, loads, voltages):
    """Run a schedule, level by level, and return the voltages of all places."""
    link = np.array([conductance[plan.made[a:b]].sum() for a, b in runs(plan.made_begin)])
    to, current = loads.copy(), np.zeros(plan.free)
    for k, (a, b) in enumerate(runs(plan.border_begin)):
        g, at = conductance[plan.border[a:b, 0]], plan.border[a:b, 1] - plan.free
        to[k] += g.sum()
        current[k] += g @ voltages[at]
    inverse = np.full(plan.free, np.nan)  # what is used before it is known stays so
    for level, (a, b) in enumerate(runs(plan.level)):
        for k in range(a, b):
            inverse[k] = 1 / (to[k] + link[plan.start[k] : plan.start[k + 1]].sum())
        for i in range(plan.pair_level[level], plan.pair_level[level + 1]):
            changes = [plan.pair[1:4, i], *plan.pair_more[:, plan.pair[4, i] : plan.pair[4, i + 1]].T]
            link[plan.pair[0, i]] += sum(link[e] * link[f] * inverse[k] for e, f, k in changes)
        for i in range(plan.node_level[level], plan.node_level[level + 1]):
            changes = [plan.node[1:3, i], *plan.node_more[:, plan.node[3, i] : plan.node[3, i + 1]].T]
            to[plan.node[0, i]] += sum(link[e] * inverse[k] * to[k] for e, k in changes)
            current[plan.node[0, i]] += sum(link[e] * inverse[k] * current[k] for e, k in changes)
    voltage = np.concatenate((np.full(plan.free, np.nan), voltages))
    for a, b in reversed(runs(plan.level)):
        for k in range(a, b):
            column = slice(plan.start[k], plan.start[k + 1])
            voltage[k] = (current[k] + link[column] @ voltage[plan.rows[column]]) * inverse[k]
    return voltage


def runs(begin):
    return list(zip(begin[:-1].astype(int), begin[1:].astype(int), strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_a_schedule_solves_kirchhoffs_laws(wires, seed, loaded):
    rng = np.random.default_rng(seed)
    tree = networkx.random_labeled_tree(wires, seed=seed)
    more = rng.integers(wires, size=(wires, 2)).tolist()  # parallel ones, too
    pairs = [*tree.edges, *((a, b) for a, b in more if a != b)]
    network = NanowireNetwork.from_junctions(wires, pairs, [0], [1], load=1e4 if loaded else None)
    plan, moved = schedule(network._plan)
    conductance = np.exp(rng.uniform(-12, 0, len(pairs)))
    load = np.zeros(wires)
    load[2:] = 1e-4 if loaded else 0.0
    laplacian = np.diag(load)
    for (a, b), g in zip(network.junctions, conductance, strict=True):
        laplacian[[a, b], [a, b]] += g
        laplacian[[a, b], [b, a]] -= g
    expected = np.array([1.0, 0.0])
    if wires > 2:
        expected = np.concatenate((expected, np.linalg.solve(laplacian[2:, 2:], -laplacian[2:, 0])))
    place = moved[network._plan[18 : 18 + wires].astype(int)]
    loads = np.zeros(wires)
    loads[place] = load
    voltage = solved(plan, conductance, loads[: plan.free], np.array([1.0, 0.0]))
    np.testing.assert_allclose(voltage[place], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (NanowireNetwork(variability=Variability(noise=0.1)), "its conductances have noise"),
        (NanowireNetwork(instrument=Instrument(contact_resistance=100.0)), "contacts"),
        (NanowireNetwork(model=LinearDrift()), "its model LinearDrift has no evolve_cuda"),
    ],
)
def test_networks_that_a_device_cannot_run_are_refused(network, reason):
    with pytest.raises(ValueError, match=f"{network.info.id} cannot run on a CUDA device: .*{reason}.*use on='cpu'"):
        NanowireEnsemble([network], on="cuda")


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"needs an NVIDIA GPU.*pip install 'inmateria\[cuda\]'.*on='cpu'"):
        NanowireEnsemble([NanowireNetwork()], on="cuda")
    with pytest.raises(ValueError, match="precision is 'single'; on='cuda' works in 'double'"):
        NanowireEnsemble([NanowireNetwork()], on="cuda", precision="single")
    with pytest.raises(ValueError, match="on is 'gpu'; give 'cpu' or 'cuda'"):
        NanowireEnsemble([NanowireNetwork()], on="gpu")


FOR_A_CARD = """
from types import SimpleNamespace

import numba.cuda.dispatcher
from numba import cuda, types

from inmateria.simulators.nanowire import evolution_cuda
from inmateria.simulators.nanowire.cuda_kernel import advancing

numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
line, table, room = (types.Array(types.float64, axes, "C") for axes in (1, 2, 3))
axes = [1, 1, 1, 1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 2, 2, 1, 2, 2]
plan = [types.Array(types.uint16, each, "C") for each in axes]
number, whole = types.float64, types.int64
given = (*plan, *[table] * 6, room, number, whole, whole, types.boolean, number, table, room, table)
for model in (evolution_cuda.tunnelling_filament, evolution_cuda.switching_filament, evolution_cuda.balanced_rate):
    print(len(cuda.compile_ptx(advancing(model, True), given, cc=(9, 0))[0]))
"""


@pytest.mark.slow
def test_kernels_compile_for_a_card():
    done = subprocess.run([sys.executable, "-c", FOR_A_CARD], capture_output=True, text=True)
    if "NvvmSupportError" in done.stderr or "libNVVM" in done.stderr:
        pytest.skip("needs libNVVM, a part of the CUDA toolkit")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3
