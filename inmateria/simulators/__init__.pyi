from .culture.model import Asynchronous, Bursting
from .culture.network import PULSE, Activity, CultureState, NeuralCulture, Pulses
from .culture.parameters import Connectivity, ElectrodeArray
from .echo_state import EchoStateNetwork
from .nanowire.coarse_steps import CoarseStepWarning
from .nanowire.ensemble import NanowireEnsemble
from .nanowire.models import Binary, Filament, JunctionModel, LinearDrift, RateBalance
from .nanowire.network import NanowireNetwork
from .nanowire.parameters import Grid, Instrument, JunctionValues, RandomWires, Variability
from .nanowire.records import NanowireState, NanowireTrace
from .scattering import ScatteringMedium

__all__ = [
    "PULSE",
    "Activity",
    "Asynchronous",
    "Binary",
    "Bursting",
    "CoarseStepWarning",
    "Connectivity",
    "CultureState",
    "EchoStateNetwork",
    "ElectrodeArray",
    "Filament",
    "Grid",
    "Instrument",
    "JunctionModel",
    "JunctionValues",
    "LinearDrift",
    "NanowireEnsemble",
    "NanowireNetwork",
    "NanowireState",
    "NanowireTrace",
    "NeuralCulture",
    "Pulses",
    "RandomWires",
    "RateBalance",
    "ScatteringMedium",
    "Variability",
]
