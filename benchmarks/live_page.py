"""The live page of 128 channels at 30 kHz: at most 5 % of a core to serve, 150 ms behind, 60 frames a second.

A device in real time is watched through Mosquitto by `inmateria watch --web` in a process of its own, whose CPU time is
counted; a page in headless Chromium is measured from the device's clock, which is the host's, to what is drawn. A
recording that another process writes is measured likewise. At last a device in a closed loop runs as fast as it can,
alternately with no viewer and with a hundred.
"""

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.async_api import async_playwright
from websockets.asyncio.client import connect

from inmateria.adapters import DeviceServer, RemoteSubstrate
from inmateria.adapters.simulated import SimulatedSubstrate
from inmateria.recording import Exchange, RecordingWriter
from inmateria.substrate import Channel, Response, Stimulus, SubstrateInfo

CHANNELS, RATE, STEP, STEPS = 128, 30_000.0, 0.001, 20
ACK = '{"type":"ack","number":%d}'
MEASURE = """(seconds) => new Promise((done) => {
  const page = window.livePage, delays = [], frames = page.drawn.frames, began = performance.now();
  let calls = 0, last = -Infinity;
  const look = () => {
    calls++;
    const {until} = page.drawn;
    if (until !== last && Number.isFinite(until)) delays.push(Date.now() / 1e3 - until);
    last = until;
    if (performance.now() - began < 1e3 * seconds) requestAnimationFrame(look);
    else {
      const passed = (performance.now() - began) / 1e3;
      done({delays, screen: calls / passed, drawn: (page.drawn.frames - frames) / passed, dropped: page.facts.dropped,
            behind: page.facts.behind});
    }
  };
  requestAnimationFrame(look);
})"""


def info() -> SubstrateInfo:
    """Describe an array of electrodes."""
    outputs = tuple(Channel(name=f"e{k:03}", unit="uV", low=-6554.0, high=6554.0) for k in range(CHANNELS))
    return SubstrateInfo(
        id="array", kind="electrode-array", inputs=(Channel(name="s", unit="V", low=-1, high=1),), outputs=outputs,
        step=STEP, sampling_rate=RATE,
    )  # fmt: skip


class RealTimeArray:
    """A simulator whose clock is the host's: it answers when the time has passed, with noise and a slow wave."""

    def __init__(self) -> None:
        self.info = info()
        self._sequence = 0
        self._clock = 0.0
        rows = STEPS * round(RATE * STEP)
        waves = 500 * np.sin(np.arange(rows)[:, np.newaxis] / 600 * 2 * np.pi + np.arange(CHANNELS) / 8)
        noise = np.random.default_rng(0).normal(0, 30, (rows, CHANNELS))
        self._signal = (waves + noise).reshape(STEPS, -1, CHANNELS)

    def reset(self) -> None:
        """Begin again."""
        self._sequence = 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Wait until the stimulus is over, and give the signal of that time."""
        self._clock = max(self._clock, time.time() - 0.5)
        begin, self._clock = self._clock, self._clock + stimulus.duration
        time.sleep(max(0.0, self._clock - time.time()))
        self._sequence += 1
        return Response(self._signal[: len(stimulus.drive)], None, begin, self._sequence - 1)


class QuickArray:
    """A simulator of 16 channels that answers at once."""

    def __init__(self) -> None:
        channels = tuple(Channel(name=f"c{k}", unit="V", low=-1, high=1) for k in range(16))
        self.info = SubstrateInfo(
            id="quick", kind="quick", inputs=channels, outputs=channels, step=0.001, sampling_rate=1000.0
        )
        self._sequence = 0

    def reset(self) -> None:
        """Begin again."""
        self._sequence = 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Give the drive back."""
        self._sequence += 1
        return Response(stimulus.drive[:, np.newaxis].copy(), None, 0.001 * self._sequence, self._sequence - 1)


async def stream_device(uri: str) -> None:
    """Serve the array, and stimulate it without a pause, until killed."""
    async with (
        DeviceServer(SimulatedSubstrate(RealTimeArray()), uri, dtype="int16") as server,
        RemoteSubstrate(server.uri) as remote,
    ):
        print(server.uri, flush=True)

        async def stimuli() -> AsyncIterator[Stimulus]:
            while True:
                yield Stimulus(np.zeros((STEPS, 1)), STEP)

        async for _ in remote.stream(stimuli()):
            pass


async def quick_device(uri: str) -> None:
    """Serve the quick array, and for each line of standard input say how many exchanges were made in so many s."""
    async with (
        DeviceServer(SimulatedSubstrate(QuickArray()), uri) as server,
        RemoteSubstrate(server.uri) as remote,
    ):
        print(server.uri, flush=True)
        stimulus = Stimulus(np.zeros((1, 16)), 0.001)
        while line := await asyncio.to_thread(sys.stdin.readline):
            seconds, count, began = float(line), 0, time.perf_counter()
            while time.perf_counter() - began < seconds:
                await remote.stimulate(stimulus)
                count += 1
            print(count / (time.perf_counter() - began), flush=True)


