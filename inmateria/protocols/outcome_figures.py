"""The figures of a report that are made from the outcome: confusion, learning, curves, maps, weights, networks."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inmateria.figure_style import BLUE, GREEN, GREY, INK, PALE, PAPER, RED, SERIES, WIDTH, ramp, style_axes, style_bar
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.protocols.outcome import Curves, NetworkDrawing, Outcome, Surface
from inmateria.recording.panels import readable, short_names, wrapped
from inmateria.substrate import FloatArray, SubstrateInfo

__all__ = ["draw_curves", "figures_of_outcome"]

_WINDOW = 100
_MOST_MATRICES = 2
_MOST_ROWS = 48
"""Output channels whose weights have a row of their own."""


def figures_of_outcome(info: SubstrateInfo, outcome: Outcome) -> list[PageFigure]:
    """Return the figures of an outcome, in the order of a report."""
    figures = []
    if outcome.confusion:
        figures.append(_confusion(outcome))
    if outcome.learning_curve:
        figures.append(_learning_curve(outcome))
    figures += [_curves(curves, number) for number, curves in enumerate(outcome.curves, start=1)]
    figures += [_surface(each, number) for number, each in enumerate(outcome.surfaces, start=1)]
    figures += [_network(each, number) for number, each in enumerate(outcome.networks, start=1)]
    if outcome.weights:
        figures.append(_weights(info, outcome))
    return figures


def _axes(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel().tolist()
    for ax in axes:
        style_axes(ax)
    return figure, axes


def _confusion(outcome: Outcome) -> PageFigure:
    """Draw the confusion matrices of the held-out part: of many the first and that of most right."""
    matrices = {name: np.array(counts) for name, counts in outcome.confusion.items()}
    first = next(iter(matrices))
    right = {name: float(np.trace(matrix) / max(1, matrix.sum())) for name, matrix in matrices.items()}
    others = sorted((name for name in matrices if name != first), key=lambda name: -right[name])
    drawn = [first, *others[: _MOST_MATRICES - 1]]
    names = _classes(outcome, len(matrices[first]))
    size = min(3.9, 1.2 + 0.3 * len(names))
    figure, axes = _axes(size * len(drawn) + 0.2, rows=len(drawn))
    for ax, name in zip(axes, drawn, strict=True):
        matrix = matrices[name]
        share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        for row, column in np.argwhere(matrix > 0):
            cell = float(share[row, column])
            ax.fill(
                column + np.array([-0.5, 0.5, 0.5, -0.5]), row + np.array([-0.5, -0.5, 0.5, 0.5]), fc=BLUE,
                alpha=0.06 + 0.94 * cell, ec="none",
            )  # fmt: skip
            ax.text(
                column, row, str(matrix[row, column]), ha="center", va="center", fontsize=8,
                color=PAPER if cell > 0.55 else INK,
            )  # fmt: skip
        places = range(len(names))
        shown = short_names(names, 14)
        turned = max(map(len, shown)) > 3
        ax.set_xticks(places, shown, rotation=90 if turned else 0)
        ax.tick_params(labelbottom=True)
        ax.set_yticks(places, shown)
        ax.set(
            title=name, xlabel="predicted class", ylabel="true class", aspect="equal", xlim=(-0.5, len(names) - 0.5),
            ylim=(len(names) - 0.5, -0.5),
        )  # fmt: skip
        style_axes(ax)
    several = " of the first split" if max(len(score.splits) for score in outcome.scores) > 1 else ""
    left = len(matrices) - len(drawn)
    more = f" {left} more {'are' if left > 1 else 'is'} in the CSV." if left else ""
    return PageFigure(
        name="confusion",
        heading="Confusion of the readouts" if len(matrices) > 1 else "Confusion of the readout",
        caption=f"Counts of held-out items{several}; those off the diagonal are errors.{more}",
        alt=" ".join(_confusion_text(name, matrix, names) for name, matrix in matrices.items()),
        drawing=figure,
        tables={
            "": csv_of(
                ["readout", "true class", *(f"predicted {name}" for name in names)],
                [
                    [name, true, *row]
                    for name, matrix in matrices.items()
                    for true, row in zip(names, matrix.tolist(), strict=True)
                ],
            )
        },
    )


def _classes(outcome: Outcome, count: int) -> list[str]:
    # A readout that tells two classes apart has one row of weights, named after the second class.
    own = outcome.classes
    return list(own) if len(own) == count else [f"not {own[0]}", *own] if own else [str(k) for k in range(count)]


def _confusion_text(readout: str, matrix: Any, names: Sequence[str]) -> str:
    right, total = int(np.trace(matrix)), int(matrix.sum())
    text = f"{readout}: {right:,} of {total:,} right"
    errors = matrix - np.diag(np.diag(matrix))
    if errors.any():
        row, column = np.unravel_index(errors.argmax(), errors.shape)
        text += (
            f"; most often {names[row]} was taken for {names[column]}, {errors[row, column]} times"
            if errors.max() > 1
            else ""
        )
    return text + "."


def _learning_curve(outcome: Outcome) -> PageFigure:
    """Draw the accuracy of the online readout's predictions, each made before it learned from the item."""
    figure, (ax,) = _axes(2.8)
    right = np.array(outcome.learning_curve, dtype=float)
    seen = np.arange(1, len(right) + 1)
    window = min(_WINDOW, len(right))
    running = np.convolve(right, np.ones(window) / window, mode="valid")
    so_far = np.cumsum(right) / seen
    ax.plot(seen, so_far, color=GREY, lw=1, label="all so far")
    ax.plot(seen[window - 1 :], running, color=BLUE, lw=1.6, label=f"last {window}")
    ax.axhline(outcome.chance, color=INK, lw=0.8, ls=":", label="baseline")
    ax.set(xlabel="items seen, each once", ylabel="accuracy before\nlearning the item", ylim=(0, 1.02))
    _legend(ax)
    return PageFigure(
        name="learning",
        heading="Learning online, each item once",
        caption="The online readout predicts every item before it learns from it.",
        alt=f"Of {len(right):,} items, {int(right.sum()):,} were predicted correctly before they were learned; of the "
        f"first {window}, {int(right[:window].sum())}, and of the last {window}, {int(right[-window:].sum())}; the "
        f"baseline is {outcome.chance:.3f}.",
        drawing=figure,
        tables={
            "": csv_of(
                ["item", "predicted correctly", "fraction so far"],
                zip(seen.tolist(), outcome.learning_curve, so_far.tolist(), strict=True),
            )
        },
    )


