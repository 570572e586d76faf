"""What computes with a substrate: encoding -> substrate -> features -> readout."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.reservoir.bound_readouts import BoundReadout, DeviceDrifted, WrongDevice, bind
    from inmateria.reservoir.calibration import Probe, calibrate
    from inmateria.reservoir.device_transfer import Transfer, Transferred, align_by_cca, transfer, transfer_weights
    from inmateria.reservoir.encoding import InputMask, OneToOne
    from inmateria.reservoir.features import SpikeCounts, VirtualNodes
    from inmateria.reservoir.fingerprints import Comparison, Fingerprint, Identity, compare, recognise, settled
    from inmateria.reservoir.linear_maps import LinearMap, linear_map
    from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
    from inmateria.reservoir.recursive_least_squares import RecursiveLeastSquares, RecursiveLeastSquaresClassifier
    from inmateria.reservoir.ridge import RidgeClassifierReadout, RidgeReadout
    from inmateria.reservoir.twins import Twin, TwinError, fit_twin, fit_twin_to_recording

_HOME_OF = {
    "BlockingReservoir": "inmateria.reservoir.physical",
    "BoundReadout": "inmateria.reservoir.bound_readouts",
    "Comparison": "inmateria.reservoir.fingerprints",
    "DeviceDrifted": "inmateria.reservoir.bound_readouts",
    "Fingerprint": "inmateria.reservoir.fingerprints",
    "Identity": "inmateria.reservoir.fingerprints",
    "InputMask": "inmateria.reservoir.encoding",
    "LinearMap": "inmateria.reservoir.linear_maps",
    "OneToOne": "inmateria.reservoir.encoding",
    "PhysicalReservoir": "inmateria.reservoir.physical",
    "Probe": "inmateria.reservoir.calibration",
    "RecursiveLeastSquares": "inmateria.reservoir.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.ridge",
    "RidgeReadout": "inmateria.reservoir.ridge",
    "SpikeCounts": "inmateria.reservoir.features",
    "Transfer": "inmateria.reservoir.device_transfer",
    "Transferred": "inmateria.reservoir.device_transfer",
    "Twin": "inmateria.reservoir.twins",
    "TwinError": "inmateria.reservoir.twins",
    "VirtualNodes": "inmateria.reservoir.features",
    "WrongDevice": "inmateria.reservoir.bound_readouts",
    "align_by_cca": "inmateria.reservoir.device_transfer",
    "bind": "inmateria.reservoir.bound_readouts",
    "calibrate": "inmateria.reservoir.calibration",
    "compare": "inmateria.reservoir.fingerprints",
    "fit_twin": "inmateria.reservoir.twins",
    "fit_twin_to_recording": "inmateria.reservoir.twins",
    "linear_map": "inmateria.reservoir.linear_maps",
    "recognise": "inmateria.reservoir.fingerprints",
    "settled": "inmateria.reservoir.fingerprints",
    "transfer": "inmateria.reservoir.device_transfer",
    "transfer_weights": "inmateria.reservoir.device_transfer",
}

__all__ = [
    "BlockingReservoir",
    "BoundReadout",
    "Comparison",
    "DeviceDrifted",
    "Fingerprint",
    "Identity",
    "InputMask",
    "LinearMap",
    "OneToOne",
    "PhysicalReservoir",
    "Probe",
    "RecursiveLeastSquares",
    "RecursiveLeastSquaresClassifier",
    "RidgeClassifierReadout",
    "RidgeReadout",
    "SpikeCounts",
    "Transfer",
    "Transferred",
    "Twin",
    "TwinError",
    "VirtualNodes",
    "WrongDevice",
    "align_by_cca",
    "bind",
    "calibrate",
    "compare",
    "fit_twin",
    "fit_twin_to_recording",
    "linear_map",
    "recognise",
    "settled",
    "transfer",
    "transfer_weights",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.reservoir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
