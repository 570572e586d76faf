"""MaxWell's stream: the twin over a real socket, and a client with the structures that laboratories publish."""

import array
import asyncio
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from inmateria.adapters import connect, record_stream
from inmateria.adapters.streams.maxwell_protocol import SPIKE_LAYOUTS, frame_message, frame_number, spikes_of
from inmateria.adapters.streams.maxwell_source import MaxwellSource
from inmateria.adapters.streams.maxwell_twin import MaxwellTwin
from inmateria.errors import FrameError
from inmateria.recording import open_recording
from inmateria.substrate import SubstrateDisconnected, SubstrateTimeout, UnknownSubstrate
from inmateria.testing import check_entered_substrate

RATE, CHANNELS = 20_000.0, 6


def counted(numbers: np.ndarray) -> np.ndarray:
    """Frame k of channel c is k + 100000 c: exact in float32, and every value says where it belongs."""
    return (numbers[:, np.newaxis] + 100_000.0 * np.arange(CHANNELS)).astype(np.float32)


class Feeding:
    """A substrate that is entered while the twin sends frames."""

    def __init__(self, device: MaxwellTwin, more: str = "") -> None:
        self.device, self.substrate = device, connect(f"{device.uri}&step=0.01&timeout=20{more}")

    async def __aenter__(self):
        entering = asyncio.create_task(self.substrate.__aenter__())
        while not entering.done():
            self.device.play(20)
            await asyncio.sleep(0.005)
        return entering.result()

    async def __aexit__(self, *details: object) -> None:
        await self.substrate.__aexit__(*details)


def twin(**options: object) -> MaxwellTwin:
    settings = {"channels": CHANNELS, "rate": RATE, "real_time": False} | options
    return MaxwellTwin(counted, **settings)  # type: ignore[arg-type]


async def take(substrate, steps: int):
    return await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(steps)))


async def test_frames_come_as_they_were_sent_and_17_ms_that_are_lost_are_marked() -> None:
    async with twin() as device, Feeding(device) as substrate:
        info, first = substrate.info, substrate.info.parameters["first_frame"]
        assert [channel.name for channel in info.outputs] == [f"ch{k:04d}" for k in range(CHANNELS)]
        assert (info.kind, info.sampling_rate, info.parameters["frame_channels"]) == ("maxwell-stream", RATE, CHANNELS)
        begun = device.frame - first
        device.play(2000, lose=range(500, 840))
        device.play(8000)
        steps = (begun + 2000) // 200 + 1
        flat = (await take(substrate, steps)).signal.reshape(-1, CHANNELS)
        lost = np.arange(begun + 500, begun + 840)
        assert np.flatnonzero(np.isnan(flat).all(axis=1)).tolist() == lost.tolist()
        kept = np.delete(np.arange(len(flat)), lost)
        assert np.array_equal(flat[kept], counted(first + kept))
        (gap,) = [note for note in substrate.take_notes() if note.label == "gap"]
        assert (gap.device, gap.duration) == pytest.approx((lost[0] / RATE, 0.017))
        assert gap.details == {"samples": 340, "channels": "all"}


