"""File format of recordings: tables, and the fields of their rows.

attributes      format, version, created, info, annotations, software, script (the last four are JSON)
/exchanges      one row per exchange: position of its rows, device and host clock, round trip, checksum
/drive          (steps, inputs), drives, in the inputs' units
/signal         (samples, outputs), signals: float64 in the outputs' units, or int16 counts, with the size of
                one count of each output in the attribute `scale`
/spikes         time on the device's clock, output channel
/notes          markers, changed parameters, dropped or unanswered exchanges, the end
/text           bytes: JSON documents of the notes

Rows are only appended, the row in /exchanges last, so the rows it refers to are complete however writing ended. No
table is compressed: a row, once written, never moves in the file.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.substrate import Response, Stimulus

FORMAT = "inmateria recording"
VERSION = 2

EXCHANGE = np.dtype(
    [
        ("sequence", "<u8"),
        ("session", "<u4"),  # number of returns to rest; the device's clock restarts with each
        ("start", "<f8"),  # device clock, s
        ("step", "<f8"),  # s
        ("first_step", "<u8"),
        ("steps", "<u8"),
        ("first_sample", "<u8"),
        ("samples", "<u8"),
        ("first_spike", "<u8"),
        ("spikes", "<u8"),
        ("sent", "<f8"),  # host clock, s since 1970
        ("round_trip", "<f8"),  # s
        ("check", "<u4"),  # CRC-32 of the rows it refers to, then of all fields before this one
    ]
)
"""A row of /exchanges; ``samples`` is the number of samples of the whole exchange."""

NOTE = np.dtype(
    [
        ("host", "<f8"),  # host clock, s since 1970
        ("device", "<f8"),  # device clock, s; NaN if not known
        ("duration", "<f8"),  # s
        ("session", "<u4"),
        ("exchange", "<u8"),  # number of exchanges written before
        ("first_byte", "<u8"),
        ("bytes", "<u8"),
        ("check", "<u4"),  # CRC-32 of the text, then of all fields before this one
    ]
)
"""A row of /notes."""

MARKER, PARAMETERS, DROPPED, UNANSWERED, END = "marker", "parameters", "dropped", "unanswered", "end"

_EXCHANGE_ROW = struct.Struct("<QIddQQQQQQdd")
_NOTE_ROW = struct.Struct("<dddIQQQ")
_CHECK = struct.Struct("<I")


class RecordingError(Exception):
    """A file is not a recording, or cannot be read or written."""


@dataclass(frozen=True, eq=False, slots=True)
class Exchange:
    """One stimulus and its response, as recorded.

    Parameters
    ----------
    stimulus, response
        Stimulus sent and response received.
    session : int
        Number of returns to rest before it.
    sent : float
        Host clock when the stimulus left, s since 1970.
    round_trip : float
        Seconds until the response was received.
    """

    stimulus: Stimulus
    response: Response
    session: int
    sent: float
    round_trip: float


@dataclass(frozen=True, slots=True)
class Note:
    """An event that is not an exchange.

    Parameters
    ----------
    kind : str
        ``"marker"``; ``"parameters"``: changed parameters; ``"dropped"``: exchanges that were not recorded;
        ``"unanswered"``: a stimulus without a response; ``"end"``: a proper end.
    label : str
        Short description.
    details : dict
        Anything that JSON can represent.
    host : float
        Host clock, s since 1970.
    device : float
        Device clock, s; NaN if not known.
    duration : float
        Duration, s.
    session : int
        Number of returns to rest before it.
    exchange : int
        Number of exchanges recorded before it.
    """

    kind: str
    label: str
    details: dict[str, Any] = field(default_factory=dict)
    host: float = 0.0
    device: float = float("nan")
    duration: float = 0.0
    session: int = 0
    exchange: int = 0


def checksum(*parts: npt.NDArray[Any] | bytes) -> int:
    """Return the CRC-32 of arrays and bytes, one after the other."""
    value = 0
    for part in parts:
        if len(part):
            data = part if isinstance(part, bytes) else np.ascontiguousarray(part).view(np.uint8).reshape(-1).data
            value = zlib.crc32(data, value)
    return value


def exchange_row(values: tuple[float, ...], *data: npt.NDArray[Any]) -> bytes:
    """Return a row of /exchanges: values, and the checksum of the data and the values."""
    row = _EXCHANGE_ROW.pack(*values)
    return row + _CHECK.pack(checksum(*data, row))


def note_row(values: tuple[float, ...], text: bytes) -> bytes:
    """Return a row of /notes: values, and the checksum of the text and the values."""
    row = _NOTE_ROW.pack(*values)
    return row + _CHECK.pack(checksum(text, row))


def is_whole(row: np.void, *data: npt.NDArray[Any]) -> bool:
    """Return whether the checksum of a row of /exchanges or /notes matches the row and its data."""
    return bool(checksum(*data, row.tobytes()[: -_CHECK.size]) == int(row["check"]))


def text_of(note: Note) -> bytes:
    """Return the JSON document of a note."""
    return msgspec.json.encode({"kind": note.kind, "label": note.label, "details": note.details}, enc_hook=_plain)


def note_of(row: np.void, text: bytes) -> Note:
    """Return the note of a row and its JSON document."""
    words = msgspec.json.decode(text)
    return Note(
        words["kind"],
        words["label"],
        words["details"],
        float(row["host"]),
        float(row["device"]),
        float(row["duration"]),
        int(row["session"]),
        int(row["exchange"]),
    )


def _plain(value: Any) -> Any:
    """Return numbers and arrays of numpy as JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise NotImplementedError(f"{value!r} cannot be represented in JSON")
