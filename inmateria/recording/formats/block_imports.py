"""Import of neo's blocks: signals of any rates and starts, spike trains, events and epochs become a recording.

All outputs share the samples of one rate; a slower signal whose rate divides it, or one that begins later, is NaN in
between, so that each value has its own time. What has no place on these samples is left out and listed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from inmateria.recording.format import MARKER, Exchange, Note, RecordingError
from inmateria.recording.formats.columns import FloatArray, channel_unit
from inmateria.recording.formats.plan import Plan, Row
from inmateria.recording.formats.table_imports import channel, identifier
from inmateria.substrate import SPIKE, Channel, Limits, Response, SpikeArray, Stimulus, SubstrateInfo

if TYPE_CHECKING:
    import neo

_STEPS = 100  # in an exchange, with a stimulus
_MOST_VALUES = 4_000_000  # in an exchange
_REST_STEP = 0.01  # s, about; without a stimulus
_MOST_REST_STEPS = 1_000_000  # of spikes alone, which may be of months
_OFF = 1e-4  # of a sample: signals nearer than that are sampled at one time
_NOT_RECORDED = "stimulus not recorded"


@dataclass(frozen=True, eq=False, slots=True)
class _Signal:
    """A regularly sampled signal with its identity."""

    names: tuple[str, ...]
    unit: str
    rate: float
    start: float
    data: FloatArray
    told: str

    @property
    def stop(self) -> float:
        return self.start + len(self.data) / self.rate


@dataclass(eq=False, slots=True)
class _Sweep:
    """Contents of a segment."""

    drive: _Signal | None
    signals: list[_Signal]
    trains: dict[str, FloatArray]
    span: tuple[float, float]
    marks: "list[neo.Event | neo.Epoch]"
    # Set once the rate of all is known:
    begin: float = 0.0
    samples: int = 0
    places: list[tuple[_Signal, int, int]] = field(default_factory=list)  # signal, first sample, samples between
    held: bool = False


def plan_block(
    block: "neo.Block",
    *,
    stimulus: str | None = None,
    read: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    kind: str = "imported",
    name: str | None = None,
    source: str = "neo",
    left: Sequence[str] = (),
) -> Plan:
    """Plan the import of a `neo.Block`.

    Each segment is a session. A signal named "stimulus" is the drive; without one, the recording has a single input
    that is always 0. Channels of different segments are one output if their names and units are the same. A spike
    train with the name of an output has the spikes of this output, any other is an output of its own.

    Parameters
    ----------
    block : neo.Block
    stimulus : str, optional
        Name of the signal that was driven, if it is not "stimulus"; "none" if none was.
    read : sequence of str, optional
        Names of signals, channels or spike trains to import; all by default.
    units : dict, optional
        Units of signals or channels, by name, where those in the file are wrong or not known.
    kind : str
        Kind of substrate.
    name : str, optional
        Identity of the device; the block's name by default.
    source : str
        Format of the file.
    left : sequence of str
        What a reader left out already.

    Raises
    ------
    RecordingError
        If there is nothing that can be replayed.
    """
    unasked: list[str] = list(left)
    asked: list[str] = []
    stated = dict(units or {})
    sweeps = [_sweep(segment, stimulus, read, stated, unasked, asked) for segment in block.segments]
    sweeps = [each for each in sweeps if each.signals or each.trains]
    if not sweeps:
        raise RecordingError(
            "the file has no regularly sampled signals and no spike trains; at least one is needed to replay"
            + (f"; it has {'; '.join(unasked)}" if unasked else "")
        )
    if stated:
        raise RecordingError(f"--units {next(iter(stated))}: no signal or channel of the file has that name")
    outputs = _outputs(sweeps)
    rate = _common_rate(sweeps, unasked)
    per_step, step = _lay_out(sweeps, rate, unasked)
    signals = {key for each in sweeps for signal, _, _ in each.places for key in _keys(signal)}
    outputs = {key: at for at, key in enumerate(key for key in outputs if key in signals)}
    spiking = {each: None for sweep in sweeps for each in sweep.trains}
    names, trains = _named(outputs, list(spiking))
    if not names:
        raise RecordingError("no signal and no spike train is left; at least one is needed to replay")
    info = _info(sweeps, outputs, names, trains, rate, step, kind, name or block.name or "imported")
    if rests := _without_drive(sweeps, info, per_step, step):
        unasked.append(rests)
    when = block.rec_datetime or datetime.fromtimestamp(0, UTC)
    created = when if when.tzinfo else when.replace(tzinfo=UTC)
    return Plan(
        source=f"{source}; {len(sweeps)} segment{'s' if len(sweeps) > 1 else ''}",
        rows=_rows(sweeps, outputs, names, trains),
        info=info,
        steps=sum(_steps(each, per_step, step) for each in sweeps),
        items=lambda: _items(sweeps, info, outputs, trains, per_step, step, created.timestamp()),
        roles=f"the name of the signal, {stimulus or 'stimulus'!r}"
        if sweeps[0].drive
        else "no signal was stated as driven",
        left_out=tuple(dict.fromkeys((*unasked, *asked))),
        unasked=tuple(dict.fromkeys(unasked)),
        annotations={"imported": _said(block)},
        provenance={"created": created.isoformat()},
    )


def _sweep(
    segment: "neo.Segment",
    stimulus: str | None,
    read: Sequence[str] | None,
    units: dict[str, str],
    unasked: list[str],
    asked: list[str],
) -> _Sweep:
    wanted = "stimulus" if stimulus is None else stimulus
    drives = [each for each in segment.analogsignals if each.name == wanted]
    if stimulus not in (None, "none") and not drives:
        names = sorted({str(each.name) for each in segment.analogsignals})
        raise RecordingError(
            f"stimulus is {stimulus!r}, but no signal has that name; there are: {', '.join(names) or 'none'}"
        )
    if len(drives) > 1:
        unasked.append(f"{len(drives) - 1} more signals named {drives[0].name!r}, in other units")
    taken: set[str] = set()
    drive = _signal(drives[0], "i", set(), units, unasked) if drives else None
    signals = []
    for each in segment.analogsignals:
        if any(each is other for other in drives) or not each.size:
            continue
        found = _signal(each, "o", taken, units, unasked)
        if read is not None:
            columns = [k for k, name in enumerate(found.names) if name in read or each.name in read]
            if len(columns) < len(found.names):
                asked.append(f"channels of signal {each.name!r} that were not named")
            if not columns:
                continue
            found = _Signal(
                tuple(found.names[k] for k in columns), found.unit, found.rate, found.start, found.data[:, columns],
                found.told,
            )  # fmt: skip
        signals.append(found)
    unasked += [f"irregularly sampled signal {each.name!r}" for each in segment.irregularlysampledsignals]
    unasked += [f"image sequence {each.name!r}" for each in segment.imagesequences]
    if any(train.waveforms is not None and np.size(train.waveforms) for train in segment.spiketrains):
        unasked.append("the waveforms of the spikes")
    annotated = {str(name) for train in segment.spiketrains for name in train.array_annotations}
    unasked += [f"annotation {name!r} of each spike" for name in sorted(annotated)]
    trains: dict[str, FloatArray] = {}
    called: set[str] = set()
    span = (math.inf, -math.inf)
    for index, train in enumerate(segment.spiketrains):
        name = _free(str(train.name or f"unit {index}"), called)
        if read is not None and name not in read:
            asked.append(f"spike train {name!r}")
            continue
        trains[name] = np.asarray(train.times.rescale("s").magnitude, dtype=np.float64)
        span = (min(span[0], float(train.t_start.rescale("s"))), max(span[1], float(train.t_stop.rescale("s"))))
    return _Sweep(drive, signals, trains, span, [*segment.events, *segment.epochs])


def _signal(signal: Any, prefix: str, taken: set[str], units: dict[str, str], unasked: list[str]) -> _Signal:
    width = signal.shape[1]
    given = [str(each) for each in signal.array_annotations.get("channel_names", [""] * width)]
    names = []
    for column, each in enumerate(given):
        plain = str(signal.name or "") if width == 1 and signal.name not in (None, "", "stimulus") else ""
        names.append(_free(each or plain or f"{prefix}{len(taken) if prefix == 'o' else column}", taken))
    unit = _unit(signal, units, names, unasked)
    data = np.asarray(signal.magnitude, dtype=np.float64)
    rate, start = float(signal.sampling_rate.rescale("Hz")), float(signal.t_start.rescale("s"))
    return _Signal(tuple(names), unit, rate, start, data, f"signal {signal.name!r} at {rate:g} Hz from {start:g} s")


def _unit(signal: Any, units: dict[str, str], names: Sequence[str], unasked: list[str]) -> str:
    """Return the unit of a signal; one that is not known is listed."""
    for key in (str(signal.name), *names):
        if key in units:
            known = channel_unit(units.pop(key))
            if known is None:
                raise RecordingError(f"the unit stated for {key} is not known; write it as in mV, uA, Ohm, Cel, 1/s")
            return known
    text = str(signal.dimensionality.string)
    unit = channel_unit(text)
    if unit is None:
        unasked.append(f"the unit {text!r} of signal {signal.name!r}, which is not in UCUM (it is written as 1)")
    return unit or "1"


def _keys(signal: _Signal) -> list[tuple[str, str]]:
    return [(name, signal.unit) for name in signal.names]


def _outputs(sweeps: Sequence[_Sweep]) -> dict[tuple[str, str], int]:
    """Return the channels of all segments, by name and unit, in the order in which they come."""
    keys: dict[tuple[str, str], int] = {}
    for sweep in sweeps:
        for signal in sweep.signals:
            for key in _keys(signal):
                keys.setdefault(key, len(keys))
    return keys


def _is_whole(ratio: float) -> bool:
    return ratio >= 1 - 1e-9 and abs(ratio - round(ratio)) <= 1e-9 * ratio


def _common_rate(sweeps: Sequence[_Sweep], unasked: list[str]) -> float | None:
    """Return the rate on whose samples most channels have a place, and leave out the others."""
    widths: dict[float, int] = {}
    for sweep in sweeps:
        for signal in sweep.signals:
            widths[signal.rate] = widths.get(signal.rate, 0) + len(signal.names)
    if not widths:
        return None
    held = {rate: sum(width for other, width in widths.items() if _is_whole(rate / other)) for rate in widths}
    rate = min(widths, key=lambda each: (-held[each], each))
    for sweep in sweeps:
        unasked += [
            f"{signal.told}, whose rate does not divide {rate:g} Hz"
            for signal in sweep.signals
            if not _is_whole(rate / signal.rate)
        ]
        sweep.signals = [signal for signal in sweep.signals if _is_whole(rate / signal.rate)]
    for sweep in sweeps:
        # A faster stimulus keeps its own steps; outputs are not read in between.
        if sweep.drive is not None and sweep.drive.rate > rate and _is_whole(sweep.drive.rate / rate):
            rate = sweep.drive.rate
    return rate


def _lay_out(sweeps: Sequence[_Sweep], rate: float | None, unasked: list[str]) -> tuple[int, float]:
    """Place each signal on the samples; return samples in a step, and the duration of a step (s)."""
    if rate is None:
        begin = min(each.span[0] for each in sweeps)
        longest = max(each.span[1] - each.span[0] for each in sweeps) / (_REST_STEP * _MOST_REST_STEPS)
        step = _REST_STEP * 10.0 ** max(0, math.ceil(math.log10(max(longest, 1e-9))))
        for each in sweeps:
            each.begin = each.span[0] if math.isfinite(each.span[0]) else begin
            each.drive = None
        return 0, step
    driven = [each.drive for each in sweeps if each.drive is not None]
    ratios = {rate / drive.rate for drive in driven}
    fits = len(ratios) == 1 and _is_whole(next(iter(ratios)))
    per_step = round(next(iter(ratios))) if fits else 1
    for each in sweeps:
        _place(each, rate, unasked)
        if each.drive is not None:
            offset = (each.drive.start - each.begin) * rate
            each.held = not fits or abs(offset - round(offset)) > _OFF
    if any(each.held for each in sweeps):
        per_step = 1
        for each in sweeps:
            each.held = each.drive is not None
            if each.drive is not None and each.drive.start < each.begin:
                _shift(each, math.ceil((each.begin - each.drive.start) * rate - _OFF), rate)
        unasked.append(
            f"the times {'and values ' if driven[0].rate > rate else ''}of the stimulus at {driven[0].rate:g} Hz "
            f"between the samples of the outputs at {rate:g} Hz (each value begins with the next sample)"
        )
    for each in sweeps:
        if each.drive is not None and not each.held:
            ahead = round((each.drive.start - each.begin) * rate)
            before = -(-max(ahead, 0) // per_step) * per_step - max(ahead, 0)
            _shift(each, before + max(0, -ahead), rate)
            each.begin = each.drive.start - round((each.drive.start - each.begin) * rate) / rate
        stops = [place + (len(signal.data) - 1) * every + 1 for signal, place, every in each.places]
        if each.drive is not None:
            stops.append(math.ceil((each.drive.stop - each.begin) * rate - _OFF))
        each.samples = -(-max(stops, default=0) // per_step) * per_step
    if not driven:
        whole = math.gcd(*(each.samples for each in sweeps))
        most = max(1, round(rate * _REST_STEP))
        per_step = max(n for n in range(1, most + 1) if whole % n == 0) if whole else most
    step = 1 / driven[0].rate if fits and not any(each.held for each in sweeps) else per_step / rate
    return per_step, step


def _place(sweep: _Sweep, rate: float, unasked: list[str]) -> None:
    """Place the signals of a segment on samples that begin with the first of them."""
    if not sweep.signals:
        begin = sweep.drive.start if sweep.drive is not None else sweep.span[0]
        sweep.begin = begin
        return
    sweep.begin = min(signal.start for signal in sweep.signals)
    kept = []
    for signal in sweep.signals:
        offset = (signal.start - sweep.begin) * rate
        if abs(offset - round(offset)) > max(_OFF, 4 * float(np.spacing(abs(signal.start))) * rate):
            unasked.append(f"{signal.told}, which starts between samples of {rate:g} Hz from {sweep.begin:g} s")
            continue
        kept.append(signal)
        sweep.places.append((signal, round(offset), round(rate / signal.rate)))
    sweep.signals = kept


def _shift(sweep: _Sweep, samples: int, rate: float) -> None:
    if samples:
        sweep.places = [(signal, place + samples, every) for signal, place, every in sweep.places]
        sweep.begin -= samples / rate


def _named(outputs: Mapping[tuple[str, str], int], trains: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the names of the outputs, and the output of each spike train."""
    taken: set[str] = set()
    names = [_free(name, taken) for name, _ in outputs]
    places: dict[str, int] = {}
    for train in trains:
        if train in names:
            places[train] = names.index(train)
        else:
            places[train] = len(names)
            names.append(_free(train, taken))
    return names, places


