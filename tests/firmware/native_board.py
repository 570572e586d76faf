"""The firmware's core, compiled for this machine and called through ctypes: line, clock and outputs are memory."""

import ctypes
from pathlib import Path

import numpy as np

from inmateria.adapters.boards.emulator import build_firmware

SLOTS, SLOT_BYTES, STEP_BYTES, READING_BYTES = 4, 16, 4, 3
LOWEST, HIGHEST = (10, 0, 0), (250, 1, 4095)
REST = bytes((128, 0, 2048 & 255, 2048 >> 8))
MOST = 65536


class NativeBoard:
    """One board; there is only one in a process, and one of each folder that it was built in."""

    def __init__(self, folder: Path | None = None) -> None:
        self._lib = ctypes.CDLL(str((folder or build_firmware("native")) / "native.so"))
        self._buffer = ctypes.create_string_buffer(MOST)
        self.power_up()

    def power_up(self, ticks: int = 0, keep_memory: bool = False) -> None:
        self._lib.native_power_up(ctypes.c_uint32(ticks), ctypes.c_bool(keep_memory))

    def feed(self, data: bytes) -> None:
        self._lib.native_feed(data, len(data))

    def busy(self, busy: bool) -> None:
        self._lib.native_line_busy(ctypes.c_bool(busy))

    def interrupt(self, ticks: int) -> None:
        self._lib.native_interrupt(ctypes.c_uint32(ticks))

    def lose_alarms(self) -> None:
        self._lib.native_lose_alarms()

    def run(self, ticks: int, polls: int = 30) -> None:
        self._lib.native_run(ctypes.c_uint32(ticks), polls)

    def take(self) -> bytes:
        count = self._lib.native_take(self._buffer)
        return self._buffer.raw[:count]

    def applied(self) -> list[tuple[int, bytes]]:
        """Return and forget what was applied to the outputs, each with its time."""
        levels, at = np.zeros((MOST, STEP_BYTES), np.uint8), np.zeros(MOST, np.uint32)
        count = self._lib.native_applied(levels.ctypes.data_as(ctypes.c_void_p), at.ctypes.data_as(ctypes.c_void_p))
        return [(int(at[k]), levels[k].tobytes()) for k in range(count)]
