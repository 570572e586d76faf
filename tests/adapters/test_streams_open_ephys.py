"""Open Ephys' ZMQ Interface: the twin over real sockets, and a client written from the plugin's page alone."""

import asyncio
import json
import time
from pathlib import Path

import numpy as np
import pytest
import zmq
import zmq.asyncio

from inmateria.adapters import connect, record_stream
from inmateria.adapters.streams.open_ephys_protocol import read_message
from inmateria.adapters.streams.open_ephys_twin import OpenEphysTwin
from inmateria.errors import FrameError
from inmateria.recording import open_recording, read_block
from inmateria.substrate import SubstrateDisconnected, SubstrateTimeout
from inmateria.testing import check_entered_substrate

RATE, BLOCK, CHANNELS = 1000.0, 50, 4


def counted(numbers: np.ndarray) -> np.ndarray:
    """Sample k of channel c is k + 10000 c: exact in float32, and every value says where it belongs."""
    return (numbers[:, np.newaxis] + 10000.0 * np.arange(CHANNELS)).astype(np.float32)


def twin(**options: object) -> OpenEphysTwin:
    settings = {"channels": CHANNELS, "rate": RATE, "block": BLOCK, "real_time": False} | options
    return OpenEphysTwin(counted, **settings)  # type: ignore[arg-type]


class Feeding:
    """A substrate that is entered while the twin sends blocks: only these tell the plugin's channels."""

    def __init__(self, device: OpenEphysTwin, more: str = "") -> None:
        self.device, self.substrate = device, connect(f"{device.uri}&step=0.05&timeout=20{more}")

    async def __aenter__(self):
        entering = asyncio.create_task(self.substrate.__aenter__())
        while not entering.done():
            await self.device.play(1)
            await asyncio.sleep(0.01)
        return entering.result()

    async def __aexit__(self, *details: object) -> None:
        await self.substrate.__aexit__(*details)


async def take_on(substrate) -> None:
    for _ in range(100):
        await take(substrate, 1)


async def take(substrate, steps: int):
    return await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(steps)))


async def test_blocks_come_as_they_were_sent() -> None:
    async with twin() as device, Feeding(device) as substrate:
        info = substrate.info
        assert [each.name for each in info.outputs] == ["CH1", "CH2", "CH3", "CH4"]
        assert {each.unit for each in info.outputs} == {"uV"}
        assert info.sampling_rate == RATE
        await device.play(20)
        first, second = await take(substrate, 5), await take(substrate, 4)
        origin = info.parameters["first_sample"]
        assert origin % BLOCK == 0
        whole = np.concatenate([first.signal.reshape(-1, 4), second.signal.reshape(-1, 4)])
        assert np.array_equal(whole, counted(origin + np.arange(450)))
        assert second.start == 0.25
        async with asyncio.timeout(30):
            while not device.heartbeats:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        beat = device.heartbeats[0]
        assert (beat["type"], beat["application"]) == ("heartbeat", "inmateria")
        assert beat["uuid"]


