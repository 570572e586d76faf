"""Figure of a recording: stimulus, response and spikes along the device's clock."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.figure_style import GREY, INK, style_axes
from inmateria.recording.format import MARKER, RecordingError
from inmateria.recording.overview import overview
from inmateria.recording.panels import decimation_note, panels_of, short_names, wrapped
from inmateria.recording.reading import Recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_MARKERS = 40
"""Markers beyond which their labels are left out."""


def plot(recording: Recording, path: Path, *, start: float | None = None, seconds: float | None = None, session: int | None = None) -> None:  # fmt: skip  # noqa: E501
    """Draw a section of a recording and save the figure to a file; see `draw`."""
    draw(recording, start=start, seconds=seconds, session=session).savefig(path, dpi=150)


def draw(
    recording: Recording, *, start: float | None = None, seconds: float | None = None, session: int | None = None
) -> "Figure":
    """Draw a section of a recording: stimulus, traces by unit, raster of spikes, markers.

    Of many samples the least and greatest of each of 1,600 bins are drawn, of many spikes every bin of an output
    that has one; the figure says so.

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
    of = overview(recording, first, end, bins=1600, most=4000, most_spikes=20_000, window=(begin, last))
    panels = panels_of(info, of)
    heights = [1.2 * panel.height for panel in panels]
    figure = Figure(figsize=(9.0, sum(heights) + 1.2), layout="constrained")
    axes: Any = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        style_axes(ax)
        panel.draw(ax)
        _draw_markers(ax, recording, session, begin, float(ends[end - 1]), named=ax is axes[0])
    axes[-1].set_xlabel("device clock (s)")
    axes[-1].set_xlim(max(begin, float(rows["start"][first])), min(last, float(ends[end - 1])))
    cut = "" if recording.finished else ", not finished"
    notes = [decimation_note(of), *(panel.note() for panel in panels)]
    title = wrapped(f"{info.id}, {info.kind}, session {session}{cut}", 90)
    figure.suptitle(title, fontsize=11, color=INK)
    if any(notes):
        figure.supxlabel(wrapped(" ".join(filter(None, notes)), 130), fontsize=8, color=INK)
    return figure


def _draw_markers(ax: Any, recording: Recording, session: int, begin: float, end: float, *, named: bool) -> None:
    notes = [
        note
        for note in recording.notes
        if note.kind == MARKER and note.session == session and begin <= note.device <= end
    ]
    for note in notes:
        ax.axvspan(note.device, note.device + note.duration, color=GREY, alpha=0.35, lw=0.8)
        if named and len(notes) <= _MOST_MARKERS:
            ax.annotate(
                short_names([note.label], 28)[0], (note.device, 1), xycoords=("data", "axes fraction"), fontsize=7,
                color=INK, rotation=90, va="top", ha="right",
            )  # fmt: skip
