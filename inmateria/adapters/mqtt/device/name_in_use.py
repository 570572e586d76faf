"""Refuses a name that another device on the broker has, since two under one name would mix their limits."""

import asyncio
from contextlib import suppress
from uuid import uuid4

from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.announcements import OFFLINE, read_status
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import Link, LinkLost, open_link
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import FrameError, SubstrateBusy, SubstrateDisconnected

__all__ = ["refuse_name_in_use"]

_PATIENCE, _EVERY = 2.0, 0.5
"""Seconds within which a living device answers, and between two questions."""


async def refuse_name_in_use(broker: Broker, address: Address, timeout: float) -> None:
    """Raise `SubstrateBusy` where a living device has this address.

    A status other than ``offline`` may be left over from a device that is dead, since brokers keep it. So that device
    is sent a renewal by a session that holds no lease, which every device refuses. It lives if it does so within 2 s.

    Raises
    ------
    SubstrateBusy
    SubstrateDisconnected
        If no broker answers.
    """
    session = uuid4().hex[:12]
    question = address.topic("stimulus", broker.controller, session)
    answer = address.topic("response", broker.controller, session)
    status, marker = address.topic("status"), encode(Header(kind=Kind.PROBE, session=session))
    announced = ""
    asking: asyncio.Task[None] | None = None
    try:
        async with open_link(broker, timeout=timeout) as link:
            # What is retained comes before the marker: a broker keeps the order of what it sends to one client.
            await link.subscribe(status, answer, question)
            await link.publish(question, marker)
            try:
                async with asyncio.timeout(timeout) as waiting:
                    async for message in link.messages():
                        topic, payload = message[0], message[1]
                        if topic == status:
                            announced = _state(payload)
                        elif topic == answer and _is_refusal(payload):
                            raise SubstrateBusy(
                                f"{address} on {broker} is served already; that device is {announced}",
                                "one device for each name", "give another name, or end the other server",
                            )  # fmt: skip
                        elif topic == question and payload == marker and announced and asking is None:
                            asking = asyncio.create_task(_ask(link, question, session))
                            waiting.reschedule(asyncio.get_running_loop().time() + _PATIENCE)
                        if not announced and (asking is not None or payload == marker):
                            return
            finally:
                if asking is not None:
                    await cancel_and_wait(asking)
    except TimeoutError:
        return
    except LinkLost as error:
        raise SubstrateDisconnected(
            f"the broker at {broker} closed the connection ({error})", "", "see the broker's log"
        ) from None


async def _ask(link: Link, topic: str, session: str) -> None:
    with suppress(LinkLost):
        while True:
            await link.publish(topic, encode(Header(kind=Kind.RENEW, session=session)))
            await asyncio.sleep(_EVERY)


def _state(payload: bytes) -> str:
    """Return the state that a status announces; empty for ``offline`` and for what is no status."""
    told = read_status(payload)
    return "" if told is None or told.state == OFFLINE else told.state


def _is_refusal(payload: bytes) -> bool:
    try:
        return decode(payload).header.kind is Kind.REFUSED
    except FrameError:
        return False
