"""The device's side of the wire: serves any substrate on a broker, each stimulus applied once and in order.

A controller that is silent for longer than its lease, and a stop by anybody, interrupt what is being
applied, drop what waits, and return the substrate to rest. So does a substrate that fails: the device
is then in fault until somebody releases it.
"""

import asyncio
import logging
import random
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

import msgspec

from inmateria.adapters.mqtt.device.commands import Commands
from inmateria.adapters.mqtt.device.journal import Journal
from inmateria.adapters.mqtt.device.name_in_use import refuse_name_in_use
from inmateria.adapters.mqtt.device.state import DeviceState
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe, is_probe
from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.announcements import OFFLINE, Status
from inmateria.adapters.mqtt.wire.link import BrokerRefused, Link, LinkLost, open_link
from inmateria.adapters.mqtt.wire.message_size import SMALL, largest_message
from inmateria.adapters.mqtt.wire.parts import LARGEST_PART, in_parts
from inmateria.adapters.mqtt.wire.response_encoder import ResponseEncoder
from inmateria.concurrency import cancel_and_wait, wait_for_first
from inmateria.substrate import (
    Substrate,
    SubstrateDisconnected,
)

__all__ = ["DeviceServer"]

_logger = logging.getLogger("inmateria")
_BACKOFF, _MOST_BACKOFF = 0.1, 2.0


