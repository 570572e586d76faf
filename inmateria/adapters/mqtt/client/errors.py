"""Errors of a client whose device, or whose connection to it, is gone."""

from collections.abc import Set as AbstractSet

from inmateria.adapters.mqtt.wire.address import Address
from inmateria.adapters.mqtt.wire.device_socket import Place
from inmateria.adapters.mqtt.wire.frames import Header
from inmateria.adapters.mqtt.wire.link_protocol import BrokerRefused
from inmateria.substrate import SubstrateDisconnected, SubstrateError, SubstrateTimeout

__all__ = ["error_of", "not_there", "with_numbers"]

_ERRORS: dict[str, type[SubstrateError]] = {each.__name__: each for each in SubstrateError.__subclasses__()}


def not_there(
    broker: Place,
    address: Address,
    waited: float,
    *,
    announced: bool,
    unreadable: str,
    online: bool,
    offline: bool,
    denied: AbstractSet[str],
) -> SubstrateError:
    """Return the error for a device that did not give the lease in time: it names what was missing.

    Parameters
    ----------
    broker, address
        Of the device.
    waited : float
        Seconds.
    announced : bool
        Whether its info was read.
    unreadable : str
        Why an info that came could not be read; empty where none came.
    online, offline : bool
        State that it has announced, if any.
    denied : set of str
        Topics of ours on which our probe did not come back.
    """
    who = broker.controller
    what = f"waited {waited:g} s for {address} on {broker}"
    if not announced and unreadable:
        return SubstrateTimeout(
            f"{what}: its info cannot be read ({unreadable})", "an info as in docs/wire.md",
            "correct what the device announces; nothing was sent to it",
        )  # fmt: skip
    if not announced and (online or offline):
        return SubstrateTimeout(
            f"{what}: its status was received and its info was not", "both are retained by the broker",
            f"see whether the broker lets {who} read {address.topic('info')}, and whether the device publishes it",
        )  # fmt: skip
    if not announced:
        return SubstrateTimeout(
            what, "no device of that name has announced itself",
            "check group and name, or start it; see also whether the broker lets us read below it",
        )  # fmt: skip
    if offline:
        return SubstrateDisconnected(f"{address} on {broker} is offline", "", "start it again")
    if denied:
        return BrokerRefused(
            f"{broker} denies {who} the topic {', '.join(sorted(denied))}: nothing published there came back within "
            f"{waited:g} s", "what its access list grants", "see examples/mosquitto",
        )  # fmt: skip
    return SubstrateTimeout(
        what, "it is announced but does not answer",
        f"see whether it still runs, and whether the broker lets {who} read response/{who}/+ below it",
    )  # fmt: skip


def with_numbers(error: SubstrateError, known: str) -> SubstrateError:
    """Return the error that ended a session, with what is known of the numbers that were sent."""
    allowed = "; ".join(part for part in (known, error.allowed) if part)
    return type(error)(error.asked, allowed, error.remedy or "connect again; nothing is sent again")


def error_of(header: Header) -> SubstrateError:
    """Return the error that a device has sent."""
    fields = [*header.error, "", "", "", ""][:4]
    return _ERRORS.get(fields[0], SubstrateError)(*fields[1:])
