"""Brokers for tests, which they may kill, freeze and start again."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


class BrokerProcess:
    """A broker on a free loopback port, in a process that a test may kill, freeze and start again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=with_paths()
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"{self.command()} did not come up within 60 s"
                time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)


class Mosquitto(BrokerProcess):
    """A real Mosquitto."""

    def __init__(self, folder: Path, config: str = "") -> None:
        """Start one that lets everybody in, or one with that configuration, whose {port} is filled in."""
        super().__init__()
        self._config = folder / "mosquitto.conf"
        open_to_all = "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
        text = (config or open_to_all).replace("{port}", str(self.port))
        # Started by root, it would give up the right to read what lies in the test's folder.
        self._config.write_text(("user root\n" if os.getuid() == 0 else "") + text, encoding="utf-8")
        self.start()

    def command(self) -> list[str]:
        return [mosquitto_path(), "-c", str(self._config)]


class EmbeddedApart(BrokerProcess):
    """The embedded broker in a process of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.start()

    def command(self) -> list[str]:
        return [sys.executable, str(TESTS / "served_broker.py"), str(self.port)]


def with_paths() -> dict[str, str]:
    """Give the environment in which scripts of the tests find each other, and this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}


def free_port() -> int:
    """Find a port that nothing listens on, below those that the system gives to clients.

    One of theirs could be taken by any connection while a killed broker is away.
    """
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("none of a hundred ports is free")


def mosquitto_path() -> str:
    """Find Mosquitto; where it is missing, skip, and fail in continuous integration."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        message = "mosquitto is not installed; on Debian: apt-get install mosquitto"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
