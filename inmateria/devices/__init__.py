"""Calibration, fingerprints, drift, readouts bound to a device, transfer to another device, twins, and passports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
