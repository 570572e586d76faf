"""However a driver answers a cancellation, the device returns to rest or says its fault, and the next stop works."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, emergency_stop, release
from inmateria.adapters.mqtt.device import interruptible
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.announcements import Status
from inmateria.adapters.mqtt.wire.frames import Kind
from inmateria.adapters.mqtt.wire.link import Link, open_link
from inmateria.adapters.mqtt.wire.link_protocol import LinkProtocol
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

ONE = Stimulus(np.ones((1, 3)), 0.01)
STATUS = "inmateria/1/lab/leaky/status"
Reaction = Callable[[], Awaitable[None]]


class PowerLost(BaseException):
    """An error of a driver's author who took the wrong base class."""


def raises(error: BaseException) -> Reaction:
    async def react() -> None:
        raise error

    return react


async def returns() -> None:
    pass


async def goes_on_for_a_while() -> None:
    for _ in range(100):
        await asyncio.sleep(0.001)


async def goes_on_until_cancelled_twice_more() -> None:
    for _ in range(2):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def cancels_itself_and_waits() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def cancels_itself_and_returns() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def undoes_the_cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    while task.uncancel():
        pass


async def exits_in_a_thread() -> None:
    def leave() -> None:
        raise SystemExit("in a thread")

    await asyncio.get_running_loop().run_in_executor(None, leave)


async def fails_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises(ValueError("one of a group"))())  # type: ignore[arg-type]


REACTIONS: dict[str, Reaction] = {
    "passes it on": raises(asyncio.CancelledError()),
    "swallows it": returns,
    "swallows it and goes on for a while": goes_on_for_a_while,
    "swallows it again and again": goes_on_until_cancelled_twice_more,
    "cancels itself": cancels_itself_and_waits,
    "cancels itself and returns": cancels_itself_and_returns,
    "undoes the cancellation": undoes_the_cancellation,
    "fails in a task group": fails_in_a_group,
    "exits in a thread": exits_in_a_thread,
    **{
        f"raises {type(error).__name__}": raises(error)
        for error in (
            RuntimeError("x"), TimeoutError("x"), OSError("x"), SubstrateError("x"), StimulusRejected("x"),
            SubstrateDisconnected("x"), SubstrateTimeout("x"), StopIteration("x"), StopAsyncIteration("x"),
            GeneratorExit("x"), SystemExit("x"), KeyboardInterrupt("x"), PowerLost("x"),
            ExceptionGroup("x", [ValueError("x")]), BaseExceptionGroup("x", [asyncio.CancelledError()]),
        )
    },
}  # fmt: skip


class Reacting(Substrate):
    """A substrate that applies a stimulus until it is cancelled, and then reacts in its own way."""

    def __init__(self, reaction: Reaction) -> None:
        self._inside = LeakySimulator()
        self.info = self._inside.info
        self._reaction = reaction
        self.endless = True
        self.applying, self.resets = asyncio.Event(), asyncio.Event()
        self.at_rest = 0

    async def _apply(self, stimulus: Stimulus) -> Response:
        if self.endless:
            self.applying.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await self._reaction()
        return self._inside.advance(stimulus)

    async def reset(self) -> None:
        self.at_rest += 1
        self.resets.set()


@asynccontextmanager
async def when_free(uri: str) -> AsyncIterator[RemoteSubstrate]:
    """Enter a device as soon as the session before is forgotten, which may be a moment after the device is at rest."""
    while True:
        remote = RemoteSubstrate(uri)
        try:
            await remote.__aenter__()
        except SubstrateBusy:
            await asyncio.sleep(0.05)
            continue
        break
    try:
        yield remote
    finally:
        await remote.__aexit__(None, None, None)


async def until_ended(client: RemoteSubstrate) -> None:
    """Wait until a client's session has ended, and with it the task that holds its connection."""
    holding = {task for task in asyncio.all_tasks() if task.get_name() == f"connected to {client._address}"}
    await asyncio.gather(*holding)
    assert client._broken is not None


def all_but_renewals(remote: RemoteSubstrate) -> Callable[[LinkProtocol, Kind], Awaitable[None]]:
    """Return the client's own sending of commands without number, which leaves renewals of its lease out."""
    publish = remote._publish_unnumbered

    async def leave_out(link: LinkProtocol, kind: Kind) -> None:
        if kind is not Kind.RENEW:
            await publish(link, kind)

    return leave_out


async def until_online(uri: str) -> None:
    await release(uri, timeout=30)


async def fault_of_a_stopped_device(tap: Link) -> str:
    async for message in tap.messages():
        if message.topic == STATUS:
            status = msgspec.json.decode(message.payload, type=Status)
            if status.state == "stopped" and status.error:
                return status.error
    raise AssertionError