def _info(
    sweeps: Sequence[_Sweep],
    outputs: Mapping[tuple[str, str], int],
    names: Sequence[str],
    trains: Mapping[str, int],
    rate: float | None,
    step: float,
    kind: str,
    name: str,
) -> SubstrateInfo:
    inputs: tuple[Channel, ...] = (Channel(name="none", unit="1", low=-1.0, high=1.0),)
    drives = [each.drive for each in sweeps if each.drive is not None]
    if drives:
        shapes = {(each.names, each.unit) for each in drives}
        if len(shapes) > 1:
            raise RecordingError(
                f"the stimulus has different channels or units in different segments: {sorted(map(str, shapes))}; "
                "all must have the same"
            )
        pooled = np.concatenate([each.data for each in drives])
        inputs = tuple(channel(name, drives[0].unit, pooled[:, k], rest=True) for k, name in enumerate(drives[0].names))
    pools: dict[int, list[FloatArray]] = {}
    for each in sweeps:
        for signal, _, _ in each.places:
            for column, key in enumerate(_keys(signal)):
                pools.setdefault(outputs[key], []).append(signal.data[:, column])
    unit = {at: unit for (_, unit), at in outputs.items()}
    made = tuple(
        channel(name, unit.get(at, "1"), np.concatenate(pools[at]) if at in pools else np.empty(0))
        for at, name in enumerate(names)
    )
    return SubstrateInfo(
        id=identifier(name),
        kind=kind,
        inputs=inputs,
        outputs=made,
        step=step,
        sampling_rate=rate,
        spiking=bool(trains),
        resettable=len(sweeps) > 1,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
    )


