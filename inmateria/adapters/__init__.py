"""How a substrate is reached: in process, over MQTT, or by a vendor's protocol. `connect(uri)` finds the way."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.adapters.cortical import CorticalSubstrate
    from inmateria.adapters.embedded_broker import EmbeddedBroker
    from inmateria.adapters.emergency import emergency_stop, release
    from inmateria.adapters.intan import IntanSubstrate
    from inmateria.adapters.intan_emulator import IntanEmulator
    from inmateria.adapters.mqtt_client import RemoteSubstrate
    from inmateria.adapters.mqtt_device import DeviceServer
    from inmateria.adapters.mqtt_observer import find_devices, observe
    from inmateria.adapters.neuroplatform import NeuroplatformSubstrate
    from inmateria.adapters.neuroplatform_twin import Neuroplatform
    from inmateria.adapters.replay import ReplaySubstrate
    from inmateria.adapters.served_apart import ServedApart
    from inmateria.adapters.serving import serve_until_stopped
    from inmateria.adapters.simulated import SimulatedSubstrate
    from inmateria.adapters.tissue import PulseLimits, TissueGuard
    from inmateria.adapters.uri import adapters_found, connect, simulator_from_uri

_HOME_OF = {
    "CorticalSubstrate": "inmateria.adapters.cortical",
    "DeviceServer": "inmateria.adapters.mqtt_device",
    "EmbeddedBroker": "inmateria.adapters.embedded_broker",
    "IntanEmulator": "inmateria.adapters.intan_emulator",
    "IntanSubstrate": "inmateria.adapters.intan",
    "Neuroplatform": "inmateria.adapters.neuroplatform_twin",
    "NeuroplatformSubstrate": "inmateria.adapters.neuroplatform",
    "PulseLimits": "inmateria.adapters.tissue",
    "RemoteSubstrate": "inmateria.adapters.mqtt_client",
    "ReplaySubstrate": "inmateria.adapters.replay",
    "ServedApart": "inmateria.adapters.served_apart",
    "SimulatedSubstrate": "inmateria.adapters.simulated",
    "TissueGuard": "inmateria.adapters.tissue",
    "adapters_found": "inmateria.adapters.uri",
    "connect": "inmateria.adapters.uri",
    "emergency_stop": "inmateria.adapters.emergency",
    "find_devices": "inmateria.adapters.mqtt_observer",
    "observe": "inmateria.adapters.mqtt_observer",
    "release": "inmateria.adapters.emergency",
    "serve_until_stopped": "inmateria.adapters.serving",
    "simulator_from_uri": "inmateria.adapters.uri",
}

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


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.adapters' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
