from .contrastive.edges import Antiparallel, Diode, Resistor, Transistor
from .contrastive.network import ContrastiveNetwork
from .contrastive.operating_point import NoOperatingPoint
from .contrastive.records import ContrastiveState, ContrastiveTraining
from .contrastive.rules import CoupledLearning, DirectedAging, EquilibriumPropagation, Imperfections, SignRule
from .culture.ensemble import CultureEnsemble
from .culture.model import Asynchronous, Bursting
from .culture.network import PULSE, Activity, CultureState, NeuralCulture, Pulses
from .culture.parameters import Connectivity, ElectrodeArray
from .echo_state import EchoStateNetwork
from .integer_echo_state import IntegerEchoStateNetwork
from .nanowire.coarse_steps import CoarseStepWarning
from .nanowire.ensemble import NanowireEnsemble
from .nanowire.models import Binary, Filament, JunctionModel, LinearDrift, RateBalance
from .nanowire.network import NanowireNetwork
from .nanowire.parameters import Grid, Instrument, JunctionValues, RandomWires, Variability
from .nanowire.records import NanowireState, NanowireTrace
from .resistive_layers.errors import NoEquilibrium
from .resistive_layers.network import ResistiveLayers
from .resistive_layers.parameters import LayerImperfections
from .resistive_layers.records import LayersState, LayersTraining
from .scattering import ScatteringMedium

__all__ = [
    "PULSE",
    "Activity",
    "Antiparallel",
    "Asynchronous",
    "Binary",
    "Bursting",
    "CoarseStepWarning",
    "Connectivity",
    "ContrastiveNetwork",
    "ContrastiveState",
    "ContrastiveTraining",
    "CoupledLearning",
    "CultureEnsemble",
    "CultureState",
    "Diode",
    "DirectedAging",
    "EchoStateNetwork",
    "ElectrodeArray",
    "EquilibriumPropagation",
    "Filament",
    "Grid",
    "Imperfections",
    "Instrument",
    "IntegerEchoStateNetwork",
    "JunctionModel",
    "JunctionValues",
    "LayerImperfections",
    "LayersState",
    "LayersTraining",
    "LinearDrift",
    "NanowireEnsemble",
    "NanowireNetwork",
    "NanowireState",
    "NanowireTrace",
    "NeuralCulture",
    "NoEquilibrium",
    "NoOperatingPoint",
    "Pulses",
    "RandomWires",
    "RateBalance",
    "ResistiveLayers",
    "Resistor",
    "ScatteringMedium",
    "SignRule",
    "Transistor",
    "Variability",
]
