from .bound_readouts import BoundReadout, DeviceDrifted, WrongDevice, bind
from .calibration import Probe, calibrate
from .drift_bounds import LowerLimit
from .fingerprints import (
    Comparison,
    Fingerprint,
    Identity,
    StrangerRate,
    compare,
    recognise,
    settling_p_value,
    stranger_rate,
)
from .linear_maps import LinearMap, linear_map
from .passports import Passport, PassportError, Passports, passports_url
from .transfer import Transfer, Transferred, align_by_cca, transfer, transfer_weights
from .twins import Twin, TwinAccuracy, fit_twin, fit_twin_to_recording

__all__ = [
    "BoundReadout",
    "Comparison",
    "DeviceDrifted",
    "Fingerprint",
    "Identity",
    "LinearMap",
    "LowerLimit",
    "Passport",
    "PassportError",
    "Passports",
    "Probe",
    "StrangerRate",
    "Transfer",
    "Transferred",
    "Twin",
    "TwinAccuracy",
    "WrongDevice",
    "align_by_cca",
    "bind",
    "calibrate",
    "compare",
    "fit_twin",
    "fit_twin_to_recording",
    "linear_map",
    "passports_url",
    "recognise",
    "settling_p_value",
    "stranger_rate",
    "transfer",
    "transfer_weights",
]
