"""Everything that was sent and measured, written to HDF5 as it happens; read, replayed, exported and imported.

`RecordedSubstrate` stands around any substrate and writes down every exchange; `open_recording` reads the
file, finished or not; `read_block` reads it as a `neo.Block`. docs/recordings.md says what is in the file.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.recording.blocks import read_block
    from inmateria.recording.format import Exchange, Note, RecordingError
    from inmateria.recording.reading import Recording, open_recording
    from inmateria.recording.recorded import RecordedSubstrate
    from inmateria.recording.recovery import Recovery, recover
    from inmateria.recording.writing import RecordingWriter

_HOME_OF = {
    "Exchange": "inmateria.recording.format",
    "Note": "inmateria.recording.format",
    "RecordedSubstrate": "inmateria.recording.recorded",
    "Recording": "inmateria.recording.reading",
    "RecordingError": "inmateria.recording.format",
    "RecordingWriter": "inmateria.recording.writing",
    "Recovery": "inmateria.recording.recovery",
    "open_recording": "inmateria.recording.reading",
    "read_block": "inmateria.recording.blocks",
    "recover": "inmateria.recording.recovery",
}

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


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.recording' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
