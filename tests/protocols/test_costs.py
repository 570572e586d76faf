"""The cost of a run, held to what its recording holds and to Joule's law."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from inmateria import connect
from inmateria.protocols.costs import Cost, CostMeter, sum_of_costs
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import RECORDING_FILE, read_run
from inmateria.protocols.task import find_task
from inmateria.recording import open_recording
from inmateria.substrate import Channel, Response, Stimulus, SubstrateInfo


def resistor(ohms: float) -> tuple[SubstrateInfo, Stimulus, Response]:
    """Return a resistor between an electrode and ground, driven by 1, 2 and 3 V for 10 ms each, read twice a step."""
    info = SubstrateInfo(
        id="r", kind="resistor", inputs=(Channel(name="e0", unit="V", low=-5.0, high=5.0),),
        outputs=(
            Channel(name="v1", unit="V", low=-5.0, high=5.0), Channel(name="i0", unit="A", low=-1.0, high=1.0),
        ),
        step=0.01, sampling_rate=200.0, resettable=True,
    )  # fmt: skip
    drive = np.array([[1.0], [2.0], [3.0]])
    signal = np.zeros((3, 2, 2))
    signal[:, :, 1] = drive / ohms
    return info, Stimulus(drive, 0.01), Response(signal, None, 0.0, 0)


def test_the_energy_of_a_resistor_is_that_of_joule() -> None:
    info, stimulus, response = resistor(100.0)
    meter = CostMeter(info)
    meter.add(stimulus, response)
    meter.add(stimulus, response)
    assert meter.cost.joules == pytest.approx(2 * (1 + 4 + 9) / 100.0 * 0.01, rel=1e-12)
    assert (meter.cost.stimuli, meter.cost.steps, meter.cost.pulses) == (2, 6, None)
    assert meter.cost.device_seconds == pytest.approx(0.06)


def test_the_sum_knows_what_all_know() -> None:
    known, other = Cost(stimuli=1, joules=1.0, pulses=3), Cost(stimuli=2, joules=2.0)
    assert sum_of_costs([known, other]) == Cost(stimuli=3, joules=3.0, pulses=None)


@pytest.mark.parametrize("keep", ["exact", "nothing"])
def test_a_run_notes_what_its_recording_says(tmp_path: Path, keep: str) -> None:
    settings = {"steps": "500", "delays": "3", "round_trips": "4", "samples": "2", "step": "0.002"}
    costs = {}
    for each in {keep, "exact"}:
        task = find_task("memory")
        substrate = connect("nanowire://?wires=60&electrodes=8&inputs=4&seed=1")
        made = asyncio.run(
            run_task(
                task, task.settings_from(settings), substrate, tmp_path, lambda *_: None,
                on="nanowire://", over="local", keep=each, report=False, passport=False,  # type: ignore[arg-type]
            )
        )  # fmt: skip
        costs[each] = read_run(made).cost
        if each == "exact":
            exact = made
    joules, seconds, count = 0.0, 0.0, 0
    with open_recording(exact / RECORDING_FILE) as recording:
        outputs = [channel.name for channel in recording.info.outputs]
        columns = [outputs.index(channel.name.replace("e", "i")) for channel in recording.info.inputs]
        for number in range(len(recording)):
            exchange = recording.exchange(number)
            power = np.einsum("si,sni->sn", exchange.stimulus.drive, exchange.response.signal[:, :, columns])
            joules += float(power.mean(axis=1).sum()) * exchange.stimulus.step
            seconds += exchange.stimulus.duration
            count += 1
    assert joules > 0  # what conducts takes energy up
    for cost in costs.values():
        assert cost is not None
        assert cost.joules == pytest.approx(joules, rel=1e-9)
        assert (cost.stimuli, cost.pulses) == (count, None)
        assert cost.device_seconds == pytest.approx(seconds)


def test_pulses_are_counted_one_by_one(tmp_path: Path) -> None:
    task = find_task("patterns")
    made = asyncio.run(
        run_task(
            task, task.settings_from({"trials": "50", "rest": "0", "duration": "0.02", "round_trips": "2"}),
            connect("culture://?neurons=100&electrodes=16"), tmp_path, lambda *_: None,
            on="culture://", over="local", keep="exact", report=False, passport=False,
        )
    )  # fmt: skip
    with open_recording(made / RECORDING_FILE) as recording:
        given = sum(
            int(np.count_nonzero(recording.exchange(number).stimulus.drive)) for number in range(len(recording))
        )
    cost = read_run(made).cost
    assert cost is not None
    assert given > 50
    assert (cost.pulses, cost.joules) == (given, None)
