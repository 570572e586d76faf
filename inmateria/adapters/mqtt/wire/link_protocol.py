"""The connection to a broker that client and device need; `wire.link` is ours, `wire.aiomqtt_links` another."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, runtime_checkable

from inmateria.adapters.mqtt.wire.device_socket import Place
from inmateria.substrate import SubstrateDisconnected

__all__ = [
    "BrokerGone",
    "BrokerRefused",
    "HandsOver",
    "LinkLost",
    "LinkProtocol",
    "Message",
    "OpenLink",
    "TakeMessage",
]


class LinkLost(Exception):
    """The connection to the broker is gone."""


class BrokerGone(SubstrateDisconnected):
    """No broker answers; trying again later may help."""


class BrokerRefused(SubstrateDisconnected):
    """The broker forbids something; trying again does not help."""


class Message(NamedTuple):
    """A message that came from the broker.

    Parameters
    ----------
    topic : str
    payload : bytes
    retained : bool
        Whether the broker had kept it from before the subscription (the retain flag of the packet).
    """

    topic: str
    payload: bytes
    retained: bool = False


class LinkProtocol(Protocol):
    """An open connection to a broker.

    At QoS 0 it may lose, double or reorder messages: numbers, repetitions and checksums are dealt with above it.
    Each method raises `LinkLost` once the connection is gone, and `BrokerRefused` where the broker says that
    something is not allowed.
    """

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; wait while the connection takes no more, and at QoS 1 until the broker confirms it."""

    async def subscribe(self, *topics: str, qos: int = 0) -> None:
        """Subscribe to topics, and wait until the broker confirms it."""

    async def unsubscribe(self, *topics: str) -> None:
        """End subscriptions; messages may still come after it."""

    def messages(self) -> AsyncIterator[Message]:
        """Yield the messages of all subscriptions in the order in which they came; messages of other topics too."""
        ...


TakeMessage = Callable[[str, bytes], bool]
"""Called with topic and payload of a message; returns whether it was dealt with."""


@runtime_checkable
class HandsOver(Protocol):
    """What a connection may have besides: messages that can be dealt with at once need no turn of the event loop.

    Attributes
    ----------
    take_message : TakeMessage or None
        Called with each message as it is read, while none waits in the queue; what it returns False for is queued, and
        comes out of `messages`. It must not wait, and raises nothing.
    """

    take_message: TakeMessage | None

    def send_at_once(self, topic: str, payload: bytes) -> bool:
        """Send a small message at QoS 0 within this call; return False, with nothing sent, where `publish` is to."""
        ...


class OpenLink(Protocol):
    """Opens a connection to a broker; called again each time one was lost."""

    def __call__(self, broker: Place, *, timeout: float) -> AbstractAsyncContextManager[LinkProtocol]:
        """Open a connection within `timeout` seconds.

        Raises
        ------
        BrokerGone
            On entering, if there is no connection now; it is tried again.
        BrokerRefused
            On entering, if trying again does not help.
        """
        ...
