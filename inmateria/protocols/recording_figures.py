"""The figures of a report that are made from the recording: all of it, its first stimuli, each channel's activity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inmateria.figure_style import BLUE, INK, PALE, RED, WIDTH, ramp, style_axes, style_bar
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.protocols.circuits import learning_channels
from inmateria.recording import Recording
from inmateria.recording.overview import Overview, overview
from inmateria.recording.panels import decimation_note, panels_of, readable, seconds_shown, short_names
from inmateria.substrate import FloatArray, Layout, SubstrateInfo

__all__ = ["figures_of_recording"]

_STRETCH = 3
"""Exchanges that the figure of the first stimuli shows at most."""
_MOST_STEPS, _MOST_UPDATES = 100, 40
"""Steps that it shows at most; of a training of the matter."""
_MOST_NAMED = 40
"""Electrodes beyond which their names are left out of the drawing."""
_MOST_BARS = 64
"""Outputs up to which each has a bar of its own."""


def figures_of_recording(recording: Recording) -> list[PageFigure]:
    """Return the figures of a recording; none if it has no exchange."""
    if not len(recording):
        return []
    whole = overview(recording, in_turn=True)
    figures = [_activity(recording.info, whole)]
    section = _first_stimuli(recording)
    if section is not None and section.steps < whole.steps:
        figures.append(_stretch(recording, section))
    figures.append(_whole(recording, whole))
    return figures


@dataclass(frozen=True)
class _Section:
    """The first steps of exchange `first`, up to but excluding `last`."""

    first: int
    last: int
    steps: int


def _first_stimuli(recording: Recording) -> _Section | None:
    """Return where streaming, or the training of the matter, begins; None if there is no training."""
    steps = recording.exchanges["steps"].astype(np.int64)
    channels = learning_channels(recording.info)
    if channels is not None:
        for k in range(len(recording)):
            if recording.drive(k, k + 1)[:, channels.learn].any():
                return _Section(k, k + 1, min(int(steps[k]), _MOST_UPDATES))
        return None
    first = int(np.argmax(steps > 1))
    session = recording.exchanges["session"]
    candidates = range(first, min(first + _STRETCH, len(recording)))
    chosen = [
        *takewhile(lambda k: steps[first : k + 1].sum() <= _MOST_STEPS and session[k] == session[first], candidates)
    ]
    if not chosen:
        return _Section(first, first + 1, _MOST_STEPS)
    return _Section(first, chosen[-1] + 1, int(steps[first : chosen[-1] + 1].sum()))


def _stretch(recording: Recording, section: _Section) -> PageFigure:
    """Draw the first stimuli and their responses."""
    rows = recording.exchanges[section.first : section.last]
    step, there = float(rows["step"][0]), int(rows["steps"].sum())
    window = None if section.steps == there else (0.0, section.steps * step)
    of = overview(recording, section.first, section.last, in_turn=True, window=window)
    training = learning_channels(recording.info) is not None
    total = len(recording)
    lengths, durations = sorted(set(rows["steps"].tolist())), sorted(set(rows["step"].tolist()))
    each = f" of {seconds_shown(durations[0])}" if len(durations) == 1 else ""
    if len(rows) > 1:
        long = f"{lengths[0]:,} step{'s' * (lengths[0] != 1)}{each}" if len(lengths) == 1 else "different lengths"
        long += " each" * (len(lengths) == 1)
        said = f"Exchanges {section.first + 1:,} to {section.last:,} of {total:,}, of {long}."
    else:
        which = f"exchange {section.first + 1:,} of {total:,}" if total > 1 else "the only exchange"
        begins = ", with which the training begins" if training else ""
        if window is None:
            said = f"{which[0].upper()}{which[1:]}{begins}: {there:,} step{'s' * (there != 1)}{each}."
        else:
            said = f"The first {section.steps:,} of the {there:,} steps{each} of {which}{begins}; "
            said += "the rest is in the next figure."
    heading = "The first updates of the training" if training else "The first stimuli, and the responses to them"
    return _panels("first-stimuli", heading, said, recording, of, "time (s), from the beginning of what is drawn")


def _whole(recording: Recording, of: Overview) -> PageFigure:
    """Draw all of the recording."""
    sessions = f" in {of.sessions:,} sessions, drawn one after another," if of.sessions > 1 else ""
    said = (
        f"All {of.exchanges:,} exchanges" if of.exchanges > 1 else "The only exchange"
    ) + f"{sessions or ' of the recording,'} {of.steps:,} step{'s' * (of.steps != 1)} in {seconds_shown(of.seconds)}."
    return _panels(
        "whole-recording", "Stimulus and response, all of the recording", said, recording, of,
        "time on the device's clock (s), from the first stimulus",
    )  # fmt: skip


def _panels(name: str, heading: str, said: str, recording: Recording, of: Overview, axis: str) -> PageFigure:
    panels = panels_of(recording.info, of)
    heights = [panel.height for panel in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    axes: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        style_axes(ax)
        panel.draw(ax)
    axes[-1].set_xlim(of.begin, of.end)
    figure.supxlabel(axis, fontsize=9, color=INK)
    notes = [decimation_note(of), *(panel.note() for panel in panels), _kept(recording)]
    return PageFigure(
        name=name,
        heading=heading,
        caption=" ".join(filter(None, [said, *notes])),
        alt=f"{said} " + " ".join(panel.text() for panel in panels),
        drawing=figure,
        tables={_table_name(panel.side, getattr(panel, "unit", "")): csv_of(*panel.rows()) for panel in panels},
    )


def _table_name(side: str, unit: str) -> str:
    return side if unit in ("", "1") else f"{side} ({unit})"


def _kept(recording: Recording) -> str:
    kept = recording.kept
    if kept and kept["others"] == "left out":
        only = "the one sample" if kept["samples"] == 1 else f"the {kept['samples']} samples"
        return f"Of each step only {only} that the readouts read {'was' if kept['samples'] == 1 else 'were'} kept."
    return ""


@dataclass(frozen=True)
class _Channel:
    """Activity of a channel."""

    side: str
    name: str
    value: float
    measure: str
    unit: str
    place: tuple[float, float] | None


def _channels(info: SubstrateInfo, of: Overview) -> list[_Channel]:
    """Return the activity of every channel: of outputs their spikes, or the spread of their signal."""
    places: Mapping[str, tuple[float, float]] = info.layout.electrodes if info.layout is not None else {}
    spiking = of.spikes is not None
    found = []
    for k, channel in enumerate(info.inputs):
        place = places.get(channel.name)
        if spiking:
            found.append(_Channel("stimulus", channel.name, float(of.pulses[k]), "steps not at rest", "", place))
        else:
            value = float(of.driven[k])
            found.append(_Channel("stimulus", channel.name, value, "root mean square from rest", channel.unit, place))
    for k, channel in enumerate(info.outputs):
        place = places.get(channel.name)
        if of.spikes is not None:
            rate = float(of.spikes.counts[:, k].sum()) / max(of.seconds, 1e-300)
            found.append(_Channel("response", channel.name, rate, "spikes a second", "", place))
        elif of.deviation is not None:
            value = float(of.deviation[k])
            found.append(_Channel("response", channel.name, value, "standard deviation", channel.unit, place))
    return found


def _activity(info: SubstrateInfo, of: Overview) -> PageFigure:
    """Draw what each channel did: on the map of the matter if places are known, otherwise as bars."""
    channels = _channels(info, of)
    placed = [each for each in channels if each.place is not None and np.isfinite(each.place).all()]
    rows = [[each.side, each.name, *(each.place or ("", "")), each.measure, each.value, each.unit] for each in channels]
    unit = f" ({info.layout.unit})" if info.layout is not None else ""
    table = csv_of(["side", "channel", f"x{unit}", f"y{unit}", "measure", "value", "unit"], rows)
    if info.layout is not None and any(each.side == "response" for each in placed):
        drawing, said = _map(info.layout, placed)
        heading = "What the matter did, and where"
    else:
        drawing, said = _bars([each for each in channels if each.side == "response"])
        heading = "What each output did"
    return PageFigure(
        name="activity", heading=heading, caption=said, alt=f"{said} {_ranges(channels)}", drawing=drawing,
        tables={"": table},
    )  # fmt: skip


def _ranges(channels: Sequence[_Channel]) -> str:
    """Return the range of activity of inputs and outputs."""
    words = []
    for side in ("stimulus", "response"):
        measures = dict.fromkeys((each.measure, each.unit) for each in channels if each.side == side)
        for measure, unit in measures:
            of = [each for each in channels if (each.side, each.measure, each.unit) == (side, measure, unit)]
            known = [each for each in of if np.isfinite(each.value)]
            if not known:
                continue
            most, least = max(known, key=lambda each: each.value), min(known, key=lambda each: each.value)
            named = f"{side}, {measure}{f', {unit}' if unit not in ('', '1') else ''}"
            if least.value == most.value and len(known) > 1:
                words.append(f"{named}: {most.value:.4g} of all {len(known)}.")
            elif len(known) == 1:
                words.append(f"{named}: {most.value:.4g} of {most.name}.")
            else:
                words.append(f"{named}: {least.value:.4g} ({least.name}) to {most.value:.4g} ({most.name}).")
    return " ".join(words)


def _map(layout: Layout, channels: Sequence[_Channel]) -> tuple[Figure, str]:
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    wires = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in layout.segments]
    if wires:
        ax.add_collection(LineCollection(wires, colors=PALE, linewidths=0.8))
    if layout.points:
        x, y = np.array(layout.points).T
        ax.plot(x, y, ".", ms=2.5, color=PALE)
    said = []
    responses = [each for each in channels if each.side == "response"]
    # Several outputs may lie on one electrode, as a voltage and a current: those of the unit that most have are drawn.
    units = [each.unit for each in responses]
    chief = max(dict.fromkeys(units), key=units.count)
    responses = [each for each in responses if each.unit == chief]
    stimuli = [each for each in channels if each.side == "stimulus"]
    if stimuli:
        driven = any(each.value > 0 for each in stimuli)
        by = f"coloured by their {stimuli[0].measure}{_in(stimuli[0].unit)}" if driven else "none of which was driven"
        said.append(f"Squares are inputs, {by}")
        _coloured(figure, ax, stimuli, RED, "s", 100.0)
    said.append(f"discs are outputs, coloured by their {responses[0].measure}{_in(chief)}")
    _coloured(figure, ax, responses, BLUE, "o", 42.0)
    names = {each.place: each.name for each in (*responses, *stimuli)}
    if len(names) <= _MOST_NAMED:
        for place, name in zip(names, short_names([*names.values()], 12), strict=True):
            assert place is not None
            ax.annotate(name, place, (5, 5), textcoords="offset points", fontsize=7.5, color=INK)
    ax.set(xlabel=f"x ({layout.unit})", ylabel=f"y ({layout.unit})", aspect="equal")
    ax.autoscale_view()
    words = "; ".join(said)
    grey = " and ".join(
        filter(None, ("wires" if wires else "", ("junctions" if wires else "cells") if layout.points else ""))
    )
    rest = f" The {grey} are grey: nothing was measured of them." if grey else ""
    return figure, f"{words[0].upper()}{words[1:]}, over all of the recording.{rest}"


def _in(unit: str) -> str:
    return "" if unit in ("", "1") else f" in {unit}"


def _coloured(figure: Figure, ax: Axes, channels: Sequence[_Channel], hue: str, marker: str, size: float) -> None:
    values: npt.NDArray[np.float64] = np.nan_to_num(np.array([each.value for each in channels]))
    factor, symbol = readable(values, channels[0].unit)
    norm, colours = Normalize(0.0, float(factor * values.max()) or 1.0), ramp(hue)
    x, y = np.array([each.place for each in channels]).T
    ax.scatter(x, y, s=size, marker=marker, c=factor * values, cmap=colours, norm=norm, ec=hue, lw=0.9, zorder=3)
    if not values.any():
        return
    label = f"{channels[0].measure}{f' ({symbol})' if symbol not in ('', '1') else ''}"
    bar = figure.colorbar(
        ScalarMappable(norm, colours), ax=ax, orientation="horizontal", shrink=0.7, aspect=30, pad=0.02, label=label
    )
    style_bar(bar)


def _bars(channels: Sequence[_Channel]) -> tuple[Figure, str]:
    """Draw the activity of the outputs, a panel for each unit."""
    units = dict.fromkeys(each.unit for each in channels)
    figure = Figure(figsize=(WIDTH, 1.9 * len(units) + 0.3), layout="constrained")
    axes: Any = figure.subplots(len(units), 1, squeeze=False)[:, 0]
    for ax, unit in zip(axes, units, strict=True):
        style_axes(ax)
        of = [each for each in channels if each.unit == unit]
        values: FloatArray = np.nan_to_num(np.array([each.value for each in of]))
        factor, symbol = readable(values, unit)
        places = np.arange(len(of))
        if len(of) <= _MOST_BARS:
            ax.bar(places, factor * values, color=BLUE, width=0.8)
        else:
            ax.fill_between(
                np.append(places, len(of)) - 0.5, factor * np.append(values, 0.0), step="post", color=BLUE, lw=0
            )
        if len(of) <= 16:
            ax.set_xticks(places, short_names([each.name for each in of], 12), rotation=90 if len(of) > 6 else 0)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_xlabel(f"output, in the order of the {len(of)}")
        ax.set_ylabel(f"{of[0].measure}{f' ({symbol})' if symbol not in ('', '1') else ''}")
    return (
        figure,
        f"{channels[0].measure[0].upper()}{channels[0].measure[1:]} of each output over all of the recording.",
    )
