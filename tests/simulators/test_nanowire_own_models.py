"""A junction model of one's own needs a function and no change to the solver; caches know what they were made from."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from inmateria.simulators import NanowireEnsemble, NanowireNetwork
from inmateria.simulators.nanowire.compiled_calls import EVOLVE, address_of


def charge(constants, step, sign, junctions):
    """Let the conductance follow the flux, up or down, without bound: G = off exp(x), dx/dt = rate V."""
    for j in range(junctions.shape[1]):
        junctions[0, j] += constants[0] * junctions[5, j] * junctions[2, j] * step
        junctions[1, j] = junctions[3, j] * constants[1] * math.exp(junctions[0, j])


@dataclass(frozen=True, kw_only=True)
class Flux:
    evolve = staticmethod(charge)
    rest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    rate: float = 3.0
    off_conductance: float = 1e-6

    def packed(self):
        return np.array([self.rate, self.off_conductance])


def test_a_model_of_ones_own_is_solved_like_any_other():
    one = NanowireNetwork.from_junctions(2, [(0, 1)], inputs=[0], grounds=[1], model=Flux(rate=2.0))
    trace = one.simulate(np.full(100, 0.5), 1e-3, record=("filaments", "currents"))
    np.testing.assert_allclose(trace.filaments[:, 0], 1e-3 * np.arange(100), rtol=1e-12)
    np.testing.assert_allclose(trace.currents[:, 0], 0.5e-6 * np.exp(1e-3 * np.arange(100)), rtol=1e-12)
    one.age(1.0)
    assert one.filament[0] == pytest.approx(0.1, rel=1e-12)  # at 0 V nothing moves
    network = NanowireNetwork(model=Flux(), seed=1)
    assert network.info.parameters["model"]["type"] == "flux"
    assert network.info.parameters["model"]["rate"] == 3.0
    drive = np.random.default_rng(0).uniform(0, 2, (50, 8))
    alone = network.copy().advance(network.info.stimulus(drive)).signal
    both = NanowireEnsemble([network, network.copy()]).advance(drive)
    np.testing.assert_array_equal(both[1], alone)
    assert np.ptp(network.filament) > 0.01


def test_a_model_that_lacks_something_is_refused():
    with pytest.raises(ValueError, match="no evolve, rest"):
        NanowireNetwork(model=object())
    with pytest.raises(ValueError, match="rate is nan; it must be finite"):
        NanowireNetwork(model=Flux(rate=math.nan))


KERNEL = "import numba\nfrom parts import more\n\n@numba.njit(cache=True)\ndef kernel(x):\n    return more(x)\n"
PARTS = "import numba\n\n@numba.njit\ndef more(x):\n    return x + {}\n"
ASK = (
    "from inmateria.kernel_compilation import recompile_with\nimport made\n"
    "print(recompile_with(made.kernel, 'parts')(1))"
)


def test_a_cached_kernel_is_compiled_again_where_a_module_it_was_made_from_changed(tmp_path):
    def ask():
        paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
        asked = subprocess.run(
            [sys.executable, "-c", ASK],
            env=os.environ | {"PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(asked.stdout)

    (tmp_path / "made.py").write_text(KERNEL)
    (tmp_path / "parts.py").write_text(PARTS.format(1))
    assert ask() == 2
    assert list((tmp_path / "cache").rglob("*.nbc"))
    (tmp_path / "parts.py").write_text(PARTS.format(1000))
    assert ask() == 1001


def test_a_function_without_a_module_is_compiled_anew_each_time(tmp_path: Path) -> None:
    """As in a page whose blocks are run: what numba keeps of it, it could not load again."""
    page = tmp_path / "page.py"
    page.write_text("def still(constants, step, sign, junctions):\n    junctions[0, 0] = 1.0\n")
    addresses = set()
    for _ in range(2):
        names: dict = {}
        exec(compile(page.read_text(), str(page), "exec"), names)
        names["still"].__module__ = None
        addresses.add(address_of(names["still"], EVOLVE))
    assert len(addresses) == 2
    assert not list(tmp_path.rglob("*.nbc"))
