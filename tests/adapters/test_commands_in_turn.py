"""Commands are applied within the message that brings them, and many of them at once leave the event loop its turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from leaky import LeakySimulator

from inmateria.adapters.mqtt.device.commands import Commands
from inmateria.adapters.mqtt.device.state import DeviceState
from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode
from inmateria.adapters.mqtt.wire.response_encoder import ResponseEncoder
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import Response, Stimulus, Substrate

MANY = 200
HOLDER = "anyone/0123456789ab"


class AtOnce(Substrate):
    """Answers without waiting for anything, or after a turn of the loop."""

    def __init__(self, waits: bool = False) -> None:
        self.simulator = LeakySimulator()
        self.info = self.simulator.info
        self.waits = waits
        self.begun = 0
        self.at_rest = asyncio.Event()

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.begun += 1
        if self.waits:
            await asyncio.sleep(0)
        return self.simulator.advance(stimulus)

    async def reset(self) -> None:
        self.simulator.reset()
        self.at_rest.set()


class Sent(list[Header]):
    """Headers of what a device has sent."""

    def __init__(self) -> None:
        super().__init__()
        self._grew = asyncio.Event()

    def add(self, header: Header) -> None:
        self.append(header)
        self._grew.set()

    async def reach(self, count: int) -> None:
        """Wait until there are so many."""
        async with asyncio.timeout(60):
            while len(self) < count:
                self._grew.clear()
                await self._grew.wait()


@asynccontextmanager
async def commands_of(substrate: AtOnce) -> AsyncIterator[tuple[Commands, Sent, str]]:
    """Give the commands of a device with a lease, the headers of what it sends, and the grant of the lease."""
    sent = Sent()

    async def send(frame: bytes, holder: str) -> None:
        sent.add(decode(frame).header)

    state = DeviceState("epoch", 15.0)
    commands = Commands(substrate, ResponseEncoder(substrate.info, "float64", False), state, 15.0, send)
    applying = asyncio.create_task(commands.apply())
    try:
        await asyncio.sleep(0)
        await commands.receive(*HOLDER.split("/"), encode(Header(kind=Kind.OPEN, session=HOLDER.split("/")[1])))
        await asyncio.sleep(0)
        grant = sent.pop().grant
        yield commands, sent, grant
    finally:
        await cancel_and_wait(applying)


def stimulus(number: int, grant: str) -> bytes:
    header = Header(kind=Kind.STIMULUS, session=HOLDER.split("/")[1], sequence=number, grant=grant, step=0.01)
    return encode(header, np.full((1, 3), 0.25))


async def test_a_stimulus_is_applied_and_answered_within_the_message_that_brings_it() -> None:
    substrate = AtOnce()
    async with commands_of(substrate) as (commands, sent, grant):
        within: list[tuple[int, int]] = []

        def comes() -> None:
            assert commands.take(HOLDER, stimulus(0, grant))
            within.append((substrate.begun, len(sent)))
            assert commands.take(HOLDER, stimulus(0, grant))  # sent again: it is answered again and not applied again
            within.append((substrate.begun, len(sent)))
            came.set()

        came = asyncio.Event()
        asyncio.get_running_loop().call_soon(comes)
        await came.wait()
        assert within == [(1, 1), (1, 2)]


async def test_many_that_come_at_once_leave_the_loop_a_turn_in_which_a_stop_is_heard() -> None:
    for waits in (False, True):
        substrate = AtOnce(waits)
        async with commands_of(substrate) as (commands, sent, grant):
            before: list[int] = []

            def comes(commands: Commands = commands, grant: str = grant) -> None:
                assert all(commands.take(HOLDER, stimulus(number, grant)) for number in range(MANY))

            def stops(substrate: AtOnce = substrate, commands: Commands = commands, before: list[int] = before) -> None:
                before.append(substrate.begun)
                substrate.at_rest.clear()
                commands.stop()

            loop = asyncio.get_running_loop()
            loop.call_soon(comes)
            loop.call_soon(stops)
            await asyncio.wait_for(substrate.at_rest.wait(), 60)  # which follows the stop
            assert 0 < before[0] < MANY
            assert substrate.begun == before[0]  # nothing after the stop
            assert len(sent) <= before[0]


async def test_many_that_come_at_once_are_all_applied_in_order() -> None:
    substrate = AtOnce()
    async with commands_of(substrate) as (commands, sent, grant):

        def comes() -> None:
            assert all(commands.take(HOLDER, stimulus(number, grant)) for number in range(MANY))

        asyncio.get_running_loop().call_soon(comes)
        await sent.reach(MANY)
        assert [header.sequence for header in sent] == list(range(MANY))
        assert substrate.begun == MANY