class DeviceServer:
    """Serves a substrate as a device on a broker; an async context manager.

    The broker may go and come back: the server connects again, with growing pauses, and goes on where
    it was.

    Parameters
    ----------
    substrate : Substrate
        Entered and left with the server.
    broker : str
        ``mqtt://host:port``; see `Broker.from_uri` for certificates and passwords.
    group, name : str
        The device's address on the broker; the name is the substrate's id by default.
    lease : float
        Seconds after the last word of a controller when its session ends, the substrate returns to rest
        and another may take over. The default is five keepalives of 3 s: a broker that is away for three
        ends no session.
    timeout : float
        Seconds to wait for the broker at the start.
    dtype : {"float64", "float32", "int16"}
        Of the signals that are sent. Integers span each output's range, and what is outside it is clipped
        and counted.
    whole : bool
        Whether the numbers of a response are covered by its CRC-32, as those of a stimulus always are. By default
        their sum stands in the header of a large frame, which is ten times as fast.
    journal : path, optional
        File of its own in which the device notes each number before it is applied and after it. After a crash
        its next life then says exactly what was applied; without it, what was unanswered stays uncertain.

    Raises
    ------
    SubstrateDisconnected
        On entering, where no broker answers, or the broker denies one of the device's topics.
    """

    def __init__(
        self,
        substrate: Substrate,
        broker: str,
        group: str = "lab",
        name: str | None = None,
        *,
        lease: float = 15.0,
        timeout: float = 5.0,
        dtype: Literal["float64", "float32", "int16"] = "float64",
        whole: bool = False,
        journal: str | Path | None = None,
    ) -> None:
        self._substrate = substrate
        self._broker = Broker.from_uri(broker)
        self._group, self._name = group, name
        self._lease = lease
        self._timeout = timeout
        self._dtype, self._whole = dtype, whole
        self._journal = journal
        self._link: Link | None = None
        self._largest: int | None = None
        self._device_state = DeviceState(uuid4().hex, lease)
        self._exits = AsyncExitStack()
        self._serving: asyncio.Task[None] | None = None
        # Refused at once where a URI cannot carry it, and not after the device has been opened.
        self._address = Address.named(group, "unnamed" if name is None else name)

    @property
    def uri(self) -> str:
        """Where a client finds the device; known once the server was entered."""
        return f"{self._broker}/{self._address}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            info = self._substrate.info
            numbers = ResponseEncoder(info, self._dtype, self._whole)
            self._device_state = device_state = DeviceState(uuid4().hex, self._lease)
            journal: Journal | None = None
            if self._journal is not None:
                journal = Journal(Path(self._journal))
                exits.callback(journal.close)
                device_state.before = journal.before
            self._address = Address.named(self._group, self._name or info.id)
            await refuse_name_in_use(self._broker, self._address, self._timeout)
            device_state.name = str(self._address)
            self._commands = Commands(self._substrate, numbers, device_state, self._lease, self._say, journal)
            online: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(self._serve(online), name=f"serving {self._address}")
            self._serving = serving
            exits.push_async_callback(_end, serving)
            await asyncio.wait({online, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def wait_ended(self) -> bool:
        """Wait until serving has failed for good, which it does only by a fault of ours."""
        if self._serving is not None:
            await asyncio.wait({self._serving})
        return True

    async def _serve(self, online: asyncio.Future[None]) -> None:
        await wait_for_first(
            self._commands.apply_in_turn(), self._commands.mind_the_lease(), self._stay_connected(online)
        )

    async def _stay_connected(self, online: asyncio.Future[None]) -> None:
        pause = _BACKOFF
        while True:
            try:
                await self._listen(online)
            except LinkLost as error:
                _logger.warning("%s: lost the broker (%s); connecting again", self._address, error)
                pause = _BACKOFF
            except SubstrateDisconnected as error:
                if not online.done():
                    raise
                level = logging.WARNING if isinstance(error, BrokerRefused) else logging.DEBUG
                _logger.log(level, "%s: %s", self._address, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _MOST_BACKOFF)

    async def _listen(self, online: asyncio.Future[None]) -> None:
        """Connect, say who we are, and take in what is sent until the connection is lost."""
        status = self._address.topic("status")
        gone = msgspec.json.encode(Status(OFFLINE, self._device_state.epoch))
        topic = self._address.topic
        async with open_link(self._broker, timeout=self._timeout, will=(status, gone)) as link:
            try:
                probe = AccessProbe()
                await link.subscribe(topic("stop"), topic("release"), topic("stimulus", "+", "+"))
                if not online.done():  # what the broker grants is asked once
                    answers = topic("response", self._broker.controller, probe.name)
                    await link.subscribe(answers)
                    probe.unheard.update((topic("stop"), topic("release"), answers))
                    probe.unheard.add(topic("stimulus", self._broker.controller, probe.name))
                await link.publish(topic("info"), msgspec.json.encode(self._substrate.info), retain=True)
                await wait_for_first(self._take_in(link, probe), self._announce(link, probe, online))
            except asyncio.CancelledError:
                # A will speaks only for those who left without a word.
                with suppress(LinkLost, BrokerRefused):
                    await link.publish(status, gone, retain=True)
                raise
            finally:
                self._link = None

    async def _take_in(self, link: Link, probe: AccessProbe) -> None:
        stop, release = self._address.topic("stop"), self._address.topic("release")
        stimuli = self._address.topic("stimulus", "")
        async for topic, payload in link.messages():
            if probe.unheard and probe.heard(topic, payload):
                continue
            if topic in (stop, release):
                if is_probe(payload):
                    continue
                if topic == stop:
                    self._commands.stop()
                else:
                    self._device_state.release()
            elif topic.startswith(stimuli):  # the embedded broker also sends what is retained, to whoever comes
                _, user, session = topic.rsplit("/", 2)
                await self._commands.take(user, session, payload)

    async def _announce(self, link: Link, probe: AccessProbe, online: asyncio.Future[None]) -> None:
        """Make sure that the broker grants us our topics; then say how we are whenever that changes."""
        if not await probe.check(link, self._timeout):
            raise BrokerRefused(
                f"{self._broker} denies {self._broker.controller} topics of {self._address}: what was published on "
                f"{', '.join(sorted(probe.unheard))} did not come back within {self._timeout:g} s",
                "a device reads and writes everything below its own address",
                "see examples/mosquitto",
            )
        if not online.done():
            link.unsubscribe(self._address.topic("response", self._broker.controller, probe.name))
        self._link, device_state = link, self._device_state
        device_state.tell("birth")
        while True:
            device_state.changed.clear()
            status = device_state.status(self._commands.holder)
            await link.publish(self._address.topic("status"), msgspec.json.encode(status), retain=True)
            if not online.done():
                online.set_result(None)
            while device_state.events:
                await link.publish(self._address.topic("events"), msgspec.json.encode(device_state.events.popleft()))
            await device_state.changed.wait()

    async def _say(self, data: bytes, holder: str) -> None:
        """Publish to a session; what is lost with a connection is asked for again."""
        link, topic = self._link, self._address.topic("response", holder)
        if link is not None:
            try:
                takes = self._commands.takes
                if takes and len(data) > SMALL:
                    if self._largest is None:
                        self._largest = await largest_message(self._broker, self._address, LARGEST_PART, self._timeout)
                    takes = min(takes, self._largest)
                for message in in_parts(data, takes or len(data)):
                    await link.publish(topic, message)
            except LinkLost as error:
                _logger.debug("%s: an answer was lost with the connection (%s)", self._address, error)


async def _end(task: asyncio.Task[None]) -> None:
    await cancel_and_wait(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
