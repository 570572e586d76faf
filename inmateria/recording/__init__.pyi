from .compression import Compression, CompressionStopped, compress
from .format import Exchange, Note, RecordingError
from .formats.neo_blocks import read_block
from .formats.spike_sorting import record_sorting, spikeinterface_recording
from .kept import KeptSamples
from .order_of_reading import ReadingOrder, ReadingOrderWarning, reading_order, realigned
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
    "ReadingOrder",
    "ReadingOrderWarning",
    "RecordedSubstrate",
    "Recording",
    "RecordingError",
    "RecordingWriter",
    "Recovery",
    "compress",
    "open_recording",
    "read_block",
    "reading_order",
    "realigned",
    "record_sorting",
    "recover",
    "spikeinterface_recording",
]
