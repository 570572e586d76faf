"""Compute with matter: one async interface to nanowire networks, living neurons and analog circuits.

`connect(uri)` gives a substrate, real or simulated, near or behind a broker; `PhysicalReservoir`
computes with one; a readout (`RidgeReadout`, `RecursiveLeastSquares`) learns from what comes out.
Nothing is imported until its name is used, so that `import inmateria` costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
