"""Runs opened for analysis: what they hold equals what the run and the recording hold."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.desk import OpenedRun, open_run, sweep
from inmateria.protocols.runs import RunFolderError, read_run
from inmateria.recording import RecordedSubstrate, open_recording
from inmateria.substrate import Stimulus

ON = "scattering://?ports=2&observables=2"
FEW = {"steps": 500, "delays": 3, "round_trips": 2}


@pytest.fixture
def opened(small: Path) -> OpenedRun:
    made = sweep("memory", ON, FEW, folder="s", workers=1, keep="all")
    return open_run(made.runs[0].name[:6], made.folder / "runs")


def test_scores_and_curves(opened: OpenedRun) -> None:
    scores = opened.scores()
    outcome = read_run(opened.folder).outcome
    assert len(scores) == sum(len(score.splits) for score in outcome.scores)
    for score in outcome.scores:
        chosen = scores[(scores.on == score.on) & (scores.readout == score.readout)]
        assert tuple(chosen.score) == score.splits
    curves = opened.curves()
    figure = outcome.curves[0]
    line = next(iter(figure.lines))
    chosen = curves[(curves.figure == figure.heading) & (curves.line == line)]
    assert tuple(chosen.y) == figure.lines[line]
    assert tuple(chosen.x) == figure.x


def test_what_was_recorded(opened: OpenedRun) -> None:
    with open_recording(opened.recordings[0]) as recording:
        exchanges = list(recording)
        info = recording.info
    dataset = opened.to_xarray()
    assert list(dataset.output.values) == [channel.name for channel in info.outputs]
    np.testing.assert_array_equal(dataset.drive, np.concatenate([each.stimulus.drive for each in exchanges]))
    np.testing.assert_array_equal(dataset.signal, np.concatenate([each.response.signal for each in exchanges]))  # type: ignore[misc]
    last = exchanges[-1]
    np.testing.assert_allclose(
        dataset.time.values[-len(last.stimulus.drive) :],
        last.response.start + np.arange(len(last.stimulus.drive)) * last.stimulus.step,
    )
    np.testing.assert_array_equal(
        dataset.session,
        np.repeat([each.session for each in exchanges], [len(each.stimulus.drive) for each in exchanges]),
    )
    part = opened.to_xarray(1, 2)
    np.testing.assert_array_equal(part.signal, exchanges[1].response.signal)  # type: ignore[arg-type]
    assert set(part.exchange.values) == {1}
    table = opened.exchanges()
    assert list(table.steps) == [len(each.stimulus.drive) for each in exchanges]
    assert dataset.attrs["id"] == info.id


def test_spikes_and_steps_of_several_lengths(opened: OpenedRun, tmp_path: Path) -> None:
    simulator = LeakySimulator(spiking=True)

    async def record() -> None:
        async with RecordedSubstrate(SimulatedSubstrate(simulator), tmp_path / "r.h5") as substrate:
            for step in (0.01, 0.01, 0.02):
                await substrate.stimulate(Stimulus(np.ones((5, 3)), step))

    asyncio.run(record())
    run = OpenedRun(opened.folder, opened.run, (tmp_path / "r.h5",))
    with open_recording(tmp_path / "r.h5") as recording:
        dataset = run.to_xarray(0, 2)
        assert dataset.spike_time.size > 0
        np.testing.assert_array_equal(dataset.spike_time, recording.spikes(0, 2)["time"])
        np.testing.assert_array_equal(dataset.spike_channel, recording.spikes(0, 2)["channel"])
    with pytest.raises(ValueError, match="have 2 to 4 samples"):
        run.to_xarray()


def test_a_run_without_a_recording(small: Path) -> None:
    made = sweep("memory", ON, FEW, folder="s", workers=1)
    opened = open_run("last", made.folder / "runs")
    assert opened.recordings == ()
    with pytest.raises(RunFolderError, match=r"no recording .*'nothing'.*--keep all"):
        opened.to_xarray()
    with pytest.raises(RunFolderError, match="there is no run 'x'"):
        open_run("x", made.folder / "runs")
