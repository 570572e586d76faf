"""Intan's RHX on its own ports (5000, 5001, 5002), over a simulated culture, in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_scripts.in_a_thread import in_a_thread

from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.simulators.culture.network import NeuralCulture

NAME = "Intan RHX"
MISSING = ""
OLD = "old_"  # scripts written for RHX 3.0 ask for the controller by its old name


@contextmanager
def running(path: Path) -> Iterator[IntanEmulator]:
    version = "3.0.6" if path.name.startswith(OLD) else "3.4.0"
    emulator = IntanEmulator(
        NeuralCulture(seed=1, regime="asynchronous", current_limit=1e-3), ports=(5000, 5001, 5002), version=version
    )
    with in_a_thread(emulator):
        yield emulator
