"""Adapters and tasks of other packages, found by entry points and loaded when they are asked for."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from inmateria.errors import BrokenPlugin

__all__ = ["load_plugin", "plugin_names", "plugin_package", "plugin_summaries"]


def plugin_names(group: str) -> list[str]:
    """List the names that installed packages register in a group."""
    return sorted({point.name for point in entry_points(group=group)})


def plugin_summaries(group: str) -> list[tuple[str, str]]:
    """List the plugins of a group, each with the package that brings it; none of them is imported."""
    return sorted((point.name, f"from {plugin_package(point)}") for point in entry_points(group=group))


def load_plugin(group: str, name: str) -> Any:
    """Import the object that an entry point names.

    Raises
    ------
    BrokenPlugin
        If it cannot be imported, for whatever reason, or several packages register that name.
    LookupError
        If no installed package registers that name.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise LookupError(f"no installed package registers {name!r} in {group}")
    if len({point.value for point in points}) > 1:
        packages = " and ".join(sorted(map(plugin_package, points)))
        raise BrokenPlugin(f"{name!r} is registered by {packages}; uninstall all of them but one")
    try:
        return points[0].load()
    except Exception as error:
        raise BrokenPlugin(
            f"{name!r} of {plugin_package(points[0])} cannot be loaded ({type(error).__name__}: {error}); mend or "
            "uninstall that package"
        ) from error


def plugin_package(point: EntryPoint) -> str:
    """Return the name and version of the package of an entry point, or where it points if that is not known."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
