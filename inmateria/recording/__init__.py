"""Everything that was sent and measured, written to HDF5 as it happens; read, replayed, exported and imported.

`RecordedSubstrate` stands around any substrate and writes down every exchange; `open_recording` reads the
file, finished or not; `read_block` reads it as a `neo.Block`. docs/recordings.md says what is in the file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
