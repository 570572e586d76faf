"""BrainFlow's own boards: the synthetic one, and one that plays a file, compared with what BrainFlow itself reads."""

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("brainflow")
from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams
from brainflow.data_filter import DataFilter

from inmateria.adapters import connect, record_stream
from inmateria.adapters.streams.substrate import StreamSubstrate
from inmateria.recording import open_recording, read_block
from inmateria.substrate import SubstrateDisconnected, UnknownSubstrate
from inmateria.testing import check_entered_substrate

SYNTHETIC = int(BoardIds.SYNTHETIC_BOARD.value)


def synthetic_file(path: Path, samples: int, *, lose: slice = slice(0, 0)) -> np.ndarray:
    """Write a file as BrainFlow does, of samples that say where they belong, without some of them; return its rows."""
    about = BoardShim.get_board_descr(SYNTHETIC)
    rows = np.zeros((about["num_rows"], samples))
    rows[about["package_num_channel"]] = np.arange(samples) % 256
    rows[about["timestamp_channel"]] = 1.7e9 + np.arange(samples) / about["sampling_rate"]
    for k, row in enumerate(about["eeg_channels"]):
        rows[row] = np.arange(samples) + 0.125 * k
    rows = np.ascontiguousarray(np.delete(rows, np.arange(samples)[lose], axis=1))
    DataFilter.write_file(rows, str(path), "w")
    return DataFilter.read_file(str(path))


async def take_on(substrate: StreamSubstrate) -> None:
    for _ in range(30):
        await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(1)))


def playback(file: Path) -> str:
    return f"brainflow://playback?file={file}&master_board=synthetic&config=old_timestamps&timeout=20"


async def test_the_synthetic_board_has_its_names_units_and_rate() -> None:
    async with connect("brainflow://synthetic?channels=eeg,temperature&step=0.1") as substrate:
        about = BoardShim.get_board_descr(SYNTHETIC)
        info = substrate.info
        names = about["eeg_names"].split(",")
        assert [each.name for each in info.outputs] == [*names, "temperature1"]
        assert [each.unit for each in info.outputs] == ["uV"] * 16 + ["Cel"]
        assert info.sampling_rate == about["sampling_rate"]
        first = await substrate.stimulate(info.stimulus(info.rest_drive(3)))
        second = await substrate.stimulate(info.stimulus(info.rest_drive(2)))
        assert (first.start, second.start) == (0.0, 75 / 250)
        assert np.isfinite(first.signal).any()
        fit = substrate._source.clock.fit
        assert fit is not None
        assert fit.offset > 1.6e9


@pytest.mark.parametrize("lose", [slice(200, 230), slice(150, 450)])
async def test_a_file_is_played_sample_by_sample_with_its_gaps(tmp_path: Path, lose: slice) -> None:
    """A gap of 300 samples is longer than the board's counter counts; the timestamps say so."""
    file = tmp_path / "board.csv"
    rows = synthetic_file(file, 700, lose=lose)
    about = BoardShim.get_board_descr(SYNTHETIC)
    given = BrainFlowInputParams()
    given.file, given.master_board = str(file), SYNTHETIC
    path = tmp_path / "recording.h5"
    await record_stream(playback(file), path, stop=asyncio.Event(), seconds=2.0)
    with open_recording(path) as recording:
        whole, taken = recording.signal(), recording.exchanges
        assert recording.info.sampling_rate == 250.0
        at = np.concatenate([
            round(row["start"] * 250) + np.arange(row["samples"]) for row in taken
        ]).astype(int)  # fmt: skip
        values = whole
        known = np.isfinite(values[:, 0])
        assert set(at[~known]) <= set(range(700)[lose])
        assert np.array_equal(values[known][:, 0], at[known])  # each sample is where it belongs
        assert np.array_equal(values[known][:100], rows[about["eeg_channels"], :100].T)
        assert at[known].max() >= 499
        gaps = [note for note in recording.notes if note.label == "gap"]
        assert sum(note.details["samples"] for note in gaps) == len(range(700)[lose])
    block = read_block(path)
    assert sum(each.analogsignals[-1].shape[0] for each in block.segments) == len(at)


