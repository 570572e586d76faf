"""Fixtures for every test: nothing may be left behind, and where a real broker is to be had."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio


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


class Mosquitto:
    """A real Mosquitto on a free loopback port, which a test may kill, freeze and start again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", encoding="utf-8"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [mosquitto_path(), "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "mosquitto did not come up within 10 s"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def mosquitto_path() -> str:
    """Find Mosquitto; where it is missing, skip, and fail in continuous integration."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        message = "mosquitto is not installed; on Debian: apt-get install mosquitto"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()
