"""Fail if a page of the built site loads anything from elsewhere: python docs/loads_nothing.py build/site.

Links that a reader follows may lead anywhere; scripts, styles, fonts and pictures may not.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src",
    "object": "data", "use": "href", "image": "href",
}  # fmt: skip
LINKED = ("stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload")
ELSEWHERE = re.compile(r"\s*(https?:|wss?:|ftp:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s*)['"]?\s*((?:https?:)?//[^'")\s]+)""", re.IGNORECASE)
IN_SCRIPTS = re.compile(
    r"""(?:fetch|importScripts|import|XMLHttpRequest\(\)\.open|\.src\s*=|\.href\s*=)\s*\(?\s*["'`](https?:)?//[^"'`]+"""
)


class Page(HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what an element loads."""
        given = {name: value or "" for name, value in attributes}
        places = [given.get(LOADING.get(tag, "src"), ""), *given.get("srcset", "").split(",")] if tag in LOADING else []
        if tag == "link" and set(given.get("rel", "").split()) & set(LINKED):
            places.append(given.get("href", ""))
        self.loaded += [place.strip() for place in places if ELSEWHERE.match(place)]
        self.loaded += IN_STYLES.findall(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        """Note what a style in the page loads."""
        if self.lasttag == "style":
            self.loaded += IN_STYLES.findall(data)
        if self.lasttag == "script":
            self.loaded += [found.group(0) for found in IN_SCRIPTS.finditer(data)]


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """Yield each file of a site with what it loads from elsewhere."""
    for path in sorted(site.rglob("*")):
        if path.suffix not in (".html", ".css", ".js", ".svg"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".css":
            found = IN_STYLES.findall(text)
        elif path.suffix == ".js":
            found = [each.group(0) for each in IN_SCRIPTS.finditer(text)]
        else:
            found = Page(text).loaded
        for place in found:
            yield f"{path.relative_to(site)}: {place}"


if __name__ == "__main__":
    site = Path(sys.argv[1])
    if not (site / "index.html").exists():
        sys.exit(f"{site} has no index.html; build it with `make docs`")
    found = [*loaded_from_elsewhere(site)]
    sys.exit("\n".join(["these are loaded from elsewhere:", *found]) if found else 0)
