"""Figures as SVG: in a page, where colours follow its light or dark mode, and as a file to take away."""

import io
import re
from html import escape
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from inmateria.figure_style import PAGE_COLOURS

__all__ = ["svg_file", "svg_in_page", "svg_of"]

_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif"}
_OPENING = re.compile(r"<svg[^>]*>")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_PLACES = re.compile(r' (?:d|x|y|transform)="[^"]*"')
_NUMBER = re.compile(r"-?\d+\.\d{2,}")


def svg_of(figure: Figure, name: str) -> str:
    """Draw a figure as SVG without a background, its text as text; the same name gives the same drawing."""
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    # A tenth of a point is not seen, and half of the file.
    return _PLACES.sub(lambda places: _NUMBER.sub(_shorter, places.group(0)), buffer.getvalue())


def svg_file(svg: str, description: str) -> str:
    """Return an SVG as a file to take away: with a description, on white.

    Parameters
    ----------
    svg : str
        As `svg_of` draws it.
    description : str
        Text instead of the drawing, for those who cannot see it.
    """
    begin = f'\n <desc>{_plain(description)}</desc>\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return _OPENING.sub(lambda opening: opening.group(0) + begin, svg, count=1)


def svg_in_page(svg: str, description: str, prefix: str) -> Markup:
    """Return an SVG as an element of a page, whose style names the colours.

    Parameters
    ----------
    svg : str
        As `svg_of` draws it.
    description : str
        Text instead of the drawing, for those who cannot see it.
    prefix : str
        Beginning of every name within the drawing: several drawings of a page must not share names.
    """
    svg = re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<style[^>]*>.*?</style>|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{prefix}-\2", svg)
    svg = _COLOUR.sub(_variable, svg)
    size = re.search(r'viewBox="[^"]+"', svg)
    assert size is not None
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    opening = f'<svg role="img" aria-label="{_plain(description)}" {size.group(0)} {names}>'
    return Markup(_OPENING.sub(lambda _: opening, svg, count=1))  # every text in it was escaped by matplotlib


def _shorter(found: re.Match[str]) -> str:
    return f"{float(found.group(0)):.1f}".removesuffix(".0")


def _variable(found: re.Match[str]) -> str:
    name = PAGE_COLOURS.get(found.group(0))
    return found.group(0) if name is None else f"var(--{name})"


def _plain(text: str) -> str:
    return escape("".join(letter if letter.isprintable() else " " for letter in text))
