"""Import of recordings in any format that neo reads."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from inmateria.recording.format import MARKER, Exchange, Note, RecordingError
from inmateria.recording.writing import RecordingWriter
from inmateria.substrate import SPIKE, Channel, FloatArray, Limits, Response, SpikeArray, Stimulus, SubstrateInfo

if TYPE_CHECKING:
    import neo

_STEPS = 100
_REST_STEP = 0.01
_MOST_REST_STEPS = 1_000_000  # of spikes alone, which may be of months
_TOGETHER = 100  # exchanges written at a time


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import.

    Parameters
    ----------
    path : Path
        The new recording.
    exchanges : int
        Number of exchanges in it.
    left_out : tuple of str
        Parts of the file that are not in it.
    """

    path: Path
    exchanges: int
    left_out: tuple[str, ...]


def import_file(
    path: str | PathLike[str], out: str | PathLike[str], *, stimulus: str | None = None, kind: str = "imported"
) -> Imported:
    """Read a file with the reader of neo for its format, and write it as a recording; see `import_block`.

    Raises
    ------
    RecordingError
        If no reader knows the file, or it cannot be read.
    """
    import neo

    path = Path(path)
    if not path.exists():
        raise RecordingError(f"{path} does not exist; give the path of a file or folder that neo reads")
    try:
        block = neo.io.get_io(str(path)).read_block()
    except Exception as error:  # each of neo's many readers has errors of its own
        raise RecordingError(f"{path} cannot be read by neo ({type(error).__name__}: {error})") from error
    return import_block(block, out, stimulus=stimulus, kind=kind, name=path.stem)


