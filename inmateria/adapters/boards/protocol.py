"""The frames between a host and a board: COBS, CRC-32, and what each frame holds; docs/board_protocol.md."""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Channel, FloatArray, FrameError

__all__ = [
    "PROTOCOL_VERSION",
    "BoardDescription",
    "ChannelDescription",
    "End",
    "Frame",
    "FrameParser",
    "FrameType",
    "Levels",
    "ReadoutDescription",
    "SampleClass",
    "Status",
    "StepsAnswer",
    "drive_bytes",
    "encode_class",
    "encode_close",
    "encode_describe",
    "encode_open",
    "encode_status",
    "encode_steps",
    "nearest_levels",
    "reading_levels",
    "values",
]

PROTOCOL_VERSION = 1
_HEADER = struct.Struct("<BHH")
_STEPS = struct.Struct("<HBI")
_ANSWER = struct.Struct("<IB")
_STATUS = struct.Struct("<BHHHIIIIHHH")
_BOARD = struct.Struct("<BBBBBBIII")
_CHANNEL = struct.Struct("<BBHffHHH8s")
_READOUT = struct.Struct("<BH")
_CLASS = struct.Struct("<BHB")
_LONGEST = 254
_UNITS = ("1", "V", "Ohm", "A")

Levels = npt.NDArray[np.int64]


class FrameType(IntEnum):
    """Type of a frame from the host; a board answers with `ANSWER` added to it, or with `NO_SESSION`."""

    OPEN = 1
    DESCRIBE = 2
    STEPS = 3
    STATUS = 4
    CLOSE = 5
    CLASS = 6
    ANSWER = 0x80
    NO_SESSION = 0xFF


class End(IntEnum):
    """How the last session of a board ended."""

    NONE = 0
    RESET = 1
    WATCHDOG = 2
    CLOSED = 3
    REFUSED = 4
    BUSY = 5


class Frame(NamedTuple):
    """A frame that arrived whole."""

    type: int
    session: int
    number: int
    payload: bytes


class Status(NamedTuple):
    """State of a board: how far its session is, or how the last one ended.

    Parameters
    ----------
    end : int
        One of `End`.
    refused : int
        Number of the command that was refused, if one was.
    base : int
        Lowest number of a command that is not acknowledged.
    held : int
        Bit k is set if the board has the command of number ``base + k``.
    ticks : int
        The board's clock.
    begun, done : int
        Steps of the session that were begun, and that were applied. They differ by one while a step is applied.
    late : int
        Steps that began late.
    jitter : int
        Largest lateness of a step that did not count as late, ticks.
    damaged : int
        Frames that did not arrive whole at the board.
    overruns : int
        Bytes that came faster than the board took them.
    """

    end: int
    refused: int
    base: int
    held: int
    ticks: int
    begun: int
    done: int
    late: int
    jitter: int
    damaged: int
    overruns: int

    @classmethod
    def decode(cls, payload: bytes) -> "Status":
        """Read a status; `FrameError` if it is none."""
        return cls(*_unpacked(_STATUS, payload))


class StepsAnswer(NamedTuple):
    """Answer to one command: when its first step began (ticks), whether a step was late, and the readings' bytes."""

    start: int
    late: bool
    readings: bytes

    @classmethod
    def decode(cls, payload: bytes) -> "StepsAnswer":
        """Read an answer; `FrameError` if it is none."""
        if len(payload) < _ANSWER.size:
            raise _wrong(payload)
        start, flags = _ANSWER.unpack_from(payload)
        return cls(start, bool(flags & 1), payload[_ANSWER.size :])


class SampleClass(NamedTuple):
    """State of the last sample of a board with a readout: 0 none, 1 under way, 2 whole, 3 its class is known.

    Parameters
    ----------
    state : int
    number : int
        Number of the command that began it.
    chosen : int
        Number of its class.
    """

    state: int
    number: int
    chosen: int

    @classmethod
    def decode(cls, payload: bytes) -> "SampleClass":
        """Read a sample's state; `FrameError` if it is none."""
        return cls(*_unpacked(_CLASS, payload))


