"""`inmateria serve` and `--over mqtt` take whatever `connect` opens, and refuse what they cannot name."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto, with_paths
from commands_here import RunCommand
from leaky import LeakySimulator

from inmateria.adapters import RemoteSubstrate, SimulatedSubstrate, SubprocessDevice, connect
from inmateria.recording import RecordedSubstrate
from inmateria.substrate import Stimulus

HANGS = 500
INMATERIA = [sys.executable, "-m", "inmateria"]


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Serve until the end of the block; gives the device's URI."""
    with subprocess.Popen(
        [*INMATERIA, "serve", *arguments, "--json"], stdout=subprocess.PIPE, text=True, env=with_paths()
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["uri"]
        finally:
            process.terminate()
            process.wait(HANGS)


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.h5"
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), path) as substrate:
        for number in range(5):
            await substrate.stimulate(Stimulus(np.full((2, 3), number / 10), 0.01))
    return path


async def test_a_recording_is_served_like_any_substrate(recording: Path, mosquitto: Mosquitto) -> None:
    uri = f"replay://{recording}"
    async with connect(uri) as alone:
        given = [Stimulus(np.full((2, 3), number / 10), 0.01) for number in range(5)]
        wanted = [await alone.stimulate(each) for each in given]
    with serving(uri, "--broker", mosquitto.uri, "--name", "old") as served:
        assert served == f"{mosquitto.uri}/lab/old"
        async with RemoteSubstrate(served) as remote:
            got = [response async for response in remote.stream(given)]
        # What is served may be served again, under another name or on another broker.
        with serving(served, "--broker", mosquitto.uri, "--name", "again") as again:
            async with RemoteSubstrate(again) as remote:
                assert remote.info.id == "leaky"
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(got, wanted, strict=True))  # type: ignore[arg-type]


async def test_over_mqtt_takes_whatever_connect_opens(recording: Path) -> None:
    async with SubprocessDevice(f"replay://{recording}") as substrate:
        response = await substrate.stimulate(Stimulus(np.zeros((2, 3)), 0.01))
        assert response.sequence == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--name", "a b"], 2, "the name of the device is 'a b'"),
        (["--name", "a/b"], 2, "the name of the device is 'a/b'"),
        (["--group", "lab#"], 2, "the group of the device is 'lab#'"),
        (["--broker", "ssl://127.0.0.1:1"], 2, "does not name a broker"),
    ],
)
def test_what_a_device_cannot_be_called_is_refused_at_once(
    arguments: list[str], code: int, says: str, inmateria_here: RunCommand
) -> None:
    told = inmateria_here("serve", "nanowire://?wires=40", "--port", "0", *arguments)
    assert told.returncode == code
    assert says in told.stderr
    assert "Traceback" not in told.stderr


def test_a_name_that_is_served_already_is_refused(mosquitto: Mosquitto, inmateria_here: RunCommand) -> None:
    with serving("nanowire://?wires=40", "--broker", mosquitto.uri):
        told = inmateria_here("serve", "nanowire://?wires=40", "--broker", mosquitto.uri)
    assert told.returncode == 3
    assert "is served already" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["nanowire://", "--scpi", ":0", "--port", "3"], 2, "--port is of a broker"),
        (["nanowire://", "--keep-output"], 2, "--keep-output needs --scpi"),
        (["nanowire://", "--scpi", "5025"], 2, "give [host]:port"),
        (["nanowire://", "--scpi", ":0", "--scale", "1"], 2, "give two numbers"),
        (["echo://", "--scpi", ":0"], 1, "no output in amperes"),
        (["replay:///none.h5", "--scpi", ":0"], 2, "has the scheme 'replay'"),
    ],
)
def test_what_cannot_be_a_source_meter_is_refused(
    arguments: list[str], code: int, why: str, inmateria_here: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = inmateria_here("serve", *arguments)
    assert done.returncode == code
    assert why in done.stderr


def test_a_simulator_is_served_as_a_source_meter_until_ctrl_c() -> None:
    async def measured(uri: str) -> float:
        async with connect(uri) as smu:
            response = await smu.stimulate(smu.info.stimulus([[0.1]]))
        assert response.signal is not None
        return float(response.signal.item())

    with subprocess.Popen(
        [*INMATERIA, "serve", "nanowire://?wires=60", "--scpi", ":0", "--terminals", "e01,i01"],
        stdout=subprocess.PIPE, text=True, env=with_paths(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(4)]
        assert lines[2:] == ["terminals: e01 driven, i01 measured", "Ctrl-C stops it"]
        assert asyncio.run(measured(lines[0].split()[-1] + "&nplc=0.01&step=0.001&limit=1")) > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(HANGS) == 0


async def test_a_device_is_served_watched_stopped_and_released_without_a_broker(
    recording: Path, tmp_path: Path
) -> None:
    where = f"unix://{tmp_path}/device.sock"

    async def said(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(*INMATERIA, *arguments, stdout=subprocess.PIPE, env=with_paths())
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    with serving(f"replay://{recording}", "--at", where) as served:
        assert served == where
        async with connect(where) as remote:
            assert (await remote.stimulate(Stimulus(np.zeros((2, 3)), 0.01))).sequence == 0
        (listed,) = json.loads(await said("list", where, "--json"))
        assert (listed["uri"], listed["id"], listed["state"]) == (where, "leaky", "online")
        await said("stop", where)
        last = (await said("watch", where, "--json", "--count", "2")).splitlines()[-1]
        assert json.loads(last)["state"] == "stopped"
        await said("release", where)
        async with connect(where) as remote:
            assert remote.info.id == "leaky"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--at", "unix:///tmp/d.sock", "--port", "1"], "--port is of a broker, and not with --at"),
        (["--exposed"], "--exposed needs --at"),
        (["--at", "tcp://0.0.0.0:0"], "could be reached by other machines"),
        (["--at", "unix://d.sock"], "with three slashes"),
    ],
)
def test_what_is_no_socket_of_this_machine_is_refused(
    arguments: list[str], why: str, inmateria_here: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ran = inmateria_here("serve", "echo://?units=5", *arguments)
    assert ran.returncode != 0
    assert why in ran.stderr.replace("\n", " ")
