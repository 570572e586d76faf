"""The bytes of a log of pulses: lines with a running checksum, their verification, and their parsing.

The first line says which format and clock the file has, and how far it reached after the last append. Each line of
pulses ends with a checksum of all bytes before it (CRC-32), so that one checksum over the file verifies every line.
The column ``latest`` never falls, so that the lines of the last hour are found by bisection and only they are parsed.
"""

import zlib
from collections import Counter
from dataclasses import dataclass
from io import FileIO
from typing import NoReturn

import numpy as np

from inmateria.pulses import PULSE, PulseArray
from inmateria.substrate import SubstrateError

__all__ = ["DROPPED", "PLANNED", "WITHDRAWN", "LogEnd", "LogHeader", "format_lines", "new_header", "read_header"]

PLANNED, WITHDRAWN, DROPPED = "pulse", "withdrawn", "dropped"
"""A pulse that counts; one that was not sent after all; one that was not sent because it came too late."""

_NAMES = PULSE.names or ()
_COLUMNS = (",".join(["event", *_NAMES, "latest", "logged", "check"]) + "\n").encode()
_OLD_COLUMNS = "logged,event," + ",".join(_NAMES)
_MAGIC = "#inmateria-pulses"
_VERSION = 2
_LATEST = 1 + len(_NAMES)  # where it is in a line
_CHECK = len("00000000\n")
_CHUNK = 1 << 22
_LINE = 512  # longer than any line


@dataclass(frozen=True)
class LogEnd:
    """Where a log ends: bytes, the running checksum of what follows the header, and the latest time so far (s)."""

    size: int
    running: int
    latest: float


@dataclass(frozen=True)
class LogHeader:
    """The first two lines of a log, and how far it reached when they were last written."""

    clock: str
    nonce: str
    size: int
    check: int

    @property
    def prefix(self) -> bytes:
        """The part of the first line that never changes."""
        return f"{_MAGIC},{_VERSION},{self.clock},{self.nonce},".encode()

    @property
    def text(self) -> bytes:
        """Both lines."""
        return self.prefix + f"{self.size:016d},{self.check:08x}\n".encode() + _COLUMNS

    @property
    def seed(self) -> int:
        """The checksum that the first line of pulses goes on from."""
        return zlib.crc32(self.prefix + _COLUMNS)

    def moved(self, size: int, check: int) -> "LogHeader":
        """Return the header for a file that has grown."""
        return LogHeader(self.clock, self.nonce, size, check)


def new_header(clock: str, nonce: str) -> LogHeader:
    """Make the header of an empty log."""
    empty = LogHeader(clock, nonce, 0, 0)
    return empty.moved(len(empty.text), empty.seed)


def read_header(file: FileIO, name: str) -> LogHeader:
    """Read and check the first two lines; raise `SubstrateError` where they are not a log's."""
    file.seek(0)
    head = file.read(_LINE) or b""
    line, _, rest = head.partition(b"\n")
    words = line.decode("ascii", "replace").split(",")
    if words[0] != _MAGIC:
        old = line.decode("ascii", "replace").rstrip("\r") == _OLD_COLUMNS
        raise SubstrateError(
            f"{name} is {'a log of pulses of format 1' if old else 'not a log of pulses'}",
            f"its first line begins with {_MAGIC},{_VERSION}",
            "give another file, or move this one away; then nothing is known of the dose so far",
        )
    if len(words) > 1 and words[1] != str(_VERSION):
        raise SubstrateError(
            f"{name} is a log of pulses of format {words[1]}", f"format {_VERSION}", "read it with a newer version"
        )
    try:
        _, _, clock, nonce, size, check = words
        header = LogHeader(clock, nonce, int(size), int(check, 16))
    except ValueError:
        damaged(name, 1, "is not the first line of a log")
    if not head.startswith(header.text) or not rest.startswith(_COLUMNS) or header.size < len(header.text):
        damaged(name, 1, "was changed")
    return header


def damaged(name: str, line: int, what: str) -> NoReturn:
    """Raise for a log that is not as it was written."""
    raise SubstrateError(
        f"line {line} of the log of pulses {name} {what}: it was edited, cut or damaged after it was written",
        "a log as it was written, whole",
        "restore it from a copy; or move it away, and let the culture rest for an hour: its dose is not known",
    )


def format_lines(pulses: PulseArray, event: str, logged: str, end: LogEnd) -> tuple[bytes, int, LogEnd]:
    """Write pulses as lines that go on from an end; give the bytes, the last checksum and the new end."""
    running, latest, check, lines = end.running, end.latest, end.running, []
    for row in pulses.tolist():
        if event == PLANNED and row[0] > latest:
            latest = row[0]
        line = f"{event},{','.join(map(repr, row))},{latest!r},{logged},".encode()
        check = zlib.crc32(line, running)
        tail = b"%08x\n" % check
        running = zlib.crc32(tail, check)
        lines += [line, tail]
    data = b"".join(lines)
    return data, check, LogEnd(end.size + len(data), running, latest)


