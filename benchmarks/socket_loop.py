"""A closed loop between two processes of one machine, without a broker: at most 200 us a step, 150 with uvloop.

One step of 16 channels at a time. The device is served from a process of its own, at a Unix socket and at loopback TCP;
another process echoes the same bytes over a bare asyncio connection. All take turns; the answers are compared with the
bare simulator's. ``--broker`` adds Mosquitto, on which the same device is served as well.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from streaming import CHANNELS, Mirror, brokers

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.substrate import Stimulus

EXCHANGES, ROUNDS = 200, 15


class Echo(asyncio.Protocol):
    """Gives back what comes."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Write it back."""
        self._transport.write(data)


class Asking(asyncio.Protocol):
    """Waits for as many bytes as it has sent."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._answer: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    async def ask(self, data: bytes) -> bytes:
        """Send and wait for the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer


def runner(uvloop: bool) -> Callable[[Any], Any]:
    """Return what runs a coroutine, on uvloop or not."""
    if uvloop:
        import uvloop as fast

        return fast.run
    return asyncio.run


async def serve(place: str) -> None:
    """Be the other process: serve a mirror, or echo bytes, until the end of standard input."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as exits:
        if place.startswith("echo:"):
            server = await loop.create_unix_server(Echo, place.removeprefix("echo:"))
            exits.callback(server.close)
            print(place, flush=True)
        else:
            device = await exits.enter_async_context(DeviceServer(SimulatedSubstrate(Mirror()), place))
            print(device.uri, flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def process(place: str, uvloop: bool) -> AsyncIterator[str]:
    """Run this file as the other process."""
    words = [sys.executable, __file__, "--serve", place, *(["--uvloop"] if uvloop else [])]
    started = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdin is not None
    assert started.stdout is not None
    try:
        yield (await started.stdout.readline()).decode().strip()
    finally:
        started.stdin.close()
        await started.wait()


async def measure(uvloop: bool, broker: bool) -> dict[str, Any]:
    """Give medians in us: the median of the rounds' medians, and the least of them."""
    drives = np.random.default_rng(0).uniform(-1, 1, (EXCHANGES, 1, CHANNELS))
    stimuli = [Stimulus(drive, 0.001) for drive in drives]
    payload = encode(Header(kind=Kind.STIMULUS, session="0" * 12, epoch="0" * 32, grant="0" * 32), drives[0])
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        ways: dict[str, Callable[[Stimulus], Awaitable[None]]] = {}

        async def echo() -> None:
            await exits.enter_async_context(process(f"echo:{folder}/echo", uvloop))
            _, asking = await loop.create_unix_connection(Asking, f"{folder}/echo")

            async def ask(_: Stimulus) -> None:
                assert await asking.ask(payload) == payload

            ways["echo"] = ask

        async def ours(name: str, place: str) -> None:
            uri = await exits.enter_async_context(process(place, uvloop))
            substrate = await exits.enter_async_context(RemoteSubstrate(uri))

            async def ask(stimulus: Stimulus) -> None:
                response = await substrate.stimulate(stimulus)
                assert response.signal is not None
                assert np.array_equal(response.signal[:, 0], stimulus.drive), "the answer is not the simulator's"

            ways[name] = ask

        await echo()
        await ours("unix", f"unix://{folder}/device")
        await ours("tcp", "tcp://127.0.0.1:0")
        if broker:
            ports = await exits.enter_async_context(brokers())
            await ours("mosquitto", f"mqtt://127.0.0.1:{ports['mosquitto']}")
        medians: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):
            for name, ask in ways.items():
                times = []
                for stimulus in stimuli:
                    begun = time.perf_counter()
                    await ask(stimulus)
                    times.append(time.perf_counter() - begun)
                if number:  # the first round warms up
                    medians[name].append(1e6 * float(np.median(times)))
    rows = {name: {"p50_us": float(np.median(each)), "least_us": min(each)} for name, each in medians.items()}
    return {"loop": "uvloop" if uvloop else "asyncio", **rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--uvloop", action="store_true", help="both processes on uvloop")
    parser.add_argument("--broker", action="store_true", help="Mosquitto as well")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    run = runner(asked.uvloop)
    if asked.serve:
        run(serve(asked.serve))
        return
    found = run(measure(asked.uvloop, asked.broker))
    if asked.json:
        print(json.dumps({"claim": f"p50_us <= {150 if asked.uvloop else 200}", "rows": [found]}))
        return
    print(f"on {found.pop('loop')}: {'p50 (us)':>18} {'least (us)':>12}")
    for name, row in found.items():
        print(f"{name:12} {row['p50_us']:20.0f} {row['least_us']:12.0f}")


if __name__ == "__main__":
    main()
