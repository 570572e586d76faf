"""Draw the pictures of learning_published.md and error_floor.md: python docs/learning_published_pictures.py.

Their tables in docs/images are written by benchmarks/published_learning.py --json and benchmarks/error_floor.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from dataclasses import replace  # noqa: E402

from error_floor import GRIDS, USUAL, Setting, Task, errors, median, read_table  # noqa: E402

from inmateria.figure_style import BLUE, GREEN, GREY, INK, PALE, RED, style_axes  # noqa: E402

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

IMAGES = HERE / "images"
COLOURS = (BLUE, RED, GREEN, INK, GREY, PALE)
TITLES = {
    "linear": "16 resistors, two targets",
    "regression": "regression, 32 transistors",
    "xor": "exclusive or, 32 transistors",
}
SMALLEST = 1e-2
"""Smallest error drawn, mV: below it, exclusive or is learned to rounding."""
CONTROLS = {"regression": (18.1, "best straight line"), "xor": (43.5, "naming the mean")}


def draw_modes(axes: Axes, picture: dict[str, Any]) -> None:
    """Median and quartiles of each mode of the error during training."""
    epochs = np.array(picture["epochs"])
    for name, colour, values in zip(("mean", "slope", "curvature"), COLOURS, picture["quartiles_mV"], strict=False):
        lower, middle, upper = np.array(values)
        axes.fill_between(epochs[1:], lower[1:], upper[1:], color=colour, alpha=0.2, linewidth=0)
        axes.plot(epochs[1:], middle[1:], color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="epochs", ylabel="part of the error (mV)", ylim=(0.1, 200))
    axes.set_title("Modes of the regression's error fall in order")
    axes.legend(fontsize=8, frameon=False)


def draw_damage(axes: Axes, figures: dict[str, Any], task: str, title: str) -> None:
    """Error before and after edges are cut, and after training again."""
    cuts = (1, 2, 4, 8)
    for k, (moment, label) in enumerate(
        (
            ("before", "before"),
            ("damaged", "cut"),
            ("retrained", "trained again"),
            ("from_scratch", "trained from scratch"),
        )
    ):
        values = np.maximum([figures[f"{task}_{count}_cut_{moment}_mV"] for count in cuts], SMALLEST)
        x = np.arange(len(cuts)) + 0.16 * (k - 1.5)
        spread = np.abs(values[:, [0, 2]] - values[:, [1]]).T
        axes.errorbar(x, values[:, 1], spread, fmt="o", color=(GREY, RED, BLUE, GREEN)[k], label=label, markersize=4)
    value, name = CONTROLS[task]
    axes.axhline(value, color=GREY, linestyle=":", linewidth=1)
    axes.text(0.02, value, name, fontsize=7, color=GREY, va="bottom", transform=axes.get_yaxis_transform())
    axes.set_xticks(range(len(cuts)), [str(count) for count in cuts])
    axes.set(xlabel="edges cut, of 32", ylabel="error (mV)", title=title)
    if task == "xor":
        axes.set(yscale="log", ylabel=f"error (mV), {SMALLEST:g} for less")
    axes.legend(fontsize=7, frameon=False, loc="center left" if task == "xor" else "upper left")


def draw_iris(axes: Axes, picture: dict[str, list[float]]) -> None:
    """Every graph and split: the trained network beside each control."""
    names = {
        "untrained": "untrained\nnetwork",
        "nearest_mean": "nearest\nmean",
        "logistic_regression_bare": "logistic\nregression",
        "trained": "trained\nnetwork",
    }
    values = np.array([picture[name] for name in names])
    axes.plot(values, color=PALE, linewidth=0.6)
    axes.errorbar(range(len(names)), values.mean(axis=1), values.std(axis=1, ddof=1), fmt="o", color=BLUE, zorder=3)
    axes.set_xticks(range(len(names)), list(names.values()))
    axes.set(ylabel="test flowers named rightly", ylim=(0.7, 1.0), title="Iris: 30 graphs and splits")


def draw_published(figures: dict[str, Any]) -> None:
    """Draw the picture of learning_published.md."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    draw_modes(axes[0, 0], figures["modes"]["picture"])
    draw_iris(axes[0, 1], figures["iris"]["picture"])
    draw_damage(axes[1, 0], figures["damage"], "xor", "Exclusive or: cut and trained again")
    draw_damage(axes[1, 1], figures["damage"], "regression", "Regression: cut and trained again")
    for each in axes.flat:
        style_axes(each)
    figure.savefig(IMAGES / "learning_published.png", dpi=80)


