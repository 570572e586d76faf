"""Measurements of real nanowire networks as text tables, as package rcbench has them, made into recordings.

A line of names, ``Time[s] 8_V[V] 8_I[A] 17_V[V] ...``, then a line each time all electrodes were read, apart by
spaces. The voltage on an electrode that is driven was measured as well, and is what counts as the stimulus:
what was commanded is not in the table. A current that was not read is NaN. The clock jitters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from inmateria.recording.format import Exchange, RecordingError
from inmateria.recording.importing import Imported
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo

_COLUMN = re.compile(r"(?P<electrode>.+)_(?P<what>V\[V\]|I\[A\])")


@dataclass(frozen=True, eq=False, slots=True)
class Measurement:
    """A table of voltages and currents.

    Parameters
    ----------
    time : ndarray of float, shape (rows,)
        s, increasing, not evenly.
    electrodes : tuple of str
        As the table names them.
    voltage, current : ndarray of float, shape (rows, electrodes)
        V and A; NaN where one was not read.
    """

    time: FloatArray
    electrodes: tuple[str, ...]
    voltage: FloatArray
    current: FloatArray

    @property
    def ground(self) -> str:
        """The electrode whose voltage has the smallest mean and spread (sum of both, without sign)."""
        size = np.abs(np.nanmean(self.voltage, axis=0)) + np.nanstd(self.voltage, axis=0)
        return self.electrodes[int(np.nanargmin(size))]

    @property
    def driven(self) -> tuple[str, ...]:
        """The electrodes that were driven: those whose current was read, but for the ground.

        Where none but the ground's was, the one whose voltage spreads most.
        """
        read = np.isfinite(self.current).any(axis=0)
        found = [name for name, was in zip(self.electrodes, read, strict=True) if was and name != self.ground]
        if found:
            return tuple(found)
        return (self.electrodes[int(np.nanargmax(np.nanstd(self.voltage, axis=0)))],)


def is_measurement(path: str | PathLike[str]) -> bool:
    """Say whether a file begins as such a table does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(8) == b"Time[s] "
    except OSError:
        return False


def read_measurement(path: str | PathLike[str]) -> Measurement:
    """Read such a table.

    Raises
    ------
    RecordingError
        Where the file is no such table, or its time does not increase.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as file:
            names = file.readline().split()
            rows = np.loadtxt(file, ndmin=2)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be read as a table of numbers ({error})") from None
    if names[:1] != ["Time[s]"] or len(names) < 2 or rows.shape[1:] != (len(names),) or not len(rows):
        raise RecordingError(
            f"{path} is no measurement: a line 'Time[s] 8_V[V] 8_I[A] ...' and rows of as many numbers"
        )
    places: dict[str, dict[str, int]] = {}
    for column, name in enumerate(names[1:], 1):
        found = _COLUMN.fullmatch(name)
        if found is None:
            raise RecordingError(f"{path} has a column {name!r}; they are named as 8_V[V] or 8_I[A]")
        places.setdefault(found["electrode"], {})[found["what"][0]] = column
    if missing := [name for name, there in places.items() if "V" not in there]:
        raise RecordingError(f"{path} has no voltage of electrode {', '.join(missing)}")
    time = rows[:, 0]
    if not (np.isfinite(time).all() and (np.diff(time) > 0).all()):
        raise RecordingError(f"the time in {path} does not increase from row to row")
    never = np.full(len(rows), np.nan)
    return Measurement(
        time,
        tuple(places),
        np.stack([rows[:, there["V"]] for there in places.values()], axis=1),
        np.stack([rows[:, there["I"]] if "I" in there else never for there in places.values()], axis=1),
    )


def import_measurement(
    path: str | PathLike[str], out: str | PathLike[str], *, driven: Sequence[str] | None = None
) -> Imported:
    """Write such a table as a recording to replay.

    Each row is an exchange of one step, whose start is the time that was measured; the step is the median
    one. Inputs are the measured voltages of the driven electrodes, outputs the voltages of the others and
    every current that was read.

    Parameters
    ----------
    path, out : path-like
        The table, and the recording to make, which must not exist.
    driven : sequence of str, optional
        Which electrodes were driven; `Measurement.driven` by default.

    Raises
    ------
    RecordingError
        Where the table cannot be read, or has no such electrodes.
    """
    path = Path(path)
    table = read_measurement(path)
    chosen = tuple(table.driven if driven is None else driven)
    if strange := [name for name in chosen if name not in table.electrodes]:
        raise RecordingError(f"{path} has no electrode {', '.join(strange)}; it has {', '.join(table.electrodes)}")
    at = [table.electrodes.index(name) for name in chosen]
    others = [column for column, name in enumerate(table.electrodes) if name not in chosen]
    read = np.flatnonzero(np.isfinite(table.current).any(axis=0)).tolist()
    if not at or not (others or read):
        raise RecordingError(f"{path} leaves no {'output' if at else 'input'}; name the driven electrodes otherwise")
    good = np.isfinite(table.voltage[:, at]).all(axis=1)
    time, drive = table.time[good], table.voltage[good][:, at]
    signal = np.concatenate([table.voltage[good][:, others], table.current[good][:, read]], axis=1)
    if len(time) < 2:
        raise RecordingError(f"{path} has {len(time)} rows with a stimulus; at least 2 are needed")
    step = float(np.median(np.diff(time)))
    names = [f"{table.electrodes[column]}_V" for column in others] + [
        f"{table.electrodes[column]}_I" for column in read
    ]
    units = ["V"] * len(others) + ["A"] * len(read)
    info = SubstrateInfo(
        id="".join(mark if mark.isalnum() and mark.isascii() else "-" for mark in path.stem).strip("-") or "measured",
        kind="nanowire-network",
        inputs=_channels([f"{name}_V" for name in chosen], ["V"] * len(chosen), drive),
        outputs=_channels(names, units, signal),
        step=step,
        sampling_rate=1 / step,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
        parameters={"ground": table.ground, "electrodes": list(table.electrodes)},
    )
    writer = RecordingWriter(out, info, {"imported": {"measurement": path.name}}, provenance={})
    writer.append([
        Exchange(Stimulus(given, step), Response(came, None, float(start), row), 0, float(start), 0.0)
        for row, (start, given, came) in enumerate(zip(time, drive[:, None], signal[:, None, None], strict=True))
    ])  # fmt: skip
    writer.end()
    missing = int(len(good) - good.sum())
    left = (f"{missing} rows in which a driven electrode's voltage was not read",) if missing else ()
    return Imported(Path(out), len(time), left)


def _channels(names: Sequence[str], units: Sequence[str], data: FloatArray) -> tuple[Channel, ...]:
    """Describe columns by the range of what was measured."""
    channels = []
    for name, unit, column in zip(names, units, data.T, strict=True):
        values = column[np.isfinite(column)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (-1.0, 1.0)
        channels.append(Channel(name=name, unit=unit, low=low, high=high if high > low else low + 1.0))
    return tuple(channels)
