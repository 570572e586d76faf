"""Controls held to tasks whose answer is known: what needs memory, nonlinearity, both or neither."""

import asyncio
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from inmateria.protocols import Outcome, Presented, Score, Task, score_classification, score_regression
from inmateria.protocols.controls import (
    DELAY_LINE,
    ECHO_STATE,
    RECTIFIED_LAGS,
    RECTIFIER,
    Control,
    controls_by_step,
    controls_by_trial,
    echo_states,
)
from inmateria.protocols.gains import gain_of, missing_controls, verdict
from inmateria.protocols.outcome import ExchangeStatistics
from inmateria.protocols.scoring import READING_NOISE, with_reading_noise
from inmateria.substrate import FloatArray
from inmateria.testing import check_task

EXCHANGES = ExchangeStatistics(count=1, steps=1, seconds=1.0, round_trip_p50=1e-3, round_trip_p99=1e-3, round_trips=1)
STEPS, FEATURES = 2000, 40
U = np.random.default_rng(0).uniform(-1.0, 1.0, STEPS)


def presented(responses: FloatArray) -> Presented:
    u = U[:, np.newaxis]
    return Presented([u], [np.hstack([2.0 + u, 2.0 - 3.0 * u])], [responses], ["y"], EXCHANGES)


def delayed(k: int) -> FloatArray:
    return np.concatenate([np.full(k, np.nan), U[: STEPS - k]])


@pytest.mark.parametrize(
    ("target", "solved_by"),
    [
        (2.0 * U, {"masked input", "input alone", RECTIFIER, DELAY_LINE, RECTIFIED_LAGS, ECHO_STATE}),
        (U**2 - 1 / 3, {RECTIFIER, RECTIFIED_LAGS, ECHO_STATE}),
        (delayed(2), {DELAY_LINE, RECTIFIED_LAGS, ECHO_STATE}),
        (U * delayed(1), {RECTIFIED_LAGS, ECHO_STATE}),
    ],
    ids=["neither", "nonlinearity", "memory", "both"],
)
def test_each_control_has_what_it_is_said_to_have(target: FloatArray, solved_by: set[str]) -> None:
    # Of a white series, products of its values at different steps are uncorrelated: what lacks one of the two scores 0.
    noise = np.random.default_rng(1).standard_normal((STEPS, FEATURES))
    compared = score_regression(presented(noise).by_step(), {"target": target}, washout=50, metric="r²")
    by_control = {score.on: np.mean(score.splits) for score in compared.scores if score.control}
    assert {on for on, score in by_control.items() if score > 0.9} == solved_by
    assert all(score < 0.05 for on, score in by_control.items() if on not in solved_by)
    assert {score.features for score in compared.scores if score.kind in ("memoryless", "digital")} == {FEATURES}


def test_a_memoryless_control_does_not_see_earlier_steps() -> None:
    changed = U.copy()
    changed[:1000] = np.random.default_rng(5).permutation(changed[:1000])  # the same values, in another order
    same = [controls_by_step(u[:, np.newaxis], u[:, np.newaxis], FEATURES) for u in (U, changed)]
    for name in (DELAY_LINE, ECHO_STATE):
        first, second = (each[name].variants[0][1000] for each in same)
        assert not np.allclose(first, second)
    thresholds = np.flatnonzero(changed == U)
    assert len(thresholds) >= 1000
    first, second = (each[RECTIFIER].variants[0] for each in same)
    moved = (first[1500] - second[1500]) - (first[1501] - second[1501])  # thresholds are at values of the series
    both = (first[1500] > 0) & (second[1500] > 0) & (first[1501] > 0) & (second[1501] > 0)
    np.testing.assert_allclose(moved[both], 0.0, atol=1e-12)


def test_echo_states_are_those_of_reservoirpy() -> None:
    from reservoirpy.nodes import Reservoir

    generator = np.random.default_rng(3)
    W, W_in, bias = generator.normal(0, 0.2, (20, 20)), generator.uniform(-1, 1, (20, 3)), generator.normal(size=20)
    series = generator.uniform(-1, 1, (2, 50, 3))
    states = echo_states(series, W, W_in, bias, 0.3)
    for given, found in zip(series, states, strict=True):
        network = Reservoir(W=W, Win=W_in, bias=bias, lr=0.3)
        np.testing.assert_allclose(found, network.run(given), rtol=0, atol=1e-13)


@pytest.mark.parametrize("read", ["every step", "last step"])
def test_trials_are_read_as_the_substrate_is(read: str) -> None:
    # Two bits, one a step: the second alone, and their exclusive or.
    bits = np.random.default_rng(2).integers(2, size=(400, 2))
    trials = bits[:, :, np.newaxis] - 0.5
    sets = controls_by_trial(trials, trials, 12, read=read)  # type: ignore[arg-type]
    given: dict[str, FloatArray | Control] = {"substrate": np.random.default_rng(4).standard_normal((400, 12)), **sets}
    accuracies = {
        name: {s.on: np.mean(s.splits) for s in score_classification(given, labels).scores}
        for name, labels in (("last", bits[:, 1]), ("xor", bits[:, 0] ^ bits[:, 1]))
    }
    assert all(accuracies["last"][on] == 1.0 for on in sets)
    can = {RECTIFIED_LAGS, ECHO_STATE}
    assert all(accuracies["xor"][on] == 1.0 for on in can)
    assert all(accuracies["xor"][on] < 0.62 for on in sets.keys() - can)


