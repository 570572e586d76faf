"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.calibration import Probe, calibrate
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.fingerprints import Comparison, Fingerprint, Identity, compare, recognise, settled
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "Comparison": "inmateria.reservoir.fingerprints",
    "Fingerprint": "inmateria.reservoir.fingerprints",
    "Identity": "inmateria.reservoir.fingerprints",
    "InputMask": "inmateria.reservoir.encoding",
    "OneToOne": "inmateria.reservoir.encoding",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "Probe": "inmateria.reservoir.calibration",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "SpikeCounts": "inmateria.reservoir.features",
    "VirtualNodes": "inmateria.reservoir.features",
    "calibrate": "inmateria.reservoir.calibration",
    "compare": "inmateria.reservoir.fingerprints",
    "recognise": "inmateria.reservoir.fingerprints",
    "settled": "inmateria.reservoir.fingerprints",
}

__all__ = [
    "BlockingReservoir",
    "Comparison",
    "Fingerprint",
    "Identity",
    "InputMask",
    "OneToOne",
    "PhysicalReservoir",
    "Probe",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "SpikeCounts",
    "VirtualNodes",
    "calibrate",
    "compare",
    "recognise",
    "settled",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
