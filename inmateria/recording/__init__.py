"""Recordings of all stimuli and responses, written to HDF5 as they happen; read, replayed, exported and imported.

`RecordedSubstrate` wraps any substrate and records every exchange; `open_recording` reads the file, finished or not;
`read_block` reads it as a `neo.Block`. docs/recordings.md documents the file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
