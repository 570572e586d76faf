"""Identity of a device: where its id comes from, and whether the id belongs to this one device.

An adapter states the source as ``info.parameters["identity"]``. Two devices with the same id would share one passport
and one log, and the readouts of one would be used on the other.
"""

import re
from typing import Literal, get_args

from inmateria.substrate import SubstrateError, SubstrateInfo

__all__ = ["ANONYMOUS", "IdentitySource", "as_identifier", "identity_source", "is_anonymous", "require_identity"]

ANONYMOUS = "anonymous"
"""Source of an id that several devices may have: the device states no serial number or name, and the user gave none."""

IdentitySource = Literal["serial", "host", "user", "parameters", "anonymous"]
"""``serial``: a serial number or name that the device states; ``host``: the address it is reached at; ``user``: a name
that the user gave (``?id=``); ``parameters``: the parameters of a simulation; ``anonymous``: see `ANONYMOUS`."""

_SOURCES = {source: source for source in get_args(IdentitySource)}


def identity_source(info: SubstrateInfo) -> IdentitySource | None:
    """Return where the id of a substrate comes from; None if its adapter does not state it.

    Raises
    ------
    SubstrateError
        If ``info.parameters["identity"]`` is not a known source.
    """
    stated = info.parameters.get("identity")
    if stated is None:
        return None
    source: IdentitySource | None = _SOURCES.get(stated) if isinstance(stated, str) else None
    if source is None:
        raise SubstrateError(
            f"the source of the id {info.id} is stated as {stated!r}",
            f"allowed are {', '.join(_SOURCES)}",
            'correct parameters["identity"] in the adapter',
        )
    return source


def is_anonymous(info: SubstrateInfo) -> bool:
    """Return whether several devices may have the id of a substrate."""
    return info.parameters.get("identity") == ANONYMOUS


def require_identity(info: SubstrateInfo, purpose: str) -> IdentitySource | None:
    """Return where the id of a substrate comes from, and refuse an id that several devices may have.

    Parameters
    ----------
    info : SubstrateInfo
    purpose : str
        The purpose that needs an identity, for instance ``"a passport"``.

    Raises
    ------
    SubstrateError
        If the id is anonymous, or its source is not a known one.
    """
    source = identity_source(info)
    if source == ANONYMOUS:
        raise SubstrateError(
            f"{purpose} was asked for {info.id}, which could be any of several devices",
            "it needs a device that states its serial number, or a name that the user gives",
            "give it a name in its URI, such as ?id=lab2-dish7",
        )
    return source


def as_identifier(words: str) -> str:
    """Return an id for a serial number or name: characters that an id cannot have become ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")