@pytest.mark.parametrize("ended_by", ["stop", "silence"])
@pytest.mark.parametrize("reaction", REACTIONS)
async def test_a_session_is_ended_and_the_device_is_at_rest_and_the_next_stop_works(
    reaction: str, ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruptible, "PATIENCE", 0.1)
    substrate = Reacting(REACTIONS[reaction])
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri, lease=0.4 if ended_by == "silence" else 15.0) as server,
    ):
        for _ in range(2):
            substrate.endless = True
            substrate.applying.clear()
            substrate.resets.clear()
            async with when_free(server.uri) as remote:
                asking = asyncio.create_task(remote.stimulate(ONE))
                await asyncio.wait_for(substrate.applying.wait(), 30)
                if ended_by == "stop":
                    await emergency_stop(server.uri, timeout=30)
                else:
                    monkeypatch.setattr(remote, "_publish_unnumbered", all_but_renewals(remote))
                with pytest.raises(SubstrateError):
                    await asyncio.wait_for(asking, 30)
            await asyncio.wait_for(substrate.resets.wait(), 30)
            await until_online(server.uri)
        substrate.endless = False
        before = substrate.at_rest
        async with when_free(server.uri) as remote:
            assert (await remote.stimulate(ONE)).sequence >= 0
        if ended_by == "stop":  # a lease of 0.4 s may end again on a busy machine
            assert substrate.at_rest == before


@pytest.mark.parametrize("error", [each for each in REACTIONS if each.startswith(("raises", "cancels", "exits"))])
async def test_whatever_a_driver_raises_by_itself_is_a_refusal_or_a_fault_and_the_server_goes_on(error: str) -> None:
    class Failing(Reacting):
        async def _apply(self, stimulus: Stimulus) -> Response:
            if self.endless:
                await self._reaction()
            return self._inside.advance(stimulus)

    substrate = Failing(REACTIONS[error])
    async with EmbeddedBroker() as broker, DeviceServer(substrate, broker.uri) as server:
        async with RemoteSubstrate(server.uri) as remote:
            if error == "cancels itself and returns":  # it takes effect after the answer, and is a fault then
                await remote.stimulate(ONE)
            else:
                with pytest.raises(SubstrateError, match=r"x|in fault|StopIteration|in a thread"):
                    await asyncio.wait_for(remote.stimulate(ONE), 30)
        if error not in ("raises SubstrateError", "raises StimulusRejected"):
            await asyncio.wait_for(substrate.resets.wait(), 30)
        await until_online(server.uri)
        substrate.endless = False
        async with RemoteSubstrate(server.uri) as remote:
            await remote.stimulate(ONE)


@pytest.mark.parametrize("error", [each for each in REACTIONS if each.startswith(("raises", "cancels", "exits"))])
async def test_a_reset_that_fails_is_said_and_the_next_stop_works(error: str) -> None:
    class Unresettable(Reacting):
        async def reset(self) -> None:
            await super().reset()
            if self.endless:
                await REACTIONS[error]()

    substrate = Unresettable(raises(asyncio.CancelledError()))
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
    ):
        await tap.subscribe(STATUS)
        for number in range(2):
            substrate.applying.clear()
            async with RemoteSubstrate(server.uri) as remote:
                asking = asyncio.create_task(remote.stimulate(ONE))
                await asyncio.wait_for(substrate.applying.wait(), 30)
                await emergency_stop(server.uri, timeout=30)
                with pytest.raises(SubstrateError):
                    await asyncio.wait_for(asking, 30)
            if error != "cancels itself and returns":  # which is no error: the reset is done by then
                await fault_of_a_stopped_device(tap)
            assert substrate.at_rest > number
            await until_online(server.uri)
        substrate.endless = False
        async with RemoteSubstrate(server.uri) as remote:
            await remote.stimulate(ONE)


async def test_a_driver_that_does_not_end_is_a_fault_and_cannot_be_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interruptible, "PATIENCE", 0.05)
    let_go = asyncio.Event()

    async def hangs() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    substrate = Reacting(hangs)
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as tap,
    ):
        await tap.subscribe(STATUS)
        try:
            async with RemoteSubstrate(server.uri) as remote:
                asking = asyncio.create_task(remote.stimulate(ONE))
                await asyncio.wait_for(substrate.applying.wait(), 30)
                await emergency_stop(server.uri, timeout=30)
                with pytest.raises(SubstrateError):
                    await asking
            assert "waited 0.05 s for the driver to end what was cancelled" in await fault_of_a_stopped_device(tap)
            with pytest.raises(SubstrateTimeout, match=r"to be online.*stopped .*waited 0\.05 s for the driver to end"):
                await release(server.uri, timeout=1.0)
            assert substrate.at_rest == 0
        finally:
            let_go.set()
        await asyncio.wait_for(substrate.resets.wait(), 30)
        await until_online(server.uri)


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_a_device_that_is_left_right_after_a_stop_still_returns_to_rest(turns: int) -> None:
    class SlowToRest(Substrate):
        """Takes some time to return to rest."""

        rested = False

        def __init__(self) -> None:
            self.info = LeakySimulator().info

        async def _apply(self, stimulus: Stimulus) -> Response:
            await asyncio.Event().wait()
            raise AssertionError("never reached")

        async def reset(self) -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            self.rested = True

    device = SlowToRest()
    async with EmbeddedBroker() as broker:
        async with DeviceServer(device, broker.uri) as server, RemoteSubstrate(server.uri) as client:
            exchange = asyncio.create_task(client.stimulate(ONE))
            await emergency_stop(server.uri)
            with pytest.raises(SubstrateDisconnected, match="stopped"):
                await exchange
            device.rested = False
            server._commands.stop()  # a second one, of which the device hears as it is left
            for _ in range(turns):
                await asyncio.sleep(0)
        assert device.rested
