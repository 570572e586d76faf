"""The compiled firmware in an emulated ATmega, reached over its line: contract, faults, and what goes to the pins."""

import asyncio
import dataclasses
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bad_line import BadLine, run_over_bad_line
from chip_tools import skip_without_tools
from leaky import LeakySimulator

from inmateria.adapters import connect
from inmateria.adapters.boards.emulator import EmulatedBoard, build_firmware
from inmateria.adapters.boards.substrate import BoardSubstrate, serial_from_uri
from inmateria.substrate import (
    SPIKE,
    Limits,
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)
from inmateria.testing import check_entered_substrate

skip_without_tools()

STEP = 0.002
TWO_LEVELS = 2 * 5 / 1024 + 1e-9  # the emulated converter takes whole mV and scales by 1023, a real one by 1024
QUICK = f"?step={STEP}&watchdog=30&timeout=60"  # no test waits so long: they end what hangs


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds; a hang is the test's timeout."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def reached(board: EmulatedBoard, query: str = QUICK) -> BoardSubstrate:
    return serial_from_uri(board.uri + query)


@pytest.mark.parametrize(("chip", "flash", "memory"), [("atmega328p", 12_288, 1024), ("atmega2560", 12_288, 4096)])
def test_the_firmware_is_as_small_as_it_has_to_be(chip: str, flash: int, memory: int) -> None:
    sizes = subprocess.run(
        ["avr-size", "-A", build_firmware(chip) / f"{chip}.elf"], capture_output=True, text=True, check=True
    ).stdout
    size = {fields[0]: int(fields[1]) for line in sizes.splitlines() if (fields := line.split()) and line[0] == "."}
    assert size[".text"] + size[".data"] <= flash
    assert size[".data"] + size[".bss"] + size[".noinit"] <= memory


async def test_the_contract_holds_on_the_emulated_chip() -> None:
    with EmulatedBoard() as board:
        async with reached(board) as substrate:
            await check_entered_substrate(substrate, window=8)


async def test_what_goes_to_the_pins_is_the_drive_and_what_comes_is_what_they_carry() -> None:
    """Wired back: PWM 0 and 1, both digital outputs and both potentiometers are read by A0 to A5."""
    with EmulatedBoard(log_steps=100) as board:
        async with reached(board) as substrate:
            info = substrate.info
            assert [channel.name for channel in info.inputs] == ["D3", "D5", "D4", "D8", "pot0", "pot1"]
            assert [channel.name for channel in info.outputs] == ["A0", "A1", "A2", "A3", "A4", "A5", "cmp"]
            assert board.levels() == [0, 0, 0, 0, 0, 0]  # at rest, potentiometers too, which power up half-way
            before = board.steps
            drive = [[1.0, 4.0, 1, 0, 10_000, 2_000], [5.0, 0.0, 0, 1, 0, 10_000], [2.4, 2.6, 1, 1, 5_000, 5_000]]
            response = await substrate.stimulate(info.stimulus(drive))
            applied, times = board.steps_applied(before)
        asked = np.array(drive) / [5, 5, 1, 1, 10_000, 10_000] * [255, 255, 1, 1, 127, 127]
        assert np.abs(applied[:3] - asked).max() <= 0.5
        assert np.abs(np.diff(times[:3]) - STEP).max() < 1e-3
        expected = 5.0 * applied[:3] / [255, 255, 1, 1, 127, 127]
        signal = response.signal[:, 0]
        assert np.abs(signal[:, :6] - np.minimum(expected, 4.9951171875)).max() <= TWO_LEVELS
        assert signal[:, 6].tolist() == [0.0, 1.0, 0.0]  # D3's voltage over 2.5 V
        assert board.levels() == [0, 0, 0, 0, 0, 0]  # left, so at rest


