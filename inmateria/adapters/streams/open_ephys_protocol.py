"""Messages of Open Ephys' ZMQ Interface plugin, read and made.

Each message has two or three parts: an envelope (``DATA`` or ``EVENT``, with a zero byte), a header in JSON, and binary
data. Continuous data are float32, one message for each channel of a block. See
https://open-ephys.github.io/gui-docs/User-Manual/Plugins/ZMQ-Interface.html.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.errors import FrameError

__all__ = [
    "ChannelData",
    "Ttl",
    "TtlText",
    "UnitSpike",
    "data_message",
    "heartbeat",
    "read_message",
    "spike_message",
    "ttl_message",
]

_TTL = 3
_TEXT = 5


@dataclass(frozen=True, eq=False, slots=True)
class ChannelData:
    """A block of samples of one channel."""

    number: int
    stream: str
    channel: int
    sample: int
    rate: float
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ttl:
    """A change of a digital line."""

    number: int
    stream: str
    sample: int
    line: int
    state: bool
    word: int
    node: int


@dataclass(frozen=True, slots=True)
class TtlText:
    """An event that is none of a digital line, such as a message."""

    number: int
    stream: str
    sample: int
    text: str
    node: int


@dataclass(frozen=True, slots=True)
class UnitSpike:
    """A spike of an electrode; ``sample`` is that of its peak."""

    number: int
    stream: str
    sample: int
    electrode: str
    unit: int


def read_message(parts: Sequence[bytes]) -> ChannelData | Ttl | TtlText | UnitSpike | None:
    """Read one message; None if it is of a kind that has no data.

    Raises
    ------
    FrameError
        If it is not a message of that plugin.
    """
    try:
        header = json.loads(parts[1])
        number, kind = int(header["message_num"]), header["type"]
        if kind == "data":
            about = header["content"]
            values = np.frombuffer(parts[2], dtype="<f4")
            if len(values) != int(about["num_samples"]):
                raise ValueError(f"it has {len(values)} values and announces {about['num_samples']}")
            rate = float(about["sample_rate"])
            if not 0 < rate < float("inf"):
                raise ValueError(f"its sample rate is {rate}")
            return ChannelData(
                number, str(about["stream"]), int(about["channel_num"]), int(about["sample_num"]), rate, values
            )
        if kind == "spike":
            about = header["spike"]
            return UnitSpike(
                number, str(about["stream"]), int(about["sample_num"]), str(about["electrode"]), int(about["sorted_id"])
            )
        if kind == "event":
            about = header["content"]
            place = (number, str(about["stream"]), int(about["sample_num"]))
            if int(about["type"]) == _TTL and len(parts) > 2:
                line, state, word = np.frombuffer(parts[2][:10], dtype=[("l", "u1"), ("s", "u1"), ("w", "<u8")])[0]
                return Ttl(*place, int(line), bool(state), int(word), int(about["source_node"]))
            text = parts[2].decode("utf-8", "replace").rstrip("\0") if len(parts) > 2 else f"event {about['type']}"
            return TtlText(*place, text, int(about["source_node"]))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise FrameError(
            f"a message of {len(parts)} parts cannot be read ({type(error).__name__}: {error})",
            "expected are those of Open Ephys' ZMQ Interface, version 0.3 or later",
            "check the port: the data port of the plugin is 5556 unless it was changed",
        ) from None
    return None


def data_message(
    number: int, stream: str, channel: int, sample: int, rate: float, values: npt.NDArray[np.float32], milliseconds: int
) -> list[bytes]:
    """Make the message of a block of one channel."""
    content = {
        "stream": stream, "channel_num": channel, "num_samples": len(values), "sample_num": sample, "sample_rate": rate,
    }  # fmt: skip
    raw = values.astype("<f4").tobytes()
    return _message(b"DATA\0", number, "data", {"content": content, "data_size": len(raw)}, milliseconds, raw)


def ttl_message(
    number: int, stream: str, sample: int, line: int, state: bool, word: int, milliseconds: int, node: int = 100
) -> list[bytes]:
    """Make the message of a change of a digital line."""
    raw = bytes([line, state]) + word.to_bytes(8, "little")
    content = {"stream": stream, "source_node": node, "type": _TTL, "sample_num": sample}
    return _message(b"EVENT\0", number, "event", {"content": content, "data_size": len(raw)}, milliseconds, raw)


def spike_message(
    number: int,
    stream: str,
    sample: int,
    electrode: str,
    unit: int,
    waveform: npt.NDArray[np.float32],
    milliseconds: int,
) -> list[bytes]:
    """Make the message of a spike with its waveform, shape (channels, samples)."""
    spike = {
        "stream": stream, "source_node": 101, "electrode": electrode, "sample_num": sample,
        "num_channels": waveform.shape[0], "num_samples": waveform.shape[1], "sorted_id": unit,
        "threshold": [-50.0] * waveform.shape[0],
    }  # fmt: skip
    return _message(b"EVENT\0", number, "spike", {"spike": spike}, milliseconds, waveform.astype("<f4").tobytes())


def _message(
    envelope: bytes, number: int, kind: str, more: dict[str, Any], milliseconds: int, raw: bytes
) -> list[bytes]:
    header = {"message_num": number, "type": kind, **more, "timestamp": milliseconds}
    return [envelope, json.dumps(header).encode(), raw]


def heartbeat(application: str, uuid: str) -> bytes:
    """Make the message that a client sends to the listening port every two seconds."""
    return json.dumps({"application": application, "uuid": uuid, "type": "heartbeat"}).encode()
