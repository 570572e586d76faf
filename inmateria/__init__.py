"""Compute with matter: one async interface to nanowire networks, living neurons and analog circuits.

`connect(uri)` gives a substrate, real or simulated, near or behind a broker; `PhysicalReservoir`
computes with one; a readout (`RidgeReadout`, `RecursiveLeastSquares`) learns from what comes out.
Nothing is imported until its name is used, so that `import inmateria` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.adapters import connect
    from inmateria.recording import RecordedSubstrate, read_block
    from inmateria.reservoir import PhysicalReservoir, RecursiveLeastSquares, RidgeReadout
    from inmateria.substrate import Channel, Response, Stimulus, Substrate, SubstrateInfo

__version__ = "0.1.0"

_HOME_OF = {
    "connect": "inmateria.adapters",
    "RecordedSubstrate": "inmateria.recording",
    "read_block": "inmateria.recording",
    "PhysicalReservoir": "inmateria.reservoir",
    "RecursiveLeastSquares": "inmateria.reservoir",
    "RidgeReadout": "inmateria.reservoir",
    "Channel": "inmateria.substrate",
    "Response": "inmateria.substrate",
    "Stimulus": "inmateria.substrate",
    "Substrate": "inmateria.substrate",
    "SubstrateInfo": "inmateria.substrate",
}

__all__ = [
    "Channel",
    "PhysicalReservoir",
    "RecordedSubstrate",
    "RecursiveLeastSquares",
    "Response",
    "RidgeReadout",
    "Stimulus",
    "Substrate",
    "SubstrateInfo",
    "connect",
    "read_block",
]


def __getattr__(name: str) -> Any:
    """Import the room a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *_HOME_OF])
