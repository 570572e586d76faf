from .compression import Compression, CompressionStopped, compress
from .format import Exchange, Note, RecordingError
from .formats.neo_blocks import read_block
from .kept import KeptSamples
from .reading import Recording, open_recording
from .recorded import RecordedSubstrate
from .recovery import Recovery, recover
from .writing import RecordingWriter

__all__ = [
    "Compression",
    "CompressionStopped",
    "Exchange",
    "KeptSamples",
    "Note",
    "RecordedSubstrate",
    "Recording",
    "RecordingError",
    "RecordingWriter",
    "Recovery",
    "compress",
    "open_recording",
    "read_block",
    "recover",
]
