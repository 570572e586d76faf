"""Cortical Labs' SDK with a culture of ours in its simulator, by the environment alone."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import active_children, resource_tracker
from pathlib import Path
from typing import Any
from unittest import mock

from inmateria.adapters.cortical.loop import lengthen_patience

NAME = "Cortical Labs CL1"
SLOW = True  # the SDK starts processes of its own for each `cl.open`
MISSING = "" if sys.version_info >= (3, 12) and find_spec("cl") else "cl-sdk 1.0 needs Python 3.12"

if not MISSING:
    resource_tracker.ensure_running()  # which the SDK uses, and which stays until the process ends

_CHOSEN = {
    "CL_SDK_VISUALISATION": "0",
    "CL_SDK_ACCELERATED_TIME": "1",
    "CL_SDK_DATA_SOURCE": "inmateria.adapters.cortical.source:culture_source",
    "CL_SDK_DATA_SOURCE_CONFIG": json.dumps({"parameters": {"seed": 1, "neurons": 200}}),
    "CL_SDK_DATA_SOURCE_METADATA": json.dumps({"channel_count": 64, "seekable": False}),
}


@contextmanager
def _patient() -> Iterator[None]:
    """Have the simulator wait for its own process as long as a busy machine takes, as our adapter has it."""
    import cl

    opened = cl.open

    @contextmanager
    def patiently(**how: Any) -> Iterator[cl.Neurons]:
        with opened(**how) as neurons:
            lengthen_patience(neurons)
            yield neurons

    with mock.patch.object(cl, "open", patiently):
        yield


@contextmanager
def running(path: Path) -> Iterator[Path]:
    """Choose the culture, in a folder of its own; yield the folder."""
    import cl
    import gc

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, _CHOSEN), _patient():
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            cl.sim.clear_simulator_data_source()  # which ends the SDK's processes, some a moment later
            for child in active_children():
                child.join(10.0)
            gc.enable()  # the SDK switches it off
