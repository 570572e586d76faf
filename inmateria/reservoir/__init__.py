"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.gaussian_bottleneck import GaussianBottleneck, past_and_future
    from inmateria.reservoir.hsic_bottleneck import HSICBottleneck
    from inmateria.reservoir.local_training import training_named, training_names
    from inmateria.reservoir.online_bottleneck import OnlineBottleneck
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.physical_layer import PhysicalLayer
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout
    from inmateria.reservoir.stack import PhysicalStack

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "GaussianBottleneck": "inmateria.reservoir.gaussian_bottleneck",
    "HSICBottleneck": "inmateria.reservoir.hsic_bottleneck",
    "InputMask": "inmateria.reservoir.encoding",
    "OneToOne": "inmateria.reservoir.encoding",
    "OnlineBottleneck": "inmateria.reservoir.online_bottleneck",
    "PhysicalLayer": "inmateria.reservoir.physical_layer",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "PhysicalStack": "inmateria.reservoir.stack",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "SpikeCounts": "inmateria.reservoir.features",
    "VirtualNodes": "inmateria.reservoir.features",
    "past_and_future": "inmateria.reservoir.gaussian_bottleneck",
    "training_named": "inmateria.reservoir.local_training",
    "training_names": "inmateria.reservoir.local_training",
}

__all__ = [
    "BlockingReservoir",
    "GaussianBottleneck",
    "HSICBottleneck",
    "InputMask",
    "OneToOne",
    "OnlineBottleneck",
    "PhysicalLayer",
    "PhysicalReservoir",
    "PhysicalStack",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "SpikeCounts",
    "VirtualNodes",
    "past_and_future",
    "training_named",
    "training_names",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
