"""A device's journal says after a crash what was applied; a file that holds something else says nothing."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from leaky import LeakySimulator
from test_mqtt_drivers import until_ended, when_free

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate, emergency_stop
from inmateria.adapters.mqtt.device.journal import Journal
from inmateria.adapters.mqtt.wire.announcements import PreviousSession
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
)

ONE = Stimulus(np.ones((1, 3)), 0.01)


@pytest.mark.parametrize(
    ("begun", "done", "refused", "says"),
    [
        (5, 5, -1, "everything before number 5 was applied, nothing from number 5 on was"),
        (
            6,
            5,
            -1,
            "before number 5 was applied, number 5 was begun and may be applied in part, nothing from number 6 on",
        ),
        (9, 9, 4, "everything before number 4 was applied, nothing from number 4 on was"),
        (0, 0, -1, "everything before number 0 was applied, nothing from number 0 on was"),
    ],
)
def test_what_it_says(begun: int, done: int, refused: int, says: str) -> None:
    assert says in PreviousSession("e", "ada/1", begun, done, refused).says()


def test_the_next_life_reads_what_the_last_one_wrote(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.before is None
    journal.session("first", "ada/" + "x" * 100)
    journal.begin(0)
    journal.end(0, None)
    journal.session("first", "eve/1")  # shorter than the one before
    for number in range(3):
        journal.begin(number)
        if number < 2:
            journal.end(number, None)
    journal.close()
    again = Journal(tmp_path / "journal")
    assert again.before == PreviousSession("first", "eve/1", 3, 2)
    again.close()


@pytest.mark.parametrize(
    "held", [b"", b"\x00" * 24, b"\x00" * 24 + b"{}\n", b"\xff" * 5000, b"\x00" * 24 + b'{"epoch":1}\n']
)
def test_what_is_no_journal_says_nothing(held: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(held)
    journal = Journal(tmp_path / "journal")
    assert journal.before is None
    journal.close()
    with pytest.raises(SubstrateError, match=r"journal .* cannot be opened"):
        Journal(tmp_path)


async def test_a_client_is_told_by_the_next_life_which_were_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with EmbeddedBroker() as broker:
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri, journal=journal) as server:
            client = RemoteSubstrate(server.uri)
            await client.__aenter__()
            for _ in range(3):
                await client.stimulate(ONE)
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri, lease=600.0, journal=journal):
            await until_ended(client)  # it has heard of the restart, and of the journal
            says = "restarted; its journal says: everything before number 3 was applied, nothing from number 3 on was"
            with pytest.raises(SubstrateDisconnected, match=says):
                await client.stimulate(ONE)
            await client.__aexit__(None, None, None)
            # If the client asked for a lease before it heard of the restart, it has given that back.
            async with when_free(server.uri) as another:
                with pytest.raises(StimulusRejected):
                    await another.stimulate(Stimulus(np.full((1, 3), 9.0), 0.01))
                await another.stimulate(ONE)
        read = Journal(journal)
        assert read.before is not None
        assert (read.before.begun, read.before.done, read.before.refused) == (1, 1, -1)
        read.close()


class Endless(Substrate):
    """A substrate that applies its second stimulus until it is interrupted."""

    def __init__(self) -> None:
        self._inside = LeakySimulator()
        self.info = self._inside.info
        self.applying, self.at_rest = asyncio.Event(), asyncio.Event()

    async def _apply(self, stimulus: Stimulus) -> Response:
        if self._inside.applied:
            self.applying.set()
            await asyncio.Event().wait()
        return self._inside.advance(stimulus)

    async def reset(self) -> None:
        self.at_rest.set()


async def test_a_number_that_was_interrupted_was_begun_and_not_done(tmp_path: Path) -> None:
    substrate = Endless()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri, journal=tmp_path / "journal") as server,
        RemoteSubstrate(server.uri) as client,
    ):
        await client.stimulate(ONE)
        asking = asyncio.create_task(client.stimulate(ONE))
        await substrate.applying.wait()
        await emergency_stop(server.uri, timeout=30)
        await asyncio.wait_for(substrate.at_rest.wait(), 30)
        with pytest.raises(SubstrateDisconnected, match="everything before number 1 was applied; number 1 may or may"):
            await asking
    journal = Journal(tmp_path / "journal")
    assert journal.before is not None
    assert (journal.before.begun, journal.before.done) == (2, 1)
    journal.close()


async def test_the_next_life_is_told_of_a_number_that_swallowed_its_interruption(tmp_path: Path) -> None:
    class Swallowing(Endless):
        async def _apply(self, stimulus: Stimulus) -> Response:
            try:
                return await super()._apply(stimulus)
            except asyncio.CancelledError:
                return self._inside.advance(stimulus)

    substrate = Swallowing()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(substrate, broker.uri, journal=tmp_path / "journal") as server,
        RemoteSubstrate(server.uri) as client,
    ):
        await client.stimulate(ONE)
        asking = asyncio.create_task(client.stimulate(ONE))
        await substrate.applying.wait()
        await emergency_stop(server.uri, timeout=30)
        await asyncio.wait_for(substrate.at_rest.wait(), 30)
        with pytest.raises(SubstrateDisconnected):
            await asking
    journal = Journal(tmp_path / "journal")
    assert journal.before is not None
    assert (journal.before.begun, journal.before.done) == (2, 1)
    journal.close()
