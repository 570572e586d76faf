"""Import of tables: columns of text, NumPy, MATLAB and Parquet files become inputs and outputs of a recording.

The stimulus is what was measured at the driven columns. A value that was not read is NaN. Each row is a step, at its
own time; rows that are evenly spaced, as far as their digits tell, have the rate of the table.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inmateria.recording.format import Exchange, Note, RecordingError
from inmateria.recording.formats.column_roles import Roles, Stated, roles_of
from inmateria.recording.formats.columns import ColumnTable, FloatArray
from inmateria.recording.formats.plan import Plan, Row
from inmateria.recording.order_of_reading import described, reading_order
from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo
from inmateria.units import read_unit

_TOGETHER = 100  # evenly spaced rows in an exchange
_ULPS = 4
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def plan_table(path: Path, table: ColumnTable, stated: Stated, *, kind: str | None = None) -> Plan:
    """Plan the import of a table.

    Parameters
    ----------
    path : Path
        The file, which gives the recording its identity.
    table : ColumnTable
    stated : Stated
        What the user states of the columns.
    kind : str, optional
        Kind of substrate.

    Raises
    ------
    RecordingError
        If the roles of the columns are not known, or times do not ascend.
    """
    try:
        roles = roles_of(table, stated)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from None
    unasked = list(table.left_out)
    asked = [f"column {table.names[column]}" for column in _lost(table, roles)]
    drive = table.values[:, list(roles.driven)]
    good = np.asarray(np.isfinite(drive).all(axis=1))
    if missing := int(len(good) - good.sum()):
        unasked.append(f"{missing} rows in which a driven column has no value")
    if not good.any():
        raise RecordingError(f"{path} has no row in which all driven columns have a value")
    lines = table.lines[good]
    time, step, detail, regular = _clock(path, table, roles, stated.rate, good, lines)
    signal = table.values[good][:, list(roles.read)]
    drive = drive[good]
    inputs = _channels(table, roles, roles.driven, drive)
    if not inputs:
        inputs, drive = (Channel(name="none", unit="1", low=-1.0, high=1.0),), np.zeros((len(time), 1))
    parameters: dict[str, Any] = {"source": table.source}
    if roles.ground:
        parameters["ground"] = [table.names[column] for column in roles.ground]
    if roles.electrodes:
        parameters["electrodes"] = list(roles.electrodes)
        grounds = {name.removesuffix("_V").removesuffix("_I") for name in parameters.get("ground", [])}
        parameters["ground"] = [name for name in roles.electrodes if name in grounds]
    info = SubstrateInfo(
        id=identifier(path.stem),
        kind=kind or ("nanowire-network" if roles.electrodes else "imported"),
        inputs=inputs,
        outputs=_channels(table, roles, roles.read, signal),
        step=step,
        sampling_rate=1 / step if stated.rate is None else stated.rate,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
        parameters=parameters,
    )
    behind, notice = _order_of_reading(table, roles, drive, signal) if roles.driven else ((), "")
    annotations: dict[str, Any] = {"imported": {"file": path.name, "source": table.source}}
    if behind:
        annotations["imported"]["follow_previous_input"] = [table.names[column] for column in behind]
    return Plan(
        source=f"{table.source}; {len(table.values):,} rows",
        rows=_rows(table, roles, detail, behind),
        info=info,
        steps=len(time),
        items=lambda: _exchanges(time, step, drive, signal, _TOGETHER if regular else 1),
        roles=roles.told_by,
        left_out=(*unasked, *asked),
        unasked=tuple(unasked),
        annotations=annotations,
        notices=(notice,) if notice else (),
    )


def identifier(name: str) -> str:
    """Return a name as the id of a substrate."""
    return "".join(mark if mark.isalnum() and mark.isascii() else "-" for mark in name).strip("-") or "imported"


def channel(name: str, unit: str, values: FloatArray, *, rest: bool = False) -> Channel:
    """Return a channel for a column, with the range of its values; with 0 in it if it is to have that rest."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (-1.0, 1.0)
    if rest:
        low, high = min(low, 0.0), max(high, 0.0)
    if not low < high:
        low, high = low - max(1.0, abs(low)), low + max(1.0, abs(low))
    return Channel(name=name, unit=unit, low=low, high=high)


def _channels(table: ColumnTable, roles: Roles, columns: Sequence[int], data: FloatArray) -> tuple[Channel, ...]:
    return tuple(
        channel(table.names[column], roles.units[column], data[:, k]) for k, column in enumerate(columns)
    )  # fmt: skip


def _lost(table: ColumnTable, roles: Roles) -> list[int]:
    """Return columns with values that no role takes."""
    return [column for column in roles.unused if np.isfinite(table.values[:, column]).any()]


