"""Frames: stimuli, responses and the messages around them as bytes (docs/wire.md).

2 bytes   magic, "IM"
1 byte    major version
1 byte    what the checksum covers besides these 8 bytes: 1 header and body, 0 the header only, which then holds
          the sum of the body
4 bytes   length of the header, unsigned little-endian
4 bytes   checksum, CRC-32 as of zlib, unsigned little-endian
header    msgpack map, see `Header`; keys that are not known are ignored
body      raw little-endian numbers: the array that the header describes, then the spikes
"""

import struct
from enum import StrEnum
from math import prod
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.exchange import unadmitted
from inmateria.substrate import (
    SPIKE,
    FrameError,
    Response,
    ResponseMismatch,
    Stimulus,
    StimulusRejected,
    SubstrateInfo,
)
from inmateria.units import power_between

__all__ = [
    "NOT_READ",
    "Frame",
    "Header",
    "Kind",
    "decode",
    "encode",
    "header_of",
    "integers",
    "numbers",
    "response_of",
    "stimulus_of",
    "unadmitted_stimulus_of",
]

MAGIC, MAJOR = b"IM", 1
NOT_READ = -32768
"""Stands in 16-bit integers for a value that was not read."""
_MOST_INTEGER = 32767
_PREFIX, _CHECK, _HEAD = struct.Struct("<2sBBI"), struct.Struct("<I"), struct.Struct("<4sII")
_pack_prefix, _pack_check, _read_head = _PREFIX.pack, _CHECK.pack, _HEAD.unpack_from
_CHECK_AT = _PREFIX.size
_HEADER_AT = _CHECK_AT + _CHECK.size
_LARGE, _PAD = 4096, 6
_add, _ndarray = np.add.reduce, np.ndarray
_PADS = tuple(" " * (spaces + 1) for spaces in range(8))
_WHOLE = 1
_BEGINS, _BEGINS_WHOLE = MAGIC + bytes((MAJOR,)), MAGIC + bytes((MAJOR, _WHOLE))
_WORD, _MOST_SUM = np.dtype("<u8"), (1 << 64) - 1
_MOST_HEADER = 1 << 16
_MOST_AXES = 3
_MOST_VALUE = 1e300
_FORMS_KEPT = 64
_FLOAT64 = np.dtype("<f8")
_DTYPES: dict[str, np.dtype[Any]] = {
    "<f8": _FLOAT64,
    "<f4": np.dtype("<f4"),
    "<i2": np.dtype("<i2"),
    "|u1": np.dtype("|u1"),
}


class Kind(StrEnum):
    """Kind of a frame."""

    OPEN = "open"  # client: give me the lease
    OPENED = "opened"  # device: it is yours, for `lease` seconds; `sequence` is the next one expected
    RENEW = "renew"  # client: I am still here
    CLOSE = "close"  # client: I am done
    STIMULUS = "stimulus"  # client: apply this
    RESET = "reset"  # client: return to rest
    RESUME = "resume"  # client: I know of the refusal; go on
    RESPONSE = "response"  # device: what came out
    DONE = "done"  # device: a reset or resume was done
    REFUSED = "refused"  # device: not done, and why
    MISSING = "missing"  # device: send number `sequence` again
    PROBE = "probe"  # to oneself: may I publish and read here? All others ignore it
    PART = "part"  # a piece of a larger frame


