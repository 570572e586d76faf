"""Export of recordings to NWB.

An NWB file has one clock. The device's clock begins anew with each return to rest, so that times of later sessions are
shifted: to where the host's clock puts them, or behind the session before if they would overlap. The table of sessions
has each shift, and that of exchanges the device's own times.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, VectorData
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.epoch import TimeIntervals
from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData
from pynwb.misc import Units

from inmateria.recording.documents import from_json, to_json
from inmateria.recording.format import Note, RecordingError
from inmateria.recording.formats.neo_blocks import (
    channels_by_unit,
    is_regular,
    notes_by_stretch,
    sample_times,
    stretches,
    trains_by_output,
)
from inmateria.recording.formats.nwb_culture import add_experiment
from inmateria.recording.formats.nwb_subject import subject_of
from inmateria.recording.metadata import merged
from inmateria.recording.reading import Recording, open_recording
from inmateria.substrate import Channel, FloatArray, SubstrateInfo
from inmateria.units import read_unit

_UNITS = {"V": "volts", "A": "amperes", "1": "n.a.", "S": "siemens", "ohm": "ohms", "s": "seconds"}
_IN_NAMES = {"1": "plain", "%": "percent"}
_CHUNK_BYTES = 4_000_000


def write_nwb(path: Path, out: Path, metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write a recording as NWB.

    Parameters
    ----------
    path, out : Path
    metadata : dict
        Description of the experiment, as `inmateria.recording.metadata.checked_metadata` returns it; it comes before
        the annotations of the recording, which are used under the same names.

    Returns
    -------
    left_out : tuple of str
        What NWB cannot represent.
    missing : tuple of str
        What DANDI needs beyond what is known.

    Raises
    ------
    RecordingError
        If there are no exchanges, or the metadata cannot be written.
    """
    with open_recording(path) as recording:
        if not len(recording):
            raise RecordingError(f"{path} has no exchanges; at least one is needed for NWB")
        sections = _sections(recording)
        file, missing = _file(recording, sections, merged(recording.annotations, metadata))
        with NWBHDF5IO(str(out), "w") as writer:
            writer.write(file)
        left = [
            "the checksum of each exchange",
            "NaN as the device's time of a note (replaced by the start of its section)",
        ]
        if recording.scale is not None and _split_scales(recording):
            left.append("int16 counts of outputs with different scales (the same values in units are there)")
        return tuple(left), tuple(missing)


@dataclass(frozen=True, eq=False)
class _Section:
    """A stretch of continuous device time.

    Parameters
    ----------
    rows : range
        Its exchanges.
    shift : float
        Time in the file minus time on the device's clock, s.
    notes : list of Note
    """

    rows: range
    shift: float
    notes: list[Note]


def _sections(recording: Recording) -> list[_Section]:
    """Return the stretches of a recording, shifted so that none begins before the one before it has ended."""
    exchanges = recording.exchanges
    found = stretches(exchanges)
    zero = float(exchanges["sent"][0] - exchanges["start"][0])  # host clock at the device's time 0
    sections: list[_Section] = []
    shift, ended, session = 0.0, -np.inf, int(exchanges["session"][0])
    for rows, notes in zip(found, notes_by_stretch(recording, found), strict=True):
        first, last = exchanges[rows.start], exchanges[rows.stop - 1]
        if first["session"] != session:
            session = int(first["session"])
            shift = max(float(first["sent"] - first["start"]) - zero, ended - float(first["start"]))
        sections.append(_Section(rows, shift, notes))
        ended = shift + float(last["start"] + last["step"] * last["steps"])
    return sections


