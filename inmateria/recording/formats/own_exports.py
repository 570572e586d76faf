"""Import of what `inmateria export` wrote: the recording comes back, exchange by exchange.

An export holds the info of the recording, a table of its exchanges, and the stimulus and response of each section of
continuous time; see `inmateria.recording.formats.neo_blocks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.recording.format import EXCHANGE, Exchange, Note, RecordingError
from inmateria.recording.formats.columns import FloatArray
from inmateria.recording.formats.plan import Plan, Row
from inmateria.substrate import SPIKE, Response, SpikeArray, Stimulus, SubstrateInfo

if TYPE_CHECKING:
    import neo

_UNKEPT = ("end", "exchange")


@dataclass(frozen=True, eq=False, slots=True)
class Section:
    """A section of continuous time of an exported recording.

    Parameters
    ----------
    rows : ndarray of `EXCHANGE`
        The exchanges; fields that place their data in a file are not set.
    drive : ndarray of float, shape (steps, inputs)
    signal : ndarray of float, shape (samples, outputs), or None
    spikes : ndarray of `SPIKE`, or None
    """

    rows: npt.NDArray[np.void]
    drive: FloatArray
    signal: FloatArray | None
    spikes: SpikeArray | None


def plan_own(
    info: SubstrateInfo,
    sections: Sequence[Section],
    notes: Sequence[Note],
    *,
    annotations: Mapping[str, Any],
    provenance: Mapping[str, Any],
    source: str,
    finished: bool = True,
) -> Plan:
    """Plan the import of an exported recording.

    Raises
    ------
    RecordingError
        If the signals do not have as many values as the exchanges say.
    """
    for section in sections:
        steps = int(section.rows["steps"].sum())
        samples = sum(int(row["steps"]) * info.samples(float(row["step"])) for row in section.rows)
        if len(section.drive) != steps or (section.signal is not None and len(section.signal) != samples):
            raise RecordingError(
                f"the exported recording is damaged: its exchanges say {steps} steps and {samples} samples, and "
                f"it has {len(section.drive)} and {0 if section.signal is None else len(section.signal)}"
            )
    driven = (Row(each.name, each.unit, "driven") for each in info.inputs)
    read = (Row(each.name, each.unit, "read") for each in info.outputs)
    return Plan(
        source=f"{source}, exported by inmateria; {sum(len(each.rows) for each in sections):,} exchanges",
        rows=(*driven, *read),
        info=info,
        steps=sum(len(each.drive) for each in sections),
        items=lambda: _items(info, sections, notes),
        roles="the recording that was exported",
        annotations=annotations,
        provenance=provenance,
        finished=finished,
    )


def _items(info: SubstrateInfo, sections: Sequence[Section], notes: Sequence[Note]) -> Iterator[Exchange | Note]:
    waiting = sorted(notes, key=lambda note: (note.session, note.host))
    for section in sections:
        for exchange in _exchanges(info, section):
            while waiting and (waiting[0].session, waiting[0].host) < (exchange.session, exchange.sent):
                yield waiting.pop(0)
            yield exchange
    yield from waiting


def _exchanges(info: SubstrateInfo, section: Section) -> Iterator[Exchange]:
    step_at = sample_at = 0
    starts = section.rows["start"]
    spikes = section.spikes
    edges = [0] * (len(starts) + 1)
    if spikes is not None:
        edges = [0, *np.searchsorted(spikes["time"], starts[1:]).tolist(), len(spikes)]
    for index, row in enumerate(section.rows):
        steps, step = int(row["steps"]), float(row["step"])
        samples = info.samples(step)
        signal = None
        if section.signal is not None:
            signal = section.signal[sample_at : sample_at + steps * samples].reshape(steps, samples, -1)
        response = Response(
            signal,
            None if spikes is None else spikes[edges[index] : edges[index + 1]],
            float(row["start"]),
            int(row["sequence"]),
        )
        stimulus = Stimulus(section.drive[step_at : step_at + steps], step)
        yield Exchange(stimulus, response, int(row["session"]), float(row["sent"]), float(row["round_trip"]))
        step_at, sample_at = step_at + steps, sample_at + steps * samples


def is_own_block(block: "neo.Block") -> bool:
    """Return whether a block was made by `read_block`."""
    return {"info", "annotations_json", "kind"} <= set(block.annotations)


def plan_own_block(block: "neo.Block", source: str) -> Plan:
    """Plan the import of a block that `read_block` made, and another format kept.

    Raises
    ------
    RecordingError
        If it is damaged.
    """
    try:
        info = msgspec.json.decode(str(block.annotations["info"]), type=SubstrateInfo)
        sections = [_section(segment, info) for segment in block.segments if segment.name != "no exchanges"]
        notes = [note for segment in block.segments for note in _notes(segment)]
        annotations = msgspec.json.decode(str(block.annotations["annotations_json"]))
        provenance = {
            name: msgspec.json.decode(str(block.annotations[name]))
            for name in ("software", "script")
            if name in block.annotations
        }
        if "created" in block.annotations:
            provenance["created"] = str(block.annotations["created"])
        elif block.rec_datetime is not None:
            provenance["created"] = block.rec_datetime.isoformat()
    except (KeyError, ValueError, IndexError, StopIteration, TypeError, msgspec.MsgspecError) as error:
        raise RecordingError(f"the exported recording is damaged ({type(error).__name__}: {error})") from error
    finished = bool(block.annotations.get("finished", True))
    return plan_own(
        info, sections, notes, annotations=annotations, provenance=provenance, source=source, finished=finished
    )


def _section(segment: "neo.Segment", info: SubstrateInfo) -> Section:
    (event,) = (each for each in segment.events if each.name == "exchange")
    rows = np.zeros(len(event), EXCHANGE)
    rows["session"] = _session(segment)
    rows["start"] = event.times.rescale("s").magnitude
    rows["sequence"] = np.asarray(event.labels).astype(np.uint64)
    for name in ("sent", "round_trip", "steps"):
        rows[name] = np.asarray(event.array_annotations[name])
    steps = int(rows["steps"].sum())
    drive, step = _columns(segment, "stimulus", [each.name for each in info.inputs], steps)
    rows["step"] = event.array_annotations["step"] if "step" in event.array_annotations else _step(step, info)
    signal = None
    if info.sampling_rate is not None:
        signal, _ = _columns(segment, "response", [each.name for each in info.outputs], None)
    spikes = None
    if info.spiking:
        places = {each.name: place for place, each in enumerate(info.outputs)}
        trains = [(places[str(train.name)], train.times.rescale("s").magnitude) for train in segment.spiketrains]
        spikes = spikes_of(trains)
    return Section(rows, drive, signal, spikes)


def spikes_of(trains: Sequence[tuple[int, FloatArray]]) -> SpikeArray:
    """Return the spikes of trains, each with its output, in the order of time."""
    spikes = np.zeros(sum(len(times) for _, times in trains), SPIKE)
    if trains:
        spikes["time"] = np.concatenate([times for _, times in trains])
        spikes["channel"] = np.repeat([place for place, _ in trains], [len(times) for _, times in trains])
    return spikes[np.argsort(spikes["time"], kind="stable")]


def _columns(
    segment: "neo.Segment", name: str, wanted: Sequence[str], length: int | None
) -> tuple[FloatArray, float | None]:
    """Return the signals of one name in the order of the channels, and the period of their samples (s)."""
    signals = [each for each in (*segment.analogsignals, *segment.irregularlysampledsignals) if each.name == name]
    length = len(signals[0]) if length is None else length
    data = np.full((length, len(wanted)), np.nan)
    for each in signals:
        columns = [wanted.index(str(known)) for known in each.array_annotations["channel_names"]]
        data[:, columns] = each.magnitude
    rate = getattr(signals[0], "sampling_rate", None)
    return data, None if rate is None else 1 / float(rate.rescale("Hz"))


def _step(period: float | None, info: SubstrateInfo) -> float:
    """Return the duration of a step, which the rate gives but for rounding."""
    return info.step if period is None or abs(period - info.step) <= 1e-12 * info.step else float(f"{period:.15g}")


def _session(segment: "neo.Segment") -> int:
    return int(str(segment.name).removeprefix("session "))


def _notes(segment: "neo.Segment") -> Iterator[Note]:
    session = 0 if segment.name == "no exchanges" else _session(segment)
    for each in (*segment.events, *segment.epochs):
        if each.name in _UNKEPT or "details" not in each.array_annotations:
            continue
        durations = getattr(each, "durations", None)
        for index, at in enumerate(each.times.rescale("s").magnitude.tolist()):
            yield Note(
                str(each.name),
                str(each.labels[index]),
                msgspec.json.decode(str(each.array_annotations["details"][index])),
                float(each.array_annotations["host"][index]),
                at,
                0.0 if durations is None else float(durations[index].rescale("s")),
                session,
            )
