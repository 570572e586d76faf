"""Cost of one in-process exchange of one step beyond the simulator's own time: at most 10 us.

The same single-step stimuli are given to a bare simulator and to the same one behind the contract, in
turn, in one process; the answers are compared first.
"""

import argparse
import asyncio
import json
import time

import numpy as np

from inmateria.adapters import SimulatedSubstrate
from inmateria.simulators import NanowireNetwork
from inmateria.substrate import Stimulus

EXCHANGES, ROUNDS = 2000, 7


async def measure(wires: int) -> dict[str, float]:
    """Give the median time of an exchange in us, bare and behind the contract."""
    bare, behind = NanowireNetwork(wires), NanowireNetwork(wires)
    substrate = SimulatedSubstrate(behind)
    step = 1.0 / (bare.info.sampling_rate or 1.0)  # one solution of the network an exchange
    drives = np.random.default_rng(0).uniform(-1, 1, (EXCHANGES, 1, len(bare.info.inputs)))
    stimuli = [Stimulus(drive, step) for drive in drives]
    for stimulus in stimuli:
        one, other = bare.advance(stimulus), await substrate.stimulate(stimulus)
        assert one.signal is not None
        assert other.signal is not None
        assert np.array_equal(one.signal, other.signal), "the two gave different answers"
    times: dict[str, list[float]] = {"bare": [], "exchange": []}
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for stimulus in stimuli:
            bare.advance(stimulus)
        times["bare"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        for stimulus in stimuli:
            await substrate.stimulate(stimulus)
        times["exchange"].append(time.perf_counter() - begun)
    bare_us, exchange_us = (1e6 * float(np.median(times[each])) / EXCHANGES for each in ("bare", "exchange"))
    return {"wires": wires, "bare_us": bare_us, "exchange_us": exchange_us, "beyond_us": exchange_us - bare_us}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    rows = [asyncio.run(measure(wires)) for wires in (50, 100, 500)]
    if asked.json:
        print(json.dumps({"claim": "beyond_us <= 10", "rows": rows}))
        return
    print(f"{'wires':>6} {'simulator (us)':>15} {'exchange (us)':>14} {'beyond (us)':>12} {'ratio':>6}")
    for row in rows:
        bare, exchange, beyond = row["bare_us"], row["exchange_us"], row["beyond_us"]
        print(f"{row['wires']:6.0f} {bare:15.1f} {exchange:14.1f} {beyond:12.1f} {exchange / bare:6.2f}")


if __name__ == "__main__":
    main()
