"""HTML of a recording for notebooks: what it holds, and a drawing of its last exchanges."""

from collections.abc import Sequence
from typing import Any

from inmateria.notebook_html import notebook_html, raster, traces
from inmateria.recording.format import RecordingError
from inmateria.substrate import Channel, FloatArray

__all__ = ["recording_html"]

_MOST_VALUES = 200_000
_MOST_UNITS = 3


def recording_html(recording: Any) -> str:
    """Return HTML of a `Recording`, with the stimuli and responses of its last exchanges, at most 200,000 values."""
    rows, info = recording.exchanges, recording.info
    sessions = len(set(rows["session"].tolist()))
    steps = int(rows["steps"].sum())
    seconds = float((rows["step"] * rows["steps"]).sum())
    facts = {
        "of": f"{info.id}, {info.kind}",
        "file": recording.path.name,
        "created": recording.created,
        "exchanges": f"{len(rows):,} in {sessions} session{'s' * (sessions != 1)}, {steps:,} steps, {seconds:g} s",
        "spikes": f"{int(rows['spikes'].sum()):,}" if info.spiking else None,
        "notes": len(recording.notes) or None,
        "dropped": f"{recording.dropped:,} exchanges" if recording.dropped else None,
        "finished": None if recording.finished else "no: it is being written, or its writer was killed",
        "damaged": ", ".join(recording.damaged_metadata),
    }
    drawings: list[str] = []
    if recording.closed:
        facts["data"] = "the file has been closed"
    elif len(rows):
        try:
            drawings = _drawings(recording)
        except RecordingError as error:
            facts["data"] = str(error)
    return notebook_html("Recording", facts, drawings)


def _drawings(recording: Any) -> list[str]:
    rows, info = recording.exchanges, recording.info
    size = rows["steps"] * len(info.inputs) + rows["samples"] * len(info.outputs) + rows["spikes"]
    first = len(rows) - max(1, int((size[::-1].cumsum() <= _MOST_VALUES).sum()))
    if size[first] > _MOST_VALUES:
        return []
    count = len(rows) - first
    which = "all exchanges" if first == 0 else "the last exchange" if count == 1 else f"the last {count:,} exchanges"
    drawings = _by_unit(recording.drive(first), info.inputs, f"Drive of {which}", held=True)
    if info.sampling_rate is not None:
        drawings += _by_unit(recording.signal(first), info.outputs, f"Signal of {which}", held=False)
    if info.spiking:
        spikes = recording.spikes(first)
        drawings.append(raster(spikes["time"], spikes["channel"], len(info.outputs), f"Spikes of {which}"))
    return drawings


def _by_unit(values: FloatArray, channels: Sequence[Channel], alt: str, *, held: bool) -> list[str]:
    """Draw the channels of each unit, with a scale of their own; of more than three units the first ones."""
    units: dict[str, list[int]] = {}
    for column, channel in enumerate(channels):
        units.setdefault(channel.unit, []).append(column)
    colour = "input" if held else "output"
    return [
        traces(values[:, columns], alt if unit == "1" else f"{alt}, {unit}", colour=colour, held=held)
        for unit, columns in [*units.items()][:_MOST_UNITS]
    ]