def write_recording(path: str) -> None:
    """Write a recording in real time until killed."""
    array = RealTimeArray()
    counts: Any = np.rint(array._signal / 0.2).astype(np.int16)
    writer, began = RecordingWriter(path, array.info, scale=0.2), time.time()
    print(path, flush=True)
    number = 0
    while True:
        start = began + number * STEP * STEPS
        time.sleep(max(0.0, start + STEP * STEPS - time.time()))
        stimulus = Stimulus(np.zeros((STEPS, 1)), STEP)
        writer.append([Exchange(stimulus, Response(counts, None, start, number), 0, time.time(), 0.0)])
        number += 1


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a process around a block, and yield it and its first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20
    )
    try:
        assert process.stdout is not None
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def broker() -> AsyncIterator[str]:
    """Start Mosquitto on a free port."""
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise SystemExit("this needs Mosquitto: apt install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", "utf-8")
        process = await asyncio.create_subprocess_exec(found, "-c", str(config), stderr=subprocess.DEVNULL)
        try:
            await asyncio.sleep(0.5)
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def watching(named: str) -> AsyncIterator[tuple[int, str]]:
    """Run `inmateria watch --web`, and yield its process id and its address."""
    async with running("-m", "inmateria", "watch", named, "--web", "--port", "0", "--json") as (process, line):
        yield process.pid, json.loads(line)["watch"]


async def view(address: str) -> None:
    """Look at a page as a browser would, until cancelled."""
    async with connect(address.replace("http", "ws") + "live", compression=None, max_size=None, proxy=None) as page:
        async for message in page:
            if isinstance(message, bytes):
                await page.send(ACK % int.from_bytes(message[4:8], "little"))


async def page_of(named: str, seconds: float) -> dict[str, float]:
    """Measure the page of a source, and what it costs to serve."""
    async with watching(named) as (pid, address), async_playwright() as driver:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(address)
        await asyncio.sleep(3)
        cost = psutil.Process(pid)
        before, began = sum(cost.cpu_times()[:2]), time.perf_counter()
        found = await page.evaluate(MEASURE, seconds)
        passed = time.perf_counter() - began
        used = sum(cost.cpu_times()[:2]) - before
        await browser.close()
    delays = sorted(found["delays"])
    return {
        "cpu_percent": 100 * used / passed,
        "delay_ms": 1e3 * statistics.median(delays),
        "delay_p95_ms": 1e3 * delays[int(0.95 * len(delays))],
        "serving_to_page_ms": found["behind"],
        "screen_frames": found["screen"],
        "drawn_frames": found["drawn"],
        "columns_dropped": found["dropped"],
    }


async def crowd(viewers: int, seconds: float, rounds: int) -> dict[str, float]:
    """Measure exchanges a second of a device with no viewer and with many, in turn."""
    alone, watched = [], []
    async with broker() as uri, running(__file__, "--quick", uri) as (device, named), watching(named) as (_, address):
        assert device.stdin is not None
        assert device.stdout is not None

        async def rate() -> float:
            assert device.stdin is not None
            assert device.stdout is not None
            device.stdin.write(f"{seconds}\n".encode())
            return float(await device.stdout.readline())

        await rate()
        for _ in range(rounds):
            alone.append(await rate())
            looking = [asyncio.create_task(view(address)) for _ in range(viewers)]
            await asyncio.sleep(1)
            watched.append(await rate())
            for task in looking:
                task.cancel()
            await asyncio.wait(looking)
            await asyncio.sleep(0.5)
    return {
        "exchanges_per_second_alone": statistics.median(alone),
        f"exchanges_per_second_with_{viewers}": statistics.median(watched),
        "ratio": statistics.median(b / a for a, b in zip(alone, watched, strict=True)),
    }


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


async def measure(seconds: float, rounds: int, viewers: int) -> dict[str, Any]:
    """Measure all of it."""
    async with broker() as uri, running(__file__, "--stream", uri, "--steps", str(STEPS)) as (_, named):
        device = await page_of(named, seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "r.h5")
        async with running(__file__, "--write", path, "--steps", str(STEPS)):
            recording = await page_of(path, seconds)
    many = await crowd(viewers, seconds / 2, rounds)
    load = psutil.getloadavg()[0]
    return {
        "processor": processor(), "cores": psutil.cpu_count(), "load": load, "channels": CHANNELS, "rate": RATE,
        "exchange_ms": 1e3 * STEP * STEPS,
        "device": device, "recording": recording, "crowd": many,
    }  # fmt: skip


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stream", help=argparse.SUPPRESS)
    parser.add_argument("--quick", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of 1 ms in an exchange")
    given = parser.parse_args()
    globals()["STEPS"] = given.steps
    if given.write:
        write_recording(given.write)
    elif given.stream or given.quick:
        asyncio.run(stream_device(given.stream) if given.stream else quick_device(given.quick))
    else:
        found = asyncio.run(measure(given.seconds, given.rounds, given.viewers))
        if given.json:
            print(json.dumps(found))
            return
        print(f"{found['processor']}, {found['cores']} cores, load {found['load']:.1f}")
        goals = {"cpu_percent": "< 5", "delay_ms": "< 150", "drawn_frames": "60"}
        print(
            "| of 128 channels at 30 kHz | goal | device on a broker | growing recording |\n| --- | --- | --- | --- |"
        )
        for name in found["device"]:
            print(f"| {name} | {goals.get(name, '')} | {found['device'][name]:.1f} | {found['recording'][name]:.1f} |")
        for name, value in found["crowd"].items():
            print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
