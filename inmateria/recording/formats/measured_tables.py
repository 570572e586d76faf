"""Tables of electrode voltages and currents measured on real networks, one row per sample.

The format is that of the recordings of the benchmark package rcbench (INRiM, Torino): a line of names, ``Time[s]``
and for each electrode ``<electrode>_V[V]`` and ``<electrode>_I[A]``, then numbers, in any dialect of
`inmateria.recording.formats.text_tables`. A current that was not read is ``nan`` or empty. Time stamps are those of the
computer, and jitter. `inmateria.recording.formats.table_imports` makes recordings of such tables.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inmateria.recording.formats.columns import ColumnTable
from inmateria.recording.formats.text_tables import read_text_table

FloatArray = npt.NDArray[np.float64]

VOLTAGE, CURRENT = "_V", "_I"
"""Endings of the names of columns, after the name of the electrode."""

_TIME = "Time"
_SOURCE, _GROUND = re.compile(r"(?i)(src|source)(?![a-z])"), re.compile(r"(?i)(gnd|ground)(?![a-z])")


@dataclass(frozen=True, slots=True)
class ElectrodeRoles:
    """Names of the driven and of the grounded electrodes."""

    driven: tuple[str, ...]
    ground: tuple[str, ...]


def electrode_roles(table: ColumnTable, electrodes: Sequence[str]) -> tuple[ElectrodeRoles | None, str]:
    """Return the roles of electrodes, and what they follow from; None if nothing in the table says them.

    Electrodes named ``SRC...`` were driven and those named ``GND...`` grounded. Otherwise current was measured at both
    and nowhere else, and the grounded one is that of the smallest mean and spread in voltage.
    """
    driven = tuple(name for name in electrodes if _SOURCE.match(name))
    ground = tuple(name for name in electrodes if _GROUND.match(name))
    if driven and ground:
        return ElectrodeRoles(driven, ground), "the names of the electrodes (SRC, GND)"
    nearness = {}
    for name in electrodes:
        current = table.values[:, table.names.index(name + CURRENT)] if name + CURRENT in table.names else np.empty(0)
        voltage = table.values[:, table.names.index(name + VOLTAGE)]
        if np.isfinite(current).any() and np.isfinite(voltage).any():
            nearness[name] = abs(float(np.nanmean(voltage))) + float(np.nanstd(voltage))
    if ground or driven:
        named = ground or driven
        rest = tuple(name for name in nearness if name not in named)
        if rest:
            return (
                ElectrodeRoles(driven or rest, ground or rest),
                f"the names of the electrodes ({'GND' if ground else 'SRC'}), and where current was measured",
            )
        return None, ""
    if len(nearness) < 2:
        return None, ""
    grounded = min(nearness, key=lambda name: nearness[name])
    return (
        ElectrodeRoles(tuple(name for name in nearness if name != grounded), (grounded,)),
        "where current was measured; ground has the smallest mean and spread in voltage",
    )


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
    inputs, grounds : tuple of str
        The driven and the grounded electrodes.
    others : tuple of str
        Columns that are neither time nor voltage or current of an electrode with a voltage.
    """

    time: FloatArray
    electrodes: tuple[str, ...]
    voltages: FloatArray
    currents: FloatArray
    inputs: tuple[str, ...]
    grounds: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The electrodes that are neither driven nor grounded."""
        return tuple(name for name in self.electrodes if name not in (*self.grounds, *self.inputs))

    @property
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

    def _columns(self, names: tuple[str, ...]) -> list[int]:
        strange = [name for name in names if name not in self.electrodes]
        if strange:
            raise ValueError(f"{strange[0]!r} is not an electrode of the table; it has {', '.join(self.electrodes)}")
        return [self.electrodes.index(name) for name in names]


def read_measured_table(
    path: str | PathLike[str], *, driven: Sequence[str] | None = None, ground: Sequence[str] | None = None
) -> MeasuredTable:
    """Read a table of measured voltages and currents.

    Parameters
    ----------
    path : path
        A text file; see the top of `inmateria.recording.formats.measured_tables`.
    driven, ground : sequence of str, optional
        Driven and grounded electrodes; by default see `electrode_roles`. Needed if no current was measured.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a table, is truncated, has invalid values, or does not say which electrodes were driven; the
        message names file and line.
    """
    path = Path(path)
    table = read_text_table(path)
    units = dict(zip(table.names, table.units, strict=True))
    electrodes = tuple(
        name.removesuffix(VOLTAGE) for name in table.names if name.endswith(VOLTAGE) and units[name] == "V"
    )
    if units.get(_TIME) != "s" or not electrodes:
        raise ValueError(
            f"{path} is not a table of measurements: it has no column Time[s] or no <electrode>_V[V]; "
            f"it has {', '.join(table.names[:8])}"
        )
    if len(table.values) < 2:
        raise ValueError(f"{path} has {len(table.values)} samples; a table of measurements needs at least two")
    column = {name: table.values[:, k] for k, name in enumerate(table.names)}
    missing = np.full(len(table.values), np.nan)
    time = column[_TIME]
    voltages = np.column_stack([column[name + VOLTAGE] for name in electrodes])
    currents = np.column_stack([column.get(name + CURRENT, missing) for name in electrodes])
    wrong = ~np.isfinite(voltages).all(axis=1) | ~np.isfinite(time)
    wrong[1:] |= ~(np.diff(time) > 0)
    if wrong.any():
        raise ValueError(
            f"{path}, line {table.lines[int(wrong.argmax())]}: time must ascend, time and voltages must be finite, "
            "and currents finite or nan"
        )
    found, _ = electrode_roles(table, electrodes)
    if found is None and (driven is None or ground is None):
        raise ValueError(
            f"{path} does not say which electrodes were driven and grounded, since current was measured at fewer than "
            f"two; state driven and ground, of {', '.join(electrodes)}"
        )
    inputs = tuple(driven) if driven is not None else found.driven if found else ()
    grounds = tuple(ground) if ground is not None else found.ground if found else ()
    if strange := [name for name in (*inputs, *grounds) if name not in electrodes]:
        raise ValueError(f"{path} has no electrode {strange[0]}; it has {', '.join(electrodes)}")
    taken = {_TIME, *(name + ending for name in electrodes for ending in (VOLTAGE, CURRENT))}
    others = tuple(name for name in table.names if name not in taken)
    return MeasuredTable(time, electrodes, voltages, currents, inputs, grounds, others)