def _steps(sweep: _Sweep, per_step: int, step: float) -> int:
    if per_step:
        return sweep.samples // per_step
    return max(1, math.ceil((sweep.span[1] - sweep.span[0]) / step - 1e-9))


def _drive(sweep: _Sweep, info: SubstrateInfo, per_step: int, step: float) -> tuple[FloatArray, Any]:
    """Return the drive of each step, and whether it was recorded."""
    steps = _steps(sweep, per_step, step)
    drive = np.tile(np.array(info.rest), (steps, 1))
    known = np.zeros(steps, dtype=bool)
    if sweep.drive is None:
        return drive, known
    given = sweep.drive.data
    if sweep.held:
        times = sweep.begin + np.arange(steps) * step
        index = np.floor((times - sweep.drive.start) * sweep.drive.rate + 1e-6).astype(np.int64)
    else:
        index = np.arange(steps) - round((sweep.drive.start - sweep.begin) * sweep.drive.rate)
    known = (index >= 0) & (index < len(given))
    known[known] = np.isfinite(given[index[known]]).all(axis=1)
    drive[known] = given[index[known]]
    return drive, known


def _without_drive(sweeps: Sequence[_Sweep], info: SubstrateInfo, per_step: int, step: float) -> str:
    """Return words on steps whose stimulus was not recorded."""
    if all(each.drive is None for each in sweeps):
        return ""
    missing = sum(int((~_drive(each, info, per_step, step)[1]).sum()) for each in sweeps)
    rest = ", ".join(f"{value:g} {each.unit}" for value, each in zip(info.rest, info.inputs, strict=True))
    return (
        f"the stimulus of {missing} steps, which was not recorded ({rest} and a marker are written)" if missing else ""
    )


