"""A sweep as one self-contained HTML page: a row for all points that differ only in seeds, and where matter helps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from inmateria.desk.run_tables import Row, differing, rows_of
from inmateria.desk.summaries import RunSummary
from inmateria.figure_style import GREY, SERIES, WIDTH, style_axes
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.pages.rendering import render_page
from inmateria.recording.panels import short_names

__all__ = ["Group", "groups_of", "write_sweep_page"]

_SEEDS = ("settings.seed", "on.seed")
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ only in seeds.

    Parameters
    ----------
    kind : str
        Scheme of the URI.
    values : dict
        Value of each column in which the groups differ; None where the substrate has none.
    count : int
        Number of runs.
    score, score_error : float
        Mean score over the runs, and the standard error of the mean.
    control : str
        The control that is best most often.
    gain, gain_error : float, optional
        Mean gain over the best control of each run, and the standard error of the mean; None without controls. The
        error is NaN for a single run.
    """

    kind: str
    values: dict[str, Any]
    count: int
    score: float
    score_error: float
    control: str
    gain: float | None
    gain_error: float | None

    @property
    def verdict(self) -> str:
        """Whether the substrate does better than its best control, by more than two standard errors."""
        if self.gain is None or self.gain_error is None:
            return "no controls"
        if not np.isfinite(self.gain_error):
            return "one seed only"
        if abs(self.gain) <= 2 * self.gain_error:
            return "no difference"
        return "helps" if self.gain > 0 else "does not help"


def groups_of(runs: Iterable[RunSummary]) -> list[Group]:
    """Put runs together that differ only in seeds, in the order in which they first appear."""
    rows = [{**row, "kind": str(row["on"]).partition("://")[0]} for row in rows_of(runs)]
    names = [name for name in differing(rows) if name not in _SEEDS]
    grouped: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["kind"], *(str(row.get(name)) for name in names)), []).append(row)
    return [_group(each, names) for each in grouped.values()]


def _group(rows: Sequence[Row], names: Sequence[str]) -> Group:
    scores = np.array([row["score"] for row in rows], dtype=np.float64)
    gains = np.array([row["gain"] for row in rows if row["gain"] is not None], dtype=np.float64)
    controls = [str(row["control"]) for row in rows]
    return Group(
        kind=rows[0]["kind"],
        values={name: rows[0].get(name) for name in names},
        count=len(rows),
        score=float(scores.mean()),
        score_error=_error(scores),
        control=max(dict.fromkeys(controls), key=controls.count),
        gain=float(gains.mean()) if len(gains) == len(rows) else None,
        gain_error=_error(gains) if len(gains) == len(rows) else None,
    )


def _error(values: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def write_sweep_page(runs: Sequence[RunSummary], path: Path) -> Path:
    """Write the page of a sweep.

    Parameters
    ----------
    runs : sequence of RunSummary
    path : Path
        HTML file to write.
    """
    groups = sorted(groups_of(runs), key=lambda group: group.kind)
    names = list(groups[0].values) if groups else []
    shown = [name.split(".", 1)[1] for name in names]
    metric = ", ".join(dict.fromkeys(run.metric for run in runs))
    page = render_page(
        "inmateria.desk",
        "sweep.html.jinja",
        title=f"{runs[0].task}: {len(runs):,} run{'s' * (len(runs) != 1)}" if runs else "No runs",
        metric=metric,
        sentences=[_sentence(kind, [each for each in groups if each.kind == kind]) for kind in _kinds(groups)],
        heading=["substrate", *shown, "matter", "gain", "best control", "score", "runs"],
        numbers=["runs", "score", "gain"],
        rows=[_row(group, names) for group in groups],
        several=any(group.count > 1 for group in groups),
        gains=any(group.gain is not None for group in groups),
        figures=[
            _curves(groups, what, metric)
            for what in ("gain", "score")
            if groups and all(getattr(group, what) is not None for group in groups)
        ],
    )
    path.write_text(page, encoding="utf-8")
    return path


def _kinds(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.kind for group in groups))


def _sentence(kind: str, groups: Sequence[Group]) -> str:
    """Write where a kind of substrate does better than its best control."""
    best = max(groups, key=lambda group: group.score)
    where = ", ".join(f"{name.split('.', 1)[1]} {value}" for name, value in best.values.items() if value is not None)
    spread = f" ± {best.score_error:.2g}" if best.count > 1 else ""
    words = f"{kind}: {_helping(groups)}; the best score, {best.score:.3g}{spread}, is at {where or 'its only setting'}"
    return words + ("" if best.gain is None else f", with a gain of {best.gain:+.3g} over {best.control}") + "."


