"""The log of pulses: a file with a line for every pulse, written before it is sent and verified when it is read."""

import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from io import FileIO
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from inmateria.adapters.tissue.pulse_log_format import (
    DROPPED,
    PLANNED,
    WITHDRAWN,
    LogHeader,
    format_lines,
    new_header,
    read_header,
    read_lines,
    verify,
)
from inmateria.pulses import PULSE, PulseArray
from inmateria.substrate import SubstrateBusy, SubstrateError

__all__ = [
    "DROPPED",
    "PLANNED",
    "PULSE",
    "UNIX",
    "WITHDRAWN",
    "PulseArray",
    "PulseLog",
    "canonical_host",
    "log_name",
    "log_path",
    "state_folder",
]

UNIX = "unix"
"""The clock of seconds since 1970, which all logs of the adapters here have."""


def state_folder() -> Path:
    """Return the folder where logs of pulses are kept: ``INMATERIA_STATE``, or one in the user's home."""
    given = os.environ.get("INMATERIA_STATE")
    return Path(given) if given else Path.home() / ".local" / "state" / "inmateria"


def log_path(given: str, device: str) -> Path | None:
    """Resolve the ``log`` parameter of an adapter: a path, ``"none"``, or empty for the device's own place.

    Parameters
    ----------
    given : str
    device : str
        Name of the device, as `log_name` makes it.
    """
    if given == "none":
        return None
    return Path(given) if given else state_folder() / f"{device}.csv"


def log_name(kind: str, *parts: str | int, host: str | None = None) -> str:
    """Make the name of a device's log, the same however the device is written.

    Parameters
    ----------
    kind : str
        Of device, for instance ``"intan"``.
    parts : str or int
        Whatever else distinguishes it: a port, a headstage, a serial number. Upper and lower case are one.
    host : str, optional
        Where it is; all names of this machine are one.
    """
    words = [kind, *([canonical_host(host)] if host is not None else []), *map(str, parts)]
    return "-".join(re.sub(r"[^a-z0-9._-]", "-", word.strip().lower()) for word in words)


