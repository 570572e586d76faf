"""Recordings as objects of neo, read at once or lazily."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.recording.documents import to_json
from inmateria.recording.format import (
    DAMAGED,
    DROPPED,
    MARKER,
    PARAMETERS,
    UNANSWERED,
    Note,
    RecordingError,
    spike_of_no_channel,
)
from inmateria.recording.reading import Recording, open_recording
from inmateria.substrate import Channel, FloatArray
from inmateria.units import PREFIXES, read_unit

if TYPE_CHECKING:
    import neo


def read_block(path: str | PathLike[str], *, lazy: bool = False) -> "neo.Block":
    """Read a recording as a `neo.Block`.

    There is one segment for each section of continuous device time with one duration of a step. It has an
    `AnalogSignal` "stimulus" and "response" for each unit of the channels, a `SpikeTrain` for each output of a spiking
    substrate, an `Event` "exchange" with sequence numbers as labels and host clock and round trip as array annotations,
    and the notes: an `Event` for each kind, and an `Epoch` "marker" for markers with a duration. If the device's clock
    jitters by more than a hundredth of a step, signals are `IrregularlySampledSignal` with the device's times.

    Parameters
    ----------
    path : path-like
    lazy : bool
        Return signals and spike trains as proxies of neo, which read with ``load(time_slice=...)``. Irregular
        signals, events and epochs are always read.

    Raises
    ------
    RecordingError
        If the file is not a recording.
    """
    import neo

    with open_recording(path) as recording:
        info = recording.info
        block = neo.Block(
            name=info.id,
            file_origin=Path(path).name,
            rec_datetime=datetime.fromisoformat(recording.created),
            kind=info.kind,
            info=_json(info),
            annotations_json=_json(recording.annotations),
            software=_json(recording.software),
            script=_json(recording.script),
            created=recording.created,
            finished=recording.finished,
            dropped=recording.dropped,
        )
        found = stretches(recording.exchanges)
        for index, (rows, notes) in enumerate(zip(found, notes_by_stretch(recording, found), strict=True)):
            block.segments.append(_segment(index, rows, notes, recording, lazy))
        if not found and recording.notes:
            segment = neo.Segment(name="no exchanges", index=0)
            _add_notes(segment, recording.notes, 0.0)
            block.segments.append(segment)
        block.check_relationships()
        return block


def stretches(exchanges: npt.NDArray[np.void]) -> list[range]:
    """Return ranges of exchanges with gaps of less than a step and one duration of a step."""
    breaks = (
        (exchanges["session"][1:] != exchanges["session"][:-1])
        | (exchanges["step"][1:] != exchanges["step"][:-1])
        | (np.abs(_gaps(exchanges)) >= exchanges["step"][1:])
    )
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(exchanges)]
    return [range(begin, end) for begin, end in pairwise(edges) if end > begin]


def is_regular(exchanges: npt.NDArray[np.void]) -> bool:
    """Return whether the device's clock was regular to a hundredth of a step."""
    return bool((np.abs(_gaps(exchanges)) <= 0.01 * exchanges["step"][1:]).all())


def sample_times(exchanges: npt.NDArray[np.void], each: str) -> FloatArray:
    """Return the device's time of each step (``"steps"``) or sample (``"samples"``), s."""
    counts = exchanges[each].astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    period = exchanges["step"] * exchanges["steps"] / np.maximum(1, counts)
    times: FloatArray = np.repeat(exchanges["start"], counts) + within * np.repeat(period, counts)
    return times


def notes_by_stretch(recording: Recording, found: Sequence[range]) -> list[list[Note]]:
    """Return the notes of each range of exchanges; the first has those before it."""
    notes: list[list[Note]] = [[] for _ in found]
    firsts = np.array([rows.start for rows in found])
    sessions = recording.exchanges["session"]
    for note in recording.notes:
        if note.kind in (MARKER, PARAMETERS, DROPPED, UNANSWERED, DAMAGED) and found:
            # A note after a return to rest belongs to the next exchange, any other to the one before it.
            nxt = note.exchange
            row = nxt if nxt < len(sessions) and sessions[nxt] == note.session else nxt - 1
            same = nxt - 1 if nxt and sessions[nxt - 1] == note.session else row
            notes[max(0, int(np.searchsorted(firsts, same, side="right")) - 1)].append(note)
    return notes


def channels_by_unit(channels: Sequence[Channel]) -> dict[str, list[int]]:
    """Return the columns of channels for each unit, in order."""
    columns: dict[str, list[int]] = {}
    for column, channel in enumerate(channels):
        columns.setdefault(channel.unit, []).append(column)
    return columns


def trains_by_output(spikes: npt.NDArray[np.void], outputs: int) -> list[FloatArray]:
    """Return the spike times (s) of each output channel, in the order in which they were recorded.

    Raises
    ------
    RecordingError
        If a spike is of no output.
    """
    if wrong := spike_of_no_channel(spikes, outputs):
        raise RecordingError(wrong)
    order = np.argsort(spikes["channel"], kind="stable")
    edges = np.searchsorted(spikes["channel"][order], np.arange(outputs + 1))
    return [spikes["time"][order[begin:end]] for begin, end in pairwise(edges.tolist())]


