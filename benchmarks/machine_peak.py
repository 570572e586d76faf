"""Peak of one core, measured: multiply-adds held in registers, and multiply-adds through each cache.

Counters of the processor are not to be had on most rented machines, so `benchmarks/nanowire.py` compares with this.

    python benchmarks/machine_peak.py
"""

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.vector_lanes import LANES, load, splat, store

Floats = npt.NDArray[np.float64]

SIZES = {"L1": 16 * 1024, "L2": 384 * 1024, "L3": 6 * 1024**2}  # bytes read and written over and over


@numba.njit(error_model="numpy", nogil=True)
def _in_registers(times: int, start: float, out: Floats) -> None:
    factor, more = splat(0.999), splat(start)
    a, b, c, d, e, f, g, h = more, more, more, more, more, more, more, more
    for _ in range(times):
        a, b, c, d = a * factor + more, b * factor + more, c * factor + more, d * factor + more
        e, f, g, h = e * factor + more, f * factor + more, g * factor + more, h * factor + more
    store(out, numba.uint64(0), a + b + c + d + e + f + g + h)


@numba.njit(error_model="numpy", nogil=True)
def _through_memory(times: int, values: Floats) -> None:
    factor = splat(0.999)
    count = numba.uint64(len(values) // LANES)
    for _ in range(times):
        for i in range(count):
            store(values, i, load(values, i) * factor + factor)


def _fastest(work: Callable[..., Any], *given: Any) -> float:
    work(*given)
    best = float("inf")  # processor time of the thread, s
    for _ in range(7):
        begin = time.thread_time()
        work(*given)
        best = min(best, time.thread_time() - begin)
    return best


def measured_peak() -> dict[str, float]:
    """Gflop/s of one core in registers, and GB/s that it reads and writes in each level of its caches."""
    times = 200_000
    peak = {"gflops": 2 * 8 * LANES * times / _fastest(_in_registers, times, 0.001, np.zeros(LANES)) * 1e-9}
    for level, size in SIZES.items():
        roomy = np.zeros(size // 8 + LANES)
        begin = -roomy.ctypes.data // 8 % LANES
        values = roomy[begin : begin + size // 8]
        times = max(1, 2**26 // size)
        peak[f"{level} GB/s"] = 2 * values.nbytes * times / _fastest(_through_memory, times, values) * 1e-9
    return peak


if __name__ == "__main__":
    for name, value in measured_peak().items():
        print(f"{name:10} {value:8.1f}")
