"""Cultures on a CUDA device: the kernel in numba's simulator, on the processor at full size, compiled for a card."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import culture_kernel_on_processor
import numba
import numpy as np
import pytest
from numba import cuda

from inmateria.simulators import CultureEnsemble, NeuralCulture, Pulses
from inmateria.simulators.culture import cuda_ensemble

IN_SIMULATOR = """
import json
import pickle
import sys

import numpy as np

from inmateria.simulators import CultureEnsemble, NeuralCulture, Pulses
from inmateria.simulators.culture import cuda_ensemble

busy = {"type": "asynchronous", "drive": 14.0}


def cultures():
    return [
        NeuralCulture(neurons=18, seed=1, electrodes=4, regime={"type": "bursting", "drive": 14.0}),
        NeuralCulture(neurons=12, seed=3, electrodes=4, regime=busy, dt=5e-4),
        NeuralCulture(neurons=15, seed=4, electrodes=4, regime=busy, plasticity="stdp", learning_rate=0.1),
        NeuralCulture(neurons=15, seed=4, electrodes=4, regime=busy, plasticity="reward"),
    ]


def same_state(ensemble, alone):
    return [
        name
        for one, other in zip(ensemble, alone, strict=True)
        for name, array in one.state.arrays.items()
        if not np.array_equal(array, other.state.arrays[name]) or one.time != other.time
    ]


cuda_ensemble._AT_ONCE = 60  # several launches, the first pulses within the first of them
found = {}
for shared, room in ((cuda_ensemble._SHARED, 4), (0, 1)):  # with room for one stretch, each launch ends early
    cuda_ensemble._SHARED, cuda_ensemble._ROOM = shared, room
    made, alone = cultures(), cultures()
    if not shared:
        made, alone = made[:1], alone[:1]
    ensemble = CultureEnsemble(made, on="cuda")
    before = [culture.weights for culture in alone]
    spikes, detections, different = 0, 0, []
    for duration, pulses in ((0.012, Pulses([0.0, 0.003, 0.003, 0.009], [1, 2, 1, 1], 3e-6)), (0.004, None)):
        activities = ensemble.run(duration, pulses, voltage=True, neuron_spikes=True)
        for activity, culture in zip(activities, alone):
            expected = culture.run(duration, pulses, voltage=True, neuron_spikes=True)
            spikes, detections = spikes + len(expected.neuron_spikes), detections + len(expected.spikes)
            for name in ("neuron_spikes", "spikes", "amplitudes", "voltage"):
                if not np.array_equal(getattr(activity, name), getattr(expected, name)):
                    different.append(name)
    if shared:
        for culture in (made[3], alone[3]):  # each is brought to the processor, and taken to the device again
            culture.reward(1.0)
        made[0].reset()
        alone[0].reset()
        made[1].run(0.003)  # alone, on the processor
        alone[1].run(0.003)
        twin = made[2].copy(noise="same")
        drive = np.zeros((4, 2, 4))
        drive[:, 0, 1] = 3e-6
        for response, culture, own in zip(ensemble.advance(drive, 0.002), alone, drive):
            expected = culture.advance(culture.info.stimulus(own, 0.002))
            if not np.array_equal(response.spikes, expected.spikes) or response.start != expected.start:
                different.append("response")
        twin.advance(twin.info.stimulus(drive[2], 0.002))
        different += same_state([twin], alone[2:3])
        again = pickle.loads(pickle.dumps(ensemble))
        assert again.on == "cuda"
        different += same_state(again, alone)
    found["shared memory" if shared else "global memory"] = {
        "spikes": spikes, "detections": detections, "different": different + same_state(ensemble, alone),
        "learnt": [float(abs(culture.weights - own).max()) for culture, own in zip(alone, before)],
    }
json.dump(found, sys.stdout)
"""

ANALYTIC = """
import json
import sys

import numpy as np

from inmateria.simulators import CultureEnsemble, NeuralCulture, Pulses

