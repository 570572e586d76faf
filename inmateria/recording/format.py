"""File format of recordings: tables, and the fields of their rows.

attributes      format, version, created, info, annotations, software, script (the last four are JSON), and checks:
                JSON, the CRC-32 of each of the others and of `scale`. If not all samples are exact also kept: JSON,
                the number of `samples` of each step that are, evenly spaced and ending with its last, and whether the
                `others` are "rounded" (to so many `significant_bits`) or "left out"
/exchanges      one row per exchange: position of its rows, device and host clock, round trip, checksums
/drive          (steps, inputs), drives, in the inputs' units
/signal         (samples, outputs), signals: float64 in the outputs' units, or int16 counts, with the size of
                one count of each output in the attribute `scale`
/spikes         time on the device's clock, output channel
/checks         running checksums of /drive, /signal and /spikes within long exchanges
/notes          markers, changed parameters, dropped or unanswered exchanges, the end
/text           bytes: JSON documents of the notes

Rows are only appended, the row in /exchanges last, so the rows it refers to are complete however writing ended. No
table is compressed while rows are appended: a row, once written, never moves in the file. A recording that was ended
may be replaced by a compressed copy (filters shuffle and gzip of HDF5), with the same rows; see `compression`.

Checksums are CRC-32. That of /drive, of /signal and of /spikes runs on over all their rows from the first, as they
are stored. Its value at the end of each exchange is in /exchanges, and values at most 256 KiB apart within longer ones
are in /checks. So any part of a table is verified with at most 256 KiB beside it, and many short exchanges in one pass.

Version 2 has one checksum for each exchange, of all its data and its row, and no /checks; version 1 has none.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.recording.checksums import checksum, sealed
from inmateria.recording.documents import from_json, to_json
from inmateria.substrate import Response, Stimulus

FORMAT = "inmateria recording"
VERSION = 3

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
        ("drive_check", "<u4"),  # running checksum of /drive after the last of its rows
        ("signal_check", "<u4"),
        ("spikes_check", "<u4"),
        ("check", "<u4"),  # of all fields before this one; see `inmateria.recording.checksums.sealed`
    ]
)
"""A row of /exchanges; ``samples`` is the number of samples of the whole exchange."""

CHECK = np.dtype(
    [
        ("table", "<u4"),  # index into `DATA`
        ("rows", "<u8"),
        ("value", "<u4"),  # running checksum of the table after so many rows
        ("check", "<u4"),  # of all fields before this one, as in /exchanges
    ]
)
"""A row of /checks."""

DATA = {
    "drive": ("first_step", "steps", "drive_check"),
    "signal": ("first_sample", "samples", "signal_check"),
    "spikes": ("first_spike", "spikes", "spikes_check"),
}
"""Tables of data, and the fields of /exchanges with the first row, the number of rows and the running checksum."""

CHECKED_BYTES = 1 << 18
"""Most bytes of a table between two values of its running checksum, unless a single row has more."""

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
DAMAGED = "damaged"

_EXCHANGE_ROW = struct.Struct("<QIddQQQQQQddIII")
_CHECK_ROW = struct.Struct("<IQI")
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

    __repr__ = one_line


@dataclass(frozen=True, eq=False, slots=True)
class StoredExchanges:
    """Consecutive exchanges as they are stored, to be written without making each of them.

    Parameters
    ----------
    rows : ndarray of void
        Rows of /exchanges, of any version; their places and checksums are made anew where they are written.
    data : dict of ndarray
        Rows of each table of `DATA` that they refer to.
    """

    rows: npt.NDArray[np.void]
    data: dict[str, npt.NDArray[Any]]

    __repr__ = one_line


@dataclass(frozen=True, slots=True)
class Note:
    """An event that is not an exchange.

    Parameters
    ----------
    kind : str
        ``"marker"``; ``"parameters"``: changed parameters; ``"dropped"``: exchanges that were not recorded;
        ``"unanswered"``: a stimulus without a response; ``"damaged"``: exchanges or notes that were damaged in the file
        that this one was recovered from; ``"end"``: a proper end.
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

    __repr__ = one_line


def exchange_row(values: tuple[float, ...]) -> bytes:
    """Return a row of /exchanges: values, and their checksum."""
    return sealed(_EXCHANGE_ROW.pack(*values))


def check_row(table: str, rows: int, value: int) -> bytes:
    """Return a row of /checks: the running checksum of a table after some rows, and a checksum of the row."""
    return sealed(_CHECK_ROW.pack(list(DATA).index(table), rows, value))


def note_row(values: tuple[float, ...], text: bytes) -> bytes:
    """Return a row of /notes: values, and the checksum of the text and the values."""
    row = _NOTE_ROW.pack(*values)
    return row + _CHECK.pack(checksum(text, row))


def is_whole(row: np.void, *data: npt.NDArray[Any]) -> bool:
    """Return whether the checksum of a row of /notes, or of /exchanges in version 2, matches the row and its data."""
    return bool(checksum(*data, row.tobytes()[: -_CHECK.size]) == int(row["check"]))


def text_of(note: Note) -> bytes:
    """Return the JSON document of a note."""
    return to_json({"kind": note.kind, "label": note.label, "details": note.details})


def note_of(row: np.void, text: bytes) -> Note:
    """Return the note of a row and its JSON document."""
    words = from_json(text)
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


def spike_of_no_channel(spikes: npt.NDArray[np.void], outputs: int) -> str | None:
    """Return a description of the first spike that has no output or no time; None if all have both."""
    wrong = (spikes["channel"] >= outputs) | ~np.isfinite(spikes["time"])
    if not wrong.any():
        return None
    first = spikes[int(np.argmax(wrong))]
    return (
        f"a spike at {float(first['time']):g} s is on channel {int(first['channel'])}; "
        f"times must be finite and channels 0 to {outputs - 1}"
    )
