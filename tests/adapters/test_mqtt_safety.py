"""Living matter gets no stimulus beyond the limits, from a session that has ended, or that cannot be stopped."""

import asyncio
import threading
from contextlib import aclosing

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator
from test_mqtt_drivers import until_ended, when_free

from inmateria.adapters import (
    DeviceServer,
    EmbeddedBroker,
    RemoteSubstrate,
    SimulatedSubstrate,
    emergency_stop,
    release,
)
from inmateria.adapters.mqtt.device import interruptible
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.announcements import ONLINE, Event, Status
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.link import Link, open_link
from inmateria.adapters.mqtt.wire.link_protocol import LinkProtocol
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    SubstrateTimeout,
)

ONE = Stimulus(np.ones((1, 3)), 0.01)
TOPIC = "inmateria/1/lab/leaky"


class Gated(LeakySimulator):
    """A simulator that waits to be let through in the middle of an exchange, and counts the threads inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.gate = threading.Event(), threading.Event()
        self.together = self.most_together = 0

    def advance(self, stimulus: Stimulus) -> Response:
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        self.inside.set()
        assert self.gate.wait(20)
        self.together -= 1
        return super().advance(stimulus)


async def test_an_exchange_that_was_given_up_is_no_end_of_the_session() -> None:
    simulator = Gated()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        given_up = asyncio.create_task(substrate.stimulate(ONE))
        await asyncio.to_thread(simulator.inside.wait, 20)
        given_up.cancel()
        await asyncio.wait({given_up})
        simulator.gate.set()  # its answer comes now, and is not waited for
        following = await asyncio.wait_for(substrate.stimulate(ONE), 5)
        assert following.sequence == 1
        assert len(simulator.applied) == 2


async def test_cancelled_twice_a_simulator_is_still_in_one_thread_only() -> None:
    simulator = Gated()
    substrate = SimulatedSubstrate(simulator)
    given_up = asyncio.create_task(substrate.stimulate(ONE))
    await asyncio.to_thread(simulator.inside.wait, 20)
    for _ in range(3):
        given_up.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    following = asyncio.create_task(substrate.stimulate(ONE))
    for _ in range(20):
        await asyncio.sleep(0)
    simulator.gate.set()
    await following
    await asyncio.wait({given_up})
    assert given_up.cancelled()
    assert simulator.most_together == 1
    assert len(simulator.applied) == 2


class Careless(Substrate):
    """A device author's substrate that forgot to look at its limits."""

    def __init__(self) -> None:
        self.applied: list[Stimulus] = []
        self._inside = LeakySimulator()

    @property
    def info(self) -> SubstrateInfo:
        return self._inside.info

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.applied.append(stimulus)
        return self._inside.advance(stimulus)

    async def reset(self) -> None:
        self._inside.reset()


async def command(link: Link, session: str, frame: bytes) -> Header:
    """Send a frame by hand and return the header of what comes back."""
    await link.publish(f"{TOPIC}/stimulus/anyone/{session}", frame)
    async for topic, payload, _ in link.messages():
        if "/response/" in topic:  # the embedded broker sends retained messages of other topics too
            return decode(payload).header
    raise AssertionError


async def test_the_server_keeps_the_limits_of_a_substrate_that_does_not() -> None:
    careless = Careless()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(careless, broker.uri),
        open_link(Broker.from_uri(broker.uri), timeout=5) as link,
    ):
        await link.subscribe(f"{TOPIC}/response/anyone/me")
        opened = await command(link, "me", encode(Header(kind=Kind.OPEN, session="me")))
        refused = await command(link, "me", encode(
            Header(kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01), np.full((1, 3), 50.0)
        ))  # fmt: skip
        assert (refused.kind, refused.error[0]) == (Kind.REFUSED, StimulusRejected.__name__)
        assert careless.applied == []


