"""The newer neural tasks on the emulators of the CL1 and of Intan, over a culture with known answers."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
from pulsed import PulsedCulture

from inmateria.adapters import connect
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.protocols import Run, UnsuitableSetting, find_task, read_run, run_task
from inmateria.substrate import Substrate

# Python's own helper for shared memory, which the CL1's SDK uses, stays until the process ends.
resource_tracker.ensure_running()


async def run(name: str, given: dict[str, str], folder: Path, device: Substrate) -> Run:
    task = find_task(name)
    left = await run_task(task, task.settings_from(given), device, folder, lambda *_: None, on="test", over="local")
    return read_run(left)


def score(made: Run, on: str, readout: str) -> float:
    return float(np.mean(next(s.splits for s in made.outcome.scores if (s.on, s.readout) == (on, readout))))


SHORT = {
    **{
        f"encoding {how}": {"encoding": how, "trials": "50", "values": "4", "rest": "0.05"}
        for how in ("place", "rate", "latency", "amplitude")
    },
    "coached-cart-pole": {
        "cycles": "1", "episodes": "4", "block": "2", "trains": "1", "calibration": "1", "pause": "0.1",
        "candidates": "2",
    },
    "pong": {"cycles": "1", "balls": "4", "calibration": "1", "pause": "0.1", "miss": "0.5"},
    "periodic-signal": {"period": "10", "train": "4", "test": "5", "washout": "1"},
    "periodic-signal tracking": {
        "kind": "tracking", "period": "10", "train": "10", "test": "5", "washout": "2", "memory": "1", "shift": "0"
    },
}  # fmt: skip


@asynccontextmanager
async def platform(scheme: str, speed: float, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Substrate]:
    """Reach an emulated platform whose culture answers each pulse 5 ms later there and 8 ms later beside it.

    It fires by itself once in 10 s only.
    """
    if scheme == "cortical":
        pytest.importorskip("cl", reason="cl-sdk needs Python 3.12")
        if sys.version_info < (3, 12):
            pytest.skip("below Python 3.12 pip finds an old cl-sdk of another API")
        here = str(Path(__file__).parent.parent)  # the SDK builds the culture in a process of its own
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
        yield connect("cortical://?accelerated=true&culture=pulsed:PulsedSixtyFour")
        return
    async with IntanEmulator(PulsedCulture(32, period=10.0), speed=speed) as emulator:
        yield connect(emulator.uri)
        assert len(emulator.pulses) > 50
        assert emulator.not_simulated == 0


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["cortical", "intan"])
@pytest.mark.parametrize("which", list(SHORT))
async def test_tasks_run_on_the_emulators_of_the_cl1_and_of_intan(
    which: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = which.partition(" ")[0]
    # Limits of pace are of real time, so only what rests between its trials may go faster.
    speed = 4.0 if name == "encoding" else 1.0
    async with platform(scheme, speed, monkeypatch) as device:
        made = await run(name, SHORT[which], tmp_path, device)
    assert np.isfinite([split for each in made.outcome.scores for split in each.splits]).all()
    if which == "encoding place":  # which electrode was stimulated is all that there is to know
        assert score(made, "substrate", "value") > 1.5
        assert abs(score(made, "as many pulses, moved", "value")) < 0.5
    if which == "periodic-signal tracking":  # this culture repeats its pulses, and knows no more than they
        same = score(made, "stimuli that fade alike", "in phase")
        assert score(made, "substrate", "in phase") == pytest.approx(same, abs=0.15)
        assert score(made, "responses shuffled in time", "in phase") < same - 0.2


@pytest.mark.slow
async def test_steps_too_short_for_the_limits_of_an_electrode_are_refused_before_a_pulse(tmp_path: Path) -> None:
    async with IntanEmulator(PulsedCulture(8)) as emulator:
        with pytest.raises(UnsuitableSetting, match=r"step=0.015.*a pulse in 0.02 s; make steps of 0.02 s or longer"):
            await run("periodic-signal", {"step": "0.015"}, tmp_path, connect(emulator.uri))
        assert not emulator.pulses


@pytest.mark.slow
@pytest.mark.parametrize("which", ["periodic-signal", "periodic-signal tracking"])
async def test_a_platform_whose_inputs_are_on_or_off_is_sent_pulses_by_place(which: str, tmp_path: Path) -> None:
    platform = Neuroplatform(PulsedCulture(32, delay=0.02))
    made = await run("periodic-signal", SHORT[which], tmp_path, NeuroplatformSubstrate(platform=platform))
    assert np.isfinite([split for each in made.outcome.scores for split in each.splits]).all()
    if which == "periodic-signal tracking":
        same = score(made, "stimuli that fade alike", "in phase")
        assert score(made, "substrate", "in phase") == pytest.approx(same, abs=0.15)
        assert score(made, "responses shuffled in time", "in phase") < same - 0.2
