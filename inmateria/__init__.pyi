from .adapters import connect
from .recording import RecordedSubstrate, read_block
from .reservoir import PhysicalReservoir, RecursiveLeastSquares, RidgeReadout
from .substrate import Channel, Response, Stimulus, Substrate, SubstrateInfo

__version__: str

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
