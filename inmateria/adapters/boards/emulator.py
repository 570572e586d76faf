"""A soft twin of a board: the compiled firmware in an emulated ATmega, its pins wired to a simulator.

The chip is emulated instruction by instruction by libsimavr, its serial line is a pseudo-terminal. What is emulated is
the chip, so that the firmware that runs is the one that is uploaded to a board. It needs a checkout of inmateria
(``firmware/``), a C compiler, avr-gcc, and libsimavr: on Debian
``apt install gcc gcc-avr avr-libc libsimavr-dev libelf-dev``.
"""

import ctypes
import fcntl
import hashlib
import os
import subprocess
import tempfile
import threading
import tty
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.boards.wired import Pins, WiredSimulator, wired
from inmateria.substrate import FloatArray, Simulator, SubstrateError

__all__ = ["EmulatedBoard", "build_firmware", "built_elf"]

_FIRMWARE = Path(__file__).parents[3] / "firmware"
_AVR_PACKAGES = "make gcc gcc-avr avr-libc libsimavr-dev libelf-dev"
_ARM_PACKAGES = "make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
_ARM = ("sam3x8e", "mps2-an385")
_SUPPLY = 5.0
_OUTPUTS = 6
_PINS = {"atmega328p": Pins(full=(255, 255, 1, 1, 127, 127), order=(0, 1, 4, 5, 2, 3), converters=6)}
_PHYSICS = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_double)
)


def build_firmware(target: str, **variables: str) -> Path:
    """Build a target of the firmware's Makefile, and return the folder with what was built.

    Raises
    ------
    SubstrateError
        If there is no ``firmware/`` beside the package, or it cannot be built.
    """
    if not (_FIRMWARE / "Makefile").exists():
        raise SubstrateError(
            "an emulated board needs the firmware's sources",
            "they are in a checkout of inmateria, not in its wheel",
            "clone the repository, and `pip install -e .` in it",
        )
    folder = Path(variables.get("BUILD", _FIRMWARE / "build"))
    folder.mkdir(parents=True, exist_ok=True)
    settings = [f"{name}={value}" for name, value in variables.items()]
    try:
        with (folder / "lock").open("w") as lock:  # another process may build the same, and load it half-written
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = subprocess.run(
                ["make", "-s", "-C", str(_FIRMWARE), target, *settings], capture_output=True, text=True, check=False
            )
    except OSError as error:
        raise SubstrateError(f"the firmware cannot be built ({error})", "", "install make") from None
    if done.returncode:
        raise SubstrateError(
            f"the firmware cannot be built: {done.stderr.strip()[-500:]}",
            "it needs a compiler for the chip and its C library; the emulation of an AVR also libsimavr and libelf",
            f"on Debian: apt install {_ARM_PACKAGES if target in _ARM else _AVR_PACKAGES}",
        )
    return folder


def built_elf(chip: str, readout: str | PathLike[str] = "") -> Path:
    """Build the firmware of a chip, with a readout on the board if one is given, and return its ELF file."""
    if not readout:
        return build_firmware(chip) / f"{chip}.elf"
    source = Path(readout).resolve()
    written = source.read_bytes() + source.with_suffix(".h").read_bytes()
    folder = _FIRMWARE / "build" / f"readout-{hashlib.sha256(str(source).encode() + written).hexdigest()[:12]}"
    return build_firmware(chip, BUILD=str(folder), READOUT=str(source)) / f"{chip}.elf"


