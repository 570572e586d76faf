"""Tables of electrode voltages and currents measured on real networks, one row per sample.

The format is that of the recordings of the benchmark package rcbench (INRiM, Torino): a line of names, ``Time[s]``
and for each electrode ``<electrode>_V[V]`` and ``<electrode>_I[A]``, then numbers, separated by white space or by
commas. A current that was not read is ``nan`` or empty. Time stamps are those of the computer, and jitter.
`inmateria.recording.formats.measurements` makes recordings of such tables.
"""

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_TIME, _VOLTAGE, _CURRENT = "Time[s]", "_V[V]", "_I[A]"


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """Voltages and currents at each electrode, sample by sample.

    Parameters
    ----------
    time : ndarray of float, shape (samples,)
        Time stamps, s; ascending, not evenly spaced.
    electrodes : tuple of str
        Names, in the order of the columns.
    voltages : ndarray of float, shape (samples, electrodes)
        V.
    currents : ndarray of float, shape (samples, electrodes)
        A; NaN if not read.
    others : tuple of str
        Columns that are neither time nor voltage or current of an electrode with a voltage.
    """

    time: FloatArray
    electrodes: tuple[str, ...]
    voltages: FloatArray
    currents: FloatArray
    others: tuple[str, ...] = ()

    @cached_property
    def ground(self) -> str:
        """The grounded electrode: the one of smallest mean and spread in voltage among those whose current was read.

        Among all electrodes if no current was read.
        """
        nearness = abs(np.nanmean(self.voltages, axis=0)) + np.nanstd(self.voltages, axis=0)
        if self._read.any():
            nearness[~self._read] = np.inf
        return self.electrodes[int(np.nanargmin(nearness))]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The driven electrodes: those whose current was read, without the ground."""
        return tuple(
            name for name, read in zip(self.electrodes, self._read, strict=True) if read and name != self.ground
        )

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The electrodes that are neither driven nor grounded."""
        return tuple(name for name in self.electrodes if name != self.ground and name not in self.inputs)

    @cached_property
    def step(self) -> float:
        """Median time from one sample to the next, s."""
        return float(np.median(np.diff(self.time)))

    def voltages_of(self, *names: str) -> FloatArray:
        """Return the voltages measured at some electrodes, shape (samples, names), V.

        Those of ``inputs`` were measured at the network; they differ from the voltages set at the generator.
        """
        return self.voltages[:, self._columns(names)]

    def currents_of(self, *names: str) -> FloatArray:
        """Return the currents measured at some electrodes, shape (samples, names), A."""
        return self.currents[:, self._columns(names)]

    @cached_property
    def _read(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.currents).any(axis=0), dtype=np.bool_)

    def _columns(self, names: tuple[str, ...]) -> list[int]:
        strange = [name for name in names if name not in self.electrodes]
        if strange:
            raise ValueError(f"{strange[0]!r} is not an electrode of the table; it has {', '.join(self.electrodes)}")
        return [self.electrodes.index(name) for name in names]


def read_measured_table(path: str | PathLike[str], *, gaps: bool = False) -> MeasuredTable:
    """Read a table of measured voltages and currents.

    Parameters
    ----------
    path : path
        A text file; see the top of `inmateria.recording.formats.measured_tables`.
    gaps : bool
        Accept voltages that were not read, as NaN; otherwise they are an error.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a table, is truncated, or has invalid values; the message names file and line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text: {error}") from None
    header = lines[0] if lines else ""
    comma = "," if "," in header else None
    names = [name.strip() for name in header.split(comma)]
    electrodes = tuple(name.removesuffix(_VOLTAGE) for name in names if name.endswith(_VOLTAGE))
    if _TIME not in names or not electrodes:
        raise ValueError(
            f"{path} is not a table of measurements: its first line has no {_TIME} or no <electrode>{_VOLTAGE}; "
            f"it begins with {header[:60]!r}"
        )
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"{path}, line 1: column {sorted(repeated)[0]} is repeated; names must be unique")
    rows = [_numbers(path, number, line, comma, len(names)) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(rows) < 2:
        raise ValueError(f"{path} has {len(rows)} samples; a table of measurements needs at least two")
    table = np.array(rows)
    column = {name: table[:, k] for k, name in enumerate(names)}
    missing = np.full(len(table), np.nan)
    time = column[_TIME]
    voltages = np.column_stack([column[name + _VOLTAGE] for name in electrodes])
    currents = np.column_stack([column.get(name + _CURRENT, missing) for name in electrodes])
    known = np.isfinite(voltages) | (gaps & np.isnan(voltages))
    wrong = ~known.all(axis=1) | ~np.isfinite(time) | np.isinf(currents).any(axis=1)
    wrong[1:] |= ~(np.diff(time) > 0)
    if wrong.any():
        number = [number for number, line in enumerate(lines[1:], 2) if line.strip()][int(wrong.argmax())]
        raise ValueError(
            f"{path}, line {number}: time must ascend, time and voltages must be finite, and currents finite or nan"
        )
    if (unread := np.isnan(voltages).all(axis=0)).any():
        raise ValueError(f"{path}: the voltage of electrode {electrodes[int(unread.argmax())]} was never read")
    taken = {_TIME, "", *(name + unit for name in electrodes for unit in (_VOLTAGE, _CURRENT))}
    others = tuple(name for name in names if name not in taken)
    return MeasuredTable(time, electrodes, voltages, currents, others)


def _numbers(path: Path, number: int, line: str, comma: str | None, count: int) -> list[float]:
    parts = line.split(comma)
    if len(parts) != count:
        raise ValueError(f"{path}, line {number}: {len(parts)} values for {count} names; the file may be truncated")
    try:
        return [float(part) if part.strip() else np.nan for part in parts]
    except ValueError:
        strange = next(part for part in parts if not _is_number(part))
        raise ValueError(f"{path}, line {number}: {strange!r} is not a number") from None


def _is_number(part: str) -> bool:
    try:
        float(part or "nan")
    except ValueError:
        return False
    return True
