"""Measures how large a message a broker passes on, since few brokers announce their limit."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import numpy as np

from inmateria.adapters.mqtt.wire.address import Address
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, Place
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE, BrokerRefused, LinkLost, open_link
from inmateria.substrate import FrameError, SubstrateDisconnected

__all__ = ["AROUND", "SMALL", "largest_message"]

SMALL = 16_384
"""Bytes of a frame that is sent without measuring anything."""
AROUND = 1024
"""Bytes that are kept free in a message, for topic and headers."""
_SMALLEST = 4096


async def largest_message(broker: Place, address: Address, wanted: int, timeout: float) -> int:
    """Return the size of the largest message that a broker passes on, in bytes, or `wanted` where it is more.

    Over a connection of its own, a message of that size is published to itself, and a small one after it. A broker
    keeps their order, so where the small one comes alone the large one was dropped; then half the size is tried, down
    to 4 kB. Where none comes back within `timeout` seconds of silence, nothing is known, and `wanted` is given.

    Parameters
    ----------
    broker : Broker or DeviceSocket
        A socket passes on whatever is allowed: nothing is measured.
    address : Address
        Of the device below which a topic of our own is used for this.
    wanted : int
        Bytes.
    timeout : float
        Seconds.
    """
    if isinstance(broker, DeviceSocket):
        return min(wanted, MOST_MESSAGE)
    name = uuid4().hex[:12]
    topic = address.topic("stimulus", broker.controller, name)
    try:
        async with open_link(broker, timeout=timeout) as link:
            await link.subscribe(topic)
            size = min(wanted, link.largest, MOST_MESSAGE)
            async with aclosing(link.messages()) as messages:  # type: ignore[type-var]  # it is a generator
                while size > _SMALLEST:
                    small = encode(Header(kind=Kind.PROBE, session=name, sequence=size))
                    large = Header(kind=Kind.PROBE, session=name, sequence=size)
                    await link.publish(topic, encode(large, np.zeros(size - AROUND, np.uint8)))
                    await link.publish(topic, small)
                    passed = False
                    while True:
                        async with asyncio.timeout(timeout):
                            came = await anext(messages)
                        if came[1] == small:
                            break
                        passed = passed or _is_large(came[1], size)
                    if passed:
                        return size
                    size //= 2
            return _SMALLEST
    except (TimeoutError, LinkLost, BrokerRefused, SubstrateDisconnected):
        return wanted


def _is_large(payload: bytes, size: int) -> bool:
    try:
        frame = decode(payload)
    except FrameError:
        return False
    return frame.header.kind is Kind.PROBE and frame.header.sequence == size and frame.array is not None