async def test_a_simulator_wired_to_the_chip_answers_as_it_does_alone_within_the_converters_steps() -> None:
    simulator = LeakySimulator()
    with EmulatedBoard(simulator, inputs=(0, 1, 2)) as board:
        async with reached(board) as substrate:
            drive = np.tile(substrate.info.rest_drive(), (10, 1))
            share = np.array([200 / 255, 30 / 255, 90 / 127])
            drive[:, [0, 1, 4]] = share * [5, 5, 10_000]
            for _ in range(20):  # until it has settled
                response = await substrate.stimulate(substrate.info.stimulus(drive))
        alone, info = LeakySimulator(), simulator.info
        asked = np.array([each.low + (each.high - each.low) * share[k] for k, each in enumerate(info.inputs)])
        for _ in range(40):
            settled = alone.advance(info.stimulus(np.tile(asked, (10, 1)))).signal[-1, -1]
        for pin, channel in enumerate(board.wiring.outputs):
            read = info.outputs[channel]
            level = response.signal[-1, -1, pin] / 5
            value = read.low + (read.high - read.low) * level
            assert value == pytest.approx(settled[channel], abs=2e-3 * (read.high - read.low) + 1e-3)


class FailingSimulator(LeakySimulator):
    """Well until `left` more advances are made, then `kind` of failure."""

    left, kind = 0, "error"

    def advance(self, stimulus: Stimulus) -> Response:
        self.left -= 1
        if self.left >= 0:
            return super().advance(stimulus)
        if self.kind == "error":
            raise ArithmeticError("the matter boiled over")
        response = super().advance(stimulus)
        assert response.signal is not None
        if self.kind == "nan":
            return dataclasses.replace(response, signal=response.signal * np.nan)
        return dataclasses.replace(response, signal=None, spikes=np.zeros(0, SPIKE))


async def test_a_simulator_that_fails_is_an_error_and_never_a_reading() -> None:
    """Zero is a reading as any other: what the board would have read does not leave it, and the error is told."""

    async def use(kind: str, message: str) -> None:
        simulator, read = FailingSimulator(), []
        simulator.kind, simulator.left = kind, 1_000_000

        async def fail() -> None:
            with EmulatedBoard(simulator) as board:
                async with reached(board, f"?step={STEP}&watchdog=30&timeout=4") as substrate:
                    stimulus = substrate.info.stimulus(substrate.info.rest_drive(5))
                    read.append(await substrate.stimulate(stimulus))
                    simulator.left = 2
                    with pytest.raises(SubstrateError):
                        read.append(await substrate.stimulate(stimulus))

        with pytest.raises((ArithmeticError, SubstrateError), match=message):
            await fail()
        assert len(read) == 1, kind

    failures = (("error", "boiled over"), ("nan", "no finite number"), ("none", "gave no signal"))
    await asyncio.gather(*(use(kind, message) for kind, message in failures))


class SparseSimulator(LeakySimulator):
    """Takes no step shorter than a second."""

    def __init__(self) -> None:
        super().__init__()
        self.info = msgspec.structs.replace(self.info, step=1.0, limits=Limits(shortest_step=1.0, longest_step=10.0))

    def advance(self, stimulus: Stimulus) -> Response:
        response = super().advance(stimulus)
        assert response.signal is not None
        return dataclasses.replace(response, signal=np.full_like(response.signal, 100.0))


async def test_nothing_is_read_before_the_simulators_first_answer() -> None:
    with EmulatedBoard(SparseSimulator()) as board:
        async with reached(board) as substrate:
            response = await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))
            assert response.signal is not None
            assert response.signal[0, 0, :4] == pytest.approx(4.9951171875)


async def test_a_simulator_without_a_signal_and_a_board_that_was_left_are_refused() -> None:
    spiking = LeakySimulator(spiking=True)
    spiking.info = msgspec.structs.replace(spiking.info, sampling_rate=None)
    with pytest.raises(ValueError, match="gives no signal"):
        EmulatedBoard(spiking)
    with EmulatedBoard() as board:
        pass
    for ask in (lambda: board.steps, lambda: board.seconds, board.levels, board.reset, board.hang):
        with pytest.raises(SubstrateError, match="not entered"):
            ask()


async def test_a_step_that_is_not_whole_ticks_and_one_too_short_are_refused_before_anything_is_sent() -> None:
    with EmulatedBoard() as board:
        async with reached(board) as substrate:
            before = board.steps
            with pytest.raises(StimulusRejected, match="whole ticks"):
                await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(), 1 / 3e3))
            with pytest.raises(StimulusRejected):
                await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(), 1e-4))
            assert board.steps == before


