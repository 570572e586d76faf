"""The wire under load, through Mosquitto on the loopback interface: bytes, a large array, many devices, and the codec.

goodput   64 kB frames one way, written, checked and read, beside bare aiomqtt publishing the same bytes: at
          least 0.9 times. Beside both, the whole stack: limits checked twice, applied, each one answered.
array     128 channels at 30 kHz as 16-bit integers (7.7 MB/s) in batches of 2 ms, paced, for a minute:
          none lost, p99 of the round trip below 5 ms.
devices   200 devices of one process, each at 10 exchanges a second: all served.
codec     a frame of 256 x 128 float32: below 10 us each way.
"""

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiomqtt
import numpy as np
import numpy.typing as npt
import psutil
from streaming import NODELAY, brokers

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, SubstrateInfo

Row = dict[str, float | str]
FRAMES, ROUNDS = 300, 4
CHANNELS, SAMPLES, BATCH = 128, 60, 2e-3
DEVICES, EXCHANGES = 200, 100


def channels(count: int) -> tuple[Channel, ...]:
    return tuple(Channel(name=f"c{k}", unit="V", low=-1, high=1) for k in range(count))


class Sink:
    """A simulator that takes everything and answers with no spikes at all."""

    info = SubstrateInfo(
        id="sink", kind="sink", inputs=channels(16), outputs=channels(1), step=0.001, sampling_rate=None, spiking=True
    )

    def __init__(self) -> None:
        self.steps = 0

    def reset(self) -> None:
        """Do nothing."""

    def advance(self, stimulus: Stimulus) -> Response:
        """Count the steps."""
        self.steps += len(stimulus.drive)
        return Response(None, np.empty(0, SPIKE), 0.0, 0)


class Array:
    """An electrode array: noise on every channel, 60 samples a batch."""

    def __init__(self, name: str = "array", outputs: int = CHANNELS, samples: int = SAMPLES) -> None:
        self.info = SubstrateInfo(
            id=name, kind="array", inputs=channels(1), outputs=channels(outputs), step=BATCH,
            sampling_rate=samples / BATCH,
        )  # fmt: skip
        self._noise = np.random.default_rng(0).uniform(-1, 1, (16, 1, samples, outputs))
        self.sequence = 0

    def reset(self) -> None:
        """Do nothing."""

    def advance(self, stimulus: Stimulus) -> Response:
        """Give the next of sixteen batches of noise."""
        self.sequence += 1
        return Response(self._noise[self.sequence % 16], None, 0.0, self.sequence - 1)

    def batch(self, sequence: int) -> npt.NDArray[np.float64]:
        """Tell what was given at that place."""
        noise: npt.NDArray[np.float64] = self._noise[(sequence + 1) % 16]
        return noise


