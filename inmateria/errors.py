"""Errors of substrates: each says what was asked, what is allowed, and what to do."""

import errno

__all__ = [
    "BrokenPlugin",
    "FrameError",
    "ResponseMismatch",
    "StimulusRejected",
    "SubstrateBusy",
    "SubstrateDisconnected",
    "SubstrateError",
    "SubstrateTimeout",
    "UnknownSubstrate",
    "is_disk_full",
]

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


class SubstrateError(Exception):
    """A request to a substrate failed; unless a subclass says otherwise, nothing of it was done.

    Parameters
    ----------
    asked : str
        The request, or the value that was given.
    allowed : str
        The values that are allowed, or that were expected.
    remedy : str
        What the caller can do about it.
    """

    def __init__(self, asked: str, allowed: str = "", remedy: str = "") -> None:
        super().__init__(asked, allowed, remedy)
        self.asked, self.allowed, self.remedy = asked, allowed, remedy

    def __str__(self) -> str:
        return "; ".join(part for part in (self.asked, self.allowed, self.remedy) if part)


class BrokenPlugin(Exception):
    """An adapter or a task of another package cannot be loaded, or did not return what it should."""


class StimulusRejected(SubstrateError):
    """The stimulus is malformed or outside the substrate's limits; nothing of it was applied."""


class ResponseMismatch(SubstrateError):
    """The stimulus was applied, but its response does not have the form that the substrate's info states."""


class SubstrateBusy(SubstrateError):
    """Another controller holds the substrate."""


class SubstrateDisconnected(SubstrateError):
    """The substrate, or the connection to it, is gone."""


class SubstrateTimeout(SubstrateError):
    """A wait timed out; the message says what was awaited and for how long."""


class FrameError(SubstrateError):
    """The bytes of a message are not a frame of a supported version."""


class UnknownSubstrate(SubstrateError):
    """A URI is malformed, or has an unknown scheme or unknown parameters."""


def is_disk_full(error: OSError) -> bool:
    """Return whether there was no room for what was written: on the disk, for the user, or in one file."""
    return error.errno in _NO_ROOM
