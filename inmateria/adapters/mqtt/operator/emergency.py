"""Stop a device behind a broker at once, whichever session controls it, and release it again."""

import asyncio

from inmateria.adapters.mqtt.wire.announcements import ONLINE, STOPPED, read_status
from inmateria.adapters.mqtt.wire.device_socket import address_of, place_of
from inmateria.adapters.mqtt.wire.link_protocol import LinkLost, LinkProtocol
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.concurrency import wait_for_first
from inmateria.substrate import SubstrateDisconnected, SubstrateTimeout

__all__ = ["emergency_stop", "release"]

_AGAIN = 0.5
"""Seconds between two messages: a broker whose queue for the device is full drops those of QoS 1 too."""


async def emergency_stop(uri: str, *, timeout: float = 5.0) -> None:
    """Stop a device: interrupt the stimulus in progress, drop those that wait, and return it to rest.

    It needs no lease, and the device stays stopped until `release`. Any message on the topic ``stop`` of the
    device does the same, so that any MQTT client can stop it.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``, ``unix:///path`` or ``tcp://host:port/group/device``.
    timeout : float
        Seconds to wait for the broker, and then for the device to report that it has stopped.

    Raises
    ------
    SubstrateDisconnected
        If no broker answers.
    SubstrateTimeout
        If the device does not confirm the stop: it may not have stopped.
    """
    await _republish_until(uri, "stop", STOPPED, timeout)


async def release(uri: str, *, timeout: float = 5.0) -> None:
    """Release a device that was stopped or is in fault, so that it can be controlled again.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``, ``unix:///path`` or ``tcp://host:port/group/device``.
    timeout : float
        Seconds to wait for the broker, and then for the device to report that it is online.

    Raises
    ------
    SubstrateDisconnected
        If no broker answers.
    SubstrateTimeout
        If the device does not confirm the release.
    """
    await _republish_until(uri, "release", ONLINE, timeout)


async def _republish_until(uri: str, command: str, state: str, timeout: float) -> None:
    """Republish a command until the device reports the state."""
    broker, address = place_of(uri), address_of(uri)
    reported = ["nothing"]
    try:
        async with open_link(broker, timeout=timeout) as link, asyncio.timeout(timeout):
            await wait_for_first(
                _republish(link, address.topic(command)),
                _wait_for_state(link, address.topic("status"), state, reported),
            )
    except LinkLost as error:
        raise SubstrateDisconnected(
            f"the connection to {broker} was lost while {address} was told to {command} ({error})",
            "", "it may not have received it; cut its power if that matters",
        ) from None  # fmt: skip
    except TimeoutError:
        raise SubstrateTimeout(
            f"waited {timeout:g} s for {address} on {broker} to be {state}",
            f"its status says {reported[-1]}",
            "it may not have received it; cut its power if that matters, and compare its address with `inmateria list`",
        ) from None  # fmt: skip


async def _republish(link: LinkProtocol, topic: str) -> None:
    while True:
        await link.publish(topic, b"", qos=1)
        await asyncio.sleep(_AGAIN)


async def _wait_for_state(link: LinkProtocol, topic: str, state: str, reported: list[str]) -> None:
    await link.subscribe(topic)
    async for message in link.messages():
        if message.topic != topic:  # the embedded broker sends retained messages of other topics too
            continue
        status = read_status(message.payload)
        if status is None:  # the device corrects it
            continue
        if status.state == state:
            return
        reported.append(f"{status.state} ({status.error})" if status.error else status.state)
