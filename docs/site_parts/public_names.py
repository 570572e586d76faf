"""Pages of the reference: one for each room, with every public name of its `__all__`."""

import ast
import importlib
import inspect
from importlib.util import resolve_name
from itertools import pairwise
from pathlib import Path

ROOMS = {
    "inmateria": "The names used most",
    "inmateria.substrate": "The contract",
    "inmateria.adapters": "Adapters",
    "inmateria.simulators": "Simulators",
    "inmateria.reservoir": "Reservoirs and readouts",
    "inmateria.devices": "Devices and passports",
    "inmateria.recording": "Recordings",
    "inmateria.protocols": "Tasks and runs",
    "inmateria.desk": "Many runs",
    "inmateria.testing": "Checks for your tests",
}
KINDS = ("Classes", "Functions", "Errors and warnings", "Constants")


def kind_of(thing: object) -> str:
    """Return the heading that a public name stands under."""
    if inspect.isclass(thing):
        return "Errors and warnings" if issubclass(thing, BaseException) else "Classes"
    return "Functions" if callable(thing) and hasattr(thing, "__code__") else "Constants"


def page_of(room: str) -> str:
    """Return the page of a room, in reStructuredText."""
    module = importlib.import_module(room)
    heading = f"{ROOMS[room]}: ``{room}``"
    lines = [heading, "=" * len(heading), "", (inspect.getdoc(module) or "").splitlines()[0], ""]
    if room == "inmateria":
        lines += [f"- `{home_of(name)}`" for name in module.__all__]
        return "\n".join(lines) + "\n"
    lines += [f".. currentmodule:: {room}", ""]
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in sorted(module.__all__):
        by_kind[kind_of(getattr(module, name))].append(name)
    for kind, names in by_kind.items():
        if not names:
            continue
        lines += [kind, "-" * len(kind), ""]
        if kind == "Constants":
            for name in names:
                lines += [
                    f".. py:data:: {name}",
                    "",
                    *(f"   {line}" for line in text_below(room, name).split("\n")),
                    "",
                ]
        else:
            lines += [
                ".. autosummary::",
                "   :toctree: .",
                "   :nosignatures:",
                "",
                *(f"   {each}" for each in names),
                "",
            ]
    return "\n".join(lines) + "\n"


def text_below(room: str, name: str) -> str:
    """Return the text that stands below a constant where it is defined; the object itself says nothing of it."""
    source = Path(inspect.getfile(importlib.import_module(room)))
    stub = source.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else source).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and name in [each.name for each in node.names]:
            package = room if source.name == "__init__.py" else room.rpartition(".")[0]
            return text_below(resolve_name("." * node.level + node.module, package), name)
    for node, following in pairwise(tree.body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if name in [ast.unparse(each) for each in targets]:
            below = following.value if isinstance(following, ast.Expr) else None
            return inspect.cleandoc(below.value) if isinstance(below, ast.Constant) else ""
    return ""


def home_of(name: str) -> str:
    """Return where a name of the package itself is documented."""
    thing = getattr(importlib.import_module("inmateria"), name)
    for room in [*ROOMS][1:]:
        if getattr(importlib.import_module(room), name, None) is thing:
            return f"{room}.{name}"
    raise LookupError(f"inmateria.{name} is in no room; every name of the package belongs to one")


def write_pages_of_rooms(folder: Path) -> None:
    """Write a page for each room; one that is as it was is left alone, so that it is not built again.

    Pages of names that are no longer public are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    public = {f"{room}.{name}" for room in [*ROOMS][1:] for name in importlib.import_module(room).__all__}
    for path in folder.glob("*.rst"):
        if path.stem not in public and path.stem.removesuffix(".room") not in ROOMS:
            path.unlink()
    for room in ROOMS:
        path, text = folder / f"{room}.room.rst", page_of(room)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
