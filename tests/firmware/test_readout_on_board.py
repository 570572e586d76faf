"""A readout in the firmware: the board gathers a sample's readings, and names its class as Python does."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from native_board import NativeBoard
from sklearn.datasets import load_digits

from inmateria.adapters import connect
from inmateria.adapters.boards.emulated import EmulatedBoardSubstrate
from inmateria.adapters.boards.emulator import build_firmware
from inmateria.adapters.boards.protocol import (
    BoardDescription,
    End,
    Frame,
    FrameParser,
    FrameType,
    ReadoutDescription,
    SampleClass,
    Status,
    encode_class,
    encode_close,
    encode_describe,
    encode_open,
    encode_steps,
)
from inmateria.reservoir import TernaryClassifierReadout
from inmateria.reservoir.readouts.integer import IntegerReadout, integer_readout
from inmateria.substrate import FrameError, StimulusRejected, SubstrateError, UnknownSubstrate

if not shutil.which("make") or not shutil.which("cc"):
    pytest.skip("make and a C compiler are not installed", allow_module_level=True)

PERIOD, FEATURES = 500, 6
NONE, GATHERING, WHOLE, KNOWN = range(4)


@pytest.fixture(scope="module")
def integers(tmp_path_factory: pytest.TempPathFactory) -> IntegerReadout:
    generator = np.random.default_rng(5)
    X = generator.integers(0, 1024, (200, FEATURES)).astype(float)
    readout = TernaryClassifierReadout(2).fit(X, ((X - 512) @ generator.normal(size=(FEATURES, 3))).argmax(axis=1))
    readout.to_c(tmp_path_factory.getbasetemp() / "shapes.c", X, bits=11)
    return integer_readout(readout, X, bits=11)


@pytest.fixture(scope="module")
def shared(integers: IntegerReadout, tmp_path_factory: pytest.TempPathFactory) -> NativeBoard:
    base = tmp_path_factory.getbasetemp()
    return NativeBoard(build_firmware("native", BUILD=str(base / "build"), READOUT=str(base / "shapes.c")))


@pytest.fixture
def board(shared: NativeBoard) -> NativeBoard:
    shared.power_up()
    shared.applied()
    ask(shared, encode_open(7, 0, 1000))
    return shared


def ask(board: NativeBoard, *frames: bytes, ticks: int = 0) -> list[Frame]:
    for frame in frames:
        board.feed(frame)
        board.run(0)
    board.run(ticks)
    return list(FrameParser().feed(board.take()))


def drive(levels: list[int]) -> bytes:
    """Steps whose readings are these levels: the board without hardware reads its first output and two bits more."""
    return b"".join(struct.pack("<BBH", level & 255, 0, level & 0x300) for level in levels)


def sample(seed: int) -> list[int]:
    """Levels that its first output may have: 10 to 250 of each 256."""
    generator = np.random.default_rng(seed)
    return (256 * generator.integers(0, 4, FEATURES) + generator.integers(10, 251, FEATURES)).tolist()


def state(board: NativeBoard) -> SampleClass:
    (answer,) = ask(board, encode_class(7, 900))
    assert (answer.type, answer.number) == (FrameType.CLASS | FrameType.ANSWER, 900)
    return SampleClass.decode(answer.payload)


def begin(board: NativeBoard, number: int, levels: list[int]) -> None:
    """Apply a sample in two commands."""
    for part, k in ((levels[:4], 0), (levels[4:], 1)):
        ask(board, encode_steps(7, number + k, number, k == 0, PERIOD, drive(part), k == 0), ticks=4 * PERIOD + 100)


def test_a_board_with_a_readout_says_what_it_reads(board: NativeBoard) -> None:
    (answer,) = ask(board, encode_describe(1, 255))
    readout = BoardDescription.decode(answer.payload).readout
    assert readout == ReadoutDescription(inputs=1, features=FEATURES)
    assert readout.steps == FEATURES
    with pytest.raises(FrameError):
        BoardDescription.decode(answer.payload[:-1])


def test_the_class_of_every_sample_is_pythons(board: NativeBoard, integers: IntegerReadout) -> None:
    found, expected = [], []
    for k in range(40):
        begin(board, 2 * k, sample(k))
        known = state(board)
        assert (known.state, known.number) == (KNOWN, 2 * k)
        found.append(known.chosen)
        expected.append(int(integers.indices([sample(k)])[0]))
    assert found == expected
    assert set(found) == {0, 1, 2}


def test_steps_that_belong_to_no_sample_change_nothing(board: NativeBoard) -> None:
    assert state(board).state == NONE
    ask(board, encode_steps(7, 0, 0, True, PERIOD, drive([20] * 4)), ticks=3000)
    assert state(board).state == NONE
    begin(board, 1, sample(1))
    known = state(board)
    ask(board, encode_steps(7, 3, 3, True, PERIOD, drive([20] * 4)), ticks=3000)
    assert state(board) == known


def test_a_sample_that_begins_again_is_read_from_its_beginning(board: NativeBoard, integers: IntegerReadout) -> None:
    ask(board, encode_steps(7, 0, 0, True, PERIOD, drive(sample(2)[:3]), True), ticks=3000)
    assert state(board)[:2] == (GATHERING, 0)
    begin(board, 1, sample(3))
    assert state(board) == (KNOWN, 1, int(integers.indices([sample(3)])[0]))


def test_no_sample_outlives_its_session(board: NativeBoard) -> None:
    begin(board, 0, sample(4))
    ask(board, encode_close(7, 5), encode_open(7, 6, 1000))
    assert state(board).state == NONE


def test_a_sample_beyond_the_limits_ends_the_session_and_is_not_named(board: NativeBoard) -> None:
    levels = drive(sample(1)[:3]) + drive([5])  # its first output has 10 to 250
    (answer,) = ask(board, encode_steps(7, 0, 0, True, PERIOD, levels, True))
    assert Status.decode(answer.payload).end == End.REFUSED
    (answer,) = ask(board, encode_class(7, 900))
    assert answer.type == FrameType.NO_SESSION
    assert {levels for _, levels in board.applied()} == {bytes((128, 0, 0, 8))}  # rest


def test_a_board_without_a_readout_refuses_a_sample() -> None:
    plain = NativeBoard()
    ask(plain, encode_open(7, 0, 1000))
    assert ask(plain, encode_class(7, 1)) == []
    (answer,) = ask(plain, encode_describe(2, 255))
    assert BoardDescription.decode(answer.payload).readout is None
    (answer,) = ask(plain, encode_steps(7, 0, 0, True, PERIOD, drive([20]), True))
    assert Status.decode(answer.payload).end == End.REFUSED


def test_a_readout_of_other_features_does_not_compile(integers: IntegerReadout, tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 100, (40, 4)).astype(float)
    TernaryClassifierReadout().fit(X, X[:, 0] > 50).to_c(tmp_path / "small.c", X, bits=8)
    with pytest.raises(SubstrateError, match="small_class"):  # its features have 8 bits
        build_firmware("native", BUILD=str(tmp_path / "build"), READOUT=str(tmp_path / "small.c"))


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no_such"):
        EmulatedBoardSubstrate("nanowire://", readout="no_such.c")
    with pytest.raises(UnknownSubstrate, match="no_such"):
        connect("emulated-board://?substrate=nanowire://&readout=no_such.c")


ON_CHIP = ("make", "cc", "avr-gcc", "avr-size")


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ON_CHIP) or not Path("/usr/include/simavr/sim_avr.h").exists(),
    reason="needs avr-gcc and libsimavr",
)
async def test_digits_through_the_network_are_named_by_the_chip_alone(tmp_path: Path) -> None:
    """A nanowire network behind an emulated ATmega328P: its readings are the features, its answers Python's."""
    images, labels = load_digits(return_X_y=True)

    def reached(readout: str = "") -> EmulatedBoardSubstrate:
        matter = "nanowire://?voltage_limit=0.2"
        return EmulatedBoardSubstrate(matter, step=1e-3, watchdog=30.0, drive="D3,D5,pot0,pot1", readout=readout)

    def rows(substrate: EmulatedBoardSubstrate, image: np.ndarray) -> np.ndarray:
        low, high = (np.array([getattr(each, end) for each in substrate.info.inputs]) for end in ("low", "high"))
        given: np.ndarray = low + (high - low) * image.reshape(16, 4) / 16
        return given

    def levels(signal: np.ndarray | None) -> np.ndarray:
        assert signal is not None
        return np.round(signal[:, :, :6] / (5 / 1024)).reshape(-1)

    some = np.flatnonzero(labels < 4)[:80]
    async with reached() as substrate:
        plain = substrate.info.stimulus(rows(substrate, images[0]), step=2e-3)
        with pytest.raises(SubstrateError, match="no readout"):
            await substrate.classify(plain)
        X = []
        for k in some:
            drive_ = rows(substrate, images[k])
            X.append(levels((await substrate.stimulate(substrate.info.stimulus(drive_, step=2e-3))).signal))
    read, y = np.array(X), labels[some]
    readout = TernaryClassifierReadout(2, method="obq", alpha=0.1).fit(read[:60], y[:60])
    readout.to_c(tmp_path / "digits.c", read, bits=11)
    integers = integer_readout(readout, read, bits=11)
    found, held = [], []
    async with reached(str(tmp_path / "digits.c")) as substrate:
        assert substrate.info.parameters["readout"] == {"inputs": 6, "features": 192}
        with pytest.raises(StimulusRejected, match="32 samples"):
            await substrate.classify(substrate.info.stimulus(rows(substrate, images[0])))
        for k in some[60:]:
            index, response = await substrate.classify(substrate.info.stimulus(rows(substrate, images[k]), step=2e-3))
            found.append(index)
            held.append(levels(response.signal))
    assert found == integers.indices(held).tolist()
    assert np.mean(readout.classes_[found] == y[60:]) > 0.7  # chance is .25
