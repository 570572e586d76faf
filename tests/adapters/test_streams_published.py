"""LSL out: what pylsl's own inlets receive of a published substrate is what it answered, sample by sample."""

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pylsl
import pytest
from leaky import LeakySimulator

from inmateria.adapters import PublishedSubstrate, SimulatedSubstrate, connect
from inmateria.testing import check_substrate


async def inlet(name: str) -> tuple[pylsl.StreamInlet, pylsl.StreamInfo]:
    (found,) = await asyncio.to_thread(pylsl.resolve_byprop, "name", name, 1, 20.0)
    opened = pylsl.StreamInlet(found)
    full = await asyncio.to_thread(opened.info, 20.0)
    await asyncio.to_thread(opened.open_stream, 20.0)
    return opened, full


async def pulled(opened: pylsl.StreamInlet, count: int) -> tuple[list, np.ndarray]:
    rows, stamps = await asyncio.to_thread(opened.pull_chunk, 20.0, count)
    assert opened.pull_sample(0.0) == (None, None)
    return rows, np.array(stamps)


async def test_what_comes_out_is_equal_bit_by_bit() -> None:
    async with PublishedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), "leaky") as substrate:
        info = substrate.info
        heard = {suffix: await inlet(f"leaky{suffix}") for suffix in ("", "-stimuli", "-exchanges", "-spikes")}
        generator = np.random.default_rng(0)
        stimuli = [
            info.stimulus(generator.uniform(info.inputs[0].low, info.inputs[0].high, (steps, len(info.inputs))))
            for steps in (3, 1, 4)
        ]
        responses = [await substrate.stimulate(stimuli[0])]
        async with aclosing(substrate.stream(stimuli[1:])) as going:
            responses += [each async for each in going]
        signal = np.concatenate([each.signal.reshape(-1, len(info.outputs)) for each in responses])
        rows, stamps = await pulled(heard[""][0], len(signal))
        assert np.array_equal(np.array(rows), signal)
        period = info.step / info.samples(info.step)
        assert (np.diff(stamps) >= period * (1 - 1e-6)).all()  # in order, and never closer than on the device's clock
        drives, edges = await pulled(heard["-stimuli"][0], 8)
        assert np.array_equal(np.array(drives), np.concatenate([each.drive for each in stimuli]))
        assert np.array_equal(edges, stamps[:: info.samples(info.step)])
        texts, starts = await pulled(heard["-exchanges"][0], 3)
        told = [json.loads(text) for (text,) in texts]
        assert [(each["sequence"], each["start"], each["steps"]) for each in told] == [
            (response.sequence, response.start, len(stimulus.drive))
            for response, stimulus in zip(responses, stimuli, strict=True)
        ]
        assert np.array_equal(starts, edges[[0, 3, 4]])
        spikes = [
            (start + time - response.start, channel)
            for start, response in zip(starts, responses, strict=True)
            for time, channel in response.spikes.tolist()
        ]
        assert spikes
        which, when = await pulled(heard["-spikes"][0], len(spikes))
        assert [channel for (channel,) in which] == [channel for _, channel in spikes]
        assert np.allclose(when, [time for time, _ in spikes], atol=1e-9, rtol=0)


async def test_the_description_is_xdfs() -> None:
    """Labels, units and types of channels are where LabRecorder and pyxdf's users look for them."""
    async with PublishedSubstrate(connect("nanowire://?wires=40&seed=1"), "described") as substrate:
        _, full = await inlet("described")
        info = substrate.info
        assert (full.type(), full.nominal_srate(), full.source_id()) == ("Signal", info.sampling_rate, info.id)
        channel = full.desc().child("channels").child("channel")
        for output in info.outputs:
            assert (channel.child_value("label"), channel.child_value("unit")) == (output.name, output.unit)
            channel = channel.next_sibling()
        assert channel.empty()
        assert full.desc().child("acquisition").child_value("serial_number") == info.id


async def test_a_published_substrate_is_read_back_as_a_stream() -> None:
    """Out and in again: names, units, ranges and samples are those of the substrate."""
    async with PublishedSubstrate(SimulatedSubstrate(LeakySimulator()), "there") as substrate:
        info = substrate.info
        async with connect("lsl://there?jitter=0&timeout=20") as back:
            assert back.info.outputs == info.outputs
            assert back.info.sampling_rate == info.sampling_rate
            await asyncio.to_thread(substrate._signal.wait_for_consumers, 20.0)
            stimulus = info.stimulus(np.full((20, len(info.inputs)), 0.5))
            response = await substrate.stimulate(stimulus)
            again = await back.stimulate(back.info.stimulus(back.info.rest_drive(10), step=info.step))
            wanted = response.signal[:10].reshape(-1, len(info.outputs))
            assert np.array_equal(again.signal.reshape(-1, len(info.outputs)), wanted)


def test_the_contract() -> None:
    check_substrate(lambda: PublishedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), "contract"), window=1)


def test_a_name_is_needed() -> None:
    with pytest.raises(ValueError, match="empty"):
        PublishedSubstrate(SimulatedSubstrate(LeakySimulator()), "")


async def test_the_command_serves_on_a_broker_and_on_lsl(tmp_path: Path) -> None:
    """`inmateria serve ... --lsl NAME`: a controller on the broker drives it, and a stream shows what it does."""
    served = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "inmateria", "serve", "nanowire://?wires=40&seed=1", "--port", "0", "--lsl", "served",
         "--until-eof", "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = await asyncio.to_thread(served.stdout.readline)
        uri = json.loads(line)["uri"]
        opened, full = await inlet("served")
        async with connect(uri) as device:
            assert full.channel_count() == len(device.info.outputs)
            response = await device.stimulate(device.info.stimulus(np.full((5, len(device.info.inputs)), 0.1)))
            rows, _ = await pulled(opened, response.signal.shape[0] * response.signal.shape[1])
            assert np.allclose(np.array(rows), response.signal.reshape(-1, len(device.info.outputs)), rtol=1e-6)
    finally:
        served.stdin.close()
        await asyncio.to_thread(served.wait, 30)
        served.stdout.close()