quiet = {"type": "asynchronous", "noise": 0.0, "drive_spread": 0.0, "adaptation": 0.0, "pulse_release": 0.0,
         "excitation": 0.0, "inhibition": 0.0}
settings = {"neurons": 6, "seed": 1, "electrodes": 2}
below, above = (NeuralCulture(regime=quiet | {"drive": drive}, **settings) for drive in (10.0, 25.0))
ensemble = CultureEnsemble([below, above], on="cuda")
alone = [culture.copy(noise="same") for culture in ensemble]
charged, fired = ensemble.run(0.02, neuron_spikes=True)
same = [
    np.array_equal(activity.neuron_spikes, culture.run(0.02, neuron_spikes=True).neuron_spikes)
    and all(np.array_equal(one.state.arrays[name], each) for name, each in culture.state.arrays.items())
    for activity, one, culture in zip((charged, fired), ensemble, alone, strict=True)
]
voltage = below.state.arrays["neurons"][0].tolist()
times = fired.neuron_spikes["time"].tolist()
below.reset()
pulsed = ensemble.run(0.01, [Pulses(0.0042, [0, 1], 3e-6), None], neuron_spikes=True)[0].neuron_spikes
far = np.hypot(*(below.positions[:, None] - below.electrode_positions[None]).T).T
json.dump({
    "same": same, "voltage": voltage, "times": times, "quiet": len(charged.neuron_spikes),
    "pulsed": sorted(zip(pulsed["channel"].tolist(), pulsed["time"].tolist())), "far": far.tolist(),
}, sys.stdout)
"""


def simulated(script: str) -> dict:
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_kernel_gives_what_each_culture_gives_alone_to_the_bit() -> None:
    found = simulated(IN_SIMULATOR)
    assert found.keys() == {"shared memory", "global memory"}
    for name, each in found.items():
        assert each["different"] == [], name
        assert each["spikes"] > 0, name
        assert each["detections"] > 0, name
    learnt = found["shared memory"]["learnt"]
    assert learnt[:2] == [0.0, 0.0]
    assert min(learnt[2:]) > 0


def test_a_leaky_membrane_charges_fires_and_is_kicked_as_its_equation_says() -> None:
    found = simulated(ANALYTIC)
    settled = 10.0 * (1 - math.exp(-1.0))  # after 20 ms, one time constant, without spikes
    assert found["same"] == [True, True]  # as the processor does
    assert found["quiet"] == 0
    np.testing.assert_allclose(found["voltage"], settled, rtol=1e-5)
    # A drive of 25 mV reaches 15 mV after the time constant times ln(25 / 10): the first step whose end is later.
    steps = math.ceil(0.02 * math.log(2.5) / 1e-4)
    np.testing.assert_allclose(found["times"][:6], (steps - 0.5) * 1e-4, atol=1e-9)
    # Pulses of both electrodes, at their time: 90 mV at the electrode, half of it at 60 um, none beyond 400 um.
    before = 10.0 * (1 - math.exp(-43 * 1e-4 / 0.02))
    kicks = [sum(90.0 / (1 + (d / 60) ** 2) for d in own if d < 400) for own in found["far"]]
    expected = [[n, 42.5e-4] for n, kick in enumerate(kicks) if before + kick > 15.0]
    assert len(expected) > 0
    np.testing.assert_allclose(found["pulsed"], expected, atol=1e-9)


@pytest.mark.slow
def test_the_kernel_gives_the_same_bits_for_a_thousand_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    culture_kernel_on_processor.install(monkeypatch)
    for settings in (
        {"seed": 1},
        {"seed": 2, "regime": "asynchronous", "plasticity": "stdp"},
        {"seed": 3, "plasticity": "reward"},
    ):
        culture, alone = NeuralCulture(**settings), NeuralCulture(**settings)
        ensemble = CultureEnsemble([culture], on="cuda")
        spikes = 0
        for duration, pulses in ((1.5, Pulses(np.linspace(0, 1.4, 30), np.arange(30) % 32, 3e-6)), (0.5, None)):
            found = ensemble.run(duration, pulses, neuron_spikes=True)[0]
            expected = alone.run(duration, pulses, neuron_spikes=True)
            assert np.array_equal(found.neuron_spikes, expected.neuron_spikes)
            assert np.array_equal(found.spikes, expected.spikes)
            spikes += len(expected.neuron_spikes)
        assert spikes > 5000
        states = culture.state.arrays, alone.state.arrays
        assert all(np.array_equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.slow
def test_kernels_compile_for_a_card_and_round_where_the_processor_does() -> None:
    ptx = simulated_card("shared")
    # Four for the membrane, one for its noise, one for what a spike adds: nothing else is rounded once.
    assert len(re.findall(r"\bfma\.rn\.f32\b", ptx)) == 6
    assert not re.search(r"\bmul\.(ftz\.)?f32\b", ptx)  # which may be joined with a sum; mul.rn is not


def simulated_card(memory: str) -> str:
    """Return the code of the kernel for compute capability 9.0, which needs a part of the CUDA toolkit but no card."""
    done = subprocess.run([sys.executable, "-c", FOR_A_CARD, memory], capture_output=True, text=True)
    if "NvvmSupportError" in done.stderr or "libNVVM" in done.stderr:
        pytest.skip("needs libNVVM, a part of the CUDA toolkit")
    assert done.returncode == 0, done.stderr
    return done.stdout


FOR_A_CARD = """
import sys
from types import SimpleNamespace

