"""Journal of the commands that a device has begun and done, on disk as it happens, to be read after a crash.

Without one, it is unknown which of the stimuli under way were applied when a device was killed. The file
is written before a stimulus is applied and after it, with no call to the disk in between: it survives the
process, and not a power cut.

16 bytes  numbers begun, numbers dealt with; signed little-endian, 8 bytes each
8 bytes   the first number that was refused, after which nothing is applied; -1 where none was
the rest  a line of JSON: epoch and holder
"""

import os
import struct
from contextlib import suppress
from pathlib import Path

import msgspec

from inmateria.adapters.mqtt.wire.announcements import PreviousSession
from inmateria.substrate import SubstrateError

__all__ = ["Journal"]

_COUNTS = struct.Struct("<qqq")


class _Session(msgspec.Struct):
    epoch: str
    holder: str


class Journal:
    """The file of one device.

    Parameters
    ----------
    path : path
        Made where it is not there. Two devices must not share one.

    Attributes
    ----------
    before : PreviousSession or None
        What it held when it was opened.

    Raises
    ------
    SubstrateError
        Where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SubstrateError(
                f"the journal {path} cannot be opened ({error.strerror})", "a file that may be read and written"
            ) from None
        self.before = _read(os.pread(self._file, 4096, 0))
        self._begun = self._done = 0
        self._refused = -1

    def session(self, epoch: str, holder: str) -> None:
        """Begin to count anew, for another session; in one write, so that it is never half there."""
        self._begun, self._done, self._refused = 0, 0, -1
        line = msgspec.json.encode(_Session(epoch, holder)) + b"\n"
        os.pwrite(self._file, _COUNTS.pack(0, 0, -1) + line, 0)

    def begin(self, number: int) -> None:
        """Note that a number is about to be dealt with."""
        self._begun = number + 1
        self._write()

    def end(self, number: int, refused: int | None) -> None:
        """Note that it was, and which one was refused since the controller last resumed."""
        self._done, self._refused = number + 1, -1 if refused is None else refused
        self._write()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self) -> None:
        os.pwrite(self._file, _COUNTS.pack(self._begun, self._done, self._refused), 0)


def _read(data: bytes) -> PreviousSession | None:
    """Read what a journal held; None where it holds nothing that can be read."""
    line, ended, _ = data[_COUNTS.size :].partition(b"\n")
    if ended:
        with suppress(msgspec.MsgspecError):
            session = msgspec.json.decode(line, type=_Session)
            return PreviousSession(session.epoch, session.holder, *_COUNTS.unpack_from(data))
    return None
