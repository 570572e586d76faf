"""A soft twin of a board with a Cortex-M3: the compiled firmware in QEMU's mps2-an385 machine, wired to a simulator.

QEMU has no machine with the Due's chip, and this one has no analog side: what the firmware applies and reads goes to
this process by semihosting, while the chip's time stands still. Line, clock, interrupts and all of the core are the
chip's. It needs a checkout of inmateria (``firmware/``): on Debian
``apt install make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm``.
"""

import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.boards.emulator import built_elf
from inmateria.adapters.boards.wired import Pins, WiredSimulator, wired
from inmateria.substrate import FloatArray, Simulator, SubstrateError

__all__ = ["QemuBoard"]

_MACHINE = "mps2-an385"
_PINS = Pins(full=(4095, 4095, 255, 255, 1, 1, 127, 127), order=(0, 1, 2, 3, 6, 7, 4, 5), converters=8)
_FULL = np.array(_PINS.full)
_HIGHEST = 4095
_MESSAGE = struct.Struct("<BI2H6B")
"""What the firmware did, when (ticks), and the levels of its outputs."""
_APPLIED, _SAMPLES = 0, 1
_TICKS_PER_SECOND, _TICKS = 25e6, 1 << 32
_START = 20.0
"""Longest time that QEMU takes to start, s."""