async def test_after_a_reset_in_the_middle_the_error_says_exactly_how_many_steps_were_applied() -> None:
    with EmulatedBoard(log_steps=10_000) as board:
        async with reached(board) as substrate:
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))
            before = board.steps
            drive = np.tile(substrate.info.rest_drive(), (3000, 1))
            drive[:, 0] = 5 * (1 + np.arange(3000) % 200) / 255
            exchange = asyncio.ensure_future(substrate.stimulate(substrate.info.stimulus(drive)))
            await until(lambda: board.steps >= before + 40)
            await asyncio.to_thread(board.reset)
            with pytest.raises(SubstrateDisconnected, match="it was reset") as failed:
                await exchange
            told = re.search(r"; (\d+)( to \d+)? of its 3000 steps were applied", str(failed.value))
            assert told
            exactly = int(told[1])
            applied = board.steps_applied(before)[0][:, 0]
            if told[2]:  # reset just while it set its outputs: that it cannot tell of this one step
                assert int(told[2].split()[1]) == exactly + 1
                exactly += bool(applied[exactly])
            assert applied[:exactly].tolist() == (1 + np.arange(exactly) % 200).tolist()
            assert not applied[exactly:].any()  # only rest, again and again
            after = await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))
            assert after.sequence == 2  # the exchange that failed counts: something of it was applied


async def test_a_line_that_is_pulled_out_and_plugged_in_again_goes_on_where_it_was() -> None:
    """The chip has its power all the time: nothing is lost and nothing applied twice."""
    with EmulatedBoard(log_steps=5000) as board:
        async with reached(board, f"?step={STEP}&watchdog=30&timeout=60") as substrate:
            before = board.steps
            drive = np.tile(substrate.info.rest_drive(), (400, 1))
            drive[:, 0] = 5 * (1 + np.arange(400) % 200) / 255
            exchange = asyncio.ensure_future(substrate.stimulate(substrate.info.stimulus(drive)))
            for at in (60, 200):
                await until(lambda at=at: board.steps >= before + at)
                await asyncio.to_thread(board.unplug)
                await asyncio.sleep(0.05)
                board.plug()
            response = await exchange
            applied = board.steps_applied(before)[0][:400, 0]
            assert applied.tolist() == (1 + np.arange(400) % 200).tolist()
            assert np.abs(response.signal[:, 0, 0] - drive[:, 0]).max() <= TWO_LEVELS


async def test_a_line_that_stays_away_is_an_error_and_the_board_goes_to_rest_by_itself() -> None:
    with EmulatedBoard() as board:
        async with reached(board, f"?step={STEP}&watchdog=3&timeout=4") as substrate:
            drive = substrate.info.rest_drive(2000)
            drive[:, 0] = 3.0
            exchange = asyncio.ensure_future(substrate.stimulate(substrate.info.stimulus(drive)))
            await until(lambda: board.levels()[0] != 0)
            await asyncio.to_thread(board.unplug)
            with pytest.raises(SubstrateDisconnected, match=r"is gone, and did not come back within 4 s"):
                await exchange
            await until(lambda: board.levels()[0] == 0)
            board.plug()
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive()))


async def test_a_second_program_on_the_port_is_refused_and_the_first_is_not_disturbed() -> None:
    with EmulatedBoard() as board:
        async with reached(board) as substrate:
            with pytest.raises(SubstrateBusy, match="used by another program"):
                async with reached(board):
                    pass
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(20)))


async def test_over_a_bad_line_every_step_is_applied_once_and_the_account_is_exact() -> None:
    """1 % of bytes damaged or lost, both ways, the line cut and the chip reset: the pins saw what the host says."""
    account = await run_over_bad_line(steps=400, seed=1, cuts=2, resets=2, unplugs=1)
    assert account.applied == account.expected
    assert (account.resets, account.cuts, account.unplugs) == (2, 2, 1)
    assert len(account.applied) > 200
    assert account.resent > 20