async def test_lost_messages_are_gaps_of_their_channels_only() -> None:
    async with twin() as device, Feeding(device) as substrate:
        origin = device.sample - substrate.info.parameters["first_sample"]
        await device.play(6, lose=(1,))
        await device.play(6, lose=(2, 3), lose_channel=2)
        await device.play(10)
        await take(substrate, origin // BLOCK)
        signal = (await take(substrate, 12)).signal.reshape(-1, 4)
        expected = counted(origin + substrate.info.parameters["first_sample"] + np.arange(600)).astype(float)
        expected[50:100] = np.nan
        expected[400:500, 2] = np.nan
        assert np.array_equal(signal, expected, equal_nan=True)
        notes = substrate.take_notes()
        gaps = [note for note in notes if note.label == "gap"]
        assert [(note.details["samples"], note.details["channels"]) for note in gaps] == [(50, "all"), (100, ["CH3"])]
        assert [note.details["messages"] for note in notes if note.label == "messages lost"] == [4, 1, 1]


async def test_events_and_spikes_have_their_samples() -> None:
    async with twin() as device, Feeding(device, "&electrodes=Tetrode 1,Probe") as substrate:
        info = substrate.info
        assert info.spiking
        assert [each.name for each in info.outputs[-2:]] == ["Tetrode 1", "Probe"]
        origin = info.parameters["first_sample"]
        await take_all(device, substrate)
        at = device.sample
        await device.play(2)
        await device.switch(3, True)
        await device.spike("Probe", before=10)
        await device.spike("Tetrode 1", before=30)
        await device.spike("Unknown")
        await device.play(12)
        start = substrate._next
        response = await take(substrate, (at - origin + 300 - start) // BLOCK)
        assert [(round(time * RATE) + origin, channel) for time, channel in response.spikes.tolist()] == [
            (at + 70, 4), (at + 90, 5),
        ]  # fmt: skip
        assert np.isnan(response.signal[..., 4:]).all()
        assert not np.isnan(response.signal[..., :4]).any()
        notes = {note.label: note for note in substrate.take_notes()}
        assert round(notes["TTL 3 on"].device * RATE) + origin == at + 100
        assert notes["TTL 3 on"].details == {"line": 3, "state": True, "word": 8, "node": 100}
        assert notes["spikes not read"].details == {"electrode": "Unknown"}
        assert "gap" not in notes


async def take_all(device: OpenEphysTwin, substrate) -> None:
    """Take what was sent while it was entered."""
    await device.play(3)
    await take(substrate, (device.sample - substrate.info.parameters["first_sample"]) // BLOCK - 3)


async def test_an_acquisition_that_begins_anew_goes_on_after_a_break() -> None:
    async with twin() as device, Feeding(device) as substrate:
        await device.play(30)
        before = await take(substrate, 20)
        device.begin_anew()
        await device.play(30)
        notes = []
        async with asyncio.timeout(60):
            while not any(note.label == "acquisition began anew" for note in notes):
                last = await take(substrate, 1)
                notes += substrate.take_notes()
                await device.play(1)
        for _ in range(60):
            await device.play(1)
            last = await take(substrate, 1)
        assert last.start > before.start
        flat = last.signal.reshape(-1, 4)
        assert np.array_equal(flat, counted(flat[0, 0] + np.arange(50)))  # of the new acquisition, in order
        assert flat[0, 0] < device.sample


@pytest.mark.parametrize("before", [10, 40])
async def test_a_new_acquisition_is_seen_by_its_message_numbers_whatever_of_it_comes_first(before: int) -> None:
    """After a short acquisition as after a long one, with a digital event and lost messages at its beginning."""
    async with twin() as device, Feeding(device) as substrate:
        await device.play(before)
        first = substrate.info.parameters["first_sample"]
        end = device.sample - first
        await take(substrate, end // BLOCK - 2)
        source = substrate._source
        async with asyncio.timeout(30):
            while source._end < device.sample:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        heard = source._last_host
        await asyncio.sleep(0.5)
        silent = time.time() - heard
        device.begin_anew()
        device.sample = 7 * BLOCK  # a source that does not begin at 0
        device.messages += 3  # the first three messages were lost
        await device.switch(1, True)
        await device.play(60)
        notes, flat = [], []
        async with asyncio.timeout(30):
            while len(flat) < 12:
                response = await take(substrate, 1)
                notes += substrate.take_notes()
                flat.append((response.start, response.signal.reshape(-1, 4)))
        (anew,) = [note for note in notes if note.label == "acquisition began anew"]
        (event,) = [note for note in notes if note.label == "TTL 1 on"]
        (lost,) = [note for note in notes if note.label == "messages lost"]
        assert lost.details == {"messages": 3, "before": 4}
        assert event.device == anew.device  # both are of the first sample of the new acquisition
        # Half a second by the host's clock, or what a busy machine made of it.
        assert end / RATE + silent - 0.1 < anew.device < end / RATE + time.time() - heard
        start, values = flat[-1]
        assert np.array_equal(values, counted(values[0, 0] + np.arange(BLOCK)))
        assert start - anew.device == pytest.approx((values[0, 0] - 7 * BLOCK) / RATE)


async def test_one_clock_goes_through_two_acquisitions() -> None:
    async with twin(real_time=True, block=20) as device, connect(f"{device.uri}&step=0.1&timeout=20") as substrate:
        await take(substrate, 15)
        device._acquiring.clear()
        await asyncio.sleep(2.0)
        device.begin_anew()
        sent, play = {}, device.play

        async def noted(blocks: int) -> None:
            sent[device.sample] = time.time()
            await play(blocks)

        device.play = noted
        device._acquiring.set()
        await take(substrate, 3)
        response = await take(substrate, 12)
        notes = substrate.take_notes()
        assert "acquisition began anew" in [note.label for note in notes]
        fit = substrate._source.clock.fit
        assert fit is not None
        last = response.start + 1.1  # the last step
        number = round(last * RATE) + substrate._source._origin
        assert abs(fit.host(last) - sent[number - number % 20]) < 1.0  # half of the pause
        assert abs(fit.drift) < 0.1


async def test_17_ms_that_are_lost_are_nan_and_marked() -> None:
    async with twin(block=17) as device, Feeding(device) as substrate:
        first = substrate.info.parameters["first_sample"]
        await device.play(40, lose=(20,))
        lost = device.sample - 20 * 17 - first  # 20 blocks of 17 samples at 1 kHz ago, one was lost
        async with asyncio.timeout(30):
            whole = await take(substrate, (lost + 40) // BLOCK + 1)
        flat = whole.signal.reshape(-1, 4)
        assert np.flatnonzero(np.isnan(flat).all(axis=1)).tolist() == list(range(lost, lost + 17))
        assert np.isfinite(np.delete(flat, np.arange(lost, lost + 17), axis=0)).all()
        (gap,) = [note for note in substrate.take_notes() if note.label == "gap"]
        assert (gap.device, gap.duration) == pytest.approx((lost / RATE, 0.017))
        assert gap.details == {"samples": 17, "channels": "all"}


async def test_sample_numbers_that_go_back_are_an_error() -> None:
    async with twin() as device, Feeding(device) as substrate:
        await device.play(60)
        await take(substrate, 20)
        device.sample -= 50 * BLOCK  # the messages go on, so it is no new acquisition
        await device.play(2)
        with pytest.raises(SubstrateDisconnected, match=r"the time of Open Ephys' stream .* went back by 2\.\d+ s"):
            await take_on(substrate)


async def test_other_channels_or_rates_are_refused() -> None:
    async with twin() as device, Feeding(device) as substrate:
        device.rate = 2 * RATE
        await device.play(60)
        with pytest.raises(SubstrateDisconnected, match="2000 Hz now"):
            await take(substrate, 60 + device.sample // BLOCK)


async def test_stimuli_switch_lines_by_network_events() -> None:
    async with (
        twin(real_time=True, block=20) as device,
        connect(device.uri + f"&events={device.events}&step=0.1") as substrate,
    ):
        info = substrate.info
        assert [each.name for each in info.inputs] == [f"ttl{k}" for k in range(1, 9)]
        drive = np.zeros((3, 8))
        drive[1, 2] = 1.0
        response = await substrate.stimulate(info.stimulus(drive))
        await substrate.stimulate(info.stimulus(info.rest_drive(2)))
        notes = [note for note in substrate.take_notes() if note.label.startswith("TTL")]
        assert [note.label for note in notes] == ["TTL 2 on", "TTL 2 off"]
        assert notes[0].device >= response.start + 0.1 - 0.04


async def test_the_contract() -> None:
    async with twin(real_time=True, block=5) as device, connect(f"{device.uri}&step=0.002&late=0.002") as substrate:
        await check_entered_substrate(substrate, window=1)


async def test_a_stream_is_recorded_and_read_by_neo(tmp_path: Path) -> None:
    path = tmp_path / "ephys.h5"
    async with twin(real_time=True, rate=5000.0, block=100) as device:
        await record_stream(f"{device.uri}&timeout=20", path, stop=asyncio.Event(), seconds=1.0)
    with open_recording(path) as recording:
        signal = recording.signal()
        origin = recording.info.parameters["first_sample"]
        assert np.array_equal(signal, counted(origin + np.arange(len(signal))))
        (clock,) = [note for note in recording.notes if note.label == "clock"][-1:]
        assert clock.details["measurements"]
        assert recording.info.kind == "open-ephys-stream"
    (segment,) = read_block(path).segments
    assert str(segment.analogsignals[-1].units.dimensionality) == "uV"
    assert float(segment.analogsignals[-1].sampling_rate) == 5000.0


async def test_a_client_from_the_plugins_page_reads_the_twin() -> None:
    """The page's fields, types and binary layout, and a heartbeat that is answered, read without our own parser."""
    async with twin() as device:
        context = zmq.asyncio.Context()
        data, beat = context.socket(zmq.SUB), context.socket(zmq.REQ)
        data.connect(f"tcp://127.0.0.1:{device.port}")
        data.setsockopt(zmq.SUBSCRIBE, b"")
        beat.connect(f"tcp://127.0.0.1:{device.listening}")
        try:
            await beat.send(json.dumps({"application": "page", "uuid": "1", "type": "heartbeat"}).encode())
            assert await beat.recv() == b"heartbeat received"
            while not await data.poll(10):
                await device.play(1)
            await device.switch(2, True)
            await device.spike("E", 3)
            seen = {}
            while len(seen) < 3:
                envelope, header, raw = await data.recv_multipart()
                told = json.loads(header)
                seen[told["type"]] = (envelope, told, raw)
            envelope, told, raw = seen["data"]
            assert envelope == b"DATA\0"
            content = told["content"]
            values = np.frombuffer(raw, np.float32)
            assert len(values) == content["num_samples"] == BLOCK
            assert np.array_equal(values, counted(content["sample_num"] + np.arange(BLOCK))[:, content["channel_num"]])
            assert content["sample_rate"] == RATE
            _, told, raw = seen["event"]
            assert (told["content"]["type"], raw[0], raw[1]) == (3, 2, 1)
            assert int.from_bytes(raw[2:10], "little") == 4
            assert seen["spike"][1]["spike"]["sorted_id"] == 3
        finally:
            context.destroy(0)


@pytest.mark.parametrize(
    "parts",
    [
        [b"DATA\0"],
        [b"DATA\0", b"{}"],
        [b"DATA\0", b'{"message_num": 1, "type": "data", "content": {}}', b""],
        [b"DATA\0", b'{"message_num": 1, "type": "data", "content": {"stream": "s", "channel_num": 0, "num_samples": 9,'
         b' "sample_num": 0, "sample_rate": 1}}', bytes(8)],
        [b"DATA\0", b'{"message_num": 1, "type": "data", "content": {"stream": "s", "channel_num": 0, "num_samples": 2,'
         b' "sample_num": 0, "sample_rate": 0}}', bytes(8)],
        [b"EVENT\0", b"[1, 2]", b""],
    ],
)  # fmt: skip
def test_what_is_no_message_of_the_plugin_is_said(parts: list[bytes]) -> None:
    with pytest.raises(FrameError, match="ZMQ Interface"):
        read_message(parts)


async def test_nothing_there_is_said() -> None:
    with pytest.raises(SubstrateTimeout, match="press play"):
        async with connect("openephys://127.0.0.1:9?timeout=0.3"):
            pass


async def test_network_events_start_and_stop_acquisition_and_refuse_what_the_twin_has_not() -> None:
    async with twin(real_time=True, block=10) as device:
        context = zmq.asyncio.Context()
        events, beats = context.socket(zmq.REQ), context.socket(zmq.REQ)
        events.connect(f"tcp://127.0.0.1:{device.events}")
        beats.connect(f"tcp://127.0.0.1:{device.listening}")

        async def say(words: str) -> str:
            await events.send_string(words)
            return await events.recv_string()

        try:
            assert [await say(words) for words in ("StopAcquisition", "isacquiring")] == ["StoppedAcquisition", "0"]
            still = device.sample
            await asyncio.sleep(0.1)
            assert device.sample == still
            messages = device.messages
            assert await say("TTL Line=2 State=1") == "TTLHandled: Channel=2 on=1"
            assert device.messages == messages  # nothing is sent while the GUI does not acquire
            begun, play = [], device.play

            async def noted(blocks: int) -> None:
                begun.append(device.sample)
                await play(blocks)

            device.play = noted
            assert [await say(words) for words in ("StartAcquisition", "IsAcquiring")] == ["StartedAcquisition", "1"]
            async with asyncio.timeout(30):
                while len(begun) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert begun[:2] == [0, 10]  # it counts from 0 again
            assert await say("TTL Channel=9 on=1") == "InvalidChannel"
            assert (
                await say("StartRecord Prepend=a") == "NotHandled: StartRecord; the twin of Open Ephys does not record"
            )
            assert await say("IsRecording") == "0"
            assert await say("LoadSignalChain x.xml") == "NotHandled"
            await beats.send(b"{no JSON")
            assert await beats.recv() == b"JSON message could not be read"
        finally:
            context.destroy(0)


async def test_a_twin_that_the_machine_is_too_slow_for_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def slow(numbers: np.ndarray) -> np.ndarray:
        time.sleep(2.0 * len(numbers) / RATE)
        return counted(numbers)

    async with OpenEphysTwin(slow, channels=CHANNELS, rate=RATE, block=20):
        async with asyncio.timeout(30):
            while "the twin of Open Ephys is" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert "of 1000 samples a second of 4 channels; they come late, none is lost" in caplog.text
