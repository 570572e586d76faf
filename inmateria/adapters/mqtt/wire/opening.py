"""Opens a connection to whatever place a URI names: a broker, or the socket of a device."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inmateria.adapters.mqtt.wire.device_link import open_device_link
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, Place
from inmateria.adapters.mqtt.wire.link import open_link as open_broker_link
from inmateria.adapters.mqtt.wire.link_protocol import LinkProtocol

__all__ = ["open_link"]


@asynccontextmanager
async def open_link(broker: Place, *, timeout: float) -> AsyncIterator[LinkProtocol]:
    """Open a connection within `timeout` seconds; see `wire.link.open_link` and `wire.device_link.open_device_link`."""
    if isinstance(broker, DeviceSocket):
        async with open_device_link(broker, timeout=timeout) as link:
            yield link
    else:
        async with open_broker_link(broker, timeout=timeout) as broker_link:
            yield broker_link