@pytest.mark.slow
async def test_two_thousand_steps_over_a_bad_line() -> None:
    """For a million: ``python benchmarks/boards.py --only-bad-line --bad-line 1000000 --boards 24``."""
    account = await run_over_bad_line(steps=2_000, seed=3, cuts=7, resets=7, unplugs=7)
    assert account.applied == account.expected
    assert (account.resets, account.cuts, account.unplugs) == (7, 7, 7)


async def test_a_device_that_is_not_there_or_does_not_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(SubstrateDisconnected, match="could not be opened"):
        async with serial_from_uri(f"serial://{tmp_path}/none"):
            pass
    with EmulatedBoard() as board:
        await asyncio.to_thread(board.unplug)
        with pytest.raises(SubstrateError):
            async with reached(board):
                pass
        board.plug()


async def test_the_same_over_tcp_keeps_the_contract() -> None:
    with EmulatedBoard() as board:
        async with (
            BadLine(str(board.path), 0.0, 0) as line,
            connect(f"tcp://127.0.0.1:{line.port}{QUICK}") as substrate,
        ):
            await check_entered_substrate(substrate, window=8)


async def test_a_uri_alone_gives_a_board_with_a_simulator() -> None:
    async with connect(f"emulated-board://?substrate=echo://?units%3D10&step={STEP}&watchdog=30") as substrate:
        assert substrate.info.identity == "user"
        await check_entered_substrate(substrate, window=8)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("serial://ttyACM0", "does not name the device"),
        ("serial:///dev/ttyACM0?baud=fast", "baud"),
        ("serial:///dev/ttyACM0?watchdog=100", "watchdog is 100.0 s"),
        ("serial:///dev/ttyACM0?line=x", "line"),
        ("tcp://host", "does not name a host and a port"),
        ("tcp://host:4000?baud=9600", "the bridge sets"),
        ("emulated-board://host", "names a host"),
        ("emulated-board://?chip=z80", "chip"),
        ("emulated-board://?substrate=intan://host", "intan"),
    ],
)
def test_uris_that_name_no_board_are_refused(uri: str, message: str) -> None:
    with pytest.raises(UnknownSubstrate, match=message):
        connect(uri)


async def test_a_board_with_an_id_is_known_by_it(tmp_path: Path) -> None:
    folder = build_firmware("atmega328p", ID="bench-7", BUILD=str(tmp_path))
    with EmulatedBoard(firmware=folder / "atmega328p.elf") as board:
        async with reached(board) as substrate:
            assert (substrate.info.id, substrate.info.identity) == ("bench-7", "serial")


async def test_channels_are_chosen_by_name_and_the_others_rest() -> None:
    with EmulatedBoard(log_steps=10) as board:
        async with reached(board, f"{QUICK}&drive=pot1,D3&read=A5,A0") as substrate:
            assert [channel.name for channel in substrate.info.inputs] == ["pot1", "D3"]
            before = board.steps
            response = await substrate.stimulate(substrate.info.stimulus([[10_000, 2.0]]))
            assert board.steps_applied(before)[0][0].tolist() == [102, 0, 0, 0, 0, 127]
            assert response.signal[0, 0] == pytest.approx([4.995, 2.0], abs=0.011)
        with pytest.raises(UnknownSubstrate, match="D99"):
            async with reached(board, f"{QUICK}&drive=D99"):
                pass


class CompilesFirst(LeakySimulator):
    """A simulator whose first answer in the process takes longer than the host waits, as if it were compiled."""

    compiled = False
    has_waited = False

    def advance(self, stimulus: Stimulus) -> Response:
        if not CompilesFirst.compiled:
            time.sleep(2.0)
            CompilesFirst.compiled = self.has_waited = True
        return super().advance(stimulus)


async def test_kernels_are_compiled_before_the_chip_runs_by_a_copy() -> None:
    simulator = CompilesFirst()
    with EmulatedBoard(simulator) as board:
        assert CompilesFirst.compiled
        assert not simulator.has_waited
        async with reached(board, f"?step={STEP}&watchdog=30&timeout=60") as substrate:
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(3)))
