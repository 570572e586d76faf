"""Warnings about a hostile or broken peer, limited so that it cannot fill a disk with them."""

import logging
import time

__all__ = ["RateLimitedLogger"]

_EVERY = 1.0


class RateLimitedLogger:
    """Logs at most one warning a second, and the count of those left out.

    Parameters
    ----------
    logger : logging.Logger
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, or count it."""
        now = time.monotonic()
        if now - self._last < _EVERY:
            self._left_out += 1
            return
        more = f" (and {self._left_out} more before)" if self._left_out else ""
        self._last, self._left_out = now, 0
        self._logger.warning(message + "%s", *arguments, more)
