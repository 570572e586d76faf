"""Networks that learn, as a task needs them: how many inputs and outputs, and the URI of a circuit that has them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from inmateria.adapters.uri import query_of
from inmateria.substrate import SubstrateInfo

__all__ = [
    "Circuit",
    "LearningChannels",
    "completed_uri",
    "learning_channels",
    "mismatch",
    "uri_for_choosing",
    "uris_of_starts",
]

_OWN_CIRCUIT = {"grid", "random", "sizes", "edges", "inputs", "outputs", "rails", "differential", "low", "high"}
"""Parameters that make another circuit; a URI with one of them is taken as it is."""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A network that learns, as a task needs it.

    Parameters
    ----------
    inputs, outputs : int
        Number of inputs that are driven, and of outputs that have labels.
    uris : mapping of str to str
        Scheme to a URI whose network fits the task; the first one is the default.
    """

    inputs: int
    outputs: int
    uris: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The default URI."""
        return next(iter(self.uris.values()))


class LearningChannels(NamedTuple):
    """Numbers of the input channels of a network that learns: driven inputs, labels, and the switch of learning."""

    inputs: tuple[int, ...]
    labels: tuple[int, ...]
    learn: int


def learning_channels(info: SubstrateInfo) -> LearningChannels | None:
    """Return which input channels of a substrate are inputs, labels and ``learn``; None if it is not trained so."""
    names = [channel.name for channel in info.inputs]
    inputs = tuple(k for k, name in enumerate(names) if re.fullmatch(r"u\d+", name))
    labels = tuple(k for k, name in enumerate(names) if re.fullmatch(r"l\d+", name))
    if "learn" not in names or not inputs or not labels or len(inputs) + len(labels) + 1 != len(names):
        return None
    return LearningChannels(inputs, labels, names.index("learn"))


def mismatch(info: SubstrateInfo, circuit: Circuit) -> str:
    """Describe how a substrate differs from the circuit that a task needs; empty if it fits."""
    channels = learning_channels(info)
    if channels is None:
        return "does not learn by itself: it has no inputs u00, ..., labels l00, ... and learn"
    here, needed = (len(channels.inputs), len(channels.labels)), (circuit.inputs, circuit.outputs)
    if here == needed:
        return ""
    return f"has {_count(*here)}, and {_count(*needed)} are needed"


def completed_uri(uri: str, circuit: Circuit) -> str:
    """Complete the URI of a simulator by what a task's circuit has and it leaves out.

    A URI that gives a graph, edges or roles of its own is returned as it is. A choice of a group, such as
    ``rule=sign-rule``, leaves out the fields that the circuit has for it.

    Raises
    ------
    UnknownSubstrate
        If a parameter is given twice.
    """
    scheme = uri.partition("://")[0].lower()
    if scheme not in circuit.uris:
        return uri
    given = query_of(uri)
    if any(name.partition(".")[0] in _OWN_CIRCUIT for name in given):
        return uri
    own = {
        name: value
        for name, value in query_of(circuit.uris[scheme]).items()
        if not ("." in name and name.partition(".")[0] in given)
    }
    return _uri(scheme, own | given)


def uris_of_starts(uri: str, starts: int) -> list[str]:
    """Return the URIs of simulators that only differ in their seed: the given one, and those after it."""
    scheme, query = uri.partition("://")[0], query_of(uri)
    seed = query.get("seed", "1")
    if starts == 1 or not seed.isdigit():
        return [uri]
    return [_uri(scheme, query | {"seed": str(int(seed) + k)}) for k in range(starts)]


def uri_for_choosing(uri: str, first: int) -> str:
    """Return the URI of a simulator with a seed for choosing settings: from `first` on, where no reported one is."""
    scheme, query = uri.partition("://")[0], query_of(uri)
    seed = query.get("seed", "1")
    if not seed.isdigit() or int(seed) >= first:
        return uri
    return _uri(scheme, query | {"seed": str(first + int(seed))})


def _count(inputs: int, outputs: int) -> str:
    return f"{inputs} input{'s' * (inputs != 1)} and {outputs} output{'s' * (outputs != 1)}"


def _uri(scheme: str, query: Mapping[str, str]) -> str:
    words = "&".join(f"{name}={quote(value, safe=',:+-.')}" for name, value in query.items())
    return f"{scheme}://?{words}" if words else f"{scheme}://"
