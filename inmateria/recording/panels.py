"""Panels of a figure of a recording: traces of one unit, and spikes as a raster, with their numbers and a text."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.figure_style import BLUE, INK, RED
from inmateria.recording.envelopes import Envelope
from inmateria.recording.formats.neo_blocks import channels_by_unit
from inmateria.recording.overview import Overview
from inmateria.recording.spike_marks import SpikeCounts
from inmateria.substrate import Channel, FloatArray, SubstrateInfo
from inmateria.units import PREFIXES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "SpikePanel",
    "TracePanel",
    "decimation_note",
    "panels_of",
    "readable",
    "seconds_shown",
    "short_names",
    "wrapped",
]

MOST_TRACES = 8
_LONGEST_NAME = 18
_ROW = 0.85
"""Part of its row that a trace takes at most."""
_NAMED_ROWS = 24
_LEVELS = ((1, 1, 0.45), (2, 3, 0.7), (4, np.inf, 1.0))
"""Spikes of a bin, at least and at most, and how opaque its mark is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TracePanel:
    """Traces of channels of one side and unit.

    Parameters
    ----------
    side : {"stimulus", "response"}
    unit : str
    channels : sequence of Channel
        All channels of the side.
    of : int
        Number of those that have the unit.
    columns : list of int
        Those that are drawn: of those that change at most 8, evenly chosen; a single one if none changes.
    still : int
        Number of those that do not change.
    envelope : Envelope
    """

    side: str
    unit: str
    channels: Sequence[Channel]
    of: int
    columns: list[int]
    still: int
    envelope: Envelope

    @property
    def height(self) -> float:
        """Height, inches: a row for each of several channels."""
        if self.still == self.of:
            return 0.8
        return 1.3 if len(self.columns) == 1 else 0.5 + 0.27 * len(self.columns)

    @property
    def title(self) -> str:
        """What is drawn, in a few words."""
        word = "input" if self.side == "stimulus" else "output"
        if self.still == self.of:
            return f"{self.side}: {self.of} {word}{'s' * (self.of != 1)}, unchanged"
        if len(self.columns) == self.of:
            return f"{self.side}: {self.of} {word}{'s' * (self.of != 1)}"
        return f"{self.side}: {len(self.columns)} of {self.of} {word}s"

    def note(self) -> str:
        """Return which channels are drawn; empty if all are."""
        changing = self.of - self.still
        word = "inputs" if self.side == "stimulus" else "outputs"
        unit = "" if self.unit == "1" else f" in {self.unit}"
        if not changing or len(self.columns) == self.of:
            return ""
        if len(self.columns) == changing:
            which = "only the one that changes is" if changing == 1 else f"the {changing} that change are"
            return f"Of {self.of} {word}{unit}, {which} drawn."
        still = f", and {self.still} do not change" if self.still else ""
        chosen = "evenly chosen from those that change" if self.still else "evenly chosen"
        return f"Of {self.of} {word}{unit}, {len(self.columns)} are drawn, {chosen}{still}."

    def text(self) -> str:
        """Return what is drawn, with its range."""
        if not np.isfinite(self._values()).any():
            return f"{self.title}, without a value."
        unit = "" if self.unit == "1" else f" {self.unit}"
        low, high = self._range()
        return f"{self.title}, from {low:.4g} to {high:.4g}{unit}."

    def rows(self) -> tuple[list[str], list[list[Any]]]:
        """Return the numbers that are drawn: a heading, and a row for each sample or bin."""
        names = [f"{self.channels[column].name} ({self.channels[column].unit})" for column in self.columns]
        least, greatest = self.envelope.least[:, self.columns], self.envelope.greatest[:, self.columns]
        if self.envelope.exact:
            rows = np.column_stack((self.envelope.times, least)).tolist()
            return ["time (s)", *names], rows
        both = np.stack((least, greatest), axis=2).reshape(len(least), -1)
        heading = [
            "begins (s)",
            "ends (s)",
            *(f"{which} of {name}" for name in names for which in ("least", "greatest")),
        ]
        return heading, np.column_stack((self.envelope.times, self.envelope.ends, both)).tolist()

    def draw(self, ax: "Axes") -> None:
        """Draw it."""
        factor, symbol = readable(self._values(), self.unit)
        names = short_names([self.channels[column].name for column in self.columns], 14)
        low, high = self._range()
        size = (high - low) or 1.0
        single = len(self.columns) == 1
        for row, column in enumerate(self.columns):
            times, values = _line(self.envelope, column, held=self.side == "stimulus")
            shown = (
                factor * values if single else (values - low) / size * _ROW - row if high > low else 0.0 * values - row
            )
            ax.plot(times, shown, lw=0.8, color=RED if self.side == "stimulus" else BLUE)
        if single:
            ax.set_ylabel("value" if self.unit == "1" else symbol)
            ax.set_title(self.title if self.of > 1 else f"{self.title}, {names[0]}", loc="left", fontsize=9, color=INK)
            return
        ax.set_yticks([_ROW / 2 - row if high > low else -float(row) for row in range(len(names))], names)
        ax.set_ylim(-len(names) + 0.85 - (0.0 if high > low else 0.4), 1.0)
        unit = "" if symbol == "1" else f" {symbol}"
        scale = (
            f"each row {factor * low:.3g} to {factor * high:.3g}{unit}"
            if high > low
            else f"all {factor * low:.3g}{unit}"
        )
        ax.set_title(f"{self.title}, {scale}", loc="left", fontsize=9, color=INK)

    def _values(self) -> FloatArray:
        return np.concatenate((self.envelope.least[:, self.columns], self.envelope.greatest[:, self.columns]))

    def _range(self) -> tuple[float, float]:
        """Return the least and the greatest value that is drawn; 0 and 0 if there is none."""
        values = self._values()
        finite = values[np.isfinite(values)]
        return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikePanel:
    """Spikes of all outputs, a row for each."""

    spikes: SpikeCounts
    channels: Sequence[Channel]
    seconds: float

    height = 2.2
    side = "spikes"

    @property
    def title(self) -> str:
        """What is drawn, in a few words."""
        return f"{self.spikes.total:,} spike{'s' * (self.spikes.total != 1)} of {_outputs(len(self.channels))}"

    def text(self) -> str:
        """Return what is drawn, with its numbers."""
        by_channel = self.spikes.counts.sum(axis=0)
        if not self.spikes.total:
            return f"No spike of {_outputs(len(self.channels))}."
        most = int(by_channel.argmax())
        active = int(np.count_nonzero(by_channel))
        rate = self.spikes.total / max(self.seconds, 1e-300)
        return (
            f"{self.title}, {active} of which had some; {rate:.4g} a second in all; most on "
            f"{self.channels[most].name} ({by_channel[most]:,})."
        )

    def note(self) -> str:
        """Return what a mark of the raster stands for."""
        if self.spikes.times is not None:
            return "Each mark is a spike."
        return (
            f"Each mark is one spike or more of an output within {seconds_shown(self.spikes.period)}: faint for one, "
            "stronger for 2 or 3, full for 4 or more."
        )

    def rows(self) -> tuple[list[str], list[list[Any]]]:
        """Return the numbers that are drawn: a row for each spike, or for each bin of an output that has some."""
        if self.spikes.times is not None and self.spikes.channels is not None:
            names = [self.channels[channel].name for channel in self.spikes.channels.tolist()]
            return ["time (s)", "output"], [*map(list, zip(self.spikes.times.tolist(), names, strict=True))]
        bins, channels = np.nonzero(self.spikes.counts)
        begins = self.spikes.begin + self.spikes.period * bins
        return ["begins (s)", "ends (s)", "output", "spikes"], [
            [begin, begin + self.spikes.period, self.channels[channel].name, count]
            for begin, channel, count in zip(
                begins.tolist(), channels.tolist(), self.spikes.counts[bins, channels].tolist(), strict=True
            )
        ]

    def draw(self, ax: "Axes") -> None:
        """Draw it."""
        from matplotlib.patches import PathPatch
        from matplotlib.ticker import MaxNLocator

        if self.spikes.times is not None and self.spikes.channels is not None:
            rows = self.spikes.channels.astype(np.float64)
            ends = np.column_stack((self.spikes.times, rows - 0.4, self.spikes.times, rows + 0.4))
            ax.add_patch(PathPatch(_segments(ends), fill=False, ec=INK, lw=0.7))
        else:
            for least, most, alpha in _LEVELS:
                runs = self.spikes.runs(least, most)
                if len(runs):
                    boxes = _boxes(runs[:, 1], runs[:, 0] - 0.42, runs[:, 2], runs[:, 0] + 0.42)
                    ax.add_patch(PathPatch(boxes, fc=INK, ec="none", alpha=alpha))
        count = len(self.channels)
        ax.set_ylim(count - 0.5, -0.5)
        if count <= _NAMED_ROWS:
            ax.set_yticks(range(count), short_names([channel.name for channel in self.channels], 12))
            ax.tick_params(axis="y", labelsize=7)
        else:
            ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel("output")
        ax.set_title(self.title, loc="left", fontsize=9, color=INK)