def _curves(lines: Curves, number: int) -> PageFigure:
    """Draw the lines of a task's own figure."""
    figure, (ax,) = _axes(2.9 + 0.17 * -(-(len(lines.lines) + len(lines.points)) // 2))
    draw_curves(ax, lines)
    _legend(ax, below=True)
    tables = {"": csv_of([lines.x_label, *lines.lines], zip(lines.x, *lines.lines.values(), strict=True))}
    if lines.points:
        points = [[name, x, y] for name, places in lines.points.items() for x, y in places]
        tables = {"lines": tables[""], "points": csv_of(["points", lines.x_label, lines.y_label], points)}
    return PageFigure(
        name=f"curves-{number}", heading=lines.heading, caption=lines.text, alt=_curves_text(lines), drawing=figure,
        tables=tables,
    )  # fmt: skip


def draw_curves(ax: Axes, lines: Curves, prefix: str = "", colour: str | None = None) -> None:
    """Draw lines and points of a task's figure.

    Parameters
    ----------
    ax : Axes
    lines : Curves
    prefix : str
        Put before each label.
    colour : str, optional
        Colour of all lines, which then differ in their dashes; by default each has its own.
    """
    # A few whole numbers, such as layers or passes, are counted: there is nothing between them.
    counted = len(lines.x) <= 20 and all(float(x).is_integer() for x in lines.x)
    hues = {True: cycle((INK, *SERIES[:-1])), False: cycle((INK, *SERIES[:-1]))}
    dashes = cycle(("-", "--", ":", "-."))
    for name, values in lines.lines.items():
        dashed = name in lines.dashed
        hue = colour or next(hues[dashed])
        style = next(dashes) if colour else "--" if dashed else "-"
        ax.plot(lines.x, values, lw=1.2, color=hue, label=prefix + name, marker="o" if counted else "", ms=3, ls=style)
    markers = zip(lines.points.items(), cycle("os^"), cycle((INK, PAPER)), strict=False)
    for (name, places), marker, fill in markers:
        if places:
            ax.plot(
                *np.array(places).T, marker, ms=5, color=fill, mec=colour or INK, mew=0.9, label=prefix + name, zorder=4
            )
    if counted:
        ax.set_xticks(lines.x)
    if lines.logarithmic:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 1000 * low:
            for axis in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
                axis(lambda value, _: f"{value:g}")
        ax.tick_params(which="minor", labelsize=7)
    ax.set(xlabel=wrapped(lines.x_label, 60), ylabel=wrapped(lines.y_label, 34))


def _curves_text(lines: Curves) -> str:
    words = []
    for name, values in lines.lines.items():
        given: FloatArray = np.array(values, dtype=np.float64)
        known = np.flatnonzero(np.isfinite(given))
        if not len(known):
            words.append(f"{name}: no value.")
        elif given[known].min() == given[known].max():
            words.append(f"{name}: {given[known[0]]:.4g} throughout.")
        else:
            words.append(
                f"{name}: {given[known[0]]:.4g} at first, {given[known[-1]]:.4g} at last, between "
                f"{given[known].min():.4g} and {given[known].max():.4g}."
            )
    words += [f"{name}: {len(places)} point{'s' * (len(places) != 1)}." for name, places in lines.points.items()]
    ends = f" from {lines.x[0]:.4g} to {lines.x[-1]:.4g}" if lines.x else ""
    return f"{lines.y_label} over {lines.x_label}{ends}. {' '.join(words)}"


def _surface(of: Surface, number: int) -> PageFigure:
    """Draw the maps of a function of two variables, on one scale of colours."""
    stacked = len(of.maps) > 2
    rows, columns = (len(of.maps), 1) if stacked else (1, len(of.maps))
    figure, axes = _axes(3.6 * rows + 0.2 if columns == 1 else 3.3, rows, columns)
    shown = [value for table in of.maps.values() for line in table for value in line] + [
        value for *_, value in of.points
    ]
    low, high = min(shown), max(shown)
    norm = Normalize(low, high if high > low else low + 1.0)
    for ax, (title, table) in zip(axes, of.maps.items(), strict=True):
        image = ax.pcolormesh(
            of.x, of.y, np.array(table), cmap="viridis", norm=norm, shading="nearest", rasterized=True
        )
        for x, y, value in of.points:
            ax.scatter([x], [y], s=110, c=[value], cmap="viridis", norm=norm, ec=PAPER, lw=1.6, clip_on=False, zorder=4)
        ax.set(title=title, xlabel=of.x_label, ylabel=of.y_label, aspect="equal")
    bar = figure.colorbar(image, ax=axes, label=of.value_label, orientation="horizontal", shrink=0.7, aspect=30)
    style_bar(bar)
    text = " ".join(f"{title}: {np.min(table):.4g} to {np.max(table):.4g}." for title, table in of.maps.items())
    points = f" {len(of.points)} points are marked." if of.points else ""
    return PageFigure(
        name=f"surface-{number}", heading=of.heading, caption=of.text,
        alt=f"{of.value_label} over {of.x_label} and {of.y_label}. {text}{points}", drawing=figure,
        tables={
            "": csv_of(
                ["map", of.x_label, of.y_label, of.value_label],
                [
                    *(
                        [title, x, y, value]
                        for title, table in of.maps.items()
                        for y, line in zip(of.y, table, strict=True)
                        for x, value in zip(of.x, line, strict=True)
                    ),
                    *(["marked point", x, y, value] for x, y, value in of.points),
                ],
            )
        },
    )  # fmt: skip


def _network(of: NetworkDrawing, number: int) -> PageFigure:
    """Draw the states of a network: edges by their weights, nodes by their voltages and roles."""
    figure, axes = _axes(4.3 * len(of.voltages) + 1.0, rows=len(of.voltages))
    every = np.array(list(of.voltages.values()), dtype=float)
    volts_norm = Normalize(
        float(every.min()), float(every.max()) if every.max() > every.min() else float(every.min()) + 1.0
    )
    weights = np.array([list(each) for each in of.weights.values()] or [[1.0, 2.0]], dtype=float)
    factor, symbol = readable(weights, of.weight_unit)
    weights *= factor
    least, most = float(np.nanmin(weights)), float(np.nanmax(weights))
    many = least > 0 and most > 30 * least  # magnitudes, as of resistors
    norm = LogNorm(least, most) if many else Normalize(least, most if most > least else least + 1.0)
    hue, nodes_hue = ramp(INK), ramp(BLUE)
    x, y = np.array(of.places).T
    for ax, (title, volts) in zip(axes, of.voltages.items(), strict=True):
        lines = [((x0, y0), (x1, y1)) for _, x0, y0, x1, y1 in of.segments]
        if of.weights:
            each = factor * np.array([of.weights[title][edge] for edge, *_ in of.segments], dtype=float)
            there = np.isfinite(each)
            edges = LineCollection(
                [line for line, drawn in zip(lines, there, strict=True) if drawn],
                linewidths=0.6 + 4.4 * np.asarray(norm(each[there])), array=each[there], cmap=hue, norm=norm,
                capstyle="round",
            )  # fmt: skip
            ax.add_collection(edges)
        else:
            ax.add_collection(LineCollection(lines, colors=PALE, linewidths=1.2))
        ax.plot(x, y, "o", ms=9, color=PAPER, zorder=3)
        ax.scatter(x, y, s=42, c=volts, cmap=nodes_hue, norm=volts_norm, ec=BLUE, lw=0.7, zorder=4)
        hues = {"input": RED, "source": RED, "output": GREEN, "target": GREEN, "rail": INK}
        for role, members in of.roles.items():
            ax.plot(
                x[list(members)], y[list(members)], "o", ms=11, mfc="none", mec=hues.get(role, INK), mew=1.8,
                label=role, zorder=5, ls="",
            )  # fmt: skip
        for node, name in of.names.items():
            place = (x[int(node)], y[int(node)])
            ax.annotate(
                name, place, (0, 8), textcoords="offset points", fontsize=7.5, ha="center", va="bottom", zorder=6,
                color=INK, bbox={"boxstyle": "round,pad=0.15", "fc": PAPER, "ec": "none", "alpha": 0.85},
            )  # fmt: skip
        ax.set(title=title, aspect="equal")
        ax.set_axis_off()
        ax.margins(0.12)
        ax.autoscale_view()
    if of.roles:
        axes[-1].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3)
    named = f"{of.weight_name} ({symbol})" if symbol not in ("", "1") else of.weight_name
    _bar(figure, axes, ScalarMappable(volts_norm, nodes_hue), "voltage of a node (V)")
    if of.weights:
        _bar(figure, axes, ScalarMappable(norm, hue), named)
    return PageFigure(
        name=f"network-{number}", heading=of.heading, caption=of.text, alt=_network_text(of, named, factor),
        drawing=figure, tables=_network_tables(of),
    )  # fmt: skip


def _bar(figure: Figure, axes: list[Axes], of: ScalarMappable, label: str) -> None:
    bar = figure.colorbar(of, ax=axes, label=label, orientation="horizontal", shrink=0.7, aspect=30, pad=0.02)
    style_bar(bar)


def _network_text(of: NetworkDrawing, weight: str, factor: float) -> str:
    edges = len({edge for edge, *_ in of.segments})
    words = [f"A network of {len(of.places)} nodes and {edges} edges."]
    for title, volts in of.voltages.items():
        text = f"{title}: voltages {min(volts):.4g} to {max(volts):.4g} V"
        if of.weights:
            each = factor * np.array(of.weights[title], dtype=float)
            cut = int(np.isnan(each).sum())
            text += f", {weight} {np.nanmin(each):.4g} to {np.nanmax(each):.4g}" + (f", {cut} edges cut" if cut else "")
        words.append(f"{text}.")
    return " ".join(words)


def _network_tables(of: NetworkDrawing) -> dict[str, str]:
    roles = {node: role for role, members in of.roles.items() for node in members}
    tables = {
        "nodes": csv_of(
            ["node", "role", "x", "y", *(f"voltage {title} (V)" for title in of.voltages)],
            [
                [node, roles.get(node, ""), *place, *(volts[node] for volts in of.voltages.values())]
                for node, place in enumerate(of.places)
            ],
        )
    }
    if of.weights:
        unit = f" ({of.weight_unit})" if of.weight_unit else ""
        tables["edges"] = csv_of(
            ["edge", *(f"{of.weight_name} {title}{unit}" for title in of.weights)],
            [[edge, *row] for edge, row in enumerate(zip(*of.weights.values(), strict=True))],
        )
    return tables


def _weights(info: SubstrateInfo, outcome: Outcome) -> PageFigure:
    """Draw the weights of the readout on each output channel, for each class; of many channels the heaviest."""
    table = np.array(outcome.weights)
    channels = [f"{channel.name} ({channel.unit})" if channel.unit != "1" else channel.name for channel in info.outputs]
    total = np.sqrt((table**2).mean(axis=1))
    chosen = np.sort(np.argsort(-total, kind="stable")[:_MOST_ROWS])
    shown = table[chosen]
    figure, (ax,) = _axes(1.5 + 0.17 * len(shown))
    norm = Normalize(0.0, float(shown.max()) or 1.0)
    for row, column in np.ndindex(*shown.shape):
        ax.fill(
            column + np.array([-0.5, 0.5, 0.5, -0.5]), row + np.array([-0.5, -0.5, 0.5, 0.5]), fc=BLUE, ec="none",
            alpha=0.08 + 0.92 * float(norm(shown[row, column])),
        )  # fmt: skip
    ax.set_yticks(range(len(shown)), short_names([channels[k] for k in chosen]))
    classes = short_names(outcome.classes, 14)
    if len(classes) <= 12:
        ax.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes), default=0) > 3 else 0)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(
        xlabel="output of the readout", ylabel="output channel", ylim=(len(shown) - 0.5, -0.5),
        xlim=(-0.5, shown.shape[1] - 0.5),
    )  # fmt: skip
    ax.tick_params(axis="y", labelsize=7.5)
    _bar(figure, [ax], ScalarMappable(norm, ramp(BLUE)), "root mean square weight (standardised features, no unit)")
    most, least = int(total.argmax()), int(total.argmin())
    left = len(table) - len(shown)
    more = f" The {len(shown)} heaviest of {len(table)} channels are drawn; all are in the CSV." if left else ""
    spread = f" of {channels[most]}, {total[most]:.4g}; the smallest of {channels[least]}, {total[least]:.4g}"
    return PageFigure(
        name="weights",
        heading="Weights of the readout",
        caption=f"Root mean square of the weights of a readout of the substrate, by output channel.{more}",
        alt=f"Weights of {len(table)} output channels for {table.shape[1]} output{'s' * (table.shape[1] != 1)} of the "
        f"readout, {table.min():.4g} to {table.max():.4g}. The largest, over all outputs, are those{spread}.",
        drawing=figure,
        tables={
            "": csv_of(
                ["output channel", *outcome.classes],
                ([name, *row] for name, row in zip(channels, table.tolist(), strict=True)),
            )
        },
    )


def _legend(ax: Axes, *, below: bool = False) -> None:
    if below:
        figure = ax.figure
        handles, labels = ax.get_legend_handles_labels()
        if len(labels) > 1:
            shown = short_names(labels, 44)
            figure.legend(
                handles, shown, frameon=False, fontsize=8, loc="outside lower left",
                ncols=2 if max(map(len, shown)) < 34 else 1,
            )  # fmt: skip
    else:
        ax.legend(frameon=False, fontsize=8, loc="lower right")