class EmulatedBoard:
    """An ATmega that runs the firmware, with a simulator wired to its pins; enter it, and connect to its `uri`.

    Without a simulator, each of the first ADC inputs is wired to one output: the voltage of PWM 0 to A0 and so on,
    and PWM 0 to the comparator, whose other pin is at 2.5 V. PWM pins count as filtered, so that their voltage is
    the duty cycle times 5 V. The simulator's time goes on with the chip's, apart from pauses of more than 0.1 s.

    Parameters
    ----------
    simulator : Simulator, optional
        What is wired to the board; it must not be used elsewhere meanwhile.
    chip : {"atmega328p"}
        A Mega cannot be emulated: libsimavr has room for the voltages of eight converter inputs.
    speed : float
        Largest number of seconds of the chip's time per second; 0 is as fast as this machine can. If the machine is too
        slow, the chip's clock is slow.
    inputs, outputs : sequence of int, optional
        Channels of the simulator that are wired, in order of the chip's pins; by default as many as there are pins,
        from the first on. ``wiring`` has them.
    firmware : path, optional
        ELF file to run in place of the firmware as built here.
    readout : path, optional
        NAME.c of a readout in 16 bits, as `to_c` wrote it, that is built into the firmware.
    log_steps : int
        Number of steps whose outputs are kept for `steps_applied`.

    Attributes
    ----------
    wiring : Wiring
    uri : str
        For `connect`.

    Raises
    ------
    ValueError
        If the wiring names channels that there are not, or the simulator gives no signal to be read.
    SubstrateError
        On entering, if the firmware or the emulation cannot be built or started.

    If the simulator fails, or gives a voltage that is no number, the chip stops before it reads anything: its host
    hears nothing more, and the error comes on leaving.
    """

    def __init__(
        self,
        simulator: Simulator | None = None,
        *,
        chip: str = "atmega328p",
        speed: float = 1.0,
        inputs: tuple[int, ...] | None = None,
        outputs: tuple[int, ...] | None = None,
        firmware: Path | None = None,
        readout: str | PathLike[str] = "",
        log_steps: int = 0,
    ) -> None:
        if chip not in _PINS:
            raise ValueError(f"chip is {chip!r}; allowed are {', '.join(_PINS)}")
        self._simulator, self._chip_name, self._speed = simulator, chip, speed
        self._firmware, self._readout, self._log_steps = firmware, readout, log_steps
        self.wiring = wired(simulator, inputs, outputs, _PINS[chip])
        self._library: Any = None
        self._chip: int | None = None
        self._master = -1

    def __enter__(self) -> Self:
        folder = build_firmware("emulation")
        elf = self._firmware or built_elf(self._chip_name, self._readout)
        self._library = _loaded(folder / "emulated_chip.so")
        self._failed: BaseException | None = None
        # Kept, since the library holds only its address; without a simulator it wires the pins itself.
        self._physics = _PHYSICS() if self._simulator is None else _PHYSICS(self._called)
        pins = _PINS[self._chip_name]
        self._matter = None if self._simulator is None else WiredSimulator(self._simulator, pins, self.wiring)
        self._chip = self._library.chip_new(
            str(elf).encode(), self._chip_name.encode(), self._speed, self._log_steps, self._physics
        )
        if not self._chip:
            raise SubstrateError(f"{elf} cannot be run", f"firmware for an {self._chip_name}", "build it again")
        self._folder = tempfile.TemporaryDirectory(prefix="inmateria-board-")
        self.plug()
        self._thread = threading.Thread(target=self._run, name="emulated board")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.chip_stop(self._chip)
        self._thread.join()
        self.unplug()
        self._library.chip_free(self._chip)
        self._chip = None
        self._folder.cleanup()
        if self._failed is not None and (kind is None or issubclass(kind, Exception)):
            raise self._failed  # the reason of what its host met

    @property
    def path(self) -> Path:
        """Device of the serial line; a link to the pseudo-terminal."""
        return Path(self._folder.name) / "board"

    @property
    def uri(self) -> str:
        """URI of the board, for `connect`."""
        return f"serial://{self.path}"

    @property
    def _entered(self) -> int:
        """Address of the chip; a call without one would end the process."""
        if self._chip is None:
            raise SubstrateError(
                "the emulated board is not entered", "there is a chip only while it is", "use it inside its `with`"
            )
        return self._chip

    @property
    def steps(self) -> int:
        """Number of times that outputs were set since power came, as the step pin tells; rest counts too."""
        return int(self._library.chip_applied(self._entered))

    @property
    def seconds(self) -> float:
        """The chip's time since power came, s."""
        return float(self._library.chip_seconds(self._entered))

    def steps_applied(self, first: int = 0) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        """Return the levels of all outputs after each change of the step pin, and when it was, s; rest counts too."""
        count = max(0, min(self.steps, self._log_steps) - first)
        levels, times = np.zeros((count, _OUTPUTS), np.uint8), np.zeros(count)
        self._library.chip_log(self._entered, first, count, levels.ctypes.data, times.ctypes.data)
        return levels, times

    def levels(self) -> list[int]:
        """Return the present level of each output."""
        levels = np.zeros(_OUTPUTS, np.uint8)
        self._library.chip_levels(self._entered, levels.ctypes.data)
        return [int(each) for each in levels]

    def reset(self) -> None:
        """Press the reset button, and wait until it is let go."""
        self._library.chip_reset(self._entered)
        while self._library.chip_reset_pending(self._chip) and self._thread.is_alive():
            self._thread.join(1e-4)

    @property
    def resets(self) -> int:
        """Number of resets since power came, by the button or by the chip's own watchdog."""
        return int(self._library.chip_resets(self._entered))

    def hold_low(self, register: int, bits: int) -> None:
        """Break the chip: these bits of the register at that address stay 0 until the next reset."""
        self._library.chip_hold_low(self._entered, register, bits)

    def hang(self) -> None:
        """Break the chip: its main loop hangs until the next reset; interrupts are served."""
        self._library.chip_hang(self._entered)

    def unplug(self) -> None:
        """Pull out the serial line; the chip goes on."""
        if self._master >= 0:
            self._library.chip_plug(self._chip, -1)
            self._pause()
            os.close(self._master)
            self._master = -1
            self.path.unlink()

    def plug(self) -> None:
        """Plug in the serial line, under the same path."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(master, False)
        self._master = master
        self._library.chip_plug(self._chip, master)

    def _pause(self) -> None:
        """Wait until the thread has seen what was set."""
        thread, before = getattr(self, "_thread", None), self.seconds
        while thread is not None and thread.is_alive() and self.seconds < before + 1e-4:
            thread.join(1e-4)

    def _run(self) -> None:
        ended = self._library.chip_run(self._chip)
        if ended and self._failed is None:
            self._failed = SubstrateError(
                "the firmware crashed in the emulated chip"
                if ended == 1
                else "a voltage at the chip is no finite number"
            )

    def _called(self, seconds: float, levels: Any, volts: Any) -> int:
        """Let the matter's time go on to now, then take the new levels; `volts` is null if nothing is read.

        Returns 1 if it has; without it the chip is stopped.
        """
        try:
            assert self._matter is not None
            self._matter.advance(seconds)
            self._matter.apply(np.array(levels[:_OUTPUTS], np.float64))
            if volts:  # nothing is wired to the comparator
                for k, share in enumerate([*self._matter.shares().tolist(), 0.0, 0.0]):
                    volts[k] = _SUPPLY * share
        except BaseException as error:  # it cannot travel through C
            self._failed = error
            return 0
        return 1


def _loaded(path: Path) -> Any:
    """Load the emulation, and declare its functions."""
    library = ctypes.CDLL(str(path))
    pointer, number = ctypes.c_void_p, ctypes.c_uint64
    declared: dict[str, tuple[Any, list[Any]]] = {
        "chip_new": (pointer, [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_double, number, _PHYSICS]),
        "chip_free": (None, [pointer]),
        "chip_run": (ctypes.c_int, [pointer]),
        "chip_stop": (None, [pointer]),
        "chip_plug": (None, [pointer, ctypes.c_int]),
        "chip_reset": (None, [pointer]),
        "chip_reset_pending": (ctypes.c_int, [pointer]),
        "chip_seconds": (ctypes.c_double, [pointer]),
        "chip_applied": (number, [pointer]),
        "chip_resets": (number, [pointer]),
        "chip_hold_low": (None, [pointer, ctypes.c_uint32, ctypes.c_uint32]),
        "chip_hang": (None, [pointer]),
        "chip_levels": (None, [pointer, pointer]),
        "chip_log": (number, [pointer, number, number, pointer, pointer]),
    }
    for name, (result, arguments) in declared.items():
        function: Callable[..., Any] = getattr(library, name)
        function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]
    return library
