"""docs/wire.md is enough: a controller and a device written from it alone talk to ours through a real Mosquitto."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import Mosquitto
from by_the_page_client import Controller, frame, signal_of
from by_the_page_device import Doubler
from fault_proxy import FaultProxy
from leaky import LeakySimulator
from paho.mqtt.enums import MQTTProtocolVersion

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate, emergency_stop, find_devices, release
from inmateria.adapters.mqtt.wire.frames import decode
from inmateria.substrate import (
    ResponseMismatch,
    Stimulus,
    SubstrateBusy,
    SubstrateDisconnected,
)

TESTS = Path(__file__).parents[1]
VERSIONS = [pytest.param(MQTTProtocolVersion.MQTTv311, id="3.1.1"), pytest.param(MQTTProtocolVersion.MQTTv5, id="5")]


@contextmanager
def controlling(broker: Any, device: str, version: MQTTProtocolVersion) -> Iterator[Controller]:
    made = Controller("127.0.0.1", broker.port, "lab", device, version)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def doubling(broker: Any, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311) -> Iterator[Doubler]:
    made = Doubler("127.0.0.1", broker.port, version)
    try:
        yield made
    finally:
        made.close()


def test_they_know_nothing_of_ours() -> None:
    for name in ("by_the_page_client.py", "by_the_page_device.py"):
        assert not re.search(r"^\s*(from|import) (inmateria|leaky)", (TESTS / name).read_text("utf-8"), re.MULTILINE)


def test_the_bytes_on_the_page_are_a_frame() -> None:
    page = (TESTS.parent / "docs" / "wire.md").read_text("utf-8")
    rows = re.findall(r"^    ((?:[0-9a-f]{2} )+)", page, re.MULTILINE)
    start, head, numbers = (bytes.fromhex(row) for row in rows)
    made = frame(numbers, kind="stimulus", session="s", sequence=7, step=0.5, dtype="<f8", shape=[1, 2], grant="g")
    assert made.startswith(start + head)
    assert made.endswith(numbers)
    assert decode(made).header.sequence == 7


class Spiking(LeakySimulator):
    """Signals and spikes at once."""

    def __init__(self) -> None:
        super().__init__(spiking=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
async def test_a_controller_from_the_page_drives_our_device(
    version: MQTTProtocolVersion, dtype: Any, mosquitto: Mosquitto
) -> None:
    simulator, alone = Spiking(), Spiking()
    drives = np.random.default_rng(0).uniform(-1, 1, (40, 2, 3))
    wanted = [alone.advance(Stimulus(drive, 0.01)) for drive in drives]

    def control() -> None:
        with controlling(mosquitto, "leaky", version) as controller:
            assert controller.said["info"]["inputs"][0]["unit"] == "V"
            stimuli = [controller.stimulus(drive.tolist(), 0.01) for drive in drives]
            answers = controller.command(*stimuli[:8])
            for each in stimuli[8:]:
                answers += controller.command(each)
            within = {"float64": 0.0, "float32": 1e-5, "int16": 200 / 65_534 * 0.51}[dtype]
            for (header, body), response in zip(answers, wanted, strict=True):
                assert (header["kind"], header["shape"]) == ("response", [2, 2, 4])
                numbers, spikes = signal_of(header, body)
                assert response.signal is not None
                assert response.spikes is not None
                assert np.abs(np.array(numbers) - response.signal.ravel()).max() <= within
                assert spikes == response.spikes.tolist()
            refused, after = controller.command(controller.stimulus([[50, 0, 0]], 0.01), stimuli[0])
            assert (refused[0]["kind"], refused[0]["error"][0]) == ("refused", "StimulusRejected")
            assert after[0]["kind"] == "refused"
            kinds = [
                each["kind"] for each, _ in controller.command(({"kind": "resume"}, b""), ({"kind": "reset"}, b""))
            ]
            assert kinds == ["done", "done"]

    async with DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri, dtype=dtype):
        await asyncio.to_thread(control)
    assert np.array_equal(np.array(simulator.applied), drives)


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_drives_a_device_from_the_page(version: MQTTProtocolVersion, mosquitto: Mosquitto) -> None:
    uri = f"{mosquitto.uri}/bench/doubler?mqtt={'5' if version == MQTTProtocolVersion.MQTTv5 else '3.1.1'}"
    given = [Stimulus(drive, 0.01) for drive in np.random.default_rng(0).uniform(-1, 1, (60, 3, 2))]
    with doubling(mosquitto, version) as device:
        async with RemoteSubstrate(uri) as substrate:
            assert substrate.info.kind == "doubler"
            got = [response async for response in substrate.stream(given)]
            for number, (stimulus, response) in enumerate(zip(given, got, strict=True)):
                assert response.signal is not None
                assert np.array_equal(response.signal[:, 0], 2 * stimulus.drive)
                assert (response.sequence, response.start) == (number, pytest.approx(0.03 * number))
            with pytest.raises(SubstrateBusy, match="held by anyone/"):
                async with RemoteSubstrate(uri):
                    pass
            await substrate.reset()
            assert (await substrate.stimulate(given[0])).sequence == 0
            await emergency_stop(uri)
            with pytest.raises(SubstrateDisconnected):
                await substrate.stimulate(given[0])
        await release(uri)
        async with RemoteSubstrate(uri) as substrate:
            assert (await substrate.stimulate(given[0])).sequence == 1
        assert [each.status.state for each in await find_devices(mosquitto.uri)] == ["online"]
        assert device.applied == [tuple(each.drive.ravel()) for each in [*given, given[0], given[0]]]
    assert [each.status.state for each in await find_devices(mosquitto.uri)] == ["offline"]


@pytest.mark.parametrize(("units", "scale"), [(["mV"], 1e3), (["mV", "mV"], 1e3), (["V", "V"], 1.0)])
async def test_a_response_that_says_another_prefix_than_announced_is_converted(
    units: list[str], scale: float, mosquitto: Mosquitto
) -> None:
    given = Stimulus(np.array([[0.5, -0.25], [0.125, 1.0]]), 0.01)
    made = await asyncio.to_thread(
        lambda: Doubler("127.0.0.1", mosquitto.port, MQTTProtocolVersion.MQTTv311, units=units, scale=scale)
    )
    try:
        async with RemoteSubstrate(f"{mosquitto.uri}/bench/doubler") as substrate:
            got = await substrate.stimulate(given)
            assert np.array_equal(got.signal[:, 0], 2 * given.drive)  # type: ignore[index]  # and not a thousand times it
    finally:
        await asyncio.to_thread(made.close)


@pytest.mark.parametrize("units", [["A"], ["V", "A"], ["V", "V", "V"], ["furlong"], ["V/s"]])
async def test_a_response_in_units_that_are_not_those_announced_is_refused(
    units: list[str], mosquitto: Mosquitto
) -> None:
    made = await asyncio.to_thread(
        lambda: Doubler("127.0.0.1", mosquitto.port, MQTTProtocolVersion.MQTTv311, units=units)
    )
    given = Stimulus(np.array([[0.5, -0.25]]), 0.01)
    try:
        async with RemoteSubstrate(f"{mosquitto.uri}/bench/doubler") as substrate:
            with pytest.raises(ResponseMismatch, match="units"):
                await substrate.stimulate(given)
            with pytest.raises(ResponseMismatch, match="units"):
                async for _ in substrate.stream([given]):
                    pass
        assert len(made.applied) == 2
    finally:
        await asyncio.to_thread(made.close)


async def test_both_survive_a_bad_network(mosquitto: Mosquitto) -> None:
    bad = {"drop": 0.03, "double": 0.03, "overtaken": 0.03}
    simulator = LeakySimulator()
    drives = np.random.default_rng(0).uniform(-1, 1, (200, 1, 3))

    async with FaultProxy(mosquitto.port, seed=1, **bad) as proxy:

        def control() -> None:
            with controlling(proxy, "leaky", MQTTProtocolVersion.MQTTv311) as controller:
                stimuli = [controller.stimulus(drive.tolist(), 0.01) for drive in drives]
                for first in range(0, len(stimuli), 8):
                    answers = controller.command(*stimuli[first : first + 8])
                    assert {header["kind"] for header, _ in answers} == {"response"}

        async with DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri):
            await asyncio.to_thread(control)
        assert proxy.faults > 10
    assert np.array_equal(np.array(simulator.applied), drives)

    async with FaultProxy(mosquitto.port, seed=2, **bad) as proxy:
        made = await asyncio.to_thread(lambda: Doubler("127.0.0.1", proxy.port, MQTTProtocolVersion.MQTTv311))
        try:
            given = [Stimulus(drive, 0.01) for drive in np.random.default_rng(1).uniform(-1, 1, (200, 1, 2))]
            async with RemoteSubstrate(f"{mosquitto.uri}/bench/doubler") as substrate:
                got = [response async for response in substrate.stream(given)]
            assert made.applied == [tuple(each.drive.ravel()) for each in given]
            assert all(np.array_equal(a.signal[:, 0], 2 * b.drive) for a, b in zip(got, given, strict=True))  # type: ignore[index]
            assert proxy.faults > 10
        finally:
            await asyncio.to_thread(made.close)
