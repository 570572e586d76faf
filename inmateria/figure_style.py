"""Colours and axes of every figure of the package, so that an input is the same red in a report and in a recording."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "GREEN", "GREY", "INK", "PALE", "RED", "style_axes"]

INK = "#1d2733"
"""Text, axes, and data of no particular side."""
GREY = "#8a94a0"
"""Reference lines and bands: noise, chance, running means."""
PALE = "#b9c1ca"
"""Background detail, such as wires."""
RED = "#c8442e"
"""Inputs, and a device that has changed."""
BLUE = "#1f6fb4"
"""Outputs."""
GREEN = "#3c8d5a"
"""Further series: other electrodes, bound readouts."""


def style_axes(ax: "Axes") -> None:
    """Draw axes without a frame at the top and on the right, with small labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=8, length=3)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.title.set_fontsize(10)