def _gaps(exchanges: npt.NDArray[np.void]) -> FloatArray:
    ends = exchanges["start"] + exchanges["step"] * exchanges["steps"]
    gaps: FloatArray = exchanges["start"][1:] - ends[:-1]
    return gaps


def _segment(index: int, rows: range, notes: list[Note], recording: Recording, lazy: bool) -> "neo.Segment":
    import neo
    import quantities as pq

    from inmateria.recording.formats.neo_lazy import LazySignal, LazySpikeTrain

    info, exchanges = recording.info, recording.exchanges[rows.start : rows.stop]
    first, last = exchanges[0], exchanges[-1]
    start, stop = float(first["start"]), float(last["start"] + last["step"] * last["steps"])
    segment = neo.Segment(name=f"session {first['session']}", index=index)
    sides: list[tuple[str, str, tuple[Channel, ...]]] = [("stimulus", "steps", info.inputs)]
    if info.sampling_rate is not None:
        sides.append(("response", "samples", info.outputs))
    regular = is_regular(exchanges)
    for name, each, channels in sides:
        times = None if regular else sample_times(exchanges, each)
        rate = float(first[each]) / float(first["step"] * first["steps"])
        for unit, columns in channels_by_unit(channels).items():
            named: dict[str, Any] = {
                "name": name,
                "units": neo_unit(unit),
                "array_annotations": {"channel_names": np.array([channels[column].name for column in columns])},
            }
            if times is None:
                signal = LazySignal(recording, rows, name, columns, rate * pq.Hz, start * pq.s, **named)
                segment.analogsignals.append(signal if lazy else signal.values_of(recording))
            else:
                data = recording.drive(rows.start, rows.stop) if name == "stimulus" else recording.signal(rows.start, rows.stop)  # fmt: skip  # noqa: E501
                segment.irregularlysampledsignals.append(
                    neo.IrregularlySampledSignal(times * pq.s, data[:, columns], time_units="s", **named)
                )
    if info.spiking:
        trains = trains_by_output(recording.spikes(rows.start, rows.stop), len(info.outputs))
        for column, (channel, times) in enumerate(zip(info.outputs, trains, strict=True)):
            # Spike times may lie slightly outside their exchange.
            span = (min([start, *times[:1], *times[-1:]]), max([stop, *times[:1], *times[-1:]]))
            train = LazySpikeTrain(recording, rows, column, len(times), span, channel.name)
            segment.spiketrains.append(train if lazy else train.of(times))
    segment.events.append(
        neo.Event(
            exchanges["start"] * pq.s,
            labels=exchanges["sequence"].astype(str),
            name="exchange",
            array_annotations={
                "sent": exchanges["sent"],
                "round_trip": exchanges["round_trip"],
                "steps": exchanges["steps"].astype(np.int64),
                "step": exchanges["step"],
            },
        )
    )
    _add_notes(segment, notes, start)
    return segment


def _add_notes(segment: "neo.Segment", notes: Sequence[Note], start: float) -> None:
    import neo
    import quantities as pq

    kinds: dict[tuple[str, bool], list[Note]] = {}
    for note in notes:
        kinds.setdefault((note.kind, note.duration > 0), []).append(note)
    for (kind, lasting), some in kinds.items():
        times = np.array([start if np.isnan(note.device) else note.device for note in some]) * pq.s
        named = {
            "name": kind,
            "labels": np.array([note.label for note in some]),
            "array_annotations": {
                "host": np.array([note.host for note in some]),
                "details": np.array([_json(note.details) for note in some]),
            },
        }
        if lasting:
            lengths = np.array([note.duration for note in some]) * pq.s
            segment.epochs.append(neo.Epoch(times, durations=lengths, **named))
        else:
            segment.events.append(neo.Event(times, **named))


@cache
def neo_unit(unit: str) -> Any:
    """Return the unit of a channel as one of the quantities library; dimensionless if it has none."""
    import quantities as pq

    product = None
    for power, symbol, exponent in read_unit(unit).terms:
        try:
            term = _neo_term(power, symbol) ** exponent if exponent != 1 else _neo_term(power, symbol)
        except (LookupError, SyntaxError):
            return pq.dimensionless
        product = term if product is None else product * term
    return product


def _neo_term(power: int, symbol: str) -> Any:
    """Return one factor of a unit; raises `LookupError` or `SyntaxError` if the quantities library has none such."""
    import quantities as pq

    if symbol in _PLAIN:
        return pq.dimensionless
    known = _QUANTITIES.get(symbol, symbol)
    if not power:
        return pq.unit_registry[known]
    written = f"{_SYMBOLS[power]}{known}"
    if written != "aA" and power != 1:  # quantities: abampere; "da" is not a prefix there
        with suppress(LookupError, SyntaxError):
            return pq.unit_registry[written]
    return pq.UnitQuantity(written, float(f"1e{power}") * pq.unit_registry[known], symbol=written)


_PLAIN = {"1", "spikes", "counts"}
_QUANTITIES = {"Ohm": "ohm", "Cel": "degC", "%": "percent", "By": "byte"}
_SYMBOLS = {power: prefix for prefix, power in PREFIXES.items()}


def _json(value: Any) -> str:
    return to_json(value).decode()
