"""Stop a device behind a broker at once, whoever controls it, and let it go again."""

import asyncio

from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.announcements import read_status
from inmateria.adapters.mqtt.wire.link import Link, LinkLost, open_link
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import SubstrateDisconnected, SubstrateTimeout

__all__ = ["emergency_stop", "release"]

_AGAIN = 0.5


async def emergency_stop(uri: str, *, timeout: float = 5.0) -> None:
    """Stop a device: what is being applied is interrupted, what waits is dropped, and it returns to rest.

    It needs no lease, and the device stays stopped until `release`. Any message on the topic ``stop`` of the
    device does the same, so any MQTT client will do where Python is not at hand.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``.
    timeout : float
        Seconds to wait for the broker, and then for the device to say that it has stopped.

    Raises
    ------
    SubstrateDisconnected
        Where no broker answers.
    SubstrateTimeout
        Where the device does not confirm: it may not have stopped.
    """
    await _until(uri, "stop", "stopped", timeout)


async def release(uri: str, *, timeout: float = 5.0) -> None:
    """Let a stopped device be controlled again; parameters and errors as of `emergency_stop`."""
    await _until(uri, "release", "online", timeout)


async def _until(uri: str, word: str, state: str, timeout: float) -> None:
    """Say a word to a device, again and again, until its status is that."""
    broker, address = Broker.from_uri(uri), Address.from_uri(uri)
    try:
        async with open_link(broker, timeout=timeout) as link, asyncio.timeout(timeout):
            saying = asyncio.create_task(_say_again(link, address.topic(word)))
            try:
                await link.subscribe(address.topic("status"))
                async for topic, payload in link.messages():
                    # The embedded broker's library also sends retained messages that nobody subscribed to.
                    told = read_status(payload) if topic == address.topic("status") else None
                    if told is not None and told.state == state:
                        return
            finally:
                await cancel_and_wait(saying)
    except LinkLost as error:
        raise SubstrateDisconnected(
            f"the connection to {broker} was lost while {address} was told to {word} ({error})",
            "", "it may not have heard; cut its power if that matters",
        ) from None  # fmt: skip
    except TimeoutError:
        raise SubstrateTimeout(
            f"waited {timeout:g} s for {address} on {broker} to be {state}",
            "its status says something else, or nothing", "it may not have heard; cut its power if that matters",
        ) from None  # fmt: skip


async def _say_again(link: Link, topic: str) -> None:
    while True:
        await link.publish(topic, b"")
        await asyncio.sleep(_AGAIN)
