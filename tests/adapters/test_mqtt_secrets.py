"""A password for a broker is found in no recording, no log, no output and no list of processes."""

import asyncio
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto, with_paths
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.recording.recorded import RecordedSubstrate
from inmateria.substrate import Stimulus

SECRET = "correct-horse-battery"


def holding(*paths: Path) -> list[Path]:
    """List the files that hold the password."""
    return [path for path in paths if path.is_file() and SECRET.encode() in path.read_bytes()]


def everywhere_holding(folder: Path) -> list[Path]:
    return holding(*folder.rglob("*"))


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(f"ada:{SECRET}\n", "utf-8")
    return path


@pytest.mark.parametrize("way", ["file", "environment"])
async def test_a_recording_and_the_log_hold_no_password(
    way: str,
    mosquitto: Mosquitto,
    credentials: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    query = f"?credentials={credentials}" if way == "file" else ""
    if way == "environment":
        monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "ada")
        monkeypatch.setenv("INMATERIA_MQTT_PASSWORD", SECRET)
    path = tmp_path / "run.h5"
    device = DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri + query)
    remote = RemoteSubstrate(f"{mosquitto.uri}/lab/leaky{query}")
    async with device as server, RecordedSubstrate(remote, path) as recorded:
        await recorded.stimulate(Stimulus(np.ones((1, 3)), 0.01))
        assert remote._broker.password == SECRET
        shown = f"{device!r} {remote!r} {recorded!r} {remote._broker!r} {remote._broker} {server.uri}"
    assert SECRET not in shown
    assert SECRET not in caplog.text
    assert SECRET.encode() not in path.read_bytes()


async def test_what_commands_write_and_say_and_their_command_lines_hold_no_password(
    mosquitto: Mosquitto, credentials: Path, tmp_path: Path
) -> None:
    environment = {**with_paths(), "INMATERIA_MQTT_CREDENTIALS": str(credentials)}

    async def began(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inmateria", *arguments, cwd=tmp_path, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    serving = await began("serve", "nanowire://?wires=40", "--broker", mosquitto.uri, "--name", "nwn-1")
    try:
        assert serving.stdout is not None
        while b"serving" not in (line := await serving.stdout.readline()):
            assert line.startswith(b"compiling") or line.startswith(b"compiled"), line  # where that takes long
        assert not holding(Path(f"/proc/{serving.pid}/cmdline"))
        uri, path = f"{mosquitto.uri}/lab/nwn-1", tmp_path / "run.h5"
        recording = await began("-v", "record", uri, "--seconds", "0.1", "--out", str(path))
        said, _ = await recording.communicate()
        assert path.is_file(), said
        assert SECRET.encode() not in said
    finally:
        serving.terminate()
        said, _ = await serving.communicate()
    assert SECRET.encode() not in said
    assert everywhere_holding(tmp_path) == [credentials]