class ChannelDescription(NamedTuple):
    """One channel of a board; level k of it is ``low + k * (high - low) / (levels - 1)``, in its unit.

    Parameters
    ----------
    kind : int
        0 converter, 1 comparator, 2 PWM, 3 DAC, 4 digital output, 5 digital potentiometer.
    unit : str
        Unit in the notation of UCUM.
    levels : int
        Number of levels.
    low, high : float
        Values of the first and the last level.
    rest : int
        Level at rest, of an output.
    lowest, highest : int
        Levels that the board allows.
    name : str
    """

    kind: int
    unit: str
    levels: int
    low: float
    high: float
    rest: int
    lowest: int
    highest: int
    name: str

    @classmethod
    def decode(cls, payload: bytes) -> "ChannelDescription":
        """Read a description; `FrameError` if it is none, or does not agree with itself."""
        kind, unit, levels, low, high, rest, lowest, highest, name = _unpacked(_CHANNEL, payload)
        text = name.rstrip(b"\0").decode("ascii", "replace")
        if unit >= len(_UNITS) or not (low < high and text and lowest < highest < levels and rest < levels):
            raise _wrong(payload)
        return cls(kind, _UNITS[unit], levels, low, high, rest, lowest, highest, text)

    @property
    def resolution(self) -> float:
        """Distance of two levels, in the channel's unit."""
        return (self.high - self.low) / (self.levels - 1)

    @property
    def width(self) -> int:
        """Bytes of one level on the line."""
        return 1 if self.levels <= 256 else 2

    def value(self, level: int) -> float:
        """Return the value of a level, in the channel's unit."""
        return self.low + level * self.resolution

    def channel(self) -> Channel:
        """Return the channel as a substrate describes it: two levels are discrete, more are a range."""
        low, high = self.value(self.lowest), self.value(self.highest)
        return Channel(
            name=self.name, unit=self.unit, low=low, high=high, levels=(low, high) if self.levels == 2 else None
        )


class ReadoutDescription(NamedTuple):
    """A readout on a board.

    Parameters
    ----------
    inputs : int
        Number of the board's inputs, from the first one on, that are read as features with each step.
    features : int
        Features of a sample.
    """

    inputs: int
    features: int

    @property
    def steps(self) -> int:
        """Steps of a sample."""
        return self.features // self.inputs


class BoardDescription(NamedTuple):
    """A board as it describes itself.

    Parameters
    ----------
    version, firmware : int
        Versions of the protocol and of the firmware.
    outputs, inputs : int
        Numbers of channels that a step drives, and that it reads.
    slots, slot_bytes : int
        Commands that may be under way at once, and the most bytes of drive or of readings in one.
    ticks_per_second : int
    shortest : int
        Shortest step, ticks.
    late : int
        Lateness from which on a step counts as late, ticks.
    name, id : str
        Kind of board, and its unique id, if it has one.
    readout : ReadoutDescription or None
        The readout on the board, if it has one.
    """

    version: int
    firmware: int
    outputs: int
    inputs: int
    slots: int
    slot_bytes: int
    ticks_per_second: int
    shortest: int
    late: int
    name: str
    id: str
    readout: ReadoutDescription | None = None

    @classmethod
    def decode(cls, payload: bytes) -> "BoardDescription":
        """Read a description; `FrameError` if it is none, or of another version."""
        if not payload or payload[0] != PROTOCOL_VERSION:
            raise FrameError(
                f"the board speaks version {payload[:1].hex() or 'none'} of the protocol",
                f"this host speaks {PROTOCOL_VERSION}",
                "upload the firmware that belongs to this version of inmateria",
            )
        try:
            fixed = _BOARD.unpack_from(payload)
            texts, rest = [], payload[_BOARD.size :]
            for _ in range(2):
                texts.append(rest[1 : 1 + rest[0]].decode("ascii"))
                rest = rest[1 + rest[0] :]
        except (struct.error, IndexError, UnicodeDecodeError):
            raise _wrong(payload) from None
        readout = ReadoutDescription(*_unpacked(_READOUT, rest)) if rest else None
        if readout is not None and not (readout.inputs and readout.steps):
            raise _wrong(payload)
        described = cls(*fixed, *texts)._replace(readout=readout)
        if not (described.outputs and described.inputs and described.slots and described.ticks_per_second):
            raise _wrong(payload)
        return described


class FrameParser:
    """Finds the frames in a stream of bytes; what is damaged is skipped and counted.

    Attributes
    ----------
    damaged : int
        Frames that did not arrive whole.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.damaged = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the bytes that came, and yield the frames that are whole."""
        *blocks, self._rest = (self._rest + data).split(b"\0")
        if len(self._rest) > _LONGEST:  # noise without an end
            self._rest = self._rest[:1] * (_LONGEST + 1)
        for block in blocks:
            if not block:
                continue
            raw = _decoded(block)
            if raw is None or len(raw) < _HEADER.size + 4 or zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
                self.damaged += 1
                continue
            kind, session, number = _HEADER.unpack_from(raw)
            yield Frame(kind, session, number, raw[_HEADER.size : -4])


