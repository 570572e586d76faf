"""Reading of NWB files with pynwb: those that `inmateria export` wrote, and all others as a block of neo.

neo's own reader of NWB takes other objects for signals, drops starting times, and fails on files of pynwb 4.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import neo
import numpy as np
import quantities as pq
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.base import Images
from pynwb.epoch import TimeIntervals
from pynwb.icephys import PatchClampSeries
from pynwb.image import ImageSeries

from inmateria.recording.format import EXCHANGE, Note, RecordingError
from inmateria.recording.formats.columns import FloatArray, channel_unit
from inmateria.recording.formats.neo_blocks import neo_unit, stretches
from inmateria.recording.formats.nwb import from_leaves
from inmateria.recording.formats.own_exports import Section, plan_own, spikes_of
from inmateria.recording.formats.plan import Plan
from inmateria.substrate import SubstrateInfo
from inmateria.units import read_unit

_UNITS = {"volts": "V", "amperes": "A", "n.a.": "1", "siemens": "S", "ohms": "ohm", "seconds": "s", "a.u.": "1"}
_SAID = ("session_description", "identifier", "institution", "lab", "experiment_description", "session_id", "notes")
_EVEN = 1e-6  # of a period


def read_nwb(path: Path) -> "tuple[Plan, None] | tuple[neo.Block, list[str]]":
    """Read an NWB file.

    Returns
    -------
    plan : Plan, or neo.Block
        Of an export of inmateria, the plan to bring it back; of any other file, its signals, spikes and events.
    left : list of str, or None
        What is not in the block.

    Raises
    ------
    RecordingError
        If the file is no valid NWB.
    """
    try:
        with NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
            held = file.read()
            if "recording" in held.processing and "recording" in held.processing["recording"].data_interfaces:
                return _own(held), None
            return _block(held)
    except (RecordingError, MemoryError):
        raise
    except Exception as error:  # pynwb and hdmf raise errors of many types
        raise RecordingError(f"{path} cannot be read as NWB ({type(error).__name__}: {error})") from error


def _own(file: NWBFile) -> Plan:
    """Return the plan to bring an exported recording back."""
    module = file.processing["recording"]
    table = module["recording"]
    told = from_leaves(zip(table["place"][:], table["json"][:], strict=True))
    info = msgspec.convert(told["info"], SubstrateInfo, strict=False)
    listed = file.intervals["exchanges"]
    rows = np.zeros(len(listed), EXCHANGE)
    rows["session"] = listed["session"][:] if "session" in listed.colnames else int(told["session"])
    for name in ("sequence", "step", "steps", "sent", "round_trip"):
        rows[name] = listed[name][:]
    in_file = np.asarray(listed["start_time"][:], dtype=np.float64)
    # Sessions, each with a clock of its own, are shifted in the file, which has one.
    rows["start"] = listed["device_start"][:] if "device_start" in listed.colnames else in_file
    shift = in_file - rows["start"]
    spikes = None
    if info.spiking:
        places = {each.name: place for place, each in enumerate(info.outputs)}
        units = file.units
        trains = [
            (places[units["channel_name"][k]], np.asarray(units["spike_times"][k], dtype=np.float64))
            for k in range(len(units))
        ]
        spikes = spikes_of(trains)
    found = stretches(rows)
    drives = _sides(file.stimulus, [each.name for each in info.inputs], info.inputs, len(found))
    signals = None
    if info.sampling_rate is not None:
        signals = _sides(file.acquisition, [each.name for each in info.outputs], info.outputs, len(found))
    sections = []
    for number, each in enumerate(found):
        mine = rows[each.start : each.stop]
        begin = -np.inf if number == 0 else in_file[each.start]
        end = np.inf if number + 1 == len(found) else in_file[each.stop]
        some = None if spikes is None else spikes[(spikes["time"] >= begin) & (spikes["time"] < end)]
        if some is not None and shift[each.start]:
            some["time"] -= shift[each.start]
        sections.append(Section(mine, drives[number], None if signals is None else signals[number], some))
    return plan_own(
        info,
        sections,
        list(_own_notes(file, int(told["session"]), dict(zip(rows["session"].tolist(), shift.tolist(), strict=True)))),
        annotations=told.get("annotations") or {},
        provenance={name: told[name] for name in ("software", "script", "created") if told.get(name)},
        source="NWB",
        finished=bool(told.get("finished", True)),
    )


def _sides(series: Mapping[str, Any], wanted: Sequence[str], channels: Sequence[Any], count: int) -> list[FloatArray]:
    """Return the stimulus or the response of each section, from the series of all units."""
    found: dict[int, dict[int, FloatArray]] = {}
    for each in series.values():
        if not str(each.comments).startswith("columns: "):
            continue
        suffix = each.name.rpartition("_")[2]
        number = int(suffix) if suffix.isdigit() and count > 1 else 0
        names = str(each.comments).removeprefix("columns: ").rpartition("; in ")[0].split(", ")
        data = np.asarray(each.data[:])
        unit = channels[wanted.index(names[0])].unit
        if data.dtype.kind == "i":
            data = data * (each.conversion / read_unit(unit).factor)
        for column, name in enumerate(names):
            found.setdefault(number, {})[wanted.index(name)] = data[:, column].astype(np.float64, copy=False)
    return [np.column_stack([found[number][k] for k in range(len(wanted))]) for number in range(count)]


def _own_notes(file: NWBFile, only: int, shifts: Mapping[int, float]) -> Iterator[Note]:
    tables = getattr(file, "events", None) or {}
    if "notes" not in tables:
        return
    table = tables["notes"]
    details: dict[int, list[tuple[str, str]]] = {}
    module = file.processing["recording"]
    if "note_details" in module.data_interfaces:
        leaves = module["note_details"]
        for row, place, text in zip(leaves["note"][:], leaves["place"][:], leaves["json"][:], strict=True):
            details.setdefault(int(row), []).append((place, text))
    for row in range(len(table)):
        session = int(table["session"][row]) if "session" in table.colnames else only
        yield Note(
            str(table["kind"][row]),
            str(table["label"][row]),
            from_leaves(details[row]) if row in details else {},
            float(table["host"][row]),
            float(table["timestamp"][row]) - shifts.get(session, 0.0),
            float(table["duration"][row]),
            session,
        )


def _block(file: NWBFile) -> "tuple[neo.Block, list[str]]":
    """Return the signals, spikes, events and intervals of a file as a block."""
    said = {name: str(getattr(file, name)) for name in _SAID if getattr(file, name, None)}
    if file.experimenter:
        said["experimenter"] = ", ".join(file.experimenter)
    if file.subject is not None:
        said |= {f"subject_{key}": str(value) for key, value in file.subject.fields.items() if value is not None}
    block = neo.Block(
        name=file.session_id or file.identifier, rec_datetime=file.session_start_time, **said
    )  # fmt: skip
    left: list[str] = []
    stimuli = {id(each) for each in file.stimulus.values()}
    sweeps: dict[int, neo.Segment] = {}

    def segment(number: int) -> "neo.Segment":
        return sweeps.setdefault(number, neo.Segment(name=f"sweep {number}" if number else "session"))

    for each in file.objects.values():
        if isinstance(each, ImageSeries | Images):
            left.append(f"{each.neurodata_type} {each.name!r}")
        elif isinstance(each, TimeSeries):
            number = int(each.sweep_number or 0) if isinstance(each, PatchClampSeries) else 0
            _add_series(segment(number), each, id(each) in stimuli, left)
        elif isinstance(each, TimeIntervals):
            _add_intervals(segment(0), each)
    if file.units is not None:
        _add_units(segment(0), file.units, left)
    for name, table in (getattr(file, "events", None) or {}).items():
        _add_events(segment(0), name, table)
    for number in sorted(sweeps):
        block.segments.append(sweeps[number])
    left += [f"analysis {name!r}" for name in file.analysis]
    left += [f"scratch {name!r}" for name in file.scratch]
    return block, left


def _add_series(segment: "neo.Segment", series: TimeSeries, is_stimulus: bool, left: list[str]) -> None:
    shape = getattr(series.data, "shape", None) or np.shape(series.data)
    if len(shape) not in (1, 2) or not shape[0]:
        left.append(f"{series.neurodata_type} {series.name!r} of shape {tuple(shape)}")
        return
    raw = np.asarray(series.data[:])
    if raw.dtype.kind not in "biuf":
        left.append(f"{series.neurodata_type} {series.name!r} of type {raw.dtype}")
        return
    data = raw.astype(np.float64).reshape(len(raw), -1)
    if series.conversion not in (None, 1.0):
        data = data * series.conversion
    if getattr(series, "channel_conversion", None) is not None:
        data = data * np.asarray(series.channel_conversion[:], dtype=np.float64)
    if series.offset not in (None, 0.0):
        data = data + series.offset
    text = _UNITS.get(str(series.unit), str(series.unit))
    unit = channel_unit(text)
    if unit is None:
        left.append(f"the unit {text!r} of {series.name!r}, which is not in UCUM (it is written as 1)")
    named = {
        "name": "stimulus" if is_stimulus else series.name,
        "units": neo_unit(unit or "1"),
        "array_annotations": {"channel_names": np.array(_channel_names(series, data.shape[1]))},
        "description": str(series.description),
    }
    if series.rate is not None:
        signal = neo.AnalogSignal(
            data, sampling_rate=float(series.rate) * pq.Hz, t_start=float(series.starting_time or 0.0) * pq.s, **named
        )
        segment.analogsignals.append(signal)
        return
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    if len(times) > 2:
        period = float(f"{(times[-1] - times[0]) / (len(times) - 1):.12g}")
        if period > 0 and (abs(times - times[0] - period * np.arange(len(times))) <= _EVEN * period).all():
            signal = neo.AnalogSignal(data, sampling_rate=1 / period * pq.Hz, t_start=times[0] * pq.s, **named)
            segment.analogsignals.append(signal)
            return
    segment.irregularlysampledsignals.append(neo.IrregularlySampledSignal(times * pq.s, data, time_units="s", **named))


def _channel_names(series: TimeSeries, width: int) -> list[str]:
    """Return the names of the electrodes, or the series' own name with the column."""
    rows = getattr(series, "electrodes", None)
    if rows is not None:
        table, picked = rows.table, np.asarray(rows.data[:])
        named = "channel_name" in table.colnames
        ids = np.asarray(table.id[:])
        names = [str(table["channel_name"][int(k)]) if named else f"electrode {ids[int(k)]}" for k in picked]
        if len(names) == width:
            return names
    if isinstance(series, PatchClampSeries) and width == 1:
        return [f"{series.electrode.name} {series.unit}"]
    return [series.name] if width == 1 else [f"{series.name} {k}" for k in range(width)]


