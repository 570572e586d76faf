"""Identity of a device: whether it may have a passport under its id.

Two devices with one id would share one passport, and a readout of one would be used on the other.
"""

from inmateria.devices.errors import PassportError
from inmateria.substrate import IdentitySource, SubstrateInfo

__all__ = ["require_identity"]


def require_identity(info: SubstrateInfo) -> IdentitySource:
    """Return the source of a device's id, and refuse an id that other devices have too.

    Raises
    ------
    PassportError
        If ``info.identity`` is ``"none"``.
    """
    if info.identity == "none":
        raise PassportError(
            f"{info.id} is a placeholder and not the identity of one {info.kind}; a passport needs a serial number, an "
            "address or a name; give the device a name in its URI, as in ?id=my-device"
        )
    return info.identity
