"""Read an export of FinalSpark's Neuroplatform as a recording: spikes and stimulations of organoids' whole life.

An export is an HDF5 file of pandas tables, ``/fs300_wholelife_events`` (time_of_event, electrode, max_voltage_uv) and
``/fs300_wholelife_stimulations`` (time_of_stim, electrode, and the parameters of each), in one file or two.
"""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from inmateria.adapters.neuroplatform.pickles import refuse_code_in_pickles
from inmateria.recording import RecordingError
from inmateria.recording.formats.hdf5_inspection import inspect_hdf5

if TYPE_CHECKING:
    import neo
    import pandas as pd

__all__ = ["is_export", "read_export"]

_TABLES = {"events": "time_of_event", "stimulations": "time_of_stim"}


def read_export(*paths: str | PathLike[str]) -> "neo.Block":
    """Read an export as a `neo.Block`.

    It has one segment with a `SpikeTrain` for each electrode, in seconds after the first entry of the export, with
    the peak voltage of each spike as array annotation ``max_voltage`` (uV), and an `Event` "stimulation" with the
    electrode as label and all parameters of the export as array annotations. ``block.rec_datetime`` is the time of
    the first entry, in UTC.

    Parameters
    ----------
    *paths : path-like
        The files of one export.

    Raises
    ------
    RecordingError
        If a file does not exist or is no such export, or the files are of different organoids.
    """
    import neo
    import quantities as pq

    tables: dict[str, pd.DataFrame] = {}
    names = set()
    for path in paths:
        for name, kind, table in _tables(Path(path)):
            names.add(name)
            tables[kind] = table
    if not tables or len(names) > 1:
        raise RecordingError(
            f"{', '.join(map(str, paths))} hold tables of {', '.join(sorted(names)) or 'nothing'}; "
            "give the files of one export, with /fsNNN_wholelife_events or /fsNNN_wholelife_stimulations"
        )
    clocks = {kind: _seconds(table[_TABLES[kind]]) for kind, table in tables.items()}
    held = [each for each in clocks.values() if len(each)]
    start = min((float(each.min()) for each in held), default=0.0)
    stop = max((float(each.max()) for each in held), default=0.0) - start
    block = neo.Block(
        name=names.pop(),
        file_origin=", ".join(Path(path).name for path in paths),
        rec_datetime=np.datetime64(round(1e6 * start), "us").item(),
        kind="neural-culture",
    )
    segment = neo.Segment(name="whole life")
    block.segments.append(segment)
    if "events" in tables:
        events = tables["events"]
        electrodes = events["electrode"].to_numpy()
        for electrode in np.unique(electrodes).tolist():
            mine = np.flatnonzero(electrodes == electrode)
            mine = mine[np.argsort(clocks["events"][mine], kind="stable")]
            train = neo.SpikeTrain(
                (clocks["events"][mine] - start) * pq.s,
                t_stop=stop * pq.s,
                name=f"e{electrode:03d}",
                array_annotations={"max_voltage": events["max_voltage_uv"].to_numpy(float)[mine]},
                electrode=int(electrode),
            )
            segment.spiketrains.append(train)
    if "stimulations" in tables:
        stimulations = tables["stimulations"]
        order = np.argsort(clocks["stimulations"], kind="stable")
        annotations = {
            str(column): _plain(stimulations[column].to_numpy()[order])
            for column in stimulations.columns
            if column != "time_of_stim"
        }
        segment.events.append(
            neo.Event(
                (clocks["stimulations"][order] - start) * pq.s,
                labels=[f"e{electrode:03d}" for electrode in stimulations["electrode"].to_numpy()[order].tolist()],
                name="stimulation",
                array_annotations=annotations,
            )
        )
    block.check_relationships()
    return block


def is_export(path: str | PathLike[str]) -> bool:
    """Return whether a file is HDF5 and has a table of an export."""
    try:
        with h5py.File(path, "r") as file:
            return any("_wholelife_" in name for name in file)
    except OSError:
        return False


def _tables(path: Path) -> "list[tuple[str, str, pd.DataFrame]]":
    """Return the tables of an export in a file: organoids, kind, table."""
    try:
        import pandas as pd
        import tables  # noqa: F401 (pandas reads HDF5 with it)
    except ImportError:
        raise RecordingError(
            'the exports of the Neuroplatform are read with pandas and tables: pip install "inmateria[neuroplatform]"'
        ) from None
    if not path.is_file():
        raise RecordingError(f"{path} does not exist; give the path of an export (.h5, .hdf5)")
    if h5py.is_hdf5(path):
        inspect_hdf5(path)
        refuse_code_in_pickles(path)
    found = []
    try:
        with pd.HDFStore(str(path), "r") as store:
            for key in store.keys():  # noqa: SIM118 (it is not a dict)
                name, _, kind = key.lstrip("/").partition("_wholelife_")
                if kind in _TABLES:
                    found.append((name, kind, store[key]))
    except Exception as error:
        # PyTables and pandas raise errors of many types for a file that is cut or of another kind.
        raise RecordingError(f"{path} cannot be read as an export of the Neuroplatform ({error})") from None
    for _, kind, table in found:
        wanted = {"electrode", _TABLES[kind]} | ({"max_voltage_uv"} if kind == "events" else set())
        missing = sorted(wanted - set(table.columns))
        if missing:
            raise RecordingError(f"{path} has {kind} without {', '.join(missing)}")
    return found


def _seconds(times: "pd.Series") -> Any:
    """Convert times to seconds since 1970; times without a zone are UTC."""
    import pandas as pd

    return pd.to_datetime(times, utc=True).dt.as_unit("ns").astype("int64").to_numpy() / 1e9


def _plain(values: Any) -> Any:
    """Convert a column to an array that neo accepts as annotation: numbers or strings."""
    return values if values.dtype.kind in "biuf" else values.astype(str)
