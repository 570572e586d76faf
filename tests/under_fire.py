"""What tests under fire share, over a broker and without one: numbered stimuli, processes, a second controller."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from brokers import TESTS, with_paths
from leaky import LeakySimulator

from inmateria.adapters import RemoteSubstrate
from inmateria.substrate import Response, Stimulus, SubstrateBusy


def numbered(count: int, since: int = 0) -> list[Stimulus]:
    """Make stimuli that carry their number, in millionths, in their first value."""
    chance = np.random.default_rng(0)
    return [Stimulus([[n / 1e6, *chance.uniform(-1, 1, 2)]], 0.01) for n in range(since, since + count)]


def exact(simulator: LeakySimulator, given: list[Stimulus], got: list[Response]) -> bool:
    """Tell whether the device applied 0..n-1, and the responses are those of a run without faults, bit for bit."""
    applied = [round(drive[0, 0] * 1e6) for drive in simulator.applied]
    alone = LeakySimulator()
    return applied == list(range(len(given))) and [
        each.signal.tobytes() for each in got if each.signal is not None
    ] == [response.signal.tobytes() for response in map(alone.advance, given) if response.signal is not None]


@asynccontextmanager
async def process(script: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a script of the tests; it is killed with -9, here or before."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, str(TESTS / script), *map(str, arguments), stdout=asyncio.subprocess.PIPE, env=with_paths()
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        if started.stdout is not None:
            await started.stdout.read()
        await started.wait()


async def uri_of(device: asyncio.subprocess.Process) -> str:
    """Return the URI that a device of `served_leaky.py` has printed."""
    assert device.stdout is not None
    return (await device.stdout.readline()).decode().strip()


async def a_controller_is_killed_and_another_takes_over(where: str, log: Path) -> None:
    """Check that the device did what the first asked, returned to rest, and did what the second asked, nothing else."""
    async with process("served_leaky.py", where, log, 1.0) as device:
        uri = await uri_of(device)
        async with process("streaming_client.py", uri) as first:
            assert first.stdout is not None
            for _ in range(50):
                await first.stdout.readline()
            with pytest.raises(SubstrateBusy, match=r"held by session anyone/\w+; for another \d+ s"):
                async with RemoteSubstrate(uri):
                    pass
            first.kill()
            answered = 49 + len((await first.stdout.read()).splitlines())
        given = numbered(300, since=500_000)
        while True:
            try:
                async with RemoteSubstrate(uri) as second:
                    got = [response async for response in second.stream(given)]
                break
            except SubstrateBusy:
                await asyncio.sleep(0.2)  # until the lease of the first has run out
    before, rest, after = (await asyncio.to_thread(log.read_text, "utf-8")).partition("rest\n")
    applied = [int(line) for line in before.split()]
    assert applied == list(range(len(applied)))
    assert answered <= applied[-1]
    assert rest
    assert [int(line) for line in after.split()] == list(range(500_000, 500_300))
    alone = LeakySimulator()
    assert all(np.array_equal(mine.signal, alone.advance(each).signal) for mine, each in zip(got, given, strict=True))