def encode_open(session: int, number: int, watchdog: int) -> bytes:
    """Return the frame that opens a session with a watchdog of so many milliseconds."""
    return _encoded(FrameType.OPEN, session, number, struct.pack("<BH", PROTOCOL_VERSION, watchdog))


def encode_describe(number: int, index: int) -> bytes:
    """Return the frame that asks for a channel's description, outputs first; 255 asks for the board's."""
    return _encoded(FrameType.DESCRIBE, 0, number, bytes((index,)))


def encode_steps(
    session: int, number: int, base: int, first: bool, period: int, drive: bytes, sample: bool = False
) -> bytes:
    """Return the frame of a command: steps of so many ticks, and the lowest number whose answer has not come.

    The first of its steps may begin a stimulus, and a sample for the readout on the board.
    """
    return _encoded(FrameType.STEPS, session, number, _STEPS.pack(base, first | sample << 1, period) + drive)


def encode_status(session: int, number: int, base: int) -> bytes:
    """Return the frame that asks for the status, which also acknowledges and keeps the session alive."""
    return _encoded(FrameType.STATUS, session, number, struct.pack("<H", base))


def encode_class(session: int, number: int) -> bytes:
    """Return the frame that asks for the class of the last sample."""
    return _encoded(FrameType.CLASS, session, number, b"")


def encode_close(session: int, number: int) -> bytes:
    """Return the frame that ends a session: outputs at rest, and nothing more of what is queued is applied."""
    return _encoded(FrameType.CLOSE, session, number, b"")


def drive_bytes(levels: Levels, channels: list[ChannelDescription]) -> npt.NDArray[np.uint8]:
    """Return levels, shape (steps, channels), as they go over the line, shape (steps, bytes)."""
    columns = [
        levels[:, [k]].astype("<u2").view(np.uint8).reshape(len(levels), 2)[:, : channel.width]
        for k, channel in enumerate(channels)
    ]
    return np.ascontiguousarray(np.hstack(columns))


def reading_levels(readings: bytes, channels: list[ChannelDescription]) -> Levels:
    """Return the levels that were read, shape (steps, channels).

    Raises
    ------
    FrameError
        If they are not whole steps.
    """
    width = sum(channel.width for channel in channels)
    if not readings or len(readings) % width:
        raise _wrong(readings)
    table = np.frombuffer(readings, np.uint8).reshape(-1, width).astype(np.int64)
    levels = np.empty((len(table), len(channels)), dtype=np.int64)
    at = 0
    for k, channel in enumerate(channels):
        levels[:, k] = table[:, at] if channel.width == 1 else table[:, at] + 256 * table[:, at + 1]
        at += channel.width
    return levels


def nearest_levels(drive: FloatArray, channels: list[ChannelDescription]) -> Levels:
    """Return the levels nearest to a drive within the limits, shape (steps, channels)."""
    low = np.array([channel.low for channel in channels])
    resolution = np.array([channel.resolution for channel in channels])
    return np.asarray(np.rint((drive - low) / resolution), dtype=np.int64)


def values(levels: Levels, channels: list[ChannelDescription]) -> FloatArray:
    """Return the values of levels, in the channels' units."""
    low = np.array([channel.low for channel in channels])
    resolution = np.array([channel.resolution for channel in channels])
    return np.asarray(low + levels * resolution, dtype=np.float64)


def _encoded(kind: FrameType, session: int, number: int, payload: bytes) -> bytes:
    raw = _HEADER.pack(kind, session, number) + payload
    raw += zlib.crc32(raw).to_bytes(4, "little")
    # COBS: each run without zeros is preceded by its length + 1. No frame has a run of 254.
    return b"".join(bytes((len(run) + 1,)) + run for run in raw.split(b"\0")) + b"\0"


def _decoded(block: bytes) -> bytes | None:
    """Undo COBS; None if the block is damaged."""
    runs, at = [], 0
    while at < len(block):
        end = at + block[at]
        if end > len(block):
            return None
        runs.append(block[at + 1 : end])
        at = end
    return b"\0".join(runs)


def _unpacked(form: struct.Struct, payload: bytes) -> tuple[Any, ...]:
    if len(payload) != form.size:
        raise _wrong(payload)
    return form.unpack(payload)


def _wrong(payload: bytes) -> FrameError:
    return FrameError(
        f"a board sent {payload[:40].hex() or 'nothing'}",
        f"which is no answer of version {PROTOCOL_VERSION} of the protocol",
        "upload the firmware that belongs to this version of inmateria",
    )
