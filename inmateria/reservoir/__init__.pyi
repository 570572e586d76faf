from .bottleneck.gaussian import GaussianBottleneck, past_and_future
from .bottleneck.hsic import HSICBottleneck
from .bottleneck.online import OnlineBottleneck
from .contrastive.classifier import ContrastiveClassifier
from .contrastive.regressor import ContrastiveRegressor
from .contrastive.voltage_scale import ClippedInputWarning
from .encoding import InputMask, OneToOne
from .features import SignalOrCounts, SpikeCounts, VirtualNodes
from .layers.layer import PhysicalLayer
from .layers.stack import PhysicalStack
from .layers.training import training_named, training_names
from .measures.capacity import (
    InformationProcessingCapacity,
    MemoryCapacity,
    information_processing_capacity,
    memory_capacity,
)
from .measures.forgetting import FadingMemory, fading_memory
from .measures.scores import accuracy, nmse, nrmse
from .measures.separability import (
    Separation,
    StateRank,
    alike_inputs,
    different_inputs,
    generalisation_rank,
    kernel_rank,
    separation,
)
from .physical import BlockingReservoir, PhysicalReservoir
from .pulse_encoding import PulseAmplitude, PulseLatency, PulsePlace, PulseRate
from .readout_export import export_readout
from .readout_files import ReadoutFileError, ReadoutHeader, load_readout, read_readout_header, save_readout
from .readouts.force import FORCEReadout
from .readouts.kalman import KalmanReadout
from .readouts.least_mean_squares import LMSReadout
from .readouts.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
from .readouts.ridge import RidgeClassifierReadout, RidgeReadout
from .readouts.shift_least_mean_squares import ShiftLMSReadout
from .readouts.ternary import TernaryClassifierReadout, TernaryReadout
from .reservoirpy_nodes import OnlineReadoutNode, ReadoutNode, ReservoirNode, as_node
from .series import henon, lorenz, mackey_glass, narma, santa_fe_laser
from .spike_features import FilteredRates, FirstSpikeLatency

__all__ = [
    "BlockingReservoir",
    "ClippedInputWarning",
    "ContrastiveClassifier",
    "ContrastiveRegressor",
    "FORCEReadout",
    "FadingMemory",
    "FilteredRates",
    "FirstSpikeLatency",
    "GaussianBottleneck",
    "HSICBottleneck",
    "InformationProcessingCapacity",
    "InputMask",
    "KalmanReadout",
    "LMSReadout",
    "MemoryCapacity",
    "OneToOne",
    "OnlineBottleneck",
    "OnlineReadoutNode",
    "PhysicalLayer",
    "PhysicalReservoir",
    "PhysicalStack",
    "PulseAmplitude",
    "PulseLatency",
    "PulsePlace",
    "PulseRate",
    "ReadoutFileError",
    "ReadoutHeader",
    "ReadoutNode",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "ReservoirNode",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "Separation",
    "ShiftLMSReadout",
    "SignalOrCounts",
    "SpikeCounts",
    "StateRank",
    "TernaryClassifierReadout",
    "TernaryReadout",
    "VirtualNodes",
    "accuracy",
    "alike_inputs",
    "as_node",
    "different_inputs",
    "export_readout",
    "fading_memory",
    "generalisation_rank",
    "henon",
    "information_processing_capacity",
    "kernel_rank",
    "load_readout",
    "lorenz",
    "mackey_glass",
    "memory_capacity",
    "narma",
    "nmse",
    "nrmse",
    "past_and_future",
    "read_readout_header",
    "santa_fe_laser",
    "save_readout",
    "separation",
    "training_named",
    "training_names",
]
