"""Announcements of a device: its status (retained), and events."""

import msgspec

__all__ = [
    "IN_FAULT",
    "OFFLINE",
    "ONLINE",
    "STOPPED",
    "Event",
    "PreviousSession",
    "Status",
    "read_status",
]

ONLINE, STOPPED, IN_FAULT, OFFLINE = "online", "stopped", "in fault", "offline"


class PreviousSession(msgspec.Struct, frozen=True):
    """How far an earlier life of a device got with the last session it served.

    Parameters
    ----------
    epoch, holder : str
        Of that life, and ``user/session`` of that session.
    begun, done : int
        Numbers below were begun, and were dealt with to the end.
    refused : int
        The first number that was refused and not resumed after; nothing from it on was applied. -1 for none.
    """

    epoch: str
    holder: str
    begun: int
    done: int
    refused: int = -1

    def says(self) -> str:
        """Describe what was applied and what was not."""
        whole = self.done if self.refused < 0 else min(self.done, self.refused)
        if self.refused < 0 and self.begun > self.done:
            return (
                f"everything before number {whole} was applied, number {whole} was begun and may be applied in part, "
                f"nothing from number {whole + 1} on was applied"
            )
        return f"everything before number {whole} was applied, nothing from number {whole} on was"


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The retained status of a device.

    Parameters
    ----------
    state : {"online", "stopped", "in fault", "offline"}
        ``"offline"`` is also what the broker publishes when the device's connection has ended.
    epoch : str
        Names one life of the device.
    holder : str
        Session that holds the lease, ``user/session``; empty where none does.
    lease : float
        Seconds after each message of the holder for which it is held.
    error : str
        What went wrong in a device that is in fault.
    before : PreviousSession, optional
        How far its life before this one got, where it keeps a journal.
    """

    state: str
    epoch: str
    holder: str = ""
    lease: float = 0.0
    error: str = ""
    before: PreviousSession | None = None


def read_status(payload: bytes) -> Status | None:
    """Read a status; None where it is none, since a broker passes on whatever is published."""
    try:
        return _status.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


_status = msgspec.json.Decoder(Status)


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a device; published once and not retained.

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
