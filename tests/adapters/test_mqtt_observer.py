"""Watching without a lease: from retained announcements, and from what passes by."""

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import aclosing
from io import StringIO

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator
from rich.cells import cell_len
from rich.console import Console

from inmateria.adapters import (
    DeviceServer,
    EmbeddedBroker,
    RemoteSubstrate,
    SimulatedSubstrate,
    emergency_stop,
    find_devices,
    observe,
    release,
)
from inmateria.adapters.mqtt.operator.observer import Observation
from inmateria.adapters.mqtt.wire.address import Address, Broker
from inmateria.adapters.mqtt.wire.announcements import Status
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.cli.watch_screen import sparkline, watch_screen
from inmateria.substrate import Channel, Stimulus, SubstrateDisconnected, SubstrateInfo

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


def heard(outputs: int, spiking: bool, responses: int = 30) -> Observation:
    """Return what an observer has counted of a device of many outputs: output k spikes k % 7 times in each .1 s."""
    info = SubstrateInfo(
        id="many-1", kind="many", step=0.1, spiking=spiking, sampling_rate=None if spiking else 10.0,
        inputs=(Channel(name="in", unit="V", low=-1, high=1),),
        outputs=tuple(Channel(name=f"electrode-{k:04d}", unit="uV", low=-1, high=1) for k in range(outputs)),
    )  # fmt: skip
    seen = Observation(Status("online", "e", "a-client-of-a-long-name/0123456789abcdef0123456789abcdef"), info)
    seen.rate = 123.0
    for number in range(responses):
        seen.responses += 1
        if spiking:
            channels = np.repeat(np.arange(outputs), np.arange(outputs) % 7)
            seen._count_spikes(0.1 * number, channels, outputs)
        else:
            seen._signals.append(np.outer(np.sin(np.arange(8) + number), np.linspace(-1, 1, outputs)))
    return seen


@pytest.mark.parametrize("spiking", [True, False], ids=["spikes", "signal"])
@pytest.mark.parametrize("outputs", [1, 16, 18, 19, 22, 128, 1024, 4096])
@pytest.mark.parametrize("size", [(80, 24), (80, 12), (40, 24), (200, 60)], ids=str)
def test_the_screen_of_watch_fits_a_terminal(spiking: bool, outputs: int, size: tuple[int, int]) -> None:
    (width, height), seen = size, heard(outputs, spiking)
    seen.status = Status("in fault", "e", seen.status.holder if seen.status else "", "a long error, " * 30)
    console = Console(width=width, height=height, file=StringIO(), force_terminal=False, color_system=None)
    console.print(watch_screen("mqtt://broker.lab:1883/lab/" + 30 * "x", seen, width, height - 1))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width


def test_the_screen_of_watch_has_every_one_of_128_channels_of_spikes_and_the_most_active_in_full() -> None:
    seen = heard(128, spiking=True)
    console = Console(width=80, height=24, file=StringIO(), color_system=None)
    console.print(watch_screen("mqtt://broker/lab/many", seen, 80, 23))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    strip = "".join(line[7:] for line in text.splitlines() if re.match(r" +(0|64)  [▁-█]", line))
    assert strip == "".join("▁▂▃▅▆▇█"[k % 7] for k in range(128)).replace("▅", strip[3])  # 0 to 60/s; 30 is half-way
    rows = re.findall(r"electrode-(\d{4}) +[▁-█]+ +([\d,]+) +(\d+\.\d\d)", text)
    assert [int(name) for name, *_ in rows][:3] == [6, 13, 20]
    assert {(count, rate) for _, count, rate in rows} == {("180", "60.00")}
    assert f"the {len(rows)} most active of 128" in text
    assert "109 of 128 outputs active" in text


def test_spike_rates_are_by_the_clock_of_the_device_and_begin_anew_with_it() -> None:
    seen = heard(3, spiking=True, responses=1)
    assert np.isnan(seen.spike_rates).all()
    seen._count_spikes(0.5, np.array([2, 2, 2]), 3)
    assert np.allclose(seen.spike_rates, [0, 2, 4])  # the first response lasted .5 s; the second goes on
    seen._count_spikes(1.0, np.array([0]), 3)
    assert np.allclose(seen.spike_rates, [0, 1, 5])
    assert seen.spikes_by_output.tolist() == [1, 1, 5]
    assert np.allclose(seen.recent_rates, [[0, 2, 4], [0, 0, 6]])
    seen._count_spikes(0.0, np.array([1]), 3)  # it has returned to rest
    assert np.isnan(seen.spike_rates).all()
    assert seen.spikes_by_output.tolist() == [1, 2, 5]


