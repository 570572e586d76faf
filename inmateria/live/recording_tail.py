"""Exchanges of a recording in order, as they are added by the process that records."""

import os
import time
from pathlib import Path

from inmateria.recording import Exchange, Recording, RecordingError, open_recording
from inmateria.substrate import SubstrateInfo

__all__ = ["RecordingTail"]

_SHARE = 10.0
"""A look at a recording that grows is followed by a pause of so many times its duration."""


class RecordingTail:
    """Reads the exchanges of a recording, at most about 8 MB at once, verified as always.

    The file may not be there yet, may be growing, and may be replaced by a compressed copy of the same rows. If it is
    replaced by a recording of fewer exchanges, reading begins anew.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    info : SubstrateInfo or None
        Info of the recorded substrate, once the file is there.
    finished : bool
        Whether the recording was ended properly, and all of it has been read.
    error : str
        Why it could not be read at the last look; empty if it could.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info: SubstrateInfo | None = None
        self.finished = False
        self.error = ""
        self._next = 0
        self._recording: Recording | None = None
        self._seen: tuple[int, ...] = ()
        self._not_before = 0.0

    @property
    def next(self) -> int:
        """Number of the exchange that is read next."""
        return self._next

    def read(self) -> list[Exchange]:
        """Return the next exchanges; none if there is nothing new."""
        if self._recording is None or self._next >= len(self._recording):
            self._look()
        recording = self._recording
        if recording is None:
            return []
        if self._next >= len(recording):
            self.finished = recording.finished
            return []
        try:
            first, last = next(recording.batches(self._next))
            found = recording.between(first, last)
        except RecordingError as error:  # rows that are damaged stay so; rows amid writing are whole at the next look
            self.error = str(error)
            self._seen = ()
            return []
        self.error = ""
        self._next = last
        return found

    def close(self) -> None:
        """Close the file."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def _look(self) -> None:
        """Open the file again if it has changed."""
        if time.monotonic() < self._not_before:
            return
        try:
            found = os.stat(self.path)
        except OSError:
            return
        seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if seen == self._seen or not found.st_size:
            return
        begun = time.monotonic()
        try:
            recording = open_recording(self.path)
        except (RecordingError, OSError) as error:
            self.error = str(error)
            return
        finally:
            now = time.monotonic()
            self._not_before = now + _SHARE * (now - begun)
        self.close()
        if len(recording) < self._next:
            self._next = 0
        self._recording, self._seen, self.info, self.error = recording, seen, recording.info, ""
