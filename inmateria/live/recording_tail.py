"""Exchanges of a recording in order, as they are added by the process that records."""

import os
import time
from pathlib import Path

from inmateria.recording import Exchange, Recording, RecordingError, open_recording
from inmateria.substrate import SubstrateInfo

__all__ = ["RecordingTail"]

_SHARE = 10.0
"""A look at a recording that grows is followed by a pause of so many times its duration."""
_ATTEMPTS = 5
"""Looks one after another that fail, after which a file that is written no more is taken for damaged."""


class RecordingTail:
    """Reads the exchanges of a recording, at most about 8 MB at once, verified as always.

    The file may not be there yet, may be growing, and may be replaced by a compressed copy of the same rows. If it is
    replaced by a recording of fewer exchanges, reading begins anew.

    Parameters
    ----------
    path : Path
    first : int
        Number of the first exchange that is read.

    Attributes
    ----------
    info : SubstrateInfo or None
        Info of the recorded substrate, once the file is there.
    finished : bool
        Whether the recording was ended properly, and all of it has been read.
    error : str
        Why it could not be read at the last look; empty if it could.
    """

    def __init__(self, path: Path, first: int = 0) -> None:
        self.path = path
        self.info: SubstrateInfo | None = None
        self.finished = False
        self.error = ""
        self._next = first
        self._recording: Recording | None = None
        self._seen: tuple[int, ...] = ()
        self._not_before = 0.0
        self._failures = self._known = 0

    @property
    def next(self) -> int:
        """Number of the exchange that is read next."""
        return self._next

    @property
    def is_read(self) -> bool:
        """Whether all that is in the file has been read, or cannot be; for a file that is written no more."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        if self._recording is not None and self._next < len(self._recording):
            return self._failures >= _ATTEMPTS
        return self._seen == _seen(found) or not found.st_size or self._failures >= _ATTEMPTS

    def read(self) -> list[Exchange]:
        """Return the next exchanges; none if there is nothing new."""
        if self._recording is None or self._next >= len(self._recording) or self._failures:
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
            self._failures += 1
            return []
        self.error, self._failures = "", 0
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
            found = self.path.stat()
        except OSError:
            return
        seen = _seen(found)
        if seen == self._seen or not found.st_size:
            return
        begun = time.monotonic()
        try:
            recording = open_recording(self.path)
        except (RecordingError, OSError) as error:
            self.error = str(error)
            self._failures += 1
            return
        finally:
            now = time.monotonic()
            self._not_before = now + _SHARE * (now - begun)
        if self._recording is not None and len(recording) < self._known:
            self._next = 0
        self.close()
        self._recording, self._known, self._seen = recording, len(recording), seen
        self.info, self.error, self._failures = recording.info, "", 0


def _seen(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
