"""The log of pulses: a file with a line for every pulse, written before it is sent, and read back after a restart."""

import os
from collections import Counter
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from inmateria.substrate import SubstrateBusy, SubstrateError

__all__ = ["PULSE", "PulseArray", "PulseLog", "log_path", "state_folder"]

PULSE = np.dtype(
    [
        ("time", "<f8"),
        ("electrode", "<u4"),
        ("amplitude", "<f8"),
        ("duration", "<f8"),
        ("second_amplitude", "<f8"),
        ("second_duration", "<f8"),
    ]
)
"""One biphasic pulse: when its first phase begins (s), where, and current (A) and duration (s) of both phases.

The sign of a current is its direction: negative is cathodic. Times are on one clock that never goes back:
the device's, or for a living culture seconds since 1970.
"""

PulseArray = npt.NDArray[np.void]


def state_folder() -> Path:
    """Name the folder where logs of pulses are kept: ``INMATERIA_STATE``, or in the user's home."""
    given = os.environ.get("INMATERIA_STATE")
    return Path(given) if given else Path.home() / ".local" / "state" / "inmateria"


def log_path(given: str, device: str) -> Path | None:
    """Read what an adapter was told about its log: a path, ``"none"``, or empty for the device's own place."""
    if given == "none":
        return None
    return Path(given) if given else state_folder() / f"{device}.csv"


class PulseLog:
    """A file with one line for every pulse that was let pass, written before it is sent; CSV.

    Parameters
    ----------
    path : path-like
        Appended to; made where it is not there. Held by one process at a time.

    Raises
    ------
    SubstrateBusy
        On entering, where another process holds the file: it is stimulating the same culture.
    SubstrateError
        Where the file cannot be written or is not such a log.
    """

    _HEADER = "logged,event," + ",".join(PULSE.names or ())

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8", newline="")
        except OSError as error:
            raise SubstrateError(
                f"the log of pulses {self.path} cannot be opened ({error})",
                "a file that can be written",
                "give another",
            ) from None
        try:
            _lock(file, self.path)
            self._mend(file)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _mend(self, file: IO[str]) -> None:
        """Write the first line of a new log, or end a last line that was cut short."""
        file.seek(0)
        header = file.readline()
        if not header:
            file.write(self._HEADER + "\n")
        elif header.rstrip("\r\n") != self._HEADER:
            raise SubstrateError(f"{self.path} is not a log of pulses", f"its first line is {self._HEADER}", "")
        else:
            size = file.seek(0, os.SEEK_END)
            with self.path.open("rb") as raw:
                raw.seek(size - 1)
                if raw.read(1) != b"\n":
                    file.write("\n")
        file.flush()

    def append(self, pulses: PulseArray, event: str = "pulse") -> None:
        """Write pulses down, or with "withdrawn" that they were not sent.

        They are with the system before this returns, so that they outlive this process, if not the power.
        """
        if self._file is None:
            raise SubstrateError(f"the log of pulses {self.path} is not open", "", "use it inside `with`")
        now = datetime.now(UTC).isoformat()
        try:
            self._file.writelines(
                ",".join([now, event, *(repr(value) for value in row)]) + "\n" for row in pulses.tolist()
            )
            self._file.flush()
        except OSError as error:
            raise SubstrateError(
                f"the log of pulses {self.path} cannot be written ({error})", "", "nothing was sent; is the disk full?"
            ) from None

    def read(self) -> PulseArray:
        """Read all pulses of the log that were not withdrawn, as a row of `PULSE`; lines cut short are left out."""
        rows: list[tuple[float, ...]] = []
        withdrawn: Counter[tuple[float, ...]] = Counter()
        with self.path.open(encoding="utf-8") as lines:
            next(lines, None)
            for line in lines:
                _, *words = line.rstrip("\n").split(",")
                try:
                    event, begin, electrode, *phases = words
                    row = (float(begin), int(electrode), *map(float, phases))
                except ValueError:
                    continue
                if len(row) != len(PULSE.names or ()):
                    continue
                if event == "withdrawn":
                    withdrawn[row] += 1
                else:
                    rows.append(row)
        kept = []
        for row in reversed(rows):
            if withdrawn[row]:
                withdrawn[row] -= 1
            else:
                kept.append(row)
        return np.array(kept[::-1], dtype=PULSE)


def _lock(file: IO[str], path: Path) -> None:
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
