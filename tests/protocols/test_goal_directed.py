"""Games with neurons in the loop: the rules by hand, and learning that is found where there is some, and only there."""

import asyncio
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from coachable import STEP, Coached, WinStay
from leaky import LeakySimulator
from pulsed import PulsedCulture

from inmateria.adapters import SimulatedSubstrate
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.protocols import Outcome, find_task
from inmateria.protocols.tasks import coached_cart_pole, pong
from inmateria.protocols.tasks.pong import Field

FAST = {"tick": STEP, "frequency": 10.0, "calibration": 1.0, "pause": 20.0}


def play(name: str, substrate: Any, settings: Any) -> Outcome:
    return asyncio.run(find_task(name).run(substrate, settings, lambda *_: None))


def splits(outcome: Outcome, on: str, readout: int = 0) -> np.ndarray:
    titles = list(dict.fromkeys(score.readout for score in outcome.scores))
    (found,) = [score for score in outcome.scores if score.on == on and score.readout == titles[readout]]
    return np.array(found.splits)


def pulses(outcome: Outcome, arm: str) -> int:
    return int(dict(outcome.facts)[f"pulses, {arm}"].replace(",", ""))


def test_a_ball_goes_to_and_fro_and_is_hit_where_the_paddle_is() -> None:
    field = Field(0.2, np.random.default_rng(0))
    for _ in range(200):
        ahead = [field.move(0.0) for _ in range(9)]
        assert not any(each is not None for each in ahead)
        assert 0.0 <= field.y <= 1.0
        x, at, y = field.x, field.at, field.y
        hit = field.move(0.0)
        assert x == pytest.approx(0.1)
        assert field.at == at
        if hit:
            assert abs(field.y - at) <= 0.1
            assert field.x == pytest.approx(0.0)
            for _ in range(10):
                assert field.move(0.0) is None
        else:
            assert hit is False
            assert field.x == 1.0
            assert abs(y - at) > 0.1 - 0.08  # it was not at the paddle a tick before
    field.at = 0.95
    field.move(1.0)
    assert field.at == 1.0  # the paddle stays within the field


def test_a_train_after_a_miss_has_as_many_pulses_as_one_after_a_hit() -> None:
    generator, sensory = np.random.default_rng(0), np.array([3, 1, 5])
    for every in (1, 2, 5):
        train = pong._unpredictable(60 * every, 10, every, sensory, 8, generator)
        assert train.sum(axis=0).tolist() == [0, 10, 0, 10, 0, 10, 0, 0]
        for at in sensory:
            assert np.diff(np.flatnonzero(train[:, at])).min() >= every


@pytest.mark.parametrize("learns", [True, False])
def test_pong_finds_learning_from_feedback_where_there_is_some(learns: bool) -> None:
    task = find_task("pong")
    settings = task.settings(balls=60, cycles=2, miss=1.0, volleys=5, **FAST)
    sensory, groups = pong._regions(WinStay(np.arange(8), (np.arange(0), np.arange(0)), False, 0).info, settings)  # type: ignore[arg-type]
    outcome = play("pong", SimulatedSubstrate(WinStay(sensory, groups, learns, 1)), settings)
    feedback, silent, shuffled = (splits(outcome, on) for on in ("substrate", "silent", "shuffled"))
    per_game = [pulses(outcome, arm) for arm in ("feedback", "silent", "shuffled")]
    # 5 pulses on 8 inputs for each of 120 balls; the game's own pulses depend on how long balls are under way.
    assert per_game[1] < 120 * 40 < min(per_game[0], per_game[2])
    if learns:
        assert feedback.min() > 0.9
        assert max(silent.mean(), shuffled.mean()) < 0.75
        assert splits(outcome, "substrate", 1).mean() > 0.05  # it is better later
    else:
        assert abs(feedback.mean() - shuffled.mean()) < 0.2
    assert dict(outcome.facts)["a paddle that follows the pulses, without the matter"] > "0.95"
    assert outcome.chance == pytest.approx(0.3, abs=0.1)  # a paddle of .3 of the field


@pytest.mark.parametrize("learns", [True, False])
def test_coaching_by_value_finds_what_helps_where_anything_does(learns: bool) -> None:
    task = find_task("coached-cart-pole")
    settings = task.settings(episodes=40, cycles=2, candidates=3, longest=100, **FAST)
    bare = Coached(np.zeros((2, 1), dtype=np.intp), [], (np.arange(0), np.arange(0)), False, 0)
    drawn = np.random.default_rng([settings.seed, 4])  # type: ignore[attr-defined]
    sides, candidates, groups = coached_cart_pole._drawn(bare.info, settings, drawn)  # type: ignore[arg-type]
    dish = Coached(sides, list(combinations(candidates.tolist(), 2)), groups, learns, 1)
    outcome = play("coached-cart-pole", SimulatedSubstrate(dish), settings)
    by_value, at_random, none = (splits(outcome, on) for on in ("substrate", "coached at random", "not coached"))
    assert len(dish.trained) == 2 * 2 * 40 // 2  # five trains in every ten episodes, in two arms of two cycles
    if learns:
        assert by_value.min() > 0.9
        assert max(at_random.mean(), none.mean()) < 0.7
    else:
        assert np.ptp([by_value.mean(), at_random.mean(), none.mean()]) < 0.1
    assert none.max() < 0.4  # nothing is learned without a train
    assert float(dict(outcome.facts)["pushes toward the side it leans to, without the matter"]) > 0.95


@pytest.mark.parametrize("name", ["pong", "coached-cart-pole"])
def test_a_substrate_with_too_few_inputs_is_refused_with_what_to_do(name: str) -> None:
    few = LeakySimulator(inputs=4, outputs=24, spiking=True)
    with pytest.raises(ValueError, match=r"leaky has 4( inputs)?; give (at most|fewer)"):
        play(name, SimulatedSubstrate(few), find_task(name).settings())
    assert not few.applied


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pong", "coached-cart-pole", "encoding"])
def test_the_same_tasks_run_on_a_twin_of_a_platform(name: str) -> None:
    of_name: dict[str, dict[str, Any]] = {
        "pong": {"cycles": 1, "balls": 4, "calibration": 1.0, "pause": 1.0, "frequency": 4.0, "volleys": 2},
        "coached-cart-pole": {
            "cycles": 1, "episodes": 4, "block": 2, "trains": 1, "calibration": 1.0, "pause": 1.0, "frequency": 4.0
        },
        "encoding": {"trials": 50, "values": 4, "round_trips": 2, "duration": 0.25, "after": 0.25, "rest": 0.5},
    }  # fmt: skip
    platform = NeuroplatformSubstrate(platform=Neuroplatform(PulsedCulture(32, delay=0.02)))
    outcome = play(name, platform, find_task(name).settings(**of_name[name]))
    assert np.isfinite([score.score for score in outcome.scores]).all()
