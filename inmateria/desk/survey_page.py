"""A survey as one self-contained HTML page: on which tasks the matter helps, by how much, and what it costs."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from inmateria.desk.survey_table import HEADING, Row
from inmateria.figure_style import BLUE, GREY, WIDTH, style_axes
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.pages.rendering import render_page
from inmateria.recording.panels import short_names

__all__ = ["survey_page"]

_ORDER = (0, 1, 8, 9, 7, 3, 2, 4, 5, 6, 10, 11, 12)
"""Columns of the table: gain, verdict and control before scores and costs."""


def survey_page(rows: Sequence[Row]) -> str:
    """Return the page of a survey."""
    assert len(_ORDER) == len(HEADING)
    heading = [HEADING[k] for k in _ORDER]
    return render_page(
        "inmateria.desk",
        "survey.html.jinja",
        title="Does it help?",
        sentence=_sentence(rows),
        heading=heading,
        numbers=["seeds", "score", "1 % noise", "gain over it", "gain", "stimuli", "device time", "energy"],
        rows=[[row.cells()[k] for k in _ORDER] for row in rows],
        figures=[_gains(rows)] if any(row.gain is not None for row in rows) else [],
    )


def _sentence(rows: Sequence[Row]) -> str:
    """Write how often each verdict was reached."""
    if not rows:
        return "No run is finished."
    counts = Counter(row.verdict for row in rows)
    of = f"{len(rows)} pair{'s' * (len(rows) != 1)} of task and substrate"
    return f"Of {of}: {'; '.join(f'{verdict}, {count}' for verdict, count in counts.most_common())}."


def _gains(rows: Sequence[Row]) -> PageFigure:
    """Draw the gain of each row over its best control, and over the best one without memory or linear."""
    shown = [row for row in rows if row.gain is not None]
    figure = Figure(figsize=(WIDTH, 1.0 + 0.34 * len(shown)), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    table = []
    for kind, colour, place in (("gain", BLUE, -0.14), ("simple_gain", GREY, 0.14)):
        found = [(k, getattr(row, kind)) for k, row in enumerate(shown) if getattr(row, kind) is not None]
        label = "over the best control" if kind == "gain" else "over the best without memory or linear"
        ax.errorbar(
            [gain[0] for _, gain in found], [k + place for k, _ in found],
            xerr=np.nan_to_num([gain[1] for _, gain in found]), fmt="o", ms=4, color=colour, label=label,
        )  # fmt: skip
        table += [[shown[k].task, shown[k].substrate, label, *gain] for k, gain in found]
    ax.axvline(0.0, color=GREY, lw=0.8)
    ax.set_yticks(range(len(shown)), short_names([f"{row.task}, {row.substrate}" for row in shown], 32))
    ax.invert_yaxis()
    ax.set_xlabel("gain")
    figure.legend(frameon=False, fontsize=8, loc="outside lower left")
    words = [f"{row.task} on {row.substrate}: {row.gain[0]:+.3f}" for row in shown if row.gain is not None]
    return PageFigure(
        name="gains",
        heading="Gains",
        caption="Gain of the matter over the best control, and over the best that lacks memory, nonlinearity or both; "
        "bars are standard deviations over seeds. Tasks have different scores: a gain of one is no gain of another.",
        alt=f"Gain over the best control. {'; '.join(words)}.",
        drawing=figure,
        tables={"": csv_of(["task", "substrate", "gain", "mean", "standard deviation"], table)},
    )