import numba.cuda.dispatcher
from numba import cuda, types
from numba.cuda import libdevice

from inmateria.simulators.culture.cuda_kernel import Arithmetic, advancing

numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
arithmetic = Arithmetic(libdevice.fmul_rn, libdevice.dmul_rn, libdevice.fmaf_rn, libdevice.fma_rn)
single, double, word, long, unsigned = (
    types.Array(kind, 1, "C") for kind in (types.float32, types.float64, types.int32, types.int64, types.uint32)
)
doubles, longs = types.Array(types.float64, 2, "C"), types.Array(types.int64, 2, "C")
given = (
    longs, doubles, long, long, single, word, unsigned, long, long, single, word, word, word, single, word, word, word,
    single, long, word, word, single, long, long, double, longs, double, doubles, word, single, single, long, long,
)
print(cuda.compile_ptx(advancing(sys.argv[1] == "shared", arithmetic), given, cc=(9, 0))[0])
"""


GPU = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def check(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(GPU), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_the_check_of_a_card_says_where_there_is_none() -> None:
    done = check({"NUMBA_DISABLE_CUDA": "1"})
    assert done.returncode == 77
    assert "needs an NVIDIA GPU" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_the_check_of_a_card_runs_in_the_simulator() -> None:
    done = check({"NUMBA_ENABLE_CUDASIM": "1"}, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["agree"]
    assert found["cultures"]["same_bits"]
    assert [row["differ_in_spikes"] for row in found["cultures"]["agreement"]] == [0] * 6
    assert found["nanowires"]["worst"] <= 1e-10
    assert found["cultures"]["times"]
    assert found["nanowires"]["times"]


def test_exponentials_are_those_of_the_compiled_step() -> None:
    compiled = numba.njit(error_model="numpy", fastmath={"contract", "nsz"})(
        lambda since, time: math.exp(-since / time)
    )
    for time in (200.0, 40.0, 6400.0 / 7):
        table = cuda_ensemble._decay(time)
        assert table.tolist() == [compiled(since, time) for since in range(len(table))]
        assert 1.0 - table[-1] * math.exp(-1 / time) == 1.0


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    cultures = [NeuralCulture(neurons=20, electrodes=4)]
    with pytest.raises(RuntimeError, match=r"needs an NVIDIA GPU.*pip install 'inmateria\[cuda\]'.*on='cpu'"):
        CultureEnsemble(cultures, on="cuda")
    with pytest.raises(ValueError, match="on is 'gpu'; give 'cpu' or 'cuda'"):
        CultureEnsemble(cultures, on="gpu")  # type: ignore[arg-type]
    assert CultureEnsemble(cultures).on == "cpu"
