"""Fixtures for every test: nothing may be left behind, and a real broker where one is wanted."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from brokers import Mosquitto
from hypothesis import settings

settings.register_profile("inmateria", deadline=None)  # no test fails on a clock
settings.load_profile("inmateria")


@pytest_asyncio.fixture(autouse=True)
async def no_tasks_left() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks behind."""
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if not task.done() and task is not asyncio.current_task()]
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def no_threads_or_children_left() -> Iterator[None]:
    """Fail a test that leaves threads or child processes behind."""
    threads, children = set(threading.enumerate()), _children()
    yield
    for thread in set(threading.enumerate()) - threads:
        # Workers of an event loop's own pool end with that loop, which pytest closes after the test.
        if not thread.name.startswith("asyncio_"):
            thread.join(2.0)
            assert not thread.is_alive(), f"thread left behind: {thread}"
    left = _children() - children
    assert not left, f"child processes left behind: {left}"


def _children() -> set[int]:
    """List our running child processes; on systems without /proc there is nothing to see."""
    found = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            for child in listing.read_text().split():
                if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.add(int(child))
        except OSError:  # it ended while we looked
            continue
    return found


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()
