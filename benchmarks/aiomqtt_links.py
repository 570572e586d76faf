"""What it costs to hand over an aiomqtt client in place of our link: round trips of one step of 16 channels, in turn.

One device on our link; clients on our link and on an aiomqtt client, through Mosquitto, hold it in turn.
"""

import argparse
import asyncio
import json
import time

import aiomqtt
import numpy as np
from streaming import CHANNELS, EXCHANGES, NODELAY, ROUNDS, Mirror, brokers

from inmateria.adapters import AiomqttLinks, DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.substrate import Stimulus


async def measure() -> dict[str, float]:
    """Give medians and 99th percentiles in us."""
    drives = np.random.default_rng(0).uniform(-1, 1, (EXCHANGES, 1, CHANNELS))
    stimuli = [Stimulus(drive, 0.001) for drive in drives]
    times: dict[str, list[float]] = {"ours": [], "aiomqtt": []}
    async with brokers() as ports:
        port, links = ports["mosquitto"], AiomqttLinks()
        async with (
            DeviceServer(SimulatedSubstrate(Mirror()), f"mqtt://127.0.0.1:{port}") as server,
            aiomqtt.Client("127.0.0.1", port, socket_options=NODELAY) as client,
            links.use(client),
        ):
            for number in range(ROUNDS + 1):
                for name, opener in (("ours", open_link), ("aiomqtt", links)):
                    async with RemoteSubstrate(server.uri, open_link=opener) as substrate:
                        for stimulus in stimuli:
                            begun = time.perf_counter()
                            response = await substrate.stimulate(stimulus)
                            if number:  # the first round warms up
                                times[name].append(time.perf_counter() - begun)
                            assert response.signal is not None
                            assert np.array_equal(response.signal[:, 0], stimulus.drive)
    found = {
        f"{name}_p{each}_us": 1e6 * float(np.percentile(taken, each))
        for name, taken in times.items()
        for each in (50, 99)
    }
    return {**found, "ratio": found["aiomqtt_p50_us"] / found["ours_p50_us"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    row = asyncio.run(measure())
    if asked.json:
        print(json.dumps({"rows": [row]}))
        return
    for name in ("ours", "aiomqtt"):
        print(f"{name:8} p50 {row[f'{name}_p50_us']:6.0f} us, p99 {row[f'{name}_p99_us']:6.0f} us")
    print(f"ratio    {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
