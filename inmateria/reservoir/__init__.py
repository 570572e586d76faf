"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.force import FORCEReadout
    from inmateria.reservoir.kalman import KalmanReadout
    from inmateria.reservoir.least_mean_squares import LMSReadout
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout
    from inmateria.reservoir.ternary import TernaryClassifierReadout, TernaryReadout

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "FORCEReadout": "inmateria.reservoir.force",
    "InputMask": "inmateria.reservoir.encoding",
    "KalmanReadout": "inmateria.reservoir.kalman",
    "LMSReadout": "inmateria.reservoir.least_mean_squares",
    "OneToOne": "inmateria.reservoir.encoding",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "SpikeCounts": "inmateria.reservoir.features",
    "TernaryClassifierReadout": "inmateria.reservoir.ternary",
    "TernaryReadout": "inmateria.reservoir.ternary",
    "VirtualNodes": "inmateria.reservoir.features",
}

__all__ = [
    "BlockingReservoir",
    "FORCEReadout",
    "InputMask",
    "KalmanReadout",
    "LMSReadout",
    "OneToOne",
    "PhysicalReservoir",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "SpikeCounts",
    "TernaryClassifierReadout",
    "TernaryReadout",
    "VirtualNodes",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