Panel = TracePanel | SpikePanel


def panels_of(info: SubstrateInfo, of: Overview) -> list[Panel]:
    """Return the panels of a section of a recording: stimulus and response by unit, then spikes."""
    panels: list[Panel] = [
        _traces("stimulus", unit, info.inputs, columns, of.drive)
        for unit, columns in channels_by_unit(info.inputs).items()
    ]
    if of.signal is not None:
        panels += [
            _traces("response", unit, info.outputs, columns, of.signal)
            for unit, columns in channels_by_unit(info.outputs).items()
        ]
    if of.spikes is not None:
        panels.append(SpikePanel(spikes=of.spikes, channels=info.outputs, seconds=of.seconds))
    return panels


def decimation_note(of: Overview) -> str:
    """Return how samples are drawn; empty if each one is."""
    said = []
    for name, envelope in (("stimulus", of.drive), ("response", of.signal)):
        if envelope is not None and not envelope.exact:
            said.append((name, envelope.samples, envelope.period))
    if not said:
        return ""
    which = " and ".join(f"{count:,} samples of the {name}" for name, count, _ in said)
    return f"Of the {which}, the least and the greatest value in each {seconds_shown(said[0][2])} are drawn."


def short_names(names: Sequence[str], longest: int = _LONGEST_NAME) -> list[str]:
    """Return names that are cut in the middle if they are long, and numbered if they are then alike."""
    cut = [name if len(name) <= longest else f"{name[: longest // 2 - 1]}…{name[-(longest // 2) :]}" for name in names]
    if len(set(cut)) < len(cut):
        cut = [f"{number}: {name[: longest - 6]}…" for number, name in enumerate(names)]
    return [name.replace("$", r"\$").lstrip("_") or "_" for name in cut]


