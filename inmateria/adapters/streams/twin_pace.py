"""The pace of a twin that plays in real time, and a warning where the machine is too slow for it."""

import asyncio
import logging

__all__ = ["Pace"]

_logger = logging.getLogger("inmateria")
_BEHIND = 1.0  # s behind the clock, after which the machine is too slow


class Pace:
    """Samples that are due since it was made.

    Parameters
    ----------
    what : str
        What plays, for the warning.
    rate : float
        Samples per second.
    channels : int
    """

    def __init__(self, what: str, rate: float, channels: int) -> None:
        self._what, self._rate, self._channels = what, rate, channels
        self._loop = asyncio.get_running_loop()
        self._begun, self._told = self._loop.time(), False

    def due(self, sent: int) -> int:
        """Return how many samples are due beyond those that were sent; warn once if that is a second of them."""
        elapsed = self._loop.time() - self._begun
        due = int(elapsed * self._rate) - sent
        if due > _BEHIND * self._rate and not self._told:
            self._told = True
            _logger.warning(
                "%s is %.1f s behind: this machine sends %.0f of %.0f samples a second of %d channels; they come late, "
                "none is lost", self._what, due / self._rate, sent / elapsed, self._rate, self._channels,
            )  # fmt: skip
        return due
