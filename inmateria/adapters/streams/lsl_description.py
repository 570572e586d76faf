"""The XML description of an LSL stream: channels with labels and units, written and read as XDF's metadata.

See https://github.com/sccn/xdf/wiki/Meta-Data.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from inmateria.adapters.streams.source import HIGHEST
from inmateria.substrate_info import Channel
from inmateria.units import read_unit

if TYPE_CHECKING:
    import pylsl

__all__ = ["channels_of", "described", "unit_of"]

_WORDS = {
    "": "1", "none": "1", "normalized": "1", "unitless": "1", "a.u.": "1", "au": "1",
    "volts": "V", "volt": "V", "millivolts": "mV", "millivolt": "mV", "microvolts": "uV", "microvolt": "uV",
    "µv": "uV", "μv": "uV", "uv": "uV", "nanovolts": "nV", "amperes": "A", "microamperes": "uA",
    "celsius": "Cel", "°c": "Cel", "degrees": "deg", "percent": "%", "hertz": "Hz", "seconds": "s", "meters": "m",
}  # fmt: skip
"""Units as streams spell them, in lower case, and as UCUM does."""


def unit_of(stated: str) -> str | None:
    """Return a unit as `inmateria.units` writes it, or None if it is not known."""
    word = _WORDS.get(stated.strip().lower())
    if word is not None:
        return word
    text = stated.strip().replace("µ", "u").replace("μ", "u").replace("Ω", "Ohm")
    try:
        read_unit(text)
    except ValueError:
        return None
    return text


def described(
    name: str,
    content: str,
    channels: Sequence[Channel],
    rate: float,
    sample_format: int,
    source_id: str,
    acquisition: Mapping[str, str] | None = None,
) -> "pylsl.StreamInfo":
    """Return the description of an outlet.

    Parameters
    ----------
    name, content, source_id : str
        Name of the stream, type of its content, and identity of its source.
    channels : sequence of Channel
    rate : float
        Nominal rate, Hz; 0 if samples come at irregular times.
    sample_format : int
        One of pylsl's ``cf_`` constants.
    acquisition : mapping of str to str, optional
        Manufacturer, model, serial number and the like.
    """
    import pylsl

    info = pylsl.StreamInfo(name, content, len(channels), rate, sample_format, source_id)
    description = info.desc()
    listed = description.append_child("channels")
    for channel in channels:
        each = listed.append_child("channel")
        for key, value in (
            ("label", channel.name),
            ("unit", channel.unit),
            ("type", content),
            ("low", repr(channel.low)),
            ("high", repr(channel.high)),
        ):
            each.append_child_value(key, value)
    made = description.append_child("acquisition")
    for key, value in (acquisition or {}).items():
        made.append_child_value(key, value)
    return info


def channels_of(info: "pylsl.StreamInfo", lowest: float, highest: float) -> tuple[tuple[Channel, ...], list[str]]:
    """Return the channels that a stream describes, and its units that are not known.

    Parameters
    ----------
    info : pylsl.StreamInfo
        Complete, as an inlet gives it.
    lowest, highest : float
        Range of the outputs where the description states none.
    """
    stated = list(_stated(info))[: info.channel_count()]
    stated += [{}] * (info.channel_count() - len(stated))
    channels: list[Channel] = []
    strange: list[str] = []
    names: set[str] = set()
    for k, words in enumerate(stated):
        name = words.get("label") or words.get("name") or f"channel {k + 1}"
        if name in names:
            name = f"{name} ({k + 1})"
        names.add(name)
        unit = unit_of(words.get("unit", ""))
        if unit is None:
            strange.append(f"{name}: {words['unit']}")
        low, high = _number(words.get("low"), lowest), _number(words.get("high"), highest)
        if not low < high:
            low, high = lowest, highest
        channels.append(Channel(name=name, unit=unit or "1", low=low, high=high))
    return tuple(channels), strange


def _stated(info: "pylsl.StreamInfo") -> Iterator[dict[str, str]]:
    channel = info.desc().child("channels").child("channel")
    while not channel.empty():
        words = {key: channel.child_value(key).strip() for key in ("label", "name", "unit", "low", "high")}
        yield {key: value for key, value in words.items() if value}
        channel = channel.next_sibling("channel")


def _number(word: str | None, default: float) -> float:
    try:
        value = default if word is None else float(word)
    except ValueError:
        return default
    return value if abs(value) <= HIGHEST else default