def _file(
    recording: Recording, sections: Sequence[_Section], annotations: Mapping[str, Any]
) -> tuple[NWBFile, list[str]]:
    info = recording.info
    first = recording.exchanges[0]
    script = recording.script
    sourced = {}
    if script.get("commit"):
        sourced = {
            "source_script": f"commit {script['commit']}{' with changes' if script.get('changed') else ''}, "
            f"SHA-256 {script['sha256']}",
            "source_script_file_name": str(script["name"]),
        }
    began = annotations.get("session_start_time")
    sessions = len(np.unique(recording.exchanges["session"]))
    described = annotations.get("session_description") or annotations.get("description")
    file = NWBFile(
        session_description=str(
            described or f"{info.kind} {info.id}, {sessions} session{'' if sessions == 1 else 's'} from rest"
        ),
        identifier=str(uuid5(NAMESPACE_URL, f"inmateria:{info.id}:{recording.created}")),
        session_start_time=datetime.fromtimestamp(max(0.0, float(first["sent"] - first["start"])), UTC)
        if began is None
        else datetime.fromisoformat(began),
        session_id=annotations.get("session_id") or re.sub(r"[^0-9A-Za-z]", "-", recording.created),
        experiment_description=annotations.get("experiment_description") or f"stimuli given to a {info.kind}",
        **{name: annotations.get(name) for name in _AS_GIVEN},
        **sourced,
    )
    device = file.create_device(name=info.id, description=f"{info.kind}, reached through inmateria")
    file.subject, missing = subject_of(annotations, info)
    add_experiment(file, annotations, device)
    metadata = {
        "info": info, "annotations": annotations, "software": recording.software, "script": script,
        "created": recording.created, "session": int(first["session"]), "finished": recording.finished,
        "dropped": recording.dropped, "kept": recording.kept,
    }  # fmt: skip
    leaves = _leaves(msgspec.to_builtins(metadata))
    file.create_processing_module("recording", "metadata of the recording and details of its notes").add(DynamicTable(
        name="recording",
        description="metadata of the recording: places in a JSON document, and their values",
        **_columns({
            "place": ("as a JSON pointer, positions in lists with a -", [place for place, _ in leaves]),
            "json": ("value", [text for _, text in leaves]),
        }),
    ))  # fmt: skip
    electrodes = _electrodes(file, info, device) if _is_electrical(info) else None
    for number, section in enumerate(sections):
        _add_signals(file, recording, section, "" if len(sections) == 1 else f"_{number}", electrodes)
    shifts = np.repeat([each.shift for each in sections], [len(each.rows) for each in sections])
    if info.spiking:
        resolution = annotations.get("spike_resolution")
        _add_units(file, recording, sections, shifts, electrodes, resolution)
        if resolution is None:
            missing.append("it lacks the resolution of spike times: --meta spike_resolution=SECONDS")
    _add_sessions(file, recording.exchanges, shifts)
    _add_exchanges(file, recording.exchanges, shifts)
    _add_notes(file, recording, sections)
    return file, missing


_AS_GIVEN = (
    "experimenter", "keywords", "institution", "lab", "related_publications", "notes", "protocol", "pharmacology",
    "surgery", "stimulus_notes", "data_collection",
)  # fmt: skip
"""Arguments of pynwb's NWBFile that are annotations of the same name."""


def _is_electrical(info: SubstrateInfo) -> bool:
    """Return whether the outputs are electrodes near cells, for which NWB has types of its own."""
    return info.spiking and any(_base(channel.unit)[0] == "V" for channel in info.outputs)


def _electrodes(file: NWBFile, info: SubstrateInfo, device: Any) -> list[int]:
    """Create the table of electrodes, one for each output, and return their rows."""
    group = file.create_electrode_group("electrodes", "all outputs", "unknown", device)
    file.add_electrode_column("channel_name", "name of the channel")
    places = info.layout.electrodes if info.layout is not None else {}
    metres = _base(info.layout.unit)[1] if info.layout is not None else 1.0
    for row, channel in enumerate(info.outputs):
        place = {}
        if channel.name in places:
            x, y = places[channel.name]
            place = {"rel_x": x * metres * 1e6, "rel_y": y * metres * 1e6, "rel_z": 0.0}  # NWB's are um
        elif places:
            place = {"rel_x": np.nan, "rel_y": np.nan, "rel_z": np.nan}
        file.add_electrode(id=row, location="unknown", group=group, channel_name=channel.name, **place)
    return list(range(len(info.outputs)))


