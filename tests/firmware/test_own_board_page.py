"""docs/your_own_board.md, followed as it stands: an emulated chip and a simulated circuit stand for those on a desk."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chip_tools import skip_without_tools

from inmateria.adapters.boards.emulator import EmulatedBoard, build_firmware
from inmateria.adapters.boards.substrate import serial_from_uri
from inmateria.substrate import Channel, Response, Stimulus, SubstrateInfo

skip_without_tools()

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_own_board.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


class Ladder:
    """The page's circuit: three times R = 10 kOhm in series, and C = 1 uF to ground behind each; D3 drives it."""

    def __init__(self) -> None:
        volts = {"unit": "V", "low": 0.0, "high": 5.0}
        self.info = SubstrateInfo(
            id="ladder",
            identity="parameters",
            kind="circuit",
            inputs=(Channel(name="D3", **volts),),
            outputs=tuple(Channel(name=f"node{k}", **volts) for k in range(3)),
            step=1e-3,
            sampling_rate=1e3,
            resettable=True,
        )
        # C dv/dt: what comes from the node before, less what goes on to the next.
        self._rates = np.array([[-2.0, 1, 0], [1, -2, 1], [0, 1, -1]]) / (1e4 * 1e-6)
        self.reset()

    def reset(self) -> None:
        self._volts = np.zeros(3)

    def advance(self, stimulus: Stimulus) -> Response:
        values, vectors = np.linalg.eigh(self._rates)
        signal = np.empty((len(stimulus.drive), 1, 3))
        for k, (driven,) in enumerate(stimulus.drive):
            settled = np.full(3, driven)  # nothing flows then
            decay = vectors @ np.diag(np.exp(values * stimulus.step)) @ vectors.T
            self._volts = settled + decay @ (self._volts - settled)
            signal[k, 0] = self._volts
        return Response(signal, None, 0.0, 0)


def run(command: str, folder: Path, **environment: str) -> str:
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "INMATERIA_PASSPORTS": "", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the firmware, and an avrdude that keeps what it is told and given."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "firmware", folder / "firmware", ignore=shutil.ignore_patterns("build"))
    (folder / "bin").mkdir()
    avrdude = folder / "bin" / "avrdude"
    avrdude.write_text('#!/bin/sh\necho "$@" > ../avrdude.txt\ncp build/atmega328p.hex ../uploaded.hex\n')
    avrdude.chmod(avrdude.stat().st_mode | stat.S_IXUSR)
    return folder


def test_the_page_has_these_commands() -> None:
    assert [command.split()[0] for command in COMMANDS] == [
        "ls", "make", "make", "pip", "inmateria", "inmateria", "inmateria",
    ]  # fmt: skip


def test_the_upload_gives_avrdude_the_firmware_with_its_name(desk: Path) -> None:
    run(COMMANDS[0], desk)
    run("make -C firmware atmega328p", desk)  # built before under no name: it is built anew
    run(COMMANDS[1], desk)
    assert (desk / "avrdude.txt").read_text().split() == [
        "-p", "atmega328p", "-c", "arduino", "-P", "/dev/ttyACM0", "-b", "115200",
        "-U", "flash:w:build/atmega328p.hex:i",
    ]  # fmt: skip
    run("avr-objcopy -I ihex -O binary uploaded.hex uploaded.bin", desk)
    assert b"ladder-1\0" in (desk / "uploaded.bin").read_bytes()


async def test_the_sketch_is_whole_and_its_firmware_answers(desk: Path) -> None:
    """Compiled as Arduino's own program does: C files as C, the sketch as C++, beside a main that loops."""
    run(COMMANDS[2], desk)
    sketch = desk / "firmware" / "build" / "inmateria_board"
    (sketch / "main.cpp").write_text("void setup(); void loop(); int main() { setup(); for (;;) loop(); }\n")
    flags = "-mmcu=atmega328p -DF_CPU=16000000L -Os -ffunction-sections -fdata-sections -flto"
    run(f"cd {sketch} && for each in *.c; do avr-gcc -std=gnu11 {flags} -c $each; done", desk)
    run(f"cd {sketch} && avr-g++ {flags} -x c++ -c inmateria_board.ino main.cpp", desk)
    run(f"cd {sketch} && avr-gcc {flags} -Wl,--gc-sections -o sketch.elf *.o", desk)
    with EmulatedBoard(firmware=sketch / "sketch.elf") as board:
        async with serial_from_uri(f"{board.uri}?step=0.002&watchdog=30&timeout=60") as substrate:
            drive = substrate.info.rest_drive()
            drive[0, 0] = 2.0
            response = await substrate.stimulate(substrate.info.stimulus(drive))
            assert response.signal is not None
            assert response.signal[0, 0, 0] == pytest.approx(2.0, abs=0.02)


@pytest.fixture
def ladder(desk: Path) -> Iterator[EmulatedBoard]:
    """The emulated board in place of the one at /dev/ttyACM0, with the name that it was given."""
    folder = build_firmware("atmega328p", ID="ladder-1", BUILD=str(desk / "named"))
    with EmulatedBoard(Ladder(), firmware=folder / "atmega328p.elf", speed=4.0) as board:
        yield board


@pytest.mark.slow
def test_calibrating_keeps_a_passport_under_the_boards_name(desk: Path, ladder: EmulatedBoard) -> None:
    told = run(COMMANDS[4].replace("/dev/ttyACM0", str(ladder.path)), desk)
    assert "ladder-1: 10 repeats of 40 steps, 3 outputs" in told
    assert list(desk.rglob("passports.sqlite"))


@pytest.mark.slow
def test_the_ladder_remembers_and_the_input_alone_does_not(desk: Path, ladder: EmulatedBoard) -> None:
    told = run(COMMANDS[5].replace("/dev/ttyACM0", str(ladder.path)), desk)
    capacity = {
        name: float(re.search(rf"{name}\s+sum\D*\d+\s+([\d.]+)", told)[1])  # type: ignore[index]
        for name in ("substrate", "input alone")
    }
    assert capacity["substrate"] > 1.5
    assert capacity["input alone"] < 0.2
    assert list(desk.rglob("report.html"))


@pytest.mark.slow
def test_without_a_board(desk: Path) -> None:
    told = run(COMMANDS[6], desk)
    assert "capacity" in told
