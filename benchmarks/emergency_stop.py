"""An emergency stop during a flood: at most 100 ms from publishing it until the device returns to rest.

Other clients publish small messages on the device's topics as fast as Mosquitto takes them. Device and operator run in
this process, Mosquitto and the floods in others.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
from streaming import Mirror, brokers

from inmateria.adapters import DeviceServer, emergency_stop, release
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.substrate import Response, Stimulus, Substrate

FLOODER = Path(__file__).parents[1] / "tests" / "flooder.py"
TOPIC = "inmateria/1/lab/mirror"
STOPS = 10


class Resettable(Substrate):
    """A substrate that notes when it was reset, which follows an interruption."""

    def __init__(self) -> None:
        info = Mirror().info
        self.info = msgspec.structs.replace(info, resettable=True)
        self.at_rest = asyncio.Event()
        self.reset_at = 0.0

    async def _apply(self, stimulus: Stimulus) -> Response:
        raise AssertionError

    async def reset(self) -> None:
        """Note the time."""
        self.reset_at = time.perf_counter()
        self.at_rest.set()


@asynccontextmanager
async def flooded(port: int, where: str, payload: bytes, sent: list[int]) -> AsyncIterator[None]:
    """Publish as fast as the broker takes it, and note how many messages that were."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(FLOODER), str(port), f"{TOPIC}/{where}", payload.hex(), stdout=asyncio.subprocess.PIPE
    )
    output = process.stdout
    assert output is not None
    await output.readline()

    async def count() -> None:
        while line := await output.readline():
            sent.append(int(line))

    counting = asyncio.create_task(count())
    try:
        yield
    finally:
        process.kill()
        await process.wait()
        await counting


async def measure(port: int, kind: str, floods: list[tuple[str, bytes]]) -> dict[str, float | str]:
    """Give times until a stop has returned the device to rest, in ms, and messages of the floods a second."""
    uri, substrate = f"mqtt://127.0.0.1:{port}", Resettable()
    times: dict[str, list[float]] = {"connected": [], "connecting": []}
    counts: list[list[int]] = [[] for _ in floods]
    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(DeviceServer(substrate, uri, lease=600))
        operator = await exits.enter_async_context(open_link(Broker.from_uri(uri), timeout=5))
        for count, (where, payload) in zip(counts, floods, strict=True):
            await exits.enter_async_context(flooded(port, where, payload, count))
        flooded_since = time.perf_counter()
        for _ in range(STOPS):
            for name, taken in times.items():
                substrate.at_rest.clear()
                begun = time.perf_counter()
                if name == "connected":
                    await operator.publish(f"{TOPIC}/stop", b"", qos=1)
                else:  # a connection for the stop, which also waits for the device to confirm
                    await emergency_stop(server.uri, timeout=60)
                await substrate.at_rest.wait()
                taken.append(1e3 * (substrate.reset_at - begun))
                await release(server.uri, timeout=60)
        took = time.perf_counter() - flooded_since
    return {
        "flood": kind,
        "messages_per_s": sum(count[-1] - count[0] for count in counts if count) / took,
        **{f"{name}_p50_ms": float(np.median(taken)) for name, taken in times.items()},
        **{f"{name}_max_ms": max(taken) for name, taken in times.items()},
    }


async def compare() -> list[dict[str, float | str]]:
    frame = b"IM" + bytes(60)
    async with brokers() as ports:
        return [
            await measure(ports["mosquitto"], name, floods)
            for name, floods in {
                "none": [],
                "stimuli, 1 client": [("stimulus/eve/1", frame)],
                "stimuli, 3 clients": [(f"stimulus/eve/{each}", frame) for each in range(3)],
                "stimuli of 16 kB": [("stimulus/eve/1", frame * 256)],
            }.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    logging.getLogger("inmateria").setLevel(logging.CRITICAL)
    rows = asyncio.run(compare())
    if asked.json:
        print(json.dumps({"claim": "connected_max_ms <= 100", "rows": rows}))
        return
    print(f"{'flood':20} {'messages/s':>10} {'stop p50/max (ms)':>20} {'with connecting p50/max (ms)':>30}")
    for row in rows:
        times = [f"{row[f'{name}_p50_ms']:.1f} / {row[f'{name}_max_ms']:.1f}" for name in ("connected", "connecting")]
        print(f"{row['flood']:20} {row['messages_per_s']:10.0f} {times[0]:>20} {times[1]:>30}")


if __name__ == "__main__":
    main()
