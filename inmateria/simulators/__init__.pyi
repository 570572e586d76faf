from .culture.network import PULSE, Activity, CultureState, NeuralCulture, Pulses
from .echo_state import EchoStateNetwork
from .nanowire.ensemble import NanowireEnsemble
from .nanowire.network import NanowireNetwork
from .nanowire.records import NanowireState, NanowireTrace
from .scattering import ScatteringMedium

__all__ = [
    "PULSE",
    "Activity",
    "CultureState",
    "EchoStateNetwork",
    "NanowireEnsemble",
    "NanowireNetwork",
    "NanowireState",
    "NanowireTrace",
    "NeuralCulture",
    "Pulses",
    "ScatteringMedium",
]
