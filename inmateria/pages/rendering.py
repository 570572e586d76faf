"""Pages made from templates: the base template and the style are beside this file, further ones in other rooms."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape

__all__ = ["render_page"]


def render_page(room: str, template: str, **values: Any) -> str:
    """Render a page.

    Parameters
    ----------
    room : str
        Package whose folder has the template, such as ``"inmateria.desk"``.
    template : str
        Name of the template; it extends ``page.html.jinja``, which takes ``title`` and ``figures``, a list of
        `inmateria.pages.page_figures.PageFigure`.
    **values
        Values for the template.
    """
    return _environment(room).get_template(template).render(style=_style(), **{"figures": [], **values})


@cache
def _environment(room: str) -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader(room, "."), PackageLoader("inmateria.pages", ".")]),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
    )


@cache
def _style() -> str:
    from markupsafe import Markup

    return Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))