def _items(
    sweeps: Sequence[_Sweep],
    info: SubstrateInfo,
    outputs: Mapping[tuple[str, str], int],
    trains: Mapping[str, int],
    per_step: int,
    step: float,
    began: float,
) -> Iterator[Exchange | Note]:
    for session, each in enumerate(sweeps):
        yield from _exchanges(each, info, outputs, trains, per_step, step, session, began)
        yield from _notes(each, session, began)


def _exchanges(
    sweep: _Sweep,
    info: SubstrateInfo,
    outputs: Mapping[tuple[str, str], int],
    trains: Mapping[str, int],
    per_step: int,
    step: float,
    session: int,
    began: float,
) -> Iterator[Exchange | Note]:
    width = len(info.outputs)
    spikes = _spikes(sweep, trains)
    steps = _steps(sweep, per_step, step)
    drive, known = _drive(sweep, info, per_step, step)
    together = _STEPS if sweep.drive is not None or not per_step else max(_STEPS, round(1 / step))
    together = max(1, min(together, _MOST_VALUES // max(1, per_step * width)))
    for number, first in enumerate(range(0, steps, together)):
        last = min(first + together, steps)
        begin, end = sweep.begin + first * step, sweep.begin + last * step
        mine = None
        if per_step:
            mine = _samples(sweep, outputs, first * per_step, last * per_step, width)
            mine = mine.reshape(last - first, per_step, width)
        # Spikes before the first or after the last exchange belong to it.
        from_, to = np.searchsorted(spikes["time"], [begin if first else -np.inf, end if last < steps else np.inf])
        response = Response(mine, spikes[from_:to] if info.spiking else None, begin, number)
        yield Exchange(Stimulus(drive[first:last], step), response, session, began + begin, 0.0)
    if sweep.drive is not None:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], ~known, [False]]).astype(np.int8)))
        for first, last in edges.reshape(-1, 2).tolist():
            at = sweep.begin + first * step
            yield Note(MARKER, _NOT_RECORDED, {}, began + at, at, (last - first) * step, session)


