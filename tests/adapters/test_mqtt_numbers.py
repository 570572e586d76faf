"""After a session has ended, whatever ended it, the client says which numbers were applied; the device agrees."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest
from brokers import Mosquitto
from hypothesis import given
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate, emergency_stop
from inmateria.adapters.mqtt.client.in_flight import SentCommands
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.adapters.mqtt.wire.link_protocol import BrokerRefused
from inmateria.substrate import (
    Response,
    Stimulus,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)

ONE = Stimulus(np.ones((1, 3)), 0.01)
TOPIC = "inmateria/1/lab/leaky"


class Holding(Substrate):
    """A substrate that answers twice, and holds the third stimulus back until it is let go."""

    def __init__(self) -> None:
        self._inside = LeakySimulator()
        self.info = self._inside.info
        self.applied = 0
        self.holding, self.let_go = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def _apply(self, stimulus: Stimulus) -> Response:
        if self.applied == 2:
            self.holding.set()
            await self.let_go.wait()
            if self.error is not None:
                raise self.error
        self.applied += 1
        return self._inside.advance(stimulus)

    async def reset(self) -> None:
        self._inside.reset()


class Session:
    """A device that holds the third stimulus, and its client, for a test to break."""

    def __init__(self, mosquitto: Mosquitto, device: Holding, remote: RemoteSubstrate) -> None:
        self.mosquitto, self.device, self.remote = mosquitto, device, remote


async def broker_is_killed(session: Session) -> None:
    await asyncio.to_thread(session.mosquitto.kill)


async def device_is_stopped(session: Session) -> None:
    await emergency_stop(f"{session.mosquitto.uri}/lab/leaky", timeout=30)


async def device_fails(session: Session) -> None:
    session.device.error = RuntimeError("no voltage")
    session.device.let_go.set()


async def another_device_has_its_name(session: Session) -> None:
    async with open_link(Broker.from_uri(session.mosquitto.uri), timeout=5) as link:
        await link.publish(f"{TOPIC}/status", b'{"state":"online","epoch":"another"}')


async def client_fails(session: Session) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    session.remote._take_answer = fails  # type: ignore[method-assign]
    session.device.let_go.set()


async def broker_lets_it_in_no_more(session: Session) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BrokerRefused("the password was changed")

    session.remote._open_link = refused  # type: ignore[assignment]
    link = session.remote._link
    assert link is not None
    link._lose("cut")  # type: ignore[attr-defined]


async def client_is_left(session: Session) -> None:
    await session.remote.__aexit__(None, None, None)


BREAKS: dict[str, tuple[Callable[[Session], Awaitable[None]], type[SubstrateError]]] = {
    "the broker is killed": (broker_is_killed, SubstrateDisconnected),
    "the device is stopped": (device_is_stopped, SubstrateDisconnected),
    "the device fails": (device_fails, SubstrateDisconnected),
    "another device has its name": (another_device_has_its_name, SubstrateDisconnected),
    "a fault of the client": (client_fails, SubstrateError),
    "the broker refuses it": (broker_lets_it_in_no_more, BrokerRefused),
    "the client is left": (client_is_left, SubstrateDisconnected),
    "no answer": (lambda session: asyncio.sleep(0), SubstrateTimeout),
}


@pytest.mark.parametrize("broken_by", BREAKS)
async def test_whatever_ends_a_session_the_client_says_which_numbers_were_applied(
    broken_by: str, mosquitto: Mosquitto
) -> None:
    breaks, kind = BREAKS[broken_by]
    device = Holding()
    server = DeviceServer(device, mosquitto.uri, lease=2.0)
    remote = RemoteSubstrate(f"{mosquitto.uri}/lab/leaky", timeout=0.7 if kind is SubstrateTimeout else 30.0)
    async with server:
        await remote.__aenter__()
        try:
            for _ in range(2):
                await remote.stimulate(ONE)
            asking = [asyncio.create_task(remote.stimulate(ONE)) for _ in range(3)]
            await device.holding.wait()
            if broken_by != "the device fails":  # all three are sent by then
                for _ in range(20):
                    await asyncio.sleep(0)
                assert remote._commands.next == 5
            await breaks(Session(mosquitto, device, remote))
            await asyncio.wait(asking, timeout=60)
            errors = [each.exception() for each in asking if each.done()]
            assert len(errors) == 3
            with pytest.raises(kind) as later:
                await remote.stimulate(ONE)
            told = str(later.value)
            assert "everything before number " in told
            first = int(re.findall(r"everything before number (\d+) was applied", told)[0])
            assert 2 <= first <= device.applied + 1
            if broken_by != "the device fails":  # there the first of them has its own answer
                assert "number 2 to 4 may or may not be applied" in told
                assert all(str(each) == told for each in errors)
        finally:
            device.let_go.set()
            with suppress(Exception):
                await remote.__aexit__(None, None, None)


@pytest.mark.slow
async def test_a_device_may_be_away_for_its_lease_and_the_client_gives_up_after_the_same_time(
    mosquitto: Mosquitto,
) -> None:
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri, lease=10.0) as server,
        RemoteSubstrate(server.uri, connect_timeout=0.5, timeout=1.0) as remote,
    ):
        await remote.stimulate(ONE)
        assert remote._lease == 10.0
        await asyncio.to_thread(mosquitto.kill)
        asking = asyncio.create_task(remote.stimulate(ONE))
        await asyncio.sleep(
            1.2
        )  # away for less than a lease, and for more than both timeouts: that is the fault itself
        await asyncio.to_thread(mosquitto.start)
        assert (await asking).sequence == 1
        await asyncio.to_thread(mosquitto.kill)
        with pytest.raises(SubstrateDisconnected, match=r"gone for 1\d s; everything before number 2 .*lasts 10 s"):
            await remote.stimulate(ONE)


@given(
    dealt_with=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=14),
    unapplied=st.integers(0, 4),
    unsent=st.integers(0, 3),
)
def test_what_the_client_says_of_each_number_is_true(
    dealt_with: list[tuple[bool, bool, bool]], unapplied: int, unsent: int
) -> None:
    """The device has dealt with some in order, and not with those after; some answers were lost, some never sent."""
    outcomes, answers, refusing, seen = list[str](), list[bool](), False, False
    for bad, answered, resume in dealt_with:
        if refusing and seen and resume:  # the client confirms a refusal that it has seen
            refusing = seen = False
            outcomes.append("applied")
        else:
            refusing = refusing or bad
            seen = seen or (refusing and answered)
            outcomes.append("refused" if refusing else "applied")
        answers.append(answered)

    async def run() -> tuple[str, int]:
        sent = SentCommands()
        for number in range(len(outcomes) + unapplied + unsent):
            sent.add(b"", 0.0).published = number < len(outcomes) + unapplied
        for number, outcome in enumerate(outcomes):
            if answers[number]:
                assert sent.answered(number, refused=outcome == "refused") is not None
                assert sent.answered(number, refused=outcome == "refused") is None
        return sent.known(), sent.next

    told, total = asyncio.run(run())
    first = int(re.findall(r"everything before number (\d+) was applied", told)[0])
    refused = numbers_in(re.findall(r"but what was refused: ([^;]*)", told)) | numbers_in(
        re.findall(r"(number [^;]*) refused", told.partition(";")[2])
    )
    maybe = numbers_in(re.findall(r"; ([^;]*) may or may not", told))
    said = {
        number: "refused" if number in refused else "maybe" if number in maybe else "applied" if number < first else ""
        for number in range(total)
    }
    for number, outcome in enumerate([*outcomes, *["unapplied"] * unapplied, *["unsent"] * unsent]):
        assert said[number] in {"applied": ("applied", "maybe"), "refused": ("refused", "maybe"),
                                "unapplied": ("maybe",), "unsent": ("",)}[outcome], (told, number, outcome)  # fmt: skip
        if number < len(outcomes) and answers[number]:
            assert said[number] == outcome


def numbers_in(texts: list[str]) -> set[int]:
    found: set[int] = set()
    for low, high in re.findall(r"number (\d+)(?: to (\d+))?", " ".join(texts)):
        found.update(range(int(low), int(high or low) + 1))
    return found
