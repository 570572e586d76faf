"""An emergency stop during a flood: at most 100 ms from publishing it until the driver is interrupted.

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

import numpy as np
from streaming import Mirror, brokers

from inmateria.adapters import DeviceServer, RemoteSubstrate, emergency_stop, release
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.substrate import Response, Stimulus, Substrate, SubstrateError

FLOODER = Path(__file__).parents[1] / "tests" / "flooder.py"
TOPIC = "inmateria/1/lab/mirror"
STOPS = 10


class Endless(Substrate):
    """A substrate that applies each stimulus until it is interrupted, and notes when that was."""

    def __init__(self) -> None:
        self.info = Mirror().info
        self.applying = asyncio.Event()
        self.interrupted = 0.0

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.applying.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.interrupted = time.perf_counter()
        raise AssertionError

    async def reset(self) -> None:
        """There is nothing to reset."""


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


async def measure(port: int, name: str, floods: list[tuple[str, bytes]]) -> dict[str, float | str]:
    """Give times until a stop has interrupted the driver, in ms, and messages of the floods a second."""
    uri, substrate = f"mqtt://127.0.0.1:{port}", Endless()
    connected: list[float] = []
    whole: list[float] = []
    counts: list[list[int]] = [[] for _ in floods]
    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(DeviceServer(substrate, uri, lease=600))
        operator = await exits.enter_async_context(open_link(Broker.from_uri(uri), timeout=5))
        for count, (where, payload) in zip(counts, floods, strict=True):
            await exits.enter_async_context(flooded(port, where, payload, count))
        begun = time.perf_counter()
        for number in range(2 * STOPS):
            substrate.applying.clear()
            async with RemoteSubstrate(server.uri, connect_timeout=60) as remote:
                asking = asyncio.create_task(remote.stimulate(remote.info.stimulus(np.zeros((1, 16)))))
                await substrate.applying.wait()
                at = time.perf_counter()
                if number % 2:
                    await emergency_stop(server.uri, timeout=60)  # which opens a connection for it
                else:
                    await operator.publish(f"{TOPIC}/stop", b"", qos=1)
                    await asyncio.wait({asking})
                (whole if number % 2 else connected).append(substrate.interrupted - at)
                await asyncio.wait({asking})
                assert isinstance(asking.exception(), SubstrateError)
            await release(server.uri, timeout=60)
        took = time.perf_counter() - begun
    return {
        "flood": name,
        "messages_per_s": sum(count[-1] - count[0] for count in counts if count) / took,
        "p50_ms": 1e3 * float(np.median(connected)), "max_ms": 1e3 * max(connected),
        "connecting_p50_ms": 1e3 * float(np.median(whole)), "connecting_max_ms": 1e3 * max(whole),
    }  # fmt: skip


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
        print(json.dumps({"claim": "max_ms <= 100", "rows": rows}))
        return
    print(f"{'flood':20} {'messages/s':>10} {'stop p50/max (ms)':>20} {'with connecting p50/max (ms)':>30}")
    for row in rows:
        print(
            f"{row['flood']:20} {row['messages_per_s']:10.0f} {row['p50_ms']:12.1f} /{row['max_ms']:6.1f}"
            f" {row['connecting_p50_ms']:22.1f} /{row['connecting_max_ms']:6.1f}"
        )


if __name__ == "__main__":
    main()
