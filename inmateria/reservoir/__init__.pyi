from .bottleneck.gaussian import GaussianBottleneck, past_and_future
from .bottleneck.hsic import HSICBottleneck
from .bottleneck.online import OnlineBottleneck
from .devices.bound_readouts import BoundReadout, DeviceDrifted, WrongDevice, bind
from .devices.calibration import Probe, calibrate
from .devices.fingerprints import Comparison, Fingerprint, Identity, compare, recognise, settled
from .devices.linear_maps import LinearMap, linear_map
from .devices.transfer import Transfer, Transferred, align_by_cca, transfer, transfer_weights
from .devices.twins import Twin, TwinError, fit_twin, fit_twin_to_recording
from .encoding import InputMask, OneToOne
from .features import SpikeCounts, VirtualNodes
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
from .readouts.force import FORCEReadout
from .readouts.kalman import KalmanReadout
from .readouts.least_mean_squares import LMSReadout
from .readouts.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
from .readouts.ridge import RidgeClassifierReadout, RidgeReadout
from .readouts.ternary import TernaryClassifierReadout, TernaryReadout
from .reservoirpy_nodes import OnlineReadoutNode, ReadoutNode, ReservoirNode, as_node
from .series import henon, lorenz, mackey_glass, narma, santa_fe_laser
from .spike_features import FilteredRates, FirstSpikeLatency

__all__ = [
    "BlockingReservoir",
    "BoundReadout",
    "Comparison",
    "DeviceDrifted",
    "FORCEReadout",
    "FadingMemory",
    "FilteredRates",
    "Fingerprint",
    "FirstSpikeLatency",
    "GaussianBottleneck",
    "HSICBottleneck",
    "Identity",
    "InformationProcessingCapacity",
    "InputMask",
    "KalmanReadout",
    "LMSReadout",
    "LinearMap",
    "MemoryCapacity",
    "OneToOne",
    "OnlineBottleneck",
    "OnlineReadoutNode",
    "PhysicalLayer",
    "PhysicalReservoir",
    "PhysicalStack",
    "Probe",
    "PulseAmplitude",
    "PulseLatency",
    "PulsePlace",
    "PulseRate",
    "ReadoutNode",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "ReservoirNode",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "Separation",
    "SpikeCounts",
    "StateRank",
    "TernaryClassifierReadout",
    "TernaryReadout",
    "Transfer",
    "Transferred",
    "Twin",
    "TwinError",
    "VirtualNodes",
    "WrongDevice",
    "accuracy",
    "align_by_cca",
    "alike_inputs",
    "as_node",
    "bind",
    "calibrate",
    "compare",
    "different_inputs",
    "fading_memory",
    "fit_twin",
    "fit_twin_to_recording",
    "generalisation_rank",
    "henon",
    "information_processing_capacity",
    "kernel_rank",
    "linear_map",
    "lorenz",
    "mackey_glass",
    "memory_capacity",
    "narma",
    "nmse",
    "nrmse",
    "past_and_future",
    "recognise",
    "santa_fe_laser",
    "separation",
    "settled",
    "training_named",
    "training_names",
    "transfer",
    "transfer_weights",
]