async def goodput(port: int) -> Row:
    """Give MB/s of ours and of bare aiomqtt, turn about."""
    drive = np.random.default_rng(0).uniform(-1, 1, (512, 16))
    stimulus = Stimulus(drive, 0.001)
    payload = encode(Header(kind=Kind.STIMULUS, session="0" * 12, epoch="0" * 32, grant="0" * 32), drive)
    sink = Sink()
    ours: list[float] = []
    bare: list[float] = []
    stack: list[float] = []
    broker = Broker.from_uri(f"mqtt://127.0.0.1:{port}")
    async with (
        open_link(broker, timeout=5) as here,
        open_link(broker, timeout=5) as there,
        DeviceServer(SimulatedSubstrate(sink), f"mqtt://127.0.0.1:{port}") as server,
        RemoteSubstrate(server.uri, window=32) as substrate,
        aiomqtt.Client("127.0.0.1", port, socket_options=NODELAY) as near,
        aiomqtt.Client("127.0.0.1", port, socket_options=NODELAY) as far,
    ):
        await far.subscribe("there")
        await there.subscribe("frames")

        async def read() -> None:
            got = 0
            async for _, data, _ in there.messages():
                frame = decode(data)
                assert frame.header.sequence == got, "a frame was lost"
                got += 1
                if got == FRAMES:
                    return

        async def take() -> None:
            got = 0
            async for message in far.messages:
                assert isinstance(message.payload, bytes)
                assert len(message.payload) == len(payload)
                got += 1
                if got == FRAMES:
                    return

        for number in range(ROUNDS + 1):
            sink.steps = 0
            begun = time.perf_counter()
            async for _ in substrate.stream([stimulus] * FRAMES):
                pass
            stack_took = time.perf_counter() - begun
            reading = asyncio.create_task(read())
            begun = time.perf_counter()
            for sequence in range(FRAMES):
                header = Header(kind=Kind.STIMULUS, session="0" * 12, epoch="0" * 32, grant="0" * 32, sequence=sequence)
                await here.publish("frames", encode(header, drive))
            await asyncio.wait_for(reading, 30)
            took = time.perf_counter() - begun
            assert sink.steps == FRAMES * len(drive), "not everything was applied"
            taking = asyncio.create_task(take())
            begun = time.perf_counter()
            for _ in range(FRAMES):
                await near.publish("there", payload)
            await asyncio.wait_for(taking, 30)
            bare_took = time.perf_counter() - begun
            if number:  # the first round warms up
                ours.append(FRAMES * len(payload) / took / 1e6)
                bare.append(FRAMES * len(payload) / bare_took / 1e6)
                stack.append(FRAMES * len(payload) / stack_took / 1e6)
    mine, its = float(np.median(ours)), float(np.median(bare))
    return {
        "what": "goodput", "MB_per_s": mine, "aiomqtt_MB_per_s": its, "ratio": mine / its,
        "whole_stack_MB_per_s": float(np.median(stack)), "goal": "ratio >= 0.9",
    }  # fmt: skip


async def array(port: int, seconds: float) -> Row:
    """Give the round trips of a large array, in ms, and what they cost."""
    simulator, count = Array(), round(seconds / BATCH)
    sent, trips = np.zeros(count), np.zeros(count)
    step = Stimulus(np.zeros((1, 1)), BATCH)

    async def paced() -> AsyncIterator[Stimulus]:
        begun = time.perf_counter()
        for number in range(count):
            ahead = begun + number * BATCH - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            sent[number] = time.perf_counter()
            yield step

    async with (
        DeviceServer(SimulatedSubstrate(simulator), f"mqtt://127.0.0.1:{port}", dtype="int16") as server,
        RemoteSubstrate(server.uri, window=64) as substrate,
    ):
        own, got = psutil.Process(), 0
        began, cpu = time.perf_counter(), sum(own.cpu_times()[:2])
        async for response in substrate.stream(paced()):
            trips[got] = time.perf_counter() - sent[got]
            assert response.sequence == got, "one was lost"
            assert response.signal is not None
            if got % 500 == 0:
                worst = np.abs(response.signal[0] - simulator.batch(got)[0]).max()
                assert worst <= 1 / 65_534 * 1.01, "the answer is not the simulator's"
            got += 1
        took = time.perf_counter() - began
        cpu = sum(own.cpu_times()[:2]) - cpu
    p50, p99, p999 = 1e3 * np.percentile(trips, [50, 99, 99.9])
    return {
        "what": "array", "seconds": took, "MB_per_s": got * SAMPLES * CHANNELS * 2 / took / 1e6, "lost": count - got,
        "p50_ms": float(p50), "p99_ms": float(p99), "p999_ms": float(p999), "worst_ms": 1e3 * float(trips.max()),
        "cpu_percent": 100 * cpu / took, "rss_MB": own.memory_info().rss / 1e6, "goal": "none lost, p99 < 5 ms",
    }  # fmt: skip


