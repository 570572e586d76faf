"""The figures of a report, each one a matplotlib figure with named axes and units."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from inmateria.figure_style import BLUE, GREEN, GREY, INK, PALE, RED, style_axes
from inmateria.protocols.outcome import Curves, NetworkDrawing, Outcome, Surface
from inmateria.recording import Exchange
from inmateria.substrate import Channel, Layout, SubstrateInfo
from inmateria.units import PREFIXES

_WINDOW = 100
_MOST_TRACES = 8
_HUES = (INK, BLUE, RED, GREEN, GREY)


def _figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel().tolist()
    for ax in axes:
        style_axes(ax)
    return figure, axes


def confusion(outcome: Outcome) -> Figure:
    """Draw the confusion matrix of each readout on the held-out part."""
    figure, axes = _figure(4.2 * len(outcome.confusion), 3.9, columns=len(outcome.confusion))
    for ax, (readout, counts) in zip(axes, outcome.confusion.items(), strict=True):
        matrix = np.array(counts)
        share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(matrix > 0):
            ax.text(
                column,
                row,
                str(matrix[row, column]),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if share[row, column] > 0.5 else INK,
            )
        # A readout that tells two classes apart has one row of weights, named after the second class.
        own = outcome.classes
        names = own if len(own) == len(matrix) else (f"not {own[0]}", *own)
        places = range(len(names))
        ax.set_xticks(places, names)
        ax.set_yticks(places, names)
        ax.set(title=readout, xlabel="predicted class", ylabel="true class")
    return figure


def learning_curve(outcome: Outcome) -> Figure:
    """Draw the accuracy of the online readout's predictions, each made before it learned from the item."""
    figure, (ax,) = _figure(6.4, 3.2)
    right = np.array(outcome.learning_curve, dtype=float)
    seen = np.arange(1, len(right) + 1)
    window = min(_WINDOW, len(right))
    running = np.convolve(right, np.ones(window) / window, mode="valid")
    ax.plot(seen, np.cumsum(right) / seen, color=GREY, lw=1, label="all so far")
    ax.plot(seen[window - 1 :], running, color=BLUE, lw=1.6, label=f"last {window}")
    ax.axhline(outcome.chance, color=INK, lw=0.8, ls=":", label="baseline")
    ax.set(xlabel="items seen, each once", ylabel="accuracy before\nlearning the item", ylim=(0, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def curves(lines: Curves) -> Figure:
    """Draw the lines of a task's own figure."""
    figure, (ax,) = _figure(8.6, 3.2)
    # A few whole numbers, such as layers or passes, are counted: there is nothing between them.
    counted = len(lines.x) <= 20 and all(float(x).is_integer() for x in lines.x)
    hues = {True: cycle(_HUES), False: cycle(_HUES)}
    for name, values in lines.lines.items():
        dashed = name in lines.dashed
        ax.plot(
            lines.x, values, lw=1.2, color=next(hues[dashed]), label=name, marker="o" if counted else "", ms=3,
            ls="--" if dashed else "-",
        )  # fmt: skip
    for (name, places), marker, fill in zip(lines.points.items(), cycle("os^"), cycle((INK, "white")), strict=False):
        ax.plot(*np.array(places).T, marker, ms=5, color=fill, mec=INK, mew=0.9, label=name, zorder=4)
    if counted:
        ax.set_xticks(lines.x)
    if lines.logarithmic:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 1000 * low:
            for axis in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
                axis(lambda value, _: f"{value:g}")
        ax.tick_params(which="minor", labelsize=7)
    ax.set(xlabel=lines.x_label, ylabel=lines.y_label)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def surface(of: Surface) -> Figure:
    """Draw the maps of a function of two variables, on one scale of colours."""
    figure, axes = _figure(3.6 * len(of.maps) + 1.0, 3.5, columns=len(of.maps))
    shown = [value for rows in of.maps.values() for row in rows for value in row] + [value for *_, value in of.points]
    low, high = min(shown), max(shown)
    for ax, (title, rows) in zip(axes, of.maps.items(), strict=True):
        image = ax.pcolormesh(
            of.x, of.y, np.array(rows), cmap="viridis", vmin=low, vmax=high, shading="nearest", rasterized=True
        )
        for x, y, value in of.points:
            hue = colormaps["viridis"]((value - low) / max(high - low, 1e-300))
            ax.plot(x, y, "o", ms=11, color=hue, mec="white", mew=1.6, clip_on=False, zorder=4)
        ax.set(title=title, xlabel=of.x_label, ylabel=of.y_label, aspect="equal")
    figure.colorbar(image, ax=axes, label=of.value_label, shrink=0.85).ax.tick_params(labelsize=8)
    return figure


def network(of: NetworkDrawing) -> Figure:
    """Draw the states of a network: edges by their weights, nodes by their voltages and roles."""
    figure, axes = _figure(4.4 * len(of.voltages) + 1.2, 4.4, columns=len(of.voltages))
    every = np.array(list(of.voltages.values()))
    lowest, highest = float(every.min()), float(every.max())
    weights = np.array([list(each) for each in of.weights.values()] or [[1.0, 2.0]], dtype=float)
    factor, symbol = _readable(weights, of.weight_unit)
    weights *= factor
    least, most = float(np.nanmin(weights)), float(np.nanmax(weights))
    many = least > 0 and most > 30 * least  # magnitudes, as of resistors
    norm = LogNorm(least, most) if many else Normalize(least, most if most > least else least + 1.0)
    hue = ListedColormap(colormaps["magma_r"](np.linspace(0.15, 1, 256)))
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
        ax.plot(x, y, "o", ms=11, color="white", zorder=3)
        nodes = ax.scatter(x, y, s=52, c=volts, cmap="viridis", vmin=lowest, vmax=highest, ec=PALE, lw=0.8, zorder=4)
        hues = {"input": RED, "source": RED, "output": BLUE, "target": BLUE, "rail": GREEN}
        for role, members in of.roles.items():
            ax.plot(
                x[list(members)], y[list(members)], "o", ms=13, mfc="none", mec=hues.get(role, INK), mew=1.8,
                label=role, zorder=5, ls="",
            )  # fmt: skip
        for node, name in of.names.items():
            place = (x[int(node)], y[int(node)])
            ax.annotate(
                name, place, (0, 10), textcoords="offset points", fontsize=7, ha="center", va="bottom", zorder=6,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
            )  # fmt: skip
        ax.set(title=title, aspect="equal")
        ax.set_axis_off()
        ax.margins(0.12)
        ax.autoscale_view()
    axes[0].legend(
        frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5 * len(axes) + 0.05 * (len(axes) - 1), -0.02),
        ncols=3,
    )  # fmt: skip
    figure.colorbar(nodes, ax=axes, label="voltage of a node (V)", shrink=0.7, pad=0.02).ax.tick_params(labelsize=8)
    if of.weights:
        named = f"{of.weight_name} ({symbol})" if symbol else of.weight_name
        figure.colorbar(edges, ax=axes, label=named, shrink=0.7, pad=0.02).ax.tick_params(labelsize=8)
    return figure


def layout(info: SubstrateInfo, picture: Layout) -> Figure:
    """Draw the substrate: wires, junctions, and the places of its channels."""
    figure, (ax,) = _figure(6.4, 5.6)
    wires = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in picture.segments]
    if wires:
        ax.add_collection(LineCollection(wires, colors=PALE, linewidths=0.9, label=f"{len(wires)} wires"))
    if picture.points:
        x, y = np.array(picture.points).T
        ax.plot(x, y, ".", ms=3, color=INK, label=f"{len(x)} {'junctions' if wires else 'cells'}")
    # An electrode may be two channels, a voltage that is driven and the current through it: it is drawn once.
    driven = {channel.name for channel in info.inputs}
    taken = {picture.electrodes[name] for name in driven & set(picture.electrodes)}
    read = {channel.name for channel in info.outputs if channel.unit != "A"}
    other = set(picture.electrodes) - driven - read
    kinds = (
        ("driven", RED, "s", driven),
        (
            "read",
            BLUE,
            "o",
            {name for name in read & set(picture.electrodes) if picture.electrodes[name] not in taken},
        ),
        ("other (ground)", GREEN, "^", {name for name in other if picture.electrodes[name] not in taken}),
    )
    for label, color, marker, names in kinds:
        places = {name: place for name, place in picture.electrodes.items() if name in names}
        if places:
            x, y = np.array(list(places.values())).T
            ax.plot(x, y, marker, ms=7, color=color, mec="white", mew=0.8, label=f"{len(places)} electrodes, {label}")
        for name, (x0, y0) in places.items():
            ax.annotate(name, (x0, y0), (4, 4), textcoords="offset points", fontsize=7, color=color)
    ax.set(xlabel=f"x ({picture.unit})", ylabel=f"y ({picture.unit})", aspect="equal")
    ax.autoscale_view()
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    return figure


