"""Frames: how stimuli, responses and the words around them look on a wire (docs/wire.md).

2 bytes   magic, "IM"
1 byte    major version
1 byte    zero
4 bytes   length of the header, unsigned little-endian
header    msgpack map, see `Header`; keys that are not known are ignored
body      raw little-endian numbers: the array that the header describes, then the spikes
"""

import struct
from enum import StrEnum
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.substrate import SPIKE, FrameError, Response, Stimulus, StimulusRejected

__all__ = ["Frame", "Header", "Kind", "decode", "encode", "response_of", "stimulus_of"]

MAGIC, MAJOR = b"IM", 1
_PREFIX = struct.Struct("<2sBxI")
_MOST_HEADER = 1 << 16
_MOST_AXES = 3
_DTYPES: dict[str, np.dtype[Any]] = {"<f8": np.dtype("<f8"), "<f4": np.dtype("<f4")}


class Kind(StrEnum):
    """What a frame says."""

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
    MISSING = "missing"  # device: send again from `sequence` on


class Header(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What stands before the numbers.

    Parameters
    ----------
    kind : Kind
    session : str
        Who holds, or asks for, the lease.
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
    lease : float
        Seconds for which the lease is given.
    grant : str
        Names one giving of the lease; every command under it carries it, so that none can be played back.
    error : list of str
        Class, what was asked, what is allowed, what to do.
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
    lease: float = 0.0
    grant: str = ""
    error: tuple[str, ...] = ()


class Frame(msgspec.Struct, frozen=True):
    """A header and the numbers behind it."""

    header: Header
    array: npt.NDArray[Any] | None = None
    spikes: npt.NDArray[np.void] | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


def encode(header: Header, array: npt.NDArray[Any] | None = None, spikes: npt.NDArray[np.void] | None = None) -> bytes:
    """Write a frame; dtype, shape and count of spikes are filled into the header."""
    parts: list[bytes | memoryview] = [b"", b""]
    if array is not None:
        if array.dtype.str not in _DTYPES:
            array = array.astype("<f8")
        header.dtype, header.shape = array.dtype.str, array.shape
        parts.append(np.ascontiguousarray(array).data)
    if spikes is not None:
        header.spikes = len(spikes)
        parts.append(np.ascontiguousarray(spikes).tobytes())
    head = _encoder.encode(header)
    parts[0], parts[1] = _PREFIX.pack(MAGIC, MAJOR, len(head)), head
    return b"".join(parts)


def decode(data: bytes) -> Frame:
    """Read a frame; its arrays are read-only views of `data`, so nothing is allocated for them.

    Raises
    ------
    FrameError
        Where the bytes are not a whole frame of a version that is known here.
    """
    if len(data) < _PREFIX.size or data[:2] != MAGIC:
        raise FrameError(
            f"{len(data)} bytes that begin with {data[:2]!r} are not a frame", f"a frame begins with {MAGIC!r}"
        )
    _, major, length = _PREFIX.unpack_from(data)
    if major != MAJOR:
        raise FrameError(
            f"a frame has major version {major}", f"version {MAJOR} is known here", "use a matching inmateria"
        )
    end = _PREFIX.size + length
    if length > _MOST_HEADER or end > len(data):
        raise FrameError(
            f"a frame announces a header of {length} bytes in {len(data)}", f"at most {_MOST_HEADER}, all of them there"
        )
    try:
        header = _decoder.decode(memoryview(data)[_PREFIX.size : end])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"a frame's header cannot be read ({error})", "a msgpack map, see docs/wire.md") from None
    array: npt.NDArray[Any] | None = None
    size = 0
    if header.shape:
        dtype = _DTYPES.get(header.dtype)
        if dtype is None:
            raise FrameError(f"a frame has dtype {header.dtype!r}", f"known are {', '.join(_DTYPES)}")
        if len(header.shape) > _MOST_AXES or min(header.shape) < 1:
            raise FrameError(f"a frame has shape {header.shape}", f"one to {_MOST_AXES} axes of at least 1")
        size = prod(header.shape) * dtype.itemsize
    count = max(0, header.spikes)
    if end + size + count * SPIKE.itemsize != len(data):
        raise FrameError(
            f"a frame announces {size} bytes of numbers and {count} spikes in a body of {len(data) - end} bytes",
            "exactly what is announced",
        )
    if size:
        array = np.frombuffer(data, dtype, prod(header.shape), end).reshape(header.shape)
    spikes = np.frombuffer(data, SPIKE, count, end + size) if header.spikes >= 0 else None
    return Frame(header, array, spikes)


def stimulus_of(frame: Frame) -> Stimulus:
    """Take the stimulus out of a frame; raises `StimulusRejected` or `FrameError`."""
    if frame.array is None or frame.array.ndim != 2:
        raise StimulusRejected(f"a stimulus frame has shape {frame.header.shape}", "shape (steps, inputs)")
    return Stimulus(frame.array, frame.header.step)


def response_of(frame: Frame) -> Response:
    """Take the response out of a frame.

    Raises
    ------
    FrameError
        Where it carries none.
    """
    header = frame.header
    try:
        return Response(frame.array, frame.spikes, header.start, header.exchange)
    except ValueError as error:
        raise FrameError(f"a response frame carries no response ({error})") from None
