"""Information by encoding: the pulses by hand, controls of as many, and what a readout can know of them."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.protocols import Outcome, find_task
from inmateria.protocols.tasks.encoding import _encoded, _moved
from inmateria.reservoir.measures import transmitted_information
from inmateria.substrate import FloatArray


def bits(outcome: Outcome, on: str) -> float:
    return float(np.mean(next(score.splits for score in outcome.scores if score.on == on)))


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.75])
def test_a_symmetric_channel_has_its_capacity(wrong: float) -> None:
    generator, classes, count = np.random.default_rng(0), 4, 40_000
    sent = np.arange(count) % classes
    received = (sent + (generator.permutation(count) < wrong * count) * generator.integers(1, classes, count)) % classes
    shares = np.array([1.0 - wrong, *[wrong / (classes - 1)] * (classes - 1)])
    capacity = np.log2(classes) + np.sum(shares[shares > 0] * np.log2(shares[shares > 0]))
    assert transmitted_information(sent, received) == pytest.approx(capacity, abs=0.01)
    names = np.array(["d", "a", "c", "b"])
    assert transmitted_information(sent, names[received]) == pytest.approx(transmitted_information(sent, received))


def test_few_unrelated_labels_have_no_information_and_the_uncorrected_one_is_large() -> None:
    generator = np.random.default_rng(1)
    found = [transmitted_information(np.arange(48) % 8, generator.integers(8, size=48)) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    table = np.zeros((8, 8))
    np.add.at(table, (np.arange(48) % 8, generator.integers(8, size=48)), 1 / 48)
    outer = table.sum(axis=1)[:, np.newaxis] * table.sum(axis=0)
    assert np.sum(table[table > 0] * np.log2(table[table > 0] / outer[table > 0])) > 0.5


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(10, 40), st.integers(0, 1000))
def test_the_correction_is_the_mean_over_permutations(classes: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    true = np.arange(count) % classes
    named = np.where(generator.random(count) < 0.5, true, generator.integers(classes, size=count))

    def plain(other: FloatArray) -> float:
        table = np.zeros((classes, classes))
        np.add.at(table, (true, other.astype(int)), 1 / count)
        outer = table.sum(axis=1)[:, np.newaxis] * table.sum(axis=0)
        held = table > 0
        return float(np.sum(table[held] * np.log2(table[held] / outer[held])))

    chance = np.mean([plain(generator.permutation(named)) for _ in range(2000)])
    shares = np.bincount(true) / count
    entropy = -np.sum(shares * np.log2(shares))
    expected = entropy * (plain(named) - chance) / (entropy - chance)
    assert transmitted_information(true, named) == pytest.approx(expected, abs=0.05)


def test_labels_that_nothing_can_inform_about_are_refused() -> None:
    with pytest.raises(ValueError, match="all of 3 true labels are the same"):
        transmitted_information([1, 1, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="both must be"):
        transmitted_information([1, 2], [0, 1, 2])
    assert transmitted_information([0, 1, 2], [0, 1, 2]) == 0.0  # every label its own: chance names them too


INFO = LeakySimulator(inputs=8, outputs=4, spiking=True).info


def encoded(values: list[float], positions: int = 8, **how: Any) -> FloatArray:
    return _encoded(np.array(values), find_task("encoding").settings(**how), INFO, positions)  # type: ignore[arg-type]


def test_each_encoding_puts_the_value_where_its_name_says() -> None:
    place = encoded([0.05, 0.95], encoding="place", electrodes=1, pulses=2)
    assert [np.argwhere(each).tolist() for each in place] == [[[0, 0], [4, 0]], [[0, 7], [4, 7]]]
    rate = encoded([0.1, 0.5, 1.0], encoding="rate", electrodes=2, pulses=4)
    assert np.count_nonzero(rate, axis=(1, 2)).tolist() == [0, 4, 8]
    assert np.flatnonzero(rate[2, :, 0]).tolist() == [0, 2, 4, 6]
    latency = encoded([0.0, 1.0], encoding="latency", electrodes=1, pulses=3)
    assert [np.flatnonzero(each[:, 0]).tolist() for each in latency] == [[5, 6, 7], [0, 1, 2]]
    strength = encoded([0.25, 0.75], encoding="amplitude", electrodes=1, strength=0.8)
    assert strength[:, 0, 0].tolist() == pytest.approx([0.2, 0.6])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["place", "rate", "latency", "amplitude"]),
    st.integers(1, 4), st.integers(1, 3), st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 99),
)  # fmt: skip
def test_moved_pulses_are_as_many_at_places_and_amplitudes_that_occur(
    encoding: str, electrodes: int, pulses: int, values: list[float], seed: int
) -> None:
    coded = encoded(values, encoding=encoding, electrodes=electrodes, pulses=pulses)
    moved = _moved(coded, np.random.default_rng(seed))
    assert (np.count_nonzero(moved, axis=(1, 2)) == np.count_nonzero(coded, axis=(1, 2))).all()
    for at in np.argwhere(moved.any(axis=0)):
        column = (slice(None), *at)
        assert set(moved[column]) - {0.0} <= set(coded[column])


def test_what_the_number_of_pulses_says_is_kept_by_the_control_and_what_places_say_is_not() -> None:
    task = find_task("encoding")

    def run(**how: Any) -> Outcome:
        dish = SimulatedSubstrate(LeakySimulator(inputs=16, outputs=24, spiking=True))
        chosen = task.settings(trials=200, rest=0.3, values=4, round_trips=2, pulses=4, **how)
        return asyncio.run(task.run(dish, chosen, lambda *_: None))

    place, rate = run(encoding="place"), run(encoding="rate")
    assert bits(place, "substrate") > 1.8  # of 2
    assert abs(bits(place, "as many pulses, moved")) < 0.3
    assert bits(place, "pulses alone") == pytest.approx(2.0)
    assert bits(rate, "as many pulses, moved") > 0.5
    assert dict(rate.facts)["pulses a trial, least and most"] == "0, 8"  # values of .125, .375, .625 and .875
    late = run(encoding="place", read="after", after=0.5)
    assert bits(late, "substrate") < bits(place, "substrate")  # the integrators have forgotten


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"electrodes": 17}, "electrodes is 17; leaky has 16 inputs"),
        ({"pulses": 20}, "needs 20 steps within duration=0.1 s"),
        ({"encoding": "latency", "duration": 0.01}, "needs 2 steps"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused_before_anything_is_sent(how: dict[str, Any], said: str) -> None:
    task, dish = find_task("encoding"), LeakySimulator(inputs=16, outputs=24, spiking=True)
    with pytest.raises(ValueError, match=said):
        asyncio.run(task.run(SimulatedSubstrate(dish), task.settings(**how), lambda *_: None))
    assert not dish.applied
