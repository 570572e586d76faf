"""Messages between the server of the live page and the page: JSON text, and binary frames of columns and spikes.

Text messages are JSON objects with a ``type``: the structs below. A binary frame is little-endian::

    offset  type     field
    0       4 bytes  b"IMC1"
    4       uint32   number: of the frame in the stream, from 0; a viewer that missed some sees a gap
    8       uint32   columns
    12      uint32   outputs: traces of outputs; 0 of a substrate that has spikes alone
    16      uint32   inputs
    20      uint32   spikes
    24      float64  sent: host clock when the last of it was measured or read, s since 1970
    32      uint32   left_out: spikes that the frame has no room for
    36      4 bytes  zero
    40      float64  time at which each column begins, s
    ...     float64  time at which each column ends, s
    ...     float64  time of each spike, s
    ...     float32  least, then greatest, value of each column and output: 2 x (columns, outputs)
    ...     float32  the same of the stimulus: 2 x (columns, inputs)
    ...     uint32   output of each spike

NaN stands for what was not measured, and for an input that was left undriven. Times are on one axis that never goes
back: that of the device's clock, continued where the device returned to rest and its clock began anew.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.substrate_info import Channel, SubstrateInfo

__all__ = [
    "Ack",
    "Columns",
    "Dropped",
    "Electrode",
    "Event",
    "FinalScore",
    "Hello",
    "Kind",
    "Map",
    "Message",
    "Outputs",
    "OwnScore",
    "Progress",
    "Readout",
    "Rights",
    "RunState",
    "SettingScore",
    "StageState",
    "Status",
    "Stop",
    "Stopped",
    "SweepRow",
    "SweepState",
    "Trace",
    "WorkerState",
    "encode_columns",
    "encode_text",
    "from_viewer",
    "hello_of",
]

Kind = Literal["device", "recording", "replay", "run", "sweep"]
"""Kind of source: a device that is served, a recording that grows, a finished one that is replayed, a run, a sweep."""

MAGIC = b"IMC1"
_HEADER = struct.Struct("<4sIIIIIdI4x")


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """An input or an output: its name, unit and limits, as of `inmateria.substrate_info.Channel`."""

    name: str
    unit: str
    low: float
    high: float


class Electrode(msgspec.Struct, frozen=True, kw_only=True):
    """An electrode on the map; `input` and `output` are indices, -1 for neither."""

    name: str
    x: float
    y: float
    input: int = -1
    output: int = -1


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of the matter and where they are; lengths are in `unit`. Made by `inmateria.live.maps.map_of`.

    Parameters
    ----------
    unit : str
        Empty if places are not those of the matter, and only say what belongs together.
    wires : tuple of (x0, y0, x1, y1)
        Wires, tracks, or edges between nodes.
    points : tuple of (x, y)
        Junctions or cells.
    electrodes : tuple of Electrode
        Electrodes, or nodes whose voltage is read.
    wire_outputs : tuple of int
        For each wire, the output that is read at it, or -1; empty if no wire is read.
    words : str
        What is drawn and what is left out, in one sentence.
    """

    unit: str
    wires: tuple[tuple[float, float, float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    electrodes: tuple[Electrode, ...] = ()
    wire_outputs: tuple[int, ...] = ()
    words: str = ""


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """A readout whose output is shown beside the target.

    Parameters
    ----------
    names : tuple of str
        Name of each of its outputs.
    metric : str
        Name of the score.
    higher_is_better : bool
    classes : tuple of str
        Names of the classes whose number an output is; empty if outputs are numbers.
    words : str
        What reads what, in one sentence.
    """

    names: tuple[str, ...]
    metric: str
    higher_is_better: bool = True
    classes: tuple[str, ...] = ()
    words: str = ""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """Description of the source; sent first, and again when it has changed, upon which the page begins anew.

    Parameters
    ----------
    title : str
        For instance the URI of a device, or the name of a file.
    kind : Kind
    matter, id : str
        Kind and id of the substrate; empty while they are not known.
    inputs, outputs : tuple of Trace
        Empty while they are not known.
    signal, spiking : bool
        Whether the outputs have a signal, and whether they spike.
    stops : bool
        Whether the source is something that an emergency stop can stop; see `Rights`.
    map : Map, optional
    readout : Readout, optional
    """

    title: str
    kind: Kind
    matter: str = ""
    id: str = ""
    inputs: tuple[Trace, ...] = ()
    outputs: tuple[Trace, ...] = ()
    signal: bool = False
    spiking: bool = False
    stops: bool = False
    map: Map | None = None
    readout: Readout | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """State of the source; the last one holds.

    Parameters
    ----------
    state : str
        Of a device its state, such as ``"online"``; else ``"running"``, ``"waiting"``, ``"ended"`` or ``"failed"``.
    holder : str
        Session that holds the lease, ``user/session``; empty if none does.
    error : str
        The last error.
    rate : float
        Exchanges a second.
    round_trip : float or None
        Seconds.
    exchanges, steps, spikes, errors : int
        Counts since the source was opened; `errors` are refused or damaged exchanges.
    missed : int
        Exchanges that the source could not follow and has left out.
    note : str
        One more fact in words, such as the speed of a replay.
    """

    state: str
    holder: str = ""
    error: str = ""
    rate: float = 0.0
    round_trip: float | None = None
    exchanges: int = 0
    steps: int = 0
    spikes: int = 0
    errors: int = 0
    missed: int = 0
    note: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="event"):
    """Something that happened at a time of the axis: a marker, a return to rest, a stop, a lease."""

    time: float
    label: str


class Outputs(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="outputs"):
    """Output of a readout beside its target, and the running score.

    Parameters
    ----------
    times : tuple of float, shape (steps,)
        On the time axis of the columns if the source has columns, s; else steps.
    target, output : tuple of tuple of float or None, shape (steps, readout outputs)
        None where there is none.
    scored : tuple of float
        Times of the running score.
    score : tuple of float or None
        The running score at those times.
    again : bool
        Whether these are the last rows once more, for viewers that came later; a page that has some leaves them out.
    """

    times: tuple[float, ...] = ()
    target: tuple[tuple[float | None, ...], ...] = ()
    output: tuple[tuple[float | None, ...], ...] = ()
    scored: tuple[float, ...] = ()
    score: tuple[float | None, ...] = ()
    again: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far a run or sweep is; `phase` says what is being done."""

    phase: str
    done: int
    of: int


class Rights(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="rights"):
    """Whether this viewer may stop the source, and if not, why; the server sends it, no source does."""

    stop: bool
    why: str = ""


class Dropped(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="dropped"):
    """Columns and spikes that were not sent because this viewer, or its network, is too slow."""

    columns: int
    spikes: int
    start: float
    end: float


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="stopped"):
    """Answer to `Stop`: whether the source has confirmed that it stopped, and what went wrong if not."""

    done: bool
    error: str = ""


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stage of a run is, and how long it has taken, s."""

    name: str
    done: int
    of: int
    seconds: float


class OwnScore(msgspec.Struct, frozen=True, kw_only=True):
    """A score that a run computes itself as it goes on, of so many items."""

    name: str
    value: float
    done: int


class FinalScore(msgspec.Struct, frozen=True, kw_only=True):
    """A score of a finished run; its mean and standard deviation over splits, the latter None if there is one split."""

    on: str
    readout: str
    features: int
    score: float
    spread: float | None
    control: bool


class RunState(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="run"):
    """A run: how far it is, and how it ended; the last message holds.

    Parameters
    ----------
    state : {"waiting", "running", "finished", "failed", "cancelled", "died", "unknown"}
        ``"waiting"`` before its folder says anything; ``"died"`` if its process is gone without having ended it;
        ``"unknown"`` of a run of a version that wrote no progress.
    task, on, created, keep : str
        As in `inmateria.protocols.runs.Run`.
    seconds : float
        Duration until now, or until the end.
    stages : tuple of StageState
        In the order in which they began; the last one is the present one.
    own : tuple of OwnScore
    reading : str
        What reads the output that is shown, or why none is.
    error : str
        Of a failed run.
    title, metric, verdict : str
        Of a finished run.
    scores : tuple of FinalScore
        Of a finished run, the substrate's first.
    chance : float or None
    """

    state: str
    task: str = ""
    on: str = ""
    created: str = ""
    keep: str = ""
    seconds: float = 0.0
    stages: tuple[StageState, ...] = ()
    own: tuple[OwnScore, ...] = ()
    reading: str = ""
    error: str = ""
    title: str = ""
    metric: str = ""
    verdict: str = ""
    scores: tuple[FinalScore, ...] = ()
    chance: float | None = None


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds a point of a sweep.

    Parameters
    ----------
    name : str
        Machine and process.
    lives : bool
    point : str
        Digest of the point.
    label : str
        What differs from other points.
    folder : str
        Folder of its run, to be watched by itself; empty if there is none yet.
    stage : StageState, optional
    """

    name: str
    lives: bool
    point: str
    label: str
    folder: str = ""
    stage: StageState | None = None


class SweepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a sweep that is over, or a trial of a search.

    Parameters
    ----------
    point : str
        Digest of the point, or number of the trial.
    state : {"done", "failed", "running", "pruned"}
    values : tuple of str
        Value of each column.
    score, control, gain : float or None
        Mean over splits of the main score, of the best control, and their difference.
    error : str
        Of one that failed.
    folder : str
        Folder of its run; empty if there is none.
    """

    point: str
    state: str
    values: tuple[str, ...]
    score: float | None = None
    control: float | None = None
    gain: float | None = None
    error: str = ""
    folder: str = ""


class SettingScore(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of the finished points that have one value of a setting: their number, mean, least and greatest."""

    setting: str
    value: str
    count: int
    mean: float
    low: float
    high: float


class SweepState(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="sweep"):
    """A sweep, survey or search: how far it is, and the scores so far; the last message holds.

    Parameters
    ----------
    folder : str
    what : {"sweep", "search"}
    task : str
        Tasks, if there are several.
    of, done, failed, running, left : int
        Points, or trials; `left` are those that have not begun.
    state : {"running", "finished", "stopped"}
        ``"stopped"`` if something is left and no living process holds a point.
    seconds : float
        Since it was made.
    remaining : float or None
        Expected time until the end, s, by the last points that were finished.
    metric : str
        Metrics, if there are several.
    columns : tuple of str
        Settings in which points differ.
    rows : tuple of SweepRow
        The best first; at most 200.
    rows_left_out : int
    by_setting : tuple of SettingScore
    workers : tuple of WorkerState
    error : str
        Why the folder could not be read at the last look.
    """

    folder: str
    what: str
    task: str
    of: int
    done: int
    failed: int
    running: int
    left: int
    state: str
    seconds: float
    remaining: float | None
    metric: str
    columns: tuple[str, ...] = ()
    rows: tuple[SweepRow, ...] = ()
    rows_left_out: int = 0
    by_setting: tuple[SettingScore, ...] = ()
    workers: tuple[WorkerState, ...] = ()
    error: str = ""


Message = Hello | Status | Event | Outputs | Progress | Rights | Dropped | Stopped | RunState | SweepState
"""A text message to the page."""


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ack"):
    """From the page: it has taken the frame of that number."""

    number: int


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="stop"):
    """From the page: emergency stop of the source of that title, which the user has confirmed."""

    title: str


@dataclass(frozen=True, eq=False)
class Columns:
    """Least and greatest values of outputs and inputs in columns of time, and the spikes within them.

    Parameters
    ----------
    starts, ends : ndarray of float64, shape (columns,)
        Times, s; ascending. There are gaps between columns where nothing was measured.
    low, high : ndarray of float32, shape (columns, outputs)
        Of shape (columns, 0) if there is no signal.
    drive_low, drive_high : ndarray of float32, shape (columns, inputs)
    times : ndarray of float64, shape (spikes,)
    channels : ndarray of uint32, shape (spikes,)
    sent : float
        Host clock when the last of it was measured or read, s since 1970.
    left_out : int
        Further spikes.
    """

    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    drive_low: npt.NDArray[np.float32]
    drive_high: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    channels: npt.NDArray[np.uint32]
    sent: float
    left_out: int = 0


def encode_columns(columns: Columns, number: int) -> bytes:
    """Return the binary frame of some columns."""
    head = _HEADER.pack(
        MAGIC, number, len(columns.starts), columns.low.shape[1], columns.drive_low.shape[1], len(columns.times),
        columns.sent, columns.left_out,
    )  # fmt: skip
    parts = (
        (columns.starts, "<f8"), (columns.ends, "<f8"), (columns.times, "<f8"), (columns.low, "<f4"),
        (columns.high, "<f4"), (columns.drive_low, "<f4"), (columns.drive_high, "<f4"), (columns.channels, "<u4"),
    )  # fmt: skip
    return b"".join((head, *(np.ascontiguousarray(part, dtype).tobytes() for part, dtype in parts)))


_encoder = msgspec.json.Encoder()
_from_viewer: Any = msgspec.json.Decoder(Ack | Stop)


def encode_text(message: Message) -> str:
    """Return the JSON of a text message; NaN and infinity become null."""
    return _encoder.encode(message).decode()


def from_viewer(text: str | bytes) -> Ack | Stop:
    """Read a message of the page.

    Raises
    ------
    msgspec.MsgspecError
        If it is none.
    """
    message: Ack | Stop = _from_viewer.decode(text)
    return message


def hello_of(
    info: SubstrateInfo, *, title: str, kind: Kind, drawn: Map, stops: bool = False, readout: Readout | None = None
) -> Hello:
    """Return the description of a source that shows a substrate."""
    return Hello(
        title=title, kind=kind, matter=info.kind, id=info.id, inputs=_traces_of(info.inputs),
        outputs=_traces_of(info.outputs), signal=info.sampling_rate is not None, spiking=info.spiking, stops=stops,
        map=drawn, readout=readout,
    )  # fmt: skip


def _traces_of(channels: Iterable[Channel]) -> tuple[Trace, ...]:
    return tuple(Trace(name=each.name, unit=each.unit, low=each.low, high=each.high) for each in channels)
