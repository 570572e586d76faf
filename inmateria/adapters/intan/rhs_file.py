"""Data files of RHX (``.rhs``, version 3, format "Traditional"), written as RHX writes them.

The layout is that of https://intantech.com/files/Intan_RHS2000_data_file_formats.pdf: a header, then blocks of 128
samples of timestamps, amplifiers, DC amplifiers if they are saved, and stimulation.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.parameters import Value
from inmateria.adapters.intan.protocol import BLOCK

__all__ = ["RhsFiles"]

_MAGIC = 0xD69127AC
_PORT = 32
_BOARD = 14  # a stimulation and recording controller
Words = npt.NDArray[np.uint16]


class RhsFiles:
    """The files of one recording of RHX: a new one each so many minutes.

    Parameters
    ----------
    values : mapping
        RHX's parameters by name in lower case.
    path, name : str
        Folder and base of the names; RHX adds the date and time.
    channels : sequence of str
        Native names, such as ``A-000``.
    rate : float
        Samples per second.

    Raises
    ------
    OSError
        If a file or folder cannot be made.
    """

    def __init__(self, values: Mapping[str, Value], path: str, name: str, channels: Sequence[str], rate: float) -> None:
        self._header = _header(values, channels, rate)
        self._name, self._with_dc = name, bool(values["savedcamplifierwaveforms"])
        self._most = round(60 * int(values["newsavefileperiodminutes"]) * rate)
        self._folder = Path(path)
        if not self._folder.is_dir():
            raise FileNotFoundError(f"{path} is no folder")
        if values["createnewdirectory"]:
            self._folder = _unused(self._folder, f"{name}{_stamp()}")
            self._folder.mkdir()
        self._samples = 0
        self._file = self._open()

    def _open(self) -> BinaryIO:
        self.path = _unused(self._folder, f"{self._name}{_stamp()}", ".rhs")
        """The present file."""
        file = self.path.open("xb")
        file.write(self._header)
        return file

    def write(self, first: int, amplifiers: Words, dc: Words, stimulation: Words) -> None:
        """Write samples, whole blocks of them, each of shape (samples, channels).

        Parameters
        ----------
        first : int
            Number of the first sample.
        amplifiers, dc, stimulation : ndarray of uint16
            Words of the three bands.
        """
        if self._samples >= self._most:
            self._file.close()
            self._samples, self._file = 0, self._open()
        bands = [amplifiers, *([dc] if self._with_dc else []), stimulation]
        for begin in range(0, len(amplifiers), BLOCK):
            stamps = (first + begin + np.arange(BLOCK)) % (1 << 32)
            self._file.write(stamps.astype("<u4").tobytes())
            for band in bands:
                self._file.write(band[begin : begin + BLOCK].T.astype("<u2").tobytes())
        self._samples += len(amplifiers)

    def close(self) -> None:
        """End the present file."""
        self._file.close()


def _stamp() -> str:
    return time.strftime("_%y%m%d_%H%M%S")


def _unused(folder: Path, name: str, ending: str = "") -> Path:
    """Return a path that does not exist: RHX's names tell the second, and two recordings may begin in one."""
    path, number = folder / f"{name}{ending}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}{ending}"
    return path


def _text(words: object) -> bytes:
    raw = str(words).encode("utf-16-le")
    return struct.pack("<I", len(raw) or 0xFFFFFFFF) + raw


def _header(values: Mapping[str, Value], channels: Sequence[str], rate: float) -> bytes:
    def number(name: str) -> float:
        return float(values[name])

    actual = [number(f"actual{name}") for name in ("dspcutofffreqhertz", "lowerbandwidthhertz")]
    desired = [number(f"desired{name}") for name in ("dspcutofffreqhertz", "lowerbandwidthhertz")]
    parts = [
        struct.pack("<IhhfH", _MAGIC, 3, 4, rate, bool(values["dspenabled"])),
        struct.pack("<4f", *actual, number("actuallowersettlebandwidthhertz"), number("actualupperbandwidthhertz")),
        struct.pack("<4f", *desired, number("desiredlowersettlebandwidthhertz"), number("desiredupperbandwidthhertz")),
        struct.pack("<h2f", 0, number("desiredimpedancefreqhertz"), number("actualimpedancefreqhertz")),
        # No amplifier settle or charge recovery of the whole chip; the step of the current in A.
        struct.pack("<2h3f", 0, 0, 1e-6 * number("stimstepsizemicroamps"), 10e-9, 0.0),
        *(_text(values[f"note{k}"]) for k in (1, 2, 3)),
        struct.pack("<2h", bool(values["savedcamplifierwaveforms"]), _BOARD),
        _text("n/a"),
    ]
    ports = list(dict.fromkeys(name[0] for name in channels))
    parts.append(struct.pack("<h", len(ports)))
    for port in ports:
        mine = [name for name in channels if name[0] == port]
        parts += [_text(f"Port {port}"), _text(port), struct.pack("<3h", 1, len(mine), len(mine))]
        for k, name in enumerate(mine):
            parts += [_text(name), _text(name)]
            # Order twice, amplifier, enabled, chip channel, two streams, four settings of the spike scope.
            parts.append(struct.pack("<11h2f", k, k, 0, 1, k % 16, 0, k // 16, 0, 0, 0, 0, 0.0, 0.0))
    return b"".join(parts)