def _helping(groups: Sequence[Group]) -> str:
    """Write in how many settings the substrate does better, of those that can tell."""
    verdicts = [group.verdict for group in groups]
    if all(verdict == "no controls" for verdict in verdicts):
        return "there are no controls, so that it is not known whether the matter helps"
    if all(verdict in ("no controls", "one seed only") for verdict in verdicts):
        return "with one seed each, it cannot be told whether it is better than the best control of the task"
    of = len(groups)
    words = f"better than the best control of the task in {verdicts.count('helps')} of {of} setting{'s' * (of != 1)}"
    untold = sum(verdict in ("no controls", "one seed only") for verdict in verdicts)
    return words + (f" ({untold} cannot tell, with one seed or without controls)" if untold else "")


def _row(group: Group, names: Sequence[str]) -> list[str]:
    values = ["" if group.values[name] is None else str(group.values[name]) for name in names]
    gain = "" if group.gain is None else _spread(f"{group.gain:+.3g}", group.gain_error)
    score = _spread(f"{group.score:.3g}", group.score_error)
    return [group.kind, *values, group.verdict, gain, group.control or "none", score, str(group.count)]


def _spread(mean: str, error: float | None) -> str:
    return mean if error is None or not np.isfinite(error) else f"{mean} ± {error:.2g}"


def _curves(groups: Sequence[Group], what: str, metric: str) -> PageFigure:
    """Draw score or gain over the last numeric setting that differs, a line for each of the other values."""
    names = list(groups[0].values)
    axis = next((name for name in reversed(names) if all(_number(group.values[name]) for group in groups)), None)
    lines: dict[str, list[Group]] = {}
    for group in groups:
        others = [
            f"{name.split('.', 1)[1]} {value}"
            for name, value in group.values.items()
            if name != axis and value is not None
        ]
        lines.setdefault(" ".join([group.kind, *others]), []).append(group)
    figure = Figure(figsize=(WIDTH, 2.9 + 0.17 * len(lines)), layout="constrained")
    ax = figure.subplots()
    style_axes(ax)
    kinds = _kinds(groups)
    labels = short_names([*lines], 60)
    for number, ((label, found), shown) in enumerate(zip(lines.items(), labels, strict=True)):
        x = [float(group.values[axis]) if axis else number for group in found]
        order = np.argsort(x)
        y = np.array([getattr(group, what) for group in found], dtype=np.float64)
        error = np.nan_to_num(np.array([getattr(group, f"{what}_error") for group in found], dtype=np.float64))
        of_kind = [each for each in lines if each.split()[0] == found[0].kind]
        ax.errorbar(
            np.array(x)[order], y[order], yerr=error[order], marker="o", ms=3, lw=1.2, label=shown,
            color=SERIES[(kinds.index(found[0].kind) if len(kinds) > 1 else number) % len(SERIES)],
            ls=_DASHES[of_kind.index(label) % len(_DASHES)] if len(kinds) > 1 else "-",
        )  # fmt: skip
    values = [float(group.values[axis]) for group in groups] if axis else []
    if values and min(values) > 0 and max(values) > 20 * min(values):
        ax.set_xscale("log")
    if axis is None:
        ax.set_xticks(range(len(lines)), [])
    if what == "gain":
        ax.axhline(0.0, color=GREY, lw=0.8)
    ax.set(xlabel="" if axis is None else axis.split(".", 1)[1], ylabel=what)
    figure.legend(frameon=False, fontsize=7.5, loc="outside lower left")
    best, worst = max(groups, key=lambda each: getattr(each, what)), min(groups, key=lambda each: getattr(each, what))
    bars = "; bars are standard errors of the mean over seeds" if any(group.count > 1 for group in groups) else ""
    over = f" over {axis.split('.', 1)[1]}" if axis else ""
    gain = "Gain over the best control" if what == "gain" else f"Score ({metric})"
    return PageFigure(
        name=what,
        heading=what.capitalize(),
        caption=f"{gain} of each setting{over}{bars}.",
        alt=f"{gain} of {len(groups)} settings{over}, in {len(lines)} lines: "
        f"{getattr(worst, what):.4g} ({_where(worst)}) to {getattr(best, what):.4g} ({_where(best)}).",
        drawing=figure,
        tables={
            "": csv_of(
                ["substrate", *(name.split(".", 1)[1] for name in names), "runs", what, "standard error"],
                (
                    [
                        group.kind, *(group.values[name] for name in names), group.count, getattr(group, what),
                        getattr(group, f"{what}_error"),
                    ]
                    for group in groups
                ),
            )
        },
    )  # fmt: skip


def _where(group: Group) -> str:
    values = (f"{name.split('.', 1)[1]} {value}" for name, value in group.values.items() if value is not None)
    return ", ".join([group.kind, *values])


def _number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)
