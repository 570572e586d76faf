"""A search as one self-contained HTML page: the best trials, the course, importances, and a slice for each range."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inmateria.desk.search_folder import Search, Trial
from inmateria.desk.search_space import Dimension, shown_value
from inmateria.figure_style import BLUE, INK, RED, WIDTH, style_axes
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.pages.rendering import render_page
from inmateria.recording.panels import short_names

__all__ = ["write_search_page"]

_LISTED = 20
_COLUMNS = 2


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
    figures = []
    if done:
        figures.append(_course(search, done))
    if importances:
        figures.append(_importance(importances))
    if done:
        figures.append(_slices(search, done))
    states = [trial.ending.state for trial in trials if trial.ending is not None]
    page = render_page(
        "inmateria.desk",
        "search.html.jinja",
        title=f"{search.task}: a search of {len(trials):,} trial{'s' * (len(trials) != 1)}",
        sentence=_sentence(search, states),
        ranges=[(each.name, _range(each)) for each in search.over],
        command=command,
        heading=["trial", *(each.name for each in search.over), search.objective],
        rows=[_row(search, trial) for trial in best],
        errors=sorted({trial.ending.error for trial in trials if trial.ending is not None and trial.ending.error})[:5],
        figures=figures,
    )
    path.write_text(page, encoding="utf-8")
    return path


def _sentence(search: Search, states: Sequence[str]) -> str:
    """Write what was searched, and how its trials ended."""
    on = f" on {', '.join(search.on)}" if search.on else ""
    words = [
        f"{search.objective[:1].upper()}{search.objective[1:]} of {search.task}{on}, mean over {search.repeats} "
        f"seed{'s' * (search.repeats != 1)}, on data that no reported run tests on."
    ]
    if search.settings:
        fixed = ", ".join(f"{name} = {shown_value(value)}" for name, value in search.settings.items())
        words.append(f"The same in all trials: {fixed}.")
    return " ".join([*words, _ended(states)])


def _ended(states: Sequence[str]) -> str:
    """Write how trials ended."""
    words = [
        f"{states.count(state):,} trial{'s' * (states.count(state) != 1)} {was if states.count(state) == 1 else were}"
        for state, was, were in (
            ("complete", "is finished", "are finished"),
            ("pruned", "was given up early", "were given up early"),
            ("failed", "failed", "failed"),
        )
        if states.count(state)
    ]
    return f"{', '.join(words)}." if words else "No trial is over yet."


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


def _trial_rows(search: Search, done: Sequence[Trial]) -> str:
    return csv_of(
        ["trial", "state", *(each.name for each in search.over), search.objective],
        (
            [
                trial.number, "" if trial.ending is None else trial.ending.state,
                *(trial.parameters[each.name] for each in search.over), _value(trial),
            ]
            for trial in done
        ),
    )  # fmt: skip


def _best_text(search: Search, finished: Sequence[Trial]) -> str:
    if not finished:
        return "None is finished."
    best = max(finished, key=_value)
    where = ", ".join(f"{each.name} {shown_value(best.parameters[each.name])}" for each in search.over)
    return f"The best is {_value(best):.4g}, in trial {best.number} with {where}."


def _course(search: Search, done: Sequence[Trial]) -> PageFigure:
    """Draw the objective by trial, and the best so far."""
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    _points(ax, [float(trial.number) for trial in done], done, [BLUE] * len(done))
    finished = [trial for trial in done if trial.ending is not None and trial.ending.state == "complete"]
    if finished:
        best = np.maximum.accumulate([_value(trial) for trial in finished])
        ax.step([trial.number for trial in finished], best, where="post", color=INK, lw=1.2, label="best so far")
        ax.legend(frameon=False, fontsize=8)
    ax.set(xlabel="trial", ylabel=search.objective)
    crosses = "; crosses were given up" if len(finished) < len(done) else ""
    so_far = ", and the best so far" if finished else ""
    values = [_value(trial) for trial in done]
    return PageFigure(
        name="course",
        heading="Course of the search",
        caption=f"Mean {search.objective} of each trial over its seeds{so_far}{crosses}.",
        alt=f"{search.objective} of {len(done)} trials, {min(values):.4g} to {max(values):.4g}. "
        f"{_best_text(search, finished)}",
        drawing=figure,
        tables={"": _trial_rows(search, done)},
    )


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


def _importance(importances: Mapping[str, float]) -> PageFigure:
    """Draw the importances, the largest above."""
    figure = Figure(figsize=(WIDTH, 0.7 + 0.32 * len(importances)), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    names, values = list(importances), list(importances.values())
    ax.barh(short_names(names, 30), values, color=BLUE, height=0.6)
    for row, value in enumerate(values):
        ax.text(value, row, f" {value:.2f}", va="center", fontsize=8, color=INK)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlabel("part of the variance")
    return PageFigure(
        name="importance",
        heading="Importance",
        caption="Part of the variance of the objective that is due to each range alone or with others (fANOVA).",
        alt=f"Part of the variance: {', '.join(f'{name} {value:.2f}' for name, value in importances.items())}.",
        drawing=figure,
        tables={"": csv_of(["range", "part of the variance"], importances.items())},
    )


def _slices(search: Search, done: Sequence[Trial]) -> PageFigure:
    """Draw the objective by the value of each dimension, a panel each."""
    columns = min(_COLUMNS, len(search.over))
    rows = -(-len(search.over) // columns)
    figure = Figure(figsize=(WIDTH, 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    last = max(trial.number for trial in done) or 1
    shades = [(*_rgb(BLUE), 0.25 + 0.75 * trial.number / last) for trial in done]
    finished = [trial for trial in done if trial.ending is not None and trial.ending.state == "complete"]
    best = max(finished, key=_value, default=None)
    for ax, dimension in zip(panels.flat, search.over, strict=False):
        style_axes(ax)
        values = [trial.parameters[dimension.name] for trial in done]
        if dimension.kind == "choice":
            values = [dimension.choices.index(value) for value in values]
            names = short_names([shown_value(each) for each in dimension.choices], 14)
            ax.set_xticks(range(len(dimension.choices)), names, rotation=90 if max(map(len, names)) > 6 else 0)
        elif dimension.log:
            ax.set_xscale("log")
        _points(ax, values, done, shades)
        if best is not None:
            ax.plot(values[done.index(best)], _value(best), "o", ms=9, mfc="none", mec=RED, mew=1.4)
        ax.set_xlabel(short_names([dimension.name], 34)[0])
    for ax in panels.flat[len(search.over) :]:
        ax.set_visible(False)
    for row in panels:
        row[0].set_ylabel(search.objective, color=INK)
    ringed = ", and the best is ringed" if best is not None else ""
    return PageFigure(
        name="slices",
        heading="Slices",
        caption=f"Every trial by the value of one range; later trials are stronger{ringed}.",
        alt=f"{search.objective} of {len(done)} trials over each of {', '.join(each.name for each in search.over)}. "
        f"{_best_text(search, finished)}",
        drawing=figure,
        tables={"": _trial_rows(search, done)},
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