@pytest.mark.parametrize("counter", ["the board's", "timestamps"])
async def test_time_that_goes_back_is_an_error(tmp_path: Path, counter: str) -> None:
    """Of boards whose packages count samples, and of those that timestamps number; what came before stays readable."""
    file, about = tmp_path / "back.csv", BoardShim.get_board_descr(SYNTHETIC)
    rows = np.ascontiguousarray(synthetic_file(file, 800))
    rows[about["timestamp_channel"], 500:] -= 30.0
    if counter == "timestamps":
        rows[about["package_num_channel"]] = np.arange(800) // 2 % 256
    DataFilter.write_file(rows, str(file), "w")
    async with connect(playback(file)) as substrate:
        info = substrate.info
        first = await substrate.stimulate(info.stimulus(info.rest_drive(4)))
        assert np.array_equal(first.signal[..., 0].ravel(), np.arange(100.0))
        with pytest.raises(SubstrateDisconnected, match=r"the time of the board playback went back by 29\.6"):
            await take_on(substrate)


async def test_samples_that_are_late_by_less_than_a_hundred_are_no_error(tmp_path: Path) -> None:
    file, about = tmp_path / "late.csv", BoardShim.get_board_descr(SYNTHETIC)
    rows = np.ascontiguousarray(synthetic_file(file, 600))
    rows[about["timestamp_channel"], 300:390] -= 30.0
    DataFilter.write_file(rows, str(file), "w")
    async with connect(playback(file)) as substrate:
        info = substrate.info
        response = await substrate.stimulate(info.stimulus(info.rest_drive(20)))
    assert np.array_equal(response.signal[..., 0].ravel(), np.arange(500.0))


async def test_markers_are_written_into_the_boards_own_data() -> None:
    async with connect("brainflow://synthetic?marker=true&step=0.1&timeout=20") as substrate:
        info = substrate.info
        assert [each.name for each in info.inputs] == ["marker"]
        response = await substrate.stimulate(info.stimulus([[0.0], [5.0], [0.0], [0.0]]))
        await substrate.stimulate(info.stimulus(info.rest_drive(2)))
        (mark,) = [note for note in substrate.take_notes() if note.label == "5"]
        assert mark.device >= response.start + 0.1 - 2 / 250  # never before its step


async def test_the_contract() -> None:
    async with connect("brainflow://synthetic?step=0.004&late=0.004&timeout=30") as substrate:
        await check_entered_substrate(substrate, window=1)


async def test_a_counter_that_does_not_count_samples_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "odd.csv"
    rows = synthetic_file(file, 800)
    rows = np.ascontiguousarray(rows)
    rows[0] = np.arange(800) // 2 % 256  # two samples a package, as some boards have
    DataFilter.write_file(rows, str(file), "w")
    with caplog.at_level(logging.WARNING):
        async with connect(
            f"brainflow://playback?file={file}&master_board=synthetic&config=old_timestamps&timeout=20"
        ) as substrate:
            info = substrate.info
            response = await substrate.stimulate(info.stimulus(info.rest_drive(10)))
    assert np.array_equal(response.signal[..., 0].ravel(), np.arange(250.0))
    assert "do not count samples" in caplog.text


async def test_wrong_boards_settings_and_channels_are_said() -> None:
    with pytest.raises(SubstrateDisconnected, match=r"no board 'sythetic'.*synthetic"):
        async with connect("brainflow://sythetic"):
            pass
    with pytest.raises(SubstrateDisconnected, match=r"no channels 'eegs'; it has .*eeg"):
        async with connect("brainflow://synthetic?channels=eegs"):
            pass
    with pytest.raises(SubstrateDisconnected, match="cannot open the board cyton"):
        async with connect("brainflow://cyton?serial_port=/dev/none"):
            pass
    with pytest.raises(UnknownSubstrate, match="colour"):
        connect("brainflow://synthetic?colour=red")
