"""How fast a loop closes around each platform of living tissue: a step asked for, its answer in hand, the next.

Each platform is its soft twin over the same simulated culture. In real time the loop can be no faster than the
platform's own step; told is what it takes beyond. In simulated time told is how much faster than life it runs.

    python benchmarks/platform_loop.py [--json] [--exchanges 200]
"""

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from inmateria.adapters import IntanEmulator, connect
from inmateria.simulators import NeuralCulture
from inmateria.substrate import Substrate


async def loop_times(substrate: Substrate, exchanges: int) -> tuple[np.ndarray, float]:
    """Close a loop, a pulse in every other step: seconds of each exchange, and of the platform's time in all."""
    drive = np.zeros((2, len(substrate.info.inputs)))
    drive[1, 1] = substrate.info.inputs[1].high
    stimuli = [substrate.info.stimulus(row) for row in drive]
    first = last = await substrate.stimulate(stimuli[0])
    times = np.empty(exchanges)
    for k in range(exchanges):
        begun = time.perf_counter()
        last = await substrate.stimulate(stimuli[k % 2])
        times[k] = time.perf_counter() - begun
    return times, last.start - first.start


async def measured(exchanges: int) -> list[dict[str, Any]]:
    """Measure every platform in turn."""
    rows = []
    for name, uri in (
        ("Intan, real time", ""),
        ("CL1 simulator, real time", "cortical://?seed=1"),
        ("CL1 simulator, accelerated", "cortical://?seed=1&accelerated=true"),
        ("Neuroplatform twin, real time", "neuroplatform://emulated?seed=1&real_time=true&step=0.24"),
        ("Neuroplatform twin, simulated", "neuroplatform://emulated?seed=1"),
    ):
        async with AsyncExitStack() as exits:
            if not uri:
                uri = (await exits.enter_async_context(IntanEmulator(NeuralCulture(seed=1)))).uri
            substrate = await exits.enter_async_context(connect(uri))
            asked = min(exchanges, round(exchanges * 0.05 / substrate.info.step)) if "real_time" in uri else exchanges
            times, lived = await loop_times(substrate, asked)
            step = substrate.info.step
        rows.append(
            {
                "platform": name,
                "step_ms": 1e3 * step,
                "median_ms": 1e3 * float(np.median(times)),
                "p99_ms": 1e3 * float(np.quantile(times, 0.99)),
                "platform_hz": asked / lived,
                "times_real_time": lived / float(times.sum()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = asyncio.run(measured(given.exchanges))
    print(f"{'platform':28} {'step':>8} {'median':>9} {'99 %':>9} {'loop':>9} {'real time':>10}")
    for row in rows:
        print(
            f"{row['platform']:28} {row['step_ms']:5.0f} ms {row['median_ms']:6.1f} ms {row['p99_ms']:6.1f} ms "
            f"{row['platform_hz']:6.1f} Hz {row['times_real_time']:8.1f} x"
        )
    if given.json:
        print(json.dumps({"benchmark": "platform_loop", "rows": rows}))


if __name__ == "__main__":
    main()