def traces(info: SubstrateInfo, exchanges: Sequence[Exchange]) -> Figure:
    """Draw stimuli and responses of a few exchanges, one panel for each unit."""
    start = exchanges[0].response.start
    drive = np.concatenate([each.stimulus.drive for each in exchanges])
    times = np.concatenate([_times(each, len(each.stimulus.drive)) for each in exchanges]) - start
    panels = [("stimulus", info.inputs, times, drive)]
    signals = [each.response.signal for each in exchanges if each.response.signal is not None]
    if signals:
        flat = np.concatenate([signal.reshape(-1, signal.shape[2]) for signal in signals])
        of = [_times(each, signal[..., 0].size) for each, signal in zip(exchanges, signals, strict=True)]
        panels.append(("response", info.outputs, np.concatenate(of) - start, flat))
    split = [(name, unit, *panel) for name, *panel in panels for unit in dict.fromkeys(c.unit for c in panel[0])]
    figure, axes = _figure(8.6, 1.9 * len(split), rows=len(split))
    for ax, (name, unit, channels, t, values) in zip(axes, split, strict=True):
        columns = [index for index, channel in enumerate(channels) if channel.unit == unit][:_MOST_TRACES]
        factor, symbol = _readable(values[:, columns], unit)
        hues = colormaps["viridis"](np.linspace(0.05, 0.85, len(columns)))
        for column, hue in zip(columns, hues, strict=True):
            style = "steps-post" if name == "stimulus" else "default"
            ax.plot(t, factor * values[:, column], lw=0.9, color=hue, drawstyle=style, label=channels[column].name)
        ax.set_ylabel(f"{name} ({symbol})")
        ax.legend(frameon=False, fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5), title=_of(channels, unit))
    axes[-1].set_xlabel("time on the device's clock (s), from the start of the stretch")
    return figure