def _add_signals(
    file: NWBFile, recording: Recording, section: _Section, suffix: str, electrodes: list[int] | None
) -> None:
    info, exchanges = recording.info, recording.exchanges[section.rows.start : section.rows.stop]
    sides: list[tuple[str, str, tuple[Channel, ...]]] = [("stimulus", "steps", info.inputs)]
    if info.sampling_rate is not None:
        sides.append(("response", "samples", info.outputs))
    for side, each, channels in sides:
        table, first = ("drive", "first_step") if side == "stimulus" else ("signal", "first_sample")
        begin, count = int(exchanges[first][0]), int(exchanges[each].sum())
        if is_regular(exchanges):
            period = float(exchanges["step"][0] * exchanges["steps"][0]) / float(exchanges[each][0])
            clock: dict[str, Any] = {"starting_time": float(exchanges["start"][0]) + section.shift, "rate": 1 / period}
        else:
            clock = {"timestamps": sample_times(exchanges, each) + section.shift}
        for unit, columns in channels_by_unit(channels).items():
            base, factor = _base(unit)
            scale = None
            if side == "response" and recording.scale is not None:
                scale = recording.scale[columns]
                if (scale == scale[0]).all():
                    factor, scale = factor * float(scale[0]), None
            named = ", ".join(channels[column].name for column in columns)
            described: dict[str, Any] = {
                "name": f"{side}_{_IN_NAMES.get(unit, unit).replace('/', '_per_')}{suffix}",
                "description": f"{'driven into' if side == 'stimulus' else 'came out of'} {info.id}: {named}",
                "comments": f"columns: {named}; in {unit} as recorded",
                "data": _Rows(recording, table, begin, count, columns, scale),
                "conversion": factor,
                **clock,
            }
            if side == "response" and electrodes is not None and base == "V":
                region = file.create_electrode_table_region([electrodes[column] for column in columns], "the outputs")
                file.add_acquisition(ElectricalSeries(electrodes=region, **described))
            else:
                series = TimeSeries(unit=_UNITS.get(base, base), **described)
                (file.add_stimulus if side == "stimulus" else file.add_acquisition)(series)