async def test_a_session_that_is_played_back_moves_nothing() -> None:
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri),
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        await tap.subscribe(f"{TOPIC}/stimulus/+/+")
        async with RemoteSubstrate(f"{broker.uri}/lab/leaky") as substrate:
            for _ in range(3):
                await substrate.stimulate(ONE)
            session = substrate._session
        taped: list[bytes] = []
        async for topic, payload, _ in tap.messages():
            if "/stimulus/" not in topic:
                continue
            taped.append(payload)
            if decode(payload).header.kind is Kind.CLOSE:
                break
        assert len(simulator.applied) == 3
        await hostile.subscribe(f"{TOPIC}/response/anyone/{session}")
        for frame in taped[:-1]:  # all but its goodbye, and it is given the lease again
            await hostile.publish(f"{TOPIC}/stimulus/anyone/{session}", frame)
        again = encode(Header(kind=Kind.OPEN, session=session))
        opened = [await command(hostile, session, again)]
        opened.append(await command(hostile, session, again))
        assert [(each.kind, each.sequence) for each in opened] == [(Kind.OPENED, 0)] * 2
        assert len(simulator.applied) == 3


async def held_by_me(link: Link) -> Header:
    """Take the lease as soon as the goodbye of the session before has come."""
    while True:
        opened = await command(link, "me", encode(Header(kind=Kind.OPEN, session="me")))
        if opened.kind is Kind.OPENED:
            return opened
        await asyncio.sleep(0.01)


async def test_a_client_that_left_before_it_heard_of_its_lease_gives_it_back() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(Careless(), broker.uri, lease=600.0) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as link,
    ):
        await link.subscribe(f"{TOPIC}/response/anyone/me")
        close = encode(Header(kind=Kind.CLOSE, session="me"))
        await command(link, "me", encode(Header(kind=Kind.OPEN, session="me")))
        await link.publish(f"{TOPIC}/stimulus/anyone/me", close)
        async with when_free(server.uri) as another:
            await another.stimulate(ONE)
        opened = await held_by_me(link)
        given = Header(kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01)
        assert (await command(link, "me", encode(given, np.zeros((1, 3))))).kind is Kind.RESPONSE
        await link.publish(f"{TOPIC}/stimulus/anyone/me", close)  # a session that was used is not ended by it
        again = Header(kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01, sequence=1)
        assert (await command(link, "me", encode(again, np.zeros((1, 3))))).kind is Kind.RESPONSE


async def test_what_waits_of_the_session_before_does_not_keep_a_lease_from_being_given_back() -> None:
    applying, free = asyncio.Event(), asyncio.Event()

    class Slow(Careless):
        async def _apply(self, stimulus: Stimulus) -> Response:
            applying.set()
            await free.wait()
            return await super()._apply(stimulus)

    async with (
        EmbeddedBroker() as broker,
        DeviceServer(slow := Slow(), broker.uri, lease=600.0) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as link,
    ):
        async with RemoteSubstrate(server.uri) as before:
            for _ in range(3):
                await before._send(Kind.STIMULUS, ONE)
            await applying.wait()
        await link.subscribe(f"{TOPIC}/response/anyone/me")
        await held_by_me(link)
        await link.publish(f"{TOPIC}/stimulus/anyone/me", encode(Header(kind=Kind.CLOSE, session="me")))
        async with when_free(server.uri) as another:
            free.set()
            await another.stimulate(ONE)
        assert len(slow.applied) == 2  # and nothing of what waited


async def test_a_client_that_gives_up_gives_back_what_it_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_lost(*_: object) -> None:
        return

    careless = Careless()
    async with EmbeddedBroker() as broker, DeviceServer(careless, broker.uri, lease=600.0) as server:
        with monkeypatch.context() as patch:
            patch.setattr(RemoteSubstrate, "_start", is_lost)  # the answer to its question
            with pytest.raises(SubstrateError):
                await RemoteSubstrate(server.uri, connect_timeout=1.0).__aenter__()
        async with when_free(server.uri) as another:
            await another.stimulate(ONE)
    assert len(careless.applied) == 1


async def test_an_older_command_that_is_refused_after_a_restart_leaves_no_lease_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with EmbeddedBroker() as broker:
        async with DeviceServer(Careless(), broker.uri, lease=600.0) as server:
            client = RemoteSubstrate(server.uri)
            await client.__aenter__()
            await client.stimulate(ONE)
        hears = client._handle_status

        async def stimulates_and_asks(link: LinkProtocol, status: Status) -> None:
            """The user stimulates, and the client's clock asks for the lease, before the new life's status is heard."""
            if status.state == ONLINE:
                await client._send(Kind.STIMULUS, ONE)
                await client._publish_unnumbered(link, Kind.OPEN)
            else:
                await hears(link, status)

        monkeypatch.setattr(client, "_handle_status", stimulates_and_asks)
        async with DeviceServer(restarted := Careless(), broker.uri, lease=600.0) as server:
            await until_ended(client)
            await client.__aexit__(None, None, None)
            async with when_free(server.uri) as another:
                await another.stimulate(ONE)
        assert len(restarted.applied) == 1  # and not what was sent under the lease of its life before


