"""Messages on ``stop`` and ``release``: which of them count."""

import logging
import time
from collections import deque

from inmateria.adapters.mqtt.wire.access_probe import AccessProbe, is_probe
from inmateria.adapters.mqtt.wire.link_protocol import Message

__all__ = ["StopTopics"]

_logger = logging.getLogger("inmateria")
_MOST_A_SECOND = 50


class StopTopics:
    """Interpreter of messages on ``stop`` and ``release``: what each of them asks for.

    - A retained message is old: it does not count. A broker may mark new messages as retained too, so it counts
      from when our own probe, published after the subscription, has come back.
    - A probe of another client does not count.
    - More than 50 messages within a second could hide a stop among them, so they count as a stop, and nothing is
      released until there are fewer.

    Parameters
    ----------
    stop, release : str
        The topics.
    probe : AccessProbe
        Published on both after the subscription.
    """

    def __init__(self, stop: str, release: str, probe: AccessProbe) -> None:
        self._stop, self._release, self._probe = stop, release, probe
        self._times: deque[float] = deque(maxlen=_MOST_A_SECOND)

    def asks(self, message: Message) -> str | None:
        """Return ``"stop"``, ``"release"`` or None."""
        if message.topic not in (self._stop, self._release):  # the embedded broker sends other retained ones too
            return None
        if self._flooded():
            return "stop"
        if message.retained and message.topic in self._probe.unheard:
            _logger.warning("%s: a retained message is ignored; clear it from the broker", message.topic)
            return None
        if self._probe.heard(message.topic, message.payload) or is_probe(message.payload):
            return None
        return "stop" if message.topic == self._stop else "release"

    def _flooded(self) -> bool:
        """Count a message, and tell whether there have been too many within the last second."""
        now = time.monotonic()
        flooded = len(self._times) == _MOST_A_SECOND and now - self._times[0] < 1.0
        self._times.append(now)
        return flooded