def import_block(
    block: "neo.Block",
    out: str | PathLike[str],
    *,
    stimulus: str | None = None,
    kind: str = "imported",
    name: str | None = None,
) -> Imported:
    """Write a `neo.Block` as a recording.

    Each segment is a session. Outputs are the signals of the sampling rate that most channels have. Spike trains are
    spikes of these outputs if there are as many, otherwise outputs of their own. Events and epochs are markers. A
    signal named "stimulus" is the drive; without one, the recording has a single input that is always 0.

    Parameters
    ----------
    block : neo.Block
    out : path-like
        Recording to create; it must not exist.
    stimulus : str, optional
        Name of the signal that was driven, if it is not "stimulus".
    kind : str
        Kind of substrate.
    name : str, optional
        Identity of the device; the block's name by default.

    Raises
    ------
    RecordingError
        If there is nothing that can be replayed, or segments do not have the same channels.
    """
    parts = [_parts_of(segment, stimulus) for segment in block.segments]
    parts = [each for each in parts if each.signals or each.trains]
    if not parts:
        raise RecordingError(
            "the file has no regularly sampled signals and no spike trains; at least one is needed to replay"
        )
    shapes = {each.shape for each in parts}
    if len(shapes) > 1:
        raise RecordingError(
            f"the segments have different channels or rates: {sorted(map(str, shapes))}; all must have the same"
        )
    info = _info(parts, kind, name or block.name or "imported")
    when = block.rec_datetime or datetime.fromtimestamp(0, UTC)
    created = when if when.tzinfo else when.replace(tzinfo=UTC)
    annotations = {"imported": {"description": str(block.description or ""), "annotations": _plain(block.annotations)}}
    writer = RecordingWriter(out, info, annotations, provenance={"created": created.isoformat()})
    count = 0
    try:
        for session, each in enumerate(parts):
            coming = iter(each.exchanges(info, session, created.timestamp()))
            while some := list(islice(coming, _TOGETHER)):  # batched, which Python 3.11 does not have
                writer.append(some)
                count += len(some)
            writer.append(list(each.notes(session, created.timestamp())))
    except BaseException:
        writer.close()
        Path(out).unlink()
        raise
    writer.end()
    left = {words for each in parts for words in each.left_out}
    return Imported(Path(out), count, tuple(sorted(left)))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a segment that can be replayed."""

    drive: "neo.AnalogSignal | None"
    signals: "list[neo.AnalogSignal]"
    trains: "list[neo.SpikeTrain]"
    marks: "list[neo.Event | neo.Epoch]"
    left_out: tuple[str, ...]

    @property
    def rate(self) -> float | None:
        return float(self.signals[0].sampling_rate.rescale("Hz")) if self.signals else None

    @property
    def start(self) -> float:
        times = [float(each.t_start.rescale("s")) for each in (self.signals or self.trains)]
        return min(times)

    @property
    def samples_a_step(self) -> int:
        """Number of output samples per value of the stimulus, or in 10 ms without a stimulus."""
        if self.rate is None:
            return 0
        if self.drive is None:
            return max(1, round(self.rate * _REST_STEP))
        ratio = self.rate / float(self.drive.sampling_rate.rescale("Hz"))
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
            raise RecordingError(
                f"the outputs have {ratio:g} samples for each of the stimulus; it must be an integer of at least 1"
            )
        return round(ratio)

    @property
    def step(self) -> float:
        if self.drive is not None:
            return 1 / float(self.drive.sampling_rate.rescale("Hz"))
        if self.rate is not None:
            return self.samples_a_step / self.rate
        too_long = (self.stop - self.start) / (_REST_STEP * _MOST_REST_STEPS)
        return _REST_STEP * 10.0 ** max(0, math.ceil(math.log10(max(too_long, 1e-9))))

    @property
    def stop(self) -> float:
        """End of the last spike train, s."""
        return max(float(train.t_stop.rescale("s")) for train in self.trains)

    @property
    def shape(self) -> tuple[Any, ...]:
        channels = [(_unit(each), each.shape[1]) for each in self.signals]
        return (self.rate, tuple(channels), len(self.trains), None if self.drive is None else self.drive.shape[1])

    def notes(self, session: int, began: float) -> Iterator[Note]:
        for each in self.marks:
            durations = getattr(each, "durations", None)
            annotations = _by_row(each)
            for index, at in enumerate(each.times.rescale("s").magnitude.tolist()):
                label = str(each.labels[index]) if index < len(each.labels) else str(each.name or "")
                lasting = 0.0 if durations is None else float(durations[index].rescale("s"))
                details = {"from": str(each.name or ""), **annotations[index]}
                yield Note(MARKER, label, details, began + at, at, lasting, session)

    def exchanges(self, info: SubstrateInfo, session: int, began: float) -> Iterator[Exchange]:
        """Yield exchanges of a hundred steps each."""
        each_step, step, start = self.samples_a_step, self.step, self.start
        signal = _side_by_side(self.signals, len(info.outputs))
        spikes = self._spikes(len(info.outputs))
        if self.signals:
            steps = len(signal) // each_step
            if self.drive is not None:
                steps = min(steps, len(self.drive))
        else:
            steps = max(1, int(np.ceil((self.stop - start) / step)))
        drive = np.zeros((steps, 1)) if self.drive is None else np.asarray(self.drive.magnitude, dtype=float)[:steps]
        for number, first in enumerate(range(0, steps, _STEPS)):
            last_step = min(first + _STEPS, steps)
            begin, end = start + first * step, start + last_step * step
            mine = None
            if info.sampling_rate is not None:
                flat = signal[first * each_step : last_step * each_step]
                mine = flat.reshape(last_step - first, each_step, len(info.outputs))
            # Spikes before the first or after the last exchange belong to it.
            from_, to = np.searchsorted(
                spikes["time"], [begin if first else -np.inf, end if last_step < steps else np.inf]
            )
            response = Response(mine, spikes[from_:to] if info.spiking else None, begin, number)
            yield Exchange(Stimulus(drive[first:last_step], step), response, session, began + begin, 0.0)

    def _spikes(self, outputs: int) -> SpikeArray:
        first = outputs - len(self.trains)
        times = [train.times.rescale("s").magnitude for train in self.trains]
        spikes = np.zeros(sum(map(len, times)), dtype=SPIKE)
        if times:
            spikes["time"] = np.concatenate(times)
            spikes["channel"] = np.repeat(np.arange(first, outputs), [len(each) for each in times])
        return spikes[np.argsort(spikes["time"], kind="stable")]


def _parts_of(segment: "neo.Segment", stimulus: str | None) -> _Parts:
    left = []
    drives = [each for each in segment.analogsignals if each.name == (stimulus or "stimulus")]
    if stimulus is not None and not drives:
        names = sorted({str(each.name) for each in segment.analogsignals})
        raise RecordingError(
            f"stimulus is {stimulus!r}, but no signal has that name; there are: {', '.join(names) or 'none'}"
        )
    if len(drives) > 1:
        left.append(f"{len(drives) - 1} more signals named {drives[0].name!r}, in other units")
    others = [each for each in segment.analogsignals if not any(each is drive for drive in drives)]
    groups: dict[tuple[float, float, int], list[Any]] = {}
    for each in others:
        key = (float(each.sampling_rate.rescale("Hz")), float(each.t_start.rescale("s")), len(each))
        groups.setdefault(key, []).append(each)
    chosen = max(groups.values(), key=lambda some: sum(each.shape[1] for each in some), default=[])
    left += [
        f"signal {each.name!r} at {each.sampling_rate} from {each.t_start}" for some in groups.values()
        if some is not chosen for each in some
    ]  # fmt: skip
    left += [f"irregularly sampled signal {each.name!r}" for each in segment.irregularlysampledsignals]
    left += [f"image sequence {each.name!r}" for each in segment.imagesequences]
    if any(train.waveforms is not None for train in segment.spiketrains):
        left.append("the waveforms of the spikes")
    annotated = {str(name) for train in segment.spiketrains for name in train.array_annotations}
    left += [f"annotation {name!r} of each spike" for name in sorted(annotated)]
    return _Parts(
        drives[0] if drives else None,
        chosen,
        list(segment.spiketrains),
        [*segment.events, *segment.epochs],
        tuple(left),
    )


def _info(parts: Sequence[_Parts], kind: str, name: str) -> SubstrateInfo:
    first = parts[0]
    inputs: tuple[Channel, ...] = (Channel(name="none", unit="1", low=-1.0, high=1.0),)
    if first.drive is not None:
        inputs = _channels([each.drive for each in parts], "i", set())
    taken: set[str] = set()
    outputs: tuple[Channel, ...] = ()
    for index in range(len(first.signals)):
        outputs += _channels([each.signals[index] for each in parts], "o", taken)
    if len(first.trains) != len(outputs):
        for index, train in enumerate(first.trains):
            outputs += (Channel(name=_free(str(train.name or f"unit {index}"), taken), unit="1", low=-1.0, high=1.0),)
    step = first.step
    return SubstrateInfo(
        id="".join(mark if mark.isalnum() and mark.isascii() else "-" for mark in name).strip("-") or "imported",
        kind=kind,
        inputs=inputs,
        outputs=outputs,
        step=step,
        sampling_rate=first.rate,
        spiking=bool(first.trains),
        resettable=len(parts) > 1,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
    )


def _channels(signals: Sequence[Any], prefix: str, taken: set[str]) -> tuple[Channel, ...]:
    """Return channels for the columns of a signal that is in each segment."""
    data = [np.asarray(each.magnitude, dtype=float) for each in signals]
    names = signals[0].array_annotations.get("channel_names", [""] * data[0].shape[1])
    channels = []
    for column, given in enumerate(names):
        values = np.concatenate([each[:, column] for each in data])
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (-1.0, 1.0)
        if low == high:
            low, high = low - 1.0, high + 1.0
        name = _free(str(given or f"{prefix}{len(taken)}"), taken)
        channels.append(Channel(name=name, unit=_unit(signals[0]), low=low, high=high))
    return tuple(channels)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _unit(signal: Any) -> str:
    """Return the unit of a neo signal as a channel's unit, or "1" if it has no such unit."""
    text = str(signal.dimensionality.string)
    try:
        return Channel(name="c", unit=text, low=0, high=1).unit
    except ValueError:
        return "1"


def _side_by_side(signals: Sequence[Any], outputs: int) -> FloatArray:
    """Join signals into the columns of the outputs; outputs without a signal are NaN."""
    data = [np.asarray(each.magnitude, dtype=np.float64) for each in signals]
    wide = np.concatenate(data, axis=1) if data else np.empty((0, 0))
    missing = np.full((len(wide), outputs - wide.shape[1]), np.nan)
    return np.concatenate([wide, missing], axis=1)


def _by_row(marks: "neo.Event | neo.Epoch") -> list[dict[str, Any]]:
    """Return the array annotations of each event."""
    columns = {str(name): np.asarray(values).tolist() for name, values in marks.array_annotations.items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(marks))]


def _plain(annotations: Any) -> Any:
    """Return annotations as JSON values; others as text."""
    return msgspec.json.decode(msgspec.json.encode(dict(annotations), enc_hook=str, order="deterministic"))
