"""The task `stack`: layers from the command line, each recorded, scored beside its controls and drawn."""

import json
from pathlib import Path

import pytest
from commands_here import RunCommand

from inmateria.protocols.runs import read_run
from inmateria.protocols.tasks.stack import StackSettings, substrates_of
from inmateria.recording import open_recording
from inmateria.reservoir import training_names


def test_layers_named_by_schemes_alone_are_different_devices() -> None:
    named = substrates_of(StackSettings(layers="nanowire, nanowire,mqtt://host/lab/x", seed=4))
    assert named == ["nanowire://?seed=5", "nanowire://?seed=6", "mqtt://host/lab/x"]


def test_the_help_of_the_setting_names_every_training() -> None:
    told = (StackSettings.__doc__ or "").partition("train : str")[2].partition("passes : int")[0]
    assert set(training_names()) <= set(told.replace(",", " ").replace(";", " ").split())


@pytest.mark.parametrize("over", ["local", pytest.param("mqtt", marks=pytest.mark.slow)])
def test_a_stack_runs_from_the_command_line_and_leaves_everything(
    over: str, tmp_path: Path, inmateria_here: RunCommand
) -> None:
    layers = "scattering,scattering://?ports=16&observables=48&seed=7"
    options = ["--train=bottleneck-in-turn", "--hold", "1", "--rest", "0", "--held-out", "300", "--round-trips", "3"]
    told = inmateria_here("run", "stack", "--layers", layers, *options, "--over", over, "--json")
    assert told.returncode == 0, told.stderr
    line = json.loads(told.stdout)
    score = {(each["on"], each["readout"]): each["score"] for each in line["scores"]}
    assert score["substrate", "all 2 layers"] > score["random encoders", "all 2 layers"]
    assert {("substrate", "layer 1"), ("substrate", "layer 2"), ("raw pixels", "logistic")} <= set(score)
    (folder,) = (tmp_path / "runs").glob("*-stack")  # the passports lie beside it
    run = read_run(folder)
    assert run.on == "scattering://?seed=1, scattering://?ports=16&observables=48&seed=7"
    assert [each.heading for each in run.outcome.curves] == ["Information curve", "Accuracy by layer"]
    for name, outputs in (("recording.h5", 100), ("recording-2.h5", 48)):
        with open_recording(folder / name) as recording:
            # Every digit once for the trained encoders and once for random ones; the first layer's round trips before.
            assert int(recording.exchanges["steps"].sum()) == 2 * 1797 + (3 if outputs == 100 else 0)
            assert len(recording.info.outputs) == outputs
    assert "Information curve" in (folder / "report.html").read_text(encoding="utf-8")
