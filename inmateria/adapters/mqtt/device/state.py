"""State of a device: online, stopped or in fault, and the events that are still to be published."""

import asyncio
import logging
import time
from collections import deque

from inmateria.adapters.mqtt.wire.announcements import IN_FAULT, ONLINE, STOPPED, Event, PreviousSession, Status
from inmateria.substrate import SubstrateDisconnected

__all__ = ["DeviceState"]

_logger = logging.getLogger("inmateria")
_EVENTS = 64


class DeviceState:
    """State of a device, and the last 64 events that were not published yet.

    Parameters
    ----------
    epoch : str
        Of this life of the device.
    lease : float
        Seconds for which a lease is held after each message of its holder.

    Attributes
    ----------
    changed : asyncio.Event
        Set where the status is to be published again.
    """

    def __init__(self, epoch: str, lease: float) -> None:
        self.name = ""
        self.epoch, self._lease = epoch, lease
        self.before: PreviousSession | None = None
        self.changed = asyncio.Event()
        self.events: deque[Event] = deque(maxlen=_EVENTS)
        self._state, self._error = ONLINE, ""

    @property
    def online(self) -> bool:
        """Whether it may be controlled."""
        return self._state == ONLINE

    def status(self, holder: str) -> Status:
        """Return the status to publish."""
        return Status(self._state, self.epoch, holder, self._lease if holder else 0.0, self._error, self.before)

    def announce(self, event: str, holder: str = "", why: str = "") -> None:
        """Have an event published, and the status after it."""
        self.events.append(Event(event, time.time(), self.epoch, holder, why))
        self.changed.set()

    def stop(self) -> None:
        """Be stopped until released; the status is published again where it is stopped already."""
        if self._state != STOPPED:
            _logger.warning("%s: stopped", self.name)
            self._state = STOPPED
            self.announce("stopped")
        self.changed.set()

    def release(self) -> None:
        """Be online again."""
        if self._state != ONLINE:
            self._state, self._error = ONLINE, ""
            self.announce("released")
        self.changed.set()

    def fail(self, error: BaseException) -> SubstrateDisconnected:
        """Be in fault, or stay stopped, because of an error of the substrate; gives the error for the controller."""
        self._error = f"{type(error).__name__}: {error}"
        _logger.error("%s: in fault (%s)", self.name, self._error, exc_info=error)
        if self._state == ONLINE:
            self._state = IN_FAULT
        self.announce("fault", why=self._error)
        return SubstrateDisconnected(
            f"{self.name} is in fault ({self._error})", "", "see its log and mend it; then restart or release it"
        )

    def refusal(self) -> SubstrateDisconnected:
        """Return the error for a controller that asks for the lease now."""
        how = "was stopped" if self._state == STOPPED else f"is in fault ({self._error})"
        return SubstrateDisconnected(f"{self.name} {how}", "a device that is online", "see why, then release it")
