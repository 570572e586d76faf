from .cortical.substrate import CorticalSubstrate
from .intan.emulator import IntanEmulator
from .intan.substrate import IntanSubstrate
from .mqtt.client import RemoteSubstrate
from .mqtt.device import DeviceServer
from .mqtt.embedded_broker import EmbeddedBroker
from .mqtt.emergency import emergency_stop, release
from .mqtt.observer import find_devices, observe
from .mqtt.served_apart import ServedApart
from .mqtt.serving import serve_until_stopped
from .neuroplatform.substrate import NeuroplatformSubstrate
from .neuroplatform.twin import Neuroplatform
from .replay import ReplaySubstrate
from .simulated import SimulatedSubstrate
from .tissue import PulseLimits, TissueGuard
from .uri import adapters_found, connect, simulator_from_uri

__all__ = [
    "CorticalSubstrate",
    "DeviceServer",
    "EmbeddedBroker",
    "IntanEmulator",
    "IntanSubstrate",
    "Neuroplatform",
    "NeuroplatformSubstrate",
    "PulseLimits",
    "RemoteSubstrate",
    "ReplaySubstrate",
    "ServedApart",
    "SimulatedSubstrate",
    "TissueGuard",
    "adapters_found",
    "connect",
    "emergency_stop",
    "find_devices",
    "observe",
    "release",
    "serve_until_stopped",
    "simulator_from_uri",
]