class Watched(Careless):
    """A substrate that writes down what is done to it, and applies its second stimulus until it is interrupted."""

    def __init__(self, *, endless: bool = False) -> None:
        super().__init__()
        self.done: list[str] = []
        self.endless = endless
        self.applying, self.at_rest = asyncio.Event(), asyncio.Event()

    async def _apply(self, stimulus: Stimulus) -> Response:
        if self.endless and self.applied:
            self.applying.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.done.append("interrupted")
        self.done.append("applied")
        return await super()._apply(stimulus)

    async def reset(self) -> None:
        self.done.append("at rest")
        self.at_rest.set()


async def test_when_a_controller_falls_silent_the_device_returns_to_rest_and_its_late_stimuli_are_not_applied() -> None:
    substrate = Watched()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri, lease=0.3) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as link,
    ):
        await link.subscribe(f"{TOPIC}/response/anyone/me")
        opened = await command(link, "me", encode(Header(kind=Kind.OPEN, session="me")))
        one = Header(kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01)
        assert (await command(link, "me", encode(one, ONE.drive))).kind is Kind.RESPONSE
        await asyncio.wait_for(substrate.at_rest.wait(), 10)
        late = Header(kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01, sequence=1)
        refused = await command(link, "me", encode(late, ONE.drive))
        assert (refused.kind, refused.sequence) == (Kind.REFUSED, -1)
        assert substrate.done == ["applied", "at rest"]
        async with RemoteSubstrate(server.uri) as another:
            await another.stimulate(ONE)


async def test_a_controller_that_renews_is_left_in_peace() -> None:
    substrate = Watched()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri, lease=0.6) as server,
        RemoteSubstrate(server.uri) as remote,
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
    ):
        await tap.subscribe(f"{TOPIC}/stimulus/+/+")
        renewed = 0
        async for topic, payload, _ in tap.messages():  # four thirds of a lease and more, without a stimulus
            renewed += "/stimulus/" in topic and decode(payload).header.kind is Kind.RENEW
            if renewed == 6:
                break
        await remote.stimulate(ONE)
        assert substrate.done == ["applied"]


@pytest.mark.parametrize("by", ["us", "any client"])
async def test_an_emergency_stop_interrupts_a_stream_and_holds_until_it_is_released(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruptible, "PATIENCE", 1e6)  # it is cancelled at once, not after some time
    substrate = Watched(endless=True)
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as bystander,
    ):
        async with RemoteSubstrate(server.uri) as remote, aclosing(remote.stream([ONE] * 20)) as responses:
            assert (await anext(responses)).sequence == 0
            await substrate.applying.wait()
            if by == "us":
                await emergency_stop(server.uri)
            else:
                await bystander.publish(f"{TOPIC}/stop", b"")
            with pytest.raises(SubstrateDisconnected, match="stopped; everything before number 1 was applied"):
                await anext(responses)
            with pytest.raises(SubstrateDisconnected, match="stopped"):
                await remote.stimulate(ONE)
        await asyncio.wait_for(substrate.at_rest.wait(), 10)
        with pytest.raises(SubstrateDisconnected, match="was stopped; see why, then release it"):
            async with RemoteSubstrate(server.uri):
                pass
        assert substrate.done[:3] == ["applied", "interrupted", "at rest"]
        assert "applied" not in substrate.done[1:]
        await release(server.uri)
        substrate.endless = False
        async with RemoteSubstrate(server.uri) as remote:
            assert (await remote.stimulate(ONE)).sequence == 1


async def test_an_access_probe_that_comes_late_is_no_stop() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as another,
        RemoteSubstrate(server.uri) as remote,
    ):
        await another.publish(f"{TOPIC}/stop", encode(Header(kind=Kind.PROBE, session="late")))
        assert (await remote.stimulate(ONE)).sequence == 0
        await another.publish(f"{TOPIC}/stop", encode(Header(kind=Kind.RENEW, session="late")))

        async def stimulate_forever() -> None:
            while True:
                await remote.stimulate(ONE)

        with pytest.raises(SubstrateDisconnected, match="stopped"):
            await stimulate_forever()


