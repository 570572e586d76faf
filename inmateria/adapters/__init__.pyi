from .blocking import BlockingSubstrate
from .boards.emulator import EmulatedBoard
from .boards.substrate import BoardSubstrate
from .cortical.substrate import CorticalSubstrate
from .instrument import BufferedInstrument, Instrument
from .intan.emulator import IntanEmulator
from .intan.substrate import IntanSubstrate
from .mqtt.client.remote import RemoteSubstrate
from .mqtt.device.server import DeviceServer
from .mqtt.device.serving import serve_until_stopped
from .mqtt.device.subprocess import SubprocessDevice
from .mqtt.embedded_broker import EmbeddedBroker
from .mqtt.operator.emergency import emergency_stop, release
from .mqtt.operator.observer import find_devices, observe
from .mqtt.wire.aiomqtt_links import AiomqttLinks
from .neuroplatform.substrate import NeuroplatformSubstrate
from .neuroplatform.twin import Neuroplatform
from .replay import ReplaySubstrate
from .scpi.server import ScpiServer
from .scpi.substrate import ScpiSubstrate
from .simulated import SimulatedSubstrate
from .streams.brainflow_source import BrainflowSource
from .streams.lsl_source import LslSource
from .streams.maxwell_twin import MaxwellTwin
from .streams.open_ephys_source import OpenEphysSource
from .streams.open_ephys_twin import OpenEphysTwin
from .streams.published import PublishedSubstrate
from .streams.recording import record_stream
from .streams.stimulators import LslStimuli, OtherSubstrate
from .streams.substrate import StreamSubstrate
from .tissue.guard import PulseLimits, TissueGuard
from .uri import adapters_found, connect, parameters_for, query_of, simulator_from_uri

__all__ = [
    "AiomqttLinks",
    "BlockingSubstrate",
    "BoardSubstrate",
    "BrainflowSource",
    "BufferedInstrument",
    "CorticalSubstrate",
    "DeviceServer",
    "EmbeddedBroker",
    "EmulatedBoard",
    "Instrument",
    "IntanEmulator",
    "IntanSubstrate",
    "LslSource",
    "LslStimuli",
    "MaxwellTwin",
    "Neuroplatform",
    "NeuroplatformSubstrate",
    "OpenEphysSource",
    "OpenEphysTwin",
    "OtherSubstrate",
    "PublishedSubstrate",
    "PulseLimits",
    "RemoteSubstrate",
    "ReplaySubstrate",
    "ScpiServer",
    "ScpiSubstrate",
    "SimulatedSubstrate",
    "StreamSubstrate",
    "SubprocessDevice",
    "TissueGuard",
    "adapters_found",
    "connect",
    "emergency_stop",
    "find_devices",
    "observe",
    "parameters_for",
    "query_of",
    "record_stream",
    "release",
    "serve_until_stopped",
    "simulator_from_uri",
]
