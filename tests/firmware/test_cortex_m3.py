"""The firmware on a Cortex-M3: run in QEMU's mps2-an385 machine, and compiled for the Due's chip."""

import asyncio
import re
import shutil
import struct
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from bad_line import BadLine
from leaky import LeakySimulator

from inmateria.adapters import connect
from inmateria.adapters.boards.emulated import EmulatedBoardSubstrate
from inmateria.adapters.boards.emulator import build_firmware
from inmateria.adapters.boards.qemu_board import QemuBoard
from inmateria.adapters.boards.substrate import BoardSubstrate, serial_from_uri
from inmateria.substrate import Response, Stimulus, SubstrateDisconnected, SubstrateError, UnknownSubstrate
from inmateria.testing import check_entered_substrate

MISSING = [
    tool
    for tool in ("make", "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
    if shutil.which(tool) is None
]
if MISSING:
    pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)

FULL = np.array([4095, 4095, 255, 255, 1, 1, 127, 127])
LOW = np.array([0.55, 0.55, 0, 0, 0, 0, 0, 0])
HIGH = np.array([2.75, 2.75, 3.3, 3.3, 1, 1, 1e4, 1e4])
STEP = 0.002
QUICK = f"?step={STEP}&watchdog=30&timeout=60"  # no test waits so long: they end what hangs
ONE_LEVEL = 3.3 / 4096 + 1e-9


def reached(board: QemuBoard, query: str = QUICK) -> BoardSubstrate:
    return serial_from_uri(board.uri + query)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("chip", ["sam3x8e", "mps2-an385"])
def test_the_firmware_is_as_small_as_it_has_to_be(chip: str) -> None:
    elf = build_firmware(chip) / f"{chip}.elf"
    told = subprocess.run(["arm-none-eabi-size", "-A", elf], capture_output=True, text=True, check=True).stdout
    size = {fields[0]: int(fields[1]) for line in told.splitlines() if (fields := line.split()) and line[0] == "."}
    assert size[".text"] + size[".data"] <= 12_288
    assert size[".data"] + size[".bss"] + size[".noinit"] <= 4096


def test_the_dues_chip_finds_its_stack_its_beginning_and_its_handlers_where_it_looks() -> None:
    """Its table of vectors, by the data sheet: at the beginning of flash, odd addresses of code within it."""
    image = (build_firmware("sam3x8e") / "sam3x8e.bin").read_bytes()
    vectors = struct.unpack_from("<16I", image)
    handlers = struct.unpack_from("<28I", image, 64)
    assert vectors[0] == 0x20000000 + 64 * 1024
    flash = range(0x80000, 0x80000 + len(image))
    assert all(each % 2 and each in flash for each in (vectors[1], vectors[2], vectors[3]))
    assert {number for number, each in enumerate(handlers) if each} == {8, 27}  # UART and timer counter 0
    assert all(handlers[number] % 2 and handlers[number] in flash for number in (8, 27))


async def test_the_contract_holds() -> None:
    with QemuBoard() as board:
        async with reached(board) as substrate:
            await check_entered_substrate(substrate, window=8)


async def test_what_is_applied_is_the_drive_at_its_times_and_what_is_read_is_what_the_pins_carry() -> None:
    with QemuBoard() as board:
        async with reached(board) as substrate:
            info = substrate.info
            assert info.parameters["board"] == "mps2-an385"
            assert [channel.name for channel in info.inputs] == [
                "DAC0", "DAC1", "D6", "D7", "D3", "D5", "pot0", "pot1",
            ]  # fmt: skip
            assert [channel.name for channel in info.outputs] == [f"A{k}" for k in range(8)]
            before = board.steps
            drive = LOW + np.random.default_rng(1).random((40, 8)) * (HIGH - LOW)
            drive[:, 4:6] = np.random.default_rng(2).integers(2, size=(40, 2))
            response = await substrate.stimulate(info.stimulus(drive))
            applied, times = board.steps_applied(before)
            late = substrate.late_exchanges
        assert np.abs(applied[:40] - FULL * (drive - LOW) / (HIGH - LOW)).max() <= 0.5
        assert response.signal is not None
        assert np.abs(response.signal[:, 0] - 3.3 * applied[:40] / FULL).max() <= 1.5 * ONE_LEVEL
        if not late:  # otherwise a frame came late, since this machine was busy
            assert np.abs(np.diff(times[:40]) - STEP).max() < 25e-6
        assert np.diff(times[:40]).min() > STEP - 25e-6  # no step is made shorter
        assert board.levels() == [0] * 8


