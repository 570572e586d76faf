"""A search as one self-contained HTML page: the best trials, the course, importances, and a slice for each range."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inmateria.desk.search_folder import Search, Trial
from inmateria.desk.search_space import Dimension, shown_value
from inmateria.figure_style import BLUE, GREY, INK, RED, style_axes
from inmateria.protocols.report import svg_of

__all__ = ["write_search_page"]

_LISTED = 20
_COLUMNS = 3


def write_search_page(
    search: Search, trials: Sequence[Trial], importances: Mapping[str, float], command: str, path: Path
) -> Path:
    """Write a search as a page.

    Parameters
    ----------
    search : Search
    trials : sequence of Trial
        Trials that are over.
    importances : mapping of str to float
        Importance of each dimension; empty if there are too few trials.
    command : str
        Command that runs the best settings on the reported splits; empty if there are none.
    path : Path
        HTML file to write.
    """
    done = [trial for trial in trials if trial.ending is not None and trial.ending.value is not None]
    finished = [trial for trial in done if trial.ending is not None and trial.ending.state == "complete"]
    best = sorted(finished, key=_value, reverse=True)[:_LISTED]
    pictures = []
    if done:
        pictures.append(
            (
                "Course of the search",
                f"Mean {search.objective} of each trial over its seeds, and the best so far; crosses were given up.",
                svg_of("course", _course(search, done)),
            )
        )
        pictures.append(
            (
                "Slices",
                "Every trial by the value of one range; later trials are darker.",
                svg_of("slices", _slices(search, done)),
            )
        )
    if importances:
        pictures.insert(
            1,
            (
                "Importance",
                "Part of the variance of the objective that is due to each range alone or with others (fANOVA).",
                svg_of("importance", _importance(importances)),
            ),
        )
    environment = Environment(loader=PackageLoader("inmateria.desk", "."), autoescape=select_autoescape(default=True))
    states = [trial.ending.state for trial in trials if trial.ending is not None]
    page = environment.get_template("search.html.jinja").render(
        title=f"{search.task}: a search of {len(trials):,} trials",
        search=search,
        on=", ".join(search.on),
        fixed=", ".join(f"{name} = {shown_value(value)}" for name, value in search.settings.items()),
        ranges=[(each.name, _range(each)) for each in search.over],
        counts={state: states.count(state) for state in ("complete", "pruned", "failed")},
        command=command,
        heading=["trial", *(each.name for each in search.over), search.objective],
        rows=[_row(search, trial) for trial in best],
        errors=sorted({trial.ending.error for trial in trials if trial.ending is not None and trial.ending.error})[:5],
        pictures=pictures,
    )
    path.write_text(page, encoding="utf-8")
    return path


def _value(trial: Trial) -> float:
    value = None if trial.ending is None else trial.ending.value
    return math.nan if value is None else value


def _row(search: Search, trial: Trial) -> list[str]:
    assert trial.ending is not None
    values = np.array(trial.ending.values)
    spread = f" ± {values.std():.2g}" if len(values) > 1 else ""
    return [
        str(trial.number),
        *(shown_value(trial.parameters[each.name]) for each in search.over),
        f"{values.mean():.4g}{spread}",
    ]


def _range(dimension: Dimension) -> str:
    if dimension.kind == "choice":
        return ", ".join(shown_value(each) for each in dimension.choices)
    words = f"{dimension.low:g} to {dimension.high:g}"
    return words + (", by factors" if dimension.log else "") + (", whole" if dimension.kind == "whole" else "")


def _course(search: Search, done: Sequence[Trial]) -> Figure:
    """Draw the objective by trial, and the best so far."""
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    _points(ax, [float(trial.number) for trial in done], done, [BLUE] * len(done))
    finished = [trial for trial in done if trial.ending is not None and trial.ending.state == "complete"]
    if finished:
        best = np.maximum.accumulate([_value(trial) for trial in finished])
        ax.step([trial.number for trial in finished], best, where="post", color=INK, lw=1.2, label="best so far")
        ax.legend(frameon=False, fontsize=8)
    ax.set(xlabel="trial", ylabel=search.objective)
    return figure


def _points(ax: Axes, x: Sequence[float], done: Sequence[Trial], colours: Sequence[object]) -> None:
    for state, marker in (("complete", "o"), ("pruned", "x")):
        chosen = [k for k, trial in enumerate(done) if trial.ending is not None and trial.ending.state == state]
        if chosen:
            ax.scatter(
                [x[k] for k in chosen],
                [_value(done[k]) for k in chosen],
                s=14,
                marker=marker,
                c=[colours[k] for k in chosen],  # type: ignore[arg-type]
                linewidths=1.0,
            )


def _importance(importances: Mapping[str, float]) -> Figure:
    """Draw the importances, the largest above."""
    figure = Figure(figsize=(8.6, 0.7 + 0.32 * len(importances)), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    names, values = list(importances), list(importances.values())
    ax.barh(names, values, color=BLUE, height=0.6)
    for row, value in enumerate(values):
        ax.text(value, row, f" {value:.2f}", va="center", fontsize=8, color=INK)
    ax.invert_yaxis()
    ax.set_xlabel("part of the variance")
    return figure


def _slices(search: Search, done: Sequence[Trial]) -> Figure:
    """Draw the objective by the value of each dimension, a panel each."""
    rows = -(-len(search.over) // _COLUMNS)
    columns = min(_COLUMNS, len(search.over))
    figure = Figure(figsize=(8.6, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    last = max(trial.number for trial in done) or 1
    shades = [(*_rgb(BLUE), 0.25 + 0.75 * trial.number / last) for trial in done]
    best = max((trial for trial in done if trial.ending and trial.ending.state == "complete"), key=_value, default=None)
    for ax, dimension in zip(panels.flat, search.over, strict=False):
        style_axes(ax)
        values = [trial.parameters[dimension.name] for trial in done]
        if dimension.kind == "choice":
            values = [dimension.choices.index(value) for value in values]
            ax.set_xticks(range(len(dimension.choices)), [shown_value(each) for each in dimension.choices], fontsize=7)
        elif dimension.log:
            ax.set_xscale("log")
        _points(ax, values, done, shades)
        if best is not None:
            ax.plot(values[done.index(best)], _value(best), "o", ms=9, mfc="none", mec=RED, mew=1.4)
        ax.set_xlabel(dimension.name)
    for ax in panels.flat[len(search.over) :]:
        ax.set_visible(False)
    for row in panels:
        row[0].set_ylabel(search.objective, color=GREY)
    return figure


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
