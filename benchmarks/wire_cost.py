"""What a step costs against the number of channels, 1 to 4,096, and of devices, 1 to 1,000; with the limit beside it.

In process, at a Unix socket without a broker, and through the embedded broker. All are in one process, and seconds are
of its processor time: what other jobs of the machine take is not counted. The bound of the channels is to copy stimulus
and response once and, over the wire, the system calls that move them (a socket pair, the same bytes); the bound of the
devices is a step of one device alone. ``--out FILE`` writes one line of JSON.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from streaming import Mirror

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.substrate import Channel, Stimulus, Substrate, SubstrateInfo

CHANNELS = (1, 4, 16, 64, 256, 1024, 4096)
DEVICES = (1, 3, 10, 30, 100, 300, 1000)
WAYS = ("in process", "unix", "embedded broker")
BURSTS, STEPS = 15, 20
_MOST_ON_A_BROKER = 100
"""Devices: they are entered one after another, which a broker in Python makes long."""


class Wide(Mirror):
    """A mirror of so many channels, under a name of its own."""

    def __init__(self, channels: int, name: str = "mirror") -> None:
        super().__init__()
        each = tuple(Channel(name=f"c{k}", unit="V", low=-1, high=1) for k in range(channels))
        self.info = SubstrateInfo(id=name, kind="mirror", inputs=each, outputs=each, step=0.001, sampling_rate=1000.0)


def least(seconds: list[float]) -> float:
    """Return the tenth percentile: other jobs of the machine only ever add."""
    return float(np.percentile(seconds, 10))


@asynccontextmanager
async def reached(way: str, channels: int, devices: int) -> AsyncIterator[list[Substrate]]:
    """Enter so many devices in one of the ways there are."""
    async with AsyncExitStack() as exits:
        folder = exits.enter_context(tempfile.TemporaryDirectory())
        broker = (await exits.enter_async_context(EmbeddedBroker())).uri if way == "embedded broker" else ""
        found: list[Substrate] = []
        for number in range(devices):
            substrate: Substrate = SimulatedSubstrate(Wide(channels, f"mirror-{number}"))
            if way != "in process":
                place = broker or f"unix://{folder}/{number}"
                server = await exits.enter_async_context(DeviceServer(substrate, place, lease=600, timeout=60))
                substrate = RemoteSubstrate(server.uri, connect_timeout=60)
            found.append(await exits.enter_async_context(substrate))
        yield found


async def steps(substrates: list[Substrate], stimulus: Stimulus, bursts: int, count: int) -> float:
    """Return seconds of one step of one device, all devices at once."""

    async def go_on(substrate: Substrate) -> None:
        for _ in range(count):
            await substrate.stimulate(stimulus)

    response = await substrates[0].stimulate(stimulus)
    assert response.signal is not None
    assert np.array_equal(response.signal[:, 0], stimulus.drive), "the answer is not the simulator's"
    taken = []
    for number in range(bursts + 1):
        begun = time.process_time()
        if len(substrates) == 1:
            await go_on(substrates[0])
        else:
            await asyncio.gather(*map(go_on, substrates))
        if number:  # the first warms up
            taken.append((time.process_time() - begun) / count / len(substrates))
    return least(taken)


def copying(channels: int, wire: bool) -> float:
    """Return the seconds in which the bytes of a step are copied, and over the wire also sent and received."""
    drive = np.zeros((1, channels))
    data = drive.tobytes()
    near, far = socket.socketpair()
    for each in (near, far):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def once() -> None:
        drive.copy()
        drive.copy()
        if wire:
            for one, other in ((near, far), (far, near)):
                one.sendall(data)
                left = len(data)
                while left:
                    left -= len(other.recv(left))

    found = _timed(once)
    near.close()
    far.close()
    return found


def _timed(once: Callable[[], None]) -> float:
    taken = []
    for _ in range(200):
        begun = time.process_time()
        for _ in range(20):
            once()
        taken.append((time.process_time() - begun) / 20)
    return least(taken)


async def measure(ways: tuple[str, ...], channels: tuple[int, ...], devices: tuple[int, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for way in ways:
        alone = 0.0
        for count in channels:
            stimulus = Stimulus(np.random.default_rng(0).uniform(-1, 1, (1, count)), 0.001)
            async with reached(way, count, 1) as substrates:
                seconds = await steps(substrates, stimulus, BURSTS, STEPS)
            bound = copying(count, way != "in process")
            rows.append({"what": "channels", "case": way, "size": count, "seconds": seconds, "bound": bound})
        stimulus = Stimulus(np.random.default_rng(0).uniform(-1, 1, (1, 16)), 0.001)
        for count in devices:
            if way == "embedded broker" and count > _MOST_ON_A_BROKER:
                continue
            async with reached(way, 16, count) as substrates:
                seconds = await steps(substrates, stimulus, 5, max(1, min(STEPS, 600 // count)))
            alone = alone or seconds
            rows.append({"what": "devices", "case": way, "size": count, "seconds": seconds, "bound": alone})
    return rows


def processor() -> str:
    """Return the name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--out", type=Path, help="write that line to a file")
    parser.add_argument("--ways", default=",".join(WAYS), help="those to measure, separated by commas")
    parser.add_argument("--most", type=int, default=DEVICES[-1], help="devices at most")
    asked = parser.parse_args()
    devices = tuple(each for each in DEVICES if each <= asked.most)
    rows = asyncio.run(measure(tuple(asked.ways.split(",")), CHANNELS, devices))
    load = os.getloadavg()[0]
    line = json.dumps({"benchmark": "wire_cost", "machine": processor(), "load": round(load, 1), "rows": rows})
    if asked.out is not None:
        asked.out.write_text(line + "\n", "utf-8")
    if asked.json:
        print(line)
        return
    print(f"{processor()}, load {load:.1f}\n{'what':28} {'size':>6} {'us a step':>12} {'bound (us)':>12}")
    for row in rows:
        print(
            f"{row['what']}, {row['case']:18} {row['size']:6} {1e6 * row['seconds']:12.1f} {1e6 * row['bound']:12.2f}"
        )


if __name__ == "__main__":
    main()
