"""A file that is being written: other programs are kept from writing to it, and noticed if they do so all the same."""

import fcntl
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from inmateria.recording.format import RecordingError

_HEADER = 48
_MOST_ALARMS = 3

_logger = logging.getLogger("inmateria")


class LiveFile:
    """Guard of a file that only this process may write.

    While it is held, the file is read-only for all but root, and locked for programs based on HDF5. Root, and programs
    that opened it before, can still change it; so before each writing it is compared with how the last one left it: its
    name, size, header, and the time of its last change. If only the time differs, all rows are verified.

    Parameters
    ----------
    path : Path
    handle : int
        File descriptor with which it is written.
    rows_are_intact : callable
        Reads what was written, and returns whether it still is as written.

    Attributes
    ----------
    lost : bool
        Whether another program has changed the file, so that nothing more is written to it.
    """

    def __init__(self, path: Path, handle: int, rows_are_intact: Callable[[], bool]) -> None:
        self._path, self._handle = path.absolute(), handle
        self._rows_are_intact = rows_are_intact
        self._alarms = 0
        self.lost = False
        # HDF5 has given its own lock up so that others can read. Programs that read ask for a shared one.
        self._lock = os.open(path, os.O_RDONLY)
        self._mode = stat.S_IMODE(os.fstat(handle).st_mode)
        with suppress(OSError):  # file systems that have no locks or no permissions
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with suppress(OSError):
            os.fchmod(handle, self._mode & ~0o222)
        self.note()

    def note(self) -> None:
        """Remember the file as it is, after writing to it."""
        found = os.fstat(self._handle)
        self._size, self._changed = found.st_size, found.st_mtime_ns
        self._header = os.pread(self._handle, _HEADER, 0)

    def check(self) -> None:
        """Compare the file with how it was left.

        Raises
        ------
        RecordingError
            If it was moved, removed, replaced or truncated, or was written to. Nothing more is then written to a file
            that another program has changed.
        """
        found = os.fstat(self._handle)
        try:
            named = self._path.stat()
        except OSError:
            kept = "what was written is in the file that was moved" if found.st_nlink else "what was written is lost"
            raise self._error("was moved" if found.st_nlink else "was removed", kept) from None
        if (named.st_dev, named.st_ino) != (found.st_dev, found.st_ino):
            raise self._error("was replaced", "what was written is in the file that it had been, if that is kept")
        changed_at = found.st_mtime_ns != self._changed and self._alarms < _MOST_ALARMS
        resized = found.st_size != self._size or os.pread(self._handle, _HEADER, 0) != self._header
        if not (changed_at or resized):
            return
        if resized or not self._rows_are_intact():
            self._let_go()
            raise self._error("was written to or truncated", "`inmateria recover` reports what is left of it")
        self._alarms += 1
        _logger.warning(
            "%s: another program has written to or touched this file while it is recorded; all rows until now were "
            "verified and are intact%s", self._path,
            "; the time of its last change is not looked at any more" if self._alarms == _MOST_ALARMS else "",
        )  # fmt: skip
        self.note()

    def release(self) -> None:
        """Allow others to write to the file again; to be called before it is closed."""
        if not self.lost:
            with suppress(OSError):
                os.fchmod(self._handle, self._mode)
        os.close(self._lock)

    def _let_go(self) -> None:
        """Have what HDF5 would still write on closing go nowhere, since the file is another program's now."""
        with suppress(OSError):
            os.fchmod(self._handle, self._mode)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, self._handle)
        os.close(nowhere)
        self.lost = True

    def _error(self, happened: str, kept: str) -> RecordingError:
        return RecordingError(
            f"{self._path} {happened} by another program while it was recorded; {kept}; "
            "only one program may write to it"
        )