async def test_a_stop_that_no_device_confirms_is_an_error() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(
            SubstrateTimeout,
            match=r"waited 0\.3 s for lab/absent .*its status says nothing; it may not have received it",
        ):
            await emergency_stop(f"{broker.uri}/lab/absent", timeout=0.3)


class Breaking(Watched):
    """A substrate whose driver fails at the second stimulus."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def _apply(self, stimulus: Stimulus) -> Response:
        if len(self.applied) == 1:
            self.applied.append(stimulus)
            raise self._error
        return await super()._apply(stimulus)


@pytest.mark.parametrize(
    "error", [RuntimeError("no voltage"), SubstrateDisconnected("the port is gone"), ValueError("x")]
)
async def test_a_device_whose_instrument_fails_is_in_fault_until_it_is_released(error: Exception) -> None:
    substrate = Breaking(error)
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
    ):
        await tap.subscribe(f"{TOPIC}/status", f"{TOPIC}/events")
        async with RemoteSubstrate(server.uri) as remote:
            await remote.stimulate(ONE)
            with pytest.raises(SubstrateDisconnected, match=f"lab/leaky is in fault .*{error}"):
                await remote.stimulate(ONE)
            with pytest.raises(SubstrateDisconnected):
                await remote.stimulate(ONE)
        await asyncio.wait_for(substrate.at_rest.wait(), 10)
        with pytest.raises(SubstrateDisconnected, match=r"in fault .*release it"):
            async with RemoteSubstrate(server.uri):
                pass
        assert len(substrate.applied) == 2
        states, events = [], []
        async for topic, payload, _ in tap.messages():
            if topic.endswith("/status"):
                states.append(msgspec.json.decode(payload, type=Status))
            else:
                events.append(msgspec.json.decode(payload, type=Event))
            if states and states[-1].state == "in fault" and not states[-1].holder:
                break
        assert str(error) in states[-1].error
        held = [each.holder for each in states if each.holder]
        assert held
        assert all(each.startswith("anyone/") for each in held)
        await release(server.uri)
        async with RemoteSubstrate(server.uri) as remote:
            await remote.stimulate(ONE)


async def test_integers_and_single_precision_go_over_the_wire_as_the_device_was_told() -> None:
    given = Stimulus(np.random.default_rng(0).uniform(-1, 1, (5, 3)), 0.01)
    exact = LeakySimulator().advance(given).signal
    assert exact is not None
    async with EmbeddedBroker() as broker:
        for dtype, within in (("float32", 1e-6), ("int16", 200 / 65534 / 2 * 1.001)):
            async with (
                DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri, dtype=dtype, whole=True) as server,  # type: ignore[arg-type]
                RemoteSubstrate(server.uri) as remote,
            ):
                got = (await remote.stimulate(given)).signal
                assert got is not None
                assert 0 < np.abs(got - exact).max() <= within


async def test_a_stimulus_in_other_units_is_refused() -> None:
    simulator = LeakySimulator()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(simulator), broker.uri),
        open_link(Broker.from_uri(broker.uri), timeout=5) as link,
    ):
        await link.subscribe(f"{TOPIC}/response/anyone/me")
        opened = await command(link, "me", encode(Header(kind=Kind.OPEN, session="me")))
        for number, (units, answered) in enumerate([(("V",), "response"), (("mV",), "refused")]):
            frame = Header(
                kind=Kind.STIMULUS, session="me", grant=opened.grant, step=0.01, sequence=number, units=units
            )
            answer = await command(link, "me", encode(frame, ONE.drive))
            assert answer.kind == answered
        assert "the drive is in mV" in answer.error[1]
        assert len(simulator.applied) == 1


async def test_the_window_is_bounded_in_stimuli_steps_and_bytes() -> None:
    from inmateria.adapters.mqtt.client.in_flight import FlowWindow

    for window, most in (((3, 1000, 10_000), 3), ((8, 50, 10_000), 5), ((8, 1000, 200), 2), ((8, 1, 1), 1)):
        room = FlowWindow(window)
        for _ in range(most):
            await room.take(10, 100)
        further = asyncio.create_task(room.take(10, 100))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not further.done()
        room.give_back()
        await further
