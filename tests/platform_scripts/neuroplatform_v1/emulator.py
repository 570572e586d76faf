"""The Neuroplatform's first package, on a culture that answers each pulse."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inmateria.adapters.neuroplatform.emulator import emulated
from inmateria.adapters.neuroplatform.twin import Booking, Neuroplatform
from inmateria.simulators.culture.network import NeuralCulture

NAME = "FinalSpark Neuroplatform, version 1"
MISSING = ""


@contextmanager
def running(path: Path) -> Iterator[Neuroplatform]:
    culture = NeuralCulture(seed=1, neurons=200, organoids=4, current_limit=1e-3)
    with emulated(Neuroplatform(culture, [Booking(token="OURTOKEN01", fs_name="fs300")]), version=1) as platform:
        yield platform