def verify(file: FileIO, name: str, header: LogHeader) -> tuple[LogEnd, int]:
    """Verify every line; give where the last whole one ends, and its checksum.

    Lines beyond what the header says are those of an append that the process did not outlive; the last of them may be
    torn, and is left out. Any other difference from what was written raises `SubstrateError`.
    """
    begin = len(header.text)
    present = file.seek(0, 2)
    if present < header.size:
        _diagnose(file, name, header, begin, present)
        damaged(name, _count_lines(file, present) + 1, f"is missing ({header.size - present} bytes)")
    check, running, latest = header.seed, header.seed, -float("inf")
    if header.size > begin:
        check = _checksum(file, begin, header.size - _CHECK, header.seed)
        tail = _bytes(file, header.size - _CHECK, header.size)
        if tail != b"%08x\n" % check or check != header.check:
            _diagnose(file, name, header, begin, header.size)
            damaged(name, 1, "was changed")
        running = zlib.crc32(tail, check)
        latest = _latest(_bytes(file, max(begin, header.size - _LINE), header.size)[:-1].rpartition(b"\n")[2])
    elif header.check != header.seed:
        damaged(name, 1, "was changed")
    size = header.size
    for line in _bytes(file, header.size, present).splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        found = zlib.crc32(line[:-_CHECK], running)
        if line[-_CHECK:] != b"%08x\n" % found:
            damaged(name, _count_lines(file, size) + 1, "does not fit its checksum")
        check, running = found, zlib.crc32(line[-_CHECK:], found)
        size, latest = size + len(line), _latest(line)
    return LogEnd(size, running, latest), check


def read_lines(file: FileIO, begin: int, end: int, since: float) -> PulseArray:
    """Parse the pulses after a time (s) that were not taken back, by time, from lines that have been verified."""
    begin = _first_after(file, begin, end, since)
    lines = _bytes(file, begin, end).decode("ascii").splitlines()
    if not lines:
        return np.zeros(0, dtype=PULSE)
    columns = [("event", "U9"), *((column, PULSE[column]) for column in _NAMES)]
    table = np.loadtxt(lines, columns, comments=None, delimiter=",", usecols=range(_LATEST), ndmin=1)
    pulses = np.zeros(len(table), dtype=PULSE)
    for column in _NAMES:
        pulses[column] = table[column]
    counts = table["event"] == PLANNED
    taken = Counter(pulses[~counts].tolist())
    if taken:
        alike = counts & np.isin(pulses["time"], pulses["time"][~counts])
        for k in np.flatnonzero(alike)[::-1].tolist():
            row = pulses[k].item()
            if taken[row]:
                taken[row] -= 1
                counts[k] = False
    return np.sort(pulses[counts & (pulses["time"] > since)], order="time", kind="stable")


def _first_after(file: FileIO, begin: int, end: int, since: float) -> int:
    """Find where the first line begins whose ``latest`` is after a time."""
    low, high = begin, end
    while high - low > _CHUNK // 64:
        middle = (low + high) // 2
        start = middle + _bytes(file, middle, min(middle + _LINE, end)).find(b"\n") + 1
        if start >= high:
            high = middle
        elif _latest(_bytes(file, start, min(start + _LINE, end)).partition(b"\n")[0]) > since:
            high = start
        else:
            low = start
    for line in _bytes(file, low, min(high + _LINE, end)).splitlines(keepends=True):
        if not line.endswith(b"\n") or _latest(line) > since:
            break
        low += len(line)
    return low


def _latest(line: bytes) -> float:
    return float(line.split(b",", _LATEST + 1)[_LATEST])


def _bytes(file: FileIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    parts, missing = [], end - begin
    while missing > 0:
        part = file.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _checksum(file: FileIO, begin: int, end: int, check: int) -> int:
    while begin < end:
        part = _bytes(file, begin, min(begin + _CHUNK, end))
        if not part:
            break
        check, begin = zlib.crc32(part, check), begin + len(part)
    return check


def _count_lines(file: FileIO, end: int) -> int:
    return _bytes(file, 0, end).count(b"\n")


def _diagnose(file: FileIO, name: str, header: LogHeader, begin: int, end: int) -> None:
    """Raise for the first line that does not fit its checksum; return where all fit."""
    running = header.seed
    for number, line in enumerate(_bytes(file, begin, end).split(b"\n")[:-1], 3):
        check = zlib.crc32(line[: 1 - _CHECK], running)
        if line[1 - _CHECK :] != b"%08x" % check:
            damaged(name, number, "does not fit its checksum")
        running = zlib.crc32(b"%08x\n" % check, check)