class Map:
    """The table of floors, and how a task's lines are drawn from it."""

    def __init__(self, task: Task) -> None:
        self.task, self.usual, self.grid = task, USUAL[task], GRIDS[task]
        self.table = read_table(IMAGES / "error_floor.json")

    def line(
        self,
        axes: Axes,
        x: tuple[float, ...],
        settings: list[Setting],
        colour: str,
        label: str,
        style: str = ".-",
        *,
        band: bool = True,
    ) -> None:
        """Draw medians and quartiles along an axis; cells that were not computed are left out."""
        points = [
            (value, *np.percentile(errors(self.table, setting), (25, 50, 75), method="nearest"))
            for value, setting in zip(x, settings, strict=True)
            if setting.name in self.table
        ]
        if points:
            place, lower, middle, upper = np.array(points).T
            if band:
                axes.fill_between(place, lower, upper, color=colour, alpha=0.12, linewidth=0)
            axes.plot(place, middle, style, color=colour, label=label, markersize=3.5, linewidth=1.2)

    def finish(self, axes: Axes, xlabel: str, title: str) -> None:
        """Set scales and labels; draw the ideal network's floor and the control."""
        axes.axhline(median(self.table, self.usual), color=GREY, linewidth=0.8, linestyle="--")
        if self.task in CONTROLS:
            axes.axhline(CONTROLS[self.task][0], color=GREY, linestyle=":", linewidth=1)
        limits = {"linear": (1e-3, 200.0), "regression": (0.0, 80.0), "xor": (SMALLEST, 200.0)}[self.task]
        axes.set(
            xscale="log",
            yscale="linear" if self.task == "regression" else "log",
            xlabel=xlabel,
            ylabel="error floor (mV)",
            ylim=limits,
            title=title,
        )
        axes.xaxis.set_minor_formatter(NullFormatter())
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False)
        style_axes(axes)

    def bias(self, axes: Axes) -> None:
        """Floor against bias, a line for each clamping."""
        values = self.grid.biases[1:]
        for eta, colour in zip(self.grid.etas, (PALE, *COLOURS) if len(self.grid.etas) > 5 else COLOURS, strict=False):
            settings = [replace(self.usual, bias=bias, eta=eta) for bias in values]
            self.line(axes, values, settings, colour, f"clamping {eta:g}", ".-")
        sign = [replace(self.usual, bias=bias, eta=1.0, rule="sign", step=1 / 4096) for bias in values]
        self.line(axes, values, sign, INK, "sign rule, clamping 1", ".:")
        self.finish(axes, "bias (V²)", "Bias")

    def levels(self, axes: Axes) -> None:
        """Floor against levels, a line for each way to use them."""
        values = self.grid.levels
        for label, changes, colour in (
            ("remainder lost", {"remainder": "lost"}, RED),
            ("sign rule, a level a step", {"remainder": "lost", "rule": "sign"}, INK),
            ("sign rule, fine steps kept", {"rule": "sign", "step": 1 / 4096}, GREEN),
            ("remainder kept", {}, BLUE),
        ):
            settings = [replace(self.usual, levels=levels, **changes) for levels in values]
            self.line(axes, values, settings, colour, label, ".-")
        self.finish(axes, "levels", "Levels")

    def leak(self, axes: Axes) -> None:
        """Floor against leak, a line for each rate."""
        values = self.grid.leaks[1:]
        for rate, colour in zip(self.grid.rates, COLOURS, strict=False):
            settings = [replace(self.usual, leak=leak, rate=rate) for leak in values]
            self.line(axes, values, settings, colour, f"rate x {rate:g}", band=False)
        self.finish(axes, "leak in an update's interval", "Leak")

    def noise(self, axes: Axes) -> None:
        """Floor against noise, lines for clamping and for rate."""
        values = self.grid.noises[1:]
        for eta, colour in zip((0.1, 0.3, 1.0), COLOURS, strict=False):
            settings = [replace(self.usual, noise=noise, eta=eta) for noise in values]
            self.line(axes, values, settings, colour, f"clamping {eta:g}", ".-")
        for rate, colour in zip((0.25, 4.0, 16.0), (PALE, GREY, INK), strict=True):
            settings = [replace(self.usual, noise=noise, rate=rate) for noise in values]
            self.line(axes, values, settings, colour, f"{self.usual.eta:g}, rate x {rate:g}", ".:", band=False)
        self.finish(axes, "noise of readings (V)", "Noise")

    def spread(self, axes: Axes) -> None:
        """Floor against spread, learned in place or elsewhere."""
        values = self.grid.spreads[1:]
        self.line(axes, values, [replace(self.usual, spread=s, moved=True) for s in values], RED,
                  "learned in an equal network without spread", ".-")  # fmt: skip
        self.line(
            axes,
            values,
            [replace(self.usual, spread=s) for s in values],
            BLUE,
            "learned in place" + (", off scale" if self.task != "regression" else ""),
            ".-",
        )
        self.finish(axes, "spread", "Spread")

    def theory(self, axes: Axes) -> None:
        """Floors that were predicted and found, of every start with bias or leak alone."""
        for kind, colour in (("bias", BLUE), ("leak", RED)):
            pairs = [
                pair
                for name, cell in self.table.items()
                if "predicted" in cell and f"{kind}=" in name
                for pair in zip(cell["predicted"], cell["floor"], strict=True)
                if None not in pair
            ]
            axes.plot(*np.array(pairs, dtype=float).T, ".", color=colour, markersize=2.5, alpha=0.5, label=kind)
        axes.plot((1e-3, 200), (1e-3, 200), color=INK, linewidth=0.8)
        axes.set(
            xscale="log", yscale="log", xlim=(1e-3, 200), ylim=(1e-3, 200),
            xlabel="predicted from the derivatives (mV)", ylabel="error floor (mV)", title="Theory, start by start",
        )  # fmt: skip
        axes.legend(fontsize=7, frameon=False)
        style_axes(axes)


def draw_linear() -> None:
    """Draw the map of the linear network, beside theory."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    linear = Map("linear")
    for each, draw in zip(
        axes.flat, (linear.bias, linear.theory, linear.leak, linear.levels, linear.noise, linear.spread), strict=True
    ):
        draw(each)
    figure.savefig(IMAGES / "error_floor_linear.png", dpi=80)


def draw_tasks() -> None:
    """Draw the maps of the regression and of exclusive or."""
    figure, axes = plt.subplots(2, 5, figsize=(19, 7.5), layout="constrained")
    for row, task in zip(axes, ("regression", "xor"), strict=True):
        found = Map(task)
        for each, draw in zip(row, (found.bias, found.levels, found.leak, found.noise, found.spread), strict=True):
            draw(each)
        row[0].set_title(f"{TITLES[task].capitalize()}\nBias")
    figure.savefig(IMAGES / "error_floor_transistors.png", dpi=80)


def main() -> None:
    """Draw all pictures."""
    draw_published(json.loads((IMAGES / "learning_published.json").read_text()))
    draw_linear()
    draw_tasks()


if __name__ == "__main__":
    main()