def test_training_items_choose_the_variant() -> None:
    useless, useful = np.random.default_rng(6).standard_normal((2, 300, 5))
    useful[200:] = 0.0  # only where nothing is learned
    control = Control(lambda: [useless, useful], "digital")
    y = useful @ np.ones((5, 1))
    assert control.chosen(np.arange(200), y, (1e-3,)) is useful
    assert control.chosen(np.arange(200, 300), useless[:, :1], (1e-3,)) is useless


def test_noise_of_reading_is_one_per_cent_of_each_feature() -> None:
    X = np.random.default_rng(7).standard_normal((20_000, 3)) * [1e-6, 1.0, 0.0]
    added = with_reading_noise(X, np.arange(len(X)), 0) - X
    np.testing.assert_allclose(added.std(axis=0), READING_NOISE * X.std(axis=0), rtol=0.02)
    # A target that hangs on 1e-3 of the features' spread is lost in it.
    hidden = np.random.default_rng(8).standard_normal(2000)
    features = np.column_stack([U, U + 1e-3 * hidden])
    compared = score_regression({"substrate": features, "none": U[:, np.newaxis]}, {"hidden": hidden}, alphas=(1e-6,))
    assert compared.scores[0].splits[0] > 0.99
    assert compared.scores[0].noisy[0] < 0.1
    assert not compared.scores[1].noisy


def outcome(*scores: Score, metric: str = "accuracy") -> Outcome:
    return Outcome(title="t", scores=scores, exchanges=EXCHANGES, metric=metric, held_out=400)


def score(on: str, values: tuple[float, ...], kind: str = "") -> Score:
    return Score(readout="r", on=on, features=1, score=values[0], splits=values, kind=kind)


def test_the_verdict_names_the_best_control_of_each_sort() -> None:
    controls = (
        score("input alone", (0.5, 0.52, 0.51), "linear"),
        score(RECTIFIER, (0.6, 0.62, 0.61), "memoryless"),
        score(DELAY_LINE, (0.7, 0.71, 0.72), "memory"),
        score(ECHO_STATE, (0.9, 0.91, 0.92), "digital"),
    )

    def said(*values: float) -> str:
        return verdict(outcome(score("substrate", values), *controls))

    assert said(0.95, 0.96, 0.97) == "The matter helped: +0.050 over echo state, 0.910 is the best control."
    assert "not beyond those of a computer that has both: -0.110 ± 0.014 over echo state" in said(0.80, 0.81, 0.79)
    assert "+0.090 ± 0.014 over delay line" in said(0.80, 0.81, 0.79)
    assert said(0.65, 0.66, 0.64).startswith("The matter has memory (+0.040 ± 0.008 over rectifier, 0.610)")
    assert said(0.61, 0.60, 0.62).startswith("The matter did not help: -0.300")
    gain = gain_of([score("substrate", (0.80, 0.81, 0.79)), *controls])
    assert (gain.control, gain.simple_control) == (ECHO_STATE, DELAY_LINE)
    assert gain.simple_gain == pytest.approx(0.09)


def test_one_split_of_an_accuracy_has_the_error_of_its_items() -> None:
    # 400 held out: two fractions near .9 differ by their standard error of .0212 at one standard deviation.
    linear = score("input alone", (0.90,), "linear")
    assert "did not help" in verdict(outcome(score("substrate", (0.93,)), linear), own_controls=True)
    assert "matter helped" in verdict(outcome(score("substrate", (0.95,)), linear), own_controls=True)


class Settings(msgspec.Struct, frozen=True):
    steps: int = 60


async def bare(substrate: object, settings: Settings, on_progress: Callable[..., None]) -> Outcome:
    async with substrate as entered:  # type: ignore[attr-defined]
        info = entered.info
        drive = np.tile(info.rest, (settings.steps, 1))
        await entered.stimulate(info.stimulus(drive, info.step))
    on_progress("streaming", 1, 1, settings.steps)
    return outcome(score("substrate", (0.9,)), score("input", (0.5,)))


def test_a_task_without_the_controls_is_refused_by_the_check_and_named_by_the_verdict() -> None:
    task = Task("bare", Settings, bare, needs="signal", validation="data")
    with pytest.raises(AssertionError, match="linear, memoryless"):
        check_task(task)
    found = asyncio.run(_outcome(task))
    assert missing_controls(found) == ("linear", "memoryless")
    assert verdict(found).endswith("It lacks controls that could win: linear and memoryless.")


async def _outcome(task: Task) -> Outcome:
    from inmateria import connect

    return await task.run(connect("echo://?units=5"), Settings(), lambda *_: None)
