"""What a device says to everybody: how it is (retained), and what happened to it."""

import msgspec

from inmateria.adapters.mqtt.journal import Before

__all__ = ["IN_FAULT", "OFFLINE", "ONLINE", "STOPPED", "Event", "Status"]

ONLINE, STOPPED, IN_FAULT, OFFLINE = "online", "stopped", "in fault", "offline"


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The retained word of a device on how it is.

    Parameters
    ----------
    state : {"online", "stopped", "in fault", "offline"}
        ``"offline"`` is also what the broker says for a device that is gone without a word.
    epoch : str
        Names one life of the device.
    holder : str
        Who holds the lease, ``user/session``; nobody by default.
    lease : float
        Seconds after each word of the holder for which it is held.
    error : str
        What went wrong in a device that is in fault.
    before : Before, optional
        How far its life before this one got, where it keeps a journal.
    """

    state: str
    epoch: str
    holder: str = ""
    lease: float = 0.0
    error: str = ""
    before: Before | None = None


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a device, told once and to whoever listens.

    Parameters
    ----------
    event : {"birth", "lease given", "lease ended", "stopped", "released", "fault"}
    at : float
        Seconds since 1970, by the device's clock.
    epoch : str
    holder : str
        Of the lease, where it is about one.
    why : str
    """

    event: str
    at: float
    epoch: str
    holder: str = ""
    why: str = ""
