"""The device's side of the wire: serves any substrate on a broker, each stimulus applied once and in order.

A controller that is silent for longer than its lease, and an emergency stop, interrupt the stimulus that is being
applied, drop those that wait, and return the substrate to rest. So does a substrate that fails: the device is then
in fault until it is released.

There are two connections. Stops, the status and the will go over one of their own, so that no flood of frames delays
them; commands and answers go over the other. A device that has lost either makes both again.
"""

import asyncio
import logging
import random
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self
from uuid import uuid4

import msgspec

from inmateria.adapters.mqtt.device.commands import Commands
from inmateria.adapters.mqtt.device.journal import Journal
from inmateria.adapters.mqtt.device.name_in_use import refuse_name_in_use
from inmateria.adapters.mqtt.device.own_status import OwnStatus
from inmateria.adapters.mqtt.device.socket_hub import SocketHub, refuse_exposed
from inmateria.adapters.mqtt.device.state import DeviceState
from inmateria.adapters.mqtt.device.stop_topics import StopTopics
from inmateria.adapters.mqtt.wire.access_probe import AccessProbe
from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.announcements import OFFLINE, Status
from inmateria.adapters.mqtt.wire.device_socket import ONLY_DEVICE, DeviceSocket, place_of
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.adapters.mqtt.wire.link_protocol import BrokerRefused, HandsOver, LinkLost, LinkProtocol, OpenLink
from inmateria.adapters.mqtt.wire.message_size import SMALL, largest_message
from inmateria.adapters.mqtt.wire.opening import open_link as open_any_link
from inmateria.adapters.mqtt.wire.parts import LARGEST_PART, in_parts
from inmateria.adapters.mqtt.wire.response_encoder import ResponseEncoder
from inmateria.concurrency import cancel_and_wait, settle, wait_for_first
from inmateria.substrate import (
    Substrate,
    SubstrateDisconnected,
)

__all__ = ["DeviceServer"]

_logger = logging.getLogger("inmateria")
_BACKOFF, _MOST_BACKOFF = 0.1, 2.0


