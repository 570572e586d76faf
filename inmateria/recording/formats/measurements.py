"""Import of measurements of nanowire networks from text tables, in the format of the package rcbench.

`measured_tables` reads them. The stimulus is the measured voltage of the driven electrodes, since the commanded one is
not in the table. A current that was not read is NaN. The clock jitters.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from inmateria.recording.format import Exchange, RecordingError
from inmateria.recording.formats.importing import Imported
from inmateria.recording.formats.measured_tables import read_measured_table
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo


def is_measurement(path: str | PathLike[str]) -> bool:
    """Return whether the first line of a file is that of such a table."""
    try:
        with Path(path).open("rb") as file:
            return b"Time[s]" in file.readline(10_000)
    except OSError:
        return False


def import_measurement(
    path: str | PathLike[str], out: str | PathLike[str], *, driven: Sequence[str] | None = None
) -> Imported:
    """Write such a table as a recording to replay.

    Each row is an exchange of one step that starts at its time stamp; the duration of the step is the median. Inputs
    are the measured voltages of the driven electrodes, outputs the voltages of the others and all currents that were
    read.

    Parameters
    ----------
    path, out : path-like
        The table, and the recording to create, which must not exist.
    driven : sequence of str, optional
        Driven electrodes; by default those whose current was read, without the ground, or if there are none, the one
        with the largest standard deviation of its voltage.

    Raises
    ------
    RecordingError
        If the table cannot be read, or has no such electrodes.
    """
    path = Path(path)
    try:
        table = read_measured_table(path, gaps=True)
    except (OSError, ValueError) as error:
        raise RecordingError(str(error)) from None
    widest = table.electrodes[int(np.nanstd(table.voltages, axis=0).argmax())]
    chosen = tuple(table.inputs or [widest]) if driven is None else tuple(driven)
    if strange := [name for name in chosen if name not in table.electrodes]:
        raise RecordingError(f"{path} has no electrode {', '.join(strange)}; it has {', '.join(table.electrodes)}")
    at = [table.electrodes.index(name) for name in chosen]
    others = [column for column, name in enumerate(table.electrodes) if name not in chosen]
    read = np.flatnonzero(np.isfinite(table.currents).any(axis=0)).tolist()
    if not at or not (others or read):
        raise RecordingError(f"{path} has no {'output' if at else 'input'} left; name other driven electrodes")
    good = np.asarray(np.isfinite(table.voltages[:, at]).all(axis=1), dtype=np.bool_)
    time, drive = table.time[good], table.voltages[good][:, at]
    signal = np.concatenate([table.voltages[good][:, others], table.currents[good][:, read]], axis=1)
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
    left = [f"column {name}" for name in table.others]
    if missing:
        left.append(f"{missing} rows in which a driven electrode's voltage was not read")
    return Imported(Path(out), len(time), tuple(left))


def _channels(names: Sequence[str], units: Sequence[str], data: FloatArray) -> tuple[Channel, ...]:
    """Return channels for columns, with the range of their values."""
    channels = []
    for name, unit, column in zip(names, units, data.T, strict=True):
        values = column[np.isfinite(column)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (-1.0, 1.0)
        channels.append(Channel(name=name, unit=unit, low=low, high=high if high > low else low + 1.0))
    return tuple(channels)
