"""A figure of a page: drawing, caption, text instead of it, and its SVG and CSV to take away, all within the page."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from matplotlib.figure import Figure

from inmateria.pages.svg_drawings import svg_file, svg_in_page, svg_of

__all__ = ["PageFigure", "csv_of"]

_SAFE = " ,:;=/()'!*-._~@+"
"""Letters of a data link that need no escape within an attribute: the link is then shorter than in base 64."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PageFigure:
    """A figure of a page.

    Parameters
    ----------
    name : str
        Name of the files that are taken away, and of the drawing within the page: no other figure of it has it.
    heading, caption : str
    alt : str
        What the figure shows, with its numbers, for those who cannot see it.
    drawing : Figure
    tables : mapping of str to str
        The numbers that are drawn, as comma-separated values with a heading (see `csv_of`), by what they are of; of a
        single table ``""``.
    """

    name: str
    heading: str
    caption: str
    alt: str
    drawing: Figure
    tables: Mapping[str, str]

    def html(self) -> Markup:
        """Return the figure as HTML that loads nothing."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        svg = svg_of(self.drawing, name)
        links = [self._link(f"{name}.svg", "image/svg+xml", "SVG", svg_file(svg, self.alt))]
        for of, text in self.tables.items():
            file = f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', of)}".rstrip("-")
            links.append(self._link(f"{file}.csv", "text/csv", f"CSV of {of}" if of else "CSV", text))
        drawn = svg_in_page(svg, self.alt, name)
        return Markup(
            f"<figure>{drawn}<figcaption>{escape(self.caption)} "
            f"<span>Take away: {', '.join(links)}.</span></figcaption></figure>"
        )

    def _link(self, file: str, kind: str, said: str, text: str) -> str:
        return (
            f'<a download="{file}" href="data:{kind};charset=utf-8,{quote(text, safe=_SAFE)}" '
            f'aria-label="{escape(self.heading)} as {escape(said)}">{escape(said)}</a>'
        )


def csv_of(heading: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table as comma-separated values; numbers with all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue()
