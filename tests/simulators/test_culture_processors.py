"""A culture on processors of other kinds: the compiled step's spikes do not depend on which instructions there are."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from numba.core.codegen import get_host_cpu_features

from inmateria.simulators import NeuralCulture, Pulses
from inmateria.simulators.culture import lanes

PROGRAM = "from tests.simulators.test_culture_processors import digests; print(*digests())"
OLDER = ("+avx512f", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512vl")


def digests() -> list[int]:
    """The lanes, and checksums of spikes and state after pulses, of a culture with each step."""
    found = [lanes.LANES]
    for dt in (1e-4, 5e-4):
        culture = NeuralCulture(neurons=90, seed=1, dt=dt, continuity_correction=dt > 1e-4)
        spikes = culture.run(0.3, Pulses([0.1, 0.1502], [3, 5], 3e-6), neuron_spikes=True).neuron_spikes
        assert spikes is not None
        assert len(spikes) > 1000
        found += [zlib.crc32(spikes.tobytes()), zlib.crc32(culture.state.arrays["neurons"].tobytes())]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kept", [(), OLDER], ids=["AVX2", "AVX-512 of 2017"])
def test_spikes_are_the_same_to_the_bit_with_fewer_instructions(kept: tuple[str, ...], tmp_path: Path) -> None:
    own = [each for each in get_host_cpu_features().split(",") if each.startswith("+")]
    if not {"+avx2", "+fma", *kept} <= set(own):
        pytest.skip(f"{sorted({'+avx2', '+fma', *kept} - set(own))}, which this processor lacks")
    older = [each for each in own if each in kept or not each.startswith(("+avx512", "+avx10", "+amx"))]
    settings = {
        "NUMBA_CPU_NAME": "skylake-avx512" if kept else "haswell",
        "NUMBA_CPU_FEATURES": ",".join(older),
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=os.environ | settings, capture_output=True, text=True, check=True
    ).stdout
    many, *found = (int(each) for each in answer.split())
    assert many == (32 if kept else 16)
    assert found == digests()[1:]