@pytest.mark.parametrize("spike_bytes", [24, 16])
async def test_spikes_have_their_frames_and_channels(spike_bytes: int) -> None:
    async with twin(spike_bytes=spike_bytes) as device, Feeding(device, "&channels=4,1") as substrate:
        assert [channel.name for channel in substrate.info.outputs] == ["ch0004", "ch0001"]
        first, now = substrate.info.parameters["first_frame"], device.frame
        device.play(3000, spikes=[(now + 10, 1, -20.0), (now + 11, 0, -20.0), (now + 900, 4, -33.5)])
        device.play(6000)
        response = await take(substrate, (now - first + 3000) // 200)
        expected = [((now + 10 - first) / RATE, 1), ((now + 900 - first) / RATE, 0)]
        assert response.spikes["time"] == pytest.approx([time for time, _ in expected])
        assert response.spikes["channel"].tolist() == [column for _, column in expected]
        assert np.array_equal(response.signal[0, 0], counted(np.array([first]))[0, [4, 1]])


async def test_a_clock_that_goes_back_or_other_channels_are_errors() -> None:
    for change, said in (
        (lambda device: setattr(device, "frame", device.frame - 4000), "went back by 0.2 s"),
        (lambda device: setattr(device, "_source", lambda n: counted(n)[:, :5]), "frames of 5 channels now; it sent 6"),
    ):
        async with twin() as device, Feeding(device) as substrate:
            change(device)
            device.play(100)
            with pytest.raises(SubstrateDisconnected, match=said):
                await take(substrate, 400)


async def test_the_contract() -> None:
    async with twin(real_time=True, rate=2000.0) as device, connect(f"{device.uri}&step=0.002&late=0.002") as substrate:
        await check_entered_substrate(substrate, window=1)


async def test_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "chip.h5"
    async with twin(real_time=True, rate=5000.0) as device:
        await record_stream(f"{device.uri}&timeout=20", path, stop=asyncio.Event(), seconds=1.0)
    with open_recording(path) as recording:
        values = recording.signal()
        assert np.array_equal(values, counted(recording.info.parameters["first_frame"] + np.arange(len(values))))
        assert len(values) >= 5000


def test_what_laboratories_read_is_what_the_twin_sends() -> None:
    """The structures of https://github.com/braingeneers: frame 'Q', amplitudes 'f', spikes '8xLif' or '@Lfhc0L'."""
    values = np.linspace(-5, 5, 1024, dtype=np.float32)
    spikes = [(77, 3, -12.5), (78, 1023, -99.0)]
    for size, form, order in ((24, "8xLif", (0, 1, 2)), (16, "@Lfhc0L", (0, 2, 1))):
        assert struct.calcsize(form) == size
        number, frame, events = frame_message(79, values, spikes, SPIKE_LAYOUTS[size])
        assert struct.unpack("Q", number) == (79,)
        assert array.array("f", frame).tolist() == values.tolist()
        read = [struct.unpack(form, events[k : k + size]) for k in range(0, len(events), size)]
        assert [tuple(each[k] for k in order) for each in read] == spikes
        assert spikes_of(events, SPIKE_LAYOUTS[size])["channel"].tolist() == [3, 1023]
    assert len(frame_message(1, values, [], SPIKE_LAYOUTS[24])) == 2


async def test_a_client_of_a_laboratory_reads_the_twin() -> None:
    async with twin(real_time=True, rate=1000.0) as device:
        context = zmq.Context()
        subscriber = context.socket(zmq.SUB)
        subscriber.setsockopt(zmq.RCVTIMEO, 5000)
        subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
        subscriber.connect(f"tcp://localhost:{device.port}")

        def read() -> list[tuple[int, list[float]]]:
            found = []
            for _ in range(50):
                number = struct.unpack("Q", subscriber.recv())[0]
                frame = array.array("f", subscriber.recv()) if subscriber.getsockopt(zmq.RCVMORE) else array.array("f")
                found.append((number, frame.tolist()))
            return found

        try:
            found = await asyncio.to_thread(read)
        finally:
            context.destroy(0)
    numbers = np.array([number for number, _ in found])
    assert np.array_equal(np.diff(numbers), np.ones(49))
    assert np.array_equal([frame for _, frame in found], counted(numbers))


@pytest.mark.parametrize("parts", [[b"DATA"], [bytes(8)], [bytes(8), b"abc"], [bytes(8), b""], [bytes(7), bytes(8)]])
def test_what_is_no_frame_is_told(parts: list[bytes]) -> None:
    with pytest.raises(FrameError, match="7205 is the filtered stream"):
        frame_number(parts)


async def test_wrong_settings_and_nothing_there_are_told() -> None:
    for uri, said in (
        ("maxwell://host?channels=a", "give numbers with commas between"),
        ("maxwell://host?channels=1,1", "each once"),
        ("maxwell://host?spike_bytes=20", "allowed are 24, 16"),
        ("maxwell://host?rate=0", "give more than 0"),
        ("maxwell://", "names no host"),
    ):
        with pytest.raises(UnknownSubstrate, match=said):
            connect(uri)
    with pytest.raises(SubstrateTimeout, match="no frame came from"):
        await MaxwellSource(port=1, timeout=0.2).open()
    async with twin(real_time=True) as device:
        with pytest.raises(SubstrateDisconnected, match="a frame has 6 channels, 0 to 5"):
            async with connect(device.uri + "&channels=6"):
                pass
    with pytest.raises(FrameError, match="give spike_bytes"):
        spikes_of(bytes(23), SPIKE_LAYOUTS[24])


def anything(numbers: np.ndarray) -> np.ndarray:
    """Frame k of channel c is (k + 7 c) modulo 4096: exact, and made quickly."""
    return ((numbers[:, np.newaxis] + 7 * np.arange(1024)) & 4095).astype(np.float32)


@pytest.mark.slow
async def test_a_whole_chip_at_20_khz_is_read_without_a_missing_frame() -> None:
    """Sender and reader in one process; on a slow machine frames come late, and none is lost."""
    async with (
        MaxwellTwin(anything, channels=1024, rate=RATE) as device,
        connect(f"{device.uri}&step=0.1&timeout=60") as substrate,
    ):
        first = substrate.info.parameters["first_frame"]
        for k in range(10):
            signal = (await take(substrate, 1)).signal.reshape(-1, 1024)
            assert np.array_equal(signal, anything(first + 2000 * k + np.arange(2000)))
        assert not [note for note in substrate.take_notes() if note.label == "gap"]


async def test_a_twin_that_the_machine_is_too_slow_for_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def slow(numbers: np.ndarray) -> np.ndarray:
        time.sleep(2.0 * len(numbers) / RATE)
        return counted(numbers)

    async with (
        MaxwellTwin(slow, channels=CHANNELS, rate=RATE) as device,
        connect(f"{device.uri}&step=0.1&timeout=20") as substrate,
    ):
        first = substrate.info.parameters["first_frame"]
        async with asyncio.timeout(30):
            while "the twin of MaxWell is" not in caplog.text:
                signal = (await take(substrate, 1)).signal.reshape(-1, CHANNELS)
                assert np.array_equal(signal, counted(first + np.arange(2000)))  # late, and whole
                first += 2000
    assert "of 20000 samples a second of 6 channels; they come late, none is lost" in caplog.text


async def test_a_twin_whose_function_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def broken(numbers: np.ndarray) -> np.ndarray:
        raise OSError("the file of samples is gone")

    async with MaxwellTwin(broken, channels=CHANNELS) as device:
        with pytest.raises(SubstrateTimeout, match="no frame came"):
            async with connect(f"{device.uri}&timeout=0.3"):
                pass
    assert "the file of samples is gone" in caplog.text
