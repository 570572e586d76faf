"""Pages of the reference: one for each room, with every public name of its `__all__`."""

import importlib
import inspect
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
        if kind == "Constants":  # an object says nothing of its own: its module's docstring of it is shown
            for name in names:
                lines += [f".. autodata:: {name}", "   :no-value:", ""]
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


def home_of(name: str) -> str:
    """Return where a name of the package itself is documented."""
    thing = getattr(importlib.import_module("inmateria"), name)
    for room in [*ROOMS][1:]:
        if getattr(importlib.import_module(room), name, None) is thing:
            return f"{room}.{name}"
    raise LookupError(f"inmateria.{name} is in no room; every name of the package belongs to one")


def write_pages_of_rooms(folder: Path) -> None:
    """Write a page for each room; one that is as it was is left alone, so that it is not built again."""
    folder.mkdir(parents=True, exist_ok=True)
    for room in ROOMS:
        path, text = folder / f"{room}.room.rst", page_of(room)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
