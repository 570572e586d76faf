"""`inmateria compile`: what a first run needs is compiled before, in a cache of its own."""

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inmateria.cli.kernels import KERNELS

FIRST_RUNS = """
import sys

import numpy as np
from numba.core.dispatcher import Dispatcher

from inmateria.reservoir import FORCEReadout, KalmanReadout, LMSReadout, ShiftLMSReadout, TernaryReadout
from inmateria.simulators import (
    ContrastiveNetwork, IntegerEchoStateNetwork, NanowireEnsemble, NanowireNetwork, NeuralCulture, RateBalance,
    ResistiveLayers,
)

for simulator in (
    NanowireNetwork(seed=3), NanowireNetwork(seed=3, model=RateBalance()), NanowireNetwork(wires=1500, seed=3),
    NeuralCulture(neurons=80, seed=3), ContrastiveNetwork(seed=3), ResistiveLayers((4, 5, 3), seed=3),
    IntegerEchoStateNetwork(seed=3),
):
    simulator.advance(simulator.info.stimulus(simulator.info.rest_drive(3)))
networks = [NanowireNetwork(seed=seed) for seed in range(8)]
for precision in ("double", "mixed", "single"):
    replicas = [networks[0].copy() for _ in range(16)]
    NanowireEnsemble(replicas, precision=precision).advance(np.zeros((2, len(networks[0].info.inputs))))
X, Y = np.array([[0.0, 0.0], [0.0, 0.45], [0.45, 0.0]]), [0.0, -0.08, -0.08]
ContrastiveNetwork(seed=3).fit(X, Y, epochs=2)
ContrastiveNetwork.fit_many([ContrastiveNetwork(seed=seed) for seed in range(16)], X, Y, epochs=2)
ContrastiveNetwork(seed=3).predict(np.tile(X, (20, 1)))
random = np.random.default_rng(0)
features, targets = random.standard_normal((60, 12)), random.standard_normal((60, 2))
for readout in (FORCEReadout(), LMSReadout(), KalmanReadout(), ShiftLMSReadout(feature_range=8.0, target_range=8.0)):
    readout.partial_fit(features, targets)
    readout.partial_fit(features, targets)
TernaryReadout().fit(features, targets)

kernels = {
    id(each): each
    for name, module in list(sys.modules.items())
    if name.startswith("inmateria")
    for each in vars(module).values()
    if isinstance(each, Dispatcher)
}
assert len(kernels) > 50
print([f"{each.py_func.__module__}.{each.__name__}" for each in kernels.values() if each.stats.cache_misses])
"""

ONE_PROCESS = """
import gc

import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher

from inmateria.cli.kernels import KERNELS
from inmateria.simulators import NanowireEnsemble, NanowireNetwork

def has_arrays(kind):
    return isinstance(kind, types.Array) or any(map(has_arrays, getattr(kind, "types", ())))

for compile_kernels in KERNELS.values():
    compile_kernels()
# What is run of them here is short; these calls write into freed memory if references are counted wrong.
ensemble = NanowireEnsemble([NanowireNetwork(wires=60, seed=1).copy() for _ in range(4)])
for _ in range(50):
    ensemble.advance(np.zeros((20, len(ensemble.networks[0].info.inputs))))
uncounted = [
    made for each in gc.get_objects() if isinstance(each, Dispatcher)
    for made in each.overloads.values() if not made.target_context.enable_nrt
]
assert len(uncounted) > 50
print([made.fndesc.qualname for made in uncounted if has_arrays(made.signature.return_type)])
"""


def ran(*command: str, cache: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_after_it_first_runs_compile_nothing(tmp_path: Path) -> None:
    parts = json.loads(ran("-m", "inmateria", "compile", "--json", cache=tmp_path))["parts"]
    assert set(parts) == set(KERNELS)
    assert ran("-c", FIRST_RUNS, cache=tmp_path).strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_memory_is_damaged_where_all_kernels_are_compiled_in_one_process(tmp_path: Path) -> None:
    """A function that was compiled for a caller without reference counts must not return arrays to one with them."""
    checked = {}
    if ctypes.util.find_library("c_malloc_debug"):  # glibc's heap, which checks what it is given
        checked = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    assert ran("-c", ONE_PROCESS, cache=tmp_path, **checked).strip() == "[]"


def test_a_part_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise OSError('a broken installation')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "inmateria", "compile", "--workers", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nanowire networks: OSError: a broken installation" in done.stderr
