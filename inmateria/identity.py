"""Whether a device's id is known to name this one device and no other."""

import re

from inmateria.substrate import SubstrateError, SubstrateInfo

__all__ = ["ANONYMOUS", "as_identifier", "is_anonymous", "require_identity"]

ANONYMOUS = "anonymous"
"""Value of ``info.parameters["identity"]`` where the id could be that of several devices.

An adapter sets it where the device states no serial number or name and the user gave none with ``?id=``.
"""


def is_anonymous(info: SubstrateInfo) -> bool:
    """Whether the id of a substrate could be that of several devices."""
    return info.parameters.get("identity") == ANONYMOUS


def require_identity(info: SubstrateInfo, purpose: str) -> None:
    """Raise `SubstrateError` where an id could be that of several devices.

    Parameters
    ----------
    info : SubstrateInfo
    purpose : str
        What the identity is needed for, for instance ``"a passport"``.
    """
    if is_anonymous(info):
        raise SubstrateError(
            f"{purpose} was asked for {info.id}, which could be any of several devices",
            "a device that states its serial number, or a name that the user gives it",
            "give it a name of its own, such as ?id=lab2-dish7 in its URI",
        )


def as_identifier(words: str) -> str:
    """Make an id of a serial number or name: what is not a letter, a digit, ``.``, ``_`` or ``-`` becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")
