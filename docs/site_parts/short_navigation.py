"""The navigation beside a page lists its own branch: all four hundred pages would be most of each of them."""

from typing import Any


def shorten(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the theme have the tree with other branches closed."""
    if "toctree" in context:
        whole = context["toctree"]
        context["toctree"] = lambda **given: whole(**{**given, "collapse": True})


def setup(app: Any) -> dict[str, bool]:
    """Register it before the theme takes the tree."""
    app.connect("html-page-context", shorten, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
