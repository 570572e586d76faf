"""What stands in for matter: physics only, synchronous, seeded, no input or output.

Nothing heavy is imported until a simulator's name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.simulators.nanowire import NanowireNetwork
    from inmateria.simulators.nanowire_ensemble import NanowireEnsemble
    from inmateria.simulators.nanowire_records import NanowireState, NanowireTrace

_HOME_OF = {
    "NanowireEnsemble": "inmateria.simulators.nanowire_ensemble",
    "NanowireNetwork": "inmateria.simulators.nanowire",
    "NanowireState": "inmateria.simulators.nanowire_records",
    "NanowireTrace": "inmateria.simulators.nanowire_records",
}

__all__ = ["NanowireEnsemble", "NanowireNetwork", "NanowireState", "NanowireTrace"]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.simulators' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *_HOME_OF])
