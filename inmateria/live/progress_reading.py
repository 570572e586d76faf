"""Reading the progress of a run while its process writes it: whole lines only, from wherever the writer was cut off."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from inmateria.protocols.run_progress import Begun, Ended, Line

__all__ = ["ProgressReader"]

_AT_ONCE = 4 << 20
"""Most bytes that one look reads."""
_SILENCE = 15.0
"""Seconds without a sign of life after which a run without a lock is taken for dead."""


class ProgressReader:
    """Reads the lines of a ``progress.jsonl`` as they are added.

    A line without its end is left for the next look. One that cannot be read, as a power failure may leave, is counted
    and left out, and so is one of a kind that only a newer version knows.

    Parameters
    ----------
    path : Path
        The file; it need not be there yet.

    Attributes
    ----------
    damaged : int
        Lines that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self._begun: Begun | None = None
        self._ended = False
        self._file: tuple[int, int] | None = None
        self._at = 0
        self._changed, self._seen = 0, 0.0

    def read(self) -> tuple[list[Line], bool]:
        """Return the new lines, and whether the file is another one than before, so that all before is void."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return [], False
        try:
            found = os.fstat(handle)
            this = (found.st_dev, found.st_ino)
            anew = self._file is not None and (this != self._file or found.st_size < self._at)
            if anew or self._file is None:
                self._file, self._at, self._begun, self._ended, self.damaged = this, 0, None, False, 0
            if found.st_mtime_ns != self._changed:
                self._changed, self._seen = found.st_mtime_ns, time.monotonic()
            data = os.pread(handle, _AT_ONCE, self._at)
        except OSError:
            return [], False
        finally:
            os.close(handle)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == _AT_ONCE:  # no line is as long: what is there is no text of ours
            end = len(data)
            self.damaged += 1
        self._at += end
        return self._lines(data[:end]), anew

    def _lines(self, data: bytes) -> list[Line]:
        lines: list[Line] = []
        for text in data.split(b"\n"):
            if not text.strip():
                continue
            try:
                line: Line = msgspec.json.decode(text, type=Line)
            except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
                self.damaged += 1
                continue
            if isinstance(line, Begun):
                self._begun = line
            self._ended |= isinstance(line, Ended)
            lines.append(line)
        return lines

    def lives(self) -> bool | None:
        """Return whether the process of the run lives; None if the file is not there, or does not say.

        The process holds a lock on its file, which ends with it. Where a file system has no locks, the signs of life
        tell, that the run gives every two seconds.
        """
        if self._begun is None:
            return None
        if self._ended:
            return False
        if not self._begun.locked:
            silent = time.monotonic() - self._seen
            return silent < _SILENCE and time.time() - self._changed / 1e9 < 60 * _SILENCE
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            with suppress(OSError):
                os.close(handle)
        return False
