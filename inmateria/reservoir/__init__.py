"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.capacity import (
        InformationProcessingCapacity,
        MemoryCapacity,
        information_processing_capacity,
        memory_capacity,
    )
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout
    from inmateria.reservoir.scores import accuracy, nmse, nrmse

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "InformationProcessingCapacity": "inmateria.reservoir.capacity",
    "InputMask": "inmateria.reservoir.encoding",
    "MemoryCapacity": "inmateria.reservoir.capacity",
    "OneToOne": "inmateria.reservoir.encoding",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "SpikeCounts": "inmateria.reservoir.features",
    "VirtualNodes": "inmateria.reservoir.features",
    "accuracy": "inmateria.reservoir.scores",
    "information_processing_capacity": "inmateria.reservoir.capacity",
    "memory_capacity": "inmateria.reservoir.capacity",
    "nmse": "inmateria.reservoir.scores",
    "nrmse": "inmateria.reservoir.scores",
}

__all__ = [
    "BlockingReservoir",
    "InformationProcessingCapacity",
    "InputMask",
    "MemoryCapacity",
    "OneToOne",
    "PhysicalReservoir",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "SpikeCounts",
    "VirtualNodes",
    "accuracy",
    "information_processing_capacity",
    "memory_capacity",
    "nmse",
    "nrmse",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
