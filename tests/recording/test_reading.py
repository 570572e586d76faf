"""What was sent and measured is read through our own reader, as neo objects and by other HDF5 software."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import h5py
import neo
import numpy as np
import pytest
import quantities as pq
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.recording import RecordedSubstrate, RecordingError, open_recording, read_block
from inmateria.substrate import Response, Stimulus


def stimuli(count: int, steps: int = 5, step: float = 0.01) -> list[Stimulus]:
    generator = np.random.default_rng(7)
    return [Stimulus(generator.uniform(-1, 1, (steps, 3)), step) for _ in range(count)]


async def record(path: Path, simulator: LeakySimulator, given: list[Stimulus]) -> list[Response]:
    recorded = RecordedSubstrate(SimulatedSubstrate(simulator), path, {"note": "test"})
    async with recorded as substrate, aclosing(substrate.stream(given)) as responses:
        return [response async for response in responses]


async def test_every_exchange_comes_back_bit_for_bit(tmp_path: Path) -> None:
    given = stimuli(20)
    responses = await record(tmp_path / "r.h5", LeakySimulator(spiking=True), given)
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.info == LeakySimulator(spiking=True).info
        assert recording.annotations == {"note": "test"}
        assert len(recording) == 20
        for exchange, stimulus, response in zip(recording, given, responses, strict=True):
            assert np.array_equal(exchange.stimulus.drive, stimulus.drive)
            assert exchange.stimulus.step == stimulus.step
            assert np.array_equal(exchange.response.signal, response.signal)
            assert np.array_equal(exchange.response.spikes, response.spikes)
            assert (exchange.response.start, exchange.response.sequence) == (response.start, response.sequence)
            assert exchange.round_trip > 0
        sent = recording.exchanges["sent"]
        assert (np.diff(sent) >= 0).all()


async def test_a_recording_reads_as_a_neo_block(tmp_path: Path) -> None:
    given = stimuli(10)
    responses = await record(tmp_path / "r.h5", LeakySimulator(spiking=True), given)
    block = read_block(tmp_path / "r.h5")
    assert isinstance(block, neo.Block)
    assert block.name == "leaky"
    (segment,) = block.segments
    stimulus, volts, microamps = segment.analogsignals
    assert (stimulus.name, volts.name, microamps.name) == ("stimulus", "response", "response")
    assert stimulus.sampling_rate == 100 * pq.Hz
    assert volts.sampling_rate == 200 * pq.Hz
    assert microamps.units == pq.uA
    assert list(volts.array_annotations["channel_names"]) == ["o0", "o2"]
    flat = np.concatenate([response.signal.reshape(-1, 4) for response in responses if response.signal is not None])
    assert np.array_equal(stimulus.magnitude, np.concatenate([each.drive for each in given]))
    assert np.array_equal(volts.magnitude, flat[:, [0, 2]])
    assert np.array_equal(microamps.magnitude, flat[:, [1, 3]])
    trains = np.concatenate([response.spikes for response in responses if response.spikes is not None])
    for column, train in enumerate(segment.spiketrains):
        assert np.array_equal(train.magnitude, trains["time"][trains["channel"] == column])
    (event,) = segment.events
    assert event.labels.tolist() == [str(k) for k in range(10)]


async def test_neo_writes_the_block_to_a_format_of_its_own(tmp_path: Path) -> None:
    await record(tmp_path / "r.h5", LeakySimulator(spiking=True), stimuli(5))
    block = read_block(tmp_path / "r.h5")
    neo.PickleIO(str(tmp_path / "block.pkl")).write_block(block)
    again = neo.PickleIO(str(tmp_path / "block.pkl")).read_block()
    for mine, its in zip(block.segments[0].analogsignals, again.segments[0].analogsignals, strict=True):
        assert np.array_equal(mine.magnitude, its.magnitude)


async def test_a_return_to_rest_or_another_step_begins_a_new_segment(tmp_path: Path) -> None:
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
        for stimulus in stimuli(2):
            await substrate.stimulate(stimulus)
        await substrate.reset()
        await substrate.stimulate(stimuli(1)[0])
        await substrate.stimulate(stimuli(1, step=0.02)[0])
    block = read_block(tmp_path / "r.h5")
    assert [len(segment.events[0]) for segment in block.segments] == [2, 1, 1]
    assert [float(segment.analogsignals[0].t_start) for segment in block.segments] == pytest.approx([0, 0, 0.05])


async def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.h5").write_bytes(b"precious")
    with pytest.raises(RecordingError, match="never overwritten"):
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5"):
            pass
    assert (tmp_path / "r.h5").read_bytes() == b"precious"


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", None])
def test_what_is_no_recording_is_said_in_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"r\.h5"), open_recording(path):
        pass


def test_another_hdf5_file_and_another_version_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(RecordingError, match="not a recording of inmateria"), open_recording(tmp_path / "other.h5"):
        pass
    with h5py.File(tmp_path / "future.h5", "w") as file:
        file.attrs.update(format="inmateria recording", version=99)
    with pytest.raises(RecordingError, match="version 99"), open_recording(tmp_path / "future.h5"):
        pass


OURS = (
    "from inmateria.recording import open_recording\n"
    "def look(path):\n"
    "    with open_recording(path) as r: return len(r), float(abs(r.signal()).sum())\n"
)
H5PY = (
    "import h5py\n"
    "def look(path):\n"
    "    with h5py.File(path, 'r', swmr=True) as f: return len(f['exchanges']), float(abs(f['signal'][:]).sum())\n"
)


@pytest.mark.parametrize("reader", [OURS, H5PY])
async def test_another_process_reads_it_while_it_grows(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "r.h5"
    script = reader + "import sys\nfor line in sys.stdin: print(*look(sys.argv[1]), flush=True)"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    expected = 0.0
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), path) as substrate:
        for number, stimulus in enumerate(stimuli(3), 1):
            response = await substrate.stimulate(stimulus)
            assert response.signal is not None
            expected += float(np.abs(response.signal).sum())
            count, total = -1, 0.0
            while count != number:  # until the writer's thread has come round to it
                other.stdin.write(b"look\n")
                count, total = (float(word) for word in (await other.stdout.readline()).split())
                assert count in (number - 1, number)
            assert total == pytest.approx(expected, rel=1e-12)
    other.stdin.close()
    assert await other.wait() == 0


async def test_a_disk_that_cannot_be_written_is_said_and_nothing_is_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inmateria.recording.writing.RecordingWriter._extend", fail)

    async def record_forever() -> None:
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
            while True:
                await substrate.stimulate(stimuli(1)[0])

    with pytest.raises(RecordingError, match="disk full"):
        await record_forever()


async def test_cancelling_closes_the_file(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def forever() -> None:
        async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5") as substrate:
            await substrate.stimulate(stimuli(1)[0])
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with open_recording(tmp_path / "r.h5") as recording:
        assert len(recording) == 1