def _clock(
    path: Path, table: ColumnTable, roles: Roles, rate: float | None, good: Any, lines: Any
) -> tuple[FloatArray, float, str, bool]:
    """Return the times of the rows (s), the step (s), words on it, and whether rows are evenly spaced."""
    if rate is not None and not 0 < rate < float("inf"):
        raise RecordingError(f"the rate is {rate} Hz; give more than 0")
    if roles.time is None:
        assert rate is not None  # `roles_of` asks for it
        return np.flatnonzero(good) / rate, 1 / rate, f"{rate:.10g} Hz as stated", bool(good.all())
    base = read_unit(roles.units[roles.time])
    written = table.values[good, roles.time]
    time = _scaled(written, base.power, _SECONDS[base.base])
    if not np.isfinite(time).all():
        raise RecordingError(f"{path}, line {lines[int(np.argmin(np.isfinite(time)))]}: the time is missing")
    if len(time) > 1 and not (np.diff(time) > 0).all():
        line = lines[1:][int(np.argmin(np.diff(time) > 0))]
        raise RecordingError(
            f"{path}, line {line}: time must ascend; it is {table.names[roles.time]}, or state another"
        )
    if len(time) < 2:
        if rate is None:
            raise RecordingError(f"{path} has one row with a stimulus; at least 2 are needed, or the rate: --rate HZ")
        return time, 1 / rate, f"{rate:.10g} Hz as stated", True
    if rate is not None:
        even = time[0] + np.arange(len(time)) / rate
        away = float(abs(time - even).max())
        if away >= 0.5 / rate:
            raise RecordingError(
                f"{path}: the times do not fit the rate of {rate:g} Hz: they are up to {away:.3g} s away from it; "
                "state the right one, or none, which keeps the times"
            )
        return even, 1 / rate, f"{rate:.10g} Hz as stated, times up to {away:.2g} s away", True
    steps = np.diff(time)
    mean = float(f"{(time[-1] - time[0]) / (len(time) - 1):.12g}")
    grain = _ULPS * float(np.spacing(np.abs(time).max()))
    if (abs(time - (time[0] + mean * np.arange(len(time)))) <= grain).all():
        return time, mean, f"every {mean:.10g} s ({1 / mean:.6g} Hz)", True
    step = float(np.median(steps))
    return time, step, f"uneven: every {step:.4g} s (median), {steps.min():.4g} to {steps.max():.4g} s", False


def _scaled(values: FloatArray, power: int, factor: float) -> FloatArray:
    """Return times in seconds, each rounded once."""
    scaled: FloatArray = values / 10.0**-power if power < 0 else values * 10.0**power
    return scaled * factor if factor != 1 else scaled


def _exchanges(
    time: FloatArray, step: float, drive: FloatArray, signal: FloatArray, together: int
) -> Iterator[Exchange | Note]:
    for number, first in enumerate(range(0, len(time), together)):
        last = min(first + together, len(time))
        start = float(time[first])
        response = Response(signal[first:last, np.newaxis], None, start, number)
        yield Exchange(Stimulus(drive[first:last], step), response, 0, start, 0.0)


def _order_of_reading(
    table: ColumnTable, roles: Roles, drive: FloatArray, signal: FloatArray
) -> tuple[tuple[int, ...], str]:
    """Return the columns that follow the drive of the row before better than their own, and a sentence on it."""
    whole = np.flatnonzero(np.isfinite(signal).all(axis=0))
    columns = [roles.read[k] for k in whole]
    found = reading_order(signal[:, whole], drive)
    if not found.behind:
        return (), ""
    return tuple(columns[k] for k in found.behind), described(found, [table.names[column] for column in columns])


def _rows(table: ColumnTable, roles: Roles, clock: str, behind: Sequence[int] = ()) -> tuple[Row, ...]:
    rows = []
    for column, name in enumerate(table.names):
        unit = roles.units[column]
        stated = "" if unit != "1" or table.units[column] == "1" else "no unit stated"
        if column == roles.time:
            rows.append(Row(name, unit, "time", clock))
        elif column in roles.driven:
            rows.append(Row(name, unit, "driven", stated))
        elif column in roles.ground:
            rows.append(Row(name, unit, "ground", stated))
        elif column in roles.read:
            told = "follows the input of the row before" if column in behind else ""
            rows.append(Row(name, unit, "read", "; ".join(filter(None, (stated, told)))))
        elif np.isnan(table.values[:, column]).all():
            rows.append(Row(name, unit, "empty", "never read"))
        else:
            rows.append(Row(name, unit, "left out"))
    if roles.time is None:
        rows.insert(0, Row("", "s", "time", clock))
    return tuple(rows)