class QemuBoard:
    """A Cortex-M3 that runs the firmware, with a simulator wired to its pins; enter it, and connect to its `uri`.

    Its channels are those of an Arduino Due. Without a simulator each converter input is wired to one output, whose
    share of its range it reads. It runs in real time while the machine can; a line that QEMU emulates passes some tens
    of kB a second.

    Parameters
    ----------
    simulator : Simulator, optional
        What is wired to the board; it must not be used elsewhere meanwhile.
    inputs, outputs : sequence of int, optional
        Channels of the simulator that are wired, in order of the chip's pins; by default as many as there are pins,
        from the first on. ``wiring`` has them.

    Attributes
    ----------
    wiring : Wiring

    Raises
    ------
    ValueError
        If the wiring names channels that there are not, or the simulator gives no signal to be read.
    SubstrateError
        On entering, if the firmware cannot be built or QEMU cannot be started.

    If the simulator fails, the machine is stopped before it reads anything: its host hears nothing more, and the error
    comes on leaving.
    """

    def __init__(
        self,
        simulator: Simulator | None = None,
        *,
        inputs: tuple[int, ...] | None = None,
        outputs: tuple[int, ...] | None = None,
        readout: str | os.PathLike[str] = "",
    ) -> None:
        self.wiring = wired(simulator, inputs, outputs, _PINS)
        self._simulator, self._readout = simulator, readout

    def __enter__(self) -> Self:
        elf = built_elf(_MACHINE, self._readout)
        self._matter = None if self._simulator is None else WiredSimulator(self._simulator, _PINS, self.wiring)
        self._failed: BaseException | None = None
        self._levels = np.zeros(len(_FULL), np.int64)
        self._ticks = 0
        self._applied: list[npt.NDArray[np.int64]] = []
        self._times: list[float] = []
        self._pins = threading.Lock()
        self._ending = False
        self._master = -1
        self._folder = tempfile.TemporaryDirectory(prefix="inmateria-board-")
        folder = Path(self._folder.name)
        for name in ("to_physics", "from_physics"):
            os.mkfifo(folder / name)
        # Both ways open here, so that neither QEMU nor this waits for the other when it opens its end.
        self._from_chip = os.open(folder / "to_physics", os.O_RDWR)
        self._to_chip = os.open(folder / "from_physics", os.O_RDWR)
        try:
            with ExitStack() as opened, _listening(folder / "line") as line, _listening(folder / "control") as control:
                self._qemu = _started(elf, folder)
                self._line = opened.enter_context(self._accepted(line))
                self._control = self._accepted(control)
                opened.pop_all()
        except BaseException:
            self._close_files()
            raise
        self._replies = self._control.makefile("r", encoding="utf-8")
        self._replies.readline()  # its greeting
        self._command("qmp_capabilities")
        self.plug()
        self._threads = [
            threading.Thread(target=target, name="emulated board") for target in (self._serve_pins, self._serve_line)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._qemu.kill()
        self._qemu.wait()
        for thread in self._threads:
            thread.join()
        self.unplug()
        self._replies.close()
        self._control.close()
        self._line.close()
        self._close_files()
        if self._failed is not None and (kind is None or issubclass(kind, Exception)):
            raise self._failed  # the reason of what its host met

    def _close_files(self) -> None:
        os.close(self._from_chip)
        os.close(self._to_chip)
        self._folder.cleanup()

    def _accepted(self, server: socket.socket) -> socket.socket:
        """Wait until QEMU has connected."""
        end = time.monotonic() + _START
        while time.monotonic() < end and self._qemu.poll() is None:
            with suppress(TimeoutError):
                return server.accept()[0]
        self._qemu.kill()
        self._qemu.wait()
        told = (Path(self._folder.name) / "told").read_text(errors="replace").strip()[-300:]
        raise SubstrateError(f"QEMU did not start: {told or f'nothing within {_START:g} s'}", f"machine {_MACHINE}")

    def _command(self, name: str) -> None:
        self._control.sendall(json.dumps({"execute": name}).encode() + b"\n")
        while line := self._replies.readline():
            if "return" in json.loads(line):
                return

    @property
    def path(self) -> Path:
        """Device of the serial line; a link to a pseudo-terminal."""
        return Path(self._folder.name) / "board"

    @property
    def uri(self) -> str:
        """URI of the board, for `connect`."""
        return f"serial://{self.path}"

    @property
    def steps(self) -> int:
        """Number of times that outputs were set since it was entered; rest counts too."""
        return len(self._applied)

    @property
    def seconds(self) -> float:
        """The chip's time when it last did something at its pins, s."""
        return self._ticks / _TICKS_PER_SECOND

    def steps_applied(self, first: int = 0) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return the levels of all outputs after each time that they were set, and when it was, s."""
        count = self.steps
        levels = np.array(self._applied[first:count], np.int64).reshape(-1, len(_FULL))
        return levels, np.array(self._times[first:count])

    def levels(self) -> list[int]:
        """Return the present level of each output."""
        return [int(each) for each in self._levels]

    def reset(self) -> None:
        """Press the reset button."""
        self._command("system_reset")

    def unplug(self) -> None:
        """Pull out the serial line; the chip goes on."""
        if self._master >= 0:
            master, self._master = self._master, -1
            self.path.unlink()
            os.close(master)

    def plug(self) -> None:
        """Plug in the serial line, under the same path."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(master, False)
        self._master = master

    def _serve_line(self) -> None:
        """Move bytes between QEMU and the pseudo-terminal; what comes while nothing is plugged in is lost."""
        self._line.setblocking(False)
        waiting = b""  # for the chip, which takes bytes at its own pace
        while not self._ending:
            master = self._master
            reading: list[Any] = [self._line, *([master] if master >= 0 and not waiting else [])]
            try:
                readable, _, _ = select.select(reading, [self._line] if waiting else [], [], 0.02)
                if self._line in readable:
                    data = self._line.recv(4096)
                    if not data:
                        return
                    self._serve_told_pins()  # what it did before it sent this is known before this is heard
                    if master >= 0:
                        os.write(master, data)
                if master in readable:
                    waiting = os.read(master, 4096)
                if waiting:
                    waiting = waiting[self._line.send(waiting) :]
            except ConnectionError:
                return
            except OSError:  # unplugged, or the program at its other end has closed it or does not read
                time.sleep(0.002)

    def _serve_pins(self) -> None:
        """Answer what the firmware does at its pins, until the end."""
        while not self._ending:
            select.select([self._from_chip], [], [], 0.02)
            self._serve_told_pins()

    def _serve_told_pins(self) -> None:
        """Answer all that the firmware has told of its pins so far."""
        with self._pins:
            while self._failed is None and select.select([self._from_chip], [], [], 0)[0]:
                message = b""
                while len(message) < _MESSAGE.size:
                    message += os.read(self._from_chip, _MESSAGE.size - len(message))
                try:
                    self._serve(*_MESSAGE.unpack(message))
                except BaseException as error:  # told on leaving
                    self._failed = error
                    self._ending = True
                    self._qemu.kill()

    def _serve(self, what: int, ticks: int, *levels: int) -> None:
        self._ticks += (ticks - self._ticks) % _TICKS
        if self._matter is not None:
            self._matter.advance(self.seconds)
        if what == _APPLIED:
            self._levels = np.array(levels)
            self._times.append(self.seconds)
            self._applied.append(self._levels)
            if self._matter is not None:
                self._matter.apply(self._levels.astype(np.float64))
            return
        shares = self._levels / _FULL if self._matter is None else self._matter.shares()
        if not np.isfinite(shares).all():
            raise SubstrateError("a voltage at the chip is no finite number")
        # A pin's diodes hold it between the supplies.
        read = np.clip(np.rint(_HIGHEST * shares), 0, _HIGHEST).astype("<u2")
        os.write(self._to_chip, read.tobytes())


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        server.settimeout(0.1)
        yield server


def _started(elf: Path, folder: Path) -> "subprocess.Popen[bytes]":
    command = ["qemu-system-arm", "-M", _MACHINE, "-kernel", str(elf), "-display", "none", "-monitor", "none"]
    command += ["-chardev", "socket,id=line,path=line", "-serial", "chardev:line", "-qmp", "unix:control"]
    # Time is counted in instructions, of 16 ns each, so that it stands still while the pins are served.
    command += ["-icount", "shift=4,sleep=on", "-semihosting-config", "enable=on,target=native"]
    try:
        with (folder / "told").open("w") as told:
            return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
    except OSError as error:
        raise SubstrateError(
            f"QEMU cannot be started ({error})", "", "on Debian: apt install qemu-system-arm"
        ) from None