def weights(info: SubstrateInfo, outcome: Outcome) -> Figure:
    """Draw the weights of the batch readout on each output channel, for each class."""
    table = np.array(outcome.weights)
    figure, (ax,) = _figure(6.4, 1.4 + 0.22 * len(table))
    image = ax.imshow(table, cmap="magma_r", aspect="auto", vmin=0)
    ax.set_yticks(range(len(table)), [f"{channel.name} ({channel.unit})" for channel in info.outputs])
    ax.set_xticks(range(len(outcome.classes)), outcome.classes)
    ax.set(xlabel="output of the readout", ylabel="output channel")
    figure.colorbar(image, ax=ax, label="root mean square weight\n(standardised features, no unit)").ax.tick_params(
        labelsize=8
    )
    return figure


def _times(exchange: Exchange, points: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Place points evenly over the exchange, on the device's clock."""
    return exchange.response.start + exchange.stimulus.duration * np.arange(points) / points


def _of(channels: tuple[Channel, ...], unit: str) -> str | None:
    """Return how many channels are drawn, as text, or None if all are."""
    count = sum(channel.unit == unit for channel in channels)
    return f"{_MOST_TRACES} of {count}" if count > _MOST_TRACES else None


def _readable(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], unit: str) -> tuple[float, str]:
    """Choose an SI prefix for values in V, A and the like, so that the axis has readable numbers."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if unit in {"V", "A", "S"} and 0 < largest < 0.1:
        for prefix in "munp":
            factor = float(f"1e{-PREFIXES[prefix]}")
            if largest * factor >= 1:
                return factor, prefix.replace("u", "µ") + unit
    return 1.0, unit
