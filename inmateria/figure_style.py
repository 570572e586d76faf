"""Colours and axes of every figure of the package, so that an input is the same red in a report and in a recording."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import LinearSegmentedColormap

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "PAGE_COLOURS",
    "PALE",
    "PAPER",
    "RED",
    "SERIES",
    "WIDTH",
    "ramp",
    "style_axes",
    "style_bar",
]

INK = "#1d2733"
"""Text, axes, and data of no particular side."""
GREY = "#808a95"
"""Reference lines and bands: noise, chance, running means."""
PALE = "#b9c1ca"
"""Background detail, such as wires."""
RED = "#c8442e"
"""Inputs, and a device that has changed."""
BLUE = "#1f6fb4"
"""Outputs."""
GREEN = "#37824f"
"""Further series: other electrodes, bound readouts."""
PAPER = "#ffffff"
"""The background, and edges that part marks from what lies below."""
PURPLE, ORANGE, TEAL, PINK = "#7b4fa3", "#a8690c", "#0f7a82", "#b03a7a"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, TEAL, PINK, INK)
"""Series of one figure, in this order."""
PAGE_COLOURS = {
    INK: "ink", GREY: "grey", PALE: "pale", RED: "red", BLUE: "blue", GREEN: "green", PAPER: "paper",
    PURPLE: "purple", ORANGE: "orange", TEAL: "teal", PINK: "pink",
}  # fmt: skip
"""Name of each colour in the style of a page, which has another one for it in dark mode."""
_SHADES = 24
WIDTH = 5.0
"""Width of a figure of a page, inches: at 400 pixels its text is still legible."""


def style_axes(ax: "Axes") -> None:
    """Draw axes without a frame at the top and on the right, with small labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(which="both", colors=INK)
    ax.tick_params(labelsize=8, length=3)
    ax.xaxis.label.set(fontsize=9, color=INK)
    ax.yaxis.label.set(fontsize=9, color=INK)
    ax.title.set(fontsize=10, color=INK)


def style_bar(bar: "Colorbar") -> None:
    """Draw a scale of colours with a pale frame and small labels."""
    bar.outline.set_edgecolor(GREY)
    if bar.solids is not None:
        bar.solids.set_antialiased(False)
    bar.ax.tick_params(colors=INK, labelsize=8, length=3)
    bar.ax.xaxis.label.set(fontsize=9, color=INK)


def ramp(colour: str) -> "LinearSegmentedColormap":
    """Return a scale of one colour from nearly transparent to opaque, which is legible on light and on dark."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    ends = [(*to_rgb(colour), 0.08), (*to_rgb(colour), 1.0)]
    return LinearSegmentedColormap.from_list(f"ramp {colour}", ends, N=_SHADES)