class _Rows(GenericDataChunkIterator):  # type: ignore[misc]
    """Rows and columns of a table, read piece by piece."""

    def __init__(
        self,
        recording: Recording,
        table: str,
        first: int,
        count: int,
        columns: list[int],
        scale: npt.NDArray[np.float64] | None,
    ) -> None:
        self._read = recording.rows
        self._table, self._first, self._count, self._columns, self._scale = table, first, count, columns, scale
        self._kind = np.dtype("f8") if scale is not None else recording.rows(table, 0, 0).dtype
        size = max(1, len(columns) * self._kind.itemsize)
        chunk = (max(1, min(count, _CHUNK_BYTES // size)), len(columns))
        super().__init__(buffer_shape=chunk, chunk_shape=chunk)

    def _get_data(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        rows, columns = selection
        data = self._read(self._table, self._first + rows.start, self._first + rows.stop)[:, self._columns]
        if self._scale is not None:
            data = data * self._scale
        return data[:, columns]

    def _get_maxshape(self) -> tuple[int, ...]:
        return self._count, len(self._columns)

    def _get_dtype(self) -> np.dtype[Any]:
        return self._kind


def _add_units(
    file: NWBFile,
    recording: Recording,
    sections: Sequence[_Section],
    shifts: FloatArray,
    electrodes: list[int] | None,
    resolution: float | None,
) -> None:
    info, exchanges = recording.info, recording.exchanges
    file.units = Units(name="units", description="spikes of each output", resolution=resolution)
    file.add_unit_column("channel_name", "output channel of the spikes")
    spans = []
    for section in sections:
        first, last = exchanges[section.rows.start], exchanges[section.rows.stop - 1]
        end = float(last["start"] + last["step"] * last["steps"])
        spans.append([float(first["start"]) + section.shift, end + section.shift])
    spikes = recording.spikes().copy()
    spikes["time"] += np.repeat(shifts, exchanges["spikes"].astype(np.int64))
    for column, (channel, times) in enumerate(
        zip(info.outputs, trains_by_output(spikes, len(info.outputs)), strict=True)
    ):
        place = {} if electrodes is None else {"electrodes": [electrodes[column]]}
        file.add_unit(id=column, spike_times=np.sort(times), obs_intervals=spans, channel_name=channel.name, **place)


def _add_sessions(file: NWBFile, rows: npt.NDArray[np.void], shifts: FloatArray) -> None:
    firsts = np.flatnonzero(np.r_[True, rows["session"][1:] != rows["session"][:-1]])
    lasts = np.r_[firsts[1:], len(rows)] - 1
    ends = rows["start"] + rows["step"] * rows["steps"] + shifts
    file.add_time_intervals(TimeIntervals(
        name="sessions",
        description="one row for each session of the recording, which begins with a return to rest",
        **_columns({
            "start_time": ("of its first exchange, s", (rows["start"] + shifts)[firsts]),
            "stop_time": ("of its last exchange, s", ends[lasts]),
            "session": ("number of returns to rest before it", rows["session"][firsts].astype(np.int64)),
            "shift": ("time in this file minus time on the device's clock, s", shifts[firsts]),
        }),
    ))  # fmt: skip


def _add_exchanges(file: NWBFile, rows: npt.NDArray[np.void], shifts: FloatArray) -> None:
    file.add_time_intervals(TimeIntervals(
        name="exchanges",
        description="one row for each stimulus and its response",
        **_columns({
            "start_time": ("s", rows["start"] + shifts),
            "stop_time": ("s", rows["start"] + rows["step"] * rows["steps"] + shifts),
            "device_start": ("start on the device's clock, s", rows["start"]),
            "session": ("number of returns to rest before it", rows["session"].astype(np.int64)),
            "sequence": ("exchanges before it since the last return to rest", rows["sequence"].astype(np.int64)),
            "step": ("duration of one step, s", rows["step"]),
            "steps": ("number of steps", rows["steps"].astype(np.int64)),
            "sent": ("host clock when the stimulus left, s since 1970", rows["sent"]),
            "round_trip": ("s until the response was received", rows["round_trip"]),
        }),
    ))  # fmt: skip


def _add_notes(file: NWBFile, recording: Recording, sections: Sequence[_Section]) -> None:
    timed = list(_timed(recording, sections))
    if not timed:
        return
    some = [note for _, note in timed]
    file.add_events_table(EventsTable(
        name="notes",
        description="markers, changed parameters, dropped or unanswered exchanges",
        **_columns({
            "timestamp": ("s", np.array([at for at, _ in timed])),
            "duration": ("s", np.array([note.duration for note in some])),
            "kind": ("kind of note", [note.kind for note in some]),
            "session": ("number of returns to rest before it", np.array([note.session for note in some])),
            "label": ("short description", [note.label for note in some]),
            "host": ("host clock, s since 1970", np.array([note.host for note in some])),
        }),
    ))  # fmt: skip
    details = [(row, *leaf) for row, note in enumerate(some) for leaf in _leaves(note.details) if note.details]
    if details:
        rows, places, values = zip(*details, strict=True)
        file.processing["recording"].add(DynamicTable(
            name="note_details",
                description="details of the notes: places in a JSON document each, and their values",
            **_columns({
                "note": ("row of the table of notes", np.array(rows)),
                "place": ("as a JSON pointer, positions in lists with a -", list(places)),
                "json": ("value", list(values)),
            }),
        ))  # fmt: skip


def _timed(recording: Recording, sections: Sequence[_Section]) -> Iterator[tuple[float, Note]]:
    for section in sections:
        start = float(recording.exchanges["start"][section.rows.start])
        for note in section.notes:
            yield (start if np.isnan(note.device) else note.device) + section.shift, note


def _columns(columns: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return the columns of a table, each from a description and values."""
    special = {"timestamp": TimestampVectorData, "duration": DurationVectorData}
    made = [
        special.get(name, VectorData)(name=name, description=text, data=data) for name, (text, data) in columns.items()
    ]
    return {"columns": made, "colnames": list(columns)}


def _leaves(value: Any, place: str = "") -> list[tuple[str, str]]:
    """Flatten a JSON document to places and their values; the inverse of `from_leaves`.

    Places are JSON pointers (RFC 6901), with ``-`` before positions in lists, and ``~2`` for a leading ``-`` of a key,
    so that lists are distinguished from dicts with numbers as keys.
    """
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list | tuple):
        inner = list(enumerate(value))
    if not inner:
        return [(place, to_json(value).decode())]
    found = []
    for key, item in inner:
        word = str(key).replace("~", "~0").replace("/", "~1")
        if isinstance(value, dict):
            word = f"~2{word[1:]}" if word.startswith("-") else word
        else:
            word = f"-{word}"
        found += _leaves(item, f"{place}/{word}")
    return found


def from_leaves(leaves: Iterable[tuple[str, str]]) -> Any:
    """Return the JSON document with given values at given places."""
    root: list[Any] = [None]
    for place, text in leaves:
        holder: Any = root
        key: Any = 0
        for word in place.split("/")[1:]:
            listed = re.fullmatch(r"-\d+", word)
            inner: Any = int(word[1:]) if listed else word.replace("~1", "/").replace("~2", "-").replace("~0", "~")
            if (holder[key] if isinstance(holder, list) else holder.get(key)) is None:
                holder[key] = [] if listed else {}
            holder = holder[key]
            if listed and len(holder) == inner:
                holder.append(None)
            key = inner
        holder[key] = from_json(text)
    return root[0]


def _base(unit: str) -> tuple[str, float]:
    """Split a unit into the unit without prefixes and the factor of the prefixes."""
    read = read_unit(unit)
    return read.base, read.factor


def _split_scales(recording: Recording) -> bool:
    scale = recording.scale
    groups = channels_by_unit(recording.info.outputs).values()
    return scale is not None and any((scale[columns] != scale[columns][0]).any() for columns in groups)
