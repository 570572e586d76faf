"""A comparison of runs as one self-contained HTML page: table, scores and curves."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from matplotlib.figure import Figure

from inmateria.desk.comparison import Comparison
from inmateria.figure_style import BLUE, GREEN, GREY, INK, RED, style_axes
from inmateria.protocols.outcome import Curves
from inmateria.protocols.report import svg_of

__all__ = ["write_comparison"]

_COLOURS = (BLUE, RED, GREEN, INK, GREY)
_DASHES = ("-", "--", ":", "-.")


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a comparison as a page.

    Parameters
    ----------
    comparison : Comparison
    path : Path
        HTML file to write.
    """
    table = comparison.rows()
    pictures = [("Scores", "Mean over splits; bars are one standard deviation.", svg_of("scores", _scores(comparison)))]
    pictures += [
        (heading, each[0][1].text, svg_of(f"curves{number}", _curves(each)))
        for number, (heading, each) in enumerate(_shared_curves(comparison))
    ]
    environment = Environment(loader=PackageLoader("inmateria.desk", "."), autoescape=select_autoescape(default=True))
    page = environment.get_template("comparison.html.jinja").render(
        title=f"{len(comparison.names)} runs compared",
        heading=table[0],
        differences=table[1 : 1 + len(comparison.differences)],
        scores=table[1 + len(comparison.differences) :],
        metrics=", ".join(dict.fromkeys(comparison.metrics)),
        pictures=pictures,
    )
    path.write_text(page, encoding="utf-8")


def _scores(comparison: Comparison) -> Figure:
    """Draw every score of every run, the runs side by side."""
    sources, names = list(comparison.scores), comparison.names
    figure = Figure(figsize=(8.6, 1.2 + 0.28 * len(sources) * max(1.0, len(names) / 3)), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    for number, name in enumerate(names):
        values = [comparison.scores[source][number] for source in sources]
        there = [row for row, value in enumerate(values) if value is not None]
        means = [value[0] for value in values if value is not None]
        spreads = [value[1] for value in values if value is not None]
        places = np.array(there) + 0.6 * ((number + 0.5) / len(names) - 0.5)
        ax.errorbar(means, places, xerr=spreads, fmt="o", ms=4, color=_COLOURS[number % len(_COLOURS)], label=name)
    ax.set_yticks(range(len(sources)), [f"{source}: {readout}" for source, readout in sources])
    ax.invert_yaxis()
    ax.set_xlabel(" / ".join(dict.fromkeys(comparison.metrics)))
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _shared_curves(comparison: Comparison) -> list[tuple[str, list[tuple[str, Curves]]]]:
    """List the figures of curves that two runs or more have, by heading."""
    by_heading: dict[str, list[tuple[str, Curves]]] = {}
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        for each in run.outcome.curves:
            by_heading.setdefault(each.heading, []).append((name, each))
    return [(heading, each) for heading, each in by_heading.items() if len(each) > 1]


def _curves(each: Sequence[tuple[str, Curves]]) -> Figure:
    """Draw the same curves of several runs: a colour a run, a dash a line."""
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    for (name, lines), colour in zip(each, cycle(_COLOURS), strict=False):
        for (label, values), dash in zip(lines.lines.items(), cycle(_DASHES), strict=False):
            ax.plot(lines.x, values, color=colour, ls=dash, lw=1.2, label=f"{name}: {label}")
    ax.set(xlabel=each[0][1].x_label, ylabel=each[0][1].y_label)
    ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