async def serve_many(broker: str) -> None:
    """Serve 200 devices, say so, and say at the end of input what they took."""
    async with AsyncExitStack() as exits:
        own = psutil.Process()
        before = own.memory_info().rss
        for number in range(DEVICES):
            device = SimulatedSubstrate(Array(f"d{number}", 16, 2))
            await exits.enter_async_context(DeviceServer(device, broker))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        used = resource.getrusage(resource.RUSAGE_SELF)
        row = {"rss": (own.memory_info().rss - before) / DEVICES, "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps(row), flush=True)


async def devices(port: int) -> Row:
    """Give the round trips of 200 devices, served by another process, in ms."""
    broker = f"mqtt://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__)), "--serve", broker,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        await process.stdout.readline()
        trips: list[float] = []
        async with AsyncExitStack() as exits:
            remotes = [
                await exits.enter_async_context(RemoteSubstrate(f"{broker}/lab/d{number}", connect_timeout=30))
                for number in range(DEVICES)
            ]
            began = time.perf_counter()

            async def use(number: int, remote: RemoteSubstrate) -> None:
                step = Stimulus(np.zeros((1, 1)), BATCH)
                for turn in range(EXCHANGES):
                    due = began + 0.1 * turn + 0.1 * number / DEVICES
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    sent = time.perf_counter()
                    response = await remote.stimulate(step)
                    trips.append(time.perf_counter() - sent)
                    assert response.sequence == turn, "one was lost"

            async with asyncio.TaskGroup() as group:
                for number, remote in enumerate(remotes):
                    group.create_task(use(number, remote))
            took = time.perf_counter() - began
            process.stdin.write(b"\n")
            told = json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
    p50, p99 = 1e3 * np.percentile(trips, [50, 99])
    return {
        "what": "devices", "exchanges": len(trips), "exchanges_per_s": len(trips) / took, "p50_ms": float(p50),
        "p99_ms": float(p99), "worst_ms": 1e3 * max(trips), "kB_per_device": told["rss"] / 1e3,
        "devices_cpu_s": told["cpu"], "goal": "all served",
    }  # fmt: skip


def codec() -> list[Row]:
    """Give microseconds to write and to read a frame of 256 x 128 float32."""
    signal = np.random.default_rng(0).uniform(-1, 1, (256, 1, 128)).astype(np.float32)
    rows: list[Row] = []
    for whole in (True, False):

        def write(whole: bool = whole) -> bytes:
            return encode(Header(kind=Kind.RESPONSE, session="0" * 12, epoch="0" * 32), signal, whole=whole)

        data = write()
        assert np.array_equal(decode(data).array, signal)  # type: ignore[arg-type]
        rows.append({
            "what": "codec", "checksum": "CRC of all" if whole else "CRC of header, sum of body",
            "encode_us": best(write),
            "decode_us": best(lambda data=data: decode(data)), "goal": "< 10 us each",  # type: ignore[misc]
        })  # fmt: skip
    return rows


def best(work: Callable[[], object], times: int = 20, rounds: int = 500) -> float:
    """Give the microseconds a call takes, of the best of many short rounds, which others do not interrupt."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(times):
            work()
        took.append((time.perf_counter() - begun) / times)
    return 1e6 * min(took)


async def measure(asked: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    async with brokers() as ports:
        port = ports.get("mosquitto")
        if port is None:
            sys.exit("this benchmark needs Mosquitto")
        if "goodput" in asked.what:
            rows.append(await goodput(port))
        if "array" in asked.what:
            rows.append(await array(port, asked.seconds))
        if "devices" in asked.what:
            rows.append(await devices(port))
    return rows + (codec() if "codec" in asked.what else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["goodput", "array", "devices", "codec"])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the array is streamed")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    gc.freeze()  # as the command line does before it serves
    with asyncio.Runner(loop_factory=factory) as runner:
        if asked.serve:
            runner.run(serve_many(asked.serve))
            return
        rows = runner.run(measure(asked))
    if asked.json:
        print(json.dumps({"uvloop": factory is not None, "rows": rows}))
        return
    print("uvloop" if factory else "asyncio's own event loop")
    for row in rows:
        print(
            ", ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )


if __name__ == "__main__":
    main()
