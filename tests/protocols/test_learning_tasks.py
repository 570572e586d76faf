"""Tasks that train matter: the circuit that runs, what is refused, scores beside controls, the report, recordings."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from leaky import LeakySimulator
from linear_learner import LinearLearner
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestCentroid
from test_cli import inmateria

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.adapters.uri import adapters_found
from inmateria.protocols import (
    Outcome,
    UnknownTask,
    UnsuitableSetting,
    UnsuitableSubstrate,
    find_task,
    read_run,
    run_task,
    task_names,
)
from inmateria.protocols.circuits import Circuit, completed_uri, learning_channels, mismatch, uris_of_starts
from inmateria.protocols.learned_matter import least_squares, nearest_mean
from inmateria.recording import open_recording
from inmateria.substrate import UnknownSubstrate
from inmateria.testing import check_task

LEARNING = [name for name in task_names() if find_task(name).needs == "learning"]
OWN = Circuit(inputs=2, outputs=1, uris={"clln": "clln://?grid=4x4&rails=0,1&rule=sign-rule&rule.eta=1&rule.step=2"})


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def quiet(phase: str, done: int, of: int, steps: int) -> None:
    assert 0 <= done <= of


def learner(name: str, **how: Any) -> LinearLearner:
    task = find_task(name)
    assert task.circuit is not None
    circuit = task.circuit(task.settings())
    return LinearLearner(inputs=circuit.inputs, outputs=circuit.outputs, **how)


def run(name: str, matter: list[Any], **given: Any) -> Outcome:
    task = find_task(name)
    opened: Any = [SimulatedSubstrate(each) for each in matter]
    settings = task.settings(**{"round_trips": 3, **given})
    return asyncio.run(task.run(opened if task.several else opened[0], settings, quiet))


def score(outcome: Outcome, on: str, readout: str = "") -> Any:
    (found,) = [each for each in outcome.scores if each.on == on and readout in each.readout]
    return found


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ("clln://", OWN.uri),
        ("CLLN://", OWN.uri),
        ("clln://?seed=7", OWN.uri + "&seed=7"),
        ("clln://?rule.step=3", OWN.uri.replace("step=2", "step=3")),
        ("clln://?rule=coupled-learning", "clln://?grid=4x4&rails=0,1&rule=coupled-learning"),
        ("clln://?imperfections.cut=0.1", OWN.uri + "&imperfections.cut=0.1"),
        ("clln://?grid=5x5", "clln://?grid=5x5"),
        ("clln://?edges=resistor&seed=2", "clln://?edges=resistor&seed=2"),
        ("mqtt://host/lab/clln-1", "mqtt://host/lab/clln-1"),
        ("nanowire://", "nanowire://"),
    ],
)
def test_a_uri_that_gives_no_circuit_is_completed_by_the_tasks_own(given: str, runs: str) -> None:
    assert completed_uri(given, OWN).lower() == runs.lower()


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UnknownSubstrate, match="more than once"):
        completed_uri("clln://?seed=1&seed=2", OWN)


def test_starts_are_simulators_of_seeds_that_follow_one_another() -> None:
    assert uris_of_starts("clln://?seed=4&grid=3x3", 3) == [f"clln://?seed={k}&grid=3x3" for k in (4, 5, 6)]
    assert uris_of_starts("clln://", 2) == ["clln://?seed=1", "clln://?seed=2"]
    assert uris_of_starts("clln://", 1) == ["clln://"]
    task = find_task("xor")
    uris = task.uris(task.settings(starts=2), None)
    assert [uri.rpartition("&")[2] for uri in uris] == ["seed=1", "seed=2"]
    with pytest.raises(UnsuitableSetting, match=r"starts=2; only simulators.*mqtt://host/lab/clln-1 keeps"):
        task.uris(task.settings(starts=2), "mqtt://host/lab/clln-1")


def test_a_task_runs_on_its_own_circuit_by_default_and_digits_on_a_reservoir_unless_told_otherwise() -> None:
    for name in LEARNING:
        task = find_task(name)
        assert task.circuit is not None
        assert task.uris(task.settings(), None) == [task.circuit(task.settings()).uri]
    digits = find_task("digits")
    assert digits.uris(digits.settings(), None) == ["nanowire://"]
    assert digits.uris(digits.settings(), "clln://")[0].startswith("clln://?random=85x3400")
    assert find_task("memory").uris(find_task("memory").settings(), "echo://?seed=2") == ["echo://?seed=2"]


@pytest.mark.slow  # setting weights is compiled
@pytest.mark.parametrize("name", [*LEARNING, "digits"])
def test_every_circuit_of_a_task_fits_it(name: str) -> None:
    task = find_task(name)
    assert task.circuit is not None
    found = dict(adapters_found())
    for scheme, uri in task.circuit(task.settings()).uris.items():
        if scheme in found:
            task.check(connect(uri).info)


@pytest.mark.parametrize("name", [*LEARNING, "digits"])
def test_matter_with_other_inputs_or_outputs_is_refused_with_a_uri_that_fits(name: str) -> None:
    task = find_task(name)
    with pytest.raises(UnsuitableSubstrate, match=r"has 5 inputs and 7 outputs, and \d+ .* needed.*'clln://\?"):
        task.check(LinearLearner(inputs=5, outputs=7).info)
    task.check(learner(name).info)


@pytest.mark.parametrize("name", [name for name in task_names() if name not in (*LEARNING, "digits")])
def test_a_task_of_reservoirs_refuses_matter_that_learns(name: str) -> None:
    with pytest.raises(UnsuitableSubstrate, match=r"learns by itself, from labels.*--on (nanowire|culture)://.*xor"):
        find_task(name).check(LinearLearner(inputs=16, outputs=1).info)


def test_channels_are_known_by_their_names() -> None:
    found = learning_channels(LinearLearner(inputs=3, outputs=2).info)
    assert found == ((0, 1, 2), (3, 4), 5)
    assert learning_channels(LeakySimulator().info) is None
    assert "does not learn" in mismatch(LeakySimulator().info, OWN)
    assert mismatch(LinearLearner(inputs=2, outputs=1).info, OWN) == ""


@pytest.mark.parametrize(("label", "wrong"), [("inputs", "splits"), ("learner", "epochs")])
async def test_digits_refuses_settings_without_effect_on_that_matter(label: str, wrong: str, tmp_path: Path) -> None:
    task = find_task("digits")
    matter = LeakySimulator(inputs=4) if label == "learner" else learner("digits")
    with pytest.raises(UnsuitableSetting, match=f"digits was given {wrong}=2, which has no effect here"):
        await run_task(
            task, task.settings(**{wrong: 2}), SimulatedSubstrate(matter), tmp_path, quiet, on="x", over="local"
        )
    assert not left_in(tmp_path)


def test_every_setting_of_digits_has_an_effect_on_one_kind_of_matter() -> None:
    task = find_task("digits")
    assert task.unused is not None
    here, there = (task.unused(task.settings(), each.info) for each in (LeakySimulator(), learner("digits")))
    assert not set(here) & set(there)
    assert {"epochs", "first", "last", "label"} == set(here)


def test_controls_are_those_of_other_libraries() -> None:
    generator = np.random.default_rng(0)
    X, Y, Z = generator.normal(size=(30, 4)), generator.normal(size=(30, 2)), generator.normal(size=(9, 4))
    assert least_squares(X, Y, Z) == pytest.approx(LinearRegression().fit(X, Y).predict(Z))
    flowers = load_iris()
    theirs = NearestCentroid().fit(flowers.data[::2], flowers.target[::2]).predict(flowers.data)
    assert (nearest_mean(flowers.data[::2], flowers.target[::2], flowers.data) == theirs).all()
    constant = np.column_stack((X, np.full(30, 3.0)))
    again = least_squares(constant, Y, np.column_stack((Z, np.full(9, 3.0))))
    assert again == pytest.approx(least_squares(X, Y, Z))


def test_published_controls_of_exclusive_or_and_regression() -> None:
    xor = run("xor", [learner("xor")], epochs=1)
    assert score(xor, "input alone").errors == pytest.approx([43.5])
    assert score(xor, "input alone").score == pytest.approx(0.0)
    assert "43.5 mV" in xor.chance_description
    regression = run("regression", [learner("regression")], epochs=1)
    assert score(regression, "input alone").errors == pytest.approx([18.1], abs=0.05)


def test_a_linear_network_learns_what_it_can_and_no_more() -> None:
    allostery = run("allostery", [learner("allostery")], epochs=300, last=1.0)
    trained, untrained = score(allostery, "substrate"), score(allostery, "untrained network", "own")
    assert untrained.errors[0] > 10
    assert trained.errors[0] < 1.0  # a star of resistors has all ratios
    assert allostery.facts[0][0] == "largest error of a ratio"
    curve = allostery.curves[0].lines["the network"]
    assert curve[0] > 50 * curve[-1]
    # Exclusive or is beyond a linear network whose outputs lie between its sources.
    xor = run("xor", [learner("xor")], epochs=50, last=1.0)
    assert score(xor, "substrate").errors[0] >= 43.49
    assert dict(xor.facts)["starts below 5 mV"] == "0 of 1"


def test_flowers_are_learned_from_the_same_weights_in_each_split() -> None:
    matter = learner("iris")
    outcome = run("iris", [matter], epochs=3, splits=3)
    assert len(score(outcome, "substrate").splits) == 3
    assert score(outcome, "untrained network", "nearest").score > 0.6
    assert score(outcome, "input alone", "nearest").score == pytest.approx(0.9, abs=0.06)
    assert outcome.held_out == 75
    assert np.isfinite([each.score for each in outcome.scores]).all()
    # The first reading of every split is that of the untrained network.
    read = [drive for drive in matter.applied if len(drive) == 150]
    assert len(read) == 6
    firsts = [drive for drive in matter.applied if len(drive) > 1 and drive[:, -1].any()]
    assert sum(map(len, firsts)) == 3 * 3 * 30


def test_labels_of_flowers_stay_within_what_the_device_takes() -> None:
    matter = learner("iris")
    run("iris", [matter], epochs=1, splits=1, contrast=50.0)
    channels = learning_channels(matter.info)
    assert channels is not None
    labels = np.concatenate(matter.applied)[:, list(channels.labels)]
    assert np.abs(labels).max() == 1.0


def test_a_device_that_keeps_what_it_learned_is_trained_once(tmp_path: Path) -> None:
    kept = learner("iris", resettable=False)
    with pytest.raises(UnsuitableSubstrate, match=r"keeps what it has learned, and 5 trainings.*splits=1"):
        run("iris", [kept])
    assert not kept.applied
    outcome = run("iris", [kept], epochs=2, splits=1)
    assert len(outcome.scores[0].splits) == 1
    first = kept.conductance.copy()
    run("iris", [kept], epochs=2, splits=1)
    assert (kept.conductance != first).any()


def test_several_starts_are_scored_side_by_side() -> None:
    outcome = run("regression", [learner("regression") for _ in range(4)], epochs=3, starts=4)
    assert outcome.repeated == "starts"
    assert all(len(each.splits) == len(each.errors) == 4 for each in outcome.scores)
    assert dict(outcome.facts)["starts better than a straight line"].endswith("of 4")
    assert {"best of 4 starts", "median of 4 starts", "worst of 4 starts"} < set(outcome.curves[0].lines)
    task = find_task("iris")
    with pytest.raises(UnsuitableSetting, match=r"splits=3.*draw of its own"):
        task.check_settings(task.settings(starts=2, splits=3), learner("iris").info)


def test_digits_are_learned_by_matter_that_learns() -> None:
    outcome = run("digits", [learner("digits", alpha=0.02)], epochs=3, label=0.3, held_out=0.5)
    # Outputs of a star of resistors are means of pixels, so that none can be below all the others for its digit.
    assert score(outcome, "substrate").score > score(outcome, "untrained network", "highest").score + 0.1
    assert score(outcome, "raw pixels", "logistic").score > 0.9
    assert (outcome.trained, outcome.held_out) == (898, 899)


@pytest.mark.parametrize(("name", "wrong"), [
    ("xor", {"low": "1", "high": "1"}), ("xor", {"label": "0"}), ("xor", {"first": "2"}), ("iris", {"low": "0.5"}),
])  # fmt: skip
def test_settings_that_make_no_task_are_refused(name: str, wrong: dict[str, str]) -> None:
    with pytest.raises(UnknownTask, match=f"{name} does not take these settings"):
        find_task(name).settings_from(wrong)


@pytest.mark.parametrize(
    "given", [{"inputs": (0.1, 0.2)}, {"labels": (0.1,) * 8}], ids=["of different length", "all alike"]
)
def test_a_curve_needs_points(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        find_task("regression").settings(**given)


@pytest.mark.parametrize("given", [{"ratios": ()}, {"strains": ()}, {"tested": (0.1,)}], ids=str)
def test_a_response_needs_strains(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        find_task("allostery").settings(**given)


async def test_a_run_is_recorded_whole_and_its_report_shows_it(tmp_path: Path) -> None:
    task = find_task("xor")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = await run_task(
            task,
            task.settings(epochs=30, resolution=3, round_trips=3),
            [SimulatedSubstrate(learner("xor"))],
            tmp_path,
            quiet,
            on="clln://?grid=4x4",
            over="local",
        )
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in (
        "Learning curve",
        "The function learned",
        "43.5",
        "naming the mean",
        "clln://?grid=4x4",
        "error (mV)",
    ):
        assert words in page
    assert "The network" not in page  # its graph is not known
    with open_recording(folder / "recording.h5") as recording:
        learned = sum(int((recording.exchange(k).stimulus.drive[:, -1] > 0).sum()) for k in range(len(recording)))
        assert learned == 4 * 30
        assert int(recording.exchanges["steps"].sum()) == read_run(folder).outcome.exchanges.steps


async def test_a_training_that_is_cancelled_leaves_the_recording_of_what_was_applied(tmp_path: Path) -> None:
    task, matter, seen = find_task("xor"), learner("xor"), asyncio.Event()

    def watch(phase: str, done: int, of: int, steps: int) -> None:
        if phase == "training" and done:
            seen.set()

    running = asyncio.ensure_future(
        run_task(
            task,
            task.settings(epochs=100_000, resolution=2),
            [SimulatedSubstrate(matter)],
            tmp_path,
            watch,
            on="x",
            over="local",
        )
    )
    await seen.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (folder,) = left_in(tmp_path)
    with open_recording(folder / "recording.h5") as recording:
        unanswered = [len(note.details["drive"]) for note in recording.notes if note.kind == "unanswered"]
        assert len(unanswered) <= 1  # in flight when it was cancelled
        assert int(recording.exchanges["steps"].sum()) + sum(unanswered) == sum(map(len, matter.applied))
    assert (matter.applied[-1] == 0).all()  # at rest


@pytest.mark.parametrize("name", LEARNING)
def test_the_shipped_checks_pass(name: str) -> None:
    check_task(find_task(name), {"epochs": "3", "round_trips": "3"}, lambda: SimulatedSubstrate(learner(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEARNING, "digits"])
def test_a_task_runs_from_the_command_line_on_its_circuit(name: str, tmp_path: Path) -> None:
    told = inmateria("run", name, "--on", "clln", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    scores = {(each["on"], each["readout"]): each for each in json.loads(told.stdout)["scores"]}
    trained = next(each for (on, _), each in scores.items() if on == "substrate")["score"]
    untrained = next(each for (on, _), each in scores.items() if on == "untrained network")["score"]
    assert trained > untrained
    assert trained > {"xor": 0.99, "regression": 0.75, "allostery": 0.99, "iris": 0.9, "digits": 0.9}[name]
    (folder,) = (tmp_path / "runs").glob(f"*-{name}")
    recorded = read_run(folder)
    assert recorded.on.startswith("clln://?")
    if name != "digits":
        (drawing,) = recorded.outcome.networks
        assert set(drawing.weights) == set(drawing.voltages) == {"before training", "after training"}
    assert (folder / "recording.h5").stat().st_size < 20e6


@pytest.mark.slow
def test_a_served_network_learns_the_same_bits(tmp_path: Path) -> None:
    scores = []
    for over in ("local", "mqtt"):
        words = ["--on", "clln://?seed=3", "--over", over, "--epochs", "500", "--out", over, "--json"]
        told = inmateria("run", "xor", *words, cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        scores.append([each["errors"] for each in json.loads(told.stdout)["scores"]])
    assert scores[0] == scores[1]
    (folder,) = (tmp_path / "mqtt").glob("*-xor")
    (drawing,) = read_run(folder).outcome.networks
    assert not drawing.weights
    assert len(drawing.segments) == 32 + 8  # those around the boundary twice


@pytest.mark.slow
def test_several_starts_have_recordings_of_their_own(tmp_path: Path) -> None:
    told = inmateria("run", "regression", "--starts", "3", "--epochs", "200", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    (folder,) = (tmp_path / "runs").glob("*-regression")
    assert {path.name for path in folder.glob("*.h5")} == {"recording.h5", "recording-2.h5", "recording-3.h5"}
    assert [uri.rpartition("=")[2] for uri in read_run(folder).on.split(", ")] == ["1", "2", "3"]
    assert "starts" in told.stdout


@pytest.mark.slow
def test_a_training_is_interrupted_by_ctrl_c(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "inmateria", "run", "xor", "--epochs", "3000000", "--out", str(tmp_path / "runs")]
    running = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "runs").glob("*/recording.h5")):
        assert running.poll() is None
        time.sleep(0.1)
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in errors