def canonical_host(host: str) -> str:
    """Write a host in one way: ``localhost`` for all names and addresses of this machine's own loopback."""
    name = host.strip().strip("[]").rstrip(".").lower()
    try:
        if re.fullmatch(r"[0-9.]+", name):
            name = socket.inet_ntoa(socket.inet_aton(name))  # 127.1 is 127.0.0.1
        address = ipaddress.ip_address(name.partition("%")[0])
    except (ValueError, OSError):
        own = {"localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname().lower()}
        return "localhost" if name in own or name.endswith(".localhost") else name
    address = getattr(address, "ipv4_mapped", None) or address
    return "localhost" if address.is_loopback or address.is_unspecified else address.compressed


class PulseLog:
    """A file with one line for every pulse that was admitted, written before it is sent; CSV with a running checksum.

    Parameters
    ----------
    path : path-like
        Appended to; made where it is not there. Held by one process at a time.
    clock : str
        Which clock the times are on; a log is only ever opened with its own.

    Raises
    ------
    SubstrateBusy
        On entering, if another process holds the file: it is stimulating the same culture.
    SubstrateError
        If the file cannot be written, is not such a log, has another clock, or is not as it was written.
    """

    def __init__(self, path: str | PathLike[str], clock: str = UNIX) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", clock):
            raise ValueError(f"clock is {clock!r}; allowed are letters, digits, '.', '_' and '-'")
        self.path, self.clock = Path(path), clock
        self._file: FileIO | None = None
        self._damage: SubstrateError | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self._create()
            file = FileIO(self.path, "r+")
        except OSError as error:
            raise SubstrateError(
                f"the log of pulses {self.path} cannot be opened ({error})",
                "a file that can be written",
                "give another with log=",
            ) from None
        try:
            _lock(file, self.path)
            self._header = self._read_header(file)
            self._end, self._check = verify(file, str(self.path), self._header)
            file.truncate(self._end.size)  # a line that was torn off with its process, before its pulse was sent
            self._file, self._damage = file, None
            self._write_header()
        except OSError as error:
            file.close()
            self._file = None
            raise SubstrateError(f"the log of pulses {self.path} cannot be read ({error})") from None
        except BaseException:
            file.close()
            self._file = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, pulses: PulseArray, event: str = PLANNED) -> None:
        """Append pulses: as given (``"pulse"``), or that they were ``"withdrawn"`` or ``"dropped"`` and not sent.

        They are with the operating system before this returns: they outlive this process, if not a loss of power.

        Raises
        ------
        SubstrateError
            If the file cannot be written, or is no longer the one that was opened; nothing was written then.
        """
        self.extend([(event, pulses)])

    def extend(self, entries: Iterable[tuple[str, PulseArray]]) -> None:
        """Append several events at once, in their order; see `append`."""
        file = self._file
        if file is None:
            raise SubstrateError(f"the log of pulses {self.path} is not open", "", "use it inside `with`")
        if self._damage is not None:
            raise self._damage
        self._check_unchanged(file)
        logged, parts, end, check = datetime.now(UTC).isoformat(), [], self._end, self._check
        for event, pulses in entries:
            if len(pulses):
                part, check, end = format_lines(pulses, event, logged, end)
                parts.append(part)
        if not parts:
            return
        try:
            file.seek(self._end.size)
            _write_all(file, b"".join(parts))
        except OSError as error:
            self._undo(file, error)
        self._end, self._check = end, check
        try:
            self._write_header()
        except OSError as error:
            self._undo(file, error)

    def read(self, since: float = -float("inf")) -> PulseArray:
        """Verify the whole log and read its pulses after a time (s) that were not taken back.

        Returns
        -------
        ndarray of `PULSE`
            In order of time.
        """
        try:
            with FileIO(self.path, "r") as file:
                header = self._read_header(file)
                end, _ = verify(file, str(self.path), header)
                return read_lines(file, len(header.text), end.size, since)
        except OSError as error:
            raise SubstrateError(f"the log of pulses {self.path} cannot be read ({error})") from None

    def _create(self) -> None:
        """Make an empty log that is there at once and whole, or not at all."""
        header = new_header(self.clock, secrets.token_hex(4))
        made = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            made.write_bytes(header.text)
            try:
                os.link(made, self.path)
            except FileExistsError:
                pass  # another process was first
            except OSError:  # a file system without links
                made.replace(self.path)
        finally:
            made.unlink(missing_ok=True)

    def _read_header(self, file: FileIO) -> LogHeader:
        header = read_header(file, str(self.path))
        if header.clock != self.clock:
            raise SubstrateError(
                f"the log of pulses {self.path} has the clock {header.clock!r}",
                f"here times are on the clock {self.clock!r}",
                "give another file with log=",
            )
        return header

    def _write_header(self) -> None:
        """Note in the first line how far the file reaches."""
        file = self._file
        assert file is not None
        self._header = self._header.moved(self._end.size, self._check)
        file.seek(0)
        _write_all(file, self._header.text)
        self._stamp = os.fstat(file.fileno()).st_mtime_ns

    def _check_unchanged(self, file: FileIO) -> None:
        """Raise where the file under the path is no longer the one that this process wrote."""
        try:
            here, held = self.path.stat(), os.fstat(file.fileno())
        except OSError as error:
            self._refuse(f"is gone ({error.strerror})")
        if (here.st_ino, here.st_dev) != (held.st_ino, held.st_dev):
            self._refuse("was replaced by another file")
        if held.st_size != self._end.size:
            self._refuse(f"has {held.st_size} bytes instead of {self._end.size}")
        if held.st_mtime_ns != self._stamp:
            try:
                header = self._read_header(file)
                same = header == self._header and verify(file, str(self.path), header)[0] == self._end
            except SubstrateError as error:
                self._damage = error
                raise
            if not same:
                self._refuse("was changed")
            self._stamp = held.st_mtime_ns

    def _refuse(self, what: str) -> NoReturn:
        self._damage = SubstrateError(
            f"the log of pulses {self.path} {what} while it was in use",
            "only the process that holds it writes to it",
            "nothing was sent; restore the file and open the device again",
        )
        raise self._damage

    def _undo(self, file: FileIO, error: OSError) -> NoReturn:
        """Take back what was written of an append that failed, and raise."""
        failed = SubstrateError(
            f"the log of pulses {self.path} cannot be written ({error})", "", "nothing was sent; is the disk full?"
        )
        try:
            file.truncate(self._header.size)
            self._end, self._check = verify(file, str(self.path), self._header)
            self._stamp = os.fstat(file.fileno()).st_mtime_ns
        except (OSError, SubstrateError):
            self._damage = failed
        raise failed from None


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _lock(file: FileIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SubstrateBusy(
            f"{path} is held by another process", "one controller stimulates a culture at a time", "end the other first"
        ) from None
