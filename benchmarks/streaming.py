"""A closed loop over MQTT, one step of 16 channels at a time: at most 1.25 times a bare aiomqtt echo at the median.

The echo publishes the same bytes at QoS 0 to a peer that publishes them back. Ours and the echo run in turn,
in one process, through one broker; our answers are compared with the bare simulator's.
"""

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import numpy as np

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.substrate import Channel, Response, Stimulus, SubstrateInfo

CHANNELS, EXCHANGES, ROUNDS = 16, 300, 5
NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


class Mirror:
    """A simulator that gives back what it is given, in no time."""

    def __init__(self) -> None:
        channels = tuple(Channel(name=f"c{k}", unit="V", low=-1, high=1) for k in range(CHANNELS))
        self.info = SubstrateInfo(
            id="mirror", kind="mirror", inputs=channels, outputs=channels, step=0.001, sampling_rate=1000.0
        )
        self._sequence = 0

    def reset(self) -> None:
        """Count from zero again."""
        self._sequence = 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Give the drive back, one sample a step."""
        self._sequence += 1
        return Response(stimulus.drive[:, np.newaxis].copy(), None, 0.0, self._sequence - 1)


@asynccontextmanager
async def brokers() -> AsyncIterator[dict[str, int]]:
    """Start the embedded broker, and Mosquitto where it is installed."""
    async with EmbeddedBroker() as embedded:
        ports = {"embedded": embedded.port}
        found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is None:
            print("mosquitto is not installed and was left out", file=sys.stderr)
            yield ports
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports["mosquitto"] = probe.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "mosquitto.conf"
            config.write_text(
                f"listener {ports['mosquitto']} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", "utf-8"
            )
            process = await asyncio.create_subprocess_exec(found, "-c", str(config), stderr=subprocess.DEVNULL)
            try:
                await _listening(ports["mosquitto"])
                yield ports
            finally:
                process.kill()
                await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def echo(port: int) -> AsyncIterator[aiomqtt.Client]:
    """Connect a bare client whose messages to `there` come back as `back`."""
    async with (
        aiomqtt.Client("127.0.0.1", port, socket_options=NODELAY) as near,
        aiomqtt.Client("127.0.0.1", port, socket_options=NODELAY) as far,
    ):
        await near.subscribe("back")
        await far.subscribe("there")

        async def give_back() -> None:
            async for message in far.messages:
                await far.publish("back", message.payload)

        giving = asyncio.create_task(give_back())
        try:
            yield near
        finally:
            giving.cancel()
            await asyncio.wait({giving})


async def measure(name: str, port: int) -> dict[str, float | str]:
    """Give round trips in us, of ours and of the bare echo, over one broker."""
    drives = np.random.default_rng(0).uniform(-1, 1, (EXCHANGES, 1, CHANNELS))
    stimuli = [Stimulus(drive, 0.001) for drive in drives]
    payload = encode(Header(kind=Kind.STIMULUS, session="0" * 12, epoch="0" * 32, grant="0" * 32), drives[0])
    ours: list[float] = []
    bare: list[float] = []
    async with (
        echo(port) as client,
        DeviceServer(SimulatedSubstrate(Mirror()), f"mqtt://127.0.0.1:{port}") as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        for number in range(ROUNDS + 1):
            if number == 1:  # the first round warms up
                ours.clear()
                bare.clear()
            for stimulus in stimuli:
                begun = time.perf_counter()
                response = await substrate.stimulate(stimulus)
                ours.append(time.perf_counter() - begun)
                assert response.signal is not None
                assert np.array_equal(response.signal[:, 0], stimulus.drive), "the answer is not the simulator's"
            for _ in stimuli:
                begun = time.perf_counter()
                await client.publish("there", payload)
                message = await anext(client.messages)
                bare.append(time.perf_counter() - begun)
                assert message.payload == payload
    (p50, p99), (bare_p50, bare_p99) = (1e6 * np.percentile(each, [50, 99]) for each in (ours, bare))
    return {
        "broker": name, "p50_us": float(p50), "p99_us": float(p99), "echo_p50_us": float(bare_p50),
        "echo_p99_us": float(bare_p99), "ratio": float(p50 / bare_p50), "exchanges_per_s": 1 / float(np.mean(ours)),
    }  # fmt: skip


async def compare() -> list[dict[str, float | str]]:
    async with brokers() as ports:
        return [await measure(name, port) for name, port in ports.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    rows = asyncio.run(compare())
    if asked.json:
        print(json.dumps({"claim": "ratio <= 1.25", "rows": rows}))
        return
    print(f"{'broker':10} {'ours p50/p99 (us)':>20} {'echo p50/p99 (us)':>20} {'ratio':>6} {'exchanges/s':>12}")
    for row in rows:
        print(
            f"{row['broker']:10} {row['p50_us']:11.0f} /{row['p99_us']:7.0f} {row['echo_p50_us']:11.0f} /"
            f"{row['echo_p99_us']:7.0f} {row['ratio']:6.2f} {row['exchanges_per_s']:12.0f}"
        )


if __name__ == "__main__":
    main()