def readable(values: FloatArray, unit: str) -> tuple[float, str]:
    """Return a factor and a unit with an SI prefix for values in V, A or S, so that an axis has readable numbers."""
    largest = float(np.nanmax(np.abs(values), initial=0.0)) if values.size else 0.0
    if unit in {"V", "A", "S"} and 0 < largest < 0.1:
        for prefix in "munp":
            factor = float(f"1e{-PREFIXES[prefix]}")
            if largest * factor >= 1:
                return factor, prefix.replace("u", "µ") + unit
    return 1.0, unit


def seconds_shown(seconds: float) -> str:
    """Write a duration with a unit in which it is 1 or more."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most so many letters, for a title."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True))


def _traces(side: str, unit: str, channels: Sequence[Channel], columns: list[int], envelope: Envelope) -> TracePanel:
    least, greatest = envelope.least[:, columns], envelope.greatest[:, columns]
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(least, axis=0, initial=np.inf), np.fmax.reduce(greatest, axis=0, initial=-np.inf)
    changing = np.flatnonzero(high > low)
    # Inputs that stay at different values are not all alike: each is drawn.
    same = len(set(low.tolist())) == 1
    candidates = changing if len(changing) else np.arange(len(columns))[: 1 if same else None]
    chosen = np.unique(np.linspace(0, len(candidates) - 1, min(len(candidates), MOST_TRACES)).round().astype(int))
    return TracePanel(
        side=side, unit=unit, channels=channels, of=len(columns), columns=[columns[k] for k in candidates[chosen]],
        still=len(columns) - len(changing), envelope=envelope,
    )  # fmt: skip


def _line(envelope: Envelope, column: int, *, held: bool) -> tuple[FloatArray, FloatArray]:
    """Return the points of a line, with NaN where nothing was measured for longer than a sample or a bin."""
    times, ends = envelope.times, envelope.ends
    if envelope.exact and not held:
        points = np.column_stack((times, envelope.least[:, column]))
    elif envelope.exact:
        values = envelope.least[:, column]
        points = np.column_stack((times, values, ends, values)).reshape(-1, 2)
    else:
        middle = (times + ends) / 2
        pairs = (middle, envelope.least[:, column], middle, envelope.greatest[:, column])
        points = np.column_stack(pairs).reshape(-1, 2)
    if envelope.exact and len(times) > 1:
        each = len(points) // len(times)
        gaps = np.flatnonzero(times[1:] - ends[:-1] > 0.5 * (ends[:-1] - times[:-1])) + 1
        points = np.insert(points, gaps * each, np.nan, axis=0)
    return points[:, 0], points[:, 1]


def _segments(ends: FloatArray) -> Any:
    from matplotlib.path import Path

    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(ends))
    return Path(ends.reshape(-1, 2), codes if len(ends) else None)


def _boxes(left: FloatArray, low: FloatArray, right: FloatArray, high: FloatArray) -> Any:
    from matplotlib.path import Path

    corners = np.column_stack((left, low, right, low, right, high, left, high, left, low)).reshape(-1, 2)
    each = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners, np.tile(np.array(each, dtype=np.uint8), len(left)))


def _outputs(count: int) -> str:
    return f"{count} output{'s' * (count != 1)}"
