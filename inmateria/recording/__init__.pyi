from .format import Exchange, Note, RecordingError
from .formats.neo_blocks import read_block
from .reading import Recording, open_recording
from .recorded import RecordedSubstrate
from .recovery import Recovery, recover
from .writing import RecordingWriter

__all__ = [
    "Exchange",
    "Note",
    "RecordedSubstrate",
    "Recording",
    "RecordingError",
    "RecordingWriter",
    "Recovery",
    "open_recording",
    "read_block",
    "recover",
]
