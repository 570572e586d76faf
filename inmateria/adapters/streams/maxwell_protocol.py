"""Frames of MaxWell Biosystems' server (MaxOne, MaxTwo), as it publishes them by ZeroMQ, read and made.

A frame is one sample of all channels, in two or three parts: its number (uint64), the amplitudes (float32, one a
channel), and the spikes that were found, if any. There is no public description of it by the vendor; this follows the
readers that laboratories publish (https://github.com/braingeneers, among others), and the vendor's header
``data_streamer.h``. Spikes have one of two layouts, by the version of the server.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.errors import FrameError

__all__ = ["SPIKE_LAYOUTS", "frame_message", "frame_number", "spike_table", "spikes_of"]

SPIKE_LAYOUTS: dict[int, np.dtype[Any]] = {
    24: np.dtype([("unused", "u1", (8,)), ("frame", "<u8"), ("channel", "<i4"), ("amplitude", "<f4")]),
    16: np.dtype([("frame", "<u8"), ("amplitude", "<f4"), ("channel", "<i2"), ("well", "u1"), ("unused", "u1")]),
}
"""By their size in bytes."""


def frame_number(parts: Sequence[bytes]) -> int:
    """Return the number of a frame.

    Raises
    ------
    FrameError
        If it is none.
    """
    if not 2 <= len(parts) <= 3 or len(parts[0]) != 8 or not parts[1] or len(parts[1]) % 4:
        raise FrameError(
            f"a message of {len(parts)} parts with {[len(part) for part in parts]} bytes is no frame",
            "a frame has a number of 8 bytes, amplitudes of 4 bytes each, and maybe spikes",
            "check the port: 7205 is the filtered stream of MaxWell's server, 7204 the raw one",
        )
    return int.from_bytes(parts[0], "little")


def spikes_of(part: bytes, layout: "np.dtype[Any]") -> npt.NDArray[np.void]:
    """Return the spikes of a frame; raises `FrameError` if they have another layout."""
    if len(part) % layout.itemsize:
        raise FrameError(
            f"the spikes of a frame have {len(part)} bytes",
            f"they were said to have {layout.itemsize} each",
            "give spike_bytes=24 for older servers and spike_bytes=16 for those of MaxTwo",
        )
    return np.frombuffer(part, dtype=layout)


def frame_message(
    number: int, amplitudes: npt.NDArray[np.float32], spikes: Sequence[tuple[int, int, float]], layout: "np.dtype[Any]"
) -> list[bytes]:
    """Make the message of a frame.

    Parameters
    ----------
    number : int
    amplitudes : ndarray of float32, shape (channels,)
    spikes : sequence of (int, int, float)
        Frame, channel and amplitude of each.
    layout : dtype
        One of `SPIKE_LAYOUTS`.
    """
    raw = [number.to_bytes(8, "little"), amplitudes.astype("<f4").tobytes()]
    return [*raw, spike_table(spikes, layout)] if len(spikes) else raw


def spike_table(spikes: Sequence[tuple[int, int, float]], layout: "np.dtype[Any]") -> bytes:
    """Make the third part of a frame, of the frame, channel and amplitude of each spike."""
    table = np.zeros(len(spikes), dtype=layout)
    for row, (frame, channel, amplitude) in zip(table, spikes, strict=True):
        row["frame"], row["channel"], row["amplitude"] = frame, channel, amplitude
    return table.tobytes()