async def test_a_simulator_wired_to_it_answers_as_it_does_alone_within_the_converters_steps() -> None:
    simulator = LeakySimulator()
    with QemuBoard(simulator, inputs=(0, 1, 2)) as board:
        async with reached(board) as substrate:
            share = np.array([3000 / 4095, 500 / 4095, 90 / 255])
            drive = np.tile(substrate.info.rest_drive(), (100, 1))
            drive[:, :3] = LOW[:3] + share * (HIGH - LOW)[:3]
            response = await substrate.stimulate(substrate.info.stimulus(drive))
        info = simulator.info
        asked = np.array([each.low + (each.high - each.low) * share[k] for k, each in enumerate(info.inputs)])
        alone = LeakySimulator().advance(info.stimulus(np.tile(asked, (400, 1)))).signal[-1, -1]
        for pin, channel in enumerate(board.wiring.outputs):
            read = info.outputs[channel]
            value = read.low + (read.high - read.low) * response.signal[-1, -1, pin] / (3.3 * 4095 / 4096)
            assert value == pytest.approx(alone[channel], abs=3e-4 * (read.high - read.low))


async def test_a_reset_is_told_with_how_many_steps_were_applied() -> None:
    with QemuBoard() as board:
        async with reached(board) as substrate:
            before = board.steps
            drive = np.tile(substrate.info.rest_drive(), (2000, 1))
            drive[:, 0] = 2.0
            exchange = asyncio.ensure_future(substrate.stimulate(substrate.info.stimulus(drive)))
            await until(lambda: board.steps >= before + 30)
            await asyncio.to_thread(board.reset)
            with pytest.raises(SubstrateDisconnected, match="it was reset") as failed:
                await exchange
            told = re.search(r"; (\d+)(?: to \d+)? of its 2000 steps were applied", str(failed.value))
            assert told
            applied = board.steps_applied(before)[0][:, 0]
            assert np.count_nonzero(applied) - int(told[1]) in (0, 1)
            assert not applied[np.count_nonzero(applied) :].any()  # after them only rest
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))


async def test_a_line_that_is_pulled_out_and_plugged_in_again_goes_on_where_it_was() -> None:
    with QemuBoard() as board:
        async with reached(board) as substrate:
            before = board.steps
            drive = np.tile(substrate.info.rest_drive(), (300, 1))
            drive[:, 2] = 3.3 * (1 + np.arange(300) % 200) / 255
            exchange = asyncio.ensure_future(substrate.stimulate(substrate.info.stimulus(drive)))
            await until(lambda: board.steps >= before + 60)
            await asyncio.to_thread(board.unplug)
            await asyncio.sleep(0.05)
            board.plug()
            await exchange
            applied = board.steps_applied(before)[0][:300, 2]
            assert applied.tolist() == (1 + np.arange(300) % 200).tolist()


async def test_a_host_that_falls_silent_leaves_the_outputs_at_rest() -> None:
    with QemuBoard() as board:
        async with reached(board, f"?step={STEP}&watchdog=0.5&timeout=1") as substrate:
            drive = substrate.info.rest_drive(3)
            drive[:, 0] = 2.0
            await substrate.stimulate(substrate.info.stimulus(drive))
            assert board.levels()[0] > 0
            await asyncio.to_thread(board.unplug)
            await until(lambda: board.levels()[0] == 0)


async def test_over_a_bad_line_every_step_is_applied_once() -> None:
    """3 of 1,000 bytes are damaged, lost or doubled, both ways; a frame here has up to 180."""
    with QemuBoard() as board:
        async with (
            BadLine(str(board.path), 0.003, 3) as line,
            connect(f"tcp://127.0.0.1:{line.port}{QUICK}") as substrate,
        ):
            before = board.steps
            drive = np.tile(substrate.info.rest_drive(), (300, 1))
            drive[:, 2] = 3.3 * (1 + np.arange(300) % 200) / 255
            await substrate.stimulate(substrate.info.stimulus(drive))
            applied = board.steps_applied(before)[0][:300, 2]
            assert line.damaged > 20
            assert substrate.resent > 5
            assert applied.tolist() == (1 + np.arange(300) % 200).tolist()


class FailingSimulator(LeakySimulator):
    def advance(self, stimulus: Stimulus) -> Response:
        raise ArithmeticError("the matter boiled over")


async def test_a_simulator_that_fails_is_an_error_and_never_a_reading() -> None:
    async def use() -> None:
        with QemuBoard(FailingSimulator()) as board:
            async with reached(board, f"?step={STEP}&watchdog=1&timeout=1") as substrate:
                await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))

    with pytest.raises((ArithmeticError, SubstrateError), match="boiled over"):
        await use()


async def test_a_uri_alone_gives_it_with_a_simulator_wired_by_name() -> None:
    network = "clln://?high%3D0.45"
    uri = f"emulated-board://?chip=mps2-an385&substrate={network}&step={STEP}&watchdog=30&outputs=v10,v00"
    wired = connect(f"{uri}&inputs=l00,u00,u01,learn")
    assert isinstance(wired, EmulatedBoardSubstrate)
    assert wired.board.wiring == ((2, 0, 1, 3), (10, 0))
    async with wired as substrate:
        assert len(substrate.info.outputs) == 8
        await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(3)))
    with pytest.raises(UnknownSubstrate, match="speed"):
        connect(uri + "&speed=2")
    with pytest.raises(UnknownSubstrate, match="the simulator's are u00, u01, l00, learn"):
        connect(uri + "&inputs=l99")
    with pytest.raises(UnknownSubstrate, match="of no substrate"):
        connect("emulated-board://?inputs=u00")
