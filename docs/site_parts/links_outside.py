"""Links of a page to files outside of docs/, such as an example, lead to the repository, or to their page here."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

REPOSITORY = "https://github.com/inmateria/inmateria/blob/main"
PAGES = {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog", "docs/decisions/README.md": "decision_records"}

NOT_HERE = ("docs/releasing.md",)


def resolve(app: Any, doctree: nodes.document) -> None:
    """Turn references to files outside of the site into links to the repository, and those to its pages into links."""
    root = Path(app.srcdir).parent
    page = Path(app.env.doc2path(app.env.docname)).parent
    found = [*doctree.findall(addnodes.pending_xref), *doctree.findall(addnodes.download_reference)]
    for reference in found:
        target = str(reference.get("reftarget", "")).partition("#")[0]
        if not target or reference.get("refdomain") in ("py", "std"):
            continue
        # MyST has taken the suffix of a page away, and made it one from the top of docs/.
        places = [page / target, Path(app.srcdir) / target, Path(app.srcdir) / f"{target}.md"]
        place = next((each.resolve() for each in places if each.exists()), None)
        if place is None or not place.is_relative_to(root):
            continue
        relative = place.relative_to(root).as_posix()
        if relative in PAGES:
            reference.replace_self(link(reference, app, PAGES[relative]))
        elif not relative.startswith("docs/") or relative in NOT_HERE or place.suffix not in (".md", ".rst"):
            new = nodes.reference("", "", *reference.children, refuri=f"{REPOSITORY}/{relative}", internal=False)
            reference.replace_self(new)


def link(reference: nodes.Element, app: Any, page: str) -> nodes.Node:
    """Return a reference to a page of the site."""
    return addnodes.pending_xref(
        "", nodes.inline("", reference.astext()), refdomain="std", reftype="doc", reftarget=f"/{page}",
        refdoc=app.env.docname, refexplicit=True, refwarn=True,
    )  # fmt: skip


def setup(app: Any) -> dict[str, bool]:
    """Register it before references are resolved."""
    app.connect("doctree-read", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
