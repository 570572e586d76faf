"""Stand-ins for drivers that need hardware or a vendor's software, with the functions that docs/instruments.md uses.

Behind each is an RC low-pass filter from its output to its input.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Self

import numpy as np


class Filter:
    """What is connected from the output to the input."""

    def __init__(self) -> None:
        self.level = 0.0
        self.written: list[float] = []

    def step(self, value: float) -> float:
        self.written.append(value)
        self.level += 0.5 * (value - self.level)
        return self.level


def mock_nidaqmx(wired: Filter) -> None:
    """Let ``import nidaqmx`` find tasks with one analog output or input."""

    class Task:
        def __init__(self, new_task_name: str = "") -> None:
            self.ao_channels = SimpleNamespace(add_ao_voltage_chan=self._add)
            self.ai_channels = SimpleNamespace(add_ai_voltage_chan=self._add)
            self.closed = False

        def _add(self, physical_channel: str, *, min_val: float = -10.0, max_val: float = 10.0) -> None:
            assert physical_channel.startswith("Dev1/a")
            self._range = min_val, max_val

        def write(self, data: float) -> int:
            assert self._range[0] <= data <= self._range[1]
            wired.step(data)
            return 1

        def read(self) -> float:
            return wired.level

        def close(self) -> None:
            self.closed = True

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

    _install("nidaqmx", Task=Task)


def mock_sounddevice(wired: Filter) -> None:
    """Let ``import sounddevice`` find a card that plays and records."""

    def playrec(
        data: np.ndarray, samplerate: float | None = None, channels: int | None = None, *, blocking: bool = False
    ) -> np.ndarray:
        assert data.ndim == 2
        assert abs(data).max() <= 1
        assert samplerate == 48_000
        assert channels == 1
        assert blocking
        return np.array([[wired.step(float(row[0]))] for row in data], dtype=np.float32)

    _install("sounddevice", playrec=playrec)


def _install(name: str, **members: object) -> None:
    module = ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
