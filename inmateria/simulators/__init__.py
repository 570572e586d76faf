"""What stands in for a substrate: physics only, synchronous, seeded, no input or output."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.simulators.nanowire import NanowireNetwork

_HOME_OF = {"NanowireNetwork": "inmateria.simulators.nanowire"}

__all__ = ["NanowireNetwork"]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.simulators' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
