"""The contract, one suite over all adapters: in process, MQTT, replay, and platforms whose matter goes on by itself.

The checks are those of `inmateria.testing`; `test_contract.py` asks more of adapters behind which a simulator with a
known answer can stand.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
from brokers import Mosquitto
from leaky import LeakySimulator
from pulsed import PulsedCulture

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, ReplaySubstrate, SimulatedSubstrate
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.substrate import IntanSubstrate
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.adapters.tissue.guard import PulseLimits
from inmateria.recording import RecordedSubstrate
from inmateria.substrate import Substrate
from inmateria.testing import check_entered_substrate, small_stimuli

WINDOW = 4
ROOMY = PulseLimits(interval=0.0, rate=1000, dose=1.0)
WAYS = (
    *("in process", "embedded broker", "mosquitto", "unix", "tcp", "replay"),
    *("intan", "cortical", "neuroplatform 1", "neuroplatform 2"),
)

resource_tracker.ensure_running()  # Python's own, of shared memory: it stays until the process ends


@asynccontextmanager
async def reached(way: str, folder: Path) -> AsyncIterator[Substrate]:
    async with AsyncExitStack() as exits:
        if way == "in process":
            yield await exits.enter_async_context(SimulatedSubstrate(LeakySimulator(spiking=True)))
        elif way in ("embedded broker", "mosquitto", "unix", "tcp"):
            if way == "mosquitto":
                broker = Mosquitto(folder)
                exits.callback(broker.kill)
                uri = broker.uri
            elif way in ("unix", "tcp"):
                uri = f"unix://{folder}/d.sock" if way == "unix" else "tcp://127.0.0.1:0"
            else:
                uri = (await exits.enter_async_context(EmbeddedBroker())).uri
            device = SimulatedSubstrate(LeakySimulator(spiking=True))
            server = await exits.enter_async_context(DeviceServer(device, uri))
            yield await exits.enter_async_context(RemoteSubstrate(server.uri, window=WINDOW))
        elif way == "replay":
            # A replay answers what was recorded, in order: so it is given the same once more.
            device = SimulatedSubstrate(LeakySimulator(spiking=True))
            async with RecordedSubstrate(device, folder / "recording.h5") as recorded:
                await check_entered_substrate(recorded, window=WINDOW)
                for _ in range(50):  # whoever cancels does not know how far it came
                    await recorded.stimulate(small_stimuli(recorded, 1)[0])
            yield await exits.enter_async_context(ReplaySubstrate(folder / "recording.h5"))
        elif way == "intan":
            twin = await exits.enter_async_context(IntanEmulator(PulsedCulture(8), speed=5))
            ports = dict(zip(("commands", "waveforms", "spikes"), twin._ports, strict=True))
            yield await exits.enter_async_context(IntanSubstrate(channels=8, limits=ROOMY, log="none", **ports))
        elif way == "cortical":
            if sys.version_info < (3, 12):
                pytest.skip("cl-sdk 1.0 needs Python 3.12")
            pytest.importorskip("cl")
            from inmateria.adapters.cortical.substrate import CorticalSubstrate

            made = CorticalSubstrate(accelerated=True, culture="pulsed:PulsedSixtyFour", limits=ROOMY)
            yield await exits.enter_async_context(made)
        else:
            version = int(way[-1])
            platform = Neuroplatform(PulsedCulture(32))
            limits = PulseLimits(amplitude=1e-5, interval=0.0, rate=1000, dose=1.0)
            made_ = NeuroplatformSubstrate(version=version, platform=platform, triggers=8, limits=limits)
            yield await exits.enter_async_context(made_)


@pytest.mark.parametrize("way", WAYS)
async def test_the_contract_holds(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent.parent)  # for the process in which the SDK makes the culture
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    async with reached(way, tmp_path) as substrate:
        await check_entered_substrate(substrate, window=WINDOW)