class Header(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Header of a frame.

    Parameters
    ----------
    kind : Kind
    session : str
        Session that holds, or asks for, the lease.
    sequence : int
        Counts stimuli, resets and resumes of a session, from 0.
    epoch : str
        Names one life of the device: it changes when the device forgets what it applied.
    step : float
        Duration of a step, s.
    start : float
        Device clock at the first step, s.
    exchange : int
        The response's own count of exchanges since the device's last return to rest.
    dtype, shape
        Of the array at the beginning of the body; no shape means none.
    spikes : int
        Spikes after it; -1 where the response carries none at all.
    scale, offset : tuple of float
        Of 16-bit integers: value = scale * integer + offset; one number for all columns, or one a column.
    clipped : int
        Values of the array that were outside the range of the integers, and were set to its edge.
    units : tuple of str
        Of the array's columns, or one for all of them; where they are left out, those of the device's info.
    window : tuple of int
        With the lease: commands, steps and bytes that may be unanswered at most.
    lease : float
        Seconds for which the lease is given.
    grant : str
        Names one giving of the lease; every command under it carries it, so that none can be replayed.
    error : list of str
        Class, what was asked, what is allowed, what to do.
    checksum : int
        Of the body, where that of the frame leaves it out: the sum modulo 2**64 of its bytes taken eight at a
        time as unsigned little-endian integers, the array and the spikes each filled up with zeros; -1 for none.
    part : tuple of int
        Of a part of a frame: its index, from 0, and the count of parts.
    largest : int
        With ``open`` and ``opened``: bytes of a message to the sender of this at most; larger frames are to be sent in
        parts. 0 where it knows no parts.
    pad : str
        Without meaning: it has the body of a large frame begin at a multiple of eight, where reading is fastest.
    """

    kind: Kind
    session: str
    sequence: int = 0
    epoch: str = ""
    step: float = 0.0
    start: float = 0.0
    exchange: int = 0
    dtype: str = ""
    shape: tuple[int, ...] = ()
    spikes: int = -1
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    clipped: int = 0
    units: tuple[str, ...] = ()
    window: tuple[int, ...] = ()
    lease: float = 0.0
    grant: str = ""
    error: tuple[str, ...] = ()
    checksum: int = -1
    part: tuple[int, ...] = ()
    largest: int = 0
    pad: str = ""


class Frame(msgspec.Struct, frozen=True):
    """A header and the numbers behind it."""

    header: Header
    array: npt.NDArray[Any] | None = None
    spikes: npt.NDArray[np.void] | None = None


_forms: dict[tuple[str, tuple[int, ...]], tuple[np.dtype[Any], int]] = {}
_write_header = msgspec.msgpack.Encoder().encode
_read_header = msgspec.msgpack.Decoder(Header).decode


def encode(
    header: Header,
    array: npt.NDArray[Any] | None = None,
    spikes: npt.NDArray[np.void] | None = None,
    *,
    whole: bool = True,
) -> bytes:
    """Write a frame; dtype, shape and count of spikes are filled into the header.

    Parameters
    ----------
    header : Header
    array : ndarray of float64, float32, int16 or uint8, at most three axes
        Anything else is written as float64.
    spikes : ndarray of `SPIKE`
    whole : bool
        Whether the CRC covers the numbers too, as it always does below 4 kB. Otherwise the header holds their sum,
        which is ten times as fast.
    """
    size = 0
    if array is not None:
        if array.dtype is not _FLOAT64 and array.dtype.str not in _DTYPES:
            array = array.astype(_FLOAT64)
        header.dtype = "<f8" if array.dtype is _FLOAT64 else array.dtype.str
        header.shape, size = array.shape, array.nbytes
    if spikes is not None:
        header.spikes = len(spikes)
        size += spikes.nbytes
    if size >= _LARGE:
        return _encode_large(header, array, spikes, whole)
    rest = _write_header(header)
    prefix = _pack_prefix(MAGIC, MAJOR, _WHOLE, len(rest))
    if array is not None:  # copied once more, which is faster than a checksum of each part
        rest += array.tobytes()
    if spikes is not None:
        rest += spikes.tobytes()
    return prefix + _pack_check(crc32(rest, crc32(prefix))) + rest


def _encode_large(
    header: Header, array: npt.NDArray[Any] | None, spikes: npt.NDArray[np.void] | None, whole: bool
) -> bytes:
    """Write a frame of 4 kB and more, whose numbers are copied once only."""
    body: list[bytes | memoryview] = []
    if array is not None:
        body.append(array.tobytes() if array.nbytes < _LARGE else np.ascontiguousarray(array).data.cast("B"))
    if spikes is not None:
        body.append(np.ascontiguousarray(spikes).tobytes())
    if not whole:
        total = 0
        for part in body:
            total += _sum(part, 0, len(part))
        header.checksum = total & _MOST_SUM
    head = _write_header(header)
    header.pad = _PADS[-(_HEADER_AT + len(head) + _PAD) % 8]
    head = _write_header(header)
    prefix = _pack_prefix(MAGIC, MAJOR, whole, len(head))
    check = crc32(head, crc32(prefix))
    if whole:
        for part in body:
            check = crc32(part, check)
    return b"".join((prefix, _pack_check(check), head, *body))


def decode(data: bytes) -> Frame:
    """Read a frame; its arrays are read-only, and those of 4 kB and more are views of `data`.

    Raises
    ------
    FrameError
        If the bytes are not a whole frame of a version that is known here.
    """
    total = len(data)
    if total < _HEADER_AT:
        raise _no_frame(data)
    begins, length, check = _read_head(data)
    whole = begins == _BEGINS_WHOLE
    if not whole and begins[:3] != _BEGINS:
        raise _no_frame(data)
    end = _HEADER_AT + length
    if end > total or length > _MOST_HEADER:
        raise FrameError(
            f"a frame announces a header of {length} bytes in {total}", f"at most {_MOST_HEADER}, all of them there"
        )
    written = data[_HEADER_AT:end]
    if not whole:
        covered: bytes | memoryview = written
    elif total < _LARGE:  # to copy a few bytes is faster than to make a view of them
        covered = data[_HEADER_AT:]
    else:
        covered = memoryview(data)[_HEADER_AT:]
    if crc32(covered, crc32(data[:_CHECK_AT])) != check:
        raise FrameError(f"the checksum of a frame of {total} bytes is not that of its bytes", "CRC-32 as of zlib")
    try:
        header = _read_header(written)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"a frame's header cannot be read ({error})", "a msgpack map, see docs/wire.md") from None
    if not whole and header.kind is Kind.STIMULUS:
        raise FrameError("the checksum of a stimulus leaves its numbers out", "it covers them: nothing else is applied")
    array: npt.NDArray[Any] | None = None
    spikes: npt.NDArray[np.void] | None = None
    size = spikes_size = 0
    shape, count = header.shape, header.spikes
    if shape:
        form = header.dtype, shape
        dtype, size = _forms.get(form) or _read_form(*form)
    if count > 0:
        spikes_size = count * SPIKE.itemsize
    if end + size + spikes_size != total:
        raise FrameError(
            f"a frame announces {size} bytes of numbers and {max(0, count)} spikes in a body of "
            f"{total - end} bytes", "exactly what is announced",
        )  # fmt: skip
    if header.checksum >= 0 and header.checksum != (
        _sum(data, end, size) + _sum(data, end + size, spikes_size) & _MOST_SUM
    ):
        raise FrameError(f"the sum of the numbers of a frame of {total} bytes is not what its header says")
    if size:
        if size < _LARGE:  # a copy begins where numbers are aligned, so that it is not copied again
            array = _ndarray(shape, dtype, data[end : end + size])
        else:
            array = _ndarray(shape, dtype, data, end)
    if count >= 0:
        spikes = np.frombuffer(data, SPIKE, count, end + size)
    return Frame(header, array, spikes)


def _no_frame(data: bytes) -> FrameError:
    if len(data) < _HEADER_AT or data[: len(MAGIC)] != MAGIC:
        return FrameError(
            f"{len(data)} bytes that begin with {data[:2]!r} are not a frame", f"a frame begins with {MAGIC!r}"
        )
    return FrameError(
        f"a frame has major version {data[len(MAGIC)]}", f"version {MAJOR} is known here", "use a matching inmateria"
    )


def _read_form(name: str, shape: tuple[int, ...]) -> tuple[np.dtype[Any], int]:
    """Return data type and bytes of an array that a header describes; most frames are like the one before."""
    dtype = _DTYPES.get(name)
    if dtype is None:
        raise FrameError(f"a frame has dtype {name!r}", f"known are {', '.join(_DTYPES)}")
    if len(shape) > _MOST_AXES or min(shape) < 1:
        raise FrameError(f"a frame has shape {shape}", f"one to {_MOST_AXES} axes of at least 1")
    if len(_forms) >= _FORMS_KEPT:
        _forms.clear()
    _forms[name, shape] = form = (dtype, prod(shape) * dtype.itemsize)
    return form


def _in_units_of_info(signal: npt.NDArray[Any], units: tuple[str, ...], info: SubstrateInfo) -> npt.NDArray[Any]:
    outputs = info.outputs
    if len(units) == 1:
        units = units * len(outputs)
    if len(units) != len(outputs) or signal.shape[-1] != len(outputs):
        raise ResponseMismatch(
            f"a response names units for {len(units)} outputs", f"{info.id} has {len(outputs)}", "correct the device"
        )
    try:
        powers = [power_between(unit, output.unit) for unit, output in zip(units, outputs, strict=True)]
    except ValueError as error:
        raise ResponseMismatch(
            f"a response is in other units than announced ({error})",
            f"{info.id} announces {', '.join(output.unit for output in outputs[:8])}", "correct the device",
        ) from None  # fmt: skip
    if not any(powers):
        return signal
    # A power of ten up to 22 is exact, its inverse is not: division rounds once.
    up, down = [10.0 ** max(0, power) for power in powers], [10.0 ** max(0, -power) for power in powers]
    converted: npt.NDArray[np.float64] = signal.astype(np.float64) * up / down
    return converted


def header_of(data: bytes) -> Header:
    """Read the header of a frame that was encoded here; nothing is checked."""
    _, _, _, length = _PREFIX.unpack_from(data)
    return _read_header(memoryview(data)[_HEADER_AT : _HEADER_AT + length])


def _sum(data: bytes | memoryview, start: int, size: int) -> int:
    """Add up bytes as 64-bit integers, the last one filled up with zeros; modulo 2**64 but for that last one."""
    words, rest = size >> 3, size & 7
    total = int(_add(np.frombuffer(data, _WORD, words, start))) if words else 0
    return total + int.from_bytes(data[start + size - rest : start + size], "little") if rest else total


def integers(
    values: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int16], int]:
    """Turn values into 16-bit integers, and count those that had to be clipped; NaN becomes `NOT_READ`.

    Parameters
    ----------
    values : ndarray of float, shape (..., columns)
    scale, offset : ndarray of float, shape (1,) or (columns,)
        Value of one, and of none: value = scale * integer + offset.
    """
    scaled = np.rint((values - offset) / scale)
    clipped = int(np.count_nonzero(np.abs(scaled) > _MOST_INTEGER))
    missing = np.isnan(scaled)
    np.clip(scaled, -_MOST_INTEGER, _MOST_INTEGER, out=scaled)
    if missing.any():
        scaled[missing] = NOT_READ
    return scaled.astype("<i2"), clipped


def numbers(frame: Frame) -> npt.NDArray[np.float64] | None:
    """Return the array of a frame as float64: integers are scaled, and those not read become NaN.

    Raises
    ------
    FrameError
        If there are integers without a scale and an offset that fit the columns.
    """
    array, header = frame.array, frame.header
    if array is None or header.dtype == "<f8":
        return array
    if header.dtype != "<i2":
        return array.astype(np.float64)
    scale, offset = np.array(header.scale), np.array(header.offset or (0.0,))
    fitting = (1, array.shape[-1])
    given = (*header.scale, *header.offset)
    if len(scale) not in fitting or len(offset) not in fitting or not all(abs(each) < _MOST_VALUE for each in given):
        raise FrameError(
            f"a frame of integers with {array.shape[-1]} columns has scale {header.scale[:4]} "
            f"and offset {header.offset[:4]}", "one finite number, or one a column",
        )  # fmt: skip
    values: npt.NDArray[np.float64] = array * scale
    values += offset
    missing = array == NOT_READ
    if missing.any():
        values[missing] = np.nan
    return values


def stimulus_of(frame: Frame, floating: bool = False) -> Stimulus:
    """Take the stimulus out of a frame, of a device with inputs that float or not; or raise `StimulusRejected`."""
    return Stimulus(_drive_of(frame), frame.header.step, floating)


def unadmitted_stimulus_of(frame: Frame, floating: bool) -> Stimulus:
    """Take the stimulus out of a frame for `Substrate.stimulate`, which refuses values that are not finite as well."""
    header, array = frame.header, frame.array
    if array is None or header.dtype != "<f8" or array.ndim != 2:
        array = _drive_of(frame)
    return unadmitted(array, header.step, floating)


def _drive_of(frame: Frame) -> npt.NDArray[np.float64]:
    if frame.array is None or frame.array.ndim != 2:
        raise StimulusRejected(f"a stimulus frame has shape {frame.header.shape}", "shape (steps, inputs)")
    values = numbers(frame)
    assert values is not None
    return values


def response_of(frame: Frame, info: SubstrateInfo) -> Response:
    """Take the response out of a frame; float32 stays float32, and integers become float64.

    A signal in other units than those of `info` is converted where they differ by a power of ten.

    Raises
    ------
    FrameError
        If it carries none.
    ResponseMismatch
        If it is in units that cannot be converted into those of `info`.
    """
    header = frame.header
    signal = frame.array
    if signal is not None and header.dtype == "<i2":
        signal = numbers(frame)
    if signal is not None and header.units:
        signal = _in_units_of_info(signal, header.units, info)
    try:
        return Response(signal, frame.spikes, header.start, header.exchange)
    except ValueError as error:
        raise FrameError(f"a response frame carries no response ({error})") from None
