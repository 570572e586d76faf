"""A comparison of runs as one self-contained HTML page: gains, scores, what differs, curves."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from inmateria.desk.comparison import Comparison
from inmateria.figure_style import SERIES, WIDTH, style_axes
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.pages.rendering import render_page
from inmateria.protocols.outcome import Curves
from inmateria.protocols.outcome_figures import draw_curves
from inmateria.recording.panels import short_names

__all__ = ["write_comparison"]


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a comparison as a page.

    Parameters
    ----------
    comparison : Comparison
    path : Path
        HTML file to write.
    """
    heading, *rows = comparison.rows()
    differences, (*scores, gains) = rows[: len(comparison.differences)], rows[len(comparison.differences) :]
    page = render_page(
        "inmateria.desk",
        "comparison.html.jinja",
        title=f"{len(comparison.names)} runs compared",
        heading=heading,
        differences=differences,
        scores=[gains, *scores],
        metrics=", ".join(dict.fromkeys(comparison.metrics)),
        figures=[
            _scores(comparison),
            *(_curves(heading, each, number) for number, (heading, each) in enumerate(_shared_curves(comparison), 1)),
        ],
    )
    path.write_text(page, encoding="utf-8")


def _scores(comparison: Comparison) -> PageFigure:
    """Draw every score of every run, the runs side by side."""
    sources, names = list(comparison.scores), comparison.names
    figure = Figure(
        figsize=(WIDTH, 1.0 + 0.3 * len(sources) * max(1.0, len(names) / 3) + 0.17 * len(names)), layout="constrained"
    )
    ax = figure.subplots()
    style_axes(ax)
    rows, said = [], []
    for number, (name, shown) in enumerate(zip(names, short_names(names, 40), strict=True)):
        values = [comparison.scores[source][number] for source in sources]
        there = [row for row, value in enumerate(values) if value is not None]
        means = [value[0] for value in values if value is not None]
        spreads = [value[1] for value in values if value is not None]
        places = np.array(there) + 0.6 * ((number + 0.5) / len(names) - 0.5)
        ax.errorbar(means, places, xerr=spreads, fmt="o", ms=4, color=SERIES[number % len(SERIES)], label=shown)
        rows += [[name, *sources[k], mean, spread] for k, mean, spread in zip(there, means, spreads, strict=True)]
        first = comparison.scores[sources[0]][number]
        if first is not None:
            said.append(f"{name}: {first[0]:.4g} ± {round(first[1], 9):.2g}")
    ax.set_yticks(range(len(sources)), short_names([f"{source}: {readout}" for source, readout in sources], 30))
    ax.invert_yaxis()
    ax.set_xlabel(" / ".join(dict.fromkeys(comparison.metrics)))
    figure.legend(frameon=False, fontsize=8, loc="outside lower left")
    source, readout = sources[0]
    gains = [
        f"{name}: {gain[0]:+.4g} ± {round(gain[1], 9):.2g} over {gain[2]}"
        for name, gain in zip(names, comparison.gains, strict=True)
        if gain is not None
    ]
    gained = f" Gain: {'; '.join(gains)}." if gains else ""
    return PageFigure(
        name="scores",
        heading="Scores",
        caption="Mean over splits; bars are one standard deviation.",
        alt=f"{len(sources)} scores of {len(names)} runs. {source}: {readout}: {'; '.join(said)}.{gained}",
        drawing=figure,
        tables={"": csv_of(["run", "read from", "readout", "mean", "standard deviation"], rows)},
    )


def _shared_curves(comparison: Comparison) -> list[tuple[str, list[tuple[str, Curves]]]]:
    """List the figures of curves that two runs or more have, by heading."""
    by_heading: dict[str, list[tuple[str, Curves]]] = {}
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        for each in run.outcome.curves:
            by_heading.setdefault(each.heading, []).append((name, each))
    return [(heading, each) for heading, each in by_heading.items() if len(each) > 1]


def _curves(heading: str, each: Sequence[tuple[str, Curves]], number: int) -> PageFigure:
    """Draw the same curves of several runs: a colour a run, a dash a line."""
    count = sum(len(lines.lines) + len(lines.points) for _, lines in each)
    figure = Figure(figsize=(WIDTH, 2.9 + 0.17 * count), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    rows, said = [], []
    names = short_names([name for name, _ in each], 30)
    for (name, lines), shown, colour in zip(each, names, cycle(SERIES), strict=False):
        draw_curves(ax, lines, f"{shown}: ", colour)
        rows += [
            [name, label, x, y] for label, values in lines.lines.items() for x, y in zip(lines.x, values, strict=True)
        ]
        said += [
            f"{name}, {label}: {values[0]:.4g} at first, {values[-1]:.4g} at last."
            for label, values in lines.lines.items()
            if values
        ]
    figure.legend(frameon=False, fontsize=7.5, loc="outside lower left")
    first = each[0][1]
    return PageFigure(
        name=f"curves-{number}",
        heading=heading,
        caption=f"{first.text} A colour is a run, a dash a line.",
        alt=f"{first.y_label} over {first.x_label} of {len(each)} runs. {' '.join(said)}",
        drawing=figure,
        tables={"": csv_of(["run", "line", first.x_label, first.y_label], rows)},
    )
