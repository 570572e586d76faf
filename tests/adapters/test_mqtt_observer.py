"""Watching without a lease: from retained announcements, and from what passes by."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing

import numpy as np
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate, find_devices, observe
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.cli.watching import sparkline
from inmateria.substrate import Stimulus

ONE = Stimulus(np.ones((1, 3)), 0.01)
INMATERIA = [sys.executable, "-m", "inmateria"]


async def told(*arguments: str) -> str:
    """Run the command line beside this event loop."""
    environment = {**os.environ, "COLUMNS": "120"}
    ended = await asyncio.to_thread(
        subprocess.run, [*INMATERIA, *arguments], capture_output=True, text=True, timeout=500, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_devices_are_found_and_garbage_beside_them_is_passed_over() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator(id="one")), broker.uri, group="bench"),
        DeviceServer(SimulatedSubstrate(LeakySimulator(id="two")), broker.uri),
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        await hostile.publish("inmateria/1/lab/none/info", b"\x00garbage", retain=True)
        found = await find_devices(broker.uri)
        assert [each.uri for each in found] == [f"{broker.uri}/bench/one", f"{broker.uri}/lab/two"]
        assert {each.status.state for each in found} == {"online"}
        assert found[0].info == LeakySimulator(id="one").info
        listed = json.loads(await told("list", broker.uri, "--json"))
        assert [(each["id"], each["state"], each["outputs"]) for each in listed] == [
            ("one", "online", 4),
            ("two", "online", 4),
        ]
        assert "bench/one" in await told("list", broker.uri)


async def test_an_observer_sees_what_passes_without_a_lease() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator(spiking=True)), broker.uri) as server,
        aclosing(observe(server.uri, every=0.05)) as looks,  # type: ignore[type-var]
    ):
        await anext(looks)
        async with RemoteSubstrate(server.uri) as remote:
            got = [await remote.stimulate(ONE) for _ in range(20)]
            async for seen in looks:
                if seen.responses == 20 and seen.status is not None and seen.status.holder:
                    break
            assert seen.status.holder == f"anyone/{remote._session}"
            assert seen.steps == 20
            assert seen.spikes == sum(len(each.spikes) for each in got if each.spikes is not None)
            assert 0 < seen.round_trip < 1
            signal = np.concatenate([each.signal[0] for each in got if each.signal is not None])
            assert np.array_equal(seen.recent, signal)


async def test_the_command_watch_draws_the_device_and_prints_lines() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
        RemoteSubstrate(server.uri) as remote,
    ):

        async def stimulate() -> None:
            while True:
                await remote.stimulate(ONE)
                await asyncio.sleep(0.01)

        busy = asyncio.create_task(stimulate())
        try:
            lines = (await told("watch", server.uri, "--json", "--count", "4", "--every", "0.2")).splitlines()
            drawn = await told("watch", server.uri, "--count", "3", "--every", "0.2")
        finally:
            busy.cancel()
            await asyncio.wait({busy})
        last = json.loads(lines[-1])
        assert len(lines) == 4
        assert last["state"] == "online"
        assert last["responses"] > 0
        assert last["round_trip"] > 0
        assert len(last["last"]) == 4
        for word in ("leaky-integrator", "online", "held by anyone/", "responses/s", "round trip", "o3", "uA"):
            assert word in drawn


async def test_the_command_watch_says_what_it_waits_for_and_how_long() -> None:
    async with EmbeddedBroker() as broker:
        drawn = await told("watch", f"{broker.uri}/lab/nobody", "--count", "2", "--every", "0.05")
    assert "not announced" in drawn
    assert "waited 0 s for it to announce itself" in drawn


def test_a_sparkline_spans_its_values_and_leaves_out_what_was_not_read() -> None:
    assert sparkline([0.0, 7.0, float("nan"), 3.6]) == "▁█ ▅"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([float("nan")]) == ""
