"""A board without hardware: ``emulated-board://?substrate=nanowire://`` runs our firmware in an emulated chip.

For those who have no board yet, and for tests of what is meant for one: everything but the copper is as on a bench, the
converter's ten bits and the line included.
"""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from inmateria.adapters.boards.emulator import EmulatedBoard
from inmateria.adapters.boards.qemu_board import QemuBoard
from inmateria.adapters.boards.substrate import BoardSubstrate
from inmateria.adapters.uri import parameters_for, query_of, shown, simulator_from_uri
from inmateria.concurrency import wait_to_completion
from inmateria.substrate import Channel, Simulator, UnknownSubstrate

__all__ = ["EmulatedBoardSubstrate", "emulated_board_from_uri"]


class EmulatedBoardSubstrate(BoardSubstrate):
    """A board that is emulated in this process while it is entered, with a simulator wired to its pins.

    Parameters
    ----------
    substrate : str
        URI of a simulator, percent-encoded where it has a query of its own; without one the board's outputs are wired
        back to its inputs.
    chip : {"atmega328p", "mps2-an385"}
        Chip of an Arduino Uno or Nano; that of a Mega cannot be emulated. The other is a Cortex-M3 in QEMU, with the
        channels of a Due.
    speed : float
        Largest number of seconds of the chip's time per second; in QEMU it is 1.
    step : float
        Default duration of a step, s.
    watchdog : float
        Seconds of silence after which the board brings its outputs to rest.
    window : int
        Largest number of stimuli in flight in a stream.
    drive, read : str
        Names of the board's outputs that are driven, and of its inputs that are read; by default all.
    inputs, outputs : str
        Names of the simulator's channels that are wired to the board, with commas between them, in order of the pins
        (`Wiring`); by default from the first on.
    readout : str
        Path of NAME.c, a readout of features in 16 bits as `to_c` wrote it, that is built into the firmware for
        `classify`. Its features are the levels of all converter inputs after each sample.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    UnknownSubstrate
        If there is no such simulator.
    """

    def __init__(
        self,
        substrate: str = "",
        *,
        chip: Literal["atmega328p", "mps2-an385"] = "atmega328p",
        speed: float = 1.0,
        step: float = 1e-3,
        watchdog: float = 5.0,
        window: int = 8,
        drive: str = "",
        read: str = "",
        inputs: str = "",
        outputs: str = "",
        readout: str = "",
    ) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"speed is {speed}; give a number above 0")
        if chip == "mps2-an385" and speed != 1:
            raise ValueError(f"speed is {speed}; QEMU emulates a Cortex-M3 at the speed 1 only")
        simulator: Simulator | None = simulator_from_uri(substrate) if substrate else None
        named = f"emulated-{chip}" + ("" if simulator is None else f"-{simulator.info.id}")
        super().__init__(
            "emulated", step=step, watchdog=watchdog, window=window, timeout=10.0, drive=drive, read=read, id=named
        )
        if simulator is None and (inputs or outputs):
            raise ValueError(f"inputs are {inputs!r} and outputs {outputs!r} of no substrate; give one, too")
        wired_inputs = _indices("inputs", inputs, () if simulator is None else simulator.info.inputs)
        wired_outputs = _indices("outputs", outputs, () if simulator is None else simulator.info.outputs)
        if readout and not Path(readout).with_suffix(".h").is_file():
            raise ValueError(f"readout is {readout!r}; give the NAME.c that to_c wrote, with NAME.h beside it")
        self._board: EmulatedBoard | QemuBoard
        if chip == "mps2-an385":
            self._board = QemuBoard(simulator, inputs=wired_inputs, outputs=wired_outputs, readout=readout)
        else:
            self._board = EmulatedBoard(
                simulator, chip=chip, speed=speed, inputs=wired_inputs, outputs=wired_outputs, readout=readout
            )

    @property
    def board(self) -> EmulatedBoard | QemuBoard:
        """The emulated board, for its pins and its faults."""
        return self._board

    async def __aenter__(self) -> Self:
        await wait_to_completion(asyncio.ensure_future(asyncio.to_thread(self._board.__enter__)))
        try:
            self.set_line(str(self._board.path))
            return await super().__aenter__()
        except BaseException:
            await wait_to_completion(asyncio.ensure_future(asyncio.to_thread(self._board.__exit__, None, None, None)))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            await wait_to_completion(asyncio.ensure_future(asyncio.to_thread(self._board.__exit__, kind, error, trace)))


def _indices(parameter: str, names: str, channels: tuple[Channel, ...]) -> tuple[int, ...] | None:
    """Return the indices of the named channels of a simulator; None without names."""
    if not names:
        return None
    there, wanted = [channel.name for channel in channels], [name.strip() for name in names.split(",")]
    if not set(wanted) <= set(there):
        raise ValueError(f"{parameter} are {names!r}; the simulator's are {', '.join(there)}")
    return tuple(there.index(name) for name in wanted)


def emulated_board_from_uri(uri: str) -> EmulatedBoardSubstrate:
    """Read ``emulated-board://?substrate=nanowire://&chip=atmega328p``; the query takes the class's parameters."""
    parts = urlsplit(uri)
    if parts.netloc or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{shown(uri)!r} names a host or a path",
            "an emulated board has only parameters",
            "write emulated-board://?substrate=nanowire://",
        )
    given: dict[str, Any] = parameters_for(EmulatedBoardSubstrate, query_of(uri), "emulated-board")
    try:
        return EmulatedBoardSubstrate(**given)
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} cannot be opened: {error}") from None
