"""Writers in processes of their own, to be killed: one process imports everything and forks as many as are wanted."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

import numpy as np
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import RecordedSubstrate, Recording
from inmateria.substrate import Stimulus

_EACH = 20


@dataclass(frozen=True)
class Writer:
    """A process that records: a line after every twenty exchanges, and one that begins with "failed"."""

    path: Path
    process: int
    told: TextIO

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)


class Writers:
    """Where writers come from; all of them end with it."""

    def __enter__(self) -> Self:
        folder = Path(__file__).parent
        path = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
        # Not by the name of a script: each writer would ask git about it.
        self._server = subprocess.Popen(
            [sys.executable, "-c", "import writers; writers.serve()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate(timeout=60)

    def begin(self, path: Path, *, pause: float, limit: int = 0) -> Writer:
        """Begin a recording, of a file of at most `limit` bytes; its writer rests after twenty exchanges, s."""
        told = path.with_suffix(".told")
        os.mkfifo(told)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(path, limit, pause, sep="\t", file=self._server.stdin, flush=True)
        process = int(self._server.stdout.readline())
        return Writer(path, process, told.open())


def assert_as_it_happened(recording: Recording) -> None:
    """Every exchange that is there is what the simulator gives, bit for bit."""
    generator, simulator = np.random.default_rng(3), LeakySimulator(spiking=True)
    for exchange in recording:
        stimulus = Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)
        expected = simulator.advance(stimulus)
        assert np.array_equal(exchange.stimulus.drive, stimulus.drive)
        assert np.array_equal(exchange.response.signal, expected.signal)
        assert np.array_equal(exchange.response.spikes, expected.spikes)
        assert (exchange.response.start, exchange.response.sequence) == (expected.start, expected.sequence)


def serve() -> None:
    """Fork a writer for each line on standard input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        path, limit, pause = line.rstrip("\n").split("\t")
        process = os.fork()
        if not process:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _write(Path(path), int(limit), float(pause))
        print(process, flush=True)


def _write(path: Path, limit: int, pause: float) -> None:
    """Record until killed or until it fails, and end the process."""
    with path.with_suffix(".told").open("w") as told:
        try:
            asyncio.run(_record(path, limit, pause, told))
        except BaseException as error:
            print(f"failed {type(error).__name__}: {error}", file=told, flush=True)
    os._exit(1)


async def _record(path: Path, limit: int, pause: float, told: TextIO) -> None:
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), path) as substrate:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        async with aclosing(substrate.stream(_stimuli())) as responses:
            async for response in responses:
                if response.sequence % _EACH == _EACH - 1:
                    loop = asyncio.get_running_loop()
                    print(response.sequence + 1, loop.time(), file=told, flush=True)
                    await asyncio.sleep(pause)


def _stimuli():  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(3)
    while True:
        yield Stimulus(generator.uniform(-1, 1, (5, 3)), 0.01)