def _samples(sweep: _Sweep, outputs: Mapping[tuple[str, str], int], first: int, last: int, width: int) -> FloatArray:
    """Return some samples of all outputs, NaN where there is none."""
    found = np.full((last - first, width), np.nan)
    for signal, place, every in sweep.places:
        begin = max(0, -((place - first) // every)) if first > place else 0
        end = min(len(signal.data), max(0, -(-(last - place) // every)))
        if begin < end:
            at = place + begin * every - first
            columns = [outputs[key] for key in _keys(signal)]
            found[at : at + (end - begin - 1) * every + 1 : every, columns] = signal.data[begin:end]
    return found


def _spikes(sweep: _Sweep, trains: Mapping[str, int]) -> SpikeArray:
    spikes = np.zeros(sum(map(len, sweep.trains.values())), dtype=SPIKE)
    if sweep.trains:
        spikes["time"] = np.concatenate(list(sweep.trains.values()))
        spikes["channel"] = np.repeat(
            [trains[name] for name in sweep.trains], [len(each) for each in sweep.trains.values()]
        )
    return spikes[np.argsort(spikes["time"], kind="stable")]


def _notes(sweep: _Sweep, session: int, began: float) -> Iterator[Note]:
    for each in sweep.marks:
        durations = getattr(each, "durations", None)
        annotations = _by_row(each)
        for index, at in enumerate(each.times.rescale("s").magnitude.tolist()):
            label = str(each.labels[index]) if index < len(each.labels) else str(each.name or "")
            lasting = 0.0 if durations is None else float(durations[index].rescale("s"))
            details = {"from": str(each.name or ""), **annotations[index]}
            yield Note(MARKER, label, details, began + at, at, lasting, session)


def _by_row(marks: "neo.Event | neo.Epoch") -> list[dict[str, Any]]:
    """Return the array annotations of each event."""
    columns = {str(name): np.asarray(values).tolist() for name, values in marks.array_annotations.items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(marks))]


def _rows(
    sweeps: Sequence[_Sweep],
    outputs: Mapping[tuple[str, str], int],
    names: Sequence[str],
    trains: Mapping[str, int],
) -> tuple[Row, ...]:
    rows: dict[tuple[str, str], Row] = {}
    for each in sweeps:
        if each.drive is not None:
            for name in each.drive.names:
                detail = f"{each.drive.rate:.10g} Hz, {len(each.drive.data):,} samples from {each.drive.start:g} s"
                rows.setdefault((name, "driven"), Row(name, each.drive.unit, "driven", detail))
        for signal, _, _ in each.places:
            detail = f"{signal.rate:.10g} Hz, {len(signal.data):,} samples from {signal.start:g} s"
            for key in _keys(signal):
                name = names[outputs[key]]
                rows.setdefault((name, "read"), Row(name, signal.unit, "read", detail))
        for train, times in each.trains.items():
            name = names[trains[train]]
            rows.setdefault((name, "spikes"), Row(name, "", "spikes", f"{len(times):,} spikes"))
    return tuple(rows.values())


def _said(block: "neo.Block") -> dict[str, Any]:
    """Return what the block says of itself, its segments and its signals."""
    signals = block.segments[0].analogsignals if block.segments else []
    return {
        "description": str(block.description or ""),
        "annotations": _plain(block.annotations),
        "segments": [
            {"name": str(each.name or ""), "annotations": _plain(each.annotations)} for each in block.segments
        ],
        "signals": [{"name": str(each.name or ""), "annotations": _plain(each.annotations)} for each in signals],
    }


def _plain(annotations: Any) -> Any:
    """Return annotations as JSON values; others as text."""
    return msgspec.json.decode(msgspec.json.encode(dict(annotations), enc_hook=str, order="deterministic"))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name
