"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.bound_readouts import BoundReadout, DeviceDrifted, WrongDevice, bind
    from inmateria.reservoir.calibration import Probe, calibrate
    from inmateria.reservoir.capacity import (
        InformationProcessingCapacity,
        MemoryCapacity,
        information_processing_capacity,
        memory_capacity,
    )
    from inmateria.reservoir.device_transfer import Transfer, Transferred, align_by_cca, transfer, transfer_weights
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.fingerprints import Comparison, Fingerprint, Identity, compare, recognise, settled
    from inmateria.reservoir.force import FORCEReadout
    from inmateria.reservoir.forgetting import FadingMemory, fading_memory
    from inmateria.reservoir.gaussian_bottleneck import GaussianBottleneck, past_and_future
    from inmateria.reservoir.hsic_bottleneck import HSICBottleneck
    from inmateria.reservoir.kalman import KalmanReadout
    from inmateria.reservoir.least_mean_squares import LMSReadout
    from inmateria.reservoir.linear_maps import LinearMap, linear_map
    from inmateria.reservoir.local_training import training_named, training_names
    from inmateria.reservoir.online_bottleneck import OnlineBottleneck
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.physical_layer import PhysicalLayer
    from inmateria.reservoir.pulse_encoding import PulseAmplitude, PulseLatency, PulsePlace, PulseRate
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.reservoirpy_nodes import OnlineReadoutNode, ReadoutNode, ReservoirNode, as_node
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout
    from inmateria.reservoir.scores import accuracy, nmse, nrmse
    from inmateria.reservoir.separability import (
        Separation,
        StateRank,
        alike_inputs,
        different_inputs,
        generalisation_rank,
        kernel_rank,
        separation,
    )
    from inmateria.reservoir.series import henon, lorenz, mackey_glass, narma, santa_fe_laser
    from inmateria.reservoir.spike_features import FilteredRates, FirstSpikeLatency
    from inmateria.reservoir.stack import PhysicalStack
    from inmateria.reservoir.ternary import TernaryClassifierReadout, TernaryReadout
    from inmateria.reservoir.twins import Twin, TwinError, fit_twin, fit_twin_to_recording

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "BoundReadout": "inmateria.reservoir.bound_readouts",
    "Comparison": "inmateria.reservoir.fingerprints",
    "DeviceDrifted": "inmateria.reservoir.bound_readouts",
    "FORCEReadout": "inmateria.reservoir.force",
    "FadingMemory": "inmateria.reservoir.forgetting",
    "FilteredRates": "inmateria.reservoir.spike_features",
    "Fingerprint": "inmateria.reservoir.fingerprints",
    "FirstSpikeLatency": "inmateria.reservoir.spike_features",
    "GaussianBottleneck": "inmateria.reservoir.gaussian_bottleneck",
    "HSICBottleneck": "inmateria.reservoir.hsic_bottleneck",
    "Identity": "inmateria.reservoir.fingerprints",
    "InformationProcessingCapacity": "inmateria.reservoir.capacity",
    "InputMask": "inmateria.reservoir.encoding",
    "KalmanReadout": "inmateria.reservoir.kalman",
    "LMSReadout": "inmateria.reservoir.least_mean_squares",
    "LinearMap": "inmateria.reservoir.linear_maps",
    "MemoryCapacity": "inmateria.reservoir.capacity",
    "OneToOne": "inmateria.reservoir.encoding",
    "OnlineBottleneck": "inmateria.reservoir.online_bottleneck",
    "OnlineReadoutNode": "inmateria.reservoir.reservoirpy_nodes",
    "PhysicalLayer": "inmateria.reservoir.physical_layer",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "PhysicalStack": "inmateria.reservoir.stack",
    "Probe": "inmateria.reservoir.calibration",
    "PulseAmplitude": "inmateria.reservoir.pulse_encoding",
    "PulseLatency": "inmateria.reservoir.pulse_encoding",
    "PulsePlace": "inmateria.reservoir.pulse_encoding",
    "PulseRate": "inmateria.reservoir.pulse_encoding",
    "ReadoutNode": "inmateria.reservoir.reservoirpy_nodes",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "ReservoirNode": "inmateria.reservoir.reservoirpy_nodes",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "Separation": "inmateria.reservoir.separability",
    "SpikeCounts": "inmateria.reservoir.features",
    "StateRank": "inmateria.reservoir.separability",
    "TernaryClassifierReadout": "inmateria.reservoir.ternary",
    "TernaryReadout": "inmateria.reservoir.ternary",
    "Transfer": "inmateria.reservoir.device_transfer",
    "Transferred": "inmateria.reservoir.device_transfer",
    "Twin": "inmateria.reservoir.twins",
    "TwinError": "inmateria.reservoir.twins",
    "VirtualNodes": "inmateria.reservoir.features",
    "WrongDevice": "inmateria.reservoir.bound_readouts",
    "accuracy": "inmateria.reservoir.scores",
    "align_by_cca": "inmateria.reservoir.device_transfer",
    "alike_inputs": "inmateria.reservoir.separability",
    "as_node": "inmateria.reservoir.reservoirpy_nodes",
    "bind": "inmateria.reservoir.bound_readouts",
    "calibrate": "inmateria.reservoir.calibration",
    "compare": "inmateria.reservoir.fingerprints",
    "different_inputs": "inmateria.reservoir.separability",
    "fading_memory": "inmateria.reservoir.forgetting",
    "fit_twin": "inmateria.reservoir.twins",
    "fit_twin_to_recording": "inmateria.reservoir.twins",
    "generalisation_rank": "inmateria.reservoir.separability",
    "henon": "inmateria.reservoir.series",
    "information_processing_capacity": "inmateria.reservoir.capacity",
    "kernel_rank": "inmateria.reservoir.separability",
    "linear_map": "inmateria.reservoir.linear_maps",
    "lorenz": "inmateria.reservoir.series",
    "mackey_glass": "inmateria.reservoir.series",
    "memory_capacity": "inmateria.reservoir.capacity",
    "narma": "inmateria.reservoir.series",
    "nmse": "inmateria.reservoir.scores",
    "nrmse": "inmateria.reservoir.scores",
    "past_and_future": "inmateria.reservoir.gaussian_bottleneck",
    "recognise": "inmateria.reservoir.fingerprints",
    "santa_fe_laser": "inmateria.reservoir.series",
    "separation": "inmateria.reservoir.separability",
    "settled": "inmateria.reservoir.fingerprints",
    "training_named": "inmateria.reservoir.local_training",
    "training_names": "inmateria.reservoir.local_training",
    "transfer": "inmateria.reservoir.device_transfer",
    "transfer_weights": "inmateria.reservoir.device_transfer",
}

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


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
