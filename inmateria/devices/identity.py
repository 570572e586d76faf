"""Identity of a device: where its id comes from, and whether it may have a passport under that id.

An adapter states the source in its info, ``parameters["identity"] = {"source": "serial"}``. Two devices whose ids are
made up share one id, and so would share one passport; readouts of one would be used on the other.
"""

from typing import Literal, cast, get_args

from inmateria.devices.errors import PassportError
from inmateria.substrate import SubstrateInfo

__all__ = ["IdentitySource", "identity_source", "require_identity"]

IdentitySource = Literal["serial", "host", "user", "parameters", "none", "unstated"]
"""``serial``: a serial number read from the device; ``host``: the address it is reached at; ``user``: a name that the
user gave (``?id=``); ``parameters``: a simulator's seed and settings; ``none``: a placeholder that other devices share;
``unstated``: the adapter does not say."""


def identity_source(info: SubstrateInfo) -> IdentitySource:
    """Return where the id of a device comes from, ``"unstated"`` where its adapter does not say.

    Raises
    ------
    PassportError
        Where ``parameters["identity"]`` is not a dict with one of the known sources.
    """
    stated = info.parameters.get("identity")
    if stated is None:
        return "unstated"
    source = stated.get("source") if isinstance(stated, dict) else stated
    allowed = [each for each in get_args(IdentitySource) if each != "unstated"]
    for each in allowed:
        if source == each:
            return cast(IdentitySource, each)
    raise PassportError(
        f'the identity of {info.id} is stated as {stated!r}; allowed is a dict with "source" as one of '
        f'{", ".join(allowed)}; correct parameters["identity"] in its adapter'
    )


def require_identity(info: SubstrateInfo) -> IdentitySource:
    """Return where the id of a device comes from, and refuse one that other devices share.

    Raises
    ------
    PassportError
        Where the source is ``"none"``.
    """
    source = identity_source(info)
    if source == "none":
        raise PassportError(
            f"{info.id} is a placeholder and not the identity of one {info.kind}; a passport needs a serial number, an "
            "address or a name; give the device a name in its URI, as in ?id=my-device"
        )
    return source