class DeviceServer:
    """Serves a substrate as a device on a broker, or at a socket of its own; an async context manager.

    If the connection to the broker is lost, the server connects again, with growing pauses, and continues where it
    was.

    Parameters
    ----------
    substrate : Substrate
        Substrate to serve; entered and left with the server.
    broker : str
        ``mqtt://host:port``; see `Broker.from_uri` for certificates and passwords. ``unix:///path`` or
        ``tcp://127.0.0.1:port`` serves without a broker, at a socket of its own: clients of this machine reach it in
        less than half the time.
    group, name : str
        The device's address on the broker, or at a TCP socket; the name is the substrate's id by default.
    lease : float
        Seconds for which the controller, the device or the broker may be away. A session whose controller was not
        heard for longer ends: the substrate returns to rest and another session may take over. The controller is
        told this figure and gives up after the same time. The default is five keepalives of 3 s.
    timeout : float
        Seconds to wait for the broker at the start.
    dtype : {"float64", "float32", "int16"}
        Data type in which signals are sent. Integers span each output's range; values outside it are clipped and
        counted.
    whole : bool
        Whether the CRC-32 of a response covers its values, as that of a stimulus always does. By default the header of
        a large frame holds their sum instead, which is ten times as fast.
    journal : path, optional
        File in which the device writes the number of each exchange before and after it is applied; one for each device.
        Restarted after a crash, the device then states exactly which stimuli were applied. Without a journal this is
        unknown for stimuli that were not answered.
    open_data_link : OpenLink
        Opens the connection for commands and answers, for instance `AiomqttLinks`. The server always opens the
        connection for emergency stops itself.
    exposed : bool
        Whether ``tcp://`` may listen where other machines can reach it; there are no passwords and no encryption.

    Raises
    ------
    SubstrateBusy
        On entering, if another device has that name, or is served at that socket.
    SubstrateDisconnected
        On entering, if no broker answers, or the broker denies one of the device's topics.
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
        open_data_link: OpenLink = open_any_link,
        exposed: bool = False,
    ) -> None:
        self._substrate = substrate
        self._broker = place_of(broker)
        if isinstance(self._broker, DeviceSocket):
            if open_data_link is not open_any_link:
                raise ValueError(f"{self._broker} is served without a broker; leave out open_data_link")
            if self._broker.address != ONLY_DEVICE:
                raise ValueError(f"{broker} names a device; give group and name apart, and tcp://host:port alone")
            refuse_exposed(self._broker, exposed)
        self._exposed = exposed
        self._hub: SocketHub | None = None
        self._group, self._name = group, name
        self._lease = lease
        self._timeout = timeout
        self._dtype, self._whole = dtype, whole
        self._journal = journal
        self._open_data_link = open_data_link
        self._data_link: LinkProtocol | None = None
        self._prompt_link: HandsOver | None = None
        self._answered = self._answers = ""
        self._largest: int | None = None
        self._device_state = DeviceState(uuid4().hex, lease)
        self._exits = AsyncExitStack()
        self._serving: asyncio.Task[None] | None = None
        # Refused at once if a URI cannot carry it, and not after the device has been opened.
        self._address = Address.named(group, "unnamed" if name is None else name)

    @property
    def uri(self) -> str:
        """URI of the device for clients; known once the server has been entered."""
        if self._hub is not None:
            return self._hub.uri
        if isinstance(self._broker, DeviceSocket) and self._broker.path:
            return str(self._broker)
        return f"{self._broker}/{self._address}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            info = self._substrate.info
            encoder = ResponseEncoder(info, self._dtype, self._whole)
            self._device_state = device_state = DeviceState(uuid4().hex, self._lease)
            journal: Journal | None = None
            if self._journal is not None:
                journal = Journal(Path(self._journal))
                exits.callback(journal.close)
                device_state.before = journal.before
            self._address = Address.named(self._group, self._name or info.id)
            if isinstance(self._broker, DeviceSocket):
                hub = SocketHub(self._broker, self._address, exposed=self._exposed)
                self._hub = await exits.enter_async_context(hub)
            else:
                await refuse_name_in_use(self._broker, self._address, self._timeout)
            device_state.name = str(self._address)
            self._commands = Commands(
                self._substrate, encoder, device_state, self._lease, self._send, journal, self._send_at_once
            )
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
        """Wait until serving has failed by an error in this library; leaving the server then raises that error."""
        if self._serving is not None:
            await asyncio.wait({self._serving})
        return True

    async def _serve(self, online: asyncio.Future[None]) -> None:
        try:
            await wait_for_first(self._commands.apply(), self._commands.watch_lease(), self._stay_connected(online))
        except Exception as error:
            if online.done():  # no lease and no stop is watched any more
                _logger.exception("%s: serving failed; returning to rest (%r)", self._address, error)
                await self._commands.return_to_rest()
            raise

    async def _stay_connected(self, online: asyncio.Future[None]) -> None:
        pause = _BACKOFF
        while True:
            try:
                await self._serve_connected(online)
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

    async def _serve_connected(self, online: asyncio.Future[None]) -> None:
        """Connect, announce the device, and receive messages until a connection is lost."""
        topic = self._address.topic
        gone = msgspec.json.encode(Status(OFFLINE, self._device_state.epoch))
        will = (topic("status"), gone)
        async with AsyncExitStack() as exits:
            if self._hub is not None:
                stop_link: _StopLink = await exits.enter_async_context(self._hub.open_link())
                data_link: LinkProtocol = await exits.enter_async_context(self._hub.open_link())
            elif isinstance(self._broker, Broker):
                stop_link = await exits.enter_async_context(open_link(self._broker, timeout=self._timeout, will=will))
                data_link = await exits.enter_async_context(self._open_data_link(self._broker, timeout=self._timeout))
            stop_probe, data_probe = AccessProbe(), AccessProbe()
            stops = StopTopics(topic("stop"), topic("release"), stop_probe)
            stop_probe.unheard.update((topic("stop"), topic("release")))
            own_status = OwnStatus(topic("status"))
            try:
                await stop_link.subscribe(topic("stop"), topic("release"), qos=1, retained=False)
                await data_link.subscribe(topic("stimulus", "+", "+"), topic("status"))
                if not online.done():  # for these, what the broker grants is asked once
                    answers = topic("response", self._broker.controller, data_probe.name)
                    await data_link.subscribe(answers)
                    data_probe.unheard.update((answers, topic("stimulus", self._broker.controller, data_probe.name)))
                await stop_link.publish(topic("info"), msgspec.json.encode(self._substrate.info), qos=1, retain=True)
                await wait_for_first(
                    self._receive_stops(stop_link, stops),
                    self._receive_frames(data_link, data_probe, own_status),
                    self._announce(stop_link, data_link, (stop_probe, data_probe), own_status, online),
                    own_status.correct(self._device_state.changed),
                )
            finally:
                # The broker publishes the will only if this connection ends without DISCONNECT.
                if self._data_link is not None:
                    self._data_link = self._prompt_link = None
                    with suppress(LinkLost, BrokerRefused):
                        await stop_link.publish(topic("status"), gone, qos=1, retain=True)

    async def _receive_stops(self, link: LinkProtocol, stops: StopTopics) -> None:
        async for message in link.messages():
            asked = stops.asks(message)
            if asked == "stop":
                self._commands.stop()
            elif asked == "release":
                self._commands.release()

    async def _receive_frames(self, link: LinkProtocol, probe: AccessProbe, own_status: OwnStatus) -> None:
        status, stimuli = self._address.topic("status"), self._address.topic("stimulus", "")
        before, unheard, take_command = len(stimuli), probe.unheard, self._commands.take

        def take(topic: str, payload: bytes) -> bool:
            return (
                not unheard
                and len(payload) <= SMALL
                and topic.startswith(stimuli)
                and take_command(topic[before:], payload)
            )

        if isinstance(link, HandsOver):
            link.take_message = take
        async for topic, payload, _ in link.messages():
            if probe.unheard and probe.heard(topic, payload):
                continue
            if topic.startswith(stimuli):  # the embedded broker also sends retained messages of other topics
                _, user, session = topic.rsplit("/", 2)
                await self._commands.receive(user, session, payload)
            elif topic == status:
                own_status.received(payload)

    async def _announce(
        self,
        stop_link: LinkProtocol,
        data_link: LinkProtocol,
        probes: tuple[AccessProbe, AccessProbe],
        own_status: OwnStatus,
        online: asyncio.Future[None],
    ) -> None:
        """Check that the broker grants the device its topics; then publish the status whenever it changes."""
        links = zip((stop_link, data_link), probes, strict=True)
        granted = [await probe.check(link, self._timeout) for link, probe in links]
        if not all(granted):
            denied = sorted(set.union(*(probe.unheard for probe in probes)))
            raise BrokerRefused(
                f"{self._broker} denies {self._broker.controller} topics of {self._address}: what was published on "
                f"{', '.join(denied)} did not come back within {self._timeout:g} s",
                "a device reads and writes everything below its own address",
                "see examples/mosquitto",
            )
        if not online.done():
            await data_link.unsubscribe(self._address.topic("response", self._broker.controller, probes[1].name))
        self._data_link, device_state = data_link, self._device_state
        self._prompt_link = data_link if isinstance(data_link, HandsOver) else None
        device_state.announce("birth")
        while True:
            device_state.changed.clear()
            status = msgspec.json.encode(device_state.status(self._commands.holder))
            own_status.publishing(status)
            await stop_link.publish(self._address.topic("status"), status, qos=1, retain=True)
            settle(online, None)
            while device_state.events:
                event = msgspec.json.encode(device_state.events.popleft())
                await stop_link.publish(self._address.topic("events"), event)
            await device_state.changed.wait()

    def _response_topic(self, holder: str) -> str:
        """Return the topic on which a session is answered; nearly always that of the answer before."""
        if holder != self._answered:
            self._answered, self._answers = holder, self._address.topic("response", holder)
        return self._answers

    def _send_at_once(self, frame: bytes, holder: str) -> bool:
        """Publish a small frame to a session within this call; return False where `_send` is to."""
        link = self._prompt_link
        return link is not None and len(frame) <= SMALL and link.send_at_once(self._response_topic(holder), frame)

    async def _send(self, frame: bytes, holder: str) -> None:
        """Publish a frame to a session; one that is lost with the connection is asked for again."""
        link, topic = self._data_link, self._response_topic(holder)
        if link is not None:
            try:
                takes = self._commands.takes
                if len(frame) <= SMALL:
                    await link.publish(topic, frame)
                    return
                if takes:
                    if self._largest is None:
                        self._largest = await largest_message(self._broker, self._address, LARGEST_PART, self._timeout)
                    takes = min(takes, self._largest)
                for message in in_parts(frame, takes or len(frame)):
                    await link.publish(topic, message)
            except LinkLost as error:
                _logger.debug("%s: an answer was lost with the connection (%s)", self._address, error)


class _StopLink(LinkProtocol, Protocol):
    """A connection that can leave out what is retained, as the one for stops does."""

    async def subscribe(self, *topics: str, qos: int = 0, retained: bool = True) -> None:
        """Subscribe to topics."""


async def _end(task: asyncio.Task[None]) -> None:
    await cancel_and_wait(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
