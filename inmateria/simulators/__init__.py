"""What stands in for matter: physics only, synchronous, seeded, no input or output.

Nothing heavy is imported until a simulator's name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inmateria.simulators.echo_state import EchoStateNetwork
    from inmateria.simulators.nanowire import NanowireNetwork, NanowireState, NanowireTrace
    from inmateria.simulators.nanowire_ensemble import NanowireEnsemble
    from inmateria.simulators.neural_culture import PULSE, Activity, CultureState, NeuralCulture, Pulses
    from inmateria.simulators.scattering import ScatteringMedium

_HOME_OF = {
    "Activity": "inmateria.simulators.neural_culture",
    "CultureState": "inmateria.simulators.neural_culture",
    "EchoStateNetwork": "inmateria.simulators.echo_state",
    "NanowireEnsemble": "inmateria.simulators.nanowire_ensemble",
    "NanowireNetwork": "inmateria.simulators.nanowire",
    "NanowireState": "inmateria.simulators.nanowire",
    "NanowireTrace": "inmateria.simulators.nanowire",
    "NeuralCulture": "inmateria.simulators.neural_culture",
    "PULSE": "inmateria.simulators.neural_culture",
    "Pulses": "inmateria.simulators.neural_culture",
    "ScatteringMedium": "inmateria.simulators.scattering",
}

__all__ = [
    "PULSE",
    "Activity",
    "CultureState",
    "EchoStateNetwork",
    "NanowireEnsemble",
    "NanowireNetwork",
    "NanowireState",
    "NanowireTrace",
    "NeuralCulture",
    "Pulses",
    "ScatteringMedium",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inmateria.simulators' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *_HOME_OF])
