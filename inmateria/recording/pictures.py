"""Figure of a recording: stimulus, response and spikes along the device's clock."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.figure_style import BLUE, GREY, INK, RED, style_axes
from inmateria.recording.format import MARKER, RecordingError
from inmateria.recording.formats.neo_blocks import channels_by_unit, sample_times, stretches
from inmateria.recording.reading import Recording
from inmateria.substrate import Channel, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_TRACES = 8
_MOST_POINTS = 4000


def plot(recording: Recording, path: Path, *, start: float | None = None, seconds: float | None = None, session: int | None = None) -> None:  # fmt: skip  # noqa: E501
    """Draw a section of a recording and save the figure to a file; see `draw`."""
    draw(recording, start=start, seconds=seconds, session=session).savefig(path, dpi=150)


def draw(
    recording: Recording, *, start: float | None = None, seconds: float | None = None, session: int | None = None
) -> "Figure":
    """Draw a section of a recording: stimulus, traces by unit, raster of spikes, markers.

    Parameters
    ----------
    recording : Recording
    start : float, optional
        Start on the device's clock, s; the start of the session by default.
    seconds : float, optional
        Duration, s; to the end by default.
    session : int, optional
        Number of returns to rest before it; the first session by default.

    Raises
    ------
    RecordingError
        If the section is empty.
    """
    from matplotlib.figure import Figure

    rows = recording.exchanges
    if not len(rows):
        raise RecordingError(f"{recording.path} has no exchanges; at least one is needed to draw")
    session = int(rows["session"][0]) if session is None else session
    ends = rows["start"] + rows["step"] * rows["steps"]
    begin = float(rows["start"][rows["session"] == session].min(initial=np.inf)) if start is None else start
    last = np.inf if seconds is None else begin + seconds
    chosen = np.flatnonzero((rows["session"] == session) & (ends > begin) & (rows["start"] < last))
    if not len(chosen):
        known = f"sessions {int(rows['session'].min())} to {int(rows['session'].max())}"
        raise RecordingError(f"{recording.path} has nothing from {begin:g} s on in session {session}; it has {known}")
    first, end = int(chosen[0]), int(chosen[-1]) + 1
    info = recording.info
    panels: list[tuple[str, str, list[int], tuple[Channel, ...]]] = [
        ("stimulus", unit, columns, info.inputs) for unit, columns in channels_by_unit(info.inputs).items()
    ]
    if info.sampling_rate is not None:
        panels += [
            ("response", unit, columns, info.outputs) for unit, columns in channels_by_unit(info.outputs).items()
        ]
    heights = [1.6 if side == "stimulus" else 2.4 for side, *_ in panels] + ([2.4] if info.spiking else [])
    figure = Figure(figsize=(9.0, sum(heights) + 0.8), layout="constrained")
    axes: Any = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    parts = [range(first + part.start, first + part.stop) for part in stretches(rows[first:end])]
    for ax, (side, unit, columns, channels) in zip(axes, panels, strict=False):
        shown = columns if len(columns) <= _MOST_TRACES else columns[:: -(-len(columns) // _MOST_TRACES)]
        for part in parts:
            each = "steps" if side == "stimulus" else "samples"
            read = recording.drive if side == "stimulus" else recording.signal
            times, values = sample_times(rows[part.start : part.stop], each), read(part.start, part.stop)
            _traces(ax, times, values[:, shown], RED if side == "stimulus" else BLUE, side == "stimulus")
        names = ", ".join(channels[column].name for column in shown)
        more = f" ({len(shown)} of {len(columns)})" if len(shown) < len(columns) else ""
        ax.set_title(f"{side}: {names}{more}", loc="left", fontsize=9, color=INK)
        ax.set_ylabel("value" if unit == "1" else unit)
    if info.spiking:
        spikes = recording.spikes(first, end)
        axes[-1].plot(spikes["time"], spikes["channel"], "|", color=INK, ms=4, mew=0.6)
        axes[-1].set_ylim(len(info.outputs) - 0.5, -0.5)
        axes[-1].set_ylabel("output")
        if len(info.outputs) <= 2 * _MOST_TRACES:
            axes[-1].set_yticks(range(len(info.outputs)), [channel.name for channel in info.outputs])
        else:
            axes[-1].yaxis.get_major_locator().set_params(integer=True)
        axes[-1].set_title(f"{len(spikes):,} spikes", loc="left", fontsize=9, color=INK)
    for ax in axes:
        style_axes(ax)
        for note in recording.notes:
            if note.kind == MARKER and note.session == session and begin <= note.device <= float(ends[end - 1]):
                ax.axvspan(note.device, note.device + note.duration, color=GREY, alpha=0.35, lw=0.8)
                if ax is axes[0]:
                    ax.annotate(
                        note.label, (note.device, 1), xycoords=("data", "axes fraction"), fontsize=7, color=INK,
                        rotation=90, va="top", ha="right",
                    )  # fmt: skip
    axes[-1].set_xlabel("device clock (s)")
    axes[-1].set_xlim(max(begin, float(rows["start"][first])), min(last, float(ends[end - 1])))
    cut = "" if recording.finished else ", not finished"
    figure.suptitle(f"{info.id}, {info.kind}, session {session}{cut}", fontsize=11, color=INK)
    return figure


def _traces(ax: Any, times: FloatArray, values: FloatArray, color: str, held: bool) -> None:
    """Draw lines; for more points than can be seen, the minimum and maximum of each group."""
    if len(times) > _MOST_POINTS:
        size = -(-2 * len(times) // _MOST_POINTS)
        count = len(times) // size
        groups = values[: count * size].reshape(count, size, -1)
        values = np.stack([groups.min(axis=1), groups.max(axis=1)], axis=1).reshape(2 * count, -1)
        times = np.repeat(times[: count * size : size], 2)
        held = False
    for column, line in enumerate(values.T):
        style = {"drawstyle": "steps-post"} if held else {}
        ax.plot(times, line, color=color, lw=0.8, alpha=1.0 - 0.6 * column / max(1, values.shape[1]), **style)