HOSTILE = "[/red] [bold]x[/nothing] :smile: \x1b[2J\x1b]0;owned\x07"


async def test_whatever_a_device_says_list_watch_and_errors_print_it_as_it_is_and_no_terminal_obeys_it() -> None:
    info = msgspec.to_builtins(LeakySimulator().info)
    info["kind"] = HOSTILE
    info["outputs"] = [{**each, "name": f"{HOSTILE}{number}"} for number, each in enumerate(info["outputs"])]
    status = {"state": "in fault", "epoch": "e", "holder": HOSTILE, "error": HOSTILE}
    async with EmbeddedBroker() as broker, open_link(Broker.from_uri(broker.uri), timeout=5) as hostile:
        await hostile.publish("inmateria/1/lab/hostile/info", msgspec.json.encode(info), retain=True)
        await hostile.publish("inmateria/1/lab/hostile/status", msgspec.json.encode(status), retain=True)
        listed = await told("list", broker.uri)
        watched = await told("watch", f"{broker.uri}/lab/hostile", "--count", "2", "--every", "0.05")
        ended = await asyncio.to_thread(
            subprocess.run, [*INMATERIA, "run", "digits", "--on", f"{broker.uri}/lab/hostile"], capture_output=True,
            text=True, timeout=500,
        )  # fmt: skip
    assert ended.returncode == 3
    for printed in (listed, watched, ended.stderr):
        words = " ".join(printed.split())
        assert "[/red]" in words
        assert "[bold]x" in words
        assert ":smile:" in words
        assert "\x1b[2J" not in printed
        assert "\x07" not in printed


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"{}", b'{"state": 5}', b"[]", b'"online"', b""])
async def test_garbage_in_a_status_breaks_neither_stop_nor_release_nor_an_observer(garbage: bytes) -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
        open_link(Broker.from_uri(broker.uri), timeout=5) as hostile,
    ):
        await hostile.publish("inmateria/1/lab/leaky/status", garbage or b" ", retain=True)
        await emergency_stop(server.uri)
        await hostile.publish("inmateria/1/lab/leaky/status", garbage or b" ", retain=True)
        await release(server.uri)
        async with aclosing(observe(server.uri, every=0.01)) as looks:  # type: ignore[type-var]
            async for seen in looks:
                if seen.status is not None:
                    break
        assert seen.status is not None
        assert seen.status.state == "online"


async def test_the_commands_stop_and_release_do_so_and_say_so() -> None:
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
    ):
        assert "is stopped, until `inmateria release`" in await told("stop", server.uri)
        with pytest.raises(SubstrateDisconnected, match="was stopped"):
            async with RemoteSubstrate(server.uri):
                pass
        assert "is online" in await told("release", server.uri)
        async with RemoteSubstrate(server.uri) as remote:
            assert (await remote.stimulate(ONE)).sequence == 0
        ended = await asyncio.to_thread(
            subprocess.run, [*INMATERIA, "stop", f"{broker.uri}/lab/nothing", "--timeout", "0.5"], capture_output=True,
            text=True, timeout=500,
        )  # fmt: skip
        assert ended.returncode == 3
        assert "waited 0.5 s for lab/nothing" in ended.stderr


async def test_a_response_in_other_units_than_announced_is_counted_in_those_announced_by_an_observer() -> None:
    seen = Observation(info=LeakySimulator(outputs=2).info)
    address = Address("lab", "leaky")
    for units in (("mV", "uA"), ("A", "uA")):
        header = Header(kind=Kind.RESPONSE, session="s", units=units)
        seen.hear(address, address.topic("response", "anyone", "s"), encode(header, np.array([[[1.0, 2.0]]])))
    assert seen.responses == 1
    assert seen.recent.tolist() == [[0.001, 2.0]]