def _add_units(segment: "neo.Segment", units: Any, left: list[str]) -> None:
    names = next((units[name] for name in ("channel_name", "unit_name") if name in units.colnames), None)
    ids = np.asarray(units.id[:])
    known = {"spike_times", "obs_intervals", "electrodes", "channel_name", "unit_name", "electrode_group"}
    left += [f"column {name!r} of the units" for name in units.colnames if name not in known]
    ends = [each.t_stop for each in segment.analogsignals]
    for row in range(len(units)):
        times = np.sort(np.asarray(units["spike_times"][row], dtype=np.float64))
        spans = (
            np.asarray(units["obs_intervals"][row]).reshape(-1) if "obs_intervals" in units.colnames else np.empty(0)
        )
        stop = max([*map(float, ends), *times[-1:], *spans], default=0.0)
        start = min([0.0, *times[:1], *spans])
        name = str(names[row]) if names is not None else f"unit {ids[row]}"
        segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_start=start * pq.s, t_stop=stop * pq.s, name=name))


def _add_intervals(segment: "neo.Segment", table: TimeIntervals) -> None:
    starts, stops = np.asarray(table["start_time"][:], dtype=float), np.asarray(table["stop_time"][:], dtype=float)
    if not len(starts):
        return
    segment.epochs.append(
        neo.Epoch(
            starts * pq.s,
            durations=(stops - starts) * pq.s,
            labels=np.array([f"{table.name} {number}" for number in np.asarray(table.id[:])]),
            name=table.name,
            array_annotations=_texts(table, {"start_time", "stop_time", "timeseries"}),
        )
    )


def _add_events(segment: "neo.Segment", name: str, table: Any) -> None:
    times = np.asarray(table["timestamp"][:], dtype=float)
    if len(times):
        labels = np.array([f"{name} {number}" for number in range(len(times))])
        marks = _texts(table, {"timestamp"})
        segment.events.append(neo.Event(times * pq.s, labels=labels, name=name, array_annotations=marks))


def _texts(table: Any, known: set[str]) -> dict[str, Any]:
    """Return the other columns of a table: numbers, or text."""
    found = {}
    for name in table.colnames:
        if name not in known:
            cells = [table[name][row] for row in range(len(table))]
            plain = np.array([each if isinstance(each, float | int | np.number) else str(each) for each in cells])
            found[name] = plain
    return found
