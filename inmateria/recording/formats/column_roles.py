"""Roles of the columns of a table: which is time, which was driven, grounded and read. Asked for, never guessed.

Where currents were measured they tell: current is measured where an electrode is connected, that is driven or grounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inmateria.recording.formats.columns import ColumnTable, channel_unit
from inmateria.recording.formats.measured_tables import CURRENT, VOLTAGE, electrode_roles
from inmateria.units import read_unit

NONE = "none"
"""Stated for a role that no column has."""

_TIMES = {
    "t",
    "time",
    "times",
    "timestamp",
    "timestamps",
    "time stamp",
    "zeit",
    "temps",
    "tiempo",
    "seconds",
    "elapsed",
}


@dataclass(frozen=True, slots=True)
class Stated:
    """Roles and units that the user states of a table; columns by name, by electrode, or by number (1 or #1, ...).

    Parameters
    ----------
    time : str, optional
        Column of times, or ``"none"``.
    driven, ground, read : sequence of str, optional
        Columns, or ``"none"`` alone. By default, all columns of no other role are read.
    units : dict
        Unit of columns, in the notation of `inmateria.units`.
    rate : float, optional
        Rows per second, Hz; needed if there is no column of times.
    """

    time: str | None = None
    driven: Sequence[str] | None = None
    ground: Sequence[str] | None = None
    read: Sequence[str] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles of columns, by their position.

    Parameters
    ----------
    time : int or None
    driven, ground, read, unused : tuple of int
        Columns of grounded electrodes are among those read, too.
    units : tuple of str
        Unit of each column, ``"1"`` if none is stated.
    electrodes : tuple of str
        Names of the electrodes, if columns are named by them.
    told_by : str
        Where the roles are from.
    """

    time: int | None
    driven: tuple[int, ...]
    ground: tuple[int, ...]
    read: tuple[int, ...]
    unused: tuple[int, ...]
    units: tuple[str, ...]
    electrodes: tuple[str, ...]
    told_by: str


def roles_of(table: ColumnTable, stated: Stated) -> Roles:
    """Return the roles of the columns of a table.

    Raises
    ------
    ValueError
        If they do not follow from the table and what is stated; the message says which option to give.
    """
    units = _units(table, stated.units)
    time = _time(table, stated, units)
    electrodes = tuple(
        name.removesuffix(VOLTAGE)
        for name, unit in zip(table.names, units, strict=True)
        if name.endswith(VOLTAGE) and name != VOLTAGE and unit is not None and read_unit(unit).base == "V"
    )
    others = [column for column in range(len(table.names)) if column != time]
    told_by = "what was stated"
    if stated.driven is not None:
        driven = _columns(table, stated.driven, "driven", VOLTAGE)
        ground = _columns(table, stated.ground or (), "ground", VOLTAGE, CURRENT)
    else:
        found, told_by = electrode_roles(table, electrodes)
        if found is None:
            names = ", ".join(table.names[column] for column in others)
            raise ValueError(
                "no current was measured, so that the table does not say which column was driven; state it: "
                f"--driven COLUMN, one of {names}; or --driven none if nothing was"
            )
        by_table = found.driven
        driven = tuple(table.names.index(name + VOLTAGE) for name in by_table)
        ground = _columns(table, found.ground, "ground", VOLTAGE, CURRENT)
        if stated.ground is not None:
            ground = _columns(table, stated.ground, "ground", VOLTAGE, CURRENT)
            driven = tuple(
                table.names.index(name + VOLTAGE) for name in (*by_table, *found.ground)
                if table.names.index(name + VOLTAGE) not in ground
            )  # fmt: skip
            told_by = "the ground stated, and the currents that were measured"
    if both := sorted(set(driven) & set(ground)):
        raise ValueError(f"column {table.names[both[0]]} was stated as driven and as ground; it can be one of them")
    if time is not None and time in (*driven, *ground):
        raise ValueError(f"column {table.names[time]} is time; it cannot be driven or grounded, too")
    if stated.read is not None:
        read = _columns(table, stated.read, "read", VOLTAGE, CURRENT)
        if wrong := [column for column in read if column == time or column in driven]:
            raise ValueError(f"column {table.names[wrong[0]]} was stated as read, and has another role already")
    else:
        never = np.asarray(np.isnan(table.values).all(axis=0))
        read = tuple(column for column in others if column not in driven and not never[column])
    if not read:
        raise ValueError(f"there is no column left to be read; driven: {', '.join(table.names[k] for k in driven)}")
    unused = tuple(column for column in others if column not in (*driven, *read))
    return Roles(
        time, driven, ground, read, unused, tuple(unit or "1" for unit in units), electrodes, told_by
    )  # fmt: skip


def _units(table: ColumnTable, stated: Mapping[str, str]) -> tuple[str | None, ...]:
    units = list(table.units)
    for name, unit in stated.items():
        known = channel_unit(unit)
        if known is None:
            raise ValueError(f"--units {name}={unit}: {unit!r} is no known unit; write it as in mV, uA, Ohm, Cel, 1/s")
        for column in _columns(table, [name], "units"):
            units[column] = known
    return tuple(units)


def _time(table: ColumnTable, stated: Stated, units: Sequence[str | None]) -> int | None:
    """Return the column of times, whose unit must be known."""
    time: int | None = None
    if stated.time is not None:
        found = _columns(table, [stated.time], "time")
        time = found[0] if found else None
    else:
        named = [
            column for column, (name, unit) in enumerate(zip(table.names, units, strict=True))
            if name.strip().lower() in _TIMES and (unit is None or read_unit(unit).base in ("s", "min", "h", "d"))
        ]  # fmt: skip
        if len(named) > 1:
            raise ValueError(
                f"columns {', '.join(table.names[column] for column in named)} may be time; state one: --time COLUMN"
            )
        time = named[0] if named else None
    if time is None:
        if stated.rate is None:
            raise ValueError(
                f"no column is named as a time; the columns are {', '.join(table.names)}; state it: --time COLUMN, "
                "or how many rows there are a second: --rate HZ"
            )
        return None
    if units[time] is None:
        raise ValueError(
            f"column {table.names[time]} is time, and its unit is not stated; state it: --units {table.names[time]}=s"
        )
    if read_unit(units[time] or "1").base not in ("s", "min", "h", "d"):
        raise ValueError(
            f"column {table.names[time]} is in {units[time]}, which is no unit of time; state it with --units"
        )
    return time


def _columns(table: ColumnTable, stated: Sequence[str], role: str, *endings: str) -> tuple[int, ...]:
    """Return columns by name, by electrode, or by number."""
    if list(stated) == [NONE] and NONE not in table.names:
        return ()
    found: list[int] = []
    for name in stated:
        of_electrode = [name + ending for ending in endings if name + ending in table.names]
        if name in table.names:
            mine = [table.names.index(name)]
        elif of_electrode:
            mine = [table.names.index(each) for each in of_electrode]
        else:
            number = name.removeprefix("#")
            if not (number.isascii() and number.isdigit() and 1 <= int(number) <= len(table.names)):
                raise ValueError(
                    f"--{role} {name}: there is no such column; there are "
                    + ", ".join(f"{k} {each}" for k, each in enumerate(table.names, 1))
                )
            mine = [int(number) - 1]
        if twice := [column for column in mine if column in found]:
            raise ValueError(f"--{role} names column {table.names[twice[0]]} twice")
        found += mine
    return tuple(found)
